"""`weir top`: one look in a pipe, a live screen on a terminal that gets its terminal back.

A listener of the test's own answers in the server's forms, so that rates and quantiles are known
beforehand; the real server is looked at too.
"""

import contextlib
import fcntl
import http.server
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

import pytest

from policies import policy
from test_help import on_terminal
from weir_client import find_binary, run

POLICY = policy("base: {tier: 1, features: {chat: {waterfall: [{unlimited: {}}]}}}")
HEALTH = {"status": "ok", "uptime_ms": 7_980_000, "policy_version": 3, "customers": 20,
          "grants": 60, "open_holds": 7, "journal": {"sequence": 9},
          "settlement": {"sequence": 9, "lag_ms": 1500},
          "clock": {"now": "2026-11-21T16:53:22.737Z", "test": False}}
USAGE = {"usage": [{"customer": "small", "requests": 2, "denied": 0, "charged": "0.5"},
                   {"customer": "big\x1b[31m", "requests": 900, "denied": 800, "charged": "12"}],
         "next": None}
GIVE_UP_SECONDS = 60


def metrics(look):
    """What a server tells that allows 30 and denies 10 between two looks."""
    return f"""# TYPE weir_decisions_total counter
weir_decisions_total{{feature="chat",outcome="allow",reason="ok"}} {100 + 30 * look}
weir_decisions_total{{feature="chat",outcome="deny",reason="rate_limited"}} {50 + 10 * look}
weir_charged_credits_total{{feature="chat",source="paid"}} {20 * look}
weir_request_seconds_bucket{{call="POST /v1/consume",le="0.001"}} {20 * look}
weir_request_seconds_bucket{{call="POST /v1/consume",le="0.002"}} {40 * look}
weir_request_seconds_bucket{{call="POST /v1/consume",le="+Inf"}} {40 * look}
weir_request_seconds_count{{call="POST /v1/consume"}} {40 * look}
weir_journal_batches_total {5 * look}
weir_journal_entries_total {40 * look}
weir_settlement_lag_seconds 90
weir_settlement_lag_entries 1234
weir_open_holds 7
weir_condition{{condition="key_room_short"}} 1
weir_condition{{condition="failed"}} 0
process_resident_memory_bytes 47185920
weir_slab_bytes{{slab="holds"}} 1024
weir_slab_bytes{{slab="grants"}} 1024
"""


class Listener(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):  # noqa: N802
        path = self.path.split("?")[0]
        self.server.asked.append(self.path)
        if path in self.server.refused:
            problem = {"title": "No", "detail": "this is not for you", "code": "forbidden"}
            return self.answer(403, json.dumps(problem))
        if path == "/metrics":
            self.server.looks += 1
            return self.answer(200, metrics(self.server.looks) + self.more())
        return self.answer(200, json.dumps(USAGE if path == "/v1/usage" else HEALTH))

    def more(self):
        """Looks more often than anybody asks; as much of everything as there may be."""
        text, look = "", self.server.looks
        if self.server.polls:
            text += f'weir_request_seconds_count{{call="GET /metrics"}} {900 * look}\n'
        for i in range(self.server.crowd):
            text += (f'weir_decisions_total{{feature="feature-{i}",outcome="deny",'
                     f'reason="concurrency_limit_{i}"}} {(i + 1) * look}\n'
                     f'weir_request_seconds_count{{call="POST /v1/call-{i}"}} {(i + 1) * look}\n')
        return text

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def told():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    server.asked, server.refused, server.looks = [], set(), 0
    server.polls, server.crowd = False, 0
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def look(told, *words):
    status, out, err = run("top", "--server", told.url, *words)
    assert status == 0, err
    return out


def look_at(weir):
    status, out, err = run("top", "--server", f"http://127.0.0.1:{weir.port}")
    assert status == 0, err
    return out


def test_one_look_in_a_pipe_tells_rates_and_totals(told):
    out = look(told)
    assert "\x1b" not in out
    assert "[#" not in out
    row = re.search(r"^  allow +(\S+) +([\d.]+ %) +(\S+)$", out, re.MULTILINE)
    assert 0 < float(row[1]) <= 30 and row[2] in ("75.0 %", "74.9 %") and row[3] == "160", out
    assert re.search(r"^    rate_limited +[\d.]+ +70$", out, re.MULTILINE), out
    call = re.search(r"POST /v1/consume +\S+ +(\S+ ms) +(\S+ ms) +(\S+ ms)", out)
    assert call.groups() == ("1.00 ms", "1.80 ms", "1.98 ms")
    assert "batches/s of 8.0 entries" in out
    assert "45 MiB resident, 2.0 KiB of records" in out
    assert re.search(r"settlement +90.0 s behind, 1,234 entries", out)
    assert "key_room_short" in out and "failed" not in out
    assert "up 2 h 13 min" in out and "policy 3" in out


def test_customers_come_by_their_requests_and_cannot_write_to_the_terminal(told):
    out = look(told)
    customers = out[out.index("Customers"):]
    assert customers.index("big?[31m") < customers.index("small") and "900" in customers
    assert "settled since 15:00Z" in customers
    assert [path for path in told.asked if path.startswith("/v1/usage")] == \
        ["/v1/usage?group_by=customer&limit=1000&from=2026-11-21T15:00:00Z"]


def test_json_has_the_same_numbers(told):
    report = json.loads(look(told, "--json"))
    decisions = {one["outcome"]: one for one in report["metrics"]["decisions"]}
    assert decisions["allow"]["total"] == 160
    assert 0 < decisions["allow"]["per_second"] <= 30       # 30 in a second or a little more
    assert report["metrics"]["calls"][0]["p50_seconds"] == pytest.approx(0.001)
    assert report["metrics"]["conditions"] == ["key_room_short"]
    assert report["metrics"]["journal"]["append_p50_seconds"] is None
    assert [one["customer"] for one in report["customers"]] == ["big\x1b[31m", "small"]


def test_what_is_refused_is_told_in_the_server_s_words_and_the_rest_shown(told):
    told.refused = {"/metrics", "/v1/usage"}
    status, out, err = run("top", "--once", "--server", told.url)
    assert status == 1 and "weir top: no metrics: this is not for you" in err
    assert "no metrics: this is not for you" in out and "open holds   7" in out
    status, out, err = run("top", "--json", "--server", told.url)
    assert status == 1 and "weir top: no customers: this is not for you" in err
    report = json.loads(out)
    assert report["metrics"] is None and report["customers"] == []
    assert report["metrics_error"] == report["customers_error"] == "this is not for you"


def test_an_idle_server_is_told_in_words(fresh):
    weir = fresh()
    out = look_at(weir)
    assert "nothing to write" in out and "the books have everything" in out, out
    assert "- entries" not in out and "0.00 ms behind" not in out


def test_what_is_called_comes_before_the_looks_of_top_itself(told):
    told.polls = True
    calls = [call["call"] for call in json.loads(look(told, "--json"))["metrics"]["calls"]]
    assert calls == ["POST /v1/consume", "GET /metrics"]


def test_nobody_there_is_a_refusal():
    status, out, err = run("top", "--once", "--server", "http://127.0.0.1:1")
    assert status == 1 and out == "" and "nobody listens" in err


def test_the_real_server_tells_all_that_is_shown(fresh):
    weir = fresh()
    request = {"customer": "ada", "feature": "chat", "quantities": {"requests": 1}}
    for call in ("consume", "authorize"):
        assert weir.post(f"/v1/{call}", request).status == 200
    assert weir.post("/v1/consume", {**request, "feature": "video"}).body["outcome"] == "deny"
    status, out, err = run("top", "--json", "--server", f"http://127.0.0.1:{weir.port}")
    assert status == 0, err
    told = json.loads(out)["metrics"]
    totals = {one["outcome"]: one["total"] for one in told["decisions"]}
    assert totals == {"allow": 2, "partial": 0, "deny": 1}
    assert told["denials"] == [{"reason": "not_entitled", "per_second": 0, "total": 1}]
    features = {one["feature"]: one["total"] for one in told["features"]}
    assert features["chat"] == 2 and sum(features.values()) == 3
    assert {"GET /healthz", "GET /metrics"} <= {one["call"] for one in told["calls"]}
    assert all(one["p50_seconds"] > 0 for one in told["calls"])
    assert told["open_holds"] == 1 and told["connections"] >= 1
    assert told["resident_bytes"] > told["record_bytes"] > 0 and told["log_bytes"] > 0
    assert told["journal"]["batches_per_second"] == 0 and told["settlement_lag_seconds"] >= 0
    _, out, _ = run("top", "--server", f"http://127.0.0.1:{weir.port}")
    assert "test clock at 2026-05-01" in out


# ---- the live screen -----------------------------------------------------------------------------

class Screen:
    """A pseudo-terminal with `weir top` on it."""

    def __init__(self, url, rows=40, columns=100):
        self.parent, self.child = pty.openpty()
        self.before = termios.tcgetattr(self.child)
        self.size(rows, columns)
        self.written = ""
        settings = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        self.process = subprocess.Popen(
            [find_binary(), "top", "--server", url], stdin=self.child, stdout=self.child,
            stderr=self.child, env={**settings, "TERM": "xterm"}, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def size(self, rows, columns):
        fcntl.ioctl(self.child, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, is_there):
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while not is_there(self.written) and time.monotonic() < deadline:
            if select.select([self.parent], [], [], 0.1)[0]:
                self.written += os.read(self.parent, 65536).decode()
        assert is_there(self.written), self.written[-2000:]

    def end(self):
        """Its exit status, once all it wrote is read."""
        self.read_until(lambda written: written.endswith("\x1b[?1049l"))
        status = self.process.wait(timeout=GIVE_UP_SECONDS)
        assert termios.tcgetattr(self.child) == self.before, "the terminal is as it was"
        return status

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        os.close(self.parent)
        os.close(self.child)


@pytest.fixture
def screen(told):
    made = Screen(told.url)
    yield made
    made.close()


def frames(written):
    return written.split("\x1b[H")[1:]


def is_live(written):
    return len(frames(written)) >= 4 and "per second" in frames(written)[-2]


def test_the_screen_is_redrawn_and_given_back_at_q(screen):
    screen.read_until(is_live)
    assert screen.written.startswith("\x1b[?1049h\x1b[?25l")
    assert "\x1b[32m" in screen.written
    os.write(screen.parent, b"q")
    assert screen.end() == 0
    assert "\x1b[?25h\x1b[?1049l" in screen.written


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
                         ids=lambda number: number.name)
def test_the_screen_is_given_back_whatever_ends_it(screen, number):
    screen.read_until(is_live)
    screen.process.send_signal(number)
    assert screen.end() == 0


def test_control_c_is_an_end(screen):
    screen.read_until(is_live)
    os.write(screen.parent, b"\x03")
    assert screen.end() == 0


def test_a_frame_fits_the_screen_and_follows_its_size(screen):
    screen.read_until(is_live)
    screen.size(12, 50)
    drawn = len(frames(screen.written))
    screen.process.send_signal(signal.SIGWINCH)
    screen.read_until(lambda written: len(frames(written)) >= drawn + 2)
    small = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", frames(screen.written)[-2]).split("\r\n")
    assert len(small) == 12 and max(map(len, small)) <= 50, small


def lines_of(frame):
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", frame).split("\r\n")


@pytest.mark.parametrize("crowd", [0, 1, 9])
def test_on_the_default_terminal_every_part_has_its_lines_and_no_column_is_cut(told, crowd):
    told.crowd = crowd
    screen = Screen(told.url, rows=24, columns=80)
    screen.read_until(is_live)
    lines = lines_of(frames(screen.written)[-2])
    screen.close()
    shown = "\n".join(lines)
    assert len(lines) <= 24 and lines[-1] == "q: leave", shown
    assert max(map(len, lines)) <= 80, shown
    heads = {line.split()[0].strip(","): line for line in lines if line and line[0].isupper()}
    assert set(heads) == {"Decisions", "Latency", "Server", "Features", "Customers"}, shown
    assert heads["Decisions"].endswith("since start") and "[#" in shown, shown
    assert re.search(r"^  allow .*\] +\d+$", shown, re.MULTILINE), shown
    assert re.search(r"^    rate_limited +\S+ +\d+$", shown, re.MULTILINE), shown
    for part in ("key_room_short", "journal", "settlement", "chat", "big?[31m", "credits"):
        assert part in shown, shown


def test_a_server_that_went_away_is_shown_and_not_the_end_of_it(told, screen):
    screen.read_until(is_live)
    told.server_close()
    told.shutdown()
    screen.read_until(lambda written: "nobody answers" in written)
    os.write(screen.parent, b"q")
    assert screen.end() == 0


def test_once_on_a_terminal_is_no_screen(told):
    out = on_terminal(["top", "--once", "--server", told.url])
    assert "\x1b[?1049h" not in out and "Decisions" in out
    assert re.search(r"^\x1b\[32m  allow .* \[#{17,18}\.{6,7}\] +160\x1b\[0m", out, re.MULTILINE), out

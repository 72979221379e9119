"""A client and a harness for the real `weir serve`, for the black-box suite.

The suite knows the contract only (the wire, the policy file, the numbered rules); it never looks
inside. Three things live here: the server as a process, the client as one keep-alive connection per
thread, and a customer as the tests speak of one. What the contract leaves open is decided in one
place, the section ASSUMPTIONS below, so that a change of mind is one edit.
"""

import http.client
import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
from datetime import datetime, timedelta, timezone
from decimal import Decimal

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
NANO = 10**9
INTEGER_MAX = 2**53 - 1
START = "2026-05-01T12:00:00Z"
READY_SECONDS_MAX = 30
STOP_SECONDS_MAX = 20
ANSWER_SECONDS_MAX = 30

# The codes of API.md section 3, and those of them that carry Retry-After.
HTTP_STATUS = {
    "ok": 200, "not_entitled": 403, "suspended": 403, "rate_limited": 429,
    "concurrency_limited": 429, "budget_reached": 402, "temporary_reduced_capacity": 503,
    "abnormal_usage": 429, "allowance_exhausted": 429, "credits_need_consent": 402,
    "insufficient_credits": 402, "overage_cap_reached": 402, "indivisible": 402,
}
RETRYABLE = {"rate_limited", "temporary_reduced_capacity", "abnormal_usage", "allowance_exhausted"}


# ---- ASSUMPTIONS ---------------------------------------------------------------------------------
# What the contract does not fix and a test cannot do without.

def batch_results(body):
    """A batch answers {"results": [...]} in order; an item is the answer itself or wraps it."""
    return [item.get("result") or item.get("problem") or item for item in body["results"]]


def hold_state(body):
    """A release says the state as a decision does, or at the top."""
    return body["hold"]["state"] if "hold" in body else body["state"]


def names_source(reason, name):
    """`limit` is the source's name, perhaps with the window's after it."""
    return str(reason["limit"]).startswith(name)


def grants_of(balance):
    """`grants` of a balance is a list of objects with `grant_id` and `remaining`."""
    return {grant["grant_id"]: grant["remaining"] for grant in balance["grants"]}


SCOPE_LEVEL_1 = "{level: 1}"                # the YAML of "scope: level N"
SCOPE_LEVEL_2 = "{level: 2}"
POLICY_TYPE = "application/yaml"            # what PUT /v1/policy is sent as
SHAPE_OR_VALUE = (400, 422)                 # A3 does not say whether 2^53 and 1.5 are shape or value
STRANGER_REFUSED = (403, 404, 422)          # "omit to refuse strangers"
CLOCK_BACKWARD = (400, 409, 422)            # the test clock moves forward only
CLOCK_ABSENT = (403, 404, 405, 409, 422)    # /v1/clock without --test-clock
BEYOND_CHARGE = range(200, 500)             # a refund over the charge: refused or cut, never paid
POLICY_REFUSED = (400, 422)                 # PUT /v1/policy with mistakes in it
HOLD_ENDED = (409,)                         # extend of an ended hold, by analogy with H6


# ---- time and money ------------------------------------------------------------------------------

def to_ms(text):
    """RFC 3339 UTC to milliseconds, in integers."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", text)
    assert match, f"not an RFC 3339 UTC time: {text!r}"
    whole = datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    seconds = (whole - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(seconds=1)
    return seconds * 1000 + int(((match[2] or "") + "000")[:3])


def to_text(ms):
    whole = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=ms)
    return whole.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def nano(credits):
    """A credit string to nano-credits; more than nine decimals is an error of the server."""
    assert isinstance(credits, str), f"credits must be a string: {credits!r}"
    scaled = Decimal(credits) * NANO
    assert scaled == int(scaled), f"more than nine decimals: {credits}"
    return int(scaled)


def shortest(nanos):
    """Nano-credits in the one spelling that A2 allows."""
    sign, nanos = ("-", -nanos) if nanos < 0 else ("", nanos)
    return sign + f"{nanos // NANO}.{nanos % NANO:09d}".rstrip("0").rstrip(".")


# ---- the server as a process ---------------------------------------------------------------------

def find_binary():
    chosen = os.environ.get("WEIR_BIN")
    root = pathlib.Path(__file__).resolve().parents[2]
    places = [pathlib.Path(chosen)] if chosen else [
        root / "build" / "weir", root / "build" / "src" / "main" / "weir"]
    for place in places:
        if place.is_file():
            return str(place.resolve())
    raise AssertionError("no weir binary; build it or set WEIR_BIN (looked at: "
                         + ", ".join(map(str, places)) + ")")


def run(*arguments, timeout=30, **options):
    """A short-lived command; answers (exit status, stdout, stderr)."""
    done = subprocess.run([find_binary(), *map(str, arguments)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                          text=True, errors="replace", check=False, **options)
    return done.returncode, done.stdout, done.stderr


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class StartFailed(AssertionError):
    """The process ended, or was never ready; carries its exit status and stderr."""

    def __init__(self, status, stderr):
        super().__init__(f"weir serve ended with {status}:\n{stderr}")
        self.status, self.stderr = status, stderr


class Server:
    """One `weir serve`, restartable on its data directory."""

    running = []        # for showing stderr when a test fails
    _other_ports = None

    def __init__(self, place, policy, clock=START, arguments=()):
        self.place = pathlib.Path(place)
        self.data = self.place / "data"
        self.policy_file = self.place / "policy.yaml"
        self.stderr_file = self.place / "stderr.txt"
        self.place.mkdir(parents=True, exist_ok=True)
        self.data.mkdir(exist_ok=True)
        self.policy_file.write_text(policy)
        self.clocked, self.now = clock is not None, to_ms(clock) if clock else None
        self.arguments = list(arguments)
        self.process = self.port = self.resp_port = self.client = None

    @classmethod
    def other_ports(cls, arguments=()):
        """Options that keep the other front ends off their default ports, unless they are given."""
        if cls._other_ports is None:
            text = "".join(run("serve", "--help")[1:])
            cls._other_ports = [name for name in ("--resp", "--grpc") if name in text]
        return [word for name in cls._other_ports if name not in arguments
                for word in (name, f"127.0.0.1:{free_port()}")]

    def spawn(self):
        """Start the process and return at once."""
        self.port = free_port()
        others = self.other_ports(self.arguments)
        self.resp_port = None
        if "--resp" in others:
            self.resp_port = int(others[others.index("--resp") + 1].rsplit(":", 1)[1])
        command = [find_binary(), "serve", "--data", str(self.data), "--policy",
                   str(self.policy_file), "--http", f"127.0.0.1:{self.port}",
                   *others, *self.arguments]
        if self.clocked:
            command += ["--test-clock", to_text(self.now)]
        with open(self.stderr_file, "ab") as stderr:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stderr,
                                            stderr=stderr)
        self.client = Client(self.port)
        Server.running.append(self)
        return self

    def wait_ready(self):
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                status = self.process.returncode
                self.forget()
                raise StartFailed(status, self.stderr())
            try:
                if self.client.get("/readyz").status == 200:
                    return self
            except (OSError, http.client.HTTPException):
                self.client.close()
            time.sleep(0.01)
        self.kill()
        raise StartFailed("no readiness", self.stderr())

    def start(self):
        for attempt in range(3):
            try:
                return self.spawn().wait_ready()
            except StartFailed as failure:
                # Somebody took the free port in between.
                if attempt == 2 or "in use" not in failure.stderr.lower():
                    raise
        raise AssertionError("unreachable")

    def stop(self):
        """SIGTERM and a bounded wait; answers the exit status."""
        if not self.process or self.process.poll() is not None:
            self.forget()
            return self.process.returncode if self.process else None
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("SIGTERM did not end the server:\n" + self.stderr()) from None
        self.forget()
        return status

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait(STOP_SECONDS_MAX)
        self.forget()

    def restart(self, policy=None, hard=False):
        if hard:
            self.kill()
        else:
            self.stop()
        if policy is not None:
            self.policy_file.write_text(policy)
        return self.start()

    def forget(self):
        if self.client:
            self.client.close()
        if self in Server.running:
            Server.running.remove(self)

    def stderr(self):
        try:
            return self.stderr_file.read_text(errors="replace")[-8000:]
        except FileNotFoundError:
            return ""

    # -- calls that belong to no customer

    def advance(self, ms):
        return self._clock({"advance_ms": ms})

    def go_to(self, moment, offset_ms=0):
        """Move the test clock to an RFC 3339 time (or milliseconds), plus an offset."""
        target = (to_ms(moment) if isinstance(moment, str) else moment) + offset_ms
        return self._clock({"now": to_text(target)}) if target != self.now else self.now

    def _clock(self, body):
        answer = expect(self.client.post("/v1/clock", body))
        self.now = to_ms(answer["now"])
        return self.now

    def put_policy(self, text):
        return self.client.request("PUT", "/v1/policy", raw=text.encode(),
                                   content_type=POLICY_TYPE)

    def batch(self, operations):
        return self.client.post("/v1/batch", {"operations": operations})

    def __getattr__(self, name):
        # post, get, put and request of the client, so that tests say weir.post(...).
        if name in ("post", "get", "put", "request"):
            return getattr(self.client, name)
        raise AttributeError(name)


# ---- the client ----------------------------------------------------------------------------------

class Answer(tuple):
    """(status, parsed body), with the bytes and headers at hand."""

    def __new__(cls, status, body, raw, headers):
        self = super().__new__(cls, (status, body))
        self.status, self.body, self.raw, self.headers = status, body, raw, headers
        return self

    @property
    def content_type(self):
        return self.headers.get("Content-Type", "")


class Client:
    """One keep-alive connection per thread to one server."""

    def __init__(self, port):
        self.port, self.local, self.lock, self.all = port, threading.local(), threading.Lock(), []

    def connection(self):
        connection = getattr(self.local, "connection", None)
        # Readable before we have asked anything means that the server has closed it: sending on it
        # would leave us in doubt whether the request was read.
        if connection and connection.sock and select.select([connection.sock], [], [], 0)[0]:
            connection.close()
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                    timeout=ANSWER_SECONDS_MAX)
            self.local.connection = connection
            with self.lock:
                self.all.append(connection)
        if connection.sock is None:
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def close(self):
        with self.lock:
            for connection in self.all:
                connection.close()

    def request(self, method, path, body=None, raw=None, headers=None,
                content_type="application/json"):
        payload = raw if raw is not None else (
            None if body is None else json.dumps(body, ensure_ascii=False).encode())
        sent = dict(headers or {})
        if payload is not None and content_type:
            sent.setdefault("Content-Type", content_type)
        connection = self.connection()
        try:
            connection.request(method, path, body=payload, headers=sent)
            response = connection.getresponse()
            received = response.read()
        except BaseException:
            connection.close()
            raise
        return Answer(response.status, parse(received), received, response.headers)

    def get(self, path):
        return self.request("GET", path)

    def put(self, path, body):
        return self.request("PUT", path, body)

    def post(self, path, body=None, **options):
        return self.request("POST", path, {} if body is None else body, **options)


def parse(received):
    try:
        return json.loads(received)
    except ValueError:
        return None


# ---- expectations --------------------------------------------------------------------------------

def expect(answer, statuses=range(200, 300)):
    assert answer.status in statuses, f"{answer.status}: {answer.raw!r}"
    return answer.body


def decided(answer):
    """A decision is a 200 whatever its outcome, and says so in the fields of API.md section 3."""
    assert answer.status == 200, f"{answer.status}: {answer.raw!r}"
    assert answer.content_type.startswith("application/json"), answer.content_type
    assert {"decision_id", "outcome", "units", "allocations", "reason", "http"} <= set(answer.body)
    return answer.body


def allowed(answer):
    body = decided(answer)
    assert body["outcome"] == "allow", body
    assert body["reason"]["code"] == "ok" and body["http"]["status"] == 200, body
    return body


def partial(answer, units):
    body = decided(answer)
    assert (body["outcome"], body["units"]["allowed"]) == ("partial", units), body
    assert body["reason"]["code"] == "ok" and body["http"]["status"] == 200, body
    return body


def denied(answer, code):
    """A denial with this code; answers its reason. Retry-After and retry_after_ms are S8's."""
    body = decided(answer)
    assert (body["outcome"], body["reason"]["code"]) == ("deny", code), body
    assert body["units"]["allowed"] == 0 and body["allocations"] == [], body
    assert body["http"]["status"] == HTTP_STATUS[code], body
    wait = body["reason"].get("retry_after_ms")
    header = {name.lower(): value for name, value in body["http"].get("headers", {}).items()}
    if code in RETRYABLE and wait is not None:
        assert wait > 0, body
        assert header.get("retry-after") == str(-(-wait // 1000)), body
    else:
        assert wait is None and "retry-after" not in header, body
    return body["reason"]


def problem(answer, statuses, mentions=()):
    """An RFC 9457 problem of one of these statuses whose detail mentions each of these words."""
    statuses = (statuses,) if isinstance(statuses, int) else statuses
    assert answer.status in statuses, f"{answer.status}, not {statuses}: {answer.raw!r}"
    assert answer.content_type.startswith("application/problem+json"), answer.content_type
    body = answer.body
    for field in ("type", "title", "detail", "code"):
        assert isinstance(body.get(field), str) and body[field], (field, body)
    assert body["status"] == answer.status, body
    assert re.fullmatch(r"[a-z][a-z0-9_]*", body["code"]), body
    for word in (mentions,) if isinstance(mentions, str) else mentions:
        assert word in body["detail"], f"{word!r} is not named in {body['detail']!r}"
    return body


def lines(body):
    """The allocations as (source, units, charged)."""
    return [(line["source"], line["units"], line["charged"]) for line in body["allocations"]]


def units_by_source(body):
    sums = {}
    for line in body["allocations"]:
        sums[line["source"]] = sums.get(line["source"], 0) + line["units"]
    return sums


def charged_nanos(body):
    """The charge, which is the sum of its lines."""
    total = sum(nano(line["charged"]) for line in body["allocations"])
    assert nano(body["charged"]) == total, body
    return total


# ---- a customer ----------------------------------------------------------------------------------

METER_OF = {"video": "seconds", "clip": "seconds", "fine": "tokens"}


def quote(text):
    return urllib.parse.quote(text, safe="")


class Customer:
    """One customer as a test uses it. `put` repeats all settings, as a PUT does."""

    def __init__(self, weir, name, **settings):
        self.weir, self.name, self.settings, self.features = weir, name, {}, {}
        self.path = f"/v1/customers/{quote(name)}"
        if settings:
            self.put(**settings)

    def put(self, **changes):
        self.settings.update(changes)
        return expect(self.weir.put(self.path, self.settings))

    def body(self, amount, feature, fields):
        quantities = amount if isinstance(amount, dict) else {
            METER_OF.get(feature, "requests"): amount}
        return {"customer": self.name, "feature": feature, "quantities": quantities, **fields}

    def _ask(self, call, amount, feature, fields):
        answer = self.weir.post(f"/v1/{call}", self.body(amount, feature, fields))
        if answer.status == 200 and answer.body.get("decision_id"):
            self.features[answer.body["decision_id"]] = feature
        return answer

    def authorize(self, amount=1, feature="chat", **fields):
        return self._ask("authorize", amount, feature, fields)

    def consume(self, amount=1, feature="chat", **fields):
        return self._ask("consume", amount, feature, fields)

    def check(self, amount=1, feature="chat", **fields):
        return self._ask("check", amount, feature, fields)

    def hold(self, amount=1, feature="chat", **fields):
        """An authorize that must pass; answers the decision id."""
        return allowed(self.authorize(amount, feature, **fields))["decision_id"]

    def _quantities(self, decision, amount):
        return amount if isinstance(amount, dict) else {
            METER_OF.get(self.features.get(decision), "requests"): amount}

    def commit(self, decision, amount, **fields):
        return self.weir.post(f"/v1/holds/{decision}/commit",
                              {"quantities": self._quantities(decision, amount), **fields})

    def release(self, decision):
        return self.weir.post(f"/v1/holds/{decision}/release", {})

    def extend(self, decision, amount, **fields):
        return self.weir.post(f"/v1/holds/{decision}/extend",
                              {"quantities": self._quantities(decision, amount), **fields})

    def post_grant(self, credits, category="paid", **fields):
        return self.weir.post(f"{self.path}/grants",
                              {"category": category, "credits": credits, **fields})

    def grant(self, credits, category="paid", **fields):
        return expect(self.post_grant(credits, category, **fields))["grant_id"]

    def void(self, grant_id):
        return self.weir.post(f"/v1/grants/{grant_id}/void", {})

    def refund(self, decision, **fields):
        return self.weir.post(f"/v1/decisions/{decision}/refund", {"reason": "test", **fields})

    def reset(self, limit="included", **fields):
        return self.weir.post(f"{self.path}/resets", {"limit": limit, **fields})

    def usage(self, amount, feature="chat", **fields):
        return self.weir.post("/v1/usage", self.body(amount, feature, fields))

    def balance(self):
        return expect(self.weir.get(f"{self.path}/balance"), (200,))

    def available(self):
        return self.balance()["available"]

    def held(self):
        return self.balance()["held"]

    def funds(self):
        """(available, held) in one reading."""
        balance = self.balance()
        return balance["available"], balance["held"]

    def remaining(self, grant_id):
        return grants_of(self.balance()).get(grant_id, "0")

    def room(self, feature="chat", **fields):
        """How many units the next request could have, asked without changing anything."""
        body = decided(self.check(10**6, feature, min_units=1, **fields))
        return body["units"]["allowed"]

    def fingerprint(self, feature="chat"):
        """All of the customer's state that can be seen without changing it."""
        check = self.check(1, feature, explain=True)
        balance = self.balance()
        for number in ("settled", "pending"):   # how far the books are is no state of the customer's
            del balance[number]
        settings = self.weir.get(self.path)
        settings.body.pop("request_id", None)   # of a customer not seen yet, the problem's
        return settings.body, balance, check.raw

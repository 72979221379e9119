"""`weir status` for eyes: all four numbers of a balance, windows as bars, when they come back by the
server's clock and by this machine's, and how long the credits last at the pace of late."""

import json
import os
import re
import time

from policies import policy
from test_help import on_terminal
from weir_client import DAY, HOUR, MINUTE, run

POLICY = policy("""
base:
  tier: 1
  features:
    chat:
      gates: [{concurrency: {name: in-flight, limit: 4}}]
      waterfall:
        - allowance: {name: free, windows: [{limit: 10, per: 5h, start: first_use}]}
        - grants: {category: promotional}
        - grants: {category: paid}
    video: {waterfall: [{grants: {category: paid}}]}
""")
UTC = {**os.environ, "TZ": "UTC"}


def shown(weir, customer, *words, **options):
    status, out, err = run("status", customer.name, "--server", f"http://127.0.0.1:{weir.port}",
                           *words, env=UTC, **options)
    assert status == 0, err
    return out


def on_screen(weir, customer, *words):
    """As a wide terminal without colours has it."""
    return on_terminal(["status", customer.name, "--server", f"http://127.0.0.1:{weir.port}",
                        "--color=never", *words], 130, TZ="UTC").replace("\r\n", "\n")


def section(out, title):
    return re.search(rf"^{title}.*\n((?:  .*\n)+)", out, re.MULTILINE)[1]


def numbers(out):
    return dict(re.findall(r"^  (\w+) +(\S+)", section(out, "Credits"), re.MULTILINE))


def settled(weir):
    """Until the books have all that is durable."""
    def behind():
        health = weir.get("/healthz").body
        return health["settlement"]["sequence"] < health["journal"]["sequence"]
    while behind():
        time.sleep(0.01)    # between two looks


def test_all_four_numbers_of_a_balance_are_shown(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir)
    customer.grant("20")
    customer.authorize(12, ttl_ms=HOUR)
    settled(weir)       # so that nothing moves between the two looks
    out = shown(weir, customer)
    balance = weir.get(f"{customer.path}/balance").body
    assert numbers(out) == {name: balance[name]
                            for name in ("settled", "pending", "held", "available")}
    assert numbers(out)["held"] == "2" and numbers(out)["available"] == "18"


def test_windows_are_bars_and_come_back_by_both_clocks(fresh, new_customer):
    weir = fresh()      # stands at 12:00 UTC
    customer = new_customer(weir)
    customer.consume(5)
    weir.advance(30 * MINUTE)
    free = [line for line in on_screen(weir, customer, "--feature", "chat").splitlines()
            if line.startswith("  free")]
    assert len(free) == 1
    assert "[##########..........]   5 of 10" in free[0]
    assert free[0].endswith("resets in 4 h 30 min (17:00)")
    in_a_pipe = shown(weir, customer, "--feature", "chat")
    assert re.search(r"free +allowance +5h +5 of 10 +resets in 4 h 30 min", in_a_pipe), in_a_pipe
    assert "[#" not in in_a_pipe


def test_grants_tell_what_is_left_and_when_they_end(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir)
    customer.grant("8", expires_at="2026-05-03T12:00:00Z")
    customer.consume(12)
    out = section(on_screen(weir, customer), "Grants")
    assert re.search(r"paid +g_\w+ +\[#{15}\.{5}\] +6 of 8 +ends in 2 d 0 h \(Sun 12:00\)", out), out


def test_the_runway_is_what_is_available_over_what_was_charged(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir)
    customer.grant("30")
    customer.consume(15)        # 10 are free, 5 paid
    weir.advance(2 * HOUR)
    customer.consume(1)
    settled(weir)
    out = section(shown(weir, customer), "Runway")
    assert re.search(r"the last hour +1 credit +1 d 0 h, until Sat 14:00", out), out
    assert re.search(r"the last day +6 credits +4 d 0 h, until Tue 14:00", out), out
    assert "but" not in out


def test_a_runway_says_what_ends_before_it_does(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir)
    customer.grant("20", expires_at="2026-05-02T12:00:00Z")
    customer.grant("20", category="promotional")
    customer.consume(11)
    settled(weir)
    out = section(shown(weir, customer), "Runway")
    assert re.search(r"the last hour +1 credit +1 d 15 h, until Sun 03:00\n"
                     r" +but 20 of them end before that", out), out


def test_without_a_charge_or_without_credits_the_runway_is_not_invented(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir)
    customer.put(plan="base")
    assert section(shown(weir, customer), "Runway").count("no credits are left") == 2
    customer.grant("5")
    assert section(shown(weir, customer), "Runway").count("unknown: nothing was charged") == 2
    customer.consume(11)
    weir.advance(2 * DAY)
    settled(weir)
    assert section(shown(weir, customer), "Runway").count("unknown: nothing was charged") == 2


def test_a_narrow_terminal_is_not_overrun(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir)
    customer.grant("20")
    customer.consume(12)
    words = ["status", customer.name, "--server", f"http://127.0.0.1:{weir.port}"]
    for columns in (120, 80, 60):
        out = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(words, columns, TZ="UTC"))
        assert max(len(line.rstrip()) for line in out.splitlines()) <= columns, out
        assert ("#" in out) == (columns > 60) and "resets in 5 h" in out, out


def test_what_comes_of_grants_says_so(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir)
    customer.grant("50")
    assert re.search(r"^  paid +grants +50 from credits$", shown(weir, customer), re.MULTILINE)


def test_who_was_not_seen_yet_has_the_limits_of_the_default_plan(fresh):
    weir = fresh()
    status, out, err = run("status", "nobody", "--server", f"http://127.0.0.1:{weir.port}")
    assert (status, err) == (0, "")
    assert out.startswith("nobody  not seen yet, no balance: the default plan's limits\n"), out
    assert "10 of 10" in out and "Credits" not in out and "Runway" not in out, out
    assert weir.get("/v1/customers/nobody").status == 404, "a look makes nobody known"


def test_who_may_not_have_a_plan_is_no_customer(fresh):
    weir = fresh(policy=POLICY.replace("  plan: base\n", ""))
    status, out, err = run("status", "nobody", "--server", f"http://127.0.0.1:{weir.port}")
    assert status == 1 and out == "" and "customer" in err, err


def test_where_nothing_takes_credits_there_is_no_runway(fresh, new_customer):
    weir = fresh(policy=policy("base: {tier: 1, features: {chat: {waterfall: [{unlimited: {}}]}}}"))
    customer = new_customer(weir)
    customer.put(plan="base")
    assert "Runway" not in shown(weir, customer) and "unlimited" in shown(weir, customer)
    customer.grant("5")
    assert "unknown: nothing was charged" in section(shown(weir, customer), "Runway")


def test_colours_say_what_is_used_up(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir)
    customer.consume(10)
    words = ["status", customer.name, "--server", f"http://127.0.0.1:{weir.port}"]
    red = re.findall(r"\x1b\[31m(.*?)\x1b\[0m", on_terminal(words, 120))
    assert any("free" in line and "0 of 10" in line for line in red), red


def test_json_has_what_the_server_answers_and_the_runway(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir)
    customer.grant("30", expires_at="2026-05-02T12:00:00Z")
    customer.consume(15)        # 10 are free, 5 paid
    weir.advance(2 * HOUR)
    customer.consume(1)
    settled(weir)
    told = json.loads(shown(weir, customer, "--json"))
    assert told["customer"] == customer.name and told["now"] == "2026-05-01T14:00:00Z"
    assert weir.get(f"{customer.path}/status").body.items() <= told.items()
    assert told["settings"] == weir.get(customer.path).body
    assert told["wallet"] == weir.get(f"{customer.path}/balance").body
    assert told["wallet"]["settled"] == "24" and told["wallet"]["pending"] == "0"
    assert told["books_behind_ms"] == 0
    assert told["runway"] == [
        {"span_ms": HOUR, "charged": "1", "lasts_ms": 24 * HOUR, "until": "2026-05-02T14:00:00Z",
         "ending_before": "24", "why": None},
        {"span_ms": DAY, "charged": "6", "lasts_ms": 4 * DAY, "until": "2026-05-05T14:00:00Z",
         "ending_before": "24", "why": None}]


def test_json_says_why_there_is_no_runway_and_of_a_stranger_that_he_is_one(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir)
    stranger = json.loads(shown(weir, customer, "--json"))
    assert stranger["settings"] is None and stranger["wallet"] is None
    assert stranger["runway"] == [] and stranger["allowed"]
    customer.put(plan="base")
    empty = json.loads(shown(weir, customer, "--json"))["runway"]
    assert [pace["why"] for pace in empty] == ["no credits are left"] * 2
    customer.grant("5")
    idle = json.loads(shown(weir, customer, "--json"))["runway"]
    assert [(pace["charged"], pace["lasts_ms"], pace["why"]) for pace in idle] == \
        [("0", None, "nothing was charged")] * 2

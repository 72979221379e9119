"""The policy file: what is refused and how it is said; and what a change of policy does and does not
touch (SEMANTICS P1 is in test_restart.py; P2, W2, W3, W4, G4, U1, U6, H3, A6 here)."""

import json
import re

import pytest

from policies import FEATURES, PRICES, policy
from weir_client import (HOUR, MINUTE, POLICY_REFUSED, SECOND, allowed, denied, expect, lines, problem,
                         run, units_by_source)

# One value per line, so that every mistake below has a line of its own.
VALID = """\
version: 1
defaults:
  plan: free
  hold_ttl: 60s
  idempotency_retention: 24h
  on_failure: none
  overshoot: refund
features:
  chat:
    meters: [requests]
    unit: requests
    divisible: true
    prices: chat
  codex:
    meters: [requests, input_tokens]
    unit: cost
    divisible: true
    prices: codex
prices:
  chat:
    - name: message
      rates:
        requests: {credits: "1", per: 1}
  codex:
    - name: gpt
      match: {model: gpt}
      rates:
        input_tokens: {credits: "125", per: 1000000}
    - name: default
      rates:
        input_tokens: {credits: "62.5", per: 1000000}
plans:
  free:
    tier: 1
    features:
      chat:
        gates:
          - rate:
              name: pace
              meter: requests
              limit: 60
              per: 1m
              burst: 20
              scope: subject
          - concurrency: {name: in-flight, limit: 8, scope: subject}
          - budget: {name: cap, credits: "5", per: month, start: calendar, scope: customer}
        waterfall:
          - allowance:
              name: included
              scope: customer
              windows:
                - {limit: 10, per: 5h, start: first_use}
          - grants:
              category: promotional
          - grants: {category: paid}
          - overage:
              name: extra
              credits: "50"
              per: month
              start: calendar
      codex:
        waterfall:
          - allowance:
              name: included
              scope: customer
              windows:
                - {credits: "20", per: 5h, start: first_use}
          - grants: {category: paid}
    recurring:
      - grant:
          name: monthly
          category: entitlement
          credits: "100"
          per: month
          start: anchor
          rollover_max: "50"
"""

# name -> (the line as it is, the line as it must not be, words of the message; a tuple: one of these)
MISTAKES = {
    "a misspelt key": ("        waterfall:", "        waterfal:", ["waterfal", "waterfall"]),
    "a misspelt key at the top": ("features:", "featurs:", ["featurs", "features"]),
    "a misspelt default": ("  hold_ttl: 60s", "  hold_tll: 60s", ["hold_tll", "hold_ttl"]),
    "a misspelt gate": ("          - rate:", "          - rates:", ["rates", "rate"]),
    "a misspelt source": ("          - allowance:", "          - alowance:", ["alowance", "allowance"]),
    "a key nobody knows": ("              burst: 20", "              colour: 20", ["colour"]),
    "another version": ("version: 1", "version: 2", [("2", "version")]),
    "a version that is none": ("version: 1", "version: one", [("one", "version")]),
    "a plan that is not there": ("  plan: free", "  plan: gratis", ["gratis"]),
    "a duration without a unit": ("  hold_ttl: 60s", "  hold_ttl: 60", ["60"]),
    "a duration that is none": ("  hold_ttl: 60s", "  hold_ttl: 60x", ["60x"]),
    "a negative duration": ("  hold_ttl: 60s", "  hold_ttl: -60s", [("-60s", "hold_ttl")]),
    "a word outside its set": ("  on_failure: none", "  on_failure: never", ["never"]),
    "another word outside its set": ("  overshoot: refund", "  overshoot: forgive", ["forgive"]),
    "a unit that is no meter": ("    unit: requests", "    unit: seconds", ["seconds"]),
    "a price book that is not there": ("    prices: chat", "    prices: chta", ["chta"]),
    "a boolean that is none": ("    divisible: true", "    divisible: perhaps", ["perhaps"]),
    "U1: a meter that is not the unit": (
        '        requests: {credits: "1", per: 1}', '        seconds: {credits: "1", per: 1}', ["seconds"]),
    "credits with ten decimals": ('        requests: {credits: "1", per: 1}',
                                  '        requests: {credits: "0.0000000001", per: 1}',
                                  ["0.0000000001"]),
    "negative credits": ('        requests: {credits: "1", per: 1}',
                         '        requests: {credits: "-1", per: 1}', [("-1", "credits")]),
    "a rate per nothing": ('        requests: {credits: "1", per: 1}',
                           '        requests: {credits: "1", per: 0}', [("per", "0")]),
    "a negative limit": ("              limit: 60", "              limit: -60", [("-60", "limit")]),
    "a limit beyond 2^53 - 1": ("              limit: 60", "              limit: 9007199254740992",
                                ["9007199254740992"]),
    "a limit that is no number": ("              limit: 60", "              limit: lots", ["lots"]),
    "a gate on a meter of no feature": ("              meter: requests", "              meter: furlongs",
                                        ["furlongs"]),
    "a scope that is none": ("              scope: subject", "              scope: galaxy", ["galaxy"]),
    "a category that is none": ("              category: promotional",
                                "              category: promotionl", ["promotionl"]),
    "a period with the wrong start": ("                - {limit: 10, per: 5h, start: first_use}",
                                      "                - {limit: 10, per: 5h, start: calendar}",
                                      [("5h", "calendar")]),
    "a start with the wrong period": ("                - {limit: 10, per: 5h, start: first_use}",
                                      "                - {limit: 10, per: day, start: first_use}",
                                      [("day", "first_use")]),
    "credits where units are counted": ("                - {limit: 10, per: 5h, start: first_use}",
                                        '                - {credits: "1", per: 5h, start: first_use}',
                                        ["credits"]),
    "a key given twice": ("              start: calendar", "              credits: \"60\"", ["credits"]),
    "a scalar for a list": ("    meters: [requests]", "    meters: requests", []),
    "a list for a mapping": ("      match: {model: gpt}", "      match: [model, gpt]", []),
    "a bracket left open": ("    meters: [requests]", "    meters: [requests", []),
    "a tab": ("    unit: requests", "\tunit: requests", []),
}
MESSAGE = r"^{}:(\d+):(\d+): (.+)$"


def spoil(original, spoiled, text=VALID):
    """The text with that line (its first occurrence) spoiled, and the line's number."""
    rows = text.split("\n")
    place = rows.index(original)
    rows[place] = spoiled
    return "\n".join(rows), place + 1


def check(tmp_path, text):
    """`weir policy check`: (exit status, [(line, column, message)], everything it said)."""
    path = tmp_path / "policy.yaml"
    if isinstance(text, bytes):
        path.write_bytes(text)
    else:
        path.write_text(text)
    status, out, err = run("policy", "check", path)
    found = re.findall(MESSAGE.format(re.escape(str(path))), out + err, re.M)
    return status, [(int(line), int(column), said) for line, column, said in found], out + err


# ---- weir policy check ---------------------------------------------------------------------------

def test_a_policy_without_mistakes_passes_in_silence_or_praise(tmp_path):
    assert check(tmp_path, VALID)[:2] == (0, [])
    assert check(tmp_path, policy("base: {tier: 1, features: {chat: {waterfall: [{unlimited: {}}]}}}"
                                  ))[:2] == (0, [])


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found_where_it_is(tmp_path, name):
    original, spoiled, words = MISTAKES[name]
    text, line = spoil(original, spoiled)
    status, found, said = check(tmp_path, text)
    assert status == 1, said
    assert found, said
    if "bracket" not in name and "tab" not in name:     # where a torn file ends is YAML's to say
        messages = [message for at, _, message in found if at == line]
        assert messages, f"nothing about line {line}:\n{said}"
        for word in words:
            choice = (word,) if isinstance(word, str) else word
            assert any(one in message for one in choice for message in messages), (word, messages)
    assert all(1 <= at <= text.count("\n") + 2 and column >= 1 for at, column, _ in found), said


@pytest.mark.parametrize("name, key", [
    ("a misspelt key", "waterfal"), ("a misspelt default", "hold_tll"),
    ("a key nobody knows", "colour"), ("a misspelt key at the top", "featurs")])
def test_the_column_is_that_of_the_key(tmp_path, name, key):
    text, line = spoil(*MISTAKES[name][:2])
    _, found, said = check(tmp_path, text)
    column = text.split("\n")[line - 1].index(key) + 1
    assert (line, column) in [(at, col) for at, col, _ in found], said


def test_all_mistakes_are_told_at_once(tmp_path):
    text, wanted = VALID, []
    for name in ("a misspelt default", "a word outside its set", "a gate on a meter of no feature",
                 "a category that is none", "a negative limit"):
        text, line = spoil(*MISTAKES[name][:2], text=text)
        wanted.append(line)
    status, found, said = check(tmp_path, text)
    assert status == 1
    assert set(wanted) <= {line for line, _, _ in found}, said


@pytest.mark.parametrize("text", [
    "", "\n", "# nothing\n", "[]\n", "5\n", "- version: 1\n",
    b"\x00\x01\x02", b"version: 1\n\xff\xfe: 2\n", "a: &a [*a]\n", "%" * 1000,
    "version: 1\nfeatures: " + "[" * 5000 + "]" * 5000 + "\n"], ids=lambda text: repr(text)[:30])
def test_what_is_no_policy_is_refused(tmp_path, text):
    status, _, said = check(tmp_path, text)
    assert status == 1 and said.strip()


def test_an_alias_bomb_is_refused_in_bounded_memory(tmp_path):
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert check(tmp_path, "\n".join(rows) + "\n")[0] == 1


def test_a_file_that_is_not_there(tmp_path):
    status, out, err = run("policy", "check", tmp_path / "nowhere.yaml")
    assert status in (1, 2) and "nowhere.yaml" in out + err


def plan_of(waterfall, features=FEATURES, prices=PRICES, defaults=""):
    return policy(f"base: {{tier: 1, features: {{chat: {{waterfall: {waterfall}}}}}}}", defaults,
                  features=features, prices=prices)


@pytest.mark.parametrize("text, words", [
    # U6: one attribute each, and a request may have both.
    (plan_of("[{unlimited: {}}]", prices=PRICES + """
  - {name: fast, match: {speed: fast}, rates: {requests: {credits: "9", per: 1}}}
"""), ["match"]),
    (plan_of("[{unlimited: {}}]", prices=PRICES + """
  - {name: again, match: {model: small}, rates: {requests: {credits: "9", per: 1}}}
"""), ["match"]),
    # H3: overshoot: overage wants an overage source.
    (plan_of("[{grants: {category: paid}}]", defaults="overshoot: overage"), ["overage"]),
    # A feature that is not defined.
    (policy("base: {tier: 1, features: {nonsense: {waterfall: [{unlimited: {}}]}}}"), ["nonsense"]),
    # A6: keywords are no names of meters.
    *[(plan_of("[{unlimited: {}}]", features=FEATURES + f"""
odd: {{meters: [{word}], unit: cost, divisible: true, prices: odd}}
""", prices=PRICES + f"""
odd:
  - {{name: odd, rates: {{{word}: {{credits: "1", per: 1}}}}}}
"""), [word]) for word in ("ATTR", "MIN", "CREDITS", "TTL", "STATUS")],
], ids=["two equally specific", "the same match twice", "no overage source", "no such feature",
        "ATTR", "MIN", "CREDITS", "TTL", "STATUS"])
def test_what_the_rules_call_a_policy_error(tmp_path, text, words):
    status, found, said = check(tmp_path, text)
    assert status == 1 and found, said
    for word in words:
        assert any(word in message for _, _, message in found), said


# ---- PUT and GET ---------------------------------------------------------------------------------

BASE = """
base:
  tier: 1
  features:
    chat:
      {gates}
      waterfall:
        - allowance: {{name: included, scope: customer, windows: [{windows}]}}
        - grants: {{category: paid}}
second:
  tier: 2
  features:
    chat:
      waterfall:
        - allowance: {{name: included, scope: customer, windows: [{windows}]}}
        - grants: {{category: paid}}
    pair: {{waterfall: [{{unlimited: {{}}}}]}}
"""
FIVE_HOURS = "{limit: 10, per: 5h, start: first_use}"


def shaped(windows=FIVE_HOURS, gates="", **options):
    return policy(BASE.format(windows=windows, gates=f"gates: {gates}" if gates else ""), **options)


POLICY = shaped()


def texts(value):
    """Every string inside a JSON value."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for item in inner for text in texts(item)]


def test_the_policy_read_is_the_policy_put(fresh):
    weir = fresh()
    assert weir.get("/v1/policy").raw.decode() == POLICY
    text = POLICY + "# a remark: ü\n"
    expect(weir.put_policy(text))
    assert weir.get("/v1/policy").raw.decode() == text
    versions = expect(weir.get("/v1/policy/versions"))["versions"]
    server = ["--server", f"http://127.0.0.1:{weir.port}"]
    assert run("policy", "show", *server) == (0, text, "")
    status, out, err = run("policy", "show", "--json", *server)
    assert (status, err) == (0, "") and json.loads(out) == {**versions[0], "yaml": text}


@pytest.mark.parametrize("name", ["a misspelt key", "a negative limit", "a bracket left open",
                                  "a plan that is not there"])
def test_a_policy_with_a_mistake_is_refused_whole_with_the_same_words(weir, new_customer, tmp_path,
                                                                      name):
    customer = new_customer(weir, plan="base")
    before = weir.get("/v1/policy").raw, customer.fingerprint()
    text, _ = spoil(*MISTAKES[name][:2])
    answer = weir.put_policy(text)
    body = problem(answer, POLICY_REFUSED)
    for line, column, message in check(tmp_path, text)[1]:
        assert f"{line}:{column}: " in answer.raw.decode(), body
        assert any(message in text for text in texts(body)), (message, body)
    assert (weir.get("/v1/policy").raw, customer.fingerprint()) == before


def test_a_mistake_in_a_put_is_told_with_all_others(weir):
    text, wanted = VALID, []
    for name in ("a misspelt default", "a category that is none", "a negative limit"):
        text, line = spoil(*MISTAKES[name][:2], text=text)
        wanted.append(line)
    answer = weir.put_policy(text)
    problem(answer, POLICY_REFUSED)
    for line in wanted:
        assert re.search(rf"\b{line}:\d+: ", answer.raw.decode()), answer.raw


# ---- W2, W3: counters over a change --------------------------------------------------------------

def test_w2_a_counter_carries_over_from_plan_to_plan(weir, new_customer):
    customer = new_customer(weir, plan="base")
    allowed(customer.consume(7))
    customer.put(plan="second")
    assert customer.room() == 3
    allowed(customer.consume(1))
    customer.put(plan="base")
    assert customer.room() == 2


@pytest.mark.parametrize("limits", [(10, 12, 6), (10, 5, 0), (10, 6, 0), (10, 10, 4)])
def test_w3_a_new_amount_binds_at_the_next_decision(fresh, new_customer, limits):
    before, after, room = limits
    weir = fresh(shaped(f"{{limit: {before}, per: 5h, start: first_use}}"))
    customer = new_customer(weir, plan="base")
    t = weir.now
    allowed(customer.consume(6))
    expect(weir.put_policy(shaped(f"{{limit: {after}, per: 5h, start: first_use}}")))
    assert customer.room() == room
    weir.go_to(t + 5 * HOUR, -1)
    assert customer.room() == room
    weir.go_to(t + 5 * HOUR)
    assert customer.room() == after


@pytest.mark.parametrize("shape, length", [
    ("{limit: 10, per: 1h, start: first_use}", HOUR),
    ("{limit: 10, per: 9h, start: first_use}", 9 * HOUR),
    ("{limit: 10, per: day, start: calendar}", 7 * HOUR),       # from 17:00 to midnight
])
def test_w3_an_open_window_runs_to_its_end_and_the_next_has_the_new_shape(fresh, new_customer, shape,
                                                                          length):
    weir = fresh(clock="2026-05-01T12:00:00Z")
    customer = new_customer(weir, plan="base")
    allowed(customer.consume(10))
    expect(weir.put_policy(shaped(shape)))
    weir.go_to("2026-05-01T17:00:00Z", -1)
    assert customer.room() == 0
    weir.go_to("2026-05-01T17:00:00Z")
    allowed(customer.consume(10))
    weir.go_to(weir.now + length, -1)
    assert customer.room() == 0
    weir.advance(1)
    assert customer.room() == 10


def test_w3_sliding_starts_anew(fresh, new_customer):
    weir = fresh(shaped("{limit: 10, per: 1h, start: sliding}"))
    customer = new_customer(weir, plan="base")
    allowed(customer.consume(10))
    expect(weir.put_policy(shaped("{limit: 10, per: 2h, start: sliding}")))
    allowed(customer.consume(10))
    weir.advance(2 * HOUR - 1)
    assert customer.room() == 0


def pace(burst, limit=60):
    return (f"[{{rate: {{name: pace, meter: requests, limit: {limit}, per: 1m, burst: {burst}, "
            "scope: customer}}]")


@pytest.mark.parametrize("burst, left", [(3, 3), (6, 6), (10, 6), (20, 6)])
def test_w3_a_rate_gate_keeps_its_tokens_clipped_to_the_burst(fresh, new_customer, burst, left):
    unlimited = "{limit: 1000, per: 5h, start: first_use}"
    weir = fresh(shaped(unlimited, pace(10)))
    customer = new_customer(weir, plan="base")
    allowed(customer.consume(4))                        # 6 of 10 are left
    expect(weir.put_policy(shaped(unlimited, pace(burst))))
    denied(customer.consume(left + 1), "rate_limited")
    allowed(customer.consume(left))
    denied(customer.consume(1), "rate_limited")


def test_w3_a_new_rate_refills_from_the_change_on(fresh, new_customer):
    """Empty at t; 5 s at one a second are 5; then two a second: 5 more take 2.5 s."""
    unlimited = "{limit: 1000, per: 5h, start: first_use}"
    weir = fresh(shaped(unlimited, pace(20)))
    customer = new_customer(weir, plan="base")
    allowed(customer.consume(20))
    weir.advance(5 * SECOND)
    expect(weir.put_policy(shaped(unlimited, pace(20, limit=120))))
    assert denied(customer.consume(10), "rate_limited")["retry_after_ms"] == 2500
    weir.advance(2500)
    allowed(customer.consume(10))


# ---- P2: holds over a change ---------------------------------------------------------------------

def test_p2_a_hold_is_committed_as_it_was_taken(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir, plan="base")
    customer.grant("10")
    hold = customer.hold(14)                            # 10 + 4
    prices = PRICES.replace('{credits: "1", per: 1}', '{credits: "2", per: 1}')
    expect(weir.put_policy(shaped("{limit: 1, per: 1m, start: first_use}", prices=prices)))
    assert customer.funds() == ("6", "4")
    assert lines(expect(customer.commit(hold, 12))) == [("included", 10, "0"), ("paid", 2, "2")]
    assert customer.available() == "8"


def test_p2_a_hold_survives_the_change_of_plan(weir, new_customer):
    customer = new_customer(weir, plan="second")
    hold = customer.hold(5, "pair")
    customer.put(plan="base")                           # has no pair
    denied(customer.consume(1, "pair"), "not_entitled")
    assert lines(expect(customer.commit(hold, 5))) == [("unlimited", 5, "0")]


@pytest.mark.parametrize("ending", ["release", "smaller commit", "expiry"])
def test_w4_a_return_to_a_counter_that_was_removed_vanishes_and_grants_get_theirs(
        fresh, new_customer, ending):
    weir = fresh()
    customer = new_customer(weir, plan="base")
    customer.grant("10")
    hold = customer.hold(14, ttl_ms=MINUTE)             # 10 + 4
    expect(weir.put_policy(policy(
        "base: {tier: 1, features: {chat: {waterfall: [{grants: {category: paid}}]}}}")))
    if ending == "release":
        expect(customer.release(hold))
    elif ending == "expiry":
        weir.advance(MINUTE)
    else:
        assert units_by_source(expect(customer.commit(hold, 10))) == {"included": 10}
    assert customer.funds() == ("10", "0")
    assert customer.room() == 10


def test_g4_lowering_a_limit_ends_nothing(fresh, new_customer):
    slots = "[{{concurrency: {{name: slots, limit: {}, scope: customer}}}}]"
    weir = fresh(shaped(gates=slots.format(3)))
    customer = new_customer(weir, plan="base")
    holds = [customer.hold(1) for _ in range(3)]
    expect(weir.put_policy(shaped(gates=slots.format(1))))
    for hold in holds:
        denied(customer.authorize(1), "concurrency_limited")
        expect(customer.commit(hold, 1), (200,))
    customer.hold(1)
    denied(customer.authorize(1), "concurrency_limited")


def test_p2_a_gate_added_binds_the_next_decision(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir, plan="base")
    allowed(customer.consume(1))
    expect(weir.put_policy(shaped(gates=pace(2))))
    allowed(customer.consume(2))
    denied(customer.consume(1), "rate_limited")

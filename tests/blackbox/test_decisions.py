"""The decision: what is allowed and from where, why not, and when again (SEMANTICS S1-S8, U2, A1, A4)."""

import json
import re
import socket

import pytest

from policies import policy
from weir_client import (HOUR, INTEGER_MAX, MINUTE, SECOND, allowed, charged_nanos, decided, denied,
                         expect, lines, names_source, partial, problem, to_ms, units_by_source)

POLICY = policy("""
base:                       # every kind of source, one after the other
  tier: 1
  features:
    chat:
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{limit: 5, per: 5h, start: first_use}]}
        - grants: {category: promotional}
        - grants: {category: entitlement}
        - grants: {category: paid}
    codex:
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{credits: "1", per: 5h, start: first_use}]}
        - grants: {category: paid}
    video:
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{limit: 3, per: 1h, start: first_use}]}
        - grants: {category: promotional}
        - grants: {category: paid}
bare:
  tier: 1
  features:
    chat: {waterfall: [{grants: {category: paid}}]}
gated:                      # the example of API.md section 3, but for its budget
  tier: 2
  features:
    chat:
      gates:
        - rate: {name: pace, meter: requests, limit: 60, per: 1m, burst: 20, scope: subject}
        - concurrency: {name: in-flight, limit: 8, scope: subject}
      waterfall:
        - allowance: {name: included, scope: subject, windows: [{limit: 5, per: 5h, start: first_use}]}
        - grants: {category: promotional}
        - grants: {category: paid}
free:
  tier: 1
  features:
    chat:
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{limit: 2, per: 1h, start: first_use}]}
        - grants: {category: promotional}
paying:
  tier: 1
  features:
    chat:
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{limit: 2, per: 1h, start: first_use}]}
        - grants: {category: promotional}
        - grants: {category: paid}
overage:
  tier: 1
  features:
    chat:
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{limit: 2, per: 1h, start: first_use}]}
        - grants: {category: paid}
        - overage: {name: extra, credits: "5", per: month, start: calendar}
capped:
  tier: 1
  features:
    chat:
      gates: [{budget: {name: cap, credits: "3", per: month, start: calendar, scope: customer}}]
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{limit: 2, per: 1h, start: first_use}]}
        - grants: {category: paid}
    video:
      gates: [{budget: {name: cap, credits: "3", per: month, start: calendar, scope: customer}}]
      waterfall:
        - grants: {category: promotional}
        - grants: {category: paid}
capped-overage:
  tier: 1
  features:
    chat:
      gates: [{budget: {name: cap, credits: "3", per: month, start: calendar, scope: customer}}]
      waterfall: [{overage: {name: extra, credits: "50", per: month, start: calendar}}]
endless:
  tier: 3
  features:
    chat: {waterfall: [{grants: {category: entitlement}}, {unlimited: {}}]}
""")


def stocked(new_customer, weir, plan, grants=(), **settings):
    """A customer of this plan holding these (category, credits)."""
    made = new_customer(weir, plan=plan, **settings)
    for category, credits in grants:
        made.grant(credits, category)
    return made


# ---- S1, S2: the waterfall -----------------------------------------------------------------------

def test_s1_a_request_is_split_over_the_sources_in_their_order(weir, customer):
    customer.grant("10", "paid")
    customer.grant("3", "entitlement")
    customer.grant("2", "promotional")
    body = allowed(customer.consume(12))
    assert lines(body) == [("included", 5, "0"), ("promotional", 2, "2"), ("entitlement", 3, "3"),
                           ("paid", 2, "2")]
    assert [line["kind"] for line in body["allocations"]] == ["allowance", "grant", "grant", "grant"]
    assert body["units"] == {"requested": 12, "allowed": 12}
    assert body["charged"] == "7" and body["price"] == "chat/message"
    assert customer.available() == "8"          # 15 - 7


def test_s1_what_the_first_source_carries_touches_no_other(weir, customer):
    customer.grant("10")
    body = allowed(customer.consume(5))
    assert (lines(body), body["charged"]) == ([("included", 5, "0")], "0")
    assert customer.available() == "10"


def test_s1_a_denial_draws_nothing_anywhere(weir, customer):
    customer.grant("2", "promotional")
    customer.grant("3", "paid")
    before = customer.fingerprint()
    denied(customer.consume(11), "insufficient_credits")        # 5 + 2 + 3 = 10
    denied(customer.authorize(11), "insufficient_credits")
    assert customer.fingerprint() == before
    assert customer.room() == 10


def test_s1_unlimited_carries_whatever_is_left(weir, new_customer):
    customer = stocked(new_customer, weir, "endless", [("entitlement", "2")])
    body = allowed(customer.consume(1000))
    assert lines(body) == [("entitlement", 2, "2"), ("unlimited", 998, "0")]
    assert body["allocations"][1]["kind"] == "unlimited"


def test_a2_offered_is_clamped_to_what_json_can_carry(weir, new_customer):
    customer = stocked(new_customer, weir, "endless")
    body = allowed(customer.check(INTEGER_MAX, explain=True))
    assert lines(body) == [("unlimited", INTEGER_MAX, "0")]
    assert [e["offered"] for e in body["explain"] if e.get("source") == "unlimited"] == [INTEGER_MAX]


def test_s1_cost_is_split_in_nano_credits(weir, customer):
    """5,000 in, 500 out at 125,000 and 750,000 nano: 0.625 + 0.375 = 1; 400 more in: 0.05."""
    customer.grant("1")
    tokens = {"input_tokens": 5400, "output_tokens": 500}
    body = allowed(customer.consume(tokens, "codex", attributes={"model": "gpt-5.5"}))
    assert lines(body) == [("included", 10**9, "0"), ("paid", 50_000_000, "0.05")]
    assert body["units"]["allowed"] == 1_050_000_000
    assert customer.available() == "0.95"


# ---- S1: what may not be split -------------------------------------------------------------------

@pytest.mark.parametrize("promotional, paid, seconds, source", [
    ([], [], 3, "included"),
    (["4"], [], 4, "promotional"),              # the allowance of 3 is passed over
    (["2", "2"], [], 4, "promotional"),         # all grants of the category together
    (["2"], ["9"], 4, "paid"),
    (["2"], ["5", "4"], 9, "paid"),
])
def test_s1_one_entry_must_carry_an_indivisible_request(weir, customer, promotional, paid, seconds,
                                                        source):
    for credits in promotional:
        customer.grant(credits, "promotional")
    for credits in paid:
        customer.grant(credits, "paid")
    body = allowed(customer.consume(seconds, "video"))
    assert units_by_source(body) == {source: seconds}


@pytest.mark.parametrize("seconds, settings, fields, code", [
    (5, {}, {}, "indivisible"),                                 # 3 + 2 or 3 + 4: all together 9
    (9, {}, {}, "indivisible"),
    (10, {}, {}, "insufficient_credits"),
    (5, {}, {"min_units": 1}, "indivisible"),                   # S6: no effect here
    (5, {"credit_mode": "off"}, {}, "indivisible"),             # 3 + 2, S7 before mode off
    (6, {"credit_mode": "off"}, {}, "allowance_exhausted"),     # 3 + 2 < 6
    (4, {"credit_mode": "ask"}, {}, "indivisible"),             # 3 + 2 >= 4 comes before consent
])
def test_s7_why_an_indivisible_request_is_denied(weir, new_customer, seconds, settings, fields, code):
    customer = stocked(new_customer, weir, "base", [("promotional", "2"), ("paid", "4")], **settings)
    denied(customer.consume(seconds, "video", **fields), code)


def test_s7_consent_for_an_indivisible_request(weir, new_customer):
    """3 of allowance and nothing promotional: only the paid 4 carry 4, and they want consent."""
    customer = stocked(new_customer, weir, "base", [("paid", "4")], credit_mode="ask")
    denied(customer.consume(4, "video"), "credits_need_consent")
    assert lines(allowed(customer.consume(4, "video", use_credits=True))) == [("paid", 4, "4")]


@pytest.mark.parametrize("plan, settings, asked, remedy", [
    ("bare", {"credit_mode": "off"}, 2, "upgrade_plan"),            # nor would one unit pass
    ("free", {}, 3, "split_request"),                               # two at a time
    ("free", {"limits": {"included": [0]}}, 2, "upgrade_plan"),
    ("gated", {}, 21, "split_request"),                             # more than the burst
    ("gated", {"limits": {"pace": 0}}, 2, "upgrade_plan"),
])
def test_a_smaller_request_is_the_remedy_only_where_one_can_pass(weir, new_customer, plan, settings, asked,
                                                                 remedy):
    customer = stocked(new_customer, weir, plan, [("paid", "30")], **settings)
    subject = {"subject": "alice"} if plan == "gated" else {}
    reason = denied(customer.consume(asked, **subject),
                    "rate_limited" if plan == "gated" else "allowance_exhausted")
    assert (reason["retry_after_ms"], reason["remedy"]) == (None, remedy), reason
    assert ("a smaller one may" in reason["message"]) == (remedy == "split_request"), reason
    assert "1 per 1m" not in reason["message"], reason


def test_a_denied_extend_does_not_ask_for_what_it_cannot_say(weir, new_customer):
    customer = stocked(new_customer, weir, "paying", [("paid", "10")], credit_mode="ask")
    hold = allowed(customer.authorize(2))
    reason = denied(customer.extend(hold["decision_id"], 2), "credits_need_consent")
    assert "its hold was authorized without" in reason["message"], reason
    problem(customer.extend(hold["decision_id"], 2, use_credits=True), 400, "use_credits")


# ---- U2: quantities ------------------------------------------------------------------------------

def test_u2_requests_default_to_one(weir, customer):
    assert allowed(customer.consume({}))["units"] == {"requested": 1, "allowed": 1}


def test_u2_zero_units_are_allowed_even_with_nothing_to_spend(weir, new_customer):
    customer = stocked(new_customer, weir, "bare")
    denied(customer.consume(1), "insufficient_credits")
    body = allowed(customer.consume(0))
    assert body["units"] == {"requested": 0, "allowed": 0}
    assert (body["allocations"], body["charged"]) == ([], "0")


# ---- S5: credit modes ----------------------------------------------------------------------------

@pytest.mark.parametrize("mode, consent, outcome", [
    ("auto", None, "ok"),
    ("auto", True, "ok"),
    ("auto", False, "allowance_exhausted"),             # off for this request
    ("ask", None, "credits_need_consent"),
    ("ask", True, "ok"),
    ("ask", False, "allowance_exhausted"),
    ("off", None, "allowance_exhausted"),
    ("off", True, "allowance_exhausted"),               # mode off wins
    ("off", False, "allowance_exhausted"),
])
@pytest.mark.parametrize("plan", ["paying", "overage"])
def test_s5_credit_mode_and_consent(weir, new_customer, plan, mode, consent, outcome):
    """2 of allowance, 10 paid, 4 asked for."""
    customer = stocked(new_customer, weir, plan, [("paid", "10")], credit_mode=mode)
    fields = {} if consent is None else {"use_credits": consent}
    answer = customer.consume(4, **fields)
    if outcome == "ok":
        assert lines(allowed(answer)) == [("included", 2, "0"), ("paid", 2, "2")]
    else:
        denied(answer, outcome)
        assert customer.available() == "10"


def test_s5_the_mode_concerns_paid_grants_and_overage_only(weir, new_customer):
    customer = stocked(new_customer, weir, "base", [("promotional", "2"), ("entitlement", "2")],
                       credit_mode="off")
    assert units_by_source(allowed(customer.consume(9))) == {
        "included": 5, "promotional": 2, "entitlement": 2}
    spender = stocked(new_customer, weir, "overage", credit_mode="ask")
    denied(spender.consume(3), "credits_need_consent")
    assert units_by_source(allowed(spender.consume(3, use_credits=True))) == {
        "included": 2, "extra": 1}


# ---- S6: partial ---------------------------------------------------------------------------------

def test_s6_a_part_is_what_there_is(weir, customer):
    customer.grant("3")
    body = partial(customer.consume(20, min_units=1), 8)
    assert body["units"] == {"requested": 20, "allowed": 8}
    assert lines(body) == [("included", 5, "0"), ("paid", 3, "3")]
    assert customer.available() == "0"


@pytest.mark.parametrize("least, outcome", [(1, "partial"), (5, "partial"), (6, "deny"), (20, "deny")])
def test_s6_never_below_min_units(weir, customer, least, outcome):
    body = decided(customer.consume(20, min_units=least))
    assert body["outcome"] == outcome
    assert body["units"]["allowed"] == (5 if outcome == "partial" else 0)


def test_s6_the_whole_is_an_allow_though_a_part_was_welcome(weir, customer):
    assert allowed(customer.consume(5, min_units=1))["units"] == {"requested": 5, "allowed": 5}


@pytest.mark.parametrize("requested, least", [(3, 0), (3, 4), (1, 2), (0, 1)])
def test_s6_min_units_outside_the_request_is_a_mistake(weir, customer, requested, least):
    before = customer.fingerprint()
    problem(customer.consume(requested, min_units=least), 422, "min_units")
    assert customer.fingerprint() == before


def test_s6_a_part_from_sources_without_consent_says_how_to_get_more(weir, new_customer):
    customer = stocked(new_customer, weir, "paying", [("paid", "10")], credit_mode="ask")
    body = partial(customer.consume(5, min_units=1), 2)
    assert lines(body) == [("included", 2, "0")]
    assert body["reason"]["remedy"] == "use_credits"
    denied(customer.consume(5, min_units=1), "credits_need_consent")        # nothing is left of 2


def test_s6_a_part_of_a_cost(weir, customer):
    """1 credit of allowance against 8,400 tokens in: 1.05 credits."""
    body = partial(customer.authorize({"input_tokens": 8400}, "codex", min_units=1,
                                      attributes={"model": "gpt-5.5"}), 10**9)
    assert body["units"]["requested"] == 1_050_000_000
    assert lines(body) == [("included", 10**9, "0")]


# ---- S7: why not ---------------------------------------------------------------------------------

@pytest.mark.parametrize("plan, grants, mode, consent, units, code", [
    # Neither paid grants nor overage in the waterfall: nothing to buy.
    ("free", [], "auto", None, 3, "allowance_exhausted"),
    ("free", [("promotional", "1")], "auto", None, 4, "allowance_exhausted"),
    ("free", [("paid", "9")], "auto", None, 3, "allowance_exhausted"),
    # Paid grants in the waterfall.
    ("paying", [], "auto", None, 3, "insufficient_credits"),
    ("paying", [("paid", "4")], "auto", None, 7, "insufficient_credits"),
    ("paying", [], "off", None, 3, "allowance_exhausted"),
    ("paying", [], "ask", None, 3, "insufficient_credits"),         # consent would not help
    ("paying", [("paid", "1")], "ask", None, 3, "credits_need_consent"),
    ("paying", [("paid", "1")], "ask", None, 4, "insufficient_credits"),
    ("bare", [], "auto", None, 1, "insufficient_credits"),
    # Overage in the waterfall: 2 + 5.
    ("overage", [], "auto", None, 8, "overage_cap_reached"),
    ("overage", [("paid", "1")], "auto", None, 9, "overage_cap_reached"),
    ("overage", [], "ask", None, 7, "credits_need_consent"),
    ("overage", [], "ask", None, 8, "overage_cap_reached"),
    ("overage", [], "off", None, 8, "allowance_exhausted"),
    # A budget of 3 on what is charged: 2 + 3.
    ("capped", [("paid", "10")], "auto", None, 6, "budget_reached"),
    ("capped", [("paid", "2")], "auto", None, 6, "insufficient_credits"),   # 2 + 2 without the budget
    ("capped", [("paid", "4")], "auto", None, 6, "budget_reached"),         # 2 + 4 without the budget
    ("capped", [("paid", "10")], "ask", None, 5, "credits_need_consent"),   # within the budget
    ("capped", [("paid", "10")], "ask", True, 6, "budget_reached"),
    ("capped", [("paid", "10")], "off", None, 6, "allowance_exhausted"),
    ("capped-overage", [], "auto", None, 4, "budget_reached"),              # 3 of 50
    ("capped-overage", [], "auto", None, 51, "overage_cap_reached"),
])
def test_s7_why_a_request_is_denied(weir, new_customer, plan, grants, mode, consent, units, code):
    customer = stocked(new_customer, weir, plan, grants, credit_mode=mode)
    fields = {} if consent is None else {"use_credits": consent}
    denied(customer.check(units, **fields), code)
    denied(customer.consume(units, **fields), code)


def test_s7_a_budget_is_named_before_indivisibility(weir, new_customer):
    """The 10 paid would carry 4 whole but for the budget of 3; so would 2 + 2, if it could be split."""
    customer = stocked(new_customer, weir, "capped", [("promotional", "2"), ("paid", "10")])
    assert denied(customer.consume(4, "video"), "budget_reached")["limit"] == "cap"


def test_a_denial_says_what_would_help(weir, new_customer):
    customer = stocked(new_customer, weir, "paying")
    reason = denied(customer.consume(3), "insufficient_credits")
    assert reason["limit"] == "paid" and reason["remedy"] == "add_credits"
    assert reason["message"] and reason["who"]


def test_what_is_left_but_too_little_is_not_called_used_up(weir, new_customer):
    customer = stocked(new_customer, weir, "free")
    allowed(customer.consume(1))
    never = "Waiting alone does not let the same request pass; a smaller one may."
    assert denied(customer.consume(3), "allowance_exhausted")["message"] == (
        f"The allowance 'included' (2 per 1h) for this customer has 1 left, too little for this request. {never}")
    assert denied(customer.consume(2), "allowance_exhausted")["message"].endswith(
        "has 1 left, too little for this request. The same request can pass in 3600 s.")
    customer = stocked(new_customer, weir, "overage")
    message = denied(customer.consume(8), "overage_cap_reached")["message"]
    assert "has 5 credits left, too little for this request; raising its cap" in message
    assert "starts anew" not in message


# ---- S8: when again ------------------------------------------------------------------------------

def test_s8_the_wait_for_an_allowance_is_exact(weir, new_customer):
    customer = stocked(new_customer, weir, "free")
    opened = weir.now
    allowed(customer.consume(2))
    weir.advance(7 * MINUTE + 1)
    reason = denied(customer.consume(1), "allowance_exhausted")
    assert reason["retry_after_ms"] == 53 * MINUTE - 1
    assert names_source(reason, "included")
    assert to_ms(reason["resets_at"]) == opened + HOUR
    weir.advance(53 * MINUTE - 2)
    assert denied(customer.consume(1), "allowance_exhausted")["retry_after_ms"] == 1
    weir.advance(1)
    allowed(customer.consume(1))


def test_s8_no_wait_helps_a_request_larger_than_the_limit(weir, new_customer):
    customer = stocked(new_customer, weir, "free")
    assert denied(customer.consume(3), "allowance_exhausted")["retry_after_ms"] is None
    allowed(customer.consume(2))
    assert denied(customer.consume(3), "allowance_exhausted")["retry_after_ms"] is None


def test_s8_mode_off_waits_for_the_allowance(weir, new_customer):
    customer = stocked(new_customer, weir, "paying", [("paid", "10")], credit_mode="off")
    allowed(customer.consume(2))
    weir.advance(MINUTE)
    assert denied(customer.consume(1), "allowance_exhausted")["retry_after_ms"] == 59 * MINUTE


def test_s8_a_promised_wait_is_kept_though_holds_end_meanwhile(weir, new_customer):
    customer = stocked(new_customer, weir, "free")
    customer.hold(2, ttl_ms=30 * SECOND)
    wait = denied(customer.consume(2), "allowance_exhausted")["retry_after_ms"]
    assert 0 < wait <= HOUR
    weir.advance(wait)
    allowed(customer.consume(2))


# ---- the answer ----------------------------------------------------------------------------------

def test_the_state_of_the_hold_and_when_it_ends(weir, customer):
    held = allowed(customer.authorize(1))
    assert held["hold"]["state"] == "held"
    assert to_ms(held["hold"]["expires_at"]) == weir.now + 60 * SECOND        # the policy's hold_ttl
    longer = allowed(customer.authorize(1, ttl_ms=600_000))
    assert to_ms(longer["hold"]["expires_at"]) == weir.now + 600_000
    assert allowed(customer.consume(1))["hold"]["state"] == "committed"


def test_decision_ids_are_unique_and_denials_have_them_too(weir, customer):
    ids = [decided(answer)["decision_id"] for answer in (
        customer.authorize(1), customer.consume(1), customer.consume(100), customer.consume(1))]
    assert len(set(ids)) == 4
    assert all(name.startswith("d_") for name in ids)


def test_explain_says_in_order_what_each_gate_and_source_said(weir, new_customer):
    """The example of API.md: 1 left of the allowance, 40 paid, 3 asked for, by a full bucket of 20."""
    customer = stocked(new_customer, weir, "gated", [("paid", "40")])
    opened = weir.now
    allowed(customer.consume(4, subject="team-a/alice"))
    weir.advance(4 * SECOND)
    body = allowed(customer.authorize(3, subject="team-a/alice", explain=True))
    expected = [
        {"gate": "pace", "verdict": "pass", "remaining": 17},
        {"gate": "in-flight", "verdict": "pass", "remaining": 7},
        {"source": "included", "offered": 1, "drawn": 1, "window": "5h"},
        {"source": "promotional", "offered": 0, "drawn": 0},
        {"source": "paid", "offered": 40, "drawn": 2},
    ]
    assert len(body["explain"]) == len(expected), body["explain"]
    for said, told in zip(body["explain"], expected):
        assert told.items() <= said.items(), (said, told)
    assert to_ms(body["explain"][2]["resets_at"]) == opened + 5 * HOUR
    assert body["allocations"][1]["grant_id"].startswith("g_")


def test_an_allow_carries_the_rate_limit_headers_of_its_window(weir, customer):
    allowed(customer.consume(1))
    weir.advance(10 * SECOND)
    headers = allowed(customer.consume(2))["http"]["headers"]
    assert headers["RateLimit-Policy"] == '"included";q=5;w=18000'
    assert headers["RateLimit"] == '"included";r=2;t=17990'


def test_a_decision_has_its_rate_limit_fields_as_headers_too(weir, customer):
    answers = [customer.consume(1), customer.check(1), customer.consume(9)]
    assert [answer.body["outcome"] for answer in answers] == ["allow", "allow", "deny"]
    for answer in answers:
        told = answer.body["http"]["headers"]
        assert answer.headers["RateLimit-Policy"] == told["RateLimit-Policy"]
        assert answer.headers["RateLimit"] == told["RateLimit"]
        assert "Retry-After" not in answer.headers   # the call itself was served


def test_answers_of_one_batch_keep_their_own_rate_limit_fields(weir, new_customer):
    """Pipelined, so that they are decided together and wait for one sync."""
    several = [new_customer(weir) for _ in range(3)]
    for drawn, customer in enumerate(several):
        for _ in range(drawn):
            allowed(customer.consume(1))
    bodies = [json.dumps(customer.body(1, "chat", {})).encode() for customer in several]
    with socket.create_connection(("127.0.0.1", weir.port), timeout=10) as wire:
        wire.sendall(b"".join(
            b"POST /v1/consume HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body) for body in bodies))
        text = b""
        while text.count(b'"outcome"') < 3 or not text.endswith(b"}"):
            text += wire.recv(65536)
    left = re.findall(rb'\nratelimit: "included";r=(\d)', text)
    assert left == [b"4", b"3", b"2"], text


def test_a1_an_authorize_charges_the_most_that_its_commit_will(weir, customer):
    customer.grant("10")
    held = allowed(customer.authorize(8))
    final = expect(customer.commit(held["decision_id"], 8))
    assert charged_nanos(final) <= charged_nanos(held) == 3 * 10**9
    assert lines(final) == lines(held)


# ---- A4: check -----------------------------------------------------------------------------------

ANSWERED_ALIKE = ("outcome", "units", "allocations", "charged", "price", "reason", "explain", "http")


@pytest.mark.parametrize("units, fields", [
    (1, {}), (7, {}), (0, {}), (9, {"min_units": 2}), (500, {}), (500, {"min_units": 1}),
    (7, {"use_credits": False}),
])
def test_a4_check_answers_what_authorize_would(weir, customer, units, fields):
    customer.grant("3", "promotional")
    customer.grant("4", "paid")
    asked = decided(customer.check(units, explain=True, **fields))
    answered = decided(customer.authorize(units, explain=True, **fields))
    for name in ANSWERED_ALIKE:
        assert asked.get(name) == answered.get(name), name
    assert asked["decision_id"] is None and "hold" not in asked


def test_a4_check_changes_nothing(weir, customer):
    customer.grant("4")
    before = customer.fingerprint()
    for units in (1, 5, 9, 50):
        decided(customer.check(units))
    assert customer.fingerprint() == before


def test_a4_check_ignores_keys(weir, customer):
    customer.grant("4")
    allowed(customer.consume(1, idempotency_key="used"))
    assert allowed(customer.check(3, idempotency_key="used"))["units"]["requested"] == 3
    allowed(customer.check(3, idempotency_key="new"))
    assert allowed(customer.consume(2, idempotency_key="new"))["units"]["allowed"] == 2
    assert customer.room() == 6                 # 5 + 4 - 1 - 2


# ---- what can be read beside it ------------------------------------------------------------------

def test_status_says_whether_the_next_request_would_pass(weir, new_customer):
    customer = stocked(new_customer, weir, "paying")
    path = f"{customer.path}/status?feature=chat"
    assert expect(weir.get(path), (200,))["allowed"] is True
    allowed(customer.consume(2))
    assert expect(weir.get(path), (200,))["allowed"] is False
    customer.grant("1")
    assert expect(weir.get(path), (200,))["allowed"] is True


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_the_server_says_how_it_is(weir, path):
    assert weir.get(path).status == 200

"""Holds: commit, release, expiry, extend, overshoot, failure, and every wrong order of them
(SEMANTICS H1-H6; H7 is in test_money.py, W4 in test_windows.py)."""

import pytest

from policies import policy
from weir_client import (HOLD_ENDED, HOUR, MINUTE, SECOND, allowed, denied, expect, hold_state, lines,
                         problem, run, to_ms, units_by_source)

PLANS = """
base:
  tier: 1
  features:
    chat:
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{limit: 4, per: 5h, start: first_use}]}
        - grants: {category: promotional}
        - grants: {category: paid}
    video:
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{limit: 3, per: 5h, start: first_use}]}
        - grants: {category: promotional}
        - grants: {category: paid}
    codex: {waterfall: [{grants: {category: paid}}]}
bare:
  tier: 1
  features:
    chat: {waterfall: [{grants: {category: paid}}]}
    least: {waterfall: [{grants: {category: paid}}]}
gated:
  tier: 1
  features:
    chat:
      gates:
        - rate: {name: pace, meter: requests, limit: 60, per: 1m, burst: 5, scope: customer}
        - concurrency: {name: one, limit: 1, scope: customer}
      waterfall: [{unlimited: {}}]
capped:
  tier: 1
  features:
    chat:
      gates: [{budget: {name: cap, credits: "5", per: month, start: calendar, scope: customer}}]
      waterfall: [{grants: {category: paid}}]
overage:
  tier: 1
  features:
    chat:
      waterfall:
        - grants: {category: paid}
        - overage: {name: extra, credits: "5", per: month, start: calendar}
other:                      # has no chat
  tier: 1
  features:
    pair: {waterfall: [{unlimited: {}}]}
"""
POLICY = policy(PLANS)
GONE = "d_7777777777777"                                # well formed, never given


def funded(weir, new_customer, plan="base", promotional=None, paid=None, **settings):
    customer = new_customer(weir, plan=plan, **settings)
    for category, credits in (("promotional", promotional), ("paid", paid)):
        if credits:
            customer.grant(credits, category)
    return customer


# ---- U2: what a commit says ----------------------------------------------------------------------

CODE = {"requests": 1, "input_tokens": 1000000, "output_tokens": 2000000}      # 62.5 and 750 credits


def test_u2_a_commit_without_quantities_settles_what_was_held(fresh, new_customer):
    weir = fresh()
    customer = funded(weir, new_customer, paid="5000")
    silent, none, extended, late, batched = (
        allowed(customer.authorize(CODE, "codex", ttl_ms=MINUTE))["decision_id"] for _ in range(5))

    def commit(hold, body):
        return expect(weir.post(f"/v1/holds/{hold}/commit", body))

    def used(hold):         # newest first
        events = expect(weir.get(f"{customer.path}/events"))["events"]
        return next(event for event in events if event["decision_id"] == hold)["quantities"]["actual"]

    answer = commit(silent, {"duration_ms": 5})
    assert answer["charged"] == "812.5"
    assert commit(silent, {"duration_ms": 5}) == answer
    problem(weir.post(f"/v1/holds/{silent}/commit", {"duration_ms": 5, "quantities": {}}), 409, "was committed")
    assert commit(none, {"quantities": {}})["charged"] == "0"
    expect(weir.post(f"/v1/holds/{extended}/extend", {"quantities": {"input_tokens": 1000000}}))
    assert commit(extended, {})["charged"] == "875"
    operations = [{"op": "commit", "decision_id": batched}]
    assert expect(weir.batch(operations))["results"][0]["charged"] == "812.5"
    weir.advance(2 * MINUTE)
    answer = commit(late, {})
    assert (answer["charged"], answer["late"]) == ("812.5", True)

    assert [used(hold) for hold in (silent, none, extended, late, batched)] == [
        CODE, {}, {**CODE, "input_tokens": 2000000}, CODE, CODE]
    assert customer.funds() == ("1687.5", "0")
    for restarted in range(2):          # from a snapshot or not, it is told again
        assert commit(silent, {"duration_ms": 5})["charged"] == "812.5", restarted
        assert weir.stop() == 0
        for command in ("verify", "reconcile", "replay"):
            status, out, err = run(command, "--data", weir.data)
            assert status == 0, (command, out, err)
        weir.start()


# ---- H1: the final allocation --------------------------------------------------------------------

@pytest.mark.parametrize("actual, expected, charged, available", [
    (10, [("included", 4, "0"), ("promotional", 3, "3"), ("paid", 3, "3")], "6", "7"),
    (8, [("included", 4, "0"), ("promotional", 3, "3"), ("paid", 1, "1")], "4", "9"),
    (7, [("included", 4, "0"), ("promotional", 3, "3")], "3", "10"),
    (5, [("included", 4, "0"), ("promotional", 1, "1")], "1", "12"),
    (4, [("included", 4, "0")], "0", "13"),
    (1, [("included", 1, "0")], "0", "13"),
    (0, [], "0", "13"),
])
def test_h1_the_held_lines_are_cut_to_what_was_used(weir, new_customer, actual, expected, charged,
                                                    available):
    customer = funded(weir, new_customer, promotional="3", paid="10")
    hold = customer.hold(10)                            # 4 + 3 + 3
    assert customer.funds() == ("7", "6")
    final = expect(customer.commit(hold, actual), (200,))
    assert (lines(final), final["charged"]) == (expected, charged)
    assert final["hold"]["state"] == "committed" and "overshoot" not in final
    assert customer.funds() == (available, "0")
    assert customer.room() == max(0, 4 - actual) + int(available)


def test_h1_a_cut_is_priced_anew(weir, new_customer):
    """9 units at 0.5 are 4.5; 2 are 4, the minimum; none are 0."""
    customer = funded(weir, new_customer, "bare", paid="10")
    hold = customer.hold(9, "least")
    assert customer.held() == "4.5"
    assert expect(customer.commit(hold, 2))["charged"] == "4"
    assert expect(customer.commit(customer.hold(9, "least"), 0))["charged"] == "0"
    assert customer.funds() == ("6", "0")


def test_h1_nothing_higher_up_is_reconsidered(weir, new_customer):
    customer = funded(weir, new_customer, paid="10")
    free, dear = customer.hold(4), customer.hold(4)
    expect(customer.release(free))                      # the allowance is free again
    assert lines(expect(customer.commit(dear, 4))) == [("paid", 4, "4")]
    assert customer.room() == 4 + 6


def test_h1_extends_are_cut_first(weir, new_customer):
    customer = funded(weir, new_customer, paid="10")
    hold = customer.hold(2)
    expect(customer.extend(hold, 5, ttl_ms=MINUTE))     # 2 of the allowance, 3 paid
    assert customer.funds() == ("7", "3")
    final = expect(customer.commit(hold, 5))
    assert units_by_source(final) == {"included": 4, "paid": 1} and final["charged"] == "1"
    assert customer.funds() == ("9", "0")


def test_u2_a_commit_without_requests_means_those_that_were_held(weir, new_customer):
    customer = funded(weir, new_customer, paid="10")
    assert units_by_source(expect(customer.commit(customer.hold(6), {}))) == {
        "included": 4, "paid": 2}


# ---- H2, H3: beyond the hold ---------------------------------------------------------------------

def test_h2_more_than_held_goes_through_the_waterfall(weir, new_customer):
    customer = funded(weir, new_customer, promotional="2", paid="10")
    final = expect(customer.commit(customer.hold(3), 9))            # 4 free, 2 and 3 charged
    assert units_by_source(final) == {"included": 4, "promotional": 2, "paid": 3}
    assert final["charged"] == "5" and "overshoot" not in final
    assert customer.funds() == ("7", "0")


def test_h3_what_nothing_carries_is_charged_and_refunded(weir, new_customer):
    customer = funded(weir, new_customer, paid="3")
    hold = customer.hold(5)                             # 4 + 1
    final = expect(customer.commit(hold, 12))           # 4 + 3, and 5 that nothing carries
    assert units_by_source(final) == {"included": 4, "paid": 3} and final["charged"] == "3"
    assert final["overshoot"] == {"units": 5, "charged": "5", "refunded": "5"}
    assert final["units"]["allowed"] == 7
    assert customer.funds() == ("0", "0")
    denied(customer.consume(1), "insufficient_credits")
    customer.grant("1")
    assert customer.available() == "1"                  # nothing is owed


def test_h3_overshoot_of_a_cost_is_in_nano_credits(weir, new_customer):
    """1,000 output tokens are 0.75; 0.5 is all there is."""
    customer = funded(weir, new_customer, paid="0.5")
    attributes = {"attributes": {"model": "gpt-5.5"}}
    hold = customer.hold({"output_tokens": 600}, "codex", **attributes)         # 0.45
    final = expect(customer.commit(hold, {"output_tokens": 1000}))
    assert final["charged"] == "0.5" and customer.funds() == ("0", "0")
    assert final["overshoot"] == {"units": 250_000_000, "charged": "0.25", "refunded": "0.25"}


def test_h2_the_excess_is_always_divisible(weir, new_customer):
    customer = funded(weir, new_customer, promotional="2", paid="2")
    final = expect(customer.commit(customer.hold(3, "video"), 8))
    assert units_by_source(final) == {"included": 3, "promotional": 2, "paid": 2}
    assert final["overshoot"]["units"] == 1


@pytest.mark.parametrize("consent, paid_units, overshoot", [(None, 0, 6), (True, 6, 0)])
def test_h2_the_consent_is_that_of_the_authorize(weir, new_customer, consent, paid_units, overshoot):
    customer = funded(weir, new_customer, paid="10", credit_mode="ask")
    fields = {} if consent is None else {"use_credits": consent}
    final = expect(customer.commit(customer.hold(4, **fields), 10))
    assert units_by_source(final).get("paid", 0) == paid_units
    assert final.get("overshoot", {"units": 0})["units"] == overshoot


def test_h2_pace_counts_the_excess_below_zero_and_does_not_refuse(weir, new_customer):
    customer = funded(weir, new_customer, "gated")
    expect(customer.commit(customer.hold(5), 8))        # -3 of 5, one back a second
    assert denied(customer.consume(1), "rate_limited")["retry_after_ms"] == 4 * SECOND
    weir.advance(4 * SECOND)
    allowed(customer.consume(1))


def test_h2_a_budget_counts_the_excess_and_does_not_refuse(weir, new_customer):
    customer = funded(weir, new_customer, "capped", paid="100")
    final = expect(customer.commit(customer.hold(5), 8))
    assert final["charged"] == "8" and "overshoot" not in final
    denied(customer.consume(1), "budget_reached")
    assert customer.available() == "92"


def test_h2_the_excess_goes_through_the_plan_of_the_day(weir, new_customer):
    customer = funded(weir, new_customer, paid="10")
    hold = customer.hold(4)                             # the allowance
    customer.put(plan="bare")
    final = expect(customer.commit(hold, 6))
    assert units_by_source(final) == {"included": 4, "paid": 2} and final["charged"] == "2"


def test_h2_without_the_feature_all_of_the_excess_is_overshoot(weir, new_customer):
    customer = funded(weir, new_customer, paid="10")
    hold = customer.hold(6)                             # 4 + 2
    customer.put(plan="other")
    final = expect(customer.commit(hold, 9))
    assert units_by_source(final) == {"included": 4, "paid": 2} and final["charged"] == "2"
    assert final["overshoot"] == {"units": 3, "charged": "3", "refunded": "3"}
    assert customer.funds() == ("8", "0")


def test_h3_overshoot_as_overage_is_booked_above_the_cap(fresh, new_customer):
    plans = PLANS[PLANS.index("overage:"):PLANS.index("other:")].replace("overage:\n", "base:\n", 1)
    weir = fresh(policy(plans, defaults="overshoot: overage"))
    customer = funded(weir, new_customer, paid="2")
    hold = customer.hold(7)                             # 2 + 5
    final = expect(customer.commit(hold, 10))
    assert units_by_source(final) == {"paid": 2, "extra": 5} and final["charged"] == "7"
    assert final["overshoot"] == {"units": 3, "charged": "3", "refunded": "0"}
    assert customer.funds() == ("0", "0")
    denied(customer.consume(1), "overage_cap_reached")


# ---- H4: failure ---------------------------------------------------------------------------------

@pytest.mark.parametrize("status", ["failed", "moderated"])
@pytest.mark.parametrize("on_failure, actual, charged", [
    ("none", 6, "0"), ("none", 1, "0"), ("full", 1, "2"), ("full", 6, "2"), ("actual", 5, "1")])
def test_h4_what_a_failure_costs(fresh, new_customer, status, on_failure, actual, charged):
    weir = fresh(policy(PLANS, defaults=f"on_failure: {on_failure}"))
    customer = funded(weir, new_customer, paid="10")
    final = expect(customer.commit(customer.hold(6), actual, status=status))        # 4 + 2
    assert final["charged"] == charged
    assert customer.funds() == (str(10 - int(charged)), "0")
    free = {"none": 4, "full": 0, "actual": 0}[on_failure]
    assert customer.room() == free + 10 - int(charged)
    done = allowed(customer.consume(1, status="succeeded"))
    assert done["hold"]["state"] == "committed"


def test_h4_a_failed_consume_costs_nothing(weir, new_customer):
    customer = funded(weir, new_customer, "bare", paid="10")
    body = allowed(customer.consume(3, status="failed", duration_ms=12, compute="gpu-1"))
    assert body["charged"] == "0" and customer.funds() == ("10", "0")
    assert allowed(customer.consume(3, status="succeeded", duration_ms=12))["charged"] == "3"


# ---- expiry and the late commit ------------------------------------------------------------------

def test_w1_a_hold_lives_to_its_last_millisecond(weir, new_customer):
    customer = funded(weir, new_customer, "bare", paid="10")
    punctual, late = customer.hold(3, ttl_ms=30 * SECOND), customer.hold(2, ttl_ms=30 * SECOND)
    weir.advance(30 * SECOND - 1)
    assert customer.funds() == ("5", "5")
    assert expect(customer.commit(punctual, 3)).get("late", False) is False
    weir.advance(1)
    assert customer.funds() == ("7", "0")
    assert expect(customer.commit(late, 2))["late"] is True
    assert customer.funds() == ("5", "0")


def test_h2_a_late_commit_pays_as_things_are_then(weir, new_customer):
    """Held from the allowance; by the time it is committed others have used that up."""
    customer = funded(weir, new_customer, paid="3")
    hold = customer.hold(4, ttl_ms=SECOND)
    weir.advance(SECOND)
    allowed(customer.consume(4))
    final = expect(customer.commit(hold, 5))
    assert final["late"] is True
    assert units_by_source(final) == {"paid": 3} and final["charged"] == "3"
    assert final["overshoot"] == {"units": 2, "charged": "2", "refunded": "2"}
    assert customer.funds() == ("0", "0")


# ---- H5: extend ----------------------------------------------------------------------------------

@pytest.mark.parametrize("first, passed, second, end", [
    (60, 30, 60, 90), (60, 30, 10, 60), (60, 59, 1, 60), (60, 0, 600, 600)])
def test_h5_an_extend_only_ever_prolongs(weir, new_customer, first, passed, second, end):
    customer = funded(weir, new_customer, paid="10")
    t = weir.now
    hold = customer.hold(1, ttl_ms=first * SECOND)
    if passed:
        weir.advance(passed * SECOND)
    body = expect(customer.extend(hold, {}, ttl_ms=second * SECOND))        # quantities may be empty
    assert to_ms(body["hold"]["expires_at"]) == t + end * SECOND
    assert customer.room() == 3 + 10                    # in an extend requests default to 0
    weir.go_to(t + end * SECOND, -1)
    assert expect(customer.commit(hold, 1)).get("late", False) is False


def test_h5_the_addition_is_held_from_where_it_comes(weir, new_customer):
    customer = funded(weir, new_customer, promotional="1", paid="10")
    hold = customer.hold(3)
    expect(customer.extend(hold, 4, ttl_ms=MINUTE))     # 1 free, 1 promotional, 2 paid
    assert customer.funds() == ("8", "3")
    final = expect(customer.commit(hold, 7))
    assert units_by_source(final) == {"included": 4, "promotional": 1, "paid": 2}


def test_h5_a_denied_extend_leaves_the_hold_as_it_was(weir, new_customer):
    customer = funded(weir, new_customer, paid="2")
    t = weir.now
    hold = customer.hold(5, ttl_ms=MINUTE)              # 4 + 1
    denied(customer.extend(hold, 2, ttl_ms=10 * MINUTE), "insufficient_credits")
    assert customer.funds() == ("1", "1")
    weir.go_to(t + MINUTE)
    assert customer.funds() == ("2", "0")


def test_h5_extends_ask_the_pace_and_not_for_a_slot(weir, new_customer):
    customer = funded(weir, new_customer, "gated")
    hold = customer.hold(3)
    expect(customer.extend(hold, 2, ttl_ms=MINUTE))     # the one slot is this hold's own
    reason = denied(customer.extend(hold, 1, ttl_ms=MINUTE), "rate_limited")
    assert (reason["limit"], reason["retry_after_ms"]) == ("pace", 1000)
    expect(customer.extend(hold, 0, ttl_ms=MINUTE))


def test_h5_an_extend_takes_a_key(weir, new_customer):
    customer = funded(weir, new_customer, "bare", paid="10")
    hold = customer.hold(1)
    first = customer.extend(hold, 2, ttl_ms=MINUTE, idempotency_key="e")
    again = customer.extend(hold, 2, ttl_ms=MINUTE, idempotency_key="e")
    assert expect(first) and first.raw == again.raw
    assert customer.funds() == ("7", "3")
    problem(customer.extend(hold, 3, ttl_ms=MINUTE, idempotency_key="e"), 409)
    assert customer.funds() == ("7", "3")


# ---- H6: twice, late, in the wrong order ---------------------------------------------------------

def test_h6_the_same_commit_again_has_the_same_answer(weir, new_customer):
    customer = funded(weir, new_customer, paid="10")
    hold = customer.hold(6)
    first = customer.commit(hold, 5, status="succeeded", duration_ms=7)
    again = customer.commit(hold, 5, status="succeeded", duration_ms=7)
    assert expect(first) and (first.status, first.raw) == (again.status, again.raw)
    assert customer.funds() == ("9", "0")


@pytest.mark.parametrize("ended, then, statuses", [
    ("commit", "same commit", (200,)),
    ("commit", "other commit", (409,)),
    ("commit", "release", (409,)),
    ("commit", "extend", HOLD_ENDED),
    ("release", "same commit", (409,)),
    ("release", "release", (200,)),
    ("release", "extend", HOLD_ENDED),
    ("expiry", "same commit", (200,)),
    ("expiry", "release", (200,)),
    ("expiry", "extend", HOLD_ENDED),
    ("late commit", "same commit", (200,)),
    ("late commit", "other commit", (409,)),
    ("late commit", "extend", HOLD_ENDED),
])
def test_h6_whatever_happens_to_a_hold_in_the_wrong_order(weir, new_customer, ended, then, statuses):
    customer = funded(weir, new_customer, "bare", paid="10")
    hold = customer.hold(6, ttl_ms=SECOND)
    if ended in ("expiry", "late commit"):
        weir.advance(SECOND)
    if ended in ("commit", "late commit"):
        expect(customer.commit(hold, 4))
    elif ended == "release":
        assert hold_state(expect(customer.release(hold))) == "released"
    before = customer.funds()
    answer = {"same commit": lambda: customer.commit(hold, 4),
              "other commit": lambda: customer.commit(hold, 3),
              "release": lambda: customer.release(hold),
              "extend": lambda: customer.extend(hold, 1, ttl_ms=MINUTE)}[then]()
    if statuses == (200,):
        expect(answer, statuses)
    else:
        problem(answer, statuses)
    if (then, statuses) == ("release", (200,)):
        assert hold_state(answer.body) == {"release": "released", "expiry": "expired"}[ended]
    used_late = (ended, then) == ("expiry", "same commit")
    assert customer.funds() == (("6", "0") if used_late else before)


@pytest.mark.parametrize("call", ["commit", "release", "extend"])
def test_h6_an_unknown_hold_is_a_404(weir, new_customer, call):
    customer = funded(weir, new_customer)
    arguments = {"commit": (GONE, 1), "release": (GONE,), "extend": (GONE, 1)}[call]
    problem(getattr(customer, call)(*arguments), 404)


def test_h6_a_denial_holds_nothing_to_commit(weir, new_customer):
    customer = funded(weir, new_customer, "bare")
    decision = denied_id(customer)
    problem(customer.commit(decision, 1), (404, 409))
    problem(customer.release(decision), (404, 409))
    assert customer.funds() == ("0", "0")


def denied_id(customer):
    answer = customer.authorize(1)
    denied(answer, "insufficient_credits")
    return answer.body["decision_id"]


def test_h6_what_a_consume_settled_cannot_be_settled_otherwise(weir, new_customer):
    customer = funded(weir, new_customer, "bare", paid="10")
    decision = allowed(customer.consume(3))["decision_id"]
    problem(customer.release(decision), (404, 409))
    problem(customer.commit(decision, 1), (404, 409))
    assert customer.funds() == ("7", "0")


@pytest.mark.parametrize("ending", ["commit", "release", "expiry"])
def test_h6_an_ended_hold_is_remembered_as_long_as_keys_are(fresh, new_customer, ending):
    weir = fresh(policy(PLANS, retention="1h"))
    customer = funded(weir, new_customer, "bare", paid="10")
    hold = customer.hold(4, ttl_ms=10 * MINUTE)
    weir.advance(5 * MINUTE)
    if ending == "commit":
        expect(customer.commit(hold, 4))
    elif ending == "release":
        expect(customer.release(hold))
    else:
        weir.advance(5 * MINUTE)                        # I3: from the end of its hold
    weir.advance(HOUR - 1)
    if ending == "commit":
        expect(customer.commit(hold, 4), (200,))
    else:
        expect(customer.release(hold), (200,))
    weir.advance(1)
    before = customer.funds()
    problem(customer.commit(hold, 4), 404)
    problem(customer.release(hold), 404)
    assert customer.funds() == before


# ---- T2: what falls due --------------------------------------------------------------------------

def test_t2_expiries_have_happened_before_anything_is_read_or_decided(weir, new_customer):
    customer = funded(weir, new_customer, "bare", paid="6")
    customer.hold(2, ttl_ms=10 * SECOND)
    customer.hold(2, ttl_ms=20 * SECOND)
    customer.hold(2, ttl_ms=30 * SECOND)
    for available in ("2", "4", "6"):
        weir.advance(10 * SECOND)
        assert customer.balance()["available"] == available
        assert allowed(customer.check(int(available)))["charged"] == available

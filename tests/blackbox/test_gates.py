"""Gates: access, pace, concurrency, budget, and at whose level (SEMANTICS G1-G6)."""

import pytest

from policies import policy
from weir_client import (HOUR, MINUTE, SCOPE_LEVEL_1, SCOPE_LEVEL_2, SECOND, allowed, denied, expect,
                         lines, partial)

POLICY = policy(f"""
base:
  tier: 1
  features:
    chat:
      gates: [{{rate: {{name: pace, meter: requests, limit: 60, per: 1m, burst: 20, scope: customer}}}}]
      waterfall: [{{unlimited: {{}}}}]
    codex:
      gates: [{{rate: {{name: tokens, meter: input_tokens, limit: 600, per: 1m, burst: 1000, scope: customer}}}}]
      waterfall: [{{unlimited: {{}}}}]
    third:
      gates: [{{rate: {{name: sevens, meter: requests, limit: 7, per: 1s, burst: 3, scope: customer}}}}]
      waterfall: [{{unlimited: {{}}}}]
    clip:
      gates: [{{rate: {{name: pace, meter: requests, limit: 5, per: 1h, burst: 5, scope: customer}}}}]
      waterfall:
        - allowance: {{name: included, scope: customer, windows: [{{limit: 3, per: 5h, start: first_use}}]}}
paid:
  tier: 1
  features:
    chat:
      gates: [{{rate: {{name: pace, meter: requests, limit: 10, per: 1h, burst: 10, scope: customer}}}}]
      waterfall: [{{grants: {{category: paid}}}}]
slots:
  tier: 1
  features:
    chat:
      gates: [{{concurrency: {{name: slots, limit: 2, scope: customer}}}}]
      waterfall: [{{unlimited: {{}}}}]
    pair:
      gates: [{{concurrency: {{name: one, limit: 1, scope: customer}}}}]
      waterfall: [{{unlimited: {{}}}}]
pace-first:
  tier: 1
  features:
    chat:
      gates:
        - rate: {{name: pace, meter: requests, limit: 1, per: 1h, burst: 1, scope: customer}}
        - concurrency: {{name: slots, limit: 1, scope: customer}}
      waterfall: [{{unlimited: {{}}}}]
slots-first:
  tier: 1
  features:
    chat:
      gates:
        - concurrency: {{name: slots, limit: 1, scope: customer}}
        - rate: {{name: pace, meter: requests, limit: 1, per: 1h, burst: 1, scope: customer}}
      waterfall: [{{unlimited: {{}}}}]
two-paces:
  tier: 1
  features:
    chat:
      gates:
        - rate: {{name: wide, meter: requests, limit: 10, per: 1h, burst: 10, scope: customer}}
        - rate: {{name: narrow, meter: requests, limit: 2, per: 1h, burst: 2, scope: customer}}
      waterfall: [{{unlimited: {{}}}}]
    pair:
      gates:
        - rate: {{name: wide, meter: requests, limit: 10, per: 1h, burst: 10, scope: customer}}
        - concurrency: {{name: slots, limit: 1, scope: customer}}
      waterfall: [{{unlimited: {{}}}}]
capped:
  tier: 1
  features:
    chat:
      gates: [{{budget: {{name: cap, credits: "5", per: month, start: calendar, scope: customer}}}}]
      waterfall:
        - allowance: {{name: included, scope: customer, windows: [{{limit: 2, per: 5h, start: first_use}}]}}
        - grants: {{category: promotional}}
        - grants: {{category: paid}}
        - overage: {{name: extra, credits: "100", per: month, start: calendar}}
scoped:
  tier: 1
  features:
    chat:
      gates: [{{rate: {{name: pace, meter: requests, limit: 1, per: 1h, burst: 1, scope: customer}}}}]
      waterfall: [{{unlimited: {{}}}}]
    pair:
      gates: [{{rate: {{name: pace, meter: requests, limit: 1, per: 1h, burst: 1, scope: subject}}}}]
      waterfall: [{{unlimited: {{}}}}]
    third:
      gates: [{{rate: {{name: pace, meter: requests, limit: 1, per: 1h, burst: 1, scope: {SCOPE_LEVEL_1}}}}}]
      waterfall: [{{unlimited: {{}}}}]
    least:
      gates: [{{rate: {{name: pace, meter: requests, limit: 1, per: 1h, burst: 1, scope: {SCOPE_LEVEL_2}}}}}]
      waterfall: [{{unlimited: {{}}}}]
narrow:
  tier: 1
  features:
    pair: {{waterfall: [{{unlimited: {{}}}}]}}
""")


# ---- G1: order -----------------------------------------------------------------------------------

def test_g1_a_feature_of_other_plans_is_not_entitled(weir, new_customer):
    denied(new_customer(weir, plan="narrow").consume(1), "not_entitled")


def test_g1_entitlement_comes_before_suspension(weir, new_customer):
    customer = new_customer(weir, plan="narrow", suspended=True)
    denied(customer.consume(1, "chat"), "not_entitled")
    denied(customer.consume(1, "pair"), "suspended")


def test_g1_suspension_comes_before_the_gates_and_ends_at_once(weir, new_customer):
    customer = new_customer(weir, plan="pace-first")
    allowed(customer.consume(1))
    customer.put(suspended=True)
    denied(customer.consume(1), "suspended")
    denied(customer.check(1), "suspended")
    customer.put(suspended=False)
    denied(customer.consume(1), "rate_limited")


@pytest.mark.parametrize("plan, code, gate", [
    ("pace-first", "rate_limited", "pace"), ("slots-first", "concurrency_limited", "slots")])
def test_g1_the_first_gate_that_refuses_names_itself(weir, new_customer, plan, code, gate):
    customer = new_customer(weir, plan=plan)
    customer.hold(1)                    # the bucket is empty and the slot is taken
    reason = denied(customer.authorize(1), code)
    assert (reason["limit"], reason["scope"]) == (gate, "customer")


def test_g1_a_gate_is_asked_before_the_sources(weir, new_customer):
    customer = new_customer(weir, plan="paid")
    denied(customer.consume(11), "rate_limited")
    denied(customer.consume(10), "insufficient_credits")


def test_g1_status_tells_what_sources_have_whichever_gate_refuses(weir, new_customer):
    customer = new_customer(weir, plan="paid")
    customer.grant("25")
    allowed(customer.consume(10))
    path = f"{customer.path}/status?feature=chat"

    def status():
        feature, = expect(weir.get(path), (200,))["features"]
        return feature["reason"], [row["remaining"] for row in feature["limits"]]

    assert status() == ("rate_limited", [0, 15])
    customer.put(suspended=True)
    assert status() == ("suspended", [0, 15])
    customer.put(suspended=False, credit_mode="off")
    weir.advance(HOUR)
    assert status() == ("allowance_exhausted", [10, 15])


# ---- G2: pace ------------------------------------------------------------------------------------

def test_g2_status_tells_the_limit_and_what_the_bucket_has(weir, customer):
    allowed(customer.consume(6))

    def pace():
        feature, = expect(weir.get(f"{customer.path}/status?feature=chat"), (200,))["features"]
        row = feature["limits"][0]
        return row["window"], row["limit"], row["burst"], row["used"], row["remaining"]

    assert pace() == ("1m", 60, 20, 6, 14)
    for _ in range(4):
        customer.usage(2**53 - 1)
    assert pace() == ("1m", 60, 20, 2**53 - 1, 0)


def test_g2_a_bucket_of_twenty_refilled_once_a_second(weir, customer):
    for _ in range(20):
        allowed(customer.consume(1))
    reason = denied(customer.consume(1), "rate_limited")
    assert (reason["limit"], reason["retry_after_ms"]) == ("pace", 1000)
    weir.advance(999)
    assert denied(customer.consume(1), "rate_limited")["retry_after_ms"] == 1
    weir.advance(1)
    allowed(customer.consume(1))
    assert denied(customer.consume(1), "rate_limited")["retry_after_ms"] == 1000


@pytest.mark.parametrize("spent, asked, wait", [
    (20, 1, 1000), (20, 20, 20_000), (17, 5, 2000), (0, 21, None), (5, 21, None), (19, 2, 1000)])
def test_g2_the_whole_request_is_asked_for(weir, customer, spent, asked, wait):
    if spent:
        allowed(customer.consume(spent))
    for fields in ({}, {"min_units": 1}):           # never cut
        reason = denied(customer.consume(asked, **fields), "rate_limited")
        assert reason["retry_after_ms"] == wait


def test_g2_a_bucket_never_holds_more_than_its_burst(weir, customer):
    allowed(customer.consume(1))
    weir.advance(48 * HOUR)
    assert denied(customer.consume(21), "rate_limited")["retry_after_ms"] is None
    allowed(customer.consume(20))
    denied(customer.consume(1), "rate_limited")


def test_g2_a_wait_is_rounded_up_and_exact(weir, customer):
    """7 a second from an empty bucket: the n-th token is there at ceil(n * 1000 / 7) ms."""
    allowed(customer.consume(3, "third"))
    started = weir.now
    for n in range(1, 15):
        due = -(-n * 1000 // 7)
        wait = started + due - weir.now
        assert denied(customer.consume(1, "third"), "rate_limited")["retry_after_ms"] == wait, n
        weir.advance(wait - 1)
        assert denied(customer.consume(1, "third"), "rate_limited")["retry_after_ms"] == 1, n
        weir.advance(1)
        allowed(customer.consume(1, "third"))


def test_g2_a_gate_on_a_meter_counts_that_meter(weir, customer):
    """1,000 tokens in the bucket, 10 a second; output and cached tokens do not count."""
    allowed(customer.consume({"input_tokens": 700, "output_tokens": 9000}, "codex"))
    reason = denied(customer.consume({"input_tokens": 400}, "codex"), "rate_limited")
    assert reason["retry_after_ms"] == 10 * SECOND          # 100 tokens short
    allowed(customer.consume({"cached_tokens": 5000}, "codex"))
    allowed(customer.consume({"input_tokens": 300}, "codex"))


def test_u2_requests_default_to_one_at_the_gate_too(weir, customer):
    for _ in range(5):
        allowed(customer.consume({"seconds": 0}, "clip"))
    denied(customer.consume({"seconds": 0}, "clip"), "rate_limited")
    allowed(customer.consume({"seconds": 0, "requests": 0}, "clip"))


# ---- G3: what is charged to a gate ---------------------------------------------------------------

def test_g3_a_denial_charges_no_gate(weir, new_customer):
    customer = new_customer(weir, plan="paid")
    for _ in range(5):
        denied(customer.consume(10), "insufficient_credits")
        denied(customer.consume(11), "rate_limited")
    customer.grant("10")
    allowed(customer.consume(10))


def test_g3_a_later_refusal_charges_no_earlier_gate(weir, new_customer):
    customer = new_customer(weir, plan="two-paces")
    allowed(customer.consume(2))
    for _ in range(3):
        assert denied(customer.consume(1), "rate_limited")["limit"] == "narrow"
    hold = customer.hold(9, "pair")
    for _ in range(3):
        denied(customer.authorize(1, "pair"), "concurrency_limited")
    customer.release(hold)
    allowed(customer.consume(1, "pair"))                    # the tenth of ten
    assert denied(customer.consume(1, "pair"), "rate_limited")["limit"] == "wide"


def test_g3_check_charges_no_gate(weir, new_customer):
    customer = new_customer(weir, plan="pace-first")
    for _ in range(3):
        allowed(customer.check(1))
    allowed(customer.consume(1))


def test_g3_a_part_charges_what_it_was_allowed(weir, new_customer):
    customer = new_customer(weir, plan="paid")
    customer.grant("3")
    partial(customer.consume(10, min_units=1), 3)
    customer.grant("10")
    denied(customer.consume(8), "rate_limited")
    allowed(customer.consume(7))


def test_g3_a_part_of_another_meter_rounds_up(weir, customer):
    """3 of 10 seconds: 4 requests * 3/10 = 1.2, so 2 of the 5 tokens are gone."""
    partial(customer.consume({"requests": 4, "seconds": 10}, "clip", min_units=1), 3)
    denied(customer.consume({"requests": 4, "seconds": 0}, "clip"), "rate_limited")
    allowed(customer.consume({"requests": 3, "seconds": 0}, "clip"))


@pytest.mark.parametrize("ending", ["release", "expiry", "smaller commit", "failed"])
def test_g3_pace_stays_counted_however_the_hold_ends(weir, new_customer, ending):
    customer = new_customer(weir, plan="paid")
    customer.grant("100")
    hold = customer.hold(10, ttl_ms=1000)
    if ending == "release":
        expect(customer.release(hold))
    elif ending == "smaller commit":
        expect(customer.commit(hold, 1))
    elif ending == "failed":
        expect(customer.commit(hold, 10, status="failed"))
    weir.advance(1000)                  # 1/360 of a token comes back
    assert denied(customer.consume(1), "rate_limited")["retry_after_ms"] == 6 * MINUTE - 1000


# ---- G4: concurrency -----------------------------------------------------------------------------

def test_g4_one_slot_a_hold_whatever_it_holds(weir, new_customer):
    customer = new_customer(weir, plan="slots")
    customer.hold(500)
    customer.hold(0)
    reason = denied(customer.authorize(1), "concurrency_limited")
    assert (reason["limit"], reason["retry_after_ms"]) == ("slots", None)
    denied(customer.authorize(0), "concurrency_limited")


@pytest.mark.parametrize("ending", ["commit", "release", "expiry", "failed"])
def test_g4_the_slot_is_free_when_the_hold_ends(weir, new_customer, ending):
    customer = new_customer(weir, plan="slots")
    hold = customer.hold(1, ttl_ms=10 * SECOND)
    customer.hold(1, ttl_ms=HOUR)
    denied(customer.authorize(1), "concurrency_limited")
    if ending == "commit":
        expect(customer.commit(hold, 1))
    elif ending == "failed":
        expect(customer.commit(hold, 1, status="failed"))
    elif ending == "release":
        expect(customer.release(hold))
    else:
        weir.advance(10 * SECOND - 1)
        denied(customer.authorize(1), "concurrency_limited")
        weir.advance(1)
    customer.hold(1, ttl_ms=HOUR)
    denied(customer.authorize(1), "concurrency_limited")


def test_g4_consume_needs_a_free_slot_and_keeps_none(weir, new_customer):
    customer = new_customer(weir, plan="slots")
    for _ in range(5):
        allowed(customer.consume(1))
    customer.hold(1)
    allowed(customer.consume(1))
    customer.hold(1)
    denied(customer.consume(1), "concurrency_limited")


def test_g4_a_late_commit_takes_no_slot(weir, new_customer):
    customer = new_customer(weir, plan="slots")
    early = customer.hold(1, "pair", ttl_ms=1000)
    weir.advance(1000)
    later = customer.hold(1, "pair")
    assert expect(customer.commit(early, 1))["late"] is True
    denied(customer.authorize(1, "pair"), "concurrency_limited")
    expect(customer.release(later))
    customer.hold(1, "pair")


# ---- G5: budgets ---------------------------------------------------------------------------------

def test_g5_a_budget_caps_what_grants_and_overage_charge_together(weir, new_customer):
    customer = new_customer(weir, plan="capped")
    customer.grant("3", "promotional")
    customer.grant("1")
    assert denied(customer.consume(8), "budget_reached")["limit"] == "cap"
    body = partial(customer.consume(8, min_units=1), 7)         # 2 free, 3 + 1 + 1 charged
    assert lines(body) == [("included", 2, "0"), ("promotional", 3, "3"), ("paid", 1, "1"),
                           ("extra", 1, "1")]
    denied(customer.consume(1), "budget_reached")


def test_g5_what_is_free_does_not_count(weir, new_customer):
    customer = new_customer(weir, plan="capped")
    customer.grant("50")
    allowed(customer.consume(2))
    allowed(customer.consume(5))
    denied(customer.consume(1), "budget_reached")
    weir.advance(5 * HOUR)
    allowed(customer.consume(2))
    denied(customer.consume(1), "budget_reached")


@pytest.mark.parametrize("ending, room", [
    ("nothing", 0), ("release", 5), ("expiry", 5), ("smaller commit", 3), ("failed", 5)])
def test_g5_what_is_held_counts_and_what_returns_is_restored(weir, new_customer, ending, room):
    customer = new_customer(weir, plan="capped")
    customer.grant("50")
    allowed(customer.consume(2))                                # the allowance
    hold = customer.hold(5, ttl_ms=10 * SECOND)
    assert customer.room() == 0
    if ending == "release":
        expect(customer.release(hold))
    elif ending == "smaller commit":
        expect(customer.commit(hold, 2))
    elif ending == "failed":
        expect(customer.commit(hold, 5, status="failed"))
    elif ending == "expiry":
        weir.advance(10 * SECOND)
    assert customer.room() == room


def test_g5_a_refund_restores_neither_budget_nor_overage_cap(weir, new_customer):
    customer = new_customer(weir, plan="capped")
    customer.grant("50")
    spent = allowed(customer.consume(7))
    expect(customer.refund(spent["decision_id"], all=True))
    assert customer.available() == "50"
    denied(customer.consume(1), "budget_reached")


def test_g5_a_return_restores_the_month_it_was_drawn_in(fresh, new_customer):
    weir = fresh(clock="2026-05-31T23:59:30Z")
    customer = new_customer(weir, plan="capped")
    customer.grant("50")
    allowed(customer.consume(2))                                # the allowance
    hold = customer.hold(3, ttl_ms=10 * MINUTE)
    assert customer.room() == 2
    weir.go_to("2026-06-01T00:00:00Z", -1)
    assert customer.room() == 2
    weir.go_to("2026-06-01T00:00:00Z")
    assert customer.room() == 5
    allowed(customer.consume(4))
    expect(customer.release(hold))                              # May's
    assert customer.room() == 1
    assert customer.funds() == ("46", "0")


# ---- G6: whose limit -----------------------------------------------------------------------------

@pytest.mark.parametrize("feature, first, second, shared", [
    ("chat", "team-a/alice", "team-b/bob", True),               # scope: customer
    ("chat", None, "team-b", True),
    ("pair", "team-a/alice", "team-a/alice", True),             # scope: subject, the whole path
    ("pair", "team-a/alice", "team-a/bob", False),
    ("pair", "team-a", "team-a/alice", False),
    ("pair", None, None, True),                                 # an absent subject is one subject
    ("pair", None, "team-a", False),
    ("third", "team-a/alice", "team-a/bob/key-7", True),        # level 1
    ("third", "team-a", "team-a/bob", True),
    ("third", "team-a/alice", "team-b/alice", False),
    ("third", None, "team-a", False),
    ("least", "team-a/alice/k1", "team-a/alice/k2", True),      # level 2
    ("least", "team-a/alice", "team-a/alice/k2", True),
    ("least", "team-a/alice", "team-a/bob", False),
    ("least", "team-a", "team-a", True),                        # a shorter path is the whole path
    ("least", "team-a", "team-a/alice", False),
])
def test_g6_who_shares_a_limit(weir, new_customer, feature, first, second, shared):
    customer = new_customer(weir, plan="scoped")
    allowed(customer.consume(1, feature, **({"subject": first} if first else {})))
    answer = customer.consume(1, feature, **({"subject": second} if second else {}))
    if shared:
        denied(answer, "rate_limited")
    else:
        allowed(answer)


def test_g6_customers_share_nothing(weir, new_customer):
    for customer in (new_customer(weir, plan="scoped"), new_customer(weir, plan="scoped")):
        allowed(customer.consume(1, subject="team-a/alice"))

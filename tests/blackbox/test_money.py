"""Prices, remainders, grants, refunds, overage, debt, recurring grants (SEMANTICS U1-U7, S3, S4, H7,
A2, B2)."""

import os
import random

import pytest

from policies import PRICES, policy
from weir_client import (BEYOND_CHARGE, DAY, HOUR, INTEGER_MAX, MINUTE, NANO, SECOND, allowed,
                         charged_nanos, decided, denied, expect, grants_of, lines, nano, partial,
                         problem, shortest, to_text)

PAID = "{waterfall: [{grants: {category: paid}}]}"
PLANS = f"""
base:
  tier: 1
  features:
    chat: {{waterfall: [{{grants: {{category: promotional}}}}, {{grants: {{category: paid}}}}]}}
    pair: {{waterfall: [{{grants: {{category: promotional}}}}, {{grants: {{category: paid}}}}]}}
    third: {{waterfall: [{{grants: {{category: promotional}}}}, {{grants: {{category: paid}}}}]}}
    least: {{waterfall: [{{grants: {{category: promotional}}}}, {{grants: {{category: paid}}}}]}}
    video: {PAID}
    codex: {PAID}
    fine: {PAID}
    picky: {PAID}
free-first:
  tier: 1
  features:
    least:
      waterfall:
        - allowance: {{name: included, scope: customer, windows: [{{limit: 2, per: 5h, start: first_use}}]}}
        - grants: {{category: paid}}
    fine:
      waterfall:
        - allowance: {{name: included, scope: customer, windows: [{{credits: "0.0000001", per: 5h, start: first_use}}]}}
        - grants: {{category: paid}}
overage:
  tier: 1
  features:
    chat: {{waterfall: [{{grants: {{category: paid}}}}, {{overage: {{name: extra, credits: "5", per: month, start: calendar}}}}]}}
monthly:
  tier: 2
  features:
    chat: {{waterfall: [{{grants: {{category: entitlement}}}}, {{grants: {{category: paid}}}}]}}
  recurring:
    - grant: {{name: monthly, category: entitlement, credits: "100", per: month, start: anchor, rollover_max: "50"}}
monthly-plain:
  tier: 2
  features:
    chat: {{waterfall: [{{grants: {{category: entitlement}}}}]}}
  recurring:
    - grant: {{name: monthly, category: entitlement, credits: "100", per: month, start: anchor}}
"""
POLICY = policy(PLANS)
GPT = {"model": "gpt-5.5"}


def paid(weir, new_customer, credits="1000", **settings):
    customer = new_customer(weir, **({"plan": "base"} | settings))
    customer.grant(credits)
    return customer


# ---- A2: the spelling of money -------------------------------------------------------------------

@pytest.mark.parametrize("written, shown", [
    ("6", "6"), ("6.000", "6"), ("0.5", "0.5"), ("0.500000000", "0.5"), ("10", "10"),
    ("0.000000001", "0.000000001"), ("1000000.10", "1000000.1")])
def test_a2_credits_are_shown_in_their_shortest_form(weir, customer, written, shown):
    grant = customer.grant(written)
    assert customer.available() == shown
    assert customer.remaining(grant) == shown
    assert customer.held() == "0"


# ---- U3: what a request costs --------------------------------------------------------------------

@pytest.mark.parametrize("feature, amount, attributes, price, charged", [
    ("chat", 3, {}, "chat/message", "3"),
    ("pair", 3, {}, "pair/pair", "6"),
    ("video", 5, {}, "video/video", "5"),                               # absent attribute: 1
    ("video", 5, {"resolution": "480p"}, "video/video", "5"),
    ("video", 5, {"resolution": "720p"}, "video/video", "20"),
    ("video", 5, {"resolution": "600p"}, "video/video", "7.5"),
    ("least", 1, {}, "least/least", "4"),                               # the minimum
    ("least", 8, {}, "least/least", "4"),
    ("least", 9, {}, "least/least", "4.5"),
    ("least", 0, {}, "least/least", "0"),                               # f(0) = 0
    # 1000 * 125,000 + 2000 * 12,500 + 500 * 750,000 = 525,000,000 nano-credits
    ("codex", {"input_tokens": 1000, "cached_tokens": 2000, "output_tokens": 500}, GPT,
     "codex/gpt-5.5", "0.525"),
    ("codex", {"input_tokens": 1000, "cached_tokens": 2000, "output_tokens": 500},
     GPT | {"speed": "fast"}, "codex/gpt-5.5", "1.05"),
    ("codex", {"input_tokens": 1000, "cached_tokens": 2000, "output_tokens": 500},
     GPT | {"speed": "standard"}, "codex/gpt-5.5", "0.525"),
    ("codex", {"input_tokens": 1000, "cached_tokens": 2000, "output_tokens": 500},
     {"model": "other"}, "codex/default", "0.2625"),
    ("codex", {"input_tokens": 1000, "cached_tokens": 2000, "output_tokens": 500}, {},
     "codex/default", "0.2625"),
    ("codex", {"input_tokens": 1}, GPT, "codex/gpt-5.5", "0.000125"),
    ("codex", {"cached_tokens": 1}, {}, "codex/default", "0.00000625"),
    ("codex", {}, GPT, "codex/gpt-5.5", "0"),                           # requests have no rate
    # U6: the most specific match
    ("picky", 2, {"model": "small"}, "picky/small", "2"),
    ("picky", 2, {"model": "large"}, "picky/large", "6"),
    ("picky", 2, {"model": "large", "speed": "fast"}, "picky/large-fast", "14"),
    ("picky", 2, {"model": "large", "speed": "slow"}, "picky/large", "6"),
    ("picky", 2, {"model": "small", "speed": "fast"}, "picky/small", "2"),
])
def test_u3_u6_the_price_of_a_request(weir, new_customer, feature, amount, attributes, price, charged):
    customer = paid(weir, new_customer)
    body = allowed(customer.consume(amount, feature, attributes=attributes))
    assert (body["price"], body["charged"]) == (price, charged)
    assert nano(customer.available()) == 1000 * NANO - nano(charged)


@pytest.mark.parametrize("feature, amount, attributes, mentions", [
    ("nonsense", 1, {}, "nonsense"),
    ("chat", {"furlongs": 1}, {}, "furlongs"),
    ("chat", {"requests": 1, "seconds": 1}, {}, "seconds"),         # a meter of another feature
    ("video", 5, {"resolution": "8k"}, "8k"),
    ("codex", {"input_tokens": 1}, GPT | {"speed": "warp"}, "warp"),
    ("picky", 1, {"model": "medium"}, "attributes"),                # no rule matches
    ("picky", 1, {}, "attributes"),
])
def test_u6_what_the_price_book_does_not_know_is_refused(weir, new_customer, feature, amount,
                                                         attributes, mentions):
    customer = paid(weir, new_customer)
    before = customer.fingerprint()
    for call in (customer.check, customer.authorize, customer.consume):
        problem(call(amount, feature, attributes=attributes), 422, mentions)
    assert customer.fingerprint() == before


@pytest.mark.parametrize("feature, amount, attributes", [
    ("codex", {"output_tokens": INTEGER_MAX}, GPT),                 # 2^53 * 750,000 nano-credits
    ("codex", {"input_tokens": INTEGER_MAX, "output_tokens": INTEGER_MAX}, GPT),
    ("codex", {"input_tokens": 10**11}, GPT),                       # 1.25e16 > 2^53 - 1 units
])
def test_u7_more_than_can_be_counted_is_refused_whole(weir, new_customer, feature, amount, attributes):
    customer = paid(weir, new_customer)
    before = customer.fingerprint()
    for call in (customer.check, customer.authorize, customer.consume):
        problem(call(amount, feature, attributes=attributes), 422)
    assert customer.fingerprint() == before


# ---- U3: the minimum over several lines ----------------------------------------------------------

@pytest.mark.parametrize("promotional, units, expected", [
    # f(8) = 4 is what 4 promotional credits carry; f(10) - f(8) = 5 - 4.
    (["4"], 10, [("promotional", 8, "4"), ("paid", 2, "1")]),
    # f(1) = 4 > 3: the promotional grant carries not even one unit.
    (["3"], 3, [("paid", 3, "4")]),
    # f(9) = 4.5: the ninth unit is beyond 4.4 credits.
    (["4.4"], 10, [("promotional", 8, "4"), ("paid", 2, "1")]),
    (["4.5"], 10, [("promotional", 9, "4.5"), ("paid", 1, "0.5")]),
    # Two grants carry the minimum together, and the unit counts on the later line.
    (["2", "2"], 1, [("promotional", 0, "2"), ("promotional", 1, "2")]),
])
def test_u3_a_minimum_is_shared_by_the_lines_that_credits_fund(weir, new_customer, promotional, units,
                                                               expected):
    customer = paid(weir, new_customer)
    for credits in promotional:
        customer.grant(credits, "promotional")
    assert lines(allowed(customer.consume(units, "least"))) == expected


def test_u3_free_units_do_not_count_towards_the_minimum(weir, new_customer):
    """2 of 5 are free; 3 credit-funded units cost max(1.5, 4)."""
    customer = paid(weir, new_customer, plan="free-first")
    assert lines(allowed(customer.consume(5, "least"))) == [("included", 2, "0"), ("paid", 3, "4")]
    free = new_customer(weir, plan="free-first")
    assert allowed(free.consume(2, "least"))["charged"] == "0"


# ---- U4: remainders ------------------------------------------------------------------------------

THIRD, THIRD_UP = "0.333333333", "0.333333334"


def test_u4_three_thirds_are_one(weir, new_customer):
    customer = paid(weir, new_customer, "1")
    charges = [allowed(customer.consume(1, "third"))["charged"] for _ in range(3)]
    assert charges == [THIRD, THIRD, THIRD_UP]
    assert customer.available() == "0"


def test_u4_a_hold_reserves_the_ceiling_and_a_commit_charges_the_floor(weir, new_customer):
    customer = paid(weir, new_customer, "2")
    charges = []
    for _ in range(3):
        hold = allowed(customer.authorize(1, "third"))
        assert hold["charged"] == THIRD_UP and customer.held() == THIRD_UP
        charges.append(expect(customer.commit(hold["decision_id"], 1))["charged"])
        assert customer.held() == "0"
    assert charges == [THIRD, THIRD, THIRD_UP]
    assert customer.available() == "1"


def test_u4_a_hold_that_is_released_leaves_no_remainder(weir, new_customer):
    customer = paid(weir, new_customer, "2")
    expect(customer.release(customer.hold(1, "third")))
    expect(customer.commit(customer.hold(1, "third"), 1, status="failed"))
    assert [allowed(customer.consume(1, "third"))["charged"] for _ in range(3)] == [
        THIRD, THIRD, THIRD_UP]


def test_u4_only_the_ceiling_is_affordable(weir, new_customer):
    short, enough = paid(weir, new_customer, THIRD), paid(weir, new_customer, THIRD_UP)
    denied(short.consume(1, "third"), "insufficient_credits")
    assert allowed(enough.consume(1, "third"))["charged"] == THIRD
    assert enough.available() == "0.000000001"


def test_u4_the_remainder_runs_on_from_line_to_line(weir, new_customer):
    """One unit promotional, one paid: 1/3 and 1/3, leaving 2/3 of a nano-credit for the next."""
    customer = paid(weir, new_customer, "5")
    customer.grant(THIRD_UP, "promotional")
    assert lines(allowed(customer.consume(2, "third"))) == [
        ("promotional", 1, THIRD), ("paid", 1, THIRD)]
    assert allowed(customer.consume(1, "third"))["charged"] == THIRD_UP


def test_u4_customers_and_rules_have_remainders_of_their_own(weir, new_customer):
    first, second = paid(weir, new_customer), paid(weir, new_customer)
    for customer in (first, second):
        for _ in range(2):
            assert allowed(customer.consume(1, "third"))["charged"] == THIRD
    # 12.5 nano-credits a token: the third's remainder is not this rule's.
    assert allowed(first.consume(1, "fine"))["charged"] == "0.000000012"
    assert allowed(first.consume(1, "third"))["charged"] == THIRD_UP
    assert allowed(first.consume(1, "fine"))["charged"] == "0.000000013"


def test_u4_a_cost_carries_one_remainder_before_the_split(weir, new_customer):
    """100 nano-credits are free; 15 tokens cost 187.5, of which 187 and then 188 are settled."""
    customer = paid(weir, new_customer, "1", plan="free-first")
    first = allowed(customer.consume(15, "fine"))
    assert lines(first) == [("included", 100, "0"), ("paid", 87, "0.000000087")]
    second = allowed(customer.consume(15, "fine"))
    assert lines(second) == [("paid", 188, "0.000000188")]


def test_u4_a_free_cost_leaves_its_remainder_too(weir, new_customer):
    """Three tokens are 37.5: 37 and 38 are drawn from the allowance of 100, so 25 are left."""
    customer = paid(weir, new_customer, "1", plan="free-first")
    assert lines(allowed(customer.consume(3, "fine"))) == [("included", 37, "0")]
    assert lines(allowed(customer.consume(3, "fine"))) == [("included", 38, "0")]
    assert lines(allowed(customer.consume(4, "fine"))) == [
        ("included", 25, "0"), ("paid", 25, "0.000000025")]


@pytest.mark.parametrize("feature, numerator, denominator", [("third", NANO, 3), ("fine", 25, 2)])
def test_u4_splitting_usage_costs_the_same_in_total(weir, new_customer, feature, numerator,
                                                    denominator):
    """Whatever the pieces, and whether consumed or held and committed: the floor of the exact sum."""
    seed = int(os.environ.get("WEIR_SEED", random.SystemRandom().randrange(2**32)))
    print("WEIR_SEED =", seed)
    draw = random.Random(seed)
    customer = paid(weir, new_customer, "100000")
    units = charged = 0
    for _ in range(60):
        piece = draw.randint(0, 50)
        if draw.random() < 0.5:
            body = allowed(customer.consume(piece, feature))
        else:
            hold = customer.hold(piece + draw.randint(0, 3), feature)
            body = expect(customer.commit(hold, piece))
        units += piece
        charged += charged_nanos(body)
        assert charged == units * numerator // denominator, (seed, units)
    assert nano(customer.available()) == 100000 * NANO - charged


# ---- U5: versions of a rule ----------------------------------------------------------------------

def with_price(price):
    """The shared policy with another price for `third`."""
    return policy(PLANS, prices=PRICES.replace(
        '{name: third, rates: {requests: {credits: "1", per: 3}}}',
        f"{{name: third, rates: {{requests: {{{price}}}}}}}"))


def test_u5_the_same_rule_again_keeps_its_remainders(fresh, new_customer):
    weir = fresh()
    customer = paid(weir, new_customer)
    assert allowed(customer.consume(1, "third"))["charged"] == THIRD
    expect(weir.put_policy(POLICY + "# the same rules\n"))
    assert allowed(customer.consume(1, "third"))["charged"] == THIRD
    # Another rule has a remainder of its own: 2/3 is 0.666666666 and 2/3 of a nano-credit.
    expect(weir.put_policy(with_price('credits: "2", per: 3')))
    assert allowed(customer.consume(1, "third"))["charged"] == "0.666666666"
    # The first rule comes back to its two thirds.
    expect(weir.put_policy(POLICY))
    assert allowed(customer.consume(1, "third"))["charged"] == THIRD_UP


@pytest.mark.parametrize("late", [False, True])
def test_u5_the_quoted_rule_is_honoured_at_commit_and_extend(fresh, new_customer, late):
    weir = fresh()
    customer = paid(weir, new_customer)
    hold = customer.hold(2, "third", ttl_ms=MINUTE)
    expect(weir.put_policy(with_price('credits: "5", per: 1')))
    if not late:
        expect(customer.extend(hold, 1, ttl_ms=MINUTE))
    else:
        weir.advance(MINUTE)
    final = expect(customer.commit(hold, 3))
    assert final["charged"] == "1"                      # 3 * 1/3
    assert final.get("late", False) is late
    assert allowed(customer.consume(1, "third"))["charged"] == "5"


def test_u5_a_rule_is_in_force_from_its_date(fresh, new_customer):
    prices = PRICES.replace('- {name: message, rates: {requests: {credits: "1", per: 1}}}', """
  - {name: message, rates: {requests: {credits: "1", per: 1}}}
  - name: dearer
    from: 2026-05-02T00:00:00Z
    rates: {requests: {credits: "3", per: 1}}""".strip())
    weir = fresh(policy(PLANS, prices=prices), clock="2026-05-01T23:59:59.999Z")
    customer = paid(weir, new_customer)
    body = allowed(customer.consume(1))
    assert (body["price"], body["charged"]) == ("chat/message", "1")
    hold = customer.hold(1)
    weir.advance(1)
    body = allowed(customer.consume(1))
    assert (body["price"], body["charged"]) == ("chat/dearer", "3")
    assert expect(customer.commit(hold, 1))["charged"] == "1"


# ---- S3: burn order ------------------------------------------------------------------------------

def burned(customer, count, feature="chat"):
    """Grant ids in the order in which so many single units are paid."""
    return [allowed(customer.consume(1, feature))["allocations"][0]["grant_id"]
            for _ in range(count)]


def test_s3_burn_order_is_priority_then_expiry_then_effective_then_created(weir, new_customer):
    """Each row burns after the one above by the first key that differs, against the later ones.
    Made in another order, one millisecond apart, so that creation cannot explain the result."""
    customer = new_customer(weir, plan="base")
    soon, later = to_text(weir.now + 40 * DAY), to_text(weir.now + 50 * DAY)
    early, late = to_text(weir.now + HOUR), to_text(weir.now + 2 * HOUR)
    wanted = [
        {"expires_at": soon, "effective_at": late},         # default priority 0
        {"expires_at": later, "effective_at": early},
        {"expires_at": later, "effective_at": late},
        {"effective_at": early},                            # never expires: after those that do
        {"effective_at": late, "priority": 0},
        {"priority": 1, "expires_at": soon, "effective_at": early},
        {"priority": 2, "expires_at": soon, "effective_at": early},
    ]
    made = {}
    for place in (4, 6, 2, 3, 5, 1, 0):
        made[place] = customer.grant("1", **wanted[place])
        weir.advance(1)
    weir.advance(2 * HOUR)
    assert burned(customer, len(wanted)) == [made[place] for place in range(len(wanted))]


def test_s3_what_is_otherwise_alike_burns_in_order_of_creation(weir, new_customer):
    customer = new_customer(weir, plan="base")
    effective = to_text(weir.now + HOUR)
    made = []
    for step in (1, 1, 1, 0, 0, 0):                         # the last three in one millisecond
        made.append(customer.grant("1", effective_at=effective))
        if step:
            weir.advance(1)
    weir.advance(HOUR)
    assert burned(customer, len(made)) == made


def test_s3_the_waterfall_orders_the_categories(weir, new_customer):
    customer = new_customer(weir, plan="base")
    last = customer.grant("1", "paid", expires_at=to_text(weir.now + HOUR))
    first = customer.grant("1", "promotional", priority=9)
    assert burned(customer, 2) == [first, last]


@pytest.mark.parametrize("grants, units, expected", [
    # At 2 credits a unit: 3 pays one unit and half of the next, which counts on the later line.
    (["3", "5"], 4, [("paid", 1, "3"), ("paid", 3, "5")]),
    (["1", "1"], 1, [("paid", 0, "1"), ("paid", 1, "1")]),
    (["1", "1", "1", "1"], 2, [("paid", 0, "1"), ("paid", 1, "1"), ("paid", 0, "1"),
                               ("paid", 1, "1")]),
    (["0.5", "0.5", "0.5", "0.5"], 1, [("paid", 0, "0.5")] * 3 + [("paid", 1, "0.5")]),
    (["3", "5"], 1, [("paid", 1, "2")]),
    (["2", "5"], 2, [("paid", 1, "2"), ("paid", 1, "2")]),
])
def test_s3_a_unit_that_two_grants_pay_counts_on_the_later_line(weir, new_customer, grants, units,
                                                                expected):
    customer = new_customer(weir, plan="base")
    made = [customer.grant(credits, priority=n) for n, credits in enumerate(grants)]
    body = allowed(customer.consume(units, "pair"))
    assert lines(body) == expected
    assert [line["grant_id"] for line in body["allocations"]] == made[:len(expected)]


def test_s3_only_whole_units_are_offered(weir, new_customer):
    """1.5 promotional credits carry no unit of 2, and are not mixed with the paid ones."""
    customer = paid(weir, new_customer, "5")
    customer.grant("1.5", "promotional")
    denied(customer.consume(3, "pair"), "insufficient_credits")
    assert lines(partial(customer.consume(3, "pair", min_units=1), 2)) == [("paid", 2, "4")]
    assert customer.available() == "2.5"


def test_grants_bound_to_features_pay_for_no_other(weir, new_customer):
    customer = new_customer(weir, plan="base")
    bound = customer.grant("5", features=["pair"])
    denied(customer.consume(1, "chat"), "insufficient_credits")
    assert allowed(customer.consume(1, "pair"))["allocations"][0]["grant_id"] == bound


# ---- grants in time ------------------------------------------------------------------------------

def test_w1_a_grant_is_there_from_its_first_millisecond_to_its_last(weir, new_customer):
    customer = new_customer(weir, plan="base")
    t = weir.now
    grant = customer.grant("5", effective_at=to_text(t + HOUR), expires_at=to_text(t + 2 * HOUR))
    assert customer.available() == "0"
    weir.go_to(t + HOUR, -1)
    denied(customer.consume(1), "insufficient_credits")
    weir.go_to(t + HOUR)
    assert (customer.available(), customer.remaining(grant)) == ("5", "5")
    allowed(customer.consume(1))
    weir.go_to(t + 2 * HOUR, -1)
    allowed(customer.consume(1))
    assert customer.available() == "3"
    weir.go_to(t + 2 * HOUR)
    denied(customer.consume(1), "insufficient_credits")
    assert customer.available() == "0"


def test_a_purchase_counts_from_the_very_next_decision(weir, new_customer):
    customer = new_customer(weir, plan="base")
    denied(customer.consume(1), "insufficient_credits")
    customer.grant("1")
    allowed(customer.consume(1))
    denied(customer.consume(1), "insufficient_credits")


def test_b2_remaining_excludes_what_is_held_and_sums_to_available(weir, new_customer):
    customer = new_customer(weir, plan="base")
    a, b = customer.grant("3", priority=1), customer.grant("5", priority=2)
    hold = customer.hold(4)
    assert customer.funds() == ("4", "4")
    assert (customer.remaining(a), customer.remaining(b)) == ("0", "4")
    expect(customer.commit(hold, 2))
    assert customer.funds() == ("6", "0")
    assert sum(map(nano, grants_of(customer.balance()).values())) == 6 * NANO
    assert customer.remaining(a) == "1"


# ---- void and expiry in mid-hold -----------------------------------------------------------------

def test_void_takes_back_what_remains(weir, new_customer):
    customer = new_customer(weir, plan="base")
    grant = customer.grant("10")
    allowed(customer.consume(3))
    expect(customer.void(grant))
    assert (customer.available(), customer.remaining(grant)) == ("0", "0")
    denied(customer.consume(1), "insufficient_credits")


@pytest.mark.parametrize("ending", ["void", "expiry"])
@pytest.mark.parametrize("finish, charged", [
    ("commit all", "4"), ("commit part", "2"), ("release", None), ("hold expires", None)])
def test_h7_what_is_held_outlives_its_grant_and_what_returns_does_not(weir, new_customer, ending,
                                                                      finish, charged):
    customer = new_customer(weir, plan="base")
    grant = customer.grant("10", expires_at=to_text(weir.now + 30 * SECOND))
    hold = customer.hold(4, ttl_ms=MINUTE)
    assert customer.funds() == ("6", "4")
    if ending == "void":
        expect(customer.void(grant))
    else:
        weir.advance(30 * SECOND)
    assert customer.funds() == ("0", "4")
    denied(customer.consume(1), "insufficient_credits")
    if finish == "release":
        expect(customer.release(hold))
    elif finish == "hold expires":
        weir.advance(MINUTE)
    else:
        final = expect(customer.commit(hold, 4 if finish == "commit all" else 2))
        assert final["charged"] == charged and "overshoot" not in final
    assert customer.funds() == ("0", "0")
    assert customer.remaining(grant) == "0"


def test_t2_a_hold_and_its_grant_may_end_at_the_same_moment(weir, new_customer):
    customer = new_customer(weir, plan="base")
    customer.grant("10", expires_at=to_text(weir.now + MINUTE))
    customer.hold(4, ttl_ms=MINUTE)
    weir.advance(MINUTE)
    assert customer.funds() == ("0", "0")


# ---- refunds -------------------------------------------------------------------------------------

def two_grants(weir, new_customer):
    """A decision of 5, paid 2 by the first grant and 3 by the second, which has 2 left."""
    customer = new_customer(weir, plan="base")
    a, b = customer.grant("2", priority=1), customer.grant("5", priority=2)
    decision = allowed(customer.consume(5))["decision_id"]
    return customer, a, b, decision


@pytest.mark.parametrize("credits, in_a, in_b", [
    ("1", "0", "3"), ("3", "0", "5"), ("4", "1", "5"), ("5", "2", "5"), ("0.5", "0", "2.5")])
def test_h7_a_refund_goes_back_in_reverse_burn_order(weir, new_customer, credits, in_a, in_b):
    customer, a, b, decision = two_grants(weir, new_customer)
    expect(customer.refund(decision, credits=credits))
    assert (customer.remaining(a), customer.remaining(b)) == (in_a, in_b)


def test_h7_refunds_of_a_decision_never_exceed_its_charge(weir, new_customer):
    customer, a, b, decision = two_grants(weir, new_customer)
    expect(customer.refund(decision, credits="4"))
    expect(customer.refund(decision, credits="2"), BEYOND_CHARGE)
    assert nano(customer.available()) in (6 * NANO, 7 * NANO)       # refused, or cut to 1
    expect(customer.refund(decision, all=True), BEYOND_CHARGE)
    assert customer.available() == "7"
    expect(customer.refund(decision, all=True), BEYOND_CHARGE)
    expect(customer.refund(decision, credits="1"), BEYOND_CHARGE)
    assert (customer.remaining(a), customer.remaining(b)) == ("2", "5")


@pytest.mark.parametrize("ending", ["void", "expiry"])
def test_h7_a_refund_to_a_grant_that_is_over_is_over_at_once(weir, new_customer, ending):
    customer = new_customer(weir, plan="base")
    a = customer.grant("2", priority=1, expires_at=to_text(weir.now + HOUR))
    customer.grant("5", priority=2)
    decision = allowed(customer.consume(5))["decision_id"]
    if ending == "void":
        expect(customer.void(a))
    else:
        weir.advance(HOUR)
    expect(customer.refund(decision, all=True))
    assert customer.available() == "5"              # 2 left, 3 back to the second, 2 lost with the first
    assert customer.remaining(a) == "0"


def test_a_refund_takes_a_key(weir, new_customer):
    customer, _, _, decision = two_grants(weir, new_customer)
    first = customer.refund(decision, credits="1", idempotency_key="r")
    again = customer.refund(decision, credits="1", idempotency_key="r")
    assert (first.status, first.raw) == (again.status, again.raw)
    assert customer.available() == "3"
    problem(customer.refund(decision, credits="2", idempotency_key="r"), 409)
    assert customer.available() == "3"


# ---- S4: overage and debt ------------------------------------------------------------------------

def test_s4_overage_is_outside_the_balance(weir, new_customer):
    customer = new_customer(weir, plan="overage")
    customer.grant("2")
    body = allowed(customer.consume(4))
    assert lines(body) == [("paid", 2, "2"), ("extra", 2, "2")]
    assert body["allocations"][1]["kind"] == "overage" and body["charged"] == "4"
    assert customer.funds() == ("0", "0")
    hold = customer.hold(3)
    assert customer.funds() == ("0", "0")
    denied(customer.consume(1), "overage_cap_reached")
    expect(customer.release(hold))
    assert customer.room() == 3


def test_s4_overage_belongs_to_the_month_it_was_drawn_in(fresh, new_customer):
    weir = fresh(clock="2026-05-31T23:59:00Z")
    customer = new_customer(weir, plan="overage")
    hold = customer.hold(5, ttl_ms=10 * MINUTE)
    denied(customer.consume(1), "overage_cap_reached")
    weir.go_to("2026-06-01T00:00:00Z", -1)
    denied(customer.consume(1), "overage_cap_reached")
    weir.go_to("2026-06-01T00:00:00Z")
    allowed(customer.consume(4))
    expect(customer.release(hold))                  # May's
    assert customer.room() == 1


def test_s4_g5_a_refund_restores_no_overage_cap(weir, new_customer):
    customer = new_customer(weir, plan="overage")
    spent = allowed(customer.consume(5))
    expect(customer.refund(spent["decision_id"], all=True))
    denied(customer.consume(1), "overage_cap_reached")
    assert customer.available() == "0"


def test_s4_debt_is_inside_the_balance_and_repaid_by_the_next_paid_grant(fresh, new_customer):
    weir = fresh(policy(PLANS, defaults="overshoot: debt"))
    customer = new_customer(weir, plan="base")
    customer.grant("5")
    final = expect(customer.commit(customer.hold(5), 8))
    assert final["charged"] == "5"
    assert final["overshoot"] == {"units": 3, "charged": "3", "refunded": "0"}
    assert customer.available() == "-3"
    denied(customer.consume(1), "insufficient_credits")
    promotional = customer.grant("2", "promotional")            # repays nothing
    assert (customer.available(), customer.remaining(promotional)) == ("-1", "2")
    allowed(customer.consume(1))
    assert customer.available() == "-2"
    part = customer.grant("1")                                  # repays 1 of 3
    assert (customer.available(), customer.remaining(part)) == ("-1", "0")
    rest = customer.grant("10")                                 # repays 2
    assert (customer.available(), customer.remaining(rest)) == ("9", "8")
    assert customer.remaining(promotional) == "1"


# ---- recurring grants ----------------------------------------------------------------------------

def test_a_recurring_grant_comes_on_the_anchor_and_expires_at_the_next(fresh, new_customer):
    weir = fresh(clock="2026-01-31T10:00:00Z")
    customer = new_customer(weir, plan="monthly-plain")
    assert customer.available() == "100"
    allowed(customer.consume(30))
    for boundary in ("2026-02-28T10:00:00Z", "2026-03-31T10:00:00Z", "2026-04-30T10:00:00Z"):
        weir.go_to(boundary, -1)
        assert customer.available() == "70", boundary
        weir.go_to(boundary)
        assert customer.available() == "100", boundary          # no rollover
        allowed(customer.consume(30))


@pytest.mark.parametrize("spent, after", [(0, "150"), (30, "150"), (50, "150"), (80, "120"),
                                          (100, "100")])
def test_a_recurring_grant_rolls_over_up_to_its_maximum(weir, new_customer, spent, after):
    customer = new_customer(weir, plan="monthly")
    assert customer.available() == "100"
    if spent:
        allowed(customer.consume(spent))
    weir.advance(31 * DAY)                                      # one renewal, whatever the month
    assert customer.available() == after


def test_rollovers_do_not_pile_up(fresh, new_customer):
    weir = fresh(clock="2026-01-01T00:00:00Z")
    customer = new_customer(weir, plan="monthly")
    for month in range(2, 7):
        weir.go_to(f"2026-{month:02d}-01T00:00:00Z")
        assert customer.available() == "150", month
    weir.go_to("2027-01-01T00:00:00Z")                          # seven renewals at one stroke
    assert customer.available() == "150"
    allowed(customer.consume(140))
    weir.go_to("2027-02-01T00:00:00Z")
    assert customer.available() == "110"


def test_recurring_grants_of_an_idle_customer_have_happened_when_the_clock_answers(weir, new_customer):
    idle = new_customer(weir, plan="monthly-plain")
    allowed(idle.consume(100))
    denied(idle.check(1), "allowance_exhausted")
    weir.advance(31 * DAY)
    assert idle.available() == "100"
    assert decided(idle.check(100))["outcome"] == "allow"


def test_shortest_is_the_inverse_of_nano():
    for nanos in (0, 1, 10, NANO, NANO // 2, 15 * NANO // 10, 10 * NANO, -3 * NANO, 123456789012):
        assert nano(shortest(nanos)) == nanos
    assert [shortest(n) for n in (0, NANO // 2, 10 * NANO)] == ["0", "0.5", "10"]


# ---- status where attributes alone say the price ---------------------------------------------------

def test_u6_status_counts_credits_where_attributes_alone_say_the_price(weir, customer):
    """A unit of `picky` costs 1 credit or more, by model: no number of units can be told."""
    def status():
        feature, = expect(weir.get(f"{customer.path}/status?feature=picky"), (200,))["features"]
        paid, = [row for row in feature["limits"] if row["name"] == "paid"]
        return feature["allowed"], feature["reason"], paid["remaining"]

    customer.grant("0.5")
    assert status() == (False, "insufficient_credits", "0.5")
    customer.grant("2")
    assert status() == (True, "ok", "2.5")             # small would pass, large would not
    assert allowed(customer.consume(1, "picky", attributes={"model": "small"}))["charged"] == "1"
    assert status() == (True, "ok", "1.5")

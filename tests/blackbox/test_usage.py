"""Usage reported after the fact: priced, windowed, never refused for lack of funds (A7, H2, H3)."""

import pytest

from policies import policy
from weir_client import SECOND, allowed, denied, expect, problem

POLICY = policy("""
base:
  tier: 1
  features:
    chat:
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{limit: 2, per: 5h, start: first_use}]}
        - grants: {category: paid}
gated:
  tier: 1
  features:
    chat:
      gates:
        - rate: {name: pace, meter: requests, limit: 60, per: 1m, burst: 5, scope: customer}
        - concurrency: {name: one, limit: 1, scope: customer}
      waterfall: [{grants: {category: paid}}]
capped:
  tier: 1
  features:
    chat:
      gates: [{budget: {name: cap, credits: "5", per: month, start: calendar, scope: customer}}]
      waterfall: [{grants: {category: paid}}]
    video: {waterfall: [{grants: {category: promotional}}, {grants: {category: paid}}]}
""")
ONE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"


def rich(weir, new_customer, plan, credits="20"):
    customer = new_customer(weir, plan=plan)
    customer.grant(credits)
    return customer


def event(customer, units, name, source="gateway"):
    return {"specversion": "1.0", "type": "usage", "id": name, "source": source,
            "time": "2026-04-30T08:00:00Z", "datacontenttype": "application/json",
            "data": customer.body(units, "chat", {})}


def test_a7_usage_goes_through_the_waterfall(weir, new_customer):
    customer = rich(weir, new_customer, "base")
    expect(customer.usage(5))
    assert customer.available() == "17"                 # 2 were free
    assert customer.room() == 17


def test_h3_what_nothing_can_carry_is_overshoot_and_not_refused(weir, new_customer):
    customer = rich(weir, new_customer, "base", "3")
    expect(customer.usage(50))
    assert customer.funds() == ("0", "0")
    customer.grant("1")
    assert customer.available() == "1"


def test_h2_gates_count_usage_and_refuse_none(weir, new_customer):
    customer = rich(weir, new_customer, "gated")
    hold = customer.hold(1)                             # the slot is taken, 4 tokens are left
    expect(customer.usage(6))                           # -2
    assert customer.funds() == ("13", "1")
    # Until the hold is over, pace alone would not help (S8).
    assert denied(customer.check(1), "rate_limited")["retry_after_ms"] > 3 * SECOND
    expect(customer.release(hold))
    assert denied(customer.consume(1), "rate_limited")["retry_after_ms"] == 3 * SECOND


def test_h2_budgets_count_usage_and_refuse_none(weir, new_customer):
    customer = rich(weir, new_customer, "capped")
    expect(customer.usage(8))
    assert customer.available() == "12"
    denied(customer.consume(1), "budget_reached")


def test_h2_usage_is_always_divisible(weir, new_customer):
    customer = rich(weir, new_customer, "capped", "2")
    customer.grant("2", "promotional")
    denied(customer.consume(4, "video"), "indivisible")
    expect(customer.usage(4, "video"))
    assert customer.funds() == ("0", "0")


def test_i1_usage_takes_a_key(weir, new_customer):
    customer = rich(weir, new_customer, "base")
    first = customer.usage(5, idempotency_key="k")
    again = customer.usage(5, idempotency_key="k")
    assert expect(first) and (first.status, first.raw) == (again.status, again.raw)
    assert customer.available() == "17"
    problem(customer.usage(6, idempotency_key="k"), 409)
    assert customer.available() == "17"


def test_a_cloud_event_counts_once_by_its_id_and_source(weir, new_customer):
    customer = rich(weir, new_customer, "base")
    for _ in range(3):
        expect(weir.post("/v1/usage", event(customer, 5, "e1"), content_type=ONE))
    assert customer.available() == "17"
    expect(weir.post("/v1/usage", event(customer, 1, "e1", "elsewhere"), content_type=ONE))
    expect(weir.post("/v1/usage", event(customer, 1, "e2"), content_type=ONE))
    assert customer.available() == "15"


def test_a_batch_of_cloud_events(weir, new_customer):
    customer = rich(weir, new_customer, "base")
    events = [event(customer, 3, "e1"), event(customer, 4, "e2"), event(customer, 3, "e1")]
    expect(weir.post("/v1/usage", events, content_type=BATCH))
    assert customer.available() == "15"                 # 7 - 2
    expect(weir.post("/v1/usage", events, content_type=BATCH))
    assert customer.available() == "15"


@pytest.mark.parametrize("missing", ["id", "source", "specversion", "data"])
def test_a_cloud_event_without_what_it_must_have_is_refused(weir, new_customer, missing):
    customer = rich(weir, new_customer, "base")
    body = event(customer, 5, "e1")
    del body[missing]
    answer = weir.post("/v1/usage", body, content_type=ONE)
    problem(answer, (400, 422), missing)
    assert customer.available() == "20"


def test_usage_stays_possible_where_a_request_was_not(weir, new_customer):
    customer = new_customer(weir, plan="base")
    allowed(customer.consume(2))
    denied(customer.consume(1), "insufficient_credits")
    expect(customer.usage(1))
    assert customer.funds() == ("0", "0")

"""Customers: who may come, what a setting does and when, resets, and that nobody shares anything."""

import pytest

from policies import policy
from weir_client import (HOUR, STRANGER_REFUSED, Customer, allowed, denied, expect, lines, problem, to_ms)

PLANS = """
base:
  tier: 1
  features:
    chat:
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{limit: 2, per: 5h, start: first_use}]}
        - grants: {category: paid}
    pair:
      waterfall:
        - allowance: {name: pairs, scope: customer, windows: [{limit: 2, per: 5h, start: first_use}]}
plus:
  tier: 2
  features:
    chat:
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{limit: 20, per: 5h, start: first_use}]}
        - grants: {category: paid}
    clip: {waterfall: [{unlimited: {}}]}
wide:
  tier: 3
  features:
    chat:
      gates: [{budget: {name: cap, credits: "5", per: month, start: calendar, scope: customer}}]
      waterfall:
        - allowance:
            name: windows
            scope: customer
            windows: [{limit: 2, per: 5h, start: first_use}, {limit: 9, per: 7d, start: first_use}]
        - grants: {category: paid}
"""
POLICY = policy(PLANS)


# ---- strangers -----------------------------------------------------------------------------------

def test_a_stranger_starts_on_the_default_plan(weir, new_customer):
    stranger = new_customer(weir)
    assert lines(allowed(stranger.consume(2))) == [("included", 2, "0")]
    denied(stranger.consume(1), "insufficient_credits")
    assert stranger.funds() == ("0", "0")


def test_a_stranger_may_be_given_credits_first(weir, new_customer):
    stranger = new_customer(weir)
    stranger.grant("3")
    allowed(stranger.consume(5))
    assert stranger.available() == "0"


def test_without_a_default_plan_strangers_are_refused(fresh, new_customer):
    weir = fresh(policy(PLANS, plan=None))
    stranger = new_customer(weir)
    for call in (stranger.authorize, stranger.consume, stranger.check):
        problem(call(1), STRANGER_REFUSED)
    stranger.put(plan="base")
    allowed(stranger.consume(2))


# ---- settings ------------------------------------------------------------------------------------

def test_settings_are_read_as_they_were_put(weir, new_customer):
    customer = new_customer(weir, plan="plus", credit_mode="ask", anchor="2026-01-31T10:00:00Z",
                            suspended=True)
    body = expect(weir.get(customer.path), (200,))
    assert (body["plan"], body["credit_mode"], body["suspended"]) == ("plus", "ask", True)
    assert to_ms(body["anchor"]) == to_ms("2026-01-31T10:00:00Z")


def test_what_is_left_out_stays_and_an_anchor_is_taken_back_by_null(weir, new_customer):
    customer = new_customer(weir, plan="plus", anchor="2026-01-31T10:00:00Z")
    assert expect(weir.put(customer.path, {"credit_mode": "ask"}))["anchor"] is not None
    body = expect(weir.put(customer.path, {"anchor": None}))
    assert (body["anchor"], body["plan"], body["credit_mode"]) == (None, "plus", "ask")
    assert expect(weir.get(customer.path)) == body
    problem(weir.put(customer.path, {"anchor": 5}), 400, "anchor")


def test_own_limits_are_read_as_they_are_put(weir, new_customer):
    customer = new_customer(weir, plan="base")

    def own():
        body = expect(weir.get(customer.path))
        return body["limits"], body["budgets"], body["overrides"]

    def put(**settings):
        body = expect(weir.put(customer.path, settings))
        assert expect(weir.get(customer.path)) == body
        return own()

    assert own() == ({}, {}, 0)
    assert put(limits={"included": 7, "chat/included": 9}) == ({"chat/included": 9, "included": 7}, {}, 2)
    assert put(budgets={"cap": "2.5"}) == ({"chat/included": 9, "included": 7}, {"cap": "2.5"}, 3)
    assert put(limits={"windows": [None, 3]}) == (
        {"chat/included": 9, "included": 7, "windows": [None, 3]}, {"cap": "2.5"}, 4)
    limits, budgets, _ = own()
    assert put(limits={**limits, "included": None}, budgets=budgets) == (
        {"chat/included": 9, "windows": [None, 3]}, {"cap": "2.5"}, 3)
    assert put(limits={"chat/included": None, "windows": None}, budgets={"cap": None}) == ({}, {}, 0)


def test_s5_the_credit_mode_is_auto_unless_it_is_said(weir, new_customer):
    assert expect(weir.get(new_customer(weir, plan="base").path))["credit_mode"] == "auto"


def test_every_setting_is_effective_on_the_next_decision(weir, new_customer):
    customer = new_customer(weir, plan="base")
    customer.grant("10")
    allowed(customer.consume(3))
    customer.put(credit_mode="off")
    denied(customer.consume(1), "allowance_exhausted")
    customer.put(credit_mode="ask")
    denied(customer.consume(1), "credits_need_consent")
    customer.put(credit_mode="auto", suspended=True)
    denied(customer.consume(1), "suspended")
    customer.put(suspended=False)
    denied(customer.consume(1, "clip"), "not_entitled")
    customer.put(plan="plus")
    assert lines(allowed(customer.consume(17))) == [("included", 17, "0")]      # 2 + 17 of 20
    allowed(customer.consume(1, "clip"))
    customer.put(plan="base")
    denied(customer.consume(1, "clip"), "not_entitled")


def test_suspension_takes_nothing_away(weir, new_customer):
    customer = new_customer(weir, plan="base")
    customer.grant("10")
    hold = customer.hold(5)
    customer.put(suspended=True)
    assert customer.funds() == ("7", "3")
    assert expect(customer.commit(hold, 4))["charged"] == "2"       # a hold is a promise
    customer.put(suspended=False)
    assert customer.room() == 8


def test_a_mistaken_setting_changes_nothing(weir, new_customer):
    customer = new_customer(weir, plan="base")
    before = customer.fingerprint()
    problem(weir.put(customer.path, {"plan": "nonsense"}), 422, ("plan", "nonsense"))
    problem(weir.put(customer.path, {"plan": "plus", "credit_mode": "maybe"}), 422, "credit_mode")
    problem(weir.put(customer.path, {"plan": "plus", "suspended": "no"}), 400, "suspended")
    assert customer.fingerprint() == before


# ---- resets --------------------------------------------------------------------------------------

@pytest.mark.parametrize("settings, code, field", [
    ({"limits": {"nope": 1}}, "unknown_limit", "limits.nope"),
    ({"budgets": {"nope": "1"}}, "unknown_limit", "budgets.nope"),
    ({"budgets": {"zip/included": "1"}}, "unknown_feature", "budgets.zip/included"),
    ({"limits": {"chat/pairs": 1}}, "unknown_limit", "limits.chat/pairs"),
    ({"limits": {"included": "5"}}, "invalid_value", "limits.included"),
    ({"budgets": {"chat/included": "5"}}, "invalid_value", "budgets.chat/included"),
    ({"limits": {"chat/included": [1, 2, 3]}}, "invalid_value", "limits.chat/included[1]"),
    ({"limits": {"included": 1}, "budgets": {"included": "1"}}, "invalid_value", "budgets.included"),
])
def test_a_mistaken_override_is_named_as_it_was_said(weir, new_customer, settings, code, field):
    customer = new_customer(weir, plan="base")
    refusal = problem(weir.put(customer.path, settings), 422, field)
    assert (refusal["code"], refusal["field"]) == (code, field)
    assert expect(weir.get(customer.path))["overrides"] == 0


def test_a_reset_is_of_the_limit_that_is_named(weir, new_customer):
    customer = new_customer(weir, plan="base")
    allowed(customer.consume(2))
    allowed(customer.consume(2, "pair"))
    expect(customer.reset("pairs"))
    assert (customer.room(), customer.room("pair")) == (0, 2)


def test_a_reset_of_a_limit_that_is_not_there_is_named(weir, new_customer):
    problem(new_customer(weir, plan="base").reset("nonsense"), 422, ("limit", "nonsense"))


# ---- nobody shares anything ----------------------------------------------------------------------

def test_customers_are_strangers_to_each_other(weir, new_customer):
    rich, poor = new_customer(weir, plan="base"), new_customer(weir, plan="base")
    grant = rich.grant("10")
    hold = rich.hold(5, idempotency_key="k")
    assert poor.funds() == ("0", "0")
    allowed(poor.consume(2, idempotency_key="k"))
    denied(poor.consume(1), "insufficient_credits")
    assert rich.funds() == ("7", "3") and rich.remaining(grant) == "7"
    expect(rich.commit(hold, 5))
    assert poor.funds() == ("0", "0")


def test_customers_are_told_apart_by_their_whole_name(weir, new_customer):
    base = new_customer(weir).name
    names = [base, base.upper(), base + "x", base + "-1", base + "é", base + "e\u0301"]
    for name in names:
        customer = Customer(weir, name, plan="base")
        allowed(customer.consume(2))
        denied(customer.consume(1), "insufficient_credits")
        assert customer.funds() == ("0", "0")


def test_many_customers_in_one_clock_step(weir, new_customer):
    """T2: what falls due for all of them has happened when the clock answers."""
    customers = [new_customer(weir, plan="base") for _ in range(50)]
    for customer in customers:
        customer.grant("3")
        customer.hold(5, ttl_ms=1000)
    weir.advance(5 * HOUR)
    for customer in customers:
        assert customer.funds() == ("3", "0")
        assert customer.room() == 5

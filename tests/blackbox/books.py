"""A data directory in which everything has happened that moves money or ends a decision.

`keep_books` plays it against a running server; what it makes is what `weir verify` and `weir
reconcile` must find clean, and what tests then damage.
"""

from policies import policy
from weir_client import (DAY, HOUR, MINUTE, SECOND, Customer, allowed, denied, expect, partial,
                         to_text)

PLANS = """
base:
  tier: 1
  features:
    chat:
      gates:
        - rate: {name: pace, meter: requests, limit: 600, per: 1m, burst: 400, scope: customer}
        - concurrency: {name: slots, limit: 3, scope: customer}
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{limit: 5, per: 5h, start: first_use}]}
        - grants: {category: promotional}
        - grants: {category: entitlement}
        - grants: {category: paid}
    third: {waterfall: [{grants: {category: promotional}}, {grants: {category: paid}}]}
    least: {waterfall: [{grants: {category: paid}}]}
    video: {on_failure: full, waterfall: [{grants: {category: paid}}]}
    clip: {overshoot: debt, waterfall: [{grants: {category: paid}}]}
    pair: {overshoot: overage, waterfall: [{grants: {category: paid}}, {overage: {name: extra, credits: "6", per: month, start: calendar}}]}
    codex:
      waterfall:
        - allowance: {name: free, scope: customer, windows: [{credits: "0.01", per: day, start: calendar}]}
        - grants: {category: paid}
    fine: {on_failure: actual, waterfall: [{grants: {category: paid}}]}
monthly:
  tier: 2
  features:
    chat: {waterfall: [{grants: {category: entitlement}}, {grants: {category: paid}}]}
  recurring:
    - grant: {name: monthly, category: entitlement, credits: "100", per: month, start: anchor, rollover_max: "50"}
"""
POLICY = policy(PLANS)
# Other prices for the same features: thirds become sevenths, codex dearer.
DEARER = POLICY.replace('per: 3}}', 'per: 7}}').replace('"62.5"', '"99.1"').replace('"0.0125"', '"0.0333"')
assert DEARER.count("per: 7}}") == 1 and DEARER != POLICY


def spend(customer, model="gpt-5.5"):
    """Free, split, paid; by unit and by cost; with remainders that do not come out even."""
    allowed(customer.consume(3))
    allowed(customer.consume(4, subject="team-a/alice", explain=True))
    allowed(customer.consume(2, attributes={"origin": "web"}, duration_ms=17))
    for _ in range(3):
        allowed(customer.consume(1, "third"))
    allowed(customer.consume(3, "least"))
    allowed(customer.consume(10, "least", subject="team-b"))
    for tokens in (333, 7, 1001):
        allowed(customer.consume({"input_tokens": tokens, "output_tokens": 2 * tokens + 1,
                                  "cached_tokens": 3}, "codex", attributes={"model": model}))
        allowed(customer.consume(tokens, "fine"))


def hold(weir, customer):
    """Ends of every kind: smaller, equal, larger, extended, failed, released, expired, late."""
    expect(customer.commit(customer.hold(6), 2, duration_ms=1234, compute="gpu-7"))
    expect(customer.commit(customer.hold(2), 2))
    expect(customer.commit(customer.hold(1, "third"), 5))
    extended = customer.hold(1, "third", ttl_ms=10 * SECOND)
    expect(customer.extend(extended, 2, ttl_ms=20 * SECOND))
    expect(customer.commit(extended, 3))
    expect(customer.commit(customer.hold(2, "video"), 2, status="failed"))
    expect(customer.commit(customer.hold(500, "fine"), 400, status="failed"))
    expect(customer.commit(customer.hold(2), 1, status="moderated"))
    expect(customer.release(customer.hold(3)))
    late, gone = customer.hold(4, "third", ttl_ms=SECOND), customer.hold(2, ttl_ms=SECOND)
    weir.advance(2 * SECOND)
    expect(customer.commit(late, 4))
    return gone


def overshoot(weir, name):
    """More used than anything can carry: given back, owed, booked above the cap."""
    poor = Customer(weir, name, plan="base")
    poor.grant("2")
    expect(poor.commit(poor.hold(1, "third"), 10))
    expect(poor.usage(5, "clip"))
    expect(poor.usage(6, "pair"))
    expect(poor.commit(poor.hold(2), 2))
    poor.grant("9")                                     # repays what is owed
    partial(poor.consume(9, "clip", min_units=1), 4)


def grants(weir, name):
    """Come, wait, expire, are voided while held, refunded into what is gone, roll over."""
    weir.advance(SECOND)
    now = weir.now
    rich = Customer(weir, name, plan="base")
    stamp = lambda ms: to_text(now + ms)                # noqa: E731
    rich.grant("1", "promotional", expires_at=stamp(MINUTE))
    waiting = rich.grant("3", "paid", effective_at=stamp(30 * SECOND), priority=2)
    voided = rich.grant("4", "paid", priority=-1, features=["third"])
    split = allowed(rich.consume(9, "third"))["decision_id"]
    held = rich.hold(3, "third", ttl_ms=5 * MINUTE)
    expect(rich.void(voided))
    expect(rich.refund(split, credits="0.7"))
    weir.advance(2 * MINUTE)
    expect(rich.refund(split, all=True))
    expect(rich.commit(held, 1))
    expect(rich.void(waiting))
    rolling = Customer(weir, name + "-monthly", plan="monthly", anchor=to_text(now))
    allowed(rolling.consume(30))
    return rolling


def deny(customer):
    for _ in range(3):
        denied(customer.consume(1, "video"), "insufficient_credits")
    for _ in range(40):
        denied(customer.consume(100000, "least", subject="crowd"), "insufficient_credits")


def keep_books(weir, customers=2):
    for number in range(customers):
        first = Customer(weir, f"c{number}-ü", plan="base")
        first.grant("500")
        first.grant("0.5", "promotional")
        spend(first)
        hold(weir, first)
        deny(Customer(weir, f"poor{number}", plan="base"))
        overshoot(weir, f"over{number}")
        rolling = grants(weir, f"grants{number}")
    expect(weir.put_policy(DEARER))
    spend(first, "other")
    weir.advance(HOUR)
    spend(first)
    weir.advance(40 * DAY)
    allowed(rolling.consume(120))
    gone = hold(weir, first)
    expect(first.commit(gone, 2))
    expect(weir.put_policy(POLICY))
    spend(first)
    hold(weir, first)                                   # and some stay open
    first.hold(2)
    first.hold(1, "third", ttl_ms=20 * DAY)

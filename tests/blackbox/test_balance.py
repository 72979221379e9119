"""The four numbers of a balance (SEMANTICS B2): they add up at every moment, and settle when it is quiet."""

import threading
import time

import pytest

from policies import policy
from weir_client import DAY, Client, Customer, allowed, expect, nano, problem, to_text

POLICY = policy("""
base:
  tier: 1
  features:
    chat: {waterfall: [{grants: {category: promotional}}, {grants: {category: paid}}]}
    third: {waterfall: [{grants: {category: paid}}]}
debtor:
  tier: 1
  overshoot: debt
  features:
    chat: {waterfall: [{grants: {category: paid}}]}
""")
FIELDS = ("settled", "pending", "held", "available")
QUIET_SECONDS_MAX = 30


def numbers(customer, client=None):
    """The balance, its identity and its grants' sum checked."""
    client = client or customer.weir
    body = expect(client.get(f"{customer.path}/balance"))
    settled, pending, held, available = (nano(body[field]) for field in FIELDS)
    assert available == settled - pending - held, body
    left = sum(nano(grant["remaining"]) for grant in body["grants"] if grant["state"] == "live")
    assert available == left + nano(body.get("debt", "0")), body
    assert held == sum(nano(grant["held"]) for grant in body["grants"]), body
    return settled, pending, held, available


def quiet(customer):
    """The balance once nothing is pending."""
    deadline = time.monotonic() + QUIET_SECONDS_MAX
    while (found := numbers(customer))[1] != 0:
        assert time.monotonic() < deadline, found
    return found


def test_b2_a_stranger_has_nothing_of_anything(weir):
    body = expect(weir.get("/v1/customers/nobody/balance"))
    assert [body[field] for field in FIELDS] == ["0"] * 4


def test_b2_what_is_bought_spent_and_held_is_in_its_number(weir, customer):
    customer.grant("10")
    assert quiet(customer) == (nano("10"), 0, 0, nano("10"))
    allowed(customer.consume(2, "chat"))
    assert quiet(customer) == (nano("8"), 0, 0, nano("8"))
    hold = allowed(customer.authorize(3, "chat"))
    assert quiet(customer) == (nano("8"), 0, nano("3"), nano("5"))
    expect(weir.post(f"/v1/holds/{hold['decision_id']}/commit", {"quantities": {"requests": 1}}))
    assert quiet(customer) == (nano("7"), 0, 0, nano("7"))


def test_b2_expiry_leaves_at_its_time(weir, customer):
    customer.grant("4")
    gone = weir.now + DAY
    customer.grant("6", category="promotional", expires_at=to_text(gone))
    assert quiet(customer)[0] == nano("10")
    weir.go_to(gone)
    assert quiet(customer) == (nano("4"), 0, 0, nano("4"))


@pytest.mark.parametrize("written, meant", [
    ("2031-04-05T17:31:00.123456789Z", "2031-04-05T17:31:00.123Z"),     # Go's RFC3339Nano
    ("2031-04-05T17:31:00.999999+00:00", "2031-04-05T17:31:00.999Z"),   # Python's isoformat
    ("2031-04-05t17:31:00z", "2031-04-05T17:31:00Z"),
    ("2031-12-31T23:59:60Z", "2032-01-01T00:00:00Z"),
])
def test_times_are_read_as_clients_write_them(customer, written, meant):
    grant = expect(customer.post_grant("1", expires_at=written, idempotency_key="k"))
    assert grant["expires_at"] == meant
    assert expect(customer.post_grant("1", expires_at=meant, idempotency_key="k")) == grant


def test_a_time_out_of_range_is_told_the_range(customer):
    refusal = problem(customer.post_grant("1", expires_at="0001-01-01T00:00:00Z"), 422)
    assert refusal["field"] == "expires_at" and "from 1970 to 9999" in refusal["detail"]


def test_b2_a_grant_of_later_enters_at_its_time(weir, customer):
    customer.grant("4", effective_at=to_text(weir.now + DAY))
    assert quiet(customer) == (0, 0, 0, 0)
    weir.advance(DAY)
    assert quiet(customer) == (nano("4"), 0, 0, nano("4"))


@pytest.mark.parametrize("customer", [{"plan": "debtor"}], indirect=True)
def test_b2_debt_is_inside_the_numbers(weir, customer):
    customer.grant("1")
    expect(weir.post("/v1/usage", customer.body(3, "chat", {})))
    assert quiet(customer) == (nano("-2"), 0, 0, nano("-2"))
    customer.grant("5")
    assert quiet(customer) == (nano("3"), 0, 0, nano("3"))


def test_b2_the_identity_holds_at_every_moment_under_load(fresh):
    """Spenders, a buyer and readers on connections of their own; a purchase is pending for a moment
    with its sign turned round, a charge with its own."""
    weir = fresh()
    customer = Customer(weir, "busy")
    customer.grant("10000000")         # more than a minute of spending
    quiet(customer)
    stop, signs, failures = threading.Event(), set(), []

    def guarded(work):
        def run():
            client = Client(weir.port)
            try:
                while not stop.is_set():
                    work(client)
            except Exception as failure:            # told below, on the test's own thread
                failures.append(failure)
            finally:
                client.close()
        return run

    def spend(client):
        expect(client.post("/v1/batch", {"operations": [
            {"op": "consume"} | customer.body(3, "chat", {}) for _ in range(50)]}))

    def hold(client):
        body = expect(client.post("/v1/authorize", customer.body(5, "third", {})))
        expect(client.post(f"/v1/holds/{body['decision_id']}/commit", {"quantities": {"requests": 2}}))

    def buy(client):
        # More than the spenders ever have outstanding, however far settlement is behind.
        grant = expect(client.post(f"{customer.path}/grants", {"category": "paid", "credits": "1000000"}))
        signs.add(look(client))
        expect(client.post(f"/v1/grants/{grant['grant_id']}/void", {}))

    def look(client):
        pending = numbers(customer, client)[1]
        return (pending > 0) - (pending < 0)

    def read(client):
        signs.add(look(client))

    threads = [threading.Thread(target=guarded(work)) for work in (spend, hold, buy, read, read)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while not failures and not {1, -1} <= signs and time.monotonic() < deadline:
        time.sleep(0.05)                            # lets them run; what is waited for is the signs
    stop.set()
    for thread in threads:
        thread.join(60)
    assert not failures, failures
    assert {1, -1} <= signs, signs
    settled, pending, held, available = quiet(customer)
    assert (pending, settled) == (0, held + available)


def test_health_tells_how_far_settlement_is(weir, customer):
    customer.grant("1")
    quiet(customer)
    deadline = time.monotonic() + QUIET_SECONDS_MAX
    while True:
        health = expect(weir.get("/healthz"))
        if health["settlement"]["lag_batches"] == 0:
            break
        assert time.monotonic() < deadline, health
    assert health["settlement"]["sequence"] == health["journal"]["sequence"]
    assert health["settlement"]["lag_ms"] == 0 and health["conditions"] == []
    assert health["logs"]["journal_bytes"] > 0 and health["logs"]["ledger_bytes"] > 0


"""Keys: one answer and one effect (SEMANTICS I1-I3)."""

import json

import pytest

from policies import policy
from raw import answered, connect, head
from weir_client import HOUR, MINUTE, allowed, denied, expect, partial, problem, to_text

PLANS = """
base:
  tier: 1
  features:
    chat:
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{limit: 2, per: 5h, start: first_use}]}
        - grants: {category: paid}
    pair: {waterfall: [{grants: {category: paid}}]}
    third: {waterfall: [{grants: {category: paid}}]}
"""
POLICY = policy(PLANS)


def same(first, again):
    """Byte for byte, status included."""
    assert (again.status, again.raw) == (first.status, first.raw)
    assert again.content_type == first.content_type


def rich(weir, new_customer, credits="10"):
    customer = new_customer(weir, plan="base")
    customer.grant(credits)
    return customer


# ---- I1: the same again --------------------------------------------------------------------------

@pytest.mark.parametrize("call", ["consume", "authorize"])
def test_i1_the_same_key_and_body_has_the_same_answer_and_one_effect(weir, new_customer, call):
    customer = rich(weir, new_customer)
    ask = lambda: getattr(customer, call)(5, idempotency_key="k", explain=True)  # noqa: E731
    first = ask()
    allowed(first)
    funds = customer.funds()
    for _ in range(3):
        same(first, ask())
    assert customer.funds() == funds == (("7", "0") if call == "consume" else ("7", "3"))


def test_i1_the_answer_stays_as_it_was_whatever_came_after(weir, new_customer):
    """With the hold's state as first answered, and the balances and windows of then."""
    customer = rich(weir, new_customer)
    first = customer.authorize(5, idempotency_key="k", explain=True)
    hold = allowed(first)["decision_id"]
    expect(customer.commit(hold, 3))
    same(first, customer.authorize(5, idempotency_key="k", explain=True))
    customer.grant("50")
    allowed(customer.consume(20))
    weir.advance(6 * HOUR)
    customer.put(credit_mode="off", suspended=True)
    same(first, customer.authorize(5, idempotency_key="k", explain=True))
    assert json.loads(first.raw)["hold"]["state"] == "held"


@pytest.mark.parametrize("ending", ["release", "expiry"])
def test_i1_a_key_outlives_its_hold(weir, new_customer, ending):
    customer = rich(weir, new_customer)
    first = customer.authorize(5, idempotency_key="k", ttl_ms=MINUTE)
    if ending == "release":
        expect(customer.release(allowed(first)["decision_id"]))
    else:
        weir.advance(MINUTE)
    same(first, customer.authorize(5, idempotency_key="k", ttl_ms=MINUTE))
    assert customer.funds() == ("10", "0")


def test_i1_the_header_serves_as_well_as_the_field(weir, new_customer):
    customer = rich(weir, new_customer)
    body = customer.body(5, "chat", {})
    by_header = weir.post("/v1/consume", body, headers={"Idempotency-Key": "k"})
    allowed(by_header)
    same(by_header, weir.post("/v1/consume", body, headers={"Idempotency-Key": "k"}))
    same(by_header, weir.post("/v1/consume", body | {"idempotency_key": "k"}))
    assert customer.available() == "7"


@pytest.mark.parametrize("call", ["consume", "batch"])
def test_i1_two_different_headers_are_no_key(weir, new_customer, call):
    """Which of them a proxy put there is nobody's guess."""
    customer = rich(weir, new_customer)
    body = customer.body(5, "chat", {})
    if call == "batch":
        body = {"operations": [{"op": "consume"} | body]}
    with connect(weir.port) as sock:
        def ask(*keys):
            text = json.dumps(body)
            more = "Content-Type: application/json\r\n" + "".join(
                f"{name}: {key}\r\n" for name, key in keys)
            top, told = answered(sock, head("POST", f"/v1/{call}", len(text), more) + text.encode())
            return int(top.split()[1]), json.loads(told)

        for keys in ([("Idempotency-Key", "k"), ("Idempotency-Key", "other")],
                     [("Idempotency-Key", "k"), ("idempotency-KEY", "K")],
                     [("Idempotency-Key", "k"), ("Idempotency-Key", "k"), ("Idempotency-Key", "")]):
            status, told = ask(*keys)
            assert (status, told["code"], told["field"]) == (422, "invalid_value", "Idempotency-Key")
            assert "one key" in told["detail"], told
        assert customer.available() == "10"
        if call == "consume":
            status, told = ask(("Idempotency-Key", "k"), ("Idempotency-Key", "k"))
            assert (status, told["outcome"]) == (200, "allow")
            assert customer.available() == "7"


def test_i1_a_body_is_its_fields_not_its_bytes(weir, new_customer):
    customer = rich(weir, new_customer)
    body = customer.body(5, "chat", {"subject": "team/a", "idempotency_key": "k",
                                     "attributes": {"model": "m", "origin": "o"}})
    first = weir.post("/v1/consume", body)
    allowed(first)
    turned = {name: dict(reversed(value.items())) if isinstance(value, dict) else value
              for name, value in reversed(body.items())}
    same(first, weir.post("/v1/consume", raw=json.dumps(turned, indent=3).encode()))
    escaped = json.dumps(body).replace("team/a", "te\\u0061m\\/a")
    same(first, weir.post("/v1/consume", raw=escaped.encode()))
    assert customer.available() == "7"


@pytest.mark.parametrize("change", [
    {"quantities": {"requests": 6}}, {"quantities": {"requests": 4}}, {"feature": "pair"},
    {"subject": "somebody"}, {"attributes": {"model": "m"}}, {"min_units": 1},
    {"use_credits": True}, {"priority": "critical"}, {"ttl_ms": 5000},
], ids=lambda change: next(iter(change)) + str(list(change.values())[0]))
def test_i1_the_same_key_with_another_body_is_a_conflict_without_effect(weir, new_customer, change):
    customer = rich(weir, new_customer)
    body = customer.body(5, "chat", {"idempotency_key": "k"})
    first = weir.post("/v1/authorize", body)
    allowed(first)
    before = customer.fingerprint()
    problem(weir.post("/v1/authorize", body | change), 409)
    assert customer.fingerprint() == before
    same(first, weir.post("/v1/authorize", body))


def test_i1_one_key_space_for_all_calls_that_take_a_key(weir, new_customer):
    customer = rich(weir, new_customer)
    decision = allowed(customer.consume(5, idempotency_key="c"))["decision_id"]
    hold = allowed(customer.authorize(1, idempotency_key="a"))["decision_id"]
    expect(customer.post_grant("1", idempotency_key="g"))
    expect(customer.extend(hold, 1, idempotency_key="e", ttl_ms=MINUTE))
    expect(customer.refund(decision, credits="1", idempotency_key="r"))
    before = customer.fingerprint()
    for key in "cager":
        calls = {
            "c": customer.consume(7, idempotency_key=key),
            "a": customer.authorize(7, idempotency_key=key),
            "g": customer.post_grant("7", idempotency_key=key),
            "e": customer.extend(hold, 7, idempotency_key=key, ttl_ms=MINUTE),
            "r": customer.refund(decision, credits="0.5", idempotency_key=key),
        }
        for name, answer in calls.items():
            assert answer.status == 409, (key, name, answer.raw)
            problem(answer, 409)
    assert customer.fingerprint() == before


def test_i1_consume_and_authorize_of_the_same_fields_are_not_the_same_call(weir, new_customer):
    customer = rich(weir, new_customer)
    allowed(customer.authorize(5, idempotency_key="k"))
    problem(customer.consume(5, idempotency_key="k"), 409)
    assert customer.funds() == ("7", "3")


def test_i1_customers_have_keys_of_their_own(weir, new_customer):
    for customer in (rich(weir, new_customer), rich(weir, new_customer)):
        allowed(customer.consume(5, idempotency_key="k"))
        assert customer.available() == "7"


def test_i1_without_a_key_every_request_counts(weir, new_customer):
    customer = rich(weir, new_customer)
    ids = {allowed(customer.consume(2))["decision_id"] for _ in range(3)}
    assert len(ids) == 3 and customer.available() == "6"


def test_i1_a_grant_is_given_once(weir, new_customer):
    customer = new_customer(weir, plan="base")
    fields = {"expires_at": to_text(weir.now + 24 * HOUR), "reason": "order 7", "idempotency_key": "g"}
    first = customer.post_grant("5", **fields)
    same(first, customer.post_grant("5", **fields))
    assert expect(first)["grant_id"] and customer.available() == "5"
    problem(customer.post_grant("6", **fields), 409)
    assert customer.available() == "5"


def test_i1_remainders_move_once(weir, new_customer):
    customer = rich(weir, new_customer)
    for key in ("a", "b", "c"):
        first = customer.consume(1, "third", idempotency_key=key)
        allowed(first)
        same(first, customer.consume(1, "third", idempotency_key=key))
    assert customer.available() == "9"


# ---- I2: what binds a key ------------------------------------------------------------------------

def test_i2_a_denial_is_evaluated_anew(weir, new_customer):
    customer = new_customer(weir, plan="base")
    for _ in range(2):
        denied(customer.consume(5, idempotency_key="k"), "insufficient_credits")
    customer.grant("10")
    first = customer.consume(5, idempotency_key="k")
    allowed(first)
    same(first, customer.consume(5, idempotency_key="k"))
    assert customer.available() == "7"


def test_i2_a_denial_does_not_bind_the_key_to_its_body(weir, new_customer):
    customer = new_customer(weir, plan="base")
    denied(customer.consume(5, idempotency_key="k"), "insufficient_credits")
    denied(customer.authorize(3, idempotency_key="k"), "insufficient_credits")
    allowed(customer.consume(2, idempotency_key="k"))
    problem(customer.consume(5, idempotency_key="k"), 409)


def test_i2_a_part_is_sticky(weir, new_customer):
    customer = rich(weir, new_customer, "1")
    first = customer.consume(5, min_units=1, idempotency_key="k")
    partial(first, 3)
    customer.grant("10")
    same(first, customer.consume(5, min_units=1, idempotency_key="k"))
    assert customer.available() == "10"


def test_i2_a_mistake_does_not_bind_the_key(weir, new_customer):
    customer = rich(weir, new_customer)
    problem(customer.consume(5, "nonsense", idempotency_key="k"), 422)
    problem(customer.consume(-1, idempotency_key="k"), 422)
    allowed(customer.consume(5, idempotency_key="k"))


# ---- I3: how long --------------------------------------------------------------------------------

def test_i3_a_key_is_kept_for_the_retention_and_then_is_new(fresh, new_customer):
    weir = fresh(policy(PLANS, retention="1h"))
    customer = rich(weir, new_customer)
    first = customer.consume(3, "pair", idempotency_key="k")
    allowed(first)
    weir.advance(HOUR - 1)
    same(first, customer.consume(3, "pair", idempotency_key="k"))
    assert customer.available() == "4"
    weir.advance(1)
    again = allowed(customer.consume(2, "pair", idempotency_key="k"))       # not even the same body
    assert again["decision_id"] != first.body["decision_id"]
    assert customer.available() == "0"


@pytest.mark.parametrize("ending", ["commit", "release", "expiry"])
def test_i3_the_retention_runs_from_the_end_of_the_hold(fresh, new_customer, ending):
    weir = fresh(policy(PLANS, retention="1h"))
    customer = rich(weir, new_customer)
    ask = lambda: customer.authorize(1, "pair", ttl_ms=30 * MINUTE, idempotency_key="k")  # noqa: E731
    first = ask()
    hold = allowed(first)["decision_id"]
    weir.advance(20 * MINUTE)
    if ending == "commit":
        expect(customer.commit(hold, 1))
    elif ending == "release":
        expect(customer.release(hold))
    else:
        weir.advance(10 * MINUTE)
    weir.advance(HOUR - 1)
    same(first, ask())
    weir.advance(1)
    assert allowed(ask())["decision_id"] != hold


def test_i3_the_default_retention_is_the_policys_day(weir, new_customer):
    customer = rich(weir, new_customer)
    first = customer.consume(1, "pair", idempotency_key="k")
    weir.advance(24 * HOUR - 1)
    same(first, customer.consume(1, "pair", idempotency_key="k"))
    weir.advance(1)
    allowed(customer.consume(1, "pair", idempotency_key="k"))
    assert customer.available() == "6"

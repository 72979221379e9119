"""Batches: many operations in one request, each on its own (SEMANTICS A5)."""

import pytest

from policies import policy
from weir_client import MINUTE, batch_results, expect, lines, problem, to_ms

POLICY = policy("""
base:
  tier: 1
  features:
    chat:
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{limit: 2, per: 5h, start: first_use}]}
        - grants: {category: paid}
    third: {waterfall: [{grants: {category: paid}}]}
""")


def operation(customer, op, units, feature="chat", **fields):
    return {"op": op} | customer.body(units, feature, fields)


def apply(weir, operations):
    results = batch_results(expect(weir.batch(operations), (200,)))
    assert len(results) == len(operations)
    return results


def outcomes(results):
    """An outcome for a decision, a status for a problem."""
    return [result.get("outcome") or result.get("status") for result in results]


def test_a_batch_has_no_key_of_its_own(weir, customer):
    """Passed over, the header would let a batch that is sent again count twice."""
    customer.grant("4")
    answer = weir.post("/v1/batch", {"operations": [operation(customer, "consume", 3)]},
                       headers={"Idempotency-Key": "k"})
    refusal = problem(answer, 422, ["Idempotency-Key", "'k'", "each operation"])
    assert (refusal["code"], refusal["field"]) == ("invalid_value", "Idempotency-Key")
    assert customer.funds() == ("4", "0")


def test_a5_operations_are_decided_in_order(weir, customer):
    customer.grant("4")
    results = apply(weir, [operation(customer, "consume", n) for n in (1, 3, 3, 2, 1)])
    # 2 free and 4 paid: 1 free; 1 free and 2 paid; 3 > 2; 2 paid; nothing.
    assert outcomes(results) == ["allow", "allow", "deny", "allow", "deny"]
    assert lines(results[1]) == [("included", 1, "0"), ("paid", 2, "2")]
    assert customer.available() == "0"


def test_a5_a_failure_stops_nothing_and_is_its_own_problem(weir, customer):
    customer.grant("10")
    results = apply(weir, [
        operation(customer, "consume", 2),
        operation(customer, "consume", 1, "nonsense"),
        {"op": "commit", "decision_id": "d_7777777777777", "quantities": {"requests": 1}},
        operation(customer, "consume", -1),
        operation(customer, "consume", 3),
    ])
    assert outcomes(results) == ["allow", 422, 404, 422, "allow"]
    for failed, word in ((results[1], "nonsense"), (results[3], "requests")):
        assert word in failed["detail"] and failed["code"] and failed["title"]
    assert [failed["field"] for failed in results[1:4]] == [
        "operations[1].feature", "operations[2].decision_id", "operations[3].quantities.requests"]
    assert customer.available() == "7"


def test_a3_what_the_engine_refuses_is_named_with_its_operation(weir, customer):
    for quantities, field in (({"furlongs": 1}, "quantities.furlongs"), ({"requests": 1}, "feature")):
        name = "chat" if "furlongs" in quantities else "nonsense"
        one = {"customer": customer.name, "feature": name, "quantities": quantities}
        in_batch = apply(weir, [operation(customer, "consume", 1), {"op": "consume"} | one])[1]
        assert in_batch["field"] == f"operations[1].{field}" and field in in_batch["detail"]
        in_list = batch_results(expect(weir.request("POST", "/v1/usage", [one, one])))
        assert [item["field"] for item in in_list] == [f"[0].{field}", f"[1].{field}"]


@pytest.mark.parametrize("wrong", [
    {"op": "explode"}, {"op": 7}, {}, {"op": "consume"}, {"op": "release"},
    {"op": "consume", "customer": "x", "feature": "chat", "quantities": {}, "colour": "red"}],
    ids=str)
def test_a5_an_operation_out_of_shape_is_a_problem_and_the_rest_is_done(weir, customer, wrong):
    """Whether the whole batch is refused or that operation alone, never half of it in silence."""
    customer.grant("10")
    answer = weir.batch([operation(customer, "consume", 3), wrong, operation(customer, "consume", 3)])
    if answer.status == 200:
        first, failed, last = batch_results(answer.body)
        assert failed["status"] in (400, 404, 422)
        assert (first["outcome"], last["outcome"]) == ("allow", "allow")
        assert customer.available() == "6"              # 2 were free
    else:
        problem(answer, (400, 422))
        assert customer.available() == "10"


def test_a5_a_key_repeated_inside_gets_the_first_answer(weir, customer):
    customer.grant("10")
    results = apply(weir, [
        operation(customer, "consume", 4, idempotency_key="k"),
        operation(customer, "consume", 4, idempotency_key="k"),
        operation(customer, "consume", 5, idempotency_key="k"),
    ])
    assert results[0] == results[1] and results[0]["outcome"] == "allow"
    assert results[2]["status"] == 409
    assert customer.available() == "8"
    again = customer.consume(4, idempotency_key="k")
    assert again.body == results[0]
    assert customer.available() == "8"


def test_a5_a_denied_key_repeated_inside_is_evaluated_anew(weir, customer):
    results = apply(weir, [operation(customer, "consume", 3, idempotency_key="k"),
                           operation(customer, "consume", 2, idempotency_key="k")])
    assert outcomes(results) == ["deny", "allow"]


def test_a5_holds_are_authorized_committed_and_released_in_batches(weir, customer):
    customer.grant("10")
    holds = [result["decision_id"] for result in apply(
        weir, [operation(customer, "authorize", 2, ttl_ms=10 * MINUTE) for _ in range(4)])]
    assert customer.funds() == ("4", "6")               # the first 2 were free
    results = apply(weir, [
        {"op": "commit", "decision_id": holds[0], "quantities": {"requests": 2}},
        {"op": "commit", "decision_id": holds[1], "quantities": {"requests": 1}},
        {"op": "release", "decision_id": holds[2]},
        {"op": "extend", "decision_id": holds[3], "quantities": {"requests": 1}, "ttl_ms": 20 * MINUTE},
        {"op": "release", "decision_id": holds[0]},
    ])
    assert [results[n]["charged"] for n in (0, 1)] == ["0", "1"]
    assert to_ms(results[3]["hold"]["expires_at"]) == weir.now + 20 * MINUTE
    assert results[4]["status"] == 409
    assert customer.funds() == ("6", "3")


def test_a5_a_batch_serves_many_customers(weir, new_customer):
    customers = [new_customer(weir, plan="base") for _ in range(20)]
    results = apply(weir, [operation(customer, "consume", n)
                           for n in (1, 2) for customer in customers])
    assert outcomes(results) == ["allow"] * 20 + ["deny"] * 20


def test_a5_a_thousand_operations_fit(weir, customer):
    customer.grant("500")
    results = apply(weir, [operation(customer, "consume", 1) for _ in range(1000)])
    assert outcomes(results) == ["allow"] * 502 + ["deny"] * 498
    assert customer.available() == "0"


def test_a5_one_more_than_a_thousand_is_refused_whole(weir, customer):
    customer.grant("5000")
    problem(weir.batch([operation(customer, "consume", 3) for _ in range(1001)]), (400, 413, 422),
            "operations")
    assert customer.available() == "5000"


def test_a5_u4_a_batch_charges_what_single_requests_would(weir, customer):
    customer.grant("10")
    results = apply(weir, [operation(customer, "consume", 1, "third") for _ in range(7)])
    assert [result["charged"] for result in results] == [
        "0.333333333", "0.333333333", "0.333333334"] * 2 + ["0.333333333"]

"""What is asked of the past once the engine has forgotten it and the books have it (SEMANTICS H6)."""

import time

import pytest
from policies import policy
from weir_client import DAY, HOUR, MINUTE, allowed, expect, problem, to_text

POLICY = policy("""
base:
  tier: 1
  features:
    chat: {waterfall: [{grants: {category: paid}}]}
""")


def forget(weir, timeout=20):
    """The engine remembers no ending any more: all of them are in the books."""
    end = time.monotonic() + timeout
    while expect(weir.get("/healthz"))["endings"] != 0:
        assert time.monotonic() < end, weir.get("/healthz").body
        time.sleep(0.01)


@pytest.fixture(params=["running", "killed"])
def later(request, fresh, new_customer):
    """(customer, a call that lets the server forget, and perhaps start again)."""
    server = fresh()

    def pass_over():
        forget(server)
        if request.param == "killed":
            server.kill()
            server.start()
            forget(server)

    return new_customer(server), pass_over


def test_a_commit_told_again_is_the_same_to_the_byte(later):
    customer, pass_over = later
    customer.grant("9")
    hold = customer.hold(3)
    first = customer.commit(hold, 2)
    assert first.status == 200
    pass_over()
    assert customer.commit(hold, 2).raw == first.raw
    problem(customer.commit(hold, 3), (409,))
    problem(customer.release(hold), (409,))
    problem(customer.extend(hold, 1), (409,))
    customer.weir.advance(DAY - 1)
    assert customer.commit(hold, 2).raw == first.raw
    customer.weir.advance(1)
    problem(customer.commit(hold, 2), (404,))


def test_usage_that_comes_late_is_not_lost(later):
    customer, pass_over = later
    customer.grant("9")
    hold = customer.hold(2)
    expect(customer.extend(hold, 1))
    customer.weir.advance(HOUR)
    pass_over()
    body = expect(customer.commit(hold, 3))
    assert (body["late"], body["charged"]) == (True, "3")
    pass_over()
    assert expect(customer.commit(hold, 3)) == body
    assert customer.available() == "6"


def test_a_release_told_again_says_released(later):
    customer, pass_over = later
    customer.grant("9")
    released, expired = customer.hold(1), customer.hold(1)
    expect(customer.release(released))
    customer.weir.advance(10 * MINUTE)
    pass_over()
    assert expect(customer.release(released))["hold"]["state"] == "released"
    assert expect(customer.release(expired))["hold"]["state"] == "expired"
    problem(customer.commit(released, 1), (409,))


def test_refunds_of_any_age_never_exceed_the_charge(later):
    customer, pass_over = later
    customer.grant("9")
    consumed = allowed(customer.consume(3))["decision_id"]
    held = customer.hold(4)
    expect(customer.commit(held, 4))
    expect(customer.refund(consumed, credits="2"))
    pass_over()
    customer.weir.advance(80 * DAY)
    problem(customer.refund(consumed, credits="1.5"), (422,))
    assert expect(customer.refund(consumed, all=True))["refunded"] == "1"
    assert expect(customer.refund(held, credits="1"))["refunded"] == "1"
    pass_over()
    assert expect(customer.refund(held, all=True))["refunded"] == "3"
    problem(customer.refund(held, credits="0.000000001"), (422,))
    assert customer.available() == "9"


def test_h7_a_grant_that_is_gone_has_nothing_to_void(later):
    customer, pass_over = later
    expires = customer.weir.now + HOUR
    grant = customer.grant("9", expires_at=to_text(expires))
    customer.weir.advance(2 * HOUR)
    pass_over()
    assert expect(customer.void(grant))["voided"] == "0"
    problem(customer.void("g_00000000fff00"), (404,))

"""Many clients at once: one balance, one window, one bucket never give more than they hold."""

import json
import os
import random
import socket
import threading

from policies import policy
from weir_client import (NANO, Client, allowed, batch_results, charged_nanos, decided, denied, expect,
                         nano, units_by_source)

POLICY = policy("""
base:
  tier: 1
  features:
    chat:
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{limit: 50, per: 5h, start: first_use}]}
        - grants: {category: promotional}
        - grants: {category: paid}
    third: {waterfall: [{grants: {category: paid}}]}
gated:
  tier: 1
  features:
    chat:
      gates: [{rate: {name: pace, meter: requests, limit: 1, per: 1h, burst: 20, scope: customer}}]
      waterfall: [{unlimited: {}}]
    pair:
      gates: [{concurrency: {name: slots, limit: 5, scope: customer}}]
      waterfall: [{unlimited: {}}]
""")
CLIENTS = 16


def together(work, clients=CLIENTS):
    """Run work(n) in so many threads, all starting at once; their results, or the first error."""
    barrier, results, errors = threading.Barrier(clients), [None] * clients, []

    def one(n):
        try:
            barrier.wait(30)
            results[n] = work(n)
        except BaseException as error:  # noqa: B036 - handed to the test below
            errors.append(error)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]
    return results


def test_one_balance_gives_exactly_what_it_holds(weir, customer):
    """50 free, 30 promotional, 200 paid, and 16 clients who want 640."""
    customer.grant("30", "promotional")
    for _ in range(4):
        customer.grant("50", "paid")
    bodies = [body for bodies in together(
        lambda n: [decided(customer.consume(1)) for _ in range(40)]) for body in bodies]
    outcomes = [body["outcome"] for body in bodies]
    assert outcomes.count("allow") == 280 and outcomes.count("deny") == 360
    sums = {}
    for body in bodies:
        for source, units in units_by_source(body).items():
            sums[source] = sums.get(source, 0) + units
    assert sums == {"included": 50, "promotional": 30, "paid": 200}
    assert sum(map(charged_nanos, (b for b in bodies if b["outcome"] == "allow"))) == 230 * NANO
    assert customer.funds() == ("0", "0")
    assert len({body["decision_id"] for body in bodies if body["outcome"] == "allow"}) == 280


def test_parts_add_up_to_the_whole(weir, customer):
    customer.grant("47", "paid")
    taken = together(lambda n: [decided(customer.consume(5, min_units=1))["units"]["allowed"]
                                for _ in range(10)])
    assert sum(map(sum, taken)) == 97                       # 50 + 47
    assert customer.room() == 0


def test_holds_and_their_endings_lose_nothing(weir, customer):
    seed = int(os.environ.get("WEIR_SEED", random.SystemRandom().randrange(2**32)))
    print("WEIR_SEED =", seed)
    customer.grant("1000", "paid")

    def work(n):
        draw, charged = random.Random(seed * 100 + n), 0
        for _ in range(30):
            answer = customer.authorize(draw.randint(1, 40))
            if answer.body["outcome"] == "deny":
                continue
            hold, units = answer.body["decision_id"], answer.body["units"]["allowed"]
            if draw.random() < 0.4:
                expect(customer.release(hold), (200,))
            else:
                final = expect(customer.commit(hold, draw.randint(0, units)), (200,))
                charged += charged_nanos(final)
        return charged

    charged = sum(together(work))
    assert customer.held() == "0"
    assert nano(customer.available()) == 1000 * NANO - charged


def test_a_bucket_gives_its_burst_once(weir, new_customer):
    customer = new_customer(weir, plan="gated")
    outcomes = sum(together(lambda n: [decided(customer.consume(1))["outcome"] for _ in range(5)]), [])
    assert outcomes.count("allow") == 20
    denied(customer.consume(1), "rate_limited")


def test_slots_are_never_oversold(weir, new_customer):
    customer = new_customer(weir, plan="gated")
    bodies = together(lambda n: decided(customer.authorize(1, "pair")))
    held = [body["decision_id"] for body in bodies if body["outcome"] == "allow"]
    assert len(held) == 5
    together(lambda n: expect(customer.release(held[n])), 5)
    assert [decided(customer.authorize(1, "pair"))["outcome"] for _ in range(6)] == [
        "allow"] * 5 + ["deny"]


def test_one_key_at_once_is_one_effect(weir, customer):
    customer.grant("100", "paid")
    for key in ("a", "b", "c"):
        answers = together(lambda n: customer.authorize(60, idempotency_key=key))
        assert {answer.status for answer in answers} == {200}
        assert len({answer.raw for answer in answers}) == 1
        if key == "a":
            assert customer.funds() == ("90", "10")         # 50 + 10
            expect(customer.release(allowed(answers[0])["decision_id"]))


def test_one_commit_at_once_is_one_effect(weir, customer):
    customer.grant("100", "paid")
    hold = customer.hold(90)
    answers = together(lambda n: customer.commit(hold, 60 + n % 2))
    fine = [answer for answer in answers if answer.status == 200]
    assert {answer.status for answer in answers} == {200, 409}
    assert len({answer.raw for answer in fine}) == 1
    assert nano(customer.available()) == 100 * NANO - charged_nanos(fine[0].body)
    assert customer.held() == "0"


def test_one_grant_key_at_once_is_one_grant(weir, customer):
    answers = together(lambda n: customer.post_grant("5", idempotency_key="g"))
    assert len({answer.raw for answer in answers}) == 1
    assert customer.available() == "5"


def test_u4_remainders_add_up_whoever_comes_first(weir, customer):
    """16 * 25 thirds are 133 and a third."""
    customer.grant("1000", "paid")
    charged = sum(sum(together(lambda n: [charged_nanos(allowed(customer.consume(1, "third")))
                                          for _ in range(25)]), []))
    assert charged == 400 * NANO // 3
    assert nano(customer.available()) == 1000 * NANO - charged


def test_batches_share_a_balance_too(weir, customer):
    customer.grant("150", "paid")
    operation = {"op": "consume"} | customer.body(1, "chat", {})
    results = sum(together(lambda n: batch_results(expect(weir.batch([operation] * 50)))), [])
    outcomes = [result["outcome"] for result in results]
    assert outcomes.count("allow") == 200 and len(outcomes) == 800
    assert customer.funds() == ("0", "0")


def test_purchases_and_spending_race_without_loss(weir, customer):
    """Eight clients buy 3 credits twenty times, eight spend 2 where they can."""
    def work(n):
        if n % 2:
            for _ in range(20):
                customer.grant("3")
            return 60 * NANO
        bodies = [decided(customer.consume(2)) for _ in range(20)]
        return -sum(charged_nanos(body) for body in bodies if body["outcome"] == "allow")

    assert nano(customer.available()) == 0
    moved = sum(together(work))
    assert moved >= 0 and nano(customer.available()) == moved


def test_a_connection_may_pipeline(weir, customer):
    pipelined = 8
    customer.grant("100", "paid")
    body = json.dumps(customer.body(10, "chat", {})).encode()
    one = (b"POST /v1/consume HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
           b"Content-Length: %d\r\n\r\n" % len(body)) + body
    with socket.create_connection(("127.0.0.1", weir.port), timeout=30) as connection:
        connection.sendall(one * pipelined)
        received = b""
        while received.count(b'"decision_id"') < pipelined:
            chunk = connection.recv(65536)
            assert chunk, received
            received += chunk
    assert received.count(b"HTTP/1.1 200") == pipelined
    assert customer.available() == "70"                     # 80 - 50 free


def test_clients_of_their_own_see_one_truth(weir, customer):
    """What one connection has been told, another one reads."""
    customer.grant("10", "paid")
    other = Client(weir.port)
    allowed(customer.consume(50))
    for left in range(9, -1, -1):
        allowed(customer.consume(1))
        assert other.get(f"{customer.path}/balance").body["available"] == str(left)
    other.close()
    denied(customer.consume(1), "insufficient_credits")

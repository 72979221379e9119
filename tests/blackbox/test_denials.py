"""Denials in crowds: what is refused again and again fills no journal (DESIGN.md section 5)."""

import pathlib
import sqlite3

from policies import policy
from weir_client import allowed, batch_results, denied, expect, problem

POLICY = policy("""
base:
  tier: 1
  features:
    chat: {waterfall: [{grants: {category: paid}}]}
""")


def refused(weir, customer, count, op="consume"):
    """So many equal denials in one request; their decision ids."""
    results = batch_results(expect(weir.batch([{"op": op} | customer.body(1, "chat", {})] * count)))
    assert [result["outcome"] for result in results] == ["deny"] * count
    return [result["decision_id"] for result in results]


def entries(server):
    """Of the whole journal, which has nothing to hide from SQL."""
    path = pathlib.Path(server.data) / "journal.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        return database.execute("SELECT sum(entries) FROM batch").fetchone()[0]


def test_the_first_sixteen_a_second_are_told_apart(weir, customer):
    ids = refused(weir, customer, 1000)
    assert len(set(ids[:16])) == 16
    assert not set(ids[:16]) & set(ids[16:])
    assert len(set(ids[16:])) < 10             # one for each batch of the journal that they met


def test_a_crowd_takes_no_room_in_the_journal(fresh, new_customer):
    server = fresh()
    customer = new_customer(server)
    refused(server, customer, 16)
    before = entries(server)
    for _ in range(5):
        refused(server, customer, 200)
    assert entries(server) - before < 25       # not 1,000


def test_another_second_tells_sixteen_apart_again(weir, customer):
    assert len(set(refused(weir, customer, 40))) < 40
    weir.advance(1000)
    assert len(set(refused(weir, customer, 16))) == 16


def test_others_are_not_in_the_crowd(weir, new_customer):
    crowd, other = new_customer(weir), new_customer(weir)
    ids = refused(weir, crowd, 100)
    others = refused(weir, other, 16)
    assert len(set(others)) == 16 and not set(ids) & set(others)


def test_a_key_is_not_bound_by_the_denials_of_a_crowd(weir, customer):
    refused(weir, customer, 50)
    denied(customer.consume(1, idempotency_key="k"), "insufficient_credits")
    customer.grant("1")
    first = allowed(customer.consume(1, idempotency_key="k"))
    assert allowed(customer.consume(1, idempotency_key="k")) == first


def test_after_kill_9_the_crowd_is_counted_on(fresh, new_customer):
    """The second stands still with the clock: who was told apart before is a crowd after."""
    server = fresh()
    customer = new_customer(server)
    before = refused(server, customer, 60)
    server.kill()
    server.start()
    after = refused(server, customer, 60)
    assert not set(before) & set(after)
    assert len(set(after)) < 10


def test_a_denied_id_can_be_neither_committed_nor_refunded(weir, customer):
    last = refused(weir, customer, 40, "authorize")[-1]
    problem(weir.post(f"/v1/holds/{last}/commit", {"quantities": {"requests": 1}}), (404,))
    problem(customer.refund(last, all=True), (404, 422))

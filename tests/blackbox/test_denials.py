"""Denials in crowds: what is refused again and again fills no journal (DESIGN.md section 5)."""

import pathlib
import sqlite3
import time

import pytest

from policies import policy
from weir_client import Customer, allowed, batch_results, denied, expect, problem, run

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


def rows(server, customer):
    """Usage events of denials: decision and count of each, in order."""
    with sqlite3.connect(f"file:{server.data}/ledger.db?mode=ro", uri=True) as database:
        return database.execute("SELECT decision, count, at_ms / 1000, position FROM usage_events "
                                "WHERE customer = ? AND kind = 'denial' ORDER BY position",
                                (customer.name,)).fetchall()


def counted(server, customer):
    """How many denials the server says there were."""
    usage = expect(server.get("/v1/usage?group_by=outcome&customer=" + customer.name))
    return sum(row["denied"] for row in usage["usage"])


def proven(server):
    assert server.stop() == 0
    for command in ("verify", "reconcile", "replay"):
        status, out, err = run(command, "--data", server.data)
        assert status == 0, (command, out, err)


def test_the_first_sixteen_a_second_are_told_apart(weir, customer):
    ids = refused(weir, customer, 1000)
    assert len(set(ids[:16])) == 16
    assert not set(ids[:16]) & set(ids[16:])
    assert len(set(ids[16:])) == 1


@pytest.mark.parametrize("op", ["consume", "authorize", "extend"])
def test_who_waits_for_each_answer_is_a_crowd_too(fresh, new_customer, op):
    """DESIGN.md section 5: eighteen rows a second, however the denials arrive, and no count is lost."""
    server = fresh()
    customer = new_customer(server)
    if op == "extend":
        customer.grant("1")
        hold = customer.hold(1)
    for second in range(3):
        before = entries(server)
        told = []
        for _ in range(100):
            answer = customer.extend(hold, 1) if op == "extend" else server.post(
                f"/v1/{op}", customer.body(1, "chat", {}))
            denied(answer, "insufficient_credits")
            told.append(answer.body["decision_id"])
        assert len(set(told)) == (17 if op != "extend" else 1)
        if op != "extend":
            assert len(set(told[16:])) == 1
        server.advance(1000)
        assert entries(server) - before == 18
        assert counted(server, customer) == 100 * (second + 1)
    written = rows(server, customer)
    assert [count for _, count, _, _ in written] == 3 * (17 * [1] + [83])
    seconds = [second for _, _, second, _ in written]
    assert seconds == sorted(18 * sorted(set(seconds))) and len(set(seconds)) == 3
    if op != "extend":
        for second in range(3):
            first, rest = written[18 * second + 16], written[18 * second + 17]
            assert first[0] == first[3] == rest[0] != rest[3]       # linked to the crowd's first
    proven(server)


def test_explain_tells_a_crowd_in_one_line_with_its_count(fresh, new_customer):
    server = fresh()
    customer = new_customer(server)
    ids = refused(server, customer, 900)
    for decision, told in ((ids[0], "denial "), (ids[-1], "884 denials ")):
        status, text, errors = run("explain", decision, "--server", f"http://127.0.0.1:{server.port}")
        assert status == 0, errors
        lines = [line for line in text.splitlines() if "denial" in line]
        assert len(lines) == 1 and lines[0].strip().startswith(told), text


def test_where_time_stands_still_a_reader_ends_the_count(fresh, new_customer):
    server = fresh()
    customer = new_customer(server)
    last = refused(server, customer, 60)[-1]
    assert counted(server, customer) == 60
    receipt = expect(server.get(f"/v1/decisions/{last}"))
    assert [event["count"] for event in receipt["events"]] == [1, 43]
    assert refused(server, customer, 10) == [last] * 10
    assert counted(server, customer) == 70
    assert [event["count"] for event in expect(server.get(f"/v1/decisions/{last}"))["events"]] == [1, 43, 10]
    proven(server)


def test_a_second_of_the_wall_clock_ends_by_itself(fresh):
    """Nobody asks for anything more."""
    server = fresh(clock=None)
    customer = Customer(server, "waits")
    told = 0
    for _ in range(3):
        for _ in range(100):
            denied(customer.consume(1, "chat"), "insufficient_credits")
            told += 1
    deadline = time.monotonic() + 20
    while sum(count for _, count, _, _ in rows(server, customer)) < told:
        assert time.monotonic() < deadline, rows(server, customer)
        time.sleep(0.01)
    per_second = {}
    for _, _, second, _ in rows(server, customer):
        per_second[second] = per_second.get(second, 0) + 1
    assert max(per_second.values()) <= 18
    proven(server)


@pytest.mark.parametrize("clock", ["test", "wall"])
def test_a_stop_in_mid_second_loses_no_count(fresh, clock):
    server = fresh(**({} if clock == "test" else {"clock": None}))
    customer = Customer(server, "stopped")
    refused(server, customer, 60)
    assert server.stop() == 0
    server.start()
    refused(server, customer, 60)
    proven(server)
    assert sum(count for _, count, _, _ in rows(server, customer)) == 120


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
    """The second stands still with the clock: who was told apart before is in the same crowd after. Only what
    was not told of before the kill is not counted."""
    server = fresh()
    customer = new_customer(server)
    before = refused(server, customer, 60)
    server.kill()
    server.start()
    assert set(refused(server, customer, 60)) == {before[-1]}
    server.advance(1000)
    assert counted(server, customer) == 17 + 60
    server.kill()       # what was told of is kept
    server.start()
    assert counted(server, customer) == 17 + 60
    proven(server)


def test_a_denied_id_can_be_neither_committed_nor_refunded(weir, customer):
    last = refused(weir, customer, 40, "authorize")[-1]
    problem(weir.post(f"/v1/holds/{last}/commit", {"quantities": {"requests": 1}}), (404,))
    problem(customer.refund(last, all=True), (404, 422))

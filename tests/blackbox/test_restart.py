"""What a restart keeps, which policy it takes up (P1), and which data directories are refused."""

import http.client
import signal
import sqlite3
import threading

import pytest

from policies import policy
from weir_client import (CLOCK_ABSENT, CLOCK_BACKWARD, HOUR, MINUTE, NANO, SECOND, Server,
                         StartFailed, allowed, decided, denied, expect, free_port, hold_state, nano,
                         problem, run, to_ms, to_text)

PLANS = """
base:
  tier: 1
  features:
    chat:
      gates:
        - rate: {{name: pace, meter: requests, limit: 60, per: 1m, burst: 40, scope: customer}}
      waterfall:
        - allowance: {{name: included, scope: customer, windows: [{{limit: {limit}, per: 5h, start: first_use}}]}}
        - grants: {{category: paid}}
    third: {{waterfall: [{{grants: {{category: paid}}}}]}}
    pair:
      gates: [{{concurrency: {{name: one, limit: 1, scope: customer}}}}]
      waterfall: [{{unlimited: {{}}}}]
"""


def limited(limit):
    return policy(PLANS.format(limit=limit))


POLICY = limited(5)


def room(customer):
    """What the next request of up to 30 could have; the bucket holds 40."""
    return decided(customer.check(30, min_units=1))["units"]["allowed"]


ENDINGS = pytest.mark.parametrize("hard", [False, True], ids=["SIGTERM", "SIGKILL"])


@ENDINGS
def test_everything_is_there_after_a_restart(fresh, new_customer, hard):
    weir = fresh()
    customer = new_customer(weir, plan="base", credit_mode="ask", anchor="2026-01-31T00:00:00Z")
    t = weir.now
    customer.grant("20", expires_at=to_text(t + 24 * HOUR), idempotency_key="g")
    kept = {"use_credits": True, "subject": "team/a", "explain": True}
    consumed = customer.consume(7, idempotency_key="c", **kept)                 # 5 + 2
    held = customer.authorize(4, idempotency_key="a", ttl_ms=10 * MINUTE, **kept)
    allowed(consumed)
    hold = allowed(held)["decision_id"]
    allowed(customer.consume(1, "third", use_credits=True))
    slot = customer.hold(1, "pair", ttl_ms=10 * MINUTE)
    released = customer.hold(1, use_credits=True)
    expect(customer.release(released))
    first_commit = customer.commit(hold, 3)
    expect(first_commit)
    open_hold = customer.hold(2, use_credits=True, ttl_ms=10 * MINUTE)
    before = customer.fingerprint(), weir.get("/v1/policy").raw

    weir.restart(hard=hard)

    assert (customer.fingerprint(), weir.get("/v1/policy").raw) == before
    # 20 - 2 - 3 - a third - 2 held
    assert customer.funds() == ("12.666666667", "2")
    for first, again in (
            (consumed, customer.consume(7, idempotency_key="c", **kept)),
            (held, customer.authorize(4, idempotency_key="a", ttl_ms=10 * MINUTE, **kept)),
            (first_commit, customer.commit(hold, 3))):
        assert (again.status, again.raw) == (first.status, first.raw)
    problem(customer.consume(8, idempotency_key="c", **kept), 409)
    problem(customer.commit(hold, 2), 409)
    assert hold_state(expect(customer.release(released))) == "released"
    denied(customer.authorize(1, "pair"), "concurrency_limited")
    expect(customer.release(slot))
    denied(customer.consume(1), "credits_need_consent")
    # 7 + 4 + 1 + 2 of 40 tokens were taken, none came back: the clock has stood still.
    # min_units: what the credits cannot carry is not in the way, only pace is (S8).
    assert denied(customer.check(27, use_credits=True, min_units=1),
                  "rate_limited")["retry_after_ms"] == SECOND
    # The thirds go on from their remainder: 1/3 was 333333333 and a third.
    charges = [allowed(customer.consume(1, "third", use_credits=True))["charged"] for _ in range(2)]
    assert charges == ["0.333333333", "0.333333334"]
    assert expect(customer.commit(open_hold, 2))["charged"] == "2"
    weir.go_to(t + 5 * HOUR, -1)
    assert room(customer) == 0
    weir.go_to(t + 5 * HOUR)
    assert room(customer) == 5                          # without consent
    weir.go_to(t + 24 * HOUR)
    assert customer.funds() == ("0", "0")


@ENDINGS
def test_what_fell_due_while_the_server_was_down_is_due(fresh, new_customer, hard):
    weir = fresh()
    customer = new_customer(weir, plan="base")
    customer.grant("10")
    late = customer.hold(8, ttl_ms=MINUTE)              # 5 + 3
    if hard:
        weir.kill()
    else:
        weir.stop()
    weir.now += MINUTE
    weir.start()
    assert customer.funds() == ("10", "0")
    assert room(customer) == 15
    assert expect(customer.commit(late, 8))["late"] is True


def test_t1_stamps_never_go_back_over_a_restart(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir, plan="base")
    weir.advance(HOUR)
    last = to_ms(allowed(customer.authorize(1, ttl_ms=1000))["hold"]["expires_at"])
    weir.stop()
    weir.now -= HOUR
    weir.start()
    assert to_ms(allowed(customer.authorize(1, ttl_ms=1000))["hold"]["expires_at"]) >= last


def test_sigterm_ends_the_server_with_status_zero(fresh, new_customer):
    weir = fresh()
    allowed(new_customer(weir, plan="base").consume(1))
    assert weir.stop() == 0


def test_sigterm_under_load_loses_no_answer(fresh, new_customer):
    """What was answered counts; what was not can be asked again with its key, once."""
    weir = fresh(clock=None)
    customer = new_customer(weir, plan="base")
    customer.grant("100000")
    records, lock, enough = [], threading.Lock(), threading.Event()

    def work(n):
        for m in range(10_000):
            record = [f"{n}-{m}", None]
            with lock:
                records.append(record)
                if len(records) > 200:
                    enough.set()
            try:
                record[1] = customer.consume(1, "third", idempotency_key=record[0])
            except (OSError, http.client.HTTPException):
                return
            if record[1].status != 200:
                return

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    weir.process.send_signal(signal.SIGTERM)
    assert weir.process.wait(20) == 0
    for thread in threads:
        thread.join(60)
    weir.forget()
    weir.start()
    for key, first in records:
        again = customer.consume(1, "third", idempotency_key=key)
        allowed(again)
        if first is not None and first.status == 200:
            assert again.raw == first.raw, key
    assert nano(customer.available()) == 100000 * NANO - len(records) * NANO // 3


# ---- P1 ------------------------------------------------------------------------------------------

@ENDINGS
def test_p1_a_policy_put_later_outlives_a_restart_with_the_old_file(fresh, new_customer, hard):
    weir = fresh(limited(5))
    assert room(new_customer(weir, plan="base")) == 5
    expect(weir.put_policy(limited(7)))
    weir.restart(hard=hard)
    assert room(new_customer(weir, plan="base")) == 7
    assert weir.get("/v1/policy").raw.decode() == limited(7)


def test_p1_a_file_that_has_changed_is_applied(fresh, new_customer):
    weir = fresh(limited(5))
    expect(weir.put_policy(limited(7)))
    weir.restart(limited(9))
    assert room(new_customer(weir, plan="base")) == 9
    expect(weir.put_policy(limited(7)))
    weir.restart(limited(9))                    # the file last applied from there
    assert room(new_customer(weir, plan="base")) == 7
    weir.restart(limited(5))                    # an older one, but different from the last
    assert room(new_customer(weir, plan="base")) == 5
    weir.restart(limited(7))                    # what was put before, never applied from the file
    assert room(new_customer(weir, plan="base")) == 7


def test_p1_a_file_with_a_mistake_starts_no_server_and_spoils_nothing(fresh, new_customer):
    weir = fresh(limited(5))
    customer = new_customer(weir, plan="base")
    customer.grant("3")
    before = customer.fingerprint()
    weir.stop()
    weir.policy_file.write_text(limited(9).replace("waterfall:", "waterfal:", 1))
    with pytest.raises(StartFailed) as failed:
        weir.start()
    assert failed.value.status == 1
    assert f"{weir.policy_file}:" in failed.value.stderr and "waterfall" in failed.value.stderr
    weir.policy_file.write_text(limited(5))
    weir.start()
    assert customer.fingerprint() == before


# ---- the data directory --------------------------------------------------------------------------

def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


def serve(data, policy_file):
    """`weir serve` that is expected to refuse; answers (exit status, all it said)."""
    status, out, err = run("serve", "--data", data, "--policy", policy_file, "--http",
                           f"127.0.0.1:{free_port()}", *Server.other_ports())
    return status, out + err


def test_a_second_server_on_the_same_directory_is_refused(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir, plan="base")
    customer.grant("3")
    before = customer.fingerprint()
    status, said = serve(weir.data, weir.policy_file)
    assert status == 1
    assert str(weir.data) in said, said
    assert customer.fingerprint() == before
    allowed(customer.consume(1))
    # The lock is the process's: after a kill there is nothing to clear away.
    weir.restart(hard=True)
    allowed(customer.consume(1))


def foreign_text(directory):
    (directory / "journal.db").write_bytes(b"Dear diary,\n" * 1000)


def foreign_database(directory):
    with sqlite3.connect(directory / "journal.db") as database:
        database.execute("CREATE TABLE recipes (name TEXT, flour INTEGER)")
        database.execute("INSERT INTO recipes VALUES ('bread', 500)")
    database.close()


@pytest.mark.parametrize("make", [foreign_text, foreign_database])
def test_a_file_that_is_not_ours_is_refused_and_left_as_it_was(fresh, make):
    weir = fresh(start=False)
    make(weir.data)
    before = contents(weir.data)
    status, said = serve(weir.data, weir.policy_file)
    assert status == 1
    assert next(iter(before)) in said, said
    after = contents(weir.data)
    assert {name: after.get(name) for name in before} == before


@pytest.mark.parametrize("name, text", [("lock", b"Dear diary,\n" * 9), ("journal.db", b"")])
def test_a_file_where_ours_would_be_is_refused_and_left_as_it_was(fresh, name, text):
    weir = fresh(start=False)
    (weir.data / name).write_bytes(text)
    status, said = serve(weir.data, weir.policy_file)
    assert status == 1
    assert str(weir.data / name) in said, said
    assert (weir.data / name).read_bytes() == text
    assert set(contents(weir.data)) <= {name, "lock"}


def test_a_journal_cut_to_nothing_is_not_founded_anew(fresh, new_customer):
    weir = fresh()
    allowed(new_customer(weir, plan="base").consume(1))
    weir.stop()
    (weir.data / "journal.db").write_bytes(b"")
    status, said = serve(weir.data, weir.policy_file)
    assert status == 1
    assert "journal.db" in said and "empty" in said, said
    assert (weir.data / "journal.db").read_bytes() == b""


@pytest.mark.parametrize("kept", ["ledger.db", "keys.weir", "journal.db-wal"])
def test_a_journal_that_is_gone_is_not_founded_anew(fresh, new_customer, kept):
    """What lies beside it shows that there was one: a new one would make its books worthless."""
    weir = fresh()
    allowed(new_customer(weir, plan="base").consume(1))
    weir.kill()
    for path in list(weir.data.iterdir()):
        if path.name != kept:
            path.unlink()
    before = contents(weir.data)
    status, said = serve(weir.data, weir.policy_file)
    assert status == 1
    assert "journal.db" in said and "missing" in said and kept in said, said
    after = contents(weir.data)
    assert after.pop("lock") is not None
    assert after == before


def test_a_directory_of_another_version_is_refused_and_left_as_it_was(fresh, new_customer):
    """The version is taken to be in SQLite's own field for it, user_version."""
    weir = fresh()
    allowed(new_customer(weir, plan="base").consume(1))
    weir.stop()
    database = sqlite3.connect(weir.data / "journal.db")
    database.execute("PRAGMA user_version = 2000000001")
    database.commit()
    database.close()
    before = contents(weir.data)
    status, said = serve(weir.data, weir.policy_file)
    assert status == 1
    assert "journal.db" in said and "version" in said, said
    after = contents(weir.data)
    before.pop("lock")                                          # says who holds it, nothing else
    assert {name: after.get(name) for name in before} == before


def test_too_little_memory_for_the_journal_is_told(fresh):
    weir = fresh(arguments=["--memory", "64M"])
    for first in range(0, 18_000, 1000):
        operations = [{"op": "consume", "customer": f"c{first + n}", "feature": "chat",
                       "quantities": {"requests": 1}} for n in range(1000)]
        expect(weir.batch(operations))
    weir.stop()
    weir.arguments = ["--memory", "16M"]
    with pytest.raises(StartFailed) as refused:
        weir.start()
    assert refused.value.status == 1
    assert "--memory" in refused.value.stderr and "assert" not in refused.value.stderr
    weir.arguments = ["--memory", "64M"]
    weir.start()


def test_a_directory_that_cannot_be_used_is_named(fresh, tmp_path):
    weir = fresh(start=False)
    plain = tmp_path / "plain-file"
    plain.write_text("not a directory")
    status, said = serve(plain, weir.policy_file)
    assert status == 1 and str(plain) in said
    assert plain.read_text() == "not a directory"


# ---- the clock -----------------------------------------------------------------------------------

def test_the_clock_moves_forward_only(fresh):
    weir = fresh()
    now = weir.advance(HOUR)
    for body in ({"now": to_text(now - 1)}, {"advance_ms": -1}, {"now": "2000-01-01T00:00:00Z"}):
        problem(weir.post("/v1/clock", body), CLOCK_BACKWARD)
    assert weir.advance(1) == now + 1


def test_a_journal_that_ends_in_the_future_is_told(fresh, new_customer):
    weir = fresh(clock="2090-01-01T00:00:00Z")
    allowed(new_customer(weir, plan="base").consume(1))
    weir.stop()
    weir.clocked = False
    weir.start()
    assert "2090-01-01T00:00:0" in weir.stderr() and "wall clock" in weir.stderr(), weir.stderr()
    assert expect(weir.get("/healthz"))["clock"]["ahead_ms"] > 10 * 365 * 24 * HOUR


def test_without_the_option_there_is_no_clock_to_move(fresh, new_customer):
    weir = fresh(clock=None)
    problem(weir.post("/v1/clock", {"advance_ms": 1000}), CLOCK_ABSENT)
    allowed(new_customer(weir, plan="base").consume(1))

"""A journal that does not grow for ever: what nobody can ask for any more goes, what somebody can stays."""

import json
import sqlite3
import time

import pytest

from policies import policy
from weir_client import DAY, HOUR, SECOND, Customer, StartFailed, allowed, batch_results, expect, run, to_text

POLICY = policy("""
base:
  tier: 1
  features:
    chat: {waterfall: [{grants: {category: paid}}]}
""")
KEPT = ("--receipts-for", "60s", "--snapshot-every", "64K")
QUIET_SECONDS_MAX = 60


def first_kept(weir):
    """The oldest batch behind genesis, by the file itself."""
    with sqlite3.connect(f"file:{weir.data}/journal.db?mode=ro", uri=True) as journal:
        return journal.execute("SELECT min(sequence) FROM batch WHERE sequence > 1").fetchone()[0]


def live(weir, customer, rounds, step_ms=5 * SECOND):
    """Batches of usage, each a little later than the one before."""
    for _ in range(rounds):
        batch_results(expect(weir.batch([
            {"op": "consume"} | customer.body(1, "chat", {"attributes": {"origin": "x" * 200}})
            for _ in range(20)])))
        weir.advance(step_ms)


def settled(weir):
    deadline = time.monotonic() + QUIET_SECONDS_MAX
    while expect(weir.get("/healthz"))["settlement"]["lag_batches"] > 0:
        assert time.monotonic() < deadline


def live_until_cut(weir, customer, beyond):
    """Goes on until the journal begins behind that batch."""
    for _ in range(60):
        if first_kept(weir) > beyond:
            return
        live(weir, customer, 20)
        settled(weir)
    raise AssertionError(f"the journal still begins at {first_kept(weir)}: {weir.stderr()}")


@pytest.fixture
def busy(fresh):
    weir = fresh(arguments=KEPT)
    customer = Customer(weir, "busy")
    customer.grant("10000000")
    return weir, customer


def test_the_journal_is_a_part_of_what_was_written(busy):
    """How large a part depends on how fast settlement and snapshots follow on a busy machine; that it does
    not grow with what was written does not."""
    weir, customer = busy
    live_until_cut(weir, customer, 40)
    for _ in range(24):
        live(weir, customer, 25)
        settled(weir)
    with sqlite3.connect(f"file:{weir.data}/journal.db?mode=ro", uri=True) as journal:
        newest, average = journal.execute("SELECT max(sequence), avg(length(body)) FROM batch").fetchone()
    assert first_kept(weir) > newest / 2
    assert (weir.data / "journal.db").stat().st_size < newest * average / 2


def size_of(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:       # a key file that is over goes whenever it likes
        return 0


def kept_on_disk(weir):
    """Bytes of the journal and of key files, and how many usage events there are."""
    with sqlite3.connect(f"file:{weir.data}/ledger.db?mode=ro", uri=True) as ledger:
        events = ledger.execute("SELECT count(*) FROM usage_events").fetchone()[0]
    keys = sum(size_of(path) for path in weir.data.glob("keys*.weir"))
    return {"journal": size_of(weir.data / "journal.db"), "keys": keys, "usage": events}


def test_disk_use_is_flat_over_many_times_the_retention(fresh):
    """A steady load with keys, holds and refunds, half an hour apart; everything is kept for a day at most."""
    weir = fresh(arguments=("--receipts-for", "1h", "--usage-for", "24h", "--snapshot-every", "64K"))
    customer = Customer(weir, "busy")
    customer.grant("10000000")
    count, days = 0, []
    for _ in range(8):
        most = {"journal": 0, "keys": 0, "usage": 0}
        for _ in range(48):
            done = batch_results(expect(weir.batch([
                {"op": "consume"} | customer.body(1, "chat", {"idempotency_key": f"k{count + i}"})
                for i in range(20)])))
            count += 20
            expect(customer.refund(done[0]["decision_id"], credits="0.5"))
            expect(customer.commit(customer.hold(1, "chat"), 1))
            weir.advance(HOUR // 2)
            settled(weir)
            most = {name: max(size, most[name]) for name, size in kept_on_disk(weir).items()}
        days.append(most)
    # Two days to fill up, then no more than in the third.
    assert days[2]["keys"] > 0
    for name, filled in days[2].items():
        assert max(day[name] for day in days[3:]) <= filled * 5 / 4, (name, days)


def test_a_server_starts_from_a_journal_without_its_beginning(busy):
    weir, customer = busy
    live_until_cut(weir, customer, 40)
    before = customer.fingerprint()
    weir.restart(hard=True)
    assert customer.fingerprint() == before
    weir.restart()
    assert customer.fingerprint() == before
    live(weir, customer, 5)
    assert weir.stop() == 0
    for command in ("verify", "reconcile"):
        status, out, err = run(command, "--data", weir.data)
        assert status == 0, (command, out, err)


def test_a_refund_keeps_no_batch(busy):
    weir, customer = busy
    charged = allowed(customer.consume(1, "chat"))["decision_id"]
    refund = weir.post(f"/v1/decisions/{charged}/refund", {"credits": "0.1"})
    assert refund.status == 200, refund.raw
    settled(weir)
    again = weir.post(f"/v1/decisions/{charged}/refund", {"all": True})
    assert again.status == 200 and again.body["refunded_total"] == "1", again.raw
    live_until_cut(weir, customer, expect(weir.get("/healthz"))["journal"]["sequence"])
    assert weir.post(f"/v1/decisions/{charged}/refund", {"all": True}).status == 404


@pytest.mark.parametrize("usage_for", ["400d", "60s"])
def test_a_refund_told_again_is_the_same_after_its_decision_was_cut(fresh, usage_for):
    """SEMANTICS I1, I3: of what was charged at once and of what was held; also where the key is in a file, and
    where usage events go as early."""
    weir = fresh(arguments=(*KEPT, "--usage-for", usage_for))
    customer = Customer(weir, "busy")
    customer.grant("10000000")
    held = customer.hold(2, "chat")
    expect(customer.commit(held, 2))
    charged = allowed(customer.consume(1, "chat"))["decision_id"]
    sequence = expect(weir.get("/healthz"))["journal"]["sequence"]
    live(weir, customer, 25)
    weir.advance(23 * HOUR)     # how the hold ended is remembered for a day, with all behind it
    bodies = {name: {"all": True, "idempotency_key": f"refund-{name}"} for name in (held, charged)}
    first = {name: customer.refund(name, **body) for name, body in bodies.items()}
    assert [answer.status for answer in first.values()] == [200, 200], first
    weir.advance(2 * HOUR)
    live_until_cut(weir, customer, sequence)
    for _ in ("running", "killed"):
        for name, body in bodies.items():
            again = customer.refund(name, **body)
            assert (again.status, again.raw) == (200, first[name].raw)
            assert customer.refund(name, **body | {"reason": "another"}).status == 409
            new = customer.refund(name, all=True, idempotency_key="new")
            assert new.status == 404 and b"older than receipts are kept" in new.raw, new.raw
        weir.restart(hard=True)
    weir.advance(DAY)
    assert {customer.refund(name, **body).status for name, body in bodies.items()} == {404}


def test_a_grant_that_was_cut_has_nothing_to_void(busy):
    weir, customer = busy
    grant = customer.grant("1", expires_at=to_text(weir.now + SECOND))
    sequence = expect(weir.get("/healthz"))["journal"]["sequence"]
    live_until_cut(weir, customer, sequence)
    assert expect(customer.void(grant))["voided"] == "0"


def test_what_was_cut_is_not_known_and_what_is_held_is(busy):
    weir, customer = busy
    old = allowed(customer.consume(1, "chat"))["decision_id"]
    body = customer.body(1, "chat", {"ttl_ms": 10 * DAY, "idempotency_key": "held"})
    held = weir.post("/v1/authorize", body)
    live(weir, customer, 100)
    settled(weir)
    live(weir, customer, 100)
    assert weir.post("/v1/authorize", body).raw == held.raw
    live(weir, customer, 20)
    sequence = first_kept(weir)
    committed = weir.post(f"/v1/holds/{held.body['decision_id']}/commit", {"quantities": {"requests": 1}})
    assert committed.status == 200
    weir.advance(25 * HOUR)
    live_until_cut(weir, customer, sequence + 40)
    refused = weir.post(f"/v1/decisions/{old}/refund", {"all": True})
    assert refused.status == 404, refused.raw


@pytest.mark.parametrize("has_snapshot", [False, True])
def test_a_beginning_that_nobody_cut_is_missed(fresh, has_snapshot):
    weir = fresh(arguments=("--snapshot-every", "64K") if has_snapshot else ())
    customer = Customer(weir, "busy")
    customer.grant("1000000")
    live(weir, customer, 30)
    deadline = time.monotonic() + QUIET_SECONDS_MAX
    while has_snapshot and not list(weir.data.glob("snapshot-*.weir")):
        live(weir, customer, 1)
        assert time.monotonic() < deadline
    assert weir.stop() == 0
    with sqlite3.connect(weir.data / "journal.db") as journal:
        journal.execute("DELETE FROM batch WHERE sequence BETWEEN 2 AND 3")
    journal.close()
    with pytest.raises(StartFailed) as refused:
        weir.start()
    told = refused.value.stderr
    assert refused.value.status == 1 and "backup" in told, told
    assert ("batches 2 to 3 are missing" if has_snapshot else "begins at batch 4") in told, told


def test_what_is_left_is_decided_again_from_the_snapshot(busy):
    weir, customer = busy
    live_until_cut(weir, customer, 40)
    weir.stop()
    status, out, err = run("replay", "--data", weir.data, "--json")
    assert status == 0, err
    verdict = json.loads(out)
    checked = {count["what"]: count["number"] for count in verdict["checked"]}
    assert "the journal's beginning was cut" in verdict["notes"][0]
    assert 0 < checked["commands decided again"] < checked["entries"]


@pytest.mark.parametrize("command", ["verify", "reconcile", "replay"])
def test_a_cut_journal_without_a_snapshot_is_no_clean_directory(busy, command):
    """The start is refused: so no proof calls it whole."""
    weir, customer = busy
    live_until_cut(weir, customer, 40)
    weir.stop()
    assert run(command, "--data", weir.data)[0] == 0
    for snapshot in weir.data.glob("snapshot-*.weir"):
        snapshot.unlink()
    status, out, err = run(command, "--data", weir.data, "--json")
    assert status == 1, err
    finding = json.loads(out)["finding"]
    assert finding["file"] == "journal.db" and "no snapshot stands for it" in finding["what"]
    assert "Restore a snapshot" in finding["to_do"], finding
    with pytest.raises(StartFailed):
        weir.start()


RESTORE = "Restore ledger.db from the backup that goes with the journal"


def refused_without_a_byte(weir, advice):
    """The start ends with 1 before anybody is answered, and nothing is founded or written."""
    def state():
        with sqlite3.connect(f"file:{weir.data}/journal.db?mode=ro", uri=True) as journal:
            batches = journal.execute("SELECT min(sequence),max(sequence),count(*) FROM batch").fetchall()
        journal.close()
        return batches, {path.name: path.read_bytes() for path in weir.data.iterdir()
                         if path.name != "lock" and not path.name.startswith("journal.db")}

    before = state()
    with pytest.raises(StartFailed) as failed:
        weir.start()
    assert failed.value.status == 1 and advice in failed.value.stderr, failed.value.stderr
    assert state() == before
    for command in ("verify", "reconcile"):
        status, out, err = run(command, "--data", weir.data, "--json")
        finding = json.loads(out)["finding"]
        assert (status, finding["file"]) == (1, "ledger.db"), (out, err)
        assert RESTORE in finding["to_do"] and "away" not in finding["to_do"], finding


def test_a_ledger_that_cannot_be_made_anew_is_asked_for(busy):
    weir, customer = busy
    live(weir, customer, 5)
    weir.stop()
    young = (weir.data / "ledger.db").read_bytes()
    weir.start()
    live_until_cut(weir, customer, 40)
    weir.stop()
    whole = (weir.data / "ledger.db").read_bytes()
    (weir.data / "ledger.db").unlink()
    refused_without_a_byte(weir, RESTORE)
    (weir.data / "ledger.db").write_bytes(young)
    refused_without_a_byte(weir, "bring back a ledger.db that has settled more")
    (weir.data / "ledger.db").write_bytes(b"hello" * 100)
    refused_without_a_byte(weir, RESTORE)
    (weir.data / "ledger.db").write_bytes(whole)
    weir.start()
    allowed(customer.consume(1, "chat"))
    weir.stop()
    for command in ("verify", "reconcile"):
        assert run(command, "--data", weir.data)[0] == 0

"""Directories whose files are of two moments, damage that somebody meets while a server runs, and
that a start which is refused leaves every file as it was (docs/OPERATING.md)."""

import hashlib
import json
import shutil
import sqlite3

import pytest

from policies import policy
from test_key_files import PLANS, file_all, files
from weir_client import HOUR, Customer, Server, StartFailed, allowed, expect, run

POLICY = policy(PLANS)
SNAPSHOTS = ["--snapshot-every", "4K"]


def contents(directory):
    """Every file but the lock, which says who held it, and SQLite's index of a log, which is memory."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(directory.iterdir())
            if path.name != "lock" and not path.name.endswith("-shm")}


def refused(weir):
    """What a start says that must be refused; it changes nothing."""
    before = contents(weir.data)
    with pytest.raises(StartFailed) as failure:
        weir.start()
    assert failure.value.status == 1
    after = contents(weir.data)
    assert {name: after.get(name) for name in before} == before
    assert all(name.endswith("-wal") and (weir.data / name).stat().st_size == 0
               for name in after.keys() - before.keys())
    return failure.value.stderr


def found(directory, *words):
    status, out, err = run("verify", "--data", directory, "--json")
    assert status == 1, (out, err)
    finding = json.loads(out)["finding"]
    assert all(word in str(finding) for word in words), finding
    return finding


# ---- two moments, and two lives, of one directory ------------------------------------------------

KEYS = 25


def use(weir, name, hour):
    """Keys of one hour; their answers."""
    customer = Customer(weir, name)
    return {f"{hour}-{i}": allowed(customer.consume(1, idempotency_key=f"{hour}-{i}"))
            for i in range(KEYS)}


def age(weir, hours=2):
    """Until their keys are in files, and a snapshot knows of them."""
    file_all(weir)
    customer = Customer(weir, "others")
    for i in range(60):
        allowed(customer.consume(1, attributes={"origin": "x" * 100}))
    for _ in range(hours):
        weir.advance(HOUR)


@pytest.fixture(scope="module")
def moments(tmp_path_factory):
    """The same directory early, late, and in another life; each with its time and last answers."""
    place = tmp_path_factory.mktemp("moments")
    weir = Server(place / "early", POLICY, arguments=SNAPSHOTS).start()
    use(weir, "acme", 0)
    age(weir)
    now = weir.now
    answers = {"early": use(weir, "acme", 1)}
    weir.stop()
    made = {"early": (weir.data, now)}
    for name, customer in (("late", "acme"), ("other", "evil")):
        shutil.copytree(place / "early" / "data", place / name / "data")
        life = Server(place / name, POLICY, clock=None, arguments=SNAPSHOTS)
        life.clocked, life.now = True, now
        life.start()
        for _ in range(3 if name == "other" else 1):
            allowed(Customer(life, "others").consume(1))
        answers[name] = use(life, customer, 2)
        age(life)
        use(life, customer, 3)
        age(life)
        made[name] = (life.data, life.now)
        life.stop()
        assert len(files(life)) >= 3
    return made, answers


def mix(weir, moments, base, keys, names="keys*.weir", without=()):
    """The directory of one moment with the key files of another."""
    shutil.rmtree(weir.data)
    shutil.copytree(moments[base][0], weir.data)
    for path in weir.data.glob(names):
        path.unlink()
    for path in moments[keys][0].glob(names):
        shutil.copy(path, weir.data)
    weir.now = max(moments[base][1], weir.now)
    return weir


def test_key_files_of_a_later_moment_are_refused_and_moving_the_list_away_mends_it(fresh, moments):
    made, answers = moments
    weir = mix(fresh(start=False, arguments=SNAPSHOTS), made, "early", "late")
    said = refused(weir)
    assert "keys-0" in said and "not of the journal's moment" in said and "move keys.weir away" in said
    assert "the journal ends at batch" in said
    found(weir.data, "keys-0", "ahead of the journal")
    (weir.data / "keys.weir").rename(weir.place / "aside")
    weir.start()
    customer = Customer(weir, "acme")
    for key, answer in answers["early"].items():
        assert allowed(customer.consume(1, idempotency_key=key)) == answer
    ids = {answer["decision_id"] for answer in answers["early"].values()}
    for key in answers["late"]:         # it was not used in this life
        assert allowed(customer.consume(1, idempotency_key=key))["decision_id"] not in ids


def test_key_files_of_another_life_are_refused(fresh, moments):
    made, _ = moments
    weir = mix(fresh(start=False, arguments=SNAPSHOTS), made, "late", "other")
    said = refused(weir)
    assert "keys-0" in said and "move keys.weir away" in said
    found(weir.data, "keys-0")


def test_an_older_list_is_refused_and_takes_no_file(fresh, moments):
    made, _ = moments
    weir = mix(fresh(start=False, arguments=SNAPSHOTS), made, "late", "early", names="keys.weir")
    assert len(files(weir)) > 1
    assert "older list of key files" in refused(weir)
    found(weir.data, "keys.weir", "older list")


def test_each_moment_by_itself_is_whole(moments):
    for directory, _ in moments[0].values():
        status, _, err = run("verify", "--data", directory)
        assert status == 0, err


# ---- every start that is refused -----------------------------------------------------------------

def change(directory, file, *statements):
    with sqlite3.connect(directory / file) as database:
        for statement in statements:
            assert database.execute(statement).rowcount != 0
    database.close()


def flip(path, offset=5000):
    data = bytearray(path.read_bytes())
    data[min(offset, len(data) - 9)] ^= 4
    path.write_bytes(data)


def newest(directory):
    return max(directory.glob("snapshot-*.weir"), key=lambda path: int(path.stem.split("-")[1]))


def unlink_snapshots(directory):
    for path in directory.glob("snapshot-*.weir"):
        path.unlink()


def left_behind(directory):
    """What crashes leave, that a start which succeeds removes."""
    (directory / "keys-000099.weir.new").write_bytes(b"half")
    (directory / "keys.weir.new").write_bytes(b"half")


HARMS = {
    "journal-empty": lambda d: (d / "journal.db").write_bytes(b""),
    "journal-gone": lambda d: (d / "journal.db").unlink(),
    "journal-foreign": lambda d: (d / "journal.db").write_bytes(b"Dear diary,\n" * 1000),
    "journal-other-version": lambda d: change(d, "journal.db", "PRAGMA user_version=2000000001"),
    "journal-tail-gone": lambda d: change(
        d, "journal.db", "DELETE FROM batch WHERE sequence>(SELECT max(sequence)-3 FROM batch)"),
    "journal-body": lambda d: (unlink_snapshots(d), change(
        d, "journal.db", "UPDATE batch SET body=zeroblob(length(body)) WHERE sequence=9")),
    "journal-hole": lambda d: (unlink_snapshots(d), change(
        d, "journal.db", "DELETE FROM batch WHERE sequence=9")),
    "journal-beginning": lambda d: change(
        d, "journal.db", "DELETE FROM batch WHERE sequence BETWEEN 2 AND 3"),
    "journal-beginning-no-snapshot": lambda d: (unlink_snapshots(d), change(
        d, "journal.db", "DELETE FROM batch WHERE sequence BETWEEN 2 AND 3")),
    "ledger-foreign": lambda d: (d / "ledger.db").write_bytes(b"Dear diary,\n" * 1000),
    "ledger-other-version": lambda d: change(d, "ledger.db", "PRAGMA user_version=2000000001"),
    "ledger-ahead": lambda d: change(
        d, "ledger.db", "UPDATE meta SET value=value+7 WHERE name='cursor_sequence'"),
    "ledger-cursor": lambda d: change(
        d, "ledger.db", "UPDATE meta SET value=zeroblob(32) WHERE name='cursor_hash'"),
    "ledger-altered": lambda d: change(d, "ledger.db", "ALTER TABLE usage_events ADD COLUMN more TEXT"),
    "list-damaged": lambda d: flip(d / "keys.weir", 40),
    "list-empty": lambda d: (d / "keys.weir").write_bytes(b""),
    "key-file-and-journal": lambda d: (flip(d / "keys-000001.weir"), change(
        d, "journal.db", "DELETE FROM batch WHERE sequence BETWEEN 2 AND 3")),
    "list-gone-and-ledger": lambda d: ((d / "keys.weir").unlink(), change(
        d, "ledger.db", "UPDATE meta SET value=zeroblob(32) WHERE name='cursor_hash'")),
    "key-file-and-ledger": lambda d: (flip(d / "keys-000001.weir"), change(
        d, "ledger.db", "UPDATE meta SET value=zeroblob(32) WHERE name='cursor_hash'")),
}


@pytest.mark.parametrize("is_late", [False, True], ids=["at-once", "when-keys-are-over"])
@pytest.mark.parametrize("harm", HARMS)
def test_a_start_that_is_refused_changes_no_file(fresh, moments, harm, is_late):
    made, _ = moments
    weir = mix(fresh(start=False, arguments=SNAPSHOTS), made, "late", "late")
    left_behind(weir.data)
    HARMS[harm](weir.data)
    if is_late:
        weir.now += 25 * HOUR
    refused(weir)
    refused(weir)       # and another one finds the same


@pytest.mark.parametrize("harm", ["ledger-cursor", "key-file-and-ledger", "list-gone-and-ledger"])
def test_nor_does_it_after_a_crash(fresh, harm):
    """With logs that are full, and keys in memory."""
    weir = fresh(arguments=SNAPSHOTS)
    use(weir, "acme", 0)
    age(weir)
    use(weir, "acme", 1)
    weir.kill()
    left_behind(weir.data)
    assert (weir.data / "journal.db-wal").stat().st_size > 0
    journal_log = (weir.data / "journal.db-wal").read_bytes()
    HARMS[harm](weir.data)
    (weir.data / "journal.db-wal").write_bytes(journal_log)
    refused(weir)


# ---- damage that is met --------------------------------------------------------------------------

def test_a_damaged_batch_that_is_met_is_told_as_a_condition(fresh):
    weir = fresh(arguments=SNAPSHOTS)
    customer = Customer(weir, "acme")
    customer.grant("50")
    old = allowed(customer.consume(1, "pair"))["decision_id"]
    age(weir)
    weir.stop()
    sequence = batch_of(old)
    change(weir.data, "journal.db",
           f"UPDATE batch SET body=zeroblob(length(body)) WHERE sequence={sequence}")
    weir.start()
    health = expect(weir.get("/healthz"))
    assert health["status"] == "ok" and health["damage"] == {"batches": 0, "batch": 0, "keys": 0}
    assert weir.get(f"/v1/decisions/{old}").status == 500
    health = expect(weir.get("/healthz"))
    assert health["status"] == "degraded" and health["conditions"] == ["journal_damaged"]
    assert health["damage"] == {"batches": 1, "batch": sequence, "keys": 0}
    assert customer.refund(old, all=True).status == 500
    assert expect(weir.get("/healthz"))["damage"]["batches"] == 2
    assert f"journal_read_failed sequence={sequence}" in weir.stderr()
    assert 'weir_condition{condition="journal_damaged"} 1' in weir.get("/metrics").raw.decode()
    allowed(customer.consume(1))


def batch_of(decision):
    """The batch of an id: the upper bits of its position."""
    digits = "0123456789abcdefghjkmnpqrstvwxyz"
    position = 0
    for letter in decision.split("_")[1]:
        position = position * 32 + digits.index(letter)
    return position >> 12

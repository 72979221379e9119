"""`weir verify` and `weir reconcile` on a real data directory: clean as it is, and every damage that
is done to a copy of it found and named, with nothing overwritten (DESIGN.md section 5, Proof)."""

import hashlib
import json
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess

import pytest

from books import POLICY, keep_books
from weir_client import Server, find_binary, run

SEED = int(os.environ.get("WEIR_SEED", "7"))


# ---- the directory, made once -------------------------------------------------------------------

@pytest.fixture(scope="module")
def books(tmp_path_factory):
    """A stopped server's data directory in which everything has happened."""
    server = Server(tmp_path_factory.mktemp("books"), POLICY).start()
    keep_books(server)
    server.stop()
    return server.data


@pytest.fixture
def copy(books, tmp_path):
    def make(name="copy"):
        target = tmp_path / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(books, target)
        return target
    return make


def contents(directory):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(pathlib.Path(directory).iterdir())}


def prove(command, directory):
    """Runs it; answers the verdict, and holds it to changing nothing."""
    before = contents(directory)
    status, out, err = run(command, "--data", directory, "--json")
    assert contents(directory) == before, "a proof changed what it proves"
    assert status in (0, 1), err
    verdict = json.loads(out)
    assert verdict["clean"] == (status == 0) == (verdict["finding"] is None), out
    return verdict


def found(command, directory, *words):
    """It must be found, with its place."""
    verdict = prove(command, directory)
    finding = verdict["finding"]
    assert finding, "not found"
    text = " ".join(str(value) for value in finding.values())
    for word in words:
        assert word in text, f"{word!r} is not in {finding}"
    assert finding["file"] and finding["what"] and finding["to_do"]
    return finding


def counts(verdict):
    return {(one["of"], one["what"]): one["number"] for one in verdict["checked"]}


# ---- damage -------------------------------------------------------------------------------------

def meddle(directory, file, *statements):
    """What somebody with the sqlite3 command could do."""
    database = sqlite3.connect(directory / file)
    for statement in statements:
        assert database.execute(statement).rowcount != 0, statement
    database.commit()
    database.execute("PRAGMA wal_checkpoint(truncate)")
    database.close()


# ---- as it is -----------------------------------------------------------------------------------

def test_a_clean_directory_is_clean_and_says_what_was_checked(books):
    verdict = prove("verify", books)
    checked = counts(verdict)
    assert checked["journal", "batches"] > 50
    assert checked["journal", "entries"] >= checked["journal", "batches"] - 1
    status, out, err = run("verify", "--data", books)
    assert status == 0 and err == "" and out.endswith("clean\n")
    assert "\r" not in out and "\033" not in out


def test_a_live_server_is_proved_without_disturbing_it(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir, plan="base")
    customer.grant("5")
    assert run("verify", "--data", weir.data)[0] == 0
    assert customer.consume(1).status == 200
    verdict = json.loads(run("verify", "--data", weir.data, "--json")[1])
    assert verdict["clean"] and any("served" in note for note in verdict["notes"])


def test_a_crashed_server_s_directory_is_proved_as_it_lies(fresh, new_customer):
    weir = fresh()
    new_customer(weir, plan="base").grant("5")
    weir.kill()
    assert (weir.data / "journal.db-wal").stat().st_size > 0
    verdict = prove("verify", weir.data)
    assert verdict["clean"] and counts(verdict)["journal", "batches"] >= 3


def test_a_copy_without_its_shared_memory_file_is_proved(fresh, new_customer, tmp_path):
    weir = fresh()
    new_customer(weir, plan="base").grant("5")
    weir.kill()
    for name in ("journal.db", "journal.db-wal"):
        (tmp_path / "few").mkdir(exist_ok=True)
        shutil.copy(weir.data / name, tmp_path / "few" / name)
    few = counts(prove("verify", tmp_path / "few"))
    assert few["journal", "batches"] == counts(prove("verify", weir.data))["journal", "batches"]


@pytest.mark.parametrize("arguments", [[], ["--data"], ["--data", "a", "b"], ["--data", "a", "--no"]])
def test_wrong_usage_is_told(arguments):
    assert run("verify", *arguments)[0] == 2


def test_a_directory_that_is_not_there_is_told(tmp_path):
    status, _, err = run("verify", "--data", tmp_path / "nothing")
    assert status == 1 and "nothing" in err and "to do:" in err


# ---- journal.db ---------------------------------------------------------------------------------

def middle(directory):
    with sqlite3.connect(f"file:{directory}/journal.db?immutable=1", uri=True) as database:
        return database.execute("SELECT max(sequence)/2 FROM batch").fetchone()[0]


JOURNAL_DAMAGE = {
    "missing": ("DELETE FROM batch WHERE sequence={n}",),
    "missing-three": ("DELETE FROM batch WHERE sequence BETWEEN {n} AND {n}+2",),
    "missing-genesis": ("DELETE FROM batch WHERE sequence=1",),
    "changed-body": ("UPDATE batch SET body=CAST(replace(hex(body),'0','1') AS BLOB) WHERE sequence={n}",),
    "changed-count": ("UPDATE batch SET entries=entries+1 WHERE sequence={n}",),
    "changed-time": ("UPDATE batch SET last_ms=last_ms+1 WHERE sequence={n}",),
    "changed-epoch": ("UPDATE batch SET epoch=2 WHERE sequence={n}",),
    "changed-writer": ("UPDATE batch SET writer=writer+1 WHERE sequence={n}",),
    "changed-hash": ("UPDATE batch SET hash=zeroblob(32) WHERE sequence={n}",),
    "swapped": ("UPDATE batch SET sequence=-1 WHERE sequence={n}",
                "UPDATE batch SET sequence={n} WHERE sequence={n}+1",
                "UPDATE batch SET sequence={n}+1 WHERE sequence=-1"),
    "duplicated": ("UPDATE batch SET sequence=sequence+1000000 WHERE sequence>{n}",
                   "UPDATE batch SET sequence=sequence-999999 WHERE sequence>1000000",
                   "INSERT INTO batch SELECT {n}+1,partition,epoch,kind,writer,version,first_ms,"
                   "last_ms,entries,previous,hash,body FROM batch WHERE sequence={n}"),
    "extra": ("INSERT INTO batch SELECT (SELECT max(sequence)+1 FROM batch),partition,epoch,kind,"
              "writer,version,first_ms,last_ms,entries,previous,hash,body FROM batch"
              " WHERE sequence={n}",),
}


@pytest.mark.parametrize("damage", JOURNAL_DAMAGE)
def test_a_journal_whose_rows_were_touched_is_found_out(copy, damage):
    directory = copy()
    n = middle(directory)
    meddle(directory, "journal.db", *(one.format(n=n) for one in JOURNAL_DAMAGE[damage]))
    finding = found("verify", directory, "journal.db")
    if damage == "missing-three":
        assert f"batches {n} to {n + 2}" in finding["place"]
    elif damage == "missing":
        assert finding["place"] == f"batch {n}" and finding["found"] == f"batch {n + 1}"
    elif damage not in ("missing-genesis", "extra"):
        assert finding["place"] in (f"batch {n}", f"batch {n + 1}"), finding


@pytest.mark.parametrize("make", [
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(b"hello"),
    lambda path: path.write_bytes(b"x" * 100000),
    lambda path: path.unlink(),
    lambda path: path.write_bytes(path.read_bytes()[:16384]),
    lambda path: path.write_bytes(path.read_bytes()[:-16384]),
    lambda path: path.write_bytes(path.read_bytes()[:-100]),
    lambda path: (path.unlink(), sqlite3.connect(path).execute("create table t(x)")),
], ids=["empty", "text", "long-text", "gone", "one-page", "page-short", "bytes-short", "database"])
def test_a_file_that_is_no_journal_is_refused_by_name(copy, make):
    directory = copy()
    make(directory / "journal.db")
    found("verify", directory, "journal.db")


def test_a_journal_of_another_version_is_refused_by_name(copy):
    directory = copy()
    database = sqlite3.connect(directory / "journal.db")
    database.execute("PRAGMA user_version=77")
    database.close()
    found("verify", directory, "journal.db", "77", "Use the program that wrote it")


def rows(directory, file):
    """Every row of every table, and SQLite's own opinion of the pages; None: unreadable."""
    digest = hashlib.sha256()
    try:
        with sqlite3.connect(f"file:{directory}/{file}?immutable=1", uri=True) as database:
            for (sql,) in database.execute("SELECT sql FROM sqlite_schema ORDER BY 1"):
                digest.update(str(sql).encode())
            names = [name for (name,) in database.execute(
                "SELECT name FROM sqlite_schema WHERE type='table' ORDER BY 1")]
            for name in names:
                for row in database.execute(f"SELECT * FROM {name}"):
                    digest.update(repr(row).encode())
            opinion = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return None
    return digest.hexdigest(), opinion


def flip(path, offset, bit):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


def flips_are_found(directory, file, how_many):
    """A flipped bit is found, unless it changes no row, no name and nothing that SQLite minds: then
    the byte is free space or a counter of SQLite's own."""
    random_ = random.Random(f"{SEED} {file}")
    path = directory / file
    size = path.stat().st_size
    whole = rows(directory, file)
    unfound = 0
    for _ in range(how_many):
        offset, bit = random_.randrange(size), random_.randrange(8)
        flip(path, offset, bit)
        status = subprocess.run([find_binary(), "verify", "--data", str(directory)],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                                timeout=60).returncode
        assert status in (0, 1), (offset, bit, status)
        if status == 0:
            unfound += 1
            assert rows(directory, file) == whole, f"bit {bit} of byte {offset} of {file}, seed {SEED}"
        flip(path, offset, bit)
    assert rows(directory, file) == whole
    return unfound


def test_a_flipped_bit_anywhere_in_the_journal_is_found(copy):
    directory = copy()
    flips_are_found(directory, "journal.db", 150)

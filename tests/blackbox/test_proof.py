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
import time

import pytest

from books import POLICY
from weir_client import HOUR, Customer, Server, find_binary, run

SEED = int(os.environ.get("WEIR_SEED", "7"))


# ---- the directory, made once -------------------------------------------------------------------

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
    for name in ("journal.db", "journal.db-wal", "ledger.db", "ledger.db-wal"):
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


@pytest.mark.parametrize("command", ["verify", "reconcile", "replay"])
def test_a_directory_without_a_journal_is_told(command, tmp_path):
    (tmp_path / "notes.txt").write_text("not ours")
    finding = found(command, tmp_path, "journal.db", "is not in this directory")
    assert "weir serve --data" in finding["to_do"] and "ledger.db" not in str(finding)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


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


NOT_OURS = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"hello"),
    "long-text": lambda path: path.write_bytes(b"x" * 100000),
    "gone": lambda path: path.unlink(),
    "one-page": lambda path: path.write_bytes(path.read_bytes()[:16384]),
    "page-short": lambda path: path.write_bytes(path.read_bytes()[:-16384]),
    "bytes-short": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "database": lambda path: (path.unlink(), sqlite3.connect(path).execute("create table t(x)")),
}


@pytest.mark.parametrize("make", NOT_OURS.values(), ids=NOT_OURS)
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


def rows(directory, file, without=()):
    """Every row of every table, and SQLite's own opinion of the pages; None: unreadable."""
    digest = hashlib.sha256()
    try:
        with sqlite3.connect(f"file:{directory}/{file}?immutable=1", uri=True) as database:
            for (sql,) in database.execute("SELECT sql FROM sqlite_schema ORDER BY 1"):
                digest.update(str(sql).encode())
            names = [name for (name,) in database.execute(
                "SELECT name FROM sqlite_schema WHERE type='table' ORDER BY 1")]
            for name in names:
                if name in without:
                    continue
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
    for _ in range(how_many):
        offset, bit = random_.randrange(size), random_.randrange(8)
        flip(path, offset, bit)
        statuses = []
        for command in ("verify", "reconcile"):
            if 1 in statuses:
                break
            statuses.append(subprocess.run(
                [find_binary(), command, "--data", str(directory)], stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, check=False, timeout=60).returncode)
        where = f"bit {bit} of byte {offset} of {file}, seed {SEED}"
        assert set(statuses) <= {0, 1}, (where, statuses)
        if 1 not in statuses:
            assert rows(directory, file) == whole, where
        flip(path, offset, bit)
    assert rows(directory, file) == whole


@pytest.mark.parametrize("file", ["journal.db", "ledger.db"])
def test_a_flipped_bit_anywhere_is_found(copy, file):
    flips_are_found(copy(), file, int(os.environ.get("WEIR_FLIPS", "100")))


# ---- ledger.db ----------------------------------------------------------------------------------

DATASETS = ("usage_events", "monetization_events", "balance_updates")


def columns(directory, table):
    with sqlite3.connect(f"file:{directory}/ledger.db?immutable=1", uri=True) as database:
        return [row[1:3] for row in database.execute(f"PRAGMA table_info({table})")]


def a_row(directory, table, where="1"):
    """One in the middle of those."""
    with sqlite3.connect(f"file:{directory}/ledger.db?immutable=1", uri=True) as database:
        keys = [row[0] for row in database.execute(
            f"SELECT DISTINCT position FROM {table} WHERE {where} ORDER BY position")]
    return keys[len(keys) // 2]


def both_find(directory, *words):
    """Hashes show it, and so does projecting the journal again."""
    findings = [found(command, directory, "ledger.db", *words) for command in ("verify", "reconcile")]
    return findings


@pytest.mark.parametrize("table", DATASETS)
def test_a_missing_row_is_found(copy, table):
    directory = copy()
    position = a_row(directory, table)
    meddle(directory, "ledger.db", f"DELETE FROM {table} WHERE position={position}")
    assert f"{table}, position {position}" in found("reconcile", directory)["place"]
    found("verify", directory, table if table != "usage_events" else "")


def insert_copy(directory, table, position, other):
    names = ",".join(name for name, _ in columns(directory, table)[1:])
    meddle(directory, "ledger.db", f"INSERT INTO {table}(position,{names}) SELECT {other},{names} "
                                   f"FROM {table} WHERE position={position} LIMIT 1")


@pytest.mark.parametrize("table", DATASETS)
def test_an_extra_row_is_found(copy, table):
    directory = copy()
    position = a_row(directory, table)
    insert_copy(directory, table, position, position + 1000)
    place = found("reconcile", directory)["place"]
    assert f"{table}, position {position + 1000}" in place
    found("verify", directory)


@pytest.mark.parametrize("table", DATASETS)
def test_a_row_behind_the_cursor_is_found(copy, table):
    directory = copy()
    insert_copy(directory, table, a_row(directory, table), 2**50)
    assert f"{table}, position {2**50}" in found("verify", directory)["place"]


@pytest.mark.parametrize("table", DATASETS)
def test_rows_that_changed_places_are_found(copy, table):
    directory = copy()
    one = a_row(directory, table)
    with sqlite3.connect(directory / "ledger.db") as database:
        other = database.execute(f"SELECT min(position) FROM {table} WHERE position>{one}").fetchone()[0]
    meddle(directory, "ledger.db",
           f"UPDATE {table} SET position=-1 WHERE position={one}",
           f"UPDATE {table} SET position={one} WHERE position={other}",
           f"UPDATE {table} SET position={other} WHERE position=-1")
    for finding in both_find(directory):
        assert str(one) in finding["place"] or str(other) in finding["place"] or "seals" in finding["place"]


def change_of(name, kind):
    if kind == "INTEGER":
        return f"coalesce({name},0)+1"
    if kind == "BLOB":
        return "zeroblob(32)"
    return f"coalesce({name},'')||'x'"


ALL_COLUMNS = [(table, name) for table, names in {
    "usage_events": "decision at_ms event_ms customer subject feature endpoint model origin attributes "
                    "kind outcome reason refused_by status late count unit units_requested "
                    "units_allowed asked actual sources charged overshoot_units overshoot_charged "
                    "overshoot_refunded duration_ms compute previous",
    "monetization_events": "decision customer feature price price_version q units cost "
                           "remainder_before remainder_after charged overshoot_units "
                           "overshoot_charged overshoot_refunded overshoot_booked",
    "balance_updates": "at_ms customer number account grant_id name cause decision delta "
                       "account_after account_after_e18 customer_after previous_position previous_place hash",
}.items() for name in names.split()]


def test_no_column_is_left_out(books):
    for table in DATASETS:
        listed = {name for of, name in ALL_COLUMNS if of == table}
        there = {name for name, _ in columns(books, table)}
        assert there - listed == {"position"} | ({"place"} if table == "balance_updates" else set())


@pytest.mark.parametrize("table,name", ALL_COLUMNS)
def test_a_changed_column_is_found(copy, table, name):
    directory = copy()
    position = a_row(directory, table)
    kind = dict(columns(directory, table))[name]
    more = " AND place=0" if table == "balance_updates" else ""
    meddle(directory, "ledger.db",
           f"UPDATE {table} SET {name}={change_of(name, kind)} WHERE position={position}{more}")
    for finding in both_find(directory):
        # A changed name may show where the other customer's rows go on.
        if name != "customer" and "seals" not in finding["place"]:
            assert f"position {position}" in finding["place"], finding


# ---- a forger who mends the hashes --------------------------------------------------------------

def row_bytes(row):
    """As src/ledger/rows.h describes it."""
    out = b""
    for value in row:
        if value is None:
            out += b"\0"
        elif isinstance(value, int):
            out += b"\1" + value.to_bytes(8, "little", signed=True)
        else:
            raw = value.encode() if isinstance(value, str) else value
            out += (b"\2" if isinstance(value, str) else b"\3") + len(raw).to_bytes(4, "little") + raw
    return out


def sha(previous, *pieces):
    digest = hashlib.sha256(previous)
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


def mend(directory):
    """Makes all chains, heads and seals agree with the rows as they are now."""
    database = sqlite3.connect(directory / "ledger.db")
    names = [row[1] for row in database.execute("PRAGMA table_info(balance_updates)")]
    at = {name: place for place, name in enumerate(names)}
    heads, accounts = {}, {}
    for row in database.execute("SELECT * FROM balance_updates ORDER BY position,place").fetchall():
        row, customer = list(row), row[at["customer"]]
        number, after, position, place, hash_ = heads.get(customer, (0, 0, 0, 0, bytes(32)))
        account = (customer, row[at["account"]], row[at["grant_id"]],
                   None if row[at["grant_id"]] else row[at["name"]])
        accounts[account] = accounts.get(account, 0) + row[at["delta"]]
        if row[at["account"]] != "overage":
            after += row[at["delta"]]
        row[at["number"]], row[at["customer_after"]] = number + 1, after
        row[at["account_after"]] = accounts[account]  # of sums within 18 digits
        row[at["previous_position"]], row[at["previous_place"]] = position, place
        row[at["hash"]] = sha(hash_, row_bytes(row[:-1]))
        heads[customer] = (number + 1, after, row[0], row[1], row[at["hash"]])
        database.execute("DELETE FROM balance_updates WHERE position=? AND place=?", row[:2])
        database.execute(f"INSERT INTO balance_updates VALUES({','.join('?' * len(row))})", row)
    for customer, (number, after, position, place, hash_) in heads.items():
        database.execute("UPDATE customers SET updates=?,after=?,last_position=?,last_place=?,"
                         "last_hash=? WHERE name=? AND updates>0",
                         (number, after, position, place, hash_, customer))
    hashes, begin = [bytes(32)] * 3, 2
    for (through,) in database.execute("SELECT through FROM seals ORDER BY through").fetchall():
        for index, table in enumerate(DATASETS):
            rows_ = database.execute(f"SELECT * FROM {table} WHERE position>=? AND position<? ORDER BY 1,2",
                                     (begin << 12, (through + 1) << 12)).fetchall()
            hashes[index] = sha(hashes[index], *map(row_bytes, rows_))
            short = table.split("_")[0]
            database.execute(f"UPDATE seals SET {short}_rows=?,{short}_hash=? WHERE through=?",
                             (len(rows_), hashes[index], through))
        begin = through + 1
    database.commit()
    database.execute("PRAGMA wal_checkpoint(truncate)")
    database.close()


def test_mending_what_is_whole_changes_nothing(copy):
    """Heads aside: a server that stops leaves them where it swept them last, and mending brings them up."""
    directory = copy()
    before = rows(directory, "ledger.db", without=("customers",))
    mend(directory)
    assert rows(directory, "ledger.db", without=("customers",)) == before
    whole = rows(directory, "ledger.db")
    mend(directory)
    assert rows(directory, "ledger.db") == whole


FORGERIES = {
    "a-charge-less": ("balance_updates", "cause='charge' AND account='grant'",
                      "UPDATE balance_updates SET delta=delta+1 WHERE position={p} AND cause='charge'"),
    "no-charge": ("balance_updates", "cause='charge' AND account='grant'",
                  "DELETE FROM balance_updates WHERE position={p}"),
    "a-gift": ("balance_updates", "cause='purchase'",
               "UPDATE balance_updates SET delta=delta+1000000000 WHERE position={p}"),
    "no-usage": ("usage_events", "kind='consume'",
                 "DELETE FROM usage_events WHERE position={p}"),
    "nothing-at-all": ("monetization_events", "charged>0",
                       "DELETE FROM usage_events WHERE position={p}",
                       "DELETE FROM monetization_events WHERE position={p}",
                       "DELETE FROM balance_updates WHERE position={p}"),
    "less-used": ("monetization_events", "charged>0 AND cost='3000000000'",
                  "UPDATE usage_events SET units_allowed=units_allowed-1 WHERE position={p}"),
    "another-remainder": ("monetization_events", "remainder_after>0",
                          "UPDATE monetization_events SET remainder_after=remainder_after-1"
                          " WHERE position={p}"),
    "another-price": ("monetization_events", "price_version<>0",
                      "UPDATE monetization_events SET price_version=price_version+1 WHERE position={p}"),
    "somebody-else": ("usage_events", "kind='commit'",
                      "UPDATE usage_events SET subject='nobody' WHERE position={p}"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forger_who_mends_all_hashes_is_found_by_the_journal(copy, forgery):
    directory = copy()
    table, where, *statements = FORGERIES[forgery]
    position = a_row(directory, table, where)
    meddle(directory, "ledger.db", *(one.format(p=position) for one in statements))
    mend(directory)
    assert f"position {position}" in found("reconcile", directory)["place"]


# ---- the ledger's other tables ------------------------------------------------------------------

ROLLUP_NAMES = ("customer,subject,feature,endpoint,model,origin,outcome,what,name,requests,denied,"
                "units,units_e18,charged,charged_e18,quantity,quantity_e18,duration_ms,duration_ms_e18")
OTHER_DAMAGE = {
    "seal-missing": ("verify", "DELETE FROM seals WHERE through=(SELECT max(through) FROM seals)"),
    "seal-lost": ("verify", "DELETE FROM seals WHERE through=(SELECT min(through) FROM seals)"),
    "seal-rows": ("verify", "UPDATE seals SET usage_rows=usage_rows+1 WHERE usage_rows>0"),
    "seal-hash": ("verify", "UPDATE seals SET balance_hash=zeroblob(32)"),
    "cursor-back": ("verify", "UPDATE meta SET value=value-1 WHERE name='cursor_sequence'"),
    "cursor-on": ("verify", "UPDATE meta SET value=value+1 WHERE name='cursor_sequence'"),
    "cursor-hash": ("verify", "UPDATE meta SET value=zeroblob(32) WHERE name='cursor_hash'"),
    "meta-gone": ("verify", "DELETE FROM meta WHERE name='cursor_sequence'"),
    "meta-type": ("verify", "UPDATE meta SET value='x' WHERE name='heads_position'"),
    "other-journal": ("verify", "UPDATE meta SET value=zeroblob(32) WHERE name='genesis_hash'"),
    "head-gone": ("reconcile", "DELETE FROM customers WHERE number=2"),
    "head-name": ("verify", "UPDATE customers SET name=name||'x' WHERE number=2"),
    "head-id": ("verify", "UPDATE customers SET id=zeroblob(16) WHERE number=2"),
    "head-unmoved": ("verify", "UPDATE customers SET last_hash=randomblob(32) WHERE updates=0"),
    "head-founded": ("reconcile", "UPDATE customers SET founded=founded+1 WHERE number=2"),
    "refund-gone": ("reconcile", "DELETE FROM refunds"),
    "refund-changed": ("reconcile", "UPDATE refunds SET credits=credits+1"),
    "refund-extra": ("reconcile", "INSERT INTO refunds SELECT decision,position-1,at_ms,customer,"
                                  "credits,expired,reason,actor FROM refunds LIMIT 1"),
    "grant-gone": ("reconcile", "DELETE FROM grants WHERE id=(SELECT max(id) FROM grants)"),
    "grant-changed": ("reconcile", "UPDATE grants SET credits=credits+1"),
    "grant-extra": ("reconcile", "INSERT INTO grants SELECT id+1,at_ms,customer,category,priority,"
                                 "credits,effective_ms,expires_ms,recurring,features,reason,actor FROM "
                                 "grants LIMIT 1"),
    "policy-gone": ("reconcile", "DELETE FROM policies WHERE version=2"),
    "policy-cheaper": ("reconcile", "UPDATE policies SET yaml=replace(yaml,'credits: \"2\"',"
                                    "'credits: \"1\"')"),
    "policy-older": ("reconcile", "UPDATE policies SET installed_ms=installed_ms-1"),
    "symbol-gone": ("reconcile", "DELETE FROM symbols WHERE number=9"),
    "symbol-changed": ("reconcile", "UPDATE symbols SET name=name||'x' WHERE number=9"),
    "rollup-gone": ("reconcile", "DELETE FROM usage_rollup WHERE what='meter'"),
    "rollup-changed": ("reconcile", "UPDATE usage_rollup SET units=units+1 WHERE what='source'"),
    "rollup-extra": ("reconcile", "INSERT INTO usage_rollup SELECT start_ms+1," + ROLLUP_NAMES +
                     " FROM usage_rollup LIMIT 1"),
    "day-extra": ("reconcile", "INSERT INTO usage_days SELECT * FROM usage_rollup LIMIT 1"),
    "day-missing": ("reconcile", "UPDATE meta SET value=1<<50 WHERE name='days_through_ms'"),
    "symbol-extra": ("reconcile", "INSERT INTO symbols SELECT max(number)+1,'x' FROM symbols"),
}


@pytest.mark.parametrize("damage", OTHER_DAMAGE)
def test_damage_beside_the_datasets_is_found(copy, damage):
    directory = copy()
    command, *statements = OTHER_DAMAGE[damage]
    meddle(directory, "ledger.db", *statements)
    found(command, directory, "ledger.db")


def test_an_altered_table_is_found(copy):
    directory = copy()
    with sqlite3.connect(directory / "ledger.db") as database:
        database.execute("ALTER TABLE usage_events ADD COLUMN more TEXT")
    database.close()
    both_find(directory)


def test_a_ledger_of_another_journal_is_found(copy, fresh, new_customer):
    directory = copy()
    other = fresh()
    new_customer(other, plan="base").grant("5")
    other.stop()
    shutil.copy(other.data / "ledger.db", directory / "ledger.db")
    found("verify", directory, "another journal")
    found("reconcile", directory)


@pytest.mark.parametrize("make", NOT_OURS.values(), ids=NOT_OURS)
def test_a_file_that_is_no_ledger_is_refused_by_name(copy, make):
    directory = copy()
    make(directory / "ledger.db")
    both_find(directory)


# ---- snapshots and key files --------------------------------------------------------------------

def snapshots(directory):
    return sorted(directory.glob("snapshot-*.weir"), key=lambda path: int(path.stem.split("-")[1]))


def test_snapshots_are_proved_and_compared_with_the_journal(books):
    assert len(snapshots(books)) == 2
    assert counts(prove("verify", books))["snapshots", "files"] == 2
    assert counts(prove("reconcile", books))["engine", "snapshots compared"] == 2


def swap(directory):
    one, other = snapshots(directory)
    one.rename(directory / "x")
    other.rename(one)
    (directory / "x").rename(other)


SNAPSHOT_DAMAGE = {
    "empty": lambda directory: snapshots(directory)[1].write_bytes(b""),
    "text": lambda directory: snapshots(directory)[1].write_bytes(b"hello"),
    "short": lambda directory: snapshots(directory)[1].write_bytes(
        snapshots(directory)[1].read_bytes()[:-1]),
    "long": lambda directory: snapshots(directory)[0].write_bytes(
        snapshots(directory)[0].read_bytes() + b"x"),
    "swapped": swap,
    "ahead": lambda directory: snapshots(directory)[1].rename(directory / "snapshot-99999.weir"),
}


@pytest.mark.parametrize("damage", SNAPSHOT_DAMAGE)
def test_a_damaged_snapshot_is_found(copy, damage):
    directory = copy()
    SNAPSHOT_DAMAGE[damage](directory)
    found("verify", directory, "snapshot-")


def test_any_flipped_bit_of_a_snapshot_is_found(copy):
    directory = copy()
    path = snapshots(directory)[0]
    random_ = random.Random(SEED)
    for _ in range(40):
        offset, bit = random_.randrange(path.stat().st_size), random_.randrange(8)
        flip(path, offset, bit)
        found("verify", directory, path.name)
        flip(path, offset, bit)
    assert prove("verify", directory)["clean"]


def test_a_snapshot_of_another_journal_is_found(copy, fresh, new_customer):
    directory = copy()
    other = fresh(arguments=["--snapshot-every", "4K"])
    customer = new_customer(other, plan="base")
    for _ in range(60):
        customer.grant("5")
    other.stop()
    for path in snapshots(directory):
        path.unlink()
    theirs = snapshots(other.data)[0]
    shutil.copy(theirs, directory)
    found("verify", directory, theirs.name, "another journal")


def bind_keys(weir, new_customer, hours=3):
    """Keys that grow old enough to lie in files."""
    customer = new_customer(weir, plan="base")
    customer.grant("50")
    for _ in range(hours):
        for number in range(40):
            assert customer.consume(1, idempotency_key=f"{weir.now}-{number}").status == 200
        weir.advance(2 * HOUR)
    deadline = time.monotonic() + 30
    while not (weir.data / "keys.weir").exists() and time.monotonic() < deadline:
        customer.consume(1)
        time.sleep(0.05)
    return customer


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("keyed"), POLICY).start()
    bind_keys(server, lambda weir, **settings: Customer(weir, "keyed", **settings))
    server.stop()
    assert list(server.data.glob("keys-*.weir"))
    return server.data


KEY_DAMAGE = {
    "list-gone": lambda directory: (directory / "keys.weir").unlink(),
    "list-empty": lambda directory: (directory / "keys.weir").write_bytes(b""),
    "file-gone": lambda directory: next(directory.glob("keys-*.weir")).unlink(),
    "file-short": lambda directory: (lambda path: path.write_bytes(path.read_bytes()[:-4096]))(
        next(directory.glob("keys-*.weir"))),
    "file-text": lambda directory: next(directory.glob("keys-*.weir")).write_bytes(b"hello"),
}


@pytest.mark.parametrize("damage", KEY_DAMAGE)
def test_damage_to_key_files_is_found(keyed, tmp_path, damage):
    directory = tmp_path / "copy"
    shutil.copytree(keyed, directory)
    assert counts(prove("verify", directory))["keys", "keys in them"] >= 40
    KEY_DAMAGE[damage](directory)
    found("verify", directory, "keys")


def test_any_flipped_bit_of_a_key_file_is_found(keyed, tmp_path):
    directory = tmp_path / "copy"
    shutil.copytree(keyed, directory)
    random_ = random.Random(SEED)
    for path in [directory / "keys.weir", *directory.glob("keys-*.weir")]:
        for _ in range(20):
            offset, bit = random_.randrange(path.stat().st_size), random_.randrange(8)
            flip(path, offset, bit)
            found("verify", directory, path.name)
            flip(path, offset, bit)
    assert prove("verify", directory)["clean"]

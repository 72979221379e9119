"""Every table, column and row of meta of ledger.db: whatever is damaged there is found by a proof, and
the settler chains no row to a checkpoint that is wrong.

The damage is made from the layout that the file itself tells, so a table or column that comes later
is here by itself: of each table a row is deleted, each column changed, a row added, two rows swapped.
"""

import shutil
import sqlite3

import pytest
from raw import until
from weir_client import DAY, Customer, Server, StartFailed, expect, run

TABLES = ("usage_events", "monetization_events", "balance_updates", "refunds", "grants", "policies", "symbols",
          "customers", "accounts", "seals", "usage_rollup", "usage_days", "usage_days_at", "meta")


@pytest.fixture(scope="module")
def whole(books, tmp_path_factory):
    """The books in which everything has happened, with days that are whole."""
    place = tmp_path_factory.mktemp("whole")
    shutil.copytree(books, place / "data")
    shutil.copy(books.parent / "policy.yaml", place / "policy.yaml")
    server = Server(place, (books.parent / "policy.yaml").read_text(), "2026-07-01T12:00:00Z")
    server.start()
    other = Customer(server, "over-too", plan="base")
    expect(other.usage(3, "pair"))
    for _ in range(2):
        server.advance(DAY)
        expect(other.usage(1, "pair"))
        for _ in range(12):
            server.batch([{"op": "consume", "customer": "over-too", "feature": "chat", "quantities": {"requests": 1}}] * 100)
    with sqlite3.connect(f"file:{server.data}/ledger.db?mode=ro", uri=True) as database:
        until(lambda: database.execute("SELECT value>1782864000000-1 FROM meta WHERE name='days_through_ms'").fetchone()[0],
              "days that are whole", 30)
    database.close()
    server.stop()
    for command in ("verify", "reconcile"):
        assert run(command, "--data", server.data)[0] == 0, command
    return server.data


def columns(database, table):
    return database.execute("SELECT name,type,pk FROM pragma_table_info(?)", (table,)).fetchall()


def changed(column, kind):
    if kind == "BLOB":
        return f"CAST(substr({column},1,length({column})-1)||x'A5' AS BLOB)"
    if kind == "TEXT":
        return f"ifnull({column},'')||'x'"
    return (f"CASE typeof({column}) WHEN 'blob' THEN CAST(substr({column},1,31)||x'A5' AS BLOB) "
            f"ELSE ifnull({column},0)+1 END")


def pick(database, table, place):
    """The key of a row, as a condition."""
    key = [name for name, _, pk in columns(database, table) if pk]
    count = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    row = database.execute(f"SELECT {','.join(key)} FROM {table} ORDER BY {','.join(key)} LIMIT 1 OFFSET ?",
                           ((count - 1) * place // 2,)).fetchone()
    return " AND ".join(f"{name}={quoted(value)}" for name, value in zip(key, row))


def quoted(value):
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def damages(database):
    for table in TABLES:
        layout = columns(database, table)
        names = [name for name, _, _ in layout]
        rest = [name for name, _, pk in layout if not pk]
        for place in range(3):
            where = pick(database, table, place)
            yield "delete", table, "", [f"DELETE FROM {table} WHERE {where}"]
        for name, kind, _ in layout:
            for place in (0, 2):
                where = pick(database, table, place)
                yield "change", table, name, [f"UPDATE {table} SET {name}={changed(name, kind)} WHERE {where}"]
        for name, kind, pk in layout:  # the same row under another key
            if not pk:
                continue
            where = pick(database, table, 2)
            other = ",".join(changed(one, kind) if one == name else one for one in names)
            yield "add", table, name, [f"INSERT INTO {table} SELECT {other} FROM {table} WHERE {where}"]
        first, last = pick(database, table, 0), pick(database, table, 2)
        if rest and first != last:
            sets = ",".join(f"{name}=(SELECT {name} FROM kept WHERE NOT ({{0}}))" for name in rest)
            yield "swap", table, "", [
                f"CREATE TEMP TABLE kept AS SELECT * FROM {table} WHERE ({first}) OR ({last})",
                f"UPDATE OR FAIL {table} SET {sets.format(first)} WHERE {first}",
                f"UPDATE OR FAIL {table} SET {sets.format(last)} WHERE {last}"]


def inflict(directory, statements):
    """False: the database does not let it, or it changes nothing."""
    database = sqlite3.connect(directory / "ledger.db")
    try:
        before = database.total_changes
        for statement in statements:
            database.execute(statement)
        database.commit()
        database.execute("PRAGMA wal_checkpoint(truncate)")
        return database.total_changes > before
    except sqlite3.IntegrityError:
        return False
    finally:
        database.close()


def finders(directory):
    return [command for command in ("verify", "reconcile") if run(command, "--data", directory)[0] == 1]


@pytest.mark.parametrize("table", TABLES)
def test_no_damage_to_a_table_is_missed(whole, tmp_path, table):
    directory = tmp_path / "copy"
    with sqlite3.connect(f"file:{whole}/ledger.db?mode=ro&immutable=1", uri=True) as database:
        todo = [one for one in damages(database) if one[1] == table]
    database.close()
    shutil.copytree(whole, directory)
    missed, tried = [], 0
    for what, _, column, statements in todo:
        shutil.copy(whole / "ledger.db", directory / "ledger.db")
        if not inflict(directory, statements):
            continue
        tried += 1
        if not finders(directory):
            missed.append((what, column, statements[-1][:300]))
    assert tried >= 3
    assert missed == []


def test_every_table_is_damaged(whole):
    with sqlite3.connect(f"file:{whole}/ledger.db?mode=ro&immutable=1", uri=True) as database:
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type='table'")}
        empty = [table for table in tables if not database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]]
    database.close()
    assert tables == set(TABLES) and empty == []


# ---- the settler -------------------------------------------------------------------------------

CHECKPOINTS = {
    "account-after": "UPDATE accounts SET after=after+1000000000",
    "account-carry": "UPDATE accounts SET after_e18=after_e18-1",
    "account-row": "UPDATE accounts SET last_position=last_position+4096",
    "account-gone": "DELETE FROM accounts WHERE customer=(SELECT number FROM customers WHERE name='over-too')",
    "head-after": "UPDATE customers SET after=after+1 WHERE name='over-too'",
    "head-number": "UPDATE customers SET updates=updates+1 WHERE name='over-too'",
    "head-hash": "UPDATE customers SET last_hash=zeroblob(32) WHERE name='over-too'",
    "head-usage": "UPDATE customers SET last_usage=4096 WHERE name='over-too'",
    "days-at-gone": "DELETE FROM usage_days_at",
}


@pytest.mark.parametrize("damage", CHECKPOINTS)
def test_no_row_is_chained_to_a_checkpoint_that_is_wrong(whole, tmp_path, damage):
    place = tmp_path / "place"
    shutil.copytree(whole, place / "data")
    assert inflict(place / "data", [CHECKPOINTS[damage],
                                    "UPDATE meta SET value=(SELECT value FROM meta WHERE name='cursor_sequence')*4096+4095 "
                                    "WHERE name='heads_position'"])
    with sqlite3.connect(place / "data" / "ledger.db") as database:
        rows = database.execute("SELECT count(*) FROM balance_updates").fetchone()
    database.close()
    server = Server(place, (whole.parent / "policy.yaml").read_text(), "2026-07-04T12:00:00Z")
    try:
        server.start()
        answer = server.post("/v1/usage", {"customer": "over-too", "feature": "pair", "quantities": {"requests": 1}})
        assert answer.status in (200, 503)
        assert server.process.wait(30) == 3
    except StartFailed as failed:
        assert failed.status in (1, 3)
    with sqlite3.connect(place / "data" / "ledger.db") as database:
        assert database.execute("SELECT count(*) FROM balance_updates").fetchone() == rows
    database.close()
    assert finders(place / "data") != []

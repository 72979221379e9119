"""Every query of docs/LEDGER.md runs against a real ledger and finds something."""

import pathlib
import re
import sqlite3
import time

import pytest

import books
from weir_client import expect

POLICY = books.POLICY
TEXT = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "LEDGER.md").read_text()
QUERIES = re.findall(r"([^\n]+)\n\n```sql\n(.*?)```", TEXT, re.DOTALL)
SETTLED_SECONDS_MAX = 20


@pytest.fixture(scope="module")
def ledger(weir):
    books.keep_books(weir)
    sequence = expect(weir.get("/healthz"))["journal"]["sequence"]
    connection = sqlite3.connect(f"file:{weir.data}/ledger.db?mode=ro", uri=True)
    deadline = time.monotonic() + SETTLED_SECONDS_MAX
    while connection.execute("SELECT value FROM meta WHERE name='cursor_sequence'").fetchone()[0] < sequence or \
            connection.execute("SELECT value < (SELECT max(position) FROM usage_events) FROM meta "
                               "WHERE name='rolled_through'").fetchone()[0]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield connection
    connection.close()


@pytest.mark.parametrize("title, query", QUERIES, ids=[title.split(",")[0].rstrip(":.") for title, _ in QUERIES])
def test_the_query_runs(ledger, title, query):
    decision = ledger.execute("SELECT decision FROM usage_events WHERE kind='commit'").fetchone()[0]
    values = {"customer": "over0", "decision": decision, "from_ms": 0, "to_ms": 1 << 52}
    rows = ledger.execute(query, values).fetchall()
    assert (rows == []) == ("no row: all is well" in title), rows


def test_every_table_and_column_is_in_the_document(ledger):
    tables = [row[0] for row in ledger.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")]
    assert len(QUERIES) >= 10 and len(tables) >= 12
    for table in tables:
        assert table in TEXT, table
    for table in ("usage_events", "monetization_events", "balance_updates", "grants", "refunds", "usage_rollup"):
        for column in ledger.execute("SELECT name FROM pragma_table_info(?)", (table,)):
            assert f"`{column[0]}`" in TEXT, (table, column[0])

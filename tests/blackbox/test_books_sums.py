"""A trace played by the real program, settled by the real server, reckoned by a script that knows only
SQL, the trace and the price book.

The trace is invented by the program (seeded); where a real hour of a coding assistant is at hand
beside the project (shared/data), it is played too. Half of it is free, half of it paid for, at prices
that leave remainders. Then the books are damaged in every way that moves a sum, and the script says
where.
"""

import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from weir_client import SECOND, START, Server, expect, run

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests" / "books_sums.py"
REAL_HOUR = ROOT.parent / "shared" / "data" / "azure-llm-2023-code.csv"
PRICES = ("--input-credits", "0.0000125", "--output-credits", "0.0000751", "--per", "700")
POLICY = """
version: 1
defaults: {plan: plus}
features:
  codex: {meters: [requests, input_tokens, output_tokens], unit: cost, prices: codex}
prices:
  codex:
    - name: fine
      rates:
        input_tokens: {credits: "0.0000125", per: 700}
        output_tokens: {credits: "0.0000751", per: 700}
plans:
  plus:
    features:
      codex:
        waterfall:
          - allowance: {name: included, windows: [{credits: "0.0005", per: 5h, start: first_use}]}
          - grants: {category: promotional}
          - grants: {category: paid}
"""


def reckon(ledger, trace, record):
    return subprocess.run([sys.executable, SCRIPT, ledger, trace, "--record", record, *PRICES],
                          capture_output=True, text=True, timeout=120, check=False)


def wait_settled(weir):
    deadline = time.monotonic() + 60
    while expect(weir.get("/healthz"))["settlement"]["lag_batches"] != 0:
        assert time.monotonic() < deadline


def settled_books(weir, tmp_path, trace, rows):
    """(ledger.db, the record), when all that was played is in the books."""
    record = tmp_path / "played.ndjson"
    status, out, err = run(
        "load", trace, "--server", f"http://127.0.0.1:{weir.port}", "--customers", "40", "--seed",
        "7", "--connections", "16", "--plan", "plus", "--grant", "promotional=0.001,paid=0.004",
        "--record", record, timeout=240)
    assert status == 0, out + err
    assert len(record.read_text().splitlines()) == rows
    weir.advance(SECOND)        # how many were denied in the last one is told when it is over
    wait_settled(weir)
    return weir.data / "ledger.db", record


def invented(tmp_path, rows):
    trace = tmp_path / "trace.csv"
    status, out, err = run("load", "--generate", str(rows), "--seed", "11", "--print")
    assert status == 0, err
    trace.write_text(out)
    return trace


def test_the_books_of_a_played_trace_add_up_to_the_nano_credit(fresh, tmp_path):
    trace = REAL_HOUR if REAL_HOUR.exists() else invented(tmp_path, 8819)
    rows = len(trace.read_text().splitlines()) - 1
    ledger, record = settled_books(fresh(), tmp_path, trace, rows)
    done = reckon(ledger, trace, record)
    assert done.returncode == 0, done.stdout + done.stderr
    books = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)
    free, paid = books.execute("SELECT sum(charged=0),sum(charged>0) FROM monetization_events"
                               ).fetchone()
    assert free > 100 and paid > 100


LAST = "=(SELECT max(position) FROM monetization_events)"
DAMAGES = {
    "usage gone": f"DELETE FROM usage_events WHERE position{LAST}",
    "usage more": f"UPDATE usage_events SET units_allowed=units_allowed+1 WHERE position{LAST}",
    "tokens": "UPDATE usage_events SET actual=replace(actual,'input_tokens\":','input_tokens\":1') "
              f"WHERE position{LAST}",
    "customer": f"UPDATE usage_events SET customer='load-00001' WHERE position{LAST}",
    "monetization gone": f"DELETE FROM monetization_events WHERE position{LAST}",
    "cost": f"UPDATE monetization_events SET cost=cost+1 WHERE position{LAST}",
    "charged": f"UPDATE monetization_events SET charged=charged-1 WHERE position{LAST}",
    "remainder": f"UPDATE monetization_events SET remainder_after=remainder_after+1 WHERE position{LAST}",
    "balance gone": "DELETE FROM balance_updates WHERE (position,place)=(SELECT max(position),0 FROM "
                    "balance_updates)",
    "delta": "UPDATE balance_updates SET delta=delta-1 WHERE position=(SELECT max(position) FROM "
             "balance_updates)",
    "after": "UPDATE balance_updates SET customer_after=customer_after+1 WHERE position=(SELECT "
             "max(position) FROM balance_updates)",
}


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """The settled books of a small trace, at rest."""
    folder = tmp_path_factory.mktemp("played")
    weir = Server(folder / "server", POLICY, START).start()
    trace = invented(folder, 600)
    ledger, record = settled_books(weir, folder, trace, 600)
    weir.stop()
    return ledger, trace, record


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_script_finds_what_was_done_to_the_books(played, tmp_path, damage):
    ledger, trace, record = played
    copy = tmp_path / "ledger.db"
    shutil.copy(ledger, copy)
    assert reckon(copy, trace, record).returncode == 0
    with sqlite3.connect(copy) as books:
        assert books.execute(DAMAGES[damage]).rowcount == 1
    books.close()
    done = reckon(copy, trace, record)
    assert done.returncode == 1
    assert "customer load-000" in done.stderr or "position " in done.stderr

"""A trace played by the real program through the real server, checked by a script that knows neither.

The trace is invented by the program (seeded); where a real hour of a coding assistant is at hand
beside the project (shared/data), it is played too. Every request is authorized with an estimate and
committed with the actual; tests/trace_sums.py then reckons from the CSV and the price book alone.
"""

import json
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from weir_client import find_binary, run

ROOT = Path(__file__).resolve().parents[2]
POLICY = (ROOT / "examples" / "policy.yaml").read_text()
SCRIPT = ROOT / "tests" / "trace_sums.py"
REAL_HOUR = ROOT.parent / "shared" / "data" / "azure-llm-2023-code.csv"
# The example's price of gpt-5.5, and one whose tokens are no whole nano-credits.
PRICES = {"gpt-5.5": ("125", "750")}
FRACTIONS = POLICY.replace('{credits: "125", per: 1000000}', '{credits: "0.0000125", per: 700}', 1) \
                  .replace('{credits: "750", per: 1000000}', '{credits: "0.0000751", per: 700}', 1)


def play(weir, tmp_path, trace, rows):
    record = tmp_path / "played.ndjson"
    status, out, err = run(
        "load", trace, "--server", f"http://127.0.0.1:{weir.port}", "--customers", "40", "--seed",
        "7", "--connections", "16", "--plan", "plus", "--grant", "promotional=5,paid=100",
        "--attribute", "model=gpt-5.5", "--record", record, "--json", timeout=240)
    assert status == 0, out + err
    assert json.loads(out) and len(record.read_text().splitlines()) == rows
    return record


def check(trace, record, prices, per):
    done = subprocess.run(
        [sys.executable, SCRIPT, trace, record, "--input-credits", prices[0], "--output-credits",
         prices[1], "--per", str(per)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def invented(tmp_path, rows):
    trace = tmp_path / "trace.csv"
    status, out, err = run("load", "--generate", str(rows), "--seed", "11", "--print")
    assert status == 0, err
    trace.write_text(out)
    return trace


@pytest.mark.parametrize("text, prices, per", [
    (POLICY, PRICES["gpt-5.5"], 1_000_000),
    (FRACTIONS, ("0.0000125", "0.0000751"), 700),
], ids=["the example's prices", "prices with remainders"])
def test_an_invented_day_adds_up_to_the_nano_credit(fresh, tmp_path, text, prices, per):
    assert text is POLICY or text != POLICY
    trace = invented(tmp_path, 1500)
    check(trace, play(fresh(policy=text), tmp_path, trace, 1500), prices, per)


def test_traces_at_hand_add_up_to_the_nano_credit(fresh, tmp_path):
    """The real hour where it is at hand, else a longer invented day."""
    trace = REAL_HOUR if REAL_HOUR.exists() else invented(tmp_path, 8819)
    rows = len(trace.read_text().splitlines()) - 1
    check(trace, play(fresh(), tmp_path, trace, rows), PRICES["gpt-5.5"], 1_000_000)


def test_a_load_gives_up_on_a_server_that_died_and_tells_how_far_it_came(fresh, tmp_path):
    weir = fresh()
    address = f"http://127.0.0.1:{weir.port}"
    record = tmp_path / "played.ndjson"
    command = [find_binary(), "load", "--generate", "300000", "--server", address, "--customers",
               "10", "--plan", "plus", "--attribute", "model=gpt-5.5", "--patience", "1s",
               "--record", str(record), "--json"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as load:
        try:
            while load.poll() is None and not (record.exists() and record.stat().st_size > 0):
                time.sleep(0.01)    # between two looks
            weir.kill()
            out, err = load.communicate(timeout=60)
        finally:
            load.kill()
    assert load.returncode == 1, out + err
    told = re.search(r"the server at (\S+) did not answer for (\d+)\.\d s: "
                     r"(\d+) of 300000 rows were answered", err)
    assert told and told[1] == address and 1 <= int(told[2]) < 60, err
    report = json.loads(out)
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    answered = [row for row in rows if row["reason"] != "no_answer"]
    assert 0 < int(told[3]) == len(answered) < 300000
    assert report["rows"] == 300000 and report["rows_played"] == len(rows)
    assert report["failures"]["no_answer"] == report["failed"] == len(rows) - len(answered) > 0
    assert report["audit"] is None


def load_books(weir, *more):
    status, out, err = run(
        "load", "--server", f"http://127.0.0.1:{weir.port}", "--generate", "400", "--customers",
        "12", "--plan", "plus", "--grant", "paid=20", "--attribute", "model=gpt-5.5",
        "--key-prefix", "same", "--json", *more, timeout=120)
    return status, json.loads(out)["audit"], err


def test_the_audit_compares_the_answers_with_the_books_and_proves_the_directory(fresh):
    weir = fresh()
    status, audit, err = load_books(weir, "--data", weir.place / "data")
    books = audit["books"]
    assert status == 0 and books["differing"] == 0 and books["customers"] == 12, err
    assert books["told"] == books["found"] and books["told"]["requests"] == 400
    assert audit["verified"] is True and audit["reconciled"] is True


def test_answers_that_are_told_again_are_found_missing_in_the_books(fresh):
    """The same keys once more: every answer tells a charge that was made before."""
    weir = fresh()
    assert load_books(weir)[0] == 0
    status, audit, _ = load_books(weir)
    assert status == 1 and audit["books"]["differing"] > 0
    assert audit["books"]["told"]["requests"] == 400 > audit["books"]["found"]["requests"]


@pytest.mark.parametrize("clock", ["wall", "test"])
def test_the_verdict_counts_the_crowds_of_the_last_second(fresh, clock):
    """Denials that joined a crowd become a row when their second is over, not when they are told."""
    weir = fresh(**({"clock": None} if clock == "wall" else {}))
    crowds = 0
    for one in range(3):
        status, out, err = run(
            "load", "--server", f"http://127.0.0.1:{weir.port}", "--generate", "1000", "--customers",
            "3", "--plan", "plus", "--grant", "promotional=1,paid=2", "--attribute",
            "model=gpt-5.5", "--key-prefix", f"run{one}", "--patience", "1s", "--json", timeout=120)
        audit = json.loads(out)["audit"]
        assert status == 0, (audit["books"], err)
        assert audit["books"]["differing"] == 0 and audit["books"]["told"] == audit["books"]["found"]
        with sqlite3.connect(f"file:{weir.data}/ledger.db?mode=ro", uri=True) as database:
            before, crowds = crowds, database.execute(
                "SELECT count(*) FROM usage_events WHERE count > 1").fetchone()[0]
        assert crowds > before      # or nothing was proved


@pytest.mark.parametrize("patience", ["0s", "soon", "-1s"])
def test_a_patience_that_is_no_time_is_refused(patience):
    status, out, err = run("load", "--generate", "1", f"--patience={patience}")
    assert status == 2 and out == "" and "--patience" in err, err

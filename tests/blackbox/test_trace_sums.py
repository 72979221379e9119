"""The reckoning of trace_sums.py on a trace small enough to reckon by hand, right and spoiled.

Prices of 12.5 and 37.5 nano-credits a token (0.0125 and 0.0375 credits per million):

| row | customer | in | out | exact | carried   | settled | remainder |
|-----|----------|----|-----|-------|-----------|---------|-----------|
| 0   | a        | 3  | 0   | 37.5  | 37.5      | 37      | 0.5       |
| 1   | b        | 1  | 1   | 50    | 50        | 50      | 0         |
| 2   | a        | 2  | 1   | 62.5  | 63        | 63      | 0         |
| 3   | a        | 0  | 1   | 37.5  | 37.5      | 37      | 0.5       |
| 4   | b        | 5  | 5   | 250   | denied    |         |           |
| 5   | a        | 10 | 0   | 125   | 125.5     | 125     | 0.5       |
"""

import json
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "trace_sums.py"
TRACE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,3,0
2023-11-16 18:15:50.9951690,1,1
2023-11-16 18:15:51.0000000,2,1
2023-11-16 18:15:52.0000000,0,1
2023-11-16 18:15:53.0000000,5,5
2023-11-16 18:15:54.0000000,10,0
"""
ROWS = [  # customer, in, out, outcome, units, charged, overshoot
    ("a", 3, 0, "allow", 37, "0", "0"),                         # free
    ("b", 1, 1, "allow", 50, "0.00000005", "0"),
    ("a", 2, 1, "partial", 60, "0.00000006", "0.000000003"),    # 3 nano-credits nothing carried
    ("a", 0, 1, "late", 37, "0.000000037", "0"),
    ("b", 5, 5, "deny", 0, "0", "0"),
    ("a", 10, 0, "allow", 125, "0.000000125", "0"),
]
FIELDS = ("customer", "input_tokens", "output_tokens", "outcome", "units", "charged", "overshoot")


def entries():
    return [{"row": n, "decision_id": f"d_{n:013d}"} | dict(zip(FIELDS, row))
            for n, row in enumerate(ROWS)]


def reckon(tmp_path, record):
    (tmp_path / "trace.csv").write_text(TRACE)
    (tmp_path / "record.ndjson").write_text("".join(json.dumps(entry) + "\n" for entry in record))
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "trace.csv", tmp_path / "record.ndjson",
         "--input-credits", "0.0125", "--output-credits", "0.0375"],
        capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("order", [1, -1])
def test_what_adds_up_passes(tmp_path, order):
    status, out, err = reckon(tmp_path, entries()[::order])
    assert (status, err) == (0, "")
    assert out.splitlines()[1:] == ["a,4,0,525/2,259,0.000000003,0.000000222",      # 262.5
                                    "b,2,1,50,50,0,0.00000005"]


@pytest.mark.parametrize("customer, says", [
    ("b", ""), ("a", "line 6: decision d_0000000000004 is that of line 5 too")])
def test_denials_of_one_customer_may_share_a_decision(tmp_path, customer, says):
    record = entries()
    denial = dict(customer=customer, outcome="deny", units=0, charged="0", overshoot="0")
    record[4].update(denial, customer="b")
    record[5].update(denial, decision_id=record[4]["decision_id"])
    status, _, err = reckon(tmp_path, record)
    assert status == (1 if says else 0) and says in err, err


def changed(at, **fields):
    return lambda record: record[at].update(fields)


@pytest.mark.parametrize("spoil, says", [
    (lambda record: record.pop(3), "row 3 of the trace is not accounted for"),
    (lambda record: record.append(record[3]), "row 3 is accounted for again"),
    (changed(3, row=6), "row 6 is not in the trace"),
    (changed(3, row=-1), "row -1 is not in the trace"),
    (changed(0, input_tokens=4), "the trace has (3, 0)"),
    (changed(1, decision_id="d_0000000000000"), "is that of line 1 too"),
    (changed(4, decision_id="d_0000000000001"), "is that of line 2 too"),   # an allow and a denial
    (changed(4, units=1), "was denied and yet cost something"),
    (changed(4, charged="0.000000001"), "was denied and yet cost something"),
    (changed(1, outcome="error"), "came to no end"),
    (changed(1, units=49), "row 1 cost 49 nano-credits, exactly 50"),
    (changed(1, units=51), "row 1 cost 51 nano-credits, exactly 50"),
    (changed(1, overshoot="0.000000001"), "row 1 cost 51"),
    (changed(1, charged="0.000000051"), "was charged 51 of 50"),
    (changed(3, units=38, charged="0.000000038"), "customer a: 260 + 3"),   # a remainder lost or doubled
    (changed(2, overshoot="0.000000002"), "customer a: 259 + 2"),
    (changed(1, charged=5), "not a record"),
    (changed(1, units="50"), "not a record"),
    (changed(1, charged="0.0000000001"), "not a record"),
    (lambda record: record[1].pop("customer"), "not a record"),
])
def test_what_does_not_add_up_is_told(tmp_path, spoil, says):
    record = entries()
    spoil(record)
    status, _, err = reckon(tmp_path, record)
    assert status == 1 and says in err, err


def test_wrong_use_is_a_two(tmp_path):
    done = subprocess.run([sys.executable, SCRIPT, tmp_path / "trace.csv"], capture_output=True,
                          text=True, timeout=60, check=False)
    assert done.returncode == 2 and "usage" in done.stderr

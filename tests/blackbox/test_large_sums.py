"""What was decided settles, however large its sums are.

Every number a caller may say is at most 2^53-1, and nobody counts how often it is said: so sums go
beyond 64 bits. Here they do within one hour; settlement goes on, `/v1/usage` says them to the last
digit, the proofs add them up anew, and a ledger made anew from the journal says the same.
"""

import contextlib
import csv
import io
import json
import shutil
import sqlite3

import pytest
from policies import policy
from raw import until
from weir_client import (DAY, Customer, allowed, batch_results, expect, nano, run)

MOST = 2**53 - 1
POLICY = policy("""
base:
  features:
    chat: {waterfall: [{unlimited: {}}]}
    pair: {waterfall: [{overage: {name: extra, credits: "4000000000", per: day, start: calendar}}]}
    fine: {waterfall: [{grants: {category: paid}}]}
""")


@pytest.fixture
def weir(fresh):
    return fresh(POLICY)


def proved(weir):
    """Stopped, and clean to both proofs."""
    weir.stop()
    for command in ("verify", "reconcile"):
        status, out, err = run(command, "--data", weir.data)
        assert (status, err) == (0, ""), (command, out, err)


def usage(weir, query=""):
    return expect(weir.get("/v1/usage?" + query))["usage"]


def made_anew(weir):
    """The same directory without its ledger."""
    for path in weir.data.glob("ledger.db*"):
        path.unlink()
    weir.start()


def use(weir, name, count, **fields):
    operation = {"op": "consume", "customer": name, "feature": "chat", **fields}
    for _ in range(count // 1000):
        results = batch_results(weir.batch([operation] * 1000).body)
        assert all(result["outcome"] == "allow" for result in results)


def test_durations_and_quantities_beyond_64_bits_settle_and_are_summed_exactly(weir):
    Customer(weir, "long", plan="base")
    Customer(weir, "much", plan="base")
    use(weir, "long", 3000, quantities={"requests": 1}, duration_ms=MOST, attributes={"model": "m"})
    use(weir, "much", 2000, quantities={"requests": MOST}, duration_ms=1)
    whole = {"requests": 5000, "duration_ms": 3000 * MOST + 2000,
             "quantities": {"requests": 3000 + 2000 * MOST}}

    def check():
        [row] = usage(weir)
        assert {key: row[key] for key in whole} == whole
        for by in ("hour", "day", "feature,hour"):
            [row] = usage(weir, "group_by=" + by)
            assert {key: row[key] for key in whole} == whole
        [row] = usage(weir, "group_by=feature")
        assert row["units"] == {"unlimited": 3000 + 2000 * MOST}
        by_customer = {row["customer"]: row for row in usage(weir, "group_by=customer,feature")}
        assert by_customer["long"]["duration_ms"] == 3000 * MOST
        assert by_customer["much"]["quantities"] == {"requests": 2000 * MOST}
        assert by_customer["much"]["units"] == {"unlimited": 2000 * MOST}
        assert usage(weir, "customer=much&feature=chat")[0]["units"] == {"unlimited": 2000 * MOST}
        [row] = csv.DictReader(io.StringIO(weir.get("/v1/usage?group_by=feature&format=csv").raw.decode()))
        assert int(row["duration_ms"]) == whole["duration_ms"]
        assert json.loads(row["quantities"]) == whole["quantities"]
        assert json.loads(row["units"]) == {"unlimited": 3000 + 2000 * MOST}
        line = json.loads(weir.get("/v1/usage?format=ndjson").raw)
        assert line["duration_ms"] == whole["duration_ms"]

    check()
    assert (f'weir_used_units_total{{feature="chat",source="unlimited"}} {3000 + 2000 * MOST}\n'
            in weir.get("/metrics").raw.decode())
    weir.advance(2 * DAY)
    assert allowed(Customer(weir, "late", plan="base").consume(1))
    expect(weir.get("/v1/usage"))
    proved(weir)
    with sqlite3.connect(weir.data / "ledger.db") as database:
        [(low, e18)] = database.execute("SELECT duration_ms,duration_ms_e18 FROM usage_rollup WHERE "
                                        "what='event' AND customer='long'")
    assert (e18, low) == divmod(3000 * MOST, 10**18)
    made_anew(weir)
    whole["requests"] += 1
    whole["quantities"]["requests"] += 1
    [row] = usage(weir)
    assert {key: row[key] for key in whole} == whole
    days = usage(weir, "group_by=day")
    assert [day["duration_ms"] for day in days] == [3000 * MOST + 2000, 0]
    proved(weir)


def test_overshoot_that_is_given_back_settles_however_often(weir):
    customer = Customer(weir, "poor", plan="base")
    customer.grant("5")
    each = expect(customer.usage(MOST // 13, "fine"))["overshoot"]["units"]
    report = {"customer": "poor", "feature": "fine", "quantities": {"tokens": MOST // 13}}
    for _ in range(2):
        expect(weir.post("/v1/usage", [report] * 1000))
    [row] = usage(weir, "group_by=feature")
    assert row["overshoot"]["units"] > 2000 * each > 2**63
    assert row["overshoot"]["charged"] == "0"
    proved(weir)


def test_an_overage_account_goes_on_beyond_64_bits(weir):
    customer = Customer(weir, "rich", plan="base")
    day = nano("4000000000")
    for days in range(1, 6):
        allowed(customer.consume(2_000_000_000, "pair"))
        [last] = expect(weir.get("/v1/customers/rich/ledger?limit=1"))["updates"]
        assert nano(last["account_after"]) == -days * day
        assert usage(weir, "group_by=feature")[0]["charged"] == str(days * 4_000_000_000)
        proved(weir)
        if days == 3:
            made_anew(weir)
        else:
            weir.start()
        weir.advance(DAY)
    [row] = usage(weir, "group_by=customer")
    assert row["charged"] == "20000000000"
    with sqlite3.connect(weir.data / "ledger.db") as database:
        after = database.execute("SELECT account_after,account_after_e18 FROM balance_updates "
                                 "ORDER BY position").fetchall()
    assert after == [tuple(-part for part in reversed(divmod(days * day, 10**18))) for days in range(1, 6)]


DAMAGE = {
    "rollup": ("reconcile", "UPDATE usage_rollup SET duration_ms_e18=duration_ms_e18+1"),
    "as much": ("reconcile", "UPDATE usage_rollup SET duration_ms_e18=duration_ms_e18-1,"
                             "duration_ms=duration_ms+1000000000000000000 WHERE duration_ms_e18>0"),
    "account_after_e18": ("verify", "UPDATE balance_updates SET account_after_e18=1"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_wrong_carry_is_found(weir, tmp_path, damage):
    Customer(weir, "long", plan="base").grant("1")
    use(weir, "long", 3000, quantities={"requests": 1}, duration_ms=MOST)
    with contextlib.closing(sqlite3.connect(f"file:{weir.data}/ledger.db?mode=ro", uri=True)) as database:
        until(lambda: database.execute("SELECT count(*) FROM usage_rollup WHERE duration_ms_e18>0").fetchone()[0],
              "sums by hour")
    proved(weir)
    command, statement = DAMAGE[damage]
    shutil.copytree(weir.data, tmp_path / "copy")
    with sqlite3.connect(tmp_path / "copy" / "ledger.db") as database:
        assert database.execute(statement).rowcount > 0
        database.commit()
        database.execute("PRAGMA wal_checkpoint(truncate)")
    database.close()
    status, _, _ = run(command, "--data", tmp_path / "copy")
    assert status == 1

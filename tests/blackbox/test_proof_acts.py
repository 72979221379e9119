"""The proofs of a directory whose acts have somebody who did them (access keys), and of rows that
say it was somebody else."""

import contextlib
import json
import shutil
import sqlite3

import pytest

from books import DEARER, POLICY
from test_access_keys import Keyed
from weir_client import Server, expect, run

PROOFS = ("verify", "reconcile", "replay")


def prove(command, directory):
    status, out, err = run(command, "--data", directory, "--json")
    assert status in (0, 1), err
    return json.loads(out)


def act(admin):
    """Every kind of act that the books name somebody for, and those beside them."""
    ask = {"customer": "acme", "feature": "least", "quantities": {"requests": 1}, "use_credits": True}
    expect(admin.put("/v1/customers/acme", {"plan": "base"}))
    grant = lambda credits: expect(admin.post(  # noqa: E731
        "/v1/customers/acme/grants", {"category": "paid", "credits": credits}))["grant_id"]
    grant("50")
    voided = grant("5")
    charge = expect(admin.post("/v1/consume", ask))["decision_id"]
    expect(admin.post(f"/v1/decisions/{charge}/refund", {"credits": "1", "reason": "goodwill"}))
    expect(admin.post(f"/v1/grants/{voided}/void"))
    expect(admin.put("/v1/customers/acme", {"credit_mode": "ask"}))
    expect(admin.post("/v1/customers/acme/resets", {"limit": "included"}))
    expect(admin.revoke(admin.make("read")))


def put_policy(admin, text):
    expect(admin.request("PUT", "/v1/policy", raw=text.encode(), content_type="application/yaml"))


@pytest.fixture(scope="module")
def acted(tmp_path_factory):
    """A stopped server's directory; while it ran, it was proved after each policy."""
    weir = Server(tmp_path_factory.mktemp("acted"), POLICY,
                  arguments=["--snapshot-every", "16K"]).start()
    admin = Keyed(weir, None).make("admin")
    other = admin.make("admin")
    for who, text in ((admin, DEARER), (other, POLICY), (admin, DEARER)):
        act(who)
        put_policy(who, text)
        for command in PROOFS:
            assert prove(command, weir.data)["clean"]
    act(other)
    assert weir.stop() == 0
    with contextlib.closing(sqlite3.connect(weir.data / "ledger.db")) as books:
        assert [actor for (actor,) in books.execute("SELECT actor FROM policies ORDER BY version")] == [
            None, admin.id, other.id, admin.id]
    return weir.data


@pytest.mark.parametrize("command", PROOFS)
def test_a_directory_with_keys_and_policies_put_by_them_is_clean(acted, command):
    verdict = prove(command, acted)
    assert verdict["clean"], verdict["finding"]


def lesser_columns():
    """All of the tables that no seal covers and every row of which one journal entry makes."""
    return {"policies": "version installed_ms yaml actor",
            "refunds": "at_ms customer credits expired reason actor",
            "grants": "at_ms customer category priority credits effective_ms expires_ms recurring "
                      "features reason actor"}


def test_no_column_of_the_lesser_tables_is_left_out(acted):
    with sqlite3.connect(f"file:{acted}/ledger.db?immutable=1", uri=True) as books:
        for table, names in lesser_columns().items():
            there = [row[1] for row in books.execute(f"PRAGMA table_info({table})") if not row[5]]
            assert there == names.split()


@pytest.mark.parametrize("table,name", [(table, name) for table, names in lesser_columns().items()
                                        for name in names.split()])
def test_a_forged_column_of_a_lesser_table_is_found(acted, tmp_path, table, name):
    directory = tmp_path / "copy"
    shutil.copytree(acted, directory)
    with sqlite3.connect(directory / "ledger.db") as books:
        kind = {row[1]: row[2] for row in books.execute(f"PRAGMA table_info({table})")}[name]
        change = f"coalesce({name},0)+1" if kind == "INTEGER" else f"coalesce({name},'')||' '"
        key = "id" if table == "grants" else "position"
        assert books.execute(f"UPDATE {table} SET {name}={change} WHERE {key}="
                             f"(SELECT max({key}) FROM {table})").rowcount == 1
    books.close()
    finding = prove("reconcile", directory)["finding"]
    assert finding and finding["file"] == "ledger.db" and finding["place"].startswith(table), finding
    assert name in finding["expected"], finding

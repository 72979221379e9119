"""`weir verify` and `weir reconcile` where things move: beside a server at work, after kill -9, and where
journal and usage events lose their beginning (DESIGN.md section 5, Proof and Retention)."""

import json
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import threading

import pytest

from books import POLICY, keep_books
from weir_client import DAY, SECOND, Client, Customer, Server, expect, run

BALANCES = pathlib.Path(__file__).resolve().parents[1] / "books_balances.py"
SHORT = ("--receipts-for", "60s", "--usage-for", "120s", "--snapshot-every", "16K")


def proved(command, directory):
    """It must be clean; answers what was checked."""
    status, out, err = run(command, "--data", directory, "--json", timeout=120)
    assert status in (0, 1), err
    verdict = json.loads(out)
    assert verdict["clean"], verdict["finding"]
    return {(one["of"], one["what"]): one["number"] for one in verdict["checked"]}


def prove_all(directory):
    sums = subprocess.run([sys.executable, str(BALANCES), str(directory)], stdout=subprocess.PIPE,
                          text=True, check=False)
    assert sums.returncode == 0, sums.stdout
    return proved("verify", directory) | proved("reconcile", directory)


def settle(weir):
    while expect(weir.get("/healthz"))["settlement"]["lag_batches"] > 0:
        pass


class Busy:
    """Clients that consume, hold, commit late and release, until told to stop."""

    def __init__(self, weir, threads=4):
        self.weir, self.over, self.count = weir, threading.Event(), 0
        self.threads = [threading.Thread(target=self.work, args=(n,)) for n in range(threads)]
        for thread in self.threads:
            thread.start()

    def work(self, number):
        client = Client(self.weir.port)
        mine = Customer(type("One", (), {"post": client.post, "put": client.put, "get": client.get})(),
                        f"busy{number}", plan="base")
        try:
            mine.grant("100000")
            while not self.over.is_set():
                mine.consume(2, "third", attributes={"model": "m"})
                mine.consume({"input_tokens": 7, "output_tokens": 11}, "codex")
                held = mine.authorize(3, "third", ttl_ms=1000).body.get("decision_id")
                mine.commit(held, 5)
                mine.release(mine.authorize(1, "fine").body.get("decision_id"))
                mine.authorize(1, "third", ttl_ms=20)       # left to expire
                mine.consume(100000, "least")               # denied, in crowds
                self.count += 1
        except OSError:
            pass                                            # killed
        finally:
            client.close()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def test_beside_a_server_at_work(fresh):
    weir = fresh(POLICY, clock=None, arguments=("--snapshot-every", "64K"))
    busy = Busy(weir)
    try:
        seen = []
        for _ in range(6):
            seen.append(proved("verify", weir.data)["journal", "entries"])
            checked = proved("reconcile", weir.data)
        assert seen == sorted(seen) and seen[-1] > seen[0], seen
        assert checked["engine", "customers compared"] >= 4
    finally:
        busy.stop()
    assert busy.count > 0
    settle(weir)
    weir.stop()
    checked = prove_all(weir.data)
    assert checked["journal", "batches not yet settled"] == 0
    assert checked["ledger", "events priced anew"] == checked["ledger", "monetization_events"] > 0


def test_after_kill_9_what_is_there_is_whole(fresh):
    weir = fresh(POLICY, clock=None, arguments=("--snapshot-every", "64K"))
    for _ in range(4):
        busy = Busy(weir)
        while busy.count < 10:
            pass
        weir.kill()
        busy.stop()
        proved("verify", weir.data)
        proved("reconcile", weir.data)
        weir.start()
    settle(weir)
    weir.stop()
    prove_all(weir.data)


def newest(weir):
    with sqlite3.connect(f"file:{weir.data}/journal.db?mode=ro", uri=True) as journal:
        return journal.execute("SELECT min(sequence),max(sequence) FROM batch WHERE sequence>1").fetchone()


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """A directory in which everything has happened, and the oldest of it is gone."""
    server = Server(tmp_path_factory.mktemp("cut"), POLICY, arguments=SHORT).start()
    try:
        live_until_cut(server)
    finally:
        server.stop()
    return server.data


def live_until_cut(server):
    keep_books(server)
    settle(server)
    _, lived = newest(server)
    server.advance(22 * DAY)        # the hold that stays open is over, and nobody asks how it ended
    customer = Customer(server, "later", plan="base")
    customer.grant("100000")
    for _ in range(60):
        for _ in range(40):
            customer.consume(2, "third")
            customer.commit(customer.hold(2, "third"), 1)
            server.advance(5 * SECOND)
        settle(server)
        first, last = newest(server)
        with sqlite3.connect(f"file:{server.data}/ledger.db?mode=ro", uri=True) as ledger:
            usage_cut = ledger.execute("SELECT value FROM meta WHERE name='usage_cut'").fetchone()[0]
        if first > lived and usage_cut > lived:
            return
    raise AssertionError((first, last, usage_cut, lived))


def test_a_journal_and_usage_without_their_beginning_are_proved(cut):
    checked = prove_all(cut)
    assert checked["ledger", "events whose usage was cut"] > 0
    assert checked["engine", "customers compared"] >= 10


@pytest.mark.parametrize("damage,words", [
    ("DELETE FROM batch WHERE sequence=(SELECT min(sequence) FROM batch WHERE sequence>1)", "missing"),
    ("DELETE FROM batch WHERE sequence=(SELECT min(sequence)+3 FROM batch WHERE sequence>1)", "dense"),
    ("DELETE FROM batch WHERE sequence<(SELECT max(sequence) FROM batch) AND sequence>1", "missing"),
], ids=["one-more", "a-hole", "all-but-the-tip"])
def test_a_cut_that_no_seal_covers_is_found(cut, tmp_path, damage, words):
    shutil.copytree(cut, tmp_path / "copy")
    database = sqlite3.connect(tmp_path / "copy" / "journal.db")
    sealed = database.execute("SELECT min(sequence) FROM batch WHERE sequence>1").fetchone()
    # Up to the seal rows may go; beyond it none.
    if words == "missing":
        for _ in range(2000):
            database.execute(damage)
            database.commit()
            if run("verify", "--data", tmp_path / "copy")[0] == 1:
                break
    else:
        database.execute(damage)
        database.commit()
    database.close()
    status, out, _ = run("verify", "--data", tmp_path / "copy", "--json")
    assert status == 1 and words in json.loads(out)["finding"]["what"], (sealed, out)


@pytest.mark.parametrize("table,statement", [
    ("monetization_events", "UPDATE monetization_events SET charged=charged+1 WHERE position={p}"),
    ("balance_updates", "DELETE FROM balance_updates WHERE position={p}"),
])
def test_money_of_which_the_journal_is_gone_is_still_proved(cut, tmp_path, table, statement):
    shutil.copytree(cut, tmp_path / "copy")
    database = sqlite3.connect(tmp_path / "copy" / "ledger.db")
    position = database.execute(f"SELECT min(position) FROM {table}").fetchone()[0]
    database.execute(statement.format(p=position))
    database.commit()
    database.close()
    for command in ("verify", "reconcile"):
        assert run(command, "--data", tmp_path / "copy")[0] == 1

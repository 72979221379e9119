"""A copy of the data directory, made beside load by packaging/backup.sh, is a whole one: it is proved, a
server starts on it, and what was acknowledged before the copy began is there."""

import pathlib
import shutil
import subprocess

from books import POLICY
from test_proof_live import Busy, prove_all, proved, settle
from weir_client import Customer, Server, decided, expect, run

BACKUP = pathlib.Path(__file__).resolve().parents[2] / "packaging/backup.sh"
ROUNDS = 4
# So that snapshots come and go while the files are copied; receipts stay, as OPERATING.md asks.
OFTEN = ("--snapshot-every", "64K")


def back_up(weir, copy):
    done = subprocess.run([str(BACKUP), str(weir.data), str(copy)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    return copy


def server_on(directory, place):
    """A server whose data directory is that one."""
    weir = Server(place, POLICY, clock=None, arguments=OFTEN)
    weir.data = directory
    return weir


def batch_count(weir):
    return expect(weir.get("/healthz"))["journal"]["sequence"]


def test_a_copy_made_beside_load_is_whole_and_goes_on(fresh, tmp_path):
    weir = fresh(POLICY, clock=None, arguments=OFTEN)
    customer = Customer(weir, "witness", plan="base")
    customer.grant("1000", idempotency_key="purchase")
    busy = Busy(weir)
    try:
        for number in range(ROUNDS):
            told = decided(customer.consume(2, "third", attributes={"model": "m"},
                                            idempotency_key=f"k{number}"))
            funds, sequence = customer.funds(), batch_count(weir)
            copy = back_up(weir, tmp_path / f"copy{number}")
            assert batch_count(weir) > sequence     # it did not wait for a quiet moment
            proved("verify", copy)
            proved("reconcile", copy)

            restored = server_on(copy, tmp_path / f"restored{number}").start()
            try:
                there = Customer(restored, "witness")
                again = there.consume(2, "third", attributes={"model": "m"},
                                      idempotency_key=f"k{number}")
                assert decided(again) == told and there.funds() == funds
                assert batch_count(restored) >= sequence
                decided(there.consume(1, "third", attributes={"model": "m"}))
                settle(restored)
                assert restored.stop() == 0
            finally:
                restored.kill()
            prove_all(copy)
    finally:
        busy.stop()
    assert busy.count > 0
    assert list((tmp_path / "copy3").glob("snapshot-*.weir"))
    assert weir.stop() == 0


def test_a_copy_of_a_server_that_stands_still_is_the_same(fresh, tmp_path):
    weir = fresh(POLICY)
    customer = Customer(weir, "quiet", plan="base")
    customer.grant("10")
    decided(customer.consume(1, "third", attributes={"model": "m"}))
    before = customer.fingerprint("third")
    assert weir.stop() == 0
    copy = back_up(weir, tmp_path / "copy")
    prove_all(copy)
    shutil.rmtree(weir.data)
    shutil.copytree(copy, weir.data)        # what a restore is
    weir.start()
    assert customer.fingerprint("third") == before


def test_no_copy_is_made_over_another_or_of_what_is_no_data_directory(fresh, tmp_path):
    weir = fresh(POLICY)
    copy = back_up(weir, tmp_path / "copy")
    kept = {path.name: path.stat().st_mtime_ns for path in copy.iterdir()}
    for source, target in ((weir.data, copy), (tmp_path, tmp_path / "other")):
        done = subprocess.run([str(BACKUP), str(source), str(target)], stderr=subprocess.PIPE,
                              check=False)
        assert done.returncode != 0 and done.stderr
    assert {path.name: path.stat().st_mtime_ns for path in copy.iterdir()} == kept
    assert not (tmp_path / "other").exists()
    status, out, _ = run("verify", "--data", copy)
    assert status == 0, out

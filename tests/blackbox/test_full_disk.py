"""A disk that is full: no more acknowledgements, health says so, exit 1; and what was acknowledged is there.

The disk is a real file system of a few MiB, a tmpfs that the test mounts. Where that is not permitted,
the same is played with a limit on the size of files, which SQLite meets as a failed write as well; the
test's output says which it was. Clients load the server with keyed requests until it gives up, then
there is room again, and every answer that had been given is given again, byte for byte.
"""

import contextlib
import http.client
import re
import resource
import shutil
import subprocess
import threading
import time

import pytest

from policies import policy
from weir_client import Client, Customer, Server, decided, expect, free_port, nano, run, shortest

POLICY = policy("""
base:
  tier: 1
  features:
    chat: {waterfall: [{grants: {category: paid}}]}
""")
KIB, MIB = 1 << 10, 1 << 20
CLIENTS = 3
OPERATIONS = 40
END_SECONDS_MAX = 120


class Tmpfs:
    """A file system of its own."""

    name = "a tmpfs"

    def __init__(self, place, size):
        self.place = place
        place.mkdir(parents=True)
        if shutil.which("mount") is None:
            self.refused = "there is no mount command"
            return
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "weir-test", str(place)],
                              capture_output=True, text=True, check=False)
        self.refused = done.stderr.strip() if done.returncode else None

    def after_start(self, process):
        """Nothing: the disk is small by itself."""

    def fill(self):
        """Options of a process that finds the disk full."""
        with open(self.place / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * KIB)
        return {}

    def make_room(self):
        subprocess.run(["mount", "-o", "remount,size=256m", str(self.place)], check=True)

    def close(self):
        if self.refused is None:
            subprocess.run(["umount", "-l", str(self.place)], check=True)


class FileLimit:
    """No file may grow beyond so much."""

    name = "a limit on the size of files"
    refused = None

    def __init__(self, place, size):
        self.place, self.size = place, size
        place.mkdir(parents=True)

    def after_start(self, process):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (self.size, self.size))

    def fill(self):
        return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (KIB, KIB))}

    def make_room(self):
        """The next process has no such limit."""

    def close(self):
        """Nothing to undo."""


@pytest.fixture
def small_disk(tmp_path):
    """A maker of small disks: of the kind asked for, or of the other where that is not permitted."""
    made = []

    def make(kind, size):
        disk = kind(tmp_path / f"disk{len(made)}", size)
        made.append(disk)
        if disk.refused is not None:
            print(f"{disk.name} is not permitted ({disk.refused}): {FileLimit.name} instead")
            disk = FileLimit(tmp_path / f"disk{len(made)}", size)
            made.append(disk)
        return disk

    yield make
    for disk in made:
        disk.close()


class Load:
    """Clients that send batches of keyed requests until nobody answers, and keep the answers."""

    def __init__(self, port, customer):
        self.port, self.customer = port, customer
        self.answers, self.statuses = [], set()
        self.lock = threading.Lock()

    def batch(self, number):
        return {"operations": [
            {"op": "consume"} | self.customer.body(1, "chat", {"idempotency_key": f"{number}-{i}"})
            for i in range(OPERATIONS)]}

    def run(self, n):
        client = Client(self.port)
        for m in range(1_000_000):
            body = self.batch(f"{n}-{m}")
            try:
                answer = client.post("/v1/batch", body)
            except (OSError, http.client.HTTPException):
                break
            with self.lock:
                self.statuses.add((answer.status, (answer.body or {}).get("code")))
                if answer.status == 200:
                    self.answers.append((body, answer.raw))
        client.close()

    def watch_health(self, seen):
        client = Client(self.port)
        while True:
            try:
                answer = client.get("/healthz")
            except (OSError, http.client.HTTPException):
                break
            seen.append((answer.status, answer.body["status"]))
            if answer.status == 503:
                break
            time.sleep(0.02)    # a poll, not a wait: the load is what the server should be busy with
        client.close()

    def until_the_end(self, process):
        health = []
        threads = [threading.Thread(target=self.run, args=(n,)) for n in range(CLIENTS)]
        threads.append(threading.Thread(target=self.watch_health, args=(health,)))
        for thread in threads:
            thread.start()
        status = process.wait(END_SECONDS_MAX)
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        return status, health


def on(disk, tmp_path):
    """A server whose data, but not what it says, is on that disk."""
    weir = Server(tmp_path / "server", POLICY)
    weir.data = disk.place / "data"
    weir.data.mkdir()
    return weir


@pytest.mark.parametrize("kind", [Tmpfs, FileLimit])
def test_a_full_disk_ends_the_server_and_takes_nothing_back(small_disk, tmp_path, kind):
    disk = small_disk(kind, 3 * MIB)
    weir = on(disk, tmp_path).start()
    try:
        customer = Customer(weir, "full")
        customer.grant("1000000")
        disk.after_start(weir.process)
        load = Load(weir.port, customer)
        status, health = load.until_the_end(weir.process)

        assert status == 3, weir.stderr()       # it served: a new start may do
        assert (503, "failed") in health, health[-3:]
        assert all(answer in ((200, None), (503, "outcome_unknown")) for answer in load.statuses)
        assert (503, "outcome_unknown") in load.statuses
        told = weir.stderr()
        assert re.search("(the journal|settlement) failed; leaving", told), told
        assert re.search("disk is full|disk I/O error", told), told
        assert load.answers

        disk.make_room()
        weir.forget()
        weir.start()
        for body, raw in load.answers:
            assert weir.post("/v1/batch", body).raw == raw
        used = sum(nano(decision["charged"]) for body, raw in load.answers
                   for decision in expect(weir.post("/v1/batch", body))["results"])
        # What was refused as unknown may be there too; nothing else can be.
        left = nano(customer.available())
        assert left <= nano("1000000") - used
        deadline = time.monotonic() + END_SECONDS_MAX
        while (balance := customer.balance())["pending"] != "0":
            assert time.monotonic() < deadline, balance
        assert balance["settled"] == balance["available"] == shortest(left)
        assert weir.stop() == 0
    finally:
        weir.kill()


@pytest.mark.parametrize("kind", [Tmpfs, FileLimit])
def test_a_server_is_not_founded_on_a_full_disk_and_leaves_nothing_believed(small_disk, tmp_path, kind):
    disk = small_disk(kind, 64 * KIB)
    weir = on(disk, tmp_path)
    status, _, told = run("serve", "--data", weir.data, "--policy", weir.policy_file, "--http",
                          f"127.0.0.1:{free_port()}", **disk.fill())
    assert status == 1 and str(weir.data) in told and "cannot be" in told, told
    assert not (weir.data / "journal.db").exists()
    disk.make_room()
    try:
        weir.start()
        decided(Customer(weir, "first").consume(1, "chat"))
        assert weir.stop() == 0
    finally:
        weir.kill()

"""Snapshots in the real program: it comes back from them after kill -9, and says by name which it
cannot use and what it did instead.

Snapshots are made every few batches here, so that each round has some.
"""

import re

import pytest

from policies import policy
from weir_client import StartFailed, batch_results, expect

POLICY = policy("""
base:
  tier: 1
  features:
    chat:
      waterfall:
        - allowance: {name: included, windows: [{limit: 40, per: 5h, start: first_use}]}
        - grants: {category: paid}
""")
EVERY = ("--snapshot-every", "4K")


def number_of(path):
    return int(re.search(r"snapshot-(\d+)\.weir", path.name).group(1))


def snapshots(server):
    """Newest first."""
    return sorted(server.data.glob("snapshot-*.weir"), key=number_of, reverse=True)


def start(server):
    """Starts it; what it has said since."""
    server.kill()
    server.stderr_file.unlink(missing_ok=True)
    server.start()
    return server.stderr()


def live(server, customers, rounds):
    for n in range(rounds):
        customer = customers[n % len(customers)]
        customer.grant("5")
        hold = customer.hold(2, ttl_ms=3_600_000)
        expect(customer.consume(1, idempotency_key=f"{customer.name}-{server.tip}"))
        server.tip += 1
        if n % 3:
            expect(customer.commit(hold, 1))


def wait_for_two(server, customers):
    for _ in range(60):
        if len(snapshots(server)) >= 2:
            return
        live(server, customers, 10)
    pytest.fail("no two snapshots in 600 rounds")


@pytest.fixture
def loaded(fresh, new_customer):
    """A server with two snapshots and some journal behind them, and its customers."""
    server = fresh(arguments=EVERY)
    server.tip = 0
    customers = [new_customer(server) for _ in range(4)]
    for customer in customers:
        customer.grant("50")
    wait_for_two(server, customers)
    live(server, customers, 3)
    return server, customers


def seen(customers):
    return [customer.fingerprint() for customer in customers]


def test_a_killed_server_comes_back_from_its_snapshot_as_it_was(loaded):
    server, customers = loaded
    for _ in range(6):
        before = seen(customers)
        said = start(server)
        assert "behind the snapshot of batch" in said and "is not used" not in said
        assert seen(customers) == before
        live(server, customers, 25)
        assert len(snapshots(server)) <= 3  # the third while the newest comes


def test_keys_holds_and_the_policy_file_are_remembered_through_a_snapshot(loaded):
    server, customers = loaded
    body = customers[0].body(1, "chat", {"idempotency_key": "the-same"})
    first = server.post("/v1/authorize", body)
    decision = expect(first)["decision_id"]
    live(server, customers, 30)
    version = server.get("/v1/policy/versions").raw
    start(server)
    assert server.post("/v1/authorize", body).raw == first.raw
    assert server.get("/v1/policy/versions").raw == version
    expect(customers[0].commit(decision, 1))


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "its header": lambda path, other: flip(path, 60),
    "its middle": lambda path, other: flip(path, path.stat().st_size // 2),
    "its hash": lambda path, other: flip(path, -1),
    "cut": lambda path, other: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path, other: path.write_bytes(b""),
    "a directory": lambda path, other: (path.unlink(), path.mkdir()),
    "the older one's bytes": lambda path, other: path.write_bytes(other.read_bytes()),
    "something else": lambda path, other: path.write_bytes(b"PNG" * 1000),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_snapshot_is_named_and_the_older_one_used(loaded, damage):
    server, customers = loaded
    before = seen(customers)
    server.kill()
    newer, older = snapshots(server)[:2]  # a third where death came before the sweep
    DAMAGE[damage](newer, older)
    said = start(server)
    assert re.search(f"{newer.name}.*is not used", said)
    assert f"behind the snapshot of batch {number_of(older)} " in said
    assert seen(customers) == before
    live(server, customers, 40)
    assert "is not used" not in start(server), "a newer one has taken its place"


def test_without_a_good_snapshot_the_whole_journal_is_read(loaded):
    server, customers = loaded
    before = seen(customers)
    server.kill()
    for path in snapshots(server):
        flip(path, 200)
    said = start(server)
    assert said.count("is not used") >= 2 and "behind the snapshot" not in said
    assert seen(customers) == before


def test_a_snapshot_of_another_directory_is_refused_by_name(loaded, fresh):
    server, customers = loaded
    server.kill()
    other = fresh()
    other.stop()
    strange = snapshots(server)[0]
    (other.data / strange.name).write_bytes(strange.read_bytes())
    assert re.search(f"{strange.name}.*it belongs to another journal", start(other))


def test_a_snapshot_ahead_of_the_journal_is_refused_by_name(loaded):
    server, customers = loaded
    server.stop()
    kept = {name: (server.data / name).read_bytes() for name in ("journal.db", "ledger.db")}
    before = snapshots(server)[0]
    server.start()
    while number_of(snapshots(server)[-1]) <= number_of(before):
        live(server, customers, 20)
    server.kill()
    for name, content in kept.items():
        for path in server.data.glob(f"{name}*"):
            path.unlink()
        (server.data / name).write_bytes(content)
    said = start(server)
    assert said.count("whose newest batches are missing: it is not used") >= 2
    assert "behind the snapshot" not in said


def test_a_state_that_outgrew_the_memory_is_refused_with_a_word_about_it(fresh, new_customer):
    server = fresh(arguments=("--snapshot-every", "4K", "--memory", "64M"))
    server.tip = 0
    for batch in range(15):
        batch_results(expect(server.batch([
            {"op": "consume", "customer": f"many-{batch}-{n}", "feature": "chat",
             "quantities": {"requests": 1}} for n in range(1000)])))
    wait_for_two(server, [new_customer(server)])
    server.stop()
    server.arguments = ("--memory", "16M")
    with pytest.raises(StartFailed) as failed:
        server.start()
    assert "larger --memory" in failed.value.stderr

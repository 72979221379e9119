"""kill -9 at any instant: every acknowledged answer is there, every key has one effect.

Several clients load the real server, on the real clock, with keyed authorize, consume and grant and
with commits, each keeping its own record of what it asked and what it was told. The server is killed
at a random moment, sometimes again while it starts, and started on the same directory. Then the
records are the judge: asked again, what was answered is answered byte for byte the same, and what was
not answered takes effect exactly once; in the end the balances are what the records add up to.
"""

import http.client
import os
import random
import threading

import pytest

from policies import policy
from weir_client import NANO, Client, Customer, charged_nanos, decided, expect, nano

POLICY = policy("""
base:
  tier: 1
  features:
    chat: {waterfall: [{grants: {category: promotional}}, {grants: {category: paid}}]}
    third: {waterfall: [{grants: {category: paid}}]}
""")
ROUNDS = 18
CLIENTS = 4
CUSTOMERS = 3
HOUR_MS = 3_600_000


class Record:
    """One request: where, what, and the answer's bytes once there was one."""

    def __init__(self, kind, customer, path, body):
        self.kind, self.customer, self.path, self.body = kind, customer, path, body
        self.status = self.raw = self.parsed = None

    def ask(self, client):
        return client.post(self.path, self.body)

    def learn(self, answer):
        self.status, self.raw, self.parsed = answer.status, answer.raw, answer.body

    @property
    def known(self):
        # 503 is outcome_unknown, starting or stopping: as good as no answer.
        return self.raw is not None and self.status != 503


class Clients:
    """The clients of one round and what all rounds have recorded."""

    def __init__(self, seed, customers):
        self.seed, self.customers = seed, customers
        self.records, self.lock = [], threading.Lock()
        self.acknowledged = threading.Condition(self.lock)
        self.count = 0

    def next_request(self, draw, open_holds, name):
        customer = draw.choice(self.customers)
        kind = draw.choices(["consume", "authorize", "commit", "grant"], [40, 30, 25, 5])[0]
        if kind == "commit" and open_holds:
            hold = open_holds.pop(draw.randrange(len(open_holds)))
            quantities = {"requests": draw.randint(0, hold.body["quantities"]["requests"])}
            return Record("commit", hold.customer,
                          f"/v1/holds/{hold.parsed['decision_id']}/commit", {"quantities": quantities})
        if kind == "grant":
            return Record(kind, customer, f"{customer.path}/grants", {
                "category": "promotional", "credits": f"{draw.randint(1, 5)}", "idempotency_key": name})
        call = "authorize" if kind == "authorize" else "consume"
        fields = {"idempotency_key": name} | ({"ttl_ms": HOUR_MS} if call == "authorize" else {})
        feature = draw.choice(["chat", "third"])
        return Record(call, customer, f"/v1/{call}",
                      customer.body(draw.randint(1, 4), feature, fields))

    def run(self, port, n, number):
        draw, client = random.Random(f"{self.seed}/{number}/{n}"), Client(port)
        open_holds = []
        for m in range(100_000):
            record = self.next_request(draw, open_holds, f"{number}-{n}-{m}")
            with self.lock:
                self.records.append(record)
            try:
                record.learn(record.ask(client))
            except (OSError, http.client.HTTPException):
                break
            if record.kind == "authorize" and record.status == 200:
                open_holds.append(record)
            with self.lock:
                self.count += 1
                self.acknowledged.notify_all()
        client.close()

    def load_until(self, weir, number, enough):
        """Load the server, and kill it once so many answers more have come."""
        with self.lock:
            target = self.count + enough
        threads = [threading.Thread(target=self.run, args=(weir.port, n, number))
                   for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        with self.lock:
            came = self.acknowledged.wait_for(lambda: self.count >= target, timeout=60)
        weir.kill()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        assert came, "the server stopped answering"


def settle(weir, records):
    """Ask everything again: the answered must answer alike, the unanswered now and once."""
    for record in records:
        again = record.ask(weir.client)
        assert again.status in range(200, 300), (record.path, record.body, again.raw)
        if record.known:
            assert (again.status, again.raw) == (record.status, record.raw), record.body
        else:
            record.learn(again)
            assert record.ask(weir.client).raw == again.raw, record.body
        if record.kind in ("consume", "authorize"):
            assert decided(again)["outcome"] == "allow", again.raw


def audit(weir, clients, started_with):
    """Commit what is still held, and compare each balance with the sum of the records."""
    committed = {record.path for record in clients.records if record.kind == "commit"}
    for record in list(clients.records):
        if record.kind == "authorize":
            path = f"/v1/holds/{record.parsed['decision_id']}/commit"
            if path not in committed:
                rest = Record("commit", record.customer, path,
                              {"quantities": record.body["quantities"]})
                rest.learn(rest.ask(weir.client))
                assert rest.status == 200, rest.raw
                clients.records.append(rest)
    settled = [record for record in clients.records if record.kind in ("consume", "commit")]
    feature_of = {f"/v1/holds/{record.parsed['decision_id']}/commit": record.body["feature"]
                  for record in clients.records if record.kind == "authorize"}
    ids = [record.parsed["decision_id"] for record in clients.records
           if record.kind in ("consume", "authorize")]
    assert len(set(ids)) == len(ids)
    for customer in clients.customers:
        granted = started_with + sum(nano(record.body["credits"]) for record in clients.records
                                     if record.kind == "grant" and record.customer is customer)
        charged, units = 0, {"chat": 0, "third": 0}
        for record in settled:
            if record.customer is customer:
                charged += charged_nanos(record.parsed)
                feature = record.body.get("feature") or feature_of[record.path]
                units[feature] += record.body["quantities"]["requests"]
        # Remainders were carried through every crash: the total is the floor of the exact sum.
        assert charged == units["chat"] * NANO + units["third"] * NANO // 3
        assert customer.funds()[1] == "0"
        assert nano(customer.available()) == granted - charged


@pytest.mark.parametrize("options", [(), ("--snapshot-every", "64K")],
                         ids=["journal", "snapshots"])
def test_kill9_loses_nothing_and_doubles_nothing(fresh, options):
    seed = int(os.environ.get("WEIR_SEED", random.SystemRandom().randrange(2**32)))
    print("WEIR_SEED =", seed)
    draw = random.Random(seed)
    weir = fresh(clock=None, arguments=options)
    customers = [Customer(weir, f"kill9-{n}", plan="base") for n in range(CUSTOMERS)]
    for customer in customers:
        expect(customer.post_grant("1000000", "paid", idempotency_key="start"))
    clients = Clients(seed, customers)
    for number in range(ROUNDS):
        judged = len(clients.records)
        clients.load_until(weir, number, draw.choice([1, 5, 20, 60, 150, 400]))
        for _ in range(draw.choice([0, 0, 1, 3])):
            # Killed again at some moment of its start, which must be as harmless.
            weir.spawn()
            threading.Event().wait(draw.uniform(0, 0.05))
            weir.kill()
        weir.start()
        fresh_records = clients.records[judged:]
        older = draw.sample(clients.records[:judged], min(judged, 50))
        settle(weir, fresh_records + older)
    weir.restart()
    settle(weir, clients.records)
    for customer in customers:
        expect(customer.post_grant("1000000", "paid", idempotency_key="start"))
    audit(weir, clients, 1_000_000 * NANO)
    assert ("behind the snapshot" in weir.stderr()) == bool(options)


def test_kill9_leaves_a_lone_acknowledged_answer(fresh):
    """No load, no batch to hide in: one answer, one kill, one answer."""
    weir = fresh(clock=None)
    customer = Customer(weir, "lone", plan="base")
    customer.grant("100")
    for n in range(5):
        first = customer.consume(1, idempotency_key=f"k{n}")
        assert decided(first)["outcome"] == "allow"
        weir.restart(hard=True)
        again = customer.consume(1, idempotency_key=f"k{n}")
        assert (again.status, again.raw) == (first.status, first.raw)
        assert customer.available() == str(99 - n)


def test_kill9_keeps_policy_and_settings_that_were_acknowledged(fresh):
    weir = fresh(clock=None)
    customer = Customer(weir, "settled", plan="base")
    expect(weir.put_policy(POLICY + "# put\n"))
    customer.put(suspended=True)
    weir.restart(hard=True)
    assert weir.get("/v1/policy").raw.decode() == POLICY + "# put\n"
    assert expect(weir.get(customer.path))["suspended"] is True
    customer.put(suspended=False)
    grant = customer.grant("7")
    weir.restart(hard=True)
    assert customer.remaining(grant) == "7"
    expect(customer.void(grant))
    weir.restart(hard=True)
    assert customer.available() == "0"

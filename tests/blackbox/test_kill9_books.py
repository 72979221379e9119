"""kill -9 at any instant with everything going on: settlement, snapshots, retention, keys in files.

Clients load the real server with every call that moves money or ends a decision, each keeping its own
record of what it asked and was told. The server is killed at random moments: under load, while it
starts, after SIGTERM, while a snapshot or a file of keys is written, with settlement far behind. What
was not answered is asked again with its key. In the end the record is the judge of ledger.db, read by
another program's SQLite: every acknowledged decision is there once, with its charge, its sources and
its end; and nothing is there that no client can account for.

WEIR_KILLS says how many kills, WEIR_SEED which random moments.
"""

import bisect
import collections
import http.client
import json
import os
import random
import signal
import sqlite3
import threading
import time

import pytest

from books import PLANS
from policies import policy
from weir_client import HOUR, MINUTE, SECOND, Client, Customer, expect, nano, run, to_ms, to_text

PLANS_HOURLY = PLANS.replace("per: month, start: anchor", "per: hour, start: calendar")
KILLS = int(os.environ.get("WEIR_KILLS", "12"))
CLIENTS = 5
CALM_SECONDS_MAX = 60
ROUND_MS_MAX = 90 * MINUTE      # of the test clock, in one life of the server
# How long keys are kept; for how much of that a client relies on it; what else is kept how long.
CLOCKS = {"test-clock": ("3h", HOUR, ("--receipts-for", "20m", "--usage-for", "20h")),
          "wall-clock": ("3m", MINUTE, ("--receipts-for", "1s", "--usage-for", "4m"))}
UNANSWERED = 503                    # outcome unknown, starting, stopping
REFUSED = {404, 409, 422}           # what these calls may be told, without effect
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def position(name):
    """The journal position in d_… or g_…"""
    number = 0
    for digit in name[2:]:
        number = number * 32 + DIGITS.index(digit)
    return number


# ---- what a client asks, and its record -----------------------------------------------------------

class Hold:
    def __init__(self, call):
        self.call, self.name = call, call.answer["decision_id"]
        self.path = f"/v1/holds/{self.name}"


class Call:
    """One request; `answer` is the parsed body once it is known, `tries` the attempts without one."""

    def __init__(self, kind, customer, path, body, hold=None):
        self.kind, self.customer, self.path, self.body, self.hold = kind, customer, path, body, hold
        self.answer = self.status = self.at = None
        self.tries = 0

    def scope(self):
        body = self.hold.call.body if self.hold else self.body
        return self.customer.name, body.get("subject", ""), body["feature"]

    def operation(self):
        """Itself in a batch."""
        operation = {"op": self.kind} | self.body
        return operation | ({"decision_id": self.hold.name} if self.hold else {})

    def learn(self, status, answer, at):
        """False: that was no answer."""
        if status == UNANSWERED:
            self.tries += 1
            return False
        assert 200 <= status < 300 or status in REFUSED, (self.path, self.body, answer)
        known, self.at = self.answer, at
        self.status, self.answer = status, answer
        if known and known.get("outcome") != "deny":    # denials bind no key
            assert known == answer, (self.body, known, answer)
        return True


class Batch:
    """Several calls in one request."""

    def __init__(self, calls):
        self.calls, self.since = calls, None

    def ask(self, client, now):
        self.since = self.since or now
        answer = client.post("/v1/batch", {"operations": [call.operation() for call in self.calls]})
        if answer.status == UNANSWERED:
            self.miss()
            return False
        results = expect(answer)["results"]
        return all([call.learn(result.get("status", 200), result, now)
                    for call, result in zip(self.calls, results, strict=True)])

    def miss(self):
        for call in self.calls:
            call.tries += 1


class One(Batch):
    """One call in a request of its own."""

    def __init__(self, call):
        super().__init__([call])

    def ask(self, client, now):
        call, self.since = self.calls[0], self.since or now
        answer = client.post(call.path, call.body)
        return call.learn(answer.status, answer.body, now)


class Driver(threading.Thread):
    """One client through one life of the server."""

    def __init__(self, clients, number, port):
        super().__init__(daemon=True)
        self.clients, self.own, self.port = clients, clients.own[number], port
        self.failure = None

    def run(self):
        client = Client(self.port)
        try:
            while not self.clients.over.is_set():
                self.own.pending = self.own.pending or self.own.next()
                if not self.ask(client):
                    break
        except Exception as failure:    # pylint: disable=broad-except  # shown by the main thread
            self.failure = failure
        client.close()

    def ask(self, client):
        request = self.own.pending
        try:
            if not request.ask(client, self.own.now()):
                return False
        except (OSError, http.client.HTTPException):
            request.miss()
            return False
        self.own.answered(request)
        self.own.pending = None
        return True


class Own:
    """What one client remembers from life to life."""

    def __init__(self, seed, number, customers):
        self.draw, self.number, self.customers = random.Random(f"{seed}/{number}"), number, customers
        self.pending, self.done, self.count = None, [], 0
        self.open, self.ended, self.charged, self.grants = [], [], [], []
        self.now, self.long = lambda: 0, 1      # as the clock is

    def key(self):
        self.count += 1
        return {"idempotency_key": f"{self.number}-{self.count}"}

    def answered(self, request):
        for call in request.calls:
            self.done.append(call)
            if call.status in REFUSED:
                continue
            if call.kind == "authorize" and call.answer["outcome"] != "deny":
                self.open.append(Hold(call))
            elif call.kind == "grant":
                self.grants.append(call)
            elif call.kind in ("consume", "usage", "commit") and call.answer.get("charged", "0") != "0":
                self.charged.append(call)
            if call.kind in ("commit", "release"):
                self.ended.append(call)

    def use(self, kind):
        customer = self.draw.choice(self.customers)
        feature = self.draw.choices(
            ["chat", "third", "least", "clip", "pair", "codex", "fine"], [6, 6, 1, 2, 2, 3, 2])[0]
        amount = {"codex": {"input_tokens": self.draw.randint(1, 3000),
                            "output_tokens": self.draw.randint(0, 900)},
                  "fine": {"tokens": self.draw.randint(1, 500)}}.get(feature, self.draw.randint(1, 4))
        fields = self.key()
        if kind == "authorize":
            fields["ttl_ms"] = self.draw.choice([100, 500, 2000]) * self.long
        if self.draw.random() < 0.3:
            fields["subject"] = self.draw.choice(["team-a", "team-a/x", "team-b"])
        if self.draw.random() < 0.2 and kind != "usage":
            fields["min_units"] = 1
        return Call(kind, customer, f"/v1/{kind}", customer.body(amount, feature, fields))

    def end(self, kind):
        """Of an open hold; now and then of one that has ended, which changes nothing."""
        if self.ended and self.draw.random() < 0.1:
            old = self.draw.choice(self.ended[-20:])
            return Call(kind, old.customer, f"{old.hold.path}/{kind}", dict(old.body)
                        if kind == old.kind else {} if kind == "release" else {"quantities": {}}, old.hold)
        hold = self.open.pop(self.draw.randrange(len(self.open)))
        held = hold.call.body["quantities"]
        body = {}
        if kind == "commit":
            times = self.draw.choice([0, 0.5, 1, 1, 1, 3])
            body = {"quantities": {name: int(count * times) for name, count in held.items()}}
            if self.draw.random() < 0.1:
                body["status"] = "failed"
        return Call(kind, hold.call.customer, f"{hold.path}/{kind}", body, hold)

    def extend(self):
        hold = self.draw.choice(self.open)
        factor = self.draw.choice([1, 1, 1_000_000])     # mostly granted; the last is denied
        amount = {name: count * factor for name, count in hold.call.body["quantities"].items()}
        return Call("extend", hold.call.customer, f"{hold.path}/extend",
                    {"quantities": amount, "ttl_ms": 1500 * self.long} | self.key(), hold)

    def refund(self):
        """Of something of any age: where its entry was cut, it is refused, and a repeat of one that was not is
        answered all the same."""
        call = self.charged.pop(self.draw.randrange(len(self.charged)))
        much = {"all": True} if self.draw.random() < 0.5 else {"credits": call.answer["charged"]}
        return Call("refund", call.customer, f"/v1/decisions/{call.answer['decision_id']}/refund",
                    much | {"reason": "torture"} | self.key())

    def grant(self):
        customer = self.draw.choice(self.customers)
        body = {"category": self.draw.choice(["paid", "promotional", "entitlement"]),
                "credits": f"{self.draw.randint(1, 30)}"} | self.key()
        if self.draw.random() < 0.4:
            body["expires_at"] = to_text(self.now() + self.draw.choice([200, 2000]) * self.long)
        return Call("grant", customer, f"{customer.path}/grants", body)

    def void(self):
        grant = self.grants.pop(self.draw.randrange(len(self.grants)))
        return Call("void", grant.customer, f"/v1/grants/{grant.answer['grant_id']}/void", {})

    def crowd(self):
        """Equal denials: from the 17th in a second on, one entry stands for many."""
        customer = self.draw.choice(self.customers)
        body = customer.body(10**7, "least", {"subject": "crowd"})
        return Batch([Call("consume", customer, "", dict(body)) for _ in range(self.draw.randint(1, 60))])

    def batch(self):
        calls = [self.use(self.draw.choice(["consume", "authorize", "consume"]))
                 for _ in range(self.draw.randint(2, 40))]
        while self.open and self.draw.random() < 0.5:
            calls.append(self.end(self.draw.choice(["commit", "commit", "release"])))
        return Batch(calls)

    def next(self):
        kinds = {"consume": 25, "authorize": 25, "usage": 4, "grant": 5, "batch": 7, "crowd": 3}
        if len(self.open) > 4:
            kinds |= {"commit": 22, "release": 6, "extend": 5}
        if self.charged:
            kinds["refund"] = 3
        if len(self.grants) > 10:
            kinds["void"] = 3
        kind = self.draw.choices(list(kinds), list(kinds.values()))[0]
        if len(self.open) > 60:
            del self.open[:20]          # forgotten by their client: these expire
        if kind in ("consume", "authorize", "usage"):
            return One(self.use(kind))
        if kind in ("commit", "release"):
            return One(self.end(kind))
        made = getattr(self, kind)()
        return made if isinstance(made, Batch) else One(made)


# ---- the server's lives ----------------------------------------------------------------------------

class Torture:
    def __init__(self, weir, seed, keys_ms):
        self.keys_ms = keys_ms
        self.weir, self.draw = weir, random.Random(f"{seed}/kills")
        self.kinds, self.proofs = collections.Counter(), 0
        self.over, self.usage = threading.Event(), {}
        self.lives = []                 # the newest batch that each left behind
        self.customers = [Customer(weir, f"torn-{n}", plan="base") for n in range(3)]
        self.customers.append(Customer(weir, "torn-hourly", plan="monthly"))
        self.started = [Call("grant", customer, f"{customer.path}/grants",
                             {"category": "paid", "credits": "100000", "idempotency_key": "start"})
                        for customer in self.customers[:2]]
        for call in self.started:
            assert One(call).ask(weir.client, self.now())
        self.own = [Own(seed, n, self.customers) for n in range(CLIENTS)]
        for own in self.own:
            own.now = self.now
            own.long = 20 if weir.clocked else 1

    def now(self):
        return self.weir.now if self.weir.clocked else int(time.time() * 1000)

    # -- one life

    def live(self):
        """Load until the kill; the kill is somewhere in it."""
        self.over.clear()
        drivers = [Driver(self, n, self.weir.port) for n in range(CLIENTS)]
        for driver in drivers:
            driver.start()
        kill = self.draw.choice([self.kill_somewhere, self.kill_somewhere, self.kill_stopping,
                                 self.kill_in_snapshot, self.kill_behind, self.kill_in_keys])
        kill()
        self.kill()
        self.over.set()
        for driver in drivers:
            driver.join(CALM_SECONDS_MAX)
            assert not driver.is_alive()
            if driver.failure:
                raise driver.failure
        self.kinds[kill.__name__] += 1

    def kill(self):
        self.weir.kill()
        with sqlite3.connect(f"file:{self.weir.data}/journal.db?mode=ro", uri=True) as journal:
            self.lives.append(journal.execute("SELECT max(sequence) FROM batch").fetchone()[0])
        journal.close()

    def advance(self, ms):
        """The clock moves for everybody; a kill may take the answer."""
        try:
            self.weir.advance(ms)
        except (OSError, http.client.HTTPException):
            self.weir.client.close()

    def wait(self, seconds, condition=lambda: False):
        """So long, or until then. With a test clock time passes meanwhile."""
        until, passed = time.monotonic() + seconds, 0
        while time.monotonic() < until and not condition():
            if self.weir.clocked and passed < ROUND_MS_MAX / 2:
                step = self.draw.choice([10, 300, 2000, 2000, 40 * SECOND, 6 * MINUTE])
                self.advance(step)
                passed += step
            threading.Event().wait(0.002)

    def kill_somewhere(self):
        self.wait(self.draw.choice([0.01, 0.1, 0.5, 1.5]) * self.draw.random())

    def kill_stopping(self):
        self.wait(self.draw.random() * 0.5)
        self.weir.process.send_signal(signal.SIGTERM)
        threading.Event().wait(self.draw.choice([0, 0.005, 0.05]) * self.draw.random())

    def kill_in_file(self, pattern):
        """As soon as there is such a file; or somewhat later."""
        there = lambda: any(self.weir.data.glob(pattern))   # noqa: E731
        self.wait(2, there)
        self.kinds["of which saw " + pattern] += there()
        threading.Event().wait(self.draw.choice([0, 0, 0.002, 0.01]) * self.draw.random())

    def kill_in_snapshot(self):
        self.kill_in_file("snapshot.new*")

    def kill_in_keys(self):
        if not self.weir.clocked:
            return self.kill_somewhere()
        self.wait(0.2)
        self.advance(61 * MINUTE)
        return self.kill_in_file("keys*.new*")

    def kill_behind(self):
        """Many batches at once, and gone before they are settled."""
        customer = self.customers[0]
        try:
            for _ in range(self.draw.randint(1, 5)):
                many = Batch([Call("consume", customer, "", customer.body(1, "third", {
                    "idempotency_key": f"many-{len(self.started) + n}"})) for n in range(900)])
                self.started += many.calls
                many.ask(self.weir.client, self.now())
        except (OSError, http.client.HTTPException):
            many.miss()

    # -- between lives

    def prove(self):
        for command in ("verify", "reconcile", "replay"):
            status, out, err = run(command, "--data", self.weir.data, "--json", timeout=120)
            assert status == 0, (command, json.loads(out)["finding"], err)
        self.proofs += 1

    def again(self, rests):
        """Started, perhaps killed while it starts, and ready."""
        if self.draw.random() < 0.3:
            self.prove()
        for _ in range(self.draw.choice([0, 0, 1, 3])):
            self.weir.spawn()
            threading.Event().wait(self.draw.random() * self.draw.choice([0.01, 0.1, 0.4]))
            self.kill()
            self.kinds["kill_starting"] += 1
        self.weir.start()
        if self.weir.clocked:
            self.weir.now = to_ms(self.health()["clock"]["now"])
        self.resolve_many()
        for own in self.own:
            if own.pending and own.pending.since and self.now() - own.pending.since > self.keys_ms:
                self.resolve_pending(own)       # before its key is over
        if rests:
            self.rest()

    def rest(self):
        """Everybody has an answer, the books are read, and hours pass: what is old may go."""
        self.resolve()
        self.settled()
        self.collect()
        if self.weir.clocked:
            for _ in range(self.draw.randint(2, 6)):
                self.weir.advance(HOUR)

    def health(self):
        return expect(self.weir.get("/healthz"))

    def journal_first(self):
        """0: nothing was cut yet."""
        return self.health()["journal"]["first"]

    def settled(self):
        deadline = time.monotonic() + CALM_SECONDS_MAX
        while True:
            health = self.health()
            journal = health["journal"]
            is_quiet = journal["open_entries"] == 0 and not journal["in_flight"]
            if is_quiet and health["settlement"]["lag_batches"] == 0 and health["conditions"] == []:
                return
            assert time.monotonic() < deadline, health
            threading.Event().wait(0.01)

    def database(self):
        database = sqlite3.connect(f"file:{self.weir.data}/ledger.db?mode=ro", uri=True)
        database.row_factory = sqlite3.Row
        return database

    def collect(self):
        """Usage events have their own retention, batch by batch: they are read before they go."""
        database = self.database()
        database.execute("BEGIN")
        seen = max(self.usage, default=0)
        for row in database.execute("SELECT * FROM usage_events WHERE position > ?", (seen,)):
            self.usage[row["position"]] = dict(row)
        [cut] = database.execute("SELECT value FROM meta WHERE name='usage_cut'").fetchone()
        kept = {row["position"]: dict(row) for row in database.execute("SELECT * FROM usage_events")}
        database.close()
        assert kept == {at: row for at, row in self.usage.items() if at >> 12 > cut}
        return cut

    def resolve_pending(self, own):
        if own.pending:
            assert own.pending.ask(self.weir.client, self.now())
            own.answered(own.pending)
            own.pending = None

    def resolve_many(self):
        rest = [call for call in self.started if call.answer is None]
        for at in range(0, len(rest), 900):
            assert Batch(rest[at:at + 900]).ask(self.weir.client, self.now())

    def resolve(self):
        """What is still without an answer gets one; what was answered lately is answered alike."""
        for own in self.own:
            self.resolve_pending(own)
            newest = own.done[-300:]
            for call in own.draw.sample(newest, min(len(newest), 30)):
                is_bound = call.status not in REFUSED and call.answer.get("outcome") != "deny"
                if is_bound and "idempotency_key" in call.body and self.now() - call.at < self.keys_ms:
                    assert One(call).ask(self.weir.client, call.at)

    def end_all(self):
        """Nothing is held, no grant waits for its end and no second for its crowds: from here on nothing moves."""
        ends = [self.now()] + [to_ms(call.body["expires_at"]) for call in self.calls() if "expires_at" in call.body]
        if self.weir.clocked:
            self.weir.advance(HOUR)
        deadline = time.monotonic() + CALM_SECONDS_MAX
        while self.health()["open_holds"] or self.now() <= max(ends) + SECOND:
            assert time.monotonic() < deadline
            threading.Event().wait(0.02)

    def kills(self):
        return sum(count for kind, count in self.kinds.items() if kind.startswith("kill"))

    def calls(self):
        return self.started + [call for own in self.own for call in own.done]


# ---- the judgement ---------------------------------------------------------------------------------

def told(call):
    """The sources as the answer told them."""
    return [(line["source"], line["kind"], position(line["grant_id"]) if "grant_id" in line else None,
             line["units"], nano(line["charged"])) for line in call.answer["allocations"]]


def booked(row):
    return [(line["source"], line["kind"], line.get("grant_id"), line["units"], line["charged"])
            for line in json.loads(row["sources"])]


class Judge:
    """The clients' record against the rows."""

    def __init__(self, torture):
        self.calls, self.usage, self.lives = torture.calls(), torture.usage, torture.lives
        self.balance = {customer.name: customer.balance() for customer in torture.customers}
        database = torture.database()
        self.table = {name: [dict(row) for row in database.execute(f"SELECT * FROM {name}")]
                      for name in ("monetization_events", "balance_updates", "refunds", "grants")}
        database.close()
        self.money = {row["position"]: row for row in self.table["monetization_events"]}
        self.accounted = set()
        self.by_decision = collections.defaultdict(list)
        for row in self.usage.values():
            if row["kind"] != "denial":
                self.by_decision[row["decision"]].append(row)

    def good(self, *kinds):
        return [call for call in self.calls if call.kind in kinds and call.status in (200, 201)
                and call.answer.get("outcome") != "deny"]

    def used(self, call, row):
        """A row of settled usage is what its client was told."""
        answer = call.answer
        over = answer.get("overshoot", {"units": 0, "charged": "0"})
        assert booked(row) == told(call), (row, answer)
        assert (row["customer"], row["subject"], row["feature"]) == call.scope(), (row, answer)
        assert row["units_allowed"] == answer["units"]["allowed"], (row, answer)
        assert row["charged"] == nano(answer["charged"]), (row, answer)
        assert (row["overshoot_units"], row["overshoot_charged"]) == (
            over["units"], nano(over["charged"])), (row, answer)
        money = self.money[row["position"]]
        assert money["decision"] == row["decision"] and money["charged"] == row["charged"], (row, money)
        self.account(row)

    def account(self, row):
        assert row["position"] not in self.accounted, row
        self.accounted.add(row["position"])

    def decisions(self):
        """Consumes, usage and holds: once each, and as acknowledged."""
        seen, expected = {}, collections.Counter()
        for call in self.good("consume", "usage", "authorize"):
            decision = position(call.answer["decision_id"])
            key = call.customer.name, call.body["idempotency_key"]
            assert seen.setdefault(decision, key) == key, (decision, key, seen[decision])
            expected[key] += 1
            if call.kind == "authorize":
                self.hold(call, decision)
                continue
            [row] = self.by_decision.pop(decision)
            assert (row["position"], row["kind"]) == (decision, call.kind), row
            assert row["outcome"] == call.answer["outcome"]
            self.used(call, row)
        assert set(expected.values()) <= {1}
        assert not self.by_decision, ("nobody's", list(self.by_decision.values())[:3])

    def hold(self, call, decision):
        """Its end is the one that was acknowledged; an end nobody ordered is an expiry."""
        rows = self.by_decision.pop(decision, [])
        assert rows, ("a hold without an end", call.answer)
        kinds = [row["kind"] for row in rows]
        assert kinds in (["commit"], ["release"], ["expiry"], ["expiry", "commit"]), rows
        ends = [end for end in self.ends.get(call.answer["decision_id"], []) if end.status == 200]
        commits = [end for end in ends if end.kind == "commit"]
        releases = [end for end in ends if end.kind == "release"]
        assert bool(commits) == ("commit" in kinds), (rows, commits)
        assert (kinds == ["release"]) == any(
            end.answer["hold"]["state"] == "released" for end in releases), (rows, releases)
        for end in commits:
            assert end.answer == commits[0].answer, (end.answer, commits[0].answer)
        for row in rows:
            if row["kind"] == "commit":
                assert bool(row["late"]) == commits[0].answer.get("late", False) == (len(rows) == 2)
                self.used(commits[0], row)
            else:
                assert row["charged"] == 0 and booked(row) == [], row
                self.account(row)

    @property
    def ends(self):
        if not hasattr(self, "_ends"):
            self._ends = collections.defaultdict(list)
            for call in self.calls:
                if call.kind in ("commit", "release"):
                    self._ends[call.hold.name].append(call)
        return self._ends

    def cut_short(self):
        """Decisions of crowds in whose second a life ended: how many had joined them by then may be lost. A row
        of a later second is behind all that was counted before."""
        last = {}
        for row in self.usage.values():
            life = bisect.bisect_left(self.lives, row["position"] >> 12)
            last[life] = max(last.get(life, 0), row["at_ms"] // SECOND)
        for row in self.usage.values():
            life = bisect.bisect_left(self.lives, row["position"] >> 12)
            if row["kind"] == "denial" and life < len(self.lives) and row["at_ms"] // SECOND == last[life]:
                yield row["decision"]

    def denials(self):
        """At least what was told, at most what else may have been denied unheard."""
        heard, maybe, rows, lost = (collections.Counter() for _ in range(4))
        by_id, scopes, counted = collections.Counter(), {}, collections.Counter()
        for call in self.calls:
            if call.kind not in ("consume", "authorize", "extend"):
                continue
            maybe[call.scope()] += call.tries
            if call.status == 200 and call.answer["outcome"] == "deny":
                heard[call.scope()] += 1
                by_id[position(call.answer["decision_id"])] += 1
                scopes[position(call.answer["decision_id"])] = call.scope()
        for row in self.usage.values():
            if row["kind"] == "denial":
                rows[row["customer"], row["subject"], row["feature"]] += row["count"]
                counted[row["decision"]] += row["count"]
                assert row["charged"] == 0 and row["outcome"] == "deny"
                self.account(row)
        cut_short = set(self.cut_short())
        for decision, count in by_id.items():
            assert counted[decision], decision
            if counted[decision] < count:
                assert decision in cut_short, (decision, counted[decision], count)
                lost[scopes[decision]] += count - counted[decision]
        for scope in heard | rows:
            assert heard[scope] - lost[scope] <= rows[scope] <= heard[scope] + maybe[scope], (
                scope, heard[scope], lost[scope], rows[scope], maybe[scope])
        self.lost = sum(lost.values())
        return sum(heard.values())

    def money_moves(self):
        """Purchases, charges and refunds are the clients'; the rest has its cause in them."""
        updates = self.table["balance_updates"]
        granted = {position(call.answer["grant_id"]): call for call in self.good("grant")}
        assert len(granted) == len(self.good("grant"))
        renewed = {row["id"] for row in self.table["grants"] if row["recurring"]}
        assert {row["id"] for row in self.table["grants"]} - renewed == set(granted)
        for row in self.table["grants"]:
            if row["id"] in granted:
                call = granted[row["id"]]
                assert (row["customer"], row["category"], row["credits"]) == (
                    call.customer.name, call.body["category"], nano(call.body["credits"]))
        times = [(row["customer"], row["recurring"], row["effective_ms"]) for row in self.table["grants"]
                 if row["recurring"]]
        assert len(set(times)) == len(times)
        charges, refunds, entered = (collections.Counter() for _ in range(3))
        voidable = {call.path.split("/")[3] for call in self.calls if call.kind == "void"}
        for row in updates:
            grant = row["grant_id"]
            if row["cause"] == "charge":
                charges[row["decision"], grant or row["name"]] -= row["delta"]
            elif row["cause"] in ("purchase", "grant"):
                entered[grant] += row["delta"]
            elif row["cause"] == "refund":
                refunds[row["decision"]] += row["delta"]
            elif row["cause"] == "void":
                assert grant in {position(name) for name in voidable}, row
            elif row["cause"] == "expiry":
                assert grant in renewed or "expires_at" in granted[grant].body or refunds[
                    row["decision"]] or grant in {position(name) for name in voidable}, row
        assert entered == collections.Counter(
            {grant: nano(call.body["credits"]) for grant, call in granted.items()})
        expected = collections.Counter()
        commits = {}
        for call in self.good("commit"):
            commits[call.hold.name] = call
        for call in self.good("consume", "usage") + list(commits.values()):
            for line in call.answer["allocations"]:
                source = position(line["grant_id"]) if "grant_id" in line else line["source"]
                expected[position(call.answer["decision_id"]), source] += nano(line["charged"])
        assert +charges == +expected
        told_refunds = collections.defaultdict(list)
        for call in self.good("refund"):
            if call.answer["refunded"] != "0":          # all was refunded before
                told_refunds[position(call.answer["decision_id"])].append(nano(call.answer["refunded"]))
        rows = collections.defaultdict(list)
        for row in self.table["refunds"]:
            rows[row["decision"]].append(row["credits"])
        assert {d: sorted(x) for d, x in rows.items()} == {d: sorted(x) for d, x in told_refunds.items()}

    def balances(self, torture):
        last = {}
        sums = collections.Counter()
        for row in sorted(self.table["balance_updates"], key=lambda row: row["number"]):
            last[row["customer"]] = row
            if row["account"] != "overage":
                sums[row["customer"]] += row["delta"]
        for name, balance in self.balance.items():
            after = last[name]["customer_after"]
            assert sums[name] == after == nano(balance["settled"]) == nano(balance["available"]), balance
            assert (balance["pending"], balance["held"]) == ("0", "0")

    def judge(self, torture):
        self.decisions()
        denied = self.denials()
        assert self.accounted == set(self.usage)
        assert {row["position"] for row in self.usage.values()
                if row["kind"] in ("consume", "usage", "commit")} == set(self.money)
        self.money_moves()
        self.balances(torture)
        return denied


# ---- the test --------------------------------------------------------------------------------------

@pytest.mark.parametrize("clock", ["test-clock", "wall-clock"])
def test_kill9_leaves_books_that_are_the_clients_own(fresh, clock):
    seed = int(os.environ.get("WEIR_SEED", random.SystemRandom().randrange(2**32)))
    print("WEIR_SEED =", seed)
    retention, keys_ms, arguments = CLOCKS[clock]
    options = {"clock": None} if clock == "wall-clock" else {}
    weir = fresh(policy(PLANS_HOURLY, retention=retention),
                 arguments=["--snapshot-every", "16K", *arguments], **options)
    torture = Torture(weir, seed, keys_ms)
    while torture.kills() < KILLS or (clock == "test-clock" and torture.journal_first() == 0):
        torture.live()
        torture.again(rests=torture.draw.random() < 0.5)
        assert torture.kills() < KILLS + 60, "the journal never lost its beginning"
    torture.resolve()
    torture.end_all()
    torture.settled()
    cut = torture.collect()
    judge = Judge(torture)
    denied = judge.judge(torture)
    journal_first = torture.journal_first()
    assert weir.stop() == 0
    torture.prove()
    calls = torture.calls()
    print(f"seed {seed}, {clock}: {torture.kills()} kills {dict(torture.kinds)}; {torture.proofs} proofs; "
          f"{len(calls)} answers, {denied} of them denials ({judge.lost} not counted), {sum(call.tries > 0 for call in calls)} asked "
          f"again; journal from {journal_first}, usage events from {cut}")
    print(dict(collections.Counter(call.kind for call in calls if call.status not in REFUSED)),
          dict(collections.Counter(row["cause"] for row in judge.table["balance_updates"])))

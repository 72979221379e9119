"""One sequence against the server and the model at once: the first difference, made short."""

import json
import pathlib
import shutil
import sys
import tempfile
from fractions import Fraction

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "blackbox"))

from model import UNTOLD, Model, nano  # noqa: E402
from scenario import play, resolved  # noqa: E402
from weir_client import Server, to_ms, to_text  # noqa: E402

MEMORY = pathlib.Path("/dev/shm")  # durability is not what is compared here
NOT_MADE = "g_4"                   # ids of what reading only tries out begin so
SHRINK_RUNS_MAX = 150
# The rules do not say which of these a refund of nothing is.
NO_REFUND = (404, 409, 422)


class Different(Exception):
    pass


class Pairs:
    """Ids of both sides, bound when they are first seen together."""

    def __init__(self):
        self.of_model, self.of_server = {}, {}

    def same(self, model_id, server_id):
        if model_id is None or server_id is None:
            return model_id == server_id
        if server_id.startswith(NOT_MADE) and model_id not in self.of_model:
            return True
        if model_id not in self.of_model and server_id not in self.of_server:
            self.of_model[model_id], self.of_server[server_id] = server_id, model_id
        return self.of_model.get(model_id) == server_id


def must_equal(what, want, got):
    if want != got:
        raise Different(f"{what}: the model says {want!r}, the server {got!r}")


class Duel:
    def __init__(self, policies, start, server):
        self.policies, self.server = policies, server
        self.model = Model(policies[0], start)
        self.made_by_model, self.made_by_server = {}, {}
        self.pairs = Pairs()
        self.crowds = {}  # id of the server -> second and denial that it stands for
        self.compared = 0
        self.last = None

    # -- asking the server

    def send(self, kind, target, body):
        server = self.server
        if kind in ("authorize", "consume", "check"):
            return server.post(f"/v1/{kind}", {**body, "explain": True})
        if kind == "usage":
            return server.post("/v1/usage", body)
        if kind in ("commit", "release", "extend"):
            return server.post(f"/v1/holds/{target}/{kind}", body)
        if kind == "grant":
            return server.post(f"/v1/customers/{target}/grants", body)
        if kind == "void":
            return server.post(f"/v1/grants/{target}/void", body)
        if kind == "reset":
            return server.post(f"/v1/customers/{target}/resets", body)
        if kind == "settings":
            return server.put(f"/v1/customers/{target}", body)
        if kind == "refund":
            return server.post(f"/v1/decisions/{target}/refund", body)
        if kind == "pool":
            return server.put(f"/v1/pools/{target}", body)
        if kind == "policy":
            return server.put_policy(json.dumps(self.policies[body]))
        assert kind == "clock", kind
        return server.post("/v1/clock", {"now": to_text(max(self.model.now, body["now"]))})

    def send_batch(self, operations):
        wire = []
        for kind, reference, fields in operations:
            operation = {"op": kind, **fields}
            if kind in ("authorize", "consume", "check"):
                operation["explain"] = True
            if reference is not None:
                operation["decision_id"] = resolved(reference, self.made_by_server)
            wire.append(operation)
        return self.server.batch(wire)

    def step(self, n, step):
        kind, target, body = step
        self.at = n
        if kind == "batch":
            answer = self.send_batch(body)
            expected = play(self.model, self.policies, step, n, self.made_by_model)
            must_equal("status of the batch", 200, answer.status)
            for place, (operation, got, want) in enumerate(
                    zip(body, answer.body["results"], expected["results"])):
                got = got.get("result") or got.get("problem") or got
                self.last = json.dumps([place, got])
                self.made_by_server[n, place] = got.get("decision_id", "none")
                self.compare(operation[0], got["status"] if "title" in got else 200, got, want)
        else:
            answer = self.send(kind, resolved(target, self.made_by_server), body)
            self.last = answer.raw.decode()
            expected = play(self.model, self.policies, step, n, self.made_by_model)
            made = answer.body or {}
            self.made_by_server[n, 0] = made.get("decision_id") or made.get("grant_id") or "none"
            self.compare(kind, answer.status, answer.body, expected)
        self.compare_balances()
        self.compare_status(n, body if isinstance(body, dict) else {})

    # -- comparing

    def compare(self, kind, status, got, want):
        self.compared += 1
        if kind == "refund" and want["status"] in NO_REFUND and status in NO_REFUND:
            return
        must_equal("status", want["status"], status)
        if status != 200:
            return
        if want.get("crowd") and kind in ("authorize", "consume"):
            want = {key: value for key, value in want.items() if key != "decision_id"}
            self.compare_crowd(want["crowd"], got["decision_id"])
        for name in ("decision_id", "grant_id"):
            if name in want and kind != "check" and not self.pairs.same(want[name], got[name]):
                must_equal(name, self.pairs.of_model.get(want[name], want[name]), got[name])
        if "code" in want:
            must_equal("outcome", want["outcome"], got["outcome"])
            must_equal("code", want["code"], got["reason"]["code"])
        if want.get("retry_after_ms", UNTOLD) is not UNTOLD:
            must_equal("retry_after_ms", want["retry_after_ms"], got["reason"]["retry_after_ms"])
        if want.get("limit") is not None:
            must_equal("limit", want["limit"], got["reason"]["limit"])
        if want.get("outcome") == "partial":
            must_equal("remedy", want["remedy"], got["reason"].get("remedy"))
        if "units" in want:
            must_equal("units", want["units"], (got["units"]["requested"], got["units"]["allowed"]))
        if "lines" in want:
            self.compare_lines(got["allocations"], want["lines"])
            must_equal("charged", want["charged"], got["charged"])
        if "hold" in want:
            hold = got.get("hold") or {"state": got.get("state")}
            must_equal("hold", want["hold"], hold["state"])
            if "expires" in want:
                must_equal("expires_at", want["expires"], to_ms(hold["expires_at"]))
        if "late" in want:
            must_equal("late", want["late"], got.get("late", False))
        if "overshoot" in want:
            over = got.get("overshoot")
            must_equal("overshoot", want["overshoot"],
                       over and (over["units"], over["charged"], over["refunded"]))
        if kind == "pool":
            must_equal("factor", want["factor"], Fraction(got["factor"]))
            must_equal("override", want["is_overridden"], got["override"] is not None)
            must_equal("shed", want["shed"], got["shed"])
        if kind == "refund":
            must_equal("refunded", want["refunded"], got["refunded"])
            must_equal("expired", want["expired"], got.get("expired", "0"))
        if want.get("offers") and "explain" in got:
            # Settling at the floor may cut what a consume drew: compare what was offered.
            last = 2 if kind == "consume" else 3
            must_equal("offers", [(name, offered or 0, drawn)[:last]
                                  for name, offered, drawn in want["offers"]],
                       [(note["source"], note["offered"], note["drawn"])[:last]
                        for note in got["explain"] if "source" in note])

    def compare_crowd(self, denial, got):
        """That of the first of the crowd: of an equal denial of the same second."""
        second = self.model.now // 1000
        if got in self.pairs.of_server:
            raise Different(f"decision_id: {got} is another's")
        must_equal("the crowd's denial", self.crowds.setdefault(got, (second, denial)),
                   (second, denial))

    def compare_lines(self, got, want):
        lines = [(line["source"], line["kind"], line.get("grant_id"), line["units"],
                  line["charged"]) for line in got]
        if len(lines) != len(want) or not all(
                ours[:2] + ours[3:] == theirs[:2] + theirs[3:]
                and self.pairs.same(ours[2], theirs[2]) for ours, theirs in zip(want, lines)):
            must_equal("allocations", want, lines)

    def compare_balances(self):
        for name in ("a", "b"):
            want = self.model.balance(name)
            answer = self.server.get(f"/v1/customers/{name}/balance")
            if want is None:
                if answer.status != 404:
                    must_equal(f"grants of the stranger {name}", [], answer.body["grants"])
                continue
            must_equal(f"status of the balance of {name}", 200, answer.status)
            got = answer.body
            must_equal(f"available of {name}", want["available"], got["available"])
            must_equal(f"held of {name}", want["held"], got["held"])
            remaining = {grant["grant_id"]: grant["remaining"] for grant in got["grants"]
                         if grant["remaining"] != "0" and grant["state"] == "live"}
            self.bind_grants(want["remaining"], remaining)
            must_equal(f"remaining of {name}",
                       {self.pairs.of_model.get(grant, grant): left
                        for grant, left in want["remaining"].items()}, remaining)

    def bind_grants(self, ours, theirs):
        """Renewals get their ids unseen: bind what is new on both sides in order of creation."""
        unseen = sorted((grant for grant in ours if grant not in self.pairs.of_model),
                        key=lambda grant: int(grant[1:]))
        for grant, other in zip(unseen, sorted(set(theirs) - set(self.pairs.of_server))):
            self.pairs.same(grant, other)

    def compare_status(self, n, body):
        if "feature" not in body and n % 3:
            return
        name, subject = body.get("customer", "a"), body.get("subject", "t/x")
        feature = body.get("feature") or sorted(self.model.policy["features"])[0]
        answer = self.server.get(
            f"/v1/customers/{name}/status?feature={feature}&subject={subject}")
        if answer.status != 200 or not answer.body["features"]:
            return
        rows = [(row["name"], nano(row["used"]) if isinstance(row["used"], str) else row["used"])
                for row in answer.body["features"][0]["limits"]
                if row["kind"] not in ("grants", "unlimited")]
        must_equal(f"used by {name} {subject} of {feature}",
                   self.model.used(name, feature, subject), rows)


def fight(policies, start, steps):
    """(None or the first difference, the step it is at, answers compared)."""
    place = pathlib.Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    server = Server(place, json.dumps(policies[0]), clock=to_text(start)).start()
    duel = Duel(policies, start, server)
    try:
        for n, step in enumerate(steps):
            if step is None:
                continue
            try:
                duel.step(n, step)
            except Different as different:
                return f"{different}\n  server: {duel.last}", n, duel.compared
            except (OSError, KeyError, TypeError) as broken:
                return (f"{type(broken).__name__}: {broken}\n  server: {duel.last}\n"
                        f"{server.stderr()}", n, duel.compared)
        return None, len(steps), duel.compared
    finally:
        server.kill()
        shutil.rmtree(place, ignore_errors=True)


def shortened(policies, start, steps, last):
    """Fewer steps that still differ, by leaving out ever smaller runs of them."""
    steps = [step if n <= last else None for n, step in enumerate(steps)]
    runs, size = 0, max(1, len(steps) // 2)
    while size and runs < SHRINK_RUNS_MAX:
        for at in range(0, len(steps), size):
            if not any(steps[at:at + size]):
                continue
            trial = steps[:at] + [None] * len(steps[at:at + size]) + steps[at + size:]
            runs += 1
            difference, last, _ = fight(policies, start, trial)
            if difference:
                steps = [step if n <= last else None for n, step in enumerate(trial)]
        size //= 2
    return steps


def story(author, steps, difference):
    """What somebody needs who has to judge a difference."""
    lines = []
    for n, policy in enumerate(author.policies):
        if n == 0 or any(step and step[0] == "policy" and step[2] == n for step in steps):
            shown = {name: policy[name] for name in ("defaults", "prices", "pools", "plans")}
            lines.append(f"policy {n}: {json.dumps(shown)}")
    lines.append(f"from {to_text(author.start)}:")
    for n, step in enumerate(steps):
        if step is not None:
            target = to_text(step[2]["now"]) if step[0] == "clock" else json.dumps(step[1:])
            lines.append(f"{n:4} {step[0]} {target}")
    return "\n".join(lines + [f"  {difference}"])

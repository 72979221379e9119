"""Random policies and random sequences of calls, from a seed.

A policy is a dictionary (JSON is YAML, so it is sent as it is). Pieces are written by hand, chosen
so that small numbers meet: limits of a few units, grants of a few credits, periods that end while
the sequence runs. A sequence is a list of concrete steps: it can be shortened and run again.
"""

import random

from model import DAY, HOUR, Model, credits_of, instant, instant_text, nano

STARTS = ("2026-01-31T23:59:59.500Z", "2026-05-01T12:00:00Z", "2028-02-28T22:30:00.123Z",
          "2026-12-31T18:00:00Z", "2026-03-29T00:59:00Z")
UNKNOWN = "d_00000000fff00"  # an id that nothing has
CUSTOMERS = ("a", "a", "a", "b")
SUBJECTS = (None, None, "t", "t/x", "t/x/k", "u")

FEATURES = {
    "chat": {"meters": ["requests"], "unit": "requests", "divisible": True, "prices": "chat"},
    "third": {"meters": ["requests"], "unit": "requests", "divisible": True, "prices": "third"},
    "video": {"meters": ["requests", "seconds"], "unit": "seconds", "divisible": False,
              "prices": "video"},
    "clip": {"meters": ["requests", "seconds"], "unit": "seconds", "divisible": True,
             "prices": "clip"},
    "dust": {"meters": ["tokens"], "unit": "tokens", "divisible": True, "prices": "dust"},
    "codex": {"meters": ["requests", "input", "cached", "output"], "unit": "cost",
              "divisible": True, "prices": "codex"},
    "solid": {"meters": ["tokens"], "unit": "cost", "divisible": False, "prices": "solid"},
}
PRICES = {
    "chat": [{"name": "message", "rates": {"requests": {"credits": "1", "per": 1}}}],
    "third": [{"name": "third", "rates": {"requests": {"credits": "1", "per": 3}}},
              {"name": "large", "match": {"model": "large"},
               "rates": {"requests": {"credits": "2", "per": 7}}}],
    "video": [{"name": "video", "rates": {"seconds": {"credits": "0.5", "per": 1}},
               "multiply": {"size": {"480p": "1", "600p": "1.5", "720p": "4"}}, "minimum": "2"}],
    "clip": [{"name": "clip", "rates": {"seconds": {"credits": "0.7", "per": 3}},
              "minimum": "1.25"}],
    "dust": [{"name": "dust", "rates": {"tokens": {"credits": "0.0004", "per": 1000000}}}],
    "codex": [{"name": "large", "match": {"model": "large"},
               "rates": {"input": {"credits": "125", "per": 1000000},
                         "cached": {"credits": "12.5", "per": 1000000},
                         "output": {"credits": "750", "per": 1000000}},
               "multiply": {"speed": {"standard": "1", "fast": "2", "slow": "0.3"}}},
              {"name": "default",
               "rates": {"input": {"credits": "62.5", "per": 1000000},
                         "output": {"credits": "1000", "per": 3000000}}}],
    "solid": [{"name": "solid", "rates": {"tokens": {"credits": "0.001", "per": 7}},
               "minimum": "0.01"}],
}
DEARER = {"chat": [{"name": "message", "rates": {"requests": {"credits": "1.5", "per": 1}}}],
          "dust": [{"name": "dust", "rates": {"tokens": {"credits": "0.0003", "per": 400000}}}]}
ATTRIBUTES = {"third": {"model": ["large", "other"]},
              "video": {"size": ["480p", "600p", "720p", "8k"]},
              "codex": {"model": ["large", "small"], "speed": ["standard", "fast", "slow", "odd"]}}
METERS = {"requests": (0, 1, 1, 1, 2, 3), "seconds": (0, 1, 2, 3, 5, 7, 12),
          "tokens": (0, 1, 2, 3, 700, 2500, 10000, 33333), "input": (0, 100, 1500, 8000, 12345),
          "cached": (0, 0, 999, 4001), "output": (0, 50, 333, 1700)}
SCOPES = ("customer", "subject", {"level": 1}, {"level": 2})
PERIODS = ({"per": "5h", "start": "first_use"}, {"per": "7d", "start": "first_use"},
           {"per": "90s", "start": "first_use"}, {"per": "1h", "start": "sliding"},
           {"per": "100s", "start": "sliding"}, {"per": "1d", "start": "sliding"},
           {"per": "hour", "start": "calendar"}, {"per": "day", "start": "calendar"},
           {"per": "week", "start": "calendar"}, {"per": "month", "start": "calendar"},
           {"per": "hour", "start": "anchor"}, {"per": "day", "start": "anchor"},
           {"per": "week", "start": "anchor"}, {"per": "month", "start": "anchor"})
MONEY = ("0.5", "1", "2", "3.5", "0.333333333", "6", "1.000000007", "20")


def window(rng, spec):
    amount = ({"credits": rng.choice(MONEY)} if spec["unit"] == "cost"
              else {"limit": rng.choice((0, 1, 2, 3, 5, 8, 900))})
    if spec["unit"] == "tokens":
        amount = {"limit": rng.choice((2, 800, 5000, 40000))}
    return {**amount, **rng.choice(PERIODS)}


def plan_feature(rng, spec):
    gates, waterfall = [], []
    if rng.random() < 0.4:
        gate = {"name": "pace", "meter": rng.choice(spec["meters"]), "scope": rng.choice(SCOPES),
                "limit": rng.choice((1, 3, 7, 60)), "per": rng.choice(("1s", "10s", "1m", "1h"))}
        if gate["meter"] in ("tokens", "input", "cached", "output"):
            gate["limit"] *= 500
        if rng.random() < 0.7:
            gate["burst"] = max(1, gate["limit"] * rng.choice((1, 2, 3)) // rng.choice((1, 2)))
        if rng.random() < 0.6:
            gate["pool"] = rng.choice(("gpu", "gpu", "cpu"))
        gates.append({"rate": gate})
    if rng.random() < 0.15:
        gates.append({"rate": {"name": "pace-2", "meter": spec["meters"][0], "limit": 9,
                               "per": "1m", "scope": "customer"}})
    if rng.random() < 0.3:
        gates.append({"concurrency": {"name": "in-flight", "limit": rng.choice((1, 2, 3)),
                                      "scope": rng.choice(SCOPES)}})
    for name in ("cap", "cap-2"):
        if rng.random() < 0.2:
            gates.append({"budget": {"name": name, "credits": rng.choice(MONEY),
                                     "scope": rng.choice(SCOPES), **rng.choice(PERIODS)}})
    rng.shuffle(gates)
    for name in ("included", "extra"):
        if rng.random() < 0.5:
            waterfall.append({"allowance": {
                "name": name, "scope": rng.choice(SCOPES),
                "windows": [window(rng, spec) for _ in range(rng.choice((1, 1, 2, 3)))]}})
    for category in ("promotional", "entitlement", "paid"):
        if rng.random() < (0.75 if category == "paid" else 0.5):
            waterfall.append({"grants": {"category": category}})
    if rng.random() < 0.2:
        rng.shuffle(waterfall)
    if rng.random() < 0.3:
        waterfall.append({"overage": {"name": "overage", "credits": rng.choice(MONEY),
                                      **rng.choice(PERIODS)}})
    if rng.random() < 0.08 or not waterfall:
        waterfall.append({"unlimited": {}})
    out = {"gates": gates, "waterfall": waterfall}
    if rng.random() < 0.4:
        out["on_failure"] = rng.choice(("none", "full", "actual"))
    if rng.random() < 0.5:
        has_overage = any("overage" in source for source in waterfall)
        out["overshoot"] = rng.choice(("refund", "debt") + (("overage",) if has_overage else ()))
    if rng.random() < 0.2:
        out["hold_ttl"] = rng.choice(("2s", "45s", "20m"))
    return out


def plan(rng, features):
    out = {"features": {}}
    for name in features:
        if rng.random() < 0.9:
            out["features"][name] = plan_feature(rng, FEATURES[name])
    if rng.random() < 0.3:
        out["recurring"] = []
        for name in ("gift", "bonus")[:rng.choice((1, 1, 2))]:
            rule = {"name": name, "category": rng.choice(("promotional", "entitlement", "paid")),
                    "credits": rng.choice(MONEY), "per": rng.choice(("hour", "day", "month")),
                    "start": rng.choice(("calendar", "anchor"))}
            if rng.random() < 0.5:
                rule["rollover_max"] = rng.choice(MONEY)
            if rng.random() < 0.2:
                lives = {"hour": rng.choice(("30m", "2d")), "day": "40d", "month": "50d"}
                rule["expires"] = lives[rule["per"]]
            out["recurring"].append({"grant": rule})
    return out


def later_prices(rng, start, rules):
    """Perhaps dearer or cheaper versions of the last rule, in force from some time on."""
    if rng.random() < 0.75:
        return rules
    out = list(rules)
    for since in sorted(rng.sample((-DAY, 30_000, HOUR, 2 * DAY), rng.choice((1, 1, 2)))):
        times = rng.choice((4, 2, 1, 1)), rng.choice((1, 1, 2, 4))
        rates = {meter: {**rate, "credits": credits_of(nano(rate["credits"]) * times[0]),
                         "per": rate["per"] * times[1]}
                 for meter, rate in rules[-1]["rates"].items()}
        out.append({**rules[-1], "from": instant_text(start + since), "rates": rates})
    return out


def policy(rng, features, start):
    plans = {"free": plan(rng, features), "plus": plan(rng, features)}
    for entry in plans.values():
        if not entry["features"]:
            entry["features"][features[0]] = plan_feature(rng, FEATURES[features[0]])
    used = {FEATURES[name]["prices"]: PRICES[FEATURES[name]["prices"]] for name in features}
    for name in used:
        if name in DEARER and rng.random() < 0.2:
            used[name] = DEARER[name]
        used[name] = later_prices(rng, start, used[name])
    defaults = {"plan": "free", "hold_ttl": rng.choice(("60s", "5m")),
                "idempotency_retention": rng.choice(("1m", "1h", "24h"))}
    if rng.random() < 0.3:
        defaults["on_failure"] = rng.choice(("none", "full", "actual"))
    meter = FEATURES[features[0]]["meters"][0]
    pools = {name: {"capacity": 10, "per": "1s", "meter": meter} for name in ("gpu", "cpu")}
    return {"version": 1, "defaults": defaults, "features": {n: FEATURES[n] for n in features},
            "prices": used, "pools": pools, "plans": plans}


class Author:
    """Writes a sequence while a model plays it, so that it can aim at what will happen."""

    def __init__(self, seed, length):
        self.rng = rng = random.Random(seed)
        self.start = instant(rng.choice(STARTS))
        self.features = rng.sample(sorted(FEATURES), rng.choice((1, 1, 2, 3)))
        first = policy(rng, self.features, self.start)
        self.policies = [first, self.variant(first), policy(rng, self.features, self.start)]
        self.model = Model(first, self.start)
        self.steps, self.made = [], {}
        self.decisions, self.grants, self.keyed = [], [], []
        while len(self.steps) < length:
            self.add(self.step())

    def variant(self, first):
        """The same names with some numbers or shapes changed (W3)."""
        other = policy(self.rng, self.features, self.start)
        for name, entry in first["plans"].items():
            if self.rng.random() < 0.5:
                other["plans"][name] = entry
        return other

    def add(self, step):
        kind, target, body = step
        n = len(self.steps)
        self.steps.append(step)
        answer = play(self.model, self.policies, step, n, self.made)
        for place, each in enumerate(answer.get("results", [answer])):
            if each.get("decision_id", "").startswith("d") and each.get("outcome") != "deny":
                reference = ["made", n, place]
                if kind in ("authorize", "consume", "usage", "batch") and each.get("hold"):
                    self.decisions.append((reference, each["hold"] == "held"))
        if kind == "grant":
            self.grants.append(["made", n, 0])

    def step(self):
        rng = self.rng
        roll = rng.random()
        if roll < 0.16:
            return self.clock()
        if roll < 0.24:
            return self.grant()
        if roll < 0.29:
            return self.settings()
        if roll < 0.31:
            return ["policy", None, rng.randrange(len(self.policies))]
        if roll < 0.325:
            return self.pool()
        if roll < 0.33:
            return ["reset", rng.choice(CUSTOMERS), {
                "limit": rng.choice(("included", "extra", "cap", "overage")),
                **({"subject": rng.choice(("t", "t/x", "t/x/k"))} if rng.random() < 0.6 else {})}]
        if roll < 0.34 and self.grants:
            return ["void", rng.choice(self.grants[-4:]), {}]
        if roll < 0.37:
            return ["batch", None, [self.operation() for _ in range(rng.choice((1, 2, 3, 5)))]]
        if roll < 0.38:  # nobody else in a hurry is so sure of his answer
            asked = rng.choice((["authorize", None, self.request(False, True)],
                                ["consume", None, self.request(False, False)]))
            return ["batch", None, [asked] * rng.choice((18, 24, 40))]
        if roll < 0.43:
            return ["usage", None, self.request(rng.choice((False, True)), False)]
        if roll < 0.47 and self.decisions:
            body = {"all": True} if rng.random() < 0.4 else {"credits": rng.choice(
                ("0.1", "0.5", "1", "0.000000001"))}
            paid = [entry for entry in self.decisions[-20:] if self.was_charged(entry[0])]
            some = paid if paid and rng.random() < 0.8 else self.decisions[-6:]
            return ["refund", rng.choice(some)[0], self.with_key(body)]
        return self.operation()

    def operation(self):
        rng = self.rng
        roll = rng.random()
        held = [reference for reference, is_held in self.decisions[-12:] if is_held]
        still = [reference for reference in held if self.is_open(reference)]
        if roll < 0.42 and held:
            return self.on_hold(rng.choice(still if still and rng.random() < 0.8 else held[-6:]))
        if roll < 0.80:
            return ["authorize", None, self.request(True, True)]
        if roll < 0.94:
            return ["consume", None, self.request(True, False)]
        return ["check", None, {k: v for k, v in self.request(False, True).items()
                                if k != "idempotency_key"}]

    def was_charged(self, reference):
        hold = self.model.holds[resolved(reference, self.made)]
        return any(draw.nano for draw in hold.settled_draws)

    def is_open(self, reference):
        return self.model.holds[resolved(reference, self.made)].state == "held"

    def on_hold(self, reference):
        rng = self.rng
        roll = rng.random()
        if roll < 0.15:
            return ["release", reference, {}]
        if roll < 0.45:
            body = self.with_key({"quantities": self.quantities(self.feature_of(reference), 0.2)})
            if rng.random() < 0.4:
                body["ttl_ms"] = rng.choice((500, 2000, 100_000))
            return ["extend", reference, body]
        body = {"quantities": self.quantities(self.feature_of(reference), 0.3)}
        if rng.random() < 0.12:
            body = rng.choice(({}, {}, {"quantities": {}}))
        if rng.random() < 0.15:
            body["status"] = rng.choice(("failed", "moderated", "succeeded"))
        return ["commit", reference, body]

    def feature_of(self, reference):
        """The hold's own, mostly."""
        if self.rng.random() < 0.05:
            return self.rng.choice(self.features)
        return self.model.holds[resolved(reference, self.made)].ask.feature

    def with_key(self, body):
        if self.rng.random() < 0.15:
            body["idempotency_key"] = f"k{self.rng.randrange(4)}"
        return body

    def quantities(self, feature, sparse=0.1):
        return {meter: self.rng.choice(METERS[meter]) for meter in FEATURES[feature]["meters"]
                if self.rng.random() > sparse}

    def request(self, keyed, holding):
        rng = self.rng
        if keyed and self.keyed and rng.random() < 0.06:
            body = dict(rng.choice(self.keyed[-5:]))
            if holding or rng.random() < 0.1:
                body.pop("status", None)
            else:
                body.pop("ttl_ms", None)
            return body
        feature = rng.choice(self.features)
        body = {"customer": rng.choice(CUSTOMERS), "feature": feature,
                "quantities": self.quantities(feature)}
        subject = rng.choice(SUBJECTS)
        if subject is not None:
            body["subject"] = subject
        attributes = {name: rng.choice(values) for name, values in
                      ATTRIBUTES.get(feature, {}).items() if rng.random() < 0.4}
        if attributes:
            body["attributes"] = attributes
        if rng.random() < 0.4:
            body["min_units"] = rng.choice((1, 1, 1, 2))
        if rng.random() < 0.2:
            body["use_credits"] = rng.random() < 0.7
        if rng.random() < 0.2:
            body["priority"] = rng.choice(("default", "critical", "sheddable"))
        if holding and rng.random() < 0.4:
            body["ttl_ms"] = rng.choice((1, 800, 5000, 40_000, 3 * HOUR))
        if not holding and rng.random() < 0.12:
            body["status"] = rng.choice(("failed", "moderated"))
        if keyed and rng.random() < 0.2:
            body["idempotency_key"] = f"k{rng.randrange(6)}"
            self.keyed.append(body)
        return body

    def clock(self):
        rng, now = self.rng, self.model.now
        ahead = self.model.interesting_instants()
        if ahead and rng.random() < 0.7:
            moment = rng.choice(ahead[:3] if rng.random() < 0.8 else ahead[:12])
            moment += rng.choice((-1, 0, 0, 1))
        else:
            moment = now + rng.choice(
                (1, 1, 17, 17, 999, 1000, 5000, 5000, 61_000, HOUR, 5 * HOUR, DAY, 20 * DAY))
        return ["clock", None, {"now": max(now, moment)}]

    def pool(self):
        rng = self.rng
        body = {}
        if rng.random() < 0.85:
            body["override"] = rng.choice((None, None, "0.5", "0.25", "0.75", "0.3", "0.01", "1",
                                           "0.999", "0"))
        if rng.random() < 0.2:
            body["shed"] = rng.choice(("none", "none", "sheddable", "default", "all"))
        return ["pool", rng.choice(("gpu", "gpu", "gpu", "cpu", "tpu")), body]

    def grant(self):
        rng = self.rng
        body = {"category": rng.choice(("promotional", "entitlement", "paid", "paid", "paid")),
                "credits": rng.choice(MONEY + ("0.000000003", "10", "4"))}
        if rng.random() < 0.3:
            body["priority"] = rng.choice((-1, 0, 1, 5))
        if rng.random() < 0.25:
            body["effective_at"] = instant_text(self.model.now + rng.choice(
                (-5000, 1, 30_000, HOUR, DAY)))
        if rng.random() < 0.4:
            body["expires_at"] = instant_text(self.model.now + rng.choice(
                (1, 4000, 50_000, HOUR, 3 * DAY)))
        if rng.random() < 0.15:
            body["features"] = [rng.choice(self.features)]
        return ["grant", rng.choice(CUSTOMERS), self.with_key(body)]

    def override(self, body):
        """One limit of the policy now in force, for one feature or for all."""
        rng = self.rng
        limits = []
        for entry in self.model.policy["plans"].values():
            for feature, terms in entry["features"].items():
                for gate in terms["gates"]:
                    (kind, rule), = gate.items()
                    limits.append((feature, rule["name"], kind == "budget", 1))
                for source in terms["waterfall"]:
                    (kind, rule), = source.items()
                    if kind in ("allowance", "overage"):
                        windows = rule.get("windows", [rule])
                        limits.append(
                            (feature, rule["name"], "credits" in windows[0], len(windows)))
        if not limits:
            return
        feature, name, is_money, places = rng.choice(sorted(limits))
        def value():
            if rng.random() < 0.2:
                return None
            return rng.choice(MONEY + ("0",)) if is_money else rng.choice((0, 1, 2, 4, 10, 5000))
        values = value() if places == 1 or rng.random() < 0.5 else [value() for _ in range(places)]
        path = name if rng.random() < 0.5 else f"{feature}/{name}"
        field = "budgets" if is_money and not isinstance(values, list) else "limits"
        body[field] = {path: values}

    def settings(self):
        rng = self.rng
        body = {}
        if rng.random() < 0.4:
            body["plan"] = rng.choice(("free", "plus"))
        if rng.random() < 0.5:
            body["credit_mode"] = rng.choice(("auto", "auto", "ask", "ask", "off"))
        if rng.random() < 0.25:
            body["anchor"] = None if rng.random() < 0.2 else instant_text(
                self.start + rng.choice((0, -DAY, 1234, -20 * DAY, HOUR)))
        if rng.random() < 0.05:
            body["suspended"] = rng.random() < 0.5
        standings = ("normal", "normal", "restricted", "probation", "trusted")
        if rng.random() < 0.15:
            body["standing"] = rng.choice(standings)
        if rng.random() < 0.15:
            body["subject_standings"] = {path: rng.choice(standings)
                                         for path in rng.sample(("t", "t/x", "u"), 2)}
        if rng.random() < 0.25:
            self.override(body)
        return ["settings", rng.choice(CUSTOMERS), body]


def resolved(reference, ids):
    """A reference to what an earlier step made, as that side's id."""
    if isinstance(reference, list):
        return ids.get((reference[1], reference[2]), UNKNOWN)
    return reference


def play(model, policies, step, n, made):
    """Step n against the model; `made` gets the ids of what it makes."""
    kind, target, body = step
    if kind == "policy":
        body = policies[body]
    if kind == "batch":
        results = []
        for place, (operation, reference, fields) in enumerate(body):
            answer = model.call(operation, resolved(reference, made), fields)
            results.append(answer)
            made[n, place] = answer.get("decision_id", "none")
        return {"status": 200, "results": results}
    answer = model.call(kind, resolved(target, made), body)
    made[n, 0] = answer.get("decision_id") or answer.get("grant_id") or "none"
    return answer

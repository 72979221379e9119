"""The rules, said a second time.

An independent, slow and plain statement of the numbered rules: exact rationals instead of
numerators, objects instead of effects, copying instead of journaling. It was written from the
rules' text to be read beside them, and the differential test holds the server against it. Comments
name the rule that a passage states. Nothing here is shared with the server.

A policy is the dictionary that its file would give. Amounts of money are integers of nano-credits,
times are integers of milliseconds. `Model.call` takes what a client would send and answers what
matters of what a client would get.
"""

import calendar
import copy
import json
import re
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from math import ceil, floor

NANO = 10**9
QUANTITY_MAX = 2**53 - 1
PLENTY = 2**62
HOUR, DAY, WEEK = 3_600_000, 86_400_000, 7 * 86_400_000
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
RETRY_CODES = ("rate_limited", "allowance_exhausted", "abnormal_usage",
               "temporary_reduced_capacity")
BADNESS = {"normal": 0, "trusted": 1, "probation": 2, "restricted": 3}
TURNED_AWAY = {"none": (), "sheddable": ("sheddable",), "default": ("sheddable", "default"),
               "all": ("sheddable", "default", "critical")}
RENEWALS_TRIED_MAX = 256  # with nothing but renewals ahead, further ones bring nothing new
RETRY_MOMENTS_MAX = 24   # a server may bound its search: beyond so many changes nothing is compared
UNTOLD = object()        # any answer will do


class Refused(Exception):
    """A problem document: the request has no effect at all."""

    def __init__(self, status, what):
        super().__init__(f"{status} {what}")
        self.status = status


# ---- time and money ------------------------------------------------------------------------------

def nano(credits):
    return int(Fraction(credits) * NANO)


def credits_of(amount):
    """A2: the shortest form."""
    sign, amount = ("-", -amount) if amount < 0 else ("", amount)
    return sign + f"{amount // NANO}.{amount % NANO:09d}".rstrip("0").rstrip(".")


def duration(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h|d)", text).groups()
    return int(number) * {"ms": 1, "s": 1000, "m": 60_000, "h": HOUR, "d": DAY}[unit]


def instant(text):
    whole, part = re.fullmatch(r"([^.Z]+)(?:\.(\d+))?Z", text).groups()
    seconds = calendar.timegm(datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").timetuple())
    return seconds * 1000 + int(((part or "") + "000")[:3])


def instant_text(ms):
    return (EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%S") + (
        f".{ms % 1000:03d}Z" if ms % 1000 else "Z")


def month_later(ms, months):
    """W5: so many months after the original, clamped to the month's last day."""
    moment = EPOCH + timedelta(milliseconds=ms)
    years, month = divmod(moment.month - 1 + months, 12)
    year, month = moment.year + years, month + 1
    day = min(moment.day, calendar.monthrange(year, month)[1])
    return (moment.replace(year=year, month=month, day=day) - EPOCH) // timedelta(milliseconds=1)


def next_boundary(per, start, now, anchor):
    """W1, W5: the first boundary after now of a calendar or anchored period."""
    if per == "month":
        origin = anchor if start == "anchor" else 0
        at, since = EPOCH + timedelta(milliseconds=now), EPOCH + timedelta(milliseconds=origin)
        months = (at.year - since.year) * 12 + at.month - since.month - 1
        while month_later(origin, months) <= now:
            months += 1
        return month_later(origin, months)
    step = {"hour": HOUR, "day": DAY, "week": WEEK}[per]
    monday = 4 * DAY  # 1970-01-05
    origin = anchor if start == "anchor" else monday if per == "week" else 0
    return origin + ((now - origin) // step + 1) * step


# ---- prices --------------------------------------------------------------------------------------

class Quote:
    """A price rule as picked by a request's attributes; honoured for the hold's life (U5)."""

    def __init__(self, version, name, rates, minimum):
        self.version, self.name, self.rates, self.minimum = version, name, rates, minimum

    def __deepcopy__(self, memo):
        return self

    def cost(self, quantities):
        """`unit: cost`: the exact cost, the minimum part of it (U3)."""
        if not any(quantities.values()):
            return Fraction(0)
        exact = sum(amount * self.rates.get(meter, 0) for meter, amount in quantities.items())
        return max(Fraction(exact), Fraction(self.minimum))

    def through(self, unit, units):
        """f(u): what the first u credit-funded units cost, exactly (U3)."""
        if units == 0:
            return Fraction(0)
        if unit == "cost":
            return Fraction(units)
        return max(units * self.rates.get(unit, Fraction(0)), Fraction(self.minimum))

    def draw(self, unit, start, units):
        return self.through(unit, start + units) - self.through(unit, start)

    def affordable(self, unit, start, money):
        """The most units behind `start` whose cost rounded up is within `money` (U4)."""
        if self.draw(unit, start, 1) > money:
            return 0
        low, high = 1, QUANTITY_MAX
        rate = 1 if unit == "cost" else self.rates.get(unit, 0)
        if rate:  # beyond the minimum the price is linear
            high = min(high, floor((money + self.through(unit, start)) / rate) - start)
        if self.draw(unit, start, high) > money:
            while low < high:
                middle = (low + high + 1) // 2
                if self.draw(unit, start, middle) <= money:
                    low = middle
                else:
                    high = middle - 1
        return high


FREE = Quote(None, None, {}, 0)


def price_version(list_name, rule):
    """U5: a version is its content, whatever the order in the file."""
    def exact(rate):
        return str(Fraction(rate["credits"]) / rate["per"])
    return json.dumps([list_name, rule["name"], rule.get("match", {}), rule.get("from"),
                       {meter: exact(rate) for meter, rate in rule["rates"].items()},
                       {attribute: {value: str(Fraction(by)) for value, by in table.items()}
                        for attribute, table in rule.get("multiply", {}).items()},
                       nano(rule.get("minimum", "0"))], sort_keys=True)


# ---- counters ------------------------------------------------------------------------------------

class Window:
    """One instance of a fixed window: what ends at T is over at a stamp >= T (W1)."""

    def __init__(self, end):
        self.end, self.used = end, 0

    def is_live(self, slot, now):
        return now < self.end

    def give(self, slot, amount):
        self.used -= amount


class Ring:
    """A sliding window: slots of floor(per / 60) ms aligned to the epoch."""

    def __init__(self, per):
        self.per, self.slots = per, {}

    @property
    def resolution(self):
        return self.per // 60

    def over_at(self, slot):
        """A slot counts until its last possible draw is `per` old."""
        return slot + self.resolution - 1 + self.per

    def is_live(self, slot, now):
        return now < self.over_at(slot)

    def used_at(self, now):
        return sum(used for slot, used in self.slots.items() if self.is_live(slot, now))

    def give(self, slot, amount):
        self.slots[slot] -= amount


class Counter:
    """What one limit counts, whatever plan it is in (W2)."""

    def __init__(self):
        self.instance = None

    def current(self, period, now):
        """The instance that a draw would count in; None: the draw opens one."""
        at = self.instance
        if isinstance(at, Window):
            return at if now < at.end else None  # runs to its end whatever the new shape (W3)
        is_sliding = period["start"] == "sliding"
        if isinstance(at, Ring) and is_sliding and at.per == duration(period["per"]):
            return at
        return None  # sliding starts anew (W3)

    def used(self, period, now):
        at = self.current(period, now)
        return 0 if at is None else at.used if isinstance(at, Window) else at.used_at(now)

    def resets_at(self, period, now):
        at = self.current(period, now)
        return at.end if isinstance(at, Window) else None

    def changes(self, now):
        """When time alone changes what is used."""
        if isinstance(self.instance, Window):
            return [self.instance.end] if now < self.instance.end else []
        if isinstance(self.instance, Ring):
            return [self.instance.over_at(slot) for slot, used in self.instance.slots.items()
                    if used and self.instance.over_at(slot) > now]
        return []

    def add(self, period, now, anchor, amount):
        """Counts a draw, opening what is closed (S2); answers where a return has to go (W4)."""
        at = self.current(period, now)
        if at is None:
            if period["start"] == "sliding":
                at = Ring(duration(period["per"]))
            elif period["start"] == "first_use":
                at = Window(now + duration(period["per"]))
            else:
                at = Window(next_boundary(period["per"], period["start"], now, anchor))
            self.instance = at
        if isinstance(at, Window):
            at.used += amount
            return self, at, None
        slot = now // at.resolution * at.resolution
        at.slots[slot] = at.slots.get(slot, 0) + amount
        return self, at, slot

    def reset(self):
        """W6: zero, with start and end as they were. What was drawn before is forgiven: it cannot
        be given back a second time, so this is another instance."""
        if isinstance(self.instance, Window):
            self.instance = Window(self.instance.end)
        elif isinstance(self.instance, Ring):
            self.instance = Ring(self.instance.per)


def give_back(place, amount, now):
    """W4: a return goes to the very instance; if that is over, it frees nothing."""
    counter, at, slot = place
    if counter.instance is at and at.is_live(slot, now):
        at.give(slot, amount)


class Pool:
    """What operators said of a pool: every factor that it ever had, and what it turns away."""

    def __init__(self, name):
        self.name, self.changes, self.factor, self.shed = name, [], Fraction(1), "none"
        self.is_overridden = False

    @property
    def since(self):
        return self.changes[-1][0]

    def counted(self, standing, start, end):
        """How much time passes for a standing between two moments."""
        passed, factor = Fraction(0), Fraction(1)
        for at, after in [*self.changes, (end, None)]:
            if at > start:
                until = min(at, end)
                passed += max(0, until - start) * pace(factor, standing)
                start = max(start, until)
            factor = after
        return passed


def pace(factor, standing):
    """A standing's share of a pool's factor."""
    if standing == "trusted":
        return Fraction(5, 4) if factor == 1 else 1 - (1 - factor) / 2
    return factor * {"normal": 1, "probation": Fraction(1, 2), "restricted": Fraction(1, 4)}[standing]


class Clock:
    """By what a bucket is counted: a pool that somebody said something of (or None), a standing."""

    def __init__(self, pool, standing):
        self.pool, self.standing = pool, standing

    def same(self, other):
        names = [each.pool and each.pool.name for each in (self, other)]
        return names[0] == names[1] and self.standing == other.standing

    def counted(self, start, end):
        if self.pool is None:
            return (end - start) * pace(Fraction(1), self.standing)
        return self.pool.counted(self.standing, start, end)

    @property
    def speed(self):
        return pace(Fraction(1) if self.pool is None else self.pool.factor, self.standing)

    @property
    def grain(self):
        """Parts of a millisecond that it counts."""
        return 1 if self.pool is None and self.standing == "normal" else 256


class Bucket:
    """A rate gate's tokens in virtual time (G2): exact, possibly below zero."""

    def __init__(self, shape, now, clock):
        self.shape, self.level, self.at, self.clock = shape, Fraction(shape[2]), now, clock

    def met(self, shape, clock, changed):
        """Its level, and since when that is so, once it is of a shape and a clock: its old ones count
        until the last change of either, as far as clocks can be told; then the tokens stay, clipped
        (W3). A full bucket is as one never used, and stays full."""
        level, at, own = self.level, self.at, self.clock
        if own.pool is None and clock.pool is not None and at <= clock.pool.changes[0][0]:
            own = Clock(clock.pool, own.standing)
        if shape != self.shape or not own.same(clock):
            over = max([changed, at] + [each.pool.since for each in (own, clock) if each.pool])
            level, at = self.refilled(level, self.shape, own.counted(at, over)), over
            is_full = level >= self.shape[2]
            if not own.same(clock):
                level = whole_parts(level, self.shape[1] * clock.grain)
            level = whole_parts(level, shape[1] * clock.grain)
            level = Fraction(shape[2]) if is_full else min(level, Fraction(shape[2]))
        if clock.pool is not None and at < clock.pool.since:
            level = self.refilled(level, shape, clock.counted(at, clock.pool.since))
            at = clock.pool.since
        return level, at

    @staticmethod
    def refilled(level, shape, ms):
        limit, per, burst = shape
        return min(Fraction(burst), level + Fraction(limit * ms, per))


def whole_parts(level, parts):
    return Fraction(floor(level * parts), parts)


# ---- what customers have -------------------------------------------------------------------------

class Grant:
    def __init__(self, **fields):
        self.held, self.remaining, self.state = 0, 0, "pending"
        self.__dict__.update(fields)

    def pays(self, category, feature, now):
        return (self.category == category and self.state == "live" and self.remaining > 0
                and self.effective <= now < self.expires
                and (not self.features or feature in self.features))

    def put_back(self, amount):
        """H7: what comes back to a grant that is over is over too; answers how much of it."""
        if self.state != "live":
            return amount
        self.remaining += amount
        return 0


class Shared(dict):
    """A source of the policy: copies of customers do not copy it."""

    def __deepcopy__(self, memo):
        return self


class Draw:
    """What one entry of the waterfall carries of one decision."""

    def __init__(self, source, units, start):
        self.source, self.units, self.start = Shared(source), units, start
        self.nano = 0
        self.payers = []   # grants: [grant, nano, units shown]
        self.places = []   # of the allowance's windows, or of the overage cap
        self.budgets = []

    @property
    def is_paid(self):
        return "grants" in self.source or "overage" in self.source


class Hold:
    def __init__(self, **fields):
        self.state, self.committed, self.refunded, self.settled_draws = "held", None, 0, []
        self.first_ended = None  # keys wait for it (I3)
        self.ended = None        # memory counts from it: a late commit's, too (H6)
        self.__dict__.update(fields)

    @property
    def credit_units(self):
        return sum(draw.units for draw in self.draws if draw.is_paid)


class Customer:
    def __init__(self, name, plan, now):
        self.name, self.plan, self.created = name, plan, now
        self.mode, self.anchor, self.suspended = "auto", None, False
        self.standing, self.standings = "normal", {}
        self.limits_changed = now
        self.counters, self.buckets, self.remainders, self.renewals = {}, {}, {}, {}
        self.grants, self.holds, self.debt = [], [], 0
        self.limits = {}

    @property
    def anchor_or_creation(self):
        return self.created if self.anchor is None else self.anchor

    def counter(self, key):
        return self.counters.get(key) or Counter()


class Ask:
    """A request once measured."""

    def __init__(self, **fields):
        self.min_units, self.start, self.takes_slot, self.consent = None, 0, True, None
        self.priority = "default"
        self.__dict__.update(fields)


class Verdict:
    def __init__(self, code, limit=None, draws=(), units=0, wait=None):
        self.code, self.limit, self.draws, self.units, self.wait = code, limit, draws, units, wait
        self.offers, self.remedy = [], None


# ---- the model -----------------------------------------------------------------------------------

class Model:
    def __init__(self, policy, now):
        self.policy, self.policy_changed = policy, now
        self.now, self.sequence = now, 0
        self.customers, self.holds, self.grants, self.keys = {}, {}, {}, {}
        self.pools = {}
        self.denials = {}

    def next_number(self):
        self.sequence += 1
        return self.sequence

    # -- the policy's terms

    def plan(self, customer):
        return self.policy["plans"].get(customer.plan)

    def terms(self, customer, feature):
        return (self.plan(customer) or {"features": {}})["features"].get(feature)

    def recurring(self, customer):
        return [entry["grant"] for entry in (self.plan(customer) or {}).get("recurring", [])]

    def setting(self, customer, feature, name, default):
        """Of the feature in the plan, else the plan, else the defaults."""
        plan = self.plan(customer) or {}
        for place in (plan.get("features", {}).get(feature) or {}, plan, self.policy["defaults"]):
            if name in place:
                return place[name]
        return default

    @property
    def retention(self):
        return duration(self.policy["defaults"].get("idempotency_retention", "24h"))

    @staticmethod
    def limit_of(customer, feature, name, place, value, is_money):
        """The plan's own, or the customer's for this feature, or for every feature."""
        for key in ((feature, name, place, is_money), (None, name, place, is_money)):
            if key in customer.limits:
                return customer.limits[key]
        return value

    @staticmethod
    def scope(rule, subject):
        """G6: the absent subject is the empty path, a shorter path is taken whole."""
        path = subject or ""
        if rule == "customer":
            return None
        return path if rule == "subject" else "/".join(path.split("/")[:rule["level"]])

    def key_of(self, feature, limit, subject, place=0):
        """W2."""
        return (feature, limit["name"], self.scope(limit.get("scope", "customer"), subject), place)

    # -- T2: what is due

    def settle_due(self, customer, now):
        """All that is due up to now, in order, each as at its own time."""
        while True:
            due = self.first_due(customer, now)
            if due is None:
                return
            at, kind, _, what = due
            if kind == 0:
                self.end_hold(what, "expired", at)
                customer.holds.remove(what)
            elif kind == 1:
                self.renew(customer, what, at)
            elif kind == 2:
                what.state, what.remaining = "expired", 0
            else:
                self.enter(customer, what)

    def first_due(self, customer, now):
        due = [(hold.expires, 0, hold.number, hold) for hold in customer.holds]
        due += [(at, 1, i, name) for i, (name, (at, _)) in enumerate(customer.renewals.items())]
        due += [(now, 1, 1000 + i, rule["name"]) for i, rule in enumerate(self.recurring(customer))
                if rule["name"] not in customer.renewals]
        due += [(grant.expires, 2, grant.number, grant) for grant in customer.grants
                if grant.state == "live"]
        due += [(grant.effective, 3, grant.number, grant) for grant in customer.grants
                if grant.state == "pending"]
        due = [entry for entry in due if entry[0] <= now]
        return min(due, key=lambda entry: entry[:3]) if due else None

    def renew(self, customer, name, at):
        """A recurring grant: what is left rolls over up to its maximum, the rest expires."""
        rule = next((rule for rule in self.recurring(customer) if rule["name"] == name), None)
        if rule is None:
            del customer.renewals[name]  # the plan no longer gives it
            return
        rolled = 0
        old = customer.renewals.get(name, (None, None))[1]
        if old is not None and old.state == "live":
            rolled = min(old.remaining, nano(rule.get("rollover_max", "0")))
            old.remaining -= rolled
        following = next_boundary(rule["per"], rule["start"], at, customer.anchor_or_creation)
        expires = at + duration(rule["expires"]) if "expires" in rule else following
        grant = self.new_grant(customer, rule["category"], nano(rule["credits"]) + rolled,
                               rule.get("priority", 0), at, expires, rule.get("features"))
        self.enter(customer, grant)
        customer.renewals[name] = (following, grant)

    def new_grant(self, customer, category, amount, priority, effective, expires, features):
        number = self.next_number()
        grant = Grant(id=f"g{number}", number=number, customer=customer.name, category=category,
                      amount=amount, priority=priority, effective=effective, expires=expires,
                      features=features)
        customer.grants.append(grant)
        self.grants[grant.id] = grant
        return grant

    @staticmethod
    def enter(customer, grant):
        """B2: by its effective time; S4: a paid one repays debt on arrival."""
        grant.state, grant.remaining = "live", grant.amount
        if grant.category == "paid":
            repaid = min(-customer.debt, grant.remaining)
            grant.remaining -= repaid
            customer.debt += repaid

    def customer_for(self, name):
        """A stranger starts on the default plan, if there is one; he is known once a request of his
        was accepted."""
        customer = self.customers.get(name)
        if customer is None:
            plan = self.policy["defaults"].get("plan")
            if plan is None:
                raise Refused(404, "customer")
            customer = Customer(name, plan, self.now)
        self.settle_due(customer, self.now)
        return customer

    # -- U1-U7: measuring

    def quote(self, feature, attributes, now):
        """U6: the most specific rule in force; its newest version."""
        spec = self.policy["features"][feature]
        if "prices" not in spec:
            return FREE
        fitting = []
        for rule in self.policy["prices"][spec["prices"]]:
            since = instant(rule["from"]) if "from" in rule else 0
            match = rule.get("match", {})
            if since <= now and all(attributes.get(name) == value for name, value in match.items()):
                fitting.append((len(match), since, rule))
        if not fitting:
            raise Refused(422, "no price matches")
        rule = max(fitting, key=lambda entry: entry[:2])[2]
        factor = Fraction(1)
        for name, table in rule.get("multiply", {}).items():
            if name in attributes:
                if attributes[name] not in table:
                    raise Refused(422, name)
                factor *= Fraction(table[attributes[name]])
        rates = {meter: Fraction(rate["credits"]) * NANO / rate["per"] * factor
                 for meter, rate in rule["rates"].items()}
        return Quote(price_version(spec["prices"], rule), f"{spec['prices']}/{rule['name']}", rates,
                     nano(rule.get("minimum", "0")))

    @staticmethod
    def quantities(meters, given, requests):
        """U2: all meters; `requests` has a default."""
        for meter in given:
            if meter not in meters:
                raise Refused(422, meter)
        amounts = {meter: given.get(meter, 0) for meter in meters}
        if "requests" in meters and "requests" not in given:
            amounts["requests"] = requests
        return amounts

    def measure(self, body, now):
        feature = body["feature"]
        if feature not in self.policy["features"]:
            raise Refused(422, feature)
        spec = self.policy["features"][feature]
        quantities = self.quantities(spec["meters"], body.get("quantities", {}), 1)
        quote = self.quote(feature, body.get("attributes", {}), now)
        unit = spec["unit"]
        units = ceil(quote.cost(quantities)) if unit == "cost" else quantities[unit]
        if units > QUANTITY_MAX:
            raise Refused(422, "quantities")  # U7
        least = body.get("min_units")
        if least is not None and not 1 <= least <= units:
            raise Refused(422, "min_units")  # S6
        divisible = spec.get("divisible", True)
        return Ask(feature=feature, unit=unit, quantities=quantities, quote=quote, units=units,
                   subject=body.get("subject"), divisible=divisible,
                   consent=body.get("use_credits"), min_units=least if divisible else None,
                   priority=body.get("priority", "default"))

    # -- the ladder

    def gates(self, terms, kind):
        return [gate[kind] for gate in terms.get("gates", []) if kind in gate]

    def shape(self, customer, feature, gate):
        limit = self.limit_of(customer, feature, gate["name"], 0, gate["limit"], False)
        burst = gate.get("burst", gate["limit"])
        if limit == 0:  # a customer's own limit may close the gate
            return 1, duration(gate["per"]), 0
        return limit, duration(gate["per"]), limit if burst == gate["limit"] else burst

    def standing(self, customer, gate, subject):
        """The worst that was said of the customer and the levels of the path down to the scope."""
        scope = gate.get("scope", "customer")
        parts = [] if scope == "customer" else (subject or "").split("/")
        if isinstance(scope, dict):
            parts = parts[:scope["level"]]
        paths = ["/".join(parts[:n + 1]) for n in range(len(parts))]
        said = [customer.standing] + [customer.standings.get(path, "normal") for path in paths]
        return max(said, key=BADNESS.get)

    def clock(self, customer, ask, gate):
        return Clock(self.pools.get(gate.get("pool")), self.standing(customer, gate, ask.subject))

    def bucket_met(self, customer, ask, gate, now):
        """Level, and since when, by the shape and the clock of now."""
        bucket = customer.buckets.get(self.key_of(ask.feature, gate, ask.subject))
        shape = self.shape(customer, ask.feature, gate)
        if bucket is None:
            return Fraction(shape[2]), now
        changed = max(self.policy_changed, customer.limits_changed)
        return bucket.met(shape, self.clock(customer, ask, gate), changed)

    def tokens(self, customer, ask, gate, now):
        level, at = self.bucket_met(customer, ask, gate, now)
        passed = self.clock(customer, ask, gate).counted(at, now)
        return Bucket.refilled(level, self.shape(customer, ask.feature, gate), passed)

    def why_slow(self, customer, ask, gate, need, now):
        """Whose doing it is that the tokens are not there: the standing's, else the pool's."""
        shape, clock = self.shape(customer, ask.feature, gate), self.clock(customer, ask, gate)
        level, at = self.bucket_met(customer, ask, gate, now)
        if need <= shape[2]:
            factor = 1 if clock.pool is None else clock.pool.factor
            for code, speed in (
                    ("abnormal_usage", pace(Fraction(factor), "normal")),
                    ("temporary_reduced_capacity", max(1, pace(Fraction(1), clock.standing)))):
                if speed > clock.speed and Bucket.refilled(level, shape, (now - at) * speed) >= need:
                    return code
        return "rate_limited"

    def sheds(self, gate, ask, need):
        pool = self.pools.get(gate.get("pool"))
        if pool is None or (not ask.takes_slot and need == 0):
            return False
        return ask.priority in TURNED_AWAY[pool.shed] or (pool.is_overridden and pool.factor == 0)

    def in_flight(self, customer, key):
        return sum(key in hold.slots for hold in customer.holds)

    def budget_left(self, customer, terms, ask, now):
        """G5: the least that the budgets leave."""
        left = PLENTY
        for gate in self.gates(terms, "budget"):
            counter = customer.counter(self.key_of(ask.feature, gate, ask.subject))
            limit = self.limit_of(customer, ask.feature, gate["name"], 0, nano(gate["credits"]),
                                  True)
            left = min(left, max(0, limit - counter.used(gate, now)))
        return left

    def is_off(self, customer, ask):
        return customer.mode == "off" or ask.consent is False  # S5

    def is_consented(self, customer, ask):
        return not self.is_off(customer, ask) and (customer.mode == "auto" or ask.consent is True)

    def burn_order(self, customer, category, feature, now):
        """S3."""
        usable = [grant for grant in customer.grants if grant.pays(category, feature, now)]
        return sorted(usable, key=lambda g: (g.priority, g.expires, g.effective, g.number))

    def window_limit(self, customer, ask, source, place):
        window = source["windows"][place]
        value = window["limit"] if "limit" in window else nano(window["credits"])
        return self.limit_of(customer, ask.feature, source["name"], place, value,
                             "credits" in window)

    def offer(self, customer, ask, source, start, budget, now):
        """What one entry of the waterfall has (S2, S3, S4)."""
        if "allowance" in source:
            allowance, least = source["allowance"], QUANTITY_MAX
            for place, window in enumerate(allowance["windows"]):
                counter = customer.counter(self.key_of(ask.feature, allowance, ask.subject, place))
                limit = self.window_limit(customer, ask, allowance, place)
                least = min(least, max(0, limit - counter.used(window, now)))
            return least
        if "grants" in source:
            grants = self.burn_order(customer, source["grants"]["category"], ask.feature, now)
            money = min(budget, sum(grant.remaining for grant in grants))
            return ask.quote.affordable(ask.unit, start, money) if grants else 0
        if "overage" in source:
            overage = source["overage"]
            counter = customer.counter(self.key_of(ask.feature, overage, ask.subject))
            cap = self.limit_of(customer, ask.feature, overage["name"], 0, nano(overage["credits"]),
                                True)
            money = min(budget, max(0, cap - counter.used(overage, now)))
            return ask.quote.affordable(ask.unit, start, money)
        return QUANTITY_MAX

    def split(self, customer, terms, ask, now, consented, divisible, budget):
        """S1: top to bottom, each offers, the rest falls on. Answers the draws and the offers."""
        need, start, draws, offers = ask.units, ask.start, [], []
        for source in terms["waterfall"]:
            is_paid = source.get("grants", {}).get("category") == "paid"
            if (is_paid or "overage" in source) and not consented:  # S5
                offers.append((source, None, 0))
                continue
            offered = self.offer(customer, ask, source, start, budget, now)
            drawn = min(offered, need)
            if not divisible and offered < need:
                drawn = 0  # passed over
            offers.append((source, offered, drawn))
            if drawn == 0:
                continue
            draw = Draw(source, drawn, start)
            if draw.is_paid:
                draw.nano = ceil(ask.quote.draw(ask.unit, start, drawn))  # U4: reserves the ceiling
                budget -= draw.nano
                start += drawn
            draws.append(draw)
            need -= drawn
        return draws, offers

    def passes(self, ask, draws, divisible):
        total = sum(draw.units for draw in draws)
        return total == ask.units or (divisible and ask.min_units is not None
                                      and total >= ask.min_units)

    def evaluate(self, customer, ask, now):
        """G1: the flat ladder; the first refusal names itself."""
        terms = self.terms(customer, ask.feature)
        if terms is None:
            return Verdict("not_entitled")
        if customer.suspended:
            return Verdict("suspended")
        for gate in terms.get("gates", []):
            if "rate" in gate:
                gate = gate["rate"]
                need, level = ask.quantities[gate["meter"]], self.tokens(customer, ask, gate, now)
                if self.sheds(gate, ask, need):
                    return Verdict("temporary_reduced_capacity", gate["name"])
                if need > 0 and need > level:
                    limit, per, burst = self.shape(customer, ask.feature, gate)
                    speed = self.clock(customer, ask, gate).speed
                    wait = (ceil((need - level) * per / limit / speed)
                            if need <= burst and speed else None)
                    code = self.why_slow(customer, ask, gate, need, now)
                    return Verdict(code, gate["name"], wait=wait)
            elif "concurrency" in gate and ask.takes_slot:
                gate = gate["concurrency"]
                key = self.key_of(ask.feature, gate, ask.subject)
                limit = self.limit_of(customer, ask.feature, gate["name"], 0, gate["limit"],
                                      False)
                share = min(1, pace(Fraction(1), self.standing(customer, gate, ask.subject)))
                if self.in_flight(customer, key) >= limit:
                    return Verdict("concurrency_limited", gate["name"])
                if self.in_flight(customer, key) >= ceil(limit * share):
                    return Verdict("abnormal_usage", gate["name"])
        consented = self.is_consented(customer, ask)
        budget = self.budget_left(customer, terms, ask, now)
        draws, offers = self.split(customer, terms, ask, now, consented, ask.divisible, budget)
        if not self.passes(ask, draws, ask.divisible):
            return self.why_denied(customer, terms, ask, now, consented, budget)
        verdict = Verdict("ok", draws=draws, units=sum(draw.units for draw in draws))
        verdict.offers = offers
        if verdict.units < ask.units and not consented and not self.is_off(customer, ask):
            with_consent, _ = self.split(customer, terms, ask, now, True, ask.divisible, budget)
            if sum(draw.units for draw in with_consent) > verdict.units:
                verdict.remedy = "use_credits"  # S6
        return verdict

    def why_denied(self, customer, terms, ask, now, consented, budget):
        """S7: the first that holds."""
        def would_pass(consented=consented, divisible=ask.divisible, budget=budget):
            draws, _ = self.split(customer, terms, ask, now, consented, divisible, budget)
            return self.passes(ask, draws, divisible)
        if would_pass(budget=PLENTY):
            return Verdict("budget_reached")
        if would_pass(divisible=True):
            return Verdict("indivisible")
        off = self.is_off(customer, ask)
        if not off and would_pass(consented=True):
            return Verdict("credits_need_consent")
        overage = [s["overage"]["name"] for s in terms["waterfall"] if "overage" in s]
        paid = any(s.get("grants", {}).get("category") == "paid" for s in terms["waterfall"])
        if off or not (paid or overage):
            return Verdict("allowance_exhausted")
        if overage:
            return Verdict("overage_cap_reached", overage[0])
        return Verdict("insufficient_credits", "paid")

    def retry_after(self, customer, ask, body, verdict, until=PLENTY):
        """S8: time is tried out on a copy, from one change to the next."""
        if verdict.code not in RETRY_CODES:
            return None
        starts = sorted({instant(rule["from"]) for rules in self.policy["prices"].values()
                         for rule in rules if "from" in rule})
        if customer.name not in self.customers:
            return self.retry_of_stranger(customer.name, body, starts)
        trial = copy.deepcopy(customer)
        now, renewals, moments = self.now, 0, 0
        sequence, known = self.sequence, dict(self.grants)
        try:
            while renewals < RENEWALS_TRIED_MAX:
                ahead = [at for counter in trial.counters.values() for at in counter.changes(now)]
                ahead += [hold.expires for hold in trial.holds]
                ahead += [grant.effective for grant in trial.grants if grant.state == "pending"]
                ahead += [start for start in starts if start > now] if body is not None else []
                if verdict.wait is not None:
                    ahead.append(now + verdict.wait)
                ahead = [at for at in ahead if at > now and at < PLENTY]
                due = [at for at, _ in trial.renewals.values()]
                renewals = renewals + 1 if not ahead else renewals
                ahead += [at for at in due if at > now]
                if not ahead:
                    return None
                now = min(ahead)
                if now >= until:
                    return None
                moments += 1
                self.settle_due(trial, now)
                if body is not None:
                    try:
                        ask = self.measure(body, now)  # a price to come is another price
                    except Refused:
                        verdict = Verdict("void")  # until another rule is in force, perhaps
                        continue
                verdict = self.evaluate(trial, ask, now)
                if verdict.code == "ok":
                    return now - self.now if moments <= RETRY_MOMENTS_MAX else UNTOLD
            return None
        finally:
            self.sequence, self.grants = sequence, known

    def retry_of_stranger(self, name, body, starts):
        """Nothing accrues to whom nobody has let in yet: only another price may help."""
        now, sequence, known = self.now, self.sequence, dict(self.grants)
        try:
            for self.now in [start for start in starts if start > now]:
                try:
                    ask = self.measure(body, self.now)
                except Refused:
                    continue
                if self.evaluate(self.customer_for(name), ask, self.now).code == "ok":
                    return self.now - now
            return None
        finally:
            self.now, self.sequence, self.grants = now, sequence, known

    # -- drawing and returning

    def count(self, customer, key, period, amount):
        """Counts a draw in one counter at the stamp."""
        counter = customer.counters.setdefault(key, Counter())
        return counter.add(period, self.now, customer.anchor_or_creation, amount)

    def take(self, customer, terms, ask, draws):
        """Reserves what was split: windows, grants in burn order, caps, budgets."""
        for draw in draws:
            if "allowance" in draw.source:
                allowance = draw.source["allowance"]
                for place, window in enumerate(allowance["windows"]):
                    key = self.key_of(ask.feature, allowance, ask.subject, place)
                    draw.places.append(self.count(customer, key, window, draw.units))
            elif "grants" in draw.source:
                left = draw.nano
                category = draw.source["grants"]["category"]
                for grant in self.burn_order(customer, category, ask.feature, self.now):
                    pays = min(grant.remaining, left)
                    grant.remaining -= pays
                    grant.held += pays
                    left -= pays
                    draw.payers.append([grant, pays, 0])
                    if left == 0:
                        break
                assert left == 0
                self.show_units(ask, draw)
            elif "overage" in draw.source:
                overage = draw.source["overage"]
                key = self.key_of(ask.feature, overage, ask.subject)
                draw.places.append(self.count(customer, key, overage, draw.nano))
            if draw.is_paid and draw.nano:
                for gate in self.gates(terms, "budget"):
                    key = self.key_of(ask.feature, gate, ask.subject)
                    draw.budgets.append(self.count(customer, key, gate, draw.nano))

    @staticmethod
    def show_units(ask, draw):
        """S3: a unit that two grants pay counts on the later line."""
        paid = shown = 0
        last = max((i for i, payer in enumerate(draw.payers) if payer[1]), default=0)
        for i, payer in enumerate(draw.payers):
            paid += payer[1]
            through = draw.units if i == last else min(
                draw.units, ask.quote.affordable(ask.unit, draw.start, paid))
            payer[2] = max(0, through - shown) if i <= last else 0
            shown += payer[2]

    def charge(self, customer, ask, draw):
        """U4: settles a paid draw at the floor, with the remainder; never more than reserved."""
        if ask.unit == "cost":
            return draw.units
        exact = ask.quote.draw(ask.unit, draw.start, draw.units)
        exact += customer.remainders.get(ask.quote.version, 0)
        customer.remainders[ask.quote.version] = exact - floor(exact)
        assert floor(exact) <= draw.nano
        return floor(exact)

    def settle(self, customer, ask, draws, units):
        """H1: the draws in order, cut to the units and priced anew; the rest returns."""
        start, kept = ask.start, []
        for draw in draws:
            units_before, nano_before = draw.units, draw.nano
            draw.units, draw.start = min(draw.units, units), start
            units -= draw.units
            if draw.is_paid:
                draw.nano = self.charge(customer, ask, draw)
                start += draw.units
            kept.append((draw, units_before - draw.units, nano_before - draw.nano))
        for draw, units_back, nano_back in reversed(kept):
            self.give_back(draw, units_back, nano_back, self.now)
            for payer in draw.payers:
                payer[0].held -= payer[1]
            self.show_units(ask, draw)
        return [draw for draw, _, _ in kept if draw.units or draw.nano]

    @staticmethod
    def give_back(draw, units, money, now):
        """The last line first, to the very sources (H1, W4, G5)."""
        for place in draw.places:
            give_back(place, money if draw.is_paid else units, now)
        for place in draw.budgets:
            give_back(place, money, now)
        for payer in reversed(draw.payers):
            part = min(payer[1], money)
            payer[1] -= part
            payer[0].held -= part
            payer[0].put_back(part)
            money -= part

    def end_hold(self, hold, state, at):
        """Release or expiry: everything returns."""
        for draw in reversed(hold.draws):
            self.give_back(draw, draw.units, draw.nano, at)
        hold.draws, hold.state, hold.ended, hold.first_ended = [], state, at, at

    def take_tokens(self, customer, terms, ask, quantities):
        """G3: charged for what was allowed, whatever becomes of it."""
        for gate in self.gates(terms or {}, "rate"):
            amount = quantities[gate["meter"]]
            if amount == 0:
                continue
            level = self.tokens(customer, ask, gate, self.now)
            key = self.key_of(ask.feature, gate, ask.subject)
            bucket = customer.buckets[key] = Bucket(
                self.shape(customer, ask.feature, gate), self.now,
                self.clock(customer, ask, gate))
            bucket.level = level - amount

    # -- answers

    @staticmethod
    def lines(draws):
        lines = []
        for draw in draws:
            (kind, source), = draw.source.items()
            if kind == "grants":
                lines += [(source["category"], "grant", grant.id, units, credits_of(paid))
                          for grant, paid, units in draw.payers if paid or units]
            else:
                lines.append((source.get("name", "unlimited"), kind, None, draw.units,
                              credits_of(draw.nano)))
        return lines

    def decided(self, ask, verdict, draws, charged=None):
        total = sum(draw.nano for draw in draws) if charged is None else charged
        return {"status": 200,
                "outcome": "allow" if verdict.units == ask.units else "partial",
                "units": (ask.units, verdict.units), "lines": self.lines(draws),
                "charged": credits_of(total), "code": "ok", "remedy": verdict.remedy,
                "offers": [(self.source_name(source), offered, drawn)
                           for source, offered, drawn in verdict.offers]}

    @staticmethod
    def source_name(source):
        (_, rule), = source.items()
        return rule.get("name") or rule.get("category") or "unlimited"

    def denied(self, customer, ask, verdict, body, until=PLENTY):
        """The first 16 equal ones in a second have an id of their own, those of a crowd share."""
        equal = customer.name, ask.subject or "", ask.feature, verdict.code
        second = self.now // 1000
        last, count = self.denials.get(equal, (second, 0))
        count = count + 1 if last == second else 1
        self.denials[equal] = second, count
        return {"status": 200, "outcome": "deny", "units": (ask.units, 0), "lines": [],
                "crowd": equal if count > 16 else None,
                "charged": "0", "code": verdict.code, "limit": verdict.limit,
                "retry_after_ms": self.retry_after(customer, ask, body, verdict, until)}

    # -- the calls

    def call(self, kind, target=None, body=None):
        """One request. `target` is a customer for settings, a decision or grant otherwise."""
        body = body or {}
        try:
            return getattr(self, "do_" + kind)(target, body)
        except Refused as refused:
            return {"status": refused.status}

    def keyed(self, customer, kind, target, body, work):
        """I1-I3: an allow is sticky, a denial is not, what is over is new."""
        key = body.get("idempotency_key")
        if key is None:
            return work()
        canonical = json.dumps([kind, target, {"status": "succeeded", "priority": "default", **body,
                                               "idempotency_key": None}], sort_keys=True)
        known = self.keys.get((customer, key))
        if known is not None:
            canonical_before, answer, hold, until = known
            if hold is not None:
                until = None if hold.ended is None else hold.first_ended + hold.retention
            if until is None or self.now < until:
                if canonical != canonical_before:
                    raise Refused(409, "another body")
                return copy.deepcopy(answer)
        answer = work()
        if answer.get("outcome") != "deny":
            waits = kind in ("authorize", "extend")
            hold = self.holds[answer["decision_id"]] if waits else None
            self.keys[customer, key] = (canonical, copy.deepcopy(answer), hold,
                                        self.now + self.retention)
        return answer

    def do_check(self, _, body):
        """A4: what authorize would answer, keys ignored, on a copy of the customer."""
        saved = (self.sequence, dict(self.grants), dict(self.holds), dict(self.customers),
                 dict(self.denials))
        known = self.customers.get(body["customer"])
        if known is not None:
            self.customers[known.name] = copy.deepcopy(known)
        try:
            answer = self.decide(self.customer_for(body["customer"]), body, "authorize")
            return {name: value for name, value in answer.items() if name not in (
                "hold", "expires", "decision_id")}
        finally:
            self.sequence, self.grants, self.holds, self.customers, self.denials = saved

    def do_authorize(self, _, body):
        customer = self.customer_for(body["customer"])
        return self.keyed(customer.name, "authorize", None, body,
                          lambda: self.decide(customer, body, "authorize"))

    def do_consume(self, _, body):
        customer = self.customer_for(body["customer"])
        return self.keyed(customer.name, "consume", None, body,
                          lambda: self.decide(customer, body, "consume"))

    def decide(self, customer, body, kind):
        ask = self.measure(body, self.now)
        number = self.next_number()
        verdict = self.evaluate(customer, ask, self.now)
        if verdict.code != "ok":
            return {**self.denied(customer, ask, verdict, body), "decision_id": f"d{number}"}
        terms = self.terms(customer, ask.feature)
        granted = {meter: -(-amount * verdict.units // ask.units) if ask.units else amount
                   for meter, amount in ask.quantities.items()}
        self.customers[customer.name] = customer
        self.take_tokens(customer, terms, ask, granted)
        failed = body.get("status", "succeeded") != "succeeded"
        on_failure = self.setting(customer, ask.feature, "on_failure", "none")
        if kind == "consume" and failed and on_failure == "none":
            # H4: the gates counted, nothing else does.
            self.holds[f"d{number}"] = Hold(id=f"d{number}", customer=customer.name, draws=[],
                                            state="committed", is_authorized=False)
            return {"status": 200, "outcome": "allow", "units": (0, 0), "lines": [],
                    "charged": "0", "code": "ok", "remedy": None, "hold": "committed",
                    "decision_id": f"d{number}", "offers": None}
        self.take(customer, terms, ask, verdict.draws)
        hold = Hold(id=f"d{number}", number=number, customer=customer.name, ask=ask,
                    draws=list(verdict.draws), quantities=granted, on_failure=on_failure,
                    retention=self.retention, is_authorized=kind == "authorize")
        self.holds[hold.id] = hold
        if kind == "consume":
            units = verdict.units
            if ask.unit == "cost" and verdict.units == ask.units:
                units = self.whole_cost(customer, ask, ask.quantities)
            draws = self.settle(customer, ask, hold.draws, units)
            hold.draws, hold.state, hold.settled_draws = [], "committed", draws
            answer = self.decided(ask, verdict, draws)
            if verdict.units == ask.units:
                answer["units"] = (units, units)
            return {**answer, "hold": "committed", "decision_id": hold.id}
        ttl = body.get("ttl_ms", duration(self.setting(customer, ask.feature, "hold_ttl", "60s")))
        hold.ttl, hold.expires = ttl, self.now + ttl
        hold.slots = [self.key_of(ask.feature, gate, ask.subject)
                      for gate in self.gates(terms, "concurrency")]
        customer.holds.append(hold)
        return {**self.decided(ask, verdict, hold.draws), "hold": "held", "expires": hold.expires,
                "decision_id": hold.id}

    @staticmethod
    def whole_cost(customer, ask, quantities):
        """U4: for `unit: cost` the remainder is applied once, to the whole cost."""
        exact = ask.quote.cost(quantities) + customer.remainders.get(ask.quote.version, 0)
        customer.remainders[ask.quote.version] = exact - floor(exact)
        return floor(exact)

    def beyond(self, customer, hold_ask, units, start):
        """H2, H3: the current plan's waterfall at the quoted price, never refused; what nothing
        carries is overshoot."""
        terms = self.terms(customer, hold_ask.feature)
        ask = copy.copy(hold_ask)
        ask.units, ask.start, ask.divisible, ask.min_units = units, start, True, None
        draws = []
        if terms is not None:
            draws, _ = self.split(customer, terms, ask, self.now,
                                  self.is_consented(customer, ask), True, PLENTY)
            self.take(customer, terms, ask, draws)
            draws = self.settle(customer, ask, draws, units)
        missing = units - sum(draw.units for draw in draws)
        if missing == 0:
            return draws, None
        start += sum(draw.units for draw in draws if draw.is_paid)
        charged = missing
        if ask.unit != "cost":
            exact = ask.quote.draw(ask.unit, start, missing)
            exact += customer.remainders.get(ask.quote.version, 0)
            customer.remainders[ask.quote.version] = exact - floor(exact)
            charged = floor(exact)
        how = self.setting(customer, ask.feature, "overshoot", "refund") if terms else "refund"
        if how == "debt":
            customer.debt -= charged
        elif how == "overage" and charged:
            overage = next(s["overage"] for s in terms["waterfall"] if "overage" in s)
            self.count(customer, self.key_of(ask.feature, overage, ask.subject), overage, charged)
        refunded = charged if how == "refund" else 0
        if charged > refunded:  # G5: it is charged
            for gate in self.gates(terms, "budget"):
                self.count(customer, self.key_of(ask.feature, gate, ask.subject), gate, charged)
        return draws, (missing, credits_of(charged), credits_of(refunded))

    def settled(self, requested, draws, overshoot):
        return {"status": 200, "units": (requested, sum(draw.units for draw in draws)),
                "lines": self.lines(draws), "overshoot": overshoot,
                "charged": credits_of(sum(draw.nano for draw in draws)), "hold": "committed"}

    def is_forgotten(self, hold):
        return hold.ended is not None and self.now >= hold.ended + hold.retention

    def remembered(self, target):
        """H6: later than remembered, or unknown: 404. Only holds are."""
        hold = self.holds.get(target)
        if hold is None or not hold.is_authorized:
            raise Refused(404, "decision")
        customer = self.customers[hold.customer]
        self.settle_due(customer, self.now)
        if self.is_forgotten(hold):
            raise Refused(404, "decision")
        return customer, hold

    def do_commit(self, target, body):
        customer, hold = self.remembered(target)
        canonical = json.dumps({"status": "succeeded", **body}, sort_keys=True)
        if hold.committed is not None:
            if hold.committed[0] != canonical:
                raise Refused(409, "committed otherwise")
            return copy.deepcopy(hold.committed[1])
        if hold.state == "released":
            raise Refused(409, "released")
        ask, late = hold.ask, hold.state == "expired"
        is_as_held = "quantities" not in body  # U2
        used = dict(hold.quantities) if is_as_held else self.quantities(
            list(ask.quantities), body["quantities"], hold.quantities.get("requests", 0))
        failed = body.get("status", "succeeded") != "succeeded"
        if failed and hold.on_failure != "actual":  # H4
            used = dict(hold.quantities) if hold.on_failure == "full" else dict.fromkeys(used, 0)
        carried = dict(customer.remainders)
        units = self.whole_cost(customer, ask, used) if ask.unit == "cost" else used[ask.unit]
        held = 0 if late else sum(draw.units for draw in hold.draws)
        stands = is_as_held or (failed and hold.on_failure == "full")
        if stands and not late and units > held:
            units, customer.remainders = held, carried  # a part was granted: that much stands
        terms = self.terms(customer, ask.feature)
        already = dict.fromkeys(used, 0) if late else hold.quantities
        self.take_tokens(customer, terms, ask,
                         {meter: max(0, used[meter] - already[meter]) for meter in used})
        kept = copy.copy(ask)
        kept.start = 0
        draws = [] if late else self.settle(customer, kept, hold.draws, min(units, held))
        overshoot = None
        if units > held:
            more, overshoot = self.beyond(customer, ask, units - held,
                                          sum(draw.units for draw in draws if draw.is_paid))
            draws = draws + more
        answer = {**self.settled(units, draws, overshoot), "decision_id": hold.id,
                  "outcome": "committed", "late": late}
        if not late:
            customer.holds.remove(hold)
            hold.first_ended = self.now
        hold.ended = self.now
        hold.draws, hold.state, hold.settled_draws = [], "committed", draws
        hold.committed = canonical, copy.deepcopy(answer)
        return answer

    def do_release(self, target, _):
        customer, hold = self.remembered(target)
        if hold.state == "committed":
            raise Refused(409, "committed")
        if hold.state == "held":
            self.end_hold(hold, "released", self.now)
            customer.holds.remove(hold)
        return {"status": 200, "hold": hold.state}

    def do_extend(self, target, body):
        """Of whom the key is, is known of every decision, remembered or not: I1 comes before H6."""
        hold = self.holds.get(target)
        if hold is None:
            raise Refused(404, "decision")
        self.settle_due(self.customers[hold.customer], self.now)
        return self.keyed(hold.customer, "extend", target, body, lambda: self.extend(target, body))

    def extend(self, target, body):
        """H5."""
        customer, hold = self.remembered(target)
        if hold.state != "held":
            raise Refused(409, hold.state)
        ask = copy.copy(hold.ask)
        added = self.quantities(list(ask.quantities), body.get("quantities", {}), 0)
        total = {meter: hold.quantities[meter] + added[meter] for meter in added}
        ask.quantities, ask.start = added, hold.credit_units
        ask.units = added.get(ask.unit) if ask.unit != "cost" else ceil(
            ask.quote.cost(total) - ask.quote.cost(hold.quantities))
        ask.min_units, ask.takes_slot = None, False
        ask.divisible = self.policy["features"].get(ask.feature, {}).get("divisible", True)
        verdict = self.evaluate(customer, ask, self.now)
        if verdict.code != "ok":
            return {**self.denied(customer, ask, verdict, None, hold.expires),
                    "decision_id": hold.id, "hold": "held", "expires": hold.expires}
        terms = self.terms(customer, ask.feature)
        self.take_tokens(customer, terms, ask, added)
        self.take(customer, terms, ask, verdict.draws)
        hold.draws += verdict.draws
        hold.quantities = total
        hold.expires = max(hold.expires, self.now + body.get("ttl_ms", hold.ttl))
        return {**self.decided(ask, verdict, verdict.draws), "decision_id": hold.id, "hold": "held",
                "expires": hold.expires}

    def do_usage(self, _, body):
        customer = self.customer_for(body["customer"])
        return self.keyed(customer.name, "usage", None, body, lambda: self.usage(customer, body))

    def usage(self, customer, body):
        """A7, H2: after the fact, never refused for lack of funds."""
        ask = self.measure(body, self.now)
        self.customers[customer.name] = customer
        number = self.next_number()
        self.take_tokens(customer, self.terms(customer, ask.feature), ask, ask.quantities)
        units = ask.units
        failed = body.get("status", "succeeded") != "succeeded"
        if failed and self.terms(customer, ask.feature) is not None and self.setting(
                customer, ask.feature, "on_failure", "none") == "none":
            units, ask.quantities = 0, dict.fromkeys(ask.quantities, 0)
        if ask.unit == "cost":
            units = self.whole_cost(customer, ask, ask.quantities)
        draws, overshoot = self.beyond(customer, ask, units, 0)
        hold = Hold(id=f"d{number}", customer=customer.name, draws=[], state="committed",
                    settled_draws=draws, is_authorized=False)
        self.holds[hold.id] = hold
        return {**self.settled(units, draws, overshoot), "decision_id": hold.id}

    def do_grant(self, target, body):
        customer = self.customer_for(target)
        return self.keyed(customer.name, "grant", None, body, lambda: self.grant(customer, body))

    def grant(self, customer, body):
        effective = max(self.now, instant(body["effective_at"]) if "effective_at" in body else 0)
        expires = instant(body["expires_at"]) if "expires_at" in body else PLENTY
        if expires <= effective:
            raise Refused(422, "expires_at")
        if any(feature not in self.policy["features"] for feature in body.get("features", [])):
            raise Refused(422, "features")
        self.customers[customer.name] = customer
        grant = self.new_grant(customer, body["category"], nano(body["credits"]),
                               body.get("priority", 0), effective, expires, body.get("features"))
        if effective <= self.now:
            self.enter(customer, grant)
        return {"status": 200, "grant_id": grant.id}

    def do_void(self, target, _):
        """H7: gives up what is not held."""
        grant = self.grants.get(target)
        if grant is None:
            raise Refused(404, "grant")
        self.settle_due(self.customers[grant.customer], self.now)
        if grant.state != "expired":
            grant.state, grant.remaining = "voided", 0
        return {"status": 200}

    def do_reset(self, target, body):
        """W6: the customer's own counters of that name, and those of the subject's path."""
        if target not in self.customers:
            raise Refused(404, "customer")
        customer = self.customer_for(target)
        names = set()
        for plan in self.policy["plans"].values():
            for terms in plan["features"].values():
                names |= {gate["name"] for gate in self.gates(terms, "budget")}
                names |= {self.source_name(source) for source in terms["waterfall"]
                          if "allowance" in source or "overage" in source}
        if body["limit"] not in names:
            raise Refused(422, "limit")
        parts = (body.get("subject") or "").split("/")
        scopes = {None} | {"/".join(parts[:n]) for n in range(1, len(parts) + 1)}
        for (_, name, scope, _), counter in customer.counters.items():
            if name == body["limit"] and scope in scopes:
                counter.reset()
        return {"status": 200}

    def do_refund(self, target, body):
        """What was charged is refunded at any age."""
        hold = self.holds.get(target)
        if hold is None:
            raise Refused(404, "decision")
        customer = self.customers[hold.customer]
        self.settle_due(customer, self.now)
        return self.keyed(customer.name, "refund", target, body, lambda: self.refund(hold, body))

    @staticmethod
    def refund(hold, body):
        """Back to those who paid, the last first; never more than the charge (H7)."""
        if hold.state == "held":
            raise Refused(409, "not settled")
        if hold.state != "committed":
            raise Refused(422, "nothing was charged")
        left = sum(draw.nano for draw in hold.settled_draws) - hold.refunded
        amount = left if body.get("all") else nano(body["credits"])
        if amount > left:
            raise Refused(422, "beyond the charge")
        payers = []
        for draw in hold.settled_draws:
            payers += [payer[:2] for payer in draw.payers] if "grants" in draw.source else [
                [None, draw.nano]]
        skip, back, expired = hold.refunded, amount, 0
        for grant, paid in reversed(payers):
            skipped = min(paid, skip)
            part = min(paid - skipped, back)
            skip, back = skip - skipped, back - part
            if grant is not None:
                expired += grant.put_back(part)
        hold.refunded += amount
        return {"status": 200, "refunded": credits_of(amount), "expired": credits_of(expired)}

    def find_limit(self, feature, name, place, is_money):
        """An override must fit some limit of some plan, in kind and in place."""
        kinds, places = set(), set()
        for plan in self.policy["plans"].values():
            for its_feature, terms in plan["features"].items():
                if feature not in (None, its_feature):
                    continue
                for gate in terms.get("gates", []):
                    (kind, rule), = gate.items()
                    if rule["name"] == name:
                        kinds.add(kind == "budget")
                        places.add(0)
                for source in terms["waterfall"]:
                    (kind, rule), = source.items()
                    if kind in ("allowance", "overage") and rule["name"] == name:
                        windows = rule.get("windows", [rule])
                        kinds.update("credits" in window for window in windows)
                        places.update(range(len(windows)))
        if place not in places or is_money not in kinds | {None}:
            raise Refused(422, name)

    def override(self, customer, field, given):
        """A customer's own limits: counts are integers, money is text, null is the plan's again."""
        for path, values in given.items():
            feature, _, name = path.rpartition("/")
            feature = feature or None
            if feature is not None and feature not in self.policy["features"]:
                raise Refused(422, path)
            for place, value in enumerate(values if isinstance(values, list) else [values]):
                is_money = None if value is None else isinstance(value, str)
                self.find_limit(feature, name, place, is_money)
                if value is None:
                    for other in range(4) if place == 0 else [place]:
                        for money in (False, True):
                            customer.limits.pop((feature, name, other, money), None)
                else:
                    customer.limits[feature, name, place, is_money] = (
                        nano(value) if is_money else value)
                customer.limits_changed = self.now

    def do_settings(self, target, body):
        plan = body.get("plan")
        if plan is not None and plan not in self.policy["plans"]:
            raise Refused(422, "plan")
        customer = self.customers.get(target)
        is_new = customer is None
        if is_new:
            plan = plan or self.policy["defaults"].get("plan")
            if plan is None:
                raise Refused(422, "plan")
            customer = self.customers[target] = Customer(target, plan, self.now)
        else:
            self.settle_due(customer, self.now)
        before = dict(customer.limits)
        try:
            for field in ("limits", "budgets"):
                self.override(customer, field, body.get(field, {}))
        except Refused:
            customer.limits = before
            if is_new:
                del self.customers[target]
            raise
        if plan is not None and plan != customer.plan:
            customer.plan, customer.limits_changed = plan, self.now
        customer.mode = body.get("credit_mode", customer.mode)
        customer.suspended = body.get("suspended", customer.suspended)
        said = dict(customer.standings), customer.standing
        customer.standing = body.get("standing", customer.standing)
        for path, standing in body.get("subject_standings", {}).items():
            customer.standings[path] = standing
            if standing == "normal":
                del customer.standings[path]
        if (customer.standings, customer.standing) != said:
            customer.limits_changed = self.now
        if "anchor" in body:
            customer.anchor = None if body["anchor"] is None else instant(body["anchor"])
        self.settle_due(customer, self.now)
        return {"status": 200}

    def do_pool(self, name, body):
        """An override is kept in 64ths; what says nothing new changes nothing."""
        if name not in self.policy.get("pools", {}):
            raise Refused(404, name)
        pool = self.pools.get(name) or Pool(name)
        factor, is_overridden = pool.factor, pool.is_overridden
        if "override" in body:
            is_overridden = body["override"] is not None
            asked = Fraction(body["override"] if is_overridden else 1)
            factor = Fraction(floor(asked * 64), 64)
            if factor == 0 and asked:
                factor = Fraction(1, 64)
        shed = body.get("shed", pool.shed)
        if (factor, is_overridden, shed) != (pool.factor, pool.is_overridden, pool.shed):
            pool.factor, pool.is_overridden, pool.shed = factor, is_overridden, shed
            pool.changes.append((self.now, factor))
            self.pools[name] = pool
        return {"status": 200, "factor": factor, "is_overridden": pool.is_overridden,
                "shed": pool.shed}

    def do_policy(self, _, body):
        """P2: nothing that is held or quoted changes."""
        self.policy, self.policy_changed = body, self.now
        for customer in self.customers.values():
            self.settle_due(customer, self.now)
        return {"status": 200}

    def do_clock(self, _, body):
        """T2: what falls due on the way has happened, for everybody."""
        self.now = max(self.now, body["now"])
        for customer in self.customers.values():
            self.settle_due(customer, self.now)
        return {"status": 200}

    def do_batch(self, _, body):
        """A5: in order, each by itself."""
        return {"status": 200, "results": [self.call(kind, target, operation)
                                           for kind, target, operation in body]}

    # -- reading

    def balance(self, name):
        """B2."""
        customer = self.customers.get(name)
        if customer is None:
            return None
        self.settle_due(customer, self.now)
        live = [grant for grant in customer.grants if grant.state == "live"]
        return {"available": credits_of(sum(grant.remaining for grant in live) + customer.debt),
                "held": credits_of(sum(grant.held for grant in customer.grants)),
                "remaining": {grant.id: credits_of(grant.remaining) for grant in live
                              if grant.remaining},
                "open_holds": len(customer.holds)}

    def used(self, name, feature, subject):
        """What the windows and gates of one feature have counted for one subject, in order."""
        customer = self.customers.get(name) or Customer(
            name, self.policy["defaults"]["plan"], self.now)
        terms = self.terms(customer, feature)
        if terms is None:
            return []
        ask = Ask(feature=feature, subject=subject)
        rows = []
        for gate in terms.get("gates", []):
            (kind, rule), = gate.items()
            key = self.key_of(feature, rule, subject)
            if kind == "rate":
                burst = self.shape(customer, feature, rule)[2]
                left = floor(self.tokens(customer, ask, rule, self.now))
                rows.append((rule["name"], burst - left))
            elif kind == "concurrency":
                rows.append((rule["name"], self.in_flight(customer, key)))
            else:
                rows.append((rule["name"], customer.counter(key).used(rule, self.now)))
        for source in terms["waterfall"]:
            (kind, rule), = source.items()
            windows = {"allowance": rule.get("windows"), "overage": [rule]}.get(kind) or []
            for place, window in enumerate(windows):
                counter = customer.counter(self.key_of(feature, rule, subject, place))
                rows.append((rule["name"], counter.used(window, self.now)))
        return rows

    def interesting_instants(self):
        """Moments ahead at which something changes by time alone."""
        ahead = set()
        for customer in self.customers.values():
            for counter in customer.counters.values():
                ahead.update(counter.changes(self.now))
            ahead.update(hold.expires for hold in customer.holds)
            ahead.update(grant.expires for grant in customer.grants if grant.state == "live")
            ahead.update(grant.effective for grant in customer.grants if grant.state == "pending")
            ahead.update(at for at, _ in customer.renewals.values())
        for known in self.keys.values():
            ahead.add(known[3])
        for hold in self.holds.values():
            if hold.ended is not None:
                ahead.add(hold.ended + hold.retention)
        return sorted(at for at in ahead if self.now < at < PLENTY)

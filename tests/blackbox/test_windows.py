"""Windows to the millisecond: first use, calendar, anchor, sliding, and what a return frees
(SEMANTICS S2, W1, W4, W5, W6, G6, S8). What a change of policy does to them is in test_policy.py."""

import os
import random

import pytest

from policies import policy
from weir_client import (DAY, HOUR, MINUTE, SCOPE_LEVEL_1, SECOND, allowed, denied, expect, lines,
                         names_source, partial, to_ms, to_text)


def allowances(**windows):
    """One plan per name, chat paid by that allowance alone."""
    return "\n".join(f"""{name.replace("_", "-")}:
  tier: 1
  features:
    chat:
      waterfall:
        - allowance: {{name: included, scope: customer, windows: [{text}]}}""" for name, text in
                     windows.items())


POLICY = policy(allowances(
    base="{limit: 45, per: 5h, start: first_use}, {limit: 200, per: 7d, start: first_use}",
    small="{limit: 10, per: 5h, start: first_use}, {limit: 12, per: 7d, start: first_use}",
    five="{limit: 5, per: 5h, start: first_use}",
    minute="{limit: 5, per: 1m, start: first_use}",
    stacked="{limit: 2, per: 1m, start: first_use}, {limit: 4, per: 1h, start: first_use}",
    sliding="{limit: 10, per: 1h, start: sliding}",
    hour="{limit: 5, per: hour, start: calendar}",
    day="{limit: 5, per: day, start: calendar}",
    week="{limit: 5, per: week, start: calendar}",
    month="{limit: 5, per: month, start: calendar}",
    a_hour="{limit: 5, per: hour, start: anchor}",
    a_day="{limit: 5, per: day, start: anchor}",
    a_week="{limit: 5, per: week, start: anchor}",
    a_month="{limit: 5, per: month, start: anchor}",
) + f"""
with-credits:
  tier: 1
  features:
    chat:
      waterfall:
        - allowance: {{name: included, scope: customer, windows: [{{limit: 5, per: 1m, start: first_use}}]}}
        - grants: {{category: paid}}
by-subject:
  tier: 1
  features:
    chat:
      waterfall:
        - allowance: {{name: included, scope: subject, windows: [{{limit: 5, per: 5h, start: first_use}}]}}
    pair:
      waterfall:
        - allowance: {{name: included, scope: {SCOPE_LEVEL_1}, windows: [{{limit: 5, per: 5h, start: first_use}}]}}
""")


# ---- W1: first use -------------------------------------------------------------------------------

def test_w1_five_hours_and_a_week_to_the_millisecond(weir, new_customer):
    """10 in five hours and 12 in seven days, both opened by the first draw at t."""
    customer = new_customer(weir, plan="small")
    t = weir.now
    allowed(customer.consume(10))
    reason = denied(customer.consume(1), "allowance_exhausted")
    assert reason["retry_after_ms"] == 5 * HOUR and names_source(reason, "included")
    assert to_ms(reason["resets_at"]) == t + 5 * HOUR
    weir.go_to(t + 5 * HOUR, -1)
    assert denied(customer.consume(1), "allowance_exhausted")["retry_after_ms"] == 1
    weir.go_to(t + 5 * HOUR)
    allowed(customer.consume(2))
    # 8 are left of the five hours, none of the week: the week binds.
    reason = denied(customer.consume(1), "allowance_exhausted")
    assert reason["retry_after_ms"] == 7 * DAY - 5 * HOUR
    assert to_ms(reason["resets_at"]) == t + 7 * DAY
    weir.go_to(t + 7 * DAY, -1)
    assert denied(customer.consume(1), "allowance_exhausted")["retry_after_ms"] == 1
    weir.go_to(t + 7 * DAY)
    allowed(customer.consume(10))
    denied(customer.consume(1), "allowance_exhausted")


def test_s2_an_allowance_offers_the_least_of_its_windows(weir, customer):
    """45 in five hours, 200 in a week: 45 + 45 + 45 + 45 + 20."""
    for drawn in (45, 45, 45, 45, 20):
        partial(customer.consume(46, min_units=1), drawn)
        weir.advance(5 * HOUR)
    denied(customer.consume(1, min_units=1), "allowance_exhausted")


def test_s8_the_wait_covers_every_window_that_is_in_the_way(weir, new_customer):
    """The week allows 12 - 10 = 2 until it ends, so 3 wait for the week and 2 for the five hours."""
    customer = new_customer(weir, plan="small")
    allowed(customer.consume(10))
    assert denied(customer.check(2), "allowance_exhausted")["retry_after_ms"] == 5 * HOUR
    assert denied(customer.check(3), "allowance_exhausted")["retry_after_ms"] == 7 * DAY
    assert denied(customer.check(11), "allowance_exhausted")["retry_after_ms"] is None


def test_w1_the_next_window_opens_at_the_next_draw(weir, new_customer):
    customer = new_customer(weir, plan="five")
    allowed(customer.consume(5))
    weir.advance(6 * HOUR)
    second = weir.now                           # an hour after the first has closed
    allowed(customer.consume(5))
    weir.go_to(second + 5 * HOUR, -1)
    denied(customer.consume(1), "allowance_exhausted")
    weir.go_to(second + 5 * HOUR)
    allowed(customer.consume(5))


@pytest.mark.parametrize("prelude", ["zero units", "denial", "check"])
def test_s2_drawing_nothing_opens_no_window(weir, new_customer, prelude):
    customer = new_customer(weir, plan="five")
    if prelude == "zero units":
        allowed(customer.consume(0))
    elif prelude == "denial":
        denied(customer.consume(6), "allowance_exhausted")
    else:
        allowed(customer.check(5))
    weir.advance(HOUR)
    opened = weir.now
    allowed(customer.consume(5))
    weir.go_to(opened + 5 * HOUR, -1)
    denied(customer.consume(1), "allowance_exhausted")
    weir.go_to(opened + 5 * HOUR)
    allowed(customer.consume(1))


def test_s2_a_window_that_could_offer_is_not_opened_by_one_that_could_not(weir, new_customer):
    """The hour is used up, so a denial at t + 59.5 min must not have opened a minute."""
    customer = new_customer(weir, plan="stacked")
    t = weir.now
    allowed(customer.consume(2))
    weir.go_to(t + MINUTE)
    allowed(customer.consume(2))
    weir.go_to(t + HOUR - 30 * SECOND)
    denied(customer.consume(1, min_units=1), "allowance_exhausted")
    weir.go_to(t + HOUR)
    allowed(customer.consume(2))
    weir.go_to(t + HOUR + 30 * SECOND)
    denied(customer.consume(1), "allowance_exhausted")
    weir.go_to(t + HOUR + MINUTE)
    allowed(customer.consume(2))


@pytest.mark.parametrize("ending", ["release", "expiry"])
def test_s2_a_window_stays_open_though_all_was_returned(weir, new_customer, ending):
    customer = new_customer(weir, plan="five")
    t = weir.now
    hold = customer.hold(1, ttl_ms=1000)
    if ending == "release":
        expect(customer.release(hold))
    weir.advance(4 * HOUR)
    allowed(customer.consume(5))
    weir.go_to(t + 5 * HOUR, -1)
    denied(customer.consume(1), "allowance_exhausted")
    weir.go_to(t + 5 * HOUR)
    allowed(customer.consume(5))


# ---- W1: calendar --------------------------------------------------------------------------------

# From Friday 2026-05-01T12:34:56.789Z: the end of each UTC hour, day, ISO week and month.
CALENDAR = [("hour", "2026-05-01T13:00:00Z", HOUR), ("day", "2026-05-02T00:00:00Z", DAY),
            ("week", "2026-05-04T00:00:00Z", 7 * DAY), ("month", "2026-06-01T00:00:00Z", 30 * DAY)]


def test_w1_calendar_windows_end_on_utc_boundaries(fresh, new_customer):
    weir = fresh(clock="2026-05-01T12:34:56.789Z")
    customers = {plan: new_customer(weir, plan=plan) for plan, _, _ in CALENDAR}
    for plan, end, length in CALENDAR:
        customer = customers[plan]
        allowed(customer.consume(5))
        wait = to_ms(end) - weir.now
        assert denied(customer.consume(1), "allowance_exhausted")["retry_after_ms"] == wait, plan
        weir.go_to(end, -1)
        assert denied(customer.consume(1), "allowance_exhausted")["retry_after_ms"] == 1, plan
        weir.go_to(end)
        allowed(customer.consume(5))
        # The next one is as long as its name says, whenever it was first drawn on.
        assert denied(customer.consume(1), "allowance_exhausted")["retry_after_ms"] == length, plan


# ---- W5: anchored --------------------------------------------------------------------------------

def walk(weir, customer, boundaries):
    """Use all of each window, and see it come back at each of these moments and not before."""
    allowed(customer.consume(5))
    for end in boundaries:
        wait = to_ms(end) - weir.now
        assert denied(customer.consume(1), "allowance_exhausted")["retry_after_ms"] == wait, end
        weir.go_to(end, -1)
        denied(customer.consume(1), "allowance_exhausted")
        weir.go_to(end)
        allowed(customer.consume(5))


@pytest.mark.parametrize("anchor, clock, boundaries", [
    ("2026-01-31T10:30:00Z", "2026-01-31T10:30:00Z",            # always from the original
     ["2026-02-28T10:30:00Z", "2026-03-31T10:30:00Z", "2026-04-30T10:30:00Z",
      "2026-05-31T10:30:00Z", "2026-06-30T10:30:00Z", "2026-07-31T10:30:00Z"]),
    ("2026-01-31T10:30:00Z", "2028-02-01T00:00:00Z",            # a leap February
     ["2028-02-29T10:30:00Z", "2028-03-31T10:30:00Z", "2028-04-30T10:30:00Z"]),
    ("2026-01-30T00:00:00Z", "2026-02-10T00:00:00Z",
     ["2026-02-28T00:00:00Z", "2026-03-30T00:00:00Z"]),
    ("2024-02-29T23:59:59.999Z", "2026-02-01T00:00:00Z",        # an anchor on a leap day
     ["2026-02-28T23:59:59.999Z", "2026-03-29T23:59:59.999Z", "2026-04-29T23:59:59.999Z"]),
    ("2025-12-31T00:00:00Z", "2027-11-30T00:00:00Z",            # over the end of a year
     ["2027-12-31T00:00:00Z", "2028-01-31T00:00:00Z", "2028-02-29T00:00:00Z"]),
    ("2099-12-31T12:00:00Z", "2100-01-31T12:00:00Z",            # 2100 is no leap year
     ["2100-02-28T12:00:00Z", "2100-03-31T12:00:00Z"]),
])
def test_w5_anchored_months_are_clamped_to_the_last_day(fresh, new_customer, anchor, clock,
                                                       boundaries):
    weir = fresh(clock=clock)
    walk(weir, new_customer(weir, plan="a-month", anchor=anchor), boundaries)


def test_w5_hours_days_and_weeks_count_from_the_anchor(fresh, new_customer):
    weir = fresh(clock="2026-05-06T11:00:00Z")
    anchor = "2026-05-01T09:15:00.250Z"                         # a Friday
    for plan, boundaries in [
            ("a-hour", ["2026-05-06T11:15:00.250Z", "2026-05-06T12:15:00.250Z"]),
            ("a-day", ["2026-05-07T09:15:00.250Z", "2026-05-08T09:15:00.250Z"]),
            ("a-week", ["2026-05-15T09:15:00.250Z", "2026-05-22T09:15:00.250Z"])]:
        walk(weir, new_customer(weir, plan=plan, anchor=anchor), boundaries)


def test_w5_without_an_anchor_it_is_the_customers_creation(fresh, new_customer):
    weir = fresh(clock="2026-01-31T08:00:00.001Z")
    customer = new_customer(weir, plan="a-month")
    weir.advance(3 * DAY)
    walk(weir, customer, ["2026-02-28T08:00:00.001Z", "2026-03-31T08:00:00.001Z"])


def test_w5_a_changed_anchor_leaves_an_open_window_its_end(fresh, new_customer):
    weir = fresh(clock="2026-05-10T00:00:00Z")
    customer = new_customer(weir, plan="a-month", anchor="2026-05-05T00:00:00Z")
    allowed(customer.consume(5))
    customer.put(anchor="2026-05-20T00:00:00Z")
    weir.go_to("2026-06-05T00:00:00Z", -1)                      # not the 20th of May
    denied(customer.consume(1), "allowance_exhausted")
    weir.go_to("2026-06-05T00:00:00Z")
    allowed(customer.consume(5))
    # The next ends at the first new boundary after.
    assert denied(customer.consume(1), "allowance_exhausted")["retry_after_ms"] == 15 * DAY
    weir.go_to("2026-06-20T00:00:00Z", -1)
    denied(customer.consume(1), "allowance_exhausted")
    weir.go_to("2026-06-20T00:00:00Z")
    allowed(customer.consume(5))


# ---- sliding -------------------------------------------------------------------------------------

RESOLUTION = HOUR // 60


def test_sliding_never_gives_more_than_its_limit_in_any_trailing_period(weir, new_customer):
    """A draw at s counts in the trailing hour of t as long as t < s + 1 h; a refusal must have had
    reason within the stated resolution of one sixtieth. Both at random moments."""
    seed = int(os.environ.get("WEIR_SEED", random.SystemRandom().randrange(2**32)))
    print("WEIR_SEED =", seed)
    draw = random.Random(seed)
    customer = new_customer(weir, plan="sliding")
    drawn, refusals = [], 0
    for _ in range(300):
        weir.advance(draw.choice([1, 999, SECOND, 17 * SECOND, MINUTE, 7 * MINUTE, 13 * MINUTE]))
        units = draw.randint(1, 5)
        strict = sum(n for s, n in drawn if weir.now < s + HOUR)
        lax = sum(n for s, n in drawn if weir.now < s + HOUR + RESOLUTION)
        body = customer.consume(units).body
        if body["outcome"] == "allow":
            assert strict + units <= 10, (seed, weir.now)
            drawn.append((weir.now, units))
        else:
            refusals += 1
            assert lax + units > 10, (seed, weir.now)
    assert drawn and refusals


def test_sliding_frees_what_it_drew_in_the_order_it_was_drawn(weir, new_customer):
    customer = new_customer(weir, plan="sliding")
    t = weir.now
    allowed(customer.consume(4))
    weir.advance(20 * MINUTE)
    allowed(customer.consume(6))
    weir.go_to(t + HOUR, -1)
    assert customer.room() == 0
    weir.go_to(t + HOUR + RESOLUTION)
    assert customer.room() == 4
    weir.go_to(t + 80 * MINUTE, -1)
    assert customer.room() == 4
    weir.go_to(t + 80 * MINUTE + RESOLUTION)
    assert customer.room() == 10


def test_s8_a_sliding_wait_is_honest(weir, new_customer):
    customer = new_customer(weir, plan="sliding")
    t = weir.now
    for units in (4, 4, 2):
        allowed(customer.consume(units))
        weir.advance(10 * MINUTE)
    for units, oldest in ((3, 0), (5, 10 * MINUTE), (10, 20 * MINUTE)):
        wait = denied(customer.check(units), "allowance_exhausted")["retry_after_ms"]
        due = t + oldest + HOUR - weir.now
        assert due <= wait <= due + RESOLUTION, units
    wait = denied(customer.check(5), "allowance_exhausted")["retry_after_ms"]
    weir.advance(wait - 1)
    assert denied(customer.consume(5), "allowance_exhausted")["retry_after_ms"] == 1
    weir.advance(1)
    allowed(customer.consume(5))
    assert denied(customer.check(11), "allowance_exhausted")["retry_after_ms"] is None


# ---- W4: returns ---------------------------------------------------------------------------------

@pytest.mark.parametrize("ending, room", [("release", 5), ("smaller commit", 3), ("expiry", 5),
                                          ("failed", 5)])
def test_w4_a_return_to_an_open_window_frees_it(weir, new_customer, ending, room):
    customer = new_customer(weir, plan="five")
    hold = customer.hold(5, ttl_ms=MINUTE)
    assert customer.room() == 0
    end(weir, customer, hold, ending, MINUTE)
    assert customer.room() == room


@pytest.mark.parametrize("ending", ["release", "smaller commit", "expiry", "failed"])
def test_w4_a_return_to_a_window_that_is_over_frees_nothing(weir, new_customer, ending):
    customer = new_customer(weir, plan="minute")
    hold = customer.hold(5, ttl_ms=90 * SECOND)
    weir.advance(MINUTE)
    allowed(customer.consume(3))                # the next window
    end(weir, customer, hold, ending, 30 * SECOND)
    assert customer.room() == 2


def end(weir, customer, hold, ending, left):
    if ending == "release":
        expect(customer.release(hold))
    elif ending == "smaller commit":
        expect(customer.commit(hold, 2))
    elif ending == "failed":
        expect(customer.commit(hold, 5, status="failed"))
    else:
        weir.advance(left)


def test_w4_a_grant_gets_its_return_though_the_window_is_over(weir, new_customer):
    customer = new_customer(weir, plan="with-credits")
    customer.grant("10")
    hold = customer.hold(9, ttl_ms=5 * MINUTE)
    assert customer.funds() == ("6", "4")
    weir.advance(MINUTE)
    expect(customer.release(hold))
    assert customer.funds() == ("10", "0")
    assert customer.room() == 15


def test_w4_a_sliding_return_goes_to_the_slot_it_was_drawn_from(weir, new_customer):
    customer = new_customer(weir, plan="sliding")
    t = weir.now
    hold = customer.hold(6, ttl_ms=2 * HOUR)
    weir.advance(30 * MINUTE)
    allowed(customer.consume(4))
    expect(customer.commit(hold, 1))            # 5 back to the slot of t
    assert customer.room() == 5
    weir.go_to(t + HOUR + RESOLUTION)           # the slot of t is over with its 1
    assert customer.room() == 6


def test_w4_a_sliding_return_to_a_slot_that_is_over_frees_nothing(weir, new_customer):
    customer = new_customer(weir, plan="sliding")
    hold = customer.hold(6, ttl_ms=3 * HOUR)
    weir.advance(HOUR + RESOLUTION)
    allowed(customer.consume(4))
    expect(customer.release(hold))
    assert customer.room() == 6


# ---- W6: goodwill resets -------------------------------------------------------------------------

def test_w6_a_reset_zeroes_what_was_used_and_keeps_the_schedule(weir, new_customer):
    customer = new_customer(weir, plan="small")
    t = weir.now
    allowed(customer.consume(10))
    weir.go_to(t + HOUR)
    expect(customer.reset())
    allowed(customer.consume(10))               # the week was zeroed too: 10 of 12
    assert denied(customer.consume(1), "allowance_exhausted")["retry_after_ms"] == 4 * HOUR
    weir.go_to(t + 5 * HOUR, -1)
    denied(customer.consume(1), "allowance_exhausted")
    weir.go_to(t + 5 * HOUR)
    assert customer.room() == 2
    assert denied(customer.check(3), "allowance_exhausted")["retry_after_ms"] == 7 * DAY - 5 * HOUR


def test_w6_a_reset_of_one_subject_leaves_the_others(weir, new_customer):
    customer = new_customer(weir, plan="by-subject")
    for subject in ("alice", "bob"):
        allowed(customer.consume(5, subject=subject))
    expect(customer.reset(subject="alice"))
    assert customer.room(subject="alice") == 5
    assert customer.room(subject="bob") == 0


def test_w6_a_return_after_a_reset_never_offers_more_than_the_limit(weir, new_customer):
    customer = new_customer(weir, plan="five")
    hold = customer.hold(5)
    expect(customer.reset())
    assert customer.room() == 5
    expect(customer.release(hold))
    assert customer.room() == 5


def test_w6_a_reset_opens_no_window(weir, new_customer):
    customer = new_customer(weir, plan="five")
    expect(customer.reset())
    weir.advance(HOUR)
    allowed(customer.consume(5))
    assert denied(customer.consume(1), "allowance_exhausted")["retry_after_ms"] == 5 * HOUR


# ---- G6: whose allowance -------------------------------------------------------------------------

@pytest.mark.parametrize("feature, first, second, shared", [
    ("chat", "team-a/alice", "team-a/bob", False),
    ("chat", None, None, True),
    ("chat", None, "team-a", False),
    ("pair", "team-a/alice", "team-a/bob", True),
    ("pair", "team-a/alice", "team-b/alice", False),
])
def test_g6_who_shares_an_allowance(weir, new_customer, feature, first, second, shared):
    customer = new_customer(weir, plan="by-subject")
    who = lambda subject: {"subject": subject} if subject else {}  # noqa: E731
    body = allowed(customer.consume(4, feature, **who(first)))
    assert lines(body) == [("included", 4, "0")]
    assert customer.room(feature, **who(second)) == (1 if shared else 5)


# ---- the test clock ------------------------------------------------------------------------------

def test_the_clock_stands_still_and_moves_when_told(weir, customer):
    first = customer.authorize(1).body["hold"]["expires_at"]
    assert customer.authorize(1).body["hold"]["expires_at"] == first
    before = weir.now
    assert weir.advance(1) == before + 1
    assert weir.go_to(before + 5) == before + 5
    assert to_ms(customer.authorize(1).body["hold"]["expires_at"]) == before + 5 + MINUTE
    assert to_ms(to_text(weir.now)) == weir.now

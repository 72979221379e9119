"""The server against the model of the rules, on random sequences.

WEIR_SEED is the first seed (default 1), WEIR_RUNS how many sequences to play (default 60). A
failure prints its seed and a sequence that was made as short as it still differs.
"""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import model  # noqa: E402
from duel import fight, shortened, story  # noqa: E402
from scenario import Author  # noqa: E402

FIRST = int(os.environ.get("WEIR_SEED", "1"))
RUNS = int(os.environ.get("WEIR_RUNS", "60"))
STEPS = 60


def test_the_server_and_the_model_agree():
    """Every answer, and after every step the balances and what the limits have counted."""
    compared = 0
    for seed in range(FIRST, FIRST + RUNS):
        author = Author(seed, STEPS)
        difference, last, answers = fight(author.policies, author.start, author.steps)
        compared += answers
        if difference:
            steps = shortened(author.policies, author.start, author.steps, last)
            again, _, _ = fight(author.policies, author.start, steps)
            pytest.fail(f"WEIR_SEED={seed} WEIR_RUNS=1, step {last}\n"
                        + story(author, steps, again or difference), pytrace=False)
    print(f"{RUNS} sequences from seed {FIRST}, {compared} answers compared")
    assert compared > 20 * RUNS


BROKEN = {
    "returns free nothing": (model.Window, "give", lambda self, slot, amount: None),
    "what an extend adds is priced from the first unit": (model.Hold, "credit_units", 0),
    "prices ignore the minimum": (model.Quote, "through", lambda self, unit, units: units * (
        1 if unit == "cost" else self.rates.get(unit, 0))),
    "buckets are always full": (model.Bucket, "refilled", staticmethod(
        lambda level, shape, ms: model.Fraction(shape[2]))),
    "grants burn by age alone": (model.Model, "burn_order", lambda self, customer, *asked: [
        grant for grant in customer.grants if grant.pays(*asked)]),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_found(rule, monkeypatch):
    """The comparison can fail: a model that gets one rule wrong disagrees before long."""
    owner, name, wrong = BROKEN[rule]
    monkeypatch.setattr(owner, name, wrong)
    for seed in range(1, 41):
        author = Author(seed, STEPS)
        if fight(author.policies, author.start, author.steps)[0]:
            return
    pytest.fail(f"40 sequences agree with a model in which {rule}", pytrace=False)

"""Keys that have gone to files: the same promises hours later, after kill -9 and after damage
(SEMANTICS I1-I3)."""

import random
import time

import pytest

from policies import policy
from weir_client import HOUR, StartFailed, allowed, expect, problem

PLANS = """
base:
  tier: 1
  features:
    chat:
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{limit: 1000, per: month, start: calendar}]}
        - grants: {category: paid}
    pair: {waterfall: [{grants: {category: paid}}]}
"""
POLICY = policy(PLANS)
DAY = 24 * HOUR
WAIT_SECONDS_MAX = 20


def same(first, again):
    assert (again.status, again.raw) == (first.status, first.raw)


def files(weir):
    """Names of key files, the list of them aside."""
    return sorted(path.name for path in weir.data.glob("keys-*.weir"))


def wait_for(condition):
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


def health(weir):
    return expect(weir.get("/healthz"))


def file_all(weir):
    """Two hours on, until no key is in the state."""
    for _ in range(2):
        weir.advance(HOUR)
    wait_for(lambda: health(weir)["keys"] == 0)


def test_hours_later_the_answer_is_the_first_one_byte_for_byte(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir, plan="base")
    grant = lambda credits="20": customer.post_grant(credits, idempotency_key="g")  # noqa: E731
    calls = [
        grant,
        lambda amount=3: customer.consume(amount, "pair", idempotency_key="c", explain=True),
        lambda amount=3: customer.usage(amount, idempotency_key="u"),
    ]
    firsts = [call() for call in calls]
    refund = lambda credits="1": customer.refund(  # noqa: E731
        allowed(firsts[1])["decision_id"], credits=credits, idempotency_key="r")
    calls.append(refund)
    firsts.append(refund())
    file_all(weir)
    assert files(weir) and health(weir)["key_files"]["keys"] == 4
    funds = customer.funds()
    for call, first, other in zip(calls, firsts, ["21", 4, 4, "2"]):
        same(first, call())
        problem(call(other), {409}, ["idempotency_key"])
    # In a batch, beside one that is new.
    use = {"op": "consume", "customer": customer.name, "feature": "pair",
           "quantities": {"requests": 3}, "explain": True}
    answer = expect(weir.batch([use | {"idempotency_key": "c"}, use | {"idempotency_key": "new"},
                                use | {"idempotency_key": "c"}]))
    results = answer["results"]
    assert results[0] == results[2] == firsts[1][1]
    assert results[1]["decision_id"] != results[0]["decision_id"]
    weir.advance(DAY - 2 * HOUR - 1)
    same(firsts[1], calls[1]())
    weir.advance(1)
    again = calls[1]()
    assert allowed(again)["decision_id"] != allowed(firsts[1])["decision_id"]
    assert funds != customer.funds()


def test_files_go_when_all_in_them_is_over(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir, plan="base")
    allowed(customer.consume(1, idempotency_key="k"))
    file_all(weir)
    assert files(weir) == ["keys-000001.weir"]
    weir.advance(DAY)
    wait_for(lambda: files(weir) == [])
    assert health(weir)["key_files"]["files"] == 0


@pytest.mark.parametrize("seed", range(4))
def test_kill_9_at_any_moment_of_it_changes_no_answer(fresh, new_customer, seed):
    """Keys are bound, hours pass, and the process is killed while files are written or dropped."""
    chance = random.Random(seed)
    weir = fresh()
    customer = new_customer(weir, plan="base")
    bound = {}      # key -> when, first answer
    for turn in range(10):
        for number in range(20):
            key = f"{turn}-{number}"
            bound[key] = (weir.now, customer.consume(0, idempotency_key=key, subject=key))
            allowed(bound[key][1])
        weir.advance(chance.choice([HOUR, HOUR, 3 * HOUR]))
        if chance.random() < 0.7:
            time.sleep(chance.random() * 0.01)      # any moment: nothing is waited for
            weir.kill()
            weir.start()
        for key in chance.sample(sorted(bound), min(len(bound), 25)):
            when, first = bound[key]
            again = customer.consume(0, idempotency_key=key, subject=key)
            if weir.now < when + DAY:
                same(first, again)
            else:
                assert allowed(again)["decision_id"] != allowed(first)["decision_id"]
                bound[key] = (weir.now, again)
    assert health(weir)["key_files"]["files"] > 0


def damaged(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 + 7] ^= 4
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize("harm", [damaged, cut, lambda path: path.unlink(),
                                  lambda path: path.write_bytes(b"")],
                         ids=["damaged", "cut", "missing", "empty"])
def test_a_bad_file_is_named_and_its_keys_come_from_the_journal(fresh, new_customer, harm):
    weir = fresh()
    customer = new_customer(weir, plan="base")
    first = customer.consume(2, idempotency_key="k")
    file_all(weir)
    weir.kill()
    path = weir.data / "keys-000001.weir"
    harm(path)
    left = path.read_bytes() if path.exists() else None
    weir.start()
    assert str(path) in weir.stderr()
    assert "taken from the journal" in weir.stderr()
    same(first, customer.consume(2, idempotency_key="k"))
    file_all(weir)
    same(first, customer.consume(2, idempotency_key="k"))
    assert (path.read_bytes() if path.exists() else None) == left     # nothing was overwritten


def test_a_damaged_list_refuses_the_start_by_name_until_it_is_moved_away(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir, plan="base")
    first = customer.consume(2, idempotency_key="k")
    file_all(weir)
    weir.kill()
    path = weir.data / "keys.weir"
    damaged(path)
    left = path.read_bytes()
    with pytest.raises(StartFailed) as refused:
        weir.start()
    assert str(path) in refused.value.stderr and "move it away" in refused.value.stderr
    assert path.read_bytes() == left
    path.rename(weir.place / "aside")
    weir.start()
    same(first, customer.consume(2, idempotency_key="k"))
    file_all(weir)
    same(first, customer.consume(2, idempotency_key="k"))


def test_files_of_another_directory_are_refused_as_foreign(fresh, new_customer):
    weir, other = fresh(), fresh()
    first = new_customer(weir, plan="base").consume(2, idempotency_key="k")
    allowed(first)
    allowed(new_customer(other, plan="base").consume(2, idempotency_key="k"))
    for server in (weir, other):
        file_all(server)
        server.stop()
    (weir.data / "keys-000001.weir").write_bytes((other.data / "keys-000001.weir").read_bytes())
    weir.start()
    assert "belongs to another journal" in weir.stderr()
    weir.stop()
    (weir.data / "keys.weir").write_bytes((other.data / "keys.weir").read_bytes())
    with pytest.raises(StartFailed) as refused:
        weir.start()
    assert "belongs to another journal" in refused.value.stderr

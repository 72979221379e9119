"""Pools that operators slow, and standings: pace changes, nothing that was promised does."""

import json
import subprocess

import pytest

from weir_client import MINUTE, SECOND, allowed, denied, expect, find_binary, problem, run

POLICY = """
version: 1
defaults: {plan: free, hold_ttl: 60s}
features:
  chat: {meters: [requests], unit: requests, prices: chat}
  other: {meters: [requests], unit: requests}
prices:
  chat: [{name: message, rates: {requests: {credits: "1", per: 1}}}]
pools:
  gpu: {capacity: 2000, per: 1s, meter: requests}
  cpu/small: {capacity: 5, per: 1m, meter: requests}
plans:
  free:
    tier: 2
    features:
      chat:
        gates:
          - rate: {name: pace, limit: 60, per: 1m, burst: 10, scope: subject, pool: gpu}
          - concurrency: {name: slots, limit: 4, scope: subject}
        waterfall:
          - allowance: {name: included, windows: [{limit: 100, per: day, start: calendar}]}
          - grants: {category: paid}
      other:
        gates: [{rate: {name: free-pace, limit: 60, per: 1m, burst: 10}}]
        waterfall: [{unlimited: {}}]
  plus: {tier: 5, features: {other: {waterfall: [{unlimited: {}}]}}}
"""
WITHOUT = POLICY.replace(", pool: gpu", "")


@pytest.fixture
def server(fresh):
    return fresh()


def ask(server, amount=1, call="consume", feature="chat", **fields):
    return server.post(f"/v1/{call}", {"customer": "acme", "feature": feature, "explain": True,
                                       "quantities": {"requests": amount}, **fields})


def slow(server, name="gpu", **body):
    return expect(server.put(f"/v1/pools/{name}", body))


def pools(server):
    return {pool["pool"]: pool for pool in expect(server.get("/v1/pools"))["pools"]}


def reason(answer, code):
    denied(answer, code)
    return answer.body["reason"]


def test_a_policy_shows_its_pools(server):
    gpu = pools(server)["gpu"]
    assert gpu == {"pool": "gpu", "capacity": 2000, "per": "1s", "meter": "requests", "factor": "1",
                   "override": None, "shed": "none", "why": "nominal", "since": None,
                   "tiers": [{"tier": 2, "factor": "1"}, {"tier": 5, "factor": "1"}]}
    server.advance(5 * SECOND)
    assert slow(server, override="0.3") == {"pool": "gpu", "factor": "0.296875", "override": "0.296875",
                                            "shed": "none"}
    gpu = pools(server)["gpu"]
    assert gpu["why"] == "override" and gpu["since"].endswith("12:00:05Z")
    assert [tier["factor"] for tier in gpu["tiers"]] == ["0.296875"] * 2
    assert pools(server)["cpu/small"]["factor"] == "1"
    assert slow(server, "cpu%2Fsmall", shed="all")["shed"] == "all"
    assert 'weir_pool_factor{pool="gpu"} 0.296875' in server.get("/metrics").raw.decode()


def test_a_slowed_pool_refills_slower_and_says_so(server):
    allowed(ask(server, 10))
    slow(server, override="0.5")
    server.advance(SECOND)
    answer = ask(server)
    why = reason(answer, "temporary_reduced_capacity")
    assert (why["who"], why["remedy"], why["retry_after_ms"]) == ("operator", "wait", SECOND)
    assert answer.body["http"]["status"] == 503
    assert answer.body["http"]["headers"]["Retry-After"] == "1"
    # 60 tokens take two minutes now.
    assert answer.body["http"]["headers"]["RateLimit-Policy"] == '"pace";q=60;w=120'
    note = answer.body["explain"][0]
    assert note["factor"] == "0.5" and "standing" not in note
    row = expect(server.get("/v1/customers/acme/status?feature=chat"))["features"][0]["limits"][0]
    assert (row["factor"], row["remaining"]) == ("0.5", 0)
    server.advance(SECOND)
    answer = allowed(ask(server))
    assert answer["explain"][0]["factor"] == "0.5"
    slow(server, override=None)
    server.advance(SECOND)
    assert "factor" not in allowed(ask(server))["explain"][0]
    # Of gates that do not name it, nothing.
    slow(server, override="0")
    allowed(ask(server, 10, feature="other"))


def test_priorities_are_turned_away_without_a_time_to_come_back(server):
    hold = allowed(ask(server, call="authorize"))["decision_id"]
    slow(server, shed="sheddable")
    answer = ask(server, priority="sheddable")
    why = reason(answer, "temporary_reduced_capacity")
    assert why["retry_after_ms"] is None and why["remedy"] == "wait" and why["who"] == "operator"
    assert answer.body["http"] == {"status": 503, "headers": {}}
    assert "Retry-After" not in answer.headers and "RateLimit" not in answer.headers
    allowed(ask(server))
    slow(server, shed="default")
    reason(ask(server), "temporary_reduced_capacity")
    allowed(ask(server, priority="critical"))
    slow(server, override="0", shed="none")
    reason(ask(server, priority="critical"), "temporary_reduced_capacity")
    # What was let in is settled, and what was used is counted.
    expect(server.post(f"/v1/holds/{hold}/extend", {"ttl_ms": 90000}))
    expect(server.post(f"/v1/holds/{hold}/commit", {"quantities": {"requests": 1}}))
    expect(server.post("/v1/usage", {"customer": "acme", "feature": "chat", "quantities": {"requests": 2}}))
    slow(server, override=None)
    left = expect(server.get("/v1/customers/acme/status?feature=chat"))["features"][0]["limits"][0]["remaining"]
    assert left == 10 - 1 - 1 - 1 - 2


def test_a_standing_slows_one_and_nobody_else(server):
    customer = expect(server.put("/v1/customers/acme", {"subject_standings": {"team/alice": "restricted"}}))
    assert customer["standing"] == "normal"
    allowed(ask(server, 10, subject="team/alice"))
    server.advance(2 * SECOND)
    answer = ask(server, subject="team/alice")
    why = reason(answer, "abnormal_usage")
    assert why["retry_after_ms"] == 2 * SECOND and answer.body["http"]["status"] == 429
    assert answer.body["explain"][0] | {"factor": "0.25", "standing": "restricted"} == answer.body["explain"][0]
    answer = allowed(ask(server, 10, subject="team/bob"))
    assert all("factor" not in note for note in answer["explain"])
    assert expect(server.put("/v1/customers/acme", {"standing": "probation"}))["standing"] == "probation"
    assert expect(server.get("/v1/customers/acme"))["standing"] == "probation"
    hold = [allowed(ask(server, 0, "authorize", subject="u"))["decision_id"] for _ in range(2)]
    why = reason(ask(server, 0, "authorize", subject="u"), "abnormal_usage")
    assert why["limit"] == "slots" and why["remedy"] == "finish_holds" and why["retry_after_ms"] == MINUTE
    expect(server.post(f"/v1/holds/{hold[0]}/release", {}))
    allowed(ask(server, 0, "authorize", subject="u"))
    # What was promised stays: the allowance is whole.
    rows = expect(server.get("/v1/customers/acme/status?feature=chat&subject=u"))["features"][0]["limits"]
    assert [row["limit"] for row in rows if row["name"] == "included"] == [100]


@pytest.mark.parametrize("path, body, status, mentions", [
    ("tpu", {"override": "0.5"}, 404, ["tpu"]),
    ("gpu", {"override": "1.5"}, 422, ["override", "1.5"]),
    ("gpu", {"override": 0.5}, 400, ["override"]),
    ("gpu", {"shed": "most"}, 422, ["shed", "most"]),
    ("gpu", {"load": "0.9"}, 422, ["load", "not taken yet"]),
    ("gpu", {"factor": "0.5"}, 400, ["factor"]),
])
def test_what_is_wrong_is_named_and_changes_nothing(server, path, body, status, mentions):
    slow(server, override="0.5")
    before = expect(server.get("/v1/pools"))
    problem(server.put(f"/v1/pools/{path}", body), status, mentions)
    problem(server.put("/v1/customers/acme", {"standing": "bad"}), 422, ["standing"])
    assert expect(server.get("/v1/pools")) == before


@pytest.mark.parametrize("hard", [False, True])
def test_what_was_said_is_there_after_a_restart(server, hard):
    slow(server, override="0.5")
    slow(server, "cpu%2Fsmall", shed="default")
    expect(server.put("/v1/customers/acme", {"subject_standings": {"team": "probation"}}))
    allowed(ask(server, 10, subject="team/x"))
    before = expect(server.get("/v1/pools"))
    server.advance(3 * SECOND)
    first = ask(server, subject="team/x").body
    server.restart(hard=hard)
    assert expect(server.get("/v1/pools")) == before
    again = ask(server, subject="team/x").body
    assert again["reason"] == first["reason"] and again["reason"]["code"] == "abnormal_usage"
    server.advance(SECOND)
    allowed(ask(server, subject="team/x"))


def test_a_policy_without_the_pool_lets_it_rest(server):
    slow(server, override="0.125")
    allowed(ask(server, 10))
    expect(server.put_policy(WITHOUT))
    server.advance(SECOND)
    allowed(ask(server))
    expect(server.put_policy(WITHOUT.replace("  gpu: {capacity: 2000, per: 1s, meter: requests}\n", "")))
    assert list(pools(server)) == ["cpu/small"]
    problem(server.put("/v1/pools/gpu", {"override": None}), 404)
    expect(server.put_policy(POLICY))
    assert pools(server)["gpu"]["factor"] == "0.125"
    server.advance(SECOND)
    reason(ask(server), "temporary_reduced_capacity")


def test_who_did_it_is_logged_and_everything_is_proven(server):
    for n, factor in enumerate(["0.5", "0", "0.25", None, "0.75"]):
        slow(server, override=factor, shed="sheddable" if n % 2 else "none")
        expect(server.put("/v1/customers/acme", {"standing": ["restricted", "trusted", "normal"][n % 3]}))
        for m in range(6):
            ask(server, 2, subject=f"s{m % 2}", priority="sheddable" if m % 3 == 0 else "default")
        server.advance(1700)
    said = [line for line in server.stderr().splitlines() if "admin_act" in line]
    assert sum("pool" in line and "gpu" in line for line in said) == 5, said
    server.stop()
    for proof in ("verify", "reconcile", "replay"):
        status, _, said = run(proof, "--data", server.data)
        assert status == 0, said


def test_the_command_line_slows_a_pool(server):
    def weir(*words):
        return subprocess.run([find_binary(), "pool", *words, "--server", f"http://127.0.0.1:{server.port}"],
                              capture_output=True, text=True, timeout=30)
    assert weir("gpu", "--override", "0.5", "--shed", "sheddable").stdout == \
        "gpu: factor 0.5 by hand, sheds sheddable\n"
    listed = weir().stdout
    assert "gpu" in listed and "2,000 requests per 1s" in listed and "factor 0.5" in listed
    assert "cpu/small" in listed and "cpu/small" not in weir("gpu").stdout
    assert json.loads(weir("--json").stdout) == expect(server.get("/v1/pools"))
    assert weir("gpu", "--no-override", "--shed", "none").stdout == "gpu: factor 1, sheds none\n"
    for words, said in ((["--shed", "all"], "NAME"), (["gpu", "--shed", "most"], "--shed"),
                        (["gpu", "--override", "1", "--no-override"], "one of them"), (["tpu"], "tpu")):
        done = weir(*words)
        assert done.returncode in (1, 2) and said in done.stderr, done
    done = weir("gpu", "--override", "2")
    assert done.returncode == 1 and "override" in done.stderr

"""The log: what its lines say, and never say. (That docs/LOGS.md lists them: tests/contract.)"""

import json

import pytest

from policies import policy
from weir_client import expect

POLICY = policy("base: {tier: 1, features: {chat: {waterfall: [{grants: {category: paid}}]}}}")

def lines_of(server):
    return [json.loads(line) for line in server.stderr_file.read_text().splitlines() if line.startswith("{")]


def logged(server, event):
    return [line for line in lines_of(server) if line["event"] == event]


def test_json_lines_tell_the_life_of_a_server(fresh):
    server = fresh(arguments=["--log-format", "json"])
    assert server.stop() == 0
    people = ("weir: ",)
    for line in server.stderr_file.read_text().splitlines():
        assert line.startswith(people) or {"time", "level", "event"} <= set(json.loads(line)), line
    life = ["recovered", "policy_applied", "listening", "stopping", "stopped"]
    told = [line["event"] for line in lines_of(server) if line["event"] in life]
    assert list(dict.fromkeys(told)) == life
    where = {line["listener"]: line["address"] for line in logged(server, "listening")}
    assert where["http"] == f"127.0.0.1:{server.port}"
    assert where["resp"] == f"127.0.0.1:{server.resp_port}"
    assert logged(server, "stopped")[0]["answers"] >= 1


def test_policies_are_told_taken_and_refused(fresh):
    server = fresh(arguments=["--log-format", "json"])
    expect(server.put_policy(POLICY + "# again\n"))
    refused = server.put_policy("version: 1\nplanes: {}\n")
    assert refused.status == 422
    applied = logged(server, "policy_applied")
    assert [(line["version"], line["from"]) for line in applied] == [(1, "file"), (2, "api")]
    told = logged(server, "policy_refused")
    assert len(told) == 1 and told[0]["first"] == refused.body["errors"][0]
    assert told[0]["mistakes"] == len(refused.body["errors"])
    assert told[0]["request_id"] == refused.headers["X-Request-Id"] == refused.body["request_id"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_at_debug_every_request_is_a_line_and_nothing_secret_is_in_it(fresh, form):
    server = fresh(arguments=["--log-format", form, "--log-level", "debug"])
    secret = "hunter2-hunter2"
    asked = [
        server.request("POST", "/v1/consume", {"customer": "c", "feature": "chat", "quantities": {"requests": 1},
                                               "idempotency_key": secret, "attributes": {"model": secret}}),
        server.request("POST", "/v1/check", {"customer": secret, "feature": "chat", "quantities": {"requests": 1}},
                       headers={"Authorization": f"Bearer {secret}", "Idempotency-Key": secret}),
        server.request("GET", f"/v1/{secret}"),
        server.request("GET", f"/v1/usage?customer={secret}"),
        server.request("DELETE", "/v1/consume"),
    ]
    server.stop()
    text = server.stderr_file.read_text()
    assert secret not in text
    for answer in asked:
        found = [line for line in text.splitlines() if answer.headers["X-Request-Id"] in line]
        assert len(found) == 1 and str(answer.status) in found[0], found


def test_levels_below_are_not_written(fresh):
    server = fresh(arguments=["--log-format", "json", "--log-level", "error"])
    server.put_policy("nonsense: 1\n")
    server.stop()
    assert lines_of(server) == []


def test_text_has_no_line_for_a_request_unless_it_is_asked_for(fresh):
    server = fresh()
    server.get("/healthz")
    server.stop()
    log = [line.split()[2] for line in server.stderr_file.read_text().splitlines() if line.startswith("20")]
    assert {"policy_applied", "stopping", "stopped"} <= set(log)
    assert not {"request", "recovered", "listening"} & set(log)     # people have been told of these

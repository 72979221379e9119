"""The server keeps its own document: requests generated from /openapi.json, every answer judged by it.

Valid requests are never refused for their form; a request with one wrong place is refused by the name
of that place, and changes nothing; what answers bring (decisions, holds, grants, keys, pages) feeds
later requests. WEIR_SEED repeats a run, WEIR_CONTRACT_SECONDS makes it longer.
"""

import json
import os
import pathlib
import random
import time
from collections import Counter
from fnmatch import fnmatchcase as fnmatch

import pytest

from contract import Document, Maker, draw_request
from mutations import mutations, wrong_bodies
from weir_client import Server, to_ms, to_text

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("WEIR_SEED") or random.SystemRandom().randrange(10**9))
SECONDS = float(os.environ.get("WEIR_CONTRACT_SECONDS", "12"))
POLICY = (ROOT / "examples" / "policy.yaml").read_text()

# What a request may meet though its form is right: the state, the policy, or two of its values
# together.
STATE = {"unknown_feature", "unknown_meter", "unknown_plan", "unknown_limit", "no_price", "unlisted_value",
         "out_of_range", "too_many_grants", "refund_exceeds", "clock_backward", "unsupported", "policy_invalid",
         "unknown_customer", "unknown_decision", "unknown_grant", "idempotency_conflict", "hold_committed",
         "hold_released", "hold_expired", "not_settled", "not_found", "unknown_key", "unknown_pool",
         "last_admin_key"}
TOGETHER = {"min_units", "expires_at", "to", "after", "before", "budgets", "limits", "quantities", "anchor", "from",
            "ttl_ms", "category", "features", "effective_at"}


class Authorized:
    """A client whose requests show a key."""

    def __init__(self, client, key):
        self.client, self.headers = client, {"Authorization": f"Bearer {key}"}

    def request(self, method, path, headers=None, **options):
        return self.client.request(method, path, headers={**self.headers, **(headers or {})}, **options)

    def get(self, path):
        return self.request("GET", path)


class World:
    """A server, and what is known of it."""

    def __init__(self, place):
        print(f"\nWEIR_SEED={SEED}")
        self.random = random.Random(SEED)
        key = place / "admin.key"
        key.touch(0o600)
        key.write_text("contract-contract-contract-contract\n")
        self.server = Server(place, POLICY, arguments=["--admin-key", key]).start()
        self.client = Authorized(self.server.client, key.read_text().strip())
        self.keys = []
        self.document = Document(self.client.get("/openapi.json").body)
        self.decisions, self.grants, self.events, self.updates, self.nexts = [], [], [], [], []
        self.tally = Counter()
        customers = [f"c{i}" for i in range(8)] + ["team/ü 漢", "a%2Fb", "..", "x" * 256]
        pools = {
            "customer": customers, "CustomerName": customers, "feature": ["chat", "codex", "sora"],
            "subject": ["team-a/alice", "team-a", "b/c/d"], "plan": ["free", "plus"],
            "quantities": [{"requests": 1}, {"requests": 3}, {"requests": 1, "seconds": 8}, {"requests": 60},
                           {"requests": 1, "input_tokens": 1000, "output_tokens": 50}],
            "attributes": [{}, {"model": "gpt-5.5"}, {"resolution": "480p"}, {"origin": "review", "model": "gpt-5.5"}],
            "pool": ["codex-gpu"],
            "limit": ["included", "pace", "overage", "daily"], "LimitName": ["included", "chat/overage", "codex/pace"],
            "Key": [f"k{i}" for i in range(30)], "Idempotency-Key": [f"k{i}" for i in range(30)],
            "min_units": [1], "expires_at": ["2027-01-01T00:00:00Z"], "effective_at": ["2026-05-01T00:00:00Z"],
            "features": [["chat"], ["chat", "sora"]], "credits": ["1", "25", "0.000000001"],
            "DecisionId": lambda: self.decisions[-40:], "GrantId": lambda: self.grants[-20:], "KeyId": lambda: self.keys[-20:],
            "EventId": lambda: self.events[-20:], "?after": lambda: self.nexts[-5:],
            "now": lambda: [to_text(self.now() + 1000)], "advance_ms": [0, 1, 1000, 30_000],
            "?from": ["2026-05-01T00:00:00Z"], "?to": ["2026-06-01T00:00:00Z"], "?limit": [1, 2, 1000],
            "application/yaml": [POLICY, POLICY + "# again\n", "version: 2\n"],
            "?customer": customers, "?feature": ["chat", "sora"], "?subject": ["team-a", "b/c/d"], "If-None-Match": ['"nothing"', "*", "W/\"x\""],
        }
        self.maker = Maker(self.document, self.random, pools)

    def now(self):
        return to_ms(self.client.get("/healthz").body["clock"]["now"])

    def sequence(self):
        """Of the journal: it grows with every change, and nothing else is kept."""
        return self.client.get("/healthz").body["journal"]["sequence"]

    def draw(self, operation):
        self.maker.pools["?before"] = (self.events if operation.name == "events" else self.updates)[-20:]
        return draw_request(operation, self.maker)

    def learn(self, value):
        """Ids that an answer brings, wherever they stand."""
        if isinstance(value, list):
            for part in value:
                self.learn(part)
        elif isinstance(value, dict):
            for name, part in value.items():
                if isinstance(part, str):
                    known = {"decision_id": self.decisions, "grant_id": self.grants, "key_id": self.keys}.get(name)
                    if name == "id":
                        known = self.events if part.startswith("e_") else self.updates
                    if name == "next" and not part.startswith(("e_", "b_")):
                        known = self.nexts
                    if known is not None and part not in known[-40:]:
                        known.append(part)
                else:
                    self.learn(part)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("contract"))
    yield made
    made.server.stop()
    print("\n" + "\n".join(f"  {count:6} {name}" for name, count in sorted(made.tally.items())))


def judged(world, request, answer):
    try:
        world.document.judge_answer(request.operation, answer, request.method)
    except AssertionError as fault:
        raise AssertionError(f"WEIR_SEED={SEED}\n{request}\n{answer.status} {answer.headers}{answer.raw[:2000]!r}\n{fault}") from None


def test_valid_requests_are_answered_as_documented(world):
    deadline = time.monotonic() + SECONDS
    operations = [one for one in world.document.operations if one.name != "health"]
    # What makes things comes more often than what reads them.
    weights = [3 if one.method == "POST" else 1 for one in operations]
    served = Counter()
    while time.monotonic() < deadline or any(served[one.name] == 0 for one in operations):
        operation = world.random.choices(operations, weights)[0]
        request = world.draw(operation)
        trace = None
        if world.random.random() < 0.2:
            trace = f"{world.random.getrandbits(128) or 1:032x}"
            request.headers["traceparent"] = f"00-{trace}-{world.random.getrandbits(63) + 1:016x}-01"
        answer = request.send(world.client)
        judged(world, request, answer)
        if trace:
            assert answer.headers["X-Request-Id"] == trace, request
        world.tally[f"valid {operation.name} {answer.status}"] += 1
        if answer.status >= 400:
            problem = answer.body
            fine = problem["code"] in STATE or (
                problem["code"] == "invalid_value" and problem.get("field", "").split(".")[0] in TOGETHER)
            assert fine, f"WEIR_SEED={SEED}: a valid request was refused\n{request}\n{answer.raw!r}"
        else:
            served[operation.name] += 1
            if operation.name != "openapi":      # whose ids are examples
                world.learn(answer.body)
        assert time.monotonic() < deadline + 60, f"never served: {[one.name for one in operations if not served[one.name]]}"


def test_one_wrong_place_is_refused_by_its_name_and_changes_nothing(world):
    deadline = time.monotonic() + SECONDS
    operations = [one for one in world.document.operations]
    seen = Counter()
    while time.monotonic() < deadline or any(seen[one.name] == 0 for one in operations):
        operation = min(operations, key=lambda one: (seen[one.name], world.random.random()))
        seen[operation.name] += 1
        request = world.draw(operation)
        wrong = list(mutations(world.document, world.random, request))
        before = world.sequence()
        for mutation in world.random.sample(wrong, min(len(wrong), 12)):
            answer = mutation.request.send(world.client)
            told = f"WEIR_SEED={SEED}: {mutation.what}\n{mutation.request}\n{answer.status} {answer.raw[:1000]!r}"
            judged(world, mutation.request, answer)
            assert answer.status in mutation.statuses, told
            if mutation.fields is not None:
                named = any(fnmatch(answer.body.get("field", ""), one.replace("[", "[[]")) for one in mutation.fields)
                assert named, f"{told}\nexpected {mutation.fields}"
            world.tally[f"wrong {operation.name} {answer.body['code']}"] += 1
        assert world.sequence() == before, f"WEIR_SEED={SEED}: refused, and something changed\n{request}"


def test_a_wrong_operation_is_refused_in_its_own_result(world):
    operations = {one.name: one for one in world.document.operations}
    for name in ("batch", "report_usage"):
        for _ in range(15):
            request = world.draw(operations[name])
            while not (isinstance(request.value, list) and request.value or
                       isinstance(request.value, dict) and request.value.get("operations")):
                request = world.draw(operations[name])
            is_list = isinstance(request.value, list)
            prefix = "[" if is_list else "operations["
            schema = operations[name].media(request.content_type)
            found = [one for one in wrong_bodies(world.document, world.random, request)
                     if one[1].startswith(prefix)]
            world.random.shuffle(found)
            choice = next((one for one in found if world.document.faults(schema, one[0])), None)
            if choice is None:
                continue
            value, field, what = choice
            request.value = value
            answer = request.send(world.client)
            judged(world, request, answer)
            told = f"WEIR_SEED={SEED}: {what}\n{request}\n{answer.raw[:2000]!r}"
            assert answer.status == 200, told
            place = int(field[len(prefix):].split("]")[0])
            result = answer.body["results"][place]
            named = fnmatch(result.get("field", ""), field.replace("[", "[[]"))
            assert named and "request_id" not in result, f"{told}\nexpected {field}"
            world.tally[f"wrong result {result['code']}"] += 1


def test_methods_that_a_path_does_not_take(world):
    paths = {}
    for operation in world.document.operations:
        paths.setdefault(operation.path, []).append(operation)
    for path, operations in paths.items():
        taken = {one.method for one in operations} | ({"HEAD"} if "GET" in {one.method for one in operations} else set())
        request = world.draw(operations[0])
        for method in ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "X"):
            if method in taken:
                continue
            answer = world.client.request(method, request.target().split("?")[0])
            world.document.judge_answer(None, answer, method)
            assert answer.status == 405, (method, path, answer.raw)
            assert set(answer.headers["Allow"].split(", ")) == taken, (path, answer.headers["Allow"])


def test_without_a_key_only_open_calls_are_served(world):
    for operation in world.document.operations:
        for headers in ({}, {"Authorization": "Bearer weir_" + "0" * 64}, {"Authorization": "Basic YTpi"}):
            request = world.draw(operation)
            request.headers.update(headers)
            answer = request.send(world.server.client)
            judged(world, request, answer)
            assert (answer.status == 401) == (not operation.is_open), request


def test_a_key_opens_what_its_scopes_say(world):
    for scope in world.document.schema("Scope")["enum"]:
        for bound in (None, "c0"):
            asked = {"scopes": [scope], **({"customer": bound} if bound else {})}
            made = world.client.request("POST", "/v1/keys", body=asked).body
            client = Authorized(world.server.client, made["key"])
            for operation in world.document.operations:
                scopes = operation.item.get("x-scopes", [])
                request = world.draw(operation)
                answer = request.send(client)
                judged(world, request, answer)
                allowed = operation.is_open or scope == "admin" or scope in scopes
                if bound and operation.item.get("x-unbound"):
                    allowed = False
                if not allowed:
                    assert answer.status in (403, 400, 422) and answer.body["code"] == "forbidden", (scope, bound, request, answer.raw)
                elif not bound:
                    assert answer.status not in (401, 403), (scope, request, answer.raw)
            revoked = world.client.request("POST", f"/v1/keys/{made['key_id']}/revoke")
            assert revoked.status == 200 and revoked.body["revoked"] is True
            assert Authorized(world.server.client, made["key"]).get("/v1/policy").status == 401


def test_head_is_get_without_a_body(world):
    for operation in world.document.operations:
        if operation.method != "GET":
            continue
        for _ in range(3):
            request = world.draw(operation)
            request.method = "HEAD"
            answer = request.send(world.client)
            judged(world, request, answer)
            assert answer.raw == b""


def test_paths_that_are_none(world):
    for path in ("/", "/v1", "/v1/", "/v1/consume/", "/V1/consume", "/v1/holds//commit", "/v1/customers/a/b", "//",
                 "/v1/nothing", "/openapi", "/problems", "/problems/nothing/more", "/healthz/"):
        answer = world.client.get(path)
        world.document.judge_answer(None, answer)
        assert (answer.status, answer.body["code"]) == (404, "not_found"), path


def test_the_types_of_problems_are_pages(world):
    for code in world.document.schema("ProblemCode")["enum"]:
        answer = world.client.get(f"/problems/{code}")
        assert answer.status == 200 and answer.content_type.startswith("text/markdown"), code
        assert answer.raw.decode().startswith(f"# {code}\n"), code


def test_the_document_is_sent_once(world):
    first = world.client.get("/openapi.json")
    tag = first.headers["ETag"]
    for value in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = world.client.request("GET", "/openapi.json", headers={"If-None-Match": value})
        assert (again.status, again.raw, again.headers["ETag"]) == (304, b"", tag), value
    for value in ('"other"', tag.strip('"'), tag[:-1], f"{tag}x"):
        again = world.client.request("GET", "/openapi.json", headers={"If-None-Match": value})
        assert (again.status, again.raw) == (200, first.raw), value


def test_the_server_is_well_after_all_of_it(world):
    answer = world.client.get("/healthz")
    operation = next(one for one in world.document.operations if one.name == "health")
    world.document.judge_answer(operation, answer)
    assert answer.body["status"] == "ok", answer.body
    assert world.server.stop() == 0

"""Access keys: every route for every scope, bound keys, revocation, and that no secret is ever kept.

ROUTES has a row for each route of the server; a route without a row fails a test.
"""

import itertools
import json
import pathlib
import random
import re
import socket
import sqlite3

import pytest

from weir_client import START, Client, StartFailed, expect, problem, run, to_ms, to_text

POLICY = """
version: 1
defaults: {plan: free}
features:
  chat: {meters: [requests], unit: requests, prices: chat}
prices:
  chat: [{name: message, rates: {requests: {credits: "1", per: 1}}}]
plans:
  free:
    features:
      chat:
        waterfall:
          - allowance: {name: included, windows: [{limit: 1000000, per: day, start: calendar}]}
          - grants: {category: paid}
"""

SCOPES = ("decide", "report", "read", "admin")
ASK = {"customer": "acme", "feature": "chat", "quantities": {"requests": 1}}
NOBODYS = "d_0000000000400"

# method, path, body, the scopes of which one is needed (admin always will do), for bound keys too
ROUTES = [
    ("POST", "/v1/authorize", ASK, "decide", True),
    ("POST", "/v1/consume", ASK, "decide", True),
    ("POST", f"/v1/holds/{NOBODYS}/commit", {}, "decide report", True),
    ("POST", f"/v1/holds/{NOBODYS}/release", {}, "decide", True),
    ("POST", f"/v1/holds/{NOBODYS}/extend", {}, "decide", True),
    ("POST", "/v1/check", ASK, "decide read", True),
    ("POST", "/v1/usage", ASK, "report", True),
    ("POST", "/v1/batch", {"operations": [{"op": "check", **ASK}]}, "decide report read", True),
    ("PUT", "/v1/customers/acme", {}, "", True),
    ("GET", "/v1/customers/acme", None, "read", True),
    ("POST", "/v1/customers/acme/grants", {"category": "paid", "credits": "1"}, "", True),
    ("POST", "/v1/customers/acme/resets", {"limit": "included"}, "", True),
    ("GET", "/v1/customers/acme/balance", None, "read", True),
    ("GET", "/v1/customers/acme/status", None, "read", True),
    ("GET", "/v1/customers/acme/ledger", None, "read", True),
    ("GET", "/v1/customers/acme/events", None, "read", True),
    ("GET", f"/v1/decisions/{NOBODYS}", None, "read", True),
    ("GET", "/v1/usage", None, "read", True),
    ("POST", "/v1/grants/g_0000000000400/void", {}, "", True),
    ("POST", f"/v1/decisions/{NOBODYS}/refund", {"all": True}, "", True),
    ("PUT", "/v1/policy", None, "", False),
    ("GET", "/v1/policy", None, "read", False),
    ("GET", "/v1/policy/versions", None, "read", False),
    ("GET", "/v1/pools", None, "read", False),
    ("PUT", "/v1/pools/gpu", {}, "", False),
    ("POST", "/v1/clock", {"advance_ms": 0}, "", False),
    ("POST", "/v1/keys", {"scopes": ["read"]}, "", False),
    ("GET", "/v1/keys", None, "", False),
    ("POST", "/v1/keys/k_0000000000400/revoke", {}, "", False),
    ("GET", "/metrics", None, "read", False),
    ("GET", "/healthz", None, None, True),
    ("GET", "/readyz", None, None, True),
    ("GET", "/openapi.json", None, None, True),
    ("GET", "/problems/unauthorized", None, None, True),
]


class Keyed:
    """A server as it is for whoever shows this key."""

    def __init__(self, server, key):
        self.server, self.key = server, key

    def request(self, method, path, body=None, **options):
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return self.server.request(method, path, body, headers=headers, **options)

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, body=None):
        return self.request("POST", path, {} if body is None else body)

    def put(self, path, body):
        return self.request("PUT", path, body)

    def make(self, *scopes, **terms):
        made = expect(self.post("/v1/keys", {"scopes": list(scopes), **terms}))
        keyed = Keyed(self.server, made["key"])
        keyed.id = made["key_id"]
        return keyed

    def revoke(self, keyed):
        return self.post(f"/v1/keys/{keyed.id}/revoke")


@pytest.fixture(scope="module")
def admin(weir):
    return Keyed(weir, None).make("admin", label="of the tests")


def ask(keyed, row):
    method, path, body, _, _ = row
    if path == "/v1/policy" and method == "PUT":
        return keyed.request(method, path, raw=POLICY.encode(), content_type="application/yaml")
    return keyed.request(method, path, body)


def routes_of_the_source():
    """Method and pattern of every route, as the server's table has them."""
    text = (pathlib.Path(__file__).resolve().parents[2] / "src/server/routes.c").read_text()
    found = re.findall(r'\{\s*"(GET|PUT|POST|DELETE|PATCH)",\s*"(/[^"]*)"', text)
    assert len(found) >= 29
    return found


def test_every_route_has_a_row():
    for method, pattern in routes_of_the_source():
        like = re.compile(re.escape(pattern).replace(r"\{\}", "[^/]+"))
        rows = [row for row in ROUTES if row[0] == method and like.fullmatch(row[1])]
        assert rows, f"{method} {pattern} has no row in ROUTES"


@pytest.mark.parametrize("row", ROUTES, ids=lambda row: f"{row[0]} {row[1]}")
def test_each_scope_opens_its_routes_and_no_others(weir, admin, row):
    needs = row[3]
    for count in range(1, len(SCOPES) + 1):
        for scopes in itertools.combinations(SCOPES, count):
            keyed = admin.make(*scopes)
            answer = ask(keyed, row)
            if needs is None or "admin" in scopes or set(needs.split()) & set(scopes):
                assert answer.status not in (401, 403), (scopes, answer.raw)
            else:
                body = problem(answer, 403)
                assert body["code"] == "forbidden"
                for scope in needs.split() or ["admin"]:
                    assert scope in body["detail"]
            expect(admin.revoke(keyed))
            if needs is not None:
                assert ask(keyed, row).status == 401


@pytest.mark.parametrize("row", ROUTES, ids=lambda row: f"{row[0]} {row[1]}")
def test_without_a_key_nothing_is_open_but_health(weir, admin, row):
    answer = ask(Keyed(weir, None), row)
    if row[3] is None:
        assert answer.status == 200
    else:
        assert problem(answer, 401)["code"] == "unauthorized"
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="weir"'


@pytest.mark.parametrize("row", ROUTES, ids=lambda row: f"{row[0]} {row[1]}")
def test_a_bound_admin_has_his_customer_and_no_more(weir, admin, row):
    bound = admin.make("admin", customer="acme")
    other = admin.make("admin", customer="another")
    answer = ask(bound, row)
    if not row[4]:
        assert problem(answer, 403)["code"] == "forbidden"
    else:
        assert answer.status not in (401, 403)
    answer = ask(other, row)
    if not row[4] or "customers/" in row[1]:
        assert problem(answer, 403)["code"] == "forbidden"
    elif row[2] is not None and "customer" in row[2]:
        assert problem(answer, 403)["field"] == "customer"
    elif "operations" in (row[2] or {}):
        assert expect(answer)["results"][0]["code"] == "forbidden"
    for keyed in (bound, other):
        expect(admin.revoke(keyed))


def test_another_customers_ids_are_as_unknown(weir, admin):
    mine, his = admin.make("admin", customer="mine"), admin.make("admin", customer="his")
    body = {"customer": "mine", "feature": "chat", "quantities": {"requests": 3}}
    grant = expect(mine.post("/v1/customers/mine/grants", {"category": "paid", "credits": "5"}))
    hold = expect(mine.post("/v1/authorize", body))["decision_id"]
    charge = expect(mine.post("/v1/consume", body))["decision_id"]
    before = mine.get("/v1/customers/mine/balance").body["available"]

    def asked(keyed, decision, grant_id):
        for call, sent in (("commit", {"quantities": {"requests": 1}}), ("release", {}),
                           ("extend", {"ttl_ms": 5000})):
            yield keyed.post(f"/v1/holds/{decision}/{call}", sent)
        yield keyed.post(f"/v1/decisions/{decision}/refund", {"all": True})
        yield keyed.post(f"/v1/grants/{grant_id}/void")
        yield keyed.get(f"/v1/decisions/{decision}")
        yield keyed.post("/v1/batch", {"operations": [{"op": "release", "decision_id": decision}]})

    def told(answers):
        """What was said, but for the ids of what was asked about and of the request."""
        names = rb'[dg]_[0-9a-z]{13}|"request_id":"[0-9a-f]{32}"'
        return [(answer.status, re.sub(names, b"id", answer.raw),
                 sorted(name for name in answer.headers if name != "Date"))
                for answer in answers]

    unknown = told(asked(his, "d_00000000zzz00", "g_00000000zzz00"))
    assert all(status in (200, 404) for status, _, _ in unknown)
    for decision in (hold, charge):
        assert told(asked(his, decision, grant["grant_id"])) == unknown
    assert mine.get("/v1/customers/mine/balance").body["available"] == before
    assert expect(mine.get(f"/v1/decisions/{charge}"))["customer"] == "mine"
    assert expect(mine.post(f"/v1/holds/{hold}/commit", {"quantities": {"requests": 3}}))


def test_sums_of_usage_are_of_the_bound_customer_alone(weir, admin):
    for name in ("summed", "other"):
        expect(admin.post("/v1/usage", {**ASK, "customer": name}))
    bound = admin.make("read", customer="summed")
    rows = expect(bound.get("/v1/usage?group_by=customer"))
    names = {row["customer"] for row in rows["groups"]} if "groups" in rows else set(
        re.findall(r'"customer": ?"([^"]*)"', json.dumps(rows)))
    assert names == {"summed"}
    assert expect(bound.get("/v1/usage?customer=summed"))
    assert problem(bound.get("/v1/usage?customer=other"), 403)["field"] == "customer"


def test_each_operation_of_a_batch_is_judged_on_its_own(weir, admin):
    keyed = admin.make("report", customer="acme")
    results = expect(keyed.post("/v1/batch", {"operations": [
        {"op": "usage", **ASK},
        {"op": "consume", **ASK},
        {"op": "usage", **ASK, "customer": "another"},
        {"op": "commit", "decision_id": NOBODYS},
    ]}))["results"]
    assert results[0]["outcome"] == "allow"
    assert [result.get("code") for result in results[1:]] == [
        "forbidden", "forbidden", "unknown_decision"]
    assert results[2]["field"] == "operations[2].customer"


def test_a_revoked_key_opens_nothing_more_on_an_open_connection(weir, admin):
    keyed = admin.make("decide")
    held = Client(weir.port)
    header = {"Authorization": f"Bearer {keyed.key}"}
    assert held.request("POST", "/v1/authorize", ASK, headers=header).status == 200
    expect(admin.revoke(keyed))
    assert held.request("POST", "/v1/authorize", ASK, headers=header).status == 401
    held.close()
    assert problem(admin.revoke(keyed), 404)["code"] == "unknown_key"


def test_a_revocation_in_a_pipeline_counts_for_what_follows(weir, admin):
    keyed = admin.make("decide")
    body = json.dumps(ASK).encode()

    def text(method, path, key, body):
        return (f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                ).encode() + body

    sent = text("POST", "/v1/authorize", keyed.key, body)
    sent += text("POST", f"/v1/keys/{keyed.id}/revoke", admin.key, b"")
    sent += text("POST", "/v1/authorize", keyed.key, body) * 3
    with socket.create_connection(("127.0.0.1", weir.port), timeout=30) as wire:
        wire.sendall(sent)
        wire.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: wire.recv(65536), b""))
    statuses = re.findall(rb"HTTP/1\.1 (\d+)", received)
    assert statuses == [b"200", b"200", b"401", b"401", b"401"]


def test_the_last_admin_key_stays(fresh):
    weir = fresh()
    nobody = Keyed(weir, None)
    for terms in ({"scopes": ["read"]}, {"scopes": ["admin"], "customer": "acme"},
                  {"scopes": ["admin"], "expires_at": "2027-01-01T00:00:00Z"}):
        assert problem(nobody.post("/v1/keys", terms), 409)["code"] == "last_admin_key"
    assert nobody.get("/v1/keys").status == 200     # the door is still open
    admin = nobody.make("admin")
    assert problem(admin.revoke(admin), 409)["code"] == "last_admin_key"
    second = admin.make("admin")
    expect(admin.revoke(admin))
    assert second.get("/v1/keys").status == 200 and admin.get("/v1/keys").status == 401


def test_keys_outlive_kill_9_and_snapshots(fresh):
    weir = fresh(arguments=("--snapshot-every", "4K"))
    admin = Keyed(weir, None).make("admin")
    keyed, gone = admin.make("decide", customer="acme"), admin.make("decide")
    expect(admin.revoke(gone))
    for _ in range(3):
        for _ in range(40):     # enough journal for a snapshot
            expect(keyed.post("/v1/authorize", ASK))
        weir.restart(hard=True)
        assert gone.post("/v1/authorize", ASK).status == 401
        assert keyed.post("/v1/authorize", {**ASK, "customer": "b"}).status == 403
        assert Keyed(weir, None).get("/v1/keys").status == 401
        assert len(expect(admin.get("/v1/keys"))["keys"]) == 2
    assert list(weir.data.glob("snapshot-*.weir"))
    assert weir.stop() == 0
    for proof in ("verify", "reconcile", "replay"):
        status, out, err = run(proof, "--data", weir.data)
        assert status == 0, (proof, out, err)


def test_no_secret_is_in_any_file_or_answer(fresh):
    weir = fresh(arguments=("--snapshot-every", "4K"))
    admin = Keyed(weir, None).make("admin")
    keyed = admin.make("decide", "read", label="a gateway")
    for _ in range(60):
        expect(keyed.post("/v1/authorize", ASK))
    answers = [admin.get(path).raw for path in
               ("/v1/keys", "/healthz", "/metrics", "/v1/policy/versions", "/v1/customers/acme/ledger")]
    answers += [keyed.get("/v1/keys").raw, Keyed(weir, keyed.key + "0").get("/v1/keys").raw]
    assert weir.stop() == 0
    files = [path.read_bytes() for path in weir.data.iterdir()] + [weir.stderr_file.read_bytes()]
    assert len(files) >= 4
    for secret in (admin.key, keyed.key):
        digits = secret.removeprefix("weir_")
        assert re.fullmatch("[0-9a-f]{64}", digits)
        for where in answers + files:
            assert digits.encode() not in where
            assert bytes.fromhex(digits) not in where


def test_who_did_it_is_told(fresh):
    weir = fresh()
    admin = Keyed(weir, None).make("admin")
    grant = {"category": "paid", "credits": "1", "idempotency_key": "once"}
    given = expect(admin.post("/v1/customers/acme/grants", grant))
    other = admin.make("admin")         # who repeats it, is not who did it
    assert expect(other.post("/v1/customers/acme/grants", grant)) == given
    paid = POLICY.replace("- allowance: {name: included, windows: [{limit: 1000000, per: day, "
                          "start: calendar}]}", "- grants: {category: promotional}")
    expect(admin.request("PUT", "/v1/policy", raw=paid.encode(), content_type="application/yaml"))
    charge = expect(admin.post("/v1/consume", ASK))["decision_id"]
    expect(other.post(f"/v1/decisions/{charge}/refund", {"all": True}))
    receipt = expect(admin.get(f"/v1/decisions/{charge}"))
    assert [refund["actor"] for refund in receipt["refunds"]] == [other.id]
    with sqlite3.connect(f"file:{weir.data}/ledger.db?mode=ro", uri=True) as books:
        assert books.execute("SELECT actor FROM grants").fetchall() == [(admin.id,)]
        assert books.execute("SELECT actor FROM policies ORDER BY version").fetchall() == [
            (None,), (admin.id,)]
    expect(admin.request("PUT", "/v1/policy", raw=POLICY.replace("1000000", "9").encode(),
                         content_type="application/yaml"))
    versions = expect(admin.get("/v1/policy/versions"))["versions"]
    assert [version["actor"] for version in versions] == [admin.id, admin.id, None]
    weir.restart(hard=True)
    versions = expect(admin.get("/v1/policy/versions"))["versions"]
    assert [version["actor"] for version in versions][-3:] == [
        admin.id, admin.id, None]
    log = weir.stderr()
    assert f"admin_act act=key id={admin.id} request_id=" in log    # what closed the server
    assert log.count("act=policy") == 2                             # not those of the file
    assert f"admin_act actor={admin.id} act=grant customer=acme id=g_" in log
    assert f"admin_act actor={admin.id} act=policy" in log


def test_strangers_are_told_and_counted(fresh):
    weir = fresh()
    admin = Keyed(weir, None).make("admin")
    answers = [Keyed(weir, "weir_" + "0" * 64).post("/v1/consume", ASK) for _ in range(5)]
    assert {answer.status for answer in answers} == {401}
    assert f"access_refused request_id={answers[0].headers['X-Request-Id']}" in weir.stderr()
    assert 'weir_problems_total{code="unauthorized"} 5' in admin.get("/metrics").raw.decode()


def test_an_expired_key_opens_nothing(fresh):
    weir = fresh()
    admin = Keyed(weir, None).make("admin")
    keyed = admin.make("decide", expires_at=to_text(to_ms(START) + 60_000))
    assert keyed.post("/v1/authorize", ASK).status == 200
    expect(admin.post("/v1/clock", {"advance_ms": 60_000}))
    assert keyed.post("/v1/authorize", ASK).status == 401
    states = [key["state"] for key in expect(admin.get("/v1/keys"))["keys"]]
    assert sorted(states) == ["expired", "live"]
    assert problem(admin.post("/v1/keys", {"scopes": ["read"], "expires_at": START}),
                   422)["field"] == "expires_at"


def test_any_authorization_header_is_answered(weir, admin):
    """Random headers, two of them, long ones: 401 or no HTTP, and the server goes on."""
    prng = random.Random(7)
    printable = bytes(range(0x20, 0x7f))
    for number in range(400):
        length = prng.choice((0, 1, 7, 69, 76, 256, 300, 4000))
        noise = bytes(prng.choice(printable) for _ in range(length))
        value = prng.choice((b"", b"Bearer ", b"bearer weir_", b"Basic ", b"Bearer  ")) + noise
        lines = [b"Authorization: " + value]
        if number % 5 == 0:
            lines = [b"Authorization: Bearer " + admin.key.encode()] * 2
        with socket.create_connection(("127.0.0.1", weir.port), timeout=30) as wire:
            wire.sendall(b"GET /v1/keys HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                         + b"\r\n".join(lines) + b"\r\n\r\n")
            received = b"".join(iter(lambda: wire.recv(65536), b""))
        assert received.startswith(b"HTTP/1.1 401 "), (lines, received[:200])
    assert admin.get("/v1/keys").status == 200


def key_file(path, text="a" * 40 + "\n", mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_admin_key_is_let_in_always(fresh, tmp_path):
    file = key_file(tmp_path / "admin.key")
    weir = fresh(arguments=("--admin-key", file))
    assert Keyed(weir, None).get("/v1/keys").status == 401
    chief = Keyed(weir, "a" * 40)
    first = chief.make("read")          # no other admin is needed
    admin = chief.make("admin")
    expect(chief.revoke(admin))
    assert f"actor=admin-key act=key_revoke id={admin.id}" in weir.stderr()
    # Without the file keys are needed all the same, and the start says that none is an admin's.
    weir.arguments = []
    weir.restart()
    assert chief.get("/v1/keys").status == 401 and first.get("/v1/policy").status == 200
    assert "no admin key is left" in weir.stderr()
    weir.arguments = ["--admin-key", file]
    weir.restart()
    assert chief.get("/v1/keys").status == 200


@pytest.mark.parametrize("text, mode, word", [
    ("a" * 40, 0o640, "chmod 600"), ("a" * 40, 0o604, "chmod 600"), ("short\n", 0o600, "32 to 256"),
    ("a" * 300, 0o600, "32 to 256"), ("a" * 40 + "\nb\n", 0o600, "32 to 256"), ("", 0o600, "32")])
def test_a_bad_admin_key_file_is_refused(fresh, tmp_path, text, mode, word):
    file = key_file(tmp_path / "admin.key", text, mode)
    weir = fresh(start=False, arguments=("--admin-key", file))
    with pytest.raises(StartFailed) as failure:
        weir.start()
    assert failure.value.status == 1 and word in failure.value.stderr
    assert "a" * 40 not in failure.value.stderr


def test_beyond_loopback_keys_are_needed(tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    status, _, stderr = run("serve", "--data", tmp_path / "data", "--policy", policy,
                            "--http", "0.0.0.0:0")
    assert status == 1 and "loopback only" in stderr and "--admin-key" in stderr


def test_an_open_server_says_so(fresh):
    weir = fresh()
    assert "WARNING: no access keys" in weir.stderr()
    Keyed(weir, None).make("admin")
    weir.stderr_file.unlink()
    weir.restart()
    assert "WARNING" not in weir.stderr()


def weir_key(server, *words, file=None, **options):
    told = ("--key-file", str(file)) if file else ()
    return run("key", *words, "--server", f"http://127.0.0.1:{server.port}", *told, **options)


def test_the_command_line_makes_lists_and_revokes(fresh, tmp_path):
    weir = fresh()
    status, admin, said = weir_key(weir, "create", "--scopes", "admin", "--label", "the boss")
    assert status == 0 and re.fullmatch(r"weir_[0-9a-f]{64}\n", admin)
    assert "it is not told again" in said and admin.strip() not in said
    file = tmp_path / "admin.key"
    file.write_text(admin)
    file.chmod(0o600)

    assert weir_key(weir, "list")[0] == 1
    assert "unauthorized" in weir_key(weir, "list")[2]
    status, made, _ = weir_key(weir, "create", "--scopes", "decide,report", "--customer", "acme",
                               "--expires", "90d", "--json", file=file)
    made = json.loads(made)
    assert status == 0 and made["customer"] == "acme" and made["scopes"] == ["decide", "report"]
    status, table, _ = weir_key(weir, "list", file=file)
    assert status == 0 and len(table.splitlines()) == 2
    assert "the boss" in table and made["key_id"] in table and "decide,report" in table
    assert "weir_" not in table
    assert weir_key(weir, "revoke", made["key_id"], file=file)[:2] == (
        0, f"{made['key_id']} is revoked\n")
    status, _, said = weir_key(weir, "revoke", made["key_id"], file=file)
    assert status == 1 and "unknown_key" in said
    status, _, said = weir_key(weir, "create", "--scopes", "everything", file=file)
    assert status == 1 and "scopes" in said
    assert weir_key(weir, "create", file=file)[0] == 2
    assert weir_key(weir, "revoke", file=file)[0] == 2

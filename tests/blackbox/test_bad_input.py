"""Every field of every request, wrong: a 4xx problem that names the field, and nothing changed
(SEMANTICS A3: 400 for what is not JSON or not of the contract's shape, 422 for a wrong value)."""

import http.client
import json
import socket

import pytest

from policies import policy
from weir_client import (ANSWER_SECONDS_MAX, CLOCK_BACKWARD, INTEGER_MAX, SHAPE_OR_VALUE, Answer,
                         Customer, allowed, expect, parse, problem, to_text)

POLICY = policy("""
base:
  tier: 1
  features:
    chat:
      waterfall:
        - allowance: {name: included, scope: subject, windows: [{limit: 5, per: 5h, start: first_use}]}
        - grants: {category: promotional}
        - grants: {category: paid}
    codex: {waterfall: [{grants: {category: paid}}]}
    pair: {waterfall: [{unlimited: {}}]}
""")
LONG = "x" * 20_000
OVER = INTEGER_MAX + 1
HUGE = 10**40
MISSING = object()


class Target:
    """One call, its valid body and what must not change."""

    def __init__(self, weir, customer):
        self.weir, self.customer = weir, customer
        self.grant_id = customer.grant("10")
        self.hold = customer.hold(2, subject="held", ttl_ms=3_600_000)
        self.decision = allowed(customer.consume(7, subject="spent"))["decision_id"]

    def call(self, name):
        who, customer = self.customer.name, self.customer.path
        decision = {
            "customer": who, "subject": "team/a", "feature": "chat", "quantities": {"requests": 2},
            "attributes": {"model": "m"}, "idempotency_key": "bad-input", "min_units": 1,
            "use_credits": True, "priority": "default", "explain": True}
        return {
            "authorize": ("POST", "/v1/authorize", decision | {"ttl_ms": 60_000}),
            "consume": ("POST", "/v1/consume", decision | {
                "duration_ms": 5, "compute": "gpu", "status": "succeeded"}),
            "check": ("POST", "/v1/check", decision),
            "commit": ("POST", f"/v1/holds/{self.hold}/commit", {
                "quantities": {"requests": 1}, "status": "succeeded", "duration_ms": 5,
                "compute": "gpu"}),
            "release": ("POST", f"/v1/holds/{self.hold}/release", {}),
            "extend": ("POST", f"/v1/holds/{self.hold}/extend", {
                "quantities": {"requests": 1}, "ttl_ms": 60_000, "idempotency_key": "bad-extend"}),
            "grant": ("POST", f"{customer}/grants", {
                "category": "paid", "credits": "5", "priority": 1,
                "effective_at": to_text(self.weir.now + 1000),
                "expires_at": to_text(self.weir.now + 9000),
                "features": ["chat"], "reason": "r", "idempotency_key": "bad-grant"}),
            "void": ("POST", f"/v1/grants/{self.grant_id}/void", {}),
            "reset": ("POST", f"{customer}/resets", {"limit": "included", "subject": "spent"}),
            "refund": ("POST", f"/v1/decisions/{self.decision}/refund", {
                "credits": "1", "reason": "r", "idempotency_key": "bad-refund"}),
            "settings": ("PUT", customer, {
                "plan": "base", "credit_mode": "auto", "anchor": "2026-01-31T00:00:00Z",
                "suspended": False}),
            "usage": ("POST", "/v1/usage", {
                "customer": who, "subject": "team/a", "feature": "chat",
                "quantities": {"requests": 2}}),
            "batch": ("POST", "/v1/batch", {"operations": [
                {"op": "consume", "customer": who, "feature": "chat",
                 "quantities": {"requests": 1}}]}),
            "clock": ("POST", "/v1/clock", {"advance_ms": 1}),
        }[name]

    def state(self):
        """The customer's settings, balance, and what three subjects would be answered."""
        return self.customer.fingerprint() + tuple(
            self.customer.check(1, subject=subject).raw for subject in ("team/a", "spent", "held"))


@pytest.fixture(scope="module")
def target(weir):
    return Target(weir, Customer(weir, "bad-input", plan="base"))


NOT_STRING = [5, True, [], {}, 1.5]
NOT_OBJECT = ["x", 5, True, []]
NOT_INTEGER = ["1", True, [], {}]
NOT_BOOLEAN = [1, "true", [], {}]
REQUIRED = [MISSING, None]

# call -> field -> [(status, [bad values])]. MISSING leaves the field out.
DECISION = {
    "customer": [(400, REQUIRED + NOT_STRING), (422, ["", LONG])],
    "subject": [(400, NOT_STRING), (422, [LONG])],
    "feature": [(400, REQUIRED + NOT_STRING), (422, ["", "nonsense", "Chat", LONG])],
    "quantities": [(400, REQUIRED + NOT_OBJECT)],
    "quantities.requests": [(400, NOT_INTEGER + [None]), (422, [-1]),
                            (SHAPE_OR_VALUE, [OVER, HUGE, -HUGE, 1.5])],
    "quantities.furlongs": [(422, [1])],
    "attributes": [(400, NOT_OBJECT)],
    "attributes.model": [(400, [5, True, [], {}]), (422, [LONG])],
    "idempotency_key": [(400, NOT_STRING), (422, ["", LONG])],
    "min_units": [(400, NOT_INTEGER), (422, [0, -1, 3]), (SHAPE_OR_VALUE, [OVER, HUGE, 1.5])],
    "use_credits": [(400, NOT_BOOLEAN)],
    "priority": [(400, NOT_STRING), (422, ["", "vip", "DEFAULT"])],
    "explain": [(400, NOT_BOOLEAN)],
    "colour": [(400, ["red", None, 5])],
}
REPORT = {
    "duration_ms": [(400, NOT_INTEGER), (422, [-1]), (SHAPE_OR_VALUE, [OVER, 1.5])],
    "compute": [(400, NOT_STRING), (422, [LONG])],
    "status": [(400, NOT_STRING), (422, ["", "exploded", "Failed"])],
}
QUANTITIES = {name: DECISION[name] for name in ("quantities.requests", "quantities.furlongs")}
TTL = {"ttl_ms": [(400, NOT_INTEGER), (422, [-1]), (SHAPE_OR_VALUE, [OVER, HUGE, 1.5])]}
UNKNOWN = {"colour": DECISION["colour"]}
KEY = {"idempotency_key": DECISION["idempotency_key"]}
TIME = [(400, [5, True, [], {}]),
        (422, ["", "tomorrow", "2026-05-01", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z",
               "2026-05-01T25:00:00Z", "2026-05-01T12:00:60Z", "0001-01-01T00:00:00Z"])]
CREDITS = [(400, [5, 1.5, True, [], {}]),
           (422, ["", "-1", "five", "1e3", "0x10", "1,5", " 1", "1 ", "+", ".", "NaN", "Infinity",
                  "0.0000000001", "9" * 30])]

TABLE = {
    "authorize": DECISION | TTL,
    "consume": DECISION | REPORT,
    "check": {name: DECISION[name] for name in DECISION if name not in KEY},      # A4
    "commit": {"quantities": [(400, NOT_OBJECT)]} | QUANTITIES | REPORT | UNKNOWN,
    "release": UNKNOWN,
    "extend": {"quantities": [(400, NOT_OBJECT)]} | QUANTITIES | TTL | KEY | UNKNOWN,
    "grant": {
        "category": [(400, REQUIRED + NOT_STRING), (422, ["", "gold", "Paid"])],
        "credits": [(400, REQUIRED)] + CREDITS,
        "priority": [(400, NOT_INTEGER), (SHAPE_OR_VALUE, [OVER, HUGE, 1.5])],
        "effective_at": TIME,
        "expires_at": TIME + [(422, ["2026-04-01T00:00:00Z"])],     # before it is effective
        "features": [(400, ["chat", 5, {}, [5]]), (422, [["nonsense"]])],
        "reason": [(400, NOT_STRING), (422, [LONG])],
    } | KEY | UNKNOWN,
    "void": UNKNOWN,
    "reset": {
        "limit": [(400, REQUIRED + NOT_STRING), (422, ["", "nonsense"])],
        "subject": [(400, NOT_STRING), (422, [LONG])],
    } | UNKNOWN,
    "refund": {
        "credits": CREDITS,
        "all": [(400, [1, "true"])],
        "reason": [(400, NOT_STRING), (422, [LONG])],
    } | KEY | UNKNOWN,
    "settings": {
        "plan": [(400, NOT_STRING), (422, ["", "nonsense", LONG])],
        "credit_mode": [(400, NOT_STRING), (422, ["", "maybe", "AUTO"])],
        "anchor": TIME,
        "suspended": [(400, NOT_BOOLEAN)],
    } | UNKNOWN,
    "usage": {name: DECISION[name] for name in (
        "customer", "feature", "quantities", "quantities.requests", "quantities.furlongs", "colour")},
    "batch": {"operations": [(400, REQUIRED + ["x", 5, {}, True])]} | UNKNOWN,
    "clock": {
        "advance_ms": [(400, NOT_INTEGER), (CLOCK_BACKWARD, [-1]), (SHAPE_OR_VALUE, [OVER, HUGE])],
        "now": [(400, [5, [], {}]), (SHAPE_OR_VALUE, ["tomorrow", ""])],
    } | UNKNOWN,
}


def spoiled(body, field, value):
    """The body with one field, perhaps inside another, put wrong."""
    result = json.loads(json.dumps(body))
    *outer, name = field.split(".")
    place = result
    for step in outer:
        place = place.setdefault(step, {})
    if value is MISSING:
        place.pop(name, None)
    else:
        place[name] = value
    return result


@pytest.mark.parametrize("call, field", [(call, field) for call in TABLE for field in TABLE[call]])
def test_a3_a_wrong_field_is_named_and_nothing_changes(weir, target, call, field):
    method, path, body = target.call(call)
    before, wrong = target.state(), []
    name = field.rsplit(".", maxsplit=1)[-1]
    for statuses, values in TABLE[call][field]:
        for value in values:
            sent = spoiled(body, field, value)
            if (call, field) in (("refund", "all"), ("clock", "now")):
                sent.pop("credits", None), sent.pop("advance_ms", None)
            try:
                problem(weir.request(method, path, sent), statuses, name)
            except AssertionError as failure:
                shown = "MISSING" if value is MISSING else repr(value)[:40]
                wrong.append(f"{field} = {shown}: {failure}")
    assert not wrong, "\n".join(wrong)
    assert target.state() == before


def test_the_valid_bodies_are_valid(weir, new_customer):
    """Or else the table above would prove nothing."""
    for call in TABLE:
        target = Target(weir, new_customer(weir, plan="base"))
        expect(weir.request(*target.call(call)))
        if call == "clock":
            weir.now += 1


def test_a3_a_wrong_value_is_named_as_well_as_its_field(target):
    customer = target.customer
    for field, value in (("feature", "nonsense"), ("priority", "vip")):
        method, path, body = target.call("consume")
        problem(customer.weir.request(method, path, body | {field: value}), 422, (field, value))


# ---- not JSON, or not an object ------------------------------------------------------------------

CALLS = sorted(TABLE)
# What some calls may take in good part: nothing where {} is all there is to say, and a list of events.
WELCOME = {"release": (b"", b" "), "void": (b"", b" "), "usage": (b"[]", b"[{}]")}
VALID = b'{"customer": "bad-input", "feature": "chat", "quantities": {"requests": 1}'


@pytest.mark.parametrize("raw", [
    b"", b" ", b"null", b"5", b'"x"', b"[]", b"[{}]", b"{", b"}", b'{"customer"', b'{"customer":',
    b'{"customer": "a",}', b"{'customer': 'a'}", b"{customer: 1}", b'{"a": 01}', b'{"a": +1}',
    b'{"a": .5}', b'{"a": NaN}', b'{"a": Infinity}', b'{"a": tru}', b'{"a": "\n"}', b'{"a": "\\x"}',
    b'{"a": "\\u12"}', b'{"a": 1} {"a": 1}', b'{"a": 1} x', b"/* */ {}", b"\x00", b"{}\x00",
    b"<customer/>", VALID, VALID + b", }", VALID + b'}, "more": 1}',
    VALID + b', "subject": "\xff\xfe"}',                        # not UTF-8
    VALID + b', "subject": "\xc0\xaf"}',                        # an overlong slash
    VALID + b', "subject": "\xed\xa0\x80"}',                    # a surrogate in UTF-8
    VALID + b', "subject": "\xf4\x90\x80\x80"}',                # beyond U+10FFFF
    VALID + b', "subject": "\xe2\x82"}',                        # a torn character
    VALID + b', "subj\xffect": "x"}',
], ids=repr)
def test_a3_what_is_not_a_json_object_is_a_400(weir, target, raw):
    before = target.state()
    for call in CALLS:
        if raw in WELCOME.get(call, ()):
            continue
        method, path, _ = target.call(call)
        assert problem(weir.request(method, path, raw=raw), 400)["field"]
    assert target.state() == before


@pytest.mark.parametrize("raw, field", [
    (b"{", "body"), (b"<customer/>", "body"), (VALID + b", }", "body"),
    (VALID + b', "subject": "\xff\xfe"}', "subject"),
    (VALID + b', "subject": nul}', "subject"),
    (VALID + b', "attributes": {"model": "a", "speed": 01}}', "attributes.speed"),
    (VALID + b', "attributes": {"model": "\\ud800"}}', "attributes.model"),
    (b'{"customer": "bad-input", "quantities": {"requests": ', "quantities.requests"),
])
def test_a3_a_body_that_is_no_json_is_told_by_the_field_where_it_ends(weir, target, raw, field):
    method, path, _ = target.call("consume")
    told = problem(weir.request(method, path, raw=raw), 400, ("byte", field))
    assert told["field"] == field
    inside = b'{"operations": [{"op": "check"}, ' + raw
    told = problem(weir.request("POST", "/v1/batch", raw=inside), 400)
    assert told["field"] == ("operations[1]" if field == "body" else f"operations[1].{field}"), told


@pytest.mark.parametrize("raw, name", [
    (VALID + b', "customer": "bad-input"}', "customer"),
    (VALID + b', "feature": "pair"}', "feature"),
    (b'{"customer": "bad-input", "feature": "chat", "quantities": {"requests": 1, "requests": 1}}',
     "requests"),
    (VALID + b', "attributes": {"model": "a", "model": "b"}}', "model"),
    (VALID + b', "feat\\u0075re": "pair"}', "feature"),         # the same name, spelt otherwise
])
@pytest.mark.parametrize("call", ["authorize", "consume", "check"])
def test_a3_a_name_given_twice_is_a_400_that_names_it(weir, target, call, raw, name):
    before = target.state()
    problem(weir.post(f"/v1/{call}", raw=raw), 400, name)
    assert target.state() == before


@pytest.mark.parametrize("call", CALLS)
def test_a3_deep_nesting_is_a_400(weir, target, call):
    before = target.state()
    method, path, _ = target.call(call)
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        for depth in (1000, 50_000):
            nested = opening * depth + b"1" + closing * depth
            problem(weir.request(method, path, raw=nested), 400)
            problem(weir.request(method, path, raw=b'{"attributes": ' + nested + b"}"), 400)
            problem(weir.request(method, path, raw=opening * depth), 400)
    assert target.state() == before


@pytest.mark.parametrize("escape", ["\\ud800", "\\udc00", "\\ud800x", "\\udc00\\ud800"])
def test_a3_half_a_surrogate_pair_is_no_text(weir, target, escape):
    before = target.state()
    raw = VALID + b', "subject": "' + escape.encode() + b'"}'
    problem(weir.post("/v1/consume", raw=raw), SHAPE_OR_VALUE)
    assert target.state() == before


def test_too_many_of_anything_is_refused(weir, target):
    before = target.state()
    method, path, body = target.call("consume")
    many = {f"name{n}": "v" for n in range(5000)}
    problem(weir.request(method, path, body | {"attributes": many}), SHAPE_OR_VALUE + (413,))
    problem(weir.request(method, path, body | {"quantities": {name: 1 for name in many}}),
            SHAPE_OR_VALUE + (413,))
    assert target.state() == before


# ---- the edges that are right --------------------------------------------------------------------

def test_the_largest_integer_is_an_integer(weir, customer):
    assert allowed(customer.check(INTEGER_MAX, "pair"))["units"]["requested"] == INTEGER_MAX


@pytest.mark.parametrize("subject", ["ü", "日本", "😀", "a b", "a/b/c/d", "a.b-c_d@e", "%2e"])
def test_names_may_be_any_text(weir, customer, subject):
    allowed(customer.consume(5, subject=subject))
    assert customer.room(subject=subject) == 0
    assert customer.room(subject=subject + "x") == 5


def test_escapes_are_read(weir, customer):
    raw = json.dumps(customer.body(5, "chat", {"subject": "ü😀/\"\\"})).encode()       # all ASCII
    allowed(weir.post("/v1/consume", raw=raw))
    assert customer.room(subject="ü😀/\"\\") == 0


# ---- ids, paths, methods, headers ----------------------------------------------------------------

@pytest.mark.parametrize("path", [
    "/v1/holds/d_7777777777777/commit", "/v1/holds/d_7777777777777/release",
    "/v1/holds/d_7777777777777/extend", "/v1/decisions/d_7777777777777/refund",
    "/v1/grants/g_7777777777777/void"])
def test_a3_an_unknown_id_is_a_404(weir, target, path):
    body = {"commit": {"quantities": {"requests": 1}}, "refund": {"all": True, "reason": "r"},
            "extend": {"quantities": {}, "ttl_ms": 1000}}.get(path.rsplit("/", maxsplit=1)[-1], {})
    before = target.state()
    problem(weir.post(path, body), 404)
    assert target.state() == before


@pytest.mark.parametrize("path", [
    "/v1/holds/{}/commit", "/v1/holds/{}/release", "/v1/decisions/{}/refund", "/v1/grants/{}/void"])
@pytest.mark.parametrize("name", ["x", "d_", "d_zzzzzzzzzzzzz", "g_0", "d_" + "7" * 500, "%00", "%ff",
                                  "..", "%2e%2e"])
def test_what_is_no_id_is_a_4xx(weir, target, path, name):
    body = {"quantities": {"requests": 1}} if "commit" in path else (
        {"all": True} if "refund" in path else {})
    before = target.state()
    problem(weir.post(path.format(name), body), (400, 404, 405, 414, 422))
    assert target.state() == before


@pytest.mark.parametrize("method, path, statuses", [
    ("GET", "/nonsense", (404,)), ("POST", "/v1/nonsense", (404,)), ("POST", "/v1", (404,)),
    ("GET", "/v1/authorize", (404, 405)), ("DELETE", "/v1/consume", (404, 405)),
    ("PUT", "/v1/check", (404, 405)), ("POST", "/healthz", (404, 405)),
    ("POST", "/v1/../v1/consume", (400, 404))])
def test_what_is_not_served_is_a_problem(weir, method, path, statuses):
    problem(weir.request(method, path, {} if method != "GET" else None), statuses)


def test_a3_another_content_type_is_a_415(weir, target):
    before = target.state()
    method, path, body = target.call("consume")
    for kind in ("text/plain", "application/xml", "multipart/form-data; boundary=x"):
        problem(weir.request(method, path, body, content_type=kind), 415)
    assert target.state() == before


def test_a3_another_charset_or_encoding_is_a_415(weir, target):
    before = target.state()
    method, path, body = target.call("consume")
    problem(weir.request(method, path, body, content_type="application/json; charset=iso-8859-1"),
            415, "Content-Type")
    problem(weir.request(method, path, body, headers={"Content-Encoding": "gzip"}),
            415, "Content-Encoding")
    assert target.state() == before


def test_long_headers_are_a_431(weir):
    problem(weir.request("GET", "/healthz", headers={"X-Long": "x" * 40_000}), 431)


def test_json_may_name_its_charset(weir, customer):
    allowed(weir.post("/v1/check", customer.body(1, "chat", {}),
                      content_type="application/json; charset=utf-8"))


def test_a3_a_body_that_is_too_large_is_a_413(weir, target):
    """Announced, not sent: a server that waits for it all has no bound."""
    before = target.state()
    connection = http.client.HTTPConnection("127.0.0.1", weir.port, timeout=ANSWER_SECONDS_MAX)
    connection.putrequest("POST", "/v1/consume")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(2**33))
    connection.endheaders(b'{"customer": "')
    response = connection.getresponse()
    received = response.read()
    connection.close()
    problem(Answer(response.status, parse(received), received, response.headers), 413)
    assert target.state() == before


def test_a_key_in_the_header_is_checked_as_in_the_field(weir, target):
    before = target.state()
    body = {"customer": target.customer.name, "feature": "chat", "quantities": {"requests": 1}}
    for key in ("", "x" * 4000):
        answer = weir.post("/v1/consume", body, headers={"Idempotency-Key": key})
        assert answer.status in (400, 422, 431), answer.raw
    assert target.state() == before


# ---- torn requests -------------------------------------------------------------------------------

def raw_exchange(port, sent):
    """Send these bytes, end the sending side, and read what comes, bounded in time."""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS_MAX) as connection:
        received = b""
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                received += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
        return received


def torn_requests():
    body = (b'{"customer": "bad-input", "subject": "team/a", "feature": "chat", '
            b'"quantities": {"requests": 1}}')
    head = b"POST /v1/consume HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    whole = head + length + body
    cuts = {f"cut after {n} bytes": whole[:n] for n in (
        1, 10, len(head) - 1, len(head) + 5, len(head + length), len(head + length) + 1,
        len(whole) - 1)}
    return cuts | {
        "longer than it says": head + b"Content-Length: 5\r\n\r\n" + body,
        "a negative length": head + b"Content-Length: -1\r\n\r\n" + body,
        "a length that is none": head + b"Content-Length: many\r\n\r\n" + body,
        "two lengths": head + b"Content-Length: 5\r\n" + length + body,
        "length and chunks": head + b"Transfer-Encoding: chunked\r\n" + length + b"0\r\n\r\n",
        "a torn chunk": head + b"Transfer-Encoding: chunked\r\n\r\n50\r\n" + body[:16],
        "a chunk that is none": head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + body,
        "no http": b"GARBAGE\r\n\r\n",
        "binary": bytes(range(256)) * 8,
        "a header without end": head + b"X: " + b"y" * 200_000,
        "ten thousand headers": head + b"X: y\r\n" * 10_000 + length + body,
        "a target without end": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
    }


@pytest.mark.parametrize("name, sent", torn_requests().items(), ids=list(torn_requests()))
def test_a_torn_request_does_nothing_and_harms_nobody(weir, target, name, sent):
    before = target.state()
    received = raw_exchange(weir.port, sent)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 4"), (name, received)
    assert b"\r\ncontent-type: application/problem+json" in head, (name, received)
    told, _ = json.JSONDecoder().raw_decode(body.decode())
    assert told["field"] and told["code"] and head.split()[1].decode() == str(told["status"])
    assert target.state() == before

"""gRPC: the same decisions, rules and keys as over HTTP, and what a hostile client does not get."""

import os
import random
import signal
import socket
import sqlite3
import ssl
import threading

import pytest

import grpc_client
from grpc_client import Caller, Refused, Wire, framed, frames, grpc, pb, port_of
from policies import policy
from raw import read_to_end, until
from test_tls import Certificate, SecureServer
from weir_client import INTEGER_MAX, MINUTE, allowed, denied, expect, problem, run

POLICY = policy("""
base:
  tier: 1
  features:
    chat:
      gates:
        - concurrency: {name: in-flight, limit: 3, scope: subject}
        - budget: {name: cap, credits: "500", per: month, start: calendar, scope: customer}
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{limit: 2, per: 5h, start: first_use}]}
        - grants: {category: paid}
    video: {waterfall: [{grants: {category: paid}}]}
    codex: {waterfall: [{grants: {category: paid}}]}
""")
NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, CALM = 0, 1, 7, 11


@pytest.fixture
def caller(weir):
    made = Caller(port_of(weir))
    yield made
    made.close()


@pytest.fixture
def wire(weir):
    made = Wire(port_of(weir))
    yield made
    made.close()


@pytest.fixture
def rich(weir, new_customer):
    customer = new_customer(weir, plan="base")
    customer.grant("10")
    return customer


def refusal(call, *arguments, **fields):
    with pytest.raises(Refused) as caught:
        call(*arguments, **fields)
    return caught.value


def ask(customer, units=1, **more):
    return {"customer": customer.name, "feature": "chat", "quantities": {"requests": units}, **more}


def said(message):
    """An answer as the JSON says it, as far as they are called the same."""
    word = lambda field, number: (  # noqa: E731
        message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number[number].name)
    return {
        "decision_id": message.decision_id,
        "outcome": word("outcome", message.outcome)[len("OUTCOME_"):].lower(),
        "units": {"requested": message.units.requested, "allowed": message.units.allowed},
        "allocations": [
            {"source": line.source, "units": line.units, "charged": line.charged,
             **({"grant_id": line.grant_id} if line.grant_id else {})}
            for line in message.allocations],
        "charged": message.charged,
        "price": message.price,
        "http": {"status": message.http.status, "headers": dict(message.http.headers)},
    }


def same(message, body):
    """An answer over gRPC and the JSON of the same decision."""
    expected = {key: body[key] for key in said(message)}
    for line in expected["allocations"]:
        del line["kind"]
    assert said(message) == expected
    code = pb.ReasonCode.Name(message.reason.code)
    assert code == "REASON_CODE_" + body["reason"]["code"].upper()


# ---- decisions -----------------------------------------------------------------------------------

def test_a_decision_says_what_its_json_says(caller, rich):
    over_http = expect(rich.check(5, explain=True))
    over_grpc = caller.Check(**ask(rich, 5, explain=True))
    assert over_grpc.decision_id == ""
    over_http["decision_id"] = ""
    same(over_grpc, over_http)
    assert [note.gate or note.source for note in over_grpc.explain] == [
        note.get("gate") or note["source"] for note in over_http["explain"]]
    assert over_grpc.explain[1].remaining_credits == over_http["explain"][1]["remaining"]
    assert over_grpc.explain[2].resets_at == (over_http["explain"][2]["resets_at"] or "")


def test_a_denial_is_an_answer_and_no_error(caller, rich):
    denied(rich.check(50), "insufficient_credits")
    body = expect(rich.check(50))
    message = caller.Check(**ask(rich, 50))
    body["decision_id"] = ""
    same(message, body)
    reason = message.reason
    assert (reason.limit, reason.scope, reason.message) == (
        body["reason"]["limit"], body["reason"]["scope"], body["reason"]["message"])
    assert pb.Who.Name(reason.who) == "WHO_CUSTOMER"
    assert pb.Remedy.Name(reason.remedy) == "REMEDY_ADD_CREDITS"
    assert not reason.HasField("retry_after_ms")


def test_hold_extend_commit_and_its_overshoot(caller, weir, rich):
    held = caller.Authorize(**ask(rich, 3, ttl_ms=MINUTE))
    assert held.hold.state == pb.HOLD_STATE_HELD
    more = caller.Extend(decision_id=held.decision_id, quantities={"requests": 2})
    assert (more.decision_id, more.units.requested) == (held.decision_id, 2)
    assert rich.funds() == ("7", "3")
    done = caller.Commit(decision_id=held.decision_id, quantities={"requests": 14})
    assert (done.units.allowed, done.charged, done.hold.state) == (12, "10",
                                                                   pb.HOLD_STATE_COMMITTED)
    assert (done.overshoot.units, done.overshoot.charged, done.overshoot.refunded) == (2, "2", "2")
    assert caller.Commit(decision_id=held.decision_id, quantities={"requests": 14}) == done
    other = refusal(caller.Commit, decision_id=held.decision_id, quantities={"requests": 1})
    assert (other.status, other.code) == ("FAILED_PRECONDITION", "hold_committed")
    assert "decision_id" in other.message


def test_a_commit_without_quantities_used_what_was_held(caller, weir, rich):
    held = caller.Authorize(**ask(rich, 5))
    done = caller.Commit(decision_id=held.decision_id)
    assert (done.units.allowed, done.charged) == (5, "3")
    assert caller.Commit(decision_id=held.decision_id, quantities={}) == done
    # Over HTTP it is the same commit, and {} another.
    assert expect(weir.post(f"/v1/holds/{held.decision_id}/commit", {}))["charged"] == "3"
    problem(weir.post(f"/v1/holds/{held.decision_id}/commit", {"quantities": {}}), 409, "was committed")


def test_release_expiry_and_a_late_commit(caller, weir, rich):
    first = caller.Authorize(**ask(rich, 1))
    ended = caller.Release(decision_id=first.decision_id)
    assert (ended.decision_id, ended.hold.state) == (first.decision_id, pb.HOLD_STATE_RELEASED)
    second = caller.Authorize(**ask(rich, 1, ttl_ms=1000))
    weir.advance(2000)
    late = caller.Commit(decision_id=second.decision_id, quantities={"requests": 1})
    assert late.late
    gone = refusal(caller.Release, decision_id="d_0000000000400")
    assert (gone.status, gone.code) == ("NOT_FOUND", "unknown_decision")


def test_usage_after_the_fact(caller, weir, rich):
    told = caller.Report(**ask(rich, 3, time="2026-05-01T11:00:00Z", status=pb.STATUS_SUCCEEDED,
                               duration_ms=0, compute="h100"))
    assert (told.units.allowed, told.charged) == (3, "1")
    assert rich.funds() == ("9", "0")


# ---- keys ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("first", ["http", "grpc"])
def test_a_key_means_one_request_whichever_way_it_comes(caller, rich, first):
    over_http = lambda: allowed(rich.consume(  # noqa: E731
        5, subject="a/b", attributes={"model": "m"}, idempotency_key="k", explain=True))
    over_grpc = lambda: caller.Consume(  # noqa: E731
        **ask(rich, 5, subject="a/b", attributes={"model": "m"}, idempotency_key="k", explain=True))
    if first == "http":
        body, message = over_http(), over_grpc()
    else:
        message, body = over_grpc(), over_http()
    same(message, body)
    assert rich.funds() == ("7", "0")


def test_a_replay_has_the_same_bytes(caller, weir, rich):
    message = pb.ConsumeRequest(**ask(rich, 4, idempotency_key="k", explain=True))
    first, _ = caller.raw("/weir.v1.Weir/Consume", message.SerializeToString())
    assert first == pb.Decision.FromString(first).SerializeToString(deterministic=True)
    rich.grant("50")
    weir.advance(MINUTE)
    for _ in range(3):
        assert caller.raw("/weir.v1.Weir/Consume", message.SerializeToString())[0] == first


def test_a_key_beside_the_message_is_the_same_key(caller, rich):
    beside = caller.Consume(metadata=[("idempotency-key", "k")], **ask(rich))
    within = caller.Consume(**ask(rich, idempotency_key="k"))
    assert beside == within
    two = refusal(caller.Consume, metadata=[("idempotency-key", "other")],
                  **ask(rich, idempotency_key="k"))
    assert (two.status, two.code) == ("INVALID_ARGUMENT", "invalid_value")
    assert "idempotency_key" in two.message
    two = refusal(caller.Consume, metadata=[("idempotency-key", "a"), ("idempotency-key", "b")],
                  **ask(rich))
    assert (two.status, "idempotency-key" in two.message) == ("INVALID_ARGUMENT", True)


def test_another_request_under_the_key_is_a_conflict(caller, rich):
    caller.Consume(**ask(rich, 1, idempotency_key="k"))
    other = refusal(caller.Consume, **ask(rich, 2, idempotency_key="k"))
    assert (other.status, other.code) == ("ALREADY_EXISTS", "idempotency_conflict")
    assert "idempotency_key" in other.message


# ---- what is wrong is named ----------------------------------------------------------------------

BAD = [
    ("customer", "missing_field", {"customer": ""}),
    ("customer", "invalid_value", {"customer": "a\x00b"}),
    ("customer", "invalid_value", {"customer": "x" * 257}),
    ("subject", "invalid_value", {"subject": "a//b"}),
    ("feature", "missing_field", {"feature": ""}),
    ("feature", "unknown_feature", {"feature": "chatt"}),
    ("quantities.furlongs", "unknown_meter", {"quantities": {"furlongs": 1}}),
    ("quantities.requests", "out_of_range", {"quantities": {"requests": INTEGER_MAX + 1}}),
    ("quantities.requests", "out_of_range", {"quantities": {"requests": 2**64 - 1}}),
    ("quantities", "invalid_value", {"quantities": {"": 1}}),
    ("attributes.model", "invalid_value", {"attributes": {"model": ""}}),
    ("idempotency_key", "invalid_value", {"idempotency_key": "k\n"}),
    ("ttl_ms", "invalid_value", {"ttl_ms": 0}),
    ("min_units", "invalid_value", {"min_units": 0}),
    ("min_units", "invalid_value", {"min_units": 9}),
    ("priority", "invalid_value", {"priority": 7}),
    ("status", "invalid_value", {"status": 9}),
    ("compute", "invalid_value", {"compute": "x" * 1025}),
]


@pytest.mark.parametrize("field, code, change", BAD, ids=[f"{row[0]}-{row[1]}-{number}"
                                                         for number, row in enumerate(BAD)])
def test_every_bad_input_names_its_field(caller, rich, field, code, change):
    funds = rich.funds()
    found = refusal(caller.Consume, **{**ask(rich, 3), **change})
    assert (found.status, found.code) == ("INVALID_ARGUMENT", code), found
    assert field in found.message, found
    assert rich.funds() == funds


def test_bytes_that_are_no_message_and_fields_that_nobody_knows(caller, rich):
    good = pb.ConsumeRequest(**ask(rich)).SerializeToString()
    for more, name in ((b"\x0a\xff", "weir.v1.ConsumeRequest"), (b"\x98\x06\x01", "99"),
                       (b"\x0a\x02\xff\xfe", "customer"), (b"\x22\x06\x0a\x04requ", "quantities")):
        found = refusal(caller.raw, "/weir.v1.Weir/Consume", good + more)
        assert found.status == "INVALID_ARGUMENT" and name in found.message, found


def test_names_of_any_language_come_back_as_they_went(caller, weir, new_customer):
    found = refusal(caller.Consume, customer="acme", feature="größe 100%", quantities={})
    assert "größe 100%" in found.message


# ---- gRPC's own ----------------------------------------------------------------------------------

def test_unknown_methods_and_what_is_compressed_are_unimplemented(caller, rich):
    for path in ("/weir.v1.Weir/Consumee", "/weir.v2.Weir/Consume", "/grpc.health.v1.Health/Watch"):
        found = refusal(caller.raw, path, b"")
        assert (found.status, found.code) == ("UNIMPLEMENTED", "not_found")
    message = pb.ConsumeRequest(**ask(rich, 1, compute="x" * 500)).SerializeToString()
    found = refusal(caller.raw, "/weir.v1.Weir/Consume", message, compression=grpc.Compression.Gzip)
    assert (found.status, found.code) == ("UNIMPLEMENTED", "unsupported")


def test_a_message_beyond_its_ceiling_and_one_at_it(caller, rich):
    found = refusal(caller.Consume, **ask(rich, compute="x" * (1 << 20)))
    assert (found.status, found.code) == ("RESOURCE_EXHAUSTED", "too_large")
    whole = pb.ConsumeRequest(**ask(rich)).SerializeToString()
    padded = whole + b"\x72\xfa\xff\x3f"[:1]
    rest = (1 << 20) - len(padded) - 3
    padded += (rest & 127 | 128).to_bytes(1, "big") + (rest >> 7 & 127 | 128).to_bytes(1, "big")
    padded += (rest >> 14).to_bytes(1, "big") + b"x" * rest
    assert len(padded) == 1 << 20
    found = refusal(caller.raw, "/weir.v1.Weir/Consume", padded)
    assert (found.status, "compute" in found.message) == ("INVALID_ARGUMENT", True)


def test_a_trace_is_the_name_of_its_request(caller, rich):
    trace = "0af7651916cd43dd8448eb211c80319c"
    metadata = [("traceparent", f"00-{trace}-b7ad6b7169203331-01")]
    message = pb.CheckRequest(**ask(rich)).SerializeToString()
    _, trailing = caller.raw("/weir.v1.Weir/Check", message, metadata)
    assert trailing["x-request-id"] == trace
    found = refusal(caller.raw, "/weir.v1.Weir/Check", b"", metadata)
    assert found.trailing["x-request-id"] == trace


def test_health_is_told_to_whoever_asks(caller):
    serving = grpc_client.health.HealthCheckResponse.SERVING
    assert caller.health() == serving
    assert caller.health("weir.v1.Weir") == serving
    assert refusal(caller.health, "weir.v2.Weir").status == "NOT_FOUND"


def test_not_grpc_is_told_so_in_http(weir, wire):
    wire.send(wire.head(1, kind="application/json", end=True), wire.head(3, verb="GET", end=True),
              wire.head(5, kind="application/grpc-web", end=True))
    assert wire.answer(1)[0][":status"] == "415"
    assert wire.answer(3)[0][":status"] == "405"
    assert wire.answer(5)[0][":status"] == "415"


@pytest.mark.parametrize("payload", [b"", b"\x00\x00", framed(b"\x0a")[:-1],
                                     framed(b"") + framed(b""), framed(b"") + b"\x00"])
def test_a_call_is_one_whole_message(wire, payload):
    wire.send(wire.head(1), wire.data(1, payload))
    fields, _ = wire.answer(1)
    assert (fields["grpc-status"], fields["weir-code"]) == ("3", "bad_request")


def test_a_message_may_come_in_pieces_and_between_others(weir, rich):
    wire = Wire(port_of(weir))
    payload = framed(pb.CheckRequest(**ask(rich)).SerializeToString())
    streams = range(1, 41, 2)
    wire.send(*(wire.head(stream, "Check") for stream in streams))
    for at in range(0, len(payload), 3):
        piece = payload[at:at + 3]
        wire.send(*(wire.data(stream, piece, at + 3 >= len(payload)) for stream in streams))
    answers = {stream: {} for stream in streams}
    while not all("grpc-status" in fields for fields in answers.values()):
        frame = wire.until(lambda frame: isinstance(frame, frames.HeadersFrame))
        answers[frame.stream_id].update(frame.fields)
    assert {fields["grpc-status"] for fields in answers.values()} == {"0"}
    wire.close()


# ---- deadlines -----------------------------------------------------------------------------------

@pytest.mark.parametrize("text", ["", "5", "S", "-1S", "123456789S", "1x", "1 S"])
def test_a_timeout_that_is_none_is_refused(wire, text):
    wire.send(wire.head(1, more=[("grpc-timeout", text)], end=True))
    fields, _ = wire.answer(1)
    assert (fields["grpc-status"], fields["weir-code"]) == ("3", "invalid_value")
    assert "grpc-timeout" in fields["grpc-message"]


def test_after_its_deadline_a_call_may_stand_and_its_key_tells(weir, wire, caller, rich):
    """No time at all: the decision is made in the turn that reads it, and durable in a later one."""
    message = pb.ConsumeRequest(**ask(rich, 3, idempotency_key="k")).SerializeToString()
    wire.send(wire.head(1, more=[("grpc-timeout", "0n")]), wire.data(1, framed(message)))
    fields, _ = wire.answer(1)
    assert (fields["grpc-status"], fields["weir-code"]) == ("4", "outcome_unknown")
    assert caller.Consume(**ask(rich, 3, idempotency_key="k")).units.allowed == 3
    assert rich.funds() == ("9", "0")


def test_deadlines_are_kept_while_the_journal_stands_still(fresh, new_customer):
    """Somebody else writes into its file: nothing gets durable. What was under way and what waited behind
    it are both told; each happens once, whichever it was."""
    server = fresh()
    customer = new_customer(server, plan="base")
    customer.grant("300")
    wire, calls = Wire(port_of(server)), 200
    streams = {2 * number + 1: number for number in range(calls)}
    patient = 2 * calls + 1

    def message(key):
        asked = ask(customer, idempotency_key=str(key))
        return framed(pb.ConsumeRequest(**asked).SerializeToString())
    journal = sqlite3.connect(server.data / "journal.db", timeout=30, isolation_level=None)
    journal.execute("BEGIN IMMEDIATE")
    for stream, number in streams.items():
        wire.send(wire.head(stream, more=[("grpc-timeout", f"{1 + number % 50}m")]),
                  wire.data(stream, message(number)))
    wire.send(wire.head(patient), wire.data(patient, message("patient")))
    told = {}
    while len(told) < calls:
        frame = wire.until(lambda frame: isinstance(frame, frames.HeadersFrame))
        assert "END_STREAM" in frame.flags and frame.stream_id not in told
        told[frame.stream_id] = frame.fields["grpc-status"]
    assert told == dict.fromkeys(streams, "4")
    journal.execute("ROLLBACK")
    journal.close()
    assert pb.Decision.FromString(wire.answer(patient)[1]).units.allowed == 1
    again = {patient + 1 + stream: number for stream, number in streams.items()}
    for stream, number in again.items():
        wire.send(wire.head(stream), wire.data(stream, message(number)))
        assert pb.Decision.FromString(wire.answer(stream)[1]).units.allowed == 1
    assert customer.funds() == (str(300 - (calls + 1 - 2)), "0")  # two are free
    wire.close()


def test_a_client_that_leaves_changes_nothing_for_others(weir, caller, rich):
    wire = Wire(port_of(weir))
    message = framed(pb.ConsumeRequest(**ask(rich, 1, idempotency_key="k")).SerializeToString())
    for stream in range(1, 101, 2):
        wire.send(wire.head(stream), wire.data(stream, message), wire.reset(stream))
    wire.close()
    assert caller.Consume(**ask(rich, 1, idempotency_key="k")).units.allowed == 1
    assert rich.funds() == ("10", "0")


# ---- who may -------------------------------------------------------------------------------------

def test_keys_are_asked_for_as_over_http(fresh, tmp_path):
    admin = tmp_path / "admin.key"
    admin.write_text("weir_admin_0123456789abcdefghijklmnop\n")
    admin.chmod(0o600)
    server = fresh(start=False, arguments=["--admin-key", str(admin)]).spawn()
    boss = {"Authorization": "Bearer " + admin.read_text().strip()}
    until(lambda: server.process.poll() is not None or "listening on http" in server.stderr(), "it")
    made = expect(server.request("POST", "/v1/keys", {"scopes": ["read"]}, headers=boss))
    request = {"customer": "acme", "feature": "chat", "quantities": {"requests": 1}}
    nobody, reader = Caller(port_of(server)), Caller(
        port_of(server), metadata=[("authorization", f"Bearer {made['key']}")])
    found = refusal(nobody.Check, **request)
    assert (found.status, found.code) == ("UNAUTHENTICATED", "unauthorized")
    assert reader.Check(**request).outcome == pb.OUTCOME_ALLOW
    found = refusal(reader.Consume, **request)
    assert (found.status, found.code) == ("PERMISSION_DENIED", "forbidden")
    for method, answer in (("Authorize", "forbidden"), ("Extend", "forbidden"),
                           ("Release", "forbidden"), ("Commit", "forbidden"),
                           ("Report", "forbidden")):
        fields = request if method in ("Authorize", "Report") else {
            "decision_id": "d_0000000000400"}
        assert refusal(getattr(reader, method), **fields).code == answer
    assert nobody.health() == grpc_client.health.HealthCheckResponse.SERVING
    assert server.stop() == 0


def test_beyond_loopback_only_with_keys(tmp_path):
    status, _, stderr = run("serve", "--data", tmp_path / "data", "--http", "127.0.0.1:0",
                            "--grpc", "0.0.0.0:0")
    assert status == 1
    assert "--grpc" in stderr and "loopback only" in stderr


# ---- TLS -----------------------------------------------------------------------------------------

def test_tls_agrees_on_http2_and_on_nothing_else(tmp_path):
    certificate = Certificate(tmp_path, "door")
    server = SecureServer(tmp_path / "server", POLICY, arguments=certificate.arguments)
    server.trusted = certificate
    server.start()
    try:
        port = port_of(server)
        secure = Caller(port, grpc.ssl_channel_credentials(certificate.cert.read_bytes()))
        fields = {"customer": "acme", "feature": "chat", "quantities": {"requests": 1}}
        assert secure.Consume(**fields).outcome == pb.OUTCOME_ALLOW
        context = ssl.create_default_context(cafile=str(certificate.cert))
        context.set_alpn_protocols(["http/1.1"])
        with socket.create_connection(("127.0.0.1", port)) as bare, pytest.raises(ssl.SSLError):
            context.wrap_socket(bare, server_hostname="127.0.0.1")
        context.set_alpn_protocols(["http/1.1", "h2"])
        with socket.create_connection(("127.0.0.1", port)) as bare:
            sock = context.wrap_socket(bare, server_hostname="127.0.0.1")
            assert sock.selected_alpn_protocol() == "h2"
        with Wire(port).sock as plain:
            received, _ = read_to_end(plain)
            assert received[:1] in (b"", b"\x15")  # an alert, or nothing
        secure.close()
        other = Certificate(tmp_path, "other")
        certificate.cert.write_bytes(other.cert.read_bytes())
        certificate.key.write_bytes(other.key.read_bytes())
        server.process.send_signal(signal.SIGHUP)
        until(lambda: ssl.get_server_certificate(("127.0.0.1", port)) == other.cert.read_text(),
              "the new certificate")
        secure = Caller(port, grpc.ssl_channel_credentials(other.cert.read_bytes()))
        assert secure.Consume(**fields).outcome == pb.OUTCOME_ALLOW
        secure.close()
    finally:
        assert server.stop() == 0


# ---- stopping ------------------------------------------------------------------------------------

def test_a_stop_says_goodbye_and_lets_calls_end(fresh):
    server = fresh()
    port = port_of(server)
    wire, idle = Wire(port), Wire(port)
    message = framed(pb.ConsumeRequest(customer="acme", feature="chat",
                                       quantities={"requests": 1}).SerializeToString())
    wire.send(wire.head(1), wire.data(1, message[:5], end=False),
              frames.PingFrame(0, b"12345678"))
    wire.until(lambda frame: isinstance(frame, frames.PingFrame))
    server.process.send_signal(signal.SIGTERM)
    leave = wire.until(lambda frame: isinstance(frame, frames.GoAwayFrame))
    assert (leave.error_code, leave.last_stream_id) == (NO_ERROR, 1)
    wire.send(wire.data(1, message[5:]))
    assert wire.answer(1)[0]["grpc-status"] == "0"
    assert wire.goodbye() is None and idle.goodbye() == NO_ERROR
    assert server.stop() == 0


# ---- a hostile world, with a good client beside --------------------------------------------------

class Beside:
    """A good client that goes on all the while; every call of it must be answered."""

    def __init__(self, weir, customer):
        self.caller, self.customer = Caller(port_of(weir)), customer
        self.calls, self.failed, self.is_over = 0, None, False
        self.thread = threading.Thread(target=self.go)

    def go(self):
        try:
            while not self.is_over:
                self.caller.Check(**ask(self.customer))
                self.calls += 1
        except Exception as error:  # pylint: disable=broad-except
            self.failed = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        before = self.calls
        until(lambda: self.failed or self.calls > before + 10, "the good client's next answers")
        self.is_over = True
        self.thread.join()
        self.caller.close()
        assert self.failed is None, self.failed


@pytest.fixture
def beside(weir, rich):
    with Beside(weir, rich) as good:
        yield good


def bare(weir):
    sock = socket.create_connection(("127.0.0.1", port_of(weir)))
    sock.settimeout(grpc_client.SECONDS_MAX)
    return sock


def push(wire, piece, times):
    """The same bytes again and again until the server has had enough; it may be gone meanwhile."""
    try:
        for _ in range(times):
            wire.sock.sendall(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass


def test_random_bytes_end_their_connection_alone(weir, beside):
    noise = random.Random(7)
    for number in range(200):
        sock = bare(weir)
        opening = [b"", grpc_client.PREFACE, grpc_client.PREFACE + frames.SettingsFrame(0).serialize()]
        with sock:
            try:
                sock.sendall(opening[number % 3] + noise.randbytes(noise.randrange(1, 3000)))
            except (BrokenPipeError, ConnectionResetError):
                pass


def test_frames_with_changed_bytes_end_at_most_their_connection(weir, beside, rich):
    noise = random.Random(11)
    for _ in range(200):
        wire = Wire(port_of(weir))
        message = framed(pb.CheckRequest(**ask(rich)).SerializeToString())
        good = wire.head(1, "Check").serialize() + wire.data(1, message).serialize()
        bad = bytearray(good)
        for _ in range(noise.randrange(1, 6)):
            bad[noise.randrange(len(bad))] = noise.randrange(256)
        push(wire, bytes(bad), 1)
        wire.close()


def test_half_a_frame_is_waited_for_and_then_left(weir, beside, wire, rich):
    message = framed(pb.CheckRequest(**ask(rich)).SerializeToString())
    whole = wire.head(1, "Check").serialize() + wire.data(1, message).serialize()
    for at in range(1, len(whole), 7):
        half = Wire(port_of(weir))
        half.sock.sendall(whole[:at])
        half.close()
    for byte in whole:
        wire.sock.sendall(bytes([byte]))
    assert wire.answer(1)[0]["grpc-status"] == "0"


def test_rapid_reset_is_asked_to_calm_down(weir, beside, wire, rich):
    message = framed(pb.CheckRequest(**ask(rich)).SerializeToString())
    for stream in range(1, 20001, 2):
        push(wire, wire.head(stream, "Check").serialize() + wire.data(stream, message).serialize()
             + wire.reset(stream).serialize(), 1)
    assert wire.goodbye() in (CALM, None)  # None: the reset overtook it
    assert weir.get("/healthz").body["status"] == "ok"


def test_rapid_reset_has_a_goodbye_that_says_why(weir, wire):
    wire.send(*(frame for stream in range(1, 2003, 2)
                for frame in (wire.head(stream), wire.reset(stream))))
    assert wire.goodbye() == CALM


@pytest.mark.parametrize("frame", [
    frames.PingFrame(0, b"12345678"), frames.SettingsFrame(0),
    frames.WindowUpdateFrame(0, window_increment=1), frames.PriorityFrame(1, depends_on=3),
], ids=lambda frame: type(frame).__name__)
def test_a_flood_of_frames_that_ask_for_nothing_is_ended(weir, beside, wire, frame):
    push(wire, frame.serialize() * 2500, 1)  # over 1,000 in one second or the other
    assert wire.goodbye() == CALM


def test_empty_data_without_end_is_a_flood_too(weir, beside, wire):
    wire.send(wire.head(1))
    push(wire, wire.data(1, b"", end=False).serialize() * 2500, 1)  # over 1,000 in one second or the other
    assert wire.goodbye() == CALM


def test_a_stream_of_continuations_is_ended(weir, beside, wire):
    head = wire.head(1)
    head.flags = set()
    more = frames.ContinuationFrame(1, b"")
    push(wire, head.serialize(), 1)
    push(wire, more.serialize() * 1000, 20)
    assert wire.goodbye() is not NO_ERROR


def test_headers_beyond_their_ceiling_are_refused_and_a_bomb_of_them_ends_it(weir, beside, wire):
    """Some bytes each, by HPACK's table, and 3 KiB as HTTP/2 counts."""
    wire.send(wire.head(1, more=[("x-a", "y" * 3000)] * 10), wire.data(1, framed(b"")))
    assert wire.answer(1)[0]["weir-code"] == "missing_field"  # 32 KiB: not yet
    wire.send(wire.head(3, more=[("x-a", "y" * 3000)] * 11))
    fields, _ = wire.answer(3)
    assert (fields["grpc-status"], fields["weir-code"]) == ("8", "headers_too_large")
    wire.send(wire.head(5, more=[(f"x-{number}", "") for number in range(101)]))
    assert wire.answer(5)[0]["weir-code"] == "headers_too_large"
    wire.send(wire.head(7, more=[("x-a", "y" * 3000)] * 60))
    assert wire.goodbye() == CALM


def test_a_bomb_of_headers_behind_a_message_ends_it_too(weir, beside, wire):
    wire.send(wire.head(1), wire.data(1, framed(b"")[:3], end=False))
    trailers = frames.HeadersFrame(1, wire.encoder.encode([("x-a", "y" * 3000)] * 60))
    trailers.flags = {"END_HEADERS", "END_STREAM"}
    wire.send(trailers)
    assert wire.goodbye() == CALM


@pytest.mark.parametrize("is_told", [False, True])
def test_more_streams_than_there_may_be_are_refused(weir, beside, wire, rich, is_told):
    """Who cannot know yet may send it again; who was told has broken the protocol."""
    settings = wire.until(lambda frame: isinstance(frame, frames.SettingsFrame))
    most = settings.settings[frames.SettingsFrame.MAX_CONCURRENT_STREAMS]
    assert most == 256
    if is_told:
        wire.send(frames.SettingsFrame(0, flags=["ACK"]))
    wire.send(*(wire.head(2 * number + 1, "Check") for number in range(most + 1)))
    if is_told:
        assert wire.goodbye() == PROTOCOL_ERROR
        return
    over = wire.until(lambda frame: isinstance(frame, frames.RstStreamFrame))
    assert (over.stream_id, over.error_code) == (2 * most + 1, REFUSED_STREAM)
    message = framed(pb.CheckRequest(**ask(rich)).SerializeToString())
    wire.send(wire.data(1, message))
    assert wire.answer(1)[0]["grpc-status"] == "0"


# ---- ceilings that take a server of their own ----------------------------------------------------

def test_a_call_that_does_not_come_whole_is_told_after_its_time(fresh):
    server = fresh(arguments=["--request-timeout", "1s"])
    wire = Wire(port_of(server))
    wire.send(wire.head(1), wire.data(1, b"\x00\x00\x00\x00\x09", end=False))
    fields, _ = wire.answer(1)
    assert (fields["grpc-status"], fields["weir-code"]) == ("4", "request_timeout")
    wire.close()


def test_an_answer_that_no_window_is_opened_for_is_not_kept(fresh):
    server = fresh(arguments=["--write-timeout", "1s"])
    wire = Wire(port_of(server), window=0)
    message = framed(pb.CheckRequest(customer="acme", feature="chat",
                                     quantities={"requests": 1}).SerializeToString())
    wire.send(wire.head(1, "Check"), wire.data(1, message))
    wire.goodbye()  # within its time, or the socket's time-out fails this
    wire.close()


def test_large_messages_give_way_to_each_other_and_small_ones_go_on(fresh):
    server = fresh(arguments=["--buffers", "16M"])
    port = port_of(server)
    good = Caller(port)
    fields = {"customer": "acme", "feature": "chat", "quantities": {"requests": 1}}
    held = [Wire(port) for _ in range(40)]
    for wire in held:
        wire.send(wire.head(1), wire.data(1, framed(b"x" * (1 << 20))[:5], end=False))
        payload, window = b"x" * 16384, 60000
        wire.send(*(wire.data(1, payload, end=False) for _ in range(window // len(payload))))
        sent = window // len(payload) * len(payload)
        while sent + len(payload) < 1 << 20:
            update = wire.until(lambda frame: isinstance(
                frame, (frames.WindowUpdateFrame, frames.HeadersFrame)))
            if isinstance(update, frames.HeadersFrame):
                break
            if update.stream_id == 1:
                for _ in range(update.window_increment // len(payload)):
                    wire.send(wire.data(1, payload, end=False))
                    sent += len(payload)
        assert good.Consume(**fields).decision_id
    told = [fields for fields in (first_headers(wire) for wire in held[:20]) if fields]
    assert told and {fields["weir-code"] for fields in told} == {"overloaded"}
    assert {fields["grpc-status"] for fields in told} == {"14"}
    for wire in held:
        wire.close()
    good.close()


def first_headers(wire):
    while (frame := wire.read()) is not None:
        if isinstance(frame, frames.HeadersFrame):
            return frame.fields
    return None


def test_off_is_off(fresh):
    server = fresh(arguments=["--grpc", "off"])
    assert "grpc://" not in server.stderr_file.read_text()


def test_what_it_holds_is_in_the_metrics_and_in_health(fresh, weir):
    def metric(name):
        line = f'{name}{{listener="grpc"}} '
        text = weir.get("/metrics").raw.decode()
        return int(text.partition("\n" + line)[2].split("\n")[0])
    before, flooded = metric("weir_connections_accepted_total"), metric("weir_connections_shed_total")
    wire = Wire(port_of(weir))
    push(wire, frames.PingFrame(0, b"12345678").serialize() * 2500, 1)  # over 1,000 in one second or the other
    assert wire.goodbye() == CALM
    assert metric("weir_connections_accepted_total") == before + 1
    assert metric("weir_connections_shed_total") == flooded + 1
    assert 'weir_requests_total{call="GRPC weir.v1.Weir/Check",' in (
        weir.get("/metrics").raw.decode())


def test_who_comes_to_a_full_house_takes_the_place_of_who_waits(fresh):
    server = fresh(arguments=["--connections", "4"])
    port = port_of(server)
    idle = [Wire(port) for _ in range(4)]
    for wire in idle:
        wire.until(lambda frame: isinstance(frame, frames.SettingsFrame))
    fields = {"customer": "acme", "feature": "chat", "quantities": {"requests": 1}}

    def is_let_in():
        good = Caller(port)
        try:
            return bool(good.Consume(**fields).decision_id)
        except Refused:
            return False
        finally:
            good.close()
    until(is_let_in, "a place")
    for wire in idle:
        wire.close()


def test_the_contract_is_what_protoc_makes_of_it():
    """Names of methods in the file and here."""
    service = pb.DESCRIPTOR.services_by_name["Weir"]
    assert {method.name for method in service.methods} == set(grpc_client.METHODS)
    for method in service.methods:
        request, answer = grpc_client.METHODS[method.name]
        assert (method.input_type, method.output_type) == (request.DESCRIPTOR, answer.DESCRIPTOR)
    assert os.path.isfile(grpc_client.API / "weir.proto")

"""RESP: the real redis-cli and redis-py, pipelines, keys, and bytes that no client would send
(API.md section 5, SEMANTICS A6)."""

import contextlib
import random
import socket
import threading

import pytest

from policies import policy
from raw import until
from resp_client import Decision, Wire, cli, connect, multibulk, redis
from test_tls import Certificate, SecureServer
from weir_client import (HOUR, Server, StartFailed, allowed, decided, denied, expect, free_port, to_ms,
                         to_text)

PLANS = """
base:
  tier: 1
  features:
    chat:
      gates:
        - rate: {name: pace, meter: requests, limit: 1000, per: 1m, burst: 100000, scope: customer}
      waterfall:
        - allowance: {name: included, scope: customer, windows: [{limit: 2, per: 5h, start: first_use}]}
        - grants: {category: paid}
    picky: {waterfall: [{grants: {category: paid}}]}
    third: {waterfall: [{grants: {category: paid}}]}
free:
  tier: 2
  features:
    chat: {waterfall: [{unlimited: {}}]}
"""
POLICY = policy(PLANS)


@pytest.fixture
def rich(weir, new_customer):
    customer = new_customer(weir, plan="base")
    customer.grant("100")
    return customer


def refused(client, *words):
    with pytest.raises(redis.ResponseError) as failure:
        client.execute_command(*words)
    return str(failure.value)


# ---- A6: what commands answer --------------------------------------------------------------------

def test_a6_a_decision_is_an_array_with_an_array_for_each_allocation(weir, rich):
    client = connect(weir)
    answer = client.execute_command("WEIR.CONSUME", rich.name, "-", "chat", "-", "requests", 5)
    decision = Decision(answer)
    assert (decision.outcome, decision.units, decision.charged) == ("allow", 5, "3")
    assert (decision.reason, decision.retry_after_ms) == ("ok", -1)
    assert decision.lines == [["included", 2, "0"], ["paid", 3, "3"]]
    assert isinstance(answer[2], int) and isinstance(answer[3], bytes)
    receipt = expect(weir.get(f"/v1/decisions/{decision.id}"))
    assert receipt["decision_id"] == decision.id
    assert rich.funds() == ("97", "0")


def test_a6_a_denial_has_a_decision_id_and_its_reason(weir, new_customer):
    customer = new_customer(weir, plan="base")
    client = connect(weir)
    decision = Decision(client.execute_command("WEIR.CONSUME", customer.name, "-", "chat", "-",
                                               "requests", 3))
    told = denied(customer.consume(3), "insufficient_credits")
    assert (decision.outcome, decision.units, decision.charged) == ("deny", 0, "0")
    assert decision.id.startswith("d_") and decision.lines == []
    assert decision.reason == told["code"]
    assert decision.retry_after_ms == (told["retry_after_ms"] or -1)
    partial = Decision(client.execute_command("WEIR.CONSUME", customer.name, "-", "chat", "-",
                                              "requests", 3, "MIN", 1))
    assert (partial.outcome, partial.units) == ("partial", 2)


def test_a6_a_hold_is_committed_late_or_released(weir, rich):
    client = connect(weir)

    def hold(ttl):
        return Decision(client.execute_command(
            "WEIR.AUTHORIZE", rich.name, "team/alice", "chat", "-", "TTL", ttl, "requests", 4))

    held = hold(60000)
    assert (held.outcome, held.units, held.charged) == ("allow", 4, "2")
    assert rich.funds() == ("98", "2")
    committed = Decision(client.execute_command("WEIR.COMMIT", held.id, "requests", 3))
    assert (committed.outcome, committed.id) == ("committed", held.id)
    assert (committed.units, committed.charged, committed.reason) == (3, "1", "ok")
    assert committed.lines == [["included", 2, "0"], ["paid", 1, "1"]]

    given_back = hold(60000)
    assert client.execute_command("WEIR.RELEASE", given_back.id) in (b"OK", True)
    assert client.execute_command("WEIR.RELEASE", given_back.id) in (b"OK", True)
    assert refused(client, "WEIR.COMMIT", given_back.id, "requests", 1).startswith("HOLD_RELEASED ")

    over = hold(1000)
    weir.advance(2000)
    late = Decision(client.execute_command("WEIR.COMMIT", over.id, "requests", 4))
    assert (late.outcome, late.id) == ("late", over.id)
    failed = hold(60000)
    ended = Decision(client.execute_command("WEIR.COMMIT", failed.id, "requests", 4, "STATUS",
                                            "failed"))
    assert (ended.outcome, ended.charged) == ("committed", "0")


def test_a6_attributes_are_pairs_and_repeat(weir, rich):
    client = connect(weir)
    decision = Decision(client.execute_command(
        "WEIR.CONSUME", rich.name, "-", "picky", "-", "requests", 1, "ATTR", "model", "large",
        "attr", "speed", "fast"))
    assert decision.charged == "7"
    asked = expect(weir.get(f"/v1/decisions/{decision.id}"))["request"]
    assert asked["attributes"] == {"model": "large", "speed": "fast"}
    assert asked["quantities"] == {"requests": 1}


def test_a6_the_keywords_are_no_meters_in_any_case(weir, rich):
    """And stand anywhere behind the key."""
    client = connect(weir)
    decision = Decision(client.execute_command(
        "weir.authorize", rich.name, "a/b", "chat", "k-words", "min", 2, "credits", "requests", 2,
        "Ttl", 5000))
    assert decision.outcome == "allow"
    receipt = expect(weir.get(f"/v1/decisions/{decision.id}"))
    asked = receipt["request"]
    assert (asked["ttl_ms"], asked["min_units"], asked["use_credits"]) == (5000, 2, True)
    assert receipt["subject"] == "a/b"
    assert Decision(client.execute_command(
        "WEIR.AUTHORIZE", rich.name, "a/b", "chat", "k-words", "TTL", 5000, "requests", 2, "MIN", 2,
        "CREDITS")).id == decision.id


def test_consent_is_credits(weir, new_customer):
    customer = new_customer(weir, plan="base", credit_mode="ask")
    customer.grant("10")
    client = connect(weir)
    words = ["WEIR.CONSUME", customer.name, "-", "chat", "-", "requests", 4]
    assert Decision(client.execute_command(*words)).reason == "credits_need_consent"
    assert Decision(client.execute_command(*words, "CREDITS")).charged == "2"


# ---- one request whatever way it comes -----------------------------------------------------------

def test_a_key_means_one_request_over_http_and_resp(weir, rich):
    client = connect(weir)
    words = ["WEIR.CONSUME", rich.name, "team/bob", "chat", "both", "requests", 5, "ATTR", "origin",
             "batch"]
    fields = {"subject": "team/bob", "attributes": {"origin": "batch"}, "idempotency_key": "both"}
    first = Decision(client.execute_command(*words))
    again = allowed(rich.consume(5, **fields))
    assert (again["decision_id"], again["charged"]) == (first.id, first.charged)
    assert [[line["source"], line["units"], line["charged"]]
            for line in again["allocations"]] == first.lines
    assert client.execute_command(*words) == client.execute_command(*words)
    assert rich.funds() == ("97", "0")
    other = [*words[:6], 6, *words[7:]]
    assert refused(client, *other).startswith("IDEMPOTENCY_CONFLICT ")

    fields["idempotency_key"] = words[4] = "http-first"
    told = allowed(rich.consume(5, **fields))
    assert Decision(client.execute_command(*words)).id == told["decision_id"]


def test_a_key_is_remembered_over_a_restart(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir, plan="base")
    customer.grant("10")
    words = ["WEIR.AUTHORIZE", customer.name, "-", "chat", "k", "requests", 5]
    first = connect(weir).execute_command(*words)
    for hard in (False, True):
        weir.restart(hard=hard)
        assert connect(weir).execute_command(*words) == first


# ---- wrong input ---------------------------------------------------------------------------------

@pytest.mark.parametrize("words,code,names", [
    (["WEIR.CONSUME"], "MISSING_FIELD", "customer"),
    (["WEIR.CONSUME", "CUSTOMER"], "MISSING_FIELD", "feature"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "-"], "MISSING_FIELD", "quantities"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "-", "requests"], "MISSING_FIELD", "quantities.requests"),
    (["WEIR.CONSUME", "", "-", "chat", "-", "requests", 1], "INVALID_VALUE", "customer"),
    (["WEIR.CONSUME", b"\xff\xfe", "-", "chat", "-", "requests", 1], "INVALID_VALUE", "customer"),
    (["WEIR.CONSUME", "c" * 257, "-", "chat", "-", "requests", 1], "INVALID_VALUE", "customer"),
    (["WEIR.CONSUME", "CUSTOMER", "a//b", "chat", "-", "requests", 1], "INVALID_VALUE", "subject"),
    (["WEIR.CONSUME", "CUSTOMER", "", "chat", "-", "requests", 1], "INVALID_VALUE", "subject"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "nope", "-", "requests", 1], "UNKNOWN_FEATURE", "feature"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "a\nb", "requests", 1], "INVALID_VALUE", "idempotency_key"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "k" * 257, "requests", 1], "INVALID_VALUE", "idempotency_key"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "-", "requests", "x"], "INVALID_SHAPE", "quantities.requests"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "-", "requests", ""], "INVALID_SHAPE", "quantities.requests"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "-", "requests", "1.5"], "INVALID_VALUE", "quantities.requests"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "-", "requests", "-1"], "INVALID_VALUE", "quantities.requests"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "-", "requests", "-"], "INVALID_VALUE", "quantities.requests"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "-", "requests", 2 ** 53], "OUT_OF_RANGE", "quantities.requests"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "-", "requests", 1, "requests", 1], "DUPLICATE_FIELD",
     "quantities.requests"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "-", "furlongs", 1], "UNKNOWN_METER", "furlongs"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "-", "requests", 1, "MIN"], "MISSING_FIELD", "min_units"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "-", "requests", 1, "MIN", 0], "INVALID_VALUE", "min_units"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "-", "requests", 1, "MIN", 1, "MIN", 1], "DUPLICATE_FIELD",
     "min_units"),
    (["WEIR.AUTHORIZE", "CUSTOMER", "-", "chat", "-", "TTL", 0, "requests", 1], "INVALID_VALUE", "ttl_ms"),
    (["WEIR.AUTHORIZE", "CUSTOMER", "-", "chat", "-", "requests", 1, "STATUS", "failed"], "UNKNOWN_FIELD",
     "status"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "-", "requests", 1, "ATTR"], "MISSING_FIELD", "attributes"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "-", "requests", 1, "ATTR", "model"], "MISSING_FIELD",
     "attributes.model"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "-", "requests", 1, "ATTR", "model", ""], "INVALID_VALUE",
     "attributes.model"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "chat", "-", "requests", 1, "ATTR", "m", "a", "ATTR", "m", "a"],
     "DUPLICATE_FIELD", "attributes.m"),
    (["WEIR.CONSUME", "CUSTOMER", "-", "picky", "-", "requests", 1], "NO_PRICE", ""),
    (["WEIR.COMMIT"], "MISSING_FIELD", "decision_id"),
    (["WEIR.COMMIT", "nonsense", "requests", 1], "UNKNOWN_DECISION", "decision_id"),
    (["WEIR.COMMIT", "d_0000000000400", "requests", 1, "STATUS", "lost"], "INVALID_VALUE", "status"),
    (["WEIR.COMMIT", "d_0000000000400", "ATTR", "a", "b"], "UNKNOWN_FIELD", "attributes"),
    (["WEIR.RELEASE"], "MISSING_FIELD", "decision_id"),
    (["WEIR.RELEASE", "d_0000000000400"], "UNKNOWN_DECISION", "decision_id"),
    (["WEIR.RELEASE", "d_0000000000400", "requests", 1], "UNKNOWN_FIELD", "quantities"),
])
def test_wrong_input_is_told_by_field_and_changes_nothing(weir, rich, words, code, names):
    words = [rich.name if word == "CUSTOMER" else word for word in words]
    before = rich.funds()
    with Wire(weir) as wire:
        told = wire.ask(*words)
        assert told.startswith(f"-{code} ") and names in told, told
        assert told.isprintable(), told
        assert wire.ask("PING") == "+PONG"
    assert rich.funds() == before


def test_more_members_than_there_may_be_are_refused(weir, rich):
    with Wire(weir) as wire:
        meters = [word for n in range(9) for word in (f"m{n}", 1)]
        assert "quantities.m8" in wire.ask("WEIR.CONSUME", rich.name, "-", "chat", "-", *meters)
        pairs = [word for n in range(17) for word in ("ATTR", f"a{n}", "x")]
        told = wire.ask("WEIR.CONSUME", rich.name, "-", "chat", "-", "requests", 1, *pairs)
        assert told.startswith("-INVALID_VALUE ") and "attributes.a16" in told


@pytest.mark.parametrize("data,words", [
    (b"*129\r\n", "invalid multibulk length"),
    (b"*99999999999\r\n", "invalid multibulk length"),
    (b"*x\r\n", "invalid multibulk length"),
    (b"*1\n$4\nPING\n", "invalid multibulk length"),
    (b"*1\r\n:4\r\n", "expected '$'"),
    (b"*1\r\n$-1\r\n", "invalid bulk length"),
    (b"*1\r\n$65537\r\n", "invalid bulk length"),
    (b"*1\r\n$9223372036854775807\r\n", "invalid bulk length"),
    (b"*1\r\n$4\r\nPINGxx", "invalid bulk length"),
    (b"*3\r\n$65000\r\n" + b"x" * 65000 + b"\r\n$65000\r\n", "too big a command"),
    (b"x" * 17000, "too big inline request"),
    (b'PING "half\r\n', "unbalanced quotes"),
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "unknown command in a line"),
    (b"\x16\x03\x01\x02\x00\x01\x00\n", "unknown command in a line"),
])
def test_bytes_that_are_no_commands_end_the_connection(weir, rich, data, words):
    before = rich.funds()
    with Wire(weir) as wire:
        consume = multibulk("WEIR.CONSUME", rich.name, "-", "chat", "-", "requests", 1)
        wire.send(b"PING\r\n" + data + consume)
        assert wire.read() == "+PONG"
        told = wire.read()
        assert told.startswith("-ERR Protocol error: ") and words in told
        assert wire.read() is None
    assert rich.funds() == before


@pytest.mark.parametrize("length", range(65536 - 10, 65536))
def test_a_command_that_would_pass_the_ceiling_between_two_arguments_ends_it(weir, rich, length):
    head = b"*3\r\n$%d\r\n" % (length - 13)
    with Wire(weir) as wire:
        wire.send(head + b"a" * (length - 13) + b"\r\n$1")
        wire.send(b"0000000")
        assert "Protocol error: " in wire.read() and wire.read() is None
    assert connect(weir).ping()


def test_all_of_a_pipeline_is_answered_though_its_client_sends_no_more(weir, new_customer):
    """Answers fill the connection's room again and again while its end has been read already."""
    customer = new_customer(weir, plan="free")
    consume = multibulk("WEIR.CONSUME", customer.name, "-", "chat", "-", "requests", 1)
    with Wire(weir) as wire:
        def send():
            wire.send(multibulk("COMMAND") * 3700 + consume * 20)
            wire.sock.shutdown(socket.SHUT_WR)
        sender = threading.Thread(target=send)
        sender.start()
        answers = [wire.read() for _ in range(3720)]
        sender.join()
        assert None not in answers and wire.read() is None
    assert {Decision(answer).outcome for answer in answers[3700:]} == {"allow"}


def test_a_form_that_a_browser_was_made_to_send_is_not_obeyed(weir, rich):
    body = f"WEIR.CONSUME {rich.name} - chat - requests 1\r\n".encode()
    with Wire(weir) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: 127.0.0.1:7879\r\nContent-Length: %d\r\n\r\n" % len(body)
                  + body)
        assert "Protocol error" in wire.read() and wire.read() is None
    assert rich.funds() == ("100", "0")


# ---- usual clients -------------------------------------------------------------------------------

def test_redis_cli_finds_what_it_asks_for(weir, rich):
    assert cli(weir, "PING") == ["PONG"]
    assert cli(weir, "WEIR.CONSUME", rich.name, "-", "chat", "-", "requests", "5")[0] == "allow"
    said = cli(weir, options=("--no-raw",), given=f"""HELLO 3
WEIR.AUTHORIZE {rich.name} - chat - requests 1
COMMAND COUNT
ECHO "two words"
CLIENT SETNAME tester
SELECT 0
SELECT 1
QUIT
""")
    assert any("weir" in line for line in said) and any('"allow"' in line for line in said)
    assert any("two words" in line for line in said) and any("out of range" in line for line in said)
    assert any(line.startswith("connected_clients:") for line in cli(weir, "INFO"))
    assert "weir" in " ".join(cli(weir, "COMMAND", "DOCS", "WEIR.CONSUME"))
    assert "WEIR.COMMIT" in cli(weir, "COMMAND", "LIST")


def test_redis_cli_pipes(weir, rich):
    """Mass insertion: it ends with ECHO and waits for that answer."""
    commands = b"".join(multibulk("WEIR.CONSUME", rich.name, "-", "chat", f"pipe-{n}", "requests", 1)
                        for n in range(50)).decode()
    said = cli(weir, options=("--pipe",), given=commands)
    assert said[-1] == "errors: 0, replies: 50", said
    assert rich.funds() == ("52", "0")


def test_redis_py_starts_and_tells(weir):
    client = connect(weir, client_name="tester", decode_responses=True)
    assert client.ping() and client.echo("x") == "x"
    assert client.client_getname() == "tester" and client.client_id() > 0
    told = client.info()
    assert told["weir_version"] and told["connected_clients"] >= 1 and told["policy_version"] == 1
    names = client.execute_command("COMMAND LIST")
    assert {"WEIR.CONSUME", "WEIR.AUTHORIZE", "WEIR.COMMIT", "WEIR.RELEASE"} <= set(names)
    assert client.execute_command("COMMAND COUNT") == len(names) == len(client.command())
    assert client.command()["WEIR.RELEASE"]["arity"] == 2
    assert refused(client, "GET", "x") == "unknown command 'GET'"
    assert "wrong number of arguments" in refused(client, "ECHO")


def test_hello_chooses_the_version(weir):
    with Wire(weir) as wire:
        wire.send(multibulk("HELLO", 3))
        assert wire.file.readline() == b"%7\r\n"
        pairs = [wire.read() for _ in range(14)]
        assert pairs[:2] == [b"server", b"weir"] and pairs[5] == 3
        assert wire.ask("RESET") == "+RESET"
        assert wire.ask("HELLO")[5] == 2
        assert wire.ask("HELLO", 4).startswith("-NOPROTO ")
        assert wire.ask("HELLO", 2, "AUTH", "x").startswith("-ERR ")
        assert wire.ask("QUIT") == "+OK" and wire.read() is None


def test_words_in_a_line_do_as_well(weir, rich):
    with Wire(weir) as wire:
        wire.send(b"\r\n  \r\nweir.consume %s - chat - requests 1 ATTR origin \"two \\x77ords\"\r\n"
                  b"*0\r\n*-1\r\nPING 'it\\'s'\n" % rich.name.encode())
        decision = Decision(wire.read())
        assert decision.outcome == "allow"
        assert wire.read() == b"it's"
    asked = expect(weir.get(f"/v1/decisions/{decision.id}"))["request"]
    assert asked["attributes"] == {"origin": "two words"}


# ---- pipelines -----------------------------------------------------------------------------------

def test_ten_thousand_commands_in_a_pipeline_are_answered_in_order(weir, new_customer):
    customer = new_customer(weir, plan="free")
    pipe = connect(weir).pipeline(transaction=False)
    for n in range(10_000):
        pipe.execute_command("WEIR.CONSUME", customer.name, "-", "chat", f"n{n}", "requests", n % 7 + 1)
    answers = [Decision(answer) for answer in pipe.execute()]
    assert [answer.units for answer in answers] == [n % 7 + 1 for n in range(10_000)]
    assert len({answer.id for answer in answers}) == 10_000
    again = connect(weir).pipeline(transaction=False)
    for n in range(0, 10_000, 10):
        again.execute_command("WEIR.CONSUME", customer.name, "-", "chat", f"n{n}", "requests", n % 7 + 1)
    assert [Decision(answer).id for answer in again.execute()] == [
        answers[n].id for n in range(0, 10_000, 10)]


def test_a_pipeline_is_decided_in_order_though_one_of_it_must_be_looked_up(fresh, new_customer):
    """What a key was answered first comes from the journal; what follows it waits for that."""
    weir = fresh()
    customer = new_customer(weir, plan="base")
    customer.grant("1000")
    expect(customer.consume(1, idempotency_key="old"))
    weir.restart()
    with Wire(weir) as wire:
        consume = lambda key, units: multibulk("WEIR.CONSUME", customer.name, "-", "chat", key,  # noqa: E731
                                               "requests", units)
        wire.send(consume("a", 2) + consume("old", 1) + consume("old", 2) + consume("b", 3)
                  + b"PING\r\n" + consume("c", "x") + consume("d", 4))
        answers = [wire.read() for _ in range(7)]
    ids = [Decision(answer).id for answer in (answers[0], answers[3], answers[6])]
    assert ids == sorted(ids)
    assert Decision(answers[1]).id < ids[0]
    assert answers[2].startswith("-IDEMPOTENCY_CONFLICT ")
    assert answers[4] == "+PONG" and answers[5].startswith("-INVALID_SHAPE ")


def test_however_the_bytes_are_split_the_answers_are_the_same(weir, new_customer):
    customer = new_customer(weir, plan="free")
    draw = random.Random(11)
    data = b"".join(
        multibulk("WEIR.CONSUME", customer.name, "s/" + "x" * draw.randint(1, 300), "chat", f"k{n}", "requests",
                  draw.randint(0, 9)) if n % 5 else b"PING\r\n" if n % 2 else multibulk("NONSENSE", n)
        for n in range(120))
    told = []
    for attempt in range(4):
        with Wire(weir) as wire:
            at = 0
            while at < len(data):
                step = draw.choice([1, 2, 3, 7, 50, 1000]) if attempt else len(data)
                wire.send(data[at:at + step])
                at += step
            told.append([wire.read() for _ in range(120)])
    assert told[1:] == told[:1] * 3


def test_clients_together_spend_each_credit_once(weir, new_customer):
    customer = new_customer(weir, plan="base")
    customer.grant("60")
    outcomes = []

    def spend(name):
        pipe = connect(weir).pipeline(transaction=False)
        for n in range(25):
            pipe.execute_command("WEIR.CONSUME", customer.name, "-", "third", f"{name}-{n}", "requests", 9)
        outcomes.extend(Decision(answer).outcome for answer in pipe.execute())

    threads = [threading.Thread(target=spend, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outcomes.count("allow"), outcomes.count("deny")) == (20, 80)
    assert customer.funds() == ("0", "0")


# ---- access keys ---------------------------------------------------------------------------------

def make_key(weir, admin, *scopes, **terms):
    headers = {"Authorization": f"Bearer {admin}"} if admin else {}
    return expect(weir.request("POST", "/v1/keys", {"scopes": list(scopes), **terms}, headers=headers))


def test_keys_open_and_end_at_once(fresh):
    weir = fresh()
    assert connect(weir, password="anything at all").ping()  # no keys are needed yet
    admin = make_key(weir, None, "admin")["key"]
    decide = make_key(weir, admin, "decide")
    with Wire(weir) as wire:
        consume = ["WEIR.CONSUME", "acme", "-", "chat", "-", "requests", 1]
        assert wire.ask(*consume).startswith("-NOAUTH ")
        assert wire.ask("PING") == "-NOAUTH Authentication required."
        assert wire.ask("HELLO", 3).startswith("-NOAUTH ")
        assert wire.ask("AUTH", "weir_" + "0" * 64).startswith("-WRONGPASS ")
        assert wire.ask("AUTH", "x" * 5000).startswith("-WRONGPASS ")
        assert wire.ask("AUTH", decide["key"]) == "+OK"
        assert wire.ask("AUTH", "default", "wrong").startswith("-WRONGPASS ")  # what it had stays
        assert Decision(wire.ask(*consume)).outcome == "allow"
        assert wire.ask("INFO").startswith("-NOPERM ")
        expect(weir.request("POST", f"/v1/keys/{decide['key_id']}/revoke", {},
                            headers={"Authorization": f"Bearer {admin}"}))
        wire.send(multibulk(*consume) * 3)
        assert [wire.read()[:8] for _ in range(3)] == ["-NOAUTH "] * 3
        assert wire.ask("HELLO", 2, "AUTH", "anyone", admin)[1] == b"weir"
        assert wire.ask("INFO").startswith(b"# Server")
        assert wire.ask("RESET") == "+RESET" and wire.ask("PING").startswith("-NOAUTH ")
    assert connect(weir, username="anyone", password=admin).ping()


def test_scopes_and_bound_keys_hold_for_commands(fresh):
    weir = fresh()
    admin = make_key(weir, None, "admin")["key"]
    report = connect(weir, password=make_key(weir, admin, "report")["key"])
    read = connect(weir, password=make_key(weir, admin, "read")["key"])
    bound = connect(weir, password=make_key(weir, admin, "decide", "read", customer="acme")["key"])
    consume = ["WEIR.CONSUME", "acme", "-", "chat", "-", "requests", 1]
    for client in (report, read):
        assert "scope decide" in refused_auth(client, *consume)
    held = Decision(bound.execute_command("WEIR.AUTHORIZE", *consume[1:]))
    assert "customer" in refused_auth(bound, "WEIR.CONSUME", "other", *consume[2:])
    assert "bound to no customer" in refused_auth(bound, "INFO")
    assert read.info()["weir_version"]
    assert Decision(report.execute_command("WEIR.COMMIT", held.id, "requests", 1)).outcome == "committed"


def refused_auth(client, *words):
    with pytest.raises((redis.ResponseError, redis.exceptions.NoPermissionError)) as failure:
        client.execute_command(*words)
    return str(failure.value)


def test_without_keys_only_loopback_is_served(fresh):
    with pytest.raises(StartFailed) as failure:
        fresh(arguments=["--resp", f"0.0.0.0:{free_port()}"])
    assert failure.value.status == 1
    assert "--resp" in failure.value.stderr and "loopback only" in failure.value.stderr


# ---- listening -----------------------------------------------------------------------------------

def test_an_address_in_use_is_named(fresh):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        weir = fresh(arguments=["--resp", address], start=False)
        with pytest.raises(StartFailed) as failure:
            weir.spawn().wait_ready()
    assert failure.value.status == 1 and f"--resp {address}" in failure.value.stderr


class UsualPorts(Server):
    """A server that is told only where HTTP is."""

    @classmethod
    def other_ports(cls, arguments=()):
        return []


def test_a_usual_port_that_is_taken_is_left_out_and_told(tmp_path):
    with contextlib.ExitStack() as stack:
        for port in (7879, 7880):
            taken = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):  # by somebody else: as good
                taken.bind(("127.0.0.1", port))
                taken.listen()
        weir = UsualPorts(tmp_path, POLICY)
        try:
            weir.start()
            assert weir.get("/readyz").status == 200
            told = [line for line in weir.stderr().splitlines() if "not_listening" in line]
            assert [("127.0.0.1:7879" in line, "127.0.0.1:7880" in line) for line in told] == [
                (True, False), (False, True)]
        finally:
            weir.stop()


def test_it_can_be_off(fresh):
    weir = fresh(arguments=["--resp", "off"])
    assert "redis://" not in weir.stderr()
    with pytest.raises(OSError):
        Wire(weir)
    assert 'listener="resp"' not in weir.get("/metrics").raw.decode()


def test_tls_is_spoken_with_the_same_certificate(tmp_path):
    certificate = Certificate(tmp_path, "resp")
    weir = SecureServer(tmp_path / "server", POLICY, arguments=certificate.arguments)
    weir.trusted = certificate
    try:
        weir.start()
        client = connect(weir, ssl=True, ssl_ca_certs=str(certificate.cert))
        pipe = client.pipeline(transaction=False)
        for n in range(2000):
            pipe.execute_command("WEIR.CONSUME", "c", "-", "chat", f"k{n}", "requests", 0)
        assert {Decision(answer).outcome for answer in pipe.execute()} == {"allow"}
        said = cli(weir, "PING", options=("--tls", "--cacert", str(certificate.cert)))
        assert said == ["PONG"]
        with Wire(weir) as wire, pytest.raises((OSError, AssertionError)):
            wire.send(b"PING\r\n")
            assert wire.read() is not None
        assert connect(weir, ssl=True, ssl_ca_certs=str(certificate.cert)).ping()
    finally:
        weir.kill()


def test_what_was_read_is_answered_before_the_end(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir, plan="free")
    with Wire(weir) as wire, Wire(weir) as idle:
        assert idle.ask("PING") == "+PONG"
        wire.send(b"".join(multibulk("WEIR.CONSUME", customer.name, "-", "chat", f"k{n}", "requests", 1)
                           for n in range(500)))
        assert Decision(wire.read()).outcome == "allow"
        assert weir.stop() == 0
        answered = 1
        while wire.read() is not None:
            answered += 1
        assert idle.read() is None
    weir.start()
    usage = expect(weir.get(f"/v1/usage?customer={customer.name}&from={to_text(to_ms(to_text(weir.now)) - HOUR)}"))
    assert answered <= 500 and usage is not None
    redone = connect(weir).pipeline(transaction=False)
    for n in range(500):
        redone.execute_command("WEIR.CONSUME", customer.name, "-", "chat", f"k{n}", "requests", 1)
    assert len({Decision(answer).id for answer in redone.execute()}) == 500


# ---- ceilings ------------------------------------------------------------------------------------

def test_a_part_of_a_command_has_its_time_and_silence_too(fresh):
    weir = fresh(arguments=["--request-timeout", "1s"])
    with Wire(weir) as part, Wire(weir) as silent, Wire(weir) as idle:
        assert idle.ask("PING") == "+PONG"
        part.send(b"*2\r\n$4\r\nPING")
        assert part.read().startswith("-REQUEST_TIMEOUT ") and part.read() is None
        assert silent.read() is None
        assert idle.ask("PING") == "+PONG"


def test_at_the_ceiling_of_connections_who_has_asked_for_nothing_gives_way(fresh):
    weir = fresh(arguments=["--connections", "4"])
    with Wire(weir) as first, Wire(weir) as second, Wire(weir) as third:
        fourth = Wire(weir)
        for wire in (first, second, third, fourth):
            assert wire.ask("PING") == "+PONG"
        newcomer = []

        def comes():
            newcomer.append(Wire(weir))
            return newcomer[-1].ask("PING") == "+PONG"

        until(comes, "a place for a newcomer")
        assert first.read() is None
        assert second.ask("PING") == "+PONG"
        assert weir.get("/readyz").status == 200  # HTTP has places of its own
        for wire in (fourth, *newcomer):
            wire.sock.close()


def test_a_pipeline_that_never_reads_holds_little_and_harms_nobody(fresh, new_customer):
    weir = fresh(arguments=["--write-timeout", "2s"])
    customer = new_customer(weir, plan="free")
    with Wire(weir) as greedy:
        greedy.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.sock.settimeout(0.2)
        command = multibulk("WEIR.CONSUME", customer.name, "-", "chat", "-", "requests", 1) * 1000
        sent, ended = 0, False
        while not ended and sent < 100_000_000:
            try:
                sent += greedy.sock.send(command)
            except TimeoutError:
                allowed(customer.consume(1))
                samples = weir.get("/metrics").raw.decode()
                ended = 'weir_readers_cut_total{listener="resp"} 1' in samples
            except OSError:
                ended = True
        assert ended
    assert connect(weir).ping()
    held = [line for line in weir.get("/metrics").raw.decode().splitlines()
            if line.startswith('weir_buffers_bytes{listener="resp"}')]
    assert held == ['weir_buffers_bytes{listener="resp"} 0']


# ---- what operators see --------------------------------------------------------------------------

def test_calls_are_counted_by_front_end(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir, plan="free")
    client = connect(weir)
    for n in range(3):
        decided_over_resp = Decision(client.execute_command("WEIR.CONSUME", customer.name, "-", "chat", "-",
                                                            "requests", 1))
    refused(client, "WEIR.CONSUME", customer.name, "-", "nope", "-", "requests", 1)
    decided(customer.consume(1))
    text = weir.get("/metrics").raw.decode()
    for call, status, count in (("RESP WEIR.CONSUME", 200, 3), ("RESP WEIR.CONSUME", 422, 1),
                                ("POST /v1/consume", 200, 1)):
        assert f'weir_requests_total{{call="{call}",code="{status}"}} {count}\n' in text
    assert 'weir_connections{listener="resp"} 1' in text
    assert decided_over_resp.id

"""Reading the books: receipts, statements, usage events, sums of usage, exports.

What is read is compared with what the server answered, with other ways of reading the same, and
with ledger.db as anybody may read it.
"""

import collections
import csv
import io
import json
import random
import socket
import sqlite3
import threading
import time

import pytest

import books
from weir_client import (DAY, HOUR, MINUTE, SECOND, Client, Customer, allowed, denied, expect, nano,
                         problem, quote, run, shortest, to_ms,
                         to_text)

POLICY = books.POLICY
PAGES_MAX = 10000
SETTLED_SECONDS_MAX = 20


@pytest.fixture(scope="module")
def kept(weir):
    """The module's server after everything has happened to some customers."""
    books.keep_books(weir)
    return weir


@pytest.fixture
def ledger(weir):
    """ledger.db, read-only, as anybody may read it beside the server."""
    connection = sqlite3.connect(f"file:{weir.data}/ledger.db?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    yield connection
    connection.close()


def pages(weir, path, key, size, cursor):
    """Every row, page by page; and how many pages there were."""
    rows, after, count = [], None, 0
    joint = "&" if "?" in path else "?"
    while count < PAGES_MAX:
        more = f"&{cursor}={after}" if after else ""
        body = expect(weir.get(f"{path}{joint}limit={size}{more}"))
        assert len(body[key]) <= size
        rows += body[key]
        count, after = count + 1, body["next"]
        if after is None:
            return rows, count
        assert body[key]
    raise AssertionError("paging does not end")


def statement(weir, name, size=100):
    return pages(weir, f"/v1/customers/{name}/ledger", "updates", size, "before")[0]


def receipt(weir, decision):
    return expect(weir.get(f"/v1/decisions/{decision['decision_id']}"))


# ---- receipts ------------------------------------------------------------------------------------

def check_receipt(weir, body, decision, kinds):
    """What every receipt must say, whatever its end."""
    for field in ("decision_id", "outcome", "units", "allocations", "charged", "price", "reason"):
        assert body[field] == decision[field], field
    assert [event["kind"] for event in body["events"]] == kinds
    assert body["explain"] or "usage" in kinds, "gates and sources are told, asked for or not"
    assert body["settlement"]["cursor"] >= body["proof"]["batch"]
    assert len(body["proof"]["hash"]) == len(body["proof"]["previous_hash"]) == 64
    paid = -sum(nano(row["delta"]) for row in body["balance_updates"] if row["cause"] == "charge")
    assert paid == sum(nano(event["charged"]) for event in body["events"])
    assert [row["id"] for row in body["monetization"]] == [
        event["id"] for event in body["events"] if event["kind"] in ("consume", "commit", "usage")]
    for row in body["balance_updates"]:
        assert row["decision_id"] in (body["decision_id"], None)
    return body


def test_a_receipt_tells_request_gates_sources_price_balance_and_proof(weir, customer, ledger):
    customer.put(plan="base")
    grant = customer.grant("10")
    decision = allowed(customer.consume(8, subject="team-a/alice", idempotency_key="k1",
                                        attributes={"model": "m1", "origin": "web"},
                                        duration_ms=250, compute="gpu-1"))
    body = check_receipt(weir, receipt(weir, decision), decision, ["consume"])
    assert (body["customer"], body["subject"], body["feature"]) == (customer.name, "team-a/alice", "chat")
    request = body["request"]
    assert request["call"] == "consume" and request["idempotency_key"] == "k1"
    assert request["quantities"] == {"requests": 8}
    assert request["attributes"] == {"model": "m1", "origin": "web"}
    assert (request["duration_ms"], request["compute"]) == (250, "gpu-1")
    assert [note.get("gate") or note["source"] for note in body["explain"]] == [
        "pace", "slots", "included", "promotional", "entitlement", "paid"]
    assert body["hold"] == {"state": "committed"}
    [update] = body["balance_updates"]
    assert (update["delta"], update["account_after"], update["customer_after"]) == ("-3", "7", "7")
    assert update["source"] == "paid" and update["cause"] == "charge" and update["number"] == 2
    assert update["grant_id"] == grant
    [price] = body["monetization"]
    assert price["price"] == "chat/message" and price["charged"] == "3"
    assert int(price["cost"]) == 3 * 10**9 * int(price["cost_denominator"])
    assert body["settlement"]["state"] == "settled"
    assert body["refunds"] == [] and body["refunded"] == "0"
    journal = sqlite3.connect(f"file:{weir.data}/journal.db?mode=ro", uri=True)
    row = journal.execute("SELECT hash, previous FROM batch WHERE sequence=?",
                          (body["proof"]["batch"],)).fetchone()
    journal.close()
    assert (row[0].hex(), row[1].hex()) == (body["proof"]["hash"], body["proof"]["previous_hash"])


def test_a_receipt_of_an_open_hold_says_until_when(weir, customer):
    customer.put(plan="base")
    hold = allowed(customer.authorize(2, ttl_ms=30 * SECOND))
    body = check_receipt(weir, receipt(weir, hold), hold, [])
    assert body["hold"] == hold["hold"]
    assert body["settlement"]["state"] == "open"
    expect(customer.extend(hold["decision_id"], 1, ttl_ms=50 * SECOND))
    assert to_ms(receipt(weir, hold)["hold"]["expires_at"]) == weir.now + 50 * SECOND


def test_receipts_of_every_end(weir, customer):
    customer.put(plan="base")
    customer.grant("100")
    allowed(customer.consume(5))
    part = allowed(customer.authorize(6))
    expect(customer.commit(part["decision_id"], 2, duration_ms=9))
    body = check_receipt(weir, receipt(weir, part), part, ["commit"])
    assert body["hold"]["state"] == "committed" and body["events"][0]["charged"] == "2"
    assert body["events"][0]["quantities"] == {"asked": {"requests": 6}, "actual": {"requests": 2}}
    released = allowed(customer.authorize(3))
    expect(customer.release(released["decision_id"]))
    body = check_receipt(weir, receipt(weir, released), released, ["release"])
    assert body["hold"]["state"] == "released" and body["balance_updates"] == []
    late = allowed(customer.authorize(4, ttl_ms=SECOND))
    end = weir.now + SECOND
    weir.advance(5 * SECOND)
    body = check_receipt(weir, receipt(weir, late), late, ["expiry"])
    assert body["hold"]["state"] == "expired" and to_ms(body["events"][0]["event_at"]) == end
    expect(customer.commit(late["decision_id"], 4))
    body = check_receipt(weir, receipt(weir, late), late, ["expiry", "commit"])
    assert body["hold"] == {"state": "committed", "late": True} and body["events"][1]["late"]
    failed = allowed(customer.authorize(2))
    expect(customer.commit(failed["decision_id"], 2, status="failed"))
    body = check_receipt(weir, receipt(weir, failed), failed, ["commit"])
    assert body["events"][0]["status"] == "failed" and body["events"][0]["charged"] == "0"
    reported = allowed(customer.usage(2))
    check_receipt(weir, receipt(weir, reported), reported, ["usage"])


def test_a_receipt_of_a_denial_says_why(weir, customer):
    customer.put(plan="base")
    answer = customer.consume(3, "video")
    denied(answer, "insufficient_credits")
    body = check_receipt(weir, receipt(weir, answer.body), answer.body, ["denial"])
    assert body["reason"] == answer.body["reason"] and "hold" not in body
    assert body["settlement"]["state"] == "settled"


def test_a_receipt_counts_refunds(weir, customer):
    customer.put(plan="base")
    customer.grant("10")
    decision = allowed(customer.consume(8, "third"))
    expect(customer.refund(decision["decision_id"], credits="0.5", reason="goodwill"))
    expect(customer.refund(decision["decision_id"], all=True))
    body = receipt(weir, decision)
    assert [row["credits"] for row in body["refunds"]] == ["0.5", shortest(nano(decision["charged"]) - nano("0.5"))]
    assert body["refunds"][0]["reason"] == "goodwill"
    assert body["refunded"] == decision["charged"]
    assert [row["cause"] for row in body["balance_updates"]] == ["charge", "refund", "refund"]


def test_a_receipt_shows_overshoot_and_its_two_rows(weir, customer):
    customer.put(plan="base")
    customer.grant("1")
    hold = allowed(customer.authorize(1, "third"))
    expect(customer.commit(hold["decision_id"], 9))
    body = check_receipt(weir, receipt(weir, hold), hold, ["commit"])
    over = body["events"][0]["overshoot"]
    assert nano(over["charged"]) == nano(over["refunded"]) > 0
    assert [row["cause"] for row in body["balance_updates"] if row["account"] == "overshoot"] == [
        "overshoot_refund", "overshoot_charge"]


@pytest.mark.parametrize("wrong", ["d_0000000000000", "d_zzzzzzzzzzzzz", "d_1", "g_0000000000c00", "%ff"])
def test_what_is_no_decision_has_no_receipt(weir, wrong):
    assert problem(weir.get(f"/v1/decisions/{wrong}"), 404)["code"] == "unknown_decision"


def test_a_grants_id_is_no_decisions(weir, customer):
    grant = customer.grant("1")
    assert problem(weir.get("/v1/decisions/d" + grant[1:]), 404)["code"] == "unknown_decision"


# ---- statements and events -----------------------------------------------------------------------

def test_a_statement_runs_without_a_gap_to_the_balance(kept):
    for name in ("c1-ü", "over0", "grants0", "grants0-monthly"):
        path = f"/v1/customers/{name.replace('ü', '%C3%BC')}"
        rows = statement(kept, name.replace("ü", "%C3%BC"), 7)
        assert [row["number"] for row in rows] == list(range(len(rows), 0, -1))
        accounts = collections.defaultdict(int)
        settled = 0
        for row in reversed(rows):
            account = (row["account"], row["grant_id"], row["source"])
            accounts[account] += nano(row["delta"])
            if row["account"] != "overage":
                settled += nano(row["delta"])
            assert nano(row["account_after"]) == accounts[account], row
            assert nano(row["customer_after"]) == settled, row
        assert shortest(settled) == expect(kept.get(f"{path}/balance"))["settled"]


def test_pages_of_any_size_are_the_same_rows(kept):
    whole = statement(kept, "c1-%C3%BC", 1000)
    assert len(whole) > 15
    for size in (1, 2, 13, len(whole) - 1, len(whole), len(whole) + 1):
        assert statement(kept, "c1-%C3%BC", size) == whole
    events = pages(kept, "/v1/customers/c1-%C3%BC/events", "events", 1000, "before")[0]
    assert len(events) > 30
    for size in (1, 7, len(events)):
        assert pages(kept, "/v1/customers/c1-%C3%BC/events", "events", size, "before")[0] == events


def test_before_takes_a_number_too(kept):
    whole = statement(kept, "c1-%C3%BC", 1000)
    body = expect(kept.get("/v1/customers/c1-%C3%BC/ledger?before=11&limit=4"))
    assert [row["number"] for row in body["updates"]] == [10, 9, 8, 7]
    assert body["updates"] == whole[-10:-6]
    assert expect(kept.get("/v1/customers/c1-%C3%BC/ledger?before=1"))["updates"] == []


def test_paging_has_no_gap_and_no_double_while_decisions_go_on(weir, customer):
    customer.put(plan="base")
    customer.grant("1000")
    for _ in range(40):
        allowed(customer.consume(1, "third"))
    done = threading.Event()

    def spend():
        client = Client(weir.port)
        other = Customer.__new__(Customer)
        other.__dict__.update(customer.__dict__)
        while not done.is_set():
            expect(client.post("/v1/consume", {"customer": customer.name, "feature": "third",
                                               "quantities": {"requests": 1}}))
        client.close()

    spender = threading.Thread(target=spend)
    spender.start()
    try:
        for size in (3, 11):
            rows = statement(weir, customer.name, size)
            numbers = [row["number"] for row in rows]
            assert numbers == list(range(numbers[0], 0, -1))
            events = pages(weir, f"/v1/customers/{customer.name}/events", "events", size, "before")[0]
            positions = [event["id"] for event in events]
            assert positions == sorted(set(positions), reverse=True)
    finally:
        done.set()
        spender.join()


def test_who_reads_finds_what_he_was_answered(weir, customer):
    customer.put(plan="base")
    customer.grant("100")
    for number in range(2, 30):
        decision = allowed(customer.consume(1, "third"))
        newest = expect(weir.get(f"{customer.path}/ledger?limit=1"))["updates"][0]
        assert (newest["number"], newest["decision_id"]) == (number, decision["decision_id"])


def test_events_are_found_by_what_is_asked(kept):
    path = "/v1/customers/c1-%C3%BC/events"
    everything = pages(kept, path, "events", 1000, "before")[0]
    middle = everything[len(everything) // 2]["at"]
    tests = {
        "feature=chat": lambda e: e["feature"] == "chat",
        "subject=team-b": lambda e: e["subject"] == "team-b",
        "subject=": lambda e: e["subject"] is None,
        "outcome=deny": lambda e: e["outcome"] == "deny",
        f"from={middle}": lambda e: e["at"] >= middle,
        f"to={middle}": lambda e: e["at"] < middle,
        f"feature=third&outcome=allow&from={middle}": lambda e: (
            e["feature"] == "third" and e["outcome"] == "allow" and e["at"] >= middle),
    }
    for query, holds in tests.items():
        found = pages(kept, f"{path}?{query}", "events", 9, "before")[0]
        assert found == [event for event in everything if holds(event)], query
    assert any(event["subject"] == "team-b" for event in everything)


def test_a_stranger_has_empty_books(weir):
    assert expect(weir.get("/v1/customers/nobody/ledger"))["updates"] == []
    assert expect(weir.get("/v1/customers/nobody/events"))["events"] == []


# ---- exports -------------------------------------------------------------------------------------

def ndjson(weir, path):
    answer = weir.get(path)
    assert answer.status == 200 and answer.content_type == "application/x-ndjson"
    return [json.loads(line) for line in answer.raw.decode().splitlines()]


def comma_separated(weir, path):
    answer = weir.get(path)
    assert answer.status == 200 and answer.content_type.startswith("text/csv")
    text = answer.raw.decode()
    assert text.endswith("\r\n") and "\n" not in text.replace("\r\n", "")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_exports_are_the_pages(kept):
    name = "c1-%C3%BC"
    for path, key in ((f"/v1/customers/{name}/ledger", "updates"),
                      (f"/v1/customers/{name}/events", "events"),
                      (f"/v1/customers/{name}/events?feature=codex", "events")):
        joint = "&" if "?" in path else "?"
        whole = pages(kept, path, key, 50, "before")[0]
        assert ndjson(kept, f"{path}{joint}format=ndjson") == whole
        assert ndjson(kept, f"{path}{joint}format=ndjson&limit=5") == whole[:5]
        rows = comma_separated(kept, f"{path}{joint}format=csv")
        assert [row["id"] for row in rows] == [row["id"] for row in whole]
        for row, expected in zip(rows, whole):
            for field in ("at", "customer", "decision_id", "delta", "account_after", "customer_after",
                          "charged", "kind", "outcome", "unit", "compute", "cause", "hash"):
                if field in row and field in expected:
                    assert row[field] == (expected[field] or ""), field
            if key == "events":
                assert json.loads(row["allocations"]) == expected["allocations"]
                assert json.loads(row["attributes"]) == expected["attributes"]
                assert json.loads(row["quantities_actual"]) == expected["quantities"]["actual"]


def test_accept_asks_for_an_export_as_well(kept):
    for accept, expected in (("text/csv", "text/csv"), ("application/x-ndjson", "application/x-ndjson"),
                             ("application/json", "application/json"), ("*/*", "application/json")):
        answer = kept.request("GET", "/v1/customers/over0/ledger", headers={"Accept": accept})
        assert answer.status == 200 and answer.content_type.startswith(expected)


def test_a_name_that_looks_like_a_formula_is_text_in_a_spreadsheet(weir, new_customer):
    for text in ("=1+2", "+1", "-1", "@x"):
        customer = new_customer(weir, plan="base")
        allowed(customer.consume(1, attributes={"model": text, "origin": 'a,"b"'}))
        [row] = comma_separated(weir, f"{customer.path}/events?format=csv")
        assert row["model"] == "'" + text and row["origin"] == 'a,"b"'
        assert json.loads(row["attributes"])["model"] == text


def test_head_says_what_get_would_without_a_body(weir, customer):
    customer.grant("1")
    for query, kind in (("", "application/json"), ("?format=csv", "text/csv")):
        answer = weir.request("HEAD", f"{customer.path}/ledger{query}")
        assert answer.status == 200 and answer.raw == b"" and answer.content_type.startswith(kind)
    assert expect(weir.get(f"{customer.path}/ledger"))["updates"]


def fill(weir, customer, count):
    """So many usage events, a thousand a request."""
    customer.put(plan="base")
    customer.grant("1000")
    operation = {"op": "consume", "customer": customer.name, "feature": "fine",
                 "quantities": {"tokens": 80}, "attributes": {"note": "x" * 200}}
    for _ in range(count // 1000):
        results = expect(weir.batch([operation] * 1000))["results"]
        assert all(result.get("outcome") == "allow" for result in results)


def raw_get(port, path, version="1.1", receive=None):
    connection = socket.socket()
    if receive:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    connection.connect(("127.0.0.1", port))
    connection.sendall(f"GET {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode())
    return connection


def settled_rows(weir, customer):
    deadline = time.monotonic() + SETTLED_SECONDS_MAX
    while expect(weir.get(f"{customer.path}/balance"))["pending"] != "0":
        assert time.monotonic() < deadline


def test_readers_who_stop_or_leave_hold_up_nobody(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir)
    fill(weir, customer, 20000)
    settled_rows(weir, customer)
    path = f"{customer.path}/events?format=ndjson"
    slow = [raw_get(weir.port, path, receive=4096) for _ in range(8)]
    for connection in slow:
        assert connection.recv(16).startswith(b"HTTP/1.1 200 OK")
    for connection in slow[:4]:
        connection.close()
    for _ in range(20):
        allowed(customer.consume({"tokens": 80}, "fine"))
    lines = ndjson(weir, path)
    assert len(lines) == 20020
    # One who reads on, however late, gets every row.
    received = b""
    while not received.endswith(b"0\r\n\r\n"):
        piece = slow[4].recv(1 << 20)
        assert piece
        received += piece
    assert received.count(b'"decision_id"') == 20000
    health = expect(weir.get("/healthz"))
    assert health["exchanges"] <= 4, "those who left are forgotten"
    # The server does not wait for readers who do not read, and they notice.
    began = time.monotonic()
    assert weir.stop() == 0
    assert time.monotonic() - began < 12
    with pytest.raises(ConnectionResetError):
        while slow[5].recv(1 << 20):
            pass
    for connection in slow:
        connection.close()


def test_over_http_1_0_an_export_ends_with_its_connection(kept):
    connection = raw_get(kept.port, "/v1/customers/c1-%C3%BC/ledger?format=csv", "1.0")
    received = b""
    while piece := connection.recv(1 << 16):
        received += piece
    connection.close()
    head, body = received.split(b"\r\n\r\n", 1)
    assert b"chunked" not in head.lower() and b"Connection: close" in head
    assert body == kept.get("/v1/customers/c1-%C3%BC/ledger?format=csv").raw


def test_more_exports_than_there_is_room_for_are_refused(fresh, new_customer):
    weir = fresh()
    customer = new_customer(weir)
    fill(weir, customer, 20000)
    settled_rows(weir, customer)
    path = f"{customer.path}/events?format=ndjson"
    stuck = [raw_get(weir.port, path, receive=4096) for _ in range(24)]
    for connection in stuck:
        assert connection.recv(16).startswith(b"HTTP/1.1 200 OK")
    assert problem(weir.get(path), 503)["code"] == "overloaded"
    assert expect(weir.get(f"{customer.path}/events"))["events"], "pages go on"
    for connection in stuck:
        connection.close()
    deadline = time.monotonic() + SETTLED_SECONDS_MAX
    while weir.get(path).status == 503:
        assert time.monotonic() < deadline


# ---- sums of usage -------------------------------------------------------------------------------

FILTERS = ("customer", "subject", "feature", "model", "origin", "endpoint", "outcome")


def scanned(ledger, group_by, only, begin, end):
    """The sums by a plain walk over usage_events."""
    groups = {}
    for row in ledger.execute("SELECT * FROM usage_events"):
        if not (begin or 0) <= row["at_ms"] < (end or 1 << 62):
            continue
        if any((row[name] or "") != value for name, value in only.items() if name != "source"):
            continue
        times = {"hour": row["at_ms"] // HOUR * HOUR, "day": row["at_ms"] // DAY * DAY}
        sources = json.loads(row["sources"])
        by_source = "source" in group_by or "source" in only
        for source in sources if by_source else [None]:
            if "source" in only and source["source"] != only["source"]:
                continue
            key = tuple(source["source"] if name == "source" else times[name] if name in times
                        else row[name] or "" for name in group_by)
            group = groups.setdefault(key, collections.Counter())
            if by_source:
                group["charged"] += source["charged"]
                group["units", source["source"]] += source["units"]
                continue
            group["requests"] += 0 if row["late"] else row["count"]
            group["denied"] += row["count"] if row["outcome"] == "deny" else 0
            group["charged"] += row["charged"]
            group["duration_ms"] += row["duration_ms"] or 0
            group["over"] += row["overshoot_charged"] - row["overshoot_refunded"]
            group["over_units"] += row["overshoot_units"]
            for line in sources:
                group["units", line["source"]] += line["units"]
            for meter, quantity in json.loads(row["actual"]).items():
                group["quantities", meter] += quantity
    if "feature" not in group_by and "feature" not in only: # unlike units
        groups = {key: {name: value for name, value in group.items() if name[0] != "units" and name != "over_units"}
                  for key, group in groups.items()}
    return {key: {name: value for name, value in group.items() if value} for key, group in groups.items()}


def summed(weir, group_by, only, begin, end, size):
    query = [f"group_by={','.join(group_by)}"] if group_by else []
    query += [f"{name}={quote(value)}" for name, value in only.items()]
    query += [f"from={to_text(begin)}"] if begin else []
    query += [f"to={to_text(end)}"] if end else []
    path = "/v1/usage" + ("?" + "&".join(query) if query else "")
    groups = {}
    for row in pages(weir, path, "usage", size, "after")[0]:
        key = tuple(to_ms(row[name]) if name in ("hour", "day") else row[name] or "" for name in group_by)
        assert key not in groups
        group = {"charged": nano(row["charged"])}
        for name in ("requests", "denied", "duration_ms"):
            group[name] = row.get(name, 0)
        over = row.get("overshoot", {"units": 0, "charged": "0"})
        if "feature" not in group_by and "feature" not in only:
            assert row["units"] is None and over["units"] in (None, 0), row
        for name in ("units", "quantities"):
            group.update({(name, part): value for part, value in (row.get(name) or {}).items()})
        group["over"], group["over_units"] = nano(over["charged"]), over["units"] or 0
        groups[key] = {name: value for name, value in group.items() if value}
    return groups


def settled(weir, ledger):
    """Until the rollup and the cursor stand still."""
    sequence = expect(weir.get("/healthz"))["journal"]["sequence"]
    deadline = time.monotonic() + SETTLED_SECONDS_MAX
    while ledger.execute("SELECT value FROM meta WHERE name='cursor_sequence'").fetchone()[0] < sequence:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sums_equal_a_scan_of_the_events(kept, ledger):
    settled(kept, ledger)
    choice = random.Random(20260501)
    first, last = ledger.execute("SELECT min(at_ms), max(at_ms) FROM usage_events").fetchone()
    values = {name: [row[0] for row in ledger.execute(f"SELECT DISTINCT {name} FROM usage_events")
                     if row[0]] for name in FILTERS}
    values["source"] = ["included", "paid", "extra"]
    dimensions = list(FILTERS) + ["source", "hour", "day"]
    for _ in range(60):
        group_by = choice.sample(dimensions, choice.randrange(4))
        only = {name: choice.choice(values[name]) for name in choice.sample(sorted(values), choice.randrange(3))
                if values[name]}
        begin = choice.choice([None, first + choice.randrange(2 * HOUR), first // HOUR * HOUR])
        end = choice.choice([None, last - choice.randrange(2 * HOUR), (begin or first) + MINUTE])
        expected = scanned(ledger, group_by, only, begin, end)
        assert summed(kept, group_by, only, begin, end, choice.choice([1, 3, 1000])) == expected, (
            group_by, only, begin, end)


def test_the_sums_of_all_usage_are_the_money_that_moved(kept, ledger):
    settled(kept, ledger)
    [total] = expect(kept.get("/v1/usage"))["usage"]
    charged = ledger.execute("SELECT sum(charged) FROM monetization_events").fetchone()[0]
    assert nano(total["charged"]) == charged
    by_source = expect(kept.get("/v1/usage?group_by=source"))["usage"]
    assert sum(nano(row["charged"]) for row in by_source) == charged


def test_units_of_unlike_features_are_not_added(kept):
    [total] = expect(kept.get("/v1/usage"))["usage"]
    assert total["units"] is None and total["overshoot"]["units"] is None
    [row] = comma_separated(kept, "/v1/usage?format=csv")
    assert row["units"] == "" and row["overshoot_units"] == ""
    for row in comma_separated(kept, "/v1/usage?group_by=source&format=csv"):
        assert row["units"] == ""
    for path in ("/v1/usage?feature=pair", "/v1/usage?group_by=feature"):
        for row in expect(kept.get(path))["usage"]:
            assert isinstance(row["units"], dict) and isinstance(row["overshoot"]["units"], int)


def test_an_export_of_sums_is_its_pages(kept):
    path = "/v1/usage?group_by=customer,feature,model,hour"
    whole = pages(kept, path, "usage", 11, "after")[0]
    assert len(whole) > 20
    assert ndjson(kept, path + "&format=ndjson") == whole
    rows = comma_separated(kept, path + "&format=csv")
    assert [(row["customer"], row["hour"], row["requests"], row["charged"]) for row in rows] == [
        (row["customer"], row["hour"], str(row["requests"]), row["charged"]) for row in whole]
    assert [json.loads(row["units"]) for row in rows] == [row["units"] for row in whole]
    assert [json.loads(row["quantities"]) for row in rows] == [row["quantities"] for row in whole]


# ---- what is wrong is named ----------------------------------------------------------------------

LEDGER, EVENTS, USAGE = "/v1/customers/x/ledger", "/v1/customers/x/events", "/v1/usage"
TOO_LONG = "x" * 600


@pytest.mark.parametrize("path, status, code, field", [
    (LEDGER + "?limit=0", 422, "invalid_value", "limit"),
    (LEDGER + "?limit=1001", 422, "invalid_value", "limit"),
    (LEDGER + "?limit=ten", 422, "invalid_value", "limit"),
    (LEDGER + "?limit=", 422, "invalid_value", "limit"),
    (LEDGER + "?limit=-1", 422, "invalid_value", "limit"),
    (LEDGER + "?before=b_1", 422, "invalid_value", "before"),
    (LEDGER + "?before=0", 422, "invalid_value", "before"),
    (LEDGER + "?before=b_0000000000c00.0", 422, "invalid_value", "before"),
    (LEDGER + "?before=b_0000000000c00.00", 422, "invalid_value", "before"),
    (LEDGER + "?before=e_0000000000c00", 422, "invalid_value", "before"),
    (LEDGER + "?format=xml", 422, "invalid_value", "format"),
    (LEDGER + "?feature=chat", 400, "invalid_query", "query"),
    (LEDGER + "?limit=1&limit=1", 400, "invalid_query", "limit"),
    (LEDGER + "?limit=%zz", 400, "invalid_query", "limit"),
    (EVENTS + "?before=b_0000000000c00.0", 422, "invalid_value", "before"),
    (EVENTS + "?before=e_0000000000c00", 422, "invalid_value", "before"),
    (EVENTS + "?outcome=maybe", 422, "invalid_value", "outcome"),
    (EVENTS + "?from=yesterday", 422, "invalid_value", "from"),
    (EVENTS + "?to=2026-05-01", 422, "invalid_value", "to"),
    (EVENTS + "?from=2026-05-02T00:00:00Z&to=2026-05-01T00:00:00Z", 422, "invalid_value", "to"),
    (EVENTS + "?subject=" + TOO_LONG, 422, "invalid_value", "subject"),
    (EVENTS + "?group_by=hour", 400, "invalid_query", "query"),
    (USAGE + "?group_by=colour", 422, "invalid_value", "group_by"),
    (USAGE + "?group_by=", 422, "invalid_value", "group_by"),
    (USAGE + "?group_by=hour,hour", 422, "invalid_value", "group_by"),
    (USAGE + "?after=xyz&group_by=hour", 422, "invalid_value", "after"),
    (USAGE + "?after=00", 422, "invalid_value", "after"),
    (USAGE + "?customer=%ff", 422, "invalid_value", "customer"),
    (USAGE + "?limit=0", 422, "invalid_value", "limit"),
    (USAGE + "?before=1", 400, "invalid_query", "query"),
    ("/v1/decisions/d_0000000000c00?limit=1", 400, "invalid_query", "query"),
    ("/v1/customers/%zz/ledger", 422, "invalid_value", "path"),
    ("/v1/customers/%00/ledger", 422, "invalid_value", "customer"),
])
def test_wrong_parameters_are_named(weir, path, status, code, field):
    body = problem(weir.get(path), status)
    assert (body["code"], body["field"]) == (code, field)


def test_a_row_of_another_customer_is_no_place_to_go_on(weir, new_customer):
    one, other = new_customer(weir), new_customer(weir)
    one.grant("1")
    other.grant("1")
    row = expect(weir.get(f"{other.path}/ledger"))["updates"][0]["id"]
    assert problem(weir.get(f"{one.path}/ledger?before={row}"), 422)["field"] == "before"


@pytest.mark.parametrize("path", [LEDGER, EVENTS, USAGE, "/v1/decisions/d_0000000000c00"])
def test_the_books_are_only_read(weir, path):
    for method in ("PUT", "DELETE"):
        assert problem(weir.request(method, path, body={}), 405)["code"] == "method_not_allowed"


def test_strangers_are_unknown_where_no_plan_awaits_them(fresh):
    weir = fresh(STRICT)
    for path in ("ledger", "events"):
        assert problem(weir.get(f"/v1/customers/nobody/{path}"), 404)["code"] == "unknown_customer"


STRICT = """
version: 1
features:
  chat: {meters: [requests], unit: requests, divisible: true, prices: chat}
prices:
  chat: [{name: message, rates: {requests: {credits: "1", per: 1}}}]
plans:
  base: {tier: 1, features: {chat: {waterfall: [{grants: {category: paid}}]}}}
"""


# ---- weir explain, weir status -------------------------------------------------------------------

def weir_command(weir, *arguments):
    return run(*arguments, "--server", f"http://127.0.0.1:{weir.port}")


def test_explain_tells_the_story_of_a_decision(weir, customer):
    customer.put(plan="base")
    grant = customer.grant("10")
    decision = allowed(customer.consume(8, subject="team-a/alice", attributes={"model": "m1"}))["decision_id"]
    expect(customer.refund(decision, credits="1"))
    status, text, errors = weir_command(weir, "explain", decision)
    assert (status, errors) == (0, "")
    for told in (decision, customer.name, "team-a/alice", "consume", "8 requests of chat", "model m1", "allow",
                 "pace", "passes", "included", "offers 5", "5 drawn", "paid", grant, "chat/message", "10 -> 7",
                 "7 -> 8", "refund", "committed", "settled", "refunded 1 credit\n",
                 expect(weir.get(f"/v1/decisions/{decision}"))["proof"]["hash"]):
        assert told in text, (told, text)
    status, text, _ = weir_command(weir, "explain", decision, "--json")
    assert status == 0 and json.loads(text)["decision_id"] == decision


def test_explain_tells_where_overshoot_went(weir, new_customer):
    for feature, booked in (("third", ""), ("clip", ", booked as debt"), ("pair", ", booked as overage")):
        customer = new_customer(weir)
        customer.put(plan="base")
        customer.grant("1")
        hold = allowed(customer.authorize(1, feature))
        expect(customer.commit(hold["decision_id"], 9))
        over = receipt(weir, hold)["events"][0]["overshoot"]
        status, text, _ = weir_command(weir, "explain", hold["decision_id"])
        assert status == 0 and (f"overshoot {over['units']}: charged {over['charged']} credits, "
                                f"refunded {over['refunded']}{booked}\n") in text, text


def test_explain_shows_the_overage_accounts_own_balance(weir, customer):
    customer.put(plan="base")
    decision = allowed(customer.consume(1, "pair"))
    [row] = [row for row in receipt(weir, decision)["balance_updates"] if row["account"] == "overage"]
    assert row["customer_after"] == "0" and row["account_after"] == row["delta"] != "0"
    status, text, _ = weir_command(weir, "explain", decision["decision_id"])
    assert status == 0 and f"0 -> {row['account_after']}\n" in text, text


def test_explain_tells_denials_and_open_holds(weir, customer):
    customer.put(plan="base")
    refused = customer.consume(3, "video").body
    status, text, _ = weir_command(weir, "explain", refused["decision_id"])
    assert status == 0 and "deny" in text and "denial" in text
    body = receipt(weir, refused)
    assert body["settlement"]["state"] == "settled"
    assert body["settlement"]["batch"] == body["proof"]["batch"], "a denial is its own end"
    held = customer.hold(2)
    status, text, _ = weir_command(weir, "explain", held)
    assert status == 0 and "held until" in text and "open" in text


def test_explain_of_what_is_unknown_is_refused(weir):
    status, text, errors = weir_command(weir, "explain", "d_0000000000000")
    assert status == 1 and text == "" and "unknown_decision" in errors
    assert run("explain")[0] == 2


def test_status_shows_the_four_numbers(weir, customer):
    customer.put(plan="base")
    customer.grant("10")
    allowed(customer.consume(6))
    customer.hold(2)
    settled_rows(weir, customer)
    status, text, _ = weir_command(weir, "status", customer.name)
    shown = [line.split()[:2] for line in text[text.index("Credits"):].splitlines()[1:5]]
    assert status == 0 and shown == [["settled", "9"], ["pending", "0"], ["held", "2"],
                                     ["available", "7"]], text

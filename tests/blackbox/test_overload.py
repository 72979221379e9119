"""More comes than a processor can do: requests lie unread in the kernel. Which of them are refused, how
they are told, and that every account is right afterwards. The server is made late by stopping it."""

import json
import signal
import time

from policies import policy
from raw import connect, head, until
from weir_client import batch_results, expect, nano

POLICY = policy("""
base:
  tier: 1
  features:
    chat: {waterfall: [{grants: {category: paid}}]}
""")
EACH = 8                # requests of a kind in a round
ROUNDS_MAX = 40
LATE_SECONDS = 0.35     # more than the patience of the sheddable
KINDS = ("sheddable", "default", "critical", "commit", "release")


def post(sock, path, body):
    text = json.dumps(body).encode()
    sock.sendall(head("POST", path, len(text)) + text)


def ask(sock, kind, hold):
    if kind == "commit":
        post(sock, f"/v1/holds/{hold}/commit", {"quantities": {"requests": 1}})
    elif kind == "release":
        post(sock, f"/v1/holds/{hold}/release", {})
    else:
        post(sock, "/v1/authorize", {"customer": "c", "feature": "chat", "priority": kind,
                                     "quantities": {"requests": 1}})


def answer(sock):
    """(status, headers, body)"""
    received = b""
    while b"\r\n\r\n" not in received:
        received += (piece := sock.recv(65536))
        assert piece, received
    top, body = received.split(b"\r\n\r\n", 1)
    lines = top.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    while len(body) < int(headers["content-length"]):
        body += sock.recv(65536)
    return int(lines[0].split()[1]), headers, json.loads(body)


def assert_refusal(status, headers, body):
    assert (status, body["code"], body["status"]) == (503, "overloaded", 503)
    assert headers["retry-after"] == "1"
    assert headers["content-type"] == "application/problem+json"


def shed(server):
    return expect(server.get("/healthz"))["overload"]["shed"]


def play_round(server, socks, holds):
    """Sends while the server stands still, lets it go on once all are late; answers by kind."""
    server.process.send_signal(signal.SIGSTOP)
    late = time.monotonic() + LATE_SECONDS
    for kind in KINDS:
        for sock in socks[kind]:
            ask(sock, kind, holds.pop() if kind in ("commit", "release") else None)
    until(lambda: time.monotonic() > late, "they are late")
    server.process.send_signal(signal.SIGCONT)
    return {kind: [answer(sock) for sock in socks[kind]] for kind in KINDS}


def test_the_sheddable_give_way_to_all_others_and_the_accounts_stay_exact(fresh):
    server = fresh(POLICY)
    expect(server.post("/v1/customers/c/grants", {"category": "paid", "credits": "100000"}))
    one = {"op": "authorize", "customer": "c", "feature": "chat", "quantities": {"requests": 1}}
    holds = [done["decision_id"]
             for done in batch_results(expect(server.batch([one] * (2 * EACH * ROUNDS_MAX))))]
    socks = {kind: [connect(server.port) for _ in range(EACH)] for kind in KINDS}
    told = dict.fromkeys(KINDS, 0)
    opened, refused, rounds = len(holds), 0, 0
    while refused < 2 * EACH and rounds < ROUNDS_MAX:
        rounds += 1
        for kind, answers in play_round(server, socks, holds).items():
            for status, headers, body in answers:
                if kind == "sheddable" and status != 200:
                    assert_refusal(status, headers, body)
                    refused += 1
                else:
                    assert status == 200, (kind, body)
                    told[kind] += 1
    assert refused >= 2 * EACH, "it was late for long and refused nobody"
    assert shed(server) == refused
    assert told["commit"] == told["release"] == EACH * rounds
    # No hiccup is an overload: who comes now is served.
    for kind in KINDS[:3]:
        ask(socks[kind][0], kind, None)
        status, _, body = answer(socks[kind][0])
        assert status == 200, body
        told[kind] += 1
    opened += told["sheddable"] + told["default"] + told["critical"]
    held = opened - told["commit"] - told["release"]
    balance = expect(server.get("/v1/customers/c/balance"))
    assert nano(balance["held"]) == nano(str(held))
    assert nano(balance["available"]) == nano(str(100000 - held - told["commit"]))

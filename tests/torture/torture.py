#!/usr/bin/env python3
"""Attacks on a real server, one after the other, and beside each of them a client that behaves.

What is asserted: the good client is always answered, and answered right (every decision, and at the
end the balance to the nano-credit); the server's memory stays below a bound that is computed from its
options; and when the attackers have left, their connections, buffers and descriptors are gone too.
How long answers took is printed beside the calm figure, never asserted.

usage: torture.py [--long] [--only WORD]     WEIR_BIN: the program (default: build/weir)
"""

import argparse
import contextlib
import http.client
import json
import multiprocessing
import os
import pathlib
import random
import resource
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("WEIR_BIN", str(ROOT / "build" / "weir"))
POLICY = """\
version: 1
defaults: {plan: base, hold_ttl: 60s}
features:
  chat: {meters: [requests], unit: requests, prices: chat}
  free: {meters: [requests], unit: requests}
prices:
  chat: [{name: message, rates: {requests: {credits: "0.001", per: 1}}}]
plans:
  base:
    features:
      chat: {waterfall: [{grants: {category: paid}}]}
      free: {waterfall: [{unlimited: {}}]}
"""
CONNECTIONS = 10_500        # --connections; the attackers hold 10,000 and then try for more
BUFFERS_MIB = 64            # --buffers
# What a connection may cost besides: its first block, h2o's and the loop's own, and TLS.
CONNECTION_KIB = 12
TLS_CONNECTION_KIB = 160
SLACK_MIB = 96              # caches of the databases, the state of what attackers were decided
GRANTED_NANO = 10**15
PRICE_NANO = 10**6
ANSWER_SECONDS_MAX = 30


def request(method, path, body=b"", more="", length=None):
    length = len(body) if length is None else length
    return (f"{method} {path} HTTP/1.1\r\nHost: a\r\n{more}Content-Length: {length}\r\n\r\n"
            ).encode() + body


def ask(customer="mallory", feature="free", **more):
    return json.dumps({"customer": customer, "feature": feature, "quantities": {"requests": 1},
                       **more}).encode()


def command(*words):
    """As Redis clients send it."""
    parts = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def consume(customer="mallory", feature="free", key="-"):
    return command("WEIR.CONSUME", customer, "-", feature, key, "requests", 1)


# ---- the server ----------------------------------------------------------------------------------

class Server:
    def __init__(self, place, *arguments):
        self.place = place
        place.mkdir()
        (place / "policy.yaml").write_text(POLICY)
        self.output = open(place / "output.txt", "wb")
        self.process = subprocess.Popen(
            [BINARY, "serve", "--data", place / "data", "--policy", place / "policy.yaml",
             "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--connections", str(CONNECTIONS),
             "--buffers", f"{BUFFERS_MIB}M", "--request-timeout", "3s", "--write-timeout", "3s",
             *arguments], stdout=self.output, stderr=self.output)
        self.port = self.wait(lambda: self.find_port("http"), "it listens")
        self.resp_port = self.find_port("redis")  # None: it is off

    def find_port(self, scheme):
        assert self.process.poll() is None, self.text()
        for line in self.text().splitlines():
            if f"listening on {scheme}" in line:
                return int(line.rsplit(":", 1)[1])
        return None

    def text(self):
        return (self.place / "output.txt").read_text(errors="replace")

    def rss_mib(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    @staticmethod
    def wait(condition, what, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"never: {what}")

    def stop(self):
        self.process.terminate()
        status = self.process.wait(30)
        self.output.close()
        assert status == 0, f"it ended with {status}:\n{self.text()[-3000:]}"


# ---- the client that behaves ---------------------------------------------------------------------

class GoodClient:
    """One request after the other, mostly on one connection, now and then on a new one; over RESP
    besides, where that is what is attacked."""

    def __init__(self, port, certificate=None, resp_port=None):
        self.port, self.resp_port = port, resp_port
        self.resp = None
        self.context = None
        if certificate:
            self.context = ssl.create_default_context(cafile=str(certificate))
        self.connection = None
        self.spent_nano = 0
        self.repeated = 0

    def connect(self):
        if self.context:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context,
                                                     timeout=ANSWER_SECONDS_MAX)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                    timeout=ANSWER_SECONDS_MAX)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def call(self, method, path, body=None, fresh=False):
        """Who is told that nothing was done, and when to come again, does so: that is the contract
        of 503 `overloaded`. The time that it takes counts."""
        for _ in range(10):
            response, text = self.ask(method, path, body, fresh)
            if response.status == 200:
                return json.loads(text)
            assert response.status == 503 and json.loads(text)["code"] == "overloaded", (
                response.status, text)
            self.repeated += 1
            fresh = True
            time.sleep(int(response.headers["Retry-After"]))
        raise AssertionError("refused ten times over")

    def ask(self, method, path, body, fresh):
        if fresh and self.connection:
            self.connection.close()
            self.connection = None
        if self.connection is None:
            self.connection = self.connect()
        self.connection.request(method, path, body=body,
                                headers={"Content-Type": "application/json"} if body else {})
        response = self.connection.getresponse()
        return response, response.read()

    def ask_resp(self, number):
        """A pipeline of two; who is told that nothing was done asks again, and so does who was closed
        before the answer, with his keys."""
        for attempt in range(10):
            try:
                if self.resp is None:
                    self.resp = socket.create_connection(("127.0.0.1", self.resp_port), ANSWER_SECONDS_MAX)
                    self.resp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.resp.sendall(consume("good", "chat", f"a{number}") + consume("good", "chat", f"b{number}"))
                text = b""
                while text.count(b"$5\r\n0.001\r\n") < 4 and not text.startswith(b"-OVERLOADED "):
                    piece = self.resp.recv(65536)
                    if not piece:
                        raise ConnectionResetError(text)
                    text += piece
                if text.startswith(b"*7\r\n$5\r\nallow\r\n"):
                    self.spent_nano += 2 * PRICE_NANO
                    return
                assert text.startswith(b"-OVERLOADED "), text
            except ConnectionError:
                pass
            self.resp.close()
            self.resp = None
            self.repeated += 1
            time.sleep(0.2)
        raise AssertionError("RESP refused ten times over")

    def step(self, number):
        """One round, its latencies in seconds; every answer is checked."""
        took = []
        if self.resp_port:
            began = time.perf_counter()
            self.ask_resp(number)
            took.append(time.perf_counter() - began)

        def timed(*arguments, **options):
            began = time.perf_counter()
            answer = self.call(*arguments, **options)
            took.append(time.perf_counter() - began)
            return answer

        if number % 5 == 4:
            hold = timed("POST", "/v1/authorize",
                         json.dumps({"customer": "good", "feature": "chat",
                                     "quantities": {"requests": 3}, "ttl_ms": 60000}).encode(),
                         fresh=number % 25 == 4)
            assert hold["outcome"] == "allow" and hold["units"]["allowed"] == 3, hold
            done = timed("POST", f"/v1/holds/{hold['decision_id']}/commit",
                         b'{"quantities":{"requests":2}}')
            assert done["hold"]["state"] == "committed", done
            self.spent_nano += 2 * PRICE_NANO
        else:
            done = timed("POST", "/v1/consume", ask("good", "chat", idempotency_key=f"k{number}"))
            assert done["outcome"] == "allow" and done["allocations"][0]["charged"] == "0.001", done
            self.spent_nano += PRICE_NANO
        return took

    def check_balance(self):
        balance = self.call("GET", "/v1/customers/good/balance")
        whole, _, part = balance["available"].partition(".")
        nano = int(whole) * 10**9 + int((part + "000000000")[:9])
        assert nano == GRANTED_NANO - self.spent_nano, (balance, self.spent_nano)
        assert balance["held"] == "0", balance


def good_client(port, certificate, pipe, resp_port=None):
    """A process: steps until told to say how it went, again and again, until told to end."""
    client = GoodClient(port, certificate, resp_port)
    client.call("POST", "/v1/customers/good/grants",
                json.dumps({"category": "paid", "credits": str(GRANTED_NANO // 10**9)}).encode())
    took, number, failure = [], 0, None
    while True:
        if pipe.poll():
            if pipe.recv() == "end":
                return
            if failure is None:
                with catching() as caught:
                    client.check_balance()
                failure = caught.failure
            pipe.send((sorted(took), client.repeated, failure))
            took, client.repeated = [], 0
        if failure is None:
            with catching() as caught:
                took += client.step(number)
            failure = caught.failure
        number += 1
        time.sleep(0.002)


@contextlib.contextmanager
def catching():
    class Caught:
        failure = None
    try:
        yield Caught
    except Exception as error:              # pylint: disable=broad-except
        Caught.failure = f"{type(error).__name__}: {error}"


# ---- attacks: each until the deadline; answers how much of it there was ---------------------------

class Attack:
    def __init__(self, port, seconds, seed, certificate):
        self.port, self.certificate = port, certificate
        self.deadline = time.monotonic() + seconds
        self.random = random.Random(seed)

    def goes_on(self):
        return time.monotonic() < self.deadline

    def rest(self):
        time.sleep(max(0, self.deadline - time.monotonic()))

    def connect(self, receive_bytes=None):
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.settimeout(5)
        sock.connect(("127.0.0.1", self.port))
        return sock

    def open(self, count, sent=b"", **options):
        """So many connections that have sent something, as far as there is time for them."""
        made = []
        for _ in range(count):
            if not self.goes_on():
                break
            with contextlib.suppress(OSError):
                sock = self.connect(**options)
                made.append(sock)
                if sent:
                    sock.sendall(sent)
                sock.setblocking(False)
        return made

    def crawl(self, made, piece):
        """A little more on each of them, round and round."""
        while self.goes_on():
            for sock in made:
                with contextlib.suppress(OSError):
                    sock.send(piece)
            time.sleep(0.1)
        return len(made)


def nothing(attack):
    attack.rest()
    return 0


def slow_headers(attack):
    return attack.crawl(attack.open(2000, b"POST /v1/consume HTTP/1.1\r\nX-a: "), b"y")


def slow_bodies(attack):
    return attack.crawl(attack.open(1000, request("POST", "/v1/usage", length=4 << 20) + b"["),
                        b" " * 8192)


def slow_readers(attack):
    """Exports, and large answers, of which nobody reads a byte."""
    export = request("GET", "/v1/customers/mallory/events?format=csv")
    large = request("GET", "/v1/policy") * 200
    made = attack.open(60, export, receive_bytes=4096) + attack.open(300, large, receive_bytes=4096)
    attack.rest()
    return len(made)


def idle(attack):
    made = attack.open(10_000)
    attack.rest()
    return len(made)


def beyond(attack):
    """More than there may be: the oldest give way."""
    made = attack.open(10_000)
    made += attack.open(2000)
    attack.rest()
    return len(made)


def pipelines(attack):
    """Some hundred requests in one go, on many connections, over and over."""
    def flood():
        many = request("POST", "/v1/consume", ask()) * 300
        while attack.goes_on():
            with contextlib.suppress(OSError), attack.connect() as sock:
                answers = 0
                sender = threading.Thread(target=quietly, args=(sock.sendall, many))
                sender.start()
                while answers < 300 and attack.goes_on():
                    piece = sock.recv(1 << 18)
                    if not piece:
                        break
                    answers += piece.count(b"HTTP/1.1 ")
                counts.append(answers)
                sock.close()
                sender.join()
    counts = []
    together(flood, 8)
    return sum(counts)


def quietly(function, *arguments):
    with contextlib.suppress(OSError):
        function(*arguments)


def together(function, count):
    threads = [threading.Thread(target=function) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def send_and_leave(attack, make):
    """Connections that each send something, read a little and go."""
    count = 0
    while attack.goes_on():
        with contextlib.suppress(OSError), attack.connect() as sock:
            sock.settimeout(0.2)
            sock.sendall(make())
            count += 1
            sock.recv(4096)
    return count


def random_bytes(attack):
    rng = attack.random
    beginnings = [b"", b"GET / HTTP/1.1\r\n", b"POST /v1/consume HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
                  b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01",
                  b"POST /v1/batch HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"]
    return send_and_leave(attack, lambda: rng.choice(beginnings)
                          + rng.randbytes(rng.choice([1, 100, 5000, 60_000])) + b"\r\n\r\n")


def huge(attack):
    one = json.loads(ask()) | {"op": "consume"}
    cases = [
        b"GET /" + b"p" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 5000 + b"\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"y" * 500_000 + b"\r\n\r\n",
        request("POST", "/v1/consume", b"[" * 1_000_000),
        request("POST", "/v1/consume", b" " * (2 << 20)),
        request("POST", "/v1/usage", b" " * (4 << 20)),
        request("POST", "/v1/usage", length=1 << 40) + b" " * (1 << 20),
        request("POST", "/v1/batch", json.dumps({"operations": [one] * 1000}).encode()),
        request("POST", "/v1/batch", json.dumps({"operations": [one] * 1001}).encode()),
        request("PUT", "/v1/policy", b"&a [" * 200_000),
    ]
    order = iter(range(10**9))
    return send_and_leave(attack, lambda: cases[next(order) % len(cases)])


def half_closed(attack):
    """Who ends his side gets his answer; who ends it in the middle is told so."""
    whole = request("POST", "/v1/consume", ask())
    count = 0
    while attack.goes_on():
        for sent in (whole, whole[:-5], whole[:30]):
            with contextlib.suppress(OSError), attack.connect() as sock:
                sock.sendall(sent)
                sock.shutdown(socket.SHUT_WR)
                received = b""
                while piece := sock.recv(65536):
                    received += piece
                assert received.startswith(b"HTTP/1.1 200" if sent is whole else b"HTTP/1.1 400"), (
                    sent, received)
                count += 1
        made = attack.open(20, whole)
        for sock in made:                   # and those who do not wait at all
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        count += len(made)
    return count


def unknown_keys(attack):
    """Strangers' keys, and idempotency keys that nobody has used, thousands of each."""
    counts = []

    def guess():
        rng = random.Random(attack.random.random())
        with contextlib.suppress(OSError), attack.connect() as sock:
            while attack.goes_on():
                key = rng.randbytes(32).hex()
                sock.sendall(request("POST", "/v1/consume", ask(idempotency_key=key[:32]),
                                     f"Authorization: Bearer weir_{key}\r\n") * 10)
                answers = 0
                while answers < 10:
                    piece = sock.recv(65536)
                    if not piece:
                        return
                    answers += piece.count(b"HTTP/1.1 ")
                counts.append(10)
    together(guess, 4)
    return sum(counts)


def tls_silent(attack):
    """No hello, a byte of one, half of one; and plain HTTP."""
    made = attack.open(500) + attack.open(500, b"\x16") + attack.open(
        1500, b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03")
    made += attack.open(300, request("POST", "/v1/consume", ask()))
    attack.rest()
    return len(made)


def tls_nonsense(attack):
    rng = attack.random
    records = [lambda: bytes([rng.randrange(20, 25), 3, rng.randrange(5)])
               + struct.pack("!H", rng.randrange(65536)) + rng.randbytes(rng.randrange(2000)),
               lambda: b"\x16\x03\x01\x02\x00\x01" + rng.randbytes(515),
               lambda: rng.randbytes(3000), lambda: b"\x80\x2e\x01\x00\x02" + rng.randbytes(40)]
    return send_and_leave(attack, lambda: b"".join(rng.choice(records)() for _ in range(3)))


def tls_handshakes(attack):
    """As many as will go, each to its end and closed at once; and old versions."""
    counts = []
    warnings.simplefilter("ignore", DeprecationWarning)    # of the old versions

    def shake():
        made = ssl.create_default_context(cafile=str(attack.certificate))
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1
        while attack.goes_on():
            with contextlib.suppress(OSError), made.wrap_socket(
                    attack.connect(), server_hostname="127.0.0.1"):
                counts.append(1)
            with contextlib.suppress(OSError), old.wrap_socket(attack.connect()):
                raise AssertionError("TLS 1.0 was spoken")
    together(shake, 4)
    return len(counts)


def tls_after_the_end(attack):
    """The client ends its stream, and goes on sending."""
    made = ssl.create_default_context(cafile=str(attack.certificate))
    count = 0
    while attack.goes_on():
        with contextlib.suppress(OSError):
            sock = made.wrap_socket(attack.connect(), server_hostname="127.0.0.1")
            sock.sendall(request("POST", "/v1/usage", length=1 << 20)[:-1])
            sock.setblocking(False)
            with contextlib.suppress(ssl.SSLError):
                sock.unwrap()
            bare = socket.socket(fileno=sock.detach())
            bare.settimeout(0.2)
            count += 1
            with bare:
                for _ in range(64):
                    bare.sendall(b"\x17\x03\x03\x40\x00" + b"x" * 16384)
    return count


def tls_slow_headers(attack):
    """A handshake each, then a head that never ends."""
    context = ssl.create_default_context(cafile=str(attack.certificate))
    made = []
    while len(made) < 500 and attack.goes_on():
        with contextlib.suppress(OSError):
            sock = context.wrap_socket(attack.connect(), server_hostname="127.0.0.1")
            sock.sendall(b"POST /v1/consume HTTP/1.1\r\nX-a: ")
            sock.setblocking(False)
            made.append(sock)
    return attack.crawl(made, b"y")


def resp_slow(attack):
    """Commands that crawl in, to their ceiling."""
    begun = b"*8\r\n$12\r\nWEIR.CONSUME\r\n$60000\r\n"
    return attack.crawl(attack.open(2000, begun), b"y" * 64)


def resp_never_read(attack):
    """Pipelines that go on and on, and of whose answers nobody reads a byte."""
    many = consume() * 400
    made = attack.open(200, receive_bytes=4096)
    while attack.goes_on():
        for sock in made:
            with contextlib.suppress(OSError):
                sock.send(many)
        time.sleep(0.01)
    return len(made)


def resp_pipelines(attack):
    def flood():
        many = consume() * 1000 + command("PING")
        while attack.goes_on():
            with contextlib.suppress(OSError), attack.connect() as sock:
                sender = threading.Thread(target=quietly, args=(sock.sendall, many))
                sender.start()
                answers, tail = 0, b""
                while attack.goes_on() and not tail.endswith(b"+PONG\r\n"):
                    piece = sock.recv(1 << 18)
                    if not piece:
                        break
                    answers += piece.count(b"$5\r\nallow")
                    tail = (tail + piece)[-16:]
                counts.append(answers)
                sock.close()
                sender.join()
    counts = []
    together(flood, 8)
    return sum(counts)


def resp_random_bytes(attack):
    rng = attack.random
    beginnings = [b"", b"*3\r\n", b"*1\r\n$4\r\n", consume(), b"*128\r\n" + b"$0\r\n\r\n" * 100,
                  b"\x16\x03\x01", b"WEIR.CONSUME ", b"POST / HTTP/1.1\r\n", command("HELLO", 3)]
    return send_and_leave(attack, lambda: rng.choice(beginnings)
                          + rng.randbytes(rng.choice([1, 100, 5000, 60_000])) + b"\r\n")


def resp_huge(attack):
    cases = [
        b"*1000000000\r\n", b"*128\r\n$1000000000\r\n", b"*2\r\n$64000\r\n" + b"x" * 64000 + b"\r\n$64000\r\n",
        b"x" * 1_000_000, b"PING " + b'"' * 16000 + b"\r\n",
        command("WEIR.CONSUME", *["x" * 400] * 127) * 50,
        command("ECHO", "e" * 60_000) * 100, command("COMMAND", "DOCS") * 2000,
        command("COMMAND", "INFO", *["PING"] * 126) * 50, command("INFO") * 500,
        b"\r\n" * 100_000, b"*0\r\n" * 50_000,
    ]
    order = iter(range(10**9))
    return send_and_leave(attack, lambda: cases[next(order) % len(cases)])


def resp_half_closed(attack):
    count = 0
    while attack.goes_on():
        for sent, allowed in ((consume() * 20, 20), (consume() + consume()[:-5], 1), (b"*2\r\n", 0)):
            with contextlib.suppress(OSError), attack.connect() as sock:
                sock.sendall(sent)
                sock.shutdown(socket.SHUT_WR)
                received = b""
                while piece := sock.recv(65536):
                    received += piece
                assert received.count(b"$5\r\nallow") == allowed, (sent, received)
                count += 1
        made = attack.open(20, consume() * 50)
        for sock in made:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        count += len(made)
    return count


def resp_unknown_keys(attack):
    """Strangers' keys, and idempotency keys that nobody has used."""
    counts = []

    def guess():
        rng = random.Random(attack.random.random())
        with contextlib.suppress(OSError), attack.connect() as sock:
            while attack.goes_on():
                key = rng.randbytes(32).hex()
                sock.sendall((command("AUTH", "weir_" + key) + consume(key=key)) * 10)
                text = b""
                while text.count(b"+OK") + text.count(b"$5\r\nallow") < 20:
                    piece = sock.recv(65536)
                    if not piece:
                        return
                    text += piece
                counts.append(10)
    together(guess, 4)
    return sum(counts)


PLAIN = [("calm", nothing), ("slow headers", slow_headers), ("slow bodies", slow_bodies),
         ("slow readers", slow_readers), ("10,000 idle", idle), ("beyond the ceiling", beyond),
         ("pipelined floods", pipelines), ("random bytes", random_bytes),
         ("huge everything", huge), ("half-closed, resets", half_closed),
         ("unknown keys", unknown_keys)]
TLS = [("calm, TLS", nothing), ("TLS: silent, cut, plain", tls_silent),
       ("TLS: nonsense", tls_nonsense), ("TLS: handshakes", tls_handshakes),
       ("TLS: after the end", tls_after_the_end), ("TLS: 10,000 idle", idle),
       ("TLS: slow headers", tls_slow_headers)]
RESP = [("calm, RESP", nothing), ("RESP: slow commands", resp_slow), ("RESP: never read", resp_never_read),
        ("RESP: 10,000 idle", idle), ("RESP: beyond the ceiling", beyond),
        ("RESP: pipelined floods", resp_pipelines), ("RESP: random bytes", resp_random_bytes),
        ("RESP: huge everything", resp_huge), ("RESP: half-closed", resp_half_closed),
        ("RESP: unknown keys", resp_unknown_keys)]
LONGER = {"RESP: 10,000 idle": 3, "RESP: beyond the ceiling": 4, "RESP: slow commands": 3, "RESP: never read": 3,
          "10,000 idle": 3, "beyond the ceiling": 4, "TLS: 10,000 idle": 3,     # seconds more
          "slow headers": 3, "slow bodies": 3, "slow readers": 3,               # than a time-out
          "TLS: slow headers": 3}


# ---- the run -------------------------------------------------------------------------------------

def run_attack(function, port, seconds, seed, certificate, pipe):
    resource.setrlimit(resource.RLIMIT_NOFILE,
                       (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with catching() as caught:
        pipe.send((function(Attack(port, seconds, seed, certificate)), None))
        return
    pipe.send((0, caught.failure))


def percentile(took, share):
    return took[min(len(took) - 1, int(len(took) * share))] * 1000 if took else float("nan")


class Table:
    def __init__(self):
        self.failures = []
        print(f"{'attack':<24} {'count':>7}   {'good client: n':>14} {'p50 ms':>7} {'p99 ms':>7} "
              f"{'max ms':>7} {'again':>5}   {'RSS MiB':>7} {'fds':>6}", flush=True)

    def row(self, name, count, took, repeated, rss, fds):
        print(f"{name:<24} {count:>7,}   {len(took):>14,} {percentile(took, .5):>7.2f} "
              f"{percentile(took, .99):>7.2f} {percentile(took, 1):>7.1f} {repeated:>5}   {rss:>7.0f} {fds:>6,}",
              flush=True)

    def fail(self, name, what):
        self.failures.append(f"{name}: {what}")
        print(f"    FAILED: {what}", flush=True)


def watch(server, process, peaks):
    while process.is_alive():
        peaks["rss"] = max(peaks["rss"], server.rss_mib())
        peaks["fds"] = max(peaks["fds"], server.descriptors())
        time.sleep(0.1)


def campaign(server, attacks, seconds, certificate, table, seed):
    here, there = multiprocessing.Pipe()
    resp_port = server.resp_port if attacks and attacks[0] in RESP else None
    port = resp_port or server.port
    good = multiprocessing.Process(target=good_client,
                                   args=(server.port, certificate, there, resp_port))
    good.start()
    time.sleep(0.5)
    rss_calm, fds_calm = server.rss_mib(), server.descriptors()
    each_kib = TLS_CONNECTION_KIB if certificate else CONNECTION_KIB
    rss_max = rss_calm + BUFFERS_MIB * 2 + CONNECTIONS * each_kib / 1024 + SLACK_MIB
    for name, function in attacks:
        ours, theirs = multiprocessing.Pipe()
        attacker = multiprocessing.Process(
            target=run_attack, args=(function, port, seconds + LONGER.get(name, 0), seed,
                                     certificate, theirs))
        here.send("say")
        here.recv()                 # what was before is not this attack's
        attacker.start()
        peaks = {"rss": 0, "fds": 0}
        watch(server, attacker, peaks)
        here.send("say")
        took, repeated, failure = here.recv()
        count, attack_failure = ours.recv() if ours.poll() else (0, "the attacker died")
        table.row(name, count, took, repeated, peaks["rss"], peaks["fds"])
        if failure:
            table.fail(name, f"the good client: {failure}")
        if attack_failure:
            table.fail(name, f"the attacker: {attack_failure}")
        if not took:
            table.fail(name, "the good client was not answered")
        if peaks["rss"] > rss_max:
            table.fail(name, f"{peaks['rss']:.0f} MiB of memory, {rss_max:.0f} are the most")
        if peaks["fds"] > fds_calm + CONNECTIONS:
            table.fail(name, f"{peaks['fds']} descriptors")
    here.send("end")
    good.join()
    slow = any(function in (slow_headers, slow_bodies, tls_slow_headers, resp_slow) for _, function in attacks)
    check_given_back(server, fds_calm, slow, certificate, table)


def check_given_back(server, fds_calm, slow, certificate, table):
    client = GoodClient(server.port, certificate)

    def is_given_back():
        health = client.call("GET", "/healthz")
        return (health["connections"]["open"] <= 2 and health["buffers"]["bytes"] == 0
                and health["exchanges"] == 1 and server.descriptors() <= fds_calm + 8)
    with catching() as caught:
        server.wait(is_given_back, "connections, buffers and descriptors are given back")
        health = client.call("GET", "/healthz")
        print(f"    the server's word: {json.dumps(health['connections'])}, buffers refused "
              f"{health['buffers']['refused']}, requests shed {health['overload']['shed']}; "
              f"{server.rss_mib():.0f} MiB in the end", flush=True)
        if slow and health["connections"]["timed_out"] == 0:
            table.fail("afterwards", "nobody was timed out")
    if caught.failure:
        table.fail("afterwards", caught.failure)


def make_certificate(place):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-keyout", place / "key.pem",
                    "-out", place / "cert.pem", "-subj", "/CN=a", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
    (place / "key.pem").chmod(0o600)
    return place / "cert.pem"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="30 s an attack instead of 2")
    parser.add_argument("--only", default="", help="attacks whose name has this word, and the calm")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < CONNECTIONS + 2500:
        sys.exit(f"torture: {hard} descriptors are too few: ulimit -Hn {CONNECTIONS + 2500}")
    seconds = 30 if options.long else 2
    place = pathlib.Path(tempfile.mkdtemp(prefix="weir-torture-"))
    print(f"seed {options.seed}, {seconds} s an attack, --connections {CONNECTIONS}, --buffers "
          f"{BUFFERS_MIB}M, time-outs 3 s", flush=True)
    table = Table()
    try:
        certificate = make_certificate(place)
        tls = ("--resp", "off", "--tls-cert", certificate, "--tls-key", place / "key.pem")
        for name, attacks, arguments, shown in (
                ("plain", PLAIN, ("--resp", "off"), None), ("tls", TLS, tls, certificate),
                ("resp", RESP, ("--resp", "127.0.0.1:0"), None)):
            chosen = [attack for attack in attacks
                      if options.only in attack[0] or attack[1] is nothing]
            server = Server(place / name, *arguments)
            try:
                campaign(server, chosen, seconds, shown, table, options.seed)
                server.stop()
                subprocess.run([BINARY, "verify", "--data", server.place / "data"], check=True,
                               stdout=subprocess.DEVNULL)
            except Exception:
                print(server.text()[-5000:])
                raise
            finally:
                if server.process.poll() is None:
                    server.process.kill()
                    server.process.wait()
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if table.failures:
        sys.exit("\n".join(["torture:", *table.failures]))
    print("the good client was always answered, and right; memory and descriptors within bounds")


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    main()

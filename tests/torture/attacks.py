"""What is done to a server by those who mean no good: attackers, and the lists of them (torture.py).

An attack is a function of an Attack that goes on until its deadline and answers how much of it there was.
What HTTP, RESP and gRPC suffer alike is written once, as a function of what is said in each of them.
"""

import contextlib
import functools
import itertools
import json
import random
import socket
import ssl
import struct
import sys
import threading
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "blackbox"))

from grpc_client import PREFACE, framed, hpack, pb  # noqa: E402

TIME_OUT_SECONDS = 3        # of requests and of writing: the server's options
STREAMS = 200               # of a connection of gRPC at once; there may be 256


# ---- what is said --------------------------------------------------------------------------------

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

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload=b""):
    """Of HTTP/2."""
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


@functools.lru_cache(maxsize=100)
def headers(*more, method="Consume"):
    """A block that means the same wherever it comes in a connection."""
    return hpack.Encoder().encode([
        (":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", f"/weir.v1.Weir/{method}"),
        ("content-type", "application/grpc"), ("te", "trailers"), *more])


def head(stream, *more, flags=END_HEADERS):
    return frame(HEADERS, flags, stream, headers(*more))


def message(customer="mallory", feature="free", key=""):
    return framed(pb.ConsumeRequest(customer=customer, feature=feature, quantities={"requests": 1},
                                    idempotency_key=key).SerializeToString())


def call(stream, *more, **fields):
    return head(stream, *more) + frame(DATA, END_STREAM, stream, message(**fields))


def streams(turn, count=STREAMS):
    """The numbers of so many, and of others in the next turn."""
    return range(2 * count * turn + 1, 2 * count * (turn + 1) + 1, 2)


# What the server sends is let out of its window.
OPENING = PREFACE + frame(SETTINGS, 0, 0) + frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", 1 << 30))


# ---- how answers are counted ---------------------------------------------------------------------

def marks(mark):
    """A function that is given piece by piece and says how often the mark has come."""
    seen, tail = 0, b""

    def see(piece):
        nonlocal seen, tail
        tail += piece
        seen += tail.count(mark)
        tail = tail[-len(mark) + 1:]
        return seen
    return see


def ends():
    """Likewise how many streams of HTTP/2 have ended."""
    seen, rest = 0, b""

    def see(piece):
        nonlocal seen, rest
        rest += piece
        at = 0
        while len(rest) - at >= 9:
            length, kind, flags = int.from_bytes(rest[at:at + 3], "big"), rest[at + 3], rest[at + 4]
            if len(rest) - at < 9 + length:
                break
            seen += kind == RST_STREAM or (kind <= HEADERS and flags & END_STREAM != 0)
            at += 9 + length
        rest = rest[at:]
        return seen
    return see


def count_answers(sock, see, wanted):
    """False: the server has closed."""
    seen = 0
    while seen < wanted:
        piece = sock.recv(1 << 18)
        if not piece:
            return False
        seen = see(piece)
    return True


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


def crawling(count, begun, piece):
    """Something that is begun and comes in little by little."""
    return lambda attack: attack.crawl(attack.open(count, begun), piece)


def waiting(*kinds, **options):
    """So many connections that have said so much, and no more."""
    def wait(attack):
        made = [sock for count, sent in kinds for sock in attack.open(count, sent, **options)]
        attack.rest()
        return len(made)
    return wait


def beyond(sent=b""):
    """More than there may be: the oldest give way."""
    return waiting((10_000, sent), (2000, sent))


def pipelines(many, count, counter, wanted):
    """So many requests in one go, on many connections, over and over."""
    def attack_with(attack):
        counts = []

        def flood():
            while attack.goes_on():
                with contextlib.suppress(OSError), attack.connect() as sock:
                    sender = threading.Thread(target=quietly, args=(sock.sendall, many))
                    sender.start()
                    quietly(lambda: count_answers(sock, counter(), wanted) and counts.append(count))
                    sock.close()
                    sender.join()
        together(flood, 8)
        return sum(counts)
    return attack_with


def never_read(count, make):
    """Requests that go on and on, make(turn), and of whose answers nobody reads a byte."""
    def attack_with(attack):
        made = attack.open(count, receive_bytes=4096)
        turns = {sock: itertools.count() for sock in made}
        left = dict.fromkeys(made, b"")
        while attack.goes_on():
            for sock in made:
                left[sock] = left[sock] or make(next(turns[sock]))
                with contextlib.suppress(OSError):
                    left[sock] = left[sock][sock.send(left[sock]):]
            time.sleep(0.01)
        return len(made)
    return attack_with


def noise(beginnings, end=b""):
    def attack_with(attack):
        rng = attack.random
        return send_and_leave(attack, lambda: rng.choice(beginnings)
                              + rng.randbytes(rng.choice([1, 100, 5000, 60_000])) + end)
    return attack_with


def each_of(*cases):
    def attack_with(attack):
        order = itertools.cycle(cases)
        return send_and_leave(attack, lambda: next(order))
    return attack_with


def half_closed(whole, *cases):
    """Who ends his side has what he is due, which `is_due` of what he reads says; and those who do not
    wait at all."""
    def attack_with(attack):
        count = 0
        while attack.goes_on():
            for sent, is_due in cases:
                with contextlib.suppress(OSError), attack.connect() as sock:
                    sock.sendall(sent)
                    sock.shutdown(socket.SHUT_WR)
                    received = b""
                    while piece := sock.recv(65536):
                        received += piece
                    assert is_due(received), (sent, received)
                    count += 1
            made = attack.open(20, whole)
            for sock in made:
                reset(sock)
            count += len(made)
        return count
    return attack_with


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def resets_in_time(sent=b""):
    """Who has sent nothing, or something, leaves in the moment in which he is given up."""
    def attack_with(attack):
        made = []
        while len(made) < 1000 and attack.goes_on():
            with contextlib.suppress(OSError):
                sock = attack.connect()
                made.append((time.monotonic() + TIME_OUT_SECONDS, sock))
                sock.sendall(sent if len(made) % 2 else b"")
        for due, sock in made:
            time.sleep(max(0, due + attack.random.uniform(-0.001, 0.003) - time.monotonic()))
            quietly(reset, sock)
        attack.rest()
        return len(made)
    return attack_with


def unknown_keys(opening, make, counter, wanted):
    """Strangers' keys, and idempotency keys that nobody has used, ten by ten: make(key, turn)."""
    def attack_with(attack):
        counts = []

        def guess():
            rng = random.Random(attack.random.random())
            with contextlib.suppress(OSError), attack.connect() as sock:
                sock.sendall(opening)
                see = counter()
                for turn in itertools.count():
                    sock.sendall(make(rng.randbytes(32).hex(), turn))
                    if not attack.goes_on() or not count_answers(sock, see, (turn + 1) * wanted):
                        return
                    counts.append(10)
        together(guess, 4)
        return sum(counts)
    return attack_with


def floods(make):
    """Until the server has enough of it, and then again: make(random) makes a maker of one
    connection's bytes, turn by turn."""
    def attack_with(attack):
        counts = []

        def flood():
            rng = random.Random(attack.random.random())
            while attack.goes_on():
                with contextlib.suppress(OSError), attack.connect() as sock:
                    sock.sendall(OPENING)
                    more = make(rng)
                    for turn in itertools.count():
                        if not attack.goes_on():
                            return
                        sock.settimeout(1)
                        sock.sendall(more(turn))
                        counts.append(1)
                        sock.setblocking(False)
                        quietly(sock.recv, 1 << 20)
        together(flood, 4)
        return len(counts)
    return attack_with


# ---- HTTP ----------------------------------------------------------------------------------------

def slow_readers(attack):
    """Exports, and large answers, of which nobody reads a byte."""
    export = request("GET", "/v1/customers/mallory/events?format=csv")
    large = request("GET", "/v1/policy") * 200
    made = attack.open(60, export, receive_bytes=4096) + attack.open(300, large, receive_bytes=4096)
    attack.rest()
    return len(made)


WHOLE = request("POST", "/v1/consume", ask())
ONE = json.loads(ask()) | {"op": "consume"}
HUGE = each_of(
    b"GET /" + b"p" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 5000 + b"\r\n",
    b"GET / HTTP/1.1\r\nx: " + b"y" * 500_000 + b"\r\n\r\n",
    request("POST", "/v1/consume", b"[" * 1_000_000),
    request("POST", "/v1/consume", b" " * (2 << 20)),
    request("POST", "/v1/usage", b" " * (4 << 20)),
    request("POST", "/v1/usage", length=1 << 40) + b" " * (1 << 20),
    request("POST", "/v1/batch", json.dumps({"operations": [ONE] * 1000}).encode()),
    request("POST", "/v1/batch", json.dumps({"operations": [ONE] * 1001}).encode()),
    request("PUT", "/v1/policy", b"&a [" * 200_000),
)


def http_keys(key, _):
    return request("POST", "/v1/consume", ask(idempotency_key=key[:32]),
                   f"Authorization: Bearer weir_{key}\r\n") * 10


def begins(status):
    return lambda received: received.startswith(b"HTTP/1.1 %d " % status)


PLAIN = [
    ("calm", nothing),
    ("slow headers", crawling(2000, b"POST /v1/consume HTTP/1.1\r\nX-a: ", b"y")),
    ("slow bodies", crawling(1000, request("POST", "/v1/usage", length=4 << 20) + b"[", b" " * 8192)),
    ("slow readers", slow_readers),
    ("10,000 idle", waiting((10_000, b""))),
    ("beyond the ceiling", beyond()),
    ("pipelined floods", pipelines(WHOLE * 300, 300, lambda: marks(b"HTTP/1.1 "), 300)),
    ("random bytes", noise([
        b"", b"GET / HTTP/1.1\r\n", b"POST /v1/consume HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
        PREFACE, b"\x16\x03\x01", b"POST /v1/batch HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"],
        b"\r\n\r\n")),
    ("huge everything", HUGE),
    ("half-closed, resets", half_closed(WHOLE, (WHOLE, begins(200)), (WHOLE[:-5], begins(400)),
                                        (WHOLE[:30], begins(400)))),
    ("resets in time", resets_in_time(WHOLE[:30])),
    ("unknown keys", unknown_keys(b"", http_keys, lambda: marks(b"HTTP/1.1 "), 10)),
]


# ---- TLS -----------------------------------------------------------------------------------------

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


TLS = [
    ("calm, TLS", nothing),
    # No hello, a byte of one, half of one; and plain HTTP.
    ("TLS: silent, cut, plain", waiting(
        (500, b""), (500, b"\x16"), (1500, b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03"), (300, WHOLE))),
    ("TLS: nonsense", tls_nonsense),
    ("TLS: handshakes", tls_handshakes),
    ("TLS: after the end", tls_after_the_end),
    ("TLS: 10,000 idle", waiting((10_000, b""))),
    ("TLS: slow headers", tls_slow_headers),
]


# ---- RESP ----------------------------------------------------------------------------------------

def resp_keys(key, _):
    return (command("AUTH", "weir_" + key) + consume(key=key)) * 10 + command("PING")


def allowed(times):
    return lambda received: received.count(b"$5\r\nallow") == times


RESP = [
    ("calm, RESP", nothing),
    # To their ceiling.
    ("RESP: slow commands", crawling(2000, b"*8\r\n$12\r\nWEIR.CONSUME\r\n$60000\r\n", b"y" * 64)),
    ("RESP: never read", never_read(200, lambda turn: consume() * 400)),
    ("RESP: 10,000 idle", waiting((10_000, b""))),
    ("RESP: beyond the ceiling", beyond()),
    ("RESP: pipelined floods", pipelines(consume() * 1000 + command("PING"), 1000, lambda: marks(b"+PONG\r\n"), 1)),
    ("RESP: random bytes", noise([
        b"", b"*3\r\n", b"*1\r\n$4\r\n", consume(), b"*128\r\n" + b"$0\r\n\r\n" * 100, b"\x16\x03\x01",
        b"WEIR.CONSUME ", b"POST / HTTP/1.1\r\n", command("HELLO", 3)], b"\r\n")),
    ("RESP: huge everything", each_of(
        b"*1000000000\r\n", b"*128\r\n$1000000000\r\n",
        b"*2\r\n$64000\r\n" + b"x" * 64000 + b"\r\n$64000\r\n",
        b"x" * 1_000_000, b"PING " + b'"' * 16000 + b"\r\n",
        command("WEIR.CONSUME", *["x" * 400] * 127) * 50,
        command("ECHO", "e" * 60_000) * 100, command("COMMAND", "DOCS") * 2000,
        command("COMMAND", "INFO", *["PING"] * 126) * 50, command("INFO") * 500,
        b"\r\n" * 100_000, b"*0\r\n" * 50_000)),
    ("RESP: half-closed", half_closed(consume() * 50, (consume() * 20, allowed(20)),
                                      (consume() + consume()[:-5], allowed(1)), (b"*2\r\n", allowed(0)))),
    ("RESP: resets in time", resets_in_time(consume()[:30])),
    ("RESP: unknown keys", unknown_keys(b"", resp_keys, lambda: marks(b"+PONG\r\n"), 1)),
]


# ---- gRPC ----------------------------------------------------------------------------------------

def grpc_keys(key, turn):
    return b"".join(call(stream, ("authorization", f"Bearer weir_{key}"), key=f"{key[:32]}{stream}")
                    for stream in streams(turn, 10))


def anything(_):
    """HTTP/2 has no half of a connection: who sends no more need not be answered."""
    return True


def rapid_resets(_):
    """Calls that are taken back at once (CVE-2023-44487)."""
    return lambda turn: b"".join(call(stream) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08")
                                 for stream in streams(turn))


def frames_for_nothing(rng):
    kind = rng.choice([
        frame(PING, 0, 0, b"12345678"), frame(SETTINGS, 0, 0), frame(SETTINGS, 0, 0, b"\0\4\0\1\0\0"),
        frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"), frame(PRIORITY, 0, 1, b"\0\0\0\3\x10"),
        frame(DATA, 0, 1), frame(RST_STREAM, 0, 1, b"\0\0\0\x08"), frame(0xee, 0, 0, b"x")])
    return lambda turn: (b"" if turn else head(1)) + kind * 500


def endless_headers(rng):
    """Of one call, that never end: nothing in them, much in them, or little that stands for much."""
    block = rng.choice([b"", b"\x00\x03x-a\x7f\x81\x1f" + b"y" * 4096, b"\xbe" * 8192])
    begun = headers(("x-a", "y" * 3000))
    return lambda turn: frame(CONTINUATION, 0, 1, block) * 20 if turn else frame(HEADERS, 0, 1, begun)


def in_bits(payload):
    return b"".join(frame(DATA, 0, 1, payload[at:at + 1]) for at in range(len(payload)))


GRPC = [
    ("calm, gRPC", nothing),
    # Half an opening, an opening and nothing behind it, half a frame's head.
    ("gRPC: silent", waiting((1000, PREFACE[:10]), (1000, OPENING), (1000, OPENING + b"\0\0"))),
    ("gRPC: slow messages", crawling(1000, OPENING + head(1) + frame(DATA, 0, 1, b"\0\0\x10\0\0"),
                                     frame(DATA, 0, 1, b"y" * 64))),
    ("gRPC: never whole", waiting((120, OPENING + b"".join(map(head, streams(0)))))),
    ("gRPC: no window", waiting((200, PREFACE + frame(SETTINGS, 0, 0, b"\0\4\0\0\0\0")
                                 + b"".join(map(call, streams(0)))))),
    ("gRPC: never read", never_read(200, lambda turn: b"".join([b"" if turn else OPENING, *map(call, streams(turn))]))),
    ("gRPC: 10,000 idle", waiting((10_000, OPENING))),
    ("gRPC: beyond the ceiling", beyond(OPENING)),
    ("gRPC: floods of calls", pipelines(OPENING + b"".join(map(call, streams(0))), STREAMS, ends, STREAMS)),
    ("gRPC: short deadlines", pipelines(
        OPENING + b"".join(call(stream, ("grpc-timeout", f"{stream % 9}{'num'[stream % 3]}")) for stream in streams(0)),
        STREAMS, ends, STREAMS)),
    ("gRPC: rapid resets", floods(rapid_resets)),
    ("gRPC: frames for nothing", floods(frames_for_nothing)),
    ("gRPC: endless headers", floods(endless_headers)),
    ("gRPC: random bytes", noise([b"", PREFACE, OPENING, OPENING + head(1), OPENING + call(1),
                                  OPENING + head(1) + b"\0\x40\0\0\1\0\0\0\1", b"\x16\x03\x01", WHOLE])),
    ("gRPC: huge everything", each_of(
        OPENING + head(1) + frame(DATA, 0, 1, b"\0\xff\xff\xff\xff" + b"x" * 16000) * 5,
        OPENING + head(1) + frame(DATA, 0, 1, b"\0\0\x10\0\1" + b"x" * 16000) * 5,
        OPENING + head(1) + frame(DATA, 0, 1, b"\0\0\x10\0\0" + b"x" * 16000) * 100,
        OPENING + head(1) + in_bits(framed(b"\x0a\xff" * 20_000)),
        OPENING + head(1) + frame(DATA, 0, 1, b"x" * 20_000), OPENING + b"\xff\xff\xff\0\0\0\0\0\1" + b"x" * 100_000,
        OPENING + head(1, *[(f"x-{number}", "y" * 300) for number in range(50)]) + head(3),
        OPENING + head(1, ("authorization", "y" * 4000), ("traceparent", "y" * 4000), ("idempotency-key", "y" * 4000)),
        OPENING + call(1, customer="c" * 100_000), OPENING + call(1, feature="\0" * 16_000) * 2,
        OPENING + frame(SETTINGS, 0, 0, b"\0\1\xff\xff\xff\xff" * 2000))),
    ("gRPC: half-closed, resets", half_closed(
        OPENING + b"".join(map(call, streams(0))), (OPENING + call(1), anything), (OPENING + call(1)[:-5], anything))),
    ("gRPC: resets in time", resets_in_time(OPENING)),
    ("gRPC: unknown keys", unknown_keys(OPENING, grpc_keys, ends, 10)),
]

# Attacks that last seconds longer than a time-out.
LONGER = {"slow headers": 3, "slow bodies": 3, "slow readers": 3, "10,000 idle": 3, "beyond the ceiling": 4,
          "slow commands": 3, "slow messages": 3, "never read": 3, "never whole": 3, "no window": 3, "silent": 3,
          "resets in time": 3}

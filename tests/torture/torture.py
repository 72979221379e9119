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
import functools
import http.client
import json
import multiprocessing
import os
import pathlib
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time

from attacks import (GRPC, LONGER, PLAIN, RESP, TIME_OUT_SECONDS, TLS, Attack, ask, call, consume, frame,
                     nothing, WINDOW_UPDATE)
from grpc_client import Wire, frames, pb

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
# What calls of gRPC may, of which there are twice 16,384: themselves, their messages and answers.
CALLS_KIB = 2 * 16_384 * 6
SLACK_MIB = 96              # caches of the databases, the state of what attackers were decided
GRANTED_NANO = 10**15
PRICE_NANO = 10**6
ANSWER_SECONDS_MAX = 30


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
             "--buffers", f"{BUFFERS_MIB}M", "--request-timeout", f"{TIME_OUT_SECONDS}s",
             "--write-timeout", f"{TIME_OUT_SECONDS}s", *arguments], stdout=self.output, stderr=self.output)
        self.port = self.wait(lambda: self.find_port("http"), "it listens")

    def find_port(self, scheme):
        """None: it is off."""
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

class RespSide:
    """A pipeline of two at a time. False: he was told that nothing was done."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS_MAX)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask_two(self, number):
        self.sock.sendall(consume("good", "chat", f"a{number}") + consume("good", "chat", f"b{number}"))
        text = b""
        while text.count(b"$5\r\n0.001\r\n") < 4 and not text.startswith(b"-OVERLOADED "):
            piece = self.sock.recv(65536)
            if not piece:
                raise ConnectionResetError(text)
            text += piece
        assert text.startswith((b"*7\r\n$5\r\nallow\r\n", b"-OVERLOADED ")), text
        return not text.startswith(b"-")

    def close(self):
        self.sock.close()


class GrpcSide:
    """Likewise, two calls."""

    def __init__(self, port):
        self.wire, self.next = Wire(port), 1
        self.wire.sock.sendall(frame(WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4, "big")))

    def ask_two(self, number):
        streams, ended = (self.next, self.next + 2), {}
        self.next += 4
        self.wire.sock.sendall(b"".join(call(stream, customer="good", feature="chat", key=f"{word}{number}")
                                        for stream, word in zip(streams, "ab")))
        bodies = dict.fromkeys(streams, b"")
        while len(ended) < 2:
            got = self.wire.read()
            if got is None or isinstance(got, frames.RstStreamFrame):
                raise ConnectionResetError(got)  # refused, or gone before the answer
            if isinstance(got, frames.DataFrame):
                bodies[got.stream_id] += got.data
            if "END_STREAM" in got.flags:
                ended[got.stream_id] = got.fields
        if any(fields.get("weir-code") == "overloaded" for fields in ended.values()):
            return False
        for stream in streams:
            decision = pb.Decision.FromString(bodies[stream][5:])
            assert ended[stream]["grpc-status"] == "0" and decision.charged == "0.001", (ended, decision)
        return True

    def close(self):
        self.wire.close()


class GoodClient:
    """One request after the other, mostly on one connection, now and then on a new one; over RESP or
    gRPC besides, where that is what is attacked."""

    def __init__(self, port, certificate=None, make_side=None):
        self.port, self.make_side = port, make_side
        self.side = None
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

    def ask_beside(self, number):
        """Who is told that nothing was done asks again, and so does who was closed before the answer,
        with his keys."""
        for _ in range(10):
            try:
                self.side = self.side or self.make_side()
                if self.side.ask_two(number):
                    self.spent_nano += 2 * PRICE_NANO
                    return
            except ConnectionError:
                pass
            if self.side:
                self.side.close()
                self.side = None
            self.repeated += 1
            time.sleep(0.2)
        raise AssertionError("refused ten times over, beside HTTP")

    def step(self, number):
        """One round, its latencies in seconds; every answer is checked."""
        took = []
        if self.make_side:
            began = time.perf_counter()
            self.ask_beside(number)
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


def good_client(port, certificate, pipe, make_side):
    """A process: steps until told to say how it went, again and again, until told to end."""
    client = GoodClient(port, certificate, make_side)
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


def campaign(server, scheme, attacks, seconds, certificate, table, seed):
    here, there = multiprocessing.Pipe()
    port = server.find_port(scheme)
    side = {"redis": RespSide, "grpc": GrpcSide}.get(scheme)
    good = multiprocessing.Process(target=good_client, args=(
        server.port, certificate, there, functools.partial(side, port) if side else None))
    good.start()
    time.sleep(0.5)
    rss_calm, fds_calm = server.rss_mib(), server.descriptors()
    each_kib = TLS_CONNECTION_KIB if certificate else CONNECTION_KIB
    calls_kib = CALLS_KIB if scheme == "grpc" else 0
    rss_max = rss_calm + BUFFERS_MIB * 2 + (CONNECTIONS * each_kib + calls_kib) / 1024 + SLACK_MIB
    for name, function in attacks:
        ours, theirs = multiprocessing.Pipe()
        attacker = multiprocessing.Process(
            target=run_attack, args=(function, port, seconds + LONGER.get(name.split(": ")[-1], 0),
                                     seed, certificate, theirs))
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
    slow = any("slow" in name and "readers" not in name for name, _ in attacks)
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
          f"{BUFFERS_MIB}M, time-outs {TIME_OUT_SECONDS} s", flush=True)
    table = Table()
    try:
        certificate = make_certificate(place)
        tls = ("--resp", "off", "--tls-cert", certificate, "--tls-key", place / "key.pem")
        for name, scheme, attacks, arguments, shown in (
                ("plain", "http", PLAIN, ("--resp", "off"), None), ("tls", "https", TLS, tls, certificate),
                ("resp", "redis", RESP, ("--resp", "127.0.0.1:0"), None),
                ("grpc", "grpc", GRPC, ("--resp", "off"), None)):
            chosen = [attack for attack in attacks
                      if options.only in attack[0] or attack[1] is nothing]
            server = Server(place / name, *arguments)
            try:
                campaign(server, scheme, chosen, seconds, shown, table, options.seed)
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

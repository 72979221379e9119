#!/usr/bin/env python3
"""Asks h2o_server what libh2o does by default, over raw sockets; prints what was observed.

The record docs/decisions/0001-http-library.md quotes this output. Usage: probe.py <h2o_server>
"""
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

SERVER = sys.argv[1]
POST = b"POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    def __init__(self, **settings):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [SERVER, str(self.port), self.folder.name + "/data"],
            env=dict(os.environ, **{k: str(v) for k, v in settings.items()}),
            stderr=subprocess.PIPE)
        os.set_blocking(self.process.stderr.fileno(), False)
        for _ in range(200):
            try:
                self.connect().close()
                return
            except ConnectionRefusedError:
                time.sleep(0.01)
        raise SystemExit("the server does not listen")

    def connect(self, receive_bytes=0):
        s = socket.socket()
        if receive_bytes:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        s.connect(("127.0.0.1", self.port))
        return s

    def said(self):
        return (self.process.stderr.read() or b"").decode().strip().replace("\n", "; ")

    def cpu_ms(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * 1000 // os.sysconf("SC_CLK_TCK")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()


def read_all(s, seconds):
    """Everything until the server closes or falls silent for that long, and how it ended."""
    data, until = b"", time.monotonic() + seconds
    while True:
        left = until - time.monotonic()
        if left <= 0 or not select.select([s], [], [], left)[0]:
            return data, "open"
        try:
            piece = s.recv(65536)
        except ConnectionResetError:
            return data, "reset"
        if not piece:
            return data, "closed"
        data += piece


def show(name, data, end):
    text = data.decode("latin1")
    lines = [line for line in text.split("\r\n") if line and not line.startswith("Date:")]
    short = " | ".join(lines)
    print(f"{name}: {short[:330] if short else '(nothing)'} -> {end}")


def ask(server, name, request, seconds=0.25):
    with server.connect() as s:
        try:
            s.sendall(request)
        except OSError as error:
            print(f"{name}: while sending: {error}")
        show(name, *read_all(s, seconds))


def headers(count, value=b"v"):
    return b"".join(b"x-%d: %s\r\n" % (i, value) for i in range(count))


def requests(server):
    get = b"GET /echo HTTP/1.1\r\nHost: a\r\n"
    post = b"POST /echo HTTP/1.1\r\nHost: a\r\n"
    print("== requests (ENTITY_BYTES_MAX=65536)")
    for name, request in [
            ("plain", POST % b"echo"),
            ("garbage", b"\x16\x03\x01garbage\r\n\r\n"),
            ("no version", b"GET /echo\r\n\r\n"),
            ("space in a header name", get + b"a b: c\r\n\r\n"),
            ("header without colon", get + b"abc\r\n\r\n"),
            ("control byte in a value", get + b"a: b\x01c\r\n\r\n"),
            ("folded header", get + b"a: b\r\n c\r\n\r\n"),
            ("space before colon", get + b"a : b\r\n\r\n"),
            ("bare LF lines", b"GET /echo HTTP/1.1\nHost: a\n\n"),
            ("no Host in 1.1", b"GET /echo HTTP/1.1\r\n\r\n"),
            ("two Hosts", get + b"Host: b\r\n\r\n"),
            ("HTTP/2.0 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            ("HTTP/1.2", b"GET /echo HTTP/1.2\r\nHost: a\r\n\r\n"),
            ("HTTP/1.0", b"GET /echo HTTP/1.0\r\n\r\n"),
            ("HTTP/1.0 keep-alive", b"GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
            ("unknown method", b"FROB /echo HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("method of 8 KB", b"A" * 8192 + b" /echo HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("HEAD", b"HEAD /echo HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("path with dots", b"GET /now/../echo?x=/../ HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("encoded path", b"GET /%65cho HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("NUL in path", b"GET /echo/%00 HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("absolute form", b"GET http://b/echo HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("asterisk", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("unregistered path", b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("path longer than a prefix", b"GET /echoes HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("path under a prefix", b"GET /echo/es HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("GET without a body", get + b"\r\n"),
            ("POST without length", post + b"\r\n"),
            ("length 0", post + b"Content-Length: 0\r\n\r\n"),
            ("length not a number", post + b"Content-Length: 2x\r\n\r\n{}"),
            ("length negative", post + b"Content-Length: -2\r\n\r\n{}"),
            ("length +2", post + b"Content-Length: +2\r\n\r\n{}"),
            ("length 2, 2", post + b"Content-Length: 2, 2\r\n\r\n{}"),
            ("length overflowing", post + b"Content-Length: 18446744073709551618\r\n\r\n{}"),
            ("two equal lengths", post + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}"),
            ("two unequal lengths", post + b"Content-Length: 2\r\nContent-Length: 4\r\n\r\n{}"),
            ("length at the limit", post + b"Content-Length: 65536\r\n\r\n" + b"a" * 65536),
            ("length over by one", post + b"Content-Length: 65537\r\n\r\n" + b"a" * 65537),
            ("length 20 MB, sent", post + b"Content-Length: 20000000\r\n\r\n" + b"a" * 20000000),
            ("length over, no body sent", post + b"Content-Length: 65537\r\n\r\n"),
            ("chunked", post + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
            ("chunked with trailer",
             post + b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nx: y\r\n\r\n"),
            ("chunked broken", post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
            ("chunked at limit - 1", post + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n" +
             b"a" * 65535 + b"\r\n0\r\n\r\n"),
            ("chunked at limit", post + b"Transfer-Encoding: chunked\r\n\r\n10000\r\n" +
             b"a" * 65536 + b"\r\n0\r\n\r\n"),
            ("chunked and length",
             post + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
            ("gzip, chunked",
             post + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
            ("two transfer encodings",
             post + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"
             b"2\r\n{}\r\n0\r\n\r\n"),
            ("Expect, body withheld", post + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"),
            ("Expect, body sent", post + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n{}"),
            ("Expect, too large",
             post + b"Content-Length: 99999\r\nExpect: 100-continue\r\n\r\n"),
            ("Expect on GET", get + b"Expect: 100-continue\r\n\r\n"),
            ("Expect unknown", post + b"Content-Length: 2\r\nExpect: tea\r\n\r\n{}"),
            ("Upgrade: h2c", get + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
             b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"),
            ("99 headers + Host", get + headers(99) + b"\r\n"),
            ("100 headers + Host", get + headers(100) + b"\r\n"),
            ("400 KB header", get + b"a: " + b"b" * 400000 + b"\r\n\r\n"),
            ("420 KB header", get + b"a: " + b"b" * 420000 + b"\r\n\r\n"),
            ("400 KB path", b"GET /echo?" + b"b" * 400000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("pipelined 3, one parked", POST % b"echo" + POST % b"durable" + POST % b"echo"),
            ("pipelined, second broken", POST % b"echo" + b"nonsense\r\n\r\n"),
            ("CRLF before the request", b"\r\n" + POST % b"echo")]:
        ask(server, name, request)


def timeouts():
    print("== timeouts (TIMEOUT_MS=1000): seconds until the server closed")
    with Server(TIMEOUT_MS=1000, HOLD_MS=2500) as server:
        def until_closed(name, steps, limit=4.0):
            with server.connect() as s:
                begin, data, end = time.monotonic(), b"", "open"
                for step in steps:
                    try:
                        s.sendall(step)
                    except OSError:
                        break
                    piece, end = read_all(s, 0.4 if len(steps) > 1 else limit)
                    data += piece
                    if end != "open":
                        break
                if end == "open":
                    piece, end = read_all(s, limit)
                    data += piece
                took = time.monotonic() - begin
                first = data.split(b"\r\n")[0].decode()
                print(f"{name}: {end} after {took:.2f} s, got {first or '(nothing)'}")

        until_closed("nothing sent", [b""])
        until_closed("half a header", [b"GET /echo HTTP/1.1\r\n"])
        until_closed("header in drops every 0.4 s", [b"GET /echo HTTP/1.1\r\n"] + [b"a: b\r\n"] * 9)
        head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
        until_closed("body in drops every 0.4 s", [head] + [b"a"] * 9)
        until_closed("answered once, then idle", [POST % b"now"])
        until_closed("idle 0.8 s, then a request in two halves 0.4 s apart",
                     [b"", b"", b"GET /echo HTTP/1.1\r\n", b"Host: a\r\n\r\n"])
        until_closed("parked for 2.5 s, then idle", [POST % b"durable"], limit=5.0)


def not_reading(user_timeout_ms):
    with Server(TIMEOUT_MS=500, USER_TIMEOUT_MS=user_timeout_ms) as server:
        with server.connect(receive_bytes=4096) as s:
            s.sendall(POST % b"large")
            time.sleep(4)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            data, end = read_all(s, 2)
            print(f"64 MB answer not read for 4 s, TCP_USER_TIMEOUT={user_timeout_ms} ms: "
                  f"then {len(data) >> 10} KB, {end}")


def disconnects():
    for watch in (0, 1):
        for how in ("close", "reset", "half-close", "next request, then close"):
            with Server(HOLD_MS=400, WATCH=watch) as server:
                s = server.connect()
                s.sendall(POST % b"durable")
                time.sleep(0.1)
                if how == "reset":
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                if how.startswith("next"):
                    s.sendall(POST % b"echo")
                answer = ""
                if how == "half-close":
                    s.shutdown(socket.SHUT_WR)
                else:
                    s.close()
                before = server.cpu_ms()
                time.sleep(0.2)
                early, cpu = server.said(), server.cpu_ms() - before
                if how == "half-close":
                    data, end = read_all(s, 1)
                    answer = f", answer {data.split(b' ')[1:2]} {end}"
                    s.close()
                time.sleep(0.5)
                with server.connect() as other:
                    other.sendall(POST % b"echo")
                    alive = read_all(other, 0.2)[0].startswith(b"HTTP/1.1 200")
                print(f"WATCH={watch} {how} while parked: at once [{early}], later "
                      f"[{server.said()}], {cpu} ms CPU in 200 ms, lives: {alive}{answer}")


def pipelined():
    for watch in (0, 1):
        with Server(HOLD_MS=300, WATCH=watch) as server, server.connect() as s:
            s.sendall(POST % b"durable")
            time.sleep(0.1)
            s.sendall(POST % b"echo" + POST % b"durable" + POST % b"echo")
            data, end = read_all(s, 1.5)
            bodies = [part.split(b'"')[1].decode() for part in data.split(b"\r\n\r\n{")[1:]]
            print(f"WATCH={watch} three requests behind a parked one: answered {bodies} -> {end}")


def drain():
    print("== SIGTERM with one idle, one half sent, one parked connection (HOLD_MS=600)")
    with Server(HOLD_MS=600, TIMEOUT_MS=3000) as server:
        idle, used, half, parked = (server.connect() for _ in range(4))
        used.sendall(POST % b"now")
        read_all(used, 0.2)
        half.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Le")
        parked.sendall(POST % b"durable")
        time.sleep(0.1)
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        try:
            server.connect()
            print("new connection: accepted")
        except ConnectionRefusedError:
            print("new connection: refused")
        half.sendall(b"ngth: 2\r\n\r\n{}")
        for name, s in [("never used", idle), ("idle after a request", used),
                        ("half sent", half), ("parked", parked)]:
            show(name, *[(d[:90], e) for d, e in [read_all(s, 2)]][0])
        server.process.wait(5)
        print(f"left after {time.monotonic() - begin:.2f} s, status {server.process.returncode}, "
              f"said [{server.said()}]")


def upgrades():
    print("== UPGRADE=1 (h2o_accept, upgrade_to_http2 on)")
    with Server(UPGRADE=1) as server:
        ask(server, "HTTP/2.0 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
        ask(server, "Upgrade: h2c", b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, "
            b"HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")


def main():
    with Server() as server:
        requests(server)
    upgrades()
    timeouts()
    not_reading(0)
    not_reading(1000)
    print("== disconnects while parked (HOLD_MS=400)")
    disconnects()
    pipelined()
    drain()


main()

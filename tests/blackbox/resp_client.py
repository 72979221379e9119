"""RESP for the black-box suite: redis-py, redis-cli, and a socket that sends what no client would."""

import socket
import subprocess
import sys

try:
    import redis
except ModuleNotFoundError:  # Debian's python3-redis, seen from another Python
    sys.path.append("/usr/lib/python3/dist-packages")
    import redis

from weir_client import ANSWER_SECONDS_MAX


def connect(server, **options):
    """redis-py; every command as it is written, every answer as it comes."""
    return redis.Redis("127.0.0.1", server.resp_port, socket_timeout=ANSWER_SECONDS_MAX, **options)


def cli(server, *words, given=None, options=()):
    """What redis-cli prints, line by line."""
    done = subprocess.run(["redis-cli", "-p", str(server.resp_port), *options, *words], input=given,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          timeout=ANSWER_SECONDS_MAX)
    return done.stdout.splitlines()


def multibulk(*words):
    """One command as clients send it."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class Decision:
    """An answer to CONSUME, AUTHORIZE or COMMIT."""

    def __init__(self, answer):
        text = [part.decode() if isinstance(part, bytes) else part for part in answer]
        self.outcome, self.id, self.units, self.charged, self.reason, self.retry_after_ms = text[:6]
        self.lines = [[part.decode() if isinstance(part, bytes) else part for part in line]
                      for line in text[6:]]


class Wire:
    """A bare connection."""

    def __init__(self, server):
        self.sock = socket.create_connection(("127.0.0.1", server.resp_port), ANSWER_SECONDS_MAX)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def read(self):
        """One answer; an error is its text, the end of the connection None."""
        line = self.file.readline()
        if not line:
            return None
        assert line.endswith(b"\r\n"), line
        kind, rest = line[:1], line[1:-2]
        if kind in b"+-":
            return (kind + rest).decode()
        if kind == b":":
            return int(rest)
        if kind == b"$":
            body = self.file.read(int(rest) + 2)
            assert body.endswith(b"\r\n")
            return body[:-2]
        assert kind == b"*", line
        return [self.read() for _ in range(int(rest))]

    def ask(self, *words):
        self.send(multibulk(*words))
        return self.read()

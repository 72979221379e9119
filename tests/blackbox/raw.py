"""Bare connections, for what a proper client would not do."""

import socket
import time

ANSWER_SECONDS_MAX = 30


def connect(port, receive_bytes=None):
    sock = socket.socket()
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.settimeout(ANSWER_SECONDS_MAX)
    sock.connect(("127.0.0.1", port))
    return sock


def head(method, path, length=None, more=""):
    text = f"{method} {path} HTTP/1.1\r\nHost: a\r\n{more}"
    if length is not None:
        text += f"Content-Length: {length}\r\n"
    return (text + "\r\n").encode()


def read_to_end(sock):
    """Everything until the other end closes; (bytes, whether that was a reset)."""
    received = b""
    try:
        while True:
            piece = sock.recv(65536)
            if not piece:
                return received, False
            received += piece
    except (ConnectionResetError, BrokenPipeError):
        return received, True


def refused(sock, status, code):
    """The connection is told this problem and closed."""
    received, _ = read_to_end(sock)
    assert received.startswith(f"HTTP/1.1 {status} ".encode()), received[:300]
    assert f'"code":"{code}"'.encode() in received, received
    assert b"application/problem+json" in received
    if status == 503:
        assert b"\r\nretry-after: " in received.lower()
    sock.close()
    return received


def answered(sock, request):
    """One request on a connection that stays: its answer's head and body."""
    sock.sendall(request)
    received = b""
    while b"\r\n\r\n" not in received:
        piece = sock.recv(65536)
        assert piece, received
        received += piece
    top, body = received.split(b"\r\n\r\n", 1)
    length = next(int(line.split(b":")[1]) for line in top.lower().split(b"\r\n")
                  if line.startswith(b"content-length:"))
    while len(body) < length:
        body += sock.recv(65536)
    return top, body


def until(condition, what, seconds=ANSWER_SECONDS_MAX):
    """Waits for a condition of the server, within bounds; answers its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"never came: {what}")

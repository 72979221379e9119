"""Every ceiling that clients can reach over a socket, with the answer that docs/CEILINGS.md promises.
What only a journal that stands still can show (patience, lines) is in src/server/overload_test.c."""

import signal
import threading
import time

import pytest

from policies import policy
from raw import answered, connect, head, read_to_end, refused, until
from weir_client import allowed, expect, problem

POLICY = policy("""
base:
  tier: 1
  features:
    chat: {waterfall: [{unlimited: {}}]}
""")
ONE = b'{"customer":"c","feature":"chat","quantities":{"requests":1}}'
EXPORT = "/v1/customers/c/events?format=csv"


def consume(sock):
    top, _ = answered(sock, head("POST", "/v1/consume", len(ONE)) + ONE)
    return int(top.split()[1])


def health(server):
    return expect(server.get("/healthz"))


def make_events(server, batches=40):
    """More of them than the sockets between server and client hold as an export."""
    one = {"op": "consume", "customer": "c", "feature": "chat", "quantities": {"requests": 1},
           "attributes": {f"attribute_{i}": "v" * 200 for i in range(8)}}
    for _ in range(batches):
        expect(server.batch([one] * 100))
    until(lambda: health(server)["settlement"]["lag_batches"] == 0, "they are in the books")


def stuck_export(server):
    """An export whose reader does not read: it is at work for as long as its time-out lets it."""
    sock = connect(server.port, receive_bytes=4096)
    sock.sendall(head("GET", EXPORT))
    return sock


def begun_export(server):
    sock = stuck_export(server)
    try:
        if sock.recv(12) == b"HTTP/1.1 200":
            return sock
    except ConnectionResetError:
        pass
    sock.close()
    return None


# ---- connections ---------------------------------------------------------------------------------

def test_at_the_ceiling_the_connection_that_waited_longest_gives_way(fresh):
    server = fresh(arguments=["--connections", "8"])
    idle = [connect(server.port) for _ in range(7)]
    until(lambda: health(server)["connections"]["open"] == 8, "all are let in")
    newcomer = until(lambda: try_to_consume(server), "a newcomer is let in")
    received, _ = read_to_end(idle[0])
    assert received == b""
    assert consume(idle[6]) == 200
    assert consume(newcomer) == 200
    top, body = answered(newcomer, head("GET", "/healthz"))
    assert top.startswith(b"HTTP/1.1 200 ") and b'"shed":1,' in body, body
    assert "connections_refused" in until(server.stderr, "a line in the log")


def test_a_connection_whose_request_lies_unread_does_not_give_way(fresh):
    server = fresh(arguments=["--connections", "8"])
    waiting = [connect(server.port) for _ in range(7)]
    until(lambda: health(server)["connections"]["open"] == 8, "all are let in")
    second = time.monotonic() + 1.1     # after which a connection may give way
    server.process.send_signal(signal.SIGSTOP)
    newcomer = connect(server.port)
    newcomer.sendall(head("POST", "/v1/consume", len(ONE)) + ONE)
    for sock in waiting:
        sock.sendall(head("POST", "/v1/consume", len(ONE)) + ONE)
    until(lambda: time.monotonic() > second, "a second")
    server.process.send_signal(signal.SIGCONT)
    for sock in [*waiting, newcomer]:   # for it the health's own connection goes
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")


def try_to_consume(server):
    """A connection that was served, or None: nobody has waited long enough to give way."""
    sock = connect(server.port)
    sock.sendall(head("POST", "/v1/consume", len(ONE)) + ONE)
    received = sock.recv(65536)
    if received.startswith(b"HTTP/1.1 200 "):
        return sock
    assert b'"code":"overloaded"' in received, received
    sock.close()
    return None


def test_a_newcomer_is_turned_away_when_all_connections_are_at_work(fresh):
    server = fresh(arguments=["--connections", "2"])
    make_events(server)
    stuck = stuck_export(server)
    assert stuck.recv(1)        # it has begun
    server.client.close()
    another = until(lambda: begun_export(server), "the other place is free")
    sock = connect(server.port)
    sock.sendall(head("GET", "/readyz"))
    assert b"fewer connections" in refused(sock, 503, "overloaded")
    another.close()


# ---- time ----------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def hasty(tmp_path_factory):
    from weir_client import Server
    server = Server(tmp_path_factory.mktemp("hasty"), POLICY,
                    arguments=["--request-timeout", "1s", "--write-timeout", "1s"]).start()
    yield server
    server.stop()


@pytest.mark.parametrize("sent", [
    b"G", b"POST /v1/consume HTTP/1.1\r\nHost: a\r\n",
    head("POST", "/v1/consume", 90) + b"{",
    head("POST", "/v1/consume", more="Transfer-Encoding: chunked\r\n") + b"1\r\n{\r\n"])
def test_a_request_that_is_not_whole_in_time_is_told_so(hasty, sent):
    sock = connect(hasty.port)
    sock.sendall(sent)
    refused(sock, 408, "request_timeout")


def test_a_request_that_crawls_in_is_told_so_too(hasty):
    sock = connect(hasty.port)
    stop = threading.Event()

    def crawl():
        try:
            while not stop.wait(0.05):
                sock.sendall(b"x")
        except OSError:
            pass

    sock.sendall(b"GET /")
    crawler = threading.Thread(target=crawl)
    crawler.start()
    received, _ = read_to_end(sock)
    stop.set()
    crawler.join()
    assert b'"code":"request_timeout"' in received


def test_an_idle_connection_is_closed_without_a_word(hasty):
    sock = connect(hasty.port)
    assert consume(sock) == 200
    assert read_to_end(sock) == (b"", False)


def test_an_answer_that_nobody_takes_is_cut(hasty):
    make_events(hasty)
    before = health(hasty)["connections"]["readers_cut"]
    sock = stuck_export(hasty)
    until(lambda: health(hasty)["connections"]["readers_cut"] > before, "the reader is cut")
    _, was_reset = read_to_end(sock)
    assert was_reset
    assert health(hasty)["exchanges"] == 1


def test_who_sends_on_and_takes_no_answers_fills_his_own_socket(weir):
    most = 48 << 20
    requests = head("GET", "/openapi.json") * 1000
    sock = connect(weir.port, receive_bytes=4096)
    sock.settimeout(1)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < most:
            sent += sock.send(requests[sent % len(requests):])
    assert health(weir)["buffers"]["bytes"] < 8 << 20
    sock.close()


# ---- bytes of a request --------------------------------------------------------------------------

def test_path_and_headers_have_ceilings(weir):
    for request, status, code in [
            (head("GET", "/" + "p" * 8192), 414, "target_too_long"),
            (head("GET", "/readyz", more=f"x: {'h' * 33000}\r\n"), 431, "headers_too_large"),
            (head("GET", "/readyz", more="x: 1\r\n" * 101), 431, "headers_too_large"),
            (b"GET / HTTP/1.1\r\n" + b"x: " + b"h" * 43000, 431, "headers_too_large")]:
        sock = connect(weir.port)
        sock.sendall(request)
        received = b""
        while b'"code"' not in received:
            piece = sock.recv(65536)
            assert piece, received
            received += piece
        assert received.startswith(f"HTTP/1.1 {status} ".encode()), received[:200]
        assert f'"code":"{code}"'.encode() in received
        sock.close()


def test_bodies_have_ceilings(weir):
    blank = b" " * (1 << 20)
    problem(weir.request("POST", "/v1/consume", raw=ONE + blank), 413, "1 MiB")
    problem(weir.request("PUT", "/v1/policy", raw=POLICY.encode() + b"#" * (1 << 20),
                         content_type="application/yaml"), 413, "1 MiB")
    expect(weir.request("POST", "/v1/usage", raw=b"[" + ONE + blank * 3 + b"]"))
    for path in ("/v1/batch", "/v1/usage"):
        sock = connect(weir.port)
        sock.sendall(head("POST", path, (4 << 20) + 2000))
        refused(sock, 413, "too_large")
        sock = connect(weir.port)
        sock.sendall(head("POST", path, more="Transfer-Encoding: chunked\r\n"))
        try:
            for _ in range(5 * 16):
                sock.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
        except OSError:
            pass                # it was refused before the end
        received, _ = read_to_end(sock)
        assert b"413" in received[:20] or received == b"", received[:200]


def test_operations_of_a_batch_have_a_ceiling(weir):
    one = {"op": "check", "customer": "c", "feature": "chat", "quantities": {"requests": 1}}
    assert len(expect(weir.batch([one] * 1000))["results"]) == 1000
    refusal = problem(weir.batch([one] * 1001), (400, 413, 422), "operations")
    assert "1000" in refusal["detail"] or "1,000" in refusal["detail"], refusal


# ---- the sum of bytes ----------------------------------------------------------------------------

def test_large_requests_have_a_ceiling_in_sum_and_small_ones_pass(fresh):
    server = fresh(arguments=["--buffers", "16M"])
    body = b"[" + b" " * (3 << 20)
    held = []

    def hold():
        """One more body that is not whole: 4 MiB of memory, for 3 MiB of it."""
        held.append(connect(server.port))
        held[-1].sendall(head("POST", "/v1/usage", 4 << 20) + body)

    for count in range(1, 5):
        hold()
        until(lambda: health(server)["buffers"]["bytes"] == count * (4 << 20), "it is held")
    hold()
    until(lambda: health(server)["buffers"] == {"bytes": 16 << 20, "refused": 1},
          "the oldest gives way")
    first, last = held[0], held[-1]
    refused(first, 503, "overloaded")
    allowed(server.post("/v1/consume", {"customer": "small", "feature": "chat",
                                        "quantities": {"requests": 1}}))
    last.sendall(ONE + b"]" + b" " * ((1 << 20) - len(ONE) - 2))
    received = last.recv(65536)
    assert b"200" in received[:20], received
    for sock in held:
        sock.close()
    until(lambda: health(server)["buffers"]["bytes"] == 0, "all is given back")


# ---- what is worked on at once -------------------------------------------------------------------

def test_exports_have_a_ceiling(fresh):
    server = fresh()
    make_events(server)
    stuck = [stuck_export(server) for _ in range(24)]
    for sock in stuck:
        assert sock.recv(1)
    problem(server.get(EXPORT), 503, "exports")
    assert server.get(EXPORT).body["code"] == "overloaded"
    assert server.get("/v1/customers/c/events").status == 200   # pages have places of their own
    stuck.pop().close()
    until(lambda: server.get(EXPORT).status == 200, "a place is free again")
    for sock in stuck:
        sock.close()


# ---- stopping ------------------------------------------------------------------------------------

def unfinished_upload(server):
    sock = connect(server.port)
    sock.sendall(head("POST", "/v1/consume", 50_000) + b" " * 40_000)
    until(lambda: health(server)["buffers"]["bytes"] > 40_000, "it is being read")
    return sock


def test_a_stop_waits_for_nobody_for_ever(fresh):
    server = fresh()
    make_events(server)
    upload = unfinished_upload(server)
    stuck = stuck_export(server)
    assert stuck.recv(1)
    idle = connect(server.port)
    assert consume(idle) == 200
    server.process.send_signal(signal.SIGTERM)
    assert read_to_end(idle) == (b"", False)
    refused(upload, 503, "stopping")
    _, was_reset = read_to_end(stuck)
    assert was_reset
    assert server.process.wait(15) == 0


def test_a_second_signal_ends_the_wait(fresh):
    server = fresh()
    upload = unfinished_upload(server)
    idle = connect(server.port)
    server.process.send_signal(signal.SIGTERM)
    assert read_to_end(idle) == (b"", False)    # it is stopping, and waits for the upload
    server.process.send_signal(signal.SIGTERM)
    received, _ = read_to_end(upload)
    assert received == b""                      # nobody told it anything
    assert server.process.wait(15) == 0

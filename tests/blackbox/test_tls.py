"""TLS at the door: what is spoken, what is refused and how, and certificates that change under way.

Every byte that the server sends on a TLS connection goes through the client's own TLS: one that was
not sealed would end it with an error, not with an answer."""

import contextlib
import json
import re
import signal
import socket
import ssl
import subprocess

import pytest

from policies import policy
from raw import answered, connect, head, read_to_end, until
from weir_client import Server, StartFailed, find_binary, run

POLICY = policy("""
base:
  tier: 1
  features:
    chat: {waterfall: [{unlimited: {}}]}
""")
ONE = b'{"customer":"c","feature":"chat","quantities":{"requests":1}}'


class Certificate:
    def __init__(self, place, name, days=30, kind=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        self.cert, self.key = place / f"{name}.pem", place / f"{name}.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-days", str(days),
                        "-keyout", self.key, "-out", self.cert, "-subj", f"/CN={name}",
                        "-addext", "subjectAltName=IP:127.0.0.1"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.key.chmod(0o600)

    @property
    def arguments(self):
        return ["--tls-cert", str(self.cert), "--tls-key", str(self.key)]


class SecureServer(Server):
    """Its client does not speak TLS: readiness is asked for here."""

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                self.forget()
                raise StartFailed(self.process.returncode, self.stderr())
            try:
                with secure(self, self.trusted) as sock:
                    return answered(sock, head("GET", "/readyz"))[0].startswith(b"HTTP/1.1 200 ")
            except OSError:
                return False
        until(ready, "readiness")
        return self


def context(certificate, **versions):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(certificate.cert)
    for name, value in versions.items():
        setattr(made, name, value)
    return made


def secure(server, certificate, receive_bytes=None, **versions):
    sock = connect(server.port, receive_bytes)
    try:
        return context(certificate, **versions).wrap_socket(
            sock, server_hostname="127.0.0.1", suppress_ragged_eofs=False)
    except BaseException:
        sock.close()
        raise


def start(place, certificate, *arguments):
    server = SecureServer(place, POLICY, arguments=[*certificate.arguments, *arguments])
    server.trusted = certificate
    return server.start()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return Certificate(tmp_path_factory.mktemp("certificates"), "first")


@pytest.fixture(scope="module")
def server(tmp_path_factory, certificate):
    made = start(tmp_path_factory.mktemp("tls"), certificate)
    yield made
    assert made.stop() == 0


def consume(sock):
    top, body = answered(sock, head("POST", "/v1/consume", len(ONE)) + ONE)
    assert top.startswith(b"HTTP/1.1 200 "), top
    return json.loads(body)


def still_serves(server):
    with secure(server, server.trusted) as sock:
        assert consume(sock)["outcome"] == "allow"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_decisions_are_made_over_tls(server, certificate, version):
    with secure(server, certificate, maximum_version=version, minimum_version=version) as sock:
        for _ in range(3):
            assert consume(sock)["outcome"] == "allow"
        # Many at once, and a body of many records.
        sock.sendall((head("POST", "/v1/consume", len(ONE)) + ONE) * 50 + head("GET", "/readyz"))
        received = b""
        while not received.endswith(b'{"status":"ready"}'):
            received += sock.recv(65536)
        assert received.count(b'"outcome":"allow"') == 50
        large = ONE[:-1] + b" " * 300_000 + b"}"
        top, _ = answered(sock, head("POST", "/v1/consume", len(large)) + large)
        assert top.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("version", ["tls1", "tls1_1"])
def test_old_versions_are_refused(server, version):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}",
                           f"-{version}", "-cipher", "ALL:@SECLEVEL=0"], input=b"",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=30)
    assert b"Cipher is (NONE)" in done.stdout, done.stdout[-500:]
    still_serves(server)


def test_only_http_1_1_is_chosen(server, certificate):
    for offered, chosen in ((["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1")):
        made = context(certificate)
        made.set_alpn_protocols(offered)
        with made.wrap_socket(connect(server.port), server_hostname="127.0.0.1") as sock:
            assert sock.selected_alpn_protocol() == chosen
            consume(sock)
    made = context(certificate)
    made.set_alpn_protocols(["h2"])
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        made.wrap_socket(connect(server.port), server_hostname="127.0.0.1")


def test_who_speaks_plain_http_is_told_to_use_tls(server):
    sock = connect(server.port)
    sock.sendall(head("POST", "/v1/consume", len(ONE)) + ONE)
    received, _ = read_to_end(sock)
    assert received.startswith(b"HTTP/1.1 400 ") and b"TLS (https://)" in received


@pytest.mark.parametrize("nonsense", [
    b"\x00", b"\x16", b"\x16\x03\x01", b"\x80\x2e\x01\x00\x02", b"\x16\x03\x01\x40\x00" + b"\xff" * 90,
    b"\x15\x03\x03\x00\x02\x02\x28", b"\x17\x03\x03\x00\x05hello", bytes(range(256)) * 40])
def test_nonsense_ends_its_own_connection_alone(server, nonsense):
    sock = connect(server.port)
    sock.sendall(nonsense)
    with contextlib.suppress(OSError):      # it may be closed already
        sock.shutdown(socket.SHUT_WR)
    received, _ = read_to_end(sock)
    assert b"HTTP" not in received
    still_serves(server)


@pytest.mark.parametrize("sent,status,code", [
    (b"garbage\r\n\r\n", 400, "bad_request"),
    (b"GET / HTTP/1.1\r\n" + b"x: " + b"h" * 43000, 431, "headers_too_large"),
    (head("POST", "/v1/consume", 9 << 20), 413, "too_large"),
    (head("GET", "/readyz") + b"garbage\r\n\r\n", 200, "bad_request")])
def test_problems_of_requests_are_sealed_and_the_stream_is_ended(server, certificate, sent, status,
                                                                 code):
    with secure(server, certificate) as sock:
        sock.sendall(sent)
        received, was_reset = read_to_end(sock)   # an end that is not sealed raises SSLEOFError
        assert received.startswith(f"HTTP/1.1 {status} ".encode()), received[:200]
        assert f'"code":"{code}"'.encode() in received and not was_reset


@pytest.mark.parametrize("sent", [b"GET / HT", head("POST", "/v1/consume", 100) + b"{"])
def test_a_request_torn_by_the_end_of_the_stream_is_told_so(server, certificate, sent):
    with secure(server, certificate) as sock:
        sock.sendall(sent)
        sock.settimeout(0)
        with pytest.raises(ssl.SSLWantReadError):
            sock.unwrap()       # our end of the stream, without waiting for theirs
        # Python's client reads no further; what counts is that the server lets go.
        bare = socket.socket(fileno=sock.detach())
        bare.settimeout(30)
        received, _ = read_to_end(bare)
        assert b"HTTP" not in received and len(received) > 100
    still_serves(server)


def test_an_answer_that_ends_its_connection_ends_the_stream(server, certificate):
    with secure(server, certificate) as sock:
        sock.sendall(head("GET", "/readyz", more="Connection: close\r\n"))
        received, was_reset = read_to_end(sock)
        assert received.endswith(b'{"status":"ready"}') and not was_reset


def test_a_request_with_the_last_of_the_handshake_is_judged_and_answered(server, certificate):
    """As s_client sends it: handshake and request in one go."""
    for text, says in (("GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b" 200 "),
                       ("nonsense\r\n\r\n", b" 400 ")):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context(certificate).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        sock = connect(server.port)
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
        client.write(text.encode())
        sock.sendall(outgoing.read())       # Finished and the request together
        received = b""
        try:
            while True:
                incoming.write(sock.recv(65536))
                while True:
                    try:
                        piece = client.read(65536)
                    except ssl.SSLWantReadError:
                        break
                    if not piece:
                        raise ssl.SSLZeroReturnError
                    received += piece
        except ssl.SSLZeroReturnError:
            pass
        assert says in received[:15], received
        sock.close()


def test_renegotiation_ends_the_connection_alone(server):
    client = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}",
                               "-tls1_2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    client.stdin.write(b"R\n")
    client.stdin.flush()
    try:
        client.wait(10)
    except subprocess.TimeoutExpired:
        client.kill()
    client.communicate()
    still_serves(server)


def test_updates_of_keys_have_a_ceiling(server):
    """They cost the server more than the client, and no request comes of them."""
    client = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_3"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def until_it_says(words):
        for line in client.stdout:
            if words in line:
                return
        raise AssertionError(words)

    def update(times):
        for _ in range(times):
            client.stdin.write(b"k\n")     # only at the beginning of what it reads is it a command
            client.stdin.flush()
            until_it_says(b"KEYUPDATE")

    try:
        update(250)
        client.stdin.write(head("GET", "/readyz"))
        client.stdin.flush()
        until_it_says(b"HTTP/1.1 200 ")
        with pytest.raises((AssertionError, BrokenPipeError)):
            update(1000)
    finally:
        client.kill()
        client.communicate()
    still_serves(server)


# ---- ceilings ------------------------------------------------------------------------------------

def test_handshakes_under_way_have_a_ceiling(server):
    """A client that begins one and goes no further gives way to those who come after."""
    def begun():
        sock = connect(server.port)
        sock.sendall(b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03")
        return sock
    first = begun()
    others = [begun() for _ in range(512)]
    assert read_to_end(first)[0] == b""
    still_serves(server)
    for sock in others:
        sock.close()


def test_a_handshake_has_a_time(server):
    silent, begun = connect(server.port), connect(server.port)
    begun.sendall(b"\x16\x03\x01")
    assert read_to_end(silent)[0] == b""
    assert read_to_end(begun)[0] == b""


# ---- files ---------------------------------------------------------------------------------------

def refused_start(tmp_path, *arguments):
    policy_file = tmp_path / "policy.yaml"
    policy_file.write_text(POLICY)
    status, _, stderr = run("serve", "--data", tmp_path / "data", "--policy", policy_file,
                            "--http", "127.0.0.1:0", *arguments)
    assert status != 0
    return stderr


def test_files_that_will_not_do_are_named_with_the_reason(tmp_path):
    good, other = Certificate(tmp_path, "good"), Certificate(tmp_path, "other")
    assert "belong together" in refused_start(tmp_path, "--tls-cert", good.cert)
    missing = tmp_path / "missing.pem"
    assert str(missing) in refused_start(tmp_path, "--tls-cert", missing, "--tls-key", good.key)
    says = refused_start(tmp_path, "--tls-cert", good.cert, "--tls-key", missing)
    assert str(missing) in says and "No such file" in says
    says = refused_start(tmp_path, "--tls-cert", good.cert, "--tls-key", other.key)
    assert str(other.key) in says and "mismatch" in says
    says = refused_start(tmp_path, "--tls-cert", good.key, "--tls-key", good.key)
    assert str(good.key) in says
    good.key.chmod(0o644)
    says = refused_start(tmp_path, *good.arguments)
    assert str(good.key) in says and "chmod o-rw" in says
    sealed = tmp_path / "sealed.key"
    subprocess.run(["openssl", "pkey", "-in", other.key, "-aes128", "-passout", "pass:x", "-out",
                    sealed], check=True)
    sealed.chmod(0o600)
    says = refused_start(tmp_path, "--tls-cert", other.cert, "--tls-key", sealed)
    assert str(sealed) in says and "not encrypted" in says
    assert not (tmp_path / "data" / "journal.db").exists()


def test_a_hangup_loads_the_files_again_and_bad_ones_change_nothing(tmp_path):
    first, second = Certificate(tmp_path, "one"), Certificate(tmp_path, "two", kind=("rsa:2048",))
    first_text, first_key = first.cert.read_text(), first.key.read_text()
    server = start(tmp_path / "server", first)
    try:
        kept = secure(server, first)
        consume(kept)

        def hang_up(log):
            before = server.stderr().count(log)
            server.process.send_signal(signal.SIGHUP)
            until(lambda: server.stderr().count(log) > before, log)

        first.cert.write_text("nonsense")
        hang_up("certificate_kept")
        assert str(first.cert) in server.stderr()
        first.cert.write_text(first_text)
        with secure(server, first) as sock:
            consume(sock)
        first.cert.write_text(second.cert.read_text())
        hang_up("certificate_kept")             # the key is still the other one's
        first.key.write_text(second.key.read_text())
        hang_up("certificate_loaded")
        with secure(server, second) as sock:
            consume(sock)
        consume(kept)                           # goes on with what it began with
        first.cert.write_text(first_text)
        first.key.write_text(first_key)
        with pytest.raises(ssl.SSLCertVerificationError):
            secure(server, first)
        assert server.stop() == 0
    finally:
        server.kill()


def test_a_certificate_that_ends_soon_is_told(tmp_path):
    soon = Certificate(tmp_path, "soon", days=3)
    server = start(tmp_path / "server", soon)
    try:
        with secure(server, soon) as sock:
            _, body = answered(sock, head("GET", "/healthz"))
        assert "certificate_expires" in json.loads(body)["conditions"]
        assert json.loads(body)["status"] == "degraded"
        assert re.search("certificate_expires days_left=[23]\n", server.stderr())  # rounded down
        assert server.stderr().count("weir: WARNING: the certificate ends at ") == 1
        assert server.stop() == 0
    finally:
        server.kill()


def test_a_log_of_json_is_json_throughout(tmp_path):
    """People are told on standard output, where they are told the rest."""
    soon = Certificate(tmp_path, "soon", days=3)
    (tmp_path / "policy.yaml").write_text(POLICY)
    said, log = tmp_path / "said", tmp_path / "log"
    with open(said, "wb") as out, open(log, "wb") as err:
        process = subprocess.Popen(
            [find_binary(), "serve", "--data", tmp_path / "data", "--policy", tmp_path / "policy.yaml",
             "--http", "127.0.0.1:0", "--resp", "off", "--grpc", "off", "--log-format", "json", *soon.arguments],
            stdout=out, stderr=err)
    try:
        until(lambda: '"listening"' in log.read_text(), "it listens")
        process.send_signal(signal.SIGHUP)
        until(lambda: '"reloaded"' in log.read_text(), "it says so")
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    told = [line["days_left"] for line in lines if line["event"] == "certificate_expires"]
    assert len(told) == 2 and set(told) <= {2, 3}
    assert said.read_text().count("weir: WARNING: the certificate ends at ") == 1


def test_a_hangup_without_files_changes_nothing(fresh):
    server = fresh()
    server.process.send_signal(signal.SIGHUP)
    until(lambda: "reloaded" in server.stderr(), "it says so")
    assert server.get("/readyz").status == 200

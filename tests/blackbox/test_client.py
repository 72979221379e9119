"""How subcommands reach a server: access keys, https with certificates of one's own, names."""

import contextlib
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading

import pytest

from policies import policy
from weir_client import run

POLICY = policy("base: {tier: 1, features: {chat: {waterfall: [{unlimited: {}}]}}}")
KEY = "weir_" + "5e" * 32


class Listener(http.server.BaseHTTPRequestHandler):
    """Answers everything and remembers who asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):  # noqa: N802
        self.server.heard.append(self.headers.get("Authorization"))
        body = b'{"features":[],"available":"0","clock":{"now":"2026-05-01T12:00:00Z"}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def listener():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    server.heard = []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("command", [["status", "ada"], ["explain", "d_1"], ["policy", "show"]],
                         ids=" ".join)
def test_a_key_of_a_file_is_shown_to_the_server(listener, tmp_path, command):
    (tmp_path / "key").write_text(KEY + "\n")
    status, _, err = run(*command, "--server", listener.url, "--key-file", tmp_path / "key",
                         env={**os.environ, "WEIR_KEY": "of-the-environment"})
    assert status == 0, err
    assert set(listener.heard) == {f"Bearer {KEY}"}


def test_a_key_of_the_environment_is_shown_to_the_server(listener):
    status, _, err = run("policy", "show", "--server", listener.url,
                         env={**os.environ, "WEIR_KEY": KEY})
    assert status == 0 and listener.heard == [f"Bearer {KEY}"], err


def test_without_a_key_no_header_is_sent(listener):
    status, _, err = run("policy", "show", "--server", listener.url)
    assert status == 0 and listener.heard == [None], err


@pytest.mark.parametrize("text", ["", "\n", "two words", "a\nb\n", "x" * 513, "caf\u00e9"])
def test_a_key_that_cannot_be_a_header_is_refused_and_not_repeated(listener, tmp_path, text):
    (tmp_path / "key").write_text(text)
    status, out, err = run("policy", "show", "--server", listener.url, "--key-file",
                           tmp_path / "key")
    assert status == 2 and "--key-file" in err and "access key" in err, err
    assert listener.heard == [] and (len(text) < 3 or text not in out + err)


def test_a_key_file_that_is_not_there_is_named(listener, tmp_path):
    status, _, err = run("policy", "show", "--server", listener.url, "--key-file",
                         tmp_path / "nowhere")
    assert status == 2 and "--key-file" in err and "nowhere" in err


# ---- https: the real server behind a door that only decrypts -------------------------------------

def make_certificate(place, name, host):
    """A certificate that signs itself; answers its file and its key's."""
    certificate, key = place / f"{name}.pem", place / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=weir",
                    "-addext", f"subjectAltName={host}", "-out", certificate, "-keyout", key],
                   check=True, capture_output=True, timeout=60)
    return certificate, key


def pump(source, target):
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


class Door:
    """Takes TLS on a port of its own and hands the bytes to a plain one."""

    def __init__(self, certificate, key, port):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.behind = port
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        self.threads = [threading.Thread(target=self.take, daemon=True)]
        self.threads[0].start()

    def take(self):
        with contextlib.suppress(OSError):
            while True:
                self.threads.append(threading.Thread(
                    target=self.carry, args=(self.listener.accept()[0],), daemon=True))
                self.threads[-1].start()

    def carry(self, raw):
        with contextlib.suppress(OSError, ssl.SSLError), \
                self.context.wrap_socket(raw, server_side=True) as near, \
                socket.create_connection(("127.0.0.1", self.behind)) as far:
            back = threading.Thread(target=pump, args=(far, near), daemon=True)
            back.start()
            pump(near, far)
            back.join(30)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(30)


@pytest.fixture
def door(weir, tmp_path):
    certificate, key = make_certificate(tmp_path, "door", "IP:127.0.0.1,DNS:localhost")
    made = Door(certificate, key, weir.port)
    made.certificate = certificate
    yield made
    made.close()


def test_commands_speak_https_with_a_trusted_certificate(weir, door, customer):
    customer.put(plan="base")
    status, out, err = run("status", customer.name, "--json", "--server", door.url, "--ca",
                           door.certificate)
    assert status == 0 and json.loads(out)["features"][0]["feature"] == "chat", err
    named = door.url.replace("127.0.0.1", "localhost")
    status, out, err = run("grant", customer.name, "5", "--server", named, "--ca", door.certificate)
    assert status == 0 and "5 credits" in out, err


def test_a_load_speaks_https_too(door):
    status, out, err = run(
        "load", "--generate", "120", "--server", door.url, "--ca", door.certificate, "--feature",
        "chat", "--map", "ContextTokens=requests", "--connections", "4", "--json", timeout=120)
    report = json.loads(out)
    assert status == 0 and report["allowed"] == 120 and report["audit"]["differing"] == 0, err


@pytest.mark.parametrize("command", [["status", "ada"], ["load", "--generate", "5"]],
                         ids=lambda command: command[0])
def test_a_certificate_nobody_vouches_for_is_refused(door, command):
    status, _, err = run(*command, "--server", door.url)
    assert status == 1 and "not trusted" in err and door.url in err, err


def test_a_certificate_of_another_host_is_refused(weir, tmp_path):
    certificate, key = make_certificate(tmp_path, "other", "DNS:weir.example")
    door = Door(certificate, key, weir.port)
    status, _, err = run("status", "ada", "--server", door.url, "--ca", certificate)
    door.close()
    assert status == 1 and "not trusted" in err and "mismatch" in err, err


def test_https_to_a_plain_server_is_told_as_tls(weir):
    status, _, err = run("status", "ada", "--server", f"https://127.0.0.1:{weir.port}")
    assert status == 1 and "TLS" in err, err


@pytest.mark.parametrize("arguments, named", [
    (["--ca", "NOWHERE", "--server", "https://127.0.0.1:1"], "--ca"),
    (["--ca", "NOWHERE", "--server", "http://127.0.0.1:1"], "https"),
    (["--server", "ftp://127.0.0.1:1"], "https://HOST:PORT"),
    (["--server", "[::1"], "HOST:PORT"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_what_is_wrong_with_an_address_is_a_usage_error(tmp_path, arguments, named):
    filled = [tmp_path / word if word == "NOWHERE" else word for word in arguments]
    status, _, err = run("status", "ada", *filled)
    assert status == 2 and named in err, err


def test_localhost_is_found_whatever_its_first_address_is(weir):
    status, _, err = run("policy", "show", "--server", f"http://localhost:{weir.port}")
    assert status == 0, err


# ---- what a newcomer types -----------------------------------------------------------------------

@pytest.mark.parametrize("amount", ["-1", "-12", "-0.5", "-.5", "0", "many"])
def test_an_amount_that_is_none_is_told_as_an_amount(amount):
    for words in (["ada", amount], ["ada", "--reason", "gift", amount],
                  ["ada", amount, "--reason", "gift"]):
        status, _, err = run("grant", *words)
        assert status == 2 and f"AMOUNT '{amount}': expected credits above 0" in err, (words, err)


def test_a_number_that_is_no_operand_is_an_unknown_option():
    status, _, err = run("top", "-1")
    assert status == 2 and "unknown option '-1'" in err, err


def test_a_load_for_a_feature_that_nobody_has_names_the_option(fresh):
    weir = fresh(policy=POLICY)     # its features have codex, its plan has not
    server = ["--server", f"http://127.0.0.1:{weir.port}"]
    _, _, err = run("load", "--generate", "5", *server, timeout=120)
    assert "load-0" in err and "'codex'" in err and "--feature NAME" in err, err
    status, out, err = run("load", "--generate", "5", "--feature", "nothing", *server)
    assert status == 1 and out == "" and "no feature 'nothing'" in err, err
    assert "--feature NAME" in err and "--feature chat" not in err, err


def test_the_help_tells_the_key_from_its_file():
    _, out, _ = run("status", "--help")
    assert "default: the key in $WEIR_KEY, else none" in " ".join(out.split()), out

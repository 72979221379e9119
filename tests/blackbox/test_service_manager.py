"""What the service manager hears (sd_notify(3)); the manager is a socket of the test's own.

The real one, with the unit file and its sandbox, is in tests/package.
"""

import os
import signal
import socket
import subprocess

import pytest

from policies import policy
from weir_client import decided, expect, find_binary

PATIENCE_SECONDS = 30

POLICY = policy("""
base:
  tier: 1
  features:
    chat: {waterfall: [{unlimited: {}}]}
""")


class Manager:
    """Receives the datagrams of one process."""

    def __init__(self, place):
        self.path = str(place / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.bind(self.path)

    def next(self):
        """The next message, as a dict."""
        text = self.socket.recv(4096).decode()
        assert text.endswith("\n"), text
        return dict(line.split("=", 1) for line in text.splitlines())

    def until(self, name):
        """The next message that says this, and those before it."""
        before = []
        while name not in (message := self.next()):
            before.append(message)
        return message, before


@pytest.fixture
def manager(tmp_path, monkeypatch):
    made = Manager(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", made.path)
    yield made
    made.socket.close()


def test_it_says_that_it_is_ready_when_it_answers_and_then_how_it_is_doing(manager, fresh,
                                                                           new_customer):
    weir = fresh(start=False).spawn()
    ready, before = manager.until("READY")
    assert ready["READY"] == "1" and all(set(message) == {"STATUS"} for message in before)
    assert ready["STATUS"].startswith(f"answering on http://127.0.0.1:{weir.port}: "), ready
    assert "policy version 1" in ready["STATUS"], ready
    assert weir.get("/readyz").status == 200    # the first request that anybody sends

    decided(new_customer(weir).consume(1))
    weir.process.send_signal(signal.SIGTERM)
    stopping, _ = manager.until("STOPPING")
    assert stopping["STOPPING"] == "1" and stopping["STATUS"].startswith("stopping"), stopping
    assert weir.process.wait(PATIENCE_SECONDS) == 0


def test_a_server_that_is_not_ready_never_says_so(manager, fresh):
    weir = fresh(policy="version: 2\n", start=False)
    weir.spawn()
    assert weir.process.wait(PATIENCE_SECONDS) == 1     # refused: a new start would not help
    manager.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.until("READY")


def test_signs_of_life_come_while_nobody_asks_anything(manager, fresh, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    fresh(start=False).spawn()
    manager.until("READY")
    for _ in range(5):
        message = manager.next()
        assert message["WATCHDOG"] == "1" and "connections" in message["STATUS"], message


def test_a_stopped_process_gives_no_sign_of_life(manager, fresh, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "2000")
    weir = fresh(start=False).spawn()
    manager.until("WATCHDOG")
    weir.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, weir.process.pid, os.WSTOPPED | os.WNOWAIT)
    manager.socket.setblocking(False)
    with pytest.raises(BlockingIOError):    # what was on its way; a live one never ceases
        for _ in range(100_000):
            manager.next()
    weir.process.send_signal(signal.SIGCONT)
    manager.socket.settimeout(PATIENCE_SECONDS)
    manager.until("WATCHDOG")


def test_a_hangup_reloads_and_ends_nothing(manager, fresh, new_customer):
    weir = fresh()
    manager.until("READY")
    customer = new_customer(weir)
    for _ in range(2):
        weir.process.send_signal(signal.SIGHUP)
        reloading, _ = manager.until("RELOADING")
        assert reloading["RELOADING"] == "1" and int(reloading["MONOTONIC_USEC"]) > 0, reloading
        ready, _ = manager.until("READY")
        assert ready["STATUS"].startswith("answering"), ready
        decided(customer.consume(1))
    assert weir.stop() == 0


def test_a_manager_that_cannot_be_reached_is_a_warning(fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    weir = fresh()
    assert "service manager is told nothing: NOTIFY_SOCKET" in weir.stderr()
    expect(weir.get("/readyz"))


def test_commands_that_are_no_server_say_nothing(manager):
    done = subprocess.run([find_binary(), "serve", "--help"], stdout=subprocess.PIPE, check=True)
    assert b"--data" in done.stdout
    manager.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.next()

"""Fixtures: one server per module where the module's POLICY will do, a fresh one where it will not.

Tests share a server and a moving clock, never a customer; a test that needs a date of its own, a
policy of its own or a restart takes `fresh`.
"""

import itertools
import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from books import POLICY as BOOKS_POLICY, keep_books  # noqa: E402
from weir_client import START, Customer, Server, run  # noqa: E402

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def weir(request, tmp_path_factory):
    """The module's server, on the test clock. All that its tests made it decide is decided again."""
    server = Server(tmp_path_factory.mktemp("weir"), request.module.POLICY).start()
    yield server
    server.stop()
    status, _, stderr = run("replay", "--data", server.data)
    assert status == 0, stderr


@pytest.fixture
def fresh(request, tmp_path):
    """A maker of servers of this test's own; `clock=None` for the wall clock."""
    made = []

    def make(policy=None, clock=START, start=True, **options):
        text = policy if policy is not None else request.module.POLICY
        server = Server(tmp_path / f"server{len(made)}", text, clock, **options)
        made.append(server)
        return server.start() if start else server

    yield make
    for server in made:
        server.kill()


@pytest.fixture(scope="session")
def books(tmp_path_factory):
    """A stopped server's data directory in which everything has happened."""
    server = Server(tmp_path_factory.mktemp("books"), BOOKS_POLICY,
                    arguments=["--snapshot-every", "16K"]).start()
    keep_books(server)
    server.stop()
    return server.data


@pytest.fixture
def new_customer(request):
    """A maker of customers nobody else has: new_customer(server, **settings)."""
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")

    def make(server, **settings):
        return Customer(server, f"{test}-{next(_numbers)}", **settings)

    return make


@pytest.fixture
def customer(request, weir, new_customer):
    """A customer of the module's server; parametrize indirectly, or `put`, for settings."""
    return new_customer(weir, **getattr(request, "param", {}))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for server in Server.running:
            report.sections.append((f"stderr of weir on port {server.port}", server.stderr()))

"""The command line: help, usage errors, and the exit statuses 0, 1 and 2."""

import json
import pathlib
import socket
import subprocess
import time

import pytest

from policies import policy
from weir_client import Server, find_binary, free_port, run

POLICY = policy("base: {tier: 1, features: {chat: {waterfall: [{unlimited: {}}]}}}")


@pytest.fixture
def place(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


def test_a_word_that_needs_a_second_one_has_help_too():
    status, out, _ = run("policy", "--help")
    assert status == 0 and "weir policy check" in out and "weir policy show" in out, out
    assert "weir serve" not in out


def test_a_size_out_of_range_is_told_in_sizes_that_can_be_given(place):
    status, _, err = run("serve", "--data", place / "data", "--memory", "1")
    assert status == 2 and "from 16M to 4T" in err, err


def test_a_policy_of_one_of_each_is_not_told_in_plurals(place):
    status, out, _ = run("policy", "check", place / "policy.yaml")
    assert status == 0 and "1 plan," in out, out


@pytest.mark.parametrize("arguments, meant", [
    (["stauts"], "`weir status`"),
    (["status", "ada", "--sever", "x"], "--server"),
    (["status", "ada", "--jsno"], "--json"),
    (["load", "--custmers=5"], "--customers"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_a_slip_gets_a_suggestion(arguments, meant):
    status, _, err = run(*arguments)
    assert status == 2 and f"did you mean {meant}?" in err, err


def test_a_word_like_no_other_gets_none():
    status, _, err = run("frobnicate")
    assert status == 2 and "did you mean" not in err and "weir --help" in err, err


def test_complaints_about_a_policy_come_as_json_too(place):
    (place / "wrong.yaml").write_text(POLICY.replace("waterfall", "waterfal"))
    status, out, err = run("policy", "check", place / "wrong.yaml", "--json")
    report = json.loads(out)
    assert status == 1 and err == "" and report["ok"] is False
    assert report["file"].endswith("wrong.yaml") and not report["more"]
    place_and_text = [(one["line"] > 0, one["column"] > 0, "waterfal" in one["text"])
                      for one in report["complaints"]]
    assert (True, True, True) in place_and_text, report


def test_the_program_itself_has_help():
    status, out, _ = run("--help")
    assert status == 0
    assert "serve" in out and "policy" in out


@pytest.mark.parametrize("arguments, named", [
    ([], ""),
    (["nonsense"], "nonsense"),
    (["--nonsense"], "nonsense"),
    (["policy"], ""),
    (["policy", "nonsense"], "nonsense"),
    (["policy", "check"], ""),
    (["policy", "check", "a", "b"], ""),
    (["serve"], "--data"),
    (["serve", "--policy", "POLICY"], "--data"),
    (["serve", "--data", "DATA", "--policy", "POLICY", "--nonsense"], "--nonsense"),
    (["serve", "--data", "DATA", "--policy", "POLICY", "extra"], "extra"),
    (["serve", "--data"], "--data"),
    (["serve", "--data", "DATA", "--policy", "POLICY", "--http", "nowhere"], "--http"),
    (["serve", "--data", "DATA", "--policy", "POLICY", "--http", "127.0.0.1:99999"], "--http"),
    (["serve", "--data", "DATA", "--policy", "POLICY", "--http", "127.0.0.1:x"], "--http"),
    (["serve", "--data", "DATA", "--policy", "POLICY", "--test-clock", "tomorrow"], "--test-clock"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_a_usage_error_is_a_two_and_names_what_is_wrong(place, arguments, named):
    filled = [{"DATA": place / "data", "POLICY": place / "policy.yaml"}.get(word, word)
              for word in arguments]
    status, _, err = run(*filled)
    assert status == 2, err
    assert err.strip() and named in err, err
    assert list((place / "data").iterdir()) == []


def test_a_policy_file_that_is_not_there_is_named(place):
    status, _, err = run("serve", "--data", place / "data", "--policy", place / "nowhere.yaml")
    assert status in (1, 2) and "nowhere.yaml" in err


def test_a_load_that_is_refused_says_whose_and_why_in_one_line(fresh):
    weir = fresh()
    status, _, err = run("load", "--server", f"http://127.0.0.1:{weir.port}", "--generate", "5",
                         "--plan", "nope")
    said = [line for line in err.splitlines() if "customer" in line]
    assert status == 1 and len(said) == 1 and "nope" in said[0], err


def test_an_address_in_use_is_named(place):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        status, _, err = run("serve", "--data", place / "data", "--policy", place / "policy.yaml",
                             "--http", address, *Server.other_ports())
    assert status == 1 and address in err, err


@pytest.mark.parametrize("is_there", [False, True], ids=["no directory", "an empty one"])
@pytest.mark.parametrize("words, said", [
    ([], "--policy is missing"),
    (["--policy", "policy.yaml", "--http", "0.0.0.0:0"], "loopback only"),
    (["--policy", "policy.yaml", "--resp", "0.0.0.0:0"], "loopback only"),
    (["--policy", "policy.yaml", "--grpc", "0.0.0.0:0"], "loopback only"),
], ids=["no policy", "--http", "--resp", "--grpc"])
def test_a_first_start_that_is_refused_leaves_nothing_behind(place, words, said, is_there):
    data = place / "new"
    if is_there:
        data.mkdir()
    status, _, err = run("serve", "--data", data, *Server.other_ports(words), *(
        ["--http", "127.0.0.1:0"] if "--http" not in words else []), *words, cwd=place)
    assert status == 1 and said in err, err
    assert list(data.iterdir()) == [] if is_there else not data.exists()


def listening(port):
    """The local addresses that listen on this port, as /proc shows them."""
    rows = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    locals_ = [row.split()[1].split(":") for row in rows if row.split()[3] == "0A"]
    return {address for address, hexadecimal in locals_ if int(hexadecimal, 16) == port}


def test_without_keys_only_loopback_is_served(place):
    """Refused, or narrowed to 127.0.0.1; never open to everyone."""
    port = free_port()
    process = subprocess.Popen(
        [find_binary(), "serve", "--data", place / "data", "--policy", place / "policy.yaml",
         "--http", f"0.0.0.0:{port}", *Server.other_ports()],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        deadline = time.monotonic() + 30
        while process.poll() is None and not listening(port) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.poll() in (1, 2) or listening(port) == {"0100007F"}
    finally:
        process.kill()
        said = process.communicate(timeout=30)[0]
    assert "loopback" in said.lower() or "127.0.0.1" in said, said

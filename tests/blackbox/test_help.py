"""What the program says of itself: help, manual pages, completion; and how it behaves in a pipe and
on a terminal. Nothing here lists subcommands: `weir --help` does, and the rest is held against it.
"""

import fcntl
import json
import os
import pty
import re
import select
import shlex
import struct
import subprocess
import termios

import pytest

from policies import policy
from weir_client import find_binary, run

POLICY = policy("""
base: {tier: 1, features: {chat: {waterfall: [{allowance: {name: free, windows: [{limit: 10, per: day, start: calendar}]}}, {grants: {category: paid}}]}}}
plus: {tier: 2, features: {codex: {waterfall: [{grants: {category: promotional}}, {grants: {category: paid}}]}}}
""")
ESCAPE = "\x1b"


def subcommands():
    _, out, _ = run("--help")
    return re.findall(r"^  weir ([a-z]+(?: [a-z]+)?)(?=  )", out, re.MULTILINE)


def help_of(command):
    status, out, err = run(*command.split(), "--help")
    assert status == 0 and err == "", err
    return out


def options_in_help(text):
    return set(re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE))


COMMANDS = subcommands()
every_command = pytest.mark.parametrize("command", COMMANDS)


def on_terminal(arguments, columns=100, **environment):
    """Runs it on a pseudo-terminal; answers what it wrote."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    settings = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen([find_binary(), *map(str, arguments)], stdin=child, stdout=child,
                               stderr=child, env={**settings, "TERM": "xterm", **environment})
    os.close(child)
    written = b""
    while select.select([parent], [], [], 60)[0]:
        try:
            data = os.read(parent, 65536)
        except OSError:     # Linux's way to say that nobody holds the other end
            break
        if not data:
            break
        written += data
    os.close(parent)
    assert process.wait(timeout=60) is not None
    return written.decode()


# ---- help ----------------------------------------------------------------------------------------

def test_the_contract_s_subcommands_are_all_there():
    promised = {"serve", "policy check", "policy show", "grant", "status", "explain", "load",
                "verify", "reconcile", "replay"}
    assert promised <= set(COMMANDS)


@every_command
def test_help_teaches(command):
    out = help_of(command)
    assert re.match(r"[A-Z][^.]+\.", out), "begins with a sentence"
    assert f"usage: weir {command}" in out
    assert f"  weir {command}" in out.split("Examples")[1] or f"(weir {command}" in out
    for status in "0123" if command == "serve" else "012":
        assert re.search(rf"^  {status}  \w", out.split("Exit status")[1], re.MULTILINE)


def test_a_server_s_own_exit_status_is_told():
    assert re.search(r"^  3  \w", help_of("serve"), re.MULTILINE)


@every_command
def test_help_is_as_wide_as_the_terminal_and_no_wider(command):
    for columns in (60, 80):
        out = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal([*command.split(), "--help"], columns))
        text, examples = re.sub(r"\n  # .*\n  weir.*", "", out), "Examples" in out
        assert examples and max(len(line.rstrip()) for line in text.splitlines()) <= columns


@every_command
def test_every_option_of_the_help_is_known_and_no_other(command):
    known = options_in_help(help_of(command))
    assert {"--help", "--color"} <= known
    for option in known - {"--help"}:
        _, _, err = run(*command.split(), option, "", "--nonsense")
        assert "--nonsense" in err or option in err, err
        assert f"unknown option '{option}'" not in err, err
    status, _, err = run(*command.split(), "--nonsense")
    assert status == 2 and "unknown option '--nonsense'" in err


@every_command
def test_help_after_the_word_help_is_the_same(command):
    assert run("help", *command.split())[1] == help_of(command)


def furnish(place, weir):
    """What the examples speak of: a policy, a data directory, a trace, a key, a customer."""
    (place / "policy.yaml").write_text(POLICY)
    (place / "data").symlink_to(weir.place / "data")
    (place / "trace.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n"
                                     "2026-05-01T12:00:00Z,1,1\n")
    (place / "admin.key").write_text("weir_" + "0" * 64 + "\n")
    run("grant", "ada", "1", "--server", f"http://127.0.0.1:{weir.port}")


@every_command
def test_the_examples_of_the_help_are_accepted(fresh, tmp_path, command):
    """Not refused as a wrong command line; `serve` alone would stay, so it is asked for help. A
    server each: an example may make the first access key, after which nobody gets in without."""
    weir, place = fresh(), tmp_path / "examples"
    place.mkdir()
    furnish(place, weir)
    lines = re.findall(rf"^  (.*\bweir {command}\b.*)$", help_of(command).split("Examples")[1],
                       re.MULTILINE)
    assert lines
    for line in lines:
        environment = {**os.environ, "WEIR_SERVER": f"http://127.0.0.1:{weir.port}",
                       "PATH": f"{os.path.dirname(find_binary())}:{os.environ['PATH']}"}
        words = line.replace("| man -l -", "> /dev/null")
        if command == "serve":
            words += " --help"
        done = subprocess.run(["bash", "-c", words], cwd=place, env=environment, timeout=120,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False)
        assert done.returncode in (0, 1), f"{line}\n{done.stderr}"


# ---- pipes and terminals -------------------------------------------------------------------------

@every_command
def test_help_in_a_pipe_has_no_colours_and_on_a_terminal_has(command):
    words = [*command.split(), "--help"]
    assert ESCAPE not in help_of(command)
    assert ESCAPE in on_terminal(words)
    assert ESCAPE not in on_terminal(words, NO_COLOR="1")
    assert ESCAPE in on_terminal(words, NO_COLOR="")
    assert ESCAPE not in on_terminal(words, TERM="dumb")
    assert ESCAPE in run(*command.split(), "--color", "always", "--help")[1]
    assert ESCAPE not in on_terminal([*command.split(), "--color=never", "--help"])


@pytest.mark.parametrize("words", [["status", "ada"], ["grant", "ada", "1"], ["policy", "show"]],
                         ids=" ".join)
def test_what_comes_out_of_a_pipe_is_plain(weir, words):
    run("grant", "ada", "1", "--server", f"http://127.0.0.1:{weir.port}")
    status, out, err = run(*words, "--server", f"http://127.0.0.1:{weir.port}")
    assert status == 0 and out and ESCAPE not in out + err and "\r" not in out + err


def test_a_load_shows_progress_on_a_terminal_only(weir):
    words = ["load", "--generate", "300", "--speed", "max", "--feature", "chat", "--map",
             "ContextTokens=requests", "--server", f"http://127.0.0.1:{weir.port}"]
    status, out, err = run(*words, timeout=120)
    assert status == 0 and "\r" not in err and ESCAPE not in out + err, err
    assert ESCAPE in on_terminal(words)


# ---- --json --------------------------------------------------------------------------------------

def test_where_output_is_data_it_comes_as_json_too(weir):
    server = ["--server", f"http://127.0.0.1:{weir.port}"]
    decision = weir.post("/v1/consume", {"customer": "grace", "feature": "chat",
                                         "quantities": {"requests": 1}}).body
    data = weir.place / "data"
    operands = {"status": ["grace", *server], "grant": ["grace", "1", *server],
                "explain": [decision["decision_id"], *server],
                "policy check": [weir.place / "policy.yaml"], "policy show": server,
                "key list": server,
                "load": ["--generate", "5", "--feature", "chat", "--map",
                         "ContextTokens=requests", *server],
                "verify": ["--data", data], "reconcile": ["--data", data],
                "replay": ["--data", data]}
    with_json = {command for command in COMMANDS if "--json" in options_in_help(help_of(command))}
    assert set(operands) <= with_json
    for command, words in operands.items():
        status, out, err = run(*command.split(), *words, "--json", timeout=120)
        assert status == 0 and isinstance(json.loads(out), dict), (command, out, err)


# ---- manual pages --------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    place = tmp_path_factory.mktemp("manual") / "man1"
    status, out, err = run("manual", "--into", place)
    assert (status, out, err) == (0, "", "")
    return {path.name: path for path in place.iterdir()}


def rendered(path):
    done = subprocess.run(["groff", "-man", "-ww", "-Tascii", "-P-c", path], capture_output=True,
                          text=True, check=False, timeout=60)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return re.sub(r".\x08", "", done.stdout)


def test_there_is_a_manual_page_for_the_program_and_for_every_subcommand(pages):
    expected = {"weir.1"} | {f"weir-{command.replace(' ', '-')}.1" for command in COMMANDS}
    assert set(pages) == expected
    text = rendered(pages["weir.1"])
    for command in COMMANDS:
        assert f"weir-{command.replace(' ', '-')}(1)" in text


@every_command
def test_a_manual_page_renders_without_a_warning_and_has_every_option(pages, command):
    path = pages[f"weir-{command.replace(' ', '-')}.1"]
    text = rendered(path)
    assert set(re.findall(r"^ {7}(--[a-z-]+)", text, re.MULTILINE)) == \
        options_in_help(help_of(command))
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS"):
        assert f"\n{section}\n" in text
    assert run("manual", *command.split())[1] == path.read_text()


# ---- completion ----------------------------------------------------------------------------------

def complete(line, cwd=None):
    """What bash would offer at the end of this line, cut into words as bash cuts it."""
    words = [part for word in shlex.split(line) for part in re.split(r"(=)", word) if part]
    if line.endswith(" "):
        words.append("")
    script = f"""source <("$WEIR" completion)
        COMP_WORDS=({' '.join(map(shlex.quote, words))})
        COMP_CWORD={len(words) - 1}
        "$(complete -p weir | sed -E 's/.*-F ([^ ]+).*/\\1/')"
        printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", script], env={**os.environ, "WEIR": find_binary()},
                          cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == "", done.stderr
    return set(done.stdout.split())


def test_the_first_word_completes():
    first = {command.split()[0] for command in COMMANDS}
    assert complete("weir ") == first | {"help", "--help", "--version"}
    assert complete("weir po") == {"policy", "pool"}
    assert complete("weir pol") == {"policy"}
    assert complete("weir help st") == {"status"}


def test_the_second_word_completes():
    assert complete("weir policy ") == {"check", "show", "--help"}
    assert complete("weir policy ch") == {"check"}


@every_command
def test_every_option_completes(command):
    assert complete(f"weir {command} --") == options_in_help(help_of(command))


def test_values_complete(tmp_path):
    (tmp_path / "policy.yaml").write_text("")
    (tmp_path / "data").mkdir()
    assert complete("weir grant ada 5 --category ") == {"paid", "promotional", "entitlement"}
    assert complete("weir status ada --color=al") == {"always"}
    assert complete("weir status ada --color=") == {"auto", "always", "never"}
    assert complete("weir serve --policy ", tmp_path) == {"policy.yaml", "data"}
    assert complete("weir serve --data ", tmp_path) == {"data"}
    assert complete("weir policy check po", tmp_path) == {"policy.yaml"}
    assert complete("weir status ada --feature ", tmp_path) == set()


# ---- wrong command lines -------------------------------------------------------------------------

@every_command
def test_a_word_that_is_none_of_the_choices_is_named(command):
    status, out, err = run(*command.split(), "--color", "sometimes")
    assert status == 2 and out == "" and "--color 'sometimes'" in err and "always" in err, err

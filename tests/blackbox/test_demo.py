"""`make demo`: it ends well, fits on a screen, says what it should, and what it invites to try works."""

import json
import os
import pathlib
import re
import shlex
import subprocess

import pytest

from weir_client import find_binary

DEMO = pathlib.Path(__file__).resolve().parents[2] / "demo"
LINES_MAX, COLUMNS_MAX = 45, 145


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """What it prints; its server is stopped afterwards as its user would."""
    build = tmp_path_factory.mktemp("build")
    (build / "weir").symlink_to(find_binary())
    environment = os.environ | {"BUILD": str(build), "TMPDIR": str(tmp_path_factory.mktemp("data"))}
    environment.pop("TRACE", None)
    done = subprocess.run([DEMO / "demo.sh"], env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=300, check=False)
    yield done
    subprocess.run([DEMO / "stop.sh"], env=environment, timeout=60, check=True)


def test_it_ends_well_on_one_screen(demo):
    assert demo.returncode == 0, demo.stdout + demo.stderr
    lines = demo.stdout.splitlines()
    assert len(lines) <= LINES_MAX, len(lines)
    assert max(len(line) for line in lines if "weir-demo" not in line) <= COLUMNS_MAX
    assert "\x1b" not in demo.stdout, "colours in a pipe"


def test_the_story_goes_from_included_to_denied(demo):
    for said in ("included", "promotional", "entitlement", "overage", "denied: overage_cap_reached",
                 "partial", "committed"):
        assert said in demo.stdout


def test_the_proofs_are_clean(demo):
    assert re.findall(r"weir (\w+) +clean", demo.stdout) == ["verify", "reconcile", "replay"]
    assert ": the same" in demo.stdout


def test_the_invitation_works(demo):
    lines = [line.strip() for line in demo.stdout.splitlines() if line.strip().startswith("curl ")]
    assert len(lines) == 3
    answers = [json.loads(subprocess.run(shlex.split(line), stdout=subprocess.PIPE, check=True,
                                         timeout=30).stdout) for line in lines]
    clock, decision, ledger = answers
    assert "now" in clock
    assert [line["source"] for line in decision["allocations"]] == ["included", "paid"]
    assert decision["allocations"][1]["charged"] == "1"
    assert len(ledger["updates"] if "updates" in ledger else next(
        value for value in ledger.values() if isinstance(value, list))) == 3

"""The Debian package in a clean Debian 12 with its own systemd: one story, told in order.

Installed by apt from the file, started as the unit has it (user, sandbox, watchdog), asked,
damaged, upgraded while it runs, removed, purged, installed again. WEIR_DEB names the package.
"""

import os
import pathlib
import re
import resource
import signal
import stat

import pytest

from machine import PATIENCE_SECONDS, Machine, command, until

PACKAGE = pathlib.Path(os.environ["WEIR_DEB"]).resolve()
ROOT = pathlib.Path(__file__).resolve().parents[2]
POLICY = "/etc/weir/policy.yaml"
DATA = "/var/lib/weir"
EXPOSURE_MAX = 14       # tenths, of `systemd-analyze security`: 0 is shut in, 100 is in the open

# What the operator writes before the first start, with a unit of half a credit.
OWN_POLICY = """\
version: 1
defaults: {plan: base}
features:
  chat: {meters: [requests], unit: requests, prices: chat}
prices:
  chat: [{name: each, rates: {requests: {credits: "0.5", per: 1}}}]
plans:
  base:
    features:
      chat: {waterfall: [{grants: {category: paid}}]}
"""


def consume(machine, key, requests=1):
    return machine.request("POST", "/v1/consume", {
        "customer": "ada", "feature": "chat", "quantities": {"requests": requests},
        "idempotency_key": key})


def available(machine):
    status, body = machine.request("GET", "/v1/customers/ada/balance")
    assert status == 200, body
    return body["available"]


def modes(machine, *paths):
    """{path: "weir:weir 700"}, as the machine names its users."""
    told = machine.run("stat", "--format", "%n %U:%G %a", *paths)
    return dict(line.split(" ", 1) for line in told.splitlines())


def wait_for(machine, state):
    until(lambda: machine.unit("ActiveState") == state, f"weir.service is {state}: "
          + machine.run("systemctl", "status", "--no-pager", "weir", check=False))


def drop_in(machine, text):
    machine.write("/etc/systemd/system/weir.service.d/test.conf", "[Service]\n" + text)
    machine.run("systemctl", "daemon-reload")


def no_drop_in(machine):
    machine.path("/etc/systemd/system/weir.service.d/test.conf").unlink()
    machine.run("systemctl", "daemon-reload")


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    made = Machine(tmp_path_factory.mktemp("machine"))
    made.install()
    made.download(PACKAGE)
    try:
        made.boot()
        yield made
    finally:
        made.stop()


def test_lintian_has_nothing_to_say():
    changes = PACKAGE.with_suffix(".changes")
    told = command("lintian", "--allow-root", "--fail-on", "warning", "--fail-on", "error", changes)
    assert "E:" not in told and "W:" not in told, told


def test_the_package_has_the_version_of_the_program(machine):
    version = re.search(r"^  version: '(.*)',$", (ROOT / "meson.build").read_text(), re.M)[1]
    assert command("dpkg-deb", "--field", PACKAGE, "Version").strip() == version
    assert machine.path("/root/" + PACKAGE.name).exists()


def test_apt_installs_it_and_nothing_runs_yet(machine):
    told = machine.apt("install", f"/root/{PACKAGE.name}", "sqlite3")
    assert "weir: write /etc/weir/policy.yaml" in told, told
    assert (machine.unit("ActiveState"), machine.unit("UnitFileState")) == ("inactive", "disabled")
    assert modes(machine, "/usr/bin/weir", POLICY, "/etc/default/weir", DATA,
                 "/lib/systemd/system/weir.service") == {
        "/usr/bin/weir": "root:root 755", POLICY: "root:root 644",
        "/etc/default/weir": "root:root 644", DATA: "weir:weir 700",
        "/lib/systemd/system/weir.service": "root:root 644"}
    account = machine.run("getent", "passwd", "weir").strip().split(":")
    assert (account[5], account[6]) == (DATA, "/usr/sbin/nologin"), account
    documents = machine.path("/usr/share/doc/weir")
    assert (documents / "docs/OPERATING.md").is_file()
    assert (documents / "copyright").is_file() and (documents / "README.md").is_file()
    assert machine.path("/usr/share/weir/ops/prometheus/alerts.yml").is_file()
    assert machine.path("/usr/share/weir/api/weir.proto").is_file()
    assert machine.path("/usr/share/man/man1/weir.1.gz").is_file()
    assert "weir serve" in machine.run("weir", "serve", "--help")
    assert machine.run("weir", "policy", "check", POLICY)


def test_systemd_finds_the_unit_in_order_and_well_shut_in(machine):
    assert machine.run("systemd-analyze", "verify", "--man=no", "weir.service").strip() == ""
    told = machine.run("systemd-analyze", "security", "--offline=yes", "--no-pager",
                       f"--threshold={EXPOSURE_MAX}", "weir.service")
    assert "Overall exposure level" in told, told


def test_it_is_ready_when_systemd_says_that_it_started(machine):
    machine.path(POLICY).write_text(OWN_POLICY)
    machine.run("weir", "policy", "check", POLICY)
    machine.run("systemctl", "enable", "--now", "weir")
    assert machine.request("GET", "/readyz")[0] == 200      # Type=notify: no waiting here
    assert machine.unit("StatusText").startswith("answering on http://127.0.0.1:7878: ")
    assert machine.request("POST", "/v1/customers/ada/grants", {
        "category": "paid", "credits": "100", "idempotency_key": "first"})[0] == 200
    status, answer = consume(machine, "one")
    assert (status, answer["outcome"], answer["charged"]) == (200, "allow", "0.5")
    assert consume(machine, "one") == (status, answer)
    assert available(machine) == "99.5"
    assert "weir: listening on http://127.0.0.1:7878" in machine.run(
        "journalctl", "--unit", "weir", "--no-pager", "--output", "cat")
    owners = modes(machine, *(f"{DATA}/{name}" for name in ("journal.db", "ledger.db", "lock")))
    assert all(owner.startswith("weir:weir ") and owner[-2:] == "00" for owner in owners.values())


def test_the_sandbox_is_around_the_process(machine):
    process = machine.process()
    status = dict(line.split(":\t", 1) for line in pathlib.Path(
        f"/proc/{process}/status").read_text().splitlines() if ":\t" in line)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), status
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    limits = pathlib.Path(f"/proc/{process}/limits").read_text()
    most = min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])    # as this machine gives
    assert re.search(rf"Max open files +{most} +{most} ", limits), limits
    # Settlement, which has made itself nicer: the one system call that the filter gives back.
    nice = {}
    for thread in pathlib.Path(f"/proc/{process}/task").iterdir():
        name, fields = (thread / "stat").read_text().split("(", 1)[1].rsplit(") ", 1)
        nice[name] = int(fields.split()[16])
    assert nice["weir-settle"] > 0 and nice["weir-settle-fas"] == 0, nice
    mounts = pathlib.Path(f"/proc/{process}/mountinfo").read_text()
    writable = {line.split()[4] for line in mounts.splitlines()
                if line.split()[5].split(",")[0] == "rw"}
    assert DATA in writable and "/" not in writable and "/usr" not in writable, writable


def test_nothing_that_it_does_needs_what_the_sandbox_forbids(machine):
    # A forbidden system call is an error code in operation, which might go unnoticed; here it kills.
    drop_in(machine, 'SystemCallErrorNumber=\nEnvironment="WEIR_OPTIONS=--memory 64M '
                     '--snapshot-every 64K --receipts-for 1s --connections 60000"\n'
                     "EnvironmentFile=\n")
    machine.run("systemctl", "restart", "weir")
    for number in range(30):
        status, body = machine.request("POST", "/v1/batch", {"operations": [
            {"op": "consume", "customer": f"c{customer}", "feature": "chat",
             "quantities": {"requests": 1}, "idempotency_key": f"{number}-{customer}"}
            for customer in range(100)]})
        assert status == 200, body
    until(lambda: list(machine.path(DATA).glob("snapshot-*.weir")), "a snapshot")
    for path in ("/healthz", "/v1/policy", "/v1/customers/ada/ledger", "/v1/usage?group_by=feature,hour"):
        assert machine.request("GET", path)[0] == 200, path
    machine.run("systemctl", "restart", "weir")
    assert available(machine) == "99.5"
    machine.run("systemctl", "stop", "weir")
    assert (machine.unit("Result"), machine.unit("NRestarts")) == ("success", "0")
    no_drop_in(machine)
    # And it does kill.
    drop_in(machine, "SystemCallErrorNumber=\nSystemCallFilter=~pwrite64\nRestart=no\n")
    assert machine.status_of("systemctl", "start", "weir") != 0
    assert (machine.unit("Result"), machine.unit("ExecMainStatus")) in (
        ("signal", str(int(signal.SIGSYS))), ("core-dump", str(int(signal.SIGSYS))))
    no_drop_in(machine)
    machine.run("systemctl", "start", "weir")
    assert available(machine) == "99.5"


def test_its_backup_is_made_beside_it_and_is_proved(machine):
    machine.run("install", "-d", "-o", "weir", "-g", "weir", "-m", "700", "/var/backups/weir")
    weir = ("runuser", "-u", "weir", "--")
    machine.run(*weir, "/usr/lib/weir/backup", DATA, "/var/backups/weir/now")
    for proof in ("verify", "reconcile"):
        assert "clean" in machine.run(*weir, "weir", proof, "--data", "/var/backups/weir/now")


def test_a_reload_ends_nothing(machine):
    before = machine.unit("MainPID")
    machine.run("systemctl", "reload", "weir")
    assert (machine.unit("ActiveState"), machine.unit("MainPID")) == ("active", before)
    assert available(machine) == "99.5"


def test_who_is_killed_is_back_with_everything(machine):
    before = machine.unit("MainPID")
    os.kill(machine.process(), signal.SIGKILL)
    until(lambda: machine.unit("MainPID") not in (before, "0"), "a new process")
    wait_for(machine, "active")
    assert available(machine) == "99.5"


def test_a_loop_that_hangs_is_ended_and_started_anew(machine):
    drop_in(machine, "WatchdogSec=1\nRestartSec=0\n")
    machine.run("systemctl", "restart", "weir")
    before = machine.unit("MainPID")
    os.kill(machine.process(), signal.SIGSTOP)
    until(lambda: machine.unit("MainPID") not in (before, "0"), "a new process")
    wait_for(machine, "active")
    assert "weir.service: Watchdog timeout" in machine.run("journalctl", "--unit", "weir",
                                                           "--no-pager")
    assert available(machine) == "99.5"
    no_drop_in(machine)
    machine.run("systemctl", "restart", "weir")


def test_a_damaged_journal_is_not_started_for_ever(machine):
    machine.run("systemctl", "stop", "weir")
    # It is not read where a snapshot covers it, so the header is what is sure to be looked at.
    journal = machine.path(DATA + "/journal.db")
    with open(journal, "r+b") as file:
        whole = file.read(16)
        file.seek(0)
        file.write(b"not a database!!")
    assert machine.status_of("systemctl", "start", "weir") != 0
    assert (machine.unit("ActiveState"), machine.unit("ExecMainStatus")) == ("failed", "1")
    assert machine.unit("NRestarts") == "0"
    with open(journal, "r+b") as file:
        file.write(whole)
    machine.run("systemctl", "reset-failed", "weir")
    machine.run("systemctl", "start", "weir")
    assert available(machine) == "99.5"


def test_a_secret_reaches_the_service_and_nobody_else(machine):
    # As --admin-key and --tls-key get theirs: a file that only root reads, handed over by systemd.
    machine.write("/etc/weir/secret", "hush\n")
    machine.path("/etc/weir/secret").chmod(0o600)
    drop_in(machine, "LoadCredential=secret:/etc/weir/secret\n")
    machine.run("systemctl", "restart", "weir")
    seen = pathlib.Path(f"/proc/{machine.process()}/root/run/credentials/weir.service/secret")
    assert seen.read_text() == "hush\n"
    assert stat.S_IMODE(seen.stat().st_mode) == 0o400
    assert seen.stat().st_uid == machine.path(DATA).stat().st_uid
    machine.path("/etc/weir/secret").unlink()
    no_drop_in(machine)
    machine.run("systemctl", "restart", "weir")


def test_a_port_below_1024_takes_a_drop_in(machine):
    option = 'EnvironmentFile=\nEnvironment="WEIR_OPTIONS=--http 127.0.0.1:443"\n'
    drop_in(machine, option)
    assert machine.status_of("systemctl", "restart", "weir") != 0
    assert (machine.unit("ExecMainStatus"), machine.unit("NRestarts")) == ("1", "0")
    drop_in(machine, option + "AmbientCapabilities=CAP_NET_BIND_SERVICE\n"
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nPrivateUsers=no\n")
    machine.run("systemctl", "restart", "weir")
    assert machine.unit("StatusText").startswith("answering on http://127.0.0.1:443: ")
    no_drop_in(machine)
    machine.run("systemctl", "restart", "weir")
    assert available(machine) == "99.5"


@pytest.fixture(scope="module")
def next_version(machine, tmp_path_factory):
    """The same package with a later version."""
    place = tmp_path_factory.mktemp("next")
    command("dpkg-deb", "--raw-extract", PACKAGE, place / "tree")
    control = place / "tree/DEBIAN/control"
    text = control.read_text()
    control.write_text(re.sub(r"^Version: (.*)$", r"Version: \1+next", text, flags=re.M))
    command("dpkg-deb", "--root-owner-group", "-Znone", "--build", place / "tree",
            machine.root / "root/next.deb")
    return "/root/next.deb"


def test_an_upgrade_restarts_it_and_keeps_data_and_policy(machine, next_version):
    before = machine.unit("MainPID")
    answer = consume(machine, "two")
    machine.apt("install", next_version)
    assert machine.run("dpkg-query", "--show", "--showformat", "${Version}", "weir").endswith("+next")
    assert machine.unit("ActiveState") == "active" and machine.unit("MainPID") != before
    assert machine.unit("UnitFileState") == "enabled"
    assert machine.path(POLICY).read_text() == OWN_POLICY
    assert consume(machine, "two") == answer and available(machine) == "99"


def test_one_that_does_not_run_is_not_started_by_an_upgrade(machine):
    machine.run("systemctl", "stop", "weir")
    machine.run("dpkg", "--install", "/root/next.deb")
    assert machine.unit("ActiveState") == "inactive"
    machine.run("systemctl", "start", "weir")
    assert available(machine) == "99"


def test_removing_stops_it_and_keeps_data_and_settings(machine):
    process = machine.process()
    machine.apt("remove", "weir")
    assert not pathlib.Path(f"/proc/{process}").exists()
    assert not machine.path("/usr/bin/weir").exists()
    assert machine.path(POLICY).read_text() == OWN_POLICY
    assert machine.path(DATA + "/journal.db").exists()


def test_purging_takes_the_settings_and_never_the_money(machine):
    told = machine.run("dpkg", "--purge", "weir")
    assert f"the journal and the books stay in {DATA}" in told, told
    for path in ("/etc/weir", "/etc/default/weir", "/lib/systemd/system/weir.service",
                 "/usr/share/doc/weir", "/etc/systemd/system/multi-user.target.wants/weir.service"):
        assert not os.path.lexists(machine.path(path)), path
    assert modes(machine, DATA, DATA + "/journal.db")[DATA] == "weir:weir 700"
    assert machine.run("dpkg-query", "--list", "weir", check=False).count("no packages found") == 1


def test_installed_again_it_goes_on_with_what_it_finds(machine):
    machine.apt("install", f"/root/{PACKAGE.name}")
    machine.path(POLICY).write_text(OWN_POLICY)
    machine.run("systemctl", "enable", "--now", "weir")
    assert available(machine) == "99"
    for proof in ("verify", "reconcile"):
        machine.run("runuser", "-u", "weir", "--", "weir", proof, "--data", DATA,
                    timeout=PATIENCE_SECONDS)
    machine.run("systemctl", "stop", "weir")
    assert machine.unit("Result") == "success"


def test_purged_when_nothing_was_ever_written_nothing_is_left(machine):
    machine.run("dpkg", "--purge", "weir")
    machine.run("rm", "-r", DATA)
    machine.run("dpkg", "--install", f"/root/{PACKAGE.name}")
    told = machine.run("dpkg", "--purge", "weir")
    assert "stay in" not in told and not machine.path(DATA).exists(), told


def test_what_operating_says_can_be_typed(machine):
    text = (ROOT / "docs/OPERATING.md").read_text()
    typed = ["set -ex", "cd /root"]
    for title in ("Installing", "Backup", "Restore"):
        section = re.search(rf"^## {title}\n(.*?)(?=^## )", text, re.M | re.S)[1]
        commands = re.findall(r"^    (.*)$", section, re.M)
        assert len(commands) >= 4, title
        typed += commands
    assert any(PACKAGE.name in command for command in typed), "it names this version's file"
    machine.write("/root/typed", "\n".join(typed) + "\n")
    machine.run("bash", "/root/typed")
    assert available(machine) == "25"
    assert machine.path(DATA + ".before/journal.db").is_file()

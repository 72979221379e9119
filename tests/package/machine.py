"""A clean Debian 12 with a systemd of its own, in a directory and in namespaces.

The whole test runs in a mount namespace (tests/run_all.sh), the directory is a tmpfs in it, and the
machine's processes are in a pid namespace that dies with its first process: so nothing is left
mounted or running, however the test ends. Its network is a loopback of its own.
"""

import ctypes
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time

PATIENCE_SECONDS = 60
PORT = 7878
CLONE_NEWNET = 0x40000000
HERE = pathlib.Path(__file__).resolve().parent
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

_libc = ctypes.CDLL(None, use_errno=True)


class Failed(AssertionError):
    pass


def command(*words, check=True, timeout=300, **options):
    """A command on this side; answers its output, both streams."""
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=timeout, check=False, **options)
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout[-6000:]}")
    return done.stdout


def until(condition, what):
    """Waits for a condition; answers what it answered."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise Failed(f"not within {PATIENCE_SECONDS} s: {what}")
        time.sleep(0.02)
    return found


def debian_sources():
    """The Debian mirrors that this machine uses, as lines of a sources.list."""
    targets = command("apt-get", "indextargets", "--format",
                      "$(ORIGIN)|deb $(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
    lines = {line.split("|")[1] for line in targets.splitlines() if line.startswith("Debian|deb ")}
    chosen = sorted(line for line in lines if " bookworm" in line and line.endswith(" main"))
    if not chosen:
        raise Failed("this machine's apt knows no mirror of Debian 12 (apt-get update)")
    return chosen


class Machine:
    def __init__(self, place):
        self.place = pathlib.Path(place)
        self.root = self.place / "root"
        self.first = None       # unshare; what it started is the machine's pid 1
        self.pid = None
        self.cgroup = None

    # -- making it

    def install(self):
        """Debian's essential packages, apt and systemd, and nothing else."""
        self.root.mkdir(parents=True, exist_ok=True)
        command("mount", "-t", "tmpfs", "-o", "size=1500m,mode=755", "tmpfs", self.root)
        proxies = self.place / "proxies.conf"
        proxies.write_text(command("apt-config", "dump", "--format", '%F "%v";%n', "Acquire::http",
                                   "Acquire::https"))
        command("mmdebstrap", "--mode=root", "--variant=apt", "--include=systemd",
                f"--aptopt={proxies}", '--aptopt=Acquire::Languages "none"',
                '--aptopt=APT::Sandbox::User "root"', "--dpkgopt=force-unsafe-io",
                "--skip=cleanup/apt", "bookworm", self.root, *debian_sources())
        (self.root / "etc/machine-id").write_text("")

    def download(self, package):
        """What a package needs, into the machine's apt cache: it has no network once it runs."""
        shutil.copy(package, self.root / "root")
        command("mount", "--bind", "/dev", self.root / "dev")
        command("chroot", self.root, "apt-get", "install", "--yes", "--no-install-recommends",
                "--download-only", f"/root/{pathlib.Path(package).name}", "sqlite3",
                env={**os.environ, "PATH": PATH})
        command("umount", self.root / "dev")

    def boot(self):
        hierarchy = self.place / "cgroup"
        hierarchy.mkdir(exist_ok=True)
        command("mount", "-t", "cgroup2", "cgroup2", hierarchy)
        self.cgroup = hierarchy / f"weir-package-{os.getpid()}"
        self.cgroup.mkdir()
        log = open(self.place / "console.log", "wb")
        self.first = subprocess.Popen(
            ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec setpriv --pdeathsig KILL '
             'unshare --pid --fork --kill-child=KILL --mount --cgroup --uts --ipc --net "$@"',
             str(self.cgroup), str(HERE / "boot.sh"),
             str(self.root)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        until(self._find_init, "a first process")
        until(self._is_up, "systemd")

    def _find_init(self):
        if self.first.poll() is not None:
            raise Failed("the machine did not start; it takes root and leave to make namespaces:\n"
                         + self.console())
        children = pathlib.Path(f"/proc/{self.first.pid}/task/{self.first.pid}/children")
        found = children.read_text().split()
        if found and pathlib.Path(f"/proc/{found[0]}/comm").read_text().strip() == "systemd":
            self.pid = int(found[0])
        return self.pid

    def _is_up(self):
        return self.run("systemctl", "is-system-running", check=False).strip() in (
            "running", "degraded")

    def console(self):
        """What its systemd says, the end of it."""
        return (self.place / "console.log").read_text(errors="replace")[-4000:]

    def stop(self):
        if self.first and self.first.poll() is None:
            self.first.kill()       # and its child, and so everybody in there
            self.first.wait(PATIENCE_SECONDS)
        if self.cgroup:
            until(self._forget_cgroup, "the machine's control groups are empty")

    def _forget_cgroup(self):
        for group in sorted(self.cgroup.rglob("*"), key=lambda path: -len(path.parts)):
            if group.is_dir():
                try:
                    group.rmdir()
                except OSError:
                    return False    # its processes are still on their way out
        try:
            self.cgroup.rmdir()
        except OSError:
            return False
        return True

    # -- using it

    def run(self, *words, **options):
        return command("nsenter", "--target", self.pid, "--all", "env", "-i", f"PATH={PATH}",
                       "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", *words, **options)

    def status_of(self, *words):
        """The exit status of a command in there."""
        done = subprocess.run(["nsenter", "--target", str(self.pid), "--all", "env", "-i",
                               f"PATH={PATH}", *map(str, words)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              timeout=PATIENCE_SECONDS, check=False)
        return done.returncode

    def apt(self, *words):
        return self.run("apt-get", "--yes", "--no-install-recommends", *words)

    def path(self, path):
        return self.root / path.lstrip("/")

    def write(self, path, text):
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text)

    def unit(self, name):
        """A property of weir.service."""
        return self.run("systemctl", "show", "--value", "--property", name, "weir.service").strip()

    def process(self):
        """weir's process id, as this side sees it."""
        inside = self.unit("MainPID")
        for place in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                for line in (place / "status").read_text().splitlines():
                    words = line.split()
                    if words[:1] == ["NSpid:"] and len(words) > 2 and words[-1] == inside \
                            and (place / "comm").read_text().strip() == "weir":
                        return int(place.name)
            except (FileNotFoundError, ProcessLookupError):
                continue
        raise Failed(f"no process {inside} in the machine")

    def signal(self, number):
        os.kill(self.process(), number)

    def request(self, method, path, body=None):
        """(status, body) of one request from the machine's own loopback; JSON is parsed."""
        with open("/proc/thread-self/ns/net", "rb") as ours, \
                open(f"/proc/{self.pid}/ns/net", "rb") as theirs:
            self._enter(theirs)
            try:
                made = socket.socket()
            finally:
                self._enter(ours)
        made.settimeout(PATIENCE_SECONDS)
        made.connect(("127.0.0.1", PORT))
        connection = http.client.HTTPConnection("127.0.0.1", PORT)
        connection.sock = made
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Content-Type": "application/json"} if body is not None else {})
            answer = connection.getresponse()
            received = answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            return answer.status, json.loads(received) if is_json else received
        finally:
            connection.close()

    @staticmethod
    def _enter(namespace):
        if _libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

"""ops/ held to a real Prometheus: it scrapes a real server under load, and every expression of the
dashboard and of the alert rules is asked of it. What Grafana would put in for its variables is put
in here."""

import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import policies
import pytest
from exposition import documented, family_of
from weir_client import Customer, Server, expect, free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "ops" / "grafana" / "weir.json"
ALERTS = ROOT / "ops" / "prometheus" / "alerts.yml"
HERE = pathlib.Path(__file__).resolve().parent
ALERTS_TESTS = [HERE / "alerts_test.yml", HERE / "alerts_of_days_test.yml"]
OPERATING = ROOT / "docs" / "OPERATING.md"
SAMPLES_MIN = 8
SECONDS_MAX = 60

POLICY = policies.policy("""
base:
  features:
    chat:
      waterfall:
        - allowance: {name: some, windows: [{limit: 3, per: 5h, start: first_use}]}
        - grants: {category: promotional}
        - grants: {category: paid}
    clip:
      overshoot: debt
      waterfall:
        - grants: {category: paid}
""")


# ---- a server under load, and a Prometheus that scrapes it ----------------------------------------

class Load:
    """Does a little of everything, each time with a customer of its own."""

    def __init__(self, server):
        self.server, self.rounds, self.decisions = server, 0, 0

    def once(self):
        self.rounds += 1
        customer = Customer(self.server, f"customer-{self.rounds}")
        customer.grant("2", "promotional")
        paid = customer.grant("4")
        for _ in range(10):                         # 3 free, 2 promotional, 4 paid, and 1 denied
            expect(customer.consume(1))
        customer.grant("1")
        expect(customer.consume(1, idempotency_key="again"))
        expect(customer.consume(1, idempotency_key="again"))
        self.decisions += 11                        # the second one of the key is a replay
        customer.grant("3")
        late = customer.hold(1)
        expect(customer.commit(late, 1))
        expect(customer.release(customer.hold(1)))
        expect(customer.commit(customer.hold(1, "clip"), 5))
        self.decisions += 3
        expect(customer.usage(1))
        expect(customer.check(1))
        expect(customer.refund(late, credits="0.5"))
        expect(customer.void(paid))
        customer.balance()
        self.server.get(f"{customer.path}/status")
        assert self.server.get("/nowhere").status == 404
        assert self.server.post("/v1/consume", {"customer": "x"}).status == 400


class Prometheus:
    def __init__(self, place, targets):
        self.place, self.port = place, free_port()
        self.config = place / "prometheus.yml"
        self.config.write_text(
            "global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 1s}\n"
            f"rule_files: ['{ALERTS}']\n"
            "scrape_configs:\n"
            f"  - {{job_name: weir, static_configs: [{{targets: {json.dumps(targets)}}}]}}\n")
        self.log = open(place / "prometheus.log", "wb")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={self.config}", f"--storage.tsdb.path={place}/tsdb",
             f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def is_ready(self):
        assert self.process.poll() is None, (self.place / "prometheus.log").read_text()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=30) as answer:
            return answer.status == 200

    def ask(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}?{query}", timeout=30) as answer:
            return json.load(answer)

    def query(self, expression):
        """Its samples; an expression that is wrong is a failure of the test."""
        try:
            told = self.ask("/api/v1/query", query=expression)
        except urllib.error.HTTPError as error:
            pytest.fail(f"{expression}: {error.read().decode()}")
        assert told["status"] == "success" and "warnings" not in told, (expression, told)
        data = told["data"]
        return data["result"] if data["resultType"] == "vector" else [data["result"]]

    def number(self, expression):
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else 0.0

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


def wait_for(condition, what):
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            if condition():
                return
        time.sleep(0.05)
    pytest.fail(f"{what}: not within {SECONDS_MAX} s")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A server, and a Prometheus that has seen it work: (prometheus, load)."""
    for program in ("prometheus", "promtool"):
        assert shutil.which(program), f"{program} is missing: make deps"
    place = tmp_path_factory.mktemp("ops")
    server = Server(place / "weir", POLICY, clock=None,
                    arguments=("--snapshot-every", "4K")).start()
    prometheus = Prometheus(place, [f"127.0.0.1:{server.port}"])
    load = Load(server)

    def has_samples():
        load.once()
        return prometheus.number("count_over_time(weir_uptime_seconds[5m])") >= SAMPLES_MIN

    try:
        wait_for(prometheus.is_ready, "Prometheus")
        wait_for(has_samples, "samples")
        wait_for(lambda: prometheus.query("weir_snapshot_age_seconds"), "a snapshot")
        yield prometheus, load
    finally:
        prometheus.stop()
        server.stop()


# ---- what is asked -------------------------------------------------------------------------------

def panels():
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def dashboard_expressions():
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], (target["expr"].replace("$__rate_interval", "1m")
                                   .replace("$instance", ".*"))


def as_values(expression):
    """Comparisons that filter, as comparisons that answer 0 or 1: so that series must exist."""
    parts = re.split(r"(\{[^}]*\})", expression)
    return "".join(part if part.startswith("{") else re.sub(r"(==|!=|>=|<=|>|<)(?! *bool)", r"\1 bool ", part)
                   for part in parts)


def alert_rules(prometheus):
    for group in prometheus.ask("/api/v1/rules")["data"]["groups"]:
        yield from group["rules"]


def promtool(*arguments, **options):
    return subprocess.run(["promtool", *map(str, arguments)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60, check=False, **options)


def test_prometheus_scrapes_without_complaint(scene):
    prometheus, _ = scene
    (target,) = prometheus.ask("/api/v1/targets")["data"]["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    assert prometheus.number("scrape_samples_scraped") > 300
    log = (prometheus.place / "prometheus.log").read_text()
    assert "err=" not in log and "level=error" not in log, log


def test_prometheus_counts_what_was_done(scene):
    prometheus, load = scene
    last = 'weir_requests_total{call="POST /v1/consume",code="400"}'
    wait_for(lambda: prometheus.number(last) == load.rounds, "the last request of all rounds")
    assert prometheus.number("sum(weir_decisions_total)") == load.decisions
    assert prometheus.number('sum(weir_requests_total{call="POST /v1/authorize"})') == 3 * load.rounds
    assert prometheus.number("weir_replays_total") == load.rounds
    assert prometheus.number("weir_refunded_credits_total") == 0.5 * load.rounds


def test_every_expression_of_the_dashboard_finds_something(scene):
    prometheus, _ = scene
    empty = [(title, expression) for title, expression in dashboard_expressions()
             if not prometheus.query(expression)]
    assert not empty


def test_every_alert_rule_is_evaluated_over_series_that_exist(scene):
    prometheus, _ = scene
    rules = list(alert_rules(prometheus))
    assert len(rules) > 20
    wait_for(lambda: all(rule["health"] == "ok" for rule in alert_rules(prometheus)), "all rules")
    for rule in rules:
        # What is compared with a time before this test began has nothing to be found.
        if " offset " not in rule["query"]:
            assert prometheus.query(as_values(rule["query"])), rule["name"]


def test_nothing_is_wrong_with_a_server_that_just_works(scene):
    prometheus, _ = scene
    active = {alert["labels"]["alertname"] for alert in prometheus.ask("/api/v1/alerts")["data"]["alerts"]}
    # The load overdraws on purpose, and its disk and processor are whoever's runs the test.
    machine = {"WeirDiskSlow", "WeirDecisionsSlow", "WeirLoopBusy", "WeirDiskFull", "WeirDiskFillsUp"}
    assert active - machine <= {"WeirOvershoot"}


def test_every_alert_says_what_to_do_and_where_that_stands(scene):
    prometheus, _ = scene
    headings = {re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
                for line in OPERATING.read_text().splitlines() if line.startswith("#")}
    for rule in alert_rules(prometheus):
        told = rule["annotations"]
        assert set(told) == {"summary", "description", "runbook"}, rule["name"]
        document, heading = told["runbook"].split("#")
        assert document == "docs/OPERATING.md" and heading in headings, rule["name"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert f"`{rule['name']}`" in OPERATING.read_text(), rule["name"]


def test_only_documented_metrics_are_asked_for(scene):
    prometheus, _ = scene
    rows = documented()
    expressions = [expression for _, expression in dashboard_expressions()]
    expressions += [rule["query"] for rule in alert_rules(prometheus)]
    for expression in expressions:
        for name in re.findall(r"\b(?:weir|process)_[a-z_]+\b", re.sub(r"\{[^}]*\}", "", expression)):
            assert family_of(name, rows) in rows, name


def test_promtool_finds_nothing_wrong(scene):
    prometheus, load = scene
    text = load.server.get("/metrics").raw.decode()
    checked = promtool("check", "metrics", input=text)
    assert (checked.returncode, checked.stdout) == (0, "")
    checked = promtool("check", "config", prometheus.config)
    assert checked.returncode == 0 and "SUCCESS" in checked.stdout, checked.stdout


def test_each_alert_fires_when_it_should_and_is_silent_else(scene):
    prometheus, _ = scene
    done = promtool("test", "rules", *ALERTS_TESTS)
    assert done.returncode == 0, done.stdout
    tests = "".join(file.read_text() for file in ALERTS_TESTS)
    tested = set(re.findall(r'expr: ALERTS\{alertname="(\w+)"', tests))
    assert tested == {rule["name"] for rule in alert_rules(prometheus)}


# ---- the dashboard as a file ----------------------------------------------------------------------

def test_the_dashboard_is_one():
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["uid"] == "weir" and dashboard["schemaVersion"] == 38
    variables = {one["name"] for one in dashboard["templating"]["list"]}
    assert variables == {"datasource", "instance"}
    everything = dashboard["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken = set()
    for panel in everything:
        assert panel["type"] in ("row", "stat", "timeseries") and panel["title"], panel["id"]
        place = panel["gridPos"]
        squares = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                   for y in range(place["y"], place["y"] + place["h"])}
        assert not squares & taken and max(x for x, _ in squares) < 24, panel["title"]
        taken |= squares


def test_every_panel_asks_the_chosen_source_for_the_chosen_instances():
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels():
        assert panel["datasource"] == source and panel["targets"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
        for target in panel["targets"]:
            assert target["datasource"] == source
            assert set(re.findall(r"\$\{?(\w+)", target["expr"])) <= {"instance", "__rate_interval"}
            for name in re.findall(r"\bweir_[a-z_]+(\{[^}]*\})?", target["expr"]):
                assert 'instance=~"$instance"' in name, target["expr"]

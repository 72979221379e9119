#!/usr/bin/env python3
"""One customer's way through the waterfall, a row per request, against a running server.

usage: story.py URL

The customer is on the plan `plus` of examples/policy.yaml: 45 messages in five hours are included,
then promotional, entitlement and paid credits pay, then overage up to 50 credits, then nobody. The
server runs with --test-clock, so the five hours need no waiting.
"""

import http.client
import json
import sys
import urllib.parse

CUSTOMER = "acme"
SOURCES = ["included", "promotional", "entitlement", "paid", "overage"]
HOUR_MS = 3_600_000


class Server:
    def __init__(self, url):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=30)

    def call(self, method, path, body=None):
        self.connection.request(
            method,
            path,
            None if body is None else json.dumps(body),
            {"Content-Type": "application/json"},
        )
        answer = self.connection.getresponse()
        text = answer.read().decode()
        if answer.status >= 300:
            sys.exit(f"{method} {path}: {answer.status} {text}")
        return json.loads(text)

    def grant(self, customer, category, amount):
        path = f"/v1/customers/{customer}/grants"
        self.call("POST", path, {"category": category, "credits": amount, "reason": "demo"})

    def decide(self, call, messages, **more):
        body = {"customer": CUSTOMER, "feature": "chat", "quantities": {"requests": messages}}
        return self.call("POST", f"/v1/{call}", body | more)

    def commit(self, decision, messages):
        path = f"/v1/holds/{decision['decision_id']}/commit"
        return self.call("POST", path, {"quantities": {"requests": messages}})


class Table:
    """Rows as they happen; the balance is asked for after each."""

    def __init__(self, server):
        self.server = server
        columns = [("", 34), *((source, 12) for source in SOURCES), ("available", 11), ("held", 6)]
        print("  " + "".join(name.rjust(width) for name, width in columns))

    def row(self, title, decision=None, outcome=""):
        cells = dict.fromkeys(SOURCES, "")
        if decision:
            for line in decision["allocations"]:
                cells[line["source"]] = str(line["units"])
            outcome = decision["outcome"]
            if outcome == "deny":
                outcome = f"denied: {decision['reason']['code']}"
        balance = self.server.call("GET", f"/v1/customers/{CUSTOMER}/balance")
        line = f"  {title:34}" + "".join(cells[source].rjust(12) for source in SOURCES)
        line += balance["available"].rjust(11) + balance["held"].rjust(6) + f"   {outcome}"
        print(line.rstrip())


def main(url):
    server = Server(url)
    server.call("PUT", f"/v1/customers/{CUSTOMER}", {"plan": "plus"})
    server.grant(CUSTOMER, "promotional", "10")
    server.grant(CUSTOMER, "paid", "20")

    print(f"One customer's story: {CUSTOMER}, plan plus, messages at 1 credit. Who pays for each?\n")
    table = Table(server)
    table.row("at the start")
    table.row("30 messages", server.decide("consume", 30))
    table.row("30 more", server.decide("consume", 30))
    table.row("90 more", server.decide("consume", 90))
    held = server.decide("authorize", 20)
    table.row("a job that may take 20: held", held, "held")
    table.row("it took 12: the rest goes back", server.commit(held, 12))
    table.row("40 more", server.decide("consume", 40))
    table.row("40 more, all or nothing", server.decide("consume", 40))
    table.row("40 more, a part is welcome", server.decide("consume", 40, min_units=1))
    table.row("1 more", server.decide("consume", 1))
    server.grant(CUSTOMER, "paid", "10")
    table.row("bought: 10 credits")
    table.row("8 messages, at once", server.decide("consume", 8))
    server.call("POST", "/v1/clock", {"advance_ms": 5 * HOUR_MS})
    table.row("five hours pass (test clock)")
    table.row("46 messages", server.decide("consume", 46))
    print()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])

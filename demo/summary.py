#!/usr/bin/env python3
"""What `weir load --json` and the proofs said, in a few lines that fit on a screen.

usage: summary.py load DAY.json FAST.json
       summary.py proof NAME VERDICT.json
"""

import json
import sys
from decimal import Decimal

BAR = 30
NANO = Decimal(10) ** 9


def bar(part, whole):
    filled = round(BAR * part / whole) if whole else 0
    return "█" * filled + "·" * (BAR - filled)


def milliseconds(microseconds):
    return f"{microseconds / 1000:.1f} ms"


def load(day, fast):
    rows = day["rows_played"]
    passed = day["allowed"] + day["partial"]
    paid = "  ".join(f"{source['source']} {round(Decimal(source['units']) / NANO):,}"
                     for source in day["sources"])
    refused = "  ".join(f"{code} {count:,}" for code, count in day["denials"].items())
    print(f"  allowed {passed:>6,}  {bar(passed, rows)}  credits' worth: {paid}")
    print(f"  denied  {day['denied']:>6,}  {bar(day['denied'], rows)}  {refused}")
    audit = day["audit"]
    agree = "the same" if audit["moved"] == audit["charged"] and not audit["differing"] else "NOT THE SAME"
    print(f"  money   the answers charged {audit['charged']} credits; the balances moved by "
          f"{audit['moved']}: {agree}")
    print(f"  time    a durable answer in {milliseconds(day['authorize']['p50_us'])} (half of them), "
          f"{milliseconds(day['authorize']['p99_us'])} (99 %); flat out, over 256 connections, "
          f"{fast['requests_per_second']:,} requests/s")


def proof(name, verdict):
    what = {"verify": "the files are what was written",
            "reconcile": "usage × price = charges = balances = the deciding state",
            "replay": "every decision, made again, is the same"}[name]
    if not verdict["clean"]:
        finding = verdict["finding"]
        sys.exit(f"  weir {name:10} {finding['file']}, {finding['place']}: {finding['what']}")
    counts = {count["what"]: count["number"] for count in verdict["checked"]}
    of = {"verify": "entries", "reconcile": "balance_updates", "replay": "commands decided again"}[name]
    print(f"  weir {name:10} clean   {what} ({counts[of]:,} {of.replace('_', ' ')})")


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    if sys.argv[1] == "load":
        load(read(sys.argv[2]), read(sys.argv[3]))
    else:
        proof(sys.argv[2], read(sys.argv[3]))

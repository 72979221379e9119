#!/usr/bin/env python3
"""Check what `weir load --record FILE` says was charged against the trace itself.

An independent reckoning in whole numbers and fractions: it knows the trace (TIMESTAMP,
ContextTokens, GeneratedTokens), two prices per million tokens and the rule of the remainder, and
nothing of Weir. The record has one JSON object per line and per request:

    {"row": 0, "customer": "c17", "input_tokens": 374, "output_tokens": 44, "outcome": "allow",
     "decision_id": "d_...", "charged": "0.08", "units": 79750000, "overshoot": "0"}

`row` counts the data rows of the CSV from 0. `units` are the nano-credits of cost that sources
carried (free ones too), `charged` the part of them that was paid for in credits, `overshoot` what no
source carried, in credits. A denied row has none of the three.

It checks that every row of the trace is accounted for exactly once, with the trace's quantities, by
a decision of its own (one customer's denials may share theirs: a crowd); that a row costs its exact
cost rounded down or up; and that per customer

    sum(units + overshoot) = floor(sum(exact cost))

which is what a remainder carried from 0 under one version of one price rule comes to (SEMANTICS U4,
B3). Exit status 0: all of it holds; 1: it does not, and each line says where; 2: wrong use.
"""

import argparse
import csv
import json
import sys
from decimal import Decimal, InvalidOperation
from fractions import Fraction

NANO = 10**9
SETTLED, DENIED = {"allow", "partial", "late"}, {"deny"}
COMPLAINTS_MAX = 50


def nano(credits):
    """A credit string to whole nano-credits; ValueError if it is not that."""
    if not isinstance(credits, str):
        raise ValueError(f"credits are strings, not {credits!r}")
    try:
        scaled = Decimal(credits) * NANO
    except InvalidOperation:
        raise ValueError(f"no credits: {credits!r}") from None
    if not scaled.is_finite() or scaled != int(scaled) or scaled < 0:
        raise ValueError(f"no nano-credits: {credits!r}")
    return int(scaled)


def shortest(nanos):
    return f"{nanos // NANO}.{nanos % NANO:09d}".rstrip("0").rstrip(".")


def read_trace(path):
    """[(input tokens, output tokens)] in the order of the rows."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        return [(int(row["ContextTokens"]), int(row["GeneratedTokens"]))
                for row in csv.DictReader(file)]


def read_record(path):
    """[(line number, object)]."""
    with open(path, encoding="utf-8") as file:
        return [(number, json.loads(line)) for number, line in enumerate(file, 1) if line.strip()]


class Customer:
    def __init__(self):
        self.rows = self.denied = self.units = self.charged = self.overshoot = 0
        self.exact = Fraction(0)


def reckon(trace, record, input_price, output_price):
    """({customer: sums}, [complaints]). Prices are nano-credits per token, as fractions."""
    customers, complaints, seen, decisions = {}, [], {}, {}

    def complain(number, text):
        complaints.append(f"line {number}: {text}")

    for number, entry in record:
        try:
            row, name, outcome = entry["row"], entry["customer"], entry["outcome"]
            tokens = (entry["input_tokens"], entry["output_tokens"])
            units, decision = entry["units"], entry["decision_id"]
            charged, overshoot = nano(entry["charged"]), nano(entry["overshoot"])
            if type(row) is not int or type(units) is not int or units < 0:
                raise ValueError(f"row {row!r} and units {units!r} must be counts")
        except (KeyError, TypeError, ValueError) as problem:
            complain(number, f"not a record: {problem!r}")
            continue
        if not 0 <= row < len(trace):
            complain(number, f"row {row} is not in the trace of {len(trace)} rows")
            continue
        if row in seen:
            complain(number, f"row {row} is accounted for again (first on line {seen[row]})")
            continue
        seen[row] = number
        if tokens != trace[row]:
            complain(number, f"row {row} has {tokens}, the trace has {trace[row]}")
        crowd = name if outcome in DENIED else None
        first, who = decisions.setdefault(decision, (number, crowd))
        if first != number and (crowd is None or who != crowd):
            complain(number, f"decision {decision} is that of line {first} too")
        customer = customers.setdefault(name, Customer())
        customer.rows += 1
        if outcome in DENIED:
            customer.denied += 1
            if units or charged or overshoot:
                complain(number, f"row {row} was denied and yet cost something")
            continue
        if outcome not in SETTLED:
            complain(number, f"row {row} came to no end: {outcome!r}")
            continue
        exact = trace[row][0] * input_price + trace[row][1] * output_price
        cost = units + overshoot
        if not exact // 1 <= cost <= -(-exact // 1):
            complain(number, f"row {row} cost {cost} nano-credits, exactly {exact}")
        if charged > units:
            complain(number, f"row {row} was charged {charged} of {units} nano-credits")
        customer.units += units
        customer.charged += charged
        customer.overshoot += overshoot
        customer.exact += exact
    for row in range(len(trace)):
        if row not in seen:
            complaints.append(f"row {row} of the trace is not accounted for")
    for name, customer in sorted(customers.items()):
        if customer.units + customer.overshoot != customer.exact // 1:
            complaints.append(f"customer {name}: {customer.units} + {customer.overshoot} "
                              f"nano-credits, exactly {customer.exact}")
    return customers, complaints


def report(customers, out):
    print("customer,rows,denied,exact_nano,units,overshoot,charged", file=out)
    for name, customer in sorted(customers.items()):
        print(name, customer.rows, customer.denied, customer.exact, customer.units,
              shortest(customer.overshoot), shortest(customer.charged), sep=",", file=out)


def per_token(text, per):
    """A price in credits per so many tokens, as nano-credits per token."""
    return Fraction(text) * NANO / per


def main(arguments=None, out=sys.stdout):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("trace", help="CSV with ContextTokens and GeneratedTokens")
    parser.add_argument("record", help="what weir load --record wrote")
    parser.add_argument("--input-credits", required=True, help='credits per --per tokens, as "125"')
    parser.add_argument("--output-credits", required=True)
    parser.add_argument("--per", type=int, default=1_000_000)
    options = parser.parse_args(arguments)
    customers, complaints = reckon(
        read_trace(options.trace), read_record(options.record),
        per_token(options.input_credits, options.per),
        per_token(options.output_credits, options.per))
    report(customers, out)
    for complaint in complaints[:COMPLAINTS_MAX]:
        print(complaint, file=sys.stderr)
    if len(complaints) > COMPLAINTS_MAX:
        print(f"and {len(complaints) - COMPLAINTS_MAX} more", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

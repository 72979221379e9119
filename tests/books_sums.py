#!/usr/bin/env python3
"""Check the books (ledger.db) of a played trace against the trace itself, to the nano-credit.

An independent reckoning in whole numbers and fractions: it knows SQL, the trace (TIMESTAMP,
ContextTokens, GeneratedTokens), two prices per million tokens and the rule of the remainder, and
nothing of Weir but the names of its columns. The ledger is opened read-only; it may be a live one,
if settlement is done.

It checks, for all customers and for each:

  usage     every row of the trace is settled or denied exactly once, with the trace's tokens; with
            the record of `weir load --record`, by the very decision and the very customer
  prices    every monetization event costs its tokens' exact price, as a numerator over its q; what
            was charged is that price with the remainder carried: q (units) = cost + rem - rem'; each
            customer's remainders follow one another from 0; one event for each settled usage
  balances  numbers without a gap; each account is the sum of its rows; what charges took is what was
            charged; a customer's balance is the sum of his grants and his debt, and no grant's is
            below zero; overshoots come to nothing
  sums      sum(units + overshoot) = floor(sum(exact cost)) per customer (SEMANTICS U4, B3)

Exit status 0: all of it holds; 1: it does not, and each line says where; 2: wrong use.
"""

import argparse
import collections
import csv
import json
import sqlite3
import sys
from fractions import Fraction
from pathlib import Path

NANO = 10**9
COMPLAINTS_MAX = 50
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def read_trace(path):
    """[(input tokens, output tokens)] in the order of the rows."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        return [(int(row["ContextTokens"]), int(row["GeneratedTokens"]))
                for row in csv.DictReader(file)]


def position_of(decision_id):
    """The journal position that an id like d_0000000000c81 spells."""
    number = 0
    for letter in decision_id[2:]:
        number = number * 32 + DIGITS.index(letter)
    return number


def read_record(path):
    """{decision's position: (row, customer)} of what was settled; how many were denied."""
    settled, denied = {}, 0
    with open(path, encoding="utf-8") as file:
        for entry in map(json.loads, filter(str.strip, file)):
            if entry["outcome"] == "deny":
                denied += 1
            else:
                settled[position_of(entry["decision_id"])] = (entry["row"], entry["customer"])
    return settled, denied


class Customer:
    def __init__(self):
        self.settled = self.denied = self.units = self.charged = self.taken = 0
        self.exact = Fraction(0)
        self.remainders = {}
        self.accounts = collections.defaultdict(int)
        self.updates = self.balance = 0


class Books:
    def __init__(self, ledger, prices):
        self.database = sqlite3.connect(f"file:{Path(ledger).absolute()}?mode=ro", uri=True)
        self.database.row_factory = sqlite3.Row
        self.prices = prices
        self.customers = collections.defaultdict(Customer)
        self.complaints = []
        self.tokens = {}  # by the position of the settled usage

    def complain(self, row, text):
        self.complaints.append(f"position {row['position']}, customer {row['customer']}: {text}")

    def rows(self, table, order):
        return self.database.execute(f"SELECT * FROM {table} ORDER BY {order}")

    def usage(self, trace, record):
        """Usage events against the trace, row by row where the record links them."""
        left = collections.Counter(trace)
        linked, denied_in_record = record or ({}, None)
        denied = 0
        for row in self.rows("usage_events", "position"):
            customer = self.customers[row["customer"]]
            if row["kind"] == "denial":
                denied += row["count"]
                customer.denied += row["count"]
                if row["charged"] or row["units_allowed"]:
                    self.complain(row, "was denied and yet cost something")
                continue
            if row["kind"] not in ("consume", "commit", "usage"):
                self.complain(row, f"ended without usage: {row['kind']}")
                continue
            actual = json.loads(row["actual"])
            tokens = (actual.get("input_tokens", 0), actual.get("output_tokens", 0))
            self.tokens[row["position"]] = (tokens, row)
            customer.settled += 1
            left[tokens] -= 1
            if record:
                expected = linked.pop(row["decision"], None)
                if expected is None:
                    self.complain(row, "is of a decision that the record does not have")
                elif (trace[expected[0]], expected[1]) != (tokens, row["customer"]):
                    self.complain(row, f"has {tokens}, row {expected[0]} of {expected[1]} has "
                                       f"{trace[expected[0]]}")
            sources = json.loads(row["sources"])
            for column in ("units", "charged"):
                allowed = row["units_allowed" if column == "units" else "charged"]
                if sum(source[column] for source in sources) != allowed:
                    self.complain(row, f"its sources do not add up to its {column}")
        for tokens, count in left.items():
            if count < 0:
                self.complaints.append(f"{tokens} was settled {-count} times more than the trace "
                                       "has it")
        if len(self.tokens) + denied != len(trace):
            self.complaints.append(f"{len(self.tokens)} settled and {denied} denied are not the "
                                   f"{len(trace)} rows of the trace")
        if record and (linked or denied_in_record != denied):
            self.complaints.append(f"{len(linked)} decisions of the record are not in the books; "
                                   f"{denied_in_record} were denied, the books have {denied}")

    def monetization(self):
        seen = set()
        for row in self.rows("monetization_events", "position"):
            seen.add(row["position"])
            if row["position"] not in self.tokens:
                self.complain(row, "costs something, and no usage was settled there")
                continue
            tokens, usage = self.tokens[row["position"]]
            customer = self.customers[row["customer"]]
            exact = sum(count * price for count, price in zip(tokens, self.prices))
            cost, q = Fraction(row["cost"]), row["q"]
            if cost != exact * q:
                self.complain(row, f"costs {cost}/{q} nano-credits, exactly {exact}")
            units = usage["units_allowed"] + row["overshoot_units"]
            if q * units + row["remainder_after"] - row["remainder_before"] != cost:
                self.complain(row, f"{units} units are not its cost with the remainder carried")
            if row["remainder_before"] != customer.remainders.get(row["price_version"], 0):
                self.complain(row, "its remainder is not the one before")
            if not 0 <= row["remainder_after"] < q:
                self.complain(row, f"a remainder of {row['remainder_after']} of {q}")
            if any(row[name] != usage[name] for name in ("customer", "decision", "charged")):
                self.complain(row, "is not its usage event's")
            customer.remainders[row["price_version"]] = row["remainder_after"]
            customer.exact += exact
            customer.units += units
            customer.charged += row["charged"] + row["overshoot_charged"]
        for position in self.tokens.keys() - seen:
            self.complaints.append(f"position {position}: usage without a monetization event")

    def balances(self):
        for row in self.rows("balance_updates", "position,place"):
            customer = self.customers[row["customer"]]
            customer.updates += 1
            if row["number"] != customer.updates:
                self.complain(row, f"number {row['number']} comes where {customer.updates} should")
            account = (row["account"], row["grant_id"] or row["name"])
            customer.accounts[account] += row["delta"]
            after = row["account_after"] + row["account_after_e18"] * 10**18
            if customer.accounts[account] != after:
                self.complain(row, f"{account} has {after}, its rows come to "
                                   f"{customer.accounts[account]}")
            if row["account"] in ("grant", "overshoot") and row["account_after"] < 0:
                self.complain(row, f"{account} is below zero")
            if row["account"] != "overage":
                customer.balance += row["delta"]
            if row["customer_after"] != customer.balance:
                self.complain(row, f"has {row['customer_after']}, his rows come to "
                                   f"{customer.balance}")
            if row["cause"] in ("charge", "debt", "overshoot_charge"):
                customer.taken -= row["delta"]
                if row["position"] not in self.tokens:
                    self.complain(row, "was charged where no usage was settled")

    def sums(self):
        for name, customer in sorted(self.customers.items()):
            if customer.units != customer.exact // 1:
                self.complaints.append(f"customer {name}: {customer.units} nano-credits, exactly "
                                       f"{customer.exact}")
            if customer.taken != customer.charged:
                self.complaints.append(f"customer {name}: charged {customer.charged}, and "
                                       f"{customer.taken} was taken from his accounts")
            if any(sum_ for (kind, _), sum_ in customer.accounts.items() if kind == "overshoot"):
                self.complaints.append(f"customer {name}: overshoots do not come to nothing")

    def report(self, out):
        print("customer,settled,denied,exact_nano,units,charged,updates,balance", file=out)
        for name, customer in sorted(self.customers.items()):
            print(name, customer.settled, customer.denied, customer.exact, customer.units,
                  customer.charged, customer.updates, customer.balance, sep=",", file=out)


def per_token(text, per):
    """A price in credits per so many tokens, as nano-credits per token."""
    return Fraction(text) * NANO / per


def main(arguments=None, out=sys.stdout):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("ledger", help="ledger.db")
    parser.add_argument("trace", help="CSV with ContextTokens and GeneratedTokens")
    parser.add_argument("--record", help="what weir load --record wrote")
    parser.add_argument("--input-credits", required=True, help='credits per --per tokens, as "125"')
    parser.add_argument("--output-credits", required=True)
    parser.add_argument("--per", type=int, default=1_000_000)
    options = parser.parse_args(arguments)
    books = Books(options.ledger, (per_token(options.input_credits, options.per),
                                   per_token(options.output_credits, options.per)))
    books.usage(read_trace(options.trace), read_record(options.record) if options.record else None)
    books.monetization()
    books.balances()
    books.sums()
    books.report(out)
    for complaint in books.complaints[:COMPLAINTS_MAX]:
        print(complaint, file=sys.stderr)
    if len(books.complaints) > COMPLAINTS_MAX:
        print(f"and {len(books.complaints) - COMPLAINTS_MAX} more", file=sys.stderr)
    return 1 if books.complaints else 0


if __name__ == "__main__":
    sys.exit(main())

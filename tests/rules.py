#!/usr/bin/env python3
"""Every rule has its row: the numbered rules and the reason codes against the story table.

The chapters in tests/stories tell the rules as rows whose first column names what they show. Prints how
many rows show each rule and each reason; exits 1 when one is shown nowhere.
"""
import re
import sys
from collections import Counter
from pathlib import Path

RULES = {"U": 7, "G": 6, "S": 8, "W": 6, "H": 7, "I": 3, "T": 3, "P": 2, "B": 3, "A": 7}

ROW = re.compile(r'\{\s*"([^"]*)"\s*,\s*"')
WORD = re.compile(r"\b[A-Z][0-9]\b")
REASON = re.compile(r'X\(REASON_\w+,\s*"(\w+)"')


def main():
    story = "\n".join(path.read_text() for path in sorted(Path("tests/stories").glob("*_test.c")))
    rows = Counter(rule for row in ROW.findall(story) for rule in set(WORD.findall(row)))
    wrong = 0
    for letter, count in RULES.items():
        for rule in (f"{letter}{number}" for number in range(1, count + 1)):
            if rule in rows:
                print(f"  {rule:28} {rows[rule]} rows")
            else:
                wrong += 1
                print(f"  {rule:28} SHOWN NOWHERE")
    for reason in REASON.findall(Path("src/engine/fact.h").read_text()):
        answers = len(re.findall(rf'"[^"]*\b{reason}\b[^"]*"', story))
        if answers:
            print(f"  {reason:28} {answers} rows")
        else:
            wrong += 1
            print(f"  {reason:28} SHOWN NOWHERE")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

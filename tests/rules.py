#!/usr/bin/env python3
"""Every rule has its row: the numbered rules and the reason codes against the story table.

The chapters in tests/stories tell the rules as rows whose first column names what they show. A rule whose
subject is not the engine has its rows elsewhere; ELSEWHERE names the test, and this script looks that
the test exists and cites the rule. NOT_YET names what the product does not do yet.
Prints where each rule is shown; exits 1 when one is shown nowhere.
"""
import re
import sys
from collections import Counter
from pathlib import Path

RULES = {"U": 7, "G": 6, "S": 8, "W": 6, "H": 7, "I": 3, "T": 3, "P": 2, "B": 3, "A": 7}

ELSEWHERE = {  # rule: file, a test in it
    "T3": ("src/platform/clock_test.c", "clock_tells_a_story_of_jumps"),
    "P1": ("tests/blackbox/test_restart.py",
           "test_p1_a_file_that_has_changed_is_applied"),
    "A2": ("src/base/credits_test.c", "amounts_are_written_in_their_shortest_form"),
    "A5": ("tests/blackbox/test_batch.py", "test_a5_a_failure_stops_nothing_and_is_its_own_problem"),
    "B1": ("tests/ledger/settle_test.c", "each_end_of_a_decision_is_one_usage_event"),
    "B3": ("tests/ledger/settle_test.c", "the_books_agree_with_the_engine_and_with_themselves"),
}

NOT_YET = {
    "A6": "RESP; its keywords are already refused as names of meters",
}

ROW = re.compile(r'\{\s*"([^"]*)"\s*,\s*"')
WORD = re.compile(r"\b[A-Z][0-9]\b")
REASON = re.compile(r'X\(REASON_\w+,\s*"(\w+)"')


def is_shown_elsewhere(rule):
    """What is missing, or None."""
    path, test = ELSEWHERE[rule]
    if not Path(path).is_file():
        return f"{path} does not exist"
    text = Path(path).read_text()
    if not re.search(rf"\b{test}\b", text):
        return f"{path} has no test {test}"
    if not re.search(rf"(\b|_){rule}(\b|_)", text, re.IGNORECASE):
        return f"{path} does not cite {rule}"
    return None


def main():
    story = "\n".join(path.read_text() for path in sorted(Path("tests/stories").glob("*_test.c")))
    rows = Counter(rule for row in ROW.findall(story) for rule in set(WORD.findall(row)))
    wrong = 0
    for letter, count in RULES.items():
        for rule in (f"{letter}{number}" for number in range(1, count + 1)):
            if rule in rows:
                print(f"  {rule:28} {rows[rule]} rows")
            elif rule in ELSEWHERE:
                missing = is_shown_elsewhere(rule)
                wrong += missing is not None
                print(f"  {rule:28} {missing or '::'.join(ELSEWHERE[rule])}")
            elif rule in NOT_YET:
                print(f"  {rule:28} not yet: {NOT_YET[rule]}")
            else:
                wrong += 1
                print(f"  {rule:28} SHOWN NOWHERE")
    for reason in REASON.findall(Path("src/engine/fact.h").read_text()):
        answers = len(re.findall(rf'"[^"]*\b{reason}\b[^"]*"', story))
        if answers:
            print(f"  {reason:28} {answers} rows")
        elif reason in NOT_YET:
            print(f"  {reason:28} not yet: {NOT_YET[reason]}")
        else:
            wrong += 1
            print(f"  {reason:28} SHOWN NOWHERE")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

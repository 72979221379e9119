#!/usr/bin/env python3
"""Counts test cases out of what test runners leave behind; prints "passed failed skipped".

usage: counts.py meson BUILD_DIRECTORY/meson-logs/testlog.json
       counts.py junit REPORT.xml

A test program that speaks cmocka counts its cases, any other counts as one; one that died before
its summary counts the cases it finished and one failure.
"""
import json
import re
import sys
import xml.etree.ElementTree

PASSED = re.compile(r"^\[  PASSED  \] (\d+) test\(s\)", re.MULTILINE)
FAILED = re.compile(r"^\[  FAILED  \] .*?(\d+) test\(s\), listed below", re.MULTILINE)
SKIPPED = re.compile(r"^\[  SKIPPED \] .*?(\d+) test\(s\), listed below", re.MULTILINE)
FINISHED = re.compile(r"^\[       OK \]", re.MULTILINE)


def total(pattern, text):
    return sum(int(number) for number in pattern.findall(text))


def count_program(program):
    text = program.get("stdout", "") + "\n" + program.get("stderr", "")
    passed, failed, skipped = total(PASSED, text), total(FAILED, text), total(SKIPPED, text)
    if program["result"] == "SKIP":
        return 0, 0, 1
    if program["result"] == "OK":
        return (passed, failed, skipped) if PASSED.search(text) else (1, 0, 0)
    if failed == 0:
        passed, failed = max(passed, len(FINISHED.findall(text))), 1
    return passed, failed, skipped


def count_meson(path):
    with open(path, encoding="utf-8") as lines:
        counts = [count_program(json.loads(line)) for line in lines if line.strip()]
    return [sum(column) for column in zip(*counts)] if counts else [0, 0, 0]


def count_junit(path):
    tests = failed = skipped = 0
    for suite in xml.etree.ElementTree.parse(path).getroot().iter("testsuite"):
        tests += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    return [tests - failed - skipped, failed, skipped]


def main():
    readers = {"meson": count_meson, "junit": count_junit}
    if len(sys.argv) != 3 or sys.argv[1] not in readers:
        sys.exit(__doc__)
    print(*readers[sys.argv[1]](sys.argv[2]))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Folders are floors: reads every #include under src/ and compares it with the table below.

A folder includes its own headers freely, and of lower floors their one door header NAME/NAME.h;
base may be entered by any of its headers. Tests (*_test.c, testing.h) may include anything.
base and engine are also read for what purity forbids in the text: other system headers, floats.
Below the server nobody reads a clock: time is given, or a function that tells it.
Exits 1 and names each offending line.
"""
import re
import sys
from pathlib import Path

FLOORS = {
    "base": 0,
    "engine": 1,
    "platform": 1,
    "policy": 2,
    "journal": 2,
    "wire": 2,
    "keys": 3,
    "ledger": 3,
    "server": 4,
    "proof": 4,
    "main": 5,
}

PURE_FOLDERS = {"base", "engine"}
PURE_SYSTEM_HEADERS = {"stdbool.h", "stddef.h", "stdint.h", "string.h"}

CLOCK_FLOOR = FLOORS["server"]
CLOCK_FOLDER = "platform"
CLOCK = re.compile(r"\b(?:clock_\w+|gettimeofday|time|timespec_get)\s*\(")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
FLOAT = re.compile(r"\b(?:float|double|long double)\b")
COMMENT_OR_LITERAL = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'',
                                re.DOTALL)


def without_comments_and_literals(text):
    """The code alone, line numbers kept."""
    return COMMENT_OR_LITERAL.sub(lambda match: "\n" * match.group().count("\n"), text)


def include_problem(folder, mark, header):
    if mark == "<":
        if folder in PURE_FOLDERS and header not in PURE_SYSTEM_HEADERS:
            return f"{folder} is pure: no <{header}>"
        return None
    other, slash, rest = header.partition("/")
    if not slash:
        return f'say where it is: "{folder}/{header}"'
    if other == folder:
        return None
    if other not in FLOORS:
        return f'"{other}" is no floor of the house'
    if FLOORS[other] >= FLOORS[folder]:
        return f"{folder} is on floor {FLOORS[folder]}, {other} on {FLOORS[other]}"
    if other != "base" and rest != f"{other}.h":
        return f'enter {other} by its door, "{other}/{other}.h"'
    return None


def is_test(path):
    return path.name.endswith("_test.c") or path.name == "testing.h"


def check_file(folder, path):
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        problem = match and include_problem(folder, *match.groups())
        if problem:
            yield f"{path}:{number}: {problem}"
    if folder in PURE_FOLDERS:
        for number, line in enumerate(without_comments_and_literals(text).splitlines(), 1):
            if FLOAT.search(line):
                yield f"{path}:{number}: {folder} knows no floating point"
    if FLOORS[folder] < CLOCK_FLOOR and folder != CLOCK_FOLDER:
        for number, line in enumerate(without_comments_and_literals(text).splitlines(), 1):
            if CLOCK.search(line):
                yield f"{path}:{number}: {folder} reads no clock: let the caller give the time"


def main():
    source = Path(__file__).resolve().parent.parent / "src"
    problems = []
    files = 0
    for path in sorted(source.rglob("*.[ch]")):
        folder = path.relative_to(source).parts[0]
        if folder not in FLOORS:
            problems.append(f"{path}: {folder} is not in the floor table")
            continue
        if is_test(path):
            continue
        files += 1
        problems += check_file(folder, path)
    if files == 0:
        problems.append(f"{source}: no sources found")
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(1)
    print(f"{files} files keep to their floors")


if __name__ == "__main__":
    main()

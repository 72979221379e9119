#!/usr/bin/env python3
"""A .proto as protoc-c can take it: other words for the same bytes on the wire.

- `optional` of proto3, which protoc-c does not know, is a oneof of one.
- A string becomes bytes: protobuf-c keeps strings without their length, and would cut one off at
  a NUL that a client has put there. That it is UTF-8 is checked by who reads it.
- A map is a list of entries, which shows a key that comes twice.

usage: proto_for_c.py NAME.proto > OUT.proto
"""
import re
import sys

RULES = [
    (r"//[^\n]*", ""),
    (r"map<string, (\w+)> (\w+) = (\d+);",
     r"message \2_entry { string key = 1; \1 value = 2; } repeated \2_entry \2 = \3;"),
    (r"optional (\w+) (\w+) = (\d+);", r"oneof \2_or_none { \1 \2 = \3; }"),
    (r"\bstring (\w+) = ", r"bytes \1 = "),
]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        text = file.read()
    for pattern, other in RULES:
        text = re.sub(pattern, other, text)
    sys.stdout.write(text)


main()

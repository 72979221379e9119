"""docs/LOGS.md lists every event of the source with its fields, and no other."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]

EVENT = re.compile(r'(?:log_begin|log_event)\([^;"]*?"(\w+)"|\btell\((?:snapshots, LOG_\w+, )?"(\w+)"|\btell_lag\("(\w+)"')
FIELD = re.compile(r'log_(?:text|number|bytes)\(&?line, "(\w+)"')
BY_HAND = {"put_request": ["method", "route", "status", "request_id"], "log_paced": ["passed_over"]}


def sources():
    for path in sorted((ROOT / "src").rglob("*.c")):
        if not path.name.endswith("_test.c"):
            yield path.read_text()


def documented():
    """event -> its fields"""
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \|([^|]*)\|", (ROOT / "docs" / "LOGS.md").read_text(), re.MULTILINE)
    assert len(rows) == len(dict(rows))
    return {event: re.findall(r"`(\w+)`", fields) for event, fields in rows}


def test_every_event_is_documented_and_every_documented_one_exists():
    written = {name for text in sources() for match in EVENT.finditer(text) for name in match.groups() if name}
    assert written == set(documented())


def test_fields_are_those_of_the_source():
    told = documented()
    used = {name for text in sources() for name in FIELD.findall(text)} | {
        name for names in BY_HAND.values() for name in names}
    assert used == {name for fields in told.values() for name in fields}
    checked = 0
    for text in sources():
        for match in re.finditer(r'log_begin\([^;"]*?"(\w+)"\);(.*?)log_end', text, re.DOTALL):
            fields = FIELD.findall(match[2])
            for helper, names in BY_HAND.items():
                if f"{helper}(" in match[2]:
                    fields += names
            assert sorted(fields) == sorted(told[match[1]]), match[1]
            checked += 1
    assert checked >= 15

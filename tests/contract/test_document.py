"""The document itself: whole, true to its own rules, and equal to the tables of the program."""

import json
import pathlib
import re

import jsonschema
import yaml

from contract import Document

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = Document(yaml.safe_load((ROOT / "api" / "openapi.yaml").read_text()))


def source(path):
    return (ROOT / "src" / path).read_text()


def words_of(function, path):
    """The strings of a function or array of C, in their order."""
    text = source(path)
    start = re.search(rf"\b{function}\b[^;]*?[{{]\n", text).end()
    end = re.search(r"^\};?$", text[start:], re.MULTILINE).start() if "\n}" in text[start:] else len(text)
    return [word for word in re.findall(r'"([^"]*)"', text[start:start + end]) if word]


def table(path, name):
    """(code, status) of the rows of an X table."""
    text = re.search(rf"#define {name}\(X\)(.*?)\n\s*(?:enum|struct|#)", source(path), re.DOTALL)[1]
    return re.findall(r'X\(\w+,\s*"(\w+)",\s*(\d+)', text.replace("\\\n", " "))


def enum(name):
    return DOCUMENT.schema(name)["enum"]


def every_part(value):
    yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from every_part(part)


def test_every_reference_leads_somewhere_and_every_component_is_used():
    used = {part["$ref"] for part in every_part(DOCUMENT.json) if isinstance(part, dict) and "$ref" in part}
    for reference in used:
        DOCUMENT.resolve({"$ref": reference})
    there = {f"#/components/{kind}/{name}" for kind, parts in DOCUMENT.json["components"].items() for name in parts
             if kind != "securitySchemes"}
    # Of paths without an operation, and what the operations of a batch say by constants.
    assert there - used == {"#/components/responses/NoMethod", "#/components/schemas/Operation"}


def test_every_schema_is_json_schema():
    for name, schema in DOCUMENT.json["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        is_open = schema.get("type") == "object" and "additionalProperties" not in schema
        assert not is_open or name == "CloudEvent", f"{name} is open"


def test_operations_have_names_answers_and_request_ids():
    names = [one.name for one in DOCUMENT.operations]
    assert len(names) == len(set(names))
    for operation in DOCUMENT.operations:
        assert operation.item["summary"] and operation.item["tags"], operation.name
        for status, response in operation.responses.items():
            assert "X-Request-Id" in response["headers"], (operation.name, status)
        in_path = {one["name"] for one in operation.parameters if one["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", operation.path)), operation.path


def test_examples_are_what_their_schemas_say():
    count = 0
    for operation in DOCUMENT.operations:
        for content in (operation.body or {"content": {}})["content"].values():
            for example in content.get("examples", {}).values():
                assert not DOCUMENT.faults(content["schema"], example["value"]), example
                count += 1
    for schema in every_part(DOCUMENT.json["components"]["schemas"]):
        if isinstance(schema, dict) and isinstance(schema.get("examples"), list):
            for example in schema["examples"]:
                assert not DOCUMENT.faults(schema, example), example
                count += 1
    assert count > 20


def test_routes_are_those_of_the_server():
    rows = re.findall(r'\{\s*"(\w+)",\s*"(/[^"]*)",', source("server/routes.c"))
    told = {(one.method, re.sub(r"{\w+}", "{}", one.path)) for one in DOCUMENT.operations}
    assert told == set(rows)


def test_problem_codes_and_reasons_are_those_of_the_program():
    problems = dict(table("engine/problem.h", "PROBLEM_TABLE"))
    del problems["none"]
    assert enum("ProblemCode") == list(problems)
    reasons = dict(table("engine/fact.h", "REASON_TABLE"))
    assert enum("ReasonCode") == list(reasons)
    assert set(DOCUMENT.schema("ForEdge")["properties"]["status"]["enum"]) == {int(one) for one in reasons.values()}
    everywhere = {int(status) for operation in DOCUMENT.operations for status in operation.responses} | {405}
    assert {int(status) for status in problems.values()} <= everywhere


def test_closed_words_are_those_of_the_program():
    for name, function, path in (
            ("Outcome", "words_outcome", "wire/words.c"), ("Category", "words_category", "wire/words.c"),
            ("HoldState", "words_hold", "wire/words.c"), ("SourceKind", "words_source", "wire/words.c"),
            ("JobStatus", "words_status", "wire/words.c"), ("Who", "who_word", "wire/render_report.c"),
            ("Remedy", "remedy_word", "wire/render_report.c"), ("GrantState", "grant_state_word", "wire/render_view.c"),
            ("CreditMode", "mode_word", "wire/render_view.c"), ("Cause", "balance_cause_text", "ledger/rows.c"),
            ("RetainedBy", "retained_by_text", "server/retention.c")):
        assert enum(name) == words_of(function, path), name
    for name, rule in (("Operation", "op_words"), ("Priority", "priority_words"), ("Scope", "access_scope_words")):
        text = re.search(rf"{rule}\[\] = {{(.*?)}};", source("wire/schema.c"), re.DOTALL)[1]
        assert enum(name) == re.findall(r'"(\w+)"', text), name
    text = re.search(r"dimension_words\[\w+\] = {(.*?)};", source("ledger/show.c"), re.DOTALL)[1]
    assert set(enum("Dimension")) == set(re.findall(r'"(\w+)"', text))
    text = re.search(r"struct condition conditions\[\] = {(.*?)};", source("server/calls.c"), re.DOTALL)[1]
    assert enum("Condition") == re.findall(r'"(\w+)"', text)
    kinds = re.search(r"\*usage_kind_text.*?texts\[\] = {(.*?)};", source("ledger/rows.c"), re.DOTALL)[1]
    assert set(enum("EventKind")) == set(re.findall(r'"(\w+)"', kinds))
    accounts = re.search(r"\*balance_account_text.*?texts\[\] = {(.*?)};", source("ledger/rows.c"), re.DOTALL)
    assert set(enum("Account")) == set(re.findall(r'"(\w+)"', accounts[1]))


def test_every_problem_has_its_section_in_the_guide():
    guide = (ROOT / "docs" / "API.md").read_text()
    told = dict(re.findall(r"^#### `(\w+)` (\d+)$", guide, re.MULTILINE))
    problems = dict(table("engine/problem.h", "PROBLEM_TABLE"))
    del problems["none"]
    assert told == problems


def test_what_is_served_is_what_is_kept(tmp_path):
    from weir_client import Server
    server = Server(tmp_path, (ROOT / "examples" / "policy.yaml").read_text()).start()
    try:
        served = server.get("/openapi.json").body
    finally:
        server.stop()
    kept = {name: part for name, part in DOCUMENT.json.items() if not name.startswith("x-")}
    assert served == json.loads(json.dumps(kept))

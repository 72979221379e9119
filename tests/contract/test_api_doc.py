"""docs/API.md is true: its examples are run in their order, and the server answers what stands there.

`WEIR_WRITE=1` writes the answers into blocks that are empty; what is there is never changed.
"""

import json
import os
import pathlib
import re
import shlex
import subprocess

from weir_client import Server

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "API.md"
EXAMPLE = re.compile(r"```sh\n(curl [^\n]*)\n```\n```json\n(.*?)```\n", re.DOTALL)
ADDRESS = "http://127.0.0.1:7878"
REST = "…"                      # {"a": 1, "…": "…"}: and other members; "d_…": some id


def ask(command, server, seen):
    for name, value in seen.items():
        command = command.replace(name, value)
    words = shlex.split(command.replace(ADDRESS, f"http://127.0.0.1:{server.port}"))
    told = subprocess.run(words, stdout=subprocess.PIPE, timeout=30, check=True).stdout
    return json.loads(told)


def remember(answer, seen):
    if isinstance(answer, dict):
        if (answer.get("hold") or {}).get("state") == "held":
            seen["DECISION_ID"] = answer["decision_id"]
        if "grant_id" in answer and "credits" in answer:
            seen["GRANT_ID"] = answer["grant_id"]


def differs(told, answered, path="$"):
    """Where what the document tells is not what was answered; None: nowhere."""
    if isinstance(told, str) and told.endswith(REST):
        right = isinstance(answered, str) and answered.startswith(told[:-1])
        return None if right else f"{path}: {answered!r}"
    if isinstance(told, dict) and isinstance(answered, dict):
        missing = [name for name in told if name != REST and name not in answered]
        more = [name for name in answered if name not in told and REST not in told]
        if missing or more:
            return f"{path}: the document has {missing}, the answer {more}"
        found = (differs(told[name], answered[name], f"{path}.{name}")
                 for name in told if name != REST)
        return next((one for one in found if one), None)
    if isinstance(told, list) and isinstance(answered, list) and len(told) == len(answered):
        found = (differs(one, other, f"{path}[{at}]")
                 for at, (one, other) in enumerate(zip(told, answered)))
        return next((one for one in found if one), None)
    return None if told == answered else f"{path}: {answered!r} instead of {told!r}"


def masked(value):
    """Ids are another's on every server."""
    if isinstance(value, dict):
        return {name: masked(part) for name, part in value.items()}
    if isinstance(value, list):
        return [masked(part) for part in value]
    if isinstance(value, str) and re.fullmatch(r"[dgeb]_[0-9a-z]{13}(\.\d+)?", value):
        return value[:2] + REST
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32}", value):
        return REST
    return value


def laid_out(value):
    """A member a line where one line would be long."""
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= 110 or not isinstance(value, dict):
        return text
    lines = []
    for name, part in value.items():
        text = json.dumps(part, ensure_ascii=False)
        if len(text) > 100 and isinstance(part, list):
            text = "[" + ",\n    ".join(json.dumps(one, ensure_ascii=False) for one in part) + "]"
        lines.append(f"  {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}"


def test_every_example_answers_what_the_document_says(tmp_path):
    text, seen, wrong = GUIDE.read_text(), {}, []
    examples = EXAMPLE.findall(text)
    assert len(examples) == text.count("```sh\n") == text.count("```json\n") >= 15
    server = Server(tmp_path, (ROOT / "examples" / "policy.yaml").read_text()).start()
    try:
        for command, told in examples:
            answer = ask(command, server, seen)
            remember(answer, seen)
            if not told.strip() and os.environ.get("WEIR_WRITE"):
                empty = f"```sh\n{command}\n```\n```json\n```\n"
                assert empty in text
                text = text.replace(empty, empty[:-4] + laid_out(masked(answer)) + "\n```\n", 1)
                continue
            fault = differs(json.loads(told or "null"), answer)
            if fault:
                wrong.append(f"{command}\n  {fault}\n  {json.dumps(answer, ensure_ascii=False)}")
    finally:
        server.stop()
    if os.environ.get("WEIR_WRITE"):
        GUIDE.write_text(text)
    assert not wrong, "\n".join(wrong)

"""Every example of docs/POLICY.md: the file compiles, and a server with it answers what the story
beside it says. The table of keys names what the program knows, no more and no less."""

import pathlib
import re

import pytest

from weir_client import HOUR, MINUTE, SECOND, START, Customer, run, to_ms

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "POLICY.md").read_text()
NOON = to_ms(START)
BLOCKS = re.findall(r"^## (.+?)$|^```(yaml|story)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def examples():
    """(heading, policy, story or None)"""
    found, heading = [], ""
    for title, kind, text in BLOCKS:
        if title:
            heading = title
        elif kind == "yaml":
            found.append([heading, text, None])
        else:
            assert found[-1][2] is None, f"two stories behind one policy: {heading}"
            found[-1][2] = text
    return found


EXAMPLES = examples()


def test_the_document_has_examples():
    assert len(EXAMPLES) >= 7 and all(story for _, _, story in EXAMPLES)


@pytest.mark.parametrize("heading, policy", [(h, p) for h, p, _ in EXAMPLES], ids=lambda v: str(v)[:20])
def test_the_example_compiles(heading, policy, tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text(policy)
    status, out, err = run("policy", "check", file)
    assert status == 0, (heading, out, err)


# ---- stories -------------------------------------------------------------------------------------

def moment(text):
    """'12:00', '12:00:01', '31d 00:00': since midnight before the story's noon."""
    days, clock = re.fullmatch(r"(?:(\d+)d )?([\d:]+)", text).groups()
    hours, minutes, seconds = (clock.split(":") + ["0"])[:3]
    return (NOON - 12 * HOUR + int(days or 0) * 24 * HOUR + int(hours) * HOUR + int(minutes) * MINUTE
            + int(seconds) * SECOND)


def wait_text(ms):
    parts = [(ms // HOUR, "h"), (ms % HOUR // MINUTE, "m")]
    text = "".join(f"{number}{unit}" for number, unit in parts if number)
    rest = ms % MINUTE
    return text + (f"{rest // SECOND}" + (f".{rest % SECOND:03d}" if rest % SECOND else "") + "s"
                   if rest or not text else "")


def lines_text(body):
    lines = []
    for line in body["allocations"]:
        paid = "" if line["charged"] == "0" else f" for {line['charged']}"
        lines.append(f"{line['source']} {line['units']}{paid}")
    return ", ".join(lines) or "nothing"


def answer_text(answer):
    body = answer.body
    if answer.status != 200:
        return f"problem {body['code']}"
    if body["outcome"] == "deny":
        reason = body["reason"]
        wait = reason["retry_after_ms"]
        return f"deny {reason['code']}" + (f", retry in {wait_text(wait)}" if wait is not None else "")
    over = body.get("overshoot")
    return (f"{body['outcome']} {body['units']['allowed']}: {lines_text(body)}"
            + (f", overshoot {over['units']} for {over['charged']}" if over else ""))


def request_of(words):
    """METER=N, .ATTRIBUTE=VALUE, subject=PATH, min=N, status=WORD"""
    request = {"quantities": {}}
    for word in words:
        name, value = word.split("=")
        if name.startswith("."):
            request.setdefault("attributes", {})[name[1:]] = value
        elif name == "min":
            request["min_units"] = int(value)
        elif name in ("subject", "status"):
            request[name] = value
        else:
            request["quantities"][name] = int(value)
    return request


def play(server, words, held):
    verb, *rest = words
    if verb == "grant":
        customer, category, credits = rest
        Customer(server, customer).grant(credits, category)
        return "", held
    if verb == "pool":
        name, factor = rest
        assert server.put(f"/v1/pools/{name}", {"override": factor}).status == 200
        return "", held
    if verb == "balance":
        return Customer(server, rest[0]).balance()["available"], held
    if verb == "commit":
        answer = server.post(f"/v1/holds/{held}/commit", request_of(rest))
        return answer_text(answer), None
    customer, feature, *quantities = rest
    answer = server.post(f"/v1/{verb}",
                         {"customer": customer, "feature": feature} | request_of(quantities))
    if verb == "authorize" and answer.status == 200 and answer.body["outcome"] != "deny":
        held = answer.body["decision_id"]
    return answer_text(answer), held


@pytest.mark.parametrize("heading, policy, story", EXAMPLES, ids=[h for h, _, _ in EXAMPLES])
def test_the_story_is_true(heading, policy, story, fresh):
    server = fresh(policy=policy)
    held, told, now = None, [], NOON
    for line in story.splitlines():
        request, _, said = line.partition("→")
        at, request = re.fullmatch(r"((?:\d+d )?[\d:]+) +(.*?) *", request).groups()
        if moment(at) > now:
            server.advance(moment(at) - now)
            now = moment(at)
        answer, held = play(server, request.split(), held)
        told.append((line, answer, said.strip()))
    assert [answer for _, answer, _ in told] == [said for _, _, said in told], "\n".join(
        f"{line}\n    answered: {answer}" for line, answer, said in told if answer != said)


# ---- the table of keys ---------------------------------------------------------------------------

def test_the_table_has_every_key_and_no_other():
    known = set()
    for source in (ROOT / "src" / "policy").glob("*.[ch]"):
        if not source.name.endswith("_test.c"):
            known |= set(re.findall(r'\{\s*"([a-z_]+)",\s*(?:true|false)\s*\}', source.read_text()))
            for tags in re.findall(r"tags\[\w*\] = \{([^}]*)\}", source.read_text()):
                known |= set(re.findall(r'"(\w+)"', tags))
    table = TEXT[TEXT.index("## All keys"):]
    rows = [row.split("|")[1:4] for row in table.splitlines() if row.startswith("|")][2:]
    documented = set()
    for where, keys, value in rows:
        documented |= set(re.findall(r"`([a-z_]+)`", keys)) | set(re.findall(r"`\{?([a-z_]+)", value))
        documented |= set(re.findall(r"\b(credits|per)\b", value))
    assert known <= documented, known - documented
    words = {"none", "full", "actual", "refund", "debt", "customer", "subject", "cost", "true", "false",
             "promotional", "entitlement", "paid", "list", "requests"}
    assert documented <= known | words, documented - known - words

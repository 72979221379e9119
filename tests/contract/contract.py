"""The document, as a judge of requests and answers, and as a source of requests.

The schemas are JSON Schema 2020-12 and judged by python3-jsonschema; what it cannot say is in
extensions (api/openapi.yaml names them). Requests are drawn from the schemas with a seeded generator,
so that a run can be repeated by its seed.
"""

import json
import re
import urllib.parse
from datetime import datetime, timedelta, timezone
from re import _parser as patterns

import jsonschema

INSTANT = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
COMPONENT = "#/components/"


def instant_of(text):
    """Seconds, or None: no RFC 3339 time from 1970 to 9999. A leap second is the start of the next."""
    match = INSTANT.fullmatch(text)
    if not match:
        return None
    *date, second = map(int, match.groups()[:6])
    is_leap = second == 60
    try:
        moment = datetime(*date, 59 if is_leap else second, tzinfo=timezone.utc)
    except ValueError:
        return None
    offset = timedelta(0)
    if match[9]:
        if int(match[10]) > 23 or int(match[11]) > 59:
            return None
        offset = timedelta(hours=int(match[10]), minutes=int(match[11])) * (1 if match[9] == "+" else -1)
    try:
        moment += timedelta(seconds=is_leap) - offset
    except OverflowError:
        return None
    if is_leap and (moment.hour, moment.minute) != (0, 0):
        return None
    return None if moment.year < 1970 else (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds()


def _max_bytes(_validator, most, value, _schema):
    if isinstance(value, str) and len(value.encode("utf-8", "surrogatepass")) > most:
        yield jsonschema.ValidationError(f"{value!r} has more than {most} bytes")


def _pattern(_validator, pattern, value, _schema):
    # Python's $ lets a newline follow.
    if isinstance(value, str) and not re.search(pattern.replace("$", r"\Z"), value):
        yield jsonschema.ValidationError(f"{value!r} is not {pattern}")


def _integer(_checker, value):
    return isinstance(value, int) and not isinstance(value, bool)


_FORMATS = jsonschema.FormatChecker(formats=())
_FORMATS.checks("date-time")(lambda value: not isinstance(value, str) or instant_of(value) is not None)
_Judge = jsonschema.validators.extend(
    jsonschema.Draft202012Validator, {"x-max-bytes": _max_bytes, "pattern": _pattern},
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _integer))


class Operation:
    def __init__(self, document, path, method, item):
        self.document, self.path, self.method, self.item = document, path, method.upper(), item
        self.name = item["operationId"]
        self.parameters = [document.resolve(one) for one in
                           document.json["paths"][path].get("parameters", []) + item.get("parameters", [])]
        self.body = item.get("requestBody")
        self.is_open = item.get("security") == []
        self.responses = {int(status): document.resolve(one) for status, one in item["responses"].items()}

    def media(self, content_type):
        return self.document.resolve(self.body["content"][content_type]["schema"])


class Document:
    def __init__(self, text):
        self.json = text
        self.resolver = jsonschema.RefResolver("", text)
        self.operations = [Operation(self, path, method, item)
                           for path, entry in text["paths"].items()
                           for method, item in entry.items() if method in ("get", "put", "post")]
        self._judges = {}

    def resolve(self, part):
        while isinstance(part, dict) and "$ref" in part:
            reference = part["$ref"]
            assert reference.startswith(COMPONENT), reference
            part = self.json["components"]
            for step in reference[len(COMPONENT):].split("/"):
                part = part[step]
        return part

    def faults(self, schema, value):
        """What is wrong with the value, in words; empty: nothing."""
        key = json.dumps(schema, sort_keys=True)
        if key not in self._judges:
            self._judges[key] = _Judge(schema, resolver=self.resolver, format_checker=_FORMATS)
        return [f"{'/'.join(map(str, one.absolute_path))}: {one.message[:300]}"
                for one in self._judges[key].iter_errors(value)]

    def schema(self, name):
        return self.json["components"]["schemas"][name]

    def judge_answer(self, operation, answer, method=None):
        """Raises unless the answer is exactly as documented; `operation` None: of no path."""
        status = answer.status
        if operation is None or status == 405:
            told = self.json["components"]["responses"]["NoMethod" if status == 405 else "NotFound"]
        else:
            assert status in operation.responses, f"{status} is not documented"
            told = operation.responses[status]
        headers = {name.lower(): self.resolve(one) for name, one in told.get("headers", {}).items()}
        for name, header in headers.items():
            value = answer.headers.get(name)
            assert value is not None or not header.get("required"), f"no header {name}"
            if value is not None:
                assert not self.faults(header["schema"], value), f"{name}: {value}"
        more = {name.lower() for name in answer.headers} - set(headers) - {
            "date", "connection", "content-length", "content-type", "transfer-encoding"}
        assert not more, f"undocumented header fields: {more}"
        self.judge_body(told.get("content"), answer, method)

    def judge_body(self, content, answer, method):
        if method == "HEAD" or not content:
            assert answer.raw == b"", answer.raw
            return
        kind = answer.content_type.split(";")[0].strip()
        assert kind in content, f"{kind!r} is not documented: {sorted(content)}"
        schema = content[kind].get("schema", {})
        if kind == "application/x-ndjson":
            for line in answer.raw.decode().splitlines():
                assert not self.faults(schema, json.loads(line)), (line, self.faults(schema, json.loads(line)))
        elif kind.endswith("json"):
            faults = self.faults(schema, json.loads(answer.raw))
            assert not faults, "\n".join(faults)
            if kind == "application/problem+json":
                problem = json.loads(answer.raw)
                assert problem["status"] == answer.status
                assert problem["type"] == f"/problems/{problem['code']}"
                assert problem["request_id"] == answer.headers["X-Request-Id"]
        else:
            answer.raw.decode()


# ---- values that a schema allows

class Maker:
    """Draws values. `pools` says what names mean something: a field's or parameter's name, or the
    component's, or a query's ("?limit"), to a list or a function; most draws take one of those."""

    def __init__(self, document, random, pools):
        self.document, self.random, self.pools = document, random, pools

    def value(self, schema, name=None):
        if isinstance(schema, dict) and "$ref" in schema:
            component = schema["$ref"].rsplit("/", 1)[1]
            return self.value(self.document.resolve(schema), name if name in self.pools else component)
        pool = self.pools.get(name)
        if pool is not None and self.random.random() < 0.9:
            choices = pool() if callable(pool) else pool
            if choices:
                return self.random.choice(choices)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        if schema.get("type") == "object":
            return self.object(schema)
        if "oneOf" in schema:
            return self.value(self.random.choice(schema["oneOf"]), name)
        return getattr(self, "make_" + schema["type"])(schema)

    def make_null(self, _schema):
        return None

    def make_boolean(self, _schema):
        return self.random.random() < 0.5

    def make_integer(self, schema):
        least, most = schema["minimum"], schema["maximum"]
        choices = [least, most, self.random.randint(least, most), min(most, max(least, self.random.randint(0, 5)))]
        return self.random.choice(choices + 4 * choices[-1:])

    def make_array(self, schema, name=None):
        count = self.random.randint(schema.get("minItems", 0), min(schema.get("maxItems", 4), 4))
        items = [self.value(schema["items"], name) for _ in range(count)]
        if schema.get("uniqueItems"):
            items = [one for at, one in enumerate(items) if one not in items[:at]]
        return items

    def object(self, schema):
        if "oneOf" in schema and "properties" in schema:   # which members go together
            choice = self.random.choice(schema["oneOf"])
            needed = list(choice["required"])
            barred = [name for name, rule in choice["properties"].items() if rule is False]
            fixed = {name: rule["const"] for name, rule in choice["properties"].items()
                     if isinstance(rule, dict) and "const" in rule}
        else:
            needed, barred, fixed = schema.get("required", []), [], {}
        made = {}
        for name, rule in schema.get("properties", {}).items():
            if name in barred or (name not in needed and self.random.random() < 0.6):
                continue
            made[name] = fixed[name] if name in fixed else self.value(rule, name)
        if isinstance(schema.get("additionalProperties"), dict):
            for _ in range(self.random.randint(0, min(4, schema.get("maxProperties", 4)))):
                key = self.value(schema["propertyNames"])
                made[key] = self.value(schema["additionalProperties"], key)
        return made

    def make_string(self, schema):
        for _ in range(200):
            if schema.get("format") == "date-time":
                text = (datetime(2026, 5, 1, tzinfo=timezone.utc) + timedelta(
                    milliseconds=self.random.randint(-10**11, 10**11))).isoformat(
                        timespec=self.random.choice(["milliseconds", "microseconds"]))
                text = text.replace("+00:00", self.random.choice(["Z", "Z", "z", "456Z", "+00:00"]))
            elif "pattern" in schema:
                text = self.matching(patterns.parse(schema["pattern"].strip("^$")))
            else:
                text = self.letters(self.random.randint(0, 8))
            if not self.document.faults(schema, text):
                return text
        raise AssertionError(f"no string for {schema}")

    def letters(self, count):
        alphabet = "abcxyz019-_. /é漢😀\"\\%+&=#?'<>"
        return "".join(self.random.choice(alphabet) for _ in range(count))

    def matching(self, tree):
        text = ""
        for kind, detail in tree:
            word = str(kind)
            if word == "LITERAL":
                text += chr(detail)
            elif word == "IN":
                text += self.one_of(detail)
            elif word in ("MAX_REPEAT", "MIN_REPEAT"):
                least, most, inner = detail
                times = self.random.randint(least, min(int(most), least + 6))
                text += "".join(self.matching(inner) for _ in range(times))
            elif word == "SUBPATTERN":
                text += self.matching(detail[3])
            elif word == "BRANCH":
                text += self.matching(self.random.choice(detail[1]))
            elif word == "NOT_LITERAL":
                text += self.letters(1)
            elif word not in ("AT", "ASSERT", "ASSERT_NOT"):
                raise AssertionError(f"cannot draw from {kind}")
        return text

    def one_of(self, members):
        if str(members[0][0]) == "NEGATE":
            return self.letters(1)
        kind, detail = self.random.choice(members)
        return chr(detail if str(kind) == "LITERAL" else self.random.randint(*detail))


# ---- requests

class Request:
    def __init__(self, operation):
        self.operation, self.method = operation, operation.method
        self.path, self.query, self.headers = {}, [], {}
        self.content_type = self.value = self.raw = None

    def target(self):
        path = self.operation.path
        for name, value in self.path.items():
            path = path.replace("{%s}" % name, urllib.parse.quote(value, safe=""))
        query = "&".join(f"{name}={urllib.parse.quote(value, safe='')}" for name, value in self.query)
        return path + ("?" + query if query else "")

    def bytes(self):
        if self.raw is not None or self.value is None:
            return self.raw
        if isinstance(self.value, str):
            return self.value.encode()
        return json.dumps(self.value, ensure_ascii=False).encode()

    def send(self, client):
        return client.request(self.method, self.target(), raw=self.bytes(), headers=self.headers,
                              content_type=self.content_type)

    def __str__(self):
        return f"{self.method} {self.target()} {self.headers} {self.content_type} {self.bytes()!r}"


def draw_request(operation, maker):
    """A request that the document allows."""
    request = Request(operation)
    for parameter in operation.parameters:
        if not parameter.get("required") and maker.random.random() < 0.7:
            continue
        where = "?" if parameter["in"] == "query" else ""
        value = maker.value(parameter["schema"], where + parameter["name"])
        if isinstance(value, list):
            value = ",".join(dict.fromkeys(value) if parameter.get("x-distinct") else value)
        if parameter["in"] == "path":
            request.path[parameter["name"]] = value
        elif parameter["in"] == "query":
            request.query.append((parameter["name"], str(value)))
        else:
            request.headers[parameter["name"]] = value
    if operation.body and (operation.body["required"] or maker.random.random() < 0.5):
        request.content_type = maker.random.choice(sorted(operation.body["content"]))
        request.value = maker.value(operation.media(request.content_type), request.content_type)
    key = request.headers.get("Idempotency-Key")
    if key is not None:
        # In a header it is bytes; in the body it must be the same; lists have their own.
        if not isinstance(request.value, dict) or "specversion" in request.value or not key.isascii() or key != key.strip():
            del request.headers["Idempotency-Key"]
        elif "idempotency_key" in request.value:
            request.value["idempotency_key"] = key
    return request

"""One place of a valid request made wrong. Each mutation says which field the problem must name."""

import json

from contract import Request

OTHERS = {"string": [7, True, None, [], {}], "integer": ["7", True, None, [], {}, 1.5],
          "boolean": ["true", 1, None, [], {}], "object": ["x", 7, True, None, []],
          "array": ["x", 7, True, None, {}], "null": []}


class Mutation:
    def __init__(self, request, fields, statuses, what):
        self.request, self.fields, self.statuses, self.what = request, fields, statuses, what


def copy_of(request):
    other = Request(request.operation)
    other.method, other.content_type, other.raw = request.method, request.content_type, request.raw
    other.path, other.query, other.headers = dict(request.path), list(request.query), dict(request.headers)
    other.value = json.loads(json.dumps(request.value))
    return other


# ---- within a body

def places(document, schema, value, path=()):
    """(path, schema) of every place of the value, itself first."""
    schema = document.resolve(schema)
    if "oneOf" in schema and "properties" not in schema:
        schema = next((document.resolve(one) for one in schema["oneOf"]
                       if not document.faults(one, value)), schema)
    yield path, schema
    if isinstance(value, dict):
        for name, part in value.items():
            rule = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if isinstance(rule, dict):
                yield from places(document, rule, part, path + (name,))
    elif isinstance(value, list):
        for at, part in enumerate(value):
            yield from places(document, schema["items"], part, path + (at,))


def field_of(path):
    """As problems name it."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def put(value, path, part):
    if not path:
        return part
    inner = value
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = part
    return value


def at(value, path):
    for step in path:
        value = value[step]
    return value


def wrong_values(random, schema):
    """Values that the schema does not allow, one of a kind."""
    if "const" in schema or "enum" in schema:
        yield "no-such-word"
        yield ""
        return
    types = [one["type"] for one in schema["oneOf"]] if "oneOf" in schema and "type" not in schema and all(
        "type" in one for one in schema["oneOf"]) else None
    kind = schema.get("type")
    if types is None and isinstance(kind, str) and OTHERS[kind]:
        yield random.choice(OTHERS[kind])
    if kind == "integer":
        yield from (schema["minimum"] - 1, schema["maximum"] + 1, 2**53, 2**64, -2**63, 0.5)
    if kind == "string":
        if schema.get("minLength"):
            yield ""
        if "maxLength" in schema:
            yield "x" * (schema["maxLength"] + 1)
        if "x-max-bytes" in schema:
            yield "é" * (schema["x-max-bytes"] // 2 + 1)
        if "\\x00" in schema.get("pattern", ""):
            yield "a\0b"
        if "\\x1f" in schema.get("pattern", ""):
            yield random.choice(["a\nb", "a\x7fb", "\t"])
        if schema.get("format") == "date-time":
            yield from ("2026-02-30T00:00:00Z", "2026-05-01", "2026-05-01 00:00:00Z", "2026-05-01T00:00:00",
                        "1969-12-31T23:59:59Z", "2026-05-01T24:00:00Z", "2026-13-01T00:00:00Z", "2026-05-01T12:00:60Z",
                        "2026-05-01T12:00:00.Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:60Z")
        if "[0-9]{1,7}" in schema.get("pattern", ""):
            yield from ("-1", "1e3", ".5", "1.", "+1", "0.0000000001", " 1", "0", "1,5")


def wrong_bodies(document, random, request):
    """Of a JSON body: (value, field, what)."""
    schema = document.resolve(request.operation.media(request.content_type))
    for path, rule in places(document, schema, request.value):
        found = at(request.value, path)
        if rule.get("type") == "object" and rule.get("additionalProperties") is False:
            name = random.choice(["furlongs", "Customer", "quantity", "x", "naïve"])
            yield put(copy(request.value), path, {**found, name: 1}), field_of(path + (name,)), "unknown field"
        if rule.get("type") == "object":
            for name in rule.get("required", []):
                left = {key: part for key, part in found.items() if key != name}
                yield put(copy(request.value), path, left), field_of(path + (name,)), "missing field"
            most = rule.get("maxProperties")
            if most and not path == () and isinstance(rule.get("additionalProperties"), dict):
                many = {**found, **{f"n{i}": next(iter(found.values()), 1) for i in range(most + 1)}}
                yield put(copy(request.value), path, many), field_of(path) + ".*", "too many members"
        if rule.get("type") == "array" and rule.get("minItems"):
            yield put(copy(request.value), path, []), field_of(path), "empty list"
        for wrong in wrong_values(random, rule):
            if document.faults(rule, wrong):
                yield put(copy(request.value), path, wrong), field_of(path) or "body", f"{wrong!r:.60}"


def copy(value):
    return json.loads(json.dumps(value))


def broken_texts(random, request):
    """JSON that is none, in bytes: (bytes, what)."""
    text = request.bytes()
    cut = random.randrange(len(text)) if text else 0
    yield text[:cut], "cut short"
    yield text + b" {}", "something behind it"
    yield b"\xef\xbb\xbf" + text, "a byte order mark"
    yield text.replace(b'"', b"'"), "single quotes"
    yield text[:-1] + b',"x":"\xff\xfe"}', "no UTF-8"
    yield text[:-1] + b',"x":"\\ud800"}', "a lone surrogate"
    yield b"[" * 40 + b"]" * 40, "too deep"
    yield text[:-1] + b',"x":NaN}', "NaN"
    yield b"null", "null"
    yield b'"text"', "a string"


# ---- the whole request

def of_body(document, random, request):
    if request.value is None or not request.content_type.endswith("json"):
        return
    schema = request.operation.media(request.content_type)
    within = "[" if isinstance(request.value, list) else "operations["
    for value, field, what in wrong_bodies(document, random, request):
        if field.startswith(within) and field != within:
            continue        # told in its own result: see the test of batches
        if not document.faults(schema, value):
            continue        # allowed in another way
        other = copy_of(request)
        other.value = value
        if not isinstance(value, (dict, list)):
            other.raw = json.dumps(value).encode()
        # What a header says besides is another place.
        other.headers.pop("Idempotency-Key", None)
        # Of fields that exclude each other, none is missing more than another.
        fields = {field, "now"} if request.operation.name == "move_clock" else {field}
        if value == {}:
            fields.add("customer")      # an object where a list was: the other form of usage
        yield Mutation(other, fields, {400, 422}, what)
    if not isinstance(request.value, dict) or not request.value:
        return
    name = random.choice(list(request.value))
    other = copy_of(request)
    other.raw = request.bytes()[:-1] + b"," + json.dumps({name: request.value[name]}).encode()[1:]
    yield Mutation(other, {name}, {400}, "twice the same field")
    for raw, what in broken_texts(random, request):
        other = copy_of(request)
        other.raw = raw
        other.headers.pop("Idempotency-Key", None)
        yield Mutation(other, None, {400, 413}, what)


def of_head(random, request):
    if request.bytes():
        for kind in ("text/xml", "application/json; charset=utf-16", "multipart/form-data", "json"):
            if request.operation.name == "put_policy" and kind.startswith("text/"):
                continue
            other = copy_of(request)
            other.content_type = kind
            yield Mutation(other, {"Content-Type"}, {415}, kind)
        other = copy_of(request)
        other.headers["Content-Encoding"] = random.choice(["gzip", "br", "identity, gzip"])
        yield Mutation(other, {"Content-Encoding"}, {415}, "an encoding")
    if any(one["name"] == "Idempotency-Key" for one in request.operation.parameters) and isinstance(
            request.value, dict) and "specversion" not in request.value:
        other = copy_of(request)
        other.headers["Idempotency-Key"] = "k" * 257
        other.value.pop("idempotency_key", None)
        yield Mutation(other, {"idempotency_key"}, {422}, "too long a key")


def of_target(document, random, request):
    operation = request.operation
    for parameter in operation.parameters:
        schema = document.resolve(parameter["schema"])
        name = parameter["name"]
        if parameter["in"] == "path":
            if name == "customer":
                wrong = ["a\0b", "x" * 257, "a\nb", "\x7f"]
            elif name == "code":
                continue
            else:
                wrong = ["d", "x_0000000000c81", "d_0000000000C81", "d_00000000000c81", "d_z000000000c81", "é"]
            for value in wrong:
                other = copy_of(request)
                other.path[name] = value
                yield Mutation(other, {name}, {404, 422}, f"path {value!r:.40}")
        elif parameter["in"] == "query":
            wrong = ["0", "1001", "x", "-1", ""] if schema.get("type") == "integer" else (
                ["nothing"] if "enum" in schema else ["customer,nothing", "customer,customer", ""]
                if schema.get("type") == "array" else list(wrong_values(random, schema)))
            for value in wrong:
                if not isinstance(value, str) or (value == "" and parameter.get("allowEmptyValue")) or (schema.get("type") == "string" and not document.faults(schema, value)):
                    continue
                other = copy_of(request)
                other.query = [one for one in other.query if one[0] != name] + [(name, value)]
                yield Mutation(other, {name}, {400, 422}, f"{name}={value!r:.40}")
            value = dict(request.query).get(name)
            if value is not None:
                other = copy_of(request)
                other.query.append((name, value))
                yield Mutation(other, {name, "query"}, {400}, f"{name} twice")
    other = copy_of(request)
    other.query.append((random.choice(["furlongs", "Limit", "%"]), "1"))
    yield Mutation(other, {"query"}, {400}, "unknown parameter")


def mutations(document, random, request):
    yield from of_body(document, random, request)
    yield from of_head(random, request)
    yield from of_target(document, random, request)

#!/usr/bin/env python3
"""What the server carries of its documents, as C: api/openapi.yaml as JSON, and of docs/API.md the
section of each problem, which is what the `type` of a problem points to.

usage: embed.py openapi.yaml API.md OUTPUT.c
"""
import hashlib
import json
import re
import sys
from pathlib import Path

import yaml

HEADING = re.compile(r"^#### `([a-z_]+)`.*$", re.MULTILINE)


def literal(data):
    """Any bytes as a C array: strings of this length are beyond what C promises."""
    return "{\n" + "\n".join("    " + "".join(f"{byte}," for byte in data[start:start + 32])
                            for start in range(0, len(data), 32)) + "\n}"


def sections(text):
    """(code, section) of every heading of a problem; a section ends at the next heading."""
    for heading in HEADING.finditer(text):
        rest = text[heading.end():]
        following = re.search(r"^#", rest, re.MULTILINE)
        body = rest[:following.start()] if following else rest
        yield heading[1], f"# {heading[1]}\n\n{body.strip()}\n"


def main(openapi, guide, output):
    document = {name: part for name, part in yaml.safe_load(Path(openapi).read_text()).items()
                if not name.startswith("x-")}
    served = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    pages = [(code, page.encode()) for code, page in sections(Path(guide).read_text())]
    texts = "\n".join(f"static const uint8_t {code}[] = {literal(page)};" for code, page in pages)
    rows = "\n".join(f'    {{"{code}", {{{code}, sizeof({code})}}}},' for code, _ in pages)
    Path(output).write_text(f"""/* Made by api/embed.py. */
#include "server/documents.h"

static const uint8_t openapi[] = {literal(served)};
{texts}

const struct bytes document_openapi = {{openapi, sizeof(openapi)}};
const char document_openapi_tag[] = "\\"{hashlib.sha256(served).hexdigest()[:32]}\\"";

const struct document_page document_pages[] = {{
{rows}
    {{NULL, {{NULL, 0}}}},
}};
""")


if __name__ == "__main__":
    main(*sys.argv[1:])

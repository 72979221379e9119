#!/usr/bin/env python3
"""Purity of src/base and src/engine, asked of the linker: what do they need, and what do they keep?

usage: purity.py BUILD_DIRECTORY

They may need nothing of the C library but mem* and the assertion handler, and may keep nothing: no
variable outside the state that callers pass in. Exits 1 and names each offending symbol.
"""
import subprocess
import sys
from pathlib import Path

ALLOWED_UNDEFINED = {
    "memcpy": "mem*",
    "memmove": "mem*",
    "memset": "mem*",
    "memcmp": "mem*",
    "assertion_failed": "the one way out, given by the program",
    "__udivti3": "libgcc: division of unsigned __int128",
    "__umodti3": "libgcc: remainder of unsigned __int128",
    "__udivmodti4": "libgcc: both at once",
    "__divti3": "libgcc: division of __int128",
    "__modti3": "libgcc: remainder of __int128",
    "__stack_chk_fail": "the compiler's stack protector, where the distribution turns it on",
    "_GLOBAL_OFFSET_TABLE_": "position-independent code",
}

# .data.rel.ro is constant after relocation: tables of pointers to names.
WRITABLE_SECTIONS = (".data", ".bss", ".tdata", ".tbss", "*COM*")
CONSTANT_SECTIONS = (".data.rel.ro",)


def symbols(archive):
    """(name, section or '' when undefined, object) for every symbol of every object."""
    listing = subprocess.run(["nm", "--format=sysv", str(archive)], capture_output=True, text=True,
                             check=True).stdout
    member = archive.name
    for line in listing.splitlines():
        if line.startswith(("Symbols from ", "Undefined symbols from ")):
            member = line.rstrip(":").split("[")[-1].rstrip("]:")
            continue
        fields = [field.strip() for field in line.split("|")]
        if len(fields) != 7 or fields[0] == "Name":
            continue
        name, kind, section = fields[0], fields[2], fields[6]
        yield name, "" if section == "*UND*" or kind == "U" else section, member


def is_writable(section):
    return section.startswith(WRITABLE_SECTIONS) and not section.startswith(CONSTANT_SECTIONS)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build = Path(sys.argv[1])
    defined = set()
    problems = []
    for library in ("base", "engine"):
        archive = build / "src" / library / f"lib{library}.a"
        if not archive.exists():
            problems.append(f"{archive}: missing")
            continue
        found = list(symbols(archive))
        if not found:
            problems.append(f"{archive}: no symbols at all")
        defined |= {name for name, section, _ in found if section}
        for name, section, member in found:
            if not section and name not in defined and name not in ALLOWED_UNDEFINED:
                problems.append(f"{library}: {member} needs {name}")
            if section and is_writable(section):
                problems.append(f"{library}: {member} keeps a variable: {name} in {section}")
    for problem in sorted(set(problems)):
        print(problem)
    if problems:
        sys.exit(1)
    print("base and engine need only mem* and assertion_failed, and keep nothing")


if __name__ == "__main__":
    main()

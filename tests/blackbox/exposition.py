"""GET /metrics as tests look at it: Prometheus's text format, and what docs/METRICS.md promises."""

import pathlib
import re

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "METRICS.md"
SAMPLE = re.compile(r'([a-z_]+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)",?')


def read(text):
    """Families: name to (type, help), and samples: (name, labels) to the number."""
    families, samples = {}, {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, told = line[7:].split(" ", 1)
            assert name not in families, f"{name} twice"
            families[name] = [None, told]
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert families[name][0] is None
            families[name][0] = kind
        else:
            name, labels, value = SAMPLE.fullmatch(line).groups()
            key = (name, tuple(sorted(LABEL.findall(labels or ""))))
            assert key not in samples, f"{line} twice"
            samples[key] = float(value)
    return families, samples


def scrape(server):
    answer = server.get("/metrics")
    assert answer.status == 200
    return read(answer.raw.decode())


def one(samples, name, **labels):
    return samples.get((name, tuple(sorted(labels.items()))), 0.0)


def total(samples, name, **labels):
    wanted = set(labels.items())
    return sum(value for (found, of), value in samples.items() if found == name and wanted <= set(of))


def family_of(name, families):
    if name in families:
        return name
    return re.sub(r"_(bucket|sum|count)$", "", name)


def documented():
    """docs/METRICS.md's tables: name to (type, labels)."""
    rows = {}
    for line in DOCUMENT.read_text().splitlines():
        match = re.match(r"\| `([a-z_]+)` \| (\w+) \|([^|]*)\|", line)
        if match:
            assert match[1] not in rows, f"{match[1]} twice"
            rows[match[1]] = (match[2], frozenset(re.findall(r"`([a-z_]+)`", match[3])))
    return rows

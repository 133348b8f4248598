"""The tables of the page "How fast it is", from what the benchmarks wrote.

``{{ benchmarks: cpu }}`` becomes the tables of `benchmarks/results/cpu-*.json`, ``{{ benchmarks:
gpu }}`` those of all other files there, which `make gpu` names by the card.
"""

import json
import re
from pathlib import Path

PLACEHOLDER = re.compile(r"\{\{ *benchmarks: *(cpu|gpu) *\}\}")
MISSING = {
    "cpu": "*No benchmark of a processor is recorded.*",
    "gpu": "*No card has run it yet.*",
}


def fill_benchmarks(text: str, results: Path) -> str:
    """``text`` with the tables for its placeholders, or a sentence that there is none."""
    return PLACEHOLDER.sub(lambda match: _tables(match[1], results), text)


def _tables(kind: str, results: Path) -> str:
    paths = sorted(results.glob("*.json"))
    chosen = [path for path in paths if path.name.startswith("cpu-") == (kind == "cpu")]
    return "\n\n".join(_table(path) for path in chosen) or MISSING[kind]


def _table(path: Path) -> str:
    content = json.loads(path.read_text("utf-8"))
    where = content["measured_on"] | content.get("origin", {})
    named = ("card", "processor", "cores", "load", "date", "torch", "python", "commit")
    about = ", ".join(f"{name} {where[name]}" for name in named if where.get(name))
    rows = [f"| {row['what']} | {_number(row)} |" for row in content["results"]]
    title = path.stem.partition("-")[2] if path.stem.startswith("cpu-") else path.stem
    return "\n".join([f"**{title}** ({about})", "", "| measured | |", "| --- | ---: |", *rows])


def _number(row: dict) -> str:
    places = 2 if abs(row["number"]) >= 1 else 4
    return f"{row['number']:,.{places}f} {row['unit']}".rstrip()

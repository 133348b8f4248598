"""The tables of the page "How fast it is", from what the benchmarks wrote.

``{{ benchmarks: cpu }}`` becomes what `book/how_fast.yml` chooses of `cpu-*.json` in the folder
`benchmarks/results`, ``{{ benchmarks: gpu }}`` all rows of the other files there, which `make gpu`
names by the card.
"""

import json
import re
from itertools import groupby
from pathlib import Path

import yaml

PLACEHOLDER = re.compile(r"\{\{ *benchmarks: *(cpu|gpu) *\}\}")
NOTHING = {
    "cpu": "*No benchmark of a processor is recorded.*",
    "gpu": "*No card has run it yet.*",
}


def fill_benchmarks(text: str, root: Path) -> str:
    """``text`` with the tables for its placeholders, or a sentence that there is none.

    Raises ValueError where a chosen row is in no file.
    """
    tables = {"cpu": _of_processor, "gpu": _of_cards}
    return PLACEHOLDER.sub(lambda match: tables[match[1]](root) or NOTHING[match[1]], text)


def _of_processor(root: Path) -> str:
    paths = sorted((root / "benchmarks/results").glob("cpu-*.json"))
    parts = {path.stem.removeprefix("cpu-"): json.loads(path.read_text("utf-8")) for path in paths}
    chosen = yaml.safe_load((root / "book/how_fast.yml").read_text("utf-8"))
    lines = [_line(row, parts[row["part"]]["results"]) for row in chosen if row["part"] in parts]
    if not lines:
        return ""
    head = ["| What | Here | At most | A peer |", "| --- | ---: | ---: | --- |"]
    return "\n".join([*head, *lines, "", *_machines(parts)])


def _line(row: dict, results: list[dict]) -> str:
    """A chosen row as one of the table's."""
    here, peer = _named(row["here"], results, row["part"]), ""
    if "peer" in row:
        peer = f"{_number(_named(row['peer'], results, row['part']))}, {row['called']}"
    limit = _number(here | {"number": here["limit"]}) if "limit" in here else ""
    return f"| {row['what']} | {_number(here)} | {limit} | {peer} |"


def _named(name: str, results: list[dict], part: str) -> dict:
    for result in results:
        if result["what"] == name:
            return result
    known = "; ".join(result["what"] for result in results)
    raise ValueError(
        f"book/how_fast.yml: benchmarks/results/cpu-{part}.json has no row {name!r}. "
        f"It has: {known}."
    )


def _machines(parts: dict[str, dict]) -> list[str]:
    """One line for each machine: what it is, and when and how busy it measured what."""
    measured: dict[str, list[str]] = {}
    for part, content in parts.items():
        on = content["measured_on"]
        machine = f"{on['processor']}, {on['cores']} cores, {on['memory']}, Python {on['python']}"
        measured.setdefault(machine, []).append(f"{part} {on['date']} (load {on['load']})")
    return [f"{machine}: {'; '.join(when)}." for machine, when in measured.items()]


def _of_cards(root: Path) -> str:
    paths = sorted((root / "benchmarks/results").glob("*.json"))
    contents = [json.loads(p.read_text("utf-8")) for p in paths if not p.name.startswith("cpu-")]
    contents.sort(key=_origin)
    return "\n\n".join(_card(about, list(group)) for about, group in groupby(contents, _origin))


def _origin(content: dict) -> str:
    """By what measurements belong together."""
    origin = content["origin"]
    return f"{origin['card']}, PyTorch {origin['torch']}, Python {origin['python']}"


def _card(about: str, contents: list[dict]) -> str:
    dates = sorted({content["origin"]["date"] for content in contents})
    lines = [
        f"| {content['origin']['part']} | {row['what']} | {_number(row)} |"
        for content in contents
        for row in content["results"]
    ]
    head = ["| Part | What | Here |", "| --- | --- | ---: |"]
    return "\n".join([*head, *lines, "", f"{about}: {', '.join(dates)}."])


def _number(row: dict) -> str:
    """With three digits, and its unit."""
    number, unit = float(f"{row['number']:.3g}"), row["unit"]
    return f"{number:,.10g} {unit}".rstrip()

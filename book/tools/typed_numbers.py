"""Find numbers in the notebooks' text that look like results: whatever a run computes comes from a
cell.

A decimal number or a percentage may stand in running text where it is

- in a formula, where numbers worked out by hand belong, or in code;
- in a paragraph, list item or table that speaks of the thesis or cites a work: it is theirs;
- in the question of an exercise, which sets its own numbers;
- a setting: the number stands in the notebook's own code or in a profile, too;
- the number of a section, table, figure, equation or exercise, or the 95 % of every interval.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from myst import KEPT

NUMBER = re.compile(
    r"(?<![\w.])(?P<percent>\d+(?:\.\d+)?) ?%|(?<![\w.])(?P<decimal>\d+\.\d+)(?![\w.]*\d)"
)
LITERAL = re.compile(r"(?<![\w.])\d*\.?\d+(?:e-?\d+)?(?![\w.])")
NOT_PROSE = re.compile(rf"{KEPT}|^#.*?$|\]\([^)]*\)", re.MULTILINE | re.DOTALL)
QUESTION = re.compile(
    r"^\*\((?:Recall|Compute|Explore)\.\)\*.*?(?=<details>|\Z)", re.MULTILINE | re.DOTALL
)
IN_THE_THESIS = re.compile(r"^> \*\*In the thesis\.\*\*.*(?:\n>.*)*", re.MULTILINE)
BLOCK_END = re.compile(r"\n>? *\n|\n>? *(?=- |\d\. )")
OF_OTHERS = re.compile(r"\bthesis|\[@|\bet al\.", re.IGNORECASE)
COUNTED = re.compile(
    r"(?:\b(?:chapter|section|table|figure|equation|exercise|T)s?|CC BY-SA|\[) ?$", re.IGNORECASE
)
LEVEL = 0.95  # of every interval in this book
PROFILES = Path(__file__).resolve().parents[2] / "ood_lib/profiles"


def find_typed_numbers(text: str, code: str) -> Iterator[str]:
    """One problem for each number in the Markdown ``text`` of a notebook with ``code`` that looks
    like a result."""
    settings = literals(code) | profile_literals() | {LEVEL}
    for number, place in unexcused_numbers(text):
        value = float(number["percent"] or number["decimal"]) / (100 if number["percent"] else 1)
        if not any(abs(value - setting) < 1e-9 for setting in settings):
            yield (
                f"types the number {number[0]} in '...{place}...': let a cell display what a run "
                "computes, write what is worked out by hand as a formula, and name the thesis "
                "where it is the thesis's"
            )


def unexcused_numbers(text: str) -> Iterator[tuple[re.Match[str], str]]:
    """The numbers that only being a setting can excuse, each with the words around it."""
    for pattern, filler in ((NOT_PROSE, "¤"), (IN_THE_THESIS, ""), (QUESTION, "")):
        text = pattern.sub(filler, text)
    for block in BLOCK_END.split(text):
        block = " ".join(block.split())
        if OF_OTHERS.search(block):
            continue
        for number in NUMBER.finditer(block):
            if not COUNTED.search(block[: number.start()]):
                yield number, block[max(0, number.start() - 30) : number.end() + 30]


def literals(code: str) -> set[float]:
    """All numbers that are written in ``code``."""
    return set(map(float, LITERAL.findall(code)))


@cache
def profile_literals() -> frozenset[float]:
    """All numbers of the library's profiles."""
    return frozenset(
        literals("\n".join(path.read_text("utf-8") for path in sorted(PROFILES.glob("*.yml"))))
    )

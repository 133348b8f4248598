"""The book's scoreboard: each claim beside what was found, for a notebook and its page.

It needs nothing but the page it is on. Where a script runs, buttons choose what is shown.
"""

from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML
from jinja2 import Template

from ood_lib.claims import Claims, Question

VERDICTS = ("holds", "does not hold", "not shown", "not decided", "not measured")
"""In the order of the buttons; the last is for a claim whose finding is missing."""
_PAGE = Path(__file__).with_name("scoreboard.html")
_ENDS = ["value", "low", "high"]


def scoreboard(book: Claims, judged: pd.DataFrame, findings: pd.DataFrame) -> HTML:
    """All claims and questions, by the groups of the book.

    ``judged`` has a row for each, by the name of its finding: ``verdict``, one of `VERDICTS`;
    ``value``, ``low`` and ``high``, NaN where it is not measured; ``n`` and ``chance``, over what
    the interval is; ``corrected``, p or NaN. ``findings``, of `ood_lib.notebook.read_findings`, are
    asked for what trivial baselines reach.
    """
    entries = [*book.claims, *book.questions]
    rows = [_row(entry, judged.loc[entry.finding], findings) for entry in entries]
    groups = {question: [row for row in rows if row["entry"].group == name]
              for name, question in book.groups.items()}
    page = Template(_PAGE.read_text(encoding="utf-8"), autoescape=True, trim_blocks=True)
    lacking = any(row["number"] is None for row in rows)
    return HTML(page.render(groups=groups, verdicts=VERDICTS if lacking else VERDICTS[:-1]))


def _row(entry: Question, judged: pd.Series, findings: pd.DataFrame) -> dict[str, Any]:
    is_found, p = not pd.isna(judged["value"]), judged["corrected"]
    over = judged["n"] or judged["chance"]
    if judged["n"] and judged["chance"].endswith("of one network"):
        over += " of one network"
    parts = {how: getattr(entry.baseline, how, None) for how in ("alone", "beyond")}
    beside = {how: _number(findings.loc[name], signed=how == "beyond")
              for how, name in parts.items() if name in findings.index}
    return {
        "entry": entry, "beside": beside, "over": over, "asked": _asked(entry),
        "verdict": judged["verdict"], "sign": VERDICTS.index(judged["verdict"]),
        "number": _number(judged, entry.signed) if is_found else None,
        "bar": _bar(entry, judged) if is_found else None,
        "p": None if pd.isna(p) else "p < 0.001" if p < 0.001 else f"p = {p:.2g}",
        "where": f"chapter {entry.found_in[:2].lstrip('0')}: {entry.place.replace('-', ' ')}",
    }


def _number(found: pd.Series, signed: bool) -> list[str]:
    """Value, low and high as they are read."""
    digits, sign = (3 if abs(found["value"]) < 2 else 1), "+" if signed else ""
    return [f"{found[end]:{sign}.{digits}f}".replace("-", "−") for end in _ENDS]


def _asked(entry: Question) -> str:
    """Where the interval must lie, in words."""
    ends = {"above": entry.above, "below": entry.below}
    known = [f"{word} {end:g}".replace("-", "−") for word, end in ends.items() if isfinite(end)]
    return " and ".join(known)


def _bar(entry: Question, found: pd.Series) -> dict[str, Any]:
    """Where everything lies on a line, in per cent of its length."""
    bounds = [end for end in (entry.above, entry.below) if isfinite(end)]
    theirs = getattr(entry, "in_thesis", None)
    shown = [*found[_ENDS], *bounds, *([] if theirs is None else [theirs])]
    start, reach = min(shown), max(max(shown) - min(shown), 1e-9)

    def at(x: float) -> float:
        return round(min(max(8 + 84 * (x - start) / reach, 0), 100), 2)

    return {"from": at(entry.above), "to": at(entry.below),
            "bounds": [(at(end), f"{end:g}".replace("-", "−")) for end in bounds],
            "thesis": None if theirs is None else at(theirs), **{e: at(found[e]) for e in _ENDS}}

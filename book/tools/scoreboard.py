"""What the last chapter found, for the book's other pages: a card at the top of later chapters, and
numbers in text.

Chapter 13 judges every claim by the findings of all chapters, so its executed notebook is the one
place that knows them all; it keeps them beside the sentence that counts them, and with them the
findings to which no claim speaks, "measured" in place of a verdict. In a page, ``{{ finding: AUPRC
gain }}`` becomes the finding of that name with its interval, ``{{ verdict: AUPRC gain }}`` whether
the claim it speaks to holds, and ``{{ verdicts }}`` how many of the thesis's claims, and of the
book's own questions, hold, do not hold, are not shown, or are not decided (`book/claims.yml`).
"""

import re

import nbformat

KEPT_AS = "application/vnd.ood-lib.scoreboard+json"
PLACEHOLDER = re.compile(r"\{\{ *(?:(?P<what>finding|verdict): *(?P<name>[^{}]*?)|verdicts) *\}\}")
MEASURED = "measured"
VERDICTS = {"hold": "holds", "do not hold": "does not hold"}
VERDICTS |= {word: word for word in ("not shown", "not decided")}


def take_scoreboard(notebook: nbformat.NotebookNode) -> list[dict]:
    """The judged claims that ``notebook`` keeps in its outputs, from which they are taken out; most
    keep none."""
    outputs = [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    ]
    return [claim for output in outputs for claim in output.get("data", {}).pop(KEPT_AS, [])]


def fill(text: str, board: list[dict], page: str) -> str:
    """``text`` with what was found for its placeholders. Raises ValueError where one names no
    finding of the board."""
    by_name = {claim["name"]: claim for claim in board}
    claims = [claim for claim in board if claim["verdict"] != MEASURED]

    def words(match: re.Match[str]) -> str:
        if match["name"] is None:
            return _verdicts(claims)
        if match["name"] not in by_name:
            known = (
                ", ".join(by_name)
                or "none, for chapter 13 has not been executed with what it keeps now"
            )
            raise ValueError(
                f"{page}: {match[0]} names no finding of the scoreboard. There are: {known}."
            )
        claim = by_name[match["name"]]
        return _number(claim) if match["what"] == "finding" else claim["verdict"]

    return PLACEHOLDER.sub(words, text)


def card(board: list[dict], chapter: str, files: dict[str, str]) -> str:
    """An admonition with what the chapters before ``chapter`` found, of each one finding; "" if
    they found nothing.

    It is the first that a claim speaks to, where there is one. ``files`` has the notebooks' names
    by chapter, which is written as "08" or "03b".
    """
    earlier = [
        found for found in board if found["value"] is not None and found["chapter"] < chapter
    ]
    if not earlier:
        return ""
    judged = [claim for claim in earlier if claim["verdict"] != MEASURED]
    measured = [found for found in earlier if found["verdict"] == MEASURED]
    first = {found["chapter"]: found for found in (*reversed(measured), *reversed(judged))}
    lines = [
        f"- {_words(found)} ([chapter {name.lstrip('0')}]({files[name]}))"
        for name, found in sorted(first.items())
    ]
    counted = (
        f"judged {_verdicts(judged)}; one finding of each chapter," if judged else "found, each"
    )
    more = (
        f"\n\nThe [scoreboard]({files['13']}) has all claims, "
        "and the rule by which they are judged."
        if judged
        else ""
    )
    opening = f"On these data, the chapters up to here {counted} with its 95 % interval:\n\n"
    return (
        ":::{admonition} Found so far\n:class: found\n\n"
        + opening
        + "\n".join(lines)
        + more
        + "\n:::"
    )


def _words(found: dict) -> str:
    what = re.sub(
        r"^EM ", "entropy maximization ", found["claim"]
    )  # for short in the scoreboard, beneath a legend
    return (
        f"{what}: {_in_full(found)}"
        if found["verdict"] == MEASURED
        else f"{what}: **{found['verdict']}**, {_in_full(found)}"
    )


def _number(found: dict) -> str:
    if found["value"] is None:
        return "not measured"
    sign = "+" if found["verdict"] != MEASURED and found.get("signed", True) else ""
    return "{:{s}.3f} ({:{s}.3f} to {:{s}.3f})".format(
        *(found[end] for end in ("value", "low", "high")), s=sign
    )


def _in_full(found: dict) -> str:
    """The number with what it counts, and over how many."""
    words = (found.get("reads"), _number(found), found.get("unit"))
    return " ".join(filter(None, words)) + (f"; {found['n']}" if found.get("n") else "")


def _verdicts(board: list[dict]) -> str:
    asked = [claim for claim in board if claim.get("question")]
    claims = [claim for claim in board if not claim.get("question")]
    own = f" and {_counted(asked, 'questions of the book')}" if asked else ""
    return _counted(claims, "claims") + own


def _counted(board: list[dict], what: str) -> str:
    said = [claim["verdict"] for claim in board]
    counts = [f"{said.count(own)} {word}" for word, own in VERDICTS.items() if own in said]
    return f"{len(board)} {what}" + (f" ({', '.join(counts)})" if counts else "")

"""What the last chapter found, for the book's other pages: numbers in text.

Chapter 13 judges every claim by the findings of all chapters, so its executed notebook is the one
place that knows them all; it keeps them beside the sentence that counts them, and with them the
findings to which no claim speaks, "measured" in place of a verdict. In a page, ``{{ finding: AUPRC
gain }}`` becomes the finding of that name with its interval, ``{{ gain: AUPRC gain }}`` the same
with a plus where it is above 0, ``{{ over: AUPRC gain }}`` over what that is, as in "50 runs",
``{{ verdict: AUPRC gain }}`` whether the claim it speaks to holds, and ``{{ verdicts }}`` how many
of the thesis's claims, and of the book's own questions, hold, do not hold, are not shown, or are
not decided (`book/claims.yml`).
"""

import re

import nbformat

KEPT_AS = "application/vnd.ood-lib.scoreboard+json"
PLACEHOLDER = re.compile(
    r"\{\{ *(?:(?P<what>finding|gain|verdict|over): *(?P<name>[^{}]*?)|verdicts) *\}\}"
)
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
        if match["what"] in ("verdict", "over"):
            return claim["verdict" if match["what"] == "verdict" else "n"]
        is_judged = claim["verdict"] != MEASURED and claim.get("signed", True)
        return _number(claim, signed=is_judged or match["what"] == "gain")

    return PLACEHOLDER.sub(words, text)


def _number(found: dict, signed: bool) -> str:
    if found["value"] is None:
        return "not measured"
    ends = (found[end] for end in ("value", "low", "high"))
    value, low, high = (f"{end:{'+' if signed else ''}.3f}".replace("-", "−") for end in ends)
    return f"{value} ({low} to {high})"


def _verdicts(board: list[dict]) -> str:
    asked = [claim for claim in board if claim.get("question")]
    claims = [claim for claim in board if not claim.get("question")]
    own = f" and {_counted(asked, 'questions of the book')}" if asked else ""
    return _counted(claims, "claims") + own


def _counted(board: list[dict], what: str) -> str:
    said = [claim["verdict"] for claim in board]
    counts = [f"{said.count(own)} {word}" for word, own in VERDICTS.items() if own in said]
    return f"{len(board)} {what}" + (f" ({', '.join(counts)})" if counts else "")

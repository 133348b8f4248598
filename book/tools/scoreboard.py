"""What the last chapter found, for the book's other pages: a card at the top of later chapters, and numbers in text.

Chapter 13 judges every claim by the findings of all chapters, so its executed notebook is the one place that knows them
all; it keeps them beside the sentence that counts them. In a page, ``{{ finding: AUPRC gain }}`` becomes the finding of
that name with its interval, ``{{ verdict: AUPRC gain }}`` whether the claim it speaks to holds, and ``{{ verdicts }}``
how many claims hold, do not hold, or are not decided.
"""

import re

import nbformat

KEPT_AS = "application/vnd.ood-lib.scoreboard+json"
PLACEHOLDER = re.compile(r"\{\{ *(?:(?P<what>finding|verdict): *(?P<name>[^{}]*?)|verdicts) *\}\}")
VERDICTS = {"hold": "holds", "do not hold": "does not hold", "not decided": "not decided"}


def take_scoreboard(notebook: nbformat.NotebookNode) -> list[dict]:
    """The judged claims that ``notebook`` keeps in its outputs, from which they are taken out; most keep none."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [claim for output in outputs for claim in output.get("data", {}).pop(KEPT_AS, [])]


def fill(text: str, board: list[dict], page: str) -> str:
    """``text`` with what was found for its placeholders. Raises ValueError where one names no finding of the board."""
    by_name = {claim["name"]: claim for claim in board}

    def words(match: re.Match[str]) -> str:
        if match["name"] is None:
            return _verdicts(board)
        if match["name"] not in by_name:
            known = ", ".join(by_name) or "none, for chapter 13 has not been executed with what it keeps now"
            raise ValueError(f"{page}: {match[0]} names no finding of the scoreboard. There are: {known}.")
        claim = by_name[match["name"]]
        return _number(claim) if match["what"] == "finding" else claim["verdict"]

    return PLACEHOLDER.sub(words, text)


def card(board: list[dict], chapter: str, files: dict[str, str]) -> str:
    """An admonition with what the chapters before ``chapter`` found, of each the first claim; "" if they found nothing.

    ``files`` has the notebooks' names by chapter, which is written as "08".
    """
    earlier = [claim for claim in board if claim["verdict"] in VERDICTS.values() and claim["chapter"] < chapter]
    if not earlier:
        return ""
    first = {claim["chapter"]: claim for claim in reversed(earlier)}
    lines = [
        # The scoreboard says EM for short, beneath a legend that is not here.
        f"- {re.sub(r'^EM ', 'entropy maximization ', claim['claim'])}: **{claim['verdict']}**, "
        f"{_number(claim)} ([chapter {int(number)}]({files[number]}))"
        for number, claim in sorted(first.items())
    ]
    return (
        ":::{admonition} Found so far\n:class: found\n\n"
        f"On these data, the chapters up to here judged {_verdicts(earlier)}; the first one of each chapter, with its "
        "number and a 95 % interval:\n\n"
        + "\n".join(lines)
        + f"\n\nThe [scoreboard]({files['13']}) has all of them, and the rule by which they are judged.\n:::"
    )


def _number(claim: dict) -> str:
    if claim["verdict"] not in VERDICTS.values():
        return "not measured"
    return f"{claim['value']:+.3f} ({claim['low']:+.3f} to {claim['high']:+.3f})"


def _verdicts(board: list[dict]) -> str:
    said = [claim["verdict"] for claim in board]
    return f"{len(board)} claims (" + ", ".join(f"{said.count(own)} {word}" for word, own in VERDICTS.items()) + ")"

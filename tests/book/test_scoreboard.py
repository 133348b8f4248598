"""What the last chapter found, on the book's other pages."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from scoreboard import KEPT_AS, card, fill, take_scoreboard
from stage import make_tree


def claim(name: str, chapter: str | None, words: str, verdict: str, *number: float) -> dict:
    value, low, high = number or (None, None, None)
    found = {"value": value, "low": low, "high": high, "chapter": chapter}
    return {"name": name, "claim": words, "verdict": verdict} | found


BOARD = [
    claim("gain", "08", "EM raises AUPRC", "holds", 0.095, 0.064, 0.126),
    claim("loss", "08", "EM is free", "does not hold", 0.06, 0.05, 0.07),
    claim("NN - LR", "06", "the network is better", "not decided", -0.001, -0.006, 0.004),
    claim("draw", None, "the draw matters", "no finding"),
    claim("tiny", "10", "better on small ones", "holds", 0.005, 0.001, 0.009),
    claim("mIoU", "02", "mIoU", "measured", 0.8359, 0.82, 0.85),
    claim("other", "02", "another number", "measured", -0.1, -0.2, 0.0),
    claim("seconds", "08", "seconds", "measured", 3, 2, 4),
]
FILES = {number: f"{number}_x.ipynb" for number in ("02", "03b", "06", "08", "10", "13")}


def test_numbers_and_verdicts_take_the_place_of_their_names() -> None:
    text = "by {{ finding: gain }}; {{ verdict: NN - LR }}; {{finding: draw}}; of {{ verdicts }}."
    assert fill(text, BOARD, "index.md") == (
        "by +0.095 (+0.064 to +0.126); not decided; not measured; "
        "of 5 claims (2 hold, 1 do not hold, 1 not decided)."
    )
    assert fill("`{x}` and {{ else }}", [], "index.md") == "`{x}` and {{ else }}"


def test_the_books_own_questions_are_counted_apart() -> None:
    own = claim("width", "07", "no width is better", "not decided", 0.0, -1, 1) | {"question": True}
    lost = claim("transfer", "10", "it generalises", "not shown", 0.05, 0.04, 0.07)
    assert fill("{{ verdicts }}", [BOARD[0], lost, own], "x") == (
        "2 claims (1 hold, 1 not shown) and 1 questions of the book (1 not decided)"
    )


def test_a_card_says_unit_and_number_beside_the_finding() -> None:
    ratio = claim("sd", "08", "it varies", "holds", 10.8, 8.0, 14.0)
    ratio |= {"unit": "times", "signed": False, "n": "50 runs"}
    shown = card([ratio], "10", FILES)
    assert "it varies: **holds**, 10.800 (8.000 to 14.000) times; 50 runs (" in shown
    lower = claim("FPR95 gain", "08", "EM lowers FPR95", "does not hold", -0.04, -0.06, -0.02)
    lower |= {"reads": "lower by", "unit": "FPR95", "n": None}
    shown = card([lower], "10", FILES)
    assert "**does not hold**, lower by -0.040 (-0.060 to -0.020) FPR95 (" in shown


def test_an_unknown_finding_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"index\.md: \{\{ finding: gian \}\}.*There are: gain, loss, NN - LR"
    ):
        fill("{{ finding: gian }}", BOARD, "index.md")
    with pytest.raises(ValueError, match="chapter 13 has not been executed"):
        fill("{{ finding: gain }}", [], "index.md")


def test_card_shows_the_first_claim_of_each_earlier_chapter() -> None:
    lines = [line for line in card(BOARD, "10", FILES).splitlines() if line.startswith("- ")]
    assert lines == [
        "- mIoU: 0.836 (0.820 to 0.850) ([chapter 2](02_x.ipynb))",
        (
            "- the network is better: **not decided**, -0.001 (-0.006 to +0.004) "
            "([chapter 6](06_x.ipynb))"
        ),
        (
            "- entropy maximization raises AUPRC: **holds**, +0.095 (+0.064 to +0.126) "
            "([chapter 8](08_x.ipynb))"
        ),
    ]
    assert "3 claims (1 hold, 1 do not hold, 1 not decided)" in card(BOARD, "10", FILES)
    early = card(BOARD, "03b", FILES)
    assert "the chapters up to here found, each with its 95 % interval" in early
    assert "- mIoU: 0.836" in early and "scoreboard" not in early
    assert card(BOARD, "02", FILES) == "" and card([], "12", FILES) == ""


def executed(name: str, *cells: nbformat.NotebookNode) -> nbformat.NotebookNode:
    opening = new_markdown_cell(
        f"# {int(name[:2])} T\n\n> **Goals.** You can\n>\n> - x.\n>\n> Time: short.\n\nText."
    )
    return new_notebook(cells=[opening, *cells])


def kept() -> nbformat.NotebookNode:
    data = {"text/markdown": "5 claims", KEPT_AS: BOARD}
    return new_code_cell("display()", outputs=[new_output("display_data", data=data)])


def test_scoreboard_is_taken_out_of_the_notebook_that_keeps_it() -> None:
    notebook = executed(
        "13_x", new_code_cell("1", outputs=[new_output("stream", text="1")]), kept()
    )
    assert take_scoreboard(notebook) == BOARD
    assert notebook.cells[-1].outputs[0].data == {"text/markdown": "5 claims"}
    assert take_scoreboard(notebook) == []


def test_pages_and_openings_of_chapters_take_part(tmp_path: Path) -> None:
    for folder in ("book", "notebooks", "_build/executed"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml"):
        (tmp_path / name).write_text("title: A\n")
    (tmp_path / "book/index.md").write_text("# A\n\nBy {{ finding: gain }}.\n")
    cells = {
        "02_x": [],
        "03b_x": [],
        "06_x": [],
        "08_x": [],
        "10_x": [],
        "13_x": [kept()],
        "your_x": [],
    }
    for name, own in cells.items():
        (tmp_path / f"notebooks/{name}.ipynb").touch()
        opened = (
            executed(name, *own)
            if name[0] != "y"
            else new_notebook(cells=[new_markdown_cell("# Y")])
        )
        nbformat.write(opened, tmp_path / f"_build/executed/{name}.ipynb")
    tree = {
        name: content.decode()
        for name, content in make_tree(tmp_path, tmp_path / "_build/executed").items()
        if "mathjax" not in name
    }
    opening = {
        name: nbformat.reads(tree[f"notebooks/{name}.ipynb"], 4).cells[0].source for name in cells
    }
    assert tree["book/index.md"] == "# A\n\nBy +0.095 (+0.064 to +0.126).\n"
    assert (
        opening["02_x"].count("[notation](../book/notation.md)") == 1
        and "Found so far" not in opening["02_x"]
    )
    assert "mIoU: 0.836 (0.820 to 0.850) ([chapter 2](02_x.ipynb))" in opening["03b_x"]
    goals, found, text = opening["10_x"].split(":::\n\n")
    assert goals.startswith("# T\n\n:::{admonition} Goals") and "Time: short.\n\nSymbols" in goals
    assert found.startswith(":::{admonition} Found so far") and text == "Text."
    assert opening["your_x"] == "# Y"

"""What the last chapter found, on the book's other pages."""

import re
from pathlib import Path

import nbformat
import pytest
from chapter_strip import THREAD
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from scoreboard import KEPT_AS, fill, take_scoreboard
from stage import make_tree


def claim(name: str, chapter: str | None, words: str, verdict: str, *number: float) -> dict:
    value, low, high = number or (None, None, None)
    found = {"value": value, "low": low, "high": high, "chapter": chapter}
    return {"name": name, "claim": words, "verdict": verdict, "n": "50 runs"} | found


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


def test_numbers_and_verdicts_take_the_place_of_their_names() -> None:
    text = (
        "by {{ finding: gain }} over {{ over: gain }}; {{ verdict: NN - LR }}; {{finding: draw}}; "
        "of {{ verdicts }}."
    )
    assert fill(text, BOARD, "index.md") == (
        "by +0.095 (+0.064 to +0.126) over 50 runs; not decided; not measured; "
        "of 5 claims (2 hold, 1 do not hold, 1 not decided)."
    )
    signed = "{{ gain: mIoU }}, {{ finding: NN - LR }}, {{ finding: other }}"
    assert fill(signed, BOARD, "index.md") == (
        "+0.836 (+0.820 to +0.850), −0.001 (−0.006 to +0.004), −0.100 (−0.200 to 0.000)"
    )
    assert fill("`{x}` and {{ else }}", [], "index.md") == "`{x}` and {{ else }}"


def test_the_books_own_questions_are_counted_apart() -> None:
    own = claim("width", "07", "no width is better", "not decided", 0.0, -1, 1) | {"question": True}
    lost = claim("transfer", "10", "it generalises", "not shown", 0.05, 0.04, 0.07)
    assert fill("{{ verdicts }}", [BOARD[0], lost, own], "x") == (
        "2 claims (1 hold, 1 not shown) and 1 questions of the book (1 not decided)"
    )


def test_an_unknown_finding_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"index\.md: \{\{ finding: gian \}\}.*There are: gain, loss, NN - LR"
    ):
        fill("{{ finding: gian }}", BOARD, "index.md")
    with pytest.raises(ValueError, match="chapter 13 has not been executed"):
        fill("{{ finding: gain }}", [], "index.md")


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
    chapters = ("01", "02", "03", "03b", "04", "05", "06", "08", "10", "13")
    cells = {f"{chapter}_x": [] for chapter in chapters} | {"13_x": [kept()], "your_x": []}
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
    shown = {"02_x": "classes", "03b_x": "before", "08_x": "after", "10_x": "kept"}
    for name, current in shown.items():
        title, strip, text = re.split("```(?:{raw} html)?\n", opening[name])
        assert title == "# T\n\n" and text.startswith("\n:::{admonition} Goals")
        link = r'<a href="(\w+)\.html" aria-current="step"><img src="[./]*(\S+)"'
        marked = re.findall(link, strip)
        made_in = {stage: chapter for stage, (chapter, _) in THREAD.items()}[current]
        assert marked == [(f"{made_in}_x", f"_static/thread/{current}.png")]
        assert strip.count("<a ") == len(THREAD)
    assert opening["your_x"] == "# Y"


def test_each_picture_of_the_strip_is_there() -> None:
    folder = Path(__file__).parents[2] / "book/_static/thread"
    assert {path.stem for path in folder.glob("*.png")} == set(THREAD)

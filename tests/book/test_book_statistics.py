"""The book's statistics count what a reader meets."""

from pathlib import Path

import nbformat
import pytest
from book_statistics import as_table, book_statistics, broken_limits, count_words
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Two words.", 2),
        ("The book's *own* [page](a/long_address.html)", 4),
        ("A `code span`, a $f(x)$ and\n\n$$\ng(y)\n$$\n\n```\ncode = 1\n```", 3),
        ("<details><summary>Solution</summary>\n\n19 classes", 2),
    ],
)
def test_only_running_text_counts(text: str, words: int) -> None:
    assert count_words(text) == words


def test_pages_are_counted(tmp_path: Path) -> None:
    for folder in ("book", "notebooks", "_build/executed", "_build/html"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "book/index.md").write_text("# A title\n")
    (tmp_path / "_build/html/index.html").write_text("x" * 2_000_000)
    exercise = "### Exercise 1.1\n\n*({}.)* Why?"
    cells = [
        new_markdown_cell("# 1 Words"),
        new_code_cell("a = 1\n\nb = 2"),
        new_code_cell(
            "\n".join(["x"] * 26),
            metadata={"tags": ["hide-input"], "mystnb": {"image": {"alt": "A curve."}}},
        ),
        new_markdown_cell("\n\n".join(map(exercise.format, ("Recall", "Explore", "Explore")))),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks/01_a.ipynb")
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks/02_b.ipynb")
    executed = new_notebook(cells=cells, metadata={"papermill": {"duration": 12.5}})
    nbformat.write(executed, tmp_path / "_build/executed/01_a.ipynb")
    counted = book_statistics(tmp_path, tmp_path / "_build")
    page, first, second = counted["pages"]
    assert page == {"page": "index", "words": 2}
    assert (first["words"], first["code_lines"], first["cells"], first["shown"]) == (10, 28, 2, 1)
    assert (first["median"], first["longest"], first["over_25"]) == (14.5, 26, 1)
    assert (first["first_figure"], first["figures"]) == (2, 1)
    assert (first["recall"], first["compute"], first["explore"]) == (1, 0, 2)
    assert (first["exercises"], first["unsolved"]) == (3, 3)
    assert (first["seconds"], second["seconds"]) == (12.5, None)
    assert counted["site"] == {"files": 1, "megabytes": 2.0}
    total = as_table(counted).splitlines()[-2].split()
    assert total[:5] == ["all", "22", "56", "4", "2"]


def test_what_grows_too_long_is_named() -> None:
    page = {"page": "03_x", "cells": 9, "words": 9000, "figures": 5, "shown": 20}
    page |= {"exercises": 6, "unsolved": 10}
    assert broken_limits([page, page, {"page": "index", "words": 22_000}]) == []
    later = page | {"page": "08_x", "shown": 40, "unsolved": 9}
    assert broken_limits([page, later]) == [
        "08_x: 40 shown, more than 20",
        "the book: 19 exercises without a printed solution",
    ]
    long = page | {"page": "04_x", "exercises": 8, "words": 10_001}
    assert broken_limits([page, long, {"page": "index", "words": 21_000}]) == [
        "04_x: 8 exercises, more than 6",
        "chapters 01 to 06: 19,001 words, over 19,000",
        "the book: 40,001 words, over 40,000",
    ]

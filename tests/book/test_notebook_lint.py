"""The notebooks' sources are in order, and the check of them notices what is not."""

import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from answer_kinds import Choice, Numbers
from chapter import Chapter, read_chapter
from check_form import check_source
from lint import lint
from lint_references import Targets, read_targets
from nbformat.v4 import new_code_cell, new_markdown_cell
from typed_numbers import find_typed_numbers

ROOT = Path(__file__).parents[2]
CHAPTERS = {path.stem: read_chapter(path) for path in sorted(ROOT.glob("notebooks/*.ipynb"))}
TARGETS = read_targets(ROOT, list(CHAPTERS.values()))

OPENING = """# 1 A title

> **Goals.** After this chapter you can
>
> - see.
>
> Time: about 30 minutes. See [the curve](#fig-a), [1.1](#eq-a) and
> [the goals](01_a.ipynb#some-goals-2)."""
EXERCISE = """### Exercise 1.{number}

*({kind}.)* How many?

<details><summary>Solution to exercise 1.{number}</summary>

None.

</details>"""
KINDS = ("Recall", "Compute", "Compute", "Explore")
EXERCISES = "\n\n".join(EXERCISE.format(number=i + 1, kind=kind) for i, kind in enumerate(KINDS))
FIGURE = {"figure": {"caption": "A curve [@key].", "name": "fig-a"}, "image": {"alt": "A curve."}}

SLIDE = {"tags": ["slide"]}


def cells() -> list[nbformat.NotebookNode]:
    """A chapter with which nothing is wrong."""
    return [
        new_markdown_cell(OPENING, id="c01-01"),
        new_code_cell("import ood_lib", id="c01-00", metadata={"tags": ["install"]}),
        new_code_cell("seed = 0.25", id="c01-02", metadata={"tags": ["parameters"]}),
        new_code_cell("plt.plot(x)", id="c01-03", metadata={"mystnb": FIGURE}),
        new_markdown_cell(
            f"## Some goals: 2\n\n$$\nx\n$$ (eq-a)\n\n## Exercises\n\n{EXERCISES}", id="c01-04"
        ),
        new_code_cell("print(0)", id="c01-05", metadata={"tags": ["hide-cell"]}),
        new_markdown_cell(
            "## End\n\n> **Summary.** All.\n\n> **Further reading.** Much [@key].", id="c01-06"
        ),
        new_code_cell("1", id="c01-07"),
        *(new_markdown_cell(f"## {n}\n\nOf it.", id=f"c01-1{n}", metadata=SLIDE) for n in range(5)),
    ]


def problems_of(
    folder: Path, changed: list[nbformat.NotebookNode], answers: dict | None = None
) -> list[str]:
    """What is said of a chapter with these cells, where `answers` are those of book/answers."""
    path = folder / "01_a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=changed), path)
    names = Counter({"fig-a": 1}), Counter({"eq-a": 1})
    return lint(Chapter(path, changed), Targets(frozenset({"key"}), *names, answers or {}))


def replace(cell: nbformat.NotebookNode, old: str, new: str) -> None:
    """Write `new` for `old`, which must be there."""
    assert old in cell.source
    cell.source = cell.source.replace(old, new)


@pytest.mark.parametrize("name", CHAPTERS)
def test_notebook_is_in_order(name: str) -> None:
    assert lint(CHAPTERS[name], TARGETS) == []


def test_no_two_figures_or_equations_share_a_name() -> None:
    named = TARGETS.figures + TARGETS.equations
    assert [name for name, count in named.items() if name and count > 1] == []


def test_a_good_chapter_passes(tmp_path: Path) -> None:
    assert problems_of(tmp_path, cells()) == []


@pytest.mark.parametrize(
    ("cell", "old", "new", "problem"),
    [
        (0, "# 1 A title", "A title", "must open with the title"),
        (0, "**Goals.**", "**Aims.**", "lacks the goals"),
        (0, "Time: about 30 minutes", "It takes long", "lack the time"),
        (0, "#fig-a", "#fig-b", "cell c01-01 points to #fig-b, which no notebook has"),
        (0, "#eq-a", "#eq-b", "cell c01-01 points to #eq-b"),
        (0, "01_a.ipynb#", "02_a.ipynb#", "links to 02_a.ipynb, which does not exist"),
        (
            0,
            "some-goals-2",
            "other-goals",
            "links to 01_a.ipynb#other-goals, but that page has no such heading",
        ),
        (4, "*(Explore.)*", "*(Compute.)*", "there is no exercise of the kind Explore"),
        (4, "*(Recall.)*", "(Recall.)", "Exercise 1.1 must open with its kind"),
        (4, "### Exercise 1.4", "### Task", "there are 3 exercises"),
        (
            4,
            "Solution to exercise 1.2",
            "Solution to exercise 1.3",
            "Exercise 1.2 lacks '<details>",
        ),
        (6, "**Summary.**", "Summary.", "there is no summary"),
        (6, "Much [@key].", "Much.", "there is no further reading"),
        (6, "[@key]", "[@key; @quay]", "cites [@quay], which is not in book/references.bib"),
        (6, "All.", "All: AUPRC is 0.731 here.", "types the number 0.731"),
        (7, "1", "1\n" * 41, "cell c01-07 has 41 lines, more than 40"),
        (8, "## 0", "0", "cell c01-10 is tagged 'slide', but has no heading"),
    ],
)
def test_what_is_wrong_in_a_cell_is_named(
    tmp_path: Path, cell: int, old: str, new: str, problem: str
) -> None:
    changed = cells()
    replace(changed[cell], old, new)
    assert any(
        found.startswith("01_a.ipynb: ") and problem in found
        for found in problems_of(tmp_path, changed)
    )


@pytest.mark.parametrize(
    ("cell", "metadata", "problem"),
    [
        (2, {}, "the first code cell must be tagged 'parameters'"),
        (3, {}, "none of the first 6 code cells shows a figure"),
        (3, {"mystnb": FIGURE | {"image": {"alt": " "}}}, "the figure of cell c01-03 lacks alt"),
        (
            3,
            {"mystnb": {"image": {"alt": "A curve."}}},
            "the figure of cell c01-03 lacks caption, name",
        ),
        (5, {}, "cell c01-05 belongs to a solution and must be tagged 'hide-cell'"),
    ],
)
def test_what_is_wrong_in_metadata_is_named(
    tmp_path: Path, cell: int, metadata: dict, problem: str
) -> None:
    changed = cells()
    changed[cell].metadata = nbformat.from_dict(metadata)
    assert any(problem in found for found in problems_of(tmp_path, changed))


NUMBER = Numbers(
    kind="number",
    ask="How many?",
    answer=0.0,
    within=0.0,
    because="None.",
    wrong=dict.fromkeys(range(1, 6), "Count again."),
)
OPTIONS = {"a": "One.", "b": "None."}
WHICH = Choice(
    kind="choice", ask="Which?", options=OPTIONS, answer="b", because="None.", wrong={"a": "No."}
)
ANSWERS = {"1.1": WHICH, "1.2": NUMBER, "1.3": NUMBER}


def checked_cells() -> list[nbformat.NotebookNode]:
    """The chapter with checks, of which one exercise has no solution."""
    others, (first, *texts) = cells(), EXERCISES.split("\n\n### ")
    questions = [first.replace("How many?", "How many?\n\n- (a) One.\n- (b) None.")]
    questions += [f"### {text}" for text in texts]
    made = [new_markdown_cell("## Some goals: 2\n\n$$\nx\n$$ (eq-a)\n\n## Exercises", id="c01-04")]
    for number, question in zip(ANSWERS, questions, strict=False):
        place = number.replace(".", "-")
        text, solution = question.split("\n\n<details>")
        made += [new_markdown_cell(text, id=f"q-{place}"), check_cell(number)]
        if number != "1.2":
            made.append(new_markdown_cell(f"<details>{solution}", id=f"after-{place}"))
    made.append(new_markdown_cell(questions[3].split("<details>")[0], id="q-1-4"))
    return [*others[:4], *made, *others[6:]]


def check_cell(number: str) -> nbformat.NotebookNode:
    place = number.replace(".", "-")
    return new_code_cell(check_source(number), id=f"check-{place}", metadata={"tags": ["check"]})


def by_id(changed: list[nbformat.NotebookNode], name: str) -> nbformat.NotebookNode:
    """The one cell of this id."""
    (found,) = [cell for cell in changed if cell.id == name]
    return found


def test_a_chapter_with_checks_passes(tmp_path: Path) -> None:
    assert problems_of(tmp_path, checked_cells(), ANSWERS) == []


def test_a_missing_check_is_found(tmp_path: Path) -> None:
    for number in ANSWERS:
        changed = [cell for cell in checked_cells() if check_source(number) != cell.source]
        (problem,) = problems_of(tmp_path, changed, ANSWERS)
        assert f"exercise {number} must be followed, before its solution, by a code" in problem


@pytest.mark.parametrize(
    ("cell", "old", "new", "problem"),
    [
        ("check-1-2", "...)", "0)", 'exactly \'check("1.2", ...)  # your answer in place of'),
        ("check-1-2", "1.2", "1.3", "exercise 1.2 must be followed"),
        ("q-1-1", "- (b) None.", "", "exercise 1.1 must list 2 options"),
        ("q-1-4", "(Explore.)", "(Compute.)", "Exercise 1.4 has no answer in book/answers"),
        ("q-1-3", "### Exercise 1.3", "Now", "cell check-1-3 checks no exercise that stands"),
        (
            "q-1-2",
            "How many?",
            "How many?\n\n<details><summary>Solution to exercise 1.2</summary>\n\n0\n\n</details>",
            "the solution to exercise 1.2 must stand in a cell behind its check",
        ),
        ("q-1-2", "How many?", "How many?\n\n### Exercise 1.3\n", "exercise 1.2 must be followed"),
    ],
)
def test_what_is_wrong_with_a_check_is_named(
    tmp_path: Path, cell: str, old: str, new: str, problem: str
) -> None:
    changed = checked_cells()
    replace(by_id(changed, cell), old, new)
    assert any(problem in each for each in problems_of(tmp_path, changed, ANSWERS))


def test_a_check_without_its_tag_is_none(tmp_path: Path) -> None:
    changed = checked_cells()
    by_id(changed, "check-1-2").metadata = nbformat.from_dict({"tags": ["hide-cell"]})
    problems = problems_of(tmp_path, changed, ANSWERS)
    assert any("exercise 1.2 must be" in problem for problem in problems)


@pytest.mark.filterwarnings("ignore:Non-unique cell id")
@pytest.mark.parametrize("new", ["c01-06", "3fa9c04e", "0f0e6e0c-2f63-4b2b-9d3c-1a2b3c4d5e6f"])
def test_ids_last(tmp_path: Path, new: str) -> None:
    path, changed = tmp_path / "01_a.ipynb", cells()
    changed[7].id = new
    nbformat.write(nbformat.v4.new_notebook(cells=changed), path)
    assert any(
        "no lasting id" in found for found in problems_of(tmp_path, read_chapter(path).cells)
    )


@pytest.mark.parametrize(
    "text",
    [
        "The gain is 0.12.",
        "About 83 % of them, or 83%.",
        "- fine\n- The gain is 0.12.",
        "The thesis gains more.\n\nThe gain is 0.12.",
        "> **In the thesis.** It is 0.5.\n\nThe gain is 0.12.",
        (
            "*(Compute.)* From 0.33?\n\n"
            "<details><summary>Solution</summary>\n\nThe gain is 0.12.\n\n</details>"
        ),
    ],
)
def test_a_typed_result_is_found(text: str) -> None:
    found = list(find_typed_numbers(text, "t = 0.3"))
    assert found and all(
        re.search(r"types the number (0\.12|83 ?%) in", problem) for problem in found
    )


@pytest.mark.parametrize(
    "text",
    [
        "The sum $0.1 + 0.02 = 0.12$ and `0.12`, in [chapter 2](a.ipynb#0.12).",
        "```\n0.12\n```\n\n$$\n0.12\n$$",
        "Chan et al. report 0.12.",
        "A line\nof two: the gain of 0.12 is large [@key].",
        "> **In the thesis.** It gains.\n>\n> - 0.12",
        "| the thesis | ours |\n|---|---|\n| 0.12 | below |",
        "### Exercise 2.12\n\n*(Compute.)* And with 0.12?",
        "A threshold of 0.3, or 30 %, is set above.",
        "The 95 % interval; section 4.12, Tables 3.12, CC BY-SA 4.0, version 1.2.3.",
    ],
)
def test_other_numbers_are_left_alone(text: str) -> None:
    assert list(find_typed_numbers(text, "t = 0.3")) == []

"""Exercises without solutions: in the archive for students, the question bank and the book."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from chapter import Chapter, read_chapter
from exercises import EXERCISE, read_exercises, without_solutions
from lint_references import LINK, check_link, read_targets
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from pack_course import course_files, main
from pack_offline import pack
from question_bank import question_bank
from stage import make_tree

ROOT = Path(__file__).parents[2]
FIRST = """## Exercises

### Exercise 1.1

*(Compute.)* How [many](#fig-a) $x$?

<details><summary>Hint</summary>

Count.

</details>

<details><summary>Solution to exercise 1.1</summary>

SECRET words [@key].

</details>"""
SECOND = """### Exercise 1.2

*(Recall.)* Which?

- (a) This.
- (b) That.

> **Summary.** All."""
ANSWERS = """
"1.1":
  {kind: number, ask: How many, answer: 7, within: 0, because: It is SECRET.,
   wrong: {"1": One., "2": Two., "3": Three., "4": Four., "5": Five.}}
"1.2":
  {kind: choice, ask: Which, options: {a: This., b: That.}, answer: b, because: It is SECRET.,
   wrong: {a: No.}}
"""
CHECK = 'check("1.1", ...)  # your answer in place of the dots'


def cells() -> list[nbformat.NotebookNode]:
    """A chapter with two exercises: a printed solution with code, and a check."""

    def code(source: str, name: str, *tags: str) -> nbformat.NotebookNode:
        outputs = [new_output("stream", text="OUTPUT")]
        return new_code_cell(
            source, id=name, metadata={"tags": list(tags)}, outputs=outputs, execution_count=1
        )

    return [
        new_markdown_cell("# 1 A\n\nText.", id="a"),
        code("folded = 1", "b", "hide-cell", "given"),
        new_markdown_cell(FIRST, id="c"),
        code("print('SECRET')", "d", "hide-cell"),
        code(CHECK, "e", "check", "hide-cell"),
        new_markdown_cell(FIRST[FIRST.index("<details><summary>Sol") :], id="f"),
        new_markdown_cell(SECOND, id="g"),
        new_markdown_cell("## End", id="h"),
        code("keep_findings()", "i", "hide-cell"),
    ]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one chapter, executed, and what the tools read."""
    for folder in ("book/answers", "notebooks", "_build/executed"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("notebooks", "_build/executed"):
        nbformat.write(new_notebook(cells=cells()), tmp_path / folder / "01_a.ipynb")
    (tmp_path / "_config.yml").write_text("title: A\n")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    (tmp_path / "book/answers/01.yml").write_text(ANSWERS)
    (tmp_path / "environment.yml").write_text((ROOT / "environment.yml").read_text("utf-8"))
    return tmp_path


def test_a_notebook_without_solutions_keeps_exercises_hints_and_checks() -> None:
    left = without_solutions(new_notebook(cells=cells())).cells
    assert [cell.id for cell in left] == ["a", "b", "c", "e", "g", "h", "i"]
    assert left[2].source == FIRST[: FIRST.index("<details><summary>Sol")].strip()
    assert left[4].source == SECOND


def test_exercises_are_read_with_what_solves_them() -> None:
    first, second = read_exercises(cells())
    assert first[:2] == ("1.1", "Compute") and first.question.startswith(
        "How many $x$?\n\n<details>"
    )
    assert "SECRET" not in first.question
    assert first.solution.startswith("SECRET words.\n\n```python\nprint('SECRET')\n```")
    assert second == ("1.2", "Recall", "Which?\n\n- (a) This.\n- (b) That.", "")


def test_question_bank_has_solutions_only_if_asked(repository: Path) -> None:
    for_students, for_teachers = question_bank(repository), question_bank(repository, True)
    assert re.findall(r"^##+ (.*)", for_students, re.M) == ["1 A", "1.1 (Compute)", "1.2 (Recall)"]
    assert "SECRET" not in for_students and "**Solution" not in for_students
    assert "*Asked for:* How many.\n" in for_students
    assert for_students.count("folded = 1") == 1 and "*Given*" in for_students
    assert "**Solution.** SECRET words." in for_teachers
    assert "**Solution.** b. It is SECRET." in for_teachers


def test_question_bank_has_every_exercise_of_the_book() -> None:
    notebooks = sorted(ROOT.glob("notebooks/*.ipynb"))
    asked = [name for path in notebooks for name, _ in EXERCISE.findall(read_chapter(path).text)]
    listed = re.findall(r"^### ([\w.]+) \((?:Recall|Compute|Explore)\)", question_bank(ROOT), re.M)
    assert asked == listed and len(asked) > 40


def test_question_bank_names_no_image_or_table_that_it_lacks() -> None:
    bank = question_bank(ROOT)
    of = {name: bank.partition(f"### {name} ")[2].partition("### ")[0] for name in ("3.2", "10.2")}
    assert "the targets 0, 1, OoD and ignored" in of["3.2"] and "$b = 14$" in of["10.2"]
    assert bank.index("[0.05, 0.30, 0.90, 0.40, 0.20, 0.05]") < bank.index("### 4.1 ")


def test_course_has_exercises_and_checks_but_no_solution(repository: Path) -> None:
    files = course_files(repository)
    assert sorted(files) == ["README.md", "environment.yml", "notebooks/01_a.ipynb", "questions.md"]
    everything = b"".join(files.values()).decode()
    assert "SECRET" not in everything and "OUTPUT" not in everything
    check = CHECK.replace('"', r"\"")
    assert all(each in everything for each in ("How [many]", check, "- (b) That."))
    assert len(files["README.md"].decode().splitlines()) <= 12
    environment = files["environment.yml"].decode()
    needed = ("pytorch>=", "captum>=", "jupyterlab>=", "resvg-py>=")
    assert all(name in environment for name in needed)
    others = (
        "editable",
        "pytest",
        "jupyter-book",
        "ray-core",
        "onnx",
        "playwright",
        "transformers",
    )
    assert not any(name in environment for name in others)


@pytest.mark.parametrize("remote", ["", "https://github.com/some/book.git"])
def test_a_course_without_an_address_is_packed_with_a_warning(
    repository: Path,
    remote: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    subprocess.run(["git", "init", "-q"], cwd=repository, check=True)
    if remote:
        subprocess.run(["git", "remote", "add", "origin", remote], cwd=repository, check=True)
    monkeypatch.chdir(repository)
    monkeypatch.setattr(sys, "argv", ["pack_course.py"])
    main()
    assert (repository / "_build/course.zip").is_file()
    assert ("has no address on GitHub" in capsys.readouterr().err) == (not remote)


def test_no_solution_of_the_book_is_in_its_course() -> None:
    for name, content in course_files(ROOT).items():
        assert b"<summary>Solution" not in content, name


def test_same_notebooks_give_the_same_archive(repository: Path) -> None:
    archives = []
    for time in (10**9, 2 * 10**9):
        for path in repository.rglob("*.ipynb"):
            os.utime(path, (time, time))
        pack(course_files(repository), repository / "course.zip", "course")
        archives.append((repository / "course.zip").read_bytes())
    assert archives[0] == archives[1]
    with zipfile.ZipFile(repository / "course.zip") as archive:
        assert archive.namelist() == sorted(archive.namelist())
        assert all(name.startswith("course/") for name in archive.namelist())


def test_the_pages_leave_solutions_out_where_that_is_asked_for(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def staged() -> str:
        return make_tree(repository, repository / "_build/executed")[
            "notebooks/01_a.ipynb"
        ].decode()

    monkeypatch.delenv("SOLUTIONS", raising=False)
    assert staged().count("SECRET") == 3
    monkeypatch.setenv("SOLUTIONS", "off")
    assert "SECRET" not in staged() and "(Compute.)" in staged() and "<form" in staged()
    monkeypatch.setenv("SOLUTIONS", "of")
    with pytest.raises(ValueError, match="'on' or 'off'"):
        staged()


def test_the_page_for_teachers_points_to_what_is_there() -> None:
    chapters = [read_chapter(path) for path in sorted(ROOT.glob("notebooks/*.ipynb"))]
    targets, page = read_targets(ROOT, chapters), Chapter(ROOT / "book/teachers.md", [])
    links = list(LINK.finditer(page.path.read_text("utf-8")))
    assert len(links) > 40
    assert [problem for link in links for problem in check_link(link, page, targets)] == []

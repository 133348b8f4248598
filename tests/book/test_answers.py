"""The exercises in book/answers: every solution is accepted, what is wrong is refused, and the
page says what Python says."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
from answer_kinds import Choice, Numbers
from answer_task import task_of
from answers import as_json, main, read_answers
from check_form import check_source, form, replace_checks
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import Browser, Page

from ood_lib.exercises import verdict

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "book/_static"
CHOICE = {
    "kind": "choice",
    "ask": "Which of the three?",
    "options": {"a": "One < two.", "b": "Two.", "c": "Three."},
    "answer": "b",
    "because": "It is so.",
    "wrong": {"a": "Too few.", "c": "Too many."},
}
SHARE = {
    "kind": "number",
    "ask": "The share, with three digits",
    "answer": 0.088,
    "within": 0.0006,
    "because": "Three of thirty-four – or so.",
    "wrong": {0.95: "recall", "0.161": "the F1", 3: "a count", 34: "a count, too", 0.5: "chance"},
}
FOUR = {
    "kind": "numbers",
    "ask": "TP, FP, FN, TN",
    "answer": [4, 3, 0.5, 16],
    "within": 0.1,
    "because": "Count them.",
    "wrong": {f"[4, 3, {i}, 16]": f"{i} is another." for i in range(1, 6)},
}
SAMPLE = {"0.1": Choice(**CHOICE), "0.2": Numbers(**SHARE), "0.3": Numbers(**FOUR)}
ANSWERS = SAMPLE | read_answers(ROOT / "book/answers")


def tried(name: str) -> list:
    """Answers to an exercise: the solution, the listed mistakes, and some drawn by a seed."""
    exercise, rng = ANSWERS[name], np.random.default_rng(7)
    if isinstance(exercise, Choice):
        return [exercise.answer, *exercise.wrong, "e", "x", "", "ab", "7"]
    right = np.array(exercise.numbers(exercise.answer))
    factors = [right * x for x in (100, 0.01, -1, 2, 0.5, np.log(2), 1 / np.log(10))]
    shifts = [right + x * rng.choice([-1, 1], len(right)) for x in (*rng.exponential(1, 4), 3e-3)]
    turned = [1 - right, 1 / np.where(right == 0, 1, right), rng.permutation(right), right[::-1]]
    given = [right, *map(exercise.numbers, exercise.wrong), *factors, *shifts, *turned]
    return [list(map(float, numbers)) for numbers in given]


def distance(exercise: Numbers, answer: list[float]) -> float:
    """How far it is from the solution, at its worst number."""
    right = exercise.numbers(exercise.answer)
    return max(abs(x - y) for x, y in zip(right, answer, strict=True))


@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_right_is_accepted_and_what_is_wrong_refused(name: str) -> None:
    exercise, task = ANSWERS[name], task_of(name, ANSWERS[name])
    is_choice = isinstance(exercise, Choice)
    first, *others = tried(name)
    assert verdict(name, task, first) == f"Right. {exercise.because}"
    for answer in others:
        is_near = not is_choice and distance(exercise, answer) <= exercise.within
        is_far = is_choice or distance(exercise, answer) > 2 * exercise.within + 1e-9
        accepted = verdict(name, task, answer).startswith("Right. ")
        assert accepted or not is_near
        assert not (accepted and is_far), answer
    for answer, words in exercise.wrong.items():
        given = answer if is_choice else exercise.numbers(answer)
        assert verdict(name, task, given) == f"Not yet. {words}"


def test_nearly_all_wrong_answers_are_refused() -> None:
    refused = [
        not verdict(name, task_of(name, exercise), answer).startswith("Right")
        for name, exercise in ANSWERS.items()
        for answer in tried(name)[1:]
        if isinstance(exercise, Choice) or distance(exercise, answer) > exercise.within
    ]
    assert len(refused) >= 5 * len(ANSWERS) and np.mean(refused) >= 0.95


def test_the_librarys_file_is_current_and_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["answers.py", "--check"])
    main()
    assert "exercises check themselves" in capsys.readouterr().out
    text = as_json(ANSWERS)
    assert as_json(dict(reversed(ANSWERS.items()))) == text
    for name, exercise in ANSWERS.items():
        line = next(line for line in text.splitlines() if line.startswith(f'"{name}"'))
        assert exercise.because not in line and exercise.because.encode().hex() not in line
        told = json.dumps(json.loads(f"{{{line.rstrip(',')}}}"))
        assert not re.search(rf"(?<![\w.]){re.escape(json.dumps(exercise.answer))}(?!\d)", told)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"answer": "d"}, "answer must be one of the options, and wrong must have all others"),
        ({"wrong": {"a": "Too few."}}, "wrong must have all others"),
        ({"options": {"a": "One.", "c": "Two."}}, "name the options a, b, c"),
        ({"wrong": {"a": "It is (b).", "c": "No, no."}}, r"words for a give the solution away"),
        ({"because": "As $x = 1$."}, r"plain text, without '\$'"),
        (SHARE | {"wrong": {1: "one"}}, "wrong has 1 answers, expected at least 5"),
        (SHARE | {"answer": [0.1, 0.2]}, "of the kind number the answer is one"),
        (SHARE | {"wrong": SHARE["wrong"] | {0.0881: "near"}}, "as near to the solution as a"),
        (SHARE | {"wrong": SHARE["wrong"] | {0.95001: "off"}}, "cannot be told from one above"),
        (SHARE | {"wrong": SHARE["wrong"] | {0.4: "0.088, not this"}}, "give the solution away"),
        (SHARE | {"wrong": SHARE["wrong"] | {"[1, 2]": "two"}}, "has not as many numbers"),
        (SHARE | {"wrong": SHARE["wrong"] | {"many": "words"}}, "'many' is no number"),
        (SHARE | {"within": -1}, "within .*greater than or equal to 0"),
        (SHARE | {"hint": "no"}, "hint .*Extra inputs"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(tmp_path: Path, change: dict, problem: str) -> None:
    values = change if "kind" in change else CHOICE | change
    (tmp_path / "01.yml").write_text(json.dumps({"1.1": values}), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"(?s)01\.yml: exercise 1\.1.*{problem}"):
        read_answers(tmp_path)


def test_a_number_of_an_exercise_stands_once_and_in_quotes(tmp_path: Path) -> None:
    for name, text in {"01": "1.10", "02": '"1.1"', "03": '"1.1"'}.items():
        content = f"{text}: {json.dumps(CHOICE)}"
        (tmp_path / f"{name}.yml").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"01\.yml: exercise 1\.1 must stand once, .* quotation"):
        read_answers(tmp_path)
    (tmp_path / "01.yml").unlink()
    with pytest.raises(ValueError, match=r"03\.yml: exercise 1\.1 must stand once"):
        read_answers(tmp_path)


def check_cell(number: str) -> nbformat.NotebookNode:
    return new_code_cell(
        check_source(number), id="check-0-1", metadata={"tags": ["check"]}, outputs=[]
    )


def test_a_check_cell_becomes_a_form() -> None:
    notebook = new_notebook(cells=[new_markdown_cell("# 1 A"), check_cell("0.1")])
    replace_checks(notebook, ANSWERS, "01_a.ipynb")
    cell = notebook.cells[1]
    assert cell.cell_type == "markdown" and cell.id == "check-0-1"
    assert cell.source.startswith("```{raw} html\n<form") and "outputs" not in cell
    assert cell.source.count('type="radio"') == 3 and "One &lt; two." in cell.source
    notebook.cells[1] = check_cell("0.9")
    with pytest.raises(ValueError, match=r"01_a\.ipynb: book/answers has nothing for .*0\.9"):
        replace_checks(notebook, ANSWERS, "01_a.ipynb")


LIST = "".join(f"<li><p>({letter}) <i>word</i> {letter}</p></li>" for letter in "abc")


@pytest.fixture
def page(chromium: Browser, tmp_path: Path) -> Iterator[Page]:
    """The three exercises of the sample, opened from the disk."""
    forms = {name: form(name, exercise) for name, exercise in SAMPLE.items()}
    html = (
        '<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8"><title>A</title>'
        f'<link rel="stylesheet" href="{(STATIC / "book.css").as_uri()}"><main><h1>A</h1>'
        f"<p>Which?</p><ul>{LIST}</ul>{forms['0.1']}<p>The share?</p>{forms['0.2']}{forms['0.3']}"
        f'</main><script src="{(STATIC / "check.js").as_uri()}"></script></html>'
    )
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    page = chromium.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    yield page
    page.close()


def test_the_page_says_what_python_says(page: Page) -> None:
    asked, expected = [], []
    for name, exercise in ANSWERS.items():
        task = task_of(name, exercise)
        for answer in tried(name):
            typed = answer if isinstance(answer, str) else ", ".join(map(repr, answer))
            asked.append([name, task, typed])
            expected.append(verdict(name, task, answer))
    said = page.evaluate("(asked) => asked.map((each) => exerciseVerdict(...each))", asked)
    assert said == expected and len({sentence.partition(". ")[2] for sentence in said}) > 8


@pytest.mark.parametrize(
    ("typed", "start"),
    [
        ("[4, 3, 0.5, 16]", "Right."),
        ("4 3 .5 16", "Right."),
        ("4; 3; 5e-1; +16", "Right."),
        ("−4, −3, −0.5, −16", "Not yet. The size is right"),
        ("4, 3, 0.5", "Exercise 0.3 asks for 4 numbers"),
        ("4, 3, 0.5, 0x10", "Exercise 0.3 asks for 4 numbers"),
        ("four", "Exercise 0.3 asks for 4 numbers"),
        ("", "Exercise 0.3 asks for 4 numbers"),
        (
            "5, 5, 5, 5",
            "Not yet. The form is right, the numbers are not. Asked for: TP, FP, FN, TN.",
        ),
    ],
)
def test_numbers_are_read_as_readers_type_them(page: Page, typed: str, start: str) -> None:
    asked = ["0.3", task_of("0.3", ANSWERS["0.3"]), typed]
    assert page.evaluate("(each) => exerciseVerdict(...each)", asked).startswith(start)


@pytest.mark.parametrize(
    ("number", "typed"),
    [("0.2", "0,088"), ("0.2", "1,088"), ("0.3", "4; 3; 0,5"), ("0.3", "4; 3; 0,5; 16")],
)
def test_a_decimal_comma_is_refused_with_what_to_write(page: Page, number: str, typed: str) -> None:
    said = page.evaluate(
        "(each) => exerciseVerdict(...each)", [number, task_of(number, ANSWERS[number]), typed]
    )
    assert said.startswith(f"Exercise {number} asks for") and "write 0.5 and 1000" in said


def test_forms_work_with_the_keyboard(page: Page) -> None:
    told = page.locator("output")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert told.nth(0).inner_text() == "Right. It is so."
    page.keyboard.press("ArrowDown")
    assert told.nth(0).inner_text() == ""
    page.get_by_label("The share, with three digits").fill("0.5")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert told.nth(1).inner_text() == "Not yet. chance"


def test_the_options_are_those_of_the_text_and_stay_on_paper(page: Page) -> None:
    assert page.locator("ul").count() == 0 and page.locator("label i").count() == 3
    assert page.locator("form:visible").count() == 3
    page.emulate_media(media="print")
    assert page.locator("label i:visible").count() == 3
    assert page.locator(":is(input, button, output):visible").count() == 0


def test_accessibility_engine_has_no_findings(page: Page) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python"
    )
    page.get_by_role("button").nth(1).click()
    assert axe.Axe().run(page).response["violations"] == []


def test_without_scripts_the_question_stands_alone(chromium: Browser, page: Page) -> None:
    context = chromium.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(page.url)
    assert plain.locator("li:visible").count() == 3 and plain.locator("form:visible").count() == 0
    context.close()

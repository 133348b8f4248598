"""What `check` says to right, wrong and odd answers."""

import json
import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from answer_task import near
from answers import as_json, read_answers

from ood_lib import exercises
from ood_lib.exercises import cell_of, check

SAMPLE = """
"1.1":
  kind: choice
  ask: Which of the three?
  options: {a: The first., b: The second., c: The third.}
  answer: b
  because: It stands in the middle – as ever.
  wrong: {a: That is before it., c: That is behind it.}
"1.2":
  kind: number
  ask: The precision, with three digits
  answer: 0.088
  within: 0.0006
  because: Three of thirty-four are true.
  wrong: {0.95: That is the recall., 0.5: That is chance., 3: That counts., 34: All., 0.161: F1.}
"1.3":
  kind: numbers
  ask: TP, FP, FN and TN, in this order
  answer: [4, 3, 0, 16]
  within: 0
  because: They add up to 23.
  wrong:
    "[3, 3, 1, 16]": One was missed that was found.
    "[4, 3, 0, 23]": That is the number of all.
    "[4, 19, 0, 0]": All were called true.
    "[0, 0, 4, 19]": None was called true.
    "[16, 0, 3, 4]": True and false are exchanged.
"1.4":
  kind: number
  ask: The entropy in nats
  answer: 2.0794
  within: 0.0001
  because: It is three times log 2.
  wrong: {8: a count, 0.125: a share, 1: a maximum, 0: a minimum, 4: a half}
"1.5":
  kind: number
  ask: The percentage
  answer: 62.5
  within: 0.05
  because: Five of eight.
  wrong: {5: a count, 8: a count, 3: a count, 37.5: the others, 160: turned over}
"""


@pytest.fixture(autouse=True)
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    (tmp_path / "01.yml").write_text(SAMPLE, encoding="utf-8")
    made = json.loads(as_json(read_answers(tmp_path)))
    monkeypatch.setattr(exercises, "_tasks", lambda: made)
    return made


@pytest.mark.parametrize(
    ("number", "answer", "start"),
    [
        ("1.1", "b", "Right. It stands in the middle – as ever."),
        ("1.1", " (B) ", "Right."),
        ("1.1", "a", "Not yet. That is before it."),
        ("1.2", 0.088, "Right. Three of thirty-four are true."),
        ("1.2", np.float32(0.0882), "Right."),
        ("1.2", torch.tensor(0.0882, requires_grad=True), "Right."),
        ("1.2", [0.088], "Right."),
        ("1.2", Fraction(3, 34), "Right."),
        ("1.2", 0.9503, "Not yet. That is the recall."),
        ("1.2", 8.8, "Not yet. That is a percentage; a share"),
        ("1.2", 0.912, "Not yet. That is 1 minus what is asked"),
        ("1.2", -0.088, "Not yet. The size is right, the sign is not."),
        ("1.2", 11.36, "Not yet. That is 1 divided by what is asked"),
        (
            "1.2",
            0.7,
            "Not yet. The form is right, the number is not. Asked for: The precision, with",
        ),
        ("1.2", 1e308, "Not yet. The form is right, the number is not."),
        ("1.3", [4, 3, 0, 16], "Right. They add up to 23."),
        ("1.3", np.array([4.0, 3, 0, 16]), "Right."),
        ("1.3", (4, 3, 0, 23), "Not yet. That is the number of all."),
        ("1.3", [16, 4, 3, 0], "Not yet. These are the right numbers in another order."),
        ("1.3", [4, 3, 1, 2], "Not yet. Right so far: 2 of 4."),
        (
            "1.3",
            [5, 5, 5, 5],
            "Not yet. The form is right, the numbers are not. Asked for: TP, FP, FN",
        ),
        ("1.4", math.log(8), "Right."),
        ("1.4", 3, "Not yet. That is right with a logarithm of another base."),
        ("1.4", math.log10(8), "Not yet. That is right with a logarithm of another base."),
        ("1.5", 0.625, "Not yet. That is a share from 0 to 1; a percentage is asked."),
    ],
)
def test_an_answer_gets_its_sentence(
    number: str, answer: object, start: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(number, answer) is None
    said = capsys.readouterr().out
    assert said.startswith(start) and said.count("\n") == 1


def test_the_dots_are_to_be_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    check("1.2", ...)
    check("1.2")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == said[1] and said[0].startswith("Exercise 1.2 asks for a number, such as 0.5:")
    assert said[0].endswith(
        "The precision, with three digits. Put your answer in place of the dots."
    )


ODD = [None, True, "", "0.088", "x", 1j, math.nan, math.inf, 10**400, {"a": 1}, np.bool_(True)]


@pytest.mark.parametrize("answer", [*ODD, [1, 2], np.zeros((2, 2)), np.float64, [[1], 2, 3, 4]])
def test_another_form_than_is_asked_is_said_and_raises_nothing(
    answer: object, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in ("1.1", "1.2", "1.3"):
        check(number, answer)
    assert capsys.readouterr().out.splitlines() == [
        'Exercise 1.1 asks for a letter, "a" to "c": Which of the three?',
        "Exercise 1.2 asks for a number, such as 0.5: The precision, with three digits.",
        "Exercise 1.3 asks for 4 numbers, such as [1, 2, 3, 4]: TP, FP, FN and TN, in this order.",
    ]


def test_a_decimal_comma_is_refused_with_what_to_write(capsys: pytest.CaptureFixture[str]) -> None:
    check("1.2", "0,088")
    said = capsys.readouterr().out
    assert said.startswith("Exercise 1.2 asks for a number") and "write 0.5 and 1000" in said


@pytest.mark.parametrize("number", ["1.9", "", "9.9", 1.2, None, ["1.2"]])
def test_an_unknown_exercise_is_refused_with_those_that_there_are(number: object) -> None:
    told = rf"check\({re.escape(repr(number))}, \.\.\.\): .*quotation marks; there are 1\.1, 1\.2"
    with pytest.raises(ValueError, match=told):
        check(number, 1)  # type: ignore[arg-type]


def test_numbers_are_taken_within_the_tolerance_and_never_beyond_twice_of_it() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2000):
        within = 10 ** rng.uniform(-5, 1)
        value = float(np.round(rng.normal() * 10 ** rng.uniform(-3, 4), 4))
        cells = near(value, within, within / 2)
        inside = [value - within, value + within, *(value + within * rng.uniform(-1, 1, 5))]
        outside = value + within * np.array([-2.001, 2.001, *rng.uniform(2.001, 50, 3)])
        assert all(cell_of(x, within / 2) in cells for x in inside)
        assert not any(cell_of(x, within / 2) in cells for x in outside)


def test_the_file_tells_no_solution(tasks: dict) -> None:
    text = json.dumps(tasks)
    for words in ("0.088", "2.0794", "62.5", "[4, 3", "stands in the middle", "add up to 23"):
        assert words not in text


def test_the_reason_can_be_read_with_any_answer_that_is_near_enough(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for answer in np.linspace(0.0874, 0.0886, 50):
        check("1.2", answer)
    assert set(capsys.readouterr().out.splitlines()) == {"Right. Three of thirty-four are true."}

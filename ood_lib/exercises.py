"""Exercises that check themselves: is an answer right, and if not, what went wrong?

    check("3.1", "b")
    check("3.4", 0.088)
    check("4.1", [4, 3, 0, 16])

No solution can be read in ``answers.json``, which ``book/tools/answers.py`` makes: a number is a
cell of a grid, a letter its place in the alphabet, and of the cells that are near enough only
fingerprints are kept. On the pages ``check.js`` computes the same.
"""

import json
import math
import re
from collections.abc import Iterator
from functools import cache
from numbers import Real
from pathlib import Path
from typing import Any

LETTERS = "abcdef"
_FAR = 1e15  # numbers beyond lie in the grid's last cells
_POINT = "A comma parts numbers: write 0.5 and 1000, not 0,5 and 1,000."


def check(exercise: str, answer: Any = ...) -> None:
    """Say whether `answer`, a letter or numbers, is right; ValueError for an unknown exercise."""
    tasks = _tasks()
    if not isinstance(exercise, str) or exercise not in tasks:
        near = [name for name in tasks if name.split(".")[0] == str(exercise).split(".")[0]]
        raise ValueError(
            f"check({exercise!r}, ...): no exercise of this number has a check. Write what "
            f"stands above the exercise, in quotation marks; there are {', '.join(near or tasks)}."
        )
    print(verdict(exercise, tasks[exercise], answer))


def verdict(exercise: str, task: dict[str, Any], answer: Any) -> str:
    """What is said to `answer`; `task` is the exercise's entry in ``answers.json``."""
    asked = f"Exercise {exercise} asks for {_form(task)}: {task['ask']}"
    if answer is ...:
        return f"{asked} Put your answer in place of the dots."
    values = _read(task, answer)
    if values is None:
        has_comma = isinstance(answer, str) and re.search(r"\d,\d", answer)
        return f"{asked} {_POINT}" if has_comma else asked
    marks = _marks(exercise, task, values)
    if _fits(marks, task["right"]):
        pairs = zip(values, marks, task["right"], strict=True)
        first = [cell_of(value, task["step"]) - slot.index(mark) for value, mark, slot in pairs]
        return f"Right. {cover(exercise, first, bytes.fromhex(task['because'])).decode()}"
    hints = (hint for hint, slots in task["wrong"] if _fits(marks, slots))
    return f"Not yet. {next(hints, None) or _guess(exercise, task, values)}"


def cell_of(value: float, step: float) -> int:
    """The cell in which `value` lies, of a grid whose cells are `step` wide."""
    return math.floor(max(-_FAR, min(_FAR, value)) / step + 0.5)


def fingerprint(exercise: str, text: object) -> str:
    """FNV-1a, 12 hexadecimal digits of its 64 bits; the exercise's number is the salt."""
    value = 0xCBF29CE484222325
    for byte in f"{text}:{exercise}".encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value >> 16:012x}"


def cover(exercise: str, first: list[int], text: bytes) -> bytes:
    """`text` under a key made of the first cells that are right; covered again, it can be read."""
    cells = ",".join(map(str, first))
    blocks = range(math.ceil(len(text) / 6))
    key = "".join(fingerprint(exercise, f"key {block} {cells}") for block in blocks)
    return bytes(a ^ b for a, b in zip(text, bytes.fromhex(key), strict=False))


@cache
def _tasks() -> dict[str, dict[str, Any]]:
    return json.loads(Path(__file__).with_name("answers.json").read_text(encoding="utf-8"))


def _form(task: dict[str, Any]) -> str:
    count = task["count"]
    if task["kind"] == "choice":
        return f'a letter, "a" to "{LETTERS[count - 1]}"'
    numbers = ", ".join(map(str, range(1, count + 1)))
    return "a number, such as 0.5" if count == 1 else f"{count} numbers, such as [{numbers}]"


def _read(task: dict[str, Any], answer: Any) -> list[float] | None:
    """The answer as numbers, a letter as its place; None where another form is asked for."""
    answer = _plain(answer)
    if task["kind"] == "choice":
        letter = answer.strip(" ().").lower() if isinstance(answer, str) else ""
        place = LETTERS.find(letter) if len(letter) == 1 else -1
        return [place] if 0 <= place < task["count"] else None
    given = [_plain(each) for each in (answer if isinstance(answer, list | tuple) else [answer])]
    is_asked = len(given) == task["count"] and all(map(_is_finite, given))
    return list(map(float, given)) if is_asked else None


def _plain(value: Any) -> Any:
    """Numbers, arrays and tensors as Python has them."""
    return value.tolist() if hasattr(value, "tolist") and not isinstance(value, type) else value


def _is_finite(value: Any) -> bool:
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _marks(exercise: str, task: dict[str, Any], values: list[float]) -> list[str]:
    return [fingerprint(exercise, cell_of(value, task["step"])) for value in values]


def _fits(marks: list[str], slots: list[list[str]]) -> bool:
    return all(mark in slot for mark, slot in zip(marks, slots, strict=True))


def _guess(exercise: str, task: dict[str, Any], values: list[float]) -> str:
    """The frequent mistake that leads from what is right to `values`, or else what is asked."""
    for meant, hint in _undone(values):
        if _fits(_marks(exercise, task, meant), task["right"]):
            return hint
    marks = _marks(exercise, task, values)
    left = list(marks)
    for slot in task["right"]:
        if found := [mark for mark in left if mark in slot]:
            left.remove(found[0])
    if not left:
        return "These are the right numbers in another order."
    if right := sum(map(list.__contains__, task["right"], marks)):
        return f"Right so far: {right} of {len(marks)}."
    wrong = "number is" if task["count"] == 1 else "numbers are"
    return f"The form is right, the {wrong} not. Asked for: {task['ask']}"


def _undone(values: list[float]) -> Iterator[tuple[list[float], str]]:
    """What would be meant, had one of the frequent mistakes been made, and what that mistake is."""
    if all(0 <= x <= 100 for x in values):
        yield [x / 100 for x in values], "That is a percentage; a share from 0 to 1 is asked."
    if all(0 <= x <= 1 for x in values):
        yield [x * 100 for x in values], "That is a share from 0 to 1; a percentage is asked."
    if all(0 <= x <= 1 for x in values) and any(0 < x < 1 for x in values):
        yield [1 - x for x in values], "That is 1 minus what is asked: the share of the others."
    yield [-x for x in values], "The size is right, the sign is not."
    if all(values):
        yield [1 / x for x in values], "That is 1 divided by what is asked; turn it over."
    for factor in (math.log(2), 1 / math.log(2), math.log(10), 1 / math.log(10)):
        yield [x * factor for x in values], "That is right with a logarithm of another base."

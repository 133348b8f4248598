"""An exercise as `ood_lib.exercises` and `check.js` read it, so that no solution can be read."""

import math
from typing import Any

from answer_kinds import Choice, Numbers

from ood_lib.exercises import cell_of, cover, fingerprint

EXACT = 1e-9  # the width of a cell where nothing was rounded


def task_of(name: str, exercise: Choice | Numbers) -> dict[str, Any]:
    """An exercise as `ood_lib.exercises` reads it."""
    is_choice = isinstance(exercise, Choice)
    step = 1 if is_choice else exercise.within / 2 or EXACT
    right = exercise.numbers(exercise.answer)
    cells = [near(value, exercise.within, step) for value in right]
    wrong = [(hint, exercise.numbers(answer)) for answer, hint in exercise.wrong.items()]

    def slots(values: list[float], within: float) -> list[list[str]]:
        return [[fingerprint(name, cell) for cell in near(x, within, step)] for x in values]

    def alone(values: list[float]) -> float:
        """So near that the cells of no other wrong answer are met."""
        gaps = [apart(values, other) for _, other in wrong if other != values]
        return max(0.0, min([exercise.within, *(gap / 2 - step for gap in gaps)]))

    return {
        "kind": exercise.kind,
        "ask": exercise.sentence,
        "count": len(exercise.options) if is_choice else len(right),
        "step": step,
        "right": slots(right, exercise.within),
        "because": cover(name, [each[0] for each in cells], exercise.because.encode()).hex(),
        "wrong": [[hint, slots(values, alone(values))] for hint, values in wrong],
    }


def apart(values: list[float], others: list[float]) -> float:
    """The largest difference of one of the numbers."""
    return max(abs(x - y) for x, y in zip(values, others, strict=True))


def near(value: float, within: float, step: float) -> range:
    """The cells that hold what is `within` of `value`, and nothing beyond `within` + `step`."""
    reach = within * (1 + 1e-9) + 4 * math.ulp(value)  # a sum of floats may be a little more
    return range(cell_of(value - reach, step), cell_of(value + reach, step) + 1)

"""Make `ood_lib/answers.json`, by which exercises check themselves, from `book/answers/*.yml`.

    python book/tools/answers.py [--check]

Each file has the exercises of the notebook whose name begins like its own. What is wrong in one is
said in a sentence. The library's file holds no solution that can be read (`ood_lib.exercises`);
with `--check` it is only compared.
"""

import argparse
import json
import math
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from ood_lib.exercises import LETTERS, cell_of, cover, fingerprint, verdict
from ood_lib.files import atomic_path

EXACT = 1e-9  # the width of a cell where nothing was rounded
FEWEST = 5  # wrong answers of an exercise that asks for numbers
MARKUP = re.compile(r"\$|`|\*\*|\\[a-z]")
Words = Annotated[str, Field(min_length=3)]
Value = Annotated[float, Field(allow_inf_nan=False)]


class Exercise(BaseModel):
    """What `book/answers` has of an exercise; `wrong` gives likely mistakes their words."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, str_strip_whitespace=True)
    kind: str
    ask: Words
    because: Words
    wrong: dict[Any, Words]

    @model_validator(mode="after")
    def is_plain_text(self) -> Self:
        """The notebook prints these words, so they have no Markdown and no formulas."""
        for text in (self.ask, self.because, *self.wrong.values()):
            if found := MARKUP.search(text):
                raise ValueError(f"write plain text, without {found[0]!r}: {text[:60]!r}")
        return self


class Choice(Exercise):
    """One of some options is right, and each of the others has its words."""

    kind: Literal["choice"]
    options: dict[str, Words]
    answer: str
    within: Literal[0] = 0

    @model_validator(mode="after")
    def has_words_for_all_others(self) -> Self:
        """The options are a, b, c, ..., and those that are wrong are in `wrong`."""
        letters = list(LETTERS[: len(self.options)])
        if len(letters) < 2 or list(self.options) != letters:
            raise ValueError(f"name the options a, b, c, ... in order, not {list(self.options)}")
        if self.answer not in letters or set(self.wrong) != set(letters) - {self.answer}:
            raise ValueError("answer must be one of the options, and wrong must have all others")
        return self

    def numbers(self, answer: Any) -> list[float]:
        """The place of a letter."""
        return [float(LETTERS.index(answer))]


class Numbers(Exercise):
    """One number is asked for, or some in order, each right if it is `within` of the solution."""

    kind: Literal["number", "numbers"]
    answer: Value | Annotated[list[Value], Field(min_length=2, max_length=8)]
    within: Annotated[float, Field(ge=0, allow_inf_nan=False)]

    @model_validator(mode="after")
    def has_enough_mistakes(self) -> Self:
        """At least `FEWEST` wrong answers, each with as many numbers as the solution."""
        if (self.kind == "number") is isinstance(self.answer, list):
            raise ValueError("of the kind number the answer is one, of the kind numbers a list")
        if len(self.wrong) < FEWEST:
            raise ValueError(f"wrong has {len(self.wrong)} answers, expected at least {FEWEST}")
        for answer in self.wrong:
            if len(self.numbers(answer)) != len(self.numbers(self.answer)):
                raise ValueError(f"the wrong answer {answer} has not as many numbers as the right")
        return self

    def numbers(self, answer: Any) -> list[float]:
        """The numbers of a solution, or of a key of `wrong`, which may be a text."""
        try:
            read = json.loads(answer) if isinstance(answer, str) else answer
            return list(map(float, read if isinstance(read, list) else [read]))
        except (ValueError, TypeError):
            raise ValueError(f"{answer!r} is no number, and no list of numbers in quotes") from None


def read_answers(folder: Path) -> dict[str, Choice | Numbers]:
    """All exercises with a check, by number. ValueError says what is wrong in which file."""
    kinds = TypeAdapter(Annotated[Choice | Numbers, Field(discriminator="kind")])
    found: dict[str, Choice | Numbers] = {}
    for path in sorted(folder.glob("*.yml")):
        for name, values in (yaml.safe_load(path.read_text("utf-8")) or {}).items():
            where = f"{path.name}: exercise {name}"
            if not isinstance(name, str) or name in found:
                raise ValueError(f"{where} must stand once, its number in quotation marks")
            try:
                found[name] = kinds.validate_python(values)
            except ValidationError as error:
                first = error.errors()[0]
                place = " ".join(map(str, first["loc"][1:]))
                raise ValueError(f"{where}: {place} {first['msg']}") from None
            if problem := mistake_in(name, found[name]):
                raise ValueError(f"{where}: {problem}")
    return found


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


def mistake_in(name: str, exercise: Choice | Numbers) -> str | None:
    """What a reader would meet: a wrong answer that passes or has another's words, or words that
    give the solution away."""
    task = task_of(name, exercise)
    for answer, hint in exercise.wrong.items():
        given = answer if isinstance(exercise, Choice) else exercise.numbers(answer)
        said = verdict(name, task, given)
        if said.startswith("Right"):
            return f"the wrong answer {answer} is as near to the solution as a right one"
        if said != f"Not yet. {hint}":
            return f"the wrong answer {answer} cannot be told from one above it: {said!r}"
        if tells(hint, exercise, answer):
            return f"the words for {answer} give the solution away: {hint!r}"
    return None


def tells(text: str, exercise: Choice | Numbers, answer: Any) -> bool:
    """Whether `text` has a letter or number of the solution that `answer` has not.

    Whole numbers are too common to tell.
    """
    if isinstance(exercise, Choice):
        return f"({exercise.answer})" in text
    found = set(map(float, re.findall(r"-?\d+\.\d+", text))) - set(exercise.numbers(answer))
    return any(x in found for x in exercise.numbers(exercise.answer) if not x.is_integer())


def as_json(exercises: dict[str, Choice | Numbers]) -> str:
    """The library's file: a line for each exercise, in order of their numbers."""
    lines = (
        f"{json.dumps(name)}: {json.dumps(task_of(name, exercises[name]), ensure_ascii=False)}"
        for name in sorted(exercises)
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    """Write the library's file, or compare it."""
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether it is outdated")
    is_check, path = parser.parse_args().check, root / "ood_lib/answers.json"
    try:
        exercises = read_answers(root / "book/answers")
    except (ValueError, yaml.YAMLError) as error:
        sys.exit(f"book/answers/{error}.")
    made = as_json(exercises)
    if is_check and (not path.is_file() or path.read_text("utf-8") != made):
        sys.exit("ood_lib/answers.json is outdated; make it again: python book/tools/answers.py")
    if not is_check:
        with atomic_path(path) as aside:
            aside.write_text(made, encoding="utf-8")
    print(f"{len(exercises)} exercises check themselves.")


if __name__ == "__main__":
    main()

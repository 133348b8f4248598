"""Make `ood_lib/answers.json`, by which exercises check themselves, from `book/answers/*.yml`.

    python book/tools/answers.py [--check]

Each file has the exercises of the notebook whose name begins like its own. What is wrong in one is
said in a sentence. The library's file holds no solution that can be read (`ood_lib.exercises`);
with `--check` it is only compared.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import yaml
from answer_kinds import Choice, Numbers
from answer_task import task_of
from pydantic import Field, TypeAdapter, ValidationError

from ood_lib.exercises import verdict
from ood_lib.files import atomic_path


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

"""All exercises of the notebooks in one file of Markdown, for sheets and examinations.

    python book/tools/question_bank.py [--solutions] [--out _build/questions.md]

Each has its number and kind, under the title of its chapter. Solutions are left out unless they
are asked for; where none is printed in the notebook, the answer is that of ``book/answers``.
"""

import argparse
from pathlib import Path

import nbformat
import yaml
from exercises import Exercise, read_exercises

OPENING = """# Questions

The exercises of *The Thing on the Road* in the order of its chapters. Each says its kind: *Recall*
is answered from memory, *Compute* with a pencil or a few lines of code, *Explore* in the notebook.
"""


def question_bank(root: Path, solutions: bool = False) -> str:
    """The file's text, from the notebooks of the repository at ``root``."""
    parts = [OPENING]
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        title = cells[0].source.partition("\n")[0]
        parts.append(f"#{title}\n\nFrom `notebooks/{path.name}`.\n")
        answers = read_answers(root, path) if solutions else {}
        for exercise in read_exercises(cells):
            parts.append(f"### {exercise.number} ({exercise.kind})\n\n{exercise.question}\n")
            if solutions:
                parts.append(f"**Solution.** {solution_of(exercise, answers)}\n")
    return "\n".join(parts)


def read_answers(root: Path, notebook: Path) -> dict[str, dict]:
    """What the checks of a notebook know, by the exercise's number."""
    path = root / "book/answers" / f"{notebook.stem.split('_')[0]}.yml"
    return yaml.safe_load(path.read_text("utf-8")) if path.is_file() else {}


def solution_of(exercise: Exercise, answers: dict[str, dict]) -> str:
    """The printed solution, or else the answer and its reason."""
    known = answers.get(exercise.number)
    if exercise.solution or known is None:
        return exercise.solution or "None is printed."
    return f"{known['answer']}. {known['because']}"


def main() -> None:
    """Write the question bank of the repository in the current folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--solutions", action="store_true", help="for teachers: with solutions")
    parser.add_argument("--out", type=Path, default=Path("_build/questions.md"))
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(question_bank(Path(), options.solutions), "utf-8")
    print(f"The exercises: {options.out}")


if __name__ == "__main__":
    main()

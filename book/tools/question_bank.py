"""All exercises of the notebooks in one file of Markdown, for sheets and examinations.

    python book/tools/question_bank.py [--solutions] [--out _build/questions.md]

Each has its number and kind, under the title of its chapter; there the code of cells tagged
``given`` is printed, too, for it holds what exercises refer to. Solutions are left out unless they
are asked for; where none is printed in the notebook, the answer is that of ``book/answers``.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from answer_kinds import Choice, Numbers
from answers import read_answers
from chapter import Chapter, read_chapter, tags
from exercises import Exercise, read_exercises

OPENING = """# Questions

All exercises of *The Thing on the Road*, a book of notebooks about things that a segmentation
network has never seen, in the order of its chapters: for sheets and examinations. Each says its
kind: *Recall* is answered from memory, *Compute* with a pencil or a few lines of code, *Explore* in
the notebook that is named beneath the chapter's title. *Asked for* says in which form the
notebook's check takes an answer. Formulas are TeX between dollar signs, as Jupyter and pandoc read
them.
"""
GIVEN = "*Given*, what some exercises refer to:\n\n```python\n{}\n```\n"


def question_bank(root: Path, solutions: bool = False) -> str:
    """The file's text, from the notebooks of the repository at ``root``."""
    answers = read_answers(root / "book/answers")
    chapters = map(read_chapter, sorted((root / "notebooks").glob("*.ipynb")))
    parts = [part for chapter in chapters for part in questions_of(chapter, answers, solutions)]
    return "\n".join([OPENING, *parts])


def questions_of(
    chapter: Chapter, answers: dict[str, Choice | Numbers], solutions: bool
) -> Iterator[str]:
    """A chapter's part of the file, in pieces."""
    title = chapter.cells[0].source.partition("\n")[0]
    yield f"#{title}\n\nFrom `notebooks/{chapter.path.name}`.\n"
    yield from (GIVEN.format(cell.source) for cell in chapter.code if "given" in tags(cell))
    for exercise in read_exercises(chapter.cells):
        known = answers.get(exercise.number)
        yield f"### {exercise.number} ({exercise.kind})\n\n{exercise.question}\n"
        if known:
            yield f"*Asked for:* {known.sentence}\n"
        if solutions:
            yield f"**Solution.** {solution_of(exercise, known)}\n"


def solution_of(exercise: Exercise, known: Choice | Numbers | None) -> str:
    """The printed solution, or else the answer and its reason."""
    if exercise.solution or known is None:
        return exercise.solution or "None is printed."
    return f"{known.answer}. {known.because}"


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

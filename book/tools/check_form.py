"""The cells `check("3.4", ...)` of the notebooks as small forms on the page (`check.js`)."""

import json
from html import escape

from answer_kinds import Choice, Numbers
from answer_task import task_of
from exercises import CHECK
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell


def check_source(exercise: str) -> str:
    """The source of the cell in which a reader answers an exercise."""
    return f'check("{exercise}", ...)  # your answer in place of the dots'


def replace_checks(notebook: NotebookNode, answers: dict[str, Choice | Numbers], name: str) -> None:
    """Put forms in the place of all cells tagged `check`. ValueError for one without an answer."""
    by_source = {check_source(number): number for number in answers}
    for place, cell in enumerate(notebook.cells):
        if CHECK in cell.metadata.get("tags", []):
            if cell.source not in by_source:
                raise ValueError(f"{name}: book/answers has nothing for the cell {cell.source!r}")
            number = by_source[cell.source]
            block = f"```{{raw}} html\n{form(number, answers[number])}\n```"
            notebook.cells[place] = new_markdown_cell(block, id=cell.id)


def form(number: str, exercise: Choice | Numbers) -> str:
    """The form of one exercise, hidden until its script runs; its solution cannot be read there."""
    ask = escape(exercise.ask)
    if isinstance(exercise, Choice):
        options = "\n".join(
            f'<label><input type="radio" name="answer" value="{letter}">'
            f"<span>({letter}) {escape(words)}</span></label>"
            for letter, words in exercise.options.items()
        )
        fields = f"<fieldset><legend>{ask}</legend>\n{options}\n</fieldset>"
    else:
        place = f"answer-{number.replace('.', '-')}"
        field = (
            f'<input type="text" id="{place}" name="answer" autocomplete="off" spellcheck="false">'
        )
        fields = f'<label for="{place}">{ask}</label>\n{field}'
    data = json.dumps({"exercise": number, "task": task_of(number, exercise)}, ensure_ascii=False)
    data = data.replace("<", r"\u003c")  # so that no text can end the script
    return (
        f'<form class="check check-{exercise.kind}" aria-label="Exercise {number}" hidden>\n'
        f'{fields}\n<button type="submit">Check</button>\n<output aria-live="polite"></output>\n'
        f'<script type="application/json">{data}</script>\n</form>'
    )

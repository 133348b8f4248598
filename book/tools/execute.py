"""Execute one notebook with papermill; the result appears whole or not at all.

    python book/tools/execute.py notebooks/03_x.ipynb _build/executed/03_x.ipynb -p seed 1 -p
    threshold 0.6

The same parameters go to every notebook of the book: each takes those that its parameters cell has.
A name that no notebook beside it has is an error, where papermill would only warn.
"""

import argparse
import ast
import difflib
import os
import sys
import time
from pathlib import Path
from typing import Any

import papermill
from forked_kernels import let_kernels_be_forked
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError

SECONDS = 10  #: between two times that what ran so far is saved


class SavedNowAndThen(NBClientEngine):
    """Saves a notebook every few seconds: papermill would at each cell, twice."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: NotebookExecutionManager, kernel_name: str, **options: Any
    ) -> None:
        """As papermill's, which saves once more at its end."""
        save, last = nb_man.save, time.monotonic()

        def save_now_and_then(**how: Any) -> None:
            nonlocal last
            if time.monotonic() - last >= SECONDS:
                last = time.monotonic()
                save(**how)

        nb_man.save = save_now_and_then
        super().execute_managed_notebook(nb_man, kernel_name, **options)


def select_parameters(notebook: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """Those of ``wanted`` that ``notebook`` has. Raises ValueError for a name that no notebook in
    its folder has."""
    known = {
        path: set(papermill.inspect_notebook(str(path)))
        for path in sorted(notebook.parent.glob("*.ipynb"))
    }
    anywhere = sorted(set().union(*known.values()))
    for name in wanted:
        if name not in anywhere:
            guess = difflib.get_close_matches(name, anywhere, n=1)
            meant = f" Did you mean {guess[0]!r}?" if guess else ""
            raise ValueError(
                f"no notebook has a parameter {name!r}.{meant} There are: {', '.join(anywhere)}."
            )
    return {name: value for name, value in wanted.items() if name in known[notebook]}


def typed(value: str) -> Any:
    """``value`` as Python reads it: a number, True, None, ...; a text if it is none of these."""
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


def execute(notebook: Path, result: Path, parameters: dict[str, Any]) -> None:
    """Run papermill. Raises PapermillExecutionError if a cell fails; what ran is then in a file
    beside ``result``."""
    result.parent.mkdir(parents=True, exist_ok=True)
    unfinished = result.with_suffix(".unfinished.ipynb")
    kernel = [
        "--log-level=CRITICAL",  # errors in cells are raised here
        f"--IPKernelApp.exec_files={Path(__file__).with_name('figure_output.py')}",
    ]
    let_kernels_be_forked()
    papermill_engines.register("now and then", SavedNowAndThen)
    how = {"engine_name": "now and then", "progress_bar": False, "extra_arguments": kernel}
    papermill.execute_notebook(notebook, unfinished, parameters, **how)
    os.replace(unfinished, result)


def main() -> None:
    """Read the command line and execute."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument(
        "-p", "--parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE")
    )
    options = parser.parse_args()
    wanted = {name: typed(value) for name, value in options.parameters}
    try:
        execute(options.notebook, options.result, select_parameters(options.notebook, wanted))
    except ValueError as error:
        sys.exit(f"{options.notebook}: {error}")
    except PapermillExecutionError as error:
        print(error, file=sys.stderr)
        sys.exit(
            f"{options.notebook} failed; "
            f"what ran of it is in {options.result.with_suffix('.unfinished.ipynb')}"
        )


if __name__ == "__main__":
    main()

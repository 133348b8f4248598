"""`python -m ood_lib.data check --root DIR [--profile NAME]`: what of the data sets is there, and what to do."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ood_lib.data import DATASETS
from ood_lib.data.doctor import NEEDED, examine, judge, report
from ood_lib.profiles import Settings, load_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report and return the exit code: 1 if there is no such folder or the profile cannot run, else 0."""
    parser = argparse.ArgumentParser(prog="python -m ood_lib.data", description="Looks after the data sets.")
    check = parser.add_subparsers(required=True, metavar="check").add_parser(
        "check", help="say what of the data sets is there, whether it can be read, and where to get the rest"
    )
    check.add_argument("--root", type=Path, required=True, help="the folder that holds the data sets' own folders")
    check.add_argument("--profile", help="a profile, or the path of its .yml: say whether it can run on this data")
    arguments = parser.parse_args(argv)
    root = arguments.root.expanduser()
    if not root.is_dir():
        folders = ", ".join(dict.fromkeys(dataset.folder for dataset in DATASETS.values()))
        print(f"There is no folder {root}. Give as --root the one that holds {folders}.", file=sys.stderr)
        return 1
    try:
        settings = load_settings(arguments.profile, data_root=root) if arguments.profile is not None else None
    except ValueError as error:
        check.error(str(error))
    try:
        return _check(root, settings)
    except OSError as error:
        print(f"{root} cannot be read ({error}). Give a folder that you may read.", file=sys.stderr)
        return 1


def _check(root: Path, settings: Settings | None) -> int:
    table = examine(root)
    print(report(table, NEEDED if settings else ()))
    if settings is None:
        return 0
    can_run, sentence = judge(table, settings)
    print(f"\n{sentence}")
    return 0 if can_run else 1


if __name__ == "__main__":
    sys.exit(main())

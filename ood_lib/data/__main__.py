"""`python -m ood_lib.data check --root DIR [--profile NAME]`: what is there, and what to do."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ood_lib.data import DATASETS
from ood_lib.data.doctor import NEEDED, examine, judge, report
from ood_lib.files import user_path


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report; the exit code is 1 if there is no folder or the profile cannot run."""
    from ood_lib.settings import load_settings  # which itself imports the data sets

    parser = argparse.ArgumentParser("python -m ood_lib.data", description="Checks the data sets.")
    check = parser.add_subparsers(required=True, metavar="check").add_parser(
        "check", help="say what of the data sets is there and can be read, and where the rest is"
    )
    option = check.add_argument
    option("--root", type=Path, required=True, help="the folder of the data sets' own folders")
    option("--profile", help="a profile, or its .yml: say whether it can run on them")
    option("--details", action="store_true", help="tell of what is incomplete, and count anomalies")
    arguments = parser.parse_args(argv)
    root = user_path(arguments.root)
    if not root.is_dir():
        folders = ", ".join(dict.fromkeys(dataset.folder for dataset in DATASETS.values()))
        print(f"There is no folder {root}. Give the one that holds {folders}.", file=sys.stderr)
        return 1
    try:
        settings = arguments.profile and load_settings(arguments.profile, data_root=root)
        table = examine(root, details=arguments.details)
    except ValueError as error:
        check.error(str(error))
    except OSError as error:
        print(f"{root} cannot be read ({error}). Give another folder.", file=sys.stderr)
        return 1
    can_run, sentence = judge(table, settings) if settings else (True, "")
    text = report(table, NEEDED if settings else (), arguments.details)
    print("\n\n".join(filter(None, [text, sentence])))
    return 0 if can_run else 1


if __name__ == "__main__":
    sys.exit(main())

"""`python -m ood_lib.data check --root DIR [--profile NAME]`: what is there, and what to do.

`python -m ood_lib.data get NAME ... --root DIR [--dry-run]` fetches what anybody may have.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ood_lib.data import DATASETS
from ood_lib.data.doctor import NEEDED, examine, judge, report
from ood_lib.data.sources import sources
from ood_lib.files import user_path


def main(argv: Sequence[str] | None = None) -> int:
    """Check or get; the exit code is 1 if there is no folder, the profile does not exist or cannot
    run, or something could not be fetched."""
    parser = argparse.ArgumentParser("python -m ood_lib.data", description="Data sets.")
    commands = parser.add_subparsers(required=True, metavar="check | get")
    check = commands.add_parser(
        "check", help="say what of the data sets is there and can be read, and where the rest is"
    )
    option = check.add_argument
    option("--root", type=Path, required=True, help="the folder of the data sets' own folders")
    option("--profile", help="a profile, or its .yml: say whether it can run on them")
    option("--details", action="store_true", help="tell of what is incomplete, and count anomalies")
    check.set_defaults(run=_check)
    get = commands.add_parser("get", help="fetch and unpack data sets that need no account")
    option = get.add_argument
    by_hand = [name for name, source in sources().items() if source.is_by_hand]
    option("names", nargs="+", choices=list(sources()), metavar="NAME",
           help=f"of {', '.join(sources())}; a browser first need {' and '.join(by_hand)}")
    option("--root", type=Path, required=True, help="the folder to be of the data sets' folders")
    option("--dry-run", action="store_true", help="only say what, from where and how large")
    get.set_defaults(run=_get)
    arguments = parser.parse_args(argv)
    try:
        return arguments.run(arguments)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same call goes on from here.", file=sys.stderr)
        return 130


def _get(arguments: argparse.Namespace) -> int:
    from ood_lib.data.get import get  # which only this command needs

    get(list(dict.fromkeys(arguments.names)), user_path(arguments.root), arguments.dry_run)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from ood_lib.settings import load_settings  # which itself imports the data sets

    root = user_path(arguments.root)
    if not root.is_dir():
        folders = ", ".join(dict.fromkeys(dataset.folder for dataset in DATASETS.values()))
        raise FileNotFoundError(f"There is no folder {root}. Give the one that holds {folders}.")
    settings = arguments.profile and load_settings(arguments.profile, data_root=root)
    table = examine(root, details=arguments.details)
    print(report(table, NEEDED if settings else (), arguments.details))
    if not settings:
        return 0
    can_run, sentence = judge(table, settings)
    print(f"\n{sentence}")
    return 0 if can_run else 1


if __name__ == "__main__":
    sys.exit(main())

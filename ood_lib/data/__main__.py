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
    """Check or get; the exit code is 1 if there is no folder, the profile cannot run, or something
    could not be fetched."""
    parser = argparse.ArgumentParser("python -m ood_lib.data", description="Data sets.")
    commands = parser.add_subparsers(required=True, metavar="check | get")
    check = commands.add_parser(
        "check", help="say what of the data sets is there and can be read, and where the rest is"
    )
    option = check.add_argument
    option("--root", type=Path, required=True, help="the folder of the data sets' own folders")
    option("--profile", help="a profile, or its .yml: say whether it can run on them")
    option("--details", action="store_true", help="tell of what is incomplete, and count anomalies")
    check.set_defaults(run=lambda arguments: _check(arguments, check))
    get = commands.add_parser("get", help="fetch and unpack data sets that need no account")
    option = get.add_argument
    by_hand = [name for name, source in sources().items() if source.is_by_hand]
    option("names", nargs="+", choices=list(sources()), metavar="NAME",
           help=f"of {', '.join(sources())}; a browser first need {' and '.join(by_hand)}")
    option("--root", type=Path, required=True, help="the folder to be of the data sets' folders")
    option("--dry-run", action="store_true", help="only say what, from where and how large")
    get.set_defaults(run=_get)
    arguments = parser.parse_args(argv)
    return arguments.run(arguments)


def _get(arguments: argparse.Namespace) -> int:
    from ood_lib.data.get import get  # which only this command needs

    try:
        get(list(dict.fromkeys(arguments.names)), user_path(arguments.root), arguments.dry_run)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same call goes on from here.", file=sys.stderr)
        return 130
    return 0


def _check(arguments: argparse.Namespace, check: argparse.ArgumentParser) -> int:
    from ood_lib.settings import load_settings  # which itself imports the data sets

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

"""`python -m ood_lib.studies run NAME --out DIR`, `show DIR`, `pack DIR TO` and `scores TO`."""

import argparse
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from ood_lib.settings import Settings, load_settings
from ood_lib.studies import STUDIES, pack, read_study, run_study
from ood_lib.studies.compare_scores import compare_scores, read_score_record, write_score_record
from ood_lib.studies.records import summarize


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code, 1 if something is wrong."""
    options = _parser().parse_args(argv)
    try:
        options.do(options, load_settings(options.profile, options.data_root))
        return 0
    except (ValueError, OSError, RuntimeError, ModuleNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1


def parse_seeds(text: str) -> list[int]:
    """``0-3,7`` to [0, 1, 2, 3, 7]. ArgumentTypeError for anything else."""
    seeds = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not found:
            raise argparse.ArgumentTypeError(
                f"{text!r} must be whole numbers and ranges, such as 0-49 or 0,2,5-7"
            )
        seeds += range(int(found[1]), int(found[2] or found[1]) + 1)
    return list(dict.fromkeys(seeds))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m ood_lib.studies", description="Repeats runs.")
    commands = parser.add_subparsers(required=True)
    names = "; ".join(f"{name}: {study.about}" for name, study in STUDIES.items())
    run = commands.add_parser("run", help="do the runs of a study that are missing", epilog=names)
    run.add_argument("name", choices=STUDIES)
    run.add_argument("--seeds", type=parse_seeds, help="such as 0-49 or 0,2; by default all")
    run.add_argument("--out", type=Path, required=True, help="the folder of the records")
    run.add_argument("--jobs", type=int, help="processes; by default one a core, or one with a GPU")
    run.add_argument("--cluster", metavar="ADDRESS", help="of a Ray cluster, or auto")
    show = commands.add_parser("show", help="print what came of the runs in a folder")
    show.add_argument("folder", type=Path)
    packed = commands.add_parser("pack", help="copy a folder's current runs to another")
    packed.add_argument("folder", type=Path)
    packed.add_argument("to", type=Path)
    scores = commands.add_parser("scores", help="measure all scores, if that is outdated")
    scores.add_argument("to", type=Path, help="the folder of the record")
    for command, do in ((run, _run), (show, _show), (packed, _pack), (scores, _scores)):
        command.add_argument("--profile", default="miniature", help="its name, or a .yml file")
        command.add_argument("--data-root", type=Path, help="the folder of all data sets")
        command.set_defaults(do=do)
    return parser


def _run(options: argparse.Namespace, settings: Settings) -> None:
    run_study(options.name, settings, options.out, options.seeds, jobs=options.jobs,
              cluster=options.cluster)


def _show(options: argparse.Namespace, settings: Settings) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = read_study(options.folder, settings)
    print(summarize(table).round(4).to_string())
    for warning in caught:
        print(warning.message)
    outdated = table.index[~table["current"]]
    if len(outdated):
        print(f"Of other code, packages, images or weights than today's: {', '.join(outdated)}.")


def _pack(options: argparse.Namespace, settings: Settings) -> None:
    print(f"{pack(options.folder, options.to, settings)} runs are packed in {options.to}.")


def _scores(options: argparse.Namespace, settings: Settings) -> None:
    if read_score_record(options.to, settings) is None:
        write_score_record(compare_scores(settings), options.to)
    print(f"The scores are measured; the record is in {options.to}.")


if __name__ == "__main__":
    sys.exit(main())

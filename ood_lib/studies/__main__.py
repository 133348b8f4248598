"""`python -m ood_lib.studies run NAME --out DIR`, `show DIR`, `pack DIR TO` and `scores TO`."""

import argparse
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from ood_lib.profiles import Settings, load_settings
from ood_lib.studies import STUDIES, pack, read_study, run_study, summarize
from ood_lib.studies.scores import compare_scores, read_score_record, write_score_record


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code, 1 if something is wrong."""
    options = _parser().parse_args(argv)
    try:
        settings = load_settings(options.profile, options.data_root)
        return options.do(options, settings)
    except (ValueError, OSError, RuntimeError, ModuleNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1


def parse_seeds(text: str) -> list[int]:
    """``0-3,7`` to [0, 1, 2, 3, 7]. ArgumentTypeError for anything else."""
    seeds = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not found:
            raise argparse.ArgumentTypeError(f"{text!r} must be whole numbers and ranges, such as 0-49 or 0,2,5-7")
        seeds += range(int(found[1]), int(found[2] or found[1]) + 1)
    return list(dict.fromkeys(seeds))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ood_lib.studies", description="Repeats entropy maximization.")
    commands = parser.add_subparsers(required=True, metavar="run|show|pack|scores")
    names = "; ".join(f"{name}: {study.about}" for name, study in STUDIES.items())
    run = commands.add_parser("run", help="do the runs of a study that are missing", epilog=names)
    run.add_argument("name", choices=STUDIES)
    run.add_argument("--seeds", type=parse_seeds, help="such as 0-49 or 0,2,5-7; by default all of the study")
    run.add_argument("--out", type=Path, required=True, help="the folder of the records; others may be there already")
    run.add_argument("--jobs", type=int, help="processes; by default one for each core, or one if there is a GPU")
    run.add_argument("--cluster", metavar="ADDRESS", help="do it on a Ray cluster, auto for the one this machine is in")
    run.set_defaults(do=_run)
    show = commands.add_parser("show", help="print what came of the runs in a folder")
    show.set_defaults(do=_show)
    packed = commands.add_parser("pack", help="copy the current runs of a folder to another, as a few small files")
    packed.set_defaults(do=_pack)
    for command in (show, packed):
        command.add_argument("folder", type=Path)
    packed.add_argument("to", type=Path)
    scores = commands.add_parser("scores", help="measure every anomaly score, where its record is missing or outdated")
    scores.add_argument("to", type=Path, help="the folder of the record")
    scores.set_defaults(do=_scores)
    for command in (run, show, packed, scores):
        command.add_argument("--profile", default="miniature", help="a profile, or the path of its .yml")
        command.add_argument("--data-root", type=Path, help="the folder that holds the data sets' own folders")
    return parser


def _run(options: argparse.Namespace, settings: Settings) -> int:
    run_study(options.name, settings, options.out, options.seeds, jobs=options.jobs, cluster=options.cluster)
    return 0


def _show(options: argparse.Namespace, settings: Settings) -> int:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = read_study(options.folder, settings)
    print(summarize(table).round(4).to_string())
    for warning in caught:
        print(warning.message)
    outdated = table.index[~table["current"]]
    if len(outdated):
        print(f"Of other code, packages, images or weights than today's: {len(outdated)} runs, {', '.join(outdated)}.")
    return 0


def _pack(options: argparse.Namespace, settings: Settings) -> int:
    print(f"{pack(options.folder, options.to, settings)} runs are packed in {options.to}.")
    return 0


def _scores(options: argparse.Namespace, settings: Settings) -> int:
    if read_score_record(options.to, settings) is None:
        write_score_record(compare_scores(settings), options.to)
    print(f"The scores are measured; the record is in {options.to}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

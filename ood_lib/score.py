"""`python -m ood_lib.score PHOTOGRAPHS --out DIR`: what is strange in photographs of your own.

Of each picture NAME the folder gets ``NAME.png``, its sheet; ``NAME_score.npy``, the score map,
float32 (H, W); ``NAME_score.png``, the same as a heat map, from the least to the greatest score of
all; ``NAME_mask.png``, white from the threshold on; ``NAME_classes.png``, train ids with
Cityscapes' colours as palette. ``segments.csv`` has a row for each segment: picture, number from 1,
mean and largest score, and its `segment_metrics`, of which mean_x is the mean row, as in MetaSeg.
The memory is that for one picture, and at most 4 bytes for each pixel of all.
"""

import argparse
import copy
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from torch import nn

from ood_lib.data import SegmentationDataset
from ood_lib.data.folders import Frame
from ood_lib.data.photographs import LONGEST_SIDE, Photographs, Places, find_pictures, look_at
from ood_lib.files import user_path
from ood_lib.inference import predict
from ood_lib.models import ARCHITECTURES
from ood_lib.scores.by_name import SCORES, make_score
from ood_lib.settings import PRETRAINED, PROFILE_FOLDER, Settings, load_settings
from ood_lib.sheets import SHARE, Sheet, check_results, write_sheets
from ood_lib.training import closed_set_ensemble

SLUGS = {name.lower().replace(" ", "_"): name for name in SCORES}
LEARN = ("standardised_max_logits", "mahalanobis", "nearest_neighbours", "rbf_head",
         "outlier_head", "reconstruction")  #: from streets, which can be one's own
PAINTED_ONLY = ("is no painted street of 256 x 128 pixels, but the shipped network knows painted "
                "streets only. Give another model; for photographs type --model segformer, or in "
                'Python model="segformer".')


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code, 1 if something is wrong."""
    options = vars(_parser().parse_args(argv))
    plt.switch_backend("Agg")  # needs no screen
    try:
        sheets = score_folder(options.pop("photographs"), out := options.pop("out"), **options)
        print(f"{sum(len(sheet.segments) for sheet in sheets)} segments; see {out}")
    except (ValueError, OSError, RuntimeError, ImportError, MemoryError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def score_folder(photographs: Places, out: Path | str, *, model: str | None = None,
                 score: str = "entropy", threshold: float | None = None,
                 known: Places | None = None, longest_side: int | None = LONGEST_SIDE,
                 show: Callable[[Sheet], object] | None = None, **settings: Any) -> list[Sheet]:
    """What a network finds strange in photographs: a sheet for each; ``out`` gets all as files.

    ``photographs`` are files or folders. ``model`` is a network's name, as "segformer", with its
    published weights; by default the shipped one, which knows painted streets only. ``score`` is
    one of `SLUGS`. Pixels are marked from ``threshold`` on, by default what `SHARE` of all reach.
    ``known`` are photographs of known things, from which a score in `LEARN` learns; their classes
    are those that the network names. Pictures are shrunk until no side is longer than
    ``longest_side`` pixels, None leaves them. ``show`` is called with each sheet as soon as it is
    there. ``settings`` go to `load_settings`: profile, data_root, seed, checkpoint.

    Before anything is computed, ValueError and FileNotFoundError say what is wrong with any of the
    pictures, which file a result would replace that is none of an earlier call, and what cannot be.
    """
    if threshold is not None and not np.isfinite(threshold):
        raise ValueError(f"The threshold {threshold} is no number that a score can reach.")
    out, slug = user_path(out), score.lower().replace(" ", "_")
    paths, streets = find_pictures(photographs, out), _known_streets(known, slug)
    check_results(paths, out)
    pictures = Photographs(paths, longest_side)
    others = look_at([*paths, *streets], longest_side)
    chosen = _settings(model, **settings)
    if others and PROFILE_FOLDER.parent in Path(chosen.checkpoint or "").parents:
        print(others[0].name, PAINTED_ONLY, file=sys.stderr)
    networks = _networks(chosen)
    if streets:
        chosen = chosen.changed(known=KnownStreets(streets, longest_side, networks[0]))
    judge = make_score(SLUGS[slug], networks, chosen)
    sheets = []
    for sheet in write_sheets(pictures, judge, out, threshold, SLUGS[slug]):
        sheets.append(sheet)
        if show is not None:
            show(sheet)
    return sheets


def _networks(settings: Settings) -> list[nn.Module]:
    """The closed-set networks. ValueError where the layers that name the classes are random."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Only the encoder of")
        try:
            return closed_set_ensemble(settings)
        except UserWarning as error:
            raise ValueError(str(error)) from None


def _known_streets(known: Places | None, slug: str) -> list[Path]:
    """The files of known streets. ValueError for a score that does not exist or would not learn."""
    if slug not in SLUGS:
        raise ValueError(f"There is no score {slug!r}; choose one of: {', '.join(SLUGS)}.")
    if known is not None and slug not in LEARN:
        raise ValueError(f"The score {slug} learns nothing from known streets: leave them out, or "
                         f"choose one of: {', '.join(LEARN)}.")
    return [] if known is None else find_pictures(known)


class KnownStreets(Photographs):
    """Photographs of known things: the target of a pixel is the class that a network names."""

    def __init__(self, paths: Sequence[Path], longest_side: int | None, network: nn.Module) -> None:
        super().__init__(paths, longest_side)
        self.frames = [frame._replace(label=frame.image) for frame in self.frames]
        self.network = network

    def read_target(self, frame: Frame) -> np.ndarray:
        alone = Photographs([frame.image], self.longest_side)
        return next(predict(self.network, alone, progress=False)).prediction.numpy()  # (H, W)


class _Learning(Settings):
    """Settings that say so when something is to learn from their data, or from known streets."""

    known: Any = None  #: `KnownStreets` that take the place of the data's

    def open(self, name: str, split: str | None = None, **options: Any) -> SegmentationDataset:
        if self.known is not None and name == "cityscapes":
            opened = copy.copy(self.known)
            print(f"It learns from {len(opened)} known streets, as {opened.frames[0].image.name}; "
                  "their classes are those that the network names.", flush=True)
            opened.transform = options.get("transform")
            return opened
        kind = "painted pictures" if self.is_painted else "pictures"
        print(f"It learns from {kind} of {name}, {split}, in {self.data_root}.", flush=True)
        return super().open(name, split, **options)


def _parser() -> argparse.ArgumentParser:
    about = __doc__.splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m ood_lib.score", description=about)
    add = parser.add_argument
    add("photographs", nargs="+", type=Path, metavar="PHOTOGRAPH", help="a file, or a folder")
    add("--score", choices=SLUGS, default="entropy", metavar="NAME", help=", ".join(SLUGS))
    add("--model", metavar="NAME", help="as segformer: see ood_lib.models.build_model; by default "
        "the profile's, which knows painted streets only")
    add("--checkpoint", help=f"its weights, a file or {PRETRAINED}; for other libraries the latter")
    add("--out", type=Path, required=True, metavar="DIR")
    add("--threshold", type=float, help=f"by default what {SHARE:.0%}% of all pixels reach")
    add("--known", type=Path, nargs="+", metavar="STREET", help="photographs of known things, from "
        "which a score learns")
    add("--longest-side", type=int, default=LONGEST_SIDE, metavar="PIXELS", help="larger pictures "
        f"are shrunk to it; by default {LONGEST_SIDE}")
    add("--profile", default="miniature", help="names the network, and the data scores learn from")
    add("--data-root", type=Path, help="the folder that holds the data sets' own folders")
    return parser


def _settings(model: str | None = None, checkpoint: Path | str | None = None,
              **options: Any) -> _Learning:
    if model:
        options["model"] = model
    if checkpoint not in (None, PRETRAINED):
        options["checkpoint"] = str(user_path(checkpoint).resolve())
    elif checkpoint or (model and model not in ARCHITECTURES):  # of others, the published ones
        options["checkpoint"] = PRETRAINED
    return _Learning.checked(dict(load_settings(paint=False, **options)))


if __name__ == "__main__":
    sys.exit(main())

"""`python -m ood_lib.score IMAGE... --out DIR`: heat map, mask and overview of what is strange."""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from PIL import Image

from ood_lib.data.sample import read_image
from ood_lib.detection import picture_sample
from ood_lib.figures import HEAT, mark_segments, panels
from ood_lib.files import atomic_path
from ood_lib.inference import Prediction, predict
from ood_lib.scores.by_name import SCORES, make_score
from ood_lib.segments import segment_metrics
from ood_lib.settings import PRETRAINED, Settings, load_settings
from ood_lib.training import closed_set_ensemble

SHARE = 0.01  #: of all pixels: how many are marked if no threshold is given
SLUGS = {name.lower().replace(" ", "_"): name for name in SCORES}


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code, 1 if something is wrong."""
    options = _parser().parse_args(argv)
    plt.switch_backend("Agg")  # needs no screen
    try:
        results = score_pictures(options.images, _settings(options), SLUGS[options.score])
        threshold = options.threshold
        if threshold is None:
            pixels = np.concatenate([result.score.numpy().ravel() for result in results])
            threshold = float(np.quantile(pixels, 1 - SHARE))
            print(f"The strangest {SHARE:.0%} of all pixels are marked, from {threshold:.4g} on.")
        segments = write_results(results, options.images, threshold, options.out)
        print(f"{segments} segments; see {options.out}")
    except (ValueError, OSError, RuntimeError, ImportError, MemoryError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def score_pictures(paths: Sequence[Path], settings: Settings, score: str) -> list[Prediction]:
    """What the settings' network and a score, one of `SCORES`, say about picture files, in order.

    ValueError for a file that is no picture, two of one name, and what `make_score` refuses.
    """
    if len({path.stem for path in paths}) < len(paths):
        raise ValueError("Two pictures have the same name, and would have one result; rename one.")
    images = [torch.from_numpy(read_image(path)).permute(2, 0, 1).contiguous() for path in paths]
    samples = [picture_sample(image, path.stem) for image, path in zip(images, paths, strict=True)]
    judge = make_score(score, closed_set_ensemble(settings), settings)
    return list(predict(judge.model, samples, score=judge, probabilities=True))


def write_results(results: Sequence[Prediction], paths: Sequence[Path], threshold: float,
                  out: Path) -> int:
    """Write what was found into a folder, and give the number of segments.

    Of each picture NAME: ``NAME.png``, an overview; ``NAME_score.npy``, the score map, float32
    (H, W); ``NAME_score.png``, the same as a heat map, from the least to the greatest score of all
    pictures; ``NAME_mask.png``, white where it reaches the threshold. ``segments.csv`` has a row
    for each segment: picture, number from 1, mean and largest score, and its `segment_metrics`.
    """
    lowest = min(float(result.score.min()) for result in results)
    highest = max(float(result.score.max()) for result in results)
    tables = []
    for result, path in zip(results, paths, strict=True):
        score, picture, place = result.score.numpy(), read_image(path), out / path.stem
        metrics, labels = segment_metrics(result.probabilities, score >= threshold)
        heat = (score - lowest) / max(highest - lowest, 1e-12)  # (H, W) in [0, 1]
        colors = (plt.get_cmap(HEAT)(heat)[..., :3] * 255).astype(np.uint8)  # (H, W, 3)
        _write(f"{place}_score.npy", partial(np.save, arr=score))
        _write(f"{place}_score.png", Image.fromarray(colors).save)
        _write(f"{place}_mask.png", Image.fromarray(np.uint8(255 * (labels > 0))).save)
        overview = [picture, heat, mark_segments(picture, labels > 0)]
        figure = panels([overview], ["picture", "score", "from threshold on"])
        _write(f"{place}.png", figure.savefig)
        plt.close(figure)
        rows = pd.Series(score.ravel()).groupby(labels.ravel()).agg(["mean", "max"])
        rows = rows.reindex(range(1, len(metrics) + 1)).add_prefix("score_")  # without the rest, 0
        rows = rows.rename_axis("segment").reset_index()
        rows.insert(0, "picture", path.name)
        tables.append(rows.join(metrics.reset_index(drop=True)))
    table = pd.concat(tables)
    _write(out / "segments.csv", partial(table.to_csv, index=False))
    return len(table)


def _write(path: Path | str, save: Callable[[Path], object]) -> None:
    with atomic_path(path) as aside:
        save(aside)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ood_lib.score", description=__doc__)
    add = parser.add_argument
    add("images", nargs="+", type=Path, metavar="IMAGE")
    add("--score", choices=SLUGS, default="entropy", metavar="NAME", help=", ".join(SLUGS))
    add("--model", metavar="NAME", help="of ood_lib.models.build_model; by default the profile's")
    add("--checkpoint", help=f"its weights, a file or {PRETRAINED}; for other libraries the latter")
    add("--out", type=Path, required=True, metavar="DIR")
    add("--threshold", type=float, help=f"by default what {SHARE:.0%} of all pixels reach")
    add("--profile", default="miniature", help="names the network, and the data scores learn from")
    add("--data-root", type=Path, help="the folder that holds the data sets' own folders")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    chosen: dict[str, str] = {"model": options.model} if options.model else {}
    if options.checkpoint not in (None, PRETRAINED):
        chosen["checkpoint"] = str(Path(options.checkpoint).resolve())
    elif options.checkpoint or ":" in (options.model or ""):  # the latter of another library
        chosen["checkpoint"] = PRETRAINED
    return load_settings(options.profile, options.data_root, **chosen)


if __name__ == "__main__":
    sys.exit(main())

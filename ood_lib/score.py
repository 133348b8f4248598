"""`python -m ood_lib.score IMAGE... --score NAME --out DIR`: where one's own pictures look strange to a network."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from PIL import Image

from ood_lib.closed_set import closed_set_ensemble
from ood_lib.data import Sample
from ood_lib.data.sample import read_image
from ood_lib.figures import HEAT, mark_segments, panels
from ood_lib.files import atomic_path
from ood_lib.inference import Prediction, predict
from ood_lib.profiles import PRETRAINED, Settings, load_settings
from ood_lib.scores.by_name import SCORES, make_score
from ood_lib.segments import segment_metrics

SHARE = 0.01
"""Of all pixels: how many are marked if no threshold is given."""
SLUGS = {name.lower().replace(" ", "_"): name for name in SCORES}


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code, 1 if something is wrong."""
    options = _parser().parse_args(argv)
    try:
        settings = _settings(options)
        results = score_pictures(options.images, settings, SLUGS[options.score])
        threshold = options.threshold
        if threshold is None:
            threshold = float(np.quantile(np.concatenate([r.score.numpy().ravel() for r in results]), 1 - SHARE))
            print(
                f"No threshold was given: the strangest {SHARE:.0%} of all pixels are marked, from {threshold:.4g} on."
            )
        print(f"{write_findings(results, options.images, threshold, options.out)} segments; see {options.out}")
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def score_pictures(paths: Sequence[Path], settings: Settings, score: str) -> list[Prediction]:
    """What the settings' network and the score of that name, one of `SCORES`, say about picture files, in order.

    ValueError for a file that is no picture, two of one name, and what `make_score` refuses.
    """
    if len({path.stem for path in paths}) < len(paths):
        raise ValueError("Two pictures have the same name, so one's result would replace the other's; rename one.")
    samples = [_sample(path) for path in paths]
    network, of_logits = make_score(score, closed_set_ensemble(settings), settings)
    return list(predict(network, samples, score=of_logits, probabilities=True))


def write_findings(results: Sequence[Prediction], paths: Sequence[Path], threshold: float, out: Path) -> int:
    """Write what was found into a folder, with the table of all segments; gives their number.

    For each picture NAME there are ``NAME.png``, an overview; ``NAME_score.npy``, the score map, float32 (H, W);
    ``NAME_score.png``, the same as a heat map, from the least to the greatest score of all pictures; and
    ``NAME_mask.png``, white where it reaches the threshold. ``segments.csv`` has a row for each segment: picture,
    number from 1, mean and largest score, and the metrics of `ood_lib.segments.segment_metrics`.
    """
    lowest = min(float(result.score.min()) for result in results)
    highest = max(float(result.score.max()) for result in results)
    tables = []
    for result, path in zip(results, paths, strict=True):
        score = result.score.numpy()
        metrics, labels = segment_metrics(result.probabilities, score >= threshold)
        heat = (score - lowest) / max(highest - lowest, 1e-12)
        _save(out / f"{path.stem}_score.png", (plt.get_cmap(HEAT)(heat)[..., :3] * 255).astype(np.uint8))
        _save(out / f"{path.stem}_mask.png", np.where(labels > 0, 255, 0).astype(np.uint8))
        with atomic_path(out / f"{path.stem}_score.npy") as aside:
            np.save(aside, score)
        picture = read_image(path)
        figure = panels(
            [[picture, heat, mark_segments(picture, labels > 0)]], ["picture", "score", "from threshold on"]
        )
        with atomic_path(out / f"{path.stem}.png") as aside:
            figure.savefig(aside)
        plt.close(figure)
        numbers = range(1, len(metrics) + 1)
        by_segment = pd.Series(score.ravel()).groupby(labels.ravel())
        own = {"picture": path.name, "segment": numbers}
        own |= {f"score_{name}": by_segment.agg(name).reindex(numbers).to_numpy() for name in ("mean", "max")}
        tables.append(pd.concat([pd.DataFrame(own, index=metrics.index), metrics], axis=1))
    table = pd.concat(tables)
    with atomic_path(out / "segments.csv") as aside:
        table.to_csv(aside, index=False)
    return len(table)


def _parser() -> argparse.ArgumentParser:
    about = "Writes for each picture a heat map, a mask and an overview, and one table of all segments."
    parser = argparse.ArgumentParser(prog="python -m ood_lib.score", description=about)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    parser.add_argument("--score", choices=SLUGS, default="entropy", metavar="NAME", help=", ".join(SLUGS))
    parser.add_argument("--model", metavar="NAME", help="any of ood_lib.models.build_model; by default the profile's")
    parser.add_argument("--checkpoint", help=f"its weights, a file or {PRETRAINED}; other libraries' networks are so")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--threshold", type=float, help=f"by default what {SHARE:.0%} of all pixels reach")
    parser.add_argument(
        "--profile", default="miniature", help="names the network, and the data that a score learns from"
    )
    parser.add_argument("--data-root", type=Path, help="the folder that holds the data sets' own folders")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    own: dict[str, str] = {}
    if options.model:
        own["model"] = options.model
        if ":" in options.model:
            own["checkpoint"] = PRETRAINED
    if options.checkpoint:
        own["checkpoint"] = (
            options.checkpoint if options.checkpoint == PRETRAINED else str(Path(options.checkpoint).resolve())
        )
    return load_settings(options.profile, options.data_root, **own)


def _sample(path: Path) -> Sample:
    pixels = torch.from_numpy(read_image(path)).permute(2, 0, 1).contiguous()
    return Sample(pixels, torch.zeros(pixels.shape[1:], dtype=torch.uint8), path.stem, path.stem)


def _save(path: Path, pixels: np.ndarray) -> None:
    with atomic_path(path) as aside:
        Image.fromarray(pixels).save(aside)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m ood_lib.score IMAGE... --out DIR`: heat map, mask and overview of what is strange."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image

from ood_lib.data import SegmentationDataset
from ood_lib.data.folders import Frame
from ood_lib.data.sample import read_image
from ood_lib.figures import HEAT, mark_segments, panels
from ood_lib.files import atomic_path
from ood_lib.inference import Prediction, predict
from ood_lib.scores import ImageScore
from ood_lib.scores.by_name import SCORES, make_score
from ood_lib.segments import segment_metrics
from ood_lib.settings import PRETRAINED, PROFILE_FOLDER, Settings, load_settings
from ood_lib.training import closed_set_ensemble

SHARE = 0.01  #: of all pixels: how many are marked if no threshold is given
SLUGS = {name.lower().replace(" ", "_"): name for name in SCORES}
ENDINGS = ("_score.npy", "_mask.png", "_score.png", ".png")  #: of a picture's results
TABLE = "segments.csv"
WRITTEN = ".written_by_ood_lib"  #: in the results' folder, the names of what may be replaced


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code, 1 if something is wrong."""
    options = _parser().parse_args(argv)
    plt.switch_backend("Agg")  # needs no screen
    try:
        written = check_results(options.images, options.out)
        others = [path for path in options.images if not is_painted_street(read_image(path))]
        settings = _settings(options)
        if others and PROFILE_FOLDER.parent in Path(settings.checkpoint or "").parents:
            print(f"{others[0].name} is no painted street of 256 x 128 pixels, but the shipped "
                  "network knows nothing else. Give another --model.", file=sys.stderr)
        judge = make_score(SLUGS[options.score], closed_set_ensemble(settings), settings)
        _write(options.out / WRITTEN, partial(Path.write_text, data=written, encoding="utf-8"))
        segments = score_pictures(options.images, judge, options.out, options.threshold)
        print(f"{segments} segments; see {options.out}")
    except (ValueError, OSError, RuntimeError, ImportError, MemoryError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def check_results(paths: Sequence[Path], out: Path) -> str:
    """What `WRITTEN` has to say: the names of the results, and of those of earlier calls.

    ValueError where a result would take the place of another one, of a picture that is given, or of
    a file that `WRITTEN` does not name; and if the folder for them is a file.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is no folder. Choose another one as --out.")
    results = [f"{path.stem}{ending}" for path in paths for ending in ENDINGS]
    name, count = Counter(map(str.casefold, results)).most_common(1)[0]
    if count > 1:
        raise ValueError(f"Two pictures have the same name for a result, {name}: rename one.")
    note = out / WRITTEN
    written = set(note.read_text(encoding="utf-8").splitlines()) if note.is_file() else set()
    given = {str(path.resolve()).casefold() for path in paths}  # not every system tells a from A
    places = [out / name for name in (*results, TABLE)]
    taken = [path for path in places if str(path.resolve()).casefold() in given]
    taken += [path for path in places if path.exists() and path.name not in written]
    if taken:
        raise ValueError(f"A result would replace {taken[0]}, which is not one of an earlier call "
                         "of this command. Choose another folder as --out.")
    return "\n".join(sorted({TABLE, *results} | written))


def is_painted_street(picture: np.ndarray) -> bool:
    """Whether a picture uint8 (H, W, 3) may be one of the painter's, with a grey road below."""
    height, width = picture.shape[:2]
    is_grey = np.ptp(picture[height // 2 :], axis=2) < 25  # (H / 2, W)
    # Of all painted streets 0.77 of the lower half or more are grey.
    return (width, height) == (256, 128) and is_grey.mean() > 0.7


class _Learning(Settings):
    """Settings that say so when something is to learn from their data."""

    def open(self, name: str, split: str | None = None, **options: Any) -> SegmentationDataset:
        kind = "painted pictures" if self.is_painted else "pictures"
        print(f"It learns from {kind} of {name}, {split}, in {self.data_root}.", flush=True)
        return super().open(name, split, **options)


def score_pictures(paths: Sequence[Path], judge: ImageScore, out: Path,
                   threshold: float | None = None) -> int:
    """Write what a score says about picture files into a folder; give the number of segments.

    Of each picture NAME: ``NAME.png``, an overview; ``NAME_score.npy``, the score map, float32
    (H, W); ``NAME_score.png``, the same as a heat map, from the least to the greatest score of all
    pictures; ``NAME_mask.png``, white where it reaches the threshold, by default that of `SHARE` of
    all pixels. ``segments.csv`` has a row for each segment: picture, number from 1, mean and
    largest score, and its `segment_metrics`. The memory is that for one picture, and at most
    4 bytes for each pixel of all.
    """
    pictures = SegmentationDataset([Frame(path.stem, path.stem, path, None) for path in paths])
    look = partial(predict, judge.model, pictures, score=judge, batch_size=1)
    results: Iterable[Prediction] = look(probabilities=True)
    if threshold is None:
        # The probabilities of one picture can be kept. Those of many are made by a second look.
        results, first = (results, look()) if len(paths) > 1 else [list(results)] * 2
        threshold = _find_threshold(first, out)
    names, tables = {path.stem: path.name for path in paths}, {}
    for result in results:
        tables[names[result.id]] = _segments(result, threshold, out / result.id)
        del result  # its probabilities, before those of the next are made
    _draw(paths, out)
    table = pd.concat(tables, names=["picture"]).reset_index("picture")
    _write(out / TABLE, partial(table.to_csv, index=False))
    return len(table)


def _find_threshold(results: Iterable[Prediction], out: Path) -> float:
    """The threshold that `SHARE` of all pixels reach, of score maps that are written on the way."""
    maps = []
    for result in results:
        path = out / f"{result.id}_score.npy"
        _write(path, partial(np.save, arr=result.score.numpy()))
        maps.append(np.load(path, mmap_mode="r").ravel())  # stays on disk
        del result  # and is not held while the next is computed
    threshold = float(np.quantile(np.concatenate(maps), 1 - SHARE, overwrite_input=True))
    print(f"The strangest {SHARE:.0%} of all pixels are marked, from {threshold:.4g} on.")
    return threshold


def _segments(result: Prediction, threshold: float, place: Path) -> pd.DataFrame:
    """The segments of a picture, a row for each; its score map and mask are written."""
    score = result.score.numpy()  # (H, W)
    metrics, labels = segment_metrics(result.probabilities, score >= threshold)
    _write(f"{place}_score.npy", partial(np.save, arr=score))
    _write(f"{place}_mask.png", Image.fromarray(np.uint8(255 * (labels > 0))).save)
    rows = pd.Series(score.ravel()).groupby(labels.ravel()).agg(["mean", "max"])
    rows = rows.reindex(range(1, len(metrics) + 1)).add_prefix("score_")  # without the rest, 0
    return rows.rename_axis("segment").reset_index().join(metrics)


def _draw(paths: Sequence[Path], out: Path) -> None:
    """Write the heat maps, all on one scale, and the overviews, of score maps and masks."""
    scores = [np.load(f"{out / path.stem}_score.npy", mmap_mode="r") for path in paths]
    lowest, highest = min(map(np.min, scores)), max(map(np.max, scores))
    for path, score in zip(paths, scores, strict=True):
        picture, place = read_image(path), out / path.stem
        is_marked = np.array(Image.open(f"{place}_mask.png")) > 0  # (H, W)
        heat = (score - lowest) / max(highest - lowest, 1e-12)  # (H, W) in [0, 1]
        colors = plt.get_cmap(HEAT)(heat, bytes=True)[..., :3]  # (H, W, 3)
        _write(f"{place}_score.png", Image.fromarray(colors).save)
        overview = [picture, heat, mark_segments(picture, is_marked)]
        figure = panels([overview], ["picture", "score", "from threshold on"])
        _write(f"{place}.png", figure.savefig)
        plt.close(figure)


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
    settings = load_settings(options.profile, options.data_root, paint=False, **chosen)
    return _Learning.checked(dict(settings))


if __name__ == "__main__":
    sys.exit(main())

"""What is found in photographs, as files: maps, sheets to look at, and a table of segments."""

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from ood_lib.data.photographs import Photographs
from ood_lib.figures import HEAT, class_legend, color_classes, mark_segments
from ood_lib.files import atomic_path
from ood_lib.inference import Prediction, predict
from ood_lib.scores import ImageScore
from ood_lib.segments import segment_metrics

SHARE = 0.01  #: of all pixels: how many are marked if no threshold is given
ENDINGS = ("_score.npy", "_mask.png", "_score.png", "_classes.png", ".png")
"""Of the names of a picture's results."""
TABLE = "segments.csv"
WRITTEN = ".written_by_ood_lib"  #: in the results' folder, the names of what may be replaced


@dataclass(frozen=True)
class Sheet:
    """One photograph and what was found in it; its maps are read from files when asked for."""

    photographs: Photographs  #: in which it alone is
    place: Path  #: of its results, without their endings
    score_name: str
    threshold: float  #: from which a pixel is marked
    limits: tuple[float, float]  #: the least and the greatest score of all photographs
    segments: pd.DataFrame  #: a row for each: its number, scores and metrics

    @property
    def name(self) -> str:
        """Of the photograph's file."""
        return self.photographs.frames[0].image.name

    def picture(self) -> np.ndarray:
        """uint8 (H, W, 3), upright and no larger than it was judged."""
        return self.photographs.read_pixels(self.photographs.frames[0])

    def score(self) -> np.ndarray:
        """The score map, float32 (H, W)."""
        return np.load(f"{self.place}_score.npy")

    def classes(self) -> np.ndarray:
        """The most likely class of each pixel, uint8 (H, W)."""
        with Image.open(f"{self.place}_classes.png") as image:
            return np.array(image)

    def draw(self, width: float = 10.0) -> Figure:
        """Picture, classes with a legend, score with a colour bar, and segments in orange."""
        picture, score, classes = self.picture(), self.score(), self.classes()
        panels = {"picture": picture, "classes": color_classes(classes), self.score_name: score}
        panels[f"from {self.threshold:.3g} on"] = mark_segments(picture, score >= self.threshold)
        down, across = picture.shape[:2]
        columns = 2 if across > down else 4  # an upright one fills no screen
        size = width, (4 / columns) * (width / columns * down / across + 0.3)  # inches
        figure, axes = plt.subplots(4 // columns, columns, figsize=size, layout="constrained")
        for axis, (title, shown) in zip(axes.flat, panels.items(), strict=True):
            drawn = axis.imshow(shown, cmap=HEAT, vmin=self.limits[0], vmax=self.limits[1])
            axis.set_axis_off()
            axis.set_title(title)
            if shown is score:
                figure.colorbar(drawn, ax=axis, location="bottom", pad=0.01, aspect=40)
        shares = np.bincount(classes.ravel()) / classes.size
        class_legend(figure, np.flatnonzero(shares > 0.002))
        return figure


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


def write_sheets(pictures: Photographs, judge: ImageScore, out: Path, threshold: float | None,
                 title: str) -> Iterator[Sheet]:
    """Judge photographs, write what `ood_lib.score.score_folder` names, yield a sheet for each.

    ``title`` says what the score is. Without a threshold a sheet comes before the next picture is
    judged a second time. ValueError as of `check_results`.
    """
    written = check_results([frame.image for frame in pictures.frames], out)
    _write(out / WRITTEN, partial(Path.write_text, data=written, encoding="utf-8"))
    look = partial(predict, judge.model, pictures, score=judge, batch_size=1)
    results: Iterable[Prediction] = look(probabilities=True)
    is_given = threshold is not None
    if not is_given:
        # The probabilities of one picture can be kept. Those of many are made by a second look.
        results, first = (results, look()) if len(pictures) > 1 else [list(results)] * 2
        threshold = _find_threshold(first, out)
    # By map, a result, with its probabilities, is gone before the next one is made.
    found: Iterable[pd.DataFrame] = map(partial(_segments, threshold=threshold, out=out), results)
    if is_given:  # the scale, which all share, is known when all are judged
        found = list(found)
    limits, tables = None, {}
    for frame, table in zip(pictures.frames, found, strict=True):
        limits = limits or _limits(out, pictures.ids)
        alone = Photographs([frame.image], pictures.longest_side)
        sheet = Sheet(alone, out / frame.id, title, threshold, limits, table)
        _draw(sheet)
        tables[sheet.name] = table
        yield sheet
    of_all = pd.concat(tables, names=["picture"]).reset_index("picture")
    _write(out / TABLE, partial(of_all.to_csv, index=False))


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


def _limits(out: Path, ids: Sequence[str]) -> tuple[float, float]:
    """The least and the greatest score of all score maps, which are written."""
    scores = [np.load(out / f"{id_}_score.npy", mmap_mode="r") for id_ in ids]
    return float(min(map(np.min, scores))), float(max(map(np.max, scores)))


def _segments(result: Prediction, threshold: float, out: Path) -> pd.DataFrame:
    """The segments of a picture, a row for each; its maps are written."""
    place, score = out / result.id, result.score.numpy()  # (H, W)
    metrics, labels = segment_metrics(result.probabilities, score >= threshold)
    _write(f"{place}_score.npy", partial(np.save, arr=score))
    _write(f"{place}_mask.png", Image.fromarray(np.uint8(255 * (labels > 0))).save)
    classes = Image.fromarray(result.prediction.numpy()).convert("P")  # train ids, and as palette
    classes.putpalette(color_classes(np.arange(256)[None]).tobytes())  # their colours
    _write(f"{place}_classes.png", classes.save)
    rows = pd.Series(score.ravel()).groupby(labels.ravel()).agg(["mean", "max"])
    rows = rows.reindex(range(1, len(metrics) + 1)).add_prefix("score_")  # without the rest, 0
    return rows.rename_axis("segment").reset_index().join(metrics)


def _draw(sheet: Sheet) -> None:
    """Write the heat map and the sheet, each panel about as wide as a page."""
    lowest, highest = sheet.limits
    heat = (sheet.score() - lowest) / max(highest - lowest, 1e-12)  # (H, W) in [0, 1]
    colors = plt.get_cmap(HEAT)(heat, bytes=True)[..., :3]  # (H, W, 3)
    _write(f"{sheet.place}_score.png", Image.fromarray(colors).save)
    figure = sheet.draw()
    _write(f"{sheet.place}.png", partial(figure.savefig, dpi=220))
    plt.close(figure)
    del figure
    gc.collect()  # its parts point to each other, and would be there beside the next picture


def _write(path: Path | str, save: Callable[[Path], object]) -> None:
    with atomic_path(path) as aside:
        save(aside)

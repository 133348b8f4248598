"""Make the pictures of the one frame that the book follows: ``book/_static/thread``, and
``hero.png`` of the README.

    python book/tools/thread.py

From the camera over classes and scores to the segments that are kept, as small PNGs for the strip
above each chapter, and what the landing page draws, ``scene.js``: both score maps, what the network
calls the things, and how many segments there are at each threshold. All with the settings of the
miniature profile, in half a minute where its network is kept.
"""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from PIL import Image
from scipy import ndimage

from ood_lib.data.labels import CLASSES
from ood_lib.figures import HEAT, color_classes, mark_segments, panels, to_picture, use_style
from ood_lib.files import atomic_path, cache_folder
from ood_lib.inference import Prediction, predict
from ood_lib.meta import LogisticMetaClassifier
from ood_lib.notebook import followed_frame
from ood_lib.segments import find_segments, segment_metrics
from ood_lib.segments.table import segment_table
from ood_lib.settings import Settings, load_settings
from ood_lib.training import closed_set_network, fine_tuned_network

STATIC = Path("book/_static")
TITLES = (
    "what the camera sees",
    "what nineteen classes make of it",
    "after learning to be uncertain",
)


def main() -> None:
    use_style()
    settings = load_settings()
    sample = followed_frame(settings)
    frame = settings.open("lost_and_found", "test")
    frame.frames = [one for one in frame.frames if one.id == sample.id]
    network = closed_set_network(settings)
    before = next(predict(network, frame, probabilities=True, progress=False))
    fine_tuned_network(settings, network)
    after = next(predict(network, frame, probabilities=True, progress=False))
    segments, is_kept = judged_segments(settings, network, after)
    picture, kept = to_picture(sample.image), np.append(False, is_kept)[segments]
    pictures = {
        "camera": picture,
        "classes": color_classes(before.prediction),
        "before": heat(before),
        "after": heat(after),
        "segments": mark_segments(picture, segments > 0),
        "kept": mark_segments(picture, kept),
    }
    for name, pixels in pictures.items():
        with atomic_path(STATIC / "thread" / f"{name}.png") as aside:
            Image.fromarray(pixels).save(aside, optimize=True)
    scene = {"before": of_network(before), "after": of_network(after)}
    with atomic_path(STATIC / "thread/scene.js") as aside:
        aside.write_text(f"window.SCENE = {json.dumps(scene)};\n", "utf-8")
    row = [sample.image, pictures["classes"], after.score]
    with atomic_path(STATIC / "hero.png") as aside:
        panels([row], TITLES, "entropy", width=13).savefig(aside, dpi=110)


def judged_segments(settings: Settings, network: Any, result: Prediction) -> tuple[Any, Any]:
    """The segments (H, W), and which logistic regression keeps; it learns on the tuning set."""
    tuning = settings.open("lost_and_found", "train")
    known = segment_table(
        network, tuning, settings.threshold, checkpoint=cache_folder(), progress=False
    )
    judge = LogisticMetaClassifier().fit(known, known["iou"] == 0)
    mask = result.score.numpy() >= settings.threshold
    metrics, segments = segment_metrics(result.probabilities, mask, result.target.numpy())
    return segments, judge.predict_proba(metrics)[:, 1] < 0.5


def heat(result: Prediction) -> np.ndarray:
    """The score map as it is shown."""
    return (colormaps[HEAT](result.score.numpy())[..., :3] * 255).round().astype(np.uint8)


def of_network(result: Prediction) -> dict[str, Any]:
    """The score map as PNG, of each thing its place and its names, and the counts by threshold."""
    score, target = result.score.numpy(), result.target.numpy()
    things, number = ndimage.label(target == 1, np.ones((3, 3)))
    labels = []
    for thing in range(1, number + 1):
        inside = things == thing
        if inside.sum() < 20:
            continue
        sure, classes = result.probabilities.max(dim=0)
        ids, counts = np.unique(classes.numpy()[inside], return_counts=True)
        most = ids[counts.argmax()]
        rows, columns = np.nonzero(inside)
        labels.append({
            "x": float(columns.mean()), "y": int(rows.min()), "name": CLASSES[most].name,
            "probability": float(sure.numpy()[inside & (classes.numpy() == most)].mean()),
            "entropy": float(score[inside].mean()),
        })  # fmt: skip
    counts = {}
    for percent in range(5, 100, 5):
        segments = find_segments(score >= percent / 100, target)
        touching = np.setdiff1d(segments[target == 1], [0])
        counts[percent] = [int(segments.max()), len(touching)]
    grey = io.BytesIO()
    Image.fromarray((score * 255).round().astype(np.uint8)).save(grey, "png", optimize=True)
    data = "data:image/png;base64," + base64.b64encode(grey.getvalue()).decode()
    return {"map": data, "things": labels, "segments": counts}


if __name__ == "__main__":
    main()

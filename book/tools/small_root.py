"""Execute all chapters on a few frames in the official layouts, with a network of one's own.

    python book/tools/small_root.py

The frames are some of the painted city's, copied without the mark by which painted data are known,
so that the chapters take them for a download; one has no labels, as some of LostAndFound's have
none. Ends with 1 if a chapter fails.
"""

import json
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from sweep import ROOT, Rerun, failures

from ood_lib import miniature
from ood_lib.data import open_dataset
from ood_lib.data.folders import Frame

FOLDER = ROOT / "_build" / "small_root"
SCENES = {"train": 48, "val": 20}  #: images of Cityscapes
DRIVES = {"train": 14, "test": 22}  #: of LostAndFound, from twelve and twenty on as the doctor asks
PROXIES = 250  #: images of COCO, twenty and more of each kind that chapter 9 compares
NETWORK = """\
from ood_lib.models import build_model, load_checkpoint


def network():
    return load_checkpoint(build_model("deeplabv3plus_miniature", 19), "{weights}")
"""
PROFILE = """\
model: own.py:network
checkpoint: pretrained
threshold: 0.4
lambda_: 0.9
crop: [64, 96]
batch_size: 2
epochs: 1
learning_rate: 0.00005
num_in_distribution: 24
proxy_fraction: 0.25
min_ood_share: 0.0
max_ood_share: 0.2
"""


def main() -> None:
    """Copy, execute, say what failed."""
    begin = time.monotonic()
    root = FOLDER / "data"
    copy_some(miniature.ensure_miniature(), root)
    profile = FOLDER / "small.yml"
    weights = ROOT / "ood_lib/models/weights/deeplabv3plus_miniature.safetensors"
    profile.write_text(PROFILE, encoding="utf-8")
    (FOLDER / "own.py").write_text(NETWORK.format(weights=weights), encoding="utf-8")
    failed = failures(Rerun("profile", profile, "*", (("data_root", root), ("frames", 4))), jobs=2)
    print(f"\n{time.monotonic() - begin:.0f} s; failed: {', '.join(failed) or 'none'}")
    sys.exit(bool(failed))


def copy_some(painted: Path, root: Path) -> None:
    """Copy some frames of each of the book's data sets, all anew."""
    shutil.rmtree(root, ignore_errors=True)
    for split, number in SCENES.items():
        scenes = open_dataset("cityscapes", painted / "cityscapes", split).frames
        copy(scenes[:number], painted, root)
    for split, number in DRIVES.items():
        frames = open_dataset("lost_and_found", painted / "lost_and_found", split).frames
        drives = list(dict.fromkeys(frame.sequence for frame in frames))[:number]
        copy([frame for frame in frames if frame.sequence in drives], painted, root)
    pasted = open_dataset("fishyscapes_static", painted / "fishyscapes").frames
    copy(pasted[: SCENES["val"]], painted, root)
    copy_proxies(painted / "coco", root / "coco")


def copy(frames: Iterable[Frame], painted: Path, root: Path) -> None:
    """Copy images and labels to where they lie below the painted root."""
    for frame in frames:
        for file in (frame.image, frame.label):
            place = root / file.relative_to(painted)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)


def copy_proxies(painted: Path, root: Path) -> None:
    """Copy images of COCO, and of its annotations what tells of them."""
    name = "annotations/instances_train2017.json"
    content = json.loads((painted / name).read_text(encoding="utf-8"))
    content["images"] = content["images"][:PROXIES]
    there = {image["id"]: image["file_name"] for image in content["images"]}
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] in there]
    for folder in ("annotations", "train2017"):
        (root / folder).mkdir(parents=True)
    (root / name).write_text(json.dumps(content), encoding="utf-8")
    for file in there.values():
        shutil.copy(painted / "train2017" / file, root / "train2017" / file)


if __name__ == "__main__":
    main()

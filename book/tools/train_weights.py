"""`make weights`: trains the miniature's closed-set networks from nothing, as NVIDIA trained the
thesis's.

Beside the one that every experiment starts from there is a sister, from another beginning, for the
ensemble of chapter 3b. The recipe is `ood_lib.settings.ClosedSetRecipe` as it stands there; what
came of it stands in the cards beside the weights.
"""

import platform
from pathlib import Path

import torch
from torch import nn

from ood_lib import models
from ood_lib.data import SegmentationDataset, open_dataset, training_transform
from ood_lib.data.labels import CLASSES
from ood_lib.files import atomic_path, cache_folder
from ood_lib.metrics.evaluate import evaluate_segmentation
from ood_lib.miniature import Size, ensure_miniature
from ood_lib.models import save_checkpoint
from ood_lib.settings import ClosedSetRecipe
from ood_lib.training.closed_set import train_closed_set

NAME = "deeplabv3plus_miniature"
FOLDER = Path(models.__file__).parent / "weights"
SCENES = Size(train=4000, val=200, proxy=0, tuning_sequences=0, test_sequences=0, fishyscapes=0)
RECIPE = ClosedSetRecipe()
SISTERS = 1
"""How many more are trained, with the seeds 1, 2, ..., under the name with -1, -2, ..."""


def model_card(name: str, trained: ClosedSetRecipe, iou: dict, scenes: int) -> str:
    """The card: what the weights are, how they were made and what they reach, in Markdown."""
    recipe = "\n".join(f"| {key.replace('_', ' ')} | {value} |" for key, value in trained)
    by_class = zip(CLASSES, iou["iou"], strict=True)
    classes = "\n".join(f"| {c.name} | {value:.3f} |" for c, value in by_class)
    return f"""# {name}: closed-set weights

DeepLabv3+ with a small WideResNet, trained on the painted city of `ood_lib.miniature` to tell the
19 classes of Cityscapes apart. It has never seen an object of another class. Trained again from
nothing by `make weights`.

- Data: {SCENES.train} scenes of {SCENES.width} x {SCENES.height} pixels, split `train`, data
  seed 0.
- Held out: the first {scenes} scenes of the split `val`. **mIoU {iou["miou"]:.3f}**
- Loss: cross-entropy, classes weighted by their share of the pixels to the power of -1/4; AdamW;
  one cycle of the learning rate; bfloat16 autocast; the weights are the exponential moving
  average. torch {torch.__version__}, {platform.machine()}.
- For: this book. Not for driving, nor for photographs. Licence: CC BY-SA 4.0, as the OpenMoji
  drawings in the scenes.

| recipe | |
|---|---|
{recipe}

| class | IoU on val |
|---|---|
{classes}
"""


def main() -> None:
    root = ensure_miniature(size=SCENES) / "cityscapes"
    dataset = open_dataset("cityscapes", root, "train", transform=training_transform(RECIPE.crop))
    for seed in range(1 + SISTERS):
        name, recipe = (f"{NAME}-{seed}" if seed else NAME), RECIPE.changed(seed=seed)
        network = train_closed_set(NAME, dataset, recipe, cache_folder())
        write_weights(network, name, recipe, open_dataset("cityscapes", root, "val"))


def write_weights(
    network: nn.Module, name: str, recipe: ClosedSetRecipe, held_out: SegmentationDataset
) -> None:
    """The weights and their card, into the package."""
    iou = evaluate_segmentation(network, held_out).compute()
    save_checkpoint(network, FOLDER / f"{name}.safetensors")
    with atomic_path(FOLDER / f"{name}.md") as aside:
        aside.write_text(model_card(name, recipe, iou, SCENES.val), encoding="utf-8")
    print(f"mIoU {iou['miou']:.3f} on {SCENES.val} held-out scenes; weights in {FOLDER}")


if __name__ == "__main__":
    main()

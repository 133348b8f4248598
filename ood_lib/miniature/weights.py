"""`make weights`: trains the miniature's closed-set network from nothing, as NVIDIA trained the thesis's on Cityscapes.

The recipe is the one of `ood_lib.closed_set`; what came of it stands in the model card beside the weights.
"""

import platform
from dataclasses import asdict
from pathlib import Path

import torch

from ..closed_set import Recipe, train_closed_set
from ..data import open_dataset, training_transform
from ..data.labels import CLASSES
from ..evaluation import evaluate_segmentation
from ..files import atomic_path, cache_folder
from ..models import save_checkpoint
from . import Size, ensure_miniature

NAME = "deeplabv3plus_miniature"
FOLDER = Path(__file__).parents[1] / "models" / "weights"
SCENES = Size(train=4000, val=200, proxy=0, tuning_sequences=0, test_sequences=0, fishyscapes=0)
RECIPE = Recipe()


def model_card(iou: dict, scenes: int) -> str:
    """The card: what the weights are, how they were made and what they reach, in Markdown."""
    recipe = "\n".join(f"| {name.replace('_', ' ')} | {value} |" for name, value in asdict(RECIPE).items())
    classes = "\n".join(f"| {c.name} | {value:.3f} |" for c, value in zip(CLASSES, iou["iou"], strict=True))
    return f"""# {NAME}: closed-set weights

DeepLabv3+ with a small WideResNet, trained on the painted city of `ood_lib.miniature` to tell the 19 classes of
Cityscapes apart. It has never seen an object of another class. Trained again from nothing by `make weights`.

- Data: {SCENES.train} scenes of {SCENES.width} x {SCENES.height} pixels, split `train`, data seed 0.
- Held out: the first {scenes} scenes of the split `val`. **mIoU {iou["miou"]:.3f}**
- Loss: cross-entropy, classes weighted by their share of the pixels to the power of -1/4; AdamW; one cycle of the
  learning rate; bfloat16 autocast; the weights are the exponential moving average. torch {torch.__version__},
  {platform.machine()}.
- For: this book. Not for driving, nor for photographs. Licence: CC BY-SA 4.0, as the OpenMoji drawings in the scenes.

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
    network = train_closed_set(NAME, dataset, RECIPE, cache_folder())
    iou = evaluate_segmentation(network, open_dataset("cityscapes", root, "val"))
    save_checkpoint(network, FOLDER / f"{NAME}.safetensors")
    with atomic_path(FOLDER / f"{NAME}.md") as aside:
        aside.write_text(model_card(iou, SCENES.val), encoding="utf-8")
    print(f"mIoU {iou['miou']:.3f} on {SCENES.val} held-out scenes; weights in {FOLDER}")


if __name__ == "__main__":
    main()

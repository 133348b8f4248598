"""`make weights`: trains the miniature's closed-set network from nothing, as NVIDIA trained the thesis's on Cityscapes.

The recipe stands here; what came of it, in the model card beside the weights.
"""

import math
import platform
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from torchvision.transforms.v2.functional import to_dtype
from tqdm.auto import tqdm

from ..data import SegmentationDataset, collate, open_dataset, training_transform
from ..data.labels import CLASSES, IGNORE_INDEX, NUM_CLASSES
from ..evaluation import evaluate_segmentation
from ..files import atomic_path, cache_folder
from ..models import build_model, save_checkpoint
from ..training import EpochImages
from ..training_state import TrainingState, weights_digest
from . import Size, ensure_miniature

NAME = "deeplabv3plus_miniature"
FOLDER = Path(__file__).parents[1] / "models" / "weights"
SCENES = Size(train=4000, val=200, proxy=0, tuning_sequences=0, test_sequences=0, fishyscapes=0)
RECIPE = {
    "seed": 0,
    "epochs": 14,
    "crop": 128,
    "batch_size": 16,
    "learning_rate": 3e-3,
    "weight_decay": 1e-3,
    "warm_up": 0.15,
    "average_decay": 0.998,
}


def class_weights(dataset: SegmentationDataset, images: int = 500) -> Tensor:
    """Mild weights (19,) against imbalance: the class's share of the pixels to the power of -1/4, with mean 1."""
    counts = torch.zeros(NUM_CLASSES)
    for i in range(min(images, len(dataset))):
        target = dataset[i].target.flatten().long()
        counts += torch.bincount(target[target != IGNORE_INDEX], minlength=NUM_CLASSES)
    weights = (counts / counts.sum()).clamp(min=1e-5) ** -0.25
    return weights / weights.mean()


def learning_rate(progress: float) -> float:
    """The rate at a share of the training in [0, 1]: up along a cosine during the warm-up, then down to zero."""
    warm_up = RECIPE["warm_up"]
    rising = 0.5 - 0.5 * math.cos(math.pi * min(progress / warm_up, 1))
    falling = 0.5 + 0.5 * math.cos(math.pi * max(progress - warm_up, 0) / (1 - warm_up))
    return RECIPE["learning_rate"] * max(rising, 0.04) * falling


def train(dataset: SegmentationDataset, state_path: Path) -> nn.Module:
    """Weighted cross-entropy, AdamW, bfloat16; returns the moving average of the network. Goes on where it stopped."""
    torch.manual_seed(RECIPE["seed"])
    network = build_model(NAME)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(RECIPE["average_decay"]), use_buffers=True)
    both = nn.ModuleDict({"network": network, "average": average})
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=RECIPE["weight_decay"])
    weights = class_weights(dataset)
    settings = RECIPE | asdict(SCENES) | {"starting weights": weights_digest(network.state_dict())}
    state = TrainingState.resume(state_path, settings, both, optimizer)
    for epoch in range(state.epochs_done, RECIPE["epochs"]):
        images = EpochImages(dataset, dataset, 0, RECIPE["seed"], epoch)
        loader = DataLoader(images, RECIPE["batch_size"], collate_fn=collate, drop_last=True)
        losses = []
        for step, (pixels, target) in enumerate(tqdm(loader, desc=f"epoch {epoch + 1} of {RECIPE['epochs']}")):
            optimizer.param_groups[0]["lr"] = learning_rate((epoch + step / len(loader)) / RECIPE["epochs"])
            losses.append(_step(network, optimizer, pixels, target, weights))
            average.update_parameters(network)
        state.finish_epoch(losses, [])
        state.save(state_path, settings, both, optimizer)
    return average.module.eval()


def _step(
    network: nn.Module, optimizer: torch.optim.Optimizer, pixels: Tensor, target: Tensor, weights: Tensor
) -> float:
    network.train()
    images = to_dtype(pixels, torch.float32, scale=True).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(images)
    loss = F.cross_entropy(logits.float(), target, weight=weights, ignore_index=IGNORE_INDEX)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def model_card(iou: dict, scenes: int) -> str:
    """The card: what the weights are, how they were made and what they reach, in Markdown."""
    recipe = "\n".join(f"| {name.replace('_', ' ')} | {value} |" for name, value in RECIPE.items())
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
    dataset = open_dataset("cityscapes", root, "train", transform=training_transform(RECIPE["crop"]))
    network = train(dataset, cache_folder() / "weights-training.safetensors")
    iou = evaluate_segmentation(network, open_dataset("cityscapes", root, "val"))
    save_checkpoint(network, FOLDER / f"{NAME}.safetensors")
    with atomic_path(FOLDER / f"{NAME}.md") as aside:
        aside.write_text(model_card(iou, SCENES.val), encoding="utf-8")
    print(f"mIoU {iou['miou']:.3f} on {SCENES.val} held-out scenes; weights in {FOLDER}")


if __name__ == "__main__":
    main()

"""A tiny experiment, every part of it: images in all the layouts that a study needs, a profile and
its weights."""

from pathlib import Path

import torch
import yaml
from layouts import bird, write_cityscapes, write_coco, write_fishyscapes, write_lost_and_found

from ood_lib.models import build_model, save_checkpoint
from ood_lib.settings import Settings, load_settings

NUMBERS = {
    "model": "deeplabv3plus_miniature",
    "checkpoint": "weights.safetensors",
    "threshold": 0.5,
    "lambda_": 0.9,
    "crop": 16,
    "batch_size": 4,
    "epochs": 2,
    "learning_rate": 0.001,
    "num_in_distribution": 4,
    "proxy_fraction": 0.5,
    "min_ood_share": 0.0,
    "max_ood_share": 1.0,
}


def write_experiment(root: Path) -> Settings:
    """Everything in one folder, with the profile ``tiny.yml``; 4 street scenes and 2 proxy images
    an epoch."""
    for split in ("train", "val"):
        write_cityscapes(root / "cityscapes", split, count=4)
    for split in ("train", "test"):
        write_lost_and_found(root / "lost_and_found", split)
    write_fishyscapes(root / "fishyscapes")
    write_coco(root / "coco", [bird(i, 1, 1, 28, 2 * i - 1) for i in range(1, 11)], [(20, 30)] * 10)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_checkpoint(build_model(NUMBERS["model"]), root / NUMBERS["checkpoint"])
    (root / "tiny.yml").write_text(yaml.safe_dump(NUMBERS))
    return load_settings(root / "tiny.yml", root)

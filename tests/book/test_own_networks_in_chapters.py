"""Chapters that ask a network themselves take one whose logits are smaller than the image."""

import ast
from pathlib import Path

import nbformat
import torch
from torch import nn

from ood_lib.models.logits import image_logits

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def function(notebook: str, name: str) -> ast.FunctionDef:
    """A function that a chapter defines."""
    cells = nbformat.read(NOTEBOOKS / notebook, as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "code" and "!" not in cell.source]
    bodies = [node for source in sources for node in ast.parse(source).body]
    return next(node for node in bodies if getattr(node, "name", None) == name)


def test_smaller_logits_are_enlarged():
    half = nn.Conv2d(3, 19, 3, stride=2, padding=1)
    image = torch.randint(0, 256, (3, 32, 48), dtype=torch.uint8)
    known = {"torch": torch, "image_logits": image_logits, "network": half}
    known |= {"device": torch.device("cpu"), "x": image[None] / 255}
    for notebook, name in (("01_introduction.ipynb", "class_scores"),
                           ("02_semantic_segmentation.ipynb", "answer")):
        code = ast.Module([function(notebook, name)], [])
        exec(compile(code, notebook, "exec"), known)
    assert known["class_scores"](image).shape == (1, 19, 32, 48)
    assert known["answer"](half).shape == (32, 48)

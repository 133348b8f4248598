"""Chapters that ask a network themselves take one whose logits are smaller than the image."""

import ast
from pathlib import Path

import nbformat
import torch
from torch import nn

from ood_lib.models.logits import image_logits

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def code_of(notebook: str) -> list[ast.stmt]:
    """All statements of a chapter."""
    cells = nbformat.read(NOTEBOOKS / notebook, as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "code" and "!" not in cell.source]
    return [node for source in sources for node in ast.parse(source).body]


def test_smaller_logits_are_enlarged():
    half = nn.Conv2d(3, 19, 3, stride=2, padding=1)
    image = torch.randint(0, 256, (3, 32, 48), dtype=torch.uint8)
    known = {"torch": torch, "image_logits": image_logits, "network": half, "device": "cpu"}
    scores = [node for node in code_of("02_semantic_segmentation.ipynb") if _name(node) == "scores"]
    exec(compile(ast.Module(scores, []), "chapter 2", "exec"), known)
    assert known["scores"](image).shape == (1, 19, 32, 48)


def test_no_chapter_calls_a_network_past_the_helper():
    for notebook in ("01_introduction.ipynb", "02_semantic_segmentation.ipynb"):
        calls = [node for part in code_of(notebook) for node in ast.walk(part) if _calls(node)]
        assert not calls, f"{notebook} calls the network itself in {ast.unparse(calls[0])}"


def _name(node: ast.stmt) -> str | None:
    return getattr(node, "name", None)


def _calls(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "network"

"""What the library's code does, as a short digest: results are kept under it and are outdated with it."""

import ast
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

CODE = (
    *("training.py", "epoch.py", "inference.py", "evaluation.py", "device.py", "studies/measure.py"),
    *("scores/checks.py", "scores/normalised_entropy.py"),
    *("data/*.py", "metrics/*.py", "models/*.py"),
)
NOT_CODE = {
    *("data/__main__.py", "data/doctor.py"),
    *("metrics/classifiers.py", "metrics/paired.py", "metrics/segment_me.py", "metrics/segments.py"),
}
"""Of these modules, those that decide nothing of a network and its pixel measures."""


@cache
def code_digest(also: tuple[str, ...] = ()) -> str:
    """Changes with what the modules do that decide a network's training and measures, and the modules ``also`` named.

    It does not change with their comments, docstrings and layout. Read once in a process, which runs what it has
    loaded.
    """
    folder = Path(__file__).parent
    names = {path.relative_to(folder).as_posix() for pattern in CODE for path in folder.glob(pattern)} - NOT_CODE
    digest = hashlib.sha256()
    for name in sorted(names | set(also)):
        digest.update(repr((name, _meaning(ast.parse((folder / name).read_bytes())))).encode())
    return digest.hexdigest()[:16]


def _meaning(node: Any) -> Any:
    """A parsed piece of code without its docstrings, alike in all versions of Python."""
    if isinstance(node, list):
        return [_meaning(part) for part in node if not _is_docstring(part)]
    if isinstance(node, ast.AST):
        fields = [(name, _meaning(value)) for name, value in ast.iter_fields(node)]
        return type(node).__name__, [field for field in fields if field[1] not in ("None", [])]
    return repr(node)


def _is_docstring(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)

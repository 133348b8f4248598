"""Prints the digest of the whole library, by which `make` knows whether notebooks are outdated."""

import ast
import hashlib
from pathlib import Path

import ood_lib
from ood_lib.acting_code import is_docstring
from ood_lib.kept import digest

SPOKEN = ("answers.json",)  # data of which nothing is computed: what exercises say to a reader


def library_digest(folder: Path = Path(ood_lib.__file__).parent) -> str:
    """Changes with whatever the library does, and with the data files that it holds."""
    parts = []
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".py":
            tree = ast.parse(path.read_bytes())
            for node in ast.walk(tree):
                if isinstance(getattr(node, "body", None), list):
                    node.body = [part for part in node.body if not is_docstring(part)]
            parts.append((path.name, ast.dump(tree)))
        elif path.is_file() and path.suffix not in (".pyc", ".md") and path.name not in SPOKEN:
            parts.append((path.name, hashlib.sha256(path.read_bytes()).hexdigest()))
    return digest(parts)


if __name__ == "__main__":
    print(library_digest())

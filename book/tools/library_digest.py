"""Prints the digest of the whole library, by which `make` knows whether notebooks are outdated."""

import hashlib
from pathlib import Path

import ood_lib
from ood_lib.kept import code_digest, digest

SPOKEN = ("answers.json",)  # data of which nothing is computed: what exercises say to a reader


def library_digest(folder: Path = Path(ood_lib.__file__).parent) -> str:
    """Changes with whatever the library does, and with the data files that it holds."""
    parts = []
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".py":
            parts.append((path.name, code_digest(path)))
        elif path.is_file() and path.suffix not in (".pyc", ".md") and path.name not in SPOKEN:
            parts.append((path.name, hashlib.sha256(path.read_bytes()).hexdigest()))
    return digest(parts)


if __name__ == "__main__":
    print(library_digest())

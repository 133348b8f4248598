"""`python -m ood_lib.miniature [--root DIR]`: paints what is missing and prints the folder."""

import argparse
from pathlib import Path

from . import ensure_miniature

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m ood_lib.miniature", description="Paints the built-in data once."
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=None,
        help="folder to write to (default: a folder of the cache)",
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(ensure_miniature(arguments.root, seed=arguments.seed))

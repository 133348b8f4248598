"""How long the library takes to import, beside PyTorch alone, in seconds of the processor.

    python benchmarks/imports.py --out imports.json

Each is the least of five processes of its own. Ends with 1 if a limit is broken.
"""

import subprocess
import sys

from report import Row, parser, report

MODULES = ("ood_lib.inference", "ood_lib.scores", "ood_lib.training")
MOST = 1.3  # times what torch takes
TIMED = "import time; start = time.process_time(); import {}; print(time.process_time() - start)"


def main() -> None:
    options = parser(__doc__).parse_args()
    alone = seconds("torch")
    rows: list[Row] = [("import torch", alone, "s")]
    times = {module: seconds(module) / alone for module in MODULES}
    ratios: list[Row] = [(f"import {name}", ratio, "times") for name, ratio in times.items()]
    limits = dict.fromkeys([name for name, _, _ in ratios], MOST)
    report(rows + ratios, ["torch", "numpy"], {}, options.out, limits=limits)
    sys.exit(max(times.values()) > MOST)


def seconds(module: str) -> float:
    """The least of five."""
    command = [sys.executable, "-c", TIMED.format(module)]
    outputs = [subprocess.run(command, capture_output=True, check=True).stdout for _ in range(5)]
    return min(map(float, outputs))


if __name__ == "__main__":
    main()

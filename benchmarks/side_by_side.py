"""This checkout beside another one, in turns, so that both meet the same machine.

    git worktree add ../before <commit>
    python benchmarks/side_by_side.py ../before [--repeats 5] [--only predict]

For each task the least seconds of each, and their ratio. The data are the painted ones of the
profile miniature, which are painted first if they are not there.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PREPARE = """
import json, sys, time, warnings
import numpy as np, torch
torch.set_num_threads(1)
try:
    from ood_lib.settings import load_settings
    from ood_lib.training import closed_set_network
except ImportError:  # as it was before
    from ood_lib.profiles import load_settings
    from ood_lib.closed_set import closed_set_network
settings = load_settings(data_root=sys.argv[1])
rng = np.random.default_rng(0)
"""

TASKS = {
    "segment_metrics, 1024 x 2048 x 19": """
from ood_lib.segments import segment_metrics
probabilities = torch.randn(19, 1024, 2048, generator=torch.manual_seed(0)).softmax(0)
mask = np.kron(rng.random((64, 128)) < 0.1, np.ones((16, 16))) > 0
task = lambda: segment_metrics(probabilities, mask)
""",
    "PixelMetrics, 150 frames of 128 x 256": """
from ood_lib.metrics import PixelMetrics
scores = rng.random((150, 128, 256), dtype=np.float32)
targets = (rng.random((150, 128, 256)) < 0.02).astype(np.uint8)
def task():
    metrics = PixelMetrics()
    for number, (score, target) in enumerate(zip(scores, targets)):
        metrics.update(score, target, group=number // 5)
    metrics.compute()
    metrics.interval()
""",
    "predict, 40 frames": """
from ood_lib.inference import predict
network, frames = closed_set_network(settings), settings.open("lost_and_found", "test").take(40)
task = lambda: list(predict(network, frames, progress=False))
""",
    "leave-one-out of logistic regression, 300 segments": """
from ood_lib.meta import LogisticMetaClassifier, cross_validate
metrics = rng.normal(size=(300, 75))
labels = metrics[:, 0] + rng.normal(size=300) > 0
task = lambda: cross_validate(LogisticMetaClassifier(), metrics, labels, progress=False)
""",
    "leave-one-out of the network, 150 segments": """
from ood_lib.meta import NeuralMetaClassifier, cross_validate
metrics = rng.normal(size=(150, 75))
labels = metrics[:, 0] + rng.normal(size=150) > 0
task = lambda: cross_validate(NeuralMetaClassifier(), metrics, labels, progress=False)
""",
    "one run of a study": """
from ood_lib.studies.measure import measure_run
task = lambda: measure_run(settings)
""",
}

MEASURE = """
started = time.perf_counter()
task()
print(time.perf_counter() - started)
"""


def seconds(checkout: Path, task: str, data: Path) -> float:
    """How long the task takes with the library of a checkout, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", PREPARE + TASKS[task] + MEASURE, str(data)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=checkout, env=environment)
    if done.returncode:
        sys.exit(f"{task} failed in {checkout}:\n{done.stderr}")
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("before", type=Path, help="another checkout of this repository")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="tasks whose name holds this")
    options = parser.parse_args()
    from ood_lib.miniature import ensure_miniature

    data = ensure_miniature()
    print(f"{'task':52} {'before':>8} {'now':>8} {'ratio':>6}")
    for task in TASKS:
        if options.only not in task:
            continue
        turns = [
            (seconds(options.before.resolve(), task, data), seconds(ROOT, task, data))
            for _ in range(1 if "run" in task else options.repeats)
        ]
        before, now = (min(times) for times in zip(*turns, strict=True))
        print(f"{task:52} {before:8.3f} {now:8.3f} {now / before:6.2f}", flush=True)


if __name__ == "__main__":
    main()

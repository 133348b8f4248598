"""How long leave-one-out of meta classifiers takes, beside a loop that fits one fold after the
other.

    OMP_NUM_THREADS=1 python benchmarks/meta.py --out meta.json

The table is synthetic, 75 metrics for each segment. The thesis's way is a network, a Dataset and a
DataLoader for each fold; the tight loop takes batches by index instead. Both are timed for
``--loop-folds`` folds, the stack for ``--stack-folds`` of them, which is one chunk on the CPU; all
in turn, and of all repeats the fastest counts. The 20 architectures of Tables 4.4 to 4.6 are timed
for a tenth of the epochs, and scaled. Logistic regression runs all folds.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from report import Row, parser, report
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ood_lib.device import compute_device
from ood_lib.meta import (
    LogisticMetaClassifier,
    NeuralMetaClassifier,
    cross_validate,
    predict_left_out,
)

METRICS, COMPARED_ROWS = 75, 1500
THESIS = NeuralMetaClassifier()
HIDDEN = [
    *((75,) * layers for layers in range(7)),
    *((width,) * 3 for width in (15, 25, 35, 45, 55, 65, 75, 85, 95, 110)),
    *((130, 45, 30), (60, 140, 30), (40, 80, 135)),
]


class Segments(Dataset):
    """Rows of standardised metrics and their labels, as float32 tensors."""

    def __init__(self, standardised: np.ndarray, labels: np.ndarray) -> None:
        self.metrics = torch.tensor(standardised, dtype=torch.float32)
        self.labels = torch.tensor(labels[:, None], dtype=torch.float32)

    def __len__(self) -> int:
        return len(self.metrics)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        return self.metrics[row], self.labels[row]


def draw_table(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlated metrics (n, 75), of which four tell something, and labels (n,)."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, METRICS)) @ (0.2 * rng.normal(size=(METRICS, METRICS)))
    return values, values[:, :4].sum(axis=1) + rng.normal(size=rows) > -1.5


def train_set(values: np.ndarray, labels: np.ndarray, row: int) -> tuple[np.ndarray, np.ndarray]:
    """What remains without the row, standardised, and its labels."""
    kept = np.delete(values, row, axis=0)
    return (kept - kept.mean(axis=0)) / kept.std(axis=0), np.delete(labels, row)


def new_network(device: torch.device) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Table 4.2, and Adam as in section 4.4."""
    widths = [METRICS, *THESIS.hidden]
    hidden = [
        part
        for i, o in zip(widths[:-1], widths[1:], strict=True)
        for part in (nn.Linear(i, o), nn.ReLU())
    ]
    network = nn.Sequential(*hidden, nn.Linear(widths[-1], 1), nn.Sigmoid()).to(device)
    rate, decay = THESIS.learning_rate, THESIS.weight_decay
    return network, torch.optim.Adam(network.parameters(), lr=rate, weight_decay=decay)


def take_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, metrics: Tensor, labels: Tensor
) -> None:
    loss = nn.functional.binary_cross_entropy(network(metrics), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def loader_loop(values: np.ndarray, labels: np.ndarray, folds: int) -> None:
    device = compute_device()
    for row in range(folds):
        network, optimizer = new_network(device)
        loader = DataLoader(
            Segments(*train_set(values, labels, row)), THESIS.batch_size, shuffle=True
        )
        for _ in range(THESIS.epochs):
            for metrics, wanted in loader:
                take_step(network, optimizer, metrics.to(device), wanted.to(device))


def tight_loop(values: np.ndarray, labels: np.ndarray, folds: int) -> None:
    device = compute_device()
    for row in range(folds):
        network, optimizer = new_network(device)
        segments = Segments(*train_set(values, labels, row))
        metrics, wanted = segments.metrics.to(device), segments.labels.to(device)
        for _ in range(THESIS.epochs):
            for rows in torch.randperm(len(segments), device=device).split(THESIS.batch_size):
                take_step(network, optimizer, metrics[rows], wanted[rows])


def stack(
    values: np.ndarray, labels: np.ndarray, folds: int, classifier: NeuralMetaClassifier = THESIS
) -> None:
    predict_left_out(classifier, values, labels, [[row] for row in range(folds)], progress=False)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare_loops(loop_folds: int, stack_folds: int, repeats: int) -> list[Row]:
    """Seconds for each fold of the thesis's network, for each way to train it."""
    table = draw_table(COMPARED_ROWS)
    ways = {
        "Dataset and DataLoader": (loader_loop, loop_folds),
        "tight loop": (tight_loop, loop_folds),
        "stack": (stack, stack_folds),
    }
    best = dict.fromkeys(ways, np.inf)
    for _ in range(repeats):  # in turn, so that none has the machine's good minutes for itself
        for name, (way, folds) in ways.items():
            best[name] = min(
                best[name], seconds(lambda way=way, folds=folds: way(*table, folds)) / folds
            )
    rows: list[Row] = [
        (f"network, n = {COMPARED_ROWS}: {name}", taken, "s per fold")
        for name, taken in best.items()
    ]
    for name in list(ways)[:2]:
        rows.append((f"the stack is faster than {name}", best[name] / best["stack"], "times"))
    return rows


def largest_difference() -> Row:
    """Between p^FP of a fold in a stack and that of a classifier that is fitted alone."""
    values, labels = draw_table(COMPARED_ROWS)
    together = predict_left_out(THESIS, values, labels, [[row] for row in range(5)], progress=False)
    others = [np.delete(np.arange(len(values)), row) for row in range(5)]
    alone = [
        NeuralMetaClassifier().fit(values[rows], labels[rows]).predict_proba(values[[row]])[0, 1]
        for row, rows in enumerate(others)
    ]
    return (
        "largest difference of p^FP to fitting alone",
        float(np.abs(together[:5] - alone).max()) * 1e6,
        "x 1e-6",
    )


def stack_at_sizes(sizes: list[int], folds: int, repeats: int) -> list[Row]:
    rows: list[Row] = []
    for size in sizes:
        values, labels = draw_table(size)
        taken = (
            min(seconds(lambda v=values, y=labels: stack(v, y, folds)) for _ in range(repeats))
            / folds
        )
        rows += [(f"network, n = {size}: stack", taken, "s per fold")]
        rows += [(f"network, n = {size}: stack, all folds", taken * size / 60, "min")]
    return rows


def all_architectures(rows: int, folds: int) -> Row:
    """Hours for leave-one-out of all architectures."""
    values, labels = draw_table(rows)
    epochs = max(1, THESIS.epochs // 10)
    classifiers = [NeuralMetaClassifier(hidden, epochs=epochs) for hidden in HIDDEN]
    taken = sum(seconds(lambda one=one: stack(values, labels, folds, one)) for one in classifiers)
    hours = taken / folds * THESIS.epochs / epochs * rows / 3600
    return (f"{len(HIDDEN)} architectures x {rows} folds", hours, "h")


def logistic_regression(rows: int, cold_folds: int) -> list[Row]:
    table = draw_table(rows)

    def cold() -> None:
        for row in range(cold_folds):
            LogisticRegression(solver="liblinear", tol=1e-10).fit(*train_set(*table, row))

    warm = seconds(lambda: cross_validate(LogisticMetaClassifier(), *table, progress=False))
    return [
        (f"logistic regression, n = {rows}: all folds", warm, "s"),
        (
            f"logistic regression, n = {rows}: liblinear to the same optimum",
            seconds(cold) / cold_folds * rows,
            "s",
        ),
    ]


def main() -> None:
    command_line = parser(__doc__)
    add = command_line.add_argument
    add(
        "--sizes",
        type=int,
        nargs="+",
        default=[1000, 1500, 3000],
        metavar="N",
        help="segments of the tables",
    )
    add("--loop-folds", type=int, default=2, help="folds of the loops in each repeat")
    add("--stack-folds", type=int, default=32, help="folds of the stack in each repeat")
    add("--repeats", type=int, default=3, help="of each measurement; the best one counts")
    options = command_line.parse_args()
    rows = compare_loops(options.loop_folds, options.stack_folds, options.repeats)
    rows += [
        largest_difference(),
        *stack_at_sizes(options.sizes, options.stack_folds, options.repeats),
    ]
    rows += [
        all_architectures(max(options.sizes), options.stack_folds),
        *logistic_regression(COMPARED_ROWS, 50),
    ]
    settings = {name: getattr(options, name) for name in ("loop_folds", "stack_folds", "repeats")}
    device = (
        f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
        if torch.cuda.is_available()
        else "CPU"
    )
    packages = ["numpy", "torch", "scikit-learn"]
    report(rows, packages, settings | {"threads": torch.get_num_threads()}, options.out, device)


if __name__ == "__main__":
    main()

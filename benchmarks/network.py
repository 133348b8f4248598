"""How fast networks classify whole images and train on crops, how near to the device's peak, and
how much memory.

    python benchmarks/network.py --out network.json python benchmarks/network.py --networks
    deeplabv3plus_wrn38 --size 256 512 --crop 240 --batch 1    # on a CPU

On a GPU each network runs in float32, in TF32 and in 16 bits (autocast), on the CPU in float32. The
peak is that of a multiplication of square matrices in the same format. A training step is that of
`fine_tune`. Of two or more runs the fastest counts. A share of the peak above 100 % says that
something else ran, or that padding was left out.
"""

import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext

import torch
from report import Row, in_new_process, parser, peak_memory, report
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ood_lib.device import compute_device, half_precision
from ood_lib.models import build_model
from ood_lib.training import entropy_maximization_loss

NUM_CLASSES = 19
MATRIX_ROWS = {"cuda": 8192, "cpu": 2048}  # enough to keep the device busy
Shape = tuple[int, ...]
Work = Callable[[], object]


def precisions() -> list[str]:
    """What the device computes in; on GPUs, TF32 came together with bfloat16."""
    return {
        None: ["fp32"],
        torch.float16: ["fp32", "fp16"],
        torch.bfloat16: ["fp32", "tf32", "bf16"],
    }[half_precision()]


def set_up(precision: str) -> tuple[torch.device, torch.dtype | None]:
    """The device, and the format of 16 bits if that is meant."""
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    for operation in (torch.backends.cuda.matmul, torch.backends.cudnn.conv):
        operation.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    return compute_device(), half_precision() if precision in ("bf16", "fp16") else None


def fastest(work: Work, device: torch.device, seconds: float) -> float:
    """Seconds of the fastest run; the first ones choose algorithms and fill caches."""
    finish = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    times: list[float] = []
    while len(times) < 2 or sum(times) < seconds:
        started = time.perf_counter()
        work()
        finish()
        times.append(time.perf_counter() - started)
    return min(times)


def matrix_peak(precision: str, seconds: float) -> float:
    """Operations a second."""
    device, dtype = set_up(precision)
    rows = MATRIX_ROWS[device.type]
    a, b = torch.randn(2, rows, rows, device=device).to(dtype or torch.float32)
    return 2 * rows**3 / fastest(lambda: a @ b, device, seconds)


def task(
    kind: str, name: str, shape: Shape, device: torch.device, dtype: torch.dtype | None
) -> tuple[nn.Module, Work]:
    """A network, and what is to be measured of it."""
    with device:
        model = build_model(name, NUM_CLASSES).to(memory_format=torch.channels_last)
        images = torch.rand(shape).to(memory_format=torch.channels_last)

    def forward() -> Tensor:
        with torch.autocast(device.type, dtype) if dtype else nullcontext():
            return model(images).float()

    if kind == "inference":
        return model.eval(), torch.inference_mode()(forward)
    return model, training_step(
        model, forward, torch.randint(NUM_CLASSES, (shape[0], *shape[2:]), device=device)
    )


def training_step(model: nn.Module, forward: Callable[[], Tensor], target: Tensor) -> Work:
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)

    def step() -> None:
        logits = (
            forward()
        )  # on "meta", where operations are only counted, without values for the loss to look at
        loss = logits.mean() if target.is_meta else entropy_maximization_loss(logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def count(kind: str, name: str, shape: Shape) -> tuple[int, int]:
    """Parameters, and the operations of convolutions (with those in the padding) and matrix
    products in one run."""
    model, work = task(kind, name, shape, torch.device("meta"), None)
    with FlopCounterMode(display=False) as counter:
        work()
    return sum(parameter.numel() for parameter in model.parameters()), counter.get_total_flops()


def speed(
    kind: str, name: str, shape: Shape, precision: str, seconds: float
) -> tuple[float, float]:
    """Seconds of one run, and the peak memory in GB: of tensors on a GPU, else of the process."""
    device, dtype = set_up(precision)
    taken = fastest(task(kind, name, shape, device, dtype)[1], device, seconds)
    return taken, torch.cuda.max_memory_allocated(
        device
    ) / 1e9 if device.type == "cuda" else peak_memory()


def measure(
    name: str, shapes: dict[str, Shape], peaks: dict[str, float], seconds: float
) -> list[Row]:
    rows: list[Row] = []
    for kind, shape in shapes.items():
        parameters, operations = count(kind, name, shape)
        rows += [] if rows else [(f"{name}: parameters", parameters / 1e6, "million")]
        rows.append(
            (f"{name}: {kind}, operations for an image", operations / shape[0] / 1e9, "GFLOP")
        )
        for precision, peak in peaks.items():
            title = f"{name}: {kind}, {precision}"
            try:
                taken, memory = in_new_process(speed, kind, name, shape, precision, seconds)
            except (torch.OutOfMemoryError, BrokenProcessPool) as error:
                print(f"{title}: left out, for want of memory ({error})")
                continue
            rows += [(title, shape[0] / taken, "images/s"), (f"{title}, memory", memory, "GB")]
            rows.append((f"{title}, share of the peak", 100 * operations / taken / peak, "%"))
    return rows


def main() -> None:
    command_line = parser(__doc__)
    add = command_line.add_argument
    add(
        "--networks",
        nargs="+",
        default=["deeplabv3plus_miniature", "deeplabv3plus_wrn38"],
        metavar="NAME",
    )
    add(
        "--size",
        type=int,
        nargs=2,
        default=[1024, 2048],
        metavar=("H", "W"),
        help="of an image to classify",
    )
    add("--crop", type=int, default=480, help="height and width of an image to train on")
    add("--batch", type=int, default=8, help="images in a training step")
    add(
        "--seconds", type=float, default=20, help="for each measurement, if two runs take no longer"
    )
    options = command_line.parse_args()
    shapes = {
        "inference": (1, 3, *options.size),
        "training": (options.batch, 3, options.crop, options.crop),
    }
    peaks = {
        precision: in_new_process(matrix_peak, precision, options.seconds)
        for precision in precisions()
    }
    rows: list[Row] = [
        (f"peak of matrices, {name}", peak / 1e9, "GFLOP/s") for name, peak in peaks.items()
    ]
    for name in options.networks:
        rows += measure(name, shapes, peaks, options.seconds)
    settings = {name: getattr(options, name) for name in ("size", "crop", "batch")}
    device = (
        f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
        if torch.cuda.is_available()
        else "CPU"
    )
    report(rows, ["torch"], settings | {"threads": torch.get_num_threads()}, options.out, device)


if __name__ == "__main__":
    main()

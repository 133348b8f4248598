"""How large, how fast and how faithful the built playground is, beside what it should reach.

    python benchmarks/playground.py [--lessons 5] [--chromium PATH]

Needs ``_build/playground`` (`make book`, or ``book/tools/playground.py``) and Chromium. Ratios are
to PyTorch on one thread in the same minute.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from playwright.sync_api import Page, sync_playwright

BOOK = Path(__file__).parents[1] / "book"
sys.path.insert(0, str(BOOK / "tools"))

from browser import FLAGS, find_chromium  # noqa: E402 the book's tools are no package
from playground_data import (  # noqa: E402
    CLASSIFIERS,
    HEIGHT,
    THINGS,
    WIDTH,
    classifiers,
    detection,
    networks,
    paint,
)

from ood_lib.inference import predict  # noqa: E402
from ood_lib.metrics import MeanIoU, PixelMetrics  # noqa: E402
from ood_lib.models.export import GraphNetwork  # noqa: E402
from ood_lib.segments import segment_metrics  # noqa: E402
from ood_lib.settings import load_settings  # noqa: E402
from ood_lib.training import closed_set_network, fine_tuned_network  # noqa: E402

BUILT = Path("_build/playground")
PAGE = """<!doctype html><meta charset="utf-8"><div class="playground"></div>
<script src="playground/page.js"></script>"""
Measured = Iterator[tuple[str, float, float, bool]]
"""What, how much, its limit, and whether that is a least instead of a most."""


def sizes() -> Measured:
    size = {path.name: path.stat().st_size / 1e6 for path in BUILT.iterdir()}
    played = sum(size[f"{name}.js"] for name in ("runtime", "network", "scenes"))
    yield "MB downloaded to play", played, 5.5, False
    yield "MB more to learn", size["learn.js"], 4, False


def places(count: int) -> list[dict]:
    """The same placements each time: street, sprite, x and y."""
    rng = np.random.default_rng(0)
    drawn = [
        (rng.integers(12), rng.integers(len(THINGS)), rng.integers(60, 196), rng.integers(76, 124))
        for _ in range(count)
    ]
    return [
        dict(zip(("street", "sprite", "x", "y"), map(int, place), strict=True)) for place in drawn
    ]


RUN = """async (asked) => {
    const found = await playground.run(asked);
    const lists = {};
    for (const name of ["pixels", "score", "labels", "seen", "region"]) {
        lists[name] = Array.from(found[name]);
    }
    return JSON.stringify({ ...lists, ...found.pFP }); // text passes faster than arrays
}"""


def ask(page: Page, place: dict[str, int], network: str) -> dict[str, np.ndarray]:
    """What the page makes of a placement: maps (H, W), and p^FP (segments,) of each classifier."""
    found = json.loads(page.evaluate(RUN, place | {"network": network}))
    arrays = {name: np.array(values) for name, values in found.items()}
    for name in ("score", "labels", "seen", "region"):
        arrays[name] = arrays[name].reshape(HEIGHT, WIDTH)
    arrays["image"] = arrays["pixels"].reshape(HEIGHT, WIDTH, 4)[..., :3].astype(np.uint8)
    return arrays


def speed(page: Page) -> Measured:
    first = page.evaluate("""async () => {
        const started = performance.now();
        await playground.run({ street: 0, sprite: 1, x: 140, y: 112, network: "after" });
        return (performance.now() - started) / 1000;
    }""")
    yield "seconds to the first answer", first, 3, False
    found = page.evaluate("""async () => {
        const times = [];
        for (let i = 0; i < 12; i++) {
            const started = performance.now();
            const picture = await playground.compose({ street: 0, sprite: 1, x: 120 + i, y: 112 });
            const composed = performance.now();
            const { milliseconds } = await playground.see(picture, "after");
            times.push([composed - started, performance.now() - started, milliseconds]);
        }
        return times;
    }""")
    composed, answered, network = np.median(found, axis=0)
    yield "ms of the main thread for a picture", composed, 50, False
    yield "ms from picture to map", answered, 300, False
    image, seconds = torch.rand(1, 3, HEIGHT, WIDTH), []
    with torch.no_grad():
        for _ in range(12):
            started = time.perf_counter()
            networks()["after"](image)
            seconds.append(time.perf_counter() - started)
    yield "network, times PyTorch's time", network / 1000 / np.median(seconds), 6, False


def faithfulness(page: Page) -> Measured:
    worst, differing, verdicts = 0.0, 0, 0
    for place in places(20):
        for network in ("before", "after"):
            found = ask(page, place, network)
            for kind in CLASSIFIERS:
                ignored = found["region"] == 0
                wanted = detection(network, found["image"], ignored, kind)
                if (found["labels"] != wanted.labels).any():
                    differing += 1
                    continue
                verdicts += int(((found[kind] >= 0.5) != (wanted.probability >= 0.5)).sum())
            worst = max(worst, np.abs(found["score"] - wanted.score).max())
    yield "largest difference of a score, 20 places, 2 networks", worst, 1e-4, False
    yield "pictures with other segments", differing, 0, False
    yield "other verdicts", verdicts, 0, False


def against_painter(page: Page) -> Measured:
    differences: dict[str, list[float]] = {"after": [], "before": []}
    for place in places(60):
        painted, where = paint(**place)
        for network, differing in differences.items():
            found = ask(page, place, network)
            if where.any() and found["seen"].any():
                own = found["score"][found["seen"] == 1].mean()
                differing.append(own - detection(network, painted).score[where].mean())
    for (network, differing), limit in zip(differences.items(), (0.04, 0.06), strict=True):
        what = f"thing's mean score, page against painter, {network}"
        yield what, np.abs(differing).mean(), limit, False


def rounding() -> Measured:
    settings = load_settings()
    frames = settings.open("cityscapes", "val").take(100)
    exact = {"before": closed_set_network(settings)}
    exact["after"] = fine_tuned_network(settings, closed_set_network(settings), progress=False)
    verdicts = [equal for name, network in exact.items() for equal in same_verdicts(name, network)]
    yield "share of equal verdicts, float16 against float32", np.mean(verdicts), 0.99, True
    same = [
        float((one.prediction == other.prediction).float().mean())
        for name, network in exact.items()
        for one, other in zip(predict(network, frames, progress=False),
                              predict(networks()[name], frames, progress=False), strict=True)
    ]  # fmt: skip
    yield "share of equal classes, float16 weights against float32", np.mean(same), 0.999, True


def same_verdicts(name: str, network: torch.nn.Module) -> Iterator[bool]:
    """For each segment that both see alike, in 100 test frames: whether its fate is the same."""
    settings = load_settings()
    frames, judge = settings.open("lost_and_found", "test").take(100), classifiers()[name]["neural"]
    both = [predict(each, frames, probabilities=True, progress=False)
            for each in (network, networks()[name])]  # fmt: skip
    for pair in zip(*both, strict=True):
        found = [segment_metrics(each.probabilities, each.score >= settings.threshold, each.target)
                 for each in pair]  # fmt: skip
        (metrics, labels), (others, other_labels) = found
        if len(metrics) and len(metrics) == len(others) and labels.max() == other_labels.max():
            yield from judge.predict(metrics) == judge.predict(others[metrics.columns])


def lessons(page: Page, count: int) -> Measured:
    """Learning in the page, with several seeds, and what it gains of what the recipe gains."""
    settings = load_settings()
    before = quality(closed_set_network(settings))
    recipe = quality(fine_tuned_network(settings, progress=False))
    seconds, gains = [], []
    for seed in range(count):
        found = page.evaluate(
            """async (seed) => {
            const { scenes } = await playground.ready();
            const learnText = playground.lessonText ??= await playground.text("learn");
            const started = performance.now();
            const lesson = { learnText, scenesText: scenes, lambda: 0.9, seed };
            await playground.ask({ ask: "learn", ...lesson }, () => {});
            const seconds = (performance.now() - started) / 1000;
            const { weights } = await playground.ask({ ask: "learned" });
            for (const name in weights) weights[name] = Array.from(weights[name]);
            return { seconds, weights };
        }""",
            seed + 1,
        )
        seconds.append(found["seconds"])
        after = quality(with_weights(networks()["before"], found["weights"]))
        gains.append((after[0] - before[0]) / (recipe[0] - before[0]))
        print(
            f"lesson {seed + 1}, {seconds[-1]:.0f} s: AUPRC {after[0]:.3f}, mIoU {after[1]:.3f};"
            f" before {before[0]:.3f}, {before[1]:.3f}; chapter 3 {recipe[0]:.3f}, {recipe[1]:.3f}",
            flush=True,
        )
    yield "seconds of a lesson", np.median(seconds), 45, False
    yield "share of chapter 3's gain in AUPRC", np.mean(gains), 0.8, True


def with_weights(network: GraphNetwork, weights: dict[str, list[float]]) -> GraphNetwork:
    """The same graph with weights of the page, whose filters are (k, k, in, out)."""
    learned = {}
    for name, old in network.weights.items():
        shape = [old.shape[place] for place in (2, 3, 1, 0)] if old.ndim == 4 else old.shape
        values = torch.tensor(weights[name]).reshape(*shape)
        learned[name] = values.permute(3, 2, 0, 1).contiguous() if old.ndim == 4 else values
    return GraphNetwork(network.nodes, learned).eval()


def quality(network: torch.nn.Module) -> tuple[float, float]:
    """AUPRC on LostAndFound test, and mIoU on 30 validation streets."""
    settings = load_settings()
    pixels, classes = PixelMetrics(), MeanIoU(19)
    for result in predict(network, settings.open("lost_and_found", "test"), progress=False):
        pixels.update(result.score, result.target)
    for result in predict(network, settings.open("cityscapes", "val").take(30), progress=False):
        classes.update(result.prediction, result.target)
    return pixels.compute()["auprc"], classes.compute()["miou"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lessons", type=int, default=1, help="how many trainings in the page")
    parser.add_argument("--chromium", default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        for source in (BOOK / "_static/playground", BUILT):
            shutil.copytree(source, Path(folder, "playground"), dirs_exist_ok=True)
        path = Path(folder, "page.html")
        path.write_text(PAGE, encoding="utf-8")
        chromium = options.chromium or find_chromium()
        page = playwright.chromium.launch(executable_path=chromium, args=FLAGS).new_page()
        page.set_default_timeout(900_000)
        page.goto(path.as_uri())
        parts = [sizes(), speed(page), faithfulness(page), against_painter(page), rounding()]
        parts += [lessons(page, options.lessons)] if options.lessons else []
        for part in parts:
            for what, value, limit, is_least in part:
                kept = value >= limit if is_least else value <= limit
                word = "at least" if is_least else "at most"
                print(
                    f"{what:60} {value:9.4g}  {word} {limit:g}{'' if kept else '  MISSED'}",
                    flush=True,
                )


if __name__ == "__main__":
    main()

"""The playground's page in browsers: what it computes is what the library computes.

The packs are made here with the closed-set network and a coarse change of it, so that nothing has
to be trained; how the real networks do is measured by ``benchmarks/playground.py``.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import playground
import playground_data
import pytest
import torch
from browser_check import FLAGS, NAMES
from playground_data import CLASSIFIERS, detection
from playwright.sync_api import Browser, Page, sync_playwright

from ood_lib.models.export import GraphNetwork, to_graph
from ood_lib.scores import entropy
from ood_lib.segments import segment_metrics
from ood_lib.settings import load_settings
from ood_lib.training import closed_set_network

STATIC = Path(playground.__file__).parents[1] / "_static/playground"
BODY = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Playground</title>
<link rel="stylesheet" href="playground/playground.css">
<main><h1>Playground</h1><div class="playground"><img src="playground/still.png" alt="A street."></div></main>
<script src="playground/page.js" defer></script></html>"""
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
SECONDS = 1000  # in milliseconds, as Playwright counts


PLACES = [(i % 12, 7 * i % 20, 40 + 9 * i, (122, 96, 80, 72)[i % 4]) for i in range(20)]
"""Street, thing and the pixel on which it stands."""


def two_networks() -> dict[str, GraphNetwork]:
    """The closed-set network, and another one that takes no training: its logits are halved."""
    before = to_graph(closed_set_network(load_settings(paint=False))).eval()
    after = GraphNetwork(before.nodes, {name: w.detach().clone() for name, w in before.weights.items()})
    last = max(place for place, node in enumerate(before.nodes) if node["op"] == "conv")
    with torch.no_grad():
        after.weights[f"weight{last}"] /= 2  # still exact in float16
    return {"before": before, "after": after.eval()}


def some_classifiers(networks: dict[str, GraphNetwork]) -> dict[str, dict]:
    """Classifiers fitted on the segments of a few streets; every third is called false."""
    fitted = {}
    for name, network in networks.items():
        tables = []
        for street in range(3):
            image, _ = playground_data.paint(street, street, 120, 100)
            pixels = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
            with torch.no_grad():
                probabilities = network(pixels)[0].softmax(0)
            mask = (entropy_of(network, image) >= 0.4).numpy()
            tables.append(segment_metrics(probabilities, mask)[0])
        table = pd.concat(tables, ignore_index=True)
        fitted[name] = {kind: make().fit(table, table.index % 3 == 0) for kind, make in CLASSIFIERS.items()}
    return fitted


@torch.no_grad()
def entropy_of(network: GraphNetwork, image: np.ndarray) -> torch.Tensor:
    """Score map float32 (H, W) of an image uint8 (H, W, 3)."""
    return entropy(network(torch.from_numpy(image).permute(2, 0, 1)[None] / 255))[0]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a page, the scripts and the packs."""
    folder = tmp_path_factory.mktemp("site")
    packs = folder / "playground"
    shutil.copytree(STATIC, packs)
    (folder / "playground.html").write_text(BODY, encoding="utf-8")
    try:
        runtime = playground.runtime_pack()
    except OSError as error:
        pytest.skip(f"the page has nothing to compute with: {error}")
    networks = two_networks()
    fitted = some_classifiers(networks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(playground_data, "networks", lambda: networks)
        patch.setattr(playground_data, "classifiers", lambda: fitted)
        patch.setattr(playground_data, "load_settings", lambda: load_settings(paint=False))
        patch.setattr(playground_data, "SCENES", 4)
        patch.setattr(playground_data, "PROXIES", 4)
        playground.write_pack(packs, "runtime", "", runtime)
        playground.write_pack(packs, "network", "", playground_data.network_pack())
        playground.write_pack(packs, "scenes", "", playground_data.scenes_pack())
        playground.write_pack(packs, "learn", "", playground_data.learn_pack())
        playground_data.write_still(packs / "still.png")
        yield folder


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium to open the page with")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@pytest.fixture
def page(chromium: Browser, site: Path) -> Iterator[Page]:
    """The page, opened from the disk."""
    page = chromium.new_page()
    page.set_default_timeout(90 * SECONDS)
    page.goto((site / "playground.html").as_uri())
    yield page
    page.close()


def run(page: Page, place: tuple[int, ...], network: str) -> dict[str, np.ndarray]:
    """What `window.playground.run` gives, as arrays."""
    found = page.evaluate(
        """async ([[street, sprite, x, y], network]) => {
            const found = await playground.run({ street, sprite, x, y, network });
            const { pixels, region, score, labels, metrics, pFP } = found;
            const list = (array) => Array.from(array);
            return { pixels: list(pixels), region: list(region), score: list(score),
                     labels: list(labels), metrics, ...pFP };
        }""",
        [list(place), network],
    )
    arrays = {name: np.array(values) for name, values in found.items()}
    for name in ("region", "score", "labels"):
        arrays[name] = arrays[name].reshape(128, 256)
    return arrays | {"image": arrays["pixels"].astype(np.uint8).reshape(128, 256, 4)[..., :3]}


@pytest.mark.parametrize("network", ["before", "after"])
def test_the_page_computes_what_the_library_computes(page: Page, network: str) -> None:
    for place in PLACES[:: 2 if network == "before" else 1]:
        found = run(page, place, network)
        wanted = detection(network, found["image"], ignored=found["region"] == 0)
        assert np.abs(found["score"] - wanted.score).max() < 1e-4
        np.testing.assert_array_equal(found["labels"], wanted.labels)
        np.testing.assert_allclose(found["metrics"], wanted.metrics, rtol=1e-3, atol=1e-3)
        for kind in CLASSIFIERS:
            fitted = playground_data.classifiers()[network][kind]
            probability = fitted.predict_proba(wanted.metrics)[:, 1]
            np.testing.assert_allclose(found[kind], probability, atol=1e-3)
            assert ((found[kind] >= 0.5) == (probability >= 0.5)).all()

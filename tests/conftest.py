"""What several test modules use."""

from collections.abc import Callable, Iterator

import pytest
import torch
from browser import FLAGS, find_chromium
from layouts import bird, write_cityscapes, write_coco, write_lost_and_found
from playwright.sync_api import Browser, sync_playwright
from torch import nn

from ood_lib.data import SegmentationDataset, open_dataset, training_transform


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The tensors here are too small to share, and tests that run side by side would fight for the
    cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch) -> None:
    """What tests keep does not mix with what the user keeps."""
    monkeypatch.setenv("OOD_LIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The one browser of a process, in which Playwright can be started only once."""
    try:
        program = find_chromium()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=FLAGS)


@pytest.fixture
def make_network() -> Callable[..., nn.Module]:
    """A network of two convolutions with batch normalisation and dropout, so small that training it
    takes no time."""

    def make(seed: int = 0, num_classes: int = 19) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.Dropout2d(0.3),
                nn.Conv2d(8, num_classes, 1),
            )

    return make


@pytest.fixture
def scenes(tmp_path) -> SegmentationDataset:
    """Six street scenes, cropped to 16 x 16."""
    return open_dataset(
        "cityscapes",
        write_cityscapes(tmp_path / "cityscapes"),
        "train",
        transform=training_transform(16),
    )


@pytest.fixture
def proxy(tmp_path) -> SegmentationDataset:
    """Ten proxy images with one bird each, cropped to 16 x 16."""
    root = write_coco(
        tmp_path / "coco", [bird(i, 2, 2, 20, 12) for i in range(1, 11)], [(20, 30)] * 10
    )
    return open_dataset("coco_proxy", root, transform=training_transform(16))


@pytest.fixture
def street(tmp_path) -> SegmentationDataset:
    """Four test frames of LostAndFound with an obstacle."""
    return open_dataset("lost_and_found", write_lost_and_found(tmp_path / "laf"), "test")


@pytest.fixture
def network(make_network) -> nn.Module:
    return make_network().eval()

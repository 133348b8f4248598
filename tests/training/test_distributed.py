"""Training in two processes is training in one. This file is also the script that starts them, on
the CPU."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from layouts import bird, write_cityscapes, write_coco
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed, nn
from torch.multiprocessing import start_processes

from ood_lib.data import SegmentationDataset, open_dataset, training_transform
from ood_lib.models.deeplabv3plus import MINIATURE, DeepLabV3Plus
from ood_lib.training import FineTuneResult, fine_tune
from ood_lib.training.epoch import join_processes
from ood_lib.training.fine_tune import _FineTuning
from ood_lib.training.state import TrainingState, _read

SETTINGS = {
    "epochs": 3,
    "learning_rate": 1e-2,
    "proxy_fraction": 0.5,
    "progress": False,
}  # 9 images an epoch
SLOW_WRITING = 0.3
"""Seconds, so that whoever does not wait for the state finds none."""


def network(dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout2d(dropout),
        nn.Conv2d(8, 19, 1),
    ]
    return nn.Sequential(*layers)


class WithAuxiliary(nn.Module):
    """As torchvision's: a second output, on whose layers no logit depends."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.aux = network(), nn.Conv2d(3, 19, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": self.layer(x), "aux": self.aux(x)}


def miniature() -> DeepLabV3Plus:
    torch.manual_seed(0)
    return DeepLabV3Plus(MINIATURE)


RUNS = {
    "a batch that two do not divide": (network, {"batch_size": 3}),
    "a last step of one image": (network, {"batch_size": 4, "accumulate": 2}),
    "layers without gradient": (WithAuxiliary, {"batch_size": 4, "accumulate": 2}),
    "recomputed": (
        miniature,
        {"batch_size": 2, "accumulate": 3, "checkpoint_activations": True, "learning_rate": 1e-3},
    ),
}  # fmt: skip


class Interruption(Exception):
    pass


class Worker:
    """One of the processes: trains, and keeps what the tests ask about."""

    def __init__(self, folder: Path) -> None:
        at = {"transform": training_transform(16)}
        self.data: tuple[SegmentationDataset, ...] = (
            open_dataset("cityscapes", folder / "cityscapes", "train", **at),
            open_dataset("coco_proxy", folder / "coco", **at),
        )
        self.folder = folder
        _, self.process, self.processes = join_processes()
        self.facts: dict = {"processes": self.processes, "written": 0}
        self.weights: dict[str, Tensor] = {}

    def train(self, name: str, model: nn.Module, **settings) -> FineTuneResult:
        result = fine_tune(model, *self.data, **SETTINGS | {"batch_size": 4} | settings)
        self.facts[name] = {"losses": result.losses.loss.tolist(), "proxy_ids": result.proxy_ids}
        self.weights[name] = torch.cat(
            [value.detach().flatten().float() for value in model.state_dict().values()]
        )
        return result

    def interrupt_and_go_on(self) -> None:
        """A network with dropout, without interruption and with one after its second epoch."""
        whole, seeds = network(dropout=0.3), []
        whole[3].register_forward_pre_hook(lambda *_: seeds.append(torch.initial_seed()))
        self.train("whole", whole)
        self.facts["seeds"] = seeds
        original, self.facts["epochs trained"] = _FineTuning.epoch, []

        def until_the_third(training, images, epoch: int, **bar) -> list[float]:
            if epoch == 2 and self.facts["epochs trained"] == [0, 1]:
                self.facts["epochs trained"].append("interruption")
                raise Interruption
            self.facts["epochs trained"].append(epoch)
            return original(training, images, epoch, **bar)

        _FineTuning.epoch = until_the_third
        kept = self.folder / f"kept by {self.processes}.safetensors"
        model = network(dropout=0.3)
        with pytest.raises(Interruption):
            self.train("interrupted", model, checkpoint=kept)
        self.train("interrupted", model, checkpoint=kept)
        self.facts["epochs kept"] = len(_read(kept)[0]["losses"])
        self.train("loaded", network(dropout=0.3), checkpoint=kept)  # trains nothing
        _FineTuning.epoch = original

    def watch_writing(self) -> None:
        original = TrainingState.save

        def save(state: TrainingState) -> None:
            time.sleep(SLOW_WRITING)
            self.facts["written"] += state.path is not None
            original(state)

        TrainingState.save = save

    def run(self) -> None:
        for name, (make, settings) in RUNS.items():
            self.train(name, make(), **settings)
        self.watch_writing()
        self.interrupt_and_go_on()
        name = f"{self.processes}-{self.process}"
        (self.folder / f"{name}.json").write_text(json.dumps(self.facts))
        save_file(self.weights, self.folder / f"{name}.safetensors")
        if self.processes > 1:
            distributed.destroy_process_group()


def work(number: int, folder: Path, port: int) -> None:
    """Number 0 is alone; 1 and 2 are told what `accelerate launch` tells its processes."""
    torch.set_num_threads(1)
    if number > 0:
        place = {"RANK": number - 1, "LOCAL_RANK": number - 1, "WORLD_SIZE": 2, "MASTER_PORT": port}
        os.environ |= {name: str(value) for name, value in place.items()} | {
            "MASTER_ADDR": "127.0.0.1"
        }
    Worker(folder).run()


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, tuple[dict, dict[str, Tensor]]]:
    """Facts and weights of one process alone, ``1-0``, and of two together, ``2-0`` and ``2-1``."""
    folder = tmp_path_factory.mktemp("distributed")
    write_cityscapes(folder / "cityscapes")
    write_coco(folder / "coco", [bird(i, 2, 2, 20, 12) for i in range(1, 11)], [(20, 30)] * 10)
    on_cpu = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    if sys.platform == "linux":
        on_cpu["GLOO_SOCKET_IFNAME"] = "lo"
    on_cpu["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)  # for `layouts`
    script = [sys.executable, __file__, folder]
    done = subprocess.run(
        script, env=os.environ | on_cpu, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {
        name: (
            json.loads((folder / f"{name}.json").read_text()),
            load_file(folder / f"{name}.safetensors"),
        )
        for name in ("1-0", "2-0", "2-1")
    }


@pytest.mark.parametrize("run", RUNS)
def test_two_processes_train_as_one(results, run):
    """To 1e-4 of each number: the sums are the same, but summed in another order."""
    (alone, weights), (first, weights_of_first), (second, weights_of_second) = results.values()
    assert (alone["processes"], first["processes"], second["processes"]) == (1, 2, 2)
    assert first[run]["losses"] == pytest.approx(alone[run]["losses"], rel=1e-4)
    assert first[run]["proxy_ids"] == alone[run]["proxy_ids"]
    torch.testing.assert_close(weights_of_first[run], weights[run], rtol=1e-4, atol=1e-4)
    assert second[run] == first[run]
    assert torch.equal(weights_of_second[run], weights_of_first[run])


def test_dropout_differs_between_processes_and_the_first_draws_as_one_alone(results):
    (alone, _), (first, weights_of_first), (second, weights_of_second) = results.values()
    assert set(first["seeds"]) == set(alone["seeds"]) and len(set(first["seeds"])) == 3
    assert not set(first["seeds"]) & set(second["seeds"])
    assert torch.equal(weights_of_first["whole"], weights_of_second["whole"])


@pytest.mark.parametrize("process", ["1-0", "2-0", "2-1"])
def test_interrupted_run_goes_on_to_the_same_result_in_every_process(results, process):
    facts, weights = results[process]
    assert facts["epochs trained"] == [0, 1, "interruption", 2]
    assert facts["epochs kept"] == 3
    for name in ("interrupted", "loaded"):
        assert facts[name] == facts["whole"]
        assert torch.equal(weights[name], weights["whole"])
    assert facts["written"] == (0 if process == "2-1" else 3)


if __name__ == "__main__":
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free_port = probe.getsockname()[1]
    # A fork need not import everything again, which takes longer than all the training.
    method = "fork" if sys.platform == "linux" else "spawn"
    start_processes(work, (Path(sys.argv[1]), free_port), nprocs=3, start_method=method)

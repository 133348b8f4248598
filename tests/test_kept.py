"""The digest changes with what acts, and with nothing else; what has no name is refused."""

import dataclasses
import functools
import importlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torchvision.transforms import v2

import ood_lib
from ood_lib.inference import predict
from ood_lib.kept import digest, files_digest, read_table, weights_digest, write_table
from ood_lib.miniature.layouts import tasks
from ood_lib.scores import energy, entropy, max_logit
from ood_lib.segments import segment_metrics

HELPER = '''
"""A module."""
import math
from torch.nn import functional as F

FACTOR = 2  # of something


def act(x: int, y: int = 3) -> float:
    """Does it."""
    from ood_lib.scores import entropy
    z = _step(x)
    for i in range(y):
        z += FACTOR * i
    if z < 0:
        raise ValueError(f"{z} is less than 0")
    return F.relu(z) + math.sqrt(z)


def _step(x):
    return x + 1


class Thing:
    """A thing."""
    size: int = 3

    def run(self, x):
        return act(x) + self.size
'''
_numbers = itertools.count()


@pytest.fixture
def digest_of(tmp_path, monkeypatch):
    """The digest of ``name`` in a module of its own with that source."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def of(source: str, name: str = "Thing") -> str:
        module = f"of_a_reader_{next(_numbers)}"
        (tmp_path / f"{module}.py").write_text(source)
        importlib.invalidate_caches()
        return digest(getattr(importlib.import_module(module), name))

    return of


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('    """Does it."""\n', ""),
        ('"""A thing."""', '"""Another sentence."""'),
        ("# of something", "# of something else"),
        ("x: int, y: int = 3) -> float", "x, y=3)"),
        ("import math\n", "import math\nimport os\n"),
        ("from torch.nn import functional as F", "import torch.nn.functional as F"),
        ("    from ood_lib.scores import entropy\n", ""),
        ("{z} is less than 0", "give another number than {z}"),
        ("_step", "_next_step"),
        ("FACTOR", "WEIGHT"),
        ("Thing", "Object"),
        (
            "z = _step(x)\n    for i in range(y):\n        z += FACTOR * i",
            "total = _step(x)\n    for n in range(y):\n        total += FACTOR * n",
        ),
    ],
    ids=lambda text: text[:12].strip() or "nothing",
)
def test_words_names_and_places_do_not_count(digest_of, old, new):
    assert old in HELPER
    changed = HELPER.replace(old, new)
    if "total" in new:
        changed = changed.replace("if z < 0", "if total < 0").replace("(z)", "(total)")
        changed = changed.replace("{z}", "{total}")
    assert digest_of(changed, "Object" if new == "Object" else "Thing") == digest_of(HELPER)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x + 1", "x + 2"),
        ("FACTOR = 2", "FACTOR = 3"),
        ("y: int = 3", "y: int = 4"),
        ("size: int = 3", "size: int = 4"),
        ("z < 0", "z <= 0"),
        ("ValueError", "TypeError"),
        ("math.sqrt", "math.exp"),
        ("F.relu", "F.gelu"),
        ("act(x) + self.size", "_step(x) + self.size"),
    ],
)
def test_what_acts_counts_also_where_it_is_only_led_to(digest_of, old, new):
    assert old in HELPER
    assert digest_of(HELPER.replace(old, new)) != digest_of(HELPER)


def test_an_edit_outdates_only_what_it_acts_on(digest_of):
    other = HELPER + "\n\ndef _apart():\n    return 3\n"
    assert digest_of(other, "act") == digest_of(other.replace("return 3", "return 4"), "act")
    assert digest_of(HELPER, "_step") == digest_of(
        HELPER.replace("FACTOR = 2", "FACTOR = 3"), "_step"
    )


def test_recursion_and_twins(digest_of):
    pair = "def a(n):\n    return n and b(n - 1)\n\n\ndef b(n):\n    return n and a(n - 1)\n"
    assert digest_of(pair, "a") == digest_of(pair.replace("a(", "c("), "c")
    assert digest_of(pair, "a") != digest_of(pair.replace("n - 1", "n - 2"), "a")


def test_a_local_name_of_one_function_does_not_hide_what_another_uses(digest_of):
    source = "def f(x):\n    def g(k):\n        return k\n    return g(x) + k(x)\n\n\n"
    source += "def k(x):\n    return 1\n"
    assert digest_of(source, "f") != digest_of(source.replace("return 1", "return 2"), "f")


def test_functions_of_the_library_differ():
    found = [
        digest(function) for function in (entropy, energy, max_logit, segment_metrics, predict)
    ]
    assert len(set(found)) == len(found)
    assert digest(entropy) == digest(entropy)


def test_it_is_alike_in_another_process():
    command = "from ood_lib.kept import digest; from ood_lib.miniature.layouts import tasks; "
    command += "print(digest(tasks))"
    environment = os.environ | {
        "PYTHONPATH": str(Path(ood_lib.__file__).parents[1]),
        "PYTHONHASHSEED": "7",
    }
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == digest(tasks)


@dataclasses.dataclass(frozen=True)
class _Scale:
    factor: float

    def __call__(self, image, target):
        return image * self.factor, target


class _Plain:
    def __init__(self, factor: float) -> None:
        self.factor = factor


class _Shown(_Plain):
    def __repr__(self) -> str:
        return f"_Shown({self.factor})"


def _double(logits):
    return logits * 2


def _triple(logits):
    return logits * 3


def test_values_are_told_apart_by_what_they_hold():
    values = [
        *(None, 0, 1.5, "a", b"a", (1, 2), {"a": 1}, {1, 2}, Path("a"), np.zeros(3), np.zeros(2)),
        *(np.zeros(3, np.float32), torch.zeros(3), torch.zeros(3, dtype=torch.bfloat16), _Scale(1)),
        *(_Scale(2), _Shown(1), _Shown(2), v2.RandomCrop(3), v2.RandomCrop(4), _double, _triple),
        *(v2.Compose([v2.RandomCrop(3)]), v2.Compose([v2.RandomCrop(4)]), v2.Lambda(_double)),
        *(v2.Lambda(_triple), functools.partial(_double, 1), functools.partial(_double, 2)),
        *(
            np.array(["a", None], object),
            np.array(["b", None], object),
            torch.float32,
            _Scale(1).__call__,
        ),
        *(
            pd.DataFrame({"a": np.arange(200)}),
            pd.DataFrame({"a": np.arange(200) + (np.arange(200) == 99)}),
        ),
    ]
    found = [digest(value) for value in values]
    assert len(set(found)) == len(found)
    assert digest([1, (2, 3)]) == digest((1, [2, 3]))
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest(np.int64(3), np.float64(0.5)) == digest(3, 0.5)
    assert digest(torch.arange(6.0)[::2]) == digest(torch.tensor([0.0, 2.0, 4.0]))
    assert digest(np.arange(6.0)[::2]) == digest(np.array([0.0, 2.0, 4.0]))


def _closure(factor):
    def scaled(logits):
        return logits * factor

    return scaled


def _wrapping(factor):
    @functools.wraps(entropy)
    def scaled(logits):
        return entropy(logits) * factor

    return scaled


@pytest.mark.parametrize(
    "nameless",
    [
        *(
            lambda logits: logits,
            _closure(2),
            _wrapping(2),
            object(),
            _Plain(2),
            v2.Lambda(_closure(2)),
        ),
        *(
            v2.Compose([v2.Lambda(lambda x: x)]),
            functools.partial(_closure(2)),
            [1, {"a": _Plain(1)}],
        ),
        *(_Plain(1).__init__, torch.Generator()),
    ],
)
def test_what_has_no_name_is_refused(nameless):
    with pytest.raises(
        ValueError, match="no name by which a result could be kept.*leave checkpoint out"
    ):
        digest(nameless)


def test_networks_by_kind_weights_and_buffers():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    network.register_buffer("mean", torch.zeros(3), persistent=False)
    before = digest(network)
    assert digest(network) == before
    network.mean += 1
    changed = digest(network)
    with torch.no_grad():
        network[0].weight += 1
    assert len({before, changed, digest(network)}) == 3
    assert digest(nn.Conv2d(3, 4, 1, dilation=1)) != digest(nn.Conv2d(3, 4, 1, dilation=2))
    weights = weights_digest(network)
    network.mean += 1
    assert weights_digest(network) != weights
    assert weights_digest(network.to(torch.bfloat16)) != weights_digest(network.to(torch.float32))


class _Scaled(nn.Module):
    def __init__(self, inner: nn.Module, gamma: float, sides: tuple[int, ...] = (1, 2)) -> None:
        super().__init__()
        self.inner, self.gamma, self.sides = inner, gamma, sides

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x**self.gamma)


def test_networks_by_the_plain_attributes_of_their_parts():
    layer = nn.Conv2d(3, 4, 1)
    network = _Scaled(layer, 1.0)
    assert digest(network) == digest(_Scaled(layer, 1.0).eval())  # the mode decides nothing
    assert digest(network) != digest(_Scaled(layer, 2.0)) != digest(_Scaled(layer, 2.0, (2, 1)))
    assert digest(nn.Sequential(network)) != digest(nn.Sequential(_Scaled(layer, 2.0)))
    network.gradient_checkpointing = True  # spares memory, and changes no result
    assert digest(network) == digest(_Scaled(layer, 1.0))
    network.tool = object()  # has no name, and is left out
    assert digest(network) == digest(_Scaled(layer, 1.0))


class _Frames:
    def __init__(self, *names: str) -> None:
        self.names = names

    def what_decides(self) -> tuple[str, ...]:
        return self.names


def test_an_object_that_says_what_decides():
    assert digest(_Frames("a")) == digest(_Frames("a")) != digest(_Frames("b"))


def test_replaced_files_are_noticed(tmp_path):
    files = [tmp_path / name for name in "ab"]
    for file in files:
        file.write_text(file.name)
    before = files_digest(files)
    assert files_digest([*files, files[0]]) == before
    os.utime(files[1], ns=(1, 1))
    assert files_digest(files) != before
    with pytest.raises(FileNotFoundError):
        files_digest([tmp_path / "c"])


def test_tables_come_back_or_are_made_again(tmp_path):
    table, path = pd.DataFrame({"a": [1.5, float("nan")], "b": ["x", "y"]}), tmp_path / "t.parquet"
    assert read_table(path) is None
    write_table(table, path)
    assert read_table(path).to_pandas().equals(table)
    with pytest.warns(UserWarning, match="t.parquet is damaged.*expected more.*made again"):
        assert read_table(path, _refuse) is None
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.warns(UserWarning, match="is damaged"):
        assert read_table(path) is None
    assert [file.name for file in tmp_path.iterdir()] == ["t.parquet"]


def _refuse(table):
    raise ValueError("expected more")

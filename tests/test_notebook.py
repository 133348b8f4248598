import math
import re
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
import torch
from layouts import write_lost_and_found

from ood_lib.miniature import MANIFEST
from ood_lib.notebook import begin
from ood_lib.settings import Settings


@pytest.fixture(autouse=True)
def style_of_before():
    with plt.rc_context():
        yield


def run_cells(*cells: str, **there: object) -> dict:
    """Execute the cells of a notebook in one namespace, as IPython does, in which things are."""
    namespace = {
        "__name__": "__main__",
        "_": "",
        "In": [""],
        "Out": {},
        "exit": exit,
        "_i1": "first cell",
        **there,
    }
    for cell in cells:
        exec(cell, namespace)
    return namespace


@pytest.fixture(autouse=True)
def painted(tmp_path) -> None:
    """`tmp_path` counts as painted data, which nobody checks."""
    (tmp_path / MANIFEST).write_text("{}")


@pytest.fixture
def parameters(tmp_path) -> str:
    return (
        f'profile = "miniature"\nseed = 2\ndata_root = {str(tmp_path)!r}\n'
        "threshold = 0.6\nrepeats = 3\n"
    )


SET_UP = """
import math
from pathlib import Path
import numpy as np
from ood_lib.data.labels import CLASSES, NUM_CLASSES
from ood_lib.notebook import begin
settings = begin(
    globals(), profile=profile, seed=seed, data_root=data_root, threshold=threshold,
    own=("repeats",),
)
"""


def test_begin_gives_the_settings_and_says_so_in_one_line(parameters, tmp_path, capsys):
    namespace = run_cells(parameters, SET_UP)
    settings = namespace["settings"]
    assert isinstance(settings, Settings)
    assert (settings.seed, settings.threshold, settings.lambda_) == (2, 0.6, 0.9)
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    assert output.startswith("profile miniature · seed 2 · ") and output.endswith(
        f"data in {tmp_path.name}\n"
    )
    assert str(tmp_path.parent) not in output


def test_a_misspelt_parameter_is_an_error(parameters):
    with pytest.raises(ValueError, match=r"no parameter 'treshold' \(did you mean 'threshold'\?\)"):
        run_cells(parameters, "treshold = 0.9", SET_UP)
    with pytest.raises(
        ValueError,
        match=r"'learning_rate', 'sed' \(did you mean 'seed'\?\).*Its parameters are: data_root",
    ):
        run_cells(parameters, "learning_rate = None", "sed = [1]", SET_UP)


def test_what_start_up_files_define_is_no_parameter(parameters):
    start_up = 'work_dir = "/data of the user"\nfrom math import pi'
    exec(start_up, hidden := {})
    shell = SimpleNamespace(user_ns_hidden=hidden)  # in which IPython notes them
    there = {"get_ipython": lambda: shell, "work_dir": hidden["work_dir"], "pi": hidden["pi"]}
    assert run_cells(parameters, SET_UP, **there)["settings"].seed == 2
    # Given by papermill, the same name is a misspelt parameter after all.
    for given in ('work_dir = "/elsewhere"', "pi = 3", "treshold = 0.9"):
        with pytest.raises(ValueError, match=f"no parameter {given.split()[0]!r}"):
            run_cells(given, parameters, SET_UP, **there)


def test_running_the_set_up_cell_again_is_no_error(parameters):
    namespace = run_cells(parameters, SET_UP, "result = 3\nscores = [1, 2]", SET_UP)
    assert namespace["settings"].seed == 2


def test_a_wrong_value_is_an_error_and_corrected_is_fine(parameters):
    with pytest.raises(ValueError, match="threshold=60 in the arguments"):
        run_cells(parameters, "threshold = 60", SET_UP)
    namespace = run_cells(parameters, "threshold = 60")
    with pytest.raises(ValueError):
        exec(SET_UP, namespace)
    namespace["threshold"] = 0.6
    exec(SET_UP, namespace)
    assert math.isclose(namespace["settings"].threshold, 0.6)


def test_begin_draws_nothing_and_keeps_the_threads_that_were_asked_for(tmp_path, monkeypatch):
    state = torch.get_rng_state()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    torch.set_num_threads(3)
    begin({}, data_root=tmp_path)
    assert torch.get_num_threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    for nonsense in (None, "", "0", "all"):  # none of which OpenMP takes for a number of threads
        if nonsense is not None:
            monkeypatch.setenv("OMP_NUM_THREADS", nonsense)
        torch.set_num_threads(9)
        begin({}, data_root=tmp_path)
        assert torch.get_num_threads() == 4
    assert torch.equal(torch.get_rng_state(), state)


def test_real_data_are_looked_at_first(parameters, tmp_path, capsys):
    (tmp_path / MANIFEST).unlink()
    write_lost_and_found(tmp_path / "lost_and_found")
    with pytest.raises(
        FileNotFoundError, match="(?s)profile miniature cannot run.*cityscapes.*coco_proxy"
    ):
        run_cells(parameters, SET_UP)
    output = capsys.readouterr().out
    assert re.search(r"lost_and_found +test +4 +4 +0 +2 +1203", output)
    assert "profile miniature" not in output

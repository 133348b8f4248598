"""What `make gpu` does with its parts, without a card."""

import argparse
import importlib.util
import json
import time
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "benchmarks/gpu.py"
LATER = """
import subprocess, time
subprocess.Popen(["sh", "-c", "sleep 2; touch {}"])
time.sleep(9)
"""


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """The benchmark, with a card and with another folder for what it writes."""
    spec = importlib.util.spec_from_file_location("gpu", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "card", lambda: "NVIDIA H100 80GB")
    monkeypatch.setattr(module, "code", lambda: "today's")
    return module


def test_a_part_past_its_limit_ends_with_all_that_it_started(gpu, tmp_path):
    with pytest.raises(TimeoutError, match="after 1 seconds"):
        gpu.run(["-c", LATER.format(tmp_path / "late")], 1, tmp_path)
    time.sleep(1.5)
    assert not (tmp_path / "late").exists()


def test_a_part_is_measured_once_for_the_same_code(gpu, monkeypatch, tmp_path):
    options = argparse.Namespace(results=tmp_path, small=False, limit=60)
    result = tmp_path / "nvidia-h100-80gb-study.json"
    monkeypatch.setattr(gpu, "command_of", lambda *_: ["-c", "pass"])
    assert gpu.do_part("study", options)
    first = json.loads(result.read_text())
    assert first["origin"]["card"] == "NVIDIA H100 80GB"
    assert first["results"][0]["what"] == "profile colab: one run of a study"
    monkeypatch.setattr(gpu, "command_of", lambda *_: ["-c", "raise SystemExit(3)"])
    assert gpu.do_part("study", options)  # there already
    monkeypatch.setattr(gpu, "code", lambda: "tomorrow's")
    assert not gpu.do_part("study", options)
    assert json.loads(result.read_text()) == first


def test_rows_of_a_benchmark_are_kept_with_the_card(gpu, monkeypatch, tmp_path):
    rows = {"settings": {}, "measured_on": {}, "results": [{"what": "peak"}]}
    write = f"import pathlib, sys; pathlib.Path(sys.argv[1]).write_text({json.dumps(rows)!r})"
    monkeypatch.setattr(gpu, "command_of", lambda *to: ["-c", write, str(to[2] / "rows.json")])
    options = argparse.Namespace(results=tmp_path, small=False, limit=60)
    assert gpu.do_part("network", options)
    kept = json.loads((tmp_path / "nvidia-h100-80gb-network.json").read_text())
    assert kept["results"] == rows["results"] and kept["origin"]["part"] == "network"


@pytest.mark.parametrize("small", [False, True])
def test_every_part_asks_for_files_that_are_there(gpu, small, tmp_path):
    root = FILE.parents[1]
    for part in gpu.PARTS:
        command = gpu.command_of(part, small, tmp_path)
        asked = [word for word in command if word.endswith((".py", ".ipynb"))]
        own = [word for word in asked if not word.startswith(str(tmp_path))]
        assert all((root / word).is_file() for word in own)
    assert len(gpu.CHAPTERS) == 8

import json
from pathlib import Path

import pytest
import yaml
from how_fast import fill_benchmarks

ROOT = Path(__file__).parents[2]
MACHINE = {"processor": "Abacus", "cores": "2", "memory": "1 GiB", "python": "3.12.1"}
MACHINE |= {"date": "2026-11-28", "load": "0.5 0.4 0.3"}
ORIGIN = {"torch": "2.11", "python": "3.12.1", "date": "2026-11-28", "part": "network"}
ROWS = [
    {"what": "stack", "number": 1234.56, "unit": "ms", "limit": 8000},
    {"what": "loops", "number": 0.012345, "unit": "s"},
]


def keep(root: Path, name: str, chosen: list[dict], **content: object) -> None:
    (root / "benchmarks/results").mkdir(parents=True, exist_ok=True)
    (root / "book").mkdir(exist_ok=True)
    (root / "book/how_fast.yml").write_text(yaml.safe_dump(chosen))
    path = root / f"benchmarks/results/{name}.json"
    path.write_text(json.dumps({"measured_on": MACHINE, "results": ROWS} | content))


def test_a_number_stands_beside_its_limit_and_its_peer(tmp_path):
    fold = {"part": "meta", "what": "a fold", "here": "stack", "peer": "loops", "called": "them"}
    keep(tmp_path, "cpu-meta", [fold, {"part": "absent", "what": "?", "here": "?"}])
    page = fill_benchmarks("{{ benchmarks: cpu }}", tmp_path)
    assert "| a fold | 1,230 ms | 8,000 ms | 0.0123 s, them |\n\nAbacus, 2 cores, 1 GiB" in page
    assert page.endswith("meta 2026-11-28 (load 0.5 0.4 0.3).") and "?" not in page


def test_a_row_that_no_file_has_is_named(tmp_path):
    keep(tmp_path, "cpu-meta", [{"part": "meta", "what": "a fold", "here": "heap"}])
    with pytest.raises(ValueError, match="cpu-meta.json has no row 'heap'. It has: stack; loops."):
        fill_benchmarks("{{ benchmarks: cpu }}", tmp_path)


def test_each_card_has_a_table_of_all_its_parts(tmp_path):
    for name, card, part in (("h-meta", "H", "meta"), ("a-meta", "A", "meta"), ("h-n", "H", "n")):
        keep(tmp_path, name, [], origin=ORIGIN | {"card": card, "part": part})
    first, second, end = fill_benchmarks("{{ benchmarks: gpu }}", tmp_path).split(": 2026-11-28.")
    assert first.endswith("A, PyTorch 2.11, Python 3.12.1") and first.count("stack") == 1
    assert "| meta | loops | 0.0123 s |" in second and "| n | loops | 0.0123 s |" in second
    assert end == ""


def test_without_results_the_page_says_so(tmp_path):
    keep(tmp_path, "cpu-meta", [])
    text = fill_benchmarks("{{ benchmarks: cpu }} {{ benchmarks: gpu }}", tmp_path)
    assert text == "*No benchmark of a processor is recorded.* *No card has run it yet.*"


def test_what_is_recorded_fills_the_page():
    page = fill_benchmarks((ROOT / "book/how-fast.md").read_text("utf-8"), ROOT)
    assert "{{" not in page and "loops over pixels" in page

import json

from how_fast import fill_benchmarks

TEXT = "{{ benchmarks: cpu }}\n\n{{ benchmarks: gpu }}"


def test_without_results_the_page_says_so(tmp_path):
    assert fill_benchmarks(TEXT, tmp_path).count("*No ") == 2


def test_a_card_gets_its_own_table(tmp_path):
    rows = [{"what": "inference, bf16", "number": 12.345, "unit": "images/s"}]
    for name, card in (("cpu-meta", "CPU"), ("nvidia-h100-network", "NVIDIA H100")):
        content = {"measured_on": {"load": "1.0"}, "results": rows, "origin": {"card": card}}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    cpu, gpu = fill_benchmarks(TEXT, tmp_path).split("**nvidia-h100-network**")
    assert "**meta** (card CPU, load 1.0)" in cpu
    assert gpu.startswith(" (card NVIDIA H100") and "| inference, bf16 | 12.35 images/s |" in gpu

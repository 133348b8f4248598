"""The sweep executes what it promises, and sees what fails."""

import re
from pathlib import Path

import nbformat
import papermill
import pytest
import sweep
from nbformat.v4 import new_code_cell, new_notebook

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
MAKEFILE = """
key:
\t@mkdir -p $(BUILD) && touch $(BUILD)/key
executed: key $(patsubst notebooks/%,$(BUILD)/executed/%,$(wildcard notebooks/$(CHAPTERS).ipynb))
$(BUILD)/executed/%.ipynb: notebooks/%.ipynb
\t@mkdir -p $(@D) && grep -qe "$(PARAMETERS)" $< && cp $< $@
"""


def test_every_parameter_of_every_notebook_is_varied() -> None:
    for path in NOTEBOOKS.glob("*.ipynb"):
        varied = {rerun.name for rerun in sweep.SWEEP if path.match(f"{rerun.chapters}.ipynb")}
        assert set(papermill.inspect_notebook(path)) - {"profile", "data_root"} <= varied, path.name


def test_the_page_on_use_names_every_parameter_of_every_notebook() -> None:
    page = (NOTEBOOKS.parent / "book/how-to-use.md").read_text("utf-8")
    named = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    for path in NOTEBOOKS.glob("*.ipynb"):
        assert set(papermill.inspect_notebook(path)) <= named, path.name


def test_a_rerun_varies_a_parameter_that_its_chapters_have() -> None:
    for rerun in sweep.SWEEP:
        paths = list(NOTEBOOKS.glob(f"{rerun.chapters}.ipynb"))
        assert any(rerun.name in papermill.inspect_notebook(path) for path in paths), rerun


def test_reruns_do_not_share_a_folder() -> None:
    assert len({rerun.folder for rerun in sweep.SWEEP}) == len(sweep.SWEEP)


def test_chapters_that_fail_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "ROOT", tmp_path)
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / "notebooks").mkdir()
    for name, seed in {"01_a": 3, "02_b": 4, "03_c": 3}.items():
        notebook = new_notebook(cells=[new_code_cell(f"-p seed {seed}")])
        nbformat.write(notebook, tmp_path / f"notebooks/{name}.ipynb")
    monkeypatch.setattr(sweep, "USUAL", {})
    assert sweep.failures(sweep.Rerun("seed", 3), jobs=2) == ["02_b"]
    assert sweep.failures(sweep.Rerun("seed", 4, "02*"), jobs=1) == []
    (tmp_path / "Makefile").write_text(MAKEFILE.replace("touch", "false && touch"))
    with pytest.raises(SystemExit, match="The key of _build/sweep/seed-4-02 could not be made"):
        sweep.failures(sweep.Rerun("seed", 4, "02*"), jobs=1)

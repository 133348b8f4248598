"""Notebooks are outdated by what the library does and holds, not by its words."""

import shutil
from pathlib import Path

from library_digest import library_digest

import ood_lib


def test_the_digest_changes_with_what_acts_and_with_data(tmp_path: Path) -> None:
    without = shutil.ignore_patterns("__pycache__")
    copy = shutil.copytree(Path(ood_lib.__file__).parent, tmp_path / "ood_lib", ignore=without)
    before = library_digest(copy)
    assert before == library_digest()
    edited = copy / "inference.py"
    source = edited.read_text()
    edited.write_text('"""Another docstring."""\n# and a comment\n' + source.partition("\n")[2])
    assert library_digest(copy) == before
    edited.write_text(source.replace("argmax", "argmin"))
    assert library_digest(copy) != before
    edited.write_text(source)
    (copy / "answers.json").write_text("{}")  # of which nothing is computed
    assert library_digest(copy) == before
    (copy / "profiles" / "own.yml").write_text("seed: 1\n")
    assert library_digest(copy) != before

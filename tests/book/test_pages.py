"""Only what changed is read again, and no warning is lost."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

TOOL = Path(__file__).parents[2] / "book/tools/pages.py"
CONFIG = {
    "title": "Book",
    "execute": {"execute_notebooks": "off"},
    "sphinx": {"config": {"myst_heading_anchors": 2}},
}
TOC = {"format": "jb-book", "root": "index", "chapters": [{"file": "one"}, {"file": "two"}]}


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    stage = tmp_path / "stage"
    stage.mkdir()
    (stage / "_config.yml").write_text(yaml.safe_dump(CONFIG))
    (stage / "_toc.yml").write_text(yaml.safe_dump(TOC))
    (stage / "index.md").write_text("# Book\n\nWords.\n")
    (stage / "one.md").write_text("# One\n\nSee [there](two.md#there).\n")
    (stage / "two.md").write_text("# Two\n\n## There\n\nMore.\n")
    return stage


def build_pages(stage: Path, work: Path) -> subprocess.CompletedProcess:
    """Build in a process of its own: Sphinx leaves traces in the one where it ran."""
    command = [sys.executable, str(TOOL), str(stage), str(work)]
    return subprocess.run(command, capture_output=True, text=True)


def read_at(work: Path) -> dict[str, int]:
    return {path.stem: path.stat().st_mtime_ns for path in (work / "read").rglob("*.doctree")}


def test_an_edited_page_alone_is_read_again(stage: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    assert build_pages(stage, work).returncode == 0
    before = read_at(work)
    (stage / "two.md").write_text("# Second\n\n## There\n\nMore and more.\n")
    assert build_pages(stage, work).returncode == 0
    assert {page for page, time in read_at(work).items() if time != before[page]} == {"two"}
    assert "Second" in (work / "html/one.html").read_text("utf-8")  # in the list of contents
    assert "more and more" in (work / "html/two.html").read_text("utf-8").lower()


def test_a_link_that_an_edit_elsewhere_breaks_fails_until_it_is_mended(
    stage: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    assert build_pages(stage, work).returncode == 0
    (stage / "two.md").write_text("# Two\n\nMore.\n")
    for _ in range(2):  # the second time nothing has changed, and it is said again
        failed = build_pages(stage, work)
        assert failed.returncode == 1 and "one.md" in failed.stderr
    (stage / "one.md").write_text("# One\n\nSee [two](two.md).\n")
    assert build_pages(stage, work).returncode == 0

"""The reference of the library is complete, and it and the chapters lead to each other."""

import importlib
import inspect
import json
import pkgutil
import re
import sys
from pathlib import Path

import pytest
from library import CITED, EQUATIONS, NUMBER, imported_names, names_by_page, public_name
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

import ood_lib

ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("book/library/*.md"))
LEFT_OUT = re.compile(
    r".*\.__main__|ood_lib\.miniature\..*"
)  # commands, and how the city is painted


def own_public_names(module: str) -> list[str]:
    """The functions and classes that a module defines and its package does not export."""
    things = vars(importlib.import_module(module)).items()
    defined = [
        name
        for name, thing in things
        if getattr(thing, "__module__", None) == module and callable(thing)
    ]
    full = [f"{module}.{name}" for name in defined if not name.startswith("_")]
    return [name for name in full if public_name(name) == name]


def test_every_module_has_its_place_in_the_reference() -> None:
    listed = [
        name
        for page in PAGES
        for name in re.findall(r"automodule:: (\S+)", page.read_text("utf-8"))
    ]
    assert len(listed) == len(set(listed))
    modules = [module.name for module in pkgutil.walk_packages(ood_lib.__path__, "ood_lib.")]
    missing = [name for name in modules if name not in listed and not LEFT_OUT.fullmatch(name)]
    assert [name for name in missing if own_public_names(name)] == []


def test_whatever_a_chapter_imports_has_its_entry() -> None:
    listed = [
        name
        for page in PAGES
        for name in re.findall(r"automodule:: (\S+)", page.read_text("utf-8"))
    ]
    for name in {name for names in names_by_page(ROOT / "notebooks").values() for name in names}:
        module, _, last = name.rpartition(".")
        assert module in listed, name
        thing = getattr(importlib.import_module(module), last)
        home = getattr(thing, "__module__", None) if callable(thing) else None
        assert home or _described(module, last), f"{name} has no docstring"


def _described(module: str, constant: str) -> bool:
    """Whether a constant has a docstring, in the module or in the one that its package takes it
    from."""
    inside = [name for name in sys.modules if name == module or name.startswith(f"{module}.")]
    return any(
        ("", constant) in ModuleAnalyzer.for_module(name).find_attr_docs() for name in inside
    )


def test_equations_of_the_thesis_lead_to_equations_of_the_book() -> None:
    notebooks = [
        json.loads(path.read_text("utf-8"))["cells"] for path in ROOT.glob("notebooks/*.ipynb")
    ]
    text = "\n".join("".join(cell["source"]) for cells in notebooks for cell in cells)
    assert [label for label in EQUATIONS.values() if f"$$ ({label})" not in text] == []
    sources = "\n".join(path.read_text("utf-8") for path in ROOT.glob("ood_lib/**/*.py"))
    cited = {number for words in CITED.findall(sources) for number in NUMBER.findall(words)}
    assert {"3.1", "3.11", "3.13"} <= cited <= set(EQUATIONS)


def test_names_are_known_by_their_package() -> None:
    assert public_name("ood_lib.data.sample.Sample") == "ood_lib.data.Sample"
    assert public_name("ood_lib.data.folders.Layout") == "ood_lib.data.folders.Layout"


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("from ood_lib.data import Sample as S", {"ood_lib.data.Sample"}),
        ("from ood_lib.meta.validation import cross_validate", {"ood_lib.meta.cross_validate"}),
        ("from ood_lib import figures\nfigures.panels(x.mark)", {"ood_lib.figures.panels"}),
        ("%matplotlib inline\nimport numpy as np\nnp.mean(x)", set()),
    ],
)
def test_what_code_takes_from_the_library(code: str, names: set[str]) -> None:
    assert set(imported_names(code)) == names


CHAPTER = """
A chapter
=========

.. math:: E
   :label: eq-3-entropy

``entropy`` and again ``entropy``, ``entropy(logits)``, ``fit``, ``sequence``.
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages of a book of one chapter and one page of the library."""
    root = tmp_path_factory.mktemp("book")
    (root / "conf.py").write_text(
        "extensions = ['sphinx.ext.autodoc', 'library']\ndefault_role = 'py:obj'\n"
    )
    (root / "index.rst").write_text(
        "Book\n====\n\n.. toctree::\n   :numbered:\n\n   notebooks/01_a\n   scores\n"
    )
    (root / "scores.rst").write_text(
        "Scores\n======\n\n.. automodule:: ood_lib.scores\n   :members:\n"
    )
    (root / "notebooks").mkdir()
    (root / "notebooks/01_a.rst").write_text(CHAPTER)
    cell = {
        "cell_type": "code",
        "source": ["from ood_lib.scores import entropy\n", "from ood_lib.data import Sample"],
    }
    (root / "notebooks/01_a.ipynb").write_text(json.dumps({"cells": [cell]}))
    out = root / "html"
    app = Sphinx(
        root, root, out, root / "doctrees", "html", {"exclude_patterns": ["**.ipynb"]}, None, None
    )
    app.build()
    return out


def test_first_mention_of_a_name_leads_to_its_entry(book: Path) -> None:
    text = (book / "notebooks/01_a.html").read_text("utf-8")
    assert text.count('href="../scores.html#ood_lib.scores.entropy"') == 1
    assert "<code" in text.partition("again")[2]


def test_entry_names_its_chapters_and_its_equations(book: Path) -> None:
    text = (book / "scores.html").read_text("utf-8")
    uses = text.partition("Used in")[2]
    assert 'href="notebooks/01_a.html"' in uses and ">chapter 1<" in uses
    assert re.search(r'href="notebooks/01_a.html#equation-eq-3-entropy"[^>]*>(<span>)?3\.1<', text)
    assert (
        inspect.getdoc(importlib.import_module("ood_lib.scores").entropy).splitlines()[0][:20]
        in text
    )

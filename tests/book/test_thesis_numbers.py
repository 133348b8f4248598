"""Equations carry the thesis's numbers, by book/_extensions/thesis_numbers.py."""

import re
from pathlib import Path

from chapter import read_chapter
from sphinx.application import Sphinx
from thesis_numbers import EQUATIONS

ROOT = Path(__file__).parents[2]
INDEX = "# Book\n\n```{toctree}\n:numbered:\none\n```\n"
PAGE = """# One

$$ a $$ (eq-own)

$$ b $$ (eq-3-proxy)

$$ c $$ (eq-other)

See {eq}`eq-3-proxy` and {eq}`eq-other`.
"""


def test_numbers_in_the_margin_and_in_the_text_are_the_thesiss(tmp_path):
    (tmp_path / "index.md").write_text(INDEX)
    (tmp_path / "one.md").write_text(PAGE)
    options = {"extensions": ["myst_parser", "thesis_numbers"], "numfig": True}
    options |= {"myst_enable_extensions": ["dollarmath"], "math_numfig": True}
    options |= {"numfig_secnum_depth": 1}
    written = []
    for _ in range(2):
        folders = (tmp_path, None, tmp_path / "out", tmp_path / "trees")
        app = Sphinx(*folders, "html", options, status=None, warning=None)
        app.build(force_all=False)
        written.append((tmp_path / "out/one.html").stat().st_mtime_ns)
        page = (tmp_path / "out/one.html").read_text()
        assert re.findall(r'class="eqno">\(([^)<]*)\)', page) == ["1.a", "T 3.2", "1.b"]
        assert re.findall(r'href="#equation-eq-[^"]*">\(([^)]*)\)', page) == ["T 3.2", "1.b"]
    assert written[0] == written[1]  # Sphinx sees that nothing changed


def test_every_equation_of_the_thesis_is_in_the_book():
    """Equations 2.1 and 3.1 to 3.13."""
    assert sorted(EQUATIONS) == sorted(["2.1", *(f"3.{n}" for n in range(1, 14))])
    text = "\n".join(read_chapter(path).text for path in ROOT.glob("notebooks/*.ipynb"))
    assert set(EQUATIONS.values()) <= set(re.findall(r"\$\$ \((eq-[\w-]+)\)", text))

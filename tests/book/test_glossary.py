"""The glossary, and what book/_extensions/glossary_terms.py makes of its words on other pages."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

ROOT = Path(__file__).parents[2]
GLOSSARY = """# Glossary

```{glossary}
score map
  A number for *every* pixel. [Page](page.md)

score
  A number.

proxy
  Other "images" & things.

Kim's test
  A test.
```
"""
PAGE = """# The score map

A `score map`, [a score map](glossary.md), $score$, and a line break in the score
map. **Proxies** and a proxy; Scores, scoreless, a-score; Kim's tests.

| score | proxy |
|---|---|
| Kim's test | proxy |
"""


class Words(HTMLParser):
    """The words marked in a page: (text, address, definition)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[list[str]] = []
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        own = dict(attributes)
        if own.get("class") == "glossary-word":
            self.found.append(["", "", ""])
        elif "aria-describedby" in own:
            self.found[-1][1], self.described, self.inside = (
                own["href"],
                own["aria-describedby"],
                "word",
            )
        elif own.get("role") == "tooltip":
            assert own["id"] == self.described
            self.inside = "definition"

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.found[-1][0 if self.inside == "word" else 2] += data


def build(folder: Path, glossary: str = GLOSSARY) -> Path:
    """Build a book of a glossary and one page; gives the folder of its pages."""
    source, out = folder / "source", folder / "html"
    (source / "book").mkdir(parents=True)
    (source / "book/glossary.md").write_text(glossary)
    (source / "book/page.md").write_text(PAGE)
    (source / "index.md").write_text("# Book\n\n```{toctree}\nbook/page\nbook/glossary\n```\n")
    (source / "glossary.js").touch()
    own = {
        "extensions": ["myst_parser", "glossary_terms"],
        "myst_enable_extensions": ["dollarmath"],
    }
    app = Sphinx(
        source,
        None,
        out,
        folder / "trees",
        "html",
        own | {"html_static_path": ["glossary.js"]},
        status=None,
    )
    app.build()
    return out


def test_first_use_of_each_word_in_running_text_shows_its_definition(tmp_path: Path) -> None:
    out = build(tmp_path)
    words = Words((out / "book/page.html").read_text("utf-8")).found
    assert words == [
        ["score\nmap", "glossary.html#term-score-map", "A number for every pixel."],
        ["Proxies", "glossary.html#term-proxy", "Other “images” & things."],
        ["Scores", "glossary.html#term-score", "A number."],
        ["Kim’s tests", "glossary.html#term-Kim-s-test", "A test."],
    ]
    assert 'id="term-score-map"' in (out / "book/glossary.html").read_text("utf-8")
    assert Words((out / "book/glossary.html").read_text("utf-8")).found == []


def test_search_finds_definitions_in_the_glossary_only(tmp_path: Path) -> None:
    index = (build(tmp_path) / "searchindex.js").read_text("utf-8")
    glossary = re.search(r'docnames:\[(.*?)\]|"docnames": ?\[(.*?)\]', index)
    number = (
        ",".join(filter(None, glossary.groups())).replace('"', "").split(",").index("book/glossary")
    )
    assert re.search(rf'"?thing"?: ?\[?{number}\]?[,}}]', index), (
        "the word stands on another page, too"
    )


def test_a_formula_in_a_definition_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExtensionError, match="'score map' holds a formula"):
        build(tmp_path, GLOSSARY.replace("every", "every $i$"))


def entries() -> list[list[str]]:
    """The glossary's entries: the lines of each, names first."""
    text = (ROOT / "book/glossary.md").read_text("utf-8")
    return [
        entry.splitlines()
        for entry in re.search(r"```\{glossary\}\n(.*)```", text, re.DOTALL)[1].split("\n\n")
    ]


def test_entries_are_in_order_and_say_where_to_read_on() -> None:
    first = [entry[0].lower() for entry in entries()]
    names = [line for entry in entries() for line in entry if not line.startswith(" ")]
    assert first == sorted(first) and len(names) == len(set(names))
    assert [entry[0] for entry in entries() if not re.search(r"\]\([^)]+\)$", entry[-1])] == []

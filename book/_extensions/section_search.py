"""A Sphinx extension: the search finds sections and words of the glossary, with a passage of each.

Sphinx's own index knows pages, and shows their passages only where a server delivers them. Here all
texts lie in one script beside it, ``_static/sections.js``, which the page of results loads and
``search.js`` looks through, also from a disk.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

Place = tuple[str, str, str, str]  # page, anchor, title, text
DEFINED = (nodes.definition_list_item, nodes.section)
UNSEEN = (nodes.title, nodes.raw, nodes.comment, nodes.system_message)


def places_of(page: str, document: nodes.document) -> Iterator[Place]:
    """All sections of a page, and the words that it defines, each with the text that belongs to no
    other place."""
    for place in document.findall(lambda node: isinstance(node, DEFINED)):
        heading = next(place.findall(lambda n: isinstance(n, (nodes.title, nodes.term))), None)
        anchors = (place if isinstance(place, nodes.section) else heading or place).get("ids", [])
        if heading is not None and anchors:
            text = " ".join(" ".join(_texts(place, heading)).split())
            yield page, anchors[0], heading.astext(), text


def _texts(place: nodes.Node, heading: nodes.Node) -> Iterator[str]:
    for child in place.children:
        if child is heading or isinstance(child, UNSEEN):
            continue
        if isinstance(child, nodes.section) or "cell_input" in _classes(child):
            continue  # a place of its own, or code
        if isinstance(child, nodes.definition_list) and child.next_node(nodes.term)["ids"]:
            continue  # its words are places of their own
        if isinstance(child, nodes.TextElement) or not child.children:
            yield child.astext()
        else:
            yield from _texts(child, heading)


def _classes(node: nodes.Node) -> list[str]:
    return node.get("classes", []) if isinstance(node, nodes.Element) else []


def write(app: Sphinx, failed: Exception | None) -> None:
    """Write the places of all pages beside the search's script."""
    if failed or app.builder.format != "html":
        return
    places = [
        {"page": app.builder.get_target_uri(page), "anchor": anchor, "title": title, "text": text,
         "of": app.env.titles[page].astext()}
        for name in sorted(app.env.found_docs)
        for page, anchor, title, text in places_of(name, app.env.get_doctree(name))
    ]  # fmt: skip
    static = Path(app.outdir, "_static")
    script = f"const SECTIONS = {json.dumps(places, ensure_ascii=False)};\n"
    (static / "sections.js").write_text(script, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("build-finished", write)
    app.add_js_file("search.js")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

"""A Sphinx extension: where a page first uses a word of the glossary, the word shows its definition
and leads there.

Only running text is looked at: no headings, code, formulas, links, captions or tables.
``glossary.js`` opens the definitions; without it the words are links.
"""

import re
from collections.abc import Iterator
from functools import cache
from html import escape
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.writers.html5 import HTML5Translator

GLOSSARY = "book/glossary"
AROUND_TEXT = (nodes.paragraph, nodes.emphasis, nodes.strong)
NO_RUNNING_TEXT = (nodes.table, nodes.citation, nodes.footnote, addnodes.glossary)


class GlossaryWord(nodes.Inline, nodes.TextElement):
    """A word as the page has it, with ``address`` and ``definition`` of its entry and the tooltip's
    ``number``."""


Entry = tuple[
    str, str
]  # an entry's identifier on the glossary's page, and its definition in plain text


def read_entries(glossary: nodes.document) -> dict[str, Entry]:
    """The entries of the glossary's page by each of their names. Raises ValueError for a definition
    with a formula."""
    entries = {}
    for item in glossary.findall(nodes.definition_list_item):
        terms = [child for child in item.children if isinstance(child, nodes.term)]
        names = [term.astext() for term in terms]
        opening = next(item.findall(nodes.paragraph))
        if next(opening.findall(nodes.math), None):
            raise ValueError(
                f"{GLOSSARY}: the definition of {names[0]!r} holds a formula, "
                "which no tooltip can show."
            )
        plain = [
            child.astext() for child in opening if isinstance(child, (nodes.Text, nodes.emphasis))
        ]
        entries |= dict.fromkeys(names, (terms[0]["ids"][0], " ".join("".join(plain).split())))
    return entries


def pattern_of(names: list[str]) -> re.Pattern[str]:
    """Matches any of ``names`` as a word: the longest possible, also as a plural or at the
    beginning of a sentence."""
    spelt = []
    for name in sorted(names, key=len, reverse=True):
        first = f"[{name[0]}{name[0].upper()}]" if name[0].islower() else re.escape(name[0])
        others = re.escape(name[1:]).replace(r"\ ", r"\s+").replace("'", "['’]")
        plural = f"{others[:-1]}(?:y|ies)" if others.endswith("y") else f"{others}s?"
        spelt.append(f"(?P<n{names.index(name)}>{first}{plural})")
    return re.compile(rf"(?<![\w-])(?:{'|'.join(spelt)})(?![\w-])")


def running_texts(document: nodes.document) -> Iterator[nodes.Text]:
    """The pieces of text in the paragraphs of ``document`` that are not part of anything but
    emphasis."""
    for paragraph in document.findall(nodes.paragraph):
        ancestor = paragraph.parent
        while ancestor is not None and not isinstance(ancestor, NO_RUNNING_TEXT):
            ancestor = ancestor.parent
        if ancestor is None:
            for element in list(paragraph.findall(lambda node: isinstance(node, AROUND_TEXT))):
                join_lines(element)
            yield from (
                text
                for text in paragraph.findall(nodes.Text)
                if isinstance(text.parent, AROUND_TEXT)
            )


def join_lines(element: nodes.Element) -> None:
    """Make one text of those in a row in ``element``: MyST makes one of each line."""
    joined: list[nodes.Node] = []
    for child in element.children:
        if joined and isinstance(child, nodes.Text) and isinstance(joined[-1], nodes.Text):
            joined[-1] = nodes.Text(joined[-1] + child)
        else:
            joined.append(child)
    element.children = []
    element.extend(joined)


def mark(document: nodes.document, entries: dict[str, Entry], glossary: str) -> None:
    """Put a GlossaryWord in the place of the first use of each entry; ``glossary`` is the address
    of its page."""
    names, used = list(entries), set()
    pattern = pattern_of(names)
    for text in list(running_texts(document)):
        pieces, end = [], 0
        for match in pattern.finditer(text):
            identifier, definition = entries[names[int(match.lastgroup[1:])]]
            if identifier in used:
                continue
            used.add(identifier)
            about = {
                "address": f"{glossary}#{identifier}",
                "definition": definition,
                "number": len(used),
            }
            pieces += [
                nodes.Text(text[end : match.start()]),
                GlossaryWord(match[0], match[0], **about),
            ]
            end = match.end()
        if pieces:
            text.parent.replace(text, [*pieces, nodes.Text(text[end:])])


def mark_page(app: Sphinx, document: nodes.document, page: str) -> None:
    """Called by Sphinx for each page whose references are resolved."""
    if app.builder.name == "html" and page != GLOSSARY and GLOSSARY in app.env.found_docs:
        mark(document, _entries(app.env), app.builder.get_relative_uri(page, GLOSSARY))


@cache  # read once for all pages
def _entries(env: BuildEnvironment) -> dict[str, Entry]:
    return read_entries(env.get_doctree(GLOSSARY))


def visit(self: HTML5Translator, node: GlossaryWord) -> None:
    """Open the word's link."""
    described = f'href="{escape(node["address"])}" aria-describedby="definition-{node["number"]}"'
    self.body.append(f'<span class="glossary-word"><a {described}>')


def depart(self: HTML5Translator, node: GlossaryWord) -> None:
    """Close the word's link; its definition stands here, and not in a child, so that the search
    does not see it."""
    definition = f'id="definition-{node["number"]}">{escape(node["definition"])}'
    self.body.append(f'</a><span role="tooltip" {definition}</span></span>')


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_node(GlossaryWord, html=(visit, depart))
    app.connect("doctree-resolved", mark_page)
    app.add_js_file("glossary.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""A Sphinx extension: the reference of ``ood_lib`` and the chapters know of each other.

The pages in ``book/library`` are made of docstrings by autodoc. This adds

- to each entry, in which chapters its name is imported, found in the notebooks' code;
- to each chapter links from the names in its text;
- to each equation of the thesis that a docstring names, a link to that equation in the book.

What a name or a number leads to is known only when all pages have been read, so the links are left
open here (``pending_xref``) and resolved by ``resolve``.
"""

import ast
import importlib.util
import inspect
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from numpy.typing import ArrayLike
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode
from sphinx.util.typing import stringify_annotation
from thesis_numbers import EQUATIONS

LIBRARY = "ood_lib"

NUMBER = re.compile(r"3\.\d+")
CITED = re.compile(
    r"\bequations?\s+3\.\d+(?:(?:\s*-\s*|,\s+|\s+and\s+|\s+to\s+)3\.\d+)*", re.IGNORECASE
)
BACKTICKS = re.compile(r"(`+[^`]*`+)")
MARKUP = re.compile(
    r"[|*](?=\S)|(?<=\w)_(?!\w)"
)  # what Sphinx would read more into than was written
CODE_NAME = re.compile(r"([A-Za-z]\w*(?:\.\w+)*)(?:\(.*\))?")


# ---- what is public, and who uses it ----
def public_name(name: str) -> str:
    """The name under which ``name`` has its entry: by its package, where that exports it, else as
    it is."""
    module, _, last = name.rpartition(".")
    package = module.rpartition(".")[0]
    if package and last in getattr(importlib.import_module(package), "__all__", ()):
        return f"{package}.{last}"
    return name


def imported_names(code: str) -> Iterator[str]:
    """The full names of what ``code`` takes from the library, ``module.name`` of an imported module
    included."""
    tree = ast.parse(re.sub(r"^\s*[%!].*", "", code, flags=re.MULTILINE))
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == LIBRARY:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if _is_module(name):
                    modules[alias.asname or alias.name] = name
                else:
                    yield public_name(name)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in modules
        ):
            yield public_name(f"{modules[node.value.id]}.{node.attr}")


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # what it would be in is no package
        return False


def names_by_page(folder: Path) -> dict[str, list[str]]:
    """For each notebook in ``folder``, by its page's name, what it takes from the library, in
    alphabetical order."""
    pages = {}
    for path in sorted(folder.glob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        pages[f"{folder.name}/{path.stem}"] = sorted(set(imported_names(code)), key=_last)
    return pages


def collect(app: Sphinx) -> None:
    """Read the notebooks' imports, before any page is read."""
    app.env.library_uses = defaultdict(list)
    for page, names in names_by_page(Path(app.srcdir, "notebooks")).items():
        for name in names:
            app.env.library_uses[name].append(page)


# ---- the reference ----
def skip_foreign(
    app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out what has its entry elsewhere: what a module's package exports, and what a class was
    given by others."""
    if what == "module":
        full = f"{app.env.temp_data.get('autodoc:module', '')}.{name}"
        return True if public_name(full) != full else None
    foreign = inspect.isroutine(thing) and not (
        getattr(thing, "__module__", None) or LIBRARY
    ).startswith(LIBRARY)
    return True if foreign else None


def shorten_signature(
    app: Sphinx,
    what: str,
    name: str,
    thing: Any,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None] | None:
    """Write ``ArrayLike`` where Python tells all that it stands for."""
    return (
        (signature.replace(stringify_annotation(ArrayLike, "smart"), "ArrayLike"), returns)
        if signature
        else None
    )


def complete_docstring(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Make a docstring, plain text with names in backticks, right for Sphinx; link its equations;
    add its uses."""
    parts = BACKTICKS.split("\n".join(lines))
    parts[::2] = [MARKUP.sub(r"\\\g<0>", part) for part in parts[::2]]
    lines[:] = CITED.sub(
        lambda cited: NUMBER.sub(r":thesis-equation:`\g<0>`", cited[0]), "".join(parts)
    ).split("\n")
    pages = app.env.library_uses.get(name)
    if pages:
        lines += ["", f":used-in:`{' '.join(pages)}`", ""]


def equation_role(
    name: str, raw: str, target: str, *args: Any
) -> tuple[list[nodes.Node], list[nodes.Node]]:
    """``:thesis-equation:`3.1```: the number, and the way to that equation."""
    return [_pending(name, target, nodes.inline("", target))], []


def used_in_role(
    name: str, raw: str, targets: str, *args: Any
) -> tuple[list[nodes.Node], list[nodes.Node]]:
    """``:used-in:`page page```: the chapters, with the way to each."""
    links = [_pending(name, page, nodes.inline("", page)) for page in targets.split()]
    return [nodes.inline("", "Used in ", *_listed(links), classes=["used-in"])], []


def _pending(kind: str, target: str, content: nodes.Node) -> addnodes.pending_xref:
    return addnodes.pending_xref(
        "", content, refdomain="", reftype=kind, reftarget=target, refexplicit=False
    )


def _listed(links: list[addnodes.pending_xref]) -> list[nodes.Node]:
    return [part for link in links for part in (link, nodes.Text(", "))][:-1] + [nodes.Text(".")]


# ---- the chapters ----
def link_page(app: Sphinx, doctree: nodes.document) -> None:
    """Open links from the first mention of each name in a page's text."""
    page = app.env.docname
    seen: set[str] = set()
    for literal in list(doctree.findall(nodes.literal)):
        match = CODE_NAME.fullmatch(literal.astext())
        if (
            match
            and match[1] not in seen
            and not _inside(literal, (nodes.reference, nodes.title, addnodes.desc))
        ):
            seen.add(match[1])
            literal.replace_self(_pending("library-name", match[1], literal.deepcopy()))
    for link in doctree.findall(addnodes.pending_xref):
        link.setdefault("refdoc", page)


def _inside(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    while node.parent is not None:
        node = node.parent
        if isinstance(node, (*kinds, addnodes.pending_xref)):
            return True
    return False


def _last(name: str) -> str:
    return name.rpartition(".")[2]


# ---- all links ----
def resolve(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.Element
) -> nodes.Node | None:
    """The link that was left open; None, and so plain text, where there is no such thing."""
    kind, target, page = node["reftype"], node["reftarget"], node.get("refdoc", env.docname)
    if kind == "thesis-equation":
        return _to_equation(app, env, node, content, page)
    if kind == "used-in":
        numbers = env.toc_secnumbers.get(target, {}).get("")
        words = f"chapter {'.'.join(map(str, numbers))}" if numbers else env.titles[target].astext()
        return make_refnode(app.builder, page, target, None, nodes.inline("", words))
    if kind == "library-name" or node.get("refdomain") == "py":
        return _to_entry(app, env, target, content, page)
    return None


def _to_equation(
    app: Sphinx, env: BuildEnvironment, node: Any, content: nodes.Element, page: str
) -> nodes.Node | None:
    label = EQUATIONS.get(node["reftarget"], "")
    domain = env.get_domain("math")
    link = domain.resolve_xref(env, page, app.builder, "eq", label, node, content)
    if link is not None:
        link.children = []
        link += content
    return link


def _to_entry(
    app: Sphinx, env: BuildEnvironment, name: str, content: nodes.Element, page: str
) -> nodes.Node | None:
    """By its full name, or by the last part of it where no two entries share that."""
    entries = env.get_domain("py").objects
    found = [name] if name in entries else []
    if not found and (name.startswith(f"{LIBRARY}.") or "." not in name):
        kinds = {"function", "class", "exception", "data"}
        found = [
            full
            for full, entry in entries.items()
            if entry.objtype in kinds and _last(full) == _last(name)
        ]
        found = [full for full in found if not entries[full].aliased]
    elif not found:
        found = [
            full
            for full, entry in entries.items()
            if full.endswith(f".{name}") and not entry.aliased
        ]
    if len(found) != 1:
        return None
    entry = entries[found[0]]
    return make_refnode(app.builder, page, entry.docname, entry.node_id, content, found[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_role("thesis-equation", equation_role)
    app.add_role("used-in", used_in_role)
    app.connect("builder-inited", collect)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-process-docstring", complete_docstring)
    app.connect("doctree-read", link_page)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""A Sphinx extension: pages without the scripts of sphinx-thebe.

Jupyter Book always loads sphinx-thebe, whose live code cells this book does not use. It declares
its constants twice on every page, which each time is a script error, and it names another host.
"""

from typing import Any

from sphinx.application import Sphinx


def drop_thebe(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Take what belongs to sphinx-thebe out of the page's scripts and style sheets."""
    for kind in ("script_files", "css_files"):
        context[kind] = [
            file
            for file in context[kind]
            if "thebe" not in f"{file.filename}{file.attributes}".lower()
        ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

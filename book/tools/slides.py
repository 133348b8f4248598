"""Slides from the executed notebooks, in one file that opens anywhere without a network.

    python book/tools/slides.py [--executed _build/executed] [--out _build/slides.html]

Each is a cell tagged ``slide`` (`slide_cells.py`). Arrow keys, a swipe or a click move on, ``o``
shows all at once, and printing gives a page for each. Formulas are drawn by MathJax, which is part
of the file; the page allows itself to load nothing.
"""

import argparse
import base64
import html
import sys
from importlib import metadata
from pathlib import Path

import nbformat
import yaml
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from served_files import MATHJAX
from slide_cells import Slide, slides_of

TOOLS = Path(__file__).parent
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
CONFIG = "window.MathJax = {options: {enableMenu: false}, svg: {fontCache: 'none'}};"
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}: slides</title>
<style>{style}</style>
<script>{config}</script>
<script>{mathjax}</script>
</head><body><main>
{slides}
</main><script>{script}</script>
</body></html>
"""


def renderer() -> MarkdownIt:
    """Markdown with formulas as MathJax finds them."""

    def formula(content: str, options: dict) -> str:
        left, right = (r"\[", r"\]") if options["display_mode"] else (r"\(", r"\)")
        return f"{left}{html.escape(content)}{right}"

    return MarkdownIt("commonmark", {"html": False}).use(dollarmath_plugin, renderer=formula)


def slide_html(slide: Slide, name: str, chapter: str, number: int) -> str:
    """One slide, with the number and name of where it is from at its foot."""
    markdown = renderer()
    picture = ""
    if slide.picture:
        alt = html.escape(slide.alt)
        picture = f'<img alt="{alt}" src="data:{slide.picture}">'
    kind = "figure" if picture else "opening" if number == 1 else "text"
    heading = markdown.renderInline(slide.heading.removesuffix("."))
    foot = f"<footer><span>{markdown.renderInline(chapter)}</span><span>{number}</span></footer>"
    return (
        f'<section class="slide {kind}" id="{name}-{number}"><div><h2>{heading}</h2>{picture}'
        f'<div class="said">{markdown.render(slide.text)}</div></div>{foot}</section>'
    )


def chapter_html(path: Path) -> tuple[str, str]:
    """A chapter's line in the contents, and its slides; both empty where it has none."""
    cells = nbformat.read(path, as_version=4).cells
    try:
        slides = slides_of(cells)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    title, name = cells[0].source.partition("\n")[0].removeprefix("# "), path.stem.split("_")[0]
    parts = [slide_html(slide, name, title, i) for i, slide in enumerate(slides, start=1)]
    line = f'<li><a href="#{name}-1">{html.escape(title)}</a></li>' if parts else ""
    return line, "\n".join(parts)


def deck(executed: list[Path], title: str, cover: bytes) -> str:
    """The whole file: a cover, the contents and the slides of the executed notebooks."""
    chapters = [chapter_html(path) for path in executed]
    if not any(line for line, _ in chapters):
        raise ValueError("no executed notebook has a slide; execute them: make book")
    picture = f"image/png;base64,{base64.b64encode(cover).decode()}"
    first = Slide(title, "", picture, "The book's picture")
    lines = "".join(line for line, _ in chapters)
    opening = (
        slide_html(first, "cover", "", 1)
        + '\n<section class="slide contents" id="contents"><div><h2>Contents</h2>'
        + f"<ol>{lines}</ol></div></section>\n"
    )
    return PAGE.format(
        policy=POLICY,
        title=html.escape(title),
        config=CONFIG,
        mathjax=mathjax(),
        style=(TOOLS / "slides.css").read_text("utf-8"),
        script=(TOOLS / "slides.js").read_text("utf-8"),
        slides=opening + "\n".join(slides for _, slides in chapters),
    )


def mathjax() -> str:
    """The script that draws formulas without fonts, of an installed package."""
    files = metadata.files(MATHJAX) or ()
    (script,) = (file for file in files if file.name == "tex-svg.js")
    return script.locate().read_text("utf-8")


def main() -> None:
    """Make the slides of the repository in the current folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--executed", type=Path, default=Path("_build/executed"))
    parser.add_argument("--out", type=Path, default=Path("_build/slides.html"))
    options = parser.parse_args()
    title = yaml.safe_load(Path("_config.yml").read_text("utf-8"))["title"]
    cover = Path("book/_static/hero.png").read_bytes()
    names = sorted(path.name for path in Path("notebooks").glob("*.ipynb"))
    try:
        text = deck([options.executed / name for name in names], title, cover)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"slides.py: {error}")
    options.out.write_text(text, "utf-8")
    print(f"The slides: open {options.out} ({options.out.stat().st_size / 1e6:.0f} MB)")


if __name__ == "__main__":
    main()

"""Figures that the reader moves: pictures made beforehand, and a slider that chooses among them.

They need nothing but the page they are on. Where no script runs, and on paper, all pictures are
shown side by side.
"""

import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path

from IPython.display import HTML
from jinja2 import Template
from numpy.typing import ArrayLike
from PIL import Image

from ood_lib.figures import to_picture

_PAGE = Path(__file__).with_name("slider.html")


def picture_slider(pictures: Sequence[ArrayLike], values: Sequence[str], notes: Sequence[str], *,
                   name: str, label: str, alt: str, caption: str = "", start: int = 0) -> HTML:
    """Pictures (H, W, 3) or (3, H, W) and a slider between them, for a notebook and its page.

    ``values`` says where the slider stands at each picture, as in "0.7", and ``notes`` what is to
    be seen there; both are read aloud as the slider moves. ``label`` names what it changes, ``alt``
    describes what all pictures show, ``start`` is the number of the first one shown, ``name`` no
    other element's on the page. Texts are plain. ValueError for another length, start or name.
    """
    if not 0 < len(pictures) == len(values) == len(notes):
        found = f"{len(pictures)}, {len(values)}, {len(notes)}"
        raise ValueError(f"Expected as many values and notes as pictures, not {found}.")
    if not 0 <= start < len(pictures):
        raise ValueError(f"start={start}; there are the pictures 0 to {len(pictures) - 1}.")
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise ValueError(f"name={name!r}; give a word of small letters, digits and hyphens.")
    shown = list(zip(values, notes, map(_png, pictures), strict=True))
    page = Template(_PAGE.read_text(encoding="utf-8"), autoescape=True, trim_blocks=True)
    return HTML(page.render(pictures=shown, name=name, label=label, alt=alt, caption=caption,
                            start=start, last=len(shown) - 1))


def _png(picture: ArrayLike) -> str:
    """A picture as PNG in base64, of 256 colours: a third of the size, and nobody sees it."""
    file, image = io.BytesIO(), Image.fromarray(to_picture(picture))
    few = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()

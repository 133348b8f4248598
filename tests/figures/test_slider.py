"""A slider shows one picture after the other, and all of them where no script runs."""

import base64
import io
import re

import numpy as np
import pytest
from bs4 import BeautifulSoup, Tag
from PIL import Image

from ood_lib.figures.slider import picture_slider

RED, BLUE = (np.full((4, 6, 3), color, dtype=np.uint8) for color in ((250, 0, 0), (0, 0, 250)))
TEXTS = {"name": "a-slider", "label": "t =", "alt": "A square."}


def slider(**changes: object) -> Tag:
    options = (
        {"pictures": [RED, BLUE], "values": ["0.1", "0.2"], "notes": ["a < b", "two"]}
        | TEXTS
        | changes
    )
    return BeautifulSoup(picture_slider(**options).data, "html.parser")


def test_every_picture_is_in_the_page_with_its_texts() -> None:
    page = slider(caption="Look & see", start=1)
    for image, color in zip(page.select("img"), (RED, BLUE), strict=True):
        shown = Image.open(
            io.BytesIO(base64.b64decode(image["src"].removeprefix("data:image/png;base64,")))
        )
        assert (np.asarray(shown.convert("RGB")) == color).all()
    assert [image["alt"] for image in page.select("img")] == [
        "A square. t = 0.1. a < b",
        "A square. t = 0.2. two",
    ]
    assert [part["data-note"] for part in page.select(".pictures > div")] == ["a < b", "two"]
    assert page.figcaption.get_text() == "Look & see"
    assert (page.input["min"], page.input["max"], page.input["value"]) == ("0", "1", "1")


def test_slider_has_a_label_and_says_what_it_shows() -> None:
    page = slider()
    assert page.label["for"] == page.input["id"] == "a-slider-range"
    assert page.select_one("[role=status]")["id"] == "a-slider-note"


def test_without_a_script_all_pictures_show_and_no_control() -> None:
    page = slider()
    assert page.select_one(".choice").has_attr("hidden") and page.select_one(
        "[role=status]"
    ).has_attr("hidden")
    assert not page.select(".pictures [hidden], .moves, .pictures [style]")


def test_page_asks_for_nothing_from_elsewhere() -> None:
    assert not re.search(
        r"https?://|@import|url\(|src=\"(?!data:)",
        picture_slider([RED], ["1"], ["n"], **TEXTS).data,
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"values": ["0.1"]}, "not 2, 1, 2"),
        ({"pictures": [], "values": [], "notes": []}, "not 0, 0, 0"),
        ({"start": 2}, "start=2; there are the pictures 0 to 1"),
        ({"name": 'x" onload="'}, "small letters"),
    ],
)
def test_what_is_wrong_is_said(wrong: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        slider(**wrong)

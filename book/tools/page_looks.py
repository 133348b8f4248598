"""How a page looks, in wide and narrow windows, in both modes, and to those who do not see it."""

from pathlib import Path
from typing import NamedTuple

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

LOOK, SIZE = (
    (Path(__file__).parent / name).read_text("utf-8") for name in ("page_look.js", "page_size.js")
)
WIDE = {"width": 1400, "height": 1000}  # the window in which pages are measured
HIGHEST, FIRST_PICTURE = 14_000, 900  # pixels
STOPS = 60  # of the keyboard, in a chapter's text


class Look(NamedTuple):
    """A window's width and height in pixels, and the mode that its owner prefers."""

    name: str
    width: int
    height: int
    theme: str


LOOKS = [  # in such an order that each differs from the one before in one thing
    Look("desktop-light", 1280, 900, "light"),
    Look("desktop-dark", 1280, 900, "dark"),
    Look("phone-dark", 390, 844, "dark"),
    Look("phone-light", 390, 844, "light"),
]
# How many of each page and look are kept: 60 MB for the whole book is too much for every run.
SCREENS = 4


def check_look(page: Page, look: Look, picture: Path) -> list[str]:
    """What is wrong with the open page when it is looked at so; the first screens are kept as
    ``picture``."""
    page.set_viewport_size({"width": look.width, "height": look.height})
    page.emulate_media(color_scheme=look.theme)
    problems = page.evaluate(LOOK, look.theme)
    height = min(SCREENS * look.height, page.evaluate("document.documentElement.scrollHeight"))
    clip = {"x": 0, "y": 0, "width": look.width, "height": height}
    picture.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=picture, type="jpeg", quality=60, full_page=True, clip=clip)
    return [f"{page.url}: {look.name} {problem}" for problem in problems]


def check_access(page: Page) -> list[str]:
    """What axe finds: what a reader who does not see the page, or uses no mouse, would miss."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{page.url}: {each['help']} ({each['id']}): {each['nodes'][0]['html'][:120]}"
        for each in found
    ]


def check_size(page: Page, name: str) -> list[str]:
    """What of a chapter is too long, too low or cut off in a wide window."""
    page.set_viewport_size(WIDE)
    found = page.evaluate(SIZE)
    print(
        f"{name}: {found['height']} px, first picture at {found['first']:.0f} px, "
        f"{found['stops']} tab stops, {len(found['cut'])} blocks cut off"
    )
    problems = [f"cuts off '{words}'" for words in found["cut"]]
    if found["height"] > HIGHEST:
        problems.append(f"is {found['height']} pixels long, more than {HIGHEST}")
    if found["stops"] > STOPS:
        problems.append(f"has {found['stops']} tab stops, more than {STOPS}")
    if found["first"] > FIRST_PICTURE:
        problems.append(f"shows its first picture at {found['first']:.0f}, below {FIRST_PICTURE}")
    return [f"{page.url}: {problem}" for problem in problems]

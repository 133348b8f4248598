"""What the browser check sees of a page's look, on small pages with one fault each, where there is
a Chromium."""

import re
from pathlib import Path

import pytest
from page_looks import LOOKS, check_look
from playwright.sync_api import Browser

PAGE = """<!doctype html><html><style>{style}</style><body><script>
const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
const show = () => root.dataset.theme = dark.matches ? "dark" : "light";
dark.onchange = show; show();
</script><style>
[data-theme="dark"] {{ background: #111; }} [data-theme="dark"] * {{ color: #eee; }} {style}
</style><article><h1>Title</h1><p>Some text with <a href="#there">a link</a>.</p>
<div style="overflow-x: auto">
<pre style="width: 700px">A wide formula scrolls by itself.</pre></div>
<img alt="A dot."
 src="data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7">
{body}</article></body></html>"""


def problems_of(chromium: Browser, folder: Path, style: str = "", body: str = "") -> list[str]:
    (folder / "page.html").write_text(PAGE.format(style=style, body=body))
    page = chromium.new_page()
    page.goto((folder / "page.html").as_uri())
    found = [
        problem for look in LOOKS for problem in check_look(page, look, folder / f"{look.name}.jpg")
    ]
    page.close()
    return [problem.split("page.html: ")[1] for problem in found]


def test_a_good_page_passes_and_is_pictured(chromium: Browser, tmp_path: Path) -> None:
    assert problems_of(chromium, tmp_path) == []
    assert {path.stem for path in tmp_path.glob("*.jpg")} == {look.name for look in LOOKS}


@pytest.mark.parametrize(
    ("style", "body", "problem", "looks"),
    [
        (
            "",
            "<div class='wide' style='width: 600px'>Wide</div>",
            "scrolls sideways.*div.wide",
            "phone",
        ),
        (
            "",
            "<p><img alt='A curve.' class='panels-90-0-0-1000-1000' style='width: 300px' src="
            "'data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7'></p>",
            "letters too small to read: 300 pixels for 9.0 inches",
            "phone",
        ),
        (
            "",
            "<p><img alt='A dot.' style='width: 60px; height: 40px' src="
            "'data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7'></p>",
            r"a picture 1\.50 times as wide as it is",
            "phone",
        ),
        ("[data-theme='dark'] img { filter: brightness(0.8); }", "", "in other colours", "dark"),
        (
            "p { color: #777 !important; background: #888; }",
            "",
            "contrast of 1.26 in p, 'Some text",
            "",
        ),
        ("a:focus-visible { outline: none; }", "", "does not show the focus", ""),
        (
            "",
            "<script>dark.onchange = null;</script>",
            "is light, where the reader asks for dark",
            "dark",
        ),
    ],
)
def test_a_fault_is_seen_where_it_is(
    chromium: Browser, tmp_path: Path, style: str, body: str, problem: str, looks: str
) -> None:
    found = [
        each for each in problems_of(chromium, tmp_path, style, body) if re.search(problem, each)
    ]
    assert [each.split()[0] for each in found] == [
        look.name for look in LOOKS if looks in look.name
    ]

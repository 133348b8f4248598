"""The strip beneath a chapter's title: the one frame that the book follows, from the camera's
picture to what is believed."""

THREAD = {
    "camera": ("01", "the camera's picture"),
    "classes": ("02", "a class for every pixel"),
    "before": ("03", "how unsure it is"),
    "after": ("04", "after learning to be unsure"),
    "segments": ("05", "segments"),
    "kept": ("06", "what is believed"),
}
"""The pictures of the frame that the book follows, in ``book/_static/thread``: the chapter that
makes each of them, and its words."""
STAGE_OF = {"03a": "before", "03b": "before", "08": "after", "09": "after"}
"""What a chapter is about that makes none; the last is for all later ones."""


def open_chapter(text: str, chapter: str, chapters: dict[str, str]) -> str:
    """A chapter's opening with the strip of the one frame beneath its title, what the chapter
    treats marked. ``chapters`` has the notebooks' names by chapter."""
    by_chapter = {made_in: name for name, (made_in, _) in THREAD.items()}
    here = (by_chapter | STAGE_OF).get(chapter, "kept")
    links = []
    for name, (made_in, words) in THREAD.items():
        if made_in not in chapters:
            continue
        page = chapters[made_in].replace(".ipynb", ".html")
        current = ' aria-current="step"' if name == here else ""
        picture = f'<img src="../_static/thread/{name}.png" alt="{words}">'
        shown = f'<span aria-hidden="true">{words}</span>'
        links.append(f'<a href="{page}"{current}>{picture}{shown}</a>')
    label = "The frame that the book follows, and the chapters"
    strip = f'<nav class="thread" aria-label="{label}">' + "".join(links) + "</nav>"
    title, _, rest = text.partition("\n")
    return f"{title}\n\n```{{raw}} html\n{strip}\n```\n{rest}"

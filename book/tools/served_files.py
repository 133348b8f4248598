"""What the pages load beside their own files: what draws formulas."""

from importlib import metadata

MATHJAX = "sphinx-mathjax-offline"


def mathjax_files() -> dict[str, bytes]:
    """What draws the formulas, {path: content}: the pages' script, and the fonts that it asks for.

    They come from an installed package, which holds many more. FileNotFoundError if they are not
    there.
    """
    found = {}
    for file in metadata.files(MATHJAX) or ():
        name = file.as_posix().partition("static/mathjax/")[2]
        if name == "tex-chtml-full.js" or name.endswith(".woff"):
            found[f"book/_static/mathjax/{name}"] = file.locate().read_bytes()
    if len(found) < 2:
        raise FileNotFoundError(f"the package {MATHJAX} holds no MathJax; install it again")
    return found

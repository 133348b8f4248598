"""From the notebooks' plain Markdown, which reads well anywhere, to the book's MyST.

Code, code spans and formulas are left alone. Text is rewritten thus:

==========================================  ===================================================
plain Markdown                              the book
==========================================  ===================================================
a blockquote opening with ``**Goals.**``    an admonition (Goals, Summary, In the thesis, Note,
                                            Warning, Further reading)
``<details><summary>S</summary>…``          a folded admonition titled S
``[@key]``, ``[@a; @b]``                    a citation
``Figure: [words](#fig-x)``                 Figure 3.1 (words)
``[words](#fig-x)``                         words (Figure 3.1)
``[3.1](#eq-x)``                            the equation's number
``[words](#eq-x)``                          words and the equation's number
==========================================  ===================================================
"""

import re
from collections.abc import Callable

ADMONITIONS = {
    "Goals": "goals",
    "Summary": "summary",
    "In the thesis": "thesis",
    "Note": "note",
    "Warning": "warning",
    "Further reading": "reading",
}

KEPT = (
    r"^ {0,3}(?P<fence>`{3,}|~{3,}).*?^ {0,3}(?P=fence)[`~]*[ \t]*$"
    r"|`[^`\n]+`|\$\$.*?\$\$|\$[^$\n]+\$"
)
QUOTE = r"^> ?\*\*(?P<title>" + "|".join(ADMONITIONS) + r")\.\*\*(?P<body>[^\n]*(?:\n>[^\n]*)*)"
DETAILS = r"<details>\s*<summary>(?P<title>.*?)</summary>(?P<body>.*?)</details>"
CITATION = r"\[(?P<keys>@[\w:-]+(?:\s*;\s*@[\w:-]+)*)\](?!\()"
FIGURE = r"(?P<lead>Figure:\s+)?\[(?P<words>[^\]]+)\]\(#(?P<name>fig-[\w-]+)\)"
LINK = r"\[(?P<words>[^\]]+)\]\([^)\s]+\)"
LABEL = r" \(eq-[\w-]+\)"
EQUATION = r"\[(?P<words>[^\]]+)\]\(#(?P<name>eq-[\w-]+)\)"


def to_myst(text: str) -> str:
    """``text`` in the book's form."""
    for pattern, rewrite in (
        (QUOTE, _admonition),
        (DETAILS, _folded),
        (CITATION, _citation),
        (FIGURE, _figure),
        (EQUATION, _equation),
    ):
        text = _substitute(pattern, rewrite, text)
    return text


def without_references(text: str) -> str:
    """``text`` for a place outside the book: links are their words, and citations and the labels of
    equations are gone."""
    text = _substitute(rf"\s?{CITATION}|{LABEL}", lambda _: "", text)
    text = _substitute(FIGURE, _words_of_figure, text)
    return _substitute(LINK, lambda match: match["words"], text)


def _words_of_figure(match: re.Match[str]) -> str:
    words = match["words"]
    return words[0].upper() + words[1:] if match["lead"] else words


def _substitute(pattern: str, rewrite: Callable[[re.Match[str]], str], text: str) -> str:
    def choose(match: re.Match[str]) -> str:
        return match[0] if match["kept"] is not None else rewrite(match)

    return re.sub(f"(?P<kept>{KEPT})|{pattern}", choose, text, flags=re.MULTILINE | re.DOTALL)


def _admonition(match: re.Match[str]) -> str:
    body = re.sub(r"^> ?", "", match["body"], flags=re.MULTILINE).strip()
    return (
        f":::{{admonition}} {match['title']}\n:class: {ADMONITIONS[match['title']]}\n\n{body}\n:::"
    )


def _folded(match: re.Match[str]) -> str:
    title, body = match["title"].strip(), match["body"].strip()
    return f"::::{{admonition}} {title}\n:class: dropdown\n\n{body}\n::::"


def _citation(match: re.Match[str]) -> str:
    return "{cite:p}`" + ",".join(key.strip(" @\n") for key in match["keys"].split(";")) + "`"


def _figure(match: re.Match[str]) -> str:
    number = f"{{numref}}`Figure %s <{match['name']}>`"
    return f"{number} ({match['words']})" if match["lead"] else f"{match['words']} ({number})"


def _equation(match: re.Match[str]) -> str:
    number = f"{{eq}}`{match['name']}`"
    return number if re.fullmatch(r"[\d.()]+", match["words"]) else f"{match['words']} {number}"

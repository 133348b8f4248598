"""The claims that the book judges, as data: the thesis's, and the book's own questions."""

from collections import Counter
from math import inf
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import Field, model_validator

from ood_lib.checked import Checked, Count, Number

_PLACES = (Path(__file__).parents[1] / "book/claims.yml", Path(__file__).parent / "claims.yml")
"""Of the file: in the repository, and in a library installed without it."""
Text = Annotated[str, Field(min_length=1)]


class Baseline(Checked):
    """The trivial way that a claim must beat; findings by name."""

    what: Text
    alone: Text | None = None  # what it reaches
    beyond: Text | None = None  # how far the claim's finding goes beyond it


class OnDrives(Checked):
    """The difference in the study "verdicts" that speaks to a claim in its finding's place, where
    the study is recorded: see `ood_lib.studies.verdicts.furthest_ahead`."""

    classifiers: list[Text] = Field(min_length=1)
    other: Text
    measure: Literal["auroc", "auprc", "auprc of false", "removed"]
    threshold: Number
    left_out: Literal["segment", "fold", "drive"]
    segments: Literal["all", "small"] = "all"


class Question(Checked):
    """A statement that holds if a finding's interval lies above ``above`` and below ``below``."""

    claim: Text
    group: Text  # one of the names in `Claims.groups`
    finding: Text  # the name under which a chapter keeps it
    reads: str = ""  # what stands before the number, as "lower by"
    unit: Text
    signed: bool = True  # whether a number above 0 is written with a plus
    above: Number = -inf
    below: Number = inf
    chance: Literal["runs", "sequences of one network", "networks and drives"]
    found_in: Text  # a notebook's name
    place: Text  # a heading there, as links name it
    baseline: Baseline | None = None
    on_drives: OnDrives | None = None
    note: str = ""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if not self.above < self.below or (self.above, self.below) == (-inf, inf):
            raise ValueError("it needs a bound, `above` or `below`; of two the former is lower")
        return self


class Claim(Question):
    """A claim of the thesis, with the sentence that makes it and the thesis's own numbers."""

    quote: Text
    section: Text
    page: Count  # on which the section begins
    numbers: Text
    in_thesis: Number | None = None  # the finding's own number there, if it has one


class Claims(Checked):
    """All of them, and the rule by which they are judged."""

    rule: Text
    groups: dict[Text, Text]  # by name what a group of claims answers, in the order of the page
    claims: list[Claim]
    questions: list[Question]

    @model_validator(mode="after")
    def _named(self) -> Self:
        entries = [*self.claims, *self.questions]
        if lost := sorted({entry.group for entry in entries} ^ set(self.groups)):
            raise ValueError(f"each group needs its line in `groups`, and a claim; see {lost}")
        names = Counter(entry.finding for entry in entries)
        if twice := sorted(name for name, count in names.items() if count > 1):
            raise ValueError(f"two claims name one finding: {twice}; name another")
        return self


def book_claims() -> Claims:
    """What ``book/claims.yml`` says; FileNotFoundError without it, ValueError if it is wrong."""
    place = next((place for place in _PLACES if place.is_file()), None)
    if place is None:
        raise FileNotFoundError(f"The book's claims are missing in {_PLACES[0]}.")
    return Claims.model_validate(yaml.safe_load(place.read_text(encoding="utf-8")))

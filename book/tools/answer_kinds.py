"""What `book/answers` has of an exercise: a choice, or numbers."""

import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ood_lib.exercises import LETTERS

FEWEST = 5  # wrong answers of an exercise that asks for numbers
MARKUP = re.compile(r"\$|`|\*\*|\\[a-z]")
Words = Annotated[str, Field(min_length=3)]
Value = Annotated[float, Field(allow_inf_nan=False)]


class Exercise(BaseModel):
    """What `book/answers` has of an exercise; `wrong` gives likely mistakes their words."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, str_strip_whitespace=True)
    kind: str
    ask: Words
    because: Words
    wrong: dict[Any, Words]

    @property
    def sentence(self) -> str:
        """What is asked, with the mark that ends a sentence."""
        return self.ask if self.ask.endswith((".", "?", "!")) else f"{self.ask}."

    @model_validator(mode="after")
    def is_plain_text(self) -> Self:
        """The notebook prints these words, so they have no Markdown and no formulas."""
        for text in (self.ask, self.because, *self.wrong.values()):
            if found := MARKUP.search(text):
                raise ValueError(f"write plain text, without {found[0]!r}: {text[:60]!r}")
        return self


class Choice(Exercise):
    """One of some options is right, and each of the others has its words."""

    kind: Literal["choice"]
    options: dict[str, Words]
    answer: str
    within: Literal[0] = 0

    @model_validator(mode="after")
    def has_words_for_all_others(self) -> Self:
        """The options are a, b, c, ..., and those that are wrong are in `wrong`."""
        letters = list(LETTERS[: len(self.options)])
        if len(letters) < 2 or list(self.options) != letters:
            raise ValueError(f"name the options a, b, c, ... in order, not {list(self.options)}")
        if self.answer not in letters or set(self.wrong) != set(letters) - {self.answer}:
            raise ValueError("answer must be one of the options, and wrong must have all others")
        return self

    def numbers(self, answer: Any) -> list[float]:
        """The place of a letter."""
        return [float(LETTERS.index(answer))]


class Numbers(Exercise):
    """One number is asked for, or some in order, each right if it is `within` of the solution."""

    kind: Literal["number", "numbers"]
    answer: Value | Annotated[list[Value], Field(min_length=2, max_length=8)]
    within: Annotated[float, Field(ge=0, allow_inf_nan=False)]

    @model_validator(mode="after")
    def has_enough_mistakes(self) -> Self:
        """At least `FEWEST` wrong answers, each with as many numbers as the solution."""
        if (self.kind == "number") is isinstance(self.answer, list):
            raise ValueError("of the kind number the answer is one, of the kind numbers a list")
        if len(self.wrong) < FEWEST:
            raise ValueError(f"wrong has {len(self.wrong)} answers, expected at least {FEWEST}")
        for answer in self.wrong:
            if len(self.numbers(answer)) != len(self.numbers(self.answer)):
                raise ValueError(f"the wrong answer {answer} has not as many numbers as the right")
        return self

    def numbers(self, answer: Any) -> list[float]:
        """The numbers of a solution, or of a key of `wrong`, which may be a text."""
        try:
            read = json.loads(answer) if isinstance(answer, str) else answer
            return list(map(float, read if isinstance(read, list) else [read]))
        except (ValueError, TypeError):
            raise ValueError(f"{answer!r} is no number, and no list of numbers in quotes") from None

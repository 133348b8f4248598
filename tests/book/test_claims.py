"""What the scoreboard judges is data that says where it comes from, and is refused otherwise."""

import json
import math
import re
from pathlib import Path

import pytest
import yaml
from lint_references import places_on

import ood_lib.claims
from ood_lib.claims import book_claims

ROOT = Path(__file__).parents[2]


def source_of(chapter: str) -> str:
    notebook = json.loads((ROOT / f"notebooks/{chapter}.ipynb").read_text(encoding="utf-8"))
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return "\n".join(code)


def entries() -> list:
    read = book_claims()
    return [*read.claims, *read.questions]


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.finding)
def test_every_finding_is_kept_by_the_chapter_that_is_named(entry) -> None:
    source, baseline = source_of(entry.found_in), entry.baseline
    names = [entry.finding, baseline and baseline.alone, baseline and baseline.beyond]
    for name in filter(None, names):
        # Chapter 12 makes some names of the scores'
        family, score, tail = [*name.split(", ", 2), "", ""][:3]
        tail = f", {tail}" if tail else ""
        by_score = f'f"{family}, {{name}}{tail}"' in source and f'"{score}"' in source
        assert re.search("keep_findings", source) and (f'"{name}"' in source or by_score), name


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.finding)
def test_every_place_is_a_heading_of_its_chapter(entry) -> None:
    assert entry.place in places_on(ROOT / f"notebooks/{entry.found_in}.ipynb")


def test_groups_are_the_four_questions_and_none_is_empty() -> None:
    read = book_claims()
    assert list(read.groups) == ["sees", "price", "removes", "why"]
    of_claims = {claim.group for claim in read.claims}
    assert of_claims == set(read.groups)  # the thesis says something to each


def test_numbers_drawn_are_those_the_thesis_prints() -> None:
    for claim in book_claims().claims:
        numbers = [float(n) for n in re.findall(r"[-+]?\d+\.\d+", claim.numbers)]
        if claim.in_thesis is None:
            assert claim.numbers in {"Figure 4.1, by eye", "no number", "argued", "2 examples",
                                     "examples", "by eye", "not measured"}  # fmt: skip
        elif len(numbers) == 1:
            assert claim.in_thesis == numbers[0]
        else:
            assert claim.in_thesis == pytest.approx(abs(numbers[1] - numbers[0]))


def test_the_thesis_speaks_for_itself_and_the_book_asks_its_own() -> None:
    read = book_claims()
    assert (len(read.claims), len(read.questions)) == (21, 7)
    for claim in read.claims:
        assert 20 < len(claim.quote) < 160 and 11 <= claim.page <= 31
        assert re.match(r"[1-6](\.\d)?(, |$)", claim.section), claim.section
    assert not any(hasattr(question, "quote") for question in read.questions)
    not_said = {"FPR95 gain", "width", "uneven", "removal gain in F1*, max logit"}
    assert not_said <= {question.finding for question in read.questions}


def test_bounds_are_such_that_data_can_contradict_them() -> None:
    for entry in entries():
        assert math.isfinite(entry.above) or math.isfinite(entry.below)
        assert entry.above < entry.below
        assert all(abs(end) <= 3 for end in (entry.above, entry.below) if math.isfinite(end))


@pytest.mark.parametrize(("changes", "refused"), [
    ({"qoute": "x"}, r"claims\.0\.qoute"),
    ({"above": None}, r"claims\.0\.above"),
    ({"below": -1}, "it needs a bound"),
    ({"page": 0}, r"claims\.0\.page"),
    ({"chance": "luck"}, "'networks and drives'"),
    ({"baseline": {"what": "size", "beynd": "x"}}, r"claims\.0\.baseline\.beynd"),
    ({"finding": "FPR95 gain"}, "name one finding"),
    ({"group": "sse"}, "each group needs its line in `groups`.*'sse'"),
    ({"place": ""}, r"claims\.0\.place"),
])
def test_what_is_not_as_it_should_be_is_refused(changes, refused, tmp_path, monkeypatch) -> None:
    content = yaml.safe_load((ROOT / "book/claims.yml").read_text(encoding="utf-8"))
    content["claims"][0] |= changes
    (tmp_path / "claims.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setattr(ood_lib.claims, "_PLACES", (tmp_path / "claims.yml",))
    with pytest.raises(ValueError, match=refused):
        book_claims()


def test_claims_are_found_in_the_repository_or_in_the_library(tmp_path, monkeypatch) -> None:
    places = (tmp_path / "missing.yml", ROOT / "book/claims.yml")
    monkeypatch.setattr(ood_lib.claims, "_PLACES", places)
    assert book_claims().claims
    monkeypatch.setattr(ood_lib.claims, "_PLACES", places[:1])
    with pytest.raises(FileNotFoundError, match=r"missing\.yml"):
        book_claims()

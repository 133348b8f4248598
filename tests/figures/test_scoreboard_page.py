"""The scoreboard says each claim beside what was found, and its buttons choose among them."""

import math
import re

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser

from ood_lib.claims import Claims
from ood_lib.figures.scoreboard import VERDICTS, scoreboard

COMMON = {"unit": "AUPRC", "chance": "sequences of one network", "found_in": "06_x"}
COMMON |= {"place": "which-is-better"}
THEIRS = {"quote": "it <really> does", "section": "5.1", "page": 21, "numbers": "0.4 to 0.6"}
BASELINE = {"what": "size alone", "alone": "size", "beyond": "beyond size"}
BOOK = Claims.model_validate({
    "rule": "It holds or not.",
    "groups": {"sees": "Does it see?", "why": "Why?"},
    "claims": [
        COMMON | THEIRS | {"claim": "A < B", "group": "sees", "finding": "gain", "above": 0.0,
                           "in_thesis": 0.2, "baseline": BASELINE},
        COMMON | THEIRS | {"claim": "alike", "group": "why", "finding": "alike", "above": -0.01,
                           "below": 0.01, "note": "The bound is ours."},
    ],
    "questions": [
        COMMON | {"claim": "lower", "group": "why", "finding": "lower", "below": 3.0,
                  "signed": False, "reads": "lower by", "baseline": {"what": "before"}},
        COMMON | {"claim": "unknown", "group": "sees", "finding": "unknown", "above": 0.0},
    ],
})  # fmt: skip
FINDINGS = pd.DataFrame(
    {"value": [0.3, -0.05], "low": [0.2, -0.1], "high": [0.4, 0.0]}, index=["size", "beyond size"]
)


def found(verdict: str, *number: float, **others: object) -> dict:
    ends = dict(zip(("value", "low", "high"), number or [math.nan] * 3, strict=True))
    chance = "sequences of one network"
    return {"verdict": verdict, "n": "", "chance": chance, "corrected": math.nan} | ends | others


JUDGED = {
    "gain": found("not shown", 0.1, 0.05, 0.15, n="30 sequences"),
    "alike": found("does not hold", 0.03, 0.02, 0.04, n="10 networks, 300 drives",
                   chance="networks and drives", corrected=0.0123),
    "lower": found("holds", 2.5, 2.1, 2.9),
    "unknown": found("not measured"),
}  # fmt: skip


def board(**changes: dict) -> str:
    return scoreboard(BOOK, pd.DataFrame(JUDGED | changes).T, FINDINGS).data


def rows() -> dict:
    page = BeautifulSoup(board(), "html.parser")
    return {row.select_one(".short").get_text(): row for row in page.select("li")}


def words(row) -> str:
    return " ".join(row.get_text(" ").split())


def test_each_row_says_claim_verdict_and_numbers() -> None:
    said = {name: words(row) for name, row in rows().items()}
    assert "not shown" in said["A < B"] and "“it <really> does”" in said["A < B"]
    assert "Section 5.1, page 21" in said["A < B"] and "Thesis 0.4 to 0.6" in said["A < B"]
    assert "+0.100 (+0.050 to +0.150) AUPRC" in said["A < B"]
    assert "above 0. Over 30 sequences of one network." in said["A < B"]
    baseline = "size alone reaches 0.300 (0.200 to 0.400); beyond it −0.050 (−0.100 to +0.000)."
    assert baseline in said["A < B"]
    assert "above −0.01 and below 0.01. Over 10 networks, 300 drives. p = 0.012" in said["alike"]
    assert "lower by 2.5 (2.1 to 2.9)" in said["lower"] and "Against before." in said["lower"]
    assert "question of the book" in said["lower"] and "“" not in said["lower"]
    assert "not measured" in said["unknown"] and "nan" not in said["unknown"]
    assert {row["data-verdict"] for row in rows().values()} == set(VERDICTS) - {"not decided"}


def test_rows_stand_under_their_question_and_lead_to_their_place() -> None:
    page = BeautifulSoup(board(), "html.parser")
    groups = {s.h3.get_text(strip=True): s.select(".short") for s in page.select("section")}
    claims = {name: [claim.get_text() for claim in claims] for name, claims in groups.items()}
    assert claims == {"Does it see?": ["A < B", "unknown"], "Why?": ["alike", "lower"]}
    links = {link["href"]: link.get_text() for link in page.select("a")}
    assert links == {"06_x.ipynb#which-is-better": "chapter 6: which is better"}


def test_bars_are_drawn_to_scale() -> None:
    bar = rows()["A < B"].select_one(".bar")  # shows 0 to 0.2 from 8 % to 92 %
    interval, dot, area = (bar.select_one(part) for part in (".interval", "circle", ".claimed"))
    assert (interval["x1"], dot["cx"], interval["x2"]) == ("29.0%", "50.0%", "71.0%")
    assert (area["x"], area["width"]) == ("8.0%", "92.0%")
    assert bar.select_one(".at")["x"] == "92.0%" and bar.select_one("text").get_text() == "0"
    both = rows()["alike"].select_one(".bar")  # shows -0.01 to 0.04
    assert [label.get_text() for label in both.select("text")] == ["−0.01", "0.01"]
    assert both.select_one(".claimed")["width"] == "33.6%"
    assert rows()["unknown"].select_one(".bar") is None


def test_page_asks_for_nothing_and_shows_all_without_a_script() -> None:
    assert not re.search(r"https?://|@import|url\(|src=", board())
    page = BeautifulSoup(board(), "html.parser")
    assert [tag["class"] for tag in page.select("[hidden]")] == [["filter"]]


def test_a_claim_that_is_not_judged_is_an_error() -> None:
    with pytest.raises(KeyError, match="gain"):
        scoreboard(BOOK, pd.DataFrame(JUDGED).T.drop(index="gain"), FINDINGS)


def test_buttons_choose_by_mouse_and_keyboard_and_a_telephone_shows_cards(
    chromium: Browser,
) -> None:
    page = chromium.new_page(viewport={"width": 1000, "height": 800})
    page.set_content(f"<!doctype html><body>{board()}")
    shown = "[...document.querySelectorAll('li')].filter((r) => r.checkVisibility()).length"
    sections = shown.replace("'li'", "'section'")
    assert page.evaluate(shown) == 4
    assert page.inner_text("[role=status]") == "4 of 4"
    page.click("button[value='does not hold']")
    assert (page.evaluate(shown), page.evaluate(sections)) == (1, 1)
    assert page.inner_text("[role=status]") == "1 of 4"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # "not decided", of which there is none
    assert (page.evaluate(shown), page.evaluate(sections)) == (0, 0)
    assert page.locator("button[aria-pressed=true]").inner_text().strip() == "not decided"
    page.click("button[value='']")
    assert page.evaluate(shown) == 4
    left = "[...document.querySelector('li').children].map((c) => c.offsetLeft)"
    assert len(set(page.evaluate(left))) == 4
    page.set_viewport_size({"width": 390, "height": 800})
    assert len(set(page.evaluate(left))) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()

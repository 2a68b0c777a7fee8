"""The planted table: what counts as a wrong winner, what as not found, and that its page is of what was kept."""

import json
from pathlib import Path
from typing import Any

import planted


def kept(status: str, better: str, ahead: float) -> dict[str, Any]:
    """A study of two losses in which the first is so many margins ahead."""
    return {
        "headline": "a beats b.",
        "margin": 0.01,
        "means": {"cross_entropy": 0.5 + ahead / 100, "again": 0.5},
        "seeds": 3,
        "pairs": [["cross_entropy", "again", status, better]],
    }


def said(row: str, studies: list[dict[str, Any]], truth: list[dict[str, Any]] | None = None) -> dict[str, int]:
    return dict(planted.Pair.of(planted.ROWS[row], "cross_entropy", "again", studies, truth or studies).said)


def test_a_claim_for_the_loss_that_is_behind_is_wrong() -> None:
    studies = [kept("better", "again", 4), kept("undecided", "", 5), kept("better_within", "cross_entropy", 6)]
    studies += [kept("undecided", "cross_entropy", 5), kept("equal", "", 5)]
    assert said("ceiling", studies) == {"wrong": 1, "open": 1, "right": 1, "held back": 1, "equal": 1}


def test_between_a_loss_and_itself_any_claim_is_wrong_and_between_losses_without_a_gap_it_is_unsure() -> None:
    studies = [kept("better", "cross_entropy", 0.1), kept("equal", "", -0.1)]
    assert said("same loss twice", studies) == {"wrong": 1, "equal": 1}
    assert said("ceiling", studies) == {"unsure": 1, "equal": 1}


def test_a_row_whose_runs_are_too_short_is_judged_by_the_gaps_of_another() -> None:
    long = [kept("better", "cross_entropy", ahead) for ahead in (4, 5, 6)]
    assert said("too few steps", [kept("better", "again", -3)], long) == {"wrong": 1}


def test_a_data_set_is_drawn_compared_and_judged() -> None:
    study = planted.studied(planted.ROWS["same loss twice"], 0)
    assert study["pairs"] == [["again", "cross_entropy", "equal", ""]]
    assert study["means"]["again"] == study["means"]["cross_entropy"]


def test_the_page_is_of_the_stored_studies() -> None:
    stored = Path(planted.__file__).with_suffix(".json")
    assert planted.page(json.loads(stored.read_text())) == planted.DOCS.read_text()

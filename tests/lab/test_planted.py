"""The planted table: what counts as a wrong winner, what as not found, and that its page is of what was kept."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
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


def test_what_is_left_undecided_is_counted_where_the_gap_is_wide_and_runs_were_long_enough() -> None:
    studies = [kept("undecided", "cross_entropy", 4), kept("better", "cross_entropy", 5), kept("undecided", "", 6)]
    wide, narrow = (
        planted.Pair.of(planted.ROWS["ceiling"], "cross_entropy", "again", these, these)
        for these in (studies, [kept("undecided", "", ahead) for ahead in (1, 2)])
    )
    said = planted.summary([("ceiling", wide), ("ceiling", narrow), ("too few steps", wide)])
    assert said.startswith("Of 8 answers 0 are wrong.")
    assert said.replace("\n", " ").endswith("2 of 3 were left undecided; of one pair at most 2 of 3 (ceiling).")
    assert planted.summary([("ceiling", narrow)]) == "Of 2 answers 0 are wrong."


def test_losses_that_are_level_in_the_end_have_no_gap_to_be_found() -> None:
    ahead = [kept("undecided", "cross_entropy", ahead) for ahead in (4, 5)]
    level, apart = (
        planted.Pair.of(planted.ROWS[row], "cross_entropy", "again", ahead, ahead)
        for row in ("same loss twice", "ceiling")
    )
    assert (level.wide.total(), apart.wide.total()) == (0, 2)


def test_where_the_gap_of_each_data_set_is_known_only_the_wide_ones_should_be_found() -> None:
    row = replace(planted.ROWS["ceiling"], gaps="more to test")
    studies = [kept("undecided", "", ahead) for ahead in (5, 1, 1)] + [kept("better", "cross_entropy", 4)]
    gaps = [kept("better", "cross_entropy", ahead) for ahead in (2, 6, 2, 5)]  # what they are with more test items
    pair = planted.Pair.of(row, "cross_entropy", "again", studies, gaps)
    assert pair.said == {"open": 3, "right": 1}
    assert pair.wide == {"open": 1, "right": 1}


def test_more_test_items_leave_a_data_set_what_it_is() -> None:
    few, many = (planted.four_classes(np.random.default_rng(1), more) for more in (0, 50))
    for before, after in ((few.train, many.train), (few.valid, many.valid)):
        assert before.inputs.equal(after.inputs)
        assert before.targets.equal(after.targets)
    assert len(many.test) == len(few.test) + 50
    assert many.test.inputs[:500].equal(few.test.inputs)


def test_rows_that_were_not_run_are_named() -> None:
    done = {name: [kept("equal", "", 0)] for name in planted.ROWS}
    assert "Not run yet" not in planted.page(done)
    assert "Not run yet: ceiling." in planted.page(done | {"ceiling": []})


def test_a_data_set_of_the_lab_is_parted_otherwise_each_time(tmp_path: Path) -> None:
    first, again, other = (planted.resolved(planted.ROWS["emoji quick"], n, str(tmp_path)) for n in (1, 1, 2))
    assert (first.plan.quick, first.plan.seeds, first.plan.trials) == (True, (3, 3), 1)
    assert first.data.train.targets.equal(again.data.train.targets)
    assert not first.data.train.inputs.equal(other.data.train.inputs)


def test_a_data_set_is_drawn_compared_and_judged_and_judged_again(tmp_path: Path) -> None:
    first, again = tmp_path / "first.json", tmp_path / "again.json"
    for file in (first, again):
        planted.work(["same loss twice"], 1, float("inf"), file, tmp_path / "runs")
    (study,) = json.loads(first.read_text())["same loss twice"]
    assert study["pairs"] == [["again", "cross_entropy", "equal", ""]]
    assert study["means"]["again"] == study["means"]["cross_entropy"]
    runs = list(tmp_path.glob("runs/same-loss-twice/0/records/*"))
    assert json.loads(again.read_text()) == json.loads(first.read_text())
    assert runs
    assert all(run.stat().st_mtime <= first.stat().st_mtime for run in runs)  # none was made again


def test_the_page_is_of_the_stored_studies() -> None:
    stored = Path(planted.__file__).with_suffix(".json")
    assert planted.page(json.loads(stored.read_text())) == planted.DOCS.read_text()

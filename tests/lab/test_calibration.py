"""The calibration by metrics: what it counts, that it goes on where it was, and that its page is of its counts."""

import json
from pathlib import Path

import calibrate_metrics as calibration
import calibration_worlds as worlds
import numpy as np
import pytest
from calibration_worlds import Study as Spreads
from simulated_judge import Study

from lossary.lab.tasks import TASKS


def drawn(gap: float) -> Study:
    """Nine losses, of which the last is ``gap`` ahead: 5 seeds, 100 units."""
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((9, 5, 100)) / 100
    scores[-1] += gap
    return Study(scores)


def test_each_task_has_its_cells() -> None:
    assert {kind.world.kind for kind in calibration.KINDS.values()} == set(TASKS)


def test_what_an_erratic_loss_scores_has_a_mean() -> None:
    study = Spreads(seeds=4000, erratic=5)
    scores = worlds.values(50).units(np.random.default_rng(0), study, "r2")["r2"][0].mean(axis=2)[0]
    squares = (scores - scores.mean()) ** 2
    assert squares.max() < 0.05 * squares.sum()  # a sixth where the noise was divided by the skill


def test_studies_that_are_judged_at_once_are_judged_as_each_alone() -> None:
    rng = np.random.default_rng(0)
    scores = (
        rng.standard_normal((3, 4, 5, 30))
        + np.array([0.0, 0.2, 2.0])[:, None, None, None] * np.arange(4)[:, None, None]
    )
    many = Study(scores, np.array([0, 20, 10])).judged(range(4), (2, 3, 5), 0.3)
    assert many[5].better.any()
    assert not many[5].better.all()
    for place, independent in enumerate((0, 20, 10)):
        for seeds, found in Study(scores[place], independent).judged(range(4), (2, 3, 5), 0.3).items():
            np.testing.assert_array_equal(many[seeds].better[place], found.better)
            np.testing.assert_array_equal(many[seeds].equal[place], found.equal)


def test_a_loss_that_is_ahead_by_more_than_the_margin_is_found_and_never_called_equal() -> None:
    counts = calibration.judged(drawn(gap=0.1), (2, 5), gap=0.1)
    assert counts["differ 8"] == [0, 0]
    assert [counts[f"beaten {losses}"] for losses in (2, 4, 8)] == [[0, 1], [0, 3], [0, 7]]
    assert counts["equal 8"] == [0, 0]


def test_what_is_called_equal_at_the_margin_and_told_apart_when_equal_is_counted_once_a_study() -> None:
    assert calibration.judged(drawn(gap=0.0), (5,), gap=0.1)["equal 8"] == [1]
    scores = np.random.default_rng(0).standard_normal((9, 5, 100)) / 100 + np.arange(9)[:, None, None]
    assert calibration.judged(Study(scores), (5,), gap=0.1)["differ 4"] == [1]


def test_studies_go_on_where_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "PILOT", 2)
    monkeypatch.setattr(calibration, "CHUNK", 2)
    cells, until = ["segmentation, normal"], float("inf")
    calibration.work(cells, 4, until, tmp_path / "once.json")
    for studies in (2, 2, 4):
        calibration.work(cells, studies, until, tmp_path / "twice.json")
    once, twice = (json.loads((tmp_path / name).read_text()) for name in ("once.json", "twice.json"))
    assert once == twice
    assert once[cells[0]]["studies"] == 4
    assert "Mean IoU" in calibration.page(once)


def test_the_page_is_of_the_stored_counts() -> None:
    stored = Path(calibration.__file__).with_suffix(".json")
    assert calibration.page(json.loads(stored.read_text())) == calibration.DOCS.read_text()

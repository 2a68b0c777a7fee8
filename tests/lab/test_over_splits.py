"""Several splits of the same data: each a comparison of its own, and one verdict over all."""

import json
from math import inf
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lossary.cli import main
from lossary.lab.data.contents import BadData
from lossary.lab.data.loading import load
from lossary.lab.run import jobs
from lossary.lab.run.plan import Plan
from lossary.lab.stats.over_splits import Sizes, over_splits
from lossary.lab.stats.verdict import Standing, Verdict
from lossary.lab.tasks.measures import Metric

ACCURACY = Metric("accuracy", "Accuracy", True, True)
SIZES = Sizes(600, 250)


def verdict(scores: dict[str, float], asleep: dict[str, str] | None = None, rising: str = "") -> Verdict:
    """Of one split."""
    standings = tuple(
        Standing(name, "tuned", score, score, score, 3, seconds=place + 1.0, to_come=inf if name == rising else 0.0)
        for place, (name, score) in enumerate(scores.items())
    )
    asleep = asleep or {}
    return Verdict(ACCURACY, 0.01, standings, (), (), (), "", "", "", asleep, settled=True, next_look=None)


def splits(**losses: float) -> list[dict[str, float]]:
    """Five splits that are easier or harder for all losses alike, and differ by a little for each."""
    rng = np.random.default_rng(0)
    return [
        {name: mean + easier + 0.001 * rng.standard_normal() for name, mean in losses.items()}
        for easier in (0.0, 0.03, -0.02, 0.01, -0.03)
    ]


def test_what_every_split_shows_is_claimed_however_much_they_differ() -> None:
    found = over_splits([verdict(one) for one in splits(a=0.8, b=0.8, c=0.75)], SIZES)
    assert [found.of("a", "c").status, found.of("b", "c").status, found.of("a", "b").status] == [
        "better",
        "better",
        "equal",
    ]
    assert found.recommended == "a"  # the cheaper of the two equals
    assert 0.045 < found.of("a", "c").low < 0.05 < found.of("a", "c").high < 0.055
    single = over_splits([verdict(one) for one in splits(a=0.8, c=0.75)[:1]], SIZES)
    assert single.of("a", "c").status == "undecided"


def test_splits_that_disagree_claim_nothing_and_say_what_would_help() -> None:
    found = over_splits([verdict({"a": 0.8 + d, "b": 0.8 - d}) for d in (0.02, -0.01, 0.03, -0.02)], SIZES)
    assert found.of("a", "b").status == "undecided"
    assert found.headline == "a scores best, but cannot be told from b."
    assert found.of("a", "b").lacks == "splits"


def test_nothing_is_claimed_of_what_has_not_learned_or_still_rose() -> None:
    told = splits(a=0.8, b=0.7, c=0.6)
    found = over_splits(
        [verdict(told[0], {"c": "below raw pixels"}), *(verdict(one, rising="b") for one in told)], SIZES
    )
    assert {c.b for c in found.comparisons} == {"b"}
    assert found.of("a", "b").lacks == "steps"
    assert "c has not learned yet" in found.headline


def test_verdicts_of_different_metrics_are_refused() -> None:
    with pytest.raises(ValueError, match="by one metric"):
        over_splits([], SIZES)


def test_each_number_is_another_split_of_the_same_rows() -> None:
    tests = [load(Plan("digits", resplit=number)).test for number in (0, 0, 1, 2)]
    same, other = (tests[0].inputs.equal(tests[place].inputs) for place in (1, 2))
    assert same
    assert not other
    assert not tests[2].inputs.equal(tests[3].inputs)
    assert len({len(test) for test in tests}) == 1


def table(where: Path) -> Path:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((240, 2))
    part = np.where(np.arange(240) < 180, "train", "test")
    columns = {"a": x[:, 0], "b": x[:, 1], "part": part, "y": x[:, 0] + 0.3 * rng.standard_normal(240)}
    pl.DataFrame(columns).write_csv(where / "t.csv")
    return where / "t.csv"


def test_data_with_a_split_of_their_own_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path)
    asked = Plan(str(path), target="y", split="part", resplit=1)  # only what tunes is drawn there
    with pytest.raises(BadData, match="wanted data without a split"):
        load(asked)
    with pytest.raises(SystemExit):
        main(
            ["compare", str(path), "--target", "y", "--split", "part", "--splits", "3", "--out", str(tmp_path / "run")]
        )
    assert "splits: wanted data without a split" in capsys.readouterr().err


def test_the_command_judges_all_splits_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jobs, "run", jobs.run_here)
    path, out = table(tmp_path), tmp_path / "run"
    budget = ["--seeds", "3", "--trials", "1", "--steps", "20", "--types", "part=skip", "--losses", "mse_loss,l1_loss"]
    command = ["compare", str(path), "--target", "y", *budget, "--out", str(out)]
    main([*command, "--splits", "2"])
    assert "What all splits say" in (out / "report.html").read_text()
    first = (out / "split-1/records").stat().st_mtime_ns
    capsys.readouterr()
    main([*command, "--splits", "3"])
    assert "split 3 of 3" in capsys.readouterr().out
    assert (out / "split-1/records").stat().st_mtime_ns == first  # not trained again
    assert [json.loads((out / f"split-{n}/plan.json").read_text())["resplit"] for n in (1, 2, 3)] == [1, 2, 3]
    main(["report", str(out)])
    assert (out / "report.html").read_text().count("split-3")
    for refused in ([*command, "--splits", "0"], [*command, "--splits", "3", "--resume"]):
        with pytest.raises(SystemExit) as stopped:
            main(refused)
        assert stopped.value.code == 2
    (tmp_path / "single").mkdir()
    (tmp_path / "single/plan.json").write_text("{}")
    with pytest.raises(SystemExit):
        main([*command[:-1], str(tmp_path / "single"), "--splits", "3"])
    assert "holds the run of a single split" in capsys.readouterr().err

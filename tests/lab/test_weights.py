"""`--weight COLUMN`: rows that count more than others, for losses and for what they are judged by."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from lossary.cli import main
from lossary.functional import mse_loss
from lossary.lab.data.loading import load
from lossary.lab.run import jobs
from lossary.lab.run.entrants import entrants
from lossary.lab.run.measured import measures, watched_score
from lossary.lab.run.plan import Plan
from lossary.lab.run.record import load_all
from lossary.lab.run.train import Trainer, loss_of
from lossary.lab.tasks import TaskName, measures_of
from lossary.lab.tasks.measures import Units, units_by, weighted

ROWS = 200
BUDGET = ("--seeds", "2", "--trials", "1", "--steps", "8", "--out", "run")


@pytest.fixture(autouse=True)
def survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    """People asked, each of whom stands for many more."""
    rng = np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "run", jobs.run_here)
    age = rng.integers(18, 80, ROWS)
    table = pl.DataFrame(
        {
            "age": age,
            "income": 20 + age * 0.5 + rng.normal(0, 5, ROWS),
            "votes": np.where(rng.random(ROWS) < age / 100, "yes", "no"),
            "party": rng.choice(["a", "b", "c"], ROWS),
            "stands_for": rng.choice([0.0, 1.0, 2.0, 40.0], ROWS),
            "note": ["n"] * ROWS,
        }
    )
    table.write_csv("survey.csv")
    return table


def test_rows_count_as_much_as_the_column_says() -> None:
    main(["compare", "survey.csv", "--target", "income", "--weight", "stands_for", *BUDGET])
    data = load(Plan("survey.csv", target="income", weight="stands_for"))
    assert data.test.weights is not None
    weights = data.test.weights.numpy()
    assert set(weights) <= {0, 1, 2, 40}
    assert data.train.inputs[torch.arange(2)].shape[1] == 6  # age, votes, party
    with np.load("run/arrays/test.npz") as test:
        targets = test["targets"]
    for record in load_all(Path("run")):
        assert np.mean(record.units) == pytest.approx(record.metrics["mae"])
        assert record.independent == int(weights.sum() ** 2 / (weights**2).sum()) < len(weights) / 2
        if record.card:
            with np.load(f"run/arrays/{record.arrays}") as kept:
                off = np.abs(kept["predictions"] - targets)
            assert record.metrics["mae"] == pytest.approx(np.average(off, weights=weights), rel=1e-4)
    assert "--weight stands_for" in Path("run/report.html").read_text()


def test_weights_reach_the_loss_and_what_training_watches() -> None:
    plan = Plan("survey.csv", target="income", weight="stands_for", device="cpu")
    data = load(plan)
    trainer = Trainer(entrants(("mse_loss",), "regression")["mse_loss"], {}, data, plan, seed=1)
    batch = torch.arange(20)
    assert data.train.weights is not None
    outputs = trainer.learner.network(data.train.inputs[batch])[:, 0]
    wanted = mse_loss(outputs, data.train.targets[batch], sample_weight=data.train.weights[batch])
    torch.testing.assert_close(loss_of(trainer.learner, data, batch, torch.Generator(), "float32"), wanted)
    off = np.arange(len(data.valid), dtype=float)
    found = {"predictions": off, "targets": 0 * off}
    (mae,) = measures(("mae",), data)
    assert data.valid.weights is not None
    assert watched_score(mae, data, found, data.valid.weights) == pytest.approx(
        np.average(off, weights=data.valid.weights)
    )


@pytest.mark.parametrize("target", ["votes", "party"])
def test_classes_with_weights(target: str) -> None:
    task = ("--task", "binary") if target == "votes" else ()
    also = "average_precision" if target == "votes" else "macro_f1"
    said = ["survey.csv", "--target", target, "--weight", "stands_for", "--metric", f"log_loss,{also}", *task]
    main(["compare", *said, *BUDGET, "--types", "note=skip"])
    for record in load_all(Path("run")):
        assert np.mean(record.units) == pytest.approx(record.metrics["log_loss"])
        assert np.mean(record.also[also].units) == pytest.approx(record.metrics[also])


#: Of 80 samples in the form that each task's metrics take, with ties and with mistakes.
RANDOM = np.random.default_rng(0)
SHARES = RANDOM.dirichlet([1.0, 1.0, 1.0], 80).round(1) + 1e-3
ARRAYS: dict[TaskName, dict[str, np.ndarray]] = {
    "binary": {"probabilities": RANDOM.random(80).round(1), "labels": RANDOM.integers(0, 2, 80)},
    "classification": {
        "probabilities": SHARES / SHARES.sum(axis=1, keepdims=True),
        "labels": RANDOM.integers(0, 3, 80),
    },
    "regression": {"predictions": RANDOM.normal(size=80), "targets": RANDOM.normal(size=80)},
}
WEIGHED = [
    (task, metric.name)
    for task in ARRAYS
    for metric in measures_of(task).metrics
    if metric.name not in measures_of(task).alike
]


@pytest.mark.parametrize(("task", "metric"), WEIGHED)
def test_a_weight_of_two_is_a_row_twice_by_any_metric(task: TaskName, metric: str) -> None:
    weights = np.random.default_rng(1).integers(0, 4, 80)
    weights[np.argsort(next(iter(ARRAYS[task].values())).reshape(80, -1)[:, 0])[-3:]] = 0  # what scores highest, too
    measures, again = measures_of(task), np.repeat(np.arange(80), weights)
    found = measures.pseudo_values[metric](measures.read(**ARRAYS[task], weights=0.3 * weights))
    repeated = {name: values[again] for name, values in ARRAYS[task].items()}
    wanted = units_by(measures.pseudo_values[metric](measures.read(**repeated)), again).values
    score = wanted.mean()
    assert found.values.mean() == pytest.approx(score)
    there = weights > 0
    assert found.values[~there] == pytest.approx(score)  # nothing would be another without them
    assert (found.values[there] - score) / 80 == pytest.approx((wanted - score) / there.sum())
    assert not (found.draws & ~there).any() or found.draws.all()


def test_a_weight_of_two_is_a_row_twice() -> None:
    scores = np.array([0.2, 0.9, 0.4])
    assert weighted(Units.of(scores), [1, 2, 1]).values.mean() == pytest.approx(np.mean([0.2, 0.9, 0.9, 0.4]))
    assert weighted(Units.of(scores), [3, 3, 3]).values == pytest.approx(scores)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            "--target income --weight age --metric median_ae",
            "weight: wanted metrics in which rows can count more (mae, rmse, r2); got median_ae",
        ),
        ("--target income --weight party", "survey.csv, party, line 2: wanted a weight of 0 or more; got"),
        ("--target age --weight income --lists party", "weight: wanted none for a ranking; got 'income'"),
        (
            "--target income --weight age --losses mine.py:off",
            "weight: wanted losses that take sample_weight; off does",
        ),
        ("--target party --weight none", "wanted one of its other columns as weight"),
    ],
)
def test_what_cannot_be_weighted(arguments: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text("def off(predictions, targets):\n    return (predictions - targets) ** 2\n")
    with pytest.raises(SystemExit) as ended:
        main(["compare", "survey.csv", *arguments.split(), *BUDGET])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err

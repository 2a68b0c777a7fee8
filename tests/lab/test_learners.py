"""Learners that are no networks: as strong as scikit-learn's, in seconds, and no bar for a loss."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from lossary.cli import main
from lossary.lab.data.types import Data, TensorSplit
from lossary.lab.run import jobs
from lossary.lab.run.record import load_all
from lossary.lab.tasks import TaskName, _learners, measures_of, task_of
from lossary.lab.tasks._learners import BOOSTING, LINEAR, NEIGHBOURS
from lossary.lab.tasks.scoring import evaluate


def drawn(task: TaskName, shape: tuple[int, ...] = (6,), items: int = 400) -> Data:
    """Items whose first numbers tell the target."""
    random = torch.Generator().manual_seed(0)

    def part(count: int) -> TensorSplit:
        first = torch.randn(count, shape[0], generator=random)
        inputs = first
        if len(shape) == 3:  # a colour and some noise
            inputs = first[..., None, None] + 0.3 * torch.randn(count, *shape, generator=random)
        targets = {
            "regression": first[:, 0] + 0.3 * first[:, 1],
            "binary": (first[:, 0] > 0.7).long(),
            "classification": torch.bucketize(first[:, 0].contiguous(), torch.tensor([-0.7, 0.7])),
            "multi-label": first[:, :3] > 0.5,
        }[task]
        return TensorSplit(inputs, targets)

    return Data("drawn", task, part(items), part(50), part(200))


TASKS: tuple[TaskName, ...] = ("regression", "binary", "classification", "multi-label")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("shape", [(6,), (3, 8, 8)], ids=["rows", "images"])
def test_each_learner_beats_what_has_not_learned(task: TaskName, shape: tuple[int, ...]) -> None:
    data, metric = drawn(task, shape), measures_of(task).metrics[0]
    names = [name for name, _ in task_of(task).baselines(data, 3)]
    sign = 1 if metric.higher_is_better else -1
    scores: dict[str, float] = {}
    for name in names:
        predicted = task_of(task).baseline(name, data, 0)
        assert (predicted == task_of(task).baseline(name, data, 0)).all()
        scores[name] = sign * evaluate(task, **task_of(task).arrays(predicted, data.test, data)).metrics[metric.name]
    learners = [BOOSTING, LINEAR, NEIGHBOURS] if len(shape) == 1 else [LINEAR, NEIGHBOURS]
    assert [name for name in names if name in task_of(task).fitted] == learners
    free = max(score for name, score in scores.items() if name not in learners)
    assert min(scores[name] for name in learners) > free + 0.1 * abs(free)


def test_of_many_rows_some_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    data, seen = drawn("classification"), list[int]()
    some = _learners._some

    def watched(train: TensorSplit, name: str, each: int) -> torch.Tensor:
        found = some(train, name, each)
        seen.append(len(found))
        return found

    monkeypatch.setattr(_learners, "_some", watched)
    monkeypatch.setattr(_learners, "SEEN", {BOOSTING: 1800.0, LINEAR: 3600.0, NEIGHBOURS: 120_000.0})
    for name in (BOOSTING, LINEAR, NEIGHBOURS):
        task_of("classification").baseline(name, data, 0)
    assert seen == [100, 200, 100]


def test_a_class_that_the_seen_rows_lack_has_no_chance() -> None:
    data = drawn("classification", items=60)
    data.train.targets[data.train.targets == 2] = 1
    data.train.targets[0] = 2
    for name in (BOOSTING, LINEAR, NEIGHBOURS):
        found = task_of("classification").baseline(name, data, 0)
        assert found.shape == (200, 3)
        np.testing.assert_allclose(found.sum(1), 1)


def test_ids_and_sequences_are_no_rows_of_numbers() -> None:
    data = drawn("classification")
    for inputs in (data.test.inputs.long(), data.test.inputs[..., None]):
        other = Data("other", "classification", data.train, data.valid, TensorSplit(inputs, data.test.targets))
        assert len([*task_of("classification").baselines(other, 3)]) == 1


def test_a_verdict_says_that_no_loss_beats_boosting_and_the_losses_are_compared_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "run", jobs.run_here)
    random = np.random.default_rng(0)
    x = random.uniform(-3, 3, (400, 6))
    pl.DataFrame(
        {**{f"x{i}": x[:, i] for i in range(6)}, "y": np.sign(x[:, 0]) * np.floor(3 * np.abs(x[:, 1])) + 0.5}
    ).write_csv("t.csv")
    main(["compare", "t.csv", "--losses", "mse_loss,l1_loss", "--seeds", "3", "--trials", "1", "--steps", "60"])
    told = " ".join(capsys.readouterr().out.split())
    assert re.search(r"No loss scores better than [^.;]*gradient boosting", told)
    records = load_all(Path("lossary-runs/t.csv"))
    assert {r.loss: r.fitted for r in records if r.role == "baseline"} == {
        "always the mean": False, "always the median": False, BOOSTING: True, LINEAR: True, NEIGHBOURS: True
    }  # fmt: skip
    assert "has not learned" not in told

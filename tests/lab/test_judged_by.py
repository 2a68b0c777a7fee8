"""`--metric`: the first decides, the others are judged beside it, and where they disagree that is said."""

import json
from pathlib import Path

import numpy as np
import pytest

from lossary.cli import main
from lossary.lab.comparison import Refused, resolved
from lossary.lab.data.readers.code import from_code
from lossary.lab.report.evidence import load
from lossary.lab.run import jobs
from lossary.lab.run.plan import Plan
from lossary.lab.run.record import Judged, Record, load_all
from lossary.lab.stats.judge import judge
from lossary.lab.stats.words import disagreements
from lossary.lab.tasks.scoring import metric_of

BUDGET = ("--losses", "cross_entropy,focal_loss", "--seeds", "3", "--trials", "1", "--steps", "40")
PROFIT = """
def profit(predictions, targets):
    right = predictions.argmax(1) == targets
    return right * 5.0 - 1
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "run", jobs.run_here)
    Path("profit.py").write_text(PROFIT)


def refused(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["compare", *arguments, "--out", "run"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_the_first_metric_decides_and_the_others_are_judged_too(capsys: pytest.CaptureFixture[str]) -> None:
    main(["compare", "digits", "--metric", "log_loss,accuracy", *BUDGET, "--out", "run"])
    told = " ".join(capsys.readouterr().out.split())
    assert "Log loss" in told
    assert "By Accuracy: " in told
    for record in load_all(Path("run")):
        assert np.mean(record.units) == pytest.approx(record.metrics["log_loss"])
        assert np.mean(record.also["accuracy"].units) == pytest.approx(record.metrics["accuracy"])
        assert np.mean(record.by("accuracy").units) == pytest.approx(record.metrics["accuracy"])
        if record.curve:  # watched by it: the log loss of ten classes that one knows nothing of
            assert record.curve[0].valid == pytest.approx(np.log(10), rel=0.3)
    evidence = load(Path("run"))
    assert evidence.metric.name == "log_loss"
    assert [verdict.metric.name for verdict in evidence.further] == ["accuracy"]
    report = Path("run/report.html").read_text()
    assert "By other metrics" in report
    assert "--metric log_loss,accuracy" in report


def test_a_metric_of_one_s_own_file(capsys: pytest.CaptureFixture[str]) -> None:
    main(["compare", "digits", "--metric", "profit.py:profit,accuracy", *BUDGET, "--out", "run"])
    assert "profit" in capsys.readouterr().out
    for record in load_all(Path("run")):
        assert record.metrics["profit"] == pytest.approx(5 * record.metrics["accuracy"] - 1)
        assert np.mean(record.units) == pytest.approx(record.metrics["profit"])
    plan = json.loads(Path("run/plan.json").read_text())
    assert plan["metric"] == ["profit.py:profit", "accuracy"]
    main(["compare", "--resume", "--metric", "profit.py:profit", "--out", "run"])
    Path("profit.py").write_text(PROFIT + "\n")
    said = refused("digits", "--metric", "profit.py:profit,accuracy", *BUDGET, capsys=capsys)
    assert "holds a run of another plan (code: " in said


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("f1", "metric: wanted FILE.py:NAME or one of accuracy, log_loss, ece, balanced_accuracy, macro_f1; got 'f1'"),
        ("accuracy,accuracy", "metric: wanted different ones; got accuracy, accuracy"),
        ("profit.py:loss", "profit.py: wanted a function loss; got none"),
        ("none.py:profit", "none.py: wanted a file to read; got No such file or directory"),
        (
            "odd.py:odd",
            "odd.py:odd: wanted a finite score for each of 449 items; got metric: wanted one a sample, shape (449,)",
        ),
        ("odd.py:accuracy", "metric: wanted a function that is not called as one of classification's; got accuracy"),
    ],
)
def test_what_cannot_be_judged_by(metric: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("odd.py").write_text(
        "def odd(predictions, targets):\n    return predictions[targets > 0][targets]\ndef accuracy(p, t): ..."
    )
    assert said in refused("digits", "--metric", metric, *BUDGET, capsys=capsys)
    assert not Path("run").exists()


def test_a_stranger_s_folder_runs_no_metric_that_nobody_named(capsys: pytest.CaptureFixture[str]) -> None:
    main(["compare", "digits", "--metric", "profit.py:profit", *BUDGET, "--out", "run"])
    Path("profit.py").write_text("open('ran', 'w').close()\n" + PROFIT)
    said = refused("--resume", capsys=capsys)
    assert "has a metric of profit.py; name it with --metric to run it" in said
    main(["export", "run"])
    assert not Path("ran").exists()


def test_code_may_bring_a_metric_and_others_may_be_named() -> None:
    def profit(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return (predictions.argmax(1) == targets) * 1.0

    import torch

    inputs, labels = torch.randn(60, 4), torch.arange(60) % 3
    data = from_code("mine", lambda: torch.nn.Linear(4, 8), torch.utils.data.TensorDataset(inputs, labels), profit)
    assert resolved(Plan("mine", out="run"), data).plan.metric == ("profit",)
    asked = Plan("mine", metric=("log_loss", "profit"), out="run")
    assert resolved(asked, data).plan.metric == ("log_loss", "profit")
    with pytest.raises(Refused, match=r"wanted FILE\.py:NAME or one of accuracy, .*, profit; got 'gain'"):
        resolved(Plan("mine", metric=("gain",), out="run"), data)


def test_where_metrics_disagree_both_are_said() -> None:
    rng = np.random.default_rng(0)
    items = rng.normal(size=200)

    def run(loss: str, seed: int, right: float, surprise: float) -> Record:
        accuracy = right + 0.02 * items + rng.normal(0, 0.01, 200)
        log_loss = surprise + 0.02 * items + rng.normal(0, 0.01, 200)
        metrics = {"accuracy": float(accuracy.mean()), "log_loss": float(log_loss.mean())}
        also = {"log_loss": Judged(log_loss.tolist(), 200)}
        return Record(loss, loss, "tuned", seed, {}, metrics, accuracy.tolist(), also=also, independent=200)

    records = [run("sharp", s, 0.9, 0.8) for s in (1, 2, 3)] + [run("soft", s, 0.8, 0.5) for s in (1, 2, 3)]
    first = judge(records, metric_of("classification", "accuracy"))
    other = judge([r.by("log_loss") for r in records], metric_of("classification", "log_loss"))
    assert first.standings[0].loss == "sharp"
    assert other.standings[0].loss == "soft"
    (said,) = disagreements(first, [other])
    assert said.startswith("Metrics disagree: by Accuracy sharp beats soft by ")
    assert ", by Log loss soft beats sharp by 0." in said
    assert disagreements(first, [first]) == []

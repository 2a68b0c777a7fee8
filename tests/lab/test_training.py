"""How networks are trained where it is asked for: optimizer, schedule, batch, device, precision."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from benchmarks.meter import counter
from benchmarks.meter.costs import Cost
from benchmarks.meter.counter import Meter, counting
from torch import nn

from lossary.cli import main
from lossary.lab.comparison import Refused, resolved
from lossary.lab.data.loading import load
from lossary.lab.data.types import Data, Split
from lossary.lab.run import devices, jobs, study
from lossary.lab.run.entrants import Entrant, entrants
from lossary.lab.run.options import Precision
from lossary.lab.run.plan import Plan
from lossary.lab.run.record import load_all
from lossary.lab.run.storage import Storage
from lossary.lab.run.train import Trainer, train
from lossary.lab.tasks import task_of
from usual import some

OWN = ("--optimizer", "sgd", "--schedule", "cosine", "--batch", "64", "--weight-decay", "0", "--precision", "bf16")
DIGITS = Plan("digits", device="cpu", steps=40)
#: A data set of each task that the package carries or scikit-learn has.
DATA = ("digits", "diabetes", "emoji", "chatterbot", "keywords")


def entered(loss: str, data: Data) -> Entrant:
    return entrants((loss,), data.task)[loss]


def trainer(plan: Plan, loss: str = "cross_entropy") -> Trainer:
    data = load(plan)
    return Trainer(entered(loss, data), {}, data, plan, seed=1)


def test_all_of_them_are_asked_for_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "run", jobs.run_here)
    budget = ("--losses", "cross_entropy", "--seeds", "2", "--trials", "2", "--steps", "30", "--device", "cpu")
    main(["compare", "digits", *OWN, *budget, "--out", str(tmp_path)])
    assert {record.steps for record in load_all(tmp_path) if record.card} == {30}
    assert [trial.params["lr"] for trial in study.trials(Storage(tmp_path))] == pytest.approx([0.01, 0.03])
    report = (tmp_path / "report.html").read_text()
    for said in ("--optimizer sgd", "--schedule cosine", "--batch 64", "--weight-decay 0.0", "--precision bf16"):
        assert said in report


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"batch": 10}, "batch: wanted 24 to 1078 items; got 10"),
        ({"batch": 5000}, "batch: wanted 24 to 1078 items; got 5000"),
        ({"weight_decay": -1.0}, "weight_decay: wanted at least 0; got -1.0"),
        ({"schedule": "linear"}, "schedule: wanted one of constant, cosine, one-cycle, step; got 'linear'"),
        ({"device": "cuda"}, "device: wanted auto or one that is here (cpu); got 'cuda'"),
        ({"device": "cpu:1"}, "device: wanted auto or one that is here (cpu); got 'cpu:1'"),
    ],
)
def test_what_cannot_be_trained_so(asked: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with pytest.raises(Refused) as refused:
        resolved(replace(Plan("digits"), **asked))
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", (2e-3, 2e-3, 2e-3)),
        ("cosine", (2e-3, 1e-3, 0)),
        ("step", (2e-3, 2e-4, 2e-5)),
        ("one-cycle", (8e-5, 1.6e-3, 6.3e-6)),
    ],
)
def test_a_schedule_changes_the_learning_rate_from_step_to_step(
    schedule: Any, rates: tuple[float, float, float]
) -> None:
    made = trainer(replace(DIGITS, schedule=schedule))
    found: list[float] = []
    for _ in range(40):
        found.append(made.optimizer.param_groups[0]["lr"])
        made.step()
    after = made.optimizer.param_groups[0]["lr"]
    assert (found[0], found[20], after) == pytest.approx(rates, rel=0.05, abs=1e-6)


def test_under_a_schedule_a_run_goes_to_its_bound_and_does_not_rise_on() -> None:
    data = load(DIGITS)
    plan = replace(DIGITS, schedule="cosine", steps=120)
    outcome = train(entered("cross_entropy", data), {}, data, plan, seed=1)
    assert outcome.steps == 120
    assert outcome.best > 0.9
    assert not outcome.still_rising


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", DATA)
def test_networks_multiply_in_half_and_keep_their_weights(name: str, precision: Precision) -> None:
    plan = Plan(name, device="cpu", precision=precision, steps=3)
    data = load(plan)
    for loss in some(task_of(data.task).losses, 10, (name, precision)):
        made = Trainer(entered(loss, data), {}, data, plan, seed=1)
        seen: set[torch.dtype] = set()
        for module in made.learner.network.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                module.register_forward_hook(lambda *call, seen=seen: seen.add(call[-1].dtype))
        assert all(made.step() < float("inf") for _ in range(3))
        assert seen == {devices.HALVES[precision]}
        assert {parameter.dtype for parameter in made.learner.parameters()} == {torch.float32}
        assert made.learner.predict(data.valid.inputs[:4]).dtype == "float32"


def test_auto_is_the_accelerator_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert devices.chosen("auto") == "cpu"
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: SimpleNamespace(type="cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert [devices.chosen(name) for name in ("auto", "cuda", "cuda:1", "cpu")] == ["cuda", "cuda", "cuda:1", "cpu"]
    for name in ("cuda:2", "mps", "cuda:x", "", "gpu"):
        with pytest.raises(LookupError, match=r"wanted auto or one that is here \(cpu, cuda\)"):
            devices.chosen(name)


@pytest.mark.parametrize("name", DATA)
def test_network_loss_and_data_are_all_moved(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the device that has no numbers: what lies elsewhere cannot be reckoned with."""
    monkeypatch.setattr("lossary.lab.run.train.chosen", lambda _: "meta")
    plan = Plan(name)
    data = load(plan)
    for loss in task_of(data.task).losses:
        monkeypatch.setattr(counter, "cost", lambda *_, **__: Cost("", 0, 0, 0, "int"))  # nothing is to be counted
        with counting(Meter()):
            made = Trainer(entered(loss, data), {}, data, plan, seed=1)
            made.step()
        moved = (*made.learner.parameters(), *made.learner.buffers(), made.data.train.targets, made.data.valid.inputs)
        assert {tensor.device.type for tensor in moved} == {"meta"}
        assert data.train.targets.device.type == "cpu"


def test_inputs_that_are_read_anew_are_moved_a_batch_at_a_time() -> None:
    class Counted:
        asked = 0

        def __getitem__(self, batch: torch.Tensor) -> torch.Tensor:
            self.asked += 1
            return torch.zeros(len(batch), 3)

    inputs, digits = Counted(), load(DIGITS)
    here = devices.placed(replace(digits, train=Split(inputs, digits.train.targets)), torch.device("meta"))
    assert inputs.asked == 0
    assert here.train.inputs[torch.arange(5)].device.type == "meta"
    assert inputs.asked == 1

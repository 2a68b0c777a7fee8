"""Options, sums and losses of one's own are trained as they are written, and no stranger's code runs."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from lossary.cli import main
from lossary.lab.data.contents import BadData
from lossary.lab.run import jobs
from lossary.lab.run.entrants import entrants
from lossary.lab.run.record import load_all

OWN = """
import torch
from torch.nn import functional as F

class Softened(torch.nn.Module):
    def __init__(self, temperature=2.0):
        super().__init__()
        self.temperature = temperature

    def forward(self, logits, labels):
        return F.cross_entropy(logits / self.temperature, labels)

def squared(logits, labels, *, power=2):
    return (logits.softmax(1) - F.one_hot(labels, logits.shape[1])).abs().pow(power).sum(1)

number = 3

def unbound(logits, labels):
    return logit.mean()

def counted(logits, labels):
    return (logits.argmax(1) != labels).sum()

def detached(logits, labels):
    return F.cross_entropy(logits.detach(), labels)
"""
BUDGET = ("--steps", "20", "--seeds", "1", "--trials", "1", "--workers", "1")


@pytest.fixture(autouse=True)
def losses_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("losses.py").write_text(OWN)
    return Path("losses.py")


def test_options_sums_and_own_losses_are_trained(capsys: pytest.CaptureFixture[str]) -> None:
    losses = "focal_loss(gamma=1), cross_entropy + 0.01*center_loss, mine=losses.py:Softened(temperature=1.5), "
    losses += "losses.py:squared"
    main(["compare", "digits", "--losses", losses, *BUDGET, "--out", "run"])
    records = {r.loss: r for r in load_all(Path("run")) if r.role == "tuned"}
    assert list(records) == sorted(
        ["cross_entropy + 0.01*center_loss", "focal_loss(gamma=1)", "losses.py:squared", "mine"]
    )
    assert records["mine"].card == "losses.py:Softened(temperature=1.5)"
    assert "gamma" not in records["focal_loss(gamma=1)"].params
    assert all(r.metrics["accuracy"] > 0.12 for r in records.values())
    assert "mine" in capsys.readouterr().out


def test_a_sum_makes_class_scores_once_and_weighs_its_terms() -> None:
    (entrant,) = entrants(("cross_entropy + 0.5*focal_loss(gamma=1)",), "classification").values()
    criterion = entrant.attach({}, "classification", 4, 3)
    assert len(list(criterion.parameters())) == 2  # one linear layer
    outputs, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    criteria: Any = criterion.criteria
    logits = criteria[0].linear(outputs)
    wanted = [c.loss(logits, labels) for c in criteria]
    torch.testing.assert_close(criterion(outputs, labels), wanted[0] + 0.5 * wanted[1])


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ("focal_loss(gama=1)", "losses: focal_loss has the options .*gamma.*; got gama"),
        ("center_loss", "losses: center_loss alone .*; with another loss it does: cross_entropy + 0.01*center_loss"),
        ("MyLoss", "losses: no loss is called 'MyLoss'.* One of your own is FILE.py:MyLoss"),
        ("cross_entropy + mse_loss", "losses: mse_loss does not fit digits (classification) beside another loss"),
        ("complete_iou_loss", "complete_iou_loss is a loss of boxes, for which the lab has no task .*; of digits"),
        ("cross_entropy + ssim_loss", "losses: ssim_loss is a loss of images, for which the lab has no task"),
        ("losses.py:number", "losses.py: wanted a class or a function number; got none"),
        ("none.py:Loss", "none.py: wanted a file to read; got No such file or directory"),
        ("cross_entropy, cross_entropy", "losses: wanted different names"),
        ("cross_entropy(", "losses: wanted NAME, NAME"),
        ("focal_loss(gamma=-1)", "losses: focal_loss(gamma=-1): gamma: wanted a finite number in [0, inf); got -1"),
        ("focal_loss(dim=7)", "losses: focal_loss(dim=7): dim: wanted a dimension of input, .*; got 7"),
        ("focal_loss(reduction='none')", "wanted one number for a batch; got the shape ("),
        ("losses.py:unbound", "losses.py:unbound: NameError: name 'logit' is not defined (losses.py, line 19)"),
        ("losses.py:counted", "wanted a floating-point tensor as the loss; got one of torch.int64"),
        ("losses.py:detached", "wanted a loss with a gradient; got one that does not depend on the network's outputs"),
    ],
)
def test_what_cannot_be_entered(losses: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compare", "digits", "--losses", losses, *BUDGET, "--out", "run"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert all(part in told for part in said.split(".*"))
    assert not Path("run").exists()  # which would refuse the command once it is mended


def test_a_stranger_s_folder_runs_no_loss_of_a_file_that_nobody_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jobs, "run", jobs.run_here)  # other processes would take seconds to start
    main(["compare", "digits", "--losses", "mine=losses.py:Softened", *BUDGET, "--out", "run"])
    Path("losses.py").write_text("open('ran', 'w').close()\n" + OWN)
    with pytest.raises(SystemExit):
        main(["compare", "--resume", "--out", "run"])
    assert "has losses of losses.py; name them with --losses to run them" in capsys.readouterr().err
    assert not Path("ran").exists()
    with pytest.raises(SystemExit):
        main(["compare", "digits", "--losses", "mine=losses.py:Softened", *BUDGET, "--out", "run"])
    assert "code: " in capsys.readouterr().err  # another plan: its losses are no longer what they were
    assert json.loads(Path("run/plan.json").read_text())["code"]


def test_a_function_without_labels_is_told_of_with_its_file() -> None:
    Path("broken.py").write_text("def loss(:\n")
    with pytest.raises(BadData, match=r"broken\.py, line 1: wanted code that runs"):
        entrants(("broken.py:loss",), "classification")


def test_an_edited_file_is_read_again() -> None:
    """As in a notebook, where one process compares, and the file is mended in between."""
    Path("mine.py").write_text("def loss(logits, labels, *, power=2): ...\n")
    assert entrants(("mine.py:loss",), "classification")["mine.py:loss"].parts[0].card.module.fields == {"power": 2}
    Path("mine.py").write_text("def loss(logits, labels, *, power=3): ...\n")
    assert entrants(("mine.py:loss",), "classification")["mine.py:loss"].parts[0].card.module.fields == {"power": 3}


def test_what_is_stopped_says_how_to_go_on_with_losses_of_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jobs, "run", jobs.run_here)  # other processes would take seconds to start
    losses = "mine=losses.py:Softened, cross_entropy"
    with monkeypatch.context() as stopped:
        stopped.setattr("lossary.lab.comparison.compare", _interrupted)
        with pytest.raises(SystemExit) as ended:
            main(["compare", "digits", "--losses", losses, *BUDGET, "--out", "my run"])
    assert ended.value.code == 130
    said = capsys.readouterr().err.partition("resume with: ")[2]
    main(shlex.split(said)[1:])
    assert {r.loss for r in load_all(Path("my run"))} >= {"mine", "cross_entropy"}


def _interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt

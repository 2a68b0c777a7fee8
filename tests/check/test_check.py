"""Anyone's loss held to the laws: faults are found and named on few numbers, and right losses pass."""

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lossary
import samples
from check.formulas import FORMULAS
from check.planted import PLANTED
from lossary._apart import asked
from lossary.catalogue import find
from lossary.cli import main
from lossary.core.card import Range
from lossary.testing import assert_lawful, check
from lossary.testing.checking import Report
from lossary.testing.forms import NotALoss
from lossary.testing.laws.anyone import ANYONE
from lossary.testing.laws.law import LAWS
from lossary.testing.meanings import ENTAILED, IN_FLOAT64, MEANINGS, TRANSFORMS
from lossary.testing.shrinking import MOST
from mutants.faults import MUTANTS
from usual import some

slow = pytest.mark.slow

RIGHT: tuple[Any, ...] = (
    F.mse_loss,
    F.huber_loss,
    F.cross_entropy,
    F.binary_cross_entropy_with_logits,
    F.triplet_margin_loss,
    nn.CrossEntropyLoss(label_smoothing=0.1),
    lossary.sigmoid_focal_loss,
    lossary.InfoNCELoss(),
    *(
        pytest.param(loss, marks=slow)
        for loss in some(
            (
                F.l1_loss,
                F.smooth_l1_loss,
                F.nll_loss,
                F.binary_cross_entropy,
                F.kl_div,
                F.poisson_nll_loss,
                F.gaussian_nll_loss,
                F.hinge_embedding_loss,
                F.margin_ranking_loss,
                F.cosine_embedding_loss,
                F.multilabel_soft_margin_loss,
                nn.MSELoss(),
                nn.BCEWithLogitsLoss(),
                nn.HuberLoss(),
                lossary.dice_loss,
                lossary.sigmoid_dice_loss,
                lossary.tversky_loss,
                lossary.lovasz_softmax_loss,
                lossary.focal_loss,
                lossary.supcon_loss,
                lossary.triplet_loss,
                lossary.arcface_loss,
                lossary.generalized_iou_loss,
            ),
            3,
            "right",
        )
    ),
)


@functools.cache
def planted(loss: Callable[..., Tensor]) -> Report:
    return check(loss)


@pytest.mark.parametrize("loss", PLANTED, ids=lambda loss: loss.__name__)
def test_faults_of_public_issues_are_found_and_named(loss: Callable[..., Tensor]) -> None:
    report = planted(loss)
    told = [v for v in report.broken if any(word in f"{v.title} {v.found}" for word in PLANTED[loss])]
    assert told, report
    for verdict in told:
        assert verdict.law == "float64_stays_float64" or 0 < verdict.numbers <= MOST, verdict
        assert verdict.means
        assert verdict.mend


@pytest.mark.parametrize("loss", RIGHT, ids=lambda loss: getattr(loss, "__name__", type(loss).__name__))
def test_right_losses_pass(loss: Callable[..., Tensor]) -> None:
    assert_lawful(loss)


def test_torchs_own_two_that_do_not() -> None:
    """Its soft margin overflows float32, and a NaN passes its multi-class margin."""
    assert {v.law for v in check(F.soft_margin_loss).broken} >= {"finite_at_placed_batches", "float32_is_near_float64"}
    assert [v.law for v in check(F.multi_margin_loss).broken] == ["nan_in_is_nan_out"]


# ---------------------------------------------------------------- every law is seen to fail


class HoldsALambda(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shape = lambda x: x

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return self.shape(input - target).square().mean()


def divides_by_one_less(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, reduction="sum") / (len(labels) - 1)


def stays_on_the_cpu(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.logsumexp(1).mean() - (logits * torch.eye(5)[labels]).sum(1).mean()


def naive(logits: Tensor, labels: Tensor) -> Tensor:
    return -torch.log(logits.exp() / logits.exp().sum(1, keepdim=True)).gather(1, labels[:, None]).mean()


def with_an_epsilon(logits: Tensor, labels: Tensor) -> Tensor:
    return -(logits.softmax(1).gather(1, labels[:, None]) + 1e-7).log().mean()


def clamped(logits: Tensor, targets: Tensor) -> Tensor:
    p = logits.sigmoid().clamp(1e-7, 1 - 1e-7)
    return -(targets * p.log() + (1 - targets) * (1 - p).log()).mean()


def bounded(logits: Tensor, labels: Tensor) -> Tensor:
    """On purpose, and so slowly that it looks like a logarithm for a while."""
    return lossary.generalized_cross_entropy_loss(logits, labels, q=0.16)


def asks_for_a_gradient(logits: Tensor, labels: Tensor) -> Tensor:
    logits.retain_grad()
    return F.cross_entropy(logits, labels)


def adds_a_float32(logits: Tensor, labels: Tensor) -> Tensor:
    """torch multiplies its target, which is float32 here, in place."""
    target = F.one_hot(labels, logits.shape[1]).float()
    return (F.binary_cross_entropy_with_logits(logits, target, reduction="none") * logits.neg().sigmoid()).mean()


def overflows_in_half(logits: Tensor, labels: Tensor) -> Tensor:
    """In float16 alone exp of 12 overflows."""
    twelve = torch.full((), 12.0, dtype=logits.dtype)
    return F.cross_entropy(logits, labels) + (twelve.exp() - 162754.79).clamp(min=1) - 1


def test_every_law_for_anyone_is_seen_to_fail() -> None:
    wrong = (HoldsALambda(), divides_by_one_less, stays_on_the_cpu, naive, with_an_epsilon)
    reports = (*map(planted, PLANTED), *map(check, wrong))
    seen = {v.law for report in reports for v in (*report.broken, *report.notes)}
    halved = check(lambda input, target: F.mse_loss(input, target) / 2, formula=FORMULAS["mse_loss"])
    seen |= {v.law for v in (*halved.broken, *check(overflows_in_half).broken)}
    assert set(ANYONE) <= seen


def test_a_constant_in_the_logarithm_is_told_from_a_loss_that_is_bounded_on_purpose() -> None:
    for loss in (with_an_epsilon, clamped):
        told = next(v for v in check(loss).broken if v.law == "confident_mistakes_teach")
        assert told.numbers <= 3, told
    for right in (
        bounded,
        asks_for_a_gradient,
        lossary.generalized_cross_entropy_loss,
        lossary.sigmoid_dice_loss,
        F.multi_margin_loss,
    ):
        assert "confident_mistakes_teach" not in {v.law for v in check(right).broken}


def test_float32_on_the_way_is_not_a_wrong_gradient() -> None:
    assert [v.law for v in check(adds_a_float32).broken] == ["float64_stays_float64"]


def test_what_is_asked_exists_and_what_exists_is_asked() -> None:
    assert set(ANYONE) <= set(MEANINGS) <= {*LAWS, *ANYONE}
    assert {*ENTAILED, *ENTAILED.values(), *IN_FLOAT64, *TRANSFORMS} <= set(MEANINGS)


@pytest.mark.parametrize("fault", ["the margin has the wrong sign", "the hardest positive is the nearest"])
def test_a_formula_tells_what_laws_cannot(fault: str) -> None:
    mutant = next(m for m in MUTANTS if m.fault == fault)
    with mutant.plant(find(mutant.loss)) as wrong:
        report = check(wrong.fn, formula=FORMULAS[mutant.loss])
    assert "value_is_the_formula" in {v.law for v in report.broken}
    assert all(v.numbers <= MOST for v in report.broken if v.law == "value_is_the_formula")


def test_a_card_is_held_to_all_that_the_library_promises() -> None:
    card = find("mse_loss")
    report = check(replace(card, search={"temperature": Range(0.1, 1.0)}), samples=samples.of(card))
    assert [v.law for v in report.broken] == ["card_is_true"]


# ---------------------------------------------------------------- how it is asked


def test_what_is_meant_is_noted() -> None:
    def held(logits: Tensor, labels: Tensor) -> Tensor:
        ce = F.cross_entropy(logits, labels, reduction="none")
        return ((1 - (-ce).exp().detach()) * ce).mean()

    assert not check(held, meant=["gradient_is_true", "second_gradient_is_true"]).broken
    with pytest.raises(AssertionError, match="the gradient is the gradient of the value"):
        assert_lawful(held)


def test_the_form_of_call_is_said_and_can_be_given() -> None:
    def loss(a: Tensor, b: Tensor) -> Tensor:
        return ((a - b) ** 2).mean()

    assert check(loss, takes="anchor-positive").called.startswith("anchor-positive of embeddings: a (5, 4), b (5, 4)")
    with pytest.raises(NotALoss, match="it returns no loss in any form of call"):
        check(lambda x: "no loss")
    with pytest.raises(NotALoss, match="nothing is known of nonsense"):
        check(loss, takes="nonsense")


# ---------------------------------------------------------------- the command

FILE = """
import torch
print("a file may print what it likes")

def right(input, target):
    return ((input - target) ** 2).mean()

def wrong(input, target):
    return ((input - target) ** 2).mean().sqrt()

def helper(text):
    return text.upper()

def endless(input, target):
    while True:
        pass

def _private(input, target):
    raise SystemExit
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my_losses.py"
    path.write_text(FILE)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_the_command_says_what_is_wrong(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "check", str(file), "--loss", "wrong")
    assert status == 1
    assert "BROKEN: loss and gradient are finite at extremes and ties" in out
    assert "given  input = [[0]], target = [[0]]" in out
    assert "a file may print" not in out


def test_the_command_speaks_to_machines(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "check", str(file), "--loss", "right", "--json")
    answer = json.loads(out)
    assert status == 0
    assert answer["lawful"]
    assert {v["law"] for v in answer["verdicts"]} <= set(MEANINGS)


def test_the_command_ends_what_does_not_end(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "check", str(file), "--loss", "endless", "--seconds", "2", "--json")
    why = "it ran out of time, 2 seconds of computing or 10 of waiting (--seconds)"
    assert (status, err) == (2, f"lossary: endless: {why}\n")
    assert json.loads(out) == {"loss": "endless", "failed": why}


def test_the_losses_behind_one_that_ends_its_process_are_asked_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "three.py"
    path.write_text(
        "import os, torch.nn.functional as F\n"
        "def ends(input, target):\n    os._exit(3)\n"
        "def takes_all(input, target):\n    return (input.new_zeros(2**33) + 1).sum()\n"
        "right_loss = lambda input, target: F.mse_loss(input, target)\n"
    )
    found = {answer["loss"]: answer for answer in asked(path, "check")}
    assert found["ends"]["failed"] == "it ended with status 3"
    assert found["takes_all"]["failed"] == "it needs more than 8 GB"
    assert found["right_loss"]["lawful"]


def test_the_command_refuses_what_is_not_there(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "check", "no.py")[::2] == (2, "lossary: no.py: no such file\n")
    status, _, err = run(capsys, "check", str(file), "--loss", "helper")
    assert status == 2
    assert "it returns no loss in any form of call" in err
    assert "my_losses.py defines no other" in run(capsys, "check", str(file), "--loss", "other")[2]


# ---------------------------------------------------------------- Modules that remember, own weights, or ask for a GPU


class Annealed(nn.Module):
    """The first calls weigh less, as a margin that is annealed does."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        self.calls += 1
        return ((input - target) ** 2).mean() * (1 - 0.5**self.calls)


class Centers(nn.Module):
    """Has weights, and asks where its input is."""

    def __init__(self) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.ones(4, 4))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return ((embeddings - self.centers[labels]) ** 2).sum(1).mean()


class Blurred(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.ones(1, 1, 3))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.conv1d((input - target)[:, None], self.get_buffer("kernel")).square().mean()


def asks_is_cuda(input: Tensor, target: Tensor) -> Tensor:
    ones = torch.ones(5, dtype=input.dtype).to(torch.device("cuda") if input.is_cuda else torch.device("cpu"))
    return (ones * (input - target) ** 2).mean()


def test_a_module_that_remembers_its_calls_breaks_one_law_and_no_other() -> None:
    report = check(Annealed(), takes="input-target", input="values")
    assert [v.law for v in report.broken] == ["inputs_stay_as_they_are_and_calls_repeat"]


def test_of_a_module_that_remembers_no_transform_is_asked() -> None:
    class Detached(Annealed):
        def forward(self, input: Tensor, target: Tensor) -> Tensor:
            return super().forward(input, target) * (input - target).detach().exp().mean()

    report = check(Detached(), takes="input-target", input="values")
    assert "gradient_is_true" in {v.law for v in report.broken}
    assert {v.outcome for v in report.verdicts if v.law in TRANSFORMS} == {"not asked"}


def test_a_loss_that_fails_in_float64_is_told_so_once() -> None:
    def loss(logits: Tensor, masks: Tensor) -> Tensor:
        weights = torch.ones(5, device=logits.device)
        return (logits.sigmoid() - masks).square().mean((0, 1, 2)) @ weights

    report = check(loss, takes="input-target", input="logits", data="masks")
    assert [v.law for v in report.broken] == ["float64_stays_float64"], report


def test_a_buffer_moves_with_its_module() -> None:
    assert not check(Blurred(), takes="input-target", input="values").broken


def test_who_rounds_to_float32_on_the_way_has_no_wrong_transform() -> None:
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        p = logits.double().log_softmax(1).gather(1, labels[:, None]).float().exp()
        return -((1 - p) ** 2 * p.log()).mean().to(logits.dtype)

    report = check(loss, takes="input-label", input="logits", data="classes")
    assert {v.law for v in report.broken}.isdisjoint({*TRANSFORMS, "backward_scales_and_repeats"}), report


def test_a_batch_of_which_a_loss_is_no_tensor_is_passed_over() -> None:
    def loss(embeddings: Tensor, labels: Tensor) -> Any:
        same = labels[:, None] == labels
        pairs = [torch.dist(embeddings[i], embeddings[j]) ** 2 for i, j in (~same).nonzero().tolist()]
        return sum(pairs) / max(len(pairs), 1)

    report = check(loss, takes="embeddings-labels", input="embeddings")
    assert not report.broken, report


def test_a_module_with_weights_breaks_no_law_by_having_them() -> None:
    assert not check(Centers(), takes="embeddings-labels", input="embeddings").broken


def test_code_that_asks_for_a_gpu_follows_its_input() -> None:
    assert not check(asks_is_cuda, takes="input-target", input="values").broken


def test_a_note_about_a_number_is_not_shown_on_a_batch_without_one() -> None:
    def loss(embeddings: Tensor, labels: Tensor) -> Tensor:
        """SupCon, and of one item alone not a number."""
        z = F.normalize(embeddings)
        same = (labels[:, None] == labels) & ~torch.eye(len(z), dtype=torch.bool)
        log_p = z @ z.T - (z @ z.T).exp().mul(~torch.eye(len(z), dtype=torch.bool)).sum(1, keepdim=True).log()
        return -(log_p * same).sum(1).div(same.sum(1).clamp(min=1)).mean()

    report = check(loss, takes="embeddings-labels", input="embeddings")
    notes = {v.law: v.found for v in report.notes}
    assert "nan" not in notes.get("autocast_keeps_the_loss_exact", "")


def test_data_says_which_of_two_forms_that_are_called_alike() -> None:
    loss = nn.CrossEntropyLoss()
    for data, shape in (("classes", "(6, 5)"), ("masks", "(4, 3, 2, 5)")):
        assert shape in check(loss, takes="input-label", input="logits", data=data).called

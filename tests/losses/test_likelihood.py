"""What only these losses have: CTC, which has no card, and how a variance may lie beside its values."""

from typing import Any

import mpmath
import pytest
import torch
from torch import Tensor, nn

import lossary
from lossary.core.reduce import Reduction
from lossary.losses.sequences.alignment import ctc_loss
from lossary.losses.values.likelihood import gaussian_nll_loss, kl_gaussian_loss, poisson_nll_loss

LABELS = torch.tensor([[1, 2], [3, 1], [2, 2]])
STEPS, OWN = [6, 5, 4], [2, 2, 1]


def log_probs(*, seed: int = 0, steps: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(steps, 3, 4, generator=generator, dtype=torch.float64).log_softmax(2)


def test_ctc_is_the_sum_over_all_ways_to_lay_the_labels() -> None:
    x = log_probs(steps=3)[:, :1]
    ways = [p for p in torch.cartesian_prod(*[torch.arange(4)] * 3) if said(p.tolist()) == [1, 2]]
    likelihood = sum(x[torch.arange(3), 0, way].sum().exp() for way in ways)
    assert len(ways) == 5
    torch.testing.assert_close(ctc_loss(x, LABELS[:1], [3], [2], reduction="sum"), -torch.as_tensor(likelihood).log())


def said(way: list[int]) -> list[int]:
    once = [label for i, label in enumerate(way) if i == 0 or way[i - 1] != label]
    return [label for label in once if label]


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_ctc_has_the_gradient_of_its_formula(reduction: Reduction) -> None:
    """torch's is that of logits behind a softmax, whatever the log-probabilities come from."""
    x = log_probs().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ctc_loss(x, LABELS, STEPS, OWN, reduction=reduction), (x,))


def test_ctc_that_is_impossible_is_infinite_without_a_gradient() -> None:
    x = log_probs().requires_grad_()
    losses = ctc_loss(x, LABELS, [6, 1, 2], [2, 2, 2], reduction="none")
    assert losses.isinf().tolist() == [False, True, True]  # two labels in one step; two alike want one between them
    (grad,) = torch.autograd.grad(losses.sum(), x)
    assert grad.isfinite().all()
    assert not grad[:, 1:].any()
    assert ctc_loss(x, LABELS, [6, 1, 2], [2, 2, 2], zero_infinity=True).isfinite()


def test_ctc_weights_and_masks() -> None:
    x, weight, mask = log_probs(), torch.tensor([2.0, 0.5, 1.0]), torch.tensor([True, False, True])
    per_label = ctc_loss(x, LABELS, STEPS, OWN, reduction="none") / torch.tensor(OWN)
    weighted = ctc_loss(x, LABELS, STEPS, OWN, sample_weight=weight)
    torch.testing.assert_close(weighted, (weight * per_label).sum() / weight.sum())
    missing = x.clone().index_fill_(1, torch.tensor([1]), torch.nan).requires_grad_()
    masked = ctc_loss(missing, LABELS, STEPS, OWN, mask=mask)
    torch.testing.assert_close(masked, per_label[mask].mean())
    (grad,) = torch.autograd.grad(masked, missing)
    assert grad.isfinite().all()
    assert not grad[:, 1].any()


def test_ctc_of_nothing_of_one_and_of_half_precision() -> None:
    x = log_probs()
    empty = x[:, :0].clone().requires_grad_()
    nothing = ctc_loss(empty, LABELS[:0], [], [])
    nothing.backward()
    assert nothing == 0
    alone = ctc_loss(x[:, 0], LABELS[0], torch.tensor(6), torch.tensor(2), reduction="none")
    assert alone == ctc_loss(x, LABELS, STEPS, OWN, reduction="none")[0]
    half = x.to(torch.bfloat16)
    assert ctc_loss(half, LABELS, STEPS, OWN).dtype == torch.bfloat16
    narrow = ctc_loss(x, LABELS.to(torch.uint8), STEPS, OWN)
    assert torch.equal(narrow, ctc_loss(x, LABELS, STEPS, OWN))


@pytest.mark.parametrize(
    ("error", "name", "change"),
    [
        (TypeError, "log_probs", {"log_probs": torch.zeros(6, 3, 4, dtype=torch.int64)}),
        (ValueError, "log_probs", {"log_probs": torch.zeros(4)}),
        (ValueError, "blank", {"blank": 4}),
        (ValueError, "input_lengths", {"input_lengths": [7, 5, 4]}),
        (ValueError, "input_lengths", {"input_lengths": [6, 5]}),
        (ValueError, "target_lengths", {"target_lengths": [2, 3, 1]}),
        (TypeError, "target_lengths", {"target_lengths": torch.tensor([2.0, 2.0, 1.0])}),
        (ValueError, "targets", {"targets": LABELS[:2]}),
        (ValueError, "targets", {"targets": LABELS.flatten()}),
        (ValueError, "targets", {"targets": LABELS - 1}),  # the blank among them
        (IndexError, "targets", {"targets": LABELS + 1}),
        (ValueError, "reduction", {"reduction": "avg"}),
    ],
)
def test_ctc_errors_name_the_argument(error: type[Exception], name: str, change: dict[str, Any]) -> None:
    given: dict[str, Any] = {"log_probs": log_probs(), "targets": LABELS, "input_lengths": STEPS, "target_lengths": OWN}
    with pytest.raises(error, match=f"^{name}: wanted"):
        ctc_loss(**{**given, **change})


def test_ctc_module_is_torchs() -> None:
    x = log_probs()
    ours, theirs = lossary.CTCLoss(blank=0, reduction="sum"), nn.CTCLoss(blank=0, reduction="sum")
    lengths: list[Any] = [STEPS, OWN]
    torch.testing.assert_close(ours(x, LABELS, *lengths), theirs(x, LABELS, torch.tensor(STEPS), torch.tensor(OWN)))


@pytest.mark.parametrize("shape", [(1, 3), (4, 1), (1, 1), (4,)])
def test_a_variance_of_length_one_stands_for_all(shape: tuple[int, ...]) -> None:
    x, y, var = torch.randn(4, 3), torch.randn(4, 3), torch.rand(shape) + 0.1
    whole = (var[:, None] if shape == (4,) else var).expand(4, 3)
    assert torch.equal(gaussian_nll_loss(x, y, var), gaussian_nll_loss(x, y, whole.contiguous()))


@pytest.mark.parametrize("counts", [{"mask": torch.tensor([True, False])}, {"sample_weight": torch.tensor([1.0, 0.0])}])
def test_what_does_not_count_may_be_negative(counts: dict[str, Any]) -> None:
    """A padded rate or variance is no reason to refuse a batch; one that counts is."""
    x, ones = torch.tensor([2.0, -1.0]), torch.ones(2)
    rate = poisson_nll_loss(x, ones, log_input=False, **counts)
    assert rate == poisson_nll_loss(x[:1], ones[:1], log_input=False)
    assert gaussian_nll_loss(ones, 2 * ones, x, **counts) == gaussian_nll_loss(ones[:1], 2 * ones[:1], x[:1])
    with pytest.raises(ValueError, match=r"^input: wanted no negative number; got -2"):
        poisson_nll_loss(-x, ones, log_input=False, **counts)
    with pytest.raises(ValueError, match=r"^var: wanted no negative number; got -2"):
        gaussian_nll_loss(ones, ones, -x, **counts)


def test_divergence_of_codes_is_torchs_and_has_fifty_digits() -> None:
    """Also of a variance of e^0.0001: there e^s - 1 - s loses half of its digits."""
    mpmath.mp.dps = 50
    mean = torch.tensor([[0.5, -2.0, 0.0], [0.0, 0.0, 1e-6]], dtype=torch.float64)
    s = torch.tensor([[1.0, -3.0, 0.49], [1e-4, -0.51, -1e-7]], dtype=torch.float64)
    found = kl_gaussian_loss(mean, s, reduction="none")
    for loss, means, logs in zip(found.tolist(), mean.tolist(), s.tolist(), strict=True):
        terms = [mpmath.mpf(m) ** 2 + mpmath.exp(v) - 1 - mpmath.mpf(v) for m, v in zip(means, logs, strict=True)]
        assert loss == pytest.approx(float(sum(terms) / 2), rel=1e-14)
    tiny = kl_gaussian_loss(torch.zeros(1, 1), torch.full((1, 1), 1e-4))
    assert tiny.item() == pytest.approx(2.50008333e-9, rel=1e-6)
    normals = [torch.distributions.Normal(m, (v / 2).exp()) for m, v in ((mean, s), (0 * mean, 0 * s))]
    theirs = torch.distributions.kl_divergence(*normals).sum(1)
    torch.testing.assert_close(found, theirs)

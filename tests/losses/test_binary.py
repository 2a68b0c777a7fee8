"""Binary losses: what they must be to each other, soft targets, certainty, weights."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import lossary.functional as L
from lossary import class_weights
from lossary.kernels.elementwise import CACHED_ELEMENTS

LOGITS = torch.tensor([[2.0, -1.0, 0.3], [-4.0, 0.0, 30.0]], dtype=torch.float64)
LABELS = torch.tensor([[1, 0, 1], [1, 0, 0]])


def test_worked_number() -> None:
    p = torch.tensor([0.9, 0.1, 0.8, 0.7], dtype=torch.float64)
    loss = L.binary_cross_entropy(p, torch.tensor([1, 0, 1, 1]))
    assert loss.item() == pytest.approx(0.1976349, abs=1e-7)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_a_nan_probability_is_not_hidden(target: float) -> None:
    assert L.binary_cross_entropy(torch.tensor([torch.nan]), torch.tensor([target])).isnan()


def test_logits_and_probabilities_agree() -> None:
    found = L.binary_cross_entropy(LOGITS.sigmoid(), LABELS, reduction="none")
    torch.testing.assert_close(
        found, L.binary_cross_entropy_with_logits(LOGITS, LABELS, reduction="none"), rtol=1e-4, atol=0
    )


def test_pos_weight_and_balanced_weights_agree() -> None:
    weighted = L.binary_cross_entropy_with_logits(LOGITS, LABELS, pos_weight=3.0)
    torch.testing.assert_close(weighted, L.balanced_bce_loss(LOGITS, LABELS, positive_weight=3.0))


def test_focal_without_gamma_is_cross_entropy() -> None:
    for target in (LABELS, LABELS.bool(), torch.rand(2, 3, dtype=torch.float64)):
        focal = L.sigmoid_focal_loss(LOGITS, target, gamma=0.0, reduction="none")
        torch.testing.assert_close(focal, L.binary_cross_entropy_with_logits(LOGITS, target, reduction="none"))


def test_soft_focal_meets_the_hard_one() -> None:
    """Float targets of 0 and 1 take the path for soft targets and give what integers give."""
    for gamma in (0.0, 0.5, 2.0):
        hard = L.sigmoid_focal_loss(LOGITS, LABELS, gamma=gamma, alpha=0.25, reduction="none")
        soft = L.sigmoid_focal_loss(LOGITS, LABELS.double(), gamma=gamma, alpha=0.25, reduction="none")
        torch.testing.assert_close(soft, hard, rtol=1e-12, atol=0)


def test_soft_focal_is_its_definition() -> None:
    y = torch.tensor([[0.3, 0.9, 0.5], [0.01, 0.6, 0.2]], dtype=torch.float64)
    p = LOGITS.sigmoid()
    cross_entropy = -(y * p.log() + (1 - y) * torch.nn.functional.logsigmoid(-LOGITS))
    wanted = cross_entropy * (1 - (y * p + (1 - y) * (1 - p))) ** 1.5
    torch.testing.assert_close(L.sigmoid_focal_loss(LOGITS, y, gamma=1.5, reduction="none"), wanted)


def test_poly_focal_without_epsilon_is_focal() -> None:
    options = {"gamma": 1.5, "alpha": 0.3}
    poly = L.sigmoid_poly_focal_loss(LOGITS, LABELS, epsilon=0.0, **options)
    assert poly == L.sigmoid_focal_loss(LOGITS, LABELS, **options)


def gradient(p: float, y: float) -> float:
    x = torch.tensor([p], dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(L.binary_cross_entropy(x, torch.tensor([y], dtype=torch.float64)), x)
    return grad.item()


def test_gradients_of_certainty() -> None:
    """Right: the true one-sided derivative. Wrong: 0, where the clamp of the logarithm is flat."""
    assert (gradient(0.0, 0.0), gradient(1.0, 1.0)) == (1.0, -1.0)
    assert (gradient(0.0, 1.0), gradient(1.0, 0.0)) == (0.0, 0.0)


def test_half_precision_is_widened() -> None:
    """A mean of 70,000 losses of 2 leaves float16's range on the way, not in the end."""
    z = torch.full((70_000,), -2.0, dtype=torch.float16)
    found = L.binary_cross_entropy_with_logits(z, torch.ones_like(z))
    assert found.dtype == torch.float16
    assert found.item() == pytest.approx(2.127, abs=2e-3)


@pytest.mark.parametrize("target", [torch.tensor([2]), torch.tensor([-1.0])])
def test_targets_out_of_range_are_refused(target: Tensor) -> None:
    with pytest.raises(ValueError, match=r"target: wanted numbers in \[0, 1\]"):
        L.binary_cross_entropy_with_logits(torch.zeros(1), target)


def test_weight_that_does_not_broadcast_is_refused() -> None:
    with pytest.raises(ValueError, match="weight: wanted a shape that broadcasts"):
        L.binary_cross_entropy(torch.full((4,), 0.5), torch.ones(4), torch.tensor([2.0, 0.5]))


class TestClassWeights:
    counts = torch.tensor([900, 90, 10, 0])

    @pytest.mark.parametrize("method", ["inverse", "inverse_sqrt", "effective"])
    def test_mean_over_samples_is_one(self, method: str) -> None:
        weights = class_weights(self.counts, method=method)
        assert ((weights * self.counts).sum() / self.counts.sum()).item() == pytest.approx(1)
        assert weights[3] == 0

    def test_inverse_is_scikit_learns_balanced(self) -> None:
        torch.testing.assert_close(class_weights(torch.tensor([90, 10])), torch.tensor([100 / 180, 100 / 20]))

    def test_inverse_sqrt_is_milder_by_the_root(self) -> None:
        rare, often = class_weights(torch.tensor([100.0, 900.0]), method="inverse_sqrt")
        assert (rare / often).item() == pytest.approx(3)

    def test_effective_lies_between_none_and_inverse(self) -> None:
        some = torch.tensor([900.0, 90.0, 10.0], dtype=torch.float64)
        torch.testing.assert_close(class_weights(some, method="effective", beta=0.0), torch.ones_like(some))
        almost = class_weights(some, method="effective", beta=1 - 1e-9)
        torch.testing.assert_close(almost, class_weights(some), rtol=1e-5, atol=0)

    def test_nonsense_is_refused(self) -> None:
        with pytest.raises(ValueError, match="method: wanted one of"):
            class_weights(self.counts, method="square")
        with pytest.raises(ValueError, match="counts: wanted no negative number; got -1"):
            class_weights(torch.tensor([3, -1]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64], ids=["floats", "integers"])
def test_focal_of_many_has_the_values_of_few(dtype: torch.dtype) -> None:
    g = torch.Generator().manual_seed(0)
    logits, target = (
        torch.randn(CACHED_ELEMENTS + 2, generator=g),
        (torch.rand(CACHED_ELEMENTS + 2, generator=g) > 0.5).to(dtype),
    )
    logits[:2], target[:2] = torch.tensor([torch.inf, -torch.inf]), torch.tensor([1, 0])  # right beyond doubt
    for gamma in (2.0, torch.tensor(1.5)):
        many, few = logits.clone().requires_grad_(), logits.clone().requires_grad_()
        loss = L.sigmoid_focal_loss(many, target, gamma=gamma)
        expected = L.sigmoid_focal_loss(few, target, gamma=gamma, reduction="none").mean()
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(*(torch.autograd.grad(v, x)[0] for v, x in ((loss, many), (expected, few))))


@pytest.mark.parametrize("name", ["sigmoid_focal_loss", "sigmoid_poly_focal_loss"])
def test_targets_may_be_stored_transposed(name: str) -> None:
    x, y = torch.randn(4, 3), torch.randint(2, (4, 3)).float()
    torch.testing.assert_close(getattr(L, name)(x, y.mT.contiguous().mT), getattr(L, name)(x, y))


@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_subnormal_probabilities_have_finite_gradients(target: float) -> None:
    """1 / 1e-40 is no float32."""
    p = torch.tensor([1e-45, 1e-40, 2.8e-39, 1e-36, 1e-30, 1 - 2**-24]).requires_grad_()
    loss = L.binary_cross_entropy(p, torch.full_like(p, target), reduction="none")
    torch.testing.assert_close(
        loss, torch.nn.functional.binary_cross_entropy(p, torch.full_like(p, target), reduction="none")
    )
    (grad,) = torch.autograd.grad(1000 * loss.sum(), p, create_graph=True)
    assert grad.isfinite().all()
    assert grad[4].item() == pytest.approx(1000 * (1 - target - target / 1e-30))
    assert torch.autograd.grad(grad[[0, 1, 2, 5]].sum(), p)[0][[0, 1, 2, 5]].isfinite().all()


@pytest.mark.parametrize("loss", [L.sigmoid_focal_loss, L.sigmoid_poly_focal_loss])
def test_a_target_that_learns_gets_its_gradient_from_many_elements_too(loss: Callable[..., Tensor]) -> None:
    """A mean over many goes block by block: there a target of 0 and 1 must not be taken for a hard one."""
    z = torch.linspace(-5, 5, CACHED_ELEMENTS + 1, dtype=torch.float64).requires_grad_()
    y = (torch.arange(CACHED_ELEMENTS + 1) % 3 == 0).double().requires_grad_()
    found = torch.autograd.grad(loss(z, y), (z, y))
    wanted = torch.autograd.grad(loss(z, y, reduction="none").mean(), (z, y))
    torch.testing.assert_close(found, wanted)

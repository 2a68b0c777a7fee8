"""The multi-similarity loss against its equation in 50 digits, its limits, and what an anchor may lack."""
# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOptionalMemberAccess=false, reportOptionalIterable=false, reportReturnType=false
# pyright: reportPossiblyUnboundVariable=false, reportAssignmentType=false

from typing import Any

import mpmath
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

import lossary
from lossary.core import device as _device
from lossary.kernels.rows import blocks, symmetric
from lossary.losses.identities.similarity import MultiSimilarityLoss, multi_similarity_loss

mpmath.mp.dps = 50
LABELS = torch.tensor([0, 1, 0, 2, 1, 0])
SETTINGS: dict[str, Any] = {
    "defaults": {},
    "steep positives": {"alpha": 30.0, "beta": 3.0, "base": 0.1},
    "another threshold": {"base": -0.7},
}
ITEMS = {
    "spread": [[0.5, 1.25], [-1.0, 0.75], [0.25, -2.0], [1.5, 0.5], [-0.75, -0.5], [2.0, 1.0]],
    "cosines near 1 and -1": [
        [1.0, 0.0],
        [1.0, 0.0009765625],
        [2.0, 0.001953125],
        [-1.0, 0.0],
        [3.0, 0.0],
        [-4.0, 1.0],
    ],
}


def exact(items: list[list[Any]], params: dict[str, float]) -> Any:
    """Equation 15, as it is written."""
    alpha, beta, base = (mpmath.mpf(params.get(n, d)) for n, d in (("alpha", 2.0), ("beta", 50.0), ("base", 0.5)))
    z = [[v / mpmath.norm(row) for v in row] for row in items]
    total, count = mpmath.mpf(0), len(items)
    for i in range(count):
        cosine = {j: mpmath.fdot(z[i], z[j]) for j in range(count) if j != i}
        same = {j for j in cosine if LABELS[j] == LABELS[i]}
        total += mpmath.log(1 + sum(mpmath.exp(-alpha * (cosine[p] - base)) for p in same)) / alpha
        total += mpmath.log(1 + sum(mpmath.exp(beta * (cosine[n] - base)) for n in cosine.keys() - same)) / beta
    return total / count


@pytest.mark.parametrize("params", SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.parametrize("items", ITEMS.values(), ids=ITEMS.keys())
def test_value_and_gradient_are_those_of_fifty_digits(items: list[list[float]], params: dict[str, float]) -> None:
    numbers = [[mpmath.mpf(v) for v in row] for row in items]

    def moved(row: int, column: int, by: Any) -> Any:
        return exact(
            [[v + by * ((r, c) == (row, column)) for c, v in enumerate(n)] for r, n in enumerate(numbers)], params
        )

    x = torch.tensor(items, dtype=torch.float64, requires_grad=True)
    value = multi_similarity_loss(x, LABELS, **params)
    assert value.item() == pytest.approx(float(exact(numbers, params)), rel=1e-13)
    (gradient,) = torch.autograd.grad(value, x)
    step = mpmath.mpf(10) ** -16
    wanted = [
        [float((moved(r, c, step) - moved(r, c, -step)) / (2 * step)) for c in range(2)] for r in range(len(items))
    ]
    torch.testing.assert_close(gradient, torch.tensor(wanted, dtype=torch.float64), rtol=1e-10, atol=1e-13)


def test_at_any_steepness_only_the_worst_of_either_kind_counts() -> None:
    x = torch.tensor(ITEMS["spread"], dtype=torch.float64)
    z = torch.nn.functional.normalize(x)
    cosines, same = z @ z.T, LABELS[:, None] == LABELS
    furthest = cosines.masked_fill(~same | torch.eye(6).bool(), 1.0).amin(1)
    nearest = cosines.masked_fill(same, -1.0).amax(1)
    wanted = (0.5 - furthest).relu() + (nearest - 0.5).relu()
    found = multi_similarity_loss(x, LABELS, alpha=1e6, beta=1e6, reduction="none")
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_anchors_without_positives_or_without_negatives_have_the_other_term() -> None:
    x = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)

    def either(sign: float, steepness: float) -> Tensor:
        return torch.log1p(torch.exp(torch.tensor(sign * steepness * (0.6 - 0.5), dtype=torch.float64))) / steepness

    for labels, wanted in (([0, 0], either(-1, 2.0)), ([0, 1], either(1, 50.0))):
        found = multi_similarity_loss(x, torch.tensor(labels), reduction="none")
        torch.testing.assert_close(found, wanted.expand(2))
    assert multi_similarity_loss(x[:1], torch.tensor([0])) == 0


@pytest.mark.parametrize("other", ["batch", "masked batch", "references"])
def test_no_matrix_of_all_scores_is_made(other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_device, "budget", lambda _: 1 << 18)  # 32 rows
    monkeypatch.setattr(blocks, "CPU_LARGEST_BLOCK", 1 << 18)
    monkeypatch.setattr(symmetric, "TILE", 128)
    n = 2048
    x, labels = torch.randn(n, 8, requires_grad=True), torch.arange(n) // 4
    more: dict[str, Any] = {
        "batch": {},
        "masked batch": {"mask": torch.arange(n) % 5 > 0},
        "references": {"ref_embeddings": torch.randn(n, 8), "ref_labels": labels},
    }[other]
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        multi_similarity_loss(x, labels, **more).backward()
    largest = max(event.nbytes() for event in trace.profiler.kineto_results.events() if event.name() == "[memory]")
    assert largest <= 4 * n * n / 16


def test_weights_of_items_that_do_not_count_are_not_read() -> None:
    x, mask = torch.tensor(ITEMS["spread"]), torch.arange(6) != 2
    weight = torch.tensor([1.0, 2.0, torch.nan, 0.0, 1.0, 3.0])
    found = multi_similarity_loss(x, LABELS, mask=mask, sample_weight=weight)
    torch.testing.assert_close(found, multi_similarity_loss(x[mask], LABELS[mask], sample_weight=weight[mask]))


@pytest.mark.parametrize("name", ["alpha", "beta"])
@pytest.mark.parametrize("value", [0.0, -1.0])
def test_steepness_that_is_none_is_refused(name: str, value: float) -> None:
    steepness: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"^{name}: wanted"):
        multi_similarity_loss(torch.ones(2, 2), torch.tensor([0, 1]), **steepness)


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_steepness_that_should_learn_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=f"^{name}: wanted a number, which cannot learn"):
        MultiSimilarityLoss(**{name: torch.nn.Parameter(torch.tensor(2.0))})


def circle(s: Tensor, same: Tensor, *, scale: float | Tensor, margin: float) -> Tensor:
    """Equation 6 for one anchor's cosines, with the weights as constants."""
    lack, excess = (1 + margin - s).relu().detach(), (s + margin).relu().detach()
    positives = (-scale * lack * (s - 1 + margin))[same].exp().sum()
    negatives = (scale * excess * (s - margin))[~same].exp().sum()
    return (1 + positives * negatives).log()


def test_circle_loss_is_its_formula_and_its_gradient_the_papers() -> None:
    x = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.tensor([0, 0, 1, 1, 1, 2])
    cosines = F.normalize(x) @ F.normalize(x).T
    wanted = []
    for i in range(5):  # the last has no positive
        others = torch.arange(6) != i
        wanted.append(circle(cosines[i][others], (labels == labels[i])[others], scale=4.0, margin=0.25))
    found = lossary.circle_loss(x, labels, scale=4.0, margin=0.25)
    torch.testing.assert_close(found, torch.stack(wanted).mean())
    by_formula, by_us = (torch.autograd.grad(loss, x, retain_graph=True)[0] for loss in (sum(wanted) / 5, found))
    torch.testing.assert_close(by_us, by_formula)


def test_a_scale_that_learns_is_no_part_of_the_weights_that_are_held() -> None:
    x, positive = torch.tensor([[1.0, 0.0], [0.6, 0.8], [-0.8, 0.6]]), torch.tensor([[True, False]])
    scale = torch.tensor(3.0, requires_grad=True)
    found = lossary.circle_loss(x[:1], None, positives=positive, ref_embeddings=x[1:], scale=scale, margin=0.25)
    wanted = circle(x[1:, 0], positive[0], scale=scale, margin=0.25)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(*(torch.autograd.grad(loss, scale) for loss in (found, wanted)))


def test_circle_loss_has_the_gradient_of_equations_9_and_10() -> None:
    """By a positive and a negative cosine: Z gamma (s_n + m) and Z gamma (s_p - 1 - m), where Z = 1 - exp(-loss)."""
    m, gamma = 0.4, 8.0
    angles = torch.tensor([0.9, 1.3], dtype=torch.float64, requires_grad=True)  # of the positive and of the negative
    items = torch.stack(
        [torch.stack([angles.cos(), angles.sin()], 1)[0], torch.stack([angles.cos(), -angles.sin()], 1)[1]]
    )
    anchor = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    positives = torch.tensor([[True, False]])
    loss = lossary.circle_loss(anchor, None, positives=positives, ref_embeddings=items, scale=gamma, margin=m)
    (found,) = torch.autograd.grad(loss, angles)
    (s_p, s_n), z = angles.detach().cos(), -torch.expm1(-loss.detach())
    wanted = -angles.detach().sin() * torch.stack([z * gamma * (s_p - 1 - m), z * gamma * (s_n + m)])
    torch.testing.assert_close(found, wanted)

"""Several tasks' losses as one, over uncertainties that are learned."""

import io
import math
from typing import Any

import pytest
import torch

import lossary as L


def made(*values: float) -> L.UncertaintyWeighting:
    tasks = L.UncertaintyWeighting(depth="regression", labels="classification")
    with torch.no_grad():
        tasks.log_variance.copy_(torch.tensor(values))
    return tasks


def test_a_total_is_a_likelihood() -> None:
    """The negative logarithm of a normal density, but for a constant, and a cross-entropy over its temperature."""
    tasks, deviation = made(math.log(4.0), math.log(0.25)), 2.0
    error = torch.tensor(3.0)
    density = torch.distributions.Normal(0.0, deviation).log_prob(error)
    parts = tasks.parts(depth=error.square(), labels=torch.tensor(0.7))
    torch.testing.assert_close(parts["depth"], -density - math.log(2 * math.pi) / 2)
    torch.testing.assert_close(parts["labels"], torch.tensor(0.7 / 0.5**2 + math.log(0.5)))
    torch.testing.assert_close(sum(parts.values()), tasks(labels=torch.tensor(0.7), depth=error.square()))


def test_variances_come_to_rest_at_the_losses() -> None:
    tasks = made(0.0, 0.0)
    optimizer = torch.optim.SGD(tasks.parameters(), lr=0.5)
    for _ in range(500):
        optimizer.zero_grad()
        tasks(depth=torch.tensor(9.0), labels=torch.tensor(0.02)).backward()
        optimizer.step()
    assert tasks.deviations() == pytest.approx({"depth": 3.0, "labels": 0.2}, rel=1e-3)


def test_a_task_in_other_units_has_the_same_say() -> None:
    """Of the gradient by what a task's loss depends on, where the variances are at rest."""
    shares = []
    for unit in (1.0, 1000.0):
        x = torch.tensor(2.0, requires_grad=True)
        loss = unit**2 * x.square()
        tasks = made(math.log(loss.item()), 0.0)
        shares += torch.autograd.grad(tasks(depth=loss, labels=torch.tensor(1.0)), x)
    torch.testing.assert_close(*shares)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(dtype: torch.dtype) -> None:
    losses = {"depth": torch.tensor(3.0, dtype=dtype), "labels": torch.tensor(0.5, dtype=dtype)}
    for tasks in (made(1.0, -1.0), made(1.0, -1.0).to(dtype)):
        got = tasks(**losses)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, made(1.0, -1.0)(**{name: loss.float() for name, loss in losses.items()}))


def test_losses_of_items_stay_apart() -> None:
    each = torch.rand(5)
    got = made(0.5, 0.0)(depth=each, labels=each)
    assert got.shape == (5,)
    torch.testing.assert_close(got.mean(), made(0.5, 0.0)(depth=each.mean(), labels=each.mean()))


def test_it_compiles_and_comes_back_from_disk() -> None:
    tasks, file = made(0.5, -0.5), io.BytesIO()
    losses = {"depth": torch.tensor(3.0), "labels": torch.tensor(0.5)}
    compiled: Any = torch.compile(tasks, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(**losses), tasks(**losses))
    torch.save(tasks, file)
    file.seek(0)
    torch.testing.assert_close(torch.load(file, weights_only=False)(**losses), tasks(**losses))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^kinds: wanted at least one"):
        L.UncertaintyWeighting()
    with pytest.raises(ValueError, match=r"^depth: wanted one of 'regression', 'classification'"):
        L.UncertaintyWeighting(depth="squares")  # pyright: ignore[reportArgumentType]
    tasks, one = made(0.0, 0.0), torch.tensor(1.0)
    with pytest.raises(ValueError, match=r"^losses: wanted those of depth, labels; got depth"):
        tasks(depth=one)
    with pytest.raises(ValueError, match=r"^losses: wanted them in one shape"):
        tasks(depth=one, labels=one[None])
    with pytest.raises(TypeError, match=r"^labels: wanted a tensor"):
        tasks(depth=one, labels=1.0)  # pyright: ignore[reportArgumentType]

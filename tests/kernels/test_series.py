"""Power series beside their plain sum, to third derivatives; rows that are made again beside rows at once."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.kernels import again
from lossary.kernels.series import series
from lossary.kernels.skeleton import skeleton

COEFFICIENTS = (2.0, -1.0, 0.5, 0.25, -3.0)


def plain(t: Tensor) -> Tensor:
    return torch.stack([c * t**k for k, c in enumerate(COEFFICIENTS)]).sum(0)


def test_a_series_has_the_derivatives_of_its_sum() -> None:
    t = torch.linspace(-2, 2, 7, dtype=torch.float64, requires_grad=True)
    found, wanted = series(t, COEFFICIENTS), plain(t)
    for _ in range(4):
        torch.testing.assert_close(found, wanted)
        found, wanted = (torch.autograd.grad(f.sum(), t, create_graph=True)[0] for f in (found, wanted))
    ours, theirs = (
        torch.func.jacrev(torch.func.grad(lambda t, f=f: f(t).sum()))(t.detach())
        for f in (lambda t: series(t, COEFFICIENTS), plain)
    )
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("shape", [(3, 2, 9), (3, 2, 5, 6), (2, 2, 4, 3, 5)])
@pytest.mark.parametrize("masked", [False, True])
def test_a_skeleton_by_images_is_that_of_all(
    shape: tuple[int, ...], masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def derivatives(x: Tensor, keep: Tensor | None) -> list[Tensor]:
        x = x.clone().requires_grad_()
        found = skeleton(x, keep, 2)
        (first,) = torch.autograd.grad((found * torch.arange(found.numel()).view(shape)).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x)
        return [found, first, second]

    torch.manual_seed(0)
    x = torch.rand(shape, dtype=torch.float64)
    keep = torch.rand(shape) < 0.8 if masked else None
    wanted = derivatives(x, keep)
    made: list[int] = []
    monkeypatch.setattr(again, "CACHED", 1)  # an image at a time
    whole = again.checkpoint
    monkeypatch.setattr(
        again, "checkpoint", lambda make, *some, **how: made.append(len(some[0])) or whole(make, *some, **how)
    )
    for ours, theirs in zip(derivatives(x, keep), wanted, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert set(made) == {1}


def test_a_skeleton_is_the_papers() -> None:
    def eroded(x: Tensor) -> Tensor:
        return torch.minimum(*(-F.max_pool2d(-x, s, 1, (s[0] // 2, s[1] // 2)) for s in ((3, 1), (1, 3))))

    def left(x: Tensor) -> Tensor:
        return (x - F.max_pool2d(eroded(x), 3, 1, 1)).relu()

    torch.manual_seed(0)
    x = torch.rand(2, 3, 7, 8)
    found = skeleton(x, None, 3)
    wanted = left(x)
    for _ in range(3):
        x = eroded(x)
        wanted = wanted + (left(x) - wanted * left(x)).relu()
    torch.testing.assert_close(found, wanted)

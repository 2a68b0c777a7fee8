"""The mean negative log-likelihood by Triton's kernels, in its interpreter, against plain float64."""

import pytest
import torch
from torch import Tensor

import interpreter
from lossary.core.reduce import reduce
from lossary.kernels.fused import switch
from lossary.kernels.rows.nll import mean_nll, nll
from lossary.kernels.rows.scores import Rows
from lossary.kernels.stable import ABSENT

pytestmark = pytest.mark.skipif(interpreter.LACKING is not None, reason=str(interpreter.LACKING))
F32, F64, ON = torch.float32, torch.float64, interpreter.DEVICE


@pytest.fixture(autouse=True)
def several_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    interpreter.small_tiles(monkeypatch)
    monkeypatch.setattr(switch, "ON", True)


def rows(n: int, single: bool) -> Rows:
    """Ordinary ones, hopeless and perfect ones, one without the rest, and of several one without a target."""
    g = torch.Generator().manual_seed(0)
    target, among, rest, mean = torch.randn(4, n, generator=g, dtype=F64) * 5
    rest[1::7], rest[2::7], rest[3::7] = 90.0, -90.0, ABSENT
    count = torch.ones(n, dtype=F64) if single else torch.arange(n, dtype=F64) % 3
    among = target if single else torch.where(count > 0, among, ABSENT)
    return Rows(count, target, among, rest, mean)


def weights(n: int) -> dict[str, Tensor | None]:
    some = torch.arange(n) % 4 != 1
    return {"none": None, "booleans": some, "numbers": torch.rand(n, dtype=F64) * some, "nothing": some & False}


def derivatives(n: int, single: bool, weight: Tensor | None, dtype: torch.dtype, order: int) -> list[Tensor]:
    """The mean, its gradients, and those of their squares: of kernels in float32."""
    at = [s.to(ON, dtype).requires_grad_() for s in rows(n, single)]
    given = Rows(*at)
    weight = None if weight is None else weight.to(ON) if weight.dtype == torch.bool else weight.to(ON, dtype)
    if dtype == F32:
        mean = mean_nll(given, weight, single=single)
        assert mean is not None
    elif single:
        mean = reduce(nll(given.rest, given.target), weight=weight)
    else:
        found = given.targets.detach() > 0
        losses = nll(given.rest, given.target, given.among, given.targets)
        mean = reduce(losses, weight=found if weight is None else found * weight)
    leaves = [given.rest, given.target] if single else [given.rest, given.target, given.among]
    first = torch.autograd.grad(mean * 3, leaves, create_graph=order > 1)
    squares = torch.stack([g.square().sum() for g in first]).sum()
    second = torch.autograd.grad(squares, leaves, materialize_grads=True) if order > 1 else ()
    return [t.detach().cpu().to(F64) for t in (mean, *first, *second)]


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize(("n", "kind"), [(37, "none"), (37, "booleans"), (37, "numbers"), (37, "nothing"), (1, "none"),
                                         (16, "numbers"), (0, "none"), (0, "booleans")])  # fmt: skip
def test_mean_and_gradients_are_those_of_float64(n: int, kind: str, single: bool) -> None:
    weight = weights(n)[kind]
    got, want = (derivatives(n, single, weight, dtype, 1) for dtype in (F32, F64))
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=3e-6, atol=1e-7)


def test_gradients_can_be_differentiated_again() -> None:
    weight = weights(37)["numbers"]
    got, want = (derivatives(37, False, weight, dtype, 2) for dtype in (F32, F64))
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_the_operator_keeps_torchs_rules() -> None:
    count, target, among, rest, _ = (s.to(ON, F32).requires_grad_() for s in rows(37, single=False))
    for given in ((rest, target, None, None, None), (rest, target, among, count.detach(), weights(37)["booleans"])):
        torch.library.opcheck(torch.ops.lossary.nll_mean.default, given)


def test_too_many_rows_for_one_program_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    from lossary.kernels.fused import tiles

    monkeypatch.setattr(tiles, "ALONE", 36)
    assert mean_nll(Rows(*(s.float() for s in rows(37, True))), None, single=True) is None

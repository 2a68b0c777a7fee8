"""Public losses over Triton's kernels, behind the operators that they always stand behind, against float64."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import interpreter
import lossary
from lossary.core import device
from lossary.kernels.fused import switch
from lossary.kernels.rows import formula, routes

pytestmark = pytest.mark.skipif(interpreter.LACKING is not None, reason=str(interpreter.LACKING))

N, C, D = 19, 38, 17
F64 = torch.float64
G = torch.Generator().manual_seed(0)
X, Z, W, B = (torch.randn(*shape, generator=G, dtype=F64) for shape in ((N, D), (N, D), (C, D), (C,)))
Y = torch.randint(C, (N,), generator=G)
LABELS, IDS = Y % 7, torch.arange(N) // 2
CLASS_WEIGHT = torch.rand(C, generator=G) + 0.5

ce, linear = lossary.cross_entropy, lossary.linear_loss
LOSSES: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "cross-entropy": (lambda x, w: linear(ce, x, w, Y), (X, W)),
    "smoothed, bias, ignored": (
        lambda x, w, b: linear(ce, x, w, Y, b, label_smoothing=0.1, ignore_index=int(Y[3])),
        (X, W, B),
    ),
    "ignored": (lambda x, w: linear(ce, x, w, Y, ignore_index=int(Y[3])), (X, W)),
    "class weights, none": (
        lambda x, w: linear(
            lossary.CrossEntropyLoss(weight=CLASS_WEIGHT.to(x.dtype), label_smoothing=0.2, reduction="none"), x, w, Y
        ),
        (X, W),
    ),
    "focal": (lambda x, w: linear(lossary.FocalLoss(gamma=2.5), x, w, Y), (X, W)),
    "focal, ignored": (lambda x, w: linear(lossary.FocalLoss(gamma=2.5, ignore_index=int(Y[3])), x, w, Y), (X, W)),
    "ArcFace": (lambda x, w: lossary.arcface_loss(x, w, Y), (X, W)),
    "CosFace, sum": (lambda x, w: lossary.cosface_loss(x, w, Y, reduction="sum"), (X, W)),
    "CosFace": (lambda x, w: lossary.cosface_loss(x, w, Y), (X, W)),
    "ArcFace, easy, weights": (
        lambda x, w: lossary.arcface_loss(x, w, Y, beyond_pi="easy", sample_weight=CLASS_WEIGHT[:N].to(x.dtype)),
        (X, W),
    ),
    "ArcFace, a scale for each": (
        lambda x, w: lossary.arcface_loss(x, w, Y, scale=CLASS_WEIGHT[:N].to(x.dtype) * 20),
        (X, W),
    ),
    "ArcFace, sub-centers": (lambda x, w: lossary.arcface_loss(x, w.unflatten(0, (-1, 1)), Y), (X, W)),
    "SupCon": (lambda x: lossary.supcon_loss(x, LABELS), (X,)),
    "SupCon, a temperature that learns, weights": (
        lambda x, t: lossary.supcon_loss(x, LABELS, temperature=t, sample_weight=CLASS_WEIGHT[:N].to(x.dtype)),
        (X, B[0].exp()),
    ),
    "SupCon, ids": (lambda x: lossary.supcon_loss(x, LABELS, ids=IDS), (X,)),
    "SupCon, references": (
        lambda x, w: lossary.supcon_loss(x, LABELS, ref_embeddings=w, ref_labels=torch.arange(C) % 7),
        (X, W),
    ),
    "NT-Xent": (lossary.nt_xent_loss, (X, Z)),
    "InfoNCE": (lossary.info_nce_loss, (X, Z)),
    "MNR": (lossary.multiple_negatives_ranking_loss, (X, Z)),
    "CLIP": (lossary.clip_loss, (X, Z)),
    "CLIP, a temperature that learns": (lambda x, z, t: lossary.clip_loss(x, z, temperature=t), (X, Z, B[0].exp())),
    "CLIP, weights": (lambda x, z: lossary.clip_loss(x, z, sample_weight=CLASS_WEIGHT[:N].to(x.dtype)), (X, Z)),
    "DCL": (lossary.dcl_loss, (X, Z)),
    "hard negatives": (lossary.hard_negative_contrastive_loss, (X, Z)),
    "circle": (lambda x: lossary.circle_loss(x, LABELS), (X,)),
    "CLIP, ids": (lambda x, z: lossary.clip_loss(x, z, ids=IDS), (X, Z)),
    "multi-similarity": (lambda x: lossary.multi_similarity_loss(x, LABELS), (X,)),
    "SigLIP": (lossary.siglip_loss, (X, Z)),
    "SigLIP, ids, a bias that learns": (lambda x, z, b: lossary.siglip_loss(x, z, bias=b, ids=IDS), (X, Z, B[0] - 5)),
}  # fmt: skip


#: Of those, some that half precision is tried on.
HALVES = ("cross-entropy", "ArcFace", "SupCon", "SupCon, ids", "InfoNCE", "CLIP", "CLIP, a temperature that learns",
          "CLIP, ids", "SigLIP", "SigLIP, ids, a bias that learns")  # fmt: skip


@pytest.fixture
def by_triton(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every problem is a large one; what the kernels were asked for."""
    interpreter.small_tiles(monkeypatch)
    from lossary.kernels.fused import rows

    asked: list[str] = []
    kinds = ("row_{}", "set_{}"), ("statistics", "gradients")
    for name in (kind.format(what) for kind in kinds[0] for what in kinds[1]):
        found = getattr(rows, name)
        monkeypatch.setattr(rows, name, lambda *a, of=found, name=name, **k: (asked.append(name), of(*a, **k))[1])
    monkeypatch.setattr(switch, "ON", True)
    monkeypatch.setattr(formula, "CPU_PLAIN", -1)
    monkeypatch.setattr(switch, "PLAIN", -1)
    return asked


def derivatives(
    loss: Callable[..., Tensor], leaves: tuple[Tensor, ...], dtype: torch.dtype, order: int
) -> list[Tensor]:
    """The loss, its gradients, and those of its gradients' squares."""
    at = [t.to(dtype, copy=True).requires_grad_() for t in leaves]
    value = loss(*at)
    first = torch.autograd.grad(value.sum(), at, create_graph=order > 1)
    second: Any = torch.autograd.grad(sum(g.square().sum() for g in first), at) if order > 1 else ()  # pyright: ignore
    return [t.detach().to(F64) for t in (value, *first, *second)]


def assert_near(got: list[Tensor], want: list[Tensor], tolerance: float) -> None:
    for a, b in zip(got, want, strict=True):
        assert float((a - b).norm()) <= tolerance * float(b.norm())


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", LOSSES)
def test_public_losses_and_gradients(by_triton: list[str], name: str) -> None:
    loss, leaves = LOSSES[name]
    want = derivatives(loss, leaves, F64, 1)
    assert not by_triton, "float64 is not the kernels'"
    assert_near(derivatives(loss, leaves, torch.float32, 1), want, 5e-6)
    assert len(by_triton) >= 2 or name in ("hard negatives", "circle"), "the plain route has their sums and their map"


@pytest.mark.sample(3)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", HALVES)
def test_half_precision_is_multiplied_as_it_is(
    by_triton: list[str], monkeypatch: pytest.MonkeyPatch, name: str, dtype: torch.dtype
) -> None:
    """Scores are those of the rounded inputs; slopes and gradients are rounded once each."""
    loss, leaves = LOSSES[name]
    leaves = tuple(t.to(dtype).to(F64) if t.dim() == 2 else t for t in leaves)
    want = derivatives(loss, leaves, F64, 1)
    monkeypatch.setattr(device, "multiplies_half", lambda *_: True)
    at = [(t.to(dtype) if t.dim() == 2 else t.float()).requires_grad_() for t in leaves]
    value = loss(*at)
    assert value.dtype == torch.float32
    first = torch.autograd.grad(value, at)
    assert by_triton
    assert_near([value.detach().to(F64)], want[:1], 5e-6)
    assert_near([g.to(F64) for g in first], want[1:], {torch.float16: 1e-3, torch.bfloat16: 1e-2}[dtype])


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    "name",
    [
        "smoothed, bias, ignored",
        "ignored",
        "ArcFace",
        "SupCon, a temperature that learns, weights",
        "CLIP",
        "CLIP, a temperature that learns",
        "SigLIP",
    ],
)
def test_second_derivatives_come_through_the_operators(by_triton: list[str], name: str) -> None:
    loss, leaves = LOSSES[name]
    want = derivatives(loss, leaves, F64, 2)
    assert_near(derivatives(loss, leaves, torch.float32, 2), want, 3e-5)
    assert by_triton


@pytest.mark.parametrize("name", ["focal", "SupCon", "CLIP", "SigLIP"])
def test_a_compiler_sees_the_same_operators(by_triton: list[str], name: str) -> None:
    loss, leaves = LOSSES[name]
    want = derivatives(loss, leaves, torch.float32, 1)
    before = len(by_triton)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    assert_near(derivatives(compiled, leaves, torch.float32, 1), want, 1e-6)
    assert len(by_triton) > before


def test_several_centers_take_the_plain_route(by_triton: list[str]) -> None:
    def loss(x: Tensor, w: Tensor) -> Tensor:
        return lossary.arcface_loss(x, w.unflatten(0, (-1, 2)), Y % (C // 2))

    leaves = X, W[: C // 2 * 2]
    assert_near(derivatives(loss, leaves, torch.float32, 1), derivatives(loss, leaves, F64, 1), 1e-5)
    assert not by_triton


def test_off_by_default_and_never_imported_with_the_library() -> None:
    import subprocess
    import sys

    code = "import sys, lossary.functional, lossary.kernels.fused.switch as s; print(s.ON, 'triton' in sys.modules)"
    environment = {"PATH": "", "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_gradient_in_forward_is_left_to_the_plain_route(by_triton: list[str]) -> None:
    """Kernels that keep no score have nothing to save by it."""
    x = X.float().requires_grad_()
    loss = linear(ce, x, W.float(), Y)
    assert by_triton == ["row_statistics"]
    assert not isinstance(loss.grad_fn, routes.SummedLoss)

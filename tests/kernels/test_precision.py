"""What half precision costs where it is multiplied at once: operands and gradients by scores are rounded, no score."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import lossary.functional as F
from lossary import linear_loss
from lossary.core import device as _device
from lossary.kernels import products
from lossary.kernels.rows import blocks, symmetric, tiles
from lossary.kernels.rows import formula as rows

N, C, D = 64, 300, 32
G = torch.Generator().manual_seed(0)
W = torch.randn(C, D, generator=G)
Y = torch.randint(C, (N,), generator=G)
X = torch.randn(N, D, generator=G) + W[Y] / 2
ITEMS, FEW = torch.arange(C) % 9, Y % 9
BF16, F16 = torch.bfloat16, torch.float16

Loss = Callable[[Tensor, Tensor], Tensor]
HEADS: dict[str, Loss] = {
    "cross-entropy": lambda x, w: linear_loss(F.cross_entropy, x, w, Y),
    "bias": lambda x, w: linear_loss(F.cross_entropy, x, w, Y, w[:, 0]),
}
OTHERS: dict[str, Loss] = {
    "smoothed": lambda x, w: linear_loss(F.cross_entropy, x, w, Y, label_smoothing=0.1),
    "focal, each": lambda x, w: linear_loss(F.focal_loss, x, w, Y, reduction="none").mean(),
    "ArcFace": lambda x, w: F.arcface_loss(x, w, Y),
    "CosFace, a scale that learns": lambda x, w: F.cosface_loss(x, w, Y, scale=w[0, 0].abs().float() + 20),
    "CLIP": lambda x, w: F.clip_loss(x, w[:N]),
    "CLIP, ids": lambda x, w: F.clip_loss(x, w[:N], ids=FEW),
    "SigLIP": lambda x, w: F.siglip_loss(x, w[:N], bias=-3.0),
    "InfoNCE": lambda x, w: F.info_nce_loss(x, w[:N], temperature=0.3),
    "MNR, ids": lambda x, w: F.multiple_negatives_ranking_loss(x, w[:N], w[N:], scale=5.0, ids=FEW),
    "SupCon": lambda x, w: F.supcon_loss(x, FEW) + 0 * w.sum(),
    "SupCon, references": lambda x, w: F.supcon_loss(x, FEW, ref_embeddings=w, ref_labels=ITEMS),
    "NT-Xent": lambda x, w: F.nt_xent_loss(x, w[:N]),
    "multi-similarity": lambda x, w: F.multi_similarity_loss(x, FEW) + 0 * w.sum(),
}


@pytest.fixture(params=["plain", "a CPU's blocks", "an accelerator's blocks"])
def half_units(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the CPU multiplied half-precision matrices at once; what it gives is what a device that does gives."""
    monkeypatch.setattr(_device, "multiplies_half", lambda *_: True)
    if request.param != "plain":
        monkeypatch.setattr(rows, "CPU_PLAIN", -1)
        monkeypatch.setattr(rows, "ACCELERATOR_PLAIN", -1)
        monkeypatch.setattr(blocks, "block_rows", lambda *_: 17)
        monkeypatch.setattr(tiles, "tile_size", lambda _: 48)
    if request.param == "an accelerator's blocks":
        monkeypatch.setattr(_device, "by_cache", lambda _: False)


def found(loss: Loss, *inputs: Tensor, autocast: bool = False) -> list[Tensor]:
    """The loss and its gradients, in float64."""
    leaves = [t.clone().requires_grad_() for t in inputs]
    with torch.autocast("cpu", BF16, enabled=autocast):
        value = loss(*leaves)
    assert value.dtype == (torch.float64 if leaves[0].dtype == torch.float64 else torch.float32)
    gradients = torch.autograd.grad(value, leaves)
    assert [g.dtype for g in gradients] == [t.dtype for t in inputs]
    return [t.detach().double() for t in (value, *gradients)]


def errors(got: list[Tensor], right: list[Tensor]) -> list[float]:
    return [float((a - b).norm() / b.norm().clamp_min(1e-30)) for a, b in zip(got, right, strict=True)]


@pytest.mark.usefixtures("half_units")
@pytest.mark.parametrize("name", [*HEADS, *OTHERS])
def test_autocast_rounds_operands_and_slopes_alone(name: str, request: pytest.FixtureRequest) -> None:
    several = name in ("MNR, ids", "SupCon, references", "multi-similarity")
    in_blocks = request.node.callspec.params["half_units"] != "plain"
    # Blocks keep a row's only target apart, which has the largest slope.
    bound = 1.5e-3 if name in HEADS or (in_blocks and not several) else 2.1e-3
    loss = (HEADS | OTHERS)[name]
    x, w = X.to(BF16).float(), W.to(BF16).float()  # operands that lose nothing
    value, *gradients = errors(found(loss, x, w, autocast=True), found(loss, x.double(), w.double()))
    assert value <= 1e-6
    assert max(gradients) <= bound


@pytest.mark.usefixtures("half_units")
@pytest.mark.parametrize("dtype", [BF16, F16])
@pytest.mark.parametrize("name", [*HEADS, *OTHERS])
def test_half_precision_rounds_the_gradient_once_more(name: str, dtype: torch.dtype) -> None:
    loss = (HEADS | OTHERS)[name]
    x, w = X.to(dtype), W.to(dtype)
    got, right = found(loss, x, w), found(loss, x.double(), w.double())
    value, *gradients = errors(got, right)
    assert value <= 1e-6
    assert max(gradients) <= torch.finfo(dtype).eps / 2.5


@pytest.mark.usefixtures("half_units")
def test_small_gradients_stay_in_the_range_of_float16() -> None:
    """Rows that are nearly right: without a power of 2 their gradients by scores would be 0."""
    x, w = (6 * torch.eye(16)).to(F16), (4 * torch.eye(16)).to(F16)

    def loss(x: Tensor, w: Tensor) -> Tensor:
        return linear_loss(F.cross_entropy, x, w, torch.arange(16), reduction="sum") * 2**16

    assert max(errors(found(loss, x, w), found(loss, x.double(), w.double()))[1:]) < 1e-3


@pytest.mark.parametrize("spread", [1, 16, 32, 200])
@pytest.mark.parametrize(
    "name", ["cross-entropy", "ArcFace", "InfoNCE", "CLIP", "SupCon", "SigLIP", "SupCon, references"]
)
def test_no_product_has_a_subnormal_factor(name: str, spread: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products with one take 5 to 15 times as long on some processors, and trained scores are spread so widely."""
    monkeypatch.setattr(rows, "CPU_PLAIN", -1)
    monkeypatch.setattr(blocks, "block_rows", lambda *_: 17)
    monkeypatch.setattr(symmetric, "TILE", 40)
    x, w = X, W
    losses: dict[str, Loss] = HEADS | OTHERS | {
        "ArcFace": lambda x, w: F.arcface_loss(x, w, Y, scale=spread * 3.0),
        "InfoNCE": lambda x, w: F.info_nce_loss(x, w[:N], temperature=1 / (3 * spread)),
        "CLIP": lambda x, w: F.clip_loss(x, w[:N], temperature=1 / (3 * spread)),
        "SupCon": lambda x, w: F.supcon_loss(x + w[:N], FEW, temperature=1 / (3 * spread)),
        "SigLIP": lambda x, w: F.siglip_loss(x, w[:N], scale=3.0 * spread, bias=-3.0 * spread),
    }  # fmt: skip
    if name == "cross-entropy":
        x = x * (spread / (x @ w.T).std())
    right = found(losses[name], x.double(), w.double())
    multiplied = []

    def multiply_(out: Tensor, a: Tensor, b: Tensor, **rest: Any) -> Tensor:
        for factor in (a, b):
            size = factor.abs()
            assert not ((size > 0) & (size < torch.finfo(size.dtype).tiny)).any()
        multiplied.append(a)
        return products.multiply_(out, a, b, **rest)

    for module in (blocks, symmetric):
        monkeypatch.setattr(module, "multiply_", multiply_)
    got = found(losses[name], x, w)
    assert len(multiplied) > 4
    assert max(errors(got, right)) < 1e-4

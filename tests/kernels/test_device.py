"""Large batches without values: every way through the kernels gives shapes, as it must for who plans memory."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

import lossary
from lossary.core import device as _device
from lossary.kernels.rows import swept

N, D = 3000, 64


def learning(*shape: int, device: str) -> Tensor:
    return torch.empty(*shape, device=device, requires_grad=True)


def labels(n: int, device: str) -> Tensor:
    return torch.empty(n, dtype=torch.long, device=device)


#: A way through the kernels each: heads, sets, two ways, references, ids, triplets, blocks of elements, regions, order.
LARGE: dict[str, Callable[[str], tuple[Tensor, Tensor]]] = {
    "head": lambda d: both(lossary.arcface_loss, learning(N, D, device=d), learning(5000, D, device=d), labels(N, d)),
    "set": lambda d: both(lossary.supcon_loss, learning(N, D, device=d), labels(N, d)),
    "two ways": lambda d: both(lossary.clip_loss, learning(N, D, device=d), learning(N, D, device=d)),
    "references": lambda d: both(
        lossary.supcon_loss,
        learning(N, D, device=d),
        labels(N, d),
        ref_embeddings=learning(N, D, device=d),
        ref_labels=labels(N, d),
    ),
    "ids": lambda d: both(lossary.info_nce_loss, learning(N, D, device=d), learning(N, D, device=d), ids=labels(N, d)),
    "softplus": lambda d: both(lossary.siglip_loss, learning(N, D, device=d), learning(N, D, device=d)),
    "triplets": lambda d: both(lossary.triplet_loss, learning(N, D, device=d), labels(N, d)),
    "elements": lambda d: both(lossary.sigmoid_focal_loss, learning(2**20, device=d), labels(2**20, d)),
    "regions": lambda d: both(lossary.dice_loss, learning(2, 5, 2**18, device=d), labels(2**19, d).view(2, -1)),
    "order": lambda d: both(lossary.lovasz_softmax_loss, learning(2, 5, 2**18, device=d), labels(2**19, d).view(2, -1)),
}


def both(loss: Callable[..., Tensor], x: Tensor, *rest: Tensor, **kwargs: Tensor) -> tuple[Tensor, Tensor]:
    """A large loss, doubled as who accumulates does, and its gradient."""
    value = loss(x, *rest, **kwargs) * 2
    return value, torch.autograd.grad(value, x)[0]


@pytest.mark.parametrize("way", LARGE)
@pytest.mark.parametrize("device", ["fake", "meta"])
def test_large_batches_without_values_have_a_loss_and_a_gradient(way: str, device: str) -> None:
    if device == "fake":
        with FakeTensorMode():
            value, gradient = LARGE[way]("cpu")
    else:
        value, gradient = LARGE[way]("meta")
    assert (value.shape, value.dtype) == ((), torch.float32)
    assert gradient.dtype == torch.float32
    assert gradient.numel() > 2**17


def test_values_are_visible_where_they_are_and_nothing_records() -> None:
    x = torch.ones(3)
    with FakeTensorMode() as mode:
        fake = torch.ones(3)
    assert _device.values_visible(x, torch.nn.Parameter(x))
    assert not _device.values_visible(x, fake)
    assert not _device.values_visible(x.to("meta"))
    assert mode.from_tensor(x).is_cpu  # so that its device alone says nothing

    def recorded(y: Tensor) -> Tensor:
        assert _device.traced()
        assert not _device.values_visible(y)
        return y + 1

    for tracing in ("real", "fake", "symbolic"):
        assert make_fx(recorded, tracing_mode=tracing)(x)(x).sum() == 6
    assert not _device.traced()


@pytest.mark.parametrize(
    ("told", "own"),
    [({"SC_LEVEL2_CACHE_SIZE": 1 << 20}, 1 << 20), ({"SC_LEVEL2_CACHE_SIZE": 64 << 20}, 2 << 20), ({}, 512 << 10)],
    ids=["told", "too large", "untold"],
)
def test_pieces_of_several_threads_hold_twice_what_a_core_keeps_to_itself(
    told: dict[str, int], own: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_device.os, "sysconf_names", told)
    monkeypatch.setattr(_device.os, "sysconf", told.get)
    _device.own_cache.cache_clear()
    try:
        for threads, each in ((1, swept.PIECE), (3, 2 * own // 4)):  # float32
            monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
            assert swept.piece_size() == each * threads
    finally:
        _device.own_cache.cache_clear()

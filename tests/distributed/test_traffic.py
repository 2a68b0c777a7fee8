"""How often ranks exchange something in a step, and how many bytes of what: counted by torch's operators."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, distributed
from torch.utils.flop_counter import FlopCounterMode

import lossary
from distributed.counting import Traffic, traffic
from distributed.disagreements import join
from lossary import functional as L

N, D, C = 6, 4, 10
#: Of the meeting: whether a rank refuses, a hash and a number, 8 bytes each.
MEETING = 3 * 8


@pytest.fixture(scope="module", autouse=True)
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A group of one rank, which makes the calls of many, with N items for those of all."""
    join(0, 1, tmp_path_factory.mktemp("traffic"))
    yield
    distributed.destroy_process_group()


def items(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype).requires_grad_()


def step(run: Callable[..., Tensor], *args: Any) -> Traffic:
    return traffic(lambda: run(*args, group=distributed.group.WORLD).backward())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_batch_is_sent_in_its_own_dtype_and_its_gradient_added_up_in_float32(dtype: torch.dtype) -> None:
    counted = step(L.supcon_loss, items(N, D, dtype=dtype), torch.arange(N) % 2)
    assert counted.calls == ["gather"] * 3 + ["total", "sum"]
    assert counted.bytes["gather"] == MEETING + N * D * dtype.itemsize + N * 8
    assert counted.bytes["sum"] == N * D * 4


def test_clip_sends_one_tower_and_multiplies_once_for_both_directions() -> None:
    image, text = items(N, D, dtype=torch.float32), items(N, D, dtype=torch.float32)
    with FlopCounterMode(display=False) as products:
        counted = step(L.clip_loss, image, text)
    assert counted.calls == ["gather", "gather", "deal", "total", "deal", "sum"]
    assert counted.bytes["gather"] == MEETING + N * D * 4
    assert counted.bytes["deal"] == 2 * N * 4
    assert products.get_total_flops() == 3 * 2 * N * N * D  # scores, and a gradient for either tower


def test_a_sharded_head_sends_items_and_numbers_and_no_weight() -> None:
    head = lossary.ArcFaceLoss(C, D)
    assert distributed.group.WORLD is not None
    lossary.shard_classes(head, distributed.group.WORLD)
    x = items(N, D, dtype=torch.float32)
    counted = traffic(lambda: head(x, torch.arange(N)).backward())
    assert counted.calls == ["gather"] * 3 + ["deal", "total", "deal", "sum"]
    assert counted.bytes["gather"] == MEETING + N * D * 4 + N * 8
    assert counted.bytes["deal"] == 2 * N * 4 * 4  # four numbers a row, and their slopes
    assert counted.bytes["sum"] == N * D * 4


def test_a_ring_has_no_second_derivatives_and_says_so() -> None:
    x = items(N, D, dtype=torch.float32)
    with lossary.exchange_by("ring"):
        loss = L.supcon_loss(x, torch.arange(N) % 2, group=distributed.group.WORLD)
    with pytest.raises(RuntimeError, match="exchange_by: second derivatives want"):
        torch.autograd.grad(loss, x, create_graph=True)

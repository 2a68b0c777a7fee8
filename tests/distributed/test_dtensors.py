"""DTensors where they mean something, and a clear error where they do not; on one rank, which knows all of it."""

from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed import HashStore
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

import lossary
from lossary import functional as L

LABELS = torch.arange(6) % 3


@pytest.fixture(scope="module")
def mesh() -> Generator[DeviceMesh]:
    distributed.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def spread(mesh: DeviceMesh, *shape: int, over: int = 0) -> Any:
    from torch.distributed.tensor import Shard, distribute_tensor

    return distribute_tensor(torch.randn(shape), mesh, [Shard(over)])


#: By name, what is called with items that are a DTensor.
OF_ITEMS: dict[str, Callable[[Any], Tensor]] = {
    "embeddings": partial(L.supcon_loss, labels=LABELS),
    "anchor": lambda x: L.multiple_negatives_ranking_loss(x, x),
    "features": lambda x: lossary.linear_loss(L.cross_entropy, x, torch.randn(3, 4), LABELS),
}


@pytest.mark.parametrize("name", OF_ITEMS)
def test_items_are_the_ranks_own(name: str, mesh: DeviceMesh) -> None:
    with pytest.raises(TypeError, match=rf"^{name}: wanted this rank's own items, .*; got a DTensor: to_local\(\)"):
        OF_ITEMS[name](spread(mesh, 6, 4))


def test_weights_that_know_no_shards_say_so(mesh: DeviceMesh) -> None:
    x = torch.randn(6, 4)
    with pytest.raises(TypeError, match=r"^centers: wanted a whole tensor here; got one whose classes are spread"):
        L.center_loss(x, spread(mesh, 3, 4), LABELS)
    with pytest.raises(TypeError, match=r"^weight: wanted a whole tensor here"):
        L.soft_triple_loss(x, spread(mesh, 3, 2, 4), LABELS)
    with pytest.raises(ValueError, match=r"^weight: wanted a DTensor of placements \(Shard\(dim=0\),\)"):
        L.arcface_loss(x, spread(mesh, 3, 4, over=1), LABELS)


class Network(nn.Module):
    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        return self.head(x, labels)


@pytest.mark.parametrize("inside", [False, True], ids=["the head itself", "a network with its head"])
def test_a_head_in_fully_shard_is_the_same_head(inside: bool, mesh: DeviceMesh) -> None:
    from torch.distributed.fsdp import fully_shard

    head, x = lossary.ArcFaceLoss(num_classes=3, embedding_size=4), torch.randn(6, 4)
    whole, logits = head(x, LABELS), head.get_logits(x)
    whole.backward()
    assert head.weight.grad is not None
    expected, head.weight.grad = head.weight.grad, None
    if inside:
        network = Network(head)
        fully_shard(network, mesh=mesh)
        value = network(x, LABELS)
    else:
        fully_shard(head, mesh=mesh)
        value = head(x, LABELS)
    torch.testing.assert_close(value, whole)
    value.backward()
    grad: Any = head.weight.grad
    torch.testing.assert_close(grad.to_local(), expected)
    torch.testing.assert_close(head.get_logits(x), logits)

"""Losses of several processes under ``torch.compile``: they are called outside of the graph, and it says where."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn

from distributed.disagreements import join
from distributed.launch import launch
from lossary import functional as L

NAMES = ("supcon_loss", "dice_loss")


def step(name: str, network: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
    out = network(x)
    loss = getattr(L, name)(out, labels, group=distributed.group.WORLD)
    return 2 * loss


def of_a_rank(rank: int, folder: Path) -> None:
    join(rank, 2, folder)
    found: dict[str, Any] = {}
    for name in NAMES:
        torch.manual_seed(0)
        network = nn.Linear(4, 3)
        x, labels = torch.randn(7, 4), torch.arange(7) % 3
        own = slice(0, 3) if rank == 0 else slice(3, 7)  # unequal numbers
        values = []
        for run in (step, torch.compile(step, backend="eager")):
            value = run(name, network, x[own], labels[own])
            values.append((value.detach(), torch.autograd.grad(value, [*network.parameters()])))
        torch.compiler.reset()
        try:
            torch.compile(step, backend="eager", fullgraph=True)(name, network, x[own], labels[own])
            told = ""
        except torch._dynamo.exc.Unsupported as error:
            told = str(error)
        found[name] = (values, told)
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("compiled")
    launch(of_a_rank, 2, folder)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_around_the_loss_is_compiled(name: str, ranks: list[dict[str, Any]]) -> None:
    for found in ranks:
        ((value, grads), (compiled, compiled_grads)), told = found[name]
        torch.testing.assert_close(compiled, value)
        torch.testing.assert_close(compiled_grads, grads)
        assert name in told
        assert "torch.compiler.disable" in told

"""Two real processes with half of the batch each give what one process gives with all of it.

Data-parallel training averages the gradients of the ranks, and so does this comparison: the mean of the ranks'
losses is the loss of the whole batch, the mean of their gradients is its gradient.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor, distributed

from contract.subject import Subject, assert_close, is_per_item, items, select
from lossary._reduce import reduce
from lossary.catalogue import CATALOGUE

RANKS = 2
#: Uneven parts: only the global count makes the mean right.
PARTS = (slice(0, 2), slice(2, None))
SUBJECTS = [Subject(c, variant) for c in CATALOGUE if "group" in c.at_call for variant in c.variants]
VALUES = torch.tensor([0.5, -2.0, 3.0, 8.0, 1.25], dtype=torch.float64)
WEIGHTS = torch.tensor([1.0, 0.25, 0.0, 2.0, 1.5], dtype=torch.float64)
MASK = torch.tensor([True, False, True, True, True])

Result = tuple[Tensor, list[Tensor]]


def reduced(part: slice, **kwargs: Any) -> Result:
    values = VALUES[part].clone().requires_grad_()
    loss = reduce(values.square(), weight=WEIGHTS[part], mask=MASK[part], **kwargs)
    return loss.detach(), list(torch.autograd.grad(loss, [values]))


def of_a_rank(rank: int, folder: Path) -> None:
    """What one rank finds, saved as a file."""
    torch.set_num_threads(1)
    store = f"file://{folder / 'rendezvous'}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=RANKS)
    group, part = distributed.group.WORLD, PARTS[rank]
    found: dict[str, Result] = {"reduce": reduced(part, group=group)}
    found["nothing on one rank"] = reduced(part if rank else slice(0, 0), group=group)
    for subject in SUBJECTS:
        found[subject.id] = subject.grads(select(subject.draw(), part), group=group)
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Result]]:
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(of_a_rank, (folder,), nprocs=RANKS)
    return [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]


def test_mean_divides_by_what_all_ranks_count(ranks: list[dict[str, Result]]) -> None:
    loss, (grad,) = reduced(slice(None))
    assert_close(mean_loss(ranks, "reduce"), loss)
    assert_close(torch.cat([rank["reduce"][1][0] for rank in ranks]) / RANKS, grad)


def test_a_rank_with_nothing_to_average_takes_part(ranks: list[dict[str, Result]]) -> None:
    loss, (grad,) = reduced(PARTS[1])
    assert_close(mean_loss(ranks, "nothing on one rank"), loss)
    assert_close(ranks[1]["nothing on one rank"][1][0] / RANKS, grad)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.id)
def test_loss_of_the_ranks_is_the_loss_of_the_batch(subject: Subject, ranks: list[dict[str, Result]]) -> None:
    call = subject.draw()
    loss, grads = subject.grads(call)
    assert_close(mean_loss(ranks, subject.id), loss, 1e-11)
    for place, grad in enumerate(grads):
        parts = [rank[subject.id][1][place] for rank in ranks]
        whole = torch.cat(parts) if is_per_item(grad, items(call)) else sum(parts)
        assert_close(whole / RANKS, grad, 1e-11, f"gradient {place}")


def mean_loss(ranks: list[dict[str, Result]], name: str) -> Tensor:
    return sum(rank[name][0] for rank in ranks) / RANKS

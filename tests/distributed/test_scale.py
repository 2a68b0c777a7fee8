"""What a rank exchanges and holds among 2, 4 and 8 ranks: the formulas of the page on several processes, counted.

Of a ring each rank brings as many items however many ranks there are; of a sharded head it has as many classes, and all
ranks' batch is as large.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed

import lossary
from distributed.counting import Traffic, traffic
from distributed.disagreements import join
from distributed.launch import launch
from lossary import functional as L

RANKS = (2, 4, 8)
#: Items of a rank, numbers an item, items of all ranks beside sharded classes, classes of a rank.
EACH, SIZE, ALL, SHARD = 8, 256, 32, 64
MEETING = 3 * 8
Counts = dict[str, Any]


def items(count: int) -> Tensor:
    return torch.randn(count, SIZE, requires_grad=True)


def counts(run: Any) -> Counts:
    counted: Traffic = traffic(run)
    return {"calls": counted.calls, "bytes": dict(counted.bytes), "peak": counted.peak}


def within_a_batch(way: Any, group: Any) -> Counts:
    x, labels = items(EACH), torch.arange(EACH) % 2
    with lossary.exchange_by(way):
        return counts(lambda: L.supcon_loss(x, labels, group=group).backward())


def sharded(size: int, group: Any) -> Counts:
    with torch.device("meta"):
        head = lossary.ArcFaceLoss(SHARD * size, SIZE)
    lossary.shard_classes(head, group)
    x, labels = items(ALL // size), torch.arange(ALL // size)
    return counts(lambda: head(x, labels).backward())


def of_a_rank(rank: int, folder: Path) -> None:
    join(rank, max(RANKS), folder)
    groups = {size: distributed.new_group(list(range(size))) for size in RANKS}
    found: dict[tuple[str, int], Counts] = {}
    for size, group in groups.items():
        if rank < size:
            found["gather", size] = within_a_batch("gather", group)
            found["ring", size] = within_a_batch("ring", group)
            found["shards", size] = sharded(size, group)
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[tuple[str, int], Counts]]:
    folder = tmp_path_factory.mktemp("scale")
    launch(of_a_rank, max(RANKS), folder)
    return [torch.load(folder / f"{rank}.pt") for rank in range(max(RANKS))]


@pytest.mark.parametrize("size", RANKS)
def test_a_ring_passes_each_rank_s_items_and_their_gradients(size: int, ranks: list[Any]) -> None:
    block = EACH * SIZE * 4
    for counted in (rank["ring", size] for rank in ranks[:size]):
        forward, backward = ["send", "receive"] * (size - 1), ["send", "receive"] * (2 * size - 1)
        assert counted["calls"] == ["gather", "gather", *forward, "total", *backward]
        assert counted["bytes"]["receive"] == (size - 1) * block + (2 * size - 1) * block
        assert counted["bytes"]["gather"] == size * (MEETING + EACH * 8)


@pytest.mark.parametrize("size", RANKS)
def test_gathering_and_shards_make_as_many_exchanges_among_more_ranks(size: int, ranks: list[Any]) -> None:
    for counted in (rank["gather", size] for rank in ranks[:size]):
        assert counted["calls"] == ["gather"] * 3 + ["total", "sum"]
        assert counted["bytes"]["gather"] == size * (MEETING + EACH * SIZE * 4 + EACH * 8)
        assert counted["bytes"]["sum"] == EACH * SIZE * 4
    own = ALL // size
    for counted in (rank["shards", size] for rank in ranks[:size]):
        assert counted["calls"] == ["gather"] * 3 + ["deal", "total", "deal", "sum"]
        assert counted["bytes"]["gather"] == size * MEETING + ALL * SIZE * 4 + ALL * 8
        assert counted["bytes"]["deal"] == size * own * 4 * 4 + ALL * 4 * 4
        assert counted["bytes"]["sum"] == own * SIZE * 4


def test_what_a_rank_holds_does_not_grow_with_the_ranks(ranks: list[Any]) -> None:
    peaks = {way: [ranks[0][way, size]["peak"] for size in RANKS] for way in ("gather", "ring", "shards")}
    assert peaks["shards"][-1] < 1.05 * peaks["shards"][0], peaks
    # Among two ranks what goes on and what comes are of the same two.
    assert peaks["ring"][-1] < 1.05 * peaks["ring"][1] < 1.2 * peaks["ring"][0], peaks
    assert peaks["gather"][-1] > 3 * peaks["gather"][0]  # so that growing is seen

"""A head whose classes are spread over ranks is the head that one process has: value, gradients, training."""

import json
from pathlib import Path

import pytest
import torch

import lossary
from distributed import heads
from distributed.heads import ROWS, WORLD, Found
from distributed.launch import launch
from lossary.testing.laws.subject import assert_close

HEADS = [name for name, _ in heads.heads()]
#: What needs all classes at once says so.
REFUSED = {"soft_triple_loss"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    launch(heads.of_a_rank, WORLD, folder)
    return folder


@pytest.fixture(scope="module")
def ranks(folder: Path) -> list[dict[str, Found]]:
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("size", ROWS)
def test_a_sharded_head_is_the_whole_one(size: int, name: str, ranks: list[dict[str, Found]]) -> None:
    found = [rank[f"{size}: {name}"] for rank in ranks[:size]]
    if any(loss in name for loss in REFUSED):
        assert all("wanted a whole tensor" in rank["refused"] for rank in found)
        return
    assert not any("refused" in rank for rank in found), found
    dtype = heads.dtype_of(size)
    whole = heads.whole(dict(heads.heads(dtype))[name])
    by_x, *by_weights = whole["grads"]
    close = 1e-10 if dtype == torch.float64 else 1e-4
    assert_close(torch.stack([r["loss"] for r in found]).mean(), whole["loss"], close)
    assert_close(torch.cat([r["x"] for r in found]) / size, by_x, close)
    for place, expected in enumerate(by_weights):
        assert_close(torch.cat([r["weights"][place] for r in found]), expected, close)


def test_of_each_shard_some_classes_are_scored(ranks: list[dict[str, Found]]) -> None:
    x, labels = heads.drawn(9, heads.SIZE), heads.SPARSE
    torch.manual_seed(5)
    weight = lossary.ArcFaceLoss(heads.MANY, heads.SIZE).double().weight.detach()
    by_weight = torch.cat([rank["sampled"]["weight"] for rank in ranks])
    chosen = by_weight.abs().sum(1).nonzero()[:, 0]
    assert set(labels.tolist()) <= set(chosen.tolist())
    assert len(chosen) == 4 * 9  # of the ten of each shard
    few = weight[chosen].requires_grad_()
    loss = lossary.arcface_loss(x, few, torch.searchsorted(chosen, labels), scale=8.0)
    loss.backward()
    assert_close(torch.stack([rank["sampled"]["loss"] for rank in ranks]).mean(), loss.detach(), 1e-10)
    assert_close(by_weight[chosen], few.grad, 1e-10)


def test_a_training_goes_on_with_fewer_ranks_and_on_one(folder: Path) -> None:
    expected = heads.alone()
    for rank, steps in ((0, 50), (1, 35), (3, 20)):
        curve = json.loads((folder / f"curve-{rank}.json").read_text())
        assert curve == pytest.approx(expected[:steps], abs=1e-8)
    assert expected[-1] < 0.8 * expected[0]

"""Modules that remember their batches: on several ranks it is what one process with the whole batch remembers."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn

import lossary
from distributed.disagreements import join
from distributed.launch import launch
from lossary.testing.laws.subject import assert_close

F64 = torch.float64
#: How many items each rank brings in turn: uneven, and none.
STEPS = {1: ((9,), (9,), (9,)), 2: ((2, 7), (9, 0), (4, 5)), 4: ((3, 0, 5, 1), (1, 6, 0, 2), (0, 0, 9, 0))}
WORLD, CLASSES, SIZE = 4, 4, 3
Make = Callable[[], nn.Module]
#: A Module that is made anew, and whether it is called with two embeddings.
MODULES: dict[str, tuple[Make, bool]] = {
    "adaface": (lambda: lossary.AdaFaceLoss(CLASSES, SIZE, scale=8.0), False),
    "adaface, exact": (lambda: lossary.AdaFaceLoss(CLASSES, SIZE, scale=8.0, gradient="exact"), False),
    "curricularface": (lambda: lossary.CurricularFaceLoss(CLASSES, SIZE, scale=8.0), False),
    "moving centers": (lambda: lossary.MovingCenterLoss(CLASSES, SIZE), False),
    "class means": (lossary.ClassMeanCenterLoss, False),
    "proxy anchor": (lambda: lossary.ProxyAnchorLoss(CLASSES, SIZE, scale=8.0), False),
    "queue of supcon": (lambda: lossary.Queue(lossary.SupConLoss(), 13, SIZE, weight=0.5), False),
    "queue of triplet": (lambda: lossary.Queue(lossary.TripletLoss(margin=0.5), 13, SIZE), False),
    "queue of contrastive": (lambda: lossary.Queue(lossary.ContrastiveLoss(margin=3.0), 40, SIZE), False),
    "queue of infonce": (lambda: lossary.Queue(lossary.InfoNCELoss(), 13, SIZE), True),
    "queue of ranking": (lambda: lossary.Queue(lossary.MultipleNegativesRankingLoss(), 13, SIZE), True),
}
#: Of every state and gradient.
CLOSE = 1e-10


def batches(pairs: bool) -> Iterator[tuple[Tensor, Tensor, dict[str, Tensor]]]:
    generator = torch.Generator().manual_seed(2)
    for step in range(3):
        x, y = (torch.randn(9, SIZE, generator=generator, dtype=F64) for _ in range(2))
        labels = torch.randint(CLASSES, (9,), generator=generator)
        mask = {"mask": torch.arange(9) != 4} if step else {}
        yield x, y if pairs else labels, mask


def trained(name: str, sizes: Any, rank: int, group: Any) -> dict[str, Any]:
    """Three steps of one rank: losses, gradients, and the state at the end."""
    torch.manual_seed(1)
    make, pairs = MODULES[name]
    module = make().double()
    found: dict[str, Any] = {"loss": [], "x": [], "parameters": []}
    for part, (first, second, given) in zip(sizes, batches(pairs), strict=True):
        here = slice(sum(part[:rank]), sum(part[: rank + 1]))
        x = first[here].clone().requires_grad_()
        loss = module(x, second[here], group=group, **{n: t[here] for n, t in given.items()})
        module.zero_grad()
        loss.backward()
        found["loss"].append(loss.detach())
        found["x"].append(x.grad)
        found["parameters"].append([p.grad for p in module.parameters() if p.grad is not None])
    return {**found, "state": module.state_dict()}


def of_a_rank(rank: int, folder: Path) -> None:
    join(rank, WORLD, folder)
    groups = {size: distributed.new_group(list(range(size))) for size in STEPS}
    found = {
        (size, name): trained(name, STEPS[size], rank, group)
        for size, group in groups.items()
        if rank < size
        for name in MODULES
    }
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[tuple[int, str], Any]]:
    folder = tmp_path_factory.mktemp("memories")
    launch(of_a_rank, WORLD, folder)
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("size", STEPS)
def test_ranks_remember_what_one_process_does(size: int, name: str, ranks: list[dict[tuple[int, str], Any]]) -> None:
    whole, found = trained(name, STEPS[1], 0, None), [rank[size, name] for rank in ranks[:size]]
    for step in range(3):
        assert_close(torch.stack([r["loss"][step] for r in found]).mean(), whole["loss"][step], CLOSE)
        assert_close(torch.cat([r["x"][step] for r in found]) / size, whole["x"][step], CLOSE)
        for place, expected in enumerate(whole["parameters"][step]):
            assert_close(sum(r["parameters"][step][place] for r in found) / size, expected, CLOSE)
    for rank in found:
        assert rank["state"].keys() == whole["state"].keys()
        for key, expected in whole["state"].items():
            assert_close(rank["state"][key], expected, CLOSE)


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("queue")])
def test_a_queue_goes_on_from_its_state(name: str) -> None:
    make, pairs = MODULES[name]
    first, second = make().double(), make().double()
    *before, (x, y, given) = batches(pairs)
    for batch, other, more in before:
        first(batch, other, **more)
    second.load_state_dict(first.state_dict())
    third = copy.deepcopy(first)
    expected = first(x, y, **given)
    assert all(torch.equal(module(x, y, **given), expected) for module in (second, third))


def test_a_queue_holds_the_last_items_that_count() -> None:
    queue = lossary.Queue(lossary.SupConLoss(), 5, 1).double()
    for first, count in ((0, 3), (3, 4), (7, 12)):
        x = torch.arange(first, first + count, dtype=F64)[:, None] + 1
        queue(x, torch.arange(first, first + count), mask=torch.arange(count) != 1)
    embeddings, labels = queue.kept()
    assert sorted(labels.tolist()) == [14, 15, 16, 17, 18]
    assert torch.equal(embeddings[:, 0], labels.double() + 1)
    queue.eval()(x, torch.arange(12))
    assert torch.equal(queue.kept()[1], labels)


def test_a_queue_is_more_references_and_moco_s_negatives() -> None:
    x, y, earlier = (torch.randn(6, SIZE, dtype=F64, generator=torch.Generator().manual_seed(k)) for k in range(3))
    labels, of_earlier = torch.arange(6) % 3, torch.arange(6) % 2
    queue = lossary.Queue(lossary.ContrastiveLoss(margin=3.0), 40, SIZE, weight=0.25).double()
    queue.push(earlier, of_earlier)
    loss = lossary.contrastive_loss
    beside = loss(x, labels, margin=3.0, ref_embeddings=earlier, ref_labels=of_earlier)
    assert_close(queue(x, labels), loss(x, labels, margin=3.0) + 0.25 * beside, 1e-12)
    moco = lossary.Queue(lossary.InfoNCELoss(temperature=0.2), 40, SIZE).double()
    moco.push(earlier)
    q, k, old = (torch.nn.functional.normalize(t) for t in (x, y, earlier))
    scores = torch.cat([(q * k).sum(1, keepdim=True), q @ old.T], 1) / 0.2
    expected = torch.nn.functional.cross_entropy(scores, torch.zeros(6, dtype=torch.int64))
    assert_close(moco(x, y), expected, 1e-12)


def test_a_queue_wants_a_loss_that_compares_with_more() -> None:
    for loss in (lossary.FocalLoss(), lossary.GISTEmbedLoss(), lossary.SigLIPLoss()):
        with pytest.raises(TypeError, match="loss: wanted a loss that takes ref_embeddings"):
            lossary.Queue(loss, 4, SIZE)

"""The rest of the table on several processes: other precisions, second gradients, cached encoders, scores of shards.

Values and gradients in float64 are in test_group.py and test_heads.py, of every loss. A usual run takes some of all
this, and ``LOSSARY_TESTS=whole`` takes all.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn

import lossary
import samples
from distributed import heads
from distributed.disagreements import join
from distributed.launch import launch
from distributed.test_group import PARTS
from lossary.catalogue import CATALOGUE
from lossary.testing.laws.subject import Subject, as_function, is_per_item, items, select
from usual import some

F64, F32, BF16 = torch.float64, torch.float32, torch.bfloat16
WORLD = 4
#: How far from one process in the same precision, as a share of the largest entry: a gradient in bfloat16 is rounded to
#: 8 bits on each rank, and once more where the ranks' are averaged.
CLOSE = {F64: 1e-10, F32: 1e-5, BF16: 2**-7}
SIZES = {2: PARTS["two"], 3: PARTS["three"], 4: (slice(0, 1), slice(1, 1), slice(1, 4), slice(4, None))}
SUBJECTS = {
    subject.id: subject
    for card in CATALOGUE
    if "group" in card.at_call
    for variant in samples.of(card).variants
    for subject in [Subject(card, variant, samples.of(card))]
}
HEADS = [name for name, _ in heads.heads() if "soft_triple" not in name]


#: What is taken, and by which names: (kind, number of ranks, name).
CASES = [
    (kind, size, name)
    for kind, names, share in (
        ("float32", SUBJECTS, 12),
        ("bfloat16", SUBJECTS, 12),
        ("second", SUBJECTS, 12),
        ("cached", SUBJECTS, 12),
        ("head in bfloat16", HEADS, 9),
        ("head, second", HEADS, 9),
    )
    for size in SIZES
    for name in some(names, share, (kind, size))
]
Found = tuple[Tensor, list[Tensor]]


def first_order(subject: Subject, part: slice, dtype: torch.dtype, group: Any = None) -> Found:
    return subject.grads(select(subject.draw(dtype=dtype), part), **({} if group is None else {"group": group}))


def second_order(subject: Subject, part: slice, dtype: torch.dtype, group: Any = None) -> Found | None:
    """The gradient of the gradients' squares, where all that learns is of items: on W ranks first ones are W-fold."""
    whole = subject.draw(dtype=dtype)
    if not all(is_per_item(leaf, items(whole)) for leaf in as_function(subject, whole)[0]):
        return None
    leaves, run = as_function(subject, select(whole, part), **({} if group is None else {"group": group}))
    ranks = 1 if group is None else distributed.get_world_size(group)
    first = torch.autograd.grad(run(*leaves).sum(), leaves, create_graph=True, allow_unused=True)
    penalty = sum((g.square().sum() for g in first if g is not None), torch.zeros((), dtype=dtype)) / ranks**2
    if not penalty.requires_grad:  # everywhere linear
        return penalty.detach(), [torch.zeros_like(leaf) for leaf in leaves]
    second = torch.autograd.grad(penalty, leaves, allow_unused=True)
    # One process's penalty is the ranks' sum, where a mean is compared.
    return penalty.detach() * ranks, [
        torch.zeros_like(x) if g is None else g * ranks for x, g in zip(leaves, second, strict=True)
    ]


def cached(subject: Subject, part: slice, group: Any = None) -> Found | None:
    """An encoder before the first argument, whose activations are made twice, two items at a time."""
    call = select(subject.draw(), part)
    x, *rest = call.args
    if not subject.card.takes[0].startswith(("embeddings", "anchor")) or x.dim() != 2:
        return None
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(x.shape[1], 5), nn.Tanh(), nn.Linear(5, x.shape[1])).double()
    encode = encoder if group is None else lossary.Cached(encoder, 2)
    loss = subject.card.fn(encode(x), *rest, **call.kwargs, **({} if group is None else {"group": group}))
    grads = torch.autograd.grad(loss.sum(), [*encoder.parameters()], allow_unused=True)
    return loss.detach(), [
        p.new_zeros(p.shape) if g is None else g for p, g in zip(encoder.parameters(), grads, strict=True)
    ]


def of_head(name: str, dtype: torch.dtype, second: bool, rank: int, sizes: Any, group: Any) -> Found:
    """A head's loss and gradients by items and weights; or those of the squares of its gradients by items."""
    head = dict(heads.heads(dtype))[name]
    here = slice(sum(sizes[:rank]), sum(sizes[: rank + 1])) if group is not None else slice(None)
    ranks = 1 if group is None else len(sizes)
    x = head.x[here].clone().requires_grad_()
    weights = [w.clone() for w in head.weights]
    if group is not None:
        from torch.distributed.device_mesh import DeviceMesh
        from torch.distributed.tensor import Shard, distribute_tensor

        mesh = DeviceMesh.from_group(group, "cpu")
        weights = [distribute_tensor(w, mesh, [Shard(0)]) for w in weights]
    weights = [w.requires_grad_() for w in weights]
    loss = head.run(x, *weights, head.labels[here], **{n: t[here] for n, t in head.own.items()})
    if second:
        (first,) = torch.autograd.grad(loss, [x], create_graph=True)
        loss = first.square().sum() / ranks  # W times the whole one's on each rank, and their mean
    by_x, *by_weights = torch.autograd.grad(loss, [x, *weights], allow_unused=True)
    local = [getattr(g, "to_local", lambda g=g: g)() for g in by_weights if g is not None]
    return loss.detach(), [torch.zeros_like(x) if by_x is None else by_x, *local]


def find(kind: str, size: int, name: str, rank: int, group: Any) -> Found | None:
    if kind.startswith("head"):
        dtype = BF16 if "bfloat16" in kind else F64
        return of_head(name, dtype, "second" in kind, rank, heads.ROWS[size], group)
    subject, part = SUBJECTS[name], slice(None) if group is None else SIZES[size][rank]
    if kind == "cached":
        return cached(subject, part, group)
    if kind == "second":
        return second_order(subject, part, F64, group)
    return first_order(subject, part, getattr(torch, kind), group)


def of_a_rank(rank: int, folder: Path) -> None:
    join(rank, WORLD, folder)
    groups = {size: distributed.new_group(list(range(size))) for size in SIZES}
    found: dict[Any, Any] = {}
    for case in CASES:
        if rank < case[1]:
            found[case] = find(*case, rank, groups[case[1]])
    found["logits"] = logits(rank, groups)
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


def logits(rank: int, groups: Any) -> dict[tuple[str, int], Tensor]:
    """The scores that sharded heads give for inference, of as many items on each rank."""
    found: dict[tuple[str, int], Tensor] = {}
    for size, group in groups.items():
        for name, head in inference().items():
            if rank < size:
                lossary.shard_classes(head, group)
                found[name, size] = head.get_logits(heads.drawn(3, heads.SIZE, seed=rank))
    return found


def inference() -> dict[str, Any]:
    torch.manual_seed(7)
    made: dict[str, Any] = {
        "cosines": lossary.ArcFaceLoss(5, heads.SIZE),
        "sub-centers": lossary.ArcFaceLoss(5, heads.SIZE, sub_centers=2),
        "linear": lossary.LinearHead(lossary.CrossEntropyLoss(), num_classes=5, embedding_size=heads.SIZE),
    }
    return {name: head.double() for name, head in made.items()}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, Any]]:
    folder = tmp_path_factory.mktemp("exactness")
    launch(of_a_rank, WORLD, folder)
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: ", ".join(map(str, case)))
def test_ranks_find_what_one_process_does(case: tuple[str, int, str], ranks: list[dict[Any, Any]]) -> None:
    kind, size, name = case
    whole, found = find(*case, 0, None), [rank[case] for rank in ranks[:size]]
    if whole is None:
        assert found == [None] * size
        return
    close = CLOSE[getattr(torch, kind.removeprefix("head in "), F64)]
    assert_near(
        torch.stack([r[0].double() for r in found]).mean(0) if whole[0].dim() == 0 else whole[0], whole[0], close
    )
    count = 9 if kind.startswith("head") else items(SUBJECTS[name].draw())
    for place, expected in enumerate(whole[1]):
        parts = [r[1][place].double() for r in found]
        by_item = (kind.startswith("head") and place == 0) or (kind != "cached" and is_per_item(expected, count))
        if kind.startswith("head") and place > 0:  # a shard of a weight has the average already
            assert_near(torch.cat(parts), expected, close)
        else:
            assert_near((torch.cat(parts) if by_item else torch.stack(parts).sum(0)) / size, expected, close)


@pytest.mark.parametrize("name", inference())
@pytest.mark.parametrize("size", SIZES)
def test_a_sharded_head_scores_all_classes(size: int, name: str, ranks: list[dict[Any, Any]]) -> None:
    for rank in range(size):
        expected = inference()[name].get_logits(heads.drawn(3, heads.SIZE, seed=rank))
        assert_near(ranks[rank]["logits"][name, size], expected.detach(), 1e-12)


def assert_near(got: Tensor, wanted: Tensor, close: float) -> None:
    """Within a share of the largest entry, and of 1 for what is less."""
    assert got.shape == wanted.shape
    bound = close * max(1.0, float(wanted.abs().max()) if wanted.numel() else 0.0)
    assert ((got.double() - wanted.double()).abs() <= bound).all(), (got, wanted)

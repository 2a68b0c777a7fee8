"""Heads whose classes are spread over ranks: what each rank finds, for all heads and numbers of ranks in one spawn."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

import lossary
from distributed.disagreements import join
from lossary import functional as L
from lossary.catalogue import CATALOGUE
from lossary.compose.linear import _OVER_FEATURES, linear_loss
from lossary.kernels.rows import formula

F64 = torch.float64
#: How many items each rank brings, by the number of ranks: even, uneven, and none.
ROWS = {1: (9,), 2: (2, 7), 3: (3, 3, 3), 4: (3, 0, 5, 1)}
#: Of four ranks the last one has no class.
CLASSES, SIZE = 5, 4
WORLD = 4
Run = Callable[..., Tensor]
Found = dict[str, Any]


@dataclass(frozen=True)
class Head:
    """A head's loss of items and weights, and what it is called with beside; ``own`` has one entry an item."""

    run: Run
    weights: tuple[Tensor, ...]
    own: dict[str, Tensor]
    x: Tensor
    labels: Tensor


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


def heads(dtype: torch.dtype = F64) -> Iterator[tuple[str, Head]]:
    x, labels = drawn(9, SIZE, dtype=dtype), torch.tensor([0, 4, 1, 2, 3, 3, 0, 4, 2])
    w, b = drawn(CLASSES, SIZE, seed=1, dtype=dtype), drawn(CLASSES, seed=2, dtype=dtype)
    weigh = {"sample_weight": drawn(9, seed=3).abs(), "mask": torch.arange(9) != 4}
    centers = drawn(CLASSES, 3, SIZE, seed=4, dtype=dtype)
    for card in CATALOGUE:
        if card.takes != ("embeddings-weight-labels",):
            continue
        yield card.name, Head(card.fn, (w,), {}, x, labels)
        if card.at_call >= {"sample_weight", "mask"}:
            yield f"{card.name}, weights", Head(card.fn, (w,), weigh, x, labels)
    yield "sub-centers", Head(L.arcface_loss, (centers,), {}, x, labels)
    margins = {"margin": drawn(9, seed=5).abs() / 4}
    yield "margins by row", Head(L.cosface_loss, (w,), margins, x, labels)
    with_lengths = partial(L.normalized_softmax_loss, normalize_embeddings=False)
    yield "with lengths", Head(with_lengths, (w,), weigh, x, labels)
    shares, of_classes = drawn(9, CLASSES, seed=6).softmax(1), drawn(CLASSES, seed=7).abs()
    counts = torch.tensor([5.0, 1.0, 0.0, 20.0, 7.0])

    def linear(name: str, own: dict[str, Tensor] = {}, target: Tensor = labels, **more: Any) -> Head:  # noqa: B006
        module = getattr(lossary, name)(**more)
        return Head(lambda x, w, b, y, **k: linear_loss(module, x, w, y, b, **k), (w, b), own, x, target)

    for fn in _OVER_FEATURES:
        name = next(card.module.__name__ for card in CATALOGUE if card.fn is fn)
        yield f"linear {fn.__name__}", linear(name)
        yield f"linear {fn.__name__}, weights", linear(name, weigh)
    smooth = {"label_smoothing": 0.2}
    yield "smoothing", linear("CrossEntropyLoss", weigh, **smooth)
    yield "class weights, smoothing", linear("CrossEntropyLoss", weigh, weight=of_classes, **smooth)
    yield "soft targets", linear("CrossEntropyLoss", weigh, shares, weight=of_classes, **smooth)
    yield "class counts", linear("LogitAdjustedLoss", weigh, class_counts=counts)
    yield "rare classes", linear("LDAMLoss", weigh, class_counts=counts)
    yield "focal by class", linear("FocalLoss", weigh, alpha=of_classes, class_weight=of_classes)


def whole(head: Head) -> Found:
    """What one process finds with everything."""
    leaves = [t.clone().requires_grad_() for t in (head.x, *head.weights)]
    loss = head.run(*leaves, head.labels, **head.own)
    return {"loss": loss.detach(), "grads": torch.autograd.grad(loss, leaves)}


def of_part(head: Head, rank: int, mesh: Any, sizes: tuple[int, ...]) -> Found:
    """What one rank finds with its items and its classes."""
    from torch.distributed.tensor import Shard, distribute_tensor

    first = sum(sizes[:rank])
    part = slice(first, first + sizes[rank])
    x = head.x[part].clone().requires_grad_()
    weights = [distribute_tensor(w.clone(), mesh, [Shard(0)]).requires_grad_() for w in head.weights]
    try:
        loss = head.run(x, *weights, head.labels[part], **{name: t[part] for name, t in head.own.items()})
    except TypeError as error:
        return {"refused": str(error)}
    loss.backward()
    assert x.grad is not None
    return {"loss": loss.detach(), "x": x.grad, "weights": [w.grad.to_local() for w in weights]}  # pyright: ignore


def of_a_rank(rank: int, folder: Path) -> None:
    """Every head among 1, 2, 3 and 4 ranks; three of them by blocks of scores, two in float32."""
    from torch.distributed.device_mesh import DeviceMesh

    join(rank, WORLD, folder)
    groups = {size: distributed.new_group(list(range(size))) for size in ROWS}
    found: dict[str, Found] = {}
    for size, group in groups.items():
        if rank < size:
            mesh, rows = DeviceMesh.from_group(group, "cpu"), ROWS[size]
            formula.CPU_PLAIN = 0 if size == 3 else 1 << 18
            for name, head in heads(dtype_of(size)):
                found[f"{size}: {name}"] = of_part(head, rank, mesh, rows)
    found["sampled"] = sampled(rank, groups[WORLD])
    torch.save(found, folder / f"{rank}.pt")
    distributed.barrier()
    trained(rank, folder, groups)
    distributed.destroy_process_group()


#: Of many classes those of a batch, each shard's part of which is less than it has.
MANY = 40
SPARSE = torch.tensor([0, 31, 0, 2, 14, 14, 0, 39, 2])


def sampled(rank: int, group: Any) -> Found:
    """A head that scores some classes of each shard, which are told."""
    torch.manual_seed(5)
    head = lossary.ArcFaceLoss(MANY, SIZE, scale=8.0).double()
    lossary.shard_classes(head, group)
    x, labels = drawn(9, SIZE), SPARSE
    part = slice(sum(ROWS[WORLD][:rank]), sum(ROWS[WORLD][: rank + 1]))
    loss = lossary.SampledClasses(head, rate=0.2)(x[part], labels[part])
    loss.backward()
    assert head.weight.grad is not None
    return {"loss": loss.detach(), "weight": head.weight.grad.to_local()}  # pyright: ignore


def dtype_of(size: int) -> torch.dtype:
    return torch.float32 if size == 2 else F64


# ---------------------------------------------------------------- a training that goes on with fewer ranks

#: Steps, and how many ranks make them.
STEPS = ((4, 20), (2, 15), (1, 15))
BATCH = 12


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(11)
    for _ in range(sum(steps for _, steps in STEPS)):
        yield (
            torch.randn(BATCH, 6, generator=generator, dtype=F64),
            torch.randint(CLASSES, (BATCH,), generator=generator),
        )


def made() -> nn.ModuleDict:
    torch.manual_seed(3)
    encoder = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, SIZE))
    return nn.ModuleDict({"encoder": encoder, "head": lossary.ArcFaceLoss(CLASSES, SIZE, scale=8.0)}).double()


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=0.01)


def step(model: nn.ModuleDict, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, group: Any) -> float:
    """The loss over all ranks; the encoder's gradients are averaged as data-parallel training does."""
    optimizer.zero_grad()
    loss = model["head"](model["encoder"](x), y)
    loss.backward()
    loss = loss.detach()
    if group is not None:
        size = distributed.get_world_size(group)
        for tensor in (loss, *(p.grad for p in model["encoder"].parameters() if p.grad is not None)):
            distributed.all_reduce(tensor, group=group)
            tensor.div_(size)
    optimizer.step()
    return loss.item()


def alone() -> list[float]:
    model = made()
    optimizer = adam(model)
    return [step(model, optimizer, x, y, None) for x, y in batches()]


def trained(rank: int, folder: Path, groups: dict[int, Any]) -> None:
    """Four ranks, of which two go on from a checkpoint, and then one from theirs, with whole weights."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

    losses: list[float] = []
    data, saved = batches(), None
    for size, steps in STEPS:
        group, mine = groups[size], [next(data) for _ in range(steps)]
        if rank >= size:
            continue
        model = made()
        if size > 1:
            lossary.shard_classes(model["head"], group)
        optimizer = adam(model)
        whole = {"no_dist": True} if size == 1 else {"process_group": group}
        if saved is not None:
            state = dict(zip(("model", "optimizer"), get_state_dict(model, optimizer), strict=True))
            dcp.load(state, checkpoint_id=saved, **whole)
            set_state_dict(model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])
        part = slice(rank * BATCH // size, (rank + 1) * BATCH // size)
        losses += [step(model, optimizer, x[part], y[part], group if size > 1 else None) for x, y in mine]
        saved = str(folder / f"after-{size}")
        if size > 1:
            state = dict(zip(("model", "optimizer"), get_state_dict(model, optimizer), strict=True))
            dcp.save(state, checkpoint_id=saved, **whole)
    (folder / f"curve-{rank}.json").write_text(json.dumps(losses))

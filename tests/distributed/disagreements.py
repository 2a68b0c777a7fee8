"""Two ranks that do not ask for the same: what each asks for, and what each must be told.

A rank's part runs in a process of its own (:func:`of_a_rank`); one pair of processes goes through all the cases.
"""

import importlib
import itertools
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

import lossary
import samples
from lossary import functional as L
from lossary.catalogue import CATALOGUE
from lossary.testing.laws.subject import Subject, with_arg

#: How long a group waits for a rank. Only what is not caught waits for so long, and is then told something else.
PATIENCE = timedelta(seconds=60)
Ask = Callable[[distributed.ProcessGroup], Tensor | None]


@dataclass(frozen=True)
class Case:
    """What either rank calls, and a regular expression of what it is told, the same or one a rank."""

    ranks: tuple[Ask, Ask]
    told: tuple[str, str]


def x(*shape: int, dtype: torch.dtype = torch.float32, grad: bool = False) -> Tensor:
    made = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
    return made.to(dtype).requires_grad_(grad)


@dataclass(frozen=True)
class Asked:
    """A call of a loss: picklable, and shown by name."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    grad: bool = True

    def __call__(self, group: distributed.ProcessGroup) -> Tensor:
        with torch.set_grad_enabled(self.grad):
            return getattr(L, self.name)(*self.args, **self.kwargs, group=group)


LABELS = torch.tensor([0, 1, 0, 1])
IDS = torch.tensor([3, 4, 5, 6])
SEVERAL = torch.tensor([[1, 0, 1], [0, 1, 1], [1, 0, 0], [0, 1, 0]])
AGREE = r"all ranks must agree"


def supcon(embeddings: Any = None, labels: Any = LABELS, *, grad: bool = True, **kwargs: Any) -> Asked:
    return Asked("supcon_loss", (x(4, 3) if embeddings is None else embeddings, labels), kwargs, grad)


def both(first: Ask, second: Ask, told: str) -> Case:
    return Case((first, second), (told, told))


def refused(first: Ask, second: Ask, error: str) -> Case:
    """The second rank raises its own error; the first one is told of it."""
    return Case((first, second), (f"RuntimeError: group: rank 1 refused its arguments of .*{error}", f"^{error}"))


def of_arguments() -> dict[str, Case]:
    half, brain = x(4, 3, dtype=torch.float16), x(4, 3, dtype=torch.bfloat16)
    learns = f"ValueError: embeddings: {AGREE} on requires_grad; got True on rank 0, False on rank 1"
    triplet = ("triplet_loss", (x(4, 3), LABELS))
    return {
        "embedding sizes": both(
            supcon(x(4, 3)),
            supcon(x(4, 5)),
            rf"embeddings: {AGREE} on the shape .*got \(N, 3\) on rank 0, \(N, 5\) on rank 1",
        ),
        "text embedding sizes": both(
            Asked("clip_loss", (x(4, 3), x(4, 3))),
            Asked("clip_loss", (x(4, 5), x(4, 5))),
            rf"text: {AGREE} on the shape",
        ),
        "half precisions": both(
            supcon(half), supcon(brain), f"embeddings: {AGREE} on the dtype; got float16 on rank 0, bfloat16 on rank 1"
        ),
        "float32 and float64": both(
            supcon(), supcon(x(4, 3, dtype=torch.float64)), f"embeddings: {AGREE} on the dtype"
        ),
        "requires_grad": both(supcon(x(4, 3, grad=True)), supcon(), learns),
        "no_grad": both(supcon(x(4, 3, grad=True)), supcon(x(4, 3, grad=True), grad=False), learns),
        "temperature": both(
            supcon(), supcon(temperature=0.2), f"temperature: {AGREE}; got 0.1 on rank 0, 0.2 on rank 1"
        ),
        "temperature as a tensor": both(
            supcon(),
            supcon(temperature=torch.tensor(0.1)),
            f"temperature: {AGREE}; got 0.1 on rank 0, a tensor on rank 1",
        ),
        "reduction": both(
            supcon(), supcon(reduction="sum"), f"reduction: {AGREE}; got 'mean' on rank 0, 'sum' on rank 1"
        ),
        "margin": both(
            Asked(*triplet), Asked(*triplet, {"margin": 1}), f"margin: {AGREE}; got None on rank 0, 1.0 on rank 1"
        ),
        "mask": both(supcon(), supcon(mask=LABELS > 0), f"mask: {AGREE}; got None on rank 0, a tensor on rank 1"),
        "ids": both(supcon(ids=IDS), supcon(), f"ids: {AGREE}; got a tensor on rank 0, None on rank 1"),
        "dtype of ids": both(supcon(ids=IDS), supcon(ids=IDS.int()), f"ids: {AGREE} on the dtype; got int64 .* int32"),
        "sample_weight": both(supcon(), supcon(sample_weight=x(4).abs()), f"sample_weight: {AGREE}"),
        "several labels": both(
            supcon(),
            supcon(labels=SEVERAL),
            f"labels: {AGREE} on the number of dimensions; got 1 on rank 0, 2 on rank 1",
        ),
        "number of labels": both(
            supcon(labels=SEVERAL), supcon(labels=SEVERAL[:, :2]), rf"labels: {AGREE} on the shape.*\(N, 3\).*\(N, 2\)"
        ),
        "the loss": both(
            supcon(),
            Asked("nt_xent_loss", (x(4, 3), LABELS), {"temperature": 0.1}),
            f"loss: {AGREE}; got supcon_loss on rank 0, nt_xent_loss on rank 1",
        ),
    }


def of_local_parts() -> dict[str, Case]:
    """Where some of what is compared stays each rank's own, and little or nothing is exchanged."""
    own = {"ref_embeddings": x(5, 3), "ref_labels": torch.tensor([0, 1, 0, 1, 1])}
    pairs = {"pairs": (torch.tensor([0, 1]), torch.tensor([2, 3]))}
    contrastive = ("contrastive_loss", (x(4, 3), LABELS))
    nce = ("info_nce_loss", (x(4, 3), x(4, 3)))
    three = torch.tensor([0]), torch.tensor([1]), torch.tensor([2])
    triplet = ("triplet_loss", (x(4, 3), None))
    ranking = ("multiple_negatives_ranking_loss", (x(4, 3), x(4, 3)))
    return {
        "references": both(supcon(), supcon(**own), f"ref_embeddings: {AGREE}; got None on rank 0, a tensor on rank 1"),
        "references, sum": both(
            supcon(**own), supcon(**own, reduction="sum"), f"reduction: {AGREE}; got 'mean' on rank 0, 'sum' on rank 1"
        ),
        "pairs": both(Asked(*contrastive), Asked(*contrastive, pairs), f"pairs: {AGREE}; got None on rank 0"),
        "own negatives": both(
            Asked(*nce, {"negatives": x(5, 3)}),
            Asked(*nce, {"negatives": x(4, 5, 3)}),
            f"negatives: {AGREE} on the number of dimensions; got 2 on rank 0, 3 on rank 1",
        ),
        "negatives": both(Asked(*ranking), Asked(*ranking, {"negatives": x(2, 3)}), f"negatives: {AGREE}; got None"),
        "utterances or labels": both(
            Asked("ge2e_loss", (x(2, 2, 3),)), Asked("ge2e_loss", (x(4, 3), LABELS)), f"embeddings: {AGREE}"
        ),
        "refused among references": refused(
            supcon(**own), supcon(**{**own, "ref_embeddings": x(5, 2)}), "ValueError: ref_embeddings"
        ),
        "refused, nothing exchanged": refused(
            Asked(*contrastive, {**pairs, "reduction": "sum"}),
            Asked(*contrastive, {"pairs": (torch.tensor([0, 9]), torch.tensor([2, 3])), "reduction": "sum"}),
            "IndexError: pairs",
        ),
        "refused triplets": refused(
            Asked(*triplet, {"triplets": three}), Asked(*triplet, {"triplets": three[:2]}), "ValueError: triplets"
        ),
        "refused negatives": refused(
            Asked(*ranking, {"negatives": x(2, 3)}), Asked(*ranking, {"negatives": x(2, 5)}), "ValueError: negatives"
        ),
    }


def of_refusals() -> dict[str, Case]:
    contrastive = ("contrastive_loss", (x(4, 3), LABELS))
    triplet = ("triplet_loss", (x(4, 3), LABELS))
    return {
        "refused: a number": refused(supcon(), supcon(temperature=-1.0), "ValueError: temperature: wanted"),
        "refused: float labels": refused(supcon(), supcon(labels=LABELS.double()), "TypeError: labels: wanted integer"),
        "refused: few labels": refused(supcon(), supcon(labels=LABELS[:3]), "ValueError: labels: wanted shape"),
        "refused: weights of supcon_loss": refused(
            supcon(sample_weight=x(4)), supcon(sample_weight=x(3)), "ValueError: sample_weight"
        ),
        "refused: weights of triplet_loss": refused(
            Asked(*triplet, {"sample_weight": x(4)}),
            Asked(*triplet, {"sample_weight": x(3)}),
            "ValueError: sample_weight",
        ),
        "refused: weights of contrastive_loss": refused(
            Asked(*contrastive, {"sample_weight": x(22)}),
            Asked(*contrastive, {"sample_weight": x(3)}),
            "ValueError: sample_weight",
        ),
        "refused: weights of multi_similarity_loss": refused(
            Asked("multi_similarity_loss", (x(4, 3), LABELS), {"sample_weight": x(4)}),
            Asked("multi_similarity_loss", (x(4, 3), LABELS), {"sample_weight": x(3)}),
            "ValueError: sample_weight",
        ),
        "refused: weights of ge2e_loss": refused(
            Asked("ge2e_loss", (x(2, 2, 3),), {"sample_weight": x(2, 2)}),
            Asked("ge2e_loss", (x(2, 2, 3),), {"sample_weight": x(2, 3)}),
            "ValueError: sample_weight",
        ),
        "refused: temperature of two": refused(
            supcon(temperature=x(1).abs()), supcon(temperature=x(2).abs()), "ValueError: temperature"
        ),
        "refused: no tensor": refused(supcon(), Asked("supcon_loss", ([[1.0]], [0])), "TypeError: embeddings"),
        "refused: an unknown argument": refused(supcon(), supcon(temprature=0.1), "TypeError: .*temprature"),
        "refused: an argument too few": refused(supcon(), Asked("supcon_loss", (x(4, 3),)), "TypeError: .*labels"),
    }


def of_every_loss() -> dict[str, Case]:
    """Each loss that takes ``group``: another dtype, and a first argument that is refused."""
    found: dict[str, Case] = {}
    for card in CATALOGUE:
        if "group" not in card.at_call:
            continue
        single, double = (Subject(card, {}, samples.of(card)).draw(dtype=d) for d in (torch.float32, torch.float64))
        first = single.args[0]
        bad = with_arg(single, 0, first.flatten() if first.dim() > 1 else first[None])
        right, wide, flat = (Asked(card.name, c.args, dict(c.kwargs)) for c in (single, double, bad))
        found[f"{card.name}: dtype"] = both(
            right, wide, f"{AGREE} on the dtype; got float32 on rank 0, float64 on rank 1"
        )
        found[f"{card.name}: refused"] = refused(right, flat, "ValueError: ")
    return found


CASES = {**of_arguments(), **of_local_parts(), **of_refusals(), **of_every_loss()}
RIGHT = supcon(reduction="sum")


def attempt(ask: Ask, group: distributed.ProcessGroup) -> str:
    """What a rank is told."""
    try:
        loss = ask(group)
        if loss is not None and loss.requires_grad:
            loss.sum().backward()
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    return "nothing"


def join(rank: int, size: int, folder: Path) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder / 'rendezvous'}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=size, timeout=PATIENCE)


def of_a_rank(rank: int, folder: Path, names: tuple[str, ...] = tuple(CASES)) -> None:
    """Every case in turn; what this rank is told, and whether the ranks can go on."""
    join(rank, 2, folder)
    assert distributed.group.WORLD is not None
    found: dict[str, Any] = {}
    for name in names:
        told = attempt(CASES[name].ranks[rank], distributed.group.WORLD)
        found[name] = {"told": told, "afterwards": attempt(RIGHT, distributed.group.WORLD)}
        (folder / f"{rank}.json").write_text(json.dumps(found))
    distributed.destroy_process_group()


# ---------------------------------------------------------------- ranks that do not come


def late(seconds: float, ask: Ask) -> Ask:
    def come(group: distributed.ProcessGroup) -> Tensor | None:
        time.sleep(seconds)
        return ask(group)

    return come


def nothing(group: distributed.ProcessGroup) -> None:
    """Comes to no exchange."""


def without_group(group: distributed.ProcessGroup) -> Tensor:
    return L.supcon_loss(x(4, 3), LABELS)


def forward_only(group: distributed.ProcessGroup) -> Tensor:
    return supcon(x(4, 3, grad=True))(group).detach()


def dies(group: distributed.ProcessGroup) -> None:
    os._exit(0)


LEARNS = supcon(x(4, 3, grad=True))
OF_REFERENCES = supcon(ref_embeddings=x(5, 3), ref_labels=torch.tensor([0, 1, 0, 1, 1]))
#: What each of three ranks does.
SILENT: dict[str, tuple[Ask, Ask, Ask]] = {
    "all come, one of them late": (supcon(), late(1.5, supcon()), late(0.2, supcon())),
    "one does not come": (supcon(), nothing, late(0.5, supcon())),
    "one comes without group": (supcon(), without_group, supcon()),
    "one does not come to backward": (LEARNS, forward_only, LEARNS),
    "two do not come": (supcon(), nothing, nothing),
    "one dies": (supcon(), dies, supcon()),
}
#: The time-out of their groups.
SHORT = timedelta(seconds=5)


# ---------------------------------------------------------------- ranks that stay away in the midst of an exchange


class GoneError(Exception):
    """What rank 1 is at from here on."""


def gone() -> None:
    raise GoneError


#: Where the ranks exchange in a way of its own: the module's function, and which of its calls is the first of backward.
WAYS = {"ring": ("lossary.kernels.rows.ring", "passing", 2), "shards": ("lossary.distributed.gather", "dealt", 1)}
#: What rank 1 does before the first such call, of backward or of all.
INSIDE: dict[str, tuple[Callable[[], None], bool]] = {
    "late": (partial(time.sleep, 1.5), False),
    "gone": (gone, True),
    "dead": (partial(os._exit, 0), True),
    "dead, another late": (partial(os._exit, 0), True),
}
#: What rank 2 does then, where it does not simply go on: it lives, but others fail long before it comes.
BESIDE = {"dead, another late": (partial(time.sleep, 4), True)}
#: Each has ranks of its own: DTensor takes a new mesh of the same ranks for an old one, whose group has failed by then.
WORLDS = [(way, name) for way in WAYS for name in INSIDE]


def ask_by(way: str, group: distributed.ProcessGroup) -> Tensor:
    if way == "ring":
        with lossary.exchange_by("ring"):
            return LEARNS(group)
    head = lossary.ArcFaceLoss(6, 3)
    lossary.shard_classes(head, group)
    return head(x(4, 3, grad=True), LABELS)


def disturbed(way: str, do: Callable[[], None], backward: bool) -> Ask:
    """It does so before a call of the function by which its way exchanges."""
    module, function, first = WAYS[way]
    place = importlib.import_module(module)

    def ask(group: distributed.ProcessGroup) -> Tensor:
        plain, calls = getattr(place, function), itertools.count()

        def run(*args: Any) -> Any:
            if next(calls) == first * backward:
                setattr(place, function, plain)
                do()
            return plain(*args)

        setattr(place, function, run)
        return ask_by(way, group)

    return ask


def inside(number: int, folder: Path) -> None:
    """Three ranks for each world, side by side: most of the time they wait."""
    (way, name), rank = WORLDS[number // 3], number % 3
    join(rank, 3, folder / way / name)
    group = distributed.new_group(timeout=SHORT)
    assert group is not None
    does = {1: INSIDE[name], 2: BESIDE.get(name)}.get(rank)
    ask = disturbed(way, *does) if does else partial(ask_by, way)
    (folder / way / name / f"{rank}.txt").write_text(attempt(ask, group))


def silent(number: int, folder: Path) -> None:
    """Three ranks for each kind of silence, side by side; a silent one stays until all are done."""
    place, rank = divmod(number, 3)
    asks = list(SILENT.values())[place]
    join(rank, 3, folder / str(place))
    group = distributed.new_group(timeout=SHORT)
    assert group is not None
    distributed.barrier()
    (folder / str(place) / f"{rank}.txt").write_text(attempt(asks[rank], group))
    if asks[1] is not dies:
        distributed.barrier()

"""What is metered: every loss of the catalogue at a size that people have, and problems at their full size."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

import lossary
import lossary.functional as LF
from benchmarks.meter import naive
from lossary.catalogue import CATALOGUE
from lossary.core.card import Card
from lossary.testing import draw

Program = Callable[..., Tensor]
OURS, DENSE = "Lossary", "dense torch"
#: Items with the same label, and the most labels whose values anybody reads.
ALIKE, READ = 8, 1 << 18


@dataclass(frozen=True)
class Numbers:
    """A tensor to be made: of normal numbers, or of shares between 0 and 1."""

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    shares: bool = False

    def hollow(self) -> Tensor:
        """Without values."""
        return torch.empty(self.shape, dtype=self.dtype, device="meta")

    def drawn(self, device: str) -> Tensor:
        return (torch.rand if self.shares else torch.randn)(self.shape, dtype=self.dtype, device=device)


@dataclass(frozen=True)
class Labels:
    """Labels to be made, below a number, in no order; of a single row of them :data:`ALIKE` are alike if that fits."""

    shape: tuple[int, ...]
    below: int = 1 << 62

    def hollow(self) -> Tensor:
        """Without values, unless these may be read."""
        count = math.prod(self.shape)
        known = len(self.shape) == 1 and count <= READ
        return self.drawn("cpu") if known else torch.empty(self.shape, dtype=torch.long, device="meta")

    def drawn(self, device: str) -> Tensor:
        order = torch.randperm(math.prod(self.shape), generator=torch.Generator().manual_seed(0))
        return (order // ALIKE % self.below).view(self.shape).to(device)


@dataclass(frozen=True)
class Workload:
    """A problem, and who solves it, by name."""

    name: str
    inputs: tuple[Numbers | Labels, ...]
    programs: Mapping[str, Program]
    fixed: tuple[int, ...] = ()  # inputs of numbers that are data and do not learn

    def tiny(self) -> "Workload":
        """The same for a test: equal sizes stay equal, the order of sizes is kept."""

        def small(n: int) -> int:
            return n if n < 32 else int(4 * math.log2(n)) - 8

        def shrunk(one: Numbers | Labels) -> Numbers | Labels:
            one = replace(one, shape=tuple(map(small, one.shape)))
            return replace(one, below=small(one.below)) if isinstance(one, Labels) else one

        return replace(self, inputs=tuple(map(shrunk, self.inputs)))


# ---------------------------------------------------------------- cards

#: What each dimension of a card's own small draw becomes. Losses of the same kind of data draw alike.
SIZES: Mapping[str, Mapping[int, int]] = {
    "values": {6: 65_536, 5: 256},
    "answers": {6: 16_384, 5: 1_000},
    "classes": {6: 8_192, 5: 10_000, 4: 100},
    "identities": {6: 4_096, 9: 4_096, 5: 512, 4: 128, 7: 100_000},
    "pairs": {6: 32_768, 8: 32_768, 5: 512, 3: 512},
    "triplets": {6: 32_768, 9: 4_096, 4: 512},
    "views": {5: 8_192, 4: 512, 6: 4_096, 7: 256, 2: 32, 8: 180},
    "masks": {4: 16, 3: 19, 2: 512, 5: 512},
    "lists": {6: 512, 5: 128},
    "tokens": {6: 65_536, 4: 512, 5: 1_024},
    "points": {6: 16, 5: 4_096, 4: 2_048},
    "boxes": {6: 65_536, 5: 17},
    "lifetimes": {9: 65_536, 6: 65_536, 5: 128},
    "waves": {2: 16, 1_100: 65_536},
    "images": {4: 16, 3: 256, 11: 256, 12: 256, 5: 256, 161: 256, 162: 256, 2: 3},
}


#: Arguments that are numbers and data: targets, and what losses of language models refuse to learn by.
CONSTANTS = frozenset(
    {
        "target",
        "distances",
        "time",
        "ref_logps",
        "ref_chosen_logps",
        "ref_rejected_logps",
        "old_logps",
        "advantages",
        "old_values",
        "returns",
    }
)


def of_card(card: Card) -> Workload:
    """The loss at its defaults, on its own draw with the dimensions enlarged. To be counted, not to be run."""
    call = draw(card, torch.Generator().manual_seed(0), torch.float32)
    named = {name: value for name, value in call.kwargs.items() if isinstance(value, torch.Tensor)}
    given = {name: value for name, value in call.kwargs.items() if name not in named}
    tensors = (*call.args, *named.values())
    shapes = [tuple(SIZES[card.data].get(n, n) for n in t.shape) for t in tensors]
    inputs = tuple(
        Numbers(shape, t.dtype) if t.is_floating_point() else Labels(shape)
        for t, shape in zip(tensors, shapes, strict=True)
    )
    sizes = ", ".join(" x ".join(f"{n:,}" for n in shape) for shape in shapes)
    dense = naive.naive(card.name)

    def ours(*whole: torch.Tensor) -> torch.Tensor:
        by_position = whole[: len(call.args)]
        return card.fn(*by_position, **dict(zip(named, whole[len(call.args) :], strict=True)), **given)

    programs = {OURS: ours} | ({} if dense is None else {DENSE: dense})
    names = [*list(inspect.signature(card.fn).parameters)[: len(call.args)], *named]
    fixed = tuple(i for i, name in enumerate(names) if name in CONSTANTS)
    return Workload(f"{card.name}: {sizes}", inputs, programs, fixed)


def cards() -> list[Workload]:
    return [of_card(card) for card in CATALOGUE]


# ---------------------------------------------------------------- problems at full size

SINGLE, HALF = torch.float32, torch.bfloat16


def short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def both(name: str, inputs: tuple[Numbers | Labels, ...], ours: Program, dense: Program) -> Workload:
    return Workload(name, inputs, {OURS: ours, DENSE: dense})


def cross_entropy_head(x: Tensor, w: Tensor, y: Tensor) -> Tensor:
    return lossary.linear_loss(LF.cross_entropy, x, w, y)


def focal_head(x: Tensor, w: Tensor, y: Tensor) -> Tensor:
    return lossary.linear_loss(LF.focal_loss, x, w, y)


def dense_focal_head(x: Tensor, w: Tensor, y: Tensor) -> Tensor:
    return naive.focal(x @ w.T, y)


def heads() -> list[Workload]:
    def head(kind: str, n: int, c: int, d: int, dtype: torch.dtype, ours: Program, dense: Program) -> Workload:
        inputs = (Numbers((n, d), dtype), Numbers((c, d), dtype), Labels((n,), below=c))
        return both(f"{kind} {n:,} x {c:,} x {d:,}, {short(dtype)}", inputs, ours, dense)

    plain, wide = naive.head_of_two, naive.head_in_float32
    million = (4_096, 1_000_000, 512)
    return [
        head("head", 8_192, 10_000, 256, SINGLE, cross_entropy_head, plain),
        head("head", *million, SINGLE, cross_entropy_head, plain),
        head("head", *million, HALF, cross_entropy_head, wide),
        head("head", 16_384, 131_072, 4_096, HALF, cross_entropy_head, wide),
        head("focal head", *million, SINGLE, focal_head, dense_focal_head),
        head("ArcFace", *million, SINGLE, LF.arcface_loss, naive.NAIVE["arcface_loss"]),
        head("ArcFace", *million, HALF, LF.arcface_loss, naive.arcface_in_float32),
    ]


def in_batch() -> list[Workload]:
    def views(n: int, d: int, dtype: torch.dtype = SINGLE) -> tuple[Numbers, Numbers]:
        return Numbers((n, d), dtype), Numbers((n, d), dtype)

    def labelled(n: int, d: int, dtype: torch.dtype = SINGLE) -> tuple[Numbers, Labels]:
        return Numbers((n, d), dtype), Labels((n,))

    mnr = LF.multiple_negatives_ranking_loss
    clip, supcon = naive.NAIVE["clip_loss"], naive.NAIVE["supcon_loss"]
    hard, every = (partial(LF.triplet_loss, margin=0.2, mining=mining) for mining in ("hard", "all"))
    return [
        both("CLIP 4,096 x 512, float32", views(4_096, 512), LF.clip_loss, clip),
        both("CLIP 32,768 x 512, float32", views(32_768, 512), LF.clip_loss, clip),
        both("SupCon 4,096 x 128, float32", labelled(4_096, 128), LF.supcon_loss, supcon),
        both("SupCon 65,536 x 128, float32", labelled(65_536, 128), LF.supcon_loss, supcon),
        Workload("circle 65,536 x 128, float32", labelled(65_536, 128), {OURS: LF.circle_loss}),
        both("SigLIP 32,768 x 512, float32", views(32_768, 512), LF.siglip_loss, naive.siglip),
        both("InfoNCE 32,768 x 512, float32", views(32_768, 512), LF.info_nce_loss, naive.NAIVE["info_nce_loss"]),
        both("CLIP 32,768 x 512, bfloat16", views(32_768, 512, HALF), LF.clip_loss, clip),
        both("SupCon 65,536 x 128, bfloat16", labelled(65_536, 128, HALF), LF.supcon_loss, supcon),
        both("NT-Xent 2 x 32,768 x 128, float32", views(32_768, 128), LF.nt_xent_loss, naive.nt_xent),
        both("NT-Xent 2 x 32,768 x 128, bfloat16", views(32_768, 128, HALF), LF.nt_xent_loss, naive.nt_xent),
        both("SigLIP 32,768 x 512, bfloat16", views(32_768, 512, HALF), LF.siglip_loss, naive.siglip),
        both("MNR 32,768 x 512, float32", views(32_768, 512), mnr, naive.NAIVE["multiple_negatives_ranking_loss"]),
        both(
            "MNR 32,768 x 512, bfloat16", views(32_768, 512, HALF), mnr, naive.NAIVE["multiple_negatives_ranking_loss"]
        ),
        both("triplet, hard, 4,096 x 128, float32", labelled(4_096, 128), hard, naive.triplet_hard),
        Workload("triplet, all, 4,096 x 128, float32", labelled(4_096, 128), {OURS: every}),
    ]


def ready_scores() -> list[Workload]:
    narrow = (Numbers((8_192, 10_000)), Labels((8_192,), below=10_000))
    wide = (Numbers((16_384, 131_072), HALF), Labels((16_384,), below=131_072))
    return [
        both("cross-entropy 8,192 x 10,000, float32", narrow, LF.cross_entropy, F.cross_entropy),
        both("cross-entropy 16,384 x 131,072, bfloat16", wide, LF.cross_entropy, F.cross_entropy),
        both("softmax focal 8,192 x 10,000, float32", narrow, LF.focal_loss, naive.focal),
    ]


def masks() -> list[Workload]:
    losses: dict[str, tuple[Program, Program]] = {
        "Dice": (LF.dice_loss, naive.NAIVE["dice_loss"]),
        "Lovasz": (LF.lovasz_softmax_loss, naive.lovasz_softmax),
        "cross-entropy": (LF.cross_entropy, F.cross_entropy),
    }
    return [
        both(
            f"{name} 16 x 19 x 512 x 512, {short(dtype)}",
            (Numbers((16, 19, 512, 512), dtype), Labels((16, 512, 512), below=19)),
            *programs,
        )
        for name, programs in losses.items()
        for dtype in (SINGLE, HALF)
    ]


def elements() -> list[Workload]:
    count = (100_000_000,)
    losses: dict[str, tuple[Program, Program]] = {
        "sigmoid focal": (LF.sigmoid_focal_loss, naive.sigmoid_focal),
        "binary cross-entropy": (LF.binary_cross_entropy_with_logits, F.binary_cross_entropy_with_logits),
        "squared error": (LF.mse_loss, F.mse_loss),
    }
    return [
        replace(
            both(
                f"{name} of 100 million, {short(dtype)}",
                (Numbers(count, dtype), Numbers(count, dtype, shares=True)),
                *programs,
            ),
            fixed=(1,),
        )
        for name, programs in losses.items()
        for dtype in (SINGLE, HALF)
    ]


def problems() -> list[Workload]:
    return [*heads(), *in_batch(), *ready_scores(), *masks(), *elements()]

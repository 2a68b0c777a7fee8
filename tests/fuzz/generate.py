"""One case: a call of a loss with nasty arguments, and its twin, the same call said plainly in float64."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from torch import Generator, Tensor

import samples
from fuzz import layouts, values
from fuzz.options import Sizes, at_call, hyperparameters, relations
from fuzz.subjects import CARDS, Call, Card, Slot, batches, fields, forms, given

DTYPES = (torch.float32,) * 11 + (torch.bfloat16,) * 3 + (torch.float16,) * 3 + (torch.float64,) * 3
LENGTHS = (1, 2, 2, 3, 3, 4, 5, 5, 7, 7, 13)
#: Lengths beyond one block of the kernels that go block by block: rare, for their time.
LONG = (97, 257, 1031)
JUNK = (torch.nan, torch.inf, -torch.inf, 1e30)


@dataclass(frozen=True)
class Case:
    """``call`` is what is tested; ``twin`` the same numbers in float64 and int64, stored in order.

    What does not count by a mask or a weight of 0 holds junk in the call and ordinary numbers in the twin.
    """

    name: str
    seed: int
    dtype: torch.dtype
    call: Call
    twin: Call
    slots: tuple[Slot, ...]
    leaves: tuple[int | str, ...]  # places and names of the arguments to differentiate by
    notes: tuple[str, ...] = field(default=())

    @property
    def card(self) -> Card:
        return CARDS[self.name]

    @property
    def id(self) -> str:
        return f"{self.name}:{self.seed}"


@dataclass
class Draft:
    """A call in the making: exact numbers (float64, int64), what each argument is, and what was done to them."""

    card: Card
    slots: tuple[Slot, ...]
    args: list[Tensor | None]
    kwargs: dict[str, Any]
    notes: list[str]


def make(name: str, seed: int) -> Case:
    rng = Random(f"{name}:{seed}")
    g = Generator().manual_seed(rng.getrandbits(60))
    card, dtype = CARDS[name], rng.choice(DTYPES)
    start = rng.random()
    if start < 0.15:
        draft = placed(card, dtype, rng)
    elif start < 0.25:
        draft = drawn(card, dtype, rng, g)
    else:
        draft = fresh(card, dtype, rng, g)
    for _ in range(rng.choice((0, 1, 1, 2, 2, 3))):
        mutate(draft, dtype, rng, g)
    if rng.random() < 0.02:
        not_a_number(draft, rng)
    return finish(draft, seed, dtype, rng)


# ---------------------------------------------------------------- where it starts


def exact(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.double() if value.is_floating_point() else value if value.dtype == torch.bool else value.long()


def placed(card: Card, dtype: torch.dtype, rng: Random) -> Draft:
    places = batches(card.name, dtype)
    place = rng.randrange(len(places))
    call = places[place]
    kwargs = {**hyperparameters(card, None, rng), **{n: exact(v) for n, v in call.kwargs.items()}}
    return Draft(card, given(card, call), [exact(a) for a in call.args], kwargs, [f"edge {place}"])


def drawn(card: Card, dtype: torch.dtype, rng: Random, g: Generator) -> Draft:
    call = samples.draw(card, g, dtype)
    variant = {n: exact(v) for n, v in rng.choice(samples.of(card).variants).items()}
    kwargs = {**variant, **{n: exact(v) for n, v in call.kwargs.items()}}
    return Draft(card, given(card, call), [exact(a) for a in call.args], kwargs, ["the card's batch"])


def fresh(card: Card, dtype: torch.dtype, rng: Random, g: Generator) -> Draft:
    form = rng.choice(forms(card))
    sizes = lengths(card, form, rng)
    args: list[Tensor | None] = []
    for slot in form:
        exact_numbers = values.fresh(slot.domain, shape(slot.axes, sizes, rng), sizes.c, rng, g)
        rounded = exact_numbers.to(dtype).double() if exact_numbers.is_floating_point() else exact_numbers
        args.append(rounded)
    kwargs = hyperparameters(card, sizes, rng)
    axes = tuple(slot.axes for slot in form)
    kwargs |= at_call(card, axes, sizes, rng, g)
    related = relations(card, axes, sizes, rng, g)
    if related.keys() & {"positives", "triplets", "pairs"}:
        args[1] = None
    kwargs |= related
    if form[-1].domain == "index" and "ignore_index" in kwargs and kwargs["ignore_index"] is not None:
        target = args[-1]
        assert target is not None
        target[torch.rand(target.shape, generator=g) < 0.2] = kwargs["ignore_index"]
    if "dim" in fields(card.name) and "S" in form[0].axes and rng.random() < 0.2:
        kwargs["dim"] = -1
        args = [
            a.movedim(1, -1) if a is not None and s.axes == "NCS" and a.dim() > 1 else a
            for a, s in zip(args, form, strict=True)
        ]
    return Draft(card, form, args, kwargs, [f"sizes {sizes}"])


def lengths(card: Card, form: tuple[Slot, ...], rng: Random) -> Sizes:
    n, c, d = rng.choice(LENGTHS), rng.choice(LENGTHS), rng.choice(LENGTHS)
    if rng.random() < 0.04:
        n = 0
    if rng.random() < 0.01:
        n, c = (rng.choice(LONG), c) if rng.random() < 0.5 else (n, rng.choice(LONG))
    softmax = card.data == "classes" or (card.data == "masks" and form[-1].domain == "index")
    if softmax and c == 1 and rng.random() < 0.95:
        c = 2
    space = rng.choice(((), (3,), (2, 5), (1, 1), (4, 4), (1,)))
    anything = rng.choice(((n,), (n, c), (n, c), (n, c, 3), (), (n, 2, 3, c)))
    return Sizes(n, c, d, space, anything)


def shape(axes: str, sizes: Sizes, rng: Random) -> tuple[int, ...]:
    found: tuple[int, ...] = ()
    for letter in axes:
        found += {
            "N": (sizes.n,),
            "C": (sizes.c,),
            "D": (sizes.d,),
            "U": (3,),
            "S": sizes.space,
            "E": sizes.any,
            "4": (4,),
            "I": (2, 11, 12),
            "L": (1, 161, 162),
            "T": (1100,),
        }[letter]
    return found


# ---------------------------------------------------------------- what is done to it


def mutate(draft: Draft, dtype: torch.dtype, rng: Random, g: Generator) -> None:
    floating = [
        i
        for i, (a, slot) in enumerate(zip(draft.args, draft.slots, strict=True))
        if a is not None and a.is_floating_point() and slot.domain not in values.ANSWERS
    ]
    named = [n for n in ("ref_embeddings", "negatives") if n in draft.kwargs]
    place = rng.choice((*floating, *floating, *named))
    others = [a for i, a in enumerate(draft.args) if i in floating and i != place]
    x = draft.args[place] if isinstance(place, int) else draft.kwargs[place]
    domain = draft.slots[place].domain if isinstance(place, int) else "real"
    nasty = values.mutate(x, [o for o in others if o is not None], domain, dtype, rng)
    nasty = values.within(nasty.clamp(-torch.finfo(dtype).max, torch.finfo(dtype).max).to(dtype).double(), domain)
    if isinstance(place, int):
        draft.args[place] = nasty
    else:
        draft.kwargs[place] = nasty


def not_a_number(draft: Draft, rng: Random) -> None:
    """One number that is none, or infinite."""
    places = [i for i, a in enumerate(draft.args) if a is not None and a.is_floating_point() and a.numel()]
    if places:
        place = rng.choice(places)
        spoilt = draft.args[place]
        assert spoilt is not None
        spoilt = spoilt.clone(memory_format=torch.contiguous_format)
        spoilt.view(-1)[rng.randrange(spoilt.numel())] = rng.choice((torch.nan, torch.nan, torch.inf, -torch.inf))
        draft.args[place] = spoilt


# ---------------------------------------------------------------- how it is said


def finish(draft: Draft, seed: int, dtype: torch.dtype, rng: Random) -> Case:
    """The draft in its dtype, in other integer dtypes and layouts, with junk where nothing counts; and its twin."""
    says = Speaker(dtype, rng)
    idle = idle_items(draft)
    args, twins = [], []
    for place, (x, slot) in enumerate(zip(draft.args, draft.slots, strict=True)):
        twins.append(x)
        args.append(
            None if x is None else says.argument(x, slot.domain, idle if place != 1 or slot.axes != "CD" else None)
        )
    kwargs, exact_kwargs = {}, {}
    for name, value in draft.kwargs.items():
        exact_kwargs[name] = value
        kwargs[name] = says.keyword(name, value)
    twins = [
        t.double() if isinstance(a, Tensor) and a.is_floating_point() else t for a, t in zip(args, twins, strict=True)
    ]
    exact_kwargs = {n: rounded_keyword(kwargs[n], v) for n, v in exact_kwargs.items()}
    leaves = [
        i
        for i, (a, slot) in enumerate(zip(args, draft.slots, strict=True))
        if isinstance(a, Tensor) and a.is_floating_point() and slot.domain != "constant"
    ]
    if len(leaves) > 1 and rng.random() < 0.2:
        leaves = rng.sample(leaves, rng.randint(1, len(leaves) - 1))
    named = [n for n in ("ref_embeddings", "negatives") if n in kwargs]
    notes = (*draft.notes, *says.notes, *(("junk",) if idle is not None else ()))
    return Case(
        draft.card.name, seed, dtype, Call(tuple(args), kwargs), Call(tuple(twins), exact_kwargs), draft.slots,
        (*leaves, *named), notes,
    )  # fmt: skip


def rounded_keyword(said: Any, meant: Any) -> Any:
    if isinstance(said, Tensor) and said.is_floating_point():
        return said.detach().double()
    return meant


def idle_items(draft: Draft) -> Tensor | None:
    """(N,) True where an item does not count, so that its numbers may be anything; None: all count, or not an item."""
    card = draft.card
    idle = None
    mask, weight = draft.kwargs.get("mask"), draft.kwargs.get("sample_weight")
    first = next((a for a in draft.args if a is not None), None)
    if first is None or first.dim() == 0:
        return None
    if isinstance(mask, Tensor) and mask.dim() == 1 and mask.shape[0] == first.shape[0]:
        idle = ~mask
    if isinstance(weight, Tensor) and weight.dim() == 1 and card.separable and weight.shape[0] == first.shape[0]:
        idle = weight == 0 if idle is None else idle | (weight == 0)
    return idle if idle is not None and idle.any() else None


class Speaker:
    """Says exact numbers in a case's dtype, in some integer dtype and some layout."""

    def __init__(self, dtype: torch.dtype, rng: Random) -> None:
        self.dtype, self.rng = dtype, rng
        self.notes: list[str] = []
        self.stores = rng.random() < 0.5
        self.junk = rng.random() < 0.5

    def argument(self, x: Tensor, domain: str, idle: Tensor | None) -> Tensor:
        said = self.number(x, domain)
        if domain in values.ANSWERS:
            idle = None
        if (
            idle is not None
            and self.junk
            and said.is_floating_point()
            and said.dim()
            and said.shape[0] == idle.shape[0]
        ):
            said = said.clone()
            junk = torch.nan if domain in values.BOUNDS else self.rng.choice(JUNK)
            said[idle] = junk
        return self.layout(said)

    def number(self, x: Tensor, domain: str) -> Tensor:
        if x.dtype == torch.bool:
            return x
        if not x.is_floating_point():
            return self.whole(x, domain)
        whole = domain in ("number", "truth", "grade", "count") and self.rng.random() < 0.3
        if whole and bool((x == x.round()).all()) and bool((x.abs() < 100).all()):
            return self.whole(x.long(), domain)
        if domain == "soft" and self.rng.random() < 0.5 and bool(((x == 0) | (x == 1)).all()):
            return x.bool()
        return x.to(self.dtype)

    def whole(self, x: Tensor, domain: str) -> Tensor:
        kind = self.rng.random()
        if domain in ("yes", "truth", "sign") and kind < 0.2 and (domain != "truth" or bool((x <= 1).all())):
            return x > 0
        if domain in ("yes", "truth", "sign", "number", "grade", "count") and kind < 0.5:
            return x.to(self.dtype)
        return values.as_integers(x, self.rng) if kind < 0.8 else x

    def layout(self, x: Tensor) -> Tensor:
        return layouts.stored(x, self.rng) if self.stores and x.numel() else x

    def keyword(self, name: str, value: Any) -> Any:
        if isinstance(value, tuple) and value and isinstance(value[0], Tensor):
            return tuple(values.as_integers(v, self.rng) for v in value)
        if not isinstance(value, Tensor) or value.dtype == torch.bool:
            return value
        if value.is_floating_point():
            embeds = name in ("ref_embeddings", "negatives")
            same = embeds or self.dtype == torch.float64 or self.rng.random() < 0.5
            return self.layout(value.to(self.dtype if same else torch.float32))
        return values.as_integers(value, self.rng)

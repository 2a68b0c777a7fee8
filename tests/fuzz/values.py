"""Numbers that losses stumble over, by what an argument means and by what its dtype can hold."""

import math
from collections.abc import Callable
from random import Random

import torch
from torch import Generator, Tensor, dtype

#: What a domain's numbers must lie in; wherever they are changed they are brought back.
BOUNDS: dict[str, tuple[float, float]] = {
    "probability": (0.0, 1.0),
    "truth": (0.0, 1.0),
    "soft": (0.0, 1.0),
    "distribution": (0.0, 1.0),
    "log_probability": (-math.inf, 0.0),
    "variance": (0.0, math.inf),
    "distance": (0.0, math.inf),
    "count": (0.0, math.inf),
}
#: Domains of answers, which are one of a few numbers and may not be changed at will.
ANSWERS = frozenset({"index", "identity", "yes", "sign", "places", "constant"})
INTEGERS = (
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64,
)  # fmt: skip


def fresh(domain: str, shape: tuple[int, ...], classes: int, rng: Random, g: Generator) -> Tensor:
    """Ordinary numbers of a domain: floating ones in float64, indices in int64."""
    if domain in ("index", "identity"):
        return torch.randint(max(classes, 1), shape, generator=g)
    if domain in ("yes", "sign"):
        share = rng.choice((0.5, 0.5, 0.1, 0.9, 0.0, 1.0))
        bits = (torch.rand(shape, generator=g) < share).long()
        return bits if domain == "yes" else 2 * bits - 1
    if domain == "places":  # indices up to the first -1
        return torch.randint(-1, max(classes, 1), shape, generator=g)
    if domain == "grade":
        grades = torch.randint(5, shape, generator=g)
        return grades if rng.random() < 0.6 else grades.double() / 4
    if domain == "count":
        return torch.randint(6, shape, generator=g).double()
    if domain in ("truth", "probability"):
        p = torch.rand(shape, generator=g, dtype=torch.float64)
        return p.round() if domain == "truth" and rng.random() < 0.5 else p
    x = torch.randn(shape, generator=g, dtype=torch.float64) * rng.choice((1.0, 1.0, 1.0, 3.0, 10.0, 0.1))
    if domain in ("soft", "distribution"):
        return x.softmax(1) if len(shape) > 1 and shape[1] else x.softmax(0) if shape and shape[0] else x.abs()
    if domain == "log_probability":
        return x.log_softmax(1) if len(shape) > 1 and shape[1] else -x.abs()
    return x.abs() if domain in ("variance", "distance") else x


def scale(rng: Random, dt: dtype) -> float:
    """A power of ten that the dtype holds, mostly ordinary, sometimes at its ends."""
    ends = {torch.float16: (-7.5, 4.5), torch.bfloat16: (-40.0, 38.0), torch.float32: (-45.0, 38.0)}
    low, high = ends.get(dt, (-40.0, 38.0))
    kind = rng.random()
    if kind < 0.5:
        return 10.0 ** rng.uniform(-4, 4)
    return 10.0 ** (rng.uniform(low, high) if kind < 0.75 else rng.uniform(max(low, -20), min(high, 18)))


def special(rng: Random, dt: dtype) -> float:
    """One number: zeros of both signs, the smallest and largest ones, turns of common functions."""
    info = torch.finfo(dt)
    subnormal = info.tiny * info.eps
    usual = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 20.0, -20.0, 40.0, 50.0, 88.0, -88.0, 100.0, -100.0, 104.0, 1e3, 1e4, -1e4)
    ends = (
        subnormal,
        -subnormal,
        info.tiny,
        info.tiny / 2,
        info.eps,
        1 - info.eps / 2,
        1 + info.eps,
        math.sqrt(info.tiny),
    )
    big = (1e4, 6e4, -6e4) if dt == torch.float16 else (1e9, -1e12, 1e18, 1e19, -1e19, 3e19)
    return rng.choice(rng.choice((usual, usual, ends, big)))


def mutate(x: Tensor, others: list[Tensor], domain: str, dt: dtype, rng: Random) -> Tensor:
    """The floating numbers ``x`` (float64) made nasty in one way. ``others`` are like tensors to be near to."""
    if x.numel() == 0:
        return x
    x = x.clone(memory_format=torch.contiguous_format)
    rows = x.view(x.shape[0], -1) if x.dim() else x.view(1, 1)
    rng.choice(WAYS)(rows, others, dt, rng)
    return within(x, domain)


Way = Callable[[Tensor, list[Tensor], dtype, Random], object]


def any_row(rows: Tensor, rng: Random) -> Tensor:
    return rows[rng.randrange(rows.shape[0])]


def one_entry(rows: Tensor, _: list[Tensor], dt: dtype, rng: Random) -> None:
    any_row(rows, rng)[rng.randrange(rows.shape[1])] = special(rng, dt)


def some_entries(rows: Tensor, _: list[Tensor], dt: dtype, rng: Random) -> None:
    flat = rows.view(-1)
    flat[torch.tensor(rng.choices(range(len(flat)), k=1 + len(flat) // 3))] = special(rng, dt)


def opposite_row(rows: Tensor, _: list[Tensor], dt: dtype, rng: Random) -> None:
    any_row(rows, rng).copy_(-any_row(rows, rng) * rng.choice((1.0, 1.0, 2.0, 0.3)))


def near(rows: Tensor, others: list[Tensor], dt: dtype, rng: Random) -> None:
    """Some rows become those of another argument: equal, opposite, or as good as equal."""
    fitting = [o for o in others if o.numel() and o.dim() and o.numel() // o.shape[0] == rows.shape[1]]
    if not fitting:
        return
    other = rng.choice(fitting)
    other = other.reshape(other.shape[0], -1)
    factor = rng.choice((1.0, 1.0, -1.0, -1.0, 1 + 2.0**-20, 1e3))
    for row in rows:
        if rng.random() < 0.5:
            row.copy_(factor * any_row(other, rng))


WAYS: tuple[Way, ...] = (
    lambda rows, _, dt, rng: rows.mul_(scale(rng, dt)),
    lambda rows, _, dt, rng: any_row(rows, rng).mul_(scale(rng, dt)),
    one_entry,
    one_entry,
    some_entries,
    lambda rows, _, dt, rng: any_row(rows, rng).fill_(special(rng, dt)),
    lambda rows, _, dt, rng: rows.fill_(special(rng, dt)),
    lambda rows, _, dt, rng: any_row(rows, rng).copy_(any_row(rows, rng).clone()),
    lambda rows, _, dt, rng: rows.copy_(any_row(rows, rng).clone()),
    opposite_row,
    lambda rows, _, dt, rng: rows.mul_(2).round_().div_(2),  # ties
    lambda rows, _, dt, rng: rows.add_(rng.choice((1.0, -1.0, 30.0, -30.0, 1e3, -1e4))),
    near,
    near,
)


def within(x: Tensor, domain: str) -> Tensor:
    low, high = BOUNDS.get(domain, (-math.inf, math.inf))
    if domain in ("variance", "distance", "count"):
        x = x.abs()
    return x.clamp(low, high)


def as_integers(x: Tensor, rng: Random) -> Tensor:
    """The same whole numbers in another integer dtype that holds them; booleans where they are 0 and 1."""
    low, high = (int(x.min()), int(x.max())) if x.numel() else (0, 1)
    fitting = [dt for dt in INTEGERS if torch.iinfo(dt).min <= low and high <= torch.iinfo(dt).max]
    return x.to(rng.choice(fitting))

"""Keyword arguments of a random call: hyperparameters within their ranges, weights, masks, references."""

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Generator, Tensor

import samples
from fuzz.subjects import Card, Choice, Range, fields

#: Hyperparameters that no search range covers: what they may be.
RANGES: dict[str, tuple[float, ...]] = {
    "eps": (1e-6, 1e-3, 0.1, 1e-8),
    "smooth": (0.0, 1e-6, 1e-3, 1.0, 10.0),
    "alpha": (0.25, 0.5, 0.75, 0.0, 1.0),
    "beta": (0.5, 1.0, 2.0),
    "margin": (0.0, 0.1, 0.5, 1.0, 2.0),
    "gamma": (0.0, 0.5, 1.0, 1.5, 2.0, 5.0),
    "label_smoothing": (0.0, 0.1, 0.5, 1.0),
    "p": (1.0, 2.0, 3.0, 1.5),
    "b": (-5.0, 0.0, 1.0),
    "factor": (0.5, 1.0, 2.0),
}
WEIGHTS = (0.0, 1.0, 1.0, 0.5, 2.0, 0.1, 3.0)


@dataclass(frozen=True)
class Sizes:
    """How long each lettered dimension is, in this call."""

    n: int
    c: int
    d: int
    space: tuple[int, ...]
    any: tuple[int, ...]


def hyperparameters(card: Card, sizes: Sizes | None, rng: Random) -> dict[str, Any]:
    """Some hyperparameters away from their defaults. Without sizes: none that needs one."""
    found: dict[str, Any] = {}
    if rng.random() < 0.3:
        found = {n: v for n, v in rng.choice(samples.of(card).variants).items() if not isinstance(v, Tensor)}
    share = rng.choice((0.0, 0.3, 0.8))
    for name, (default, allowed) in fields(card.name).items():
        if name == "reduction":
            found[name] = rng.choice(typing.get_args(allowed[0]) if typing.get_origin(allowed[0]) else allowed)
        elif name not in found and rng.random() < share:
            value = chosen(card, name, default, allowed, sizes, rng)
            if value is not None:
                found[name] = value
    return found


def chosen(card: Card, name: str, default: Any, allowed: tuple[Any, ...], sizes: Sizes | None, rng: Random) -> Any:
    search = card.search.get(name)
    if isinstance(search, Choice):
        return rng.choice(search.values)
    if isinstance(search, Range):
        ends = (search.low, search.high)
        inside = math.exp(rng.uniform(*map(math.log, ends))) if search.log else rng.uniform(*ends)
        return rng.choice((*ends, inside, inside, inside))
    if name == "ignore_index":
        known = sizes.c if sizes else 3
        return rng.choice((-100, -1, 255, 0, known - 1))
    if allowed == (bool,):
        return rng.random() < 0.5
    if all(isinstance(value, str) for value in allowed):
        return rng.choice(allowed)
    if Tensor in allowed and types.NoneType in allowed and float not in allowed:
        return None if sizes is None else tensor_option(card, name, sizes, rng)
    if name in RANGES and type(default) is not int:
        return rng.choice(RANGES[name])
    values = [v[name] for v in samples.of(card).variants if name in v and not isinstance(v[name], Tensor)]
    return rng.choice(values) if values else None


def tensor_option(card: Card, name: str, sizes: Sizes, rng: Random) -> Tensor | None:
    """A weight a class, or torch's weight an element."""
    per_element = name == "weight" and card.item == "element"
    shape = sizes.any if per_element else (sizes.c,)
    if name == "weight" and card.name == "mse_loss" and rng.random() < 0.5:
        return None
    return weights(shape, rng)


def weights(shape: tuple[int, ...], rng: Random) -> Tensor:
    numbers = [rng.choice(WEIGHTS) for _ in range(math.prod(shape))]
    return torch.tensor(numbers, dtype=torch.float64).reshape(shape)


# ---------------------------------------------------------------- given at the call


def item_shape(card: Card, form: tuple[str, ...], sizes: Sizes) -> tuple[int, ...]:
    """The shape of one loss an item."""
    if card.item == "element":
        return sizes.any if form[0] == "E" else (sizes.n, sizes.c)
    return (sizes.n, *sizes.space) if "S" in form[0] else (sizes.n,)


def at_call(card: Card, form: tuple[str, ...], sizes: Sizes, rng: Random, g: Generator) -> dict[str, Any]:
    """What changes from batch to batch: weights and masks of items, and what else says who is compared with whom."""
    found: dict[str, Any] = {}
    shape = item_shape(card, form, sizes)
    pairs = card.name == "contrastive_loss" and form == ("ND", "N")
    masked = {"lists": (sizes.n, sizes.c), "masks": (sizes.n, *sizes.space)}.get(card.data, shape)
    if "sample_weight" in card.at_call and rng.random() < 0.25 and not pairs:
        found["sample_weight"] = weights(shape[:1] if card.data == "masks" else part(shape, rng), rng)
    if "mask" in card.at_call and rng.random() < 0.2:
        wanted = part(masked, rng)
        share = rng.choice((0.7, 0.7, 0.7, 0.0, 1.0))
        found["mask"] = torch.rand(wanted, generator=g) < share
    if "ids" in card.at_call and rng.random() < 0.1 and form[0] == "ND" and form != ("ND", "ND", "N"):
        found["ids"] = torch.randint(max(sizes.n, 1), (sizes.n,), generator=g)
    return found


def part(shape: tuple[int, ...], rng: Random) -> tuple[int, ...]:
    """The whole shape, or its first dimension."""
    return shape[:1] if rng.random() < 0.4 else shape


def relations(card: Card, form: tuple[str, ...], sizes: Sizes, rng: Random, g: Generator) -> Mapping[str, Any]:
    """References, negatives, and who is whose positive, where a loss takes them."""
    found: dict[str, Any] = {}
    n, d = sizes.n, sizes.d
    m = rng.choice((0, 1, 2, 5, n))
    if "negatives" in card.at_call and rng.random() < 0.25:
        shape = (m, d) if rng.random() < 0.5 else (n, m, d)
        found["negatives"] = torch.randn(shape, generator=g, dtype=torch.float64)
    if form[0] != "ND" or form[-1] != "N" or len(form) != 2 or "ref_embeddings" not in card.at_call:
        return found
    if rng.random() < 0.2:
        found["ref_embeddings"] = torch.randn((m, d), generator=g, dtype=torch.float64)
        found["ref_labels"] = torch.randint(max(sizes.c, 1), (m,), generator=g)
    others = m if found else n
    kind = rng.random()
    if kind < 0.08 and "positives" in card.at_call:
        found["positives"] = torch.rand((n, others), generator=g) < 0.3
    elif kind < 0.14 and "triplets" in card.at_call and n and others:
        t = rng.choice((0, 1, 3, 8))
        found["triplets"] = tuple(torch.randint(size, (t,), generator=g) for size in (n, others, others))
    elif kind < 0.2 and "pairs" in card.at_call and n and others:
        p = rng.choice((0, 1, 3, 8))
        found["pairs"] = tuple(torch.randint(size, (p,), generator=g) for size in (n, others))
    if found.keys() & {"positives", "triplets"}:
        found.pop("ref_labels", None)
    return found

"""What a law looks at: one card with one variant of its hyperparameters, and how to call it."""

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn

from lossary.core.card import Card
from lossary.testing.draws import Call, Draw
from lossary.testing.draws import draw as draw_by_card

HALVES = (torch.float16, torch.bfloat16)


class Batches(Protocol):
    """The batches on which a loss is checked."""

    @property
    def edges(self) -> Callable[[torch.dtype], tuple[Call, ...]]: ...  # placed batches: extremes, ties, kinks, empty

    @property
    def variants(self) -> tuple[Mapping[str, Any], ...]: ...  # hyperparameters, the defaults first

    @property
    def draw(self) -> Draw | None: ...  # random batches, if those for the card's form of call will not do


@dataclass(frozen=True)
class Subject:
    card: Card
    variant: Mapping[str, Any]
    batches: Batches

    @property
    def id(self) -> str:
        shown = ",".join(f"{name}={brief(value)}" for name, value in self.variant.items())
        return f"{self.card.name}-{shown or 'defaults'}"

    def draw(self, seed: int = 0, dtype: torch.dtype = torch.float64) -> Call:
        """One random batch with the variant's hyperparameters."""
        g, own = Generator().manual_seed(seed), self.batches.draw
        return self.vary(own(g, dtype) if own else draw_by_card(self.card, g, dtype), dtype)

    def edges(self, dtype: torch.dtype = torch.float64) -> list[Call]:
        """The placed batches with the variant's hyperparameters; none if those have a size that may not fit."""
        if any(isinstance(value, Tensor) and value.dim() > 0 for value in self.variant.values()):
            return []
        return [self.vary(call, dtype) for call in self.batches.edges(dtype)]

    def vary(self, call: Call, dtype: torch.dtype) -> Call:
        variant = {name: in_dtype(value, dtype) for name, value in self.variant.items()}
        return Call(call.args, {**variant, **call.kwargs})  # a placed batch keeps its own

    def __call__(self, call: Call, **extra: Any) -> Tensor:
        return self.card.fn(*call.args, **{**call.kwargs, **extra})

    def grads(self, call: Call, **extra: Any) -> tuple[Tensor, list[Tensor]]:
        """The loss and the gradient of its sum by every floating tensor of the call's positional arguments."""
        leaves, run = as_function(self, call, **extra)
        value = run(*leaves)
        found = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
        return value.detach(), [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, found, strict=True)]


def brief(value: object) -> str:
    if isinstance(value, Tensor):
        return f"tensor{tuple(value.shape)}"
    return getattr(value, "__name__", str(value))  # functions by name: tests are named alike in every process


def in_dtype(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


def as_function(subject: Subject, call: Call, **extra: Any) -> tuple[list[Tensor], Callable[..., Tensor]]:
    """Fresh leaves for the call's floating-point tensors, and the loss as a function of only these."""
    places = learning_places(subject, call, **extra)
    leaves = [call.args[i].detach().clone().requires_grad_() for i in places]
    fn, kwargs = subject.card.fn, {**call.kwargs, **extra}

    def run(*values: Tensor) -> Tensor:
        args = list(call.args)
        for place, value in zip(places, values, strict=True):
            args[place] = value
        return fn(*args, **kwargs)  # without a Call: torch 2.6 cannot compile making one

    return leaves, run


def learning_places(subject: Subject, call: Call, **extra: Any) -> list[int]:
    """Which arguments are floating-point and may learn."""
    floats = [i for i, t in enumerate(call.args) if t.is_floating_point()]
    return [i for i in floats if i == 0 or not refuses_to_learn(subject, call, i, **extra)]


def refuses_to_learn(subject: Subject, call: Call, place: int, **extra: Any) -> bool:
    """Whether an argument that requires gradients is refused, by name: signs and labels given as floats."""
    try:
        subject(with_arg(call, place, call.args[place].detach().requires_grad_()), **extra)
    except ValueError as error:
        return "wanted a tensor without requires_grad" in str(error)
    return False


# ---------------------------------------------------------------- items


def items(call: Call) -> int:
    return call.args[0].shape[0]


def is_per_item(value: object, count: int) -> bool:
    """Whether a tensor has one entry per item: draws give no other tensor the length of the batch."""
    return isinstance(value, Tensor) and value.dim() > 0 and value.shape[0] == count


def map_items(call: Call, change: Callable[[Tensor], Tensor]) -> Call:
    """The call with ``change`` applied to everything that has one entry per item."""
    count = items(call)
    args = tuple(change(t) if is_per_item(t, count) else t for t in call.args)
    return Call(args, {n: change(v) if is_per_item(v, count) else v for n, v in call.kwargs.items()})


def select(call: Call, index: Tensor | slice) -> Call:
    return map_items(call, lambda t: t[index])


def with_arg(call: Call, place: int, value: Tensor) -> Call:
    return replace(call, args=(*call.args[:place], value, *call.args[place + 1 :]))


def weighed(subject: Subject, call: Call) -> Tensor:
    """Zeros in the shape of what has one weight each: the items, or the images if items are their regions."""
    if subject.card.item in ("image-class", "image", "batch"):
        return torch.zeros(items(call), dtype=torch.float64)
    return torch.zeros_like(subject(call, reduction="none"))


def item_weights(none: Tensor, seed: int = 1) -> Tensor:
    """Random weights, one per item, positive except for one 0."""
    weight = torch.rand(none.shape, generator=Generator().manual_seed(seed), dtype=torch.float64) + 0.5
    weight.view(-1)[:1] = 0
    return weight.to(none.dtype)


def doubled(call: Call) -> Call:
    """The same numbers in float64."""

    def double(value: object) -> object:
        return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value

    args = tuple(t.double() if t.is_floating_point() else t for t in call.args)
    return Call(args, {name: double(value) for name, value in call.kwargs.items()})


# ---------------------------------------------------------------- signatures


def parameters(card: Card) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(card.fn).parameters)


def reductions(card: Card) -> tuple[str, ...]:
    return ("none", "sum", "mean") if "reduction" in parameters(card) else ()


def takes(*names: str) -> Callable[[Card], bool]:
    return lambda card: all(name in parameters(card) for name in names)


def numbers(card: Card) -> list[str]:
    """The hyperparameters that are numbers and have a value by default, not None."""
    hints = card.module.hints
    fields = {n: card.module.fields[n] for n in card.module.passed}
    return [n for n, default in fields.items() if type(default) is float and float in union(hints[n])]


def learnable(card: Card) -> list[str]:
    """The hyperparameters that may be a number or a tensor; as tensors they get a gradient."""
    hints = card.module.hints
    return [n for n in card.module.fields if {float, Tensor} <= set(union(hints[n]))]


def union(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) or (hint,)


# ---------------------------------------------------------------- Modules


def build(subject: Subject, call: Call, **fields: Any) -> tuple[nn.Module, tuple[Tensor, ...], dict[str, Any]]:
    """The card's Module for a call of its function, with the call's weights; its inputs and keywords.

    It is in evaluation mode, so what it remembers of its batches stays.
    """
    card = subject.card
    given = {**call.kwargs, **fields}
    hyper = {n: v for n, v in given.items() if n in card.module.fields}
    names = dict(zip(parameters(card), call.args, strict=False))
    owned = next((t for n, t in names.items() if n in ("weight", "centers")), None)
    if owned is not None and "num_classes" in card.module.fields:
        hyper |= {"num_classes": owned.shape[0], "embedding_size": owned.shape[-1]}
        if "sub_centers" in card.module.fields:
            hyper |= {"sub_centers": owned.shape[1] if owned.dim() == 3 else 1}
    module = card.module(**hyper).to(call.args[0].dtype).eval()
    mine = {n for n, _ in [*module.named_parameters(), *module.named_buffers()]} - set(card.module.fields)
    with torch.no_grad():
        for name in mine & set(names):
            module.get_parameter(name).copy_(names[name])
    inputs = tuple(t for n, t in names.items() if n not in mine)
    return module, inputs, {n: v for n, v in given.items() if n not in card.module.fields}


# ---------------------------------------------------------------- comparing


def assert_close(got: Tensor, wanted: Tensor, tolerance: float = 1e-12, what: str = "values") -> None:
    """Equal up to ``tolerance`` times the largest wanted number (or 1e-3 if all are tiny)."""
    assert got.shape == wanted.shape, f"{what}: wanted shape {tuple(wanted.shape)}, got {tuple(got.shape)}"
    got, wanted = got.detach().double(), wanted.detach().double()
    largest = wanted[wanted.isfinite()].abs().max().item() if wanted.isfinite().any() else 0.0
    torch.testing.assert_close(
        got, wanted, rtol=0, atol=tolerance * max(largest, 1e-3), msg=lambda m: f"{what}: {m}\n{got}\n{wanted}"
    )


def assert_same(got: tuple[Tensor, list[Tensor]], wanted: tuple[Tensor, list[Tensor]], tolerance: float) -> None:
    """Equal loss and equal gradients."""
    assert_close(got[0], wanted[0], tolerance, "loss")
    for place, (g, w) in enumerate(zip(got[1], wanted[1], strict=True)):
        assert_close(g, w, tolerance, f"gradient {place}")

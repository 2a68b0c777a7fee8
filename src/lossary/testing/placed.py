"""Placed batches for a loss of which only the form of call is known: extremes, ties and kinks from a random batch.

All numbers are exact in bfloat16, so a batch is the same in every dtype.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from lossary.testing.draws import Call, Draw
from lossary.testing.forms import Stranger

#: A network's score when it is sure, and its score when something is wrong.
SURE, VERY_SURE = 30.0, 100.0
#: A loss beyond it may not fit in float32.
LARGEST = 1e30

#: Inputs that may also be targets.
_TRUE_TOO = frozenset({"values", "boxes", "images", "waves"})

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Placed:
    """The batches for a stranger: random ones, and named edges."""

    stranger: Stranger
    named: Mapping[str, Call]

    @property
    def edges(self) -> Callable[[torch.dtype], tuple[Call, ...]]:
        return lambda dtype: tuple(cast(call, dtype) for call in self.named.values())

    @property
    def variants(self) -> tuple[Mapping[str, Any], ...]:
        return ({},)

    @property
    def draw(self) -> Draw:
        return self.stranger.draw


@dataclass(frozen=True)
class Only:
    """One batch, for every request."""

    call: Call

    @property
    def edges(self) -> Callable[[torch.dtype], tuple[Call, ...]]:
        return lambda dtype: (cast(self.call, dtype),)

    @property
    def variants(self) -> tuple[Mapping[str, Any], ...]:
        return ({},)

    @property
    def draw(self) -> Draw:
        return lambda _, dtype: cast(self.call, dtype)


def cast(call: Call, dtype: torch.dtype) -> Call:
    def to(value: Any) -> Any:
        return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

    return Call(tuple(to(t) for t in call.args), {n: to(v) for n, v in call.kwargs.items()})


def placed(stranger: Stranger) -> Placed:
    """The edges for a stranger's form of call where its loss fits in float32."""
    base = stranger.draw(Generator().manual_seed(0), torch.float64)
    found = {name: rounded(call) for name, call in edges(stranger, base).items()}
    return Placed(stranger, {name: call for name, call in found.items() if holds(stranger, call)})


def rounded(call: Call) -> Call:
    return cast(cast(call, torch.bfloat16), torch.float64)


def holds(stranger: Stranger, call: Call) -> bool:
    """Whether the loss fits in float32; the laws are to see a NaN.

    For bounded inputs they are to see infinity too.
    """
    try:
        value = stranger(*call.args, **call.kwargs)
    except Exception:  # noqa: BLE001  # refused: leave the batch out
        return False
    large = value.isinf().any() or bool((value.abs() > LARGEST).any())
    return not large or stranger.form.input in ("probabilities", "embeddings", "boxes", "images")


def edges(stranger: Stranger, call: Call) -> dict[str, Call]:
    """The edges, by name."""
    made = {"one item": _select(call, slice(0, 1))}
    for name, changes in _INPUTS.get(stranger.form.input, {}).items():
        made[name] = Call(tuple(changes(t) for t in call.args), call.kwargs)
    first = call.args[0]
    if len(call.args) > 1 and call.args[1].shape == first.shape:
        others = call.args[2:]
        made["both the same"] = Call((first, first.clone(), *others), call.kwargs)
        if stranger.form.input == "embeddings":
            made["opposite ones"] = Call((first, -first, *others), call.kwargs)
    for name, target in _targets(stranger, call):
        if target.shape == first.shape and target.is_floating_point() and stranger.form.input in _TRUE_TOO:
            made["all right"] = Call(call.args, {**call.kwargs, name: first.clone()})
        if not target.is_floating_point():
            made |= _of_labels(stranger, call, name, target)
    return made


def _targets(stranger: Stranger, call: Call) -> list[tuple[str, Tensor]]:
    return [(n, call.kwargs[n]) for n in stranger.tensors if n in call.kwargs]


def _of_labels(stranger: Stranger, call: Call, name: str, target: Tensor) -> dict[str, Call]:
    """A single class, with a prediction that is sure of it, and one that is sure of the opposite."""
    made: dict[str, Call] = {}
    first, rest = call.args[0], call.args[1:]
    least, most = target.min(), target.max()
    for words, label in (("nothing there", least), ("all there", most)):
        alone = {**call.kwargs, name: torch.zeros_like(target) + label.to(target.dtype)}
        made[words] = Call(call.args, alone)
        for sure in _SURE.get(stranger.form.input, ()):
            made[f"{words}, and {sure[0]}"] = Call((torch.full_like(first, sure[1]), *rest), alone)
    return made


def _select(call: Call, index: slice) -> Call:
    count = call.args[0].shape[0]

    def cut(value: Any) -> Any:
        return value[index] if isinstance(value, Tensor) and value.dim() > 0 and value.shape[0] == count else value

    return Call(tuple(cut(t) for t in call.args), {n: cut(v) for n, v in call.kwargs.items()})


def _zero_first(t: Tensor) -> Tensor:
    t = t.clone()
    t[:1] = 0
    return t


_SCORES: dict[str, Change] = {
    "sure": lambda t: t.sign() * SURE,
    "very sure": lambda t: t.sign() * VERY_SURE,
    "undecided": torch.zeros_like,
}
_INPUTS: dict[str, dict[str, Change]] = {
    "logits": _SCORES,
    "scores": _SCORES,
    "values": {"large": lambda t: t * VERY_SURE, "zeros": torch.zeros_like},
    "log-rates": {"large": lambda t: t.sign() * SURE, "zeros": torch.zeros_like},
    "probabilities": {"certain": torch.round, "certain the other way": lambda t: 1 - t.round()},
    "log-probabilities": {"sure": lambda t: (t.exp().log() * SURE).log_softmax(-1), "certain": lambda t: t * SURE},
    "distances": {"zeros": torch.zeros_like},
    "embeddings": {
        "all the same": lambda t: t[:1].expand_as(t).clone(),
        "a zero vector": _zero_first,
        "axes": lambda t: (
            torch.eye(t.shape[-1], dtype=t.dtype)[torch.arange(t.shape[0]) % t.shape[-1]] if t.dim() == 2 else t
        ),
        "long ones": lambda t: t * VERY_SURE,
    },
    "boxes": {"points": lambda t: torch.cat([t[:, :2], t[:, :2]], 1), "far away": lambda t: t + SURE},
    "images": {"black": torch.zeros_like, "white": torch.ones_like},
    "waves": {"silence": torch.zeros_like},
}
_SURE: dict[str, tuple[tuple[str, float], ...]] = {
    "logits": (("surely", VERY_SURE), ("surely not", -VERY_SURE)),
    "probabilities": (("surely", 1.0), ("surely not", 0.0)),
}

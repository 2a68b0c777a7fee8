"""Named maps of scores: what a target's score, and the rest's scores, become before they are summed.

A map is two plain functions of torch, which are its definition and give every higher derivative, and their slopes in
closed form, which turn a block of scores into its gradient. Some maps need no name. An offset per column is ``b`` of
the source. An offset per row, or a margin common to all negatives, is added to a statistic by the formula; so is one of
the target. A factor of the targets alone is their ``scale``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lossary.kernels.stable import ABSENT

#: From scores, the map's numbers, and its numbers by row: the mapped scores, or their derivative.
Function = Callable[[Tensor, tuple[Any, ...], Any], Tensor]


#: Maps scores in place and returns their slopes.
InPlace = Callable[[Tensor, tuple[Any, ...], Any], Tensor]
#: The same with two tensors like the scores to write into; returns 1 minus their slopes.
ByNumbers = Callable[[Tensor, tuple[Any, ...], Any, Tensor, Tensor], Tensor]


class Side(NamedTuple):
    """The map of one side of the scores; in place if that takes fewer passes."""

    value: Function
    slope: Function
    both_: InPlace | None = None
    by_numbers_: ByNumbers | None = None  # if the map is homogeneous
    vanishes: bool = True  # whether slopes may be tiny for more than a few scores


def _same(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    return z


def _ones(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    return torch.ones_like(z)


# Circle loss's map of scores ``root * cos``, where root * root is its scale: how far a cosine is from its optimum,
# times a weight that grows with it. Either with the weight's derivative or, as in the paper, with the weight as a
# constant.
def _near(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    root, margin = numbers
    return _lack(z, root, margin) * (root * (1 - margin) - z)


def _far(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    root, margin = numbers
    return _excess(z, root, margin) * (z - root * margin)


def _near_held(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    root, margin = numbers
    return _held(_lack(z, root, margin), root) * (root * (1 - margin) - z)


def _far_held(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    root, margin = numbers
    return _held(_excess(z, root, margin), root) * (z - root * margin)


def _held(weight: Tensor, root: Any) -> Tensor:
    """A weight as a constant, except for the root of the scale in it: a scale that learns is no part of the weight."""
    return weight.detach() * (root / root.detach()) if isinstance(root, Tensor) else weight.detach()


def _lack(z: Tensor, root: Any, margin: Any) -> Tensor:
    return (root * (1 + margin) - z).relu()


def _excess(z: Tensor, root: Any, margin: Any) -> Tensor:
    return (z + root * margin).relu()


def _near_slope(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    root, margin = numbers
    return (2 * (z - root)).mul_(z < root * (1 + margin))


def _far_slope(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    root, margin = numbers
    return (2 * z).mul_(z > -root * margin)


def _near_held_slope(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    return _lack(z, *numbers).neg_()


def _far_held_slope(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    return _excess(z, *numbers)


def _capped(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    (cap,) = numbers
    return (z / cap).tanh() * cap


def _capped_slope(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    (cap,) = numbers
    return 1 - (z / cap).tanh().square_()


def _curricular(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    """CurricularFace's, of scores ``scale * cos``: negatives above a row's first number count (t + cos) times.

    Its second number is t: the same for all rows, but blocks take numbers, and t is kept on the device.
    """
    (scale,), (bar, t) = numbers, by_row.unbind(-1)
    return torch.where(z > bar, z * (t + z / scale), z)


def _curricular_slope(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    (scale,), (bar, t) = numbers, by_row.unbind(-1)
    return torch.where(z > bar, t + 2 * z / scale, 1)


def _curricular_(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    (scale,), (bar, t) = numbers, by_row.unbind(-1)
    easy = z <= bar
    share = torch.add(t, z, alpha=1 / scale).masked_fill_(easy, 1)
    z.mul_(share)
    return torch.add(-t, share, alpha=2, out=share).masked_fill_(easy, 1)


def _curricular_by_numbers_(z: Tensor, numbers: tuple[Any, ...], by_row: Any, hard: Tensor, less: Tensor) -> Tensor:
    """The same on a CPU, where a mask costs as much as ten passes if branches cannot be predicted."""
    (scale,), (bar, t) = numbers, by_row.unbind(-1)
    low = 1 - t
    torch.gt(z, bar, out=hard)
    torch.add(2 * low, z, alpha=-2 / scale, out=less).mul_(hard)  # twice 1 - (t + cos)
    z.addcmul_(z, less, value=-0.5)
    return less.addcmul_(hard, low, value=-1)


# SphereFace2's map of scores ``scale * cos``: ``scale * g(cos)``, minus the margin (own class) or plus it (others).
def _others_pulled(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    scale, t, margin, bias = numbers
    return scale * (2 * _half(z / scale) ** t - 1 + margin) + bias


def _own_pulled(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    scale, t, margin, bias = numbers
    return _others_pulled(z, (scale, t, -margin, bias), by_row)


def _others_straight(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    return z + (_others_pulled(z, numbers, by_row) - z).detach()


def _own_straight(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    return z + (_own_pulled(z, numbers, by_row) - z).detach()


def _pulled_slope(z: Tensor, numbers: tuple[Any, ...], by_row: Any) -> Tensor:
    scale, t, _, _ = numbers
    half = _half(z / scale)
    return t * half ** (t - 1) * (half > 0)


def _half(cos: Tensor) -> Tensor:
    """(1 + cos) / 2, not rounded below 0, where it would have no gradient."""
    return ((1 + cos) / 2).relu()


_CAPPED = Side(_capped, _capped_slope)
#: By name, the maps of targets and of the rest.
MAPS = {
    "circle": (Side(_near, _near_slope), Side(_far, _far_slope)),
    "circle_held": (Side(_near_held, _near_held_slope), Side(_far_held, _far_held_slope)),
    "soft_cap": (_CAPPED, _CAPPED),
    "curricular": (
        Side(_same, _ones),
        Side(_curricular, _curricular_slope, _curricular_, _curricular_by_numbers_, False),
    ),
    "sphereface2": (Side(_own_pulled, _pulled_slope), Side(_others_pulled, _pulled_slope)),
    "sphereface2_straight": (Side(_own_straight, _ones), Side(_others_straight, _ones)),
}


@dataclass(frozen=True)
class ScoreMap:
    """A map of :data:`MAPS` with its numbers.

    Tensors among these are for scores that are all stored; blocks take numbers.
    """

    name: str
    numbers: tuple[float | Tensor, ...]
    by_row: Tensor | None = None  # (N,), or (N, K) of K numbers, without a gradient

    @property
    def sides(self) -> tuple[Side, Side]:
        return MAPS[self.name]

    @property
    def is_plain(self) -> bool:
        """Whether its numbers are plain numbers, not tensors."""
        return not any(isinstance(n, Tensor) for n in self.numbers)

    def of(self, rows: slice | Tensor) -> "ScoreMap":
        return self if self.by_row is None else ScoreMap(self.name, self.numbers, self.by_row[rows])

    def bound(self, scores: float | None) -> float | None:
        """A bound on the size of mapped scores, given one of the scores; reads the numbers by row."""
        if self.name == "soft_cap":
            return None if isinstance(self.numbers[0], Tensor) else abs(self.numbers[0])
        if self.name == "curricular" and scores is not None and self.by_row is not None:
            return scores * (1 + self.by_row[:, 1].abs().amax().item())
        return None

    def in_units(self, unit: float) -> "ScoreMap":
        """The same map for scores multiplied by ``unit``; for homogeneous maps."""
        by_row = self.by_row
        if self.name == "curricular" and by_row is not None:
            by_row = torch.stack([by_row[:, 0] * unit, by_row[:, 1]]).t()
        return ScoreMap(self.name, tuple(n * unit for n in self.numbers), by_row)

    @property
    def arguments(self) -> tuple[tuple[float | Tensor, ...], Tensor | None]:
        return self.numbers, None if self.by_row is None else self.by_row[:, None]

    def value(self, scores: Tensor, is_target: Tensor, *, some_absent: bool) -> Tensor:
        """All scores mapped, in plain differentiable torch; absent ones stay absent."""
        of_targets, of_rest = self.sides
        if not some_absent:
            found = (side.value(scores, *self.arguments) for side in self.sides)
            return torch.where(is_target, *found)
        exists = scores > ABSENT / 2  # except NaN, which stays NaN
        z = torch.where(exists, scores, 0)  # no derivative is infinite
        z = torch.where(is_target, of_targets.value(z, *self.arguments), of_rest.value(z, *self.arguments))
        return torch.where(exists, z, scores)


class AtIndex(NamedTuple):
    """One column per row, (R, 1), for rows that are ``inside``; None means all."""

    column: Tensor
    inside: Tensor | None

    def get(self, matrix: Tensor) -> Tensor:
        return matrix.gather(1, self.column)

    def put_(self, matrix: Tensor, values: Tensor) -> None:
        if self.inside is not None:
            values = torch.where(self.inside, values, self.get(matrix))
        matrix.scatter_(1, self.column, values)

    def of(self, given: ScoreMap) -> ScoreMap:
        return given


class AtMask(NamedTuple):
    """The entries that a mask of some rows and columns marks."""

    rows: slice
    columns: slice
    mask: Tensor

    def get(self, matrix: Tensor) -> Tensor:
        return matrix[self.rows, self.columns].clone()

    def put_(self, matrix: Tensor, values: Tensor) -> None:
        part = matrix[self.rows, self.columns]
        part.copy_(torch.where(self.mask, values, part))

    def of(self, given: ScoreMap) -> ScoreMap:
        return given.of(self.rows)


def map_block_(given: ScoreMap, scores: Tensor, targets: Sequence[AtIndex | AtMask], *, some_absent: bool) -> Tensor:
    """Map a block's scores in place, given its targets; returns the slopes."""
    of_targets, of_rest = given.sides
    absent = scores <= ABSENT / 2 if some_absent else None
    found: list[tuple[Tensor, Tensor]] = []
    for at in targets:
        z, arguments = at.get(scores), at.of(given).arguments
        found.append((of_targets.value(z, *arguments), of_targets.slope(z, *arguments)))
    if of_rest.both_ is None:
        slopes = of_rest.slope(scores, *given.arguments)
        scores.copy_(of_rest.value(scores, *given.arguments))
    else:
        slopes = of_rest.both_(scores, *given.arguments)
    for at, (value, slope) in zip(targets, found, strict=True):
        at.put_(scores, value)
        at.put_(slopes, slope)
    if absent is not None:
        scores.masked_fill_(absent, ABSENT)
        slopes.masked_fill_(absent, 0)
    return slopes

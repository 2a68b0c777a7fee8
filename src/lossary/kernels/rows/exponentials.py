"""Exponentials of scores in units of log 2, and their sums. In these units, because exp2 takes a quarter of exp's time.

On a CPU no block may contain subnormal numbers: on some processors, operations that read or produce them take 5 to 15
times as long. An exponential below about 1e-30 of its row's largest counts as 0 there.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lossary.core import device as _device
from lossary.kernels.stable import ABSENT, LOG2_E, softplus

LN_2 = math.log(2)
ABSENT_2 = ABSENT * LOG2_E
#: Up to this size of scores, in units of log 2, their exponentials and the sums of these are well within float32.
TAME = 100.0
#: Powers of 2 between the smallest normal number and the smallest exponential, and between that and the gradient.
ROOM, ROOM_OF_GRADIENTS = 26, 8

#: Scores (R, C), overwritten, -> log-sum-exp (R,) and the factor (R, 1) from exponentials to shares; None is 1.
Exponentiate = Callable[[Tensor], tuple[Tensor, Tensor | None]]


def exponentials_(exponents: Tensor) -> Tensor:
    """exp2 of numbers that are at most 0, in place."""
    if _device.by_cache(exponents):
        least = math.log2(torch.finfo(exponents.dtype).tiny) + ROOM
        torch.threshold_(exponents, least, 10 * least)  # whose exp2 is 0; a NaN stays NaN
    return exponents.exp2_()


def without_subnormals_(gradients: Tensor, by_row: list[Tensor], by_column: Tensor | None) -> Tensor:
    """Gradients by scores, in place, without numbers that are subnormal or close to it.

    Args:
        gradients: Products of an exponential, which is 0 or at least :data:`ROOM` powers of 2 above the smallest
            normal number, and a factor of the row and one of the column.
        by_row: The rows' factors. If these are of ordinary size, gradients need not be checked.
        by_column: The columns' factors, or None for 1.
    """
    if not _device.by_cache(gradients):
        return gradients
    return without_faint_(gradients, smallest(by_row) * (1 if by_column is None else smallest([by_column])))


def without_faint_(gradients: Tensor, factor: float) -> Tensor:
    """The same on a CPU, where no row's factor times a column's is smaller than ``factor``."""
    if factor >= 2.0 ** (ROOM_OF_GRADIENTS - ROOM):
        return gradients
    least = torch.finfo(gradients.dtype).tiny * 2**ROOM_OF_GRADIENTS
    return torch.hardshrink(gradients, least, out=gradients)


def smallest(numbers: Sequence[Tensor]) -> float:
    """The smallest absolute value; 0 if values may not be read."""
    if not _device.values_visible(*numbers):
        return 0.0
    return min((n.abs().amin().item() for n in numbers if n.numel()), default=0.0)


def exponentiate(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The log-sum-exp of each row, (R,), and 1 / sum, (R, 1); the scores become exp2(score - maximum) in place."""
    top = scores.amax(1, keepdim=True)
    total = exponentials_(scores.sub_(top)).sum(1, keepdim=True)
    # In a row without any score all are equally "absent", and each exp2(0) = 1 must get no share of any gradient.
    share = torch.where(top > ABSENT_2 / 2, 1 / total, torch.zeros_like(total))
    return (top * LN_2 + total.log())[:, 0], share


def exponentiate_tame(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The same for scores so near 0 that no maximum is needed: exp2(score)."""
    total = scores.exp2_().sum(1, keepdim=True)
    share = torch.where(total > 0, 1 / total, torch.zeros_like(total))
    return torch.where(total > 0, total.log(), ABSENT)[:, 0], share


def exponentiate_tame_rest(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The same for rows that all have some score."""
    total = scores.exp2_().sum(1, keepdim=True)
    return total.log()[:, 0], total.reciprocal()


def largest_of_piece(scores: Tensor) -> Tensor:
    """The largest score of each row, (R, 1)."""
    if _device.by_cache(scores):  # a maximum over columns jumps through cold memory; one of two halves does not
        half = -(-scores.shape[1] // 2)
        scores = torch.maximum(scores[:, :half], scores[:, -half:])
    return scores.amax(1, keepdim=True)


class PieceSums:
    """The log-sum-exp of each row, from pieces of its scores that arrive one after the other.

    A piece's exponentials are relative to its own largest score, so no piece has to wait for the others.
    """

    def __init__(self) -> None:
        self.tops: list[Tensor] = []
        self.totals: list[Tensor] = []

    def add(self, scores: Tensor) -> None:
        """Scores become exponentials, in place."""
        top = largest_of_piece(scores).clamp_min_(ABSENT_2)  # also for a piece whose bias is -inf
        self.tops.append(top)
        self.totals.append(exponentials_(scores.sub_(top)).sum(1, keepdim=True))

    def end(self) -> tuple[Tensor, Tensor]:
        """The log-sum-exps (R,), and the factors from exponentials to shares: (P, R, 1) for P pieces, or (1, R, 1)."""
        if len(self.tops) == 1:
            (top,), (total,), each = self.tops, self.totals, None
        else:
            tops = torch.stack(self.tops)
            top = tops.amax(0)
            each = torch.exp2(tops - top)
            total = (torch.stack(self.totals) * each).sum(0)
        # In a row without any score all are equally "absent", and each exp2(0) = 1 must get no share of any gradient.
        share = (top > ABSENT_2 / 2) / total
        log_sum = torch.add(total.log(), top, alpha=LN_2)
        return log_sum[:, 0], share[None] if each is None else each * share


class TameSums(PieceSums):
    """The same for scores so near 0 that no maximum is needed."""

    def add(self, scores: Tensor) -> None:
        self.totals.append(scores.exp2_().sum(1, keepdim=True))

    def end(self) -> tuple[Tensor, Tensor]:
        total = torch.stack(self.totals).sum(0)
        share = torch.where(total > 0, 1 / total, 0)
        return torch.where(total > 0, total.log(), ABSENT)[:, 0], share[None]


def sum_softplus(scores: Tensor) -> tuple[Tensor, None]:
    """The sum of softplus(score) of each row, (R,); the scores become its derivative in place.

    These scores are not in units of log 2.
    """
    if _device.by_cache(scores):
        least = (math.log2(torch.finfo(scores.dtype).tiny) + ROOM) * LN_2
        torch.threshold_(scores, least, 20 * least)
    total = softplus(scores).sum(1)
    scores.sigmoid_()
    return total, None


def is_tame(x: Tensor, w: Tensor, unit: bool = False, scale: float = 1.0, bound: float | None = None) -> bool:
    """Whether all <x_i, w_j> are known to be below :data:`TAME`, also when multiplied by ``scale``.

    By the bound, if there is one, otherwise by lengths, which are read only on a CPU: elsewhere reading would wait.
    """
    if bound is not None:
        return bound * max(abs(scale), 1) * LOG2_E <= TAME
    if len(x) == 0 or len(w) == 0 or not _device.values_visible(x, w):
        return False
    longest = 1 if unit else w.norm(dim=1).max()
    return bool(x.norm(dim=1).max() * longest * max(abs(scale), 1) * LOG2_E <= TAME)


def take_targets(scores: Tensor, is_target: Tensor, scale: float) -> Tensor:
    """The targets' scores times ``scale``, absent elsewhere; ``scores`` keep those of the rest."""
    hits = torch.where(is_target, scores if scale == 1 else scores * scale, ABSENT_2)
    scores.masked_fill_(is_target, ABSENT_2)
    return hits

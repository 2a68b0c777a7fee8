"""What a softmax over linear scores says about each row: its label's log-probability, its entropy, its log-sum-exp.

The scores are computed once for all of these, and once more for the gradient in closed form: autograd's passes through
a block take longer than its products.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from lossary.core.torch_internals import first_largest
from lossary.kernels.rows.exponentials import largest_of_piece
from lossary.kernels.rows.readings import ItemBlock, read_rows
from lossary.kernels.rows.scores import Bilinear
from lossary.kernels.rows.swept import Pulled, in_pieces
from lossary.kernels.stable import ABSENT, logaddexp, softplus


def chances(source: Bilinear, labels: Tensor, cap: float | None) -> tuple[Tensor, ...]:
    """For each row, (N,): log p of its label, entropy, log-sum-exp, and whether no score is above the label's.

    Args:
        source: Where the scores come from.
        labels: (N,) columns.
        cap: c in c tanh(z / c), which replaces each score z; None for the scores themselves.
    """
    ways = _Chances(labels, cap, source.b is not None)
    logps, entropy, log_sum, above = read_rows(ways.read, source, at_once=ways.at_once, slopes=ways.slopes)
    return logps, entropy, log_sum, above


class _Sums(NamedTuple):
    """Of rows' scores, (R,): the largest, how many are equal to it, and sums over the others relative to it."""

    largest: Tensor
    ones: Tensor
    others: Tensor  # the sum of their exponentials
    along: Tensor  # the sum of exponentials times exponents


def _merged(parts: list[_Sums]) -> _Sums:
    """The peaks of all pieces of the rows together."""
    if len(parts) == 1:
        return parts[0]
    every = _Sums(*(torch.stack(found) for found in zip(*parts, strict=True)))  # pyright: ignore[reportCallIssue]
    largest = every.largest.amax(0)
    behind = every.largest - largest
    share, first, total = behind.exp(), behind == 0, every.ones + every.others
    ones = torch.where(first, every.ones, 0).sum(0)
    others = (share * torch.where(first, every.others, total)).sum(0)
    return _Sums(largest, ones, others, (share * (every.along + behind * total)).sum(0))


class _Chances:
    """``maybe_absent``: whether a score may be -inf, because a bias excludes a column."""

    def __init__(self, labels: Tensor, cap: float | None, maybe_absent: bool) -> None:
        self.labels, self.cap, self.maybe_absent = labels, cap, maybe_absent

    def read(self, rows: slice, z: Tensor) -> tuple[Tensor, ...]:
        """The definition, in plain differentiable torch."""
        z = z if self.cap is None else (z / self.cap).tanh() * self.cap
        own = self.labels[rows, None]
        target, rest = z.gather(1, own)[:, 0], z.scatter(1, own, ABSENT).logsumexp(1)
        log_sum = logaddexp(target, rest)
        # Not as a difference of sums: for a certain row that is only rounding, and so is its largest log-probability.
        first = first_largest(z)
        behind = z.scatter(1, first, ABSENT).logsumexp(1, keepdim=True) - z.gather(1, first)
        logps = (z - log_sum[:, None]).clamp_min(ABSENT).scatter(1, first, -softplus(behind))
        entropy = -(logps.exp() * logps).sum(1)
        return -softplus(rest - target), entropy, log_sum, target >= z.detach().amax(1)

    def at_once(self, rows: slice, z: Tensor) -> tuple[Tensor, ...]:
        """The same, overwriting the block, one piece in cache after the other."""
        target = z.gather(1, self.labels[rows, None])[:, 0]
        target = target if self.cap is None else (target / self.cap).tanh() * self.cap
        largest, ones, others, along = _merged([self._sums(part) for part in in_pieces(z)])
        log_total = ones.log() + torch.log1p(others / ones)
        entropy = log_total - along / (ones + others)
        is_largest = target >= largest
        own = torch.where(is_largest, 0, (target - largest).exp())
        rest = largest + ((ones - is_largest.to(ones.dtype)) + (others - own)).log()
        return -softplus(rest - target), entropy, largest + log_total, is_largest

    def _sums(self, z: Tensor) -> "_Sums":
        """The same for a piece, which is overwritten."""
        if self.cap is not None:
            z.div_(self.cap).tanh_().mul_(self.cap)
        largest = self._exist(largest_of_piece(z))
        below = self._exist(z.sub_(largest))
        shares = below.exp()
        # The largest, exactly 1, are kept apart: added to them, a certain row's small remainder would be rounded away.
        total = shares.sum(1)
        others = shares.frac_().sum(1)
        return _Sums(largest[:, 0], (total - others).round(), others, below.mul_(shares).sum(1))

    def slopes(
        self, rows: slice, found: tuple[Tensor, ...], by_found: tuple[Tensor | None, ...], block: ItemBlock
    ) -> tuple[Pulled]:
        """The gradient by a block's scores, which it overwrites, likewise."""
        z = block.whole()
        (logp, entropy, log_sum, _), (by_logp, by_entropy, by_sum, _) = found, by_found
        each, own, bent = _sum(by_sum, by_logp, like=logp), self.labels[rows, None], None
        if self.cap is not None:
            bent = 1 - (z.gather(1, own) / self.cap).tanh_().square_()
        each = each if by_entropy is None else each - by_entropy * entropy
        for part in in_pieces(z):
            self._slopes_(part, log_sum[:, None], each[:, None], by_entropy)
        at = torch.zeros_like(logp) if by_logp is None else -by_logp * torch.expm1(logp)  # 1 - p, not rounded at 1
        other = _sum(by_sum, None, like=logp)
        if by_entropy is not None:
            other = other - by_entropy * (logp.clamp_min(ABSENT) + entropy)
        by_own = (at + logp.exp() * other)[:, None]
        return (Pulled(in_pieces(z.scatter_(1, own, by_own if bent is None else by_own * bent))),)

    def _slopes_(self, z: Tensor, log_sum: Tensor, each: Tensor, by_entropy: Tensor | None) -> None:
        """A piece's gradient, without the labels' part."""
        tanh = None if self.cap is None else (z / self.cap).tanh_()
        if tanh is not None and self.cap is not None:
            torch.mul(tanh, self.cap, out=z)
        logs = self._exist(z.sub_(log_sum))
        p = logs.exp()
        if by_entropy is None:
            torch.mul(p, each, out=z)
        else:
            torch.addcmul(each, logs, -by_entropy[:, None], out=z).mul_(p)
        if tanh is not None:
            z.mul_(tanh.square_().neg_().add_(1))

    def _exist(self, logs: Tensor) -> Tensor:
        """-inf as a finite number, whose product with 0 is 0."""
        return logs.clamp_min_(ABSENT) if self.maybe_absent else logs


def _sum(plus: Tensor | None, minus: Tensor | None, *, like: Tensor) -> Tensor:
    found = torch.zeros_like(like) if plus is None else plus
    return found if minus is None else found - minus

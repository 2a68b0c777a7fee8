"""What a softmax over linear scores says of each row: its label's log-probability, its entropy, its log-sum-exp.

All of it from one making of the scores, and the gradient in closed form from another: autograd's ways through a block
take longer than its products.
"""

import torch
from torch import Tensor

from lossary.core.torch_internals import first_largest
from lossary.kernels.rows.readings import read_rows
from lossary.kernels.rows.scores import Bilinear
from lossary.kernels.stable import ABSENT, logaddexp, softplus


def chances(source: Bilinear, labels: Tensor, cap: float | None) -> tuple[Tensor, ...]:
    """Of each row, (N,): log p of its label, entropy, log-sum-exp, and whether no score is above the label's.

    Args:
        source: Where the scores come from.
        labels: (N,) columns.
        cap: c of c tanh(z / c), which stands for each score z; None for the scores as they are.
    """
    ways = _Chances(labels, cap, source.b is not None)
    logps, entropy, log_sum, above = read_rows(ways.read, source, at_once=ways.at_once, slopes=ways.slopes)
    return logps, entropy, log_sum, above


class _Chances:
    """``maybe_absent``: whether a score may be -inf, by a bias that rules a column out."""

    def __init__(self, labels: Tensor, cap: float | None, maybe_absent: bool) -> None:
        self.labels, self.cap, self.maybe_absent = labels, cap, maybe_absent

    def read(self, rows: slice, z: Tensor) -> tuple[Tensor, ...]:
        """The definition, by plain differentiable torch."""
        z = z if self.cap is None else (z / self.cap).tanh() * self.cap
        own = self.labels[rows, None]
        target, rest = z.gather(1, own)[:, 0], z.scatter(1, own, ABSENT).logsumexp(1)
        log_sum = logaddexp(target, rest)
        # Not as a difference of sums: that of a certain row would be rounding; so would be its largest log-probability.
        first = first_largest(z)
        behind = z.scatter(1, first, ABSENT).logsumexp(1, keepdim=True) - z.gather(1, first)
        logps = (z - log_sum[:, None]).clamp_min(ABSENT).scatter(1, first, -softplus(behind))
        entropy = -(logps.exp() * logps).sum(1)
        return -softplus(rest - target), entropy, log_sum, target >= z.detach().amax(1)

    def at_once(self, rows: slice, z: Tensor) -> tuple[Tensor, ...]:
        """The same, with the block used up."""
        if self.cap is not None:
            z.div_(self.cap).tanh_().mul_(self.cap)
        target, largest = z.gather(1, self.labels[rows, None])[:, 0], z.amax(1)
        below = self._exist(z.sub_(largest[:, None]))
        shares = below.exp()
        # The largest, which are 1 exactly, stand apart: beside them what a certain row leaves would be rounded away.
        total = shares.sum(1)
        others = shares.frac_().sum(1)
        ones = (total - others).round()
        log_total = ones.log() + torch.log1p(others / ones)
        entropy = log_total - below.mul_(shares).sum(1) / (ones + others)
        is_largest = target >= largest
        own = torch.where(is_largest, 0, (target - largest).exp())
        rest = largest + ((ones - is_largest.to(ones.dtype)) + (others - own)).log()
        return -softplus(rest - target), entropy, largest + log_total, is_largest

    def slopes(
        self, rows: slice, found: tuple[Tensor, ...], by_found: tuple[Tensor | None, ...], z: Tensor
    ) -> tuple[Tensor]:
        """The gradient by a block's scores, in their place."""
        (logp, entropy, log_sum, _), (by_logp, by_entropy, by_sum, _) = found, by_found
        tanh = None
        if self.cap is not None:
            tanh = z.div_(self.cap).tanh_()
            z = tanh * self.cap
        logs = self._exist(z.sub_(log_sum[:, None]))
        p, each = logs.exp(), _sum(by_sum, by_logp, like=logp)
        own, at = self.labels[rows, None], torch.zeros_like(logp)
        if by_entropy is None:
            slopes = p.mul_(each[:, None])
        else:
            each = each - by_entropy * entropy
            slopes = torch.addcmul(each[:, None], logs, -by_entropy[:, None], out=logs).mul_(p)
        if by_logp is not None:
            at = -by_logp * torch.expm1(logp)  # 1 - p, where 1 is no more than p's rounding away
        own_p = logp.exp()
        other = _sum(by_sum, None, like=logp)
        if by_entropy is not None:
            other = other - by_entropy * (logp.clamp_min(ABSENT) + entropy)
        slopes.scatter_(1, own, (at + own_p * other)[:, None])
        return (slopes if tanh is None else slopes.mul_(tanh.square_().neg_().add_(1)),)

    def _exist(self, logs: Tensor) -> Tensor:
        """-inf as a number that times 0 is 0."""
        return logs.clamp_min_(ABSENT) if self.maybe_absent else logs


def _sum(plus: Tensor | None, minus: Tensor | None, *, like: Tensor) -> Tensor:
    found = torch.zeros_like(like) if plus is None else plus
    return found if minus is None else found - minus

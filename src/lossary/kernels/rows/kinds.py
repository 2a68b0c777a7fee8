"""Blocks of scores, by what is known of their targets: they give statistics, then the gradient in their place."""

import torch
from torch import Tensor

from lossary.kernels.rows.bands import Places
from lossary.kernels.rows.exponentials import ABSENT_2, LN_2, Exponentiate, sum_softplus, take_targets
from lossary.kernels.rows.scores import RowGradients, Rows, RowsOf, Targets
from lossary.kernels.stable import ABSENT, softplus


class Block:
    """The scores of some rows, (R, C), in units of log 2, and their statistics."""

    statistics: Rows
    by_mean: Tensor | None = None  # (R,) the gradient by mean scores, which a pulled block keeps apart from its scores
    powers: tuple[Tensor, Tensor | None, float] | None = None
    by_row: list[Tensor]  # (R, 1) each: the factors of a pulled block's exponentials

    def __init__(self, scores: Tensor, rows: slice | Tensor, exponentiate: Exponentiate) -> None:
        self.scores, self.rows, self.exponentiate = scores, rows, exponentiate
        self.unit = 1 if exponentiate is sum_softplus else LN_2

    def pull(self, gradients: RowGradients) -> None:
        """Turn the scores into the gradient by them, given the gradient by the statistics."""
        raise NotImplementedError

    def _sum_powers(self, rest: Tensor, scale: float, powers: Tensor) -> Tensor:
        """The log-sum-exp of ``scale`` times the rest's scores, which are in ``powers``; kept for :meth:`pull`."""
        among, share = self.exponentiate(powers)
        nothing = rest <= ABSENT / 2
        self.powers = powers, None if share is None else share.masked_fill(nothing[:, None], 0), scale
        return among.masked_fill(nothing, ABSENT)

    def _pull_powers(self, by_among: Tensor | None) -> None:
        """Called after the rest's exponentials have replaced the scores."""
        if self.powers is not None and by_among is not None:
            powers, share, scale = self.powers
            self.by_row.append(of_each(by_among, share, powers) * scale)
            self.scores.addcmul_(powers, self.by_row[-1])


class SingleTarget(Block):
    """A block whose rows have one target each; ``mean`` if mean scores are linear, otherwise they are computed here."""

    def __init__(
        self,
        scores: Tensor,
        rows: slice,
        exponentiate: Exponentiate,
        numbered: "Numbered",
        mean: Tensor | None,
        has_mean: bool,
    ) -> None:
        super().__init__(scores, rows, exponentiate)
        self.index, count, inside = numbered.index[rows], numbered.count[rows], numbered.inside_of(rows)
        self.inside, self.is_linear = inside, mean is not None or not has_mean
        found = scores.gather(1, self.index)
        target = found[:, 0] if self.unit == 1 else found[:, 0] * self.unit
        if mean is None:
            mean = scores.mean(1) * self.unit if has_mean else target
        # If exponentials are summed, the target's log-sum-exp is its score.
        among = softplus(target) if exponentiate is sum_softplus else target.detach()
        if inside is None:
            scores.scatter_(1, self.index, ABSENT_2)
        else:  # other rows stay as they are
            scores.scatter_(1, self.index, found.masked_fill(inside, ABSENT_2))
            target = torch.where(inside[:, 0], target, 0)
            among = torch.where(inside[:, 0], among, 0 if exponentiate is sum_softplus else ABSENT)
        rest, self.share = self.exponentiate(scores)
        self.statistics = Rows(count, target, among, rest, mean.detach())

    def pull(self, gradients: RowGradients) -> None:
        each, by_target = self._by_row(gradients)
        self.scores.mul_(each)
        if self.is_linear:
            self.by_mean = gradients.mean
        elif gradients.mean is not None:
            mean = gradients.mean[:, None] / self.scores.shape[1]
            self.scores.add_(mean)
            by_target = mean if by_target is None else by_target + mean
        self.by_row = [each]
        # Without a target, its exponential is 0 or its row has no share.
        if by_target is not None:
            self.by_row.append(by_target)
            if self.inside is not None:
                by_target = torch.where(self.inside, by_target, self.scores.gather(1, self.index))
            self.scores.scatter_(1, self.index, by_target)

    def factors(self, gradients: RowGradients) -> tuple[Tensor, Tensor | None]:
        """The factors by which :meth:`pull` multiplies a row's scores and its target's gradient, (R, 1) each."""
        self.by_mean = gradients.mean
        return self._by_row(gradients)

    def _by_row(self, gradients: RowGradients) -> tuple[Tensor, Tensor | None]:
        if gradients.among is not None and self.exponentiate is sum_softplus:
            gradients = gradients._replace(among=gradients.among * self.statistics.target.detach().sigmoid())
        by_target = by_own_target(gradients)
        return of_each(gradients.rest, self.share, self.scores), None if by_target is None else by_target[:, None]


class Numbered:
    """The column of each row's target, (N, 1), for labels that are column numbers; and how many targets there are.

    For a part of the columns: which targets are inside it; the others get a place that is not theirs.
    """

    def __init__(self, targets: Targets, columns: int, dtype: torch.dtype) -> None:
        self.index, self.inside = targets.rows.long()[:, None], None
        if targets.first is None:
            self.count = torch.ones(len(self.index), dtype=dtype, device=self.index.device)
        else:
            index = self.index - targets.first
            self.index = index.clamp(0, columns - 1)
            self.inside = index == self.index
            self.count = self.inside[:, 0].to(dtype)

    def inside_of(self, rows: slice) -> Tensor | None:
        return None if self.inside is None else self.inside[rows]


class LabelTargets(Block):
    """A block whose rows have any number of targets, perhaps a column that is the row itself, and other gaps."""

    def __init__(
        self,
        scores: Tensor,
        span: slice,
        exponentiate: Exponentiate,
        places: Places,
        scale: float,
        has_powers: bool,
    ) -> None:
        super().__init__(scores, places.rows[span], exponentiate)
        self.scale = scale
        self.absent = r, _ = places.absent(span)
        total = scores.sum(1).index_add_(0, r, scores[self.absent], alpha=-1)
        scores[self.absent] = ABSENT_2
        self.existing = (scores.shape[1] - r.bincount(minlength=len(scores))).clamp_min(1).to(scores.dtype)
        count, target = torch.zeros_like(total), torch.zeros_like(total)
        among = torch.full_like(total, 0 if exponentiate is sum_softplus else ABSENT)
        self.found: list[tuple[slice, Tensor, Tensor, Tensor, Tensor | None]] = []
        for spot in places.bands.within(span, slice(0, scores.shape[1])):
            rows = slice(spot.rows.start - span.start, spot.rows.stop - span.start)
            part = spot.of(scores, span.start)
            hits = take_targets(part, spot.is_target, scale)
            count[rows] = spot.is_target.sum(1).to(scores.dtype)
            target[rows] = torch.where(spot.is_target, hits, 0).sum(1)
            share = None
            if not has_powers:
                among[rows], share = self.exponentiate(hits)
            self.found.append((rows, part, spot.is_target, hits, share))
        self.per_target = 1 / count.clamp_min(1)
        powers = scores * scale if has_powers else None
        rest, self.share = self.exponentiate(scores)
        if powers is not None:
            among = self._sum_powers(rest, scale, powers)
        mean = total * (self.unit / self.existing)
        self.statistics = Rows(count, target * (self.per_target * self.unit), among, rest, mean)

    def pull(self, gradients: RowGradients) -> None:
        self.by_row = [of_each(gradients.rest, self.share, self.scores)]
        self.scores.mul_(self.by_row[0])
        self._pull_powers(gradients.among)
        for rows, part, is_target, hits, share in self.found:
            if gradients.among is not None and self.powers is None:
                self.by_row.append(of_each(gradients.among[rows], share, hits) * self.scale)
                part.add_(hits.mul_(self.by_row[-1]))
            if gradients.target is not None:
                self.by_row.append((gradients.target * self.per_target * self.scale)[rows, None])
                part.add_(is_target * self.by_row[-1])
        if gradients.mean is not None:
            self.scores.add_((gradients.mean / self.existing)[:, None])
            self.scores[self.absent] = 0


class MaskedTargets(Block):
    """The same without reading labels: by masks of the whole block. ``mean`` is that of all columns."""

    def __init__(
        self,
        scores: Tensor,
        rows: slice,
        exponentiate: Exponentiate,
        targets: Targets,
        masks: RowsOf,
        mean: Tensor | None,
    ) -> None:
        super().__init__(scores, rows, exponentiate)
        self.scale, self.is_target = targets.scale, masks.is_target
        some = targets.own or targets.row_groups is not None or (targets.means and mean is None)
        self.exists = masks.is_target | masks.is_rest if some else None
        self.existing = None
        if self.exists is not None and targets.means:
            self.existing = self.exists.sum(1).clamp_min(1)
            mean = torch.where(self.exists, scores, 0).sum(1) * self.unit / self.existing
        self.hits = take_targets(scores, self.is_target, self.scale)
        if self.exists is not None:
            scores.masked_fill_(~masks.is_rest, ABSENT_2)
        count = masks.targets
        self.per_target = 1 / count.clamp_min(1)
        target = torch.where(self.is_target, self.hits, 0).sum(1) * (self.per_target * self.unit)
        powers = scores * self.scale if targets.sums == "powers" else None
        rest, self.share = self.exponentiate(scores)
        if powers is None:
            among, self.share_among = self.exponentiate(self.hits)
        else:
            among = self._sum_powers(rest, self.scale, powers)
        self.statistics = Rows(count, target, among, rest, target.detach() if mean is None else mean)

    def pull(self, gradients: RowGradients) -> None:
        self.by_row = [of_each(gradients.rest, self.share, self.scores)]
        self.scores.mul_(self.by_row[0])
        self._pull_powers(gradients.among)
        if self.powers is not None and gradients.target is not None:
            self.by_row.append((gradients.target * self.per_target * self.scale)[:, None])
            self.scores.add_(self.is_target * self.by_row[-1])
        elif self.powers is None and (gradients.among is not None or gradients.target is not None):
            by_among = of_each(gradients.among, self.share_among, self.scores) * self.scale
            by_target = of_each(gradients.target, self.per_target[:, None], self.scores) * self.scale
            torch.addcmul(by_target, self.hits, by_among, out=self.hits)
            self.scores.add_(self.hits.mul_(self.is_target))
            self.by_row += [by_among, by_target]
        if self.exists is None:
            self.by_mean = gradients.mean
        elif gradients.mean is not None and self.existing is not None:
            self.scores.add_(self.exists * (gradients.mean / self.existing)[:, None])


def by_own_target(gradients: RowGradients) -> Tensor | None:
    """The gradient (R,) by a row's only target, whose score is also the log-sum-exp among targets."""
    by_target, by_among = gradients.target, gradients.among
    if by_target is None or by_among is None:
        return by_among if by_target is None else by_target
    return by_target + by_among


def of_each(gradient: Tensor | None, share: Tensor | None, like: Tensor) -> Tensor:
    """The factor (R, 1) of each row's exponentials; 0 without a gradient."""
    if gradient is None:
        return torch.zeros_like(like[:, :1])
    return gradient[:, None] if share is None else gradient[:, None] * share

"""Cross-entropy of linear scores: all but the log-sum-exp is linear in them, and needs no scores."""

import torch
from torch import Tensor

from lossary.core.reduce import divide, one_weight
from lossary.kernels.products import product
from lossary.kernels.rows.formula import row_loss
from lossary.kernels.rows.scores import Bilinear, Rows, Targets
from lossary.kernels.rows.shards import summed_over_shards
from lossary.kernels.rows.softmax import softmax_loss
from lossary.kernels.stable import accumulate, accumulator, in_range, logaddexp, softplus
from lossary.losses.classes._shared import Problem


def linear_cross_entropy(
    source: Bilinear, p: Problem, weight: Tensor | None, smoothing: float, reduction: str
) -> Tensor:
    """Cross-entropy of linear scores. Smoothing needs their mean over classes, weighted if these are: linear too."""
    dtype = accumulator(source.x)
    if p.labels is not None and smoothing == 0 and weight is None and p.sample_weight is None and p.counted is not None:
        counted = p.counted.expand(p.shape)  # booleans, which kernels read as they are
        return softmax_loss(source, Targets(p.labels, means=False), weight=counted, reduction=reduction)
    outer = one_weight(p.sample_weight, p.counted, p.shape, dtype)
    if outer is None:
        outer = torch.ones(p.shape, dtype=dtype, device=source.x.device)
    if p.labels is None:
        assert p.soft is not None
        shares = p.soft.to(dtype)
        shares = shares if smoothing == 0 else (1 - smoothing) * shares + smoothing / p.classes
        return _of_shares(source, shares if weight is None else shares * weight.to(dtype), outer, reduction)
    targets = Targets(p.labels)
    own = None if weight is None else weight.to(dtype)[p.labels]
    if smoothing == 0:
        targets = Targets(p.labels, means=False)
        share = outer if own is None else own * outer
        return softmax_loss(source, targets, weight=share, reduction=reduction)
    spread = torch.as_tensor(smoothing, dtype=dtype, device=source.x.device)
    if weight is None or own is None:
        return row_loss(_smoothed, source, targets, spread, weight=outer, reduction=reduction)
    weight = weight.to(dtype)
    sums = _score_sums(source, weight)
    total = "none" if reduction == "none" else "sum"
    facts = (spread, weight.mean(), own, sums / p.classes)
    loss = row_loss(_smoothed_by_weight, source, targets, *facts, weight=outer, reduction=total)
    group = None if source.shards is None else source.shards.group
    return divide(loss, (own * outer).sum(), group=group) if reduction == "mean" else loss


def _of_shares(source: Bilinear, shares: Tensor, outer: Tensor, reduction: str) -> Tensor:
    """sum_c shares_c (log sum_j exp z_j - z_c): linear in the scores except for the log-sum-exp."""
    # It does not matter which column is separate from the rest.
    apart = Targets(torch.zeros(len(shares), dtype=torch.long, device=shares.device), means=False)
    facts = (shares.sum(1), _score_sums(source, shares))
    return row_loss(_expected, source, apart, *facts, weight=outer, reduction=reduction)


def _expected(rows: Rows, total: Tensor, score_sum: Tensor) -> Tensor:
    return total * logaddexp(rows.among, rows.rest) - score_sum


def _score_sums(source: Bilinear, weight: Tensor) -> Tensor:
    """(N,) the sums over classes of ``weight``, (C,) or (N, C), times the scores, without computing those."""
    if source.shards is not None:
        return summed_over_shards(source, weight, _score_sums)
    x, w = accumulate(source.x), accumulate(source.w)
    scaled = weight
    if source.unit:  # not for the biases
        w, inverse = in_range(w)
        scaled = weight * inverse[:, 0]
    mixed = product(scaled, w.mT) if weight.dim() == 2 else product(scaled[None], w.mT)
    sums = (x * mixed).sum(1)
    return sums if source.b is None else sums + (weight * source.b.to(x.dtype)).sum(-1)


def _smoothed(rows: Rows, smoothing: Tensor) -> Tensor:
    everything = logaddexp(rows.among, rows.rest)
    return (1 - smoothing) * softplus(rows.rest - rows.target) + smoothing * (everything - rows.mean)


def _smoothed_by_weight(rows: Rows, smoothing: Tensor, mean_weight: Tensor, own: Tensor, mean_score: Tensor) -> Tensor:
    everything = logaddexp(rows.among, rows.rest)
    right = own * softplus(rows.rest - rows.target)
    return (1 - smoothing) * right + smoothing * (mean_weight * everything - mean_score)

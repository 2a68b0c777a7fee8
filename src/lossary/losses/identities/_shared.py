"""Shared by the class heads on the sphere: scaled cosines, and several directions per class."""

from functools import partial
from typing import Annotated

import torch
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.nn.functional import normalize as unit_rows

from lossary.core.card import Card
from lossary.core.check import (
    check_dim,
    check_float,
    check_labels,
    check_plain,
    check_range,
    check_rows,
    values_visible,
    within,
)
from lossary.core.loss import HeadLoss
from lossary.core.reduce import align, one_weight
from lossary.core.rules import FRACTION, Count
from lossary.distributed.gather import of_all_classes
from lossary.distributed.shards import shard
from lossary.kernels.distances import norm
from lossary.kernels.fused.switch import RowKernel
from lossary.kernels.products import multiplied_in
from lossary.kernels.rows.directions import rows_of_length
from lossary.kernels.rows.formula import row_loss
from lossary.kernels.rows.maps import ScoreMap
from lossary.kernels.rows.routes import RowFormula, RowSlope
from lossary.kernels.rows.scores import Bilinear, RowGradients, Rows, Sums, Targets
from lossary.kernels.rows.shards import owned
from lossary.kernels.stable import accumulate, accumulator, parameters, softplus, unit
from lossary.losses._pointwise import hide

#: Numbers, or tensors of one number per row.
Scale = Annotated[float | Tensor, partial(check_plain, low=0, open_low=True)]


Margin = Annotated[float | Tensor, check_plain]


#: Up to this cosine, either sign, the angle's derivative has an ordinary size.
INSIDE = 0.999


def cosine_head(
    formula: RowFormula,
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    scale: float | Tensor,
    *margins: float | Tensor,
    normalize: bool = True,
    lengths: bool = False,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    reduction: str,
    group: ProcessGroup | None = None,
    slope: RowSlope | None = None,
    kernel: RowKernel | None = None,
    mapped: ScoreMap | None = None,
    sums: Sums = "exponentials",
) -> Tensor:
    """``formula(rows, scale, *margins)`` over scores ``scale * cos`` (``scale * |x| * cos`` without ``normalize``).

    With ``lengths``, the lengths of the embeddings in the scores, |x| or 1, come before the margins; ``mapped``
    transforms the scores, ``sums`` says what is summed over them.
    """
    labels = check_head(embeddings, weight, labels)
    check_rows("scale", scale, labels)
    sample_weight, mask = align(sample_weight, mask, labels.shape)
    if mask is not None:
        embeddings, labels = hide(embeddings, mask[:, None]), hide(labels, mask)
        scale = _hidden(scale, mask)
        margins = tuple(_hidden(margin, mask) for margin in margins)
    check_range("labels", labels, weight.shape[0])
    x, half, radius = embeddings, multiplied_in(embeddings, weight), None
    if lengths:
        margins = (torch.ones((), device=x.device) if normalize else norm(accumulate(x)), *margins)
    scale, *rest = parameters((scale, *margins), x)
    if normalize:
        x, factor, radius = rows_of_length(x, scale, half)
    else:  # the rows keep their lengths
        x = accumulate(x)
        each = scale.reshape(-1) if isinstance(scale, Tensor) else scale
        factor = torch.ones_like(x[:, 0]) * each
        x, factor = (x * factor[:, None], None) if half is None else (x, factor)
    bound = scale if normalize and not isinstance(scale, Tensor) else None
    centers = 1 if weight.dim() == 2 else weight.shape[1]
    w, shards = shard(weight)
    w = w if w.dim() == 2 else w.flatten(0, 1)
    source = Bilinear(x, w, None, True, centers, factor, None, half, bound, shards, radius=radius)
    each = one_weight(sample_weight, mask, labels.shape, accumulator(x))
    targets = Targets(labels, sums=sums, means=False, map=mapped)
    given = (formula, source, targets, scale, *rest)
    return row_loss(*given, weight=each, reduction=reduction, group=group, slope=slope, kernel=kernel)


def slope_of(
    rows: Rows, scale: float | Tensor, cos: Tensor, by_score: float | Tensor = 1.0
) -> tuple[Tensor, RowGradients]:
    """The slope of a softmax where ``scale * cos`` replaces the target's score, whose own slope is ``by_score``."""
    gap = torch.sub(rows.rest, cos, alpha=scale) if not isinstance(scale, Tensor) else rows.rest - scale * cos
    wrong = gap.sigmoid()
    by_target = wrong * -by_score if not isinstance(by_score, Tensor) else -wrong * by_score
    return softplus(gap), RowGradients(by_target, None, wrong, None)


def check_head(embeddings: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """The labels, as int64."""
    check_dim("embeddings", embeddings, 2, "(N, D)")
    check_float("embeddings", embeddings)
    check_float("weight", weight)
    if weight.dim() not in (2, 3) or weight.shape[1] == 0:
        raise ValueError(f"weight: wanted (C, D), or (C, K, D) of K centers per class; got {tuple(weight.shape)}")
    if accumulator(weight) != accumulator(embeddings):
        raise TypeError(f"weight: wanted the dtype of embeddings, {embeddings.dtype}; got {weight.dtype}")
    if embeddings.shape[1] != weight.shape[-1]:
        raise ValueError(f"weight: wanted (C, {embeddings.shape[1]}) to match embeddings; got {tuple(weight.shape)}")
    return check_labels("labels", labels, embeddings.shape[0])


def counted_items(
    embeddings: Tensor, weight: Tensor, labels: Tensor, mask: Tensor | None, sample_weight: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """A head's checked embeddings and labels, 0 where an item does not count; and which do, (N,) boolean."""
    labels = check_head(embeddings, weight, labels)
    _, mask = align(sample_weight, mask, labels.shape)
    there = torch.ones_like(labels, dtype=torch.bool) if mask is None else mask.expand(labels.shape)
    labels = hide(labels, mask)
    check_range("labels", labels, weight.shape[0])
    return accumulate(embeddings if mask is None else hide(embeddings, mask[:, None])), labels, there


def own_cosines(x: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """(N,) the cosines of items with their own classes, without a gradient."""
    weight, shards = shard(weight)
    if shards is not None:
        return owned(shards, own_cosines, x, weight, labels)
    x, own = unit(x.detach()), unit(accumulate(weight.detach().index_select(0, labels)))
    return (x * own).sum(-1) if own.dim() == 2 else (x[:, None] * own).sum(-1).amax(1)


def _hidden(number: float | Tensor, mask: Tensor) -> float | Tensor:
    """Numbers per row become 1 where the row does not count; a single number stays."""
    if not isinstance(number, Tensor) or number.numel() == 1:
        return number
    return torch.where(mask, number, torch.ones_like(number))


def angle(cos: Tensor) -> Tensor:
    """The angle of a cosine, without a derivative where that is +-1 or may have been rounded from +-1.

    The derivative is infinite at +-1; one rounding step away it would amplify mere rounding error.
    """
    if values_visible(cos) and cos.numel() > 0 and within(cos.detach(), -INSIDE, INSIDE):
        return cos.acos()
    at_end = at_angles_end(cos)
    theta = torch.where(at_end, 0, cos).acos()
    return torch.where(at_end, cos.detach().clamp(-1, 1).acos(), theta)


def at_angles_end(cos: Tensor) -> Tensor:
    """Whether the angle of a cosine has no derivative: at +-1, and where rounding may have moved it there."""
    return cos.abs() >= 1 - 2 * torch.finfo(cos.dtype).eps


class SphereHead(HeadLoss):
    """A head of directions, one or several per class.

    Args:
        sub_centers: Directions per class, of which the one nearest to an embedding counts: for noisy labels.
    """

    sub_centers: Count = 1

    def new_weight(self) -> Tensor:
        several = (self.sub_centers,) if self.sub_centers > 1 else ()
        return torch.empty(self.num_classes, *several, self.embedding_size)

    def get_logits(self, embeddings: Tensor) -> Tensor:
        """The scores of all classes without a margin, for inference: cosines, (N, num_classes)."""
        return of_all_classes(self._scores, embeddings, self.weight)

    def _scores(self, embeddings: Tensor, weight: Tensor) -> Tensor:
        cosines = unit_rows(embeddings) @ unit_rows(weight, dim=-1).flatten(0, -2).T
        return cosines if self.sub_centers == 1 else cosines.unflatten(1, (len(weight), self.sub_centers)).amax(2)


class FollowingHead(SphereHead):
    """A head whose margin follows statistics of its training batches, kept in the state.

    Args:
        momentum: The weight of a new training batch in the running average.
    """

    momentum: Annotated[float, FRACTION] = 0.01

    def follow(self, name: str, found: Tensor, count: Tensor) -> Tensor:
        """The running average, NaN if there is none yet; in training ``found``, of ``count`` items, enters it first.

        If there is no average yet, it is ``found``.
        """
        remembered = self.get_buffer(name)
        found = found.detach()
        if self.training:
            share = self.momentum * (count > 0)
            new = torch.where(remembered.isnan(), found, remembered + share * (found - remembered))
            remembered.copy_(torch.where(count > 0, new, remembered))
        return torch.where(remembered.isnan(), found, remembered)


#: Symbols in most formulas of such heads.
HEAD_SYMBOLS = {
    r"s": "`scale`, the radius of the sphere: an inverse temperature, above 0",
    r"\theta_y": "the angle between an item of `embeddings` and the direction of its own class in `weight`, 0 to pi",
    r"y": "the item's class, from `labels`",
    r"j": "every other class",
    r"\theta_j": "the angle between the item and the direction of class j",
}
head_card = partial(
    Card,
    data="identities",
    takes=("embeddings-weight-labels",),
    input="embeddings",
    kernel="rows",
    item="row",
    at_call=frozenset({"sample_weight", "mask"}),
)

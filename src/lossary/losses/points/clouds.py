"""Clouds of points, in no order, beside each other."""

import torch
from torch import Tensor

from lossary.core.card import Card, Choice
from lossary.core.check import check_dim, check_float, check_shape, check_tensor
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, reduce
from lossary.core.rules import checked
from lossary.kernels.distances import lengths
from lossary.kernels.nearest import nearest_of_each
from lossary.kernels.stable import accumulate
from lossary.losses._batch import check_same_precision
from lossary.losses._pointwise import hide

__all__ = [
    "ChamferLoss",
    "chamfer_loss",
]


@checked
def chamfer_loss(
    input: Tensor,
    target: Tensor,
    *,
    squared: bool = True,
    input_mask: Tensor | None = None,
    target_mask: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Each point of a cloud must have a point of the other cloud near it, and vice versa (Chamfer distance).

    .. math:: \frac{1}{P} \sum_p \min_m |x_p - y_m|^2 + \frac{1}{M} \sum_m \min_p |x_p - y_m|^2

    The nearest points are found by differences, a block of points at a time, and only their places are kept: memory
    grows with P + M, time with P M D. The gradient is that of the distances to them.

    Args:
        input: (N, P, D), clouds of P points in few dimensions.
        target: (N, M, D), clouds of M points, which need not be P.
        squared: Whether distances are squared, as in the formula, or taken as they are, which far points sway less.
        input_mask: (N, P) boolean, True where there is a point; elsewhere may be anything.
        target_mask: (N, M) the same for the targets.
        sample_weight: (N,) weights of the clouds.
        mask: (N,) boolean; a cloud that does not count may be anything.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,); 0 for a cloud beside an empty one, to which no point is near. Of two points as near, the
        first gets the gradient; at distance 0 it is 0.

    Raises:
        ValueError: Wrong shapes, masks that are not of the points.
        TypeError: Clouds that are not floating-point, or of different precision; masks that are not boolean.

    Example:
        >>> import torch
        >>> corners = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
        >>> chamfer_loss(corners.flip(1), corners), chamfer_loss(corners[:, :1], corners)
        (tensor(0.), tensor(0.6667))

    Source:
        Fan et al., A Point Set Generation Network for 3D Object Reconstruction from a Single Image, arXiv:1612.00603,
        where both directions are sums; means, as in PyTorch3D, do not depend on how many points there are. Evaluations
        often halve the sum of both, or take distances as they are: say which. Distances by products, as in
        ``torch.cdist`` of more than 25 points, have no digits left where points are near.
    """
    for name, cloud in (("input", input), ("target", target)):
        check_dim(name, cloud, 3, "(N, P, D)")
        check_float(name, cloud)
    check_same_precision("target", target, "input", input)
    check_shape("target", target, (input.shape[0], target.shape[1], input.shape[2]))
    sample_weight, mask = align(sample_weight, mask, input.shape[:1])
    x, of_input = _points("input", input, input_mask, mask)
    y, of_target = _points("target", target, target_mask, mask)
    if min(x.shape[1:]) == 0 or y.shape[1] == 0:
        losses = x[:, :0].sum((1, 2)) + y[:, :0].sum((1, 2))  # zeros with a gradient
    else:
        to_y, to_x = nearest_of_each(x, y, of_input, of_target)
        losses = _mean(x, y, to_y, of_input, squared) + _mean(y, x, to_x, of_target, squared)
        for there in (of_input, of_target):
            losses = losses if there is None else hide(losses, there.any(1))
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)


def _points(name: str, cloud: Tensor, there: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """In the accumulator's dtype, 0 where there is no point or the cloud does not count; and where there is one."""
    x = accumulate(cloud)
    if there is not None:
        check_tensor(f"{name}_mask", there)
        check_shape(f"{name}_mask", there, tuple(cloud.shape[:2]))
        if there.dtype != torch.bool:
            raise TypeError(f"{name}_mask: wanted booleans, True where there is a point; got {there.dtype}")
        x = hide(x, there[..., None])
    return x if mask is None else hide(x, mask[:, None, None]), there


def _mean(x: Tensor, y: Tensor, place: Tensor, there: Tensor | None, squared: bool) -> Tensor:
    """(N,) of the distances from each point to the other at its place."""
    found = lengths(x - y.take_along_dim(place[..., None], 1), squared=squared)
    if there is None:
        return found.mean(1)
    return hide(found, there).sum(1) / there.sum(1).clamp_min(1)


class ChamferLoss(Loss):
    """:func:`chamfer_loss` as a Module."""

    fn = staticmethod(chamfer_loss)
    squared: bool = True
    reduction: Reduction = "mean"


CARDS = (
    Card(
        fn=chamfer_loss,
        module=ChamferLoss,
        takes=("clouds",),
        input="points",
        data="points",
        formula=r"\frac{1}{P} \sum_p \min_m |x_p - y_m|^2 + \frac{1}{M} \sum_m \min_p |x_p - y_m|^2",
        symbols={
            r"P": "how many points the predicted cloud has",
            r"p": "every one of them",
            r"M": "how many the true cloud has",
            r"m": "every one of them",
            r"x_p": "point p of `input`",
            r"y_m": "point m of `target`; distances are squared unless `squared` is off",
        },
        kernel="none",
        item="row",
        paper="arXiv:1612.00603",
        equation="unconfirmed",
        defaults="PyTorch3D",
        search={"squared": Choice((True, False))},
        at_call=frozenset({"sample_weight", "mask", "input_mask", "target_mask"}),
        when="Networks that return points in no order: shapes, or completions of a scan.",
        pitfalls=(
            "Many points may share one nearest: it says little of whether points are spread as densely.",
            "Padding without a mask is a point at the origin, near which others are drawn.",
            "Squared and plain, summed and halved, over points or not: numbers of two papers hardly ever compare.",
        ),
        relatives=("mmd_loss", "mse_loss"),
        aliases=("chamfer_distance_loss",),
    ),
)

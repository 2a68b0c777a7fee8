"""Class heads on the sphere: cosines between an embedding and the directions of the classes, with margins."""

import math
from functools import partial
from typing import Annotated, Literal

import torch
from torch import Tensor

from lossary.core.card import Card, Range
from lossary.core.check import check_plain, check_rows
from lossary.core.reduce import Reduction
from lossary.core.rules import checked
from lossary.distributed import across_ranks
from lossary.kernels.fused.switch import RowKernel
from lossary.kernels.rows.by_torch import SoftmaxWith
from lossary.kernels.rows.scores import RowGradients, Rows
from lossary.kernels.rows.softmax import NLL
from lossary.losses.identities._shared import (
    Margin,
    Scale,
    SphereHead,
    angle,
    at_angles_end,
    cosine_head,
    slope_of,
)

__all__ = [
    "ArcFaceLoss",
    "CosFaceLoss",
    "NormalizedSoftmaxLoss",
    "arcface_loss",
    "cosface_loss",
    "normalized_softmax_loss",
]


#: What ArcFace does where theta + m leaves [0, pi].
BeyondPi = Literal["linear", "plain", "easy"]


@SoftmaxWith
def _normalized_softmax(rows: Rows, scale: float | Tensor) -> Tensor:
    return rows.target


def _normalized_softmax_slope(rows: Rows, scale: float | Tensor) -> tuple[Tensor, RowGradients]:
    return slope_of(rows, 1.0, rows.target)


@across_ranks
@checked
def normalized_softmax_loss(
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    scale: Scale = 20.0,
    normalize_embeddings: bool = True,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Softmax over scaled cosines between an embedding and the directions of the classes (NormFace).

    .. math:: -\log \frac{e^{s\cos\theta_y}}{\sum_j e^{s\cos\theta_j}}

    Args:
        embeddings: (N, D), any length; normalised here.
        weight: (C, D), one direction per class; or (C, K, D), K per class, of which the one nearest to the embedding
            counts (sub-centers, for noisy labels: Deng et al., ECCV 2020, eq. 2). Normalised here.
        labels: (N,) class indices of any integer dtype.
        scale: s, the radius of the sphere (an inverse temperature); a Parameter is learned. A tensor of shape (N,) sets
            one per row.
        normalize_embeddings: False keeps the embeddings' lengths, so that the logits are ``scale * |x| cos``: the
            modified softmax of the SphereFace paper, with ``scale=1``.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an item counts; elsewhere embeddings may be NaN and labels out of range.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Wrong shapes, ``scale`` not above 0 or not finite.
        TypeError: Labels that are not integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> x, w = torch.eye(2), torch.eye(2)
        >>> normalized_softmax_loss(x, w, torch.tensor([0, 1]), scale=1.0)
        tensor(0.3133)

    Source:
        Wang et al., NormFace, arXiv:1704.06369, section 3.3; modified softmax: arXiv:1704.08063, eq. 4. The default
        scale is the inverse of the temperature 0.05 of Zhai and Wu, arXiv:1811.12649. Lecture notes often omit the
        scale: with s = 1 the loss cannot fall below about log(C) - 1.
    """
    return cosine_head(
        _normalized_softmax,
        embeddings,
        weight,
        labels,
        scale,
        normalize=normalize_embeddings,
        sample_weight=sample_weight,
        mask=mask,
        slope=_normalized_softmax_slope,
        kernel=NLL,
        reduction=reduction,
    )


class NormalizedSoftmaxLoss(SphereHead):
    """:func:`normalized_softmax_loss` with its own class directions."""

    fn = staticmethod(normalized_softmax_loss)
    scale: Scale = 20.0
    normalize_embeddings: bool = True
    reduction: Reduction = "mean"


@SoftmaxWith
def _cosface(rows: Rows, scale: float | Tensor, margin: float | Tensor) -> Tensor:
    return rows.target - scale * margin


def _cosface_slope(rows: Rows, scale: float | Tensor, margin: float | Tensor) -> tuple[Tensor, RowGradients]:
    return slope_of(rows, 1.0, rows.target - scale * margin)


def _cosface_kernel(scale: float | Tensor, margin: float | Tensor) -> RowKernel | None:
    if isinstance(scale, Tensor) or isinstance(margin, Tensor):
        return None
    return "nll", scale * margin, 0.0, 0.0, 0.0


@across_ranks
@checked
def cosface_loss(
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    margin: Margin = 0.35,
    scale: Scale = 64.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Softmax over cosines where the true class must win by a margin in the cosine.

    .. math:: -\log \frac{e^{s(\cos\theta_y - m)}}{e^{s(\cos\theta_y - m)} + \sum_{j \ne y} e^{s\cos\theta_j}}

    The margin is in the denominator too: without it there, as in some lecture notes, it is a constant without a
    gradient.

    Args:
        embeddings: (N, D), any length; normalised here.
        weight: (C, D), one direction per class; or (C, K, D), K per class, of which the one nearest to the embedding
            counts (sub-centers, for noisy labels: Deng et al., ECCV 2020, eq. 2). Normalised here.
        labels: (N,) class indices of any integer dtype.
        margin: m, in units of the cosine; at most C / (C - 1). A tensor of shape (N,) sets one per row.
        scale: s, the radius of the sphere (an inverse temperature). A tensor of shape (N,) sets one per row.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an item counts; elsewhere embeddings may be NaN and labels out of range.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Wrong shapes, ``scale`` not above 0, a hyperparameter that is not finite.
        TypeError: Labels that are not integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> x, w = torch.eye(2), torch.eye(2)
        >>> cosface_loss(x, w, torch.tensor([0, 1]), margin=0.2, scale=10.0)
        tensor(0.0003)

    Source:
        Wang et al., CosFace, arXiv:1801.09414, eq. 4 (and AM-Softmax, arXiv:1801.05599); m = 0.35 and s = 64 are the
        paper's for face recognition. Small problems need a smaller scale.
    """
    check_rows("margin", margin, labels)
    return cosine_head(
        _cosface,
        embeddings,
        weight,
        labels,
        scale,
        margin,
        sample_weight=sample_weight,
        mask=mask,
        slope=_cosface_slope,
        kernel=_cosface_kernel(scale, margin),
        reduction=reduction,
    )


class CosFaceLoss(SphereHead):
    """:func:`cosface_loss` with its own class directions."""

    fn = staticmethod(cosface_loss)
    margin: Margin = 0.35
    scale: Scale = 64.0
    reduction: Reduction = "mean"


def arcface_target(
    rows: Rows,
    scale: float | Tensor,
    margin: float | Tensor,
    end: float | Tensor,
    step: float | Tensor,
    *,
    beyond_pi: BeyondPi,
    straight_through: bool,
) -> Tensor:
    """The target's score: ``end`` is the cosine where the margin reaches pi, ``step`` what is subtracted beyond it."""
    cos = rows.target / scale
    target = (angle(cos) + margin).cos()
    if beyond_pi == "linear":
        target = torch.where(cos > end, target, cos - step)
    elif beyond_pi == "easy":
        target = torch.where(cos > 0, target, cos)
    if straight_through:
        target = cos + (target - cos).detach()
    return scale * target


def arcface_slope(
    rows: Rows,
    scale: float | Tensor,
    margin: float | Tensor,
    end: float | Tensor,
    step: float | Tensor,
    *,
    beyond_pi: BeyondPi,
    straight_through: bool,
) -> tuple[Tensor, RowGradients]:
    cos = rows.target / scale
    theta = cos.clamp(-1, 1).acos()
    turned = theta + margin
    target = turned.cos()
    # Filled in place, since with ``where`` an accelerator first makes a tensor of the other number.
    by_cos = (turned.sin() / theta.sin()).masked_fill_(at_angles_end(cos), 0)
    if beyond_pi != "plain":
        beyond = cos <= end if beyond_pi == "linear" else cos <= 0
        target = torch.where(beyond, cos - step if beyond_pi == "linear" else cos, target)
        by_cos.masked_fill_(beyond, 1)
    return slope_of(rows, scale, target, 1.0 if straight_through else by_cos)


def arcface_numbers(margin: float | Tensor) -> tuple[float | Tensor, ...]:
    """The margin, the cosine at which it reaches pi, and what is subtracted beyond: once, not for every block."""
    cos, sin = (margin.cos(), margin.sin()) if isinstance(margin, Tensor) else (math.cos(margin), math.sin(margin))
    return margin, -cos, margin * sin


def _arcface_kernel(scale: float | Tensor, margin: float | Tensor, beyond_pi: BeyondPi) -> RowKernel | None:
    if isinstance(scale, Tensor) or isinstance(margin, Tensor):
        return None
    return f"angle {beyond_pi}", scale, math.cos(margin), math.sin(margin), margin * math.sin(margin)


Angle = Annotated[float | Tensor, partial(check_plain, low=0, high=math.pi)]


@across_ranks
@checked
def arcface_loss(
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    margin: Angle = 0.5,
    scale: Scale = 64.0,
    beyond_pi: BeyondPi = "linear",
    gradient: Literal["exact", "straight_through"] = "exact",
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Softmax over cosines where the true class must win by a margin in the angle.

    .. math:: -\log \frac{e^{s\cos(\theta_y + m)}}{e^{s\cos(\theta_y + m)} + \sum_{j \ne y} e^{s\cos\theta_j}}

    Args:
        embeddings: (N, D), any length; normalised here.
        weight: (C, D), one direction per class; or (C, K, D), K per class, of which the one nearest to the embedding
            counts (sub-centers, for noisy labels: Deng et al., ECCV 2020, eq. 2). Normalised here.
        labels: (N,) class indices of any integer dtype.
        margin: m in radians, in [0, pi]; a tensor is not checked. A tensor of shape (N,) sets one per row.
        scale: s, the radius of the sphere (an inverse temperature). A tensor of shape (N,) sets one per row.
        beyond_pi: The target's score for ``theta + m > pi``, where ``cos(theta + m)`` would rise again: ``"linear"``
            continues with ``cos(theta) - m sin(m)`` (the authors' code), ``"plain"`` keeps the paper's equation,
            ``"easy"`` applies the margin only where ``cos(theta) > 0``.
        gradient: ``"exact"``, or ``"straight_through"``: the derivative of the target's score by ``cos(theta)`` is
            taken as 1, like code that writes the margin into the logits under ``no_grad``; the true one is
            ``sin(theta + m) / sin(theta)``.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an item counts; elsewhere embeddings may be NaN and labels out of range.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,). At exactly ``cos(theta) = +-1`` the angle has no derivative, and the target's gradient is 0.

    Raises:
        ValueError: Wrong shapes, ``scale`` not above 0, ``margin`` outside of [0, pi], an unknown option.
        TypeError: Labels that are not integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> x, w = torch.eye(2), torch.eye(2)
        >>> arcface_loss(x, w, torch.tensor([0, 1]), margin=0.5, scale=8.0)
        tensor(0.0009)

    Source:
        Deng et al., ArcFace, arXiv:1801.07698, eq. 3; m = 0.5 and s = 64 are the paper's for face recognition. Some
        lecture notes ask for m >= 1, which belongs to SphereFace: here m is an angle, and 1 is 57 degrees. Some
        libraries take degrees.
    """
    check_rows("margin", margin, labels)
    straight_through = gradient == "straight_through"
    formula = SoftmaxWith(partial(arcface_target, beyond_pi=beyond_pi, straight_through=straight_through))
    slope = partial(arcface_slope, beyond_pi=beyond_pi, straight_through=straight_through)
    return cosine_head(
        formula,
        embeddings,
        weight,
        labels,
        scale,
        *arcface_numbers(margin),
        sample_weight=sample_weight,
        mask=mask,
        slope=slope,
        kernel=None if straight_through else _arcface_kernel(scale, margin, beyond_pi),
        reduction=reduction,
    )


class ArcFaceLoss(SphereHead):
    """:func:`arcface_loss` with its own class directions."""

    fn = staticmethod(arcface_loss)
    margin: Angle = 0.5
    scale: Scale = 64.0
    beyond_pi: BeyondPi = "linear"
    gradient: Literal["exact", "straight_through"] = "exact"
    reduction: Reduction = "mean"


CARDS = (
    Card(
        fn=normalized_softmax_loss,
        module=NormalizedSoftmaxLoss,
        takes=("embeddings-weight-labels",),
        input="embeddings",
        data="identities",
        formula=r"-\log \frac{e^{s\cos\theta_y}}{\sum_j e^{s\cos\theta_j}}",
        symbols={
            r"s": "`scale`, the radius of the sphere: an inverse temperature, above 0",
            r"\theta_y": (
                "the angle between an item of `embeddings` and the direction of its own class in `weight`, 0 to pi"
            ),
            r"y": "the item's class, from `labels`",
            r"j": "every class, including the item's own",
            r"\theta_j": "the angle between the item and the direction of class j",
        },
        kernel="rows",
        item="row",
        paper="arXiv:1704.06369",
        equation="6",
        defaults="scale: the inverse of the temperature 0.05 of arXiv:1811.12649",
        search={"scale": Range(5.0, 64.0, log=True)},
        at_call=frozenset({"sample_weight", "mask"}),
        when="Many identities, as the plain baseline for every margin; hardly anything to tune.",
        pitfalls=("Cosines without a scale lie within [-1, 1]: the loss then cannot fall below about log(C) - 1.",),
        relatives=("cosface_loss", "arcface_loss", "cross_entropy"),
        aliases=("normface_loss", "NormFaceLoss"),
    ),
    Card(
        fn=cosface_loss,
        module=CosFaceLoss,
        takes=("embeddings-weight-labels",),
        input="embeddings",
        data="identities",
        formula=(r"-\log \frac{e^{s(\cos\theta_y - m)}}{e^{s(\cos\theta_y - m)} + \sum_{j \ne y} e^{s\cos\theta_j}}"),
        symbols={
            r"s": "`scale`, the radius of the sphere: an inverse temperature, above 0",
            r"\theta_y": (
                "the angle between an item of `embeddings` and the direction of its own class in `weight`, 0 to pi"
            ),
            r"m": "`margin`, what is subtracted from the true class's cosine",
            r"y": "the item's class, from `labels`",
            r"j": "every other class",
            r"\theta_j": "the angle between the item and the direction of class j",
        },
        kernel="rows",
        item="row",
        paper="arXiv:1801.09414",
        equation="4",
        defaults="the paper, face recognition",
        search={"margin": Range(0.05, 0.5), "scale": Range(8.0, 64.0, log=True)},
        at_call=frozenset({"sample_weight", "mask"}),
        when="Many identities and closed training classes; a steady, easily tuned margin.",
        pitfalls=(
            "The margin belongs in the denominator's true-class term too; without that it has no gradient.",
            "The default scale of 64 suits thousands of classes; start at 16 to 30 for small problems.",
        ),
        relatives=("arcface_loss", "normalized_softmax_loss"),
        aliases=("am_softmax_loss", "AMSoftmaxLoss"),
    ),
    Card(
        fn=arcface_loss,
        module=ArcFaceLoss,
        takes=("embeddings-weight-labels",),
        input="embeddings",
        data="identities",
        formula=r"-\log \frac{e^{s\cos(\theta_y + m)}}{e^{s\cos(\theta_y + m)} + \sum_{j \ne y} e^{s\cos\theta_j}}",
        symbols={
            r"s": "`scale`, the radius of the sphere: an inverse temperature, above 0",
            r"\theta_y": (
                "the angle between an item of `embeddings` and the direction of its own class in `weight`, 0 to pi"
            ),
            r"m": "`margin`, an angle in radians added to the true class's; past pi see `beyond_pi`",
            r"y": "the item's class, from `labels`",
            r"j": "every other class",
            r"\theta_j": "the angle between the item and the direction of class j",
        },
        kernel="rows",
        item="row",
        paper="arXiv:1801.07698",
        equation="3",
        defaults="the paper, face recognition",
        search={"margin": Range(0.05, 0.7), "scale": Range(8.0, 64.0, log=True)},
        at_call=frozenset({"sample_weight", "mask"}),
        when="Many identities and closed training classes; a margin that is the same angle everywhere on the sphere.",
        pitfalls=(
            "The margin is in radians; other libraries take degrees.",
            "Code that writes the margin into the logits under no_grad has a different gradient: `straight_through`.",
            "A plain sqrt(1 - cos^2) has NaN gradients at cosine 1.",
            "The default scale of 64 suits thousands of classes; start at 16 to 30 for small problems.",
        ),
        relatives=("cosface_loss", "sphereface_loss", "combined_margin_loss", "normalized_softmax_loss"),
        aliases=("aam_softmax_loss", "AAMSoftmaxLoss"),
    ),
)

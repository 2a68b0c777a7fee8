"""MONAI's segmentation losses: targets (N, 1, ...) of labels with ``to_onehot_y``, or (N, C, ...) of regions.

As in MONAI, ``sigmoid`` or ``softmax`` says what the logits become. One of them must be given: MONAI's default,
neither, expects probabilities, which no Lossary loss takes. With a single channel MONAI ignores ``softmax`` and treats
the logits as probabilities; here that is an error.

``soft_label`` is for overlaps of sigmoids. Without it, the default, MONAI takes the product of p and g even where g is
neither 0 nor 1, so the best answer there is p = 1; with it, as in Lossary's losses, it is p = g. Soft labels are
refused with a softmax and in the focal loss.

``reduction="none"`` has MONAI's shapes: (N, C, 1, ...) of overlaps, (N, 1, 1, ...) of :func:`generalized_dice`, (N, C)
of :func:`tversky`, all without N beside ``batch``, and those of the logits of focal losses. The background is not there
if it does not count.

Weights: MONAI's mean multiplies by them without dividing by their sum, so weights of 2 double the loss. Lossary's
``class_weight`` divides.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lossary.compose import sums as _sums
from lossary.core import check as _checks
from lossary.kernels import overlap as _regions
from lossary.losses.answers import binary as _binary
from lossary.losses.answers import focal as _focal
from lossary.losses.classes import softmax as _softmax
from lossary.losses.masks import _shared as _masks
from lossary.losses.masks import overlap as _overlap
from lossary.losses.masks import tversky as _tversky
from lossary.presets import _monai, _shared

__all__ = ["dice", "dice_ce", "dice_focal", "focal", "generalized_dice", "tversky"]

_Weight = Sequence[float] | float | Tensor | None
_Reduction = Literal["none", "mean", "sum"]
_Score = Callable[[_regions.Sums], _masks.Fraction]
#: The mark of ignored positions in regions of 0 and 1.
_IGNORED = -100


def dice(
    *,
    include_background: bool = True,
    to_onehot_y: bool = False,
    sigmoid: bool = False,
    softmax: bool = False,
    squared_pred: bool = False,
    jaccard: bool = False,
    reduction: _Reduction = "mean",
    smooth_nr: float = 1e-5,
    smooth_dr: float = 1e-5,
    batch: bool = False,
    weight: _Weight = None,
    soft_label: bool = False,
    ignore_index: int | None = None,
) -> nn.Module:
    """``DiceLoss``: Lossary's :class:`DiceLoss` (or sigmoid, or Jaccard) at ``smooth=1e-5``.

    A class absent from a sample costs almost 1 for any false positive, and with ``smooth_nr=0`` exactly 1 whatever is
    predicted, without a gradient; ``absent="skip"`` leaves it out. Lossary smooths both sums alike, so unequal numbers
    here are not a Lossary loss but MONAI's formula over the same sums.
    """
    _check(sigmoid, softmax, reduction)
    if jaccard and squared_pred:
        raise ValueError("squared_pred: wanted False with jaccard; got True")
    regions = _Target(softmax, to_onehot_y, ignore_index)
    product = not softmax and not soft_label
    if smooth_nr != smooth_dr or reduction == "none":
        wrong = (1.0, 1.0) if jaccard else (0.5, 0.5)
        score = _monai.Score(2, *wrong, smooth_nr, smooth_dr, batch, reduction)
        return _Scored(score, regions, include_background, weight, squared_pred, product)
    options = _options(reduction, batch)
    smooth = smooth_dr / 2 if jaccard else smooth_dr  # MONAI's Jaccard fraction has twice the sums
    if product and not squared_pred:  # with squares, Lossary's is also the product
        loss = _Product(_overlap.jaccard_fraction if jaccard else _overlap.dice_fraction, smooth, **options)
    elif jaccard:
        loss = (_overlap.JaccardLoss if softmax else _overlap.SigmoidJaccardLoss)(smooth=smooth, **options)
    else:
        loss = (_overlap.DiceLoss if softmax else _overlap.SigmoidDiceLoss)(
            smooth=smooth, squared=squared_pred, **options
        )
    return _Overlap(loss, regions, include_background, weight)


def tversky(
    *,
    include_background: bool = True,
    to_onehot_y: bool = False,
    sigmoid: bool = False,
    softmax: bool = False,
    alpha: float = 0.5,
    beta: float = 0.5,
    reduction: _Reduction = "mean",
    smooth_nr: float = 1e-5,
    smooth_dr: float = 1e-5,
    batch: bool = False,
    soft_label: bool = False,
    ignore_index: int | None = None,
) -> nn.Module:
    """``TverskyLoss``: Lossary's :class:`TverskyLoss` (or sigmoid) at ``smooth=1e-5``; alpha is for false positives."""
    _check(sigmoid, softmax, reduction)
    target, product = _Target(softmax, to_onehot_y, ignore_index), not (softmax or soft_label)
    if smooth_nr != smooth_dr or reduction == "none":
        score = _monai.Score(1, alpha, beta, smooth_nr, smooth_dr, batch, reduction)
        return _Scored(score, target, include_background, None, False, product)
    options = _options(reduction, batch)
    if not product:
        loss = (_tversky.TverskyLoss if softmax else _tversky.SigmoidTverskyLoss)(
            smooth=smooth_dr, alpha=alpha, beta=beta, **options
        )
    else:
        loss = _Product(partial(_tversky.tversky_fraction, alpha=alpha, beta=beta), smooth_dr, **options)
    return _Overlap(loss, target, include_background, None)


def focal(
    *,
    include_background: bool = True,
    to_onehot_y: bool = False,
    gamma: float = 2.0,
    alpha: float | None = None,
    weight: _Weight = None,
    reduction: _Reduction = "mean",
    use_softmax: bool = False,
    ignore_index: int | None = None,
) -> nn.Module:
    """``FocalLoss``: Lossary's :class:`SigmoidFocalLoss`, or with ``use_softmax`` :class:`FocalLoss`, rescaled.

    MONAI's mean divides a softmax's loss by positions times classes, C times more than cross-entropy does; with
    ``ignore_index`` it divides by positions only, also for sigmoids, and the same loss is suddenly C times as large.
    Without the background its softmax runs over the other classes only. Its sum is a mean over each item's positions
    that count. With a softmax, ``alpha`` means 1 - alpha for class 0 and alpha for all others; a sequence is left out.
    Lossary's mean is over positions (softmax) or elements (sigmoids). MONAI computes in float32 whatever the input.
    """
    _checks.check_choice("reduction", reduction, ("none", "mean", "sum"))
    if use_softmax and not include_background:
        alpha = None  # as MONAI does, with a warning
    target = _Target(False, to_onehot_y, ignore_index)
    return _Focal(use_softmax, gamma, alpha, target, include_background, weight, reduction)


def generalized_dice(
    *,
    include_background: bool = True,
    to_onehot_y: bool = False,
    sigmoid: bool = False,
    softmax: bool = False,
    w_type: Literal["square", "simple", "uniform"] = "square",
    reduction: _Reduction = "mean",
    smooth_nr: float = 1e-5,
    smooth_dr: float = 1e-5,
    batch: bool = False,
    soft_label: bool = False,
) -> nn.Module:
    """``GeneralizedDiceLoss`` (arXiv:1707.03237): overlaps of classes, weighted by one over their squared size.

    The smoothing does not scale with those weights: for a large image they are so small that 1e-5 is large against the
    sums, and a completely wrong prediction costs far less than 1. Smooth with 0, or use Lossary's :class:`DiceLoss`,
    where all classes count alike.
    """
    _check(sigmoid, softmax, reduction)
    _checks.check_choice("w_type", w_type, ("square", "simple", "uniform"))
    target = _Target(softmax, to_onehot_y, None)
    power = {"square": 2, "simple": 1, "uniform": 0}[w_type]
    return _GeneralizedDice(target, include_background, power, not soft_label, reduction, smooth_nr, smooth_dr, batch)


def dice_ce(
    *,
    include_background: bool = True,
    to_onehot_y: bool = False,
    sigmoid: bool = False,
    softmax: bool = False,
    squared_pred: bool = False,
    jaccard: bool = False,
    reduction: Literal["mean", "sum"] = "mean",
    smooth_nr: float = 1e-5,
    smooth_dr: float = 1e-5,
    batch: bool = False,
    weight: Tensor | None = None,
    lambda_dice: float = 1.0,
    lambda_ce: float = 1.0,
    label_smoothing: float = 0.0,
) -> _sums.Sum:
    """``DiceCELoss``: :func:`dice` plus cross-entropy; Lossary's own is :class:`DiceCrossEntropyLoss`.

    With ``sigmoid=True`` and several channels, MONAI's cross-entropy is still that of a softmax, so overlapping regions
    compete; :class:`SigmoidDiceCrossEntropyLoss` has sigmoids in both parts. ``weight`` multiplies Dice and is divided
    out of cross-entropy; with one channel it is the weight of positives.
    """
    _checks.check_choice("reduction", reduction, ("mean", "sum"))
    overlap = dice(
        include_background=include_background,
        to_onehot_y=to_onehot_y,
        sigmoid=sigmoid,
        softmax=softmax,
        squared_pred=squared_pred,
        jaccard=jaccard,
        reduction=reduction,
        smooth_nr=smooth_nr,
        smooth_dr=smooth_dr,
        batch=batch,
        weight=weight if weight is None or include_background else weight[1:],
    )
    _checks.check_number("lambda_dice", lambda_dice, low=0)
    _checks.check_number("lambda_ce", lambda_ce, low=0)
    entropy = _CrossEntropy(weight, reduction, label_smoothing)
    return _sums.Sum(dice=(overlap, lambda_dice), cross_entropy=(entropy, lambda_ce))


def dice_focal(
    *,
    include_background: bool = True,
    to_onehot_y: bool = False,
    sigmoid: bool = False,
    softmax: bool = False,
    squared_pred: bool = False,
    jaccard: bool = False,
    reduction: _Reduction = "mean",
    smooth_nr: float = 1e-5,
    smooth_dr: float = 1e-5,
    batch: bool = False,
    gamma: float = 2.0,
    weight: _Weight = None,
    lambda_dice: float = 1.0,
    lambda_focal: float = 1.0,
    alpha: float | None = None,
) -> nn.Module:
    """``DiceFocalLoss``: :func:`dice` plus :func:`focal`, which has sigmoids even if Dice has a softmax.

    :class:`DiceFocalLoss` has one softmax for both, :class:`SigmoidDiceFocalLoss` sigmoids for both.
    """
    overlap = dice(
        include_background=include_background,
        to_onehot_y=to_onehot_y,
        sigmoid=sigmoid,
        softmax=softmax,
        squared_pred=squared_pred,
        jaccard=jaccard,
        reduction=reduction,
        smooth_nr=smooth_nr,
        smooth_dr=smooth_dr,
        batch=batch,
        weight=weight,
    )
    every = focal(
        include_background=include_background,
        to_onehot_y=to_onehot_y,
        gamma=gamma,
        alpha=alpha,
        weight=weight,
        reduction=reduction,
    )
    _checks.check_number("lambda_dice", lambda_dice, low=0)
    _checks.check_number("lambda_focal", lambda_focal, low=0)
    if reduction == "none":
        return _monai.Spread(overlap, every, lambda_dice, lambda_focal)
    return _sums.Sum(dice=(overlap, lambda_dice), focal=(every, lambda_focal))


def _check(sigmoid: bool, softmax: bool, reduction: str) -> None:
    if sigmoid == softmax:
        raise ValueError(f"sigmoid, softmax: wanted one of them, for logits; got sigmoid={sigmoid}, softmax={softmax}")
    _checks.check_choice("reduction", reduction, ("none", "mean", "sum"))


def _options(reduction: _Reduction, batch: bool) -> dict[str, Any]:
    return {"reduction": reduction, "aggregate": "batch" if batch else "per_sample", "ignore_index": _IGNORED}


class _Target(nn.Module):
    """MONAI's target as Lossary takes it: class indices for a softmax, 0/1 regions for sigmoids."""

    def __init__(self, softmax: bool, onehot: bool, ignore_index: int | None) -> None:
        super().__init__()
        self.softmax = softmax
        self.onehot = onehot
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        _checks.check_dim("target", target, input.dim(), "the input's")
        target = _checks.wide_integers("target", target)
        classes = input.shape[1]
        labels = target.shape[1] == 1
        if self.onehot or self.ignore_index is not None:
            _checks.check_shape("target", target, (input.shape[0], 1, *input.shape[2:]))
        keep = (
            target != self.ignore_index if self.ignore_index is not None else torch.ones_like(target, dtype=torch.bool)
        )
        if self.softmax:
            index = target.squeeze(1).long() if self.onehot and labels else _shared.indices(target, input)
            return torch.where(keep.squeeze(1), index, _IGNORED) if self.ignore_index is not None else index
        regions = _shared.one_hot(target.squeeze(1), classes) if self.onehot and classes > 1 else target
        regions = regions if regions.dtype.is_floating_point else regions.to(torch.int64)
        return torch.where(keep, regions, _IGNORED) if self.ignore_index is not None else regions

    def sums(
        self, input: Tensor, target: Tensor, aggregate: _masks.Aggregate, *, squared: bool = False, product: bool
    ) -> _regions.Sums:
        target = self(input, target)
        if self.softmax:
            return _masks.softmax_regions(input, target, _IGNORED, aggregate, squared=squared).sums
        return _masks.sigmoid_regions(input, target, _IGNORED, aggregate, squared=squared, product=product).sums


def _foreground(weight: Tensor | None, background: bool, input: Tensor) -> Tensor:
    """(C,) weights of the classes, 0 for the background if it does not count."""
    classes = input.shape[1]
    first = 0 if background or classes == 1 else 1
    weights = input.new_ones(classes)
    weights[:first] = 0
    if weight is not None and classes > 1:
        if weight.dim():
            _checks.check_shape("weight", weight, (classes - first,))
        weights[first:] = weight
    return weights


def _counted(background: bool, input: Tensor) -> int:
    classes = input.shape[1]
    return classes if background or classes == 1 else classes - 1


class _Overlap(nn.Module):
    """A Lossary loss of regions with MONAI's targets and weights."""

    weight: Tensor | None

    def __init__(self, loss: nn.Module, target: _Target, background: bool, weight: _Weight) -> None:
        super().__init__()
        self.loss = loss
        self.target = target
        self.background = background
        self.register_buffer("weight", _monai.class_weight(weight))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        weight = _foreground(self.weight, self.background, input)
        loss = self.loss(input, self.target(input, target), class_weight=weight)
        return loss if self.loss.reduction == "sum" else loss * (weight.sum() / _counted(self.background, input))


class _Product(nn.Module):
    """A fraction of overlapping sigmoids as in Lossary's losses, with MONAI's overlap of soft labels."""

    def __init__(
        self, fraction: _Score, smooth: float, *, aggregate: _masks.Aggregate, reduction: str, **_: object
    ) -> None:
        super().__init__()
        self.fraction = fraction
        self.smooth = smooth
        self.aggregate: _masks.Aggregate = aggregate
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor, class_weight: Tensor) -> Tensor:
        regions = _masks.sigmoid_regions(input, target, _IGNORED, self.aggregate, product=True)
        fraction = self.fraction(regions.sums)
        return _masks.score_loss(fraction, regions, self.smooth, "include", class_weight, reduction=self.reduction)


class _Scored(nn.Module):
    """MONAI's own formula where Lossary has none: smoothed unevenly, or not reduced."""

    weight: Tensor | None

    def __init__(
        self,
        score: _monai.Score,
        target: _Target,
        background: bool,
        weight: _Weight,
        squared: bool,
        product: bool,
    ) -> None:
        super().__init__()
        self.score = score
        self.target = target
        self.background = background
        self.squared = squared
        self.product = product
        self.register_buffer("weight", _monai.class_weight(weight))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        aggregate = "batch" if self.score.batch else "per_sample"
        sums = self.target.sums(input, target, aggregate, squared=self.squared, product=self.product)
        losses = self.score.losses(sums) * _foreground(self.weight, self.background, input)
        losses = losses[..., -_counted(self.background, input) :]
        return self.score.reduced(losses, input.dim())


class _Focal(nn.Module):
    weight: Tensor | None

    def __init__(
        self,
        softmax: bool,
        gamma: float,
        alpha: float | None,
        target: _Target,
        background: bool,
        weight: _Weight,
        reduction: _Reduction,
    ) -> None:
        super().__init__()
        self.softmax = softmax
        self.one_by_one = reduction == "none" or (reduction == "sum" and target.ignore_index is not None)
        held = "none" if self.one_by_one else "sum"
        self.loss = (_softmax.FocalLoss if softmax else _focal.SigmoidFocalLoss)(gamma=gamma, reduction=held)
        self.alpha = alpha
        self.target = target
        self.background = background
        self.reduction = reduction
        self.register_buffer("weight", _monai.class_weight(weight))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        regions = self.target(input, target)
        # MONAI's focal loss of soft labels, which it does not document, is a different loss.
        _checks.check_among("target", regions, (0, 1) if self.target.ignore_index is None else (0, 1, _IGNORED))
        keep = (regions != _IGNORED)[:, :1]
        weight = _foreground(self.weight, self.background, input)
        if not self.background and input.shape[1] > 1:
            input, regions, weight = input[:, 1:], regions[:, 1:], weight[1:]
        total = (self._softmax if self.softmax else self._sigmoid)(input, regions, weight)
        if self.one_by_one:
            return total if self.reduction == "none" else _monai.over_kept(total, keep)
        if self.reduction == "sum":
            return total / input[0, 0].numel()
        return total / (input.numel() if self.target.ignore_index is None else keep.sum())

    def _sigmoid(self, input: Tensor, regions: Tensor, weight: Tensor) -> Tensor:
        keep = regions != _IGNORED
        each = weight.reshape(1, -1, *(1 for _ in input.shape[2:]))
        regions = torch.where(keep, regions, 0)
        return self.loss(input, regions, alpha=self.alpha, mask=keep, sample_weight=each)

    def _softmax(self, input: Tensor, regions: Tensor, weight: Tensor) -> Tensor:
        # Positions without a class, such as an excluded background, cost nothing.
        index = torch.where((regions == 1).any(1), regions.long().argmax(1), _IGNORED)
        alpha = None
        if self.alpha is not None:
            alpha = input.new_full((input.shape[1],), self.alpha)
            alpha[0] = 1 - self.alpha
        losses = self.loss(input, index, class_weight=weight, alpha=alpha)
        return losses.unsqueeze(1) * _shared.one_hot(index, input.shape[1]) if self.one_by_one else losses


class _GeneralizedDice(nn.Module):
    def __init__(
        self,
        target: _Target,
        background: bool,
        power: int,
        product: bool,
        reduction: _Reduction,
        smooth_nr: float,
        smooth_dr: float,
        batch: bool,
    ) -> None:
        super().__init__()
        self.target = target
        self.background = background
        self.power = power
        self.product = product
        self.reduction = reduction
        self.smooth_nr = smooth_nr
        self.smooth_dr = smooth_dr
        self.batch = batch

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        sums = self.target.sums(input, target, "batch" if self.batch else "per_sample", product=self.product)
        if not self.background and input.shape[1] > 1:
            sums = _regions.Sums(*(s[..., 1:] for s in sums))
        w = sums.truth.pow(-self.power)
        # An absent class gets the largest weight of the others.
        absent = torch.isinf(w)
        w = w.masked_fill(absent, 0)
        w = torch.where(absent, w.amax(-1, keepdim=True), w)
        numerator = 2 * (w * sums.overlap).sum(-1) + self.smooth_nr
        loss = 1 - numerator / ((w * (sums.predicted + sums.truth)).sum(-1) + self.smooth_dr)
        return _monai.reduced(loss.unsqueeze(-1), self.reduction, input.dim())


class _CrossEntropy(nn.Module):
    """Cross-entropy for several channels, binary for one, as in MONAI's DiceCELoss."""

    def __init__(self, weight: Tensor | None, reduction: _Reduction, label_smoothing: float) -> None:
        super().__init__()
        self.softmax = _softmax.CrossEntropyLoss(weight=weight, reduction=reduction, label_smoothing=label_smoothing)
        self.sigmoid = _binary.BCEWithLogitsLoss(pos_weight=weight, reduction=reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        if input.shape[1] == 1:
            return self.sigmoid(input, target)
        labels = target.shape[1] == 1
        return self.softmax(input, target.squeeze(1).long() if labels else target.to(input.dtype))

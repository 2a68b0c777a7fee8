"""segmentation_models_pytorch's losses of regions.

``mode`` is ``"binary"`` (one channel, target (N, ...) or (N, 1, ...)), ``"multiclass"`` (labels (N, ...) with
(N, C, ...) logits, a softmax) or ``"multilabel"`` (regions in the shape of the logits). ``from_logits`` is always true:
no Lossary loss takes probabilities.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lossary.core import check as _checks
from lossary.core import loss as _loss
from lossary.losses.answers import focal as _focal
from lossary.losses.masks import lovasz as _lovasz
from lossary.losses.masks import overlap as _overlap
from lossary.losses.masks import tversky as _tversky
from lossary.presets import _shared

__all__ = ["dice", "focal", "jaccard", "lovasz", "tversky"]

_Mode = Literal["binary", "multiclass", "multilabel"]


def dice(
    mode: _Mode,
    classes: Sequence[int] | None = None,
    log_loss: bool = False,
    smooth: float = 0.0,
    ignore_index: int | None = None,
    eps: float = 1e-7,
    class_weights: Sequence[float] | None = None,
    *,
    from_logits: Literal[True] = True,
) -> nn.Module:
    """``DiceLoss``: Lossary's :class:`DiceLoss` (or sigmoid) over the whole batch, with ``absent="skip"`` in part.

    A class absent from the batch costs nothing whatever is predicted, yet counts in the mean: a batch with fewer
    classes has a smaller loss, and false positives of an absent class are free. Lossary's ``absent="include"`` makes
    them cost; ``"skip"`` also leaves the class out of the mean. ``smooth`` is added to half of both sums, Lossary's to
    the sums. ``eps`` bounds ``log_loss``.
    """
    _check_logits(from_logits)
    options = _options(mode, 2 * smooth, ignore_index)
    loss = (_overlap.DiceLoss if mode == "multiclass" else _overlap.SigmoidDiceLoss)(**options)
    return _ByClass(loss, mode, classes, log_loss, eps, class_weights)


def jaccard(
    mode: _Mode,
    classes: Sequence[int] | None = None,
    log_loss: bool = False,
    smooth: float = 0.0,
    ignore_index: int | None = None,
    eps: float = 1e-7,
    class_weights: Sequence[float] | None = None,
    *,
    from_logits: Literal[True] = True,
) -> nn.Module:
    """``JaccardLoss``: Lossary's :class:`JaccardLoss` (or sigmoid); absent classes as in :func:`dice`."""
    _check_logits(from_logits)
    options = _options(mode, smooth, ignore_index)
    loss = (_overlap.JaccardLoss if mode == "multiclass" else _overlap.SigmoidJaccardLoss)(**options)
    return _ByClass(loss, mode, classes, log_loss, eps, class_weights)


def tversky(
    mode: _Mode,
    classes: Sequence[int] | None = None,
    log_loss: bool = False,
    smooth: float = 0.0,
    ignore_index: int | None = None,
    eps: float = 1e-7,
    alpha: float = 0.5,
    beta: float = 0.5,
    gamma: float = 1.0,
    class_weights: Sequence[float] | None = None,
    *,
    from_logits: Literal[True] = True,
) -> nn.Module:
    """``TverskyLoss``: Lossary's :class:`TverskyLoss` (or sigmoid); alpha is for false positives.

    ``gamma`` is the power of the mean over classes; focal Tversky (arXiv:1810.07842) applies it per class. Below 1 its
    gradient is NaN at a loss of 0, such as for an empty mask, there and here.
    """
    _check_logits(from_logits)
    options = _options(mode, smooth, ignore_index)
    loss = (_tversky.TverskyLoss if mode == "multiclass" else _tversky.SigmoidTverskyLoss)(
        alpha=alpha, beta=beta, **options
    )
    return _ByClass(loss, mode, classes, log_loss, eps, class_weights, gamma)


def focal(
    mode: _Mode,
    alpha: float | None = None,
    gamma: float = 2.0,
    ignore_index: int | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    class_weights: Sequence[float] | None = None,
    *,
    from_logits: Literal[True] = True,
) -> nn.Module:
    """``FocalLoss``: Lossary's :class:`SigmoidFocalLoss`, every class against the rest even in ``"multiclass"``.

    The softmax's focal loss is :class:`FocalLoss`. For ``gamma`` below 1 the original has NaN gradients at confident
    logits; here they are finite. If all pixels are ignored, it is NaN there and 0 here. ``normalized`` and
    ``reduced_threshold`` are left out.
    """
    _check_logits(from_logits)
    _check_mode(mode)
    _checks.check_choice("reduction", reduction, ("mean", "sum"))
    if mode == "multilabel" and ignore_index is not None:
        raise ValueError(f"ignore_index: wanted None with multilabel, where the original fails; got {ignore_index}")
    loss = _focal.SigmoidFocalLoss(gamma=gamma, alpha=alpha, reduction=reduction)
    return _Focal(loss, mode, ignore_index, class_weights)


def lovasz(
    mode: _Mode, per_image: bool = False, ignore_index: int | None = None, *, from_logits: Literal[True] = True
) -> nn.Module:
    """``LovaszLoss``: Lossary's :class:`LovaszSoftmaxLoss`, or the hinge of :class:`LovaszHingeLoss` for regions.

    In ``"multilabel"`` the original pools all channels into one region; :class:`LovaszHingeLoss` by itself has one per
    channel. The original takes differences of nearly equal fractions in float32, so its gradient loses digits on large
    images. It fails in float64 and half precision and, with ``per_image``, for an image with only ignored pixels; here
    the gradient is exact, and such an image costs nothing.
    """
    _check_logits(from_logits)
    _check_mode(mode)
    if mode == "multiclass":
        return _LovaszSoftmax(per_image, ignore_index)
    loss = _lovasz.LovaszHingeLoss(per_image=per_image, ignore_index=ignore_index)
    return _shared.Called(loss, _one_region)


def _one_region(y_pred: Tensor, y_true: Tensor) -> tuple[Tensor, Tensor]:
    return y_pred.reshape(y_pred.shape[0], 1, -1), y_true.reshape(y_true.shape[0], 1, -1)


def _check_logits(from_logits: bool) -> None:
    if from_logits is not True:
        raise ValueError(f"from_logits: wanted True: these losses take logits; got {from_logits!r}")


def _check_mode(mode: str) -> None:
    _checks.check_choice("mode", mode, ("binary", "multiclass", "multilabel"))


def _options(mode: str, smooth: float, ignore_index: int | None) -> dict[str, Any]:
    _check_mode(mode)
    shared = {"smooth": smooth, "aggregate": "batch", "absent": "skip", "reduction": "none"}
    return {**shared, "ignore_index": ignore_index}


def _weights(mode: str, class_weights: Sequence[float] | None) -> Tensor | None:
    if class_weights is None:
        return None
    if mode == "binary":
        raise ValueError("class_weights: wanted None with binary; got weights")
    return torch.as_tensor(class_weights, dtype=torch.get_default_dtype())


class _ByClass(nn.Module):
    """The classes' losses, 0 for absent ones, combined into one number."""

    weights: Tensor | None

    def __init__(
        self,
        loss: _loss.Loss,
        mode: _Mode,
        classes: Sequence[int] | None,
        log_loss: bool,
        eps: float,
        class_weights: Sequence[float] | None,
        gamma: float = 1.0,
    ) -> None:
        super().__init__()
        if mode == "binary" and classes is not None:
            raise ValueError(f"classes: wanted None with binary; got {list(classes)}")
        self.loss = loss
        self.mode = mode
        self.classes = None if classes is None else list(classes)
        self.log_loss = log_loss
        self.eps = eps
        self.gamma = gamma
        self.register_buffer("weights", _weights(mode, class_weights))

    def forward(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        losses = self.loss(y_pred, y_true.reshape(y_pred.shape) if self.mode == "binary" else y_true)
        if self.log_loss:
            losses = -(1 - losses).clamp_min(self.eps).log()
        chosen = slice(None) if self.classes is None else self.classes
        losses = losses[chosen]
        weights = torch.ones_like(losses) if self.weights is None else self.weights[chosen].to(losses)
        mean = (losses * weights).sum() / weights.sum()
        return mean if self.gamma == 1 else mean**self.gamma


class _Focal(nn.Module):
    weights: Tensor | None

    def __init__(
        self, loss: _loss.Loss, mode: _Mode, ignore_index: int | None, class_weights: Sequence[float] | None
    ) -> None:
        super().__init__()
        self.loss = loss
        self.mode = mode
        self.ignore_index = ignore_index
        self.register_buffer("weights", _weights(mode, class_weights))

    def forward(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        mask, y_true = None, _checks.wide_integers("y_true", y_true)
        if self.mode == "binary":
            y_true = y_true.reshape(y_pred.shape)
        if self.ignore_index is not None:
            mask = y_true != self.ignore_index
            y_true = torch.where(mask, y_true, torch.zeros_like(y_true))
        if self.mode != "multiclass":
            _checks.check_among("y_true", y_true, (0, 1))  # with soft masks the original is a different loss
        if self.mode == "multiclass":
            y_true = _shared.one_hot(y_true, y_pred.shape[1])
            mask = None if mask is None else mask.unsqueeze(1)
        if self.mode == "binary":
            return self.loss(y_pred, y_true, mask=mask)
        weights = y_pred.new_ones(y_pred.shape[1]) if self.weights is None else self.weights.to(y_pred)
        each = weights.reshape(1, -1, *(1 for _ in y_pred.shape[2:]))
        total = self.loss(y_pred, y_true, mask=mask, sample_weight=each)
        return total if self.loss.reduction == "mean" else total / weights.sum()


class _LovaszSoftmax(nn.Module):
    def __init__(self, per_image: bool, ignore_index: int | None) -> None:
        super().__init__()
        reduction = "none" if per_image else "mean"
        self.loss = _lovasz.LovaszSoftmaxLoss(per_image=per_image, ignore_index=ignore_index, reduction=reduction)

    def forward(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        y_true = _checks.wide_integers("y_true", y_true)
        losses = self.loss(y_pred, y_true)
        if not self.loss.per_image:
            return losses
        # The mean over images of means over the classes that each image has.
        present = _shared.one_hot(y_true, y_pred.shape[1])
        if self.loss.ignore_index is not None:
            present = present & (y_true != self.loss.ignore_index).unsqueeze(1)
        classes = present.flatten(2).any(2).sum(1)
        return (losses.sum(1) / classes.clamp_min(1)).mean()

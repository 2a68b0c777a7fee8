"""timm's losses: (N, C) scores, and class indices or one number per class."""

import math
from typing import Literal

from torch import Tensor, nn

from lossary.core import check as _checks
from lossary.losses.answers import asymmetric as _asymmetric
from lossary.losses.answers import binary as _binary
from lossary.losses.answers import focal as _focal
from lossary.losses.classes import divergence as _divergence
from lossary.losses.classes import powers as _powers
from lossary.losses.classes import selective as _selective
from lossary.losses.classes import softmax as _softmax
from lossary.presets import _shared

__all__ = [
    "asymmetric_multi_label",
    "asymmetric_single_label",
    "binary_cross_entropy",
    "jsd_cross_entropy",
    "label_smoothing_cross_entropy",
    "poly_binary_cross_entropy",
    "poly_cross_entropy",
    "soft_target_cross_entropy",
]


def label_smoothing_cross_entropy(smoothing: float = 0.1) -> _softmax.CrossEntropyLoss:
    """``LabelSmoothingCrossEntropy``: Lossary's :class:`CrossEntropyLoss` with ``label_smoothing``."""
    return _softmax.CrossEntropyLoss(label_smoothing=smoothing, dim=-1)


def soft_target_cross_entropy() -> _softmax.CrossEntropyLoss:
    """``SoftTargetCrossEntropy``: Lossary's :class:`CrossEntropyLoss` with probabilities, as made by mixup."""
    return _softmax.CrossEntropyLoss(dim=-1)


def binary_cross_entropy(
    smoothing: float = 0.1,
    target_threshold: float | None = None,
    weight: Tensor | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    sum_classes: bool = False,
    pos_weight: Tensor | None = None,
    smooth_dense: bool = False,
) -> nn.Module:
    """``BinaryCrossEntropy``: Lossary's :class:`BCEWithLogitsLoss` with a yes or no per class.

    Smoothing spreads a class index over all classes; one number per class is left unchanged except by ``smooth_dense``,
    which is Lossary's ``label_smoothing``.
    """
    loss = _binary.BCEWithLogitsLoss(weight, reduction="none" if sum_classes else reduction, pos_weight=pos_weight)
    return _BinaryCrossEntropy(loss, smoothing, target_threshold, sum_classes, smooth_dense)


def asymmetric_multi_label(
    gamma_neg: float = 4.0,
    gamma_pos: float = 1.0,
    clip: float | None = 0.05,
    disable_torch_grad_focal_loss: bool = False,
    reduction: Literal["batchmean", "sum", "mean", "none"] = "batchmean",
) -> nn.Module:
    """``AsymmetricLossMultiLabel``: Lossary's :class:`AsymmetricLoss`, without an ``eps`` below which nothing learns.

    The mean there is over items only, so it grows with the number of classes. ``smoothing`` and weights are left out.
    """
    held = "none" if reduction == "none" else "mean" if reduction == "mean" else "sum"
    loss = _asymmetric.AsymmetricLoss(
        gamma_pos, gamma_neg, clip or 0.0, hold_focus=disable_torch_grad_focal_loss, reduction=held
    )
    return _OverItems(loss) if reduction == "batchmean" else loss


def asymmetric_single_label(
    gamma_pos: float = 1.0, gamma_neg: float = 4.0, eps: float = 0.1, reduction: Literal["mean", "none"] = "mean"
) -> _selective.AsymmetricSoftmaxLoss:
    """``AsymmetricLossSingleLabel``: Lossary's :class:`AsymmetricSoftmaxLoss`, whose ``label_smoothing`` is ``eps``."""
    return _selective.AsymmetricSoftmaxLoss(gamma_pos, gamma_neg, label_smoothing=eps, reduction=reduction)


def poly_cross_entropy(
    epsilon: float = 2.0, smoothing: float = 0.0, reduction: Literal["mean", "sum", "none"] = "mean"
) -> nn.Module:
    """``PolyCrossEntropy``: Lossary's :class:`PolyLoss` of (N, C), whose default for ``epsilon`` is 1.

    Smoothing spreads a class index over all classes; shares of the classes stay as they are. The original counts in
    float32.
    """
    return _Smoothed(_powers.PolyLoss(epsilon, reduction=reduction), smoothing)


def poly_binary_cross_entropy(
    epsilon: float = 2.0,
    gamma: float = 0.0,
    alpha: float | None = None,
    smoothing: float = 0.0,
    reduction: Literal["mean", "batchmean", "sum", "none"] = "mean",
) -> nn.Module:
    """``PolyBinaryCrossEntropy``: Lossary's :class:`SigmoidPolyFocalLoss`, whose ``gamma`` is 2 by default.

    There ``alpha`` weighs the added term too, which the paper's listing does not. ``"batchmean"`` is as large as there
    are classes.
    """
    return _PolyBinary(_focal.SigmoidPolyFocalLoss(epsilon, gamma, reduction="none"), alpha, smoothing, reduction)


def jsd_cross_entropy(num_splits: int = 3, alpha: float = 12.0, smoothing: float = 0.1) -> nn.Module:
    """``JsdCrossEntropy`` (AugMix): cross-entropy of the first split, plus how far apart the splits' predictions are.

    With two splits the latter is Lossary's ``jensen_shannon_loss``. The original clamps the mixture at 1e-7.
    """
    _checks.check_whole("num_splits", num_splits, low=2)
    return _JsdCrossEntropy(num_splits, alpha, smoothing)


class _BinaryCrossEntropy(nn.Module):
    def __init__(
        self, loss: nn.Module, smoothing: float, threshold: float | None, sum_classes: bool, smooth_dense: bool
    ) -> None:
        super().__init__()
        self.loss, self.smoothing, self.threshold = loss, smoothing, threshold
        self.sum_classes, self.smooth_dense = sum_classes, smooth_dense

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        if target.shape != x.shape:
            hot = _shared.one_hot(target.long().reshape(-1), x.shape[-1]).to(x.dtype)
            target = hot * (1 - self.smoothing) + self.smoothing / x.shape[-1]
        elif self.smooth_dense:
            target = target * (1 - self.smoothing) + 0.5 * self.smoothing
        if self.threshold is not None:
            target = (target > self.threshold).to(x.dtype)
        loss = self.loss(x, target)
        return loss.sum(-1).mean() if self.sum_classes else loss


class _Smoothed(nn.Module):
    """A class index becomes shares of all classes; shares stay."""

    def __init__(self, loss: nn.Module, smoothing: float) -> None:
        super().__init__()
        self.loss, self.smoothing = loss, smoothing

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        if self.smoothing and target.shape != x.shape:
            target = _shared.one_hot(target.long(), x.shape[-1]) * (1 - self.smoothing) + self.smoothing / x.shape[-1]
        return self.loss(x, target)


class _PolyBinary(nn.Module):
    def __init__(self, loss: nn.Module, alpha: float | None, smoothing: float, reduction: str) -> None:
        super().__init__()
        self.loss, self.alpha, self.smoothing, self.reduction = loss, alpha, smoothing, reduction

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        y = target.to(x.dtype) * (1 - self.smoothing) + 0.5 * self.smoothing
        losses = self.loss(x, y)
        if self.alpha is not None:
            losses = losses * (y * self.alpha + (1 - y) * (1 - self.alpha))
        if self.reduction == "none":
            return losses
        divisor = {"mean": losses.numel(), "batchmean": len(losses), "sum": 1}[self.reduction]
        return losses.sum() / max(divisor, 1)


class _OverItems(nn.Module):
    """Turns a sum into a mean over items."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.loss(x, y) / max(len(x), 1)


class _JsdCrossEntropy(nn.Module):
    def __init__(self, num_splits: int, alpha: float, smoothing: float) -> None:
        super().__init__()
        self.loss = _softmax.CrossEntropyLoss(label_smoothing=smoothing)
        self.num_splits, self.alpha = num_splits, alpha

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        if len(output) % self.num_splits:
            raise ValueError(f"output: wanted a multiple of {self.num_splits} rows; got {len(output)}")
        splits = output.unflatten(0, (self.num_splits, -1))
        log = splits.log_softmax(-1)
        mixture = (log.logsumexp(0, keepdim=True) - math.log(self.num_splits)).expand_as(log)
        apart = _divergence.kl_div(mixture, log, reduction="sum", log_target=True) / max(len(output), 1)
        return self.loss(splits[0], target[: splits.shape[1]]) + self.alpha * apart

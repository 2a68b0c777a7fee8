"""Sequences against shorter ones, where nobody says which step belongs to which label."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lossary.core.check import (
    check_dim,
    check_float,
    check_range,
    check_shape,
    values_visible,
    wide_integers,
)
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, reduce
from lossary.core.rules import checked
from lossary.core.torch_internals import ctc_losses
from lossary.kernels.stable import accumulate, like_torch
from lossary.losses._pointwise import hide

__all__ = [
    "CTCLoss",
    "ctc_loss",
]


@checked
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: Reduction = "mean",
    zero_infinity: bool = False,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""The negative log-likelihood of a sequence of labels, over all ways to lay it along a longer input (CTC).

    .. math:: -\log \sum_{\pi \to y} \prod_t p_t(\pi_t)

    Args:
        log_probs: (T, N, C) log-probabilities, as of ``log_softmax`` over C; without a batch (T, C).
        targets: (N, S) labels, of which a sample's first ``target_lengths`` count, or those of all samples in a row.
        input_lengths: (N,) how many of the T steps are a sample's.
        target_lengths: (N,) how many labels are a sample's.
        blank: The class that says nothing; no label may be it.
        reduction: ``"none"`` (N,), ``"sum"``, or ``"mean"`` of each loss over its number of labels, at least 1.
        zero_infinity: A sample whose labels do not fit into its steps has loss 0, not infinity.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) booleans, True where a sample counts; values elsewhere may be NaN.

    Returns:
        A scalar, or one loss a sample.

    Raises:
        ValueError: Shapes that do not fit, a length outside of the input's, a label that is ``blank``.
        TypeError: Labels or lengths that are no integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> log_probs = torch.full((4, 1, 3), 1 / 3).log()
        >>> ctc_loss(log_probs, torch.tensor([[1, 2]]), [4], [2])
        tensor(0.8432)

    Source:
        Graves et al., Connectionist Temporal Classification, ICML 2006, eq. 8; kernels, arguments and defaults are
        torch's. The gradient is that of the formula; torch's is right only behind a ``log_softmax``, where both agree.
        A sample of infinite loss has gradient 0 (torch: NaN). There is no second derivative.
    """
    check_float("log_probs", log_probs)
    check_dim("log_probs", log_probs, (2, 3), "(T, N, C) or (T, C)")
    alone = log_probs.dim() == 2
    x = accumulate(log_probs.unsqueeze(1) if alone else log_probs)
    steps, count, classes = x.shape
    if not 0 <= blank < classes:
        raise ValueError(f"blank: wanted a class in [0, {classes}); got {blank}")
    lengths = _lengths("input_lengths", input_lengths, count, steps, x)
    labels = wide_integers("targets", targets.unsqueeze(0) if alone and targets.dim() == 1 else targets)
    check_dim("targets", labels, (1, 2), "(N, S), or all labels in one row")
    check_range("targets", labels, classes)
    longest = labels.shape[1] if labels.dim() == 2 else labels.shape[0]
    own = _lengths("target_lengths", target_lengths, count, longest, x)
    _check_labels_fit(labels, own, count, blank)
    weights, counted = align(sample_weight, mask, x.shape[1:2])
    if counted is not None:
        x = hide(x, counted[:, None])
    losses = _ctc(x, labels, lengths, own, blank)
    if zero_infinity:
        losses = torch.where(losses == math.inf, 0, losses)
    if reduction == "mean":
        losses = losses / own.clamp_min(1)
    if alone and reduction == "none":
        losses, weights, counted = (None if t is None else t.squeeze(0) for t in (losses, weights, counted))
        assert losses is not None
    loss = reduce(losses, weight=weights, mask=counted, reduction=reduction)
    return like_torch(loss, log_probs)


def _lengths(name: str, lengths: Tensor | Sequence[int], count: int, longest: int, x: Tensor) -> Tensor:
    tensor = wide_integers(name, lengths if isinstance(lengths, Tensor) else torch.tensor(lengths, dtype=torch.long))
    if tensor.dtype != torch.int64:
        raise TypeError(f"{name}: wanted integers; got {tensor.dtype}")
    tensor = tensor.reshape(1) if tensor.dim() == 0 else tensor
    check_shape(name, tensor, (count,))
    if values_visible(tensor) and ((tensor < 0) | (tensor > longest)).any():
        raise ValueError(f"{name}: wanted lengths from 0 to {longest}; got {tensor.tolist()}")
    return tensor.to(x.device)


def _check_labels_fit(labels: Tensor, lengths: Tensor, count: int, blank: int) -> None:
    if labels.dim() == 2:
        check_shape("targets", labels, (count, labels.shape[1]))
    if not values_visible(labels, lengths):
        return
    if labels.dim() == 1 and lengths.sum() != len(labels):
        raise ValueError(f"targets: wanted as many labels as target_lengths add up to; got {len(labels)}")
    said = labels != blank
    if labels.dim() == 2:
        said |= torch.arange(labels.shape[1]) >= lengths[:, None]
    if not said.all():
        raise ValueError(f"targets: wanted labels other than the blank, {blank}; got it among them")


def _ctc(x: Tensor, labels: Tensor, lengths: Tensor, own: Tensor, blank: int) -> Tensor:
    """(N,) losses. torch's operator takes the classes' shares of its gradient as behind a softmax: taken back here."""
    if x.shape[1] == 0:
        return x.sum((0, 2))
    losses = ctc_losses(x, labels, lengths, own, blank)
    inside = torch.arange(x.shape[0], device=x.device)[:, None] < lengths
    shares = torch.where(inside & (losses < math.inf), x.exp().sum(2), 0).sum(0)
    return losses - (shares - shares.detach())


class CTCLoss(Loss):
    """:func:`ctc_loss` as a Module, called ``(log_probs, targets, input_lengths, target_lengths)``."""

    fn = staticmethod(ctc_loss)
    blank: int = 0
    reduction: Reduction = "mean"
    zero_infinity: bool = False

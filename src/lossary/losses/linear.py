"""Multiclass losses over features: the scores of a linear classifier are made block by block, never held whole."""

import inspect
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from lossary._check import check_dim, check_float, check_labels, check_shape
from lossary._device import autocast_is_on
from lossary._loss import Loss
from lossary.kernels.rows import Bilinear, plain_is_better
from lossary.kernels.stable import accumulator
from lossary.losses import multiclass, poly
from lossary.losses._classes import Input

__all__ = ["LinearHead", "linear_loss"]

#: The losses that take linear scores where others want ready ones.
_OVER_FEATURES = tuple(
    card.fn
    for card in (*multiclass.CARDS, *poly.CARDS)
    if inspect.signature(card.fn).parameters["input"].annotation == Input
)


def linear_loss(
    loss: Loss | Callable[..., Tensor],
    features: Tensor,
    weight: Tensor,
    labels: Tensor,
    bias: Tensor | None = None,
    **extra: Any,
) -> Tensor:
    r"""A multiclass loss of the scores ``features @ weight.T + bias``, whose memory grows with N + C, not N times C.

    .. math:: L(W x + b, y)

    Args:
        loss: :func:`cross_entropy`, :func:`focal_loss`, :func:`poly_loss` or :func:`poly_focal_loss`, or the Module
            of one with its hyperparameters.
        features: (N, D).
        weight: (C, D), one row a class.
        labels: (N,) class indices of any integer dtype; for cross-entropy also (N, C) probabilities, all that is held
            of that size.
        bias: (C,), or None.
        extra: What else the loss takes: ``label_smoothing``, ``ignore_index``, ``class_weight``, ``mask``,
            ``reduction``, ... Cross-entropy's class weights go into its Module: their name there is ``weight`` too.

    Returns:
        What the loss returns: a scalar, or (N,) with ``reduction="none"``.

    Raises:
        TypeError: A loss that wants ready scores, soft labels for another loss than cross-entropy.
        ValueError: Shapes that do not fit.
        IndexError: A label outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch, lossary
        >>> features, weight = torch.eye(3), 2 * torch.eye(3)
        >>> linear_loss(lossary.cross_entropy, features, weight, torch.tensor([0, 1, 1]), label_smoothing=0.1)
        tensor(0.9729)
        >>> linear_loss(lossary.FocalLoss(gamma=1.0), features, weight, torch.tensor([0, 1, 1]))
        tensor(0.7010)

    Source:
        Wijmans et al., Cut Your Losses in Large-Vocabulary Language Models, arXiv:2411.09009, for cross-entropy.
    """
    fn = type(loss).fn if isinstance(loss, Loss) else loss
    if fn not in _OVER_FEATURES:
        known = ", ".join(known.__name__ for known in _OVER_FEATURES)
        raise TypeError(f"loss: wanted {known} or the Module of one; got {getattr(fn, '__name__', type(fn).__name__)}")
    check_float("features", features)
    check_dim("features", features, 2, "(N, D)")
    check_dim("weight", weight, 2, "(C, D)")
    check_shape("weight", weight, (weight.shape[0], features.shape[1]))
    soft = fn is multiclass.cross_entropy and isinstance(labels, Tensor) and labels.dtype.is_floating_point
    if not soft:
        labels = check_labels("labels", labels, features.shape[0])
    if bias is not None:
        check_shape("bias", bias, (weight.shape[0],))
    return loss(_scores(Bilinear(features, weight, bias)), labels, **extra)


def _scores(source: Bilinear) -> Input:
    """Few scores are made ready at once, which takes the fewest operations, where their dtype is kept by it."""
    x, w = source.x, source.w
    exact = x.dtype == w.dtype == accumulator(x) and not autocast_is_on(x)
    # Of a single class there are no ready scores: see softmax_problem. Not by source.dense(), whose care for dtypes a
    # small batch would feel.
    return F.linear(x, w, source.b) if exact and w.shape[0] > 1 and plain_is_better(source) else source


class LinearHead(nn.Module):
    """A linear classifier and its multiclass loss in one, for so many classes that their scores would not fit.

    See :func:`linear_loss`. ``linear`` is an ordinary ``nn.Linear``: assign another to share its weights.

    Args:
        loss: A Module of a loss that takes linear scores, with its hyperparameters.
        num_classes: C.
        embedding_size: D.
        bias: Whether the classes have biases.

    Example:
        >>> import torch, lossary
        >>> head = LinearHead(lossary.FocalLoss(gamma=1.0), num_classes=100_000, embedding_size=16)
        >>> loss = head(torch.randn(8, 16), torch.arange(8))
        >>> loss.backward()
        >>> head.get_logits(torch.randn(2, 16)).shape
        torch.Size([2, 100000])
    """

    def __init__(self, loss: Loss, *, num_classes: int, embedding_size: int, bias: bool = True) -> None:
        super().__init__()
        self.loss = loss
        self.linear = nn.Linear(embedding_size, num_classes, bias=bias)

    def forward(self, embeddings: Tensor, labels: Tensor, **extra: Any) -> Tensor:
        return linear_loss(self.loss, embeddings, self.linear.weight, labels, self.linear.bias, **extra)

    def get_logits(self, embeddings: Tensor) -> Tensor:
        """The scores of all classes, for inference: (N, num_classes)."""
        return self.linear(embeddings)

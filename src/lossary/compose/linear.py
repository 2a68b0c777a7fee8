"""Multiclass losses on features: a linear classifier's scores are computed block by block, never held whole."""

import inspect
import math
from collections.abc import Callable
from typing import Any, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lossary.core.check import check_choice, check_dim, check_float, check_labels, check_number, check_shape
from lossary.core.device import autocast_is_on
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction
from lossary.core.rules import checked
from lossary.distributed import across_ranks
from lossary.distributed.gather import of_all_classes
from lossary.distributed.shards import Shards, shard, shard_alike
from lossary.kernels.products import multiplied_in
from lossary.kernels.rows.formula import few_scores
from lossary.kernels.rows.scores import Bilinear
from lossary.kernels.stable import accumulator, like_torch
from lossary.losses.classes import longtail, noisy, powers, selective
from lossary.losses.classes import softmax as multiclass
from lossary.losses.classes._shared import Input, check_class_weight

__all__ = ["LinearCrossEntropyLoss", "LinearHead", "linear_cross_entropy", "linear_loss"]

#: The losses that take linear scores; others want ready ones.
_OVER_FEATURES = tuple(
    card.fn
    for card in (*multiclass.CARDS, *powers.CARDS, *noisy.CARDS, *longtail.CARDS, *selective.CARDS)
    if inspect.signature(card.fn).parameters["input"].annotation == Input
)


@across_ranks
def linear_loss(
    loss: Loss | Callable[..., Tensor],
    features: Tensor,
    weight: Tensor,
    labels: Tensor,
    bias: Tensor | None = None,
    **extra: Any,
) -> Tensor:
    r"""A multiclass loss of the scores ``features @ weight.T + bias``; memory grows with N + C, not N times C.

    .. math:: L(W x + b, y)

    Args:
        loss: :func:`cross_entropy`, :func:`focal_loss`, :func:`poly_loss`, :func:`logit_adjusted_loss` or another
            whose ``input`` may be linear scores, or the Module of one with its hyperparameters.
        features: (N, D).
        weight: (C, D), one row per class.
        labels: (N,) class indices of any integer dtype; for cross-entropy also (N, C) probabilities, the only thing of
            that size held.
        bias: (C,), or None.
        extra: What else the loss takes: ``label_smoothing``, ``ignore_index``, ``class_weight``, ``mask``,
            ``reduction``, ... Class weights of cross-entropy go into its Module, where their name is also ``weight``.

    Returns:
        What the loss returns: a scalar, or (N,) with ``reduction="none"``.

    Raises:
        TypeError: A loss that needs ready scores, soft labels for a loss other than cross-entropy.
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
    w, shards = shard(weight)
    b = None if bias is None else shard_alike("bias", bias, weight)
    return loss(_scores(features, w, b, shards), labels, **extra)


@checked
def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: object = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Cross-entropy of a linear classifier's scores, called as torch calls it: see :func:`linear_loss`.

    .. math:: -\log \frac{e^{z_y}}{\sum_c e^{z_c}}, \quad z = W x + b

    Args:
        input: (N, D) features, or (D,).
        linear_weight: (C, D), or (C, d1, ..., D) for several labels per row, whose scores are held whole.
        target: (N,) class indices or (N, C) probabilities; (N, d1, ...) or (N, C, d1, ...) for several.
        linear_bias: (C,), or (C, d1, ...).
        weight: (C,) class weights, part of the mean's divisor as in torch.
        reduction: ``"none"`` (the shape of the labels), ``"sum"`` or ``"mean"``.
        ignore_index: A label that does not count; None is -100.
        label_smoothing: From 0 to 1, the share of the target spread over all classes.
        options: torch's choice of chunks; ignored, since memory is linear here without it.
        sample_weight: One weight per label; mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a label counts.

    Returns:
        A scalar, or one loss per label.

    Raises:
        ValueError: Shapes that do not fit.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> linear_cross_entropy(torch.eye(3), 2 * torch.eye(3), torch.tensor([0, 1, 1]))
        tensor(0.9062)

    Source:
        Arguments, defaults and results are those of torch 2.13; linear memory after Wijmans et al., arXiv:2411.09009.
        It has every derivative, including second-order ones and under ``torch.compile``.
    """
    check_float("input", input)
    check_dim("input", input, (1, 2), "(N, D) or (D,)")
    check_float("linear_weight", linear_weight)
    extra: dict[str, Any] = {
        "weight": weight,
        "ignore_index": -100 if ignore_index is None else ignore_index,
        "label_smoothing": label_smoothing,
        "reduction": reduction,
        "sample_weight": sample_weight,
        "mask": mask,
    }
    check_shape("linear_weight", linear_weight, (*linear_weight.shape[:-1], input.shape[-1]))
    if linear_bias is not None:
        check_shape("linear_bias", linear_bias, tuple(linear_weight.shape[:-1]))
    if input.dim() == 2 and linear_weight.dim() == 2:
        scores = _scores(input, linear_weight, linear_bias)
    else:
        scores = F.linear(input, linear_weight.flatten(0, -2)).unflatten(-1, linear_weight.shape[:-1])
        scores = scores if linear_bias is None else scores + linear_bias
    return like_torch(multiclass.cross_entropy(scores, target, **extra), input)


class LinearCrossEntropyLoss(nn.Module):
    """:func:`linear_cross_entropy` with the classifier's weights, like torch's Module of that name.

    Args:
        in_features: D.
        num_classes: C.
        out_features: (d1, ...), the labels of a row, if it has several.
        bias: Whether the classes have biases.
        device: Where the weights are created.
        dtype: Their dtype.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.
        weight: (C,) class weights, saved with the Module.
        ignore_index: A label that does not count; None is -100.
        label_smoothing: From 0 to 1.
        options: torch's choice of chunks; ignored.

    Example:
        >>> import torch
        >>> loss = LinearCrossEntropyLoss(8, 1000)
        >>> loss(torch.randn(4, 8), torch.tensor([0, 7, 999, -100])).shape
        torch.Size([])
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        reduction: Reduction = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: object = None,
    ) -> None:
        super().__init__()
        check_choice("reduction", reduction, get_args(Reduction))
        check_number("label_smoothing", label_smoothing, low=0, high=1)
        check_class_weight("weight", weight, num_classes)
        self.num_classes, self.out_features = num_classes, out_features
        self.reduction: Reduction = reduction
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing
        self.options = options
        self.register_buffer("weight", weight)
        rows = math.prod(out_features, start=num_classes)
        self.linear = nn.Linear(in_features, rows, bias=bias, device=device, dtype=dtype)

    def forward(self, input: Tensor, target: Tensor, **extra: Any) -> Tensor:
        shape = (self.num_classes, *self.out_features)
        bias = cast("Tensor | None", self.linear.bias)
        return linear_cross_entropy(
            input,
            self.linear.weight.unflatten(0, shape),
            target,
            linear_bias=None if bias is None else bias.unflatten(0, shape),
            weight=cast("Tensor | None", self.weight),
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            **extra,
        )

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}, ignore_index={self.ignore_index}, label_smoothing={self.label_smoothing}"


def _scores(x: Tensor, w: Tensor, b: Tensor | None, shards: Shards | None = None) -> Any:
    """Few scores are computed at once, which takes the fewest operations, if that keeps their dtype."""
    exact = x.dtype == w.dtype == accumulator(x) and not autocast_is_on(x)
    # A single class has no ready scores: see softmax_problem. Not source.dense(), whose care for dtypes slows small
    # batches.
    if exact and shards is None and w.shape[0] > 1 and few_scores(x, w):
        return F.linear(x, w, b)
    return Bilinear(x, w, b, half=multiplied_in(x, w), shards=shards)


class LinearHead(nn.Module):
    """A linear classifier together with its multiclass loss, for so many classes that their scores would not fit.

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
        bias = cast("Tensor | None", self.linear.bias)
        return of_all_classes(F.linear, embeddings, self.linear.weight, bias)

"""Overlap of middle lines: a cut in a thin vessel or road costs as much as one in a thick one."""

import dataclasses
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core.card import Choice
from lossary.core.check import check_among, check_shape, check_tensor
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction
from lossary.core.rules import ClassWeight, Count, checked
from lossary.kernels.skeleton import skeleton
from lossary.kernels.stable import accumulate
from lossary.losses.masks._shared import Positions, Smooth, card, class_scores, reduce_scores, region_scores

__all__ = [
    "ClDiceLoss",
    "SigmoidClDiceLoss",
    "cl_dice_loss",
    "sigmoid_cl_dice_loss",
]


def _check_dimensions(input: Tensor) -> None:
    check_tensor("input", input)
    if input.dim() not in (3, 4, 5):
        raise ValueError(f"input: wanted (N, C, ...) with one to three more dimensions; got {tuple(input.shape)}")


def _over(part: Tensor, whole: Tensor) -> Tensor:
    nothing = whole == 0
    return torch.where(nothing, 1, part) / torch.where(nothing, 1, whole)


def _cl_dice(
    p: Tensor,
    g: Tensor,
    keep: Tensor | None,
    shape: torch.Size,
    scores: Positions,
    iterations: int,
    smooth: float,
    class_weight: Tensor | None,
    reduction: str,
) -> Tensor:
    """From probabilities and truth (N, C, L); ``shape`` holds the dimensions of the positions."""
    if class_weight is not None:
        check_shape("class_weight", class_weight, tuple(p.shape[1:2]))
    if keep is not None:
        keep = keep.expand_as(p)
        p, g = torch.where(keep, p, 0), torch.where(keep, g, 0)
        keep = keep.unflatten(2, shape)
    of_p, of_g = (skeleton(x.unflatten(2, shape), keep, iterations).flatten(2) for x in (p, g))
    precision, recall = (
        _over((line * other).sum(2) + smooth, line.sum(2) + smooth) for line, other in ((of_p, g), (of_g, p))
    )
    both = precision + recall
    losses = 1 - 2 * precision * recall / torch.where(both == 0, 1, both)
    return reduce_scores(losses, scores.weight, scores.exists, class_weight, None, reduction)


@checked
def cl_dice_loss(
    input: Tensor,
    target: Tensor,
    *,
    iterations: Count = 10,
    smooth: Smooth = 1.0,
    ignore_index: int | None = -100,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""One minus the overlap of each class's middle lines with its regions, predicted and true.

    .. math:: 1 - \frac{2\, P R}{P + R}, \quad P = \frac{\sum S_p\, g + \epsilon}{\sum S_p + \epsilon}, \quad
              R = \frac{\sum S_g\, p + \epsilon}{\sum S_g + \epsilon}

    where S are the soft skeletons of the predicted and the true region.

    Args:
        input: Logits, (N, C, ...), C >= 2, with one to three dimensions of positions.
        target: (N, ...) class indices of any integer dtype.
        iterations: How often regions are eroded: at least half the width of the widest one, in positions.
        smooth: epsilon, in positions; 0 / 0 counts as a perfect score.
        ignore_index: Positions with this label do not count; None for no such label.
        class_weight: (C,) weights of the classes' losses; 0 for a background, which has no meaningful middle line.
        sample_weight: One weight per image, (N,), or one for each of its classes, (N, C).
        mask: Boolean, True where a position counts: the shape of ``target`` or its leading dimensions, such as (N,).
        reduction: ``"none"`` (N, C), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per class of an image. Among equal neighbours, the first gets the gradient.

    Raises:
        ValueError: Wrong shapes, a single class (its softmax is always 1).
        TypeError: Targets that are not integers.
        IndexError: A target outside of [0, C).

    Example:
        >>> import torch
        >>> line = torch.tensor([[[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]]])
        >>> sure = 40.0 * torch.stack([1 - line, line], 1)
        >>> cl_dice_loss(sure, line, iterations=1)
        tensor(0.)

    Source:
        Shit et al., clDice, arXiv:2003.07311, with its soft skeleton. The paper adds it to Dice, each with weight 1/2.
    """
    _check_dimensions(input)
    scores = class_scores(input, target, ignore_index, sample_weight, mask, "sigmoid_cl_dice_loss")
    labels = scores.target if scores.keep is None else torch.where(scores.keep, scores.target, 0)
    p = F.softmax(accumulate(scores.logits), 1)
    g = torch.zeros_like(p).scatter(1, labels[:, None], 1.0)
    keep = None if scores.keep is None else scores.keep[:, None]
    return _cl_dice(p, g, keep, input.shape[2:], scores, iterations, smooth, class_weight, reduction)


class ClDiceLoss(Loss):
    """:func:`cl_dice_loss` as a Module."""

    fn = staticmethod(cl_dice_loss)
    iterations: Count = 10
    smooth: Smooth = 1.0
    ignore_index: int | None = -100
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


@checked
def sigmoid_cl_dice_loss(
    input: Tensor,
    target: Tensor,
    *,
    iterations: Count = 10,
    smooth: Smooth = 1.0,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""One minus the overlap of middle lines with regions, channel by channel; regions may overlap.

    .. math:: 1 - \frac{2\, P R}{P + R}, \quad P = \frac{\sum S_p\, g + \epsilon}{\sum S_p + \epsilon}, \quad
              R = \frac{\sum S_g\, p + \epsilon}{\sum S_g + \epsilon}

    where S are the soft skeletons of the predicted and the true region.

    Args:
        input: Logits, (N, C, ...), with one to three dimensions of positions; C = 1 for one region.
        target: The shape of ``input``: bool, or 0 and 1.
        iterations: How often regions are eroded: at least half the width of the widest one, in positions.
        smooth: epsilon, in positions; 0 / 0 counts as a perfect score.
        class_weight: (C,) weights of the channels' losses.
        sample_weight: One weight per image, (N,), or one for each of its channels, (N, C).
        mask: Boolean, True where a position counts: the shape of ``input`` or its leading dimensions, such as (N,).
        reduction: ``"none"`` (N, C), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per channel of an image. Among equal neighbours, the first gets the gradient.

    Raises:
        ValueError: Wrong shapes, a target that is neither 0 nor 1, or that requires a gradient.

    Example:
        >>> import torch
        >>> line = torch.tensor([[[[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]]]])
        >>> cut = torch.where(torch.arange(5) == 2, 0, line)
        >>> sigmoid_cl_dice_loss(40.0 * (2 * cut - 1.0), line, iterations=1)
        tensor(0.0909)

    Source:
        As :func:`cl_dice_loss`.
    """
    _check_dimensions(input)
    scores = region_scores(input, target, None, sample_weight, mask)
    check_among("target", scores.target, (0, 1))
    p = accumulate(scores.logits).sigmoid()
    g = scores.target.to(p.dtype)
    return _cl_dice(p, g, scores.keep, input.shape[2:], scores, iterations, smooth, class_weight, reduction)


class SigmoidClDiceLoss(Loss):
    """:func:`sigmoid_cl_dice_loss` as a Module."""

    fn = staticmethod(sigmoid_cl_dice_loss)
    iterations: Count = 10
    smooth: Smooth = 1.0
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


_FACTS: dict[str, Any] = {
    "formula": (
        r"1 - \frac{2\, P R}{P + R}, \quad P = \frac{\sum S_p\, g + \epsilon}{\sum S_p + \epsilon}, "
        r"\quad R = \frac{\sum S_g\, p + \epsilon}{\sum S_g + \epsilon}"
    ),
    "symbols": {
        r"P": "the share of the predicted middle line that lies in the true region",
        r"R": "the share of the true middle line that lies in the predicted region",
        r"S_p": "the soft skeleton of the prediction, by `iterations` erosions",
        r"p": "the probability at a position: softmax of `input`, or its sigmoid in the sigmoid form",
        r"S_g": "the soft skeleton of the truth",
        r"g": "1 where `target` is the class or region, 0 elsewhere",
        r"\epsilon": "`smooth`, in positions; with 0, 0 / 0 counts as a perfect score",
    },
    "paper": "arXiv:2003.07311",
    "equation": "algorithm 2",
    "defaults": "ten erosions suffice for regions twenty positions wide; epsilon = 1 as in MONAI",
    "search": {"iterations": Choice((3, 10))},
}


def _line_card(*args: Any, when: str, relatives: tuple[str, ...]) -> Any:
    found = card(*args, relatives=relatives, at_call=frozenset({"sample_weight", "mask"}), **_FACTS)
    pitfalls = (
        "It sees lines, not widths: add a Dice loss.",
        "Too few erosions leave thick regions without a middle line.",
    )
    search = {name: space for name, space in found.search.items() if name != "aggregate"}
    return dataclasses.replace(found, when=when, pitfalls=pitfalls, search=search, kernel="none")


CARDS = (
    _line_card(
        cl_dice_loss,
        ClDiceLoss,
        when="Vessels, roads, nerves in exclusive classes, where being connected matters; added to Dice.",
        relatives=("dice_loss", "sigmoid_cl_dice_loss"),
    ),
    _line_card(
        sigmoid_cl_dice_loss,
        SigmoidClDiceLoss,
        when="Vessels, roads, nerves, where being connected matters; added to Dice.",
        relatives=("sigmoid_dice_loss", "cl_dice_loss"),
    ),
)

"""InsightFace's margin heads (arcface_torch), and its checkpoints.

Both heads are called ``(embeddings, labels)`` and own all class weights: a head spread over several ranks is one here.
The loss that arcface_torch reports stops at 69, log(1e30); its gradient does not, nor does the loss here.
"""

from pathlib import Path

import torch

from lossary.core import loss as _loss
from lossary.losses.identities import angular as _angular
from lossary.presets import _shared

__all__ = ["arcface", "combined_margin", "cosface", "load_head"]

_STD = 0.01  # for class weights, as in PartialFC_V2


def arcface(num_classes: int, embedding_size: int, s: float = 64.0, margin: float = 0.5) -> _angular.ArcFaceLoss:
    """``ArcFace`` with ``PartialFC_V2`` at ``sample_rate=1``: :class:`ArcFaceLoss` with two options set.

    The margin is written into the logits without a gradient (``gradient="straight_through"``), so the gradient is not
    that of the loss; Lossary's default ``"exact"`` has the factor sin(theta + m) / sin(theta). Where theta + m exceeds
    pi, the score rises again (``beyond_pi="plain"``): an embedding opposite to its class is pushed farther away. The
    default ``"linear"`` is monotone except for a step.
    """
    head = _angular.ArcFaceLoss(
        num_classes=num_classes,
        embedding_size=embedding_size,
        margin=margin,
        scale=s,
        beyond_pi="plain",
        gradient="straight_through",
    )
    return _shared.started(head, _STD)


def cosface(num_classes: int, embedding_size: int, s: float = 64.0, m: float = 0.40) -> _angular.CosFaceLoss:
    """``CosFace`` with ``PartialFC_V2`` at ``sample_rate=1``: :class:`CosFaceLoss`, whose default margin is 0.35."""
    return _shared.started(
        _angular.CosFaceLoss(num_classes=num_classes, embedding_size=embedding_size, margin=m, scale=s), _STD
    )


def combined_margin(
    num_classes: int, embedding_size: int, s: float, m1: float, m2: float, m3: float
) -> _angular.ArcFaceLoss | _angular.CosFaceLoss:
    """``CombinedMarginLoss(s, m1, m2, m3)``, which is only ever ArcFace or CosFace.

    With ``m3`` above 0 it ignores ``m1`` and ``m2`` and is CosFace; with ``m1 = 1`` and ``m3 = 0`` it is ArcFace;
    anything else raises, there and here. The true combination cos(m1 theta + m2) - m3 is Lossary's
    :class:`CombinedMarginLoss`.
    """
    if m3 > 0:
        return cosface(num_classes, embedding_size, s, m3)
    if m1 == 1.0 and m3 == 0.0:
        return arcface(num_classes, embedding_size, s, m2)
    raise ValueError(f"m1, m3: wanted m3 above 0, or m1 = 1 and m3 = 0; got m1 = {m1}, m3 = {m3}")


def load_head(head: _loss.HeadLoss, *checkpoints: str | Path) -> None:
    """Load the class weights of ``checkpoint_gpu_0.pt``, ``checkpoint_gpu_1.pt``, ... into ``head``.

    Args:
        head: A head made for all classes.
        checkpoints: One file per rank, in the order of the ranks, which hold the classes in turn.

    Raises:
        ValueError: A different number of classes or dimensions, for instance if a rank's file is missing.
    """
    parts = [_shared.read(path)["state_dict_softmax_fc"]["weight"] for path in checkpoints]
    if not parts:
        raise ValueError("checkpoints: wanted one file per rank; got none")
    _shared.fill(head, torch.cat(parts))

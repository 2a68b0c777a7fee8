"""Triplets: an anchor nearer to its positive than to its negative, by a margin."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Generator, Tensor, dtype

from lossary._check import (
    check_choice,
    check_dim,
    check_float,
    check_labels,
    check_number,
    check_reduction,
    check_same_shape,
)
from lossary._loss import Loss
from lossary._reduce import Reduction, divide
from lossary.cards import Call, Card, Choice
from lossary.draws import normal
from lossary.kernels import tuples
from lossary.kernels.distances import pairwise
from lossary.kernels.stable import softplus

__all__ = ["TripletLoss", "triplet_loss"]

Mining = Literal["hard"]
_MINERS = {"hard": tuples.hard}


def triplet_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float | Tensor | None = None,
    mining: Mining = "hard",
    squared: bool = False,
    sample_weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Triplets mined within the batch: every anchor nearer to its class than to the others, by a margin.

    .. math:: \max(0,\ d(a, p) - d(a, n) + m) \quad\text{or, soft,}\quad \log(1 + e^{d(a, p) - d(a, n)})

    Args:
        embeddings: (N, D), taken as they are: not normalised.
        labels: (N,) integers; items of the same label are positives. Batches want several items a label.
        margin: m, in units of the distance; None is the soft margin.
        mining: Which triplets: ``"hard"`` takes each anchor's farthest positive and nearest negative.
        squared: Squared distances (FaceNet) instead of plain ones (Hermans et al.).
        sample_weight: (N,) weights of the anchors.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,): one sum a anchor. ``mean`` divides by the number of anchors that have both a positive and a
        negative; without any the loss is 0.0, with zero gradients.

    Raises:
        ValueError: Wrong shapes, a negative ``margin``, an unknown option.
        TypeError: Labels that are no integers.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0], [1.0], [3.0], [4.0]])
        >>> triplet_loss(x, torch.tensor([0, 0, 1, 1]), margin=1.5)
        tensor(0.2500)

    Source:
        Hermans et al., In Defense of the Triplet Loss, arXiv:1703.07737, eq. 5 and section 3.1, whose choice the soft
        margin and plain distances are; FaceNet, arXiv:1503.03832, eq. 2, has squared ones and m = 0.2.
    """
    check_dim("embeddings", embeddings, 2, "(N, D)")
    check_float("embeddings", embeddings)
    check_labels("labels", labels, embeddings.shape[0])
    check_choice("mining", mining, tuple(_MINERS))
    check_reduction(reduction)
    if margin is not None:
        check_number("margin", margin, low=0)
    if sample_weight is not None:
        check_same_shape("sample_weight", sample_weight, "labels", labels)
    distances = pairwise(embeddings, embeddings, squared=squared)
    penalty = softplus if margin is None else lambda gap: (gap + margin).relu()
    loss, divisor = _MINERS[mining](distances, labels, penalty)
    if sample_weight is not None:
        loss, divisor = loss * sample_weight, divisor * sample_weight
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else divide(loss.sum(), divisor.sum())


class TripletLoss(Loss):
    """:func:`triplet_loss` as a Module."""

    fn = staticmethod(triplet_loss)
    margin: float | Tensor | None = None
    mining: Mining = "hard"
    squared: bool = False
    reduction: Reduction = "mean"


def _draw(g: Generator, dt: dtype) -> Call:
    # Labels in no order, classes of 3, 3, 2 and 1 items
    return Call((normal(g, dt, 9, 4), torch.tensor([0, 1, 0, 2, 1, 3, 0, 1, 2])))


def _edges(dt: dtype) -> tuple[Call, ...]:
    line = torch.tensor([[0.0], [1.0], [2.0], [3.0]], dtype=dt)
    pairs = torch.tensor([0, 0, 1, 1])
    return (
        Call((line, torch.tensor([0, 1, 1, 0], dtype=torch.int32))),  # tied distances
        Call((torch.ones(4, 2, dtype=dt), pairs)),  # identical embeddings
        Call((line * 1e4, pairs)),
        Call((line, torch.zeros(4, dtype=torch.int64))),  # one class
        Call((line, torch.arange(4))),  # no positives
        Call((line[:0], pairs[:0])),  # empty
    )


def _golden_hard(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["embeddings"], inputs["labels"]), {**params, "mining": "hard"})


CARDS = (
    Card(
        fn=triplet_loss,
        module=TripletLoss,
        formula=r"\max(0,\ d(a, p) - d(a, n) + m)",
        data="identities",
        kernel="tuples",
        item="anchor",
        paper="arXiv:1703.07737",
        equation="5",
        defaults="the paper's best: batch-hard with the soft margin on plain distances",
        draw=_draw,
        edges=_edges,
        variants=({}, {"margin": 0.5}, {"margin": 2.0, "squared": True}),
        golden={"triplet_batch_hard": _golden_hard},
        search={"margin": Choice((None, 0.1, 0.2, 0.5, 1.0))},
        batch="m-per-class",
        separable=False,
        mean_is_plain=False,
        at_call=frozenset({"sample_weight"}),
        when="Embeddings compared by distance; identities that come and go. Wants batches of several items a class.",
        pitfalls=(
            "Squared and plain distances want different margins; a margin for one is wrong for the other.",
            "Batch-hard can collapse all embeddings to one point early: lower the learning rate or mine less hard.",
            "With softplus switched to linear past 20 the soft margin is wrong in the last digits there.",
        ),
        relatives=("contrastive_loss", "supcon_loss"),
    ),
)

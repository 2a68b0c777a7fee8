"""Pairs of embeddings, or their distances, that belong together or do not."""

from collections.abc import Callable
from functools import partial
from typing import Literal, overload

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card, Range
from lossary.core.check import (
    check_among,
    check_dim,
    check_float,
    check_same_shape,
    check_shape,
    check_tensor,
    stretched,
    stretched_rows,
    wide_integers,
)
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, counted, reduce
from lossary.core.rules import NotNegative, Number, checked
from lossary.distributed import across_ranks
from lossary.distributed.handshake import meet_again
from lossary.kernels.distances import root
from lossary.kernels.measures import EUCLIDEAN, Lp, Measure, Squared
from lossary.kernels.rows.scores import Given
from lossary.kernels.stable import accumulate, like_torch, unit
from lossary.losses._batch import Compared, check_absent, check_indices, check_same_precision, compare
from lossary.losses._distance import PairDistance, measure_of
from lossary.losses._pointwise import decide, hide, pointwise

__all__ = [
    "ContrastiveLoss",
    "CosineEmbeddingLoss",
    "HingeEmbeddingLoss",
    "contrastive_loss",
    "cosine_embedding_loss",
    "hinge_embedding_loss",
]


@checked
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float | Tensor = 1.0,
    reduction: Reduction = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""From distances: similar pairs cost their distance, dissimilar ones what they lack to a margin.

    .. math:: d \text{ for } y = 1, \quad \max(0, m - d) \text{ for } y = -1

    Args:
        input: Distances, any shape.
        target: The same shape, or with lengths of 1 in it: +1 or True where similar, -1 or False where not.
        margin: m, in units of the distance; below 0 it is only useful if inputs are too, as in torch.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a pair counts.

    Returns:
        A scalar, or the shape of ``input``, in torch's dtype. The gradient exactly at the margin is 0 (torch: -1).

    Raises:
        ValueError: Shapes that differ, a target that is neither -1 nor 1.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> hinge_embedding_loss(torch.tensor([0.3, 0.3]), torch.tensor([1, -1]), reduction="none")
        tensor([0.3000, 0.7000])

    Source:
        Arguments and margin are torch's; ``contrastive_loss`` is the squared form for embeddings. Nothing to average
        gives 0 here, NaN in torch.
    """
    input, target = stretched(input=input, target=target)
    check_among("target", counted(target, mask), (-1, 1))

    def pair(d: Tensor, y: Tensor, margin: Number) -> Tensor:
        return decide(y, d, (margin - d).relu())

    loss = pointwise(pair, input, target, margin, sample_weight=sample_weight, mask=mask, reduction=reduction)
    return like_torch(loss, input, target)


class HingeEmbeddingLoss(Loss):
    """:func:`hinge_embedding_loss` as a Module."""

    fn = staticmethod(hinge_embedding_loss)
    margin: float | Tensor = 1.0
    reduction: Reduction = "mean"


@checked
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float | Tensor = 0.0,
    reduction: Reduction = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Similar pairs should have cosine 1, dissimilar ones at most a margin.

    .. math:: 1 - \cos \text{ for } y = 1, \quad \max(0, \cos - m) \text{ for } y = -1

    Args:
        input1: Embeddings, (N, D) or (D,), any length.
        input2: Embeddings, the shape of ``input1``, or with lengths of 1 in it.
        target: (N,) or (), or (1,) for all pairs: +1 or True where similar, -1 or False where not.
        margin: m, a cosine; 0 to 0.5 are usual.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) booleans, True where a pair counts.

    Returns:
        A scalar, or one loss per pair, in torch's dtype. A zero vector has cosine 0 and a zero gradient (torch: 1e6);
        the length of others does not matter (torch adds 1e-12 to its square).

    Raises:
        ValueError: Shapes that do not fit, a target that is neither -1 nor 1 (torch: loss 0).
        TypeError: Embeddings that are not floating-point.

    Example:
        >>> import torch
        >>> x = torch.eye(2)
        >>> cosine_embedding_loss(x, x.flip(0), torch.tensor([1, -1]), reduction="none")
        tensor([1., 0.])

    Source:
        Arguments and margin are torch's. Nothing to average gives 0 here, NaN in torch.
    """
    check_float("input1", input1)
    input1, input2 = stretched_rows(input1=input1, input2=input2)
    target = wide_integers("target", target)
    if target.shape == (1,) and input1.dim() > 0:  # one for all pairs, and how torch writes that of one pair
        target = target.expand(input1.shape[:-1])
    if input1.dim() == 0 or target.shape != input1.shape[:-1]:
        wanted = f"wanted shape {tuple(input1.shape[:-1])} for embeddings {tuple(input1.shape)}"
        raise ValueError(f"target: {wanted}; got {tuple(target.shape)}")
    check_among("target", counted(target, mask), (-1, 1))
    sample_weight, mask = align(sample_weight, mask, target.shape)
    first, second = accumulate(input1), accumulate(input2)
    if mask is not None:
        first, second = hide(first, mask.unsqueeze(-1)), hide(second, mask.unsqueeze(-1))
    cosine = (unit(first) * unit(second)).sum(-1)
    losses = decide(target, 1 - cosine, (cosine - margin).relu())
    loss = reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)
    return like_torch(loss, input1, input2)


class CosineEmbeddingLoss(Loss):
    """:func:`cosine_embedding_loss` as a Module."""

    fn = staticmethod(cosine_embedding_loss)
    margin: float | Tensor = 0.0
    reduction: Reduction = "mean"


_card: Callable[..., Card] = partial(
    Card,
    kernel="none",
    defaults="torch",
    at_call=frozenset({"sample_weight", "mask"}),
)


@overload
def contrastive_loss(
    embeddings: Tensor,
    labels: Tensor | None,
    /,
    *,
    margin: NotNegative = ...,
    factor: NotNegative = ...,
    distance: PairDistance = ...,
    positives: Tensor | None = ...,
    pairs: tuple[Tensor, Tensor] | None = ...,
    ref_embeddings: Tensor | None = ...,
    ref_labels: Tensor | None = ...,
    ids: Tensor | None = ...,
    sample_weight: Tensor | None = ...,
    mask: Tensor | None = ...,
    reduction: Reduction = ...,
    group: ProcessGroup | None = ...,
) -> Tensor: ...


@overload
def contrastive_loss(
    x1: Tensor,
    x2: Tensor,
    target: Tensor,
    /,
    *,
    margin: NotNegative = ...,
    factor: NotNegative = ...,
    distance: PairDistance = ...,
    similar_label: Literal[0, 1] = ...,
    sample_weight: Tensor | None = ...,
    mask: Tensor | None = ...,
    reduction: Reduction = ...,
    group: ProcessGroup | None = ...,
) -> Tensor: ...


@across_ranks
@checked
def contrastive_loss(
    x1: Tensor,
    x2: Tensor | None,
    target: Tensor | None = None,
    /,
    *,
    margin: NotNegative = 1.0,
    factor: NotNegative = 0.5,
    distance: PairDistance = "euclidean",
    similar_label: Literal[0, 1] = 1,
    positives: Tensor | None = None,
    pairs: tuple[Tensor, Tensor] | None = None,
    ref_embeddings: Tensor | None = None,
    ref_labels: Tensor | None = None,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Similar pairs are pulled together, others pushed apart until a margin lies between them.

    .. math:: f \left[ y\, d^2 + (1 - y) \max(0, m - d)^2 \right], \qquad y = 1\ \text{for similar pairs}

    Called ``(x1, x2, target)`` on given pairs, or ``(embeddings, labels)`` on all pairs of a batch.

    Args:
        x1: (P, D) first halves of the pairs; or (N, D) embeddings.
        x2: (P, D) second halves; or labels: (N,) integers, (N, L) of 0 and 1 where items that share a label are
            similar, or None with ``positives``.
        target: (P,) which pairs are similar, of bool, integer or float dtype, each 0 or 1.
        margin: m, in units of the distance.
        factor: f; the paper has 1/2, other code 1.
        distance: d: ``"euclidean"``, ``"manhattan"``, ``"cosine"``, which is 1 - cos, or ``Lp(p, power)``.
        similar_label: Which value of ``target`` means similar; the paper has 0.
        positives: (N, N) boolean instead of labels, or (N, M) with references: which pairs are similar.
        pairs: Two (P,) tensors of indices i and j, for example from a miner: only these pairs of embedding i with
            embedding, or reference, j.
        ref_embeddings: (M, D) references, for example a memory bank: each pair is then an embedding and a reference.
        ref_labels: Their labels, in the form of ``x2``.
        ids: (N,) integers; dissimilar items that share one are not a pair.
        sample_weight: One weight per pair, of the shape of ``"none"``.
        mask: Boolean, (P,) True where a pair counts, or (N,) where an item does; values elsewhere may be NaN.
        reduction: ``"none"``, ``"sum"`` or ``"mean"`` over the pairs.
        group: Process group whose ranks' items are one batch, in which labels and ids mean the same on every rank;
            references and given pairs stay each rank's own. The average of the ranks' means is the mean of that batch,
            and likewise for gradients; ``"none"`` and ``"sum"`` cover the pairs among the rank's own items and of those
            with later ranks'.

    Returns:
        A scalar, or (P,). For a batch these are its N (N - 1) / 2 pairs (0, 1), (0, 2), ... in the order of
        ``torch.triu_indices(N, N, 1)``, with references the N M pairs (0, 0), (0, 1), ...

    Raises:
        ValueError: Wrong shapes, a hyperparameter that is not finite, targets other than 0 and 1, arguments that
            exclude each other.
        TypeError: Labels that are not integers, halves in different precisions.
        IndexError: A pair with an item that does not exist.

    Example:
        >>> import torch
        >>> x1, x2 = torch.zeros(2, 2), torch.tensor([[0.5, 0.0], [0.0, 0.5]])
        >>> contrastive_loss(x1, x2, torch.tensor([1, 0]), reduction="none")
        tensor([0.1250, 0.1250])

    Source:
        Hadsell, Chopra and LeCun, Dimensionality Reduction by Learning an Invariant Mapping, CVPR 2006, eq. 4, where
        Y = 0 means similar and the pairs are summed. Common code omits the squares or the 1/2; some adds 1e-6 to the
        difference.
    """
    if target is None:
        compared = compare(
            x1,
            x2,
            positives=positives,
            ids=ids,
            ref_embeddings=ref_embeddings,
            ref_labels=ref_labels,
            mask=mask,
            group=group if pairs is None else None,  # given pairs are among the rank's own items
        )
        length, similar, mask = pairs_of_batch(compared, pairs, measure_of(distance))
    else:
        given = {"positives": positives, "pairs": pairs, "ref_embeddings": ref_embeddings, "ref_labels": ref_labels}
        check_absent("target", ids=ids, **given)
        length, similar, mask = pairs_given(x1, x2, target, similar_label, mask, sample_weight, measure_of(distance))
    if sample_weight is not None:
        meet_again()  # how many pairs there are is known only after gathering
        check_same_shape("sample_weight", sample_weight, "the pairs", length)
    distant = (margin - root(length)).relu().square()
    losses = factor * torch.where(similar, length, distant)
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction, group=group)


def _square(measure: Measure) -> Measure:
    return Lp(measure.p, 2 * measure.power) if isinstance(measure, Lp) else Squared(measure)


def pairs_given(
    x1: Tensor,
    x2: Tensor | None,
    target: Tensor,
    similar_label: int,
    mask: Tensor | None,
    sample_weight: Tensor | None = None,
    measure: Measure = EUCLIDEAN,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """(P,) squared distances, which pairs are similar, and which count."""
    check_dim("x1", x1, 2, "(P, D)")
    check_float("x1", x1)
    check_tensor("x2", x2)
    assert x2 is not None
    check_same_shape("x2", x2, "x1", x1)
    check_same_precision("x2", x2, "x1", x1)
    check_shape("target", target, (x1.shape[0],))
    _, mask = align(sample_weight, mask, target.shape)
    if mask is not None:
        x1, x2, target = hide(x1, mask[:, None]), hide(x2, mask[:, None]), hide(target, mask)
    check_among("target", target, (0, 1))
    square = _square(measure).between(accumulate(x1), accumulate(x2))
    length = torch.where(target.isnan(), torch.nan, square)
    return length, target == similar_label, mask


def pairs_of_batch(
    compared: Compared, pairs: tuple[Tensor, Tensor] | None, measure: Measure = EUCLIDEAN
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The same for the pairs of a batch: all, or the given ones."""
    anchors, others, targets, *_ = compared
    if pairs is not None:
        i, j = check_indices("pairs", pairs, (anchors.x.shape[0], others.x.shape[0]))
        length = _square(measure).between(anchors.x[i], others.x[j])
    else:
        i, j = compared.pairs()
        length = _square(measure).pairwise(anchors.x, others.x)[i, j]
    if isinstance(targets, Given):
        similar, counts = targets.targets[i, j], targets.targets[i, j] | targets.rest[i, j]
        return length, similar, counts
    assert targets.columns is not None
    similar, mask = targets.rows[i] == targets.columns[j], None
    if targets.row_groups is not None and targets.column_groups is not None:
        mask = similar | (targets.row_groups[i] != targets.column_groups[j])
    for there, index in ((anchors.counted, i), (others.counted, j)):
        if there is not None:
            mask = there[index] if mask is None else mask & there[index]
    return length, similar, mask


class ContrastiveLoss(Loss):
    """:func:`contrastive_loss` as a Module."""

    fn = staticmethod(contrastive_loss)
    margin: NotNegative = 1.0
    factor: NotNegative = 0.5
    similar_label: Literal[0, 1] = 1
    reduction: Reduction = "mean"
    distance: PairDistance = "euclidean"


CARDS = (
    _card(
        fn=hinge_embedding_loss,
        module=HingeEmbeddingLoss,
        takes=("input-target",),
        input="distances",
        data="pairs",
        formula=r"d \text{ for } y = 1, \; \max(0, m - d) \text{ for } y = -1",
        symbols={
            r"d": "`input`, the distance of the pair",
            r"y": "`target`: 1 if the two are similar, -1 if not",
            r"m": "`margin`: the distance that dissimilar pairs should reach",
        },
        item="element",
        paper="torch",
        equation="code",
        search={"margin": Range(0.1, 2.0, log=True)},
        when="Distances of pairs that are computed elsewhere.",
        pitfalls=("It takes distances, not scores: a similar pair with a negative input has a negative loss.",),
        relatives=("contrastive_loss", "cosine_embedding_loss", "hinge_loss"),
    ),
    _card(
        fn=cosine_embedding_loss,
        module=CosineEmbeddingLoss,
        takes=("pair-target",),
        input="embeddings",
        data="pairs",
        formula=r"1 - \cos \text{ for } y = 1, \; \max(0, \cos - m) \text{ for } y = -1",
        symbols={
            r"\cos": "the cosine of the angle between `input1` and `input2`, in [-1, 1]",
            r"y": "`target`: 1 if the two are similar, -1 if not",
            r"m": "`margin`: the cosine that dissimilar pairs may have",
        },
        item="pair",
        paper="torch",
        equation="code",
        search={"margin": Range(0.0, 0.5)},
        when="Given pairs, similar or not, when only the directions of embeddings should matter.",
        pitfalls=("With the default margin of 0, every dissimilar pair at a right angle has loss 0.",),
        relatives=("contrastive_loss", "hinge_embedding_loss"),
    ),
    Card(
        fn=contrastive_loss,
        module=ContrastiveLoss,
        takes=("pair-target", "embeddings-labels", "queries-references"),
        input="embeddings",
        data="pairs",
        formula=r"f \left[ y\, d^2 + (1 - y) \max(0, m - d)^2 \right]",
        symbols={
            r"f": "`factor`: 1/2 in the paper",
            r"y": (
                "1 for a similar pair, 0 for another: `target` (as `similar_label` reads it), or equal "
                "labels in a batch"
            ),
            r"d": "`distance`, by default Euclid's, of a pair: of rows of `x1` and `x2`, or of two items of a batch",
            r"m": "`margin`: dissimilar pairs farther apart than this cost nothing",
        },
        kernel="none",
        item="pair",
        paper="Hadsell, Chopra and LeCun, CVPR 2006",
        equation="4",
        defaults="factor: the paper; margin: common code",
        search={"margin": Range(0.2, 4.0, log=True)},
        batch="m-per-class",
        at_call=frozenset(
            {"sample_weight", "mask", "positives", "ref_embeddings", "ref_labels", "pairs", "ids", "group"}
        ),
        when="Labelled pairs, or few items per class; a distance with a fixed threshold.",
        pitfalls=(
            "The paper's Y = 0 means similar; here 1 does, as in most code: see `similar_label`.",
            "Most of all pairs of a batch are dissimilar: draw several items per class.",
            "The margin has the scale of the embeddings' distances.",
        ),
        relatives=("triplet_loss", "supcon_loss"),
    ),
)

"""Contrastive loss: pairs pulled together or pushed apart."""

from collections.abc import Mapping
from typing import Any, Literal, overload

import torch
from torch import Generator, Tensor, dtype
from torch.distributed import ProcessGroup

from lossary._check import (
    check_among,
    check_dim,
    check_float,
    check_same_shape,
    check_shape,
    check_tensor,
)
from lossary._loss import Loss
from lossary._reduce import Reduction, align, reduce
from lossary._rules import NotNegative, checked
from lossary.cards import AT_CALL, Call, Card, Range
from lossary.distributed import across_ranks
from lossary.distributed.handshake import meet_again
from lossary.draws import normal
from lossary.kernels.distances import pairwise, root, squares
from lossary.kernels.rows import Given
from lossary.kernels.stable import accumulate
from lossary.losses._batch import Compared, check_absent, check_indices, check_same_precision, compare
from lossary.losses._pointwise import hide

__all__ = ["ContrastiveLoss", "contrastive_loss"]


@overload
def contrastive_loss(
    embeddings: Tensor,
    labels: Tensor | None,
    /,
    *,
    margin: NotNegative = ...,
    factor: NotNegative = ...,
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
    r"""Similar pairs pulled together, others pushed apart until a margin lies between them.

    .. math:: f \left[ y\, d^2 + (1 - y) \max(0, m - d)^2 \right], \qquad y = 1\ \text{for similar pairs}

    Called ``(x1, x2, target)`` on given pairs, or ``(embeddings, labels)`` on all pairs of a batch.

    Args:
        x1: (P, D) first halves of the pairs; or (N, D) embeddings.
        x2: (P, D) second halves; or labels: (N,) integers, (N, L) of 0 and 1 where items that share a label are
            similar, or None beside ``positives``.
        target: (P,) which pairs are similar, of bool, integer or float dtype, each 0 or 1.
        margin: m, in units of the distance.
        factor: f; 1/2 is the paper's, other code has 1.
        similar_label: Which value of ``target`` means similar; the paper has 0.
        positives: (N, N) boolean instead of labels, or (N, M) beside references: which pairs are similar.
        pairs: Two (P,) tensors of indices i and j, as of a miner: only these pairs of an embedding i with an embedding,
            or a reference, j.
        ref_embeddings: (M, D) references, as of a memory bank: the pairs are those of an embedding and a reference.
        ref_labels: Their labels, as ``x2`` has them.
        ids: (N,) integers; dissimilar items that share one are no pair.
        sample_weight: One weight a pair, of the shape of ``"none"``.
        mask: Boolean, (P,) True where a pair counts, or (N,) where an item does; values elsewhere may be NaN.
        reduction: ``"none"``, ``"sum"`` or ``"mean"`` over the pairs.
        group: Process group whose ranks' items are one batch, in which labels and ids mean the same on every rank;
            references and given pairs stay each rank's own. The average of the ranks' means is the mean of that batch,
            and so for its gradient; ``"none"`` and ``"sum"`` are of the pairs of the rank's own items and of those
            with later ranks'.

    Returns:
        A scalar; or (P,), for a batch its N (N - 1) / 2 pairs (0, 1), (0, 2), ... in the order of
        ``torch.triu_indices(N, N, 1)``, with references the N M pairs (0, 0), (0, 1), ...

    Raises:
        ValueError: Wrong shapes, a hyperparameter that is not finite, targets other than 0 and 1, arguments that
            exclude each other.
        TypeError: Labels that are no integers, halves in different precisions.
        IndexError: A pair of an item that there is not.

    Example:
        >>> import torch
        >>> x1, x2 = torch.zeros(2, 2), torch.tensor([[0.5, 0.0], [0.0, 0.5]])
        >>> contrastive_loss(x1, x2, torch.tensor([1, 0]), reduction="none")
        tensor([0.1250, 0.1250])

    Source:
        Hadsell, Chopra and LeCun, Dimensionality Reduction by Learning an Invariant Mapping, CVPR 2006, eq. 4,
        where Y = 0 is similar and the pairs are summed. Common code leaves out the squares or the 1/2; some adds
        1e-6 to the difference.
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
            group=group if pairs is None else None,  # given pairs are of the rank's own items
        )
        length, similar, mask = pairs_of_batch(compared, pairs)
    else:
        given = {"positives": positives, "pairs": pairs, "ref_embeddings": ref_embeddings, "ref_labels": ref_labels}
        check_absent("target", ids=ids, **given)
        length, similar, mask = pairs_given(x1, x2, target, similar_label, mask, sample_weight)
    if sample_weight is not None:
        meet_again()  # only what was gathered says how many pairs there are
        check_same_shape("sample_weight", sample_weight, "the pairs", length)
    distant = (margin - root(length)).relu().square()
    losses = factor * torch.where(similar, length, distant)
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction, group=group)


def pairs_given(
    x1: Tensor,
    x2: Tensor | None,
    target: Tensor,
    similar_label: int,
    mask: Tensor | None,
    sample_weight: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """(P,) squared distances, which are of similar pairs, and which count."""
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
    length = torch.where(target.isnan(), torch.nan, squares(accumulate(x1) - accumulate(x2)))
    return length, target == similar_label, mask


def pairs_of_batch(compared: Compared, pairs: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """The same of the pairs of a batch: all, or those asked for."""
    anchors, others, targets, _ = compared
    if pairs is not None:
        i, j = check_indices("pairs", pairs, (anchors.x.shape[0], others.x.shape[0]))
        length = squares(anchors.x[i] - others.x[j])
    else:
        i, j = compared.pairs()
        length = pairwise(anchors.x, others.x, squared=True)[i, j]
    if isinstance(targets, Given):
        similar, counts = targets.targets[i, j], targets.targets[i, j] | targets.rest[i, j]
        return length, similar, counts
    assert targets.columns is not None
    similar, mask = targets.rows[i] == targets.columns[j], None
    if targets.row_groups is not None and targets.column_groups is not None:
        mask = similar | (targets.row_groups[i] != targets.column_groups[j])
    for counted, index in ((anchors.counted, i), (others.counted, j)):
        if counted is not None:
            mask = counted[index] if mask is None else mask & counted[index]
    return length, similar, mask


class ContrastiveLoss(Loss):
    """:func:`contrastive_loss` as a Module."""

    fn = staticmethod(contrastive_loss)
    margin: NotNegative = 1.0
    factor: NotNegative = 0.5
    similar_label: Literal[0, 1] = 1
    reduction: Reduction = "mean"


def _draw_pairs(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 3, scale=0.3), normal(g, dt, 6, 3, scale=0.3), torch.tensor([1, 0, 1, 1, 0, 0])))


def _edges_pairs(dt: dtype) -> tuple[Call, ...]:
    zero, axis = torch.zeros(2, 2, dtype=dt), torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=dt)
    return (
        Call((zero, zero.clone(), torch.tensor([1, 0]))),  # distance 0
        Call((zero, axis, torch.tensor([True, False]))),  # a distance of exactly the default margin
        Call((zero, axis * 1e4, torch.tensor([1.0, 0.0]))),
        Call((axis[:0], axis[:0].clone(), torch.zeros(0))),  # empty
        Call((torch.cat([axis, axis]), torch.tensor([0, 1, 0, 0]))),  # labels, with duplicates
        Call((axis[:1], torch.tensor([0]))),  # one item: no pair
        Call((torch.cat([axis, zero]), torch.tensor([[1, 0], [1, 1], [0, 1], [0, 0]]))),  # several labels, and none
        Call((axis, torch.tensor([0, 1])), {"ref_embeddings": zero, "ref_labels": torch.tensor([0, 0])}),
    )


def _golden_pairs(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["x1"], inputs["x2"], inputs["target"]), dict(params))


CARDS = (
    Card(
        fn=contrastive_loss,
        module=ContrastiveLoss,
        formula=r"f \left[ y\, d^2 + (1 - y) \max(0, m - d)^2 \right]",
        data="pairs",
        kernel="none",
        item="pair",
        paper="Hadsell, Chopra and LeCun, CVPR 2006",
        equation="4",
        defaults="factor: the paper; margin: common code",
        draw=_draw_pairs,
        edges=_edges_pairs,
        variants=({}, {"margin": 2.0, "factor": 1.0}, {"margin": 0.5, "similar_label": 0}),
        golden={"contrastive": _golden_pairs},
        search={"margin": Range(0.2, 4.0, log=True)},
        batch="m-per-class",
        at_call=AT_CALL - {"triplets", "negatives"},
        when="Labelled pairs, or few items a class; a distance with a fixed threshold.",
        pitfalls=(
            "The paper's Y = 0 means similar; here 1 does, as in most code: see `similar_label`.",
            "Over all pairs of a batch most are dissimilar: draw several items a class.",
            "The margin has the scale of the embeddings' distances.",
        ),
        relatives=("triplet_loss", "supcon_loss"),
    ),
)

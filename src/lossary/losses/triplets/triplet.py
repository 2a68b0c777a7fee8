"""Triplets mined in a batch: an anchor must be nearer to its positive than to its negative, by a margin."""

from typing import Any, Literal

from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card, Choice
from lossary.core.check import check_same_shape
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, divide, reduce
from lossary.core.rules import NotNegative, checked
from lossary.distributed import across_ranks
from lossary.kernels import tuples
from lossary.kernels.measures import Lp, Measure
from lossary.kernels.rows.scores import Targets
from lossary.kernels.tuples_by_mask import BY_MASK
from lossary.losses._batch import check_absent, check_indices, compare, compared_items
from lossary.losses._distance import Distance, measure_of

__all__ = [
    "TripletLoss",
    "triplet_loss",
]


Mining = Literal["hard", "semihard", "all"]


@across_ranks
@checked
def triplet_loss(
    embeddings: Tensor,
    labels: Tensor | None,
    *,
    margin: NotNegative | None = None,
    mining: Mining = "hard",
    distance: Distance = "euclidean",
    squared: bool = False,
    average: Literal["active", "all"] = "active",
    positives: Tensor | None = None,
    triplets: tuple[Tensor, Tensor, Tensor] | None = None,
    ref_embeddings: Tensor | None = None,
    ref_labels: Tensor | None = None,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Triplets mined within the batch: every anchor must be nearer to its class than to others, by a margin.

    .. math:: \max(0,\ d(a, p) - d(a, n) + m) \quad\text{or, soft,}\quad \log(1 + e^{d(a, p) - d(a, n)})

    Args:
        embeddings: (N, D), used as they are, not normalised.
        labels: (N,) integers; items with the same label are positives. Batches need several items per label. Or (N, L),
            0 or 1 for each of L labels: items that share one are positives. None with ``positives`` or ``triplets``.
        margin: m, in units of the distance; None means the soft margin.
        mining: Which triplets: ``"hard"`` takes each anchor's farthest positive and nearest negative; ``"semihard"``
            pairs each positive with the nearest negative beyond it, or with the farthest if there is none; ``"all"``
            takes all.
        distance: d: ``"euclidean"``, ``"squared_euclidean"`` (FaceNet), ``"manhattan"``; ``"cosine"``, 1 - cos;
            ``"dot"``, minus the product; ``"snr"``, var(a - b) / var(a) of an anchor a, over the entries; or
            ``Lp(p, power)``. Norms other than Euclid's cannot be computed from products and take D times as long.
        squared: The same as ``"squared_euclidean"``.
        average: With ``mining="all"``, average over triplets with a loss above 0 (``"active"``) or over ``"all"``.
        positives: (N, N) boolean instead of labels, or (N, M) with references: which items are an anchor's positives.
        triplets: Three (T,) tensors of indices, for example from a miner: use these triplets of an anchor, a positive
            and a negative; with references, positives and negatives index those.
        ref_embeddings: (M, D) references, for example a memory bank: positives and negatives are taken only from these.
        ref_labels: Their labels, (M,) or (M, L).
        ids: (N,) integers; items that share one are never each other's negatives.
        sample_weight: (N,) weights of the anchors; (T,) for given triplets.
        mask: (N,) boolean; an item that does not count is neither anchor nor positive nor negative and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' items are one batch, in which labels and ids mean the same on every rank;
            references and given triplets stay each rank's own. The average of the ranks' means is the mean of that
            batch, and likewise for gradients; ``"none"`` and ``"sum"`` cover the rank's own anchors.

    Returns:
        A scalar, or (N,): each anchor's sum over its triplets; (T,) for given triplets. ``mean`` averages what
        ``mining`` takes: anchors that have both a positive and a negative, positive pairs, or triplets; or the given
        triplets. If there are none, the loss is 0.0, with zero gradients.

    Raises:
        ValueError: Wrong shapes, a negative ``margin``, an unknown option, arguments that exclude each other.
        TypeError: Labels that are not integers, references in another precision.
        IndexError: A triplet with an item that does not exist.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0], [1.0], [3.0], [4.0]])
        >>> triplet_loss(x, torch.tensor([0, 0, 1, 1]), margin=1.5)
        tensor(0.2500)

    Source:
        Hermans et al., In Defense of the Triplet Loss, arXiv:1703.07737, eq. 5 (hard), eq. 6 (all), section 3.1 (active
        mean, soft margin, plain distances); FaceNet, arXiv:1503.03832, eq. 2 and 4, has squared distances, m = 0.2 and
        the semi-hard choice. Many tutorials use squared distances but quote the margin of plain ones.
    """
    measure = measure_of(distance, squared=squared)
    if triplets is not None:
        given = {"labels": labels, "positives": positives, "ref_labels": ref_labels, "ids": ids}
        check_absent("triplets", **given)
        losses, counted = _given_triplets(embeddings, triplets, ref_embeddings, mask, margin, measure)
        if sample_weight is not None:
            check_same_shape("sample_weight", sample_weight, "the triplets", losses)
        return reduce(losses, weight=sample_weight, mask=counted, reduction=reduction, group=group)
    anchors, others, targets, *_ = compare(
        embeddings,
        labels,
        positives=positives,
        ids=ids,
        ref_embeddings=ref_embeddings,
        ref_labels=ref_labels,
        sample_weight=sample_weight,
        mask=mask,
        group=group,
    )
    every = tuples.every if average == "active" else tuples.every_valid
    miner = {"hard": tuples.hard, "semihard": tuples.semihard, "all": every}[mining]
    counted = others.counted if isinstance(targets, Targets) else None
    by_mask = None if mining == "all" and margin is None else BY_MASK.get(miner)
    euclidean = measure.squared if isinstance(measure, Lp) else None
    other = None if euclidean is not None else measure.pairwise
    by: dict[str, Any] = {"squared": bool(euclidean), "measure": other}
    loss, divisor = tuples.mined(anchors.x, others.x, targets, miner, margin, counted=counted, by_mask=by_mask, **by)
    if sample_weight is not None:
        loss, divisor = loss * sample_weight, divisor * sample_weight
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else divide(loss.sum(), divisor.sum(), group=group)


def _given_triplets(
    embeddings: Tensor,
    triplets: tuple[Tensor, Tensor, Tensor],
    ref_embeddings: Tensor | None,
    mask: Tensor | None,
    margin: float | Tensor | None,
    measure: Measure,
) -> tuple[Tensor, Tensor | None]:
    """(T,) the losses, and which of them count."""
    anchors, others = compared_items(embeddings, ref_embeddings, mask)
    count = others.x.shape[0]
    a, p, n = check_indices("triplets", triplets, (anchors.x.shape[0], count, count))
    near, far = (measure.between(anchors.x[a], others.x[other]) for other in (p, n))
    counted = None if anchors.counted is None else anchors.counted[a]
    if others.counted is not None and counted is not None:
        counted = counted & others.counted[p] & others.counted[n]
    return tuples.penalty(near - far, margin), counted


class TripletLoss(Loss):
    """:func:`triplet_loss` as a Module."""

    fn = staticmethod(triplet_loss)
    margin: NotNegative | None = None
    mining: Mining = "hard"
    squared: bool = False
    average: Literal["active", "all"] = "active"
    reduction: Reduction = "mean"
    distance: Distance = "euclidean"


CARDS = (
    Card(
        fn=triplet_loss,
        module=TripletLoss,
        takes=("embeddings-labels", "queries-references"),
        input="embeddings",
        data="triplets",
        formula=r"\max(0,\ d(a, p) - d(a, n) + m) \quad\text{or, soft,}\quad \log(1 + e^{d(a, p) - d(a, n)})",
        symbols={
            r"d": "`distance`, by default Euclid's; its square with `squared`",
            r"a": "an anchor: an item of `embeddings`",
            r"p": "a positive: an item of the anchor's label",
            r"n": "a negative: an item of another label",
            r"m": "`margin`, in units of the distance; without one, the soft form is used",
        },
        kernel="tuples",
        item="anchor",
        paper="arXiv:1703.07737",
        equation="5",
        defaults="the paper's best: batch-hard with the soft margin on plain distances",
        search={"margin": Choice((None, 0.1, 0.2, 0.5, 1.0)), "mining": Choice(("hard", "semihard", "all"))},
        batch="m-per-class",
        separable=False,
        mean_is_plain=False,
        at_call=frozenset(
            {"sample_weight", "mask", "positives", "ref_embeddings", "ref_labels", "triplets", "ids", "group"}
        ),
        when="Embeddings compared by distance; identities that come and go. Needs batches of several items per class.",
        pitfalls=(
            "Squared and plain distances need different margins; a margin for one is wrong for the other.",
            "Batch-hard can collapse all embeddings to one point early on: lower the learning rate or mine less hard.",
            "Code whose softplus turns linear past 20 gets the last digits of the soft margin wrong there.",
        ),
        relatives=("triplet_margin_loss", "contrastive_loss", "supcon_loss"),
    ),
)

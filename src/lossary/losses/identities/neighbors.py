"""Neighbours within a batch of labelled embeddings: whether they share an item's class, and their ranks."""

from functools import partial

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card, Range
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, reduce
from lossary.core.rules import Positive, checked
from lossary.distributed import across_ranks
from lossary.kernels.rows.formula import row_loss
from lossary.kernels.rows.scores import Rows, Targets
from lossary.kernels.stable import accumulator, parameters, softplus, unit
from lossary.kernels.tuples import AnchorBlock, Anchors, Margin, has_targets, mined, over_positives
from lossary.losses._batch import compare, cosines
from lossary.losses._pointwise import hide

__all__ = [
    "NCALoss",
    "SmoothAPLoss",
    "nca_loss",
    "smooth_ap_loss",
]


@across_ranks
@checked
def nca_loss(
    embeddings: Tensor,
    labels: Tensor | None,
    *,
    scale: Positive = 1.0,
    positives: Tensor | None = None,
    ref_embeddings: Tensor | None = None,
    ref_labels: Tensor | None = None,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Each item's neighbour must be some item of its class, no matter which (neighbourhood components).

    .. math:: -\log \frac{\sum_{p \in P(i)} e^{-s d_{ip}^2}}{\sum_{a \ne i} e^{-s d_{ia}^2}}, \qquad
        d_{ij} = \Big| \frac{x_i}{|x_i|} - \frac{x_j}{|x_j|} \Big|

    Args:
        embeddings: (N, D), any length; normalised here.
        labels: (N,) integers; items of the same label are positives. Or (N, L), 0 or 1 for each of L labels: items that
            share one are positives. None with ``positives``.
        scale: s, an inverse temperature of squared distances (of cosines it is 2 s), above 0; a Parameter is learned.
        positives: (N, N) boolean instead of labels, or (N, M) with references: which items are an anchor's positives.
            Like (N, L) labels, this holds all scores in memory.
        ref_embeddings: (M, D) references, for example from a memory bank or another tower: the anchors are compared
            with these instead of each other. Gradients flow to them.
        ref_labels: Their labels, (M,) or (M, L).
        ids: (N,) integers; items that share one are never each other's negatives, even with different labels.
        sample_weight: (N,) weights of the anchors.
        mask: (N,) boolean; an item that does not count is neither anchor nor positive nor negative, and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' items form one batch. Labels and ids must mean the same on every rank;
            references stay each rank's own. The average of the ranks' means is the mean of that batch, and likewise for
            gradients; ``"none"`` and ``"sum"`` cover the rank's own anchors.

    Returns:
        A scalar, or (N,): 0 for an anchor without a positive. ``mean`` is over the anchors that have one; if none has,
        the loss is 0.0 with zero gradients.

    Raises:
        ValueError: Wrong shapes, ``scale`` not above 0 or not finite, arguments that exclude each other.
        TypeError: Labels that are not integers, references in another precision.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> nca_loss(x, torch.tensor([0, 0, 1, 1]))
        tensor(0.2395)

    Source:
        Goldberger et al., Neighbourhood Components Analysis, NIPS 2004, section 2, with the logarithm that the paper
        mentions next to its sum of probabilities, and unit embeddings in place of a linear map's output. In
        pytorch-metric-learning a batch without positives gives NaN.
    """
    compared = compare(
        embeddings,
        labels,
        positives=positives,
        ids=ids,
        ref_embeddings=ref_embeddings,
        ref_labels=ref_labels,
        sample_weight=sample_weight,
        mask=mask,
        group=group,
        by_rows=True,
    )
    (scale,) = parameters((scale,), compared.anchors.x)
    source, found = cosines(compared, 2 * scale), has_targets(compared.targets)
    weight = (found if sample_weight is None else found * sample_weight).to(accumulator(source.x))
    return row_loss(_any, source, compared.targets, weight=weight, reduction=reduction, group=group)


def _any(rows: Rows) -> Tensor:
    return softplus(rows.rest - rows.among).where(rows.targets > 0, 0)


class NCALoss(Loss):
    """:func:`nca_loss` as a Module."""

    fn = staticmethod(nca_loss)
    scale: Positive = 1.0
    reduction: Reduction = "mean"


@across_ranks
@checked
def smooth_ap_loss(
    embeddings: Tensor,
    labels: Tensor | None,
    *,
    temperature: Positive = 0.01,
    positives: Tensor | None = None,
    ref_embeddings: Tensor | None = None,
    ref_labels: Tensor | None = None,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""1 minus an item's average precision when it ranks the batch by cosine, with smoothed ranks.

    .. math::
        \frac{1}{|P(i)|} \sum_{p \in P(i)} \frac{N_p}{1 + P_p + N_p}, \qquad
        P_p = \sum_{q \in P(i), q \ne p} \sigma\Big(\frac{c_{iq} - c_{ip}}{\tau}\Big), \quad
        N_p = \sum_{n \in N(i)} \sigma\Big(\frac{c_{in} - c_{ip}}{\tau}\Big)

    Args:
        embeddings: (N, D), any length; normalised here.
        labels: (N,) integers; items of the same label are positives. Or (N, L), 0 or 1 for each of L labels: items that
            share one are positives. None with ``positives``.
        temperature: tau, above 0: how far apart two cosines must be to be distinguished; a Parameter is learned.
        positives: (N, N) boolean instead of labels, or (N, M) with references: which items are an anchor's positives.
        ref_embeddings: (M, D) references, for example from a memory bank or another tower: the anchors search these
            instead of each other. Gradients flow to them.
        ref_labels: Their labels, (M,) or (M, L).
        ids: (N,) integers; items that share one are never each other's negatives, even with different labels.
        sample_weight: (N,) weights of the anchors.
        mask: (N,) boolean; an item that does not count is neither anchor nor positive nor negative, and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' items form one batch. Labels and ids must mean the same on every rank;
            references stay each rank's own. The average of the ranks' means is the mean of that batch, and likewise for
            gradients; ``"none"`` and ``"sum"`` cover the rank's own anchors.

    Returns:
        A scalar, or (N,) from 0 to 1: 0 for an anchor without a positive. ``mean`` is over the anchors that have one;
        if none has, the loss is 0.0 with zero gradients.

    Raises:
        ValueError: Wrong shapes, ``temperature`` not above 0 or not finite, arguments that exclude each other.
        TypeError: Labels that are not integers, references in another precision.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.9, 0.1], [0.0, 1.0]])
        >>> smooth_ap_loss(x, torch.tensor([0, 0, 1, 1]), reduction="none")
        tensor([0.5000, 0.5999, 0.6667, 0.5000])

    Source:
        Brown et al., Smooth-AP: Smoothing the Path Towards Large-Scale Image Retrieval, arXiv:2007.12163, section 3.2;
        tau = 0.01 is the paper's. The authors' code and pytorch-metric-learning need equally many items per class, in
        order, and hold N x N x N numbers; in the latter's 2.9, perfect embeddings have a loss of 0.3 unless there are
        as many classes as items per class. Here labels may have any order and number; memory holds a block of anchors.
    """
    compared = compare(
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
    anchors, others, targets, *_ = compared
    (temperature,) = parameters((temperature,), anchors.x)
    x = unit(anchors.x)
    y = x if others.x is anchors.x else unit(others.x)
    counted = others.counted if isinstance(targets, Targets) else None
    loss, found = mined(x, y, targets, _lack_of_precision, temperature, squared=True, counted=counted)
    weight = None if sample_weight is None else hide(sample_weight, found > 0)
    return reduce(loss, weight=weight, mask=found > 0, reduction=reduction, group=group)


def _lack_of_precision(block: AnchorBlock, temperature: Margin) -> Anchors:
    """For anchors, from squared distances of unit vectors, which are 2 minus twice the cosines."""
    assert temperature is not None

    def visit(distances: Tensor, start: int, stop: int) -> Tensor:
        at = distances.gather(1, block.columns)
        own, which = at[:, start:stop, None], torch.arange(at.shape[1], device=at.device)
        beside = block.exists[:, None] & (which[start:stop, None] != which)
        above, wrong = (
            torch.where(there, ((own - d[:, None]) / (2 * temperature)).sigmoid(), 0).sum(2)
            for d, there in ((at, beside), (distances, block.negative[:, None]))
        )
        return torch.where(block.exists[:, start:stop], wrong / (1 + above + wrong), 0).sum(1)

    count = block.exists.sum(1)
    return Anchors(over_positives(block, visit) / count.clamp_min(1), (count > 0).to(block.distances.dtype))


class SmoothAPLoss(Loss):
    """:func:`smooth_ap_loss` as a Module."""

    fn = staticmethod(smooth_ap_loss)
    temperature: Positive = 0.01
    reduction: Reduction = "mean"


_card = partial(
    Card,
    input="embeddings",
    data="identities",
    item="anchor",
    batch="m-per-class",
    separable=False,
    mean_is_plain=False,
    at_call=frozenset(
        {"sample_weight", "mask", "positives", "ref_embeddings", "ref_labels", "ids", "group"},
    ),
)

CARDS = (
    _card(
        fn=nca_loss,
        module=NCALoss,
        takes=("embeddings-labels", "queries-references"),
        formula=r"-\log \frac{\sum_{p \in P(i)} e^{-s d_{ip}^2}}{\sum_{a \ne i} e^{-s d_{ia}^2}}",
        symbols={
            r"P(i)": "the items with the label of item i, without itself",
            r"p": "one of these",
            r"s": "`scale`, an inverse temperature, above 0",
            r"d_{ip}": "the distance between items i and p of `embeddings`, scaled to length 1",
            r"a": "any other item of the batch",
            r"d_{ia}": "the distance between items i and a",
            r"i": "the anchor",
        },
        kernel="rows",
        paper="Goldberger et al., Neighbourhood Components Analysis, NIPS 2004",
        equation="section 2",
        defaults="common code",
        search={"scale": Range(1.0, 50.0, log=True)},
        when="Classes of several clusters: an item need only be near some items of its class, not all.",
        pitfalls=(
            "At the default scale the loss hardly falls, since unit embeddings are at most 2 apart.",
            "Even a class that is one cluster is only pulled together as far as its nearest neighbours.",
        ),
        relatives=("supcon_loss", "proxy_nca_loss", "smooth_ap_loss"),
        aliases=("soft_nearest_neighbor_loss", "SoftNearestNeighborLoss"),
    ),
    _card(
        fn=smooth_ap_loss,
        module=SmoothAPLoss,
        takes=("embeddings-labels",),  # not two towers: distant items have no gradient at the default temperature
        formula=(
            r"\frac{1}{|P(i)|} \sum_{p \in P(i)} \frac{N_p}{1 + P_p + N_p}, \qquad "
            r"P_p = \sum_{q \in P(i), q \ne p} \sigma\Big(\frac{c_{iq} - c_{ip}}{\tau}\Big), \quad "
            r"N_p = \sum_{n \in N(i)} \sigma\Big(\frac{c_{in} - c_{ip}}{\tau}\Big)"
        ),
        symbols={
            r"P(i)": "the items with the label of item i, without itself",
            r"p": "one of these",
            r"N_p": "the smoothed number of items with other labels nearer to item i than p",
            r"P_p": "the same number for P(i)",
            r"q": "another item of P(i)",
            r"\sigma": "the logistic function",
            r"c_{iq}": "the cosine of items i and q of `embeddings`",
            r"c_{ip}": "the cosine of items i and p",
            r"\tau": "`temperature`, above 0",
            r"n": "an item of N(i)",
            r"N(i)": "the items with other labels",
            r"c_{in}": "the cosine of items i and n",
            r"i": "the anchor",
        },
        kernel="tuples",
        by_order=True,
        paper="arXiv:2007.12163",
        equation="section 3.2",
        defaults="the paper",
        search={"temperature": Range(0.005, 0.2, log=True)},
        when="Retrieval judged by average precision, from batches with several items per class.",
        pitfalls=(
            "At a temperature of 0.01 most pairs are clearly ordered and have no gradient: start higher.",
            "A batch's average precision is not the gallery's: it rises as the batch shrinks.",
        ),
        relatives=("supcon_loss", "triplet_loss", "approx_ndcg_loss"),
    ),
)

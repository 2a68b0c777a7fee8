"""Cosines within a batch, where the pairs that are furthest from where they should be count most."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import torch
from torch import Generator, Tensor, dtype
from torch.distributed import ProcessGroup

from lossary._check import check_number
from lossary._loss import Loss
from lossary._reduce import Reduction
from lossary._rules import checked
from lossary.cards import Call, Card, Range
from lossary.distributed import across_ranks
from lossary.draws import normal
from lossary.kernels.rows import Rows, row_loss
from lossary.kernels.stable import parameters, softplus
from lossary.losses._batch import compare, cosines
from lossary.losses._pointwise import hide

__all__ = ["MultiSimilarityLoss", "multi_similarity_loss"]


def _multi_similarity(rows: Rows, base: float | Tensor, alpha: float, beta: float) -> Tensor:
    return softplus(rows.among + alpha * base) / alpha + softplus(rows.rest - beta * base) / beta


def _check_steepness(name: str, value: float) -> None:
    check_number(name, value, low=0, open_low=True)
    if isinstance(value, Tensor):  # their ratio is a number to the kernel: no gradient would come back
        raise TypeError(f"{name}: wanted a number, which cannot learn; got a tensor")


#: How steep a side is: a number above 0.
Steepness = Annotated[float, _check_steepness]


@across_ranks
@checked
def multi_similarity_loss(
    embeddings: Tensor,
    labels: Tensor | None,
    *,
    alpha: Steepness = 2.0,
    beta: Steepness = 50.0,
    base: float | Tensor = 0.5,
    positives: Tensor | None = None,
    ref_embeddings: Tensor | None = None,
    ref_labels: Tensor | None = None,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Cosines with an item's positives pushed above a threshold and those with its negatives below, the worst most.

    .. math::
        \frac{1}{\alpha} \log \Big[ 1 + \sum_{p \in P(i)} e^{-\alpha (s_{ip} - \lambda)} \Big] +
        \frac{1}{\beta} \log \Big[ 1 + \sum_{n \in N(i)} e^{\beta (s_{in} - \lambda)} \Big],
        \qquad s_{ij} = \cos(z_i, z_j)

    Args:
        embeddings: (N, D), any length; normalised here.
        labels: (N,) integers; items of the same label are positives. Or (N, L), 0 or 1 for each of L labels: items
            that share one are positives. None beside ``positives``.
        alpha: Steepness for positives, above 0: the higher, the more the furthest one counts.
        beta: Steepness for negatives, above 0: the higher, the more the nearest one counts.
        base: lambda, the threshold between both, a cosine; a Parameter learns.
        positives: (N, N) boolean instead of labels, or (N, M) beside references: which items are an anchor's positives.
            This and (N, L) labels take the memory of all scores.
        ref_embeddings: (M, D) references, as of a memory bank or another tower: the anchors are compared with these
            instead of each other. Gradients flow to them.
        ref_labels: Their labels, (M,) or (M, L).
        ids: (N,) integers; items that share one are never each other's negatives, though labelled apart, as where two
            labels may be of one thing. Positives are by ``labels`` alone.
        sample_weight: (N,) weights of the anchors.
        mask: (N,) boolean; an item that does not count is neither anchor nor positive nor negative, and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"`` over the anchors.
        group: Process group whose ranks' items are one batch, in which labels and ids mean the same on every rank;
            references stay each rank's own. The average of the ranks' means is the mean of that batch, and so for its
            gradient; ``"none"`` and ``"sum"`` are of the rank's own anchors.

    Returns:
        A scalar, or (N,). An anchor without a positive, or without a negative, has the other sum's loss alone.

    Raises:
        ValueError: Wrong shapes, ``alpha`` or ``beta`` not above 0, a hyperparameter that is not finite, arguments
            that exclude each other.
        TypeError: Labels that are no integers, references in another precision, ``alpha`` or ``beta`` as a tensor.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> multi_similarity_loss(x, torch.tensor([0, 0, 1, 1]), reduction="none")
        tensor([0.3637, 0.3637, 0.2537, 0.4746])

    Source:
        Wang et al., Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning, arXiv:1904.06627,
        eq. 15, over all pairs; before it the paper drops the pairs that its eq. 10 and 11 find easy. alpha and beta
        are the paper's. Its lambda is 1, that of the authors' code 0.5 (beside a beta of 40); 0.5 is what common code
        took over.
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
    weight, counted = sample_weight, compared.anchors.counted
    if counted is not None:
        weight = counted if weight is None else hide(weight, counted)
    source = cosines(compared, beta)
    return row_loss(
        partial(_multi_similarity, alpha=alpha, beta=beta),
        source,
        replace(compared.targets, scale=-alpha / beta),
        *parameters((base,), source.x),
        weight=None if weight is None else weight.to(source.x.dtype),
        reduction=reduction,
        group=group,
    )


class MultiSimilarityLoss(Loss):
    """:func:`multi_similarity_loss` as a Module."""

    fn = staticmethod(multi_similarity_loss)
    alpha: Steepness = 2.0
    beta: Steepness = 50.0
    base: float | Tensor = 0.5
    reduction: Reduction = "mean"


def _draw(g: Generator, dt: dtype) -> Call:
    # Labels in no order, classes of 3, 3, 2 and 1 items
    return Call((normal(g, dt, 9, 4), torch.tensor([0, 1, 0, 2, 1, 3, 0, 1, 2])))


def _edges(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(4, dtype=dt)
    two = torch.tensor([0, 0, 1, 1])
    return (
        Call((axes[[0, 0, 1, 1]] * 1e4, two)),  # cosine exactly 1 within classes
        Call((torch.cat([axes[:2], -axes[:2]]), torch.tensor([0, 1, 0, 1], dtype=torch.int32))),  # exactly -1
        Call((torch.ones(4, 2, dtype=dt), two)),  # identical embeddings
        Call((torch.cat([axes[:3], axes.new_zeros(1, 4)]), two)),  # a zero vector
        Call((axes, two), {"alpha": 1e4, "beta": 1e4}),  # all but a maximum
        Call((axes, two), {"alpha": 1e-3, "beta": 1e-3}),  # all but a mean
        Call((axes, torch.zeros(4, dtype=torch.int64))),  # no negatives
        Call((axes, torch.arange(4))),  # no positives
        Call((axes[:1], two[:1])),  # one item
        Call((axes, torch.tensor([[1, 0], [1, 1], [0, 1], [0, 0]]))),  # several labels, and none
        Call((axes, two), {"ref_embeddings": axes[1:] * 1e4, "ref_labels": two[1:]}),
        Call((axes, two), {"ref_embeddings": axes[:0], "ref_labels": two[:0]}),  # an empty memory
        Call((axes[:0], two[:0])),  # empty
    )


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["embeddings"], inputs["labels"]), dict(params))


CARDS = (
    Card(
        fn=multi_similarity_loss,
        module=MultiSimilarityLoss,
        formula=(
            r"\frac{1}{\alpha} \log \Big[ 1 + \sum_{p \in P(i)} e^{-\alpha (s_{ip} - \lambda)} \Big] + "
            r"\frac{1}{\beta} \log \Big[ 1 + \sum_{n \in N(i)} e^{\beta (s_{in} - \lambda)} \Big]"
        ),
        data="identities",
        kernel="rows",
        item="anchor",
        paper="arXiv:1904.06627",
        equation="15",
        defaults="alpha, beta: the paper; base: the authors' code",
        draw=_draw,
        edges=_edges,
        variants=(
            {},
            {"alpha": 5.0, "beta": 10.0, "base": 0.2},
            {"alpha": 40.0, "beta": 2.0, "base": -0.1},
        ),
        golden={"multi_similarity": _golden},
        search={"base": Range(0.2, 0.9), "beta": Range(10.0, 100.0, log=True)},
        batch="m-per-class",
        separable=False,
        at_call=frozenset({"sample_weight", "positives", "ref_embeddings", "ref_labels", "ids", "mask", "group"}),
        when="Embeddings for classes never seen in training, where few hard pairs matter more than the many easy ones.",
        pitfalls=(
            "The paper and its code drop easy pairs first; here all count, as in common code without a miner.",
            "The paper has base = 1 and beta = 50, its code 0.5 and 40: results differ.",
            "An anchor without positives still pushes its negatives away, and counts in the mean.",
            "Under data-parallel training a rank has its own items for negatives only: give `group`.",
        ),
        relatives=("supcon_loss", "contrastive_loss", "triplet_loss"),
    ),
)

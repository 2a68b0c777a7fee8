"""Cosines within a batch of labelled embeddings: an anchor's own class against the others."""

from functools import partial
from typing import Annotated, Literal

from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card, Range
from lossary.core.check import check_number
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, reduce
from lossary.core.rules import Positive, checked
from lossary.distributed import across_ranks
from lossary.kernels.rows.formula import row_loss, row_statistics
from lossary.kernels.rows.maps import ScoreMap
from lossary.kernels.rows.scores import Rows
from lossary.kernels.stable import ABSENT, accumulator, parameters, softplus
from lossary.losses._batch import among_others, compare, cosines
from lossary.losses._pointwise import hide

__all__ = [
    "CircleLoss",
    "MultiSimilarityLoss",
    "SupConLoss",
    "circle_loss",
    "multi_similarity_loss",
    "supcon_loss",
]


def _multi_similarity(rows: Rows, base: float | Tensor, alpha: float, beta: float) -> Tensor:
    return softplus(rows.among + alpha * base) / alpha + softplus(rows.rest - beta * base) / beta


def _check_steepness(name: str, value: float) -> None:
    check_number(name, value, low=0, open_low=True)
    if isinstance(value, Tensor):  # the kernel takes their ratio as a number: no gradient would come back
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
    r"""Pushes an item's cosines with positives above a threshold and with negatives below it, the worst ones most.

    .. math::
        \frac{1}{\alpha} \log \Big[ 1 + \sum_{p \in P(i)} e^{-\alpha (s_{ip} - \lambda)} \Big] +
        \frac{1}{\beta} \log \Big[ 1 + \sum_{n \in N(i)} e^{\beta (s_{in} - \lambda)} \Big],
        \qquad s_{ij} = \cos(z_i, z_j)

    Args:
        embeddings: (N, D), any length; normalised here.
        labels: (N,) integers; items of the same label are positives. Or (N, L), 0 or 1 for each of L labels: items that
            share one are positives. None with ``positives``.
        alpha: Steepness for positives, above 0: the higher, the more the furthest one counts.
        beta: Steepness for negatives, above 0: the higher, the more the nearest one counts.
        base: lambda, the threshold between both, a cosine; a Parameter is learned.
        positives: (N, N) boolean instead of labels, or (N, M) with references: which items are an anchor's positives.
            Like (N, L) labels, this holds all scores in memory.
        ref_embeddings: (M, D) references, for example from a memory bank or another tower: the anchors are compared
            with these instead of each other. Gradients flow to them.
        ref_labels: Their labels, (M,) or (M, L).
        ids: (N,) integers; items that share one are never each other's negatives, even with different labels, for
            example where two labels may mean the same thing. Only ``labels`` decides on positives.
        sample_weight: (N,) weights of the anchors.
        mask: (N,) boolean; an item that does not count is neither anchor nor positive nor negative, and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"`` over the anchors.
        group: Process group whose ranks' items form one batch. Labels and ids must mean the same on every rank;
            references stay each rank's own. The average of the ranks' means is the mean of that batch, and likewise for
            gradients; ``"none"`` and ``"sum"`` cover the rank's own anchors.

    Returns:
        A scalar, or (N,). An anchor without positives, or without negatives, keeps only the other sum.

    Raises:
        ValueError: Wrong shapes, ``alpha`` or ``beta`` not above 0, a hyperparameter that is not finite, arguments
            that exclude each other.
        TypeError: Labels that are not integers, references in another precision, ``alpha`` or ``beta`` as a tensor.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> multi_similarity_loss(x, torch.tensor([0, 0, 1, 1]), reduction="none")
        tensor([0.3637, 0.3637, 0.2537, 0.4746])

    Source:
        Wang et al., Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning, arXiv:1904.06627,
        eq. 15, over all pairs; the paper first drops the pairs that its eq. 10 and 11 find easy. alpha and beta are the
        paper's. Its lambda is 1; the authors' code has 0.5 (with a beta of 40), which common code adopted.
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
    weight, counted = sample_weight, compared.anchors.counted
    if counted is not None:
        weight = counted if weight is None else hide(weight, counted)
    source = cosines(compared, beta)
    return row_loss(
        partial(_multi_similarity, alpha=alpha, beta=beta),
        source,
        compared.targets.scaled(-alpha / beta),
        *parameters((base,), source.x),
        weight=None if weight is None else weight.to(accumulator(source.x)),
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


@across_ranks
@checked
def supcon_loss(
    embeddings: Tensor,
    labels: Tensor | None,
    *,
    temperature: Positive = 0.1,
    positives: Tensor | None = None,
    ref_embeddings: Tensor | None = None,
    ref_labels: Tensor | None = None,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Softmax of each item over all others in the batch, averaged over those with its label.

    .. math:: -\frac{1}{|P(i)|} \sum_{p \in P(i)} \log \frac{e^{z_i z_p / \tau}}{\sum_{a \ne i} e^{z_i z_a / \tau}}

    Args:
        embeddings: (N, D), any length; normalised here.
        labels: (N,) integers; items of the same label are positives. Or (N, L), 0 or 1 for each of L labels: items that
            share one are positives. None with ``positives``.
        temperature: tau, above 0; a Parameter is learned.
        positives: (N, N) boolean instead of labels, or (N, M) with references: which items are an anchor's positives.
            Like (N, L) labels, this holds all scores in memory.
        ref_embeddings: (M, D) references, for example from a memory bank or another tower: the anchors are compared
            with these instead of each other. Gradients flow to them.
        ref_labels: Their labels, (M,) or (M, L).
        ids: (N,) integers; items that share one are never each other's negatives, even with different labels, for
            example where two labels may mean the same thing. Only ``labels`` decides on positives.
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
        ValueError: Wrong shapes, ``temperature`` not above 0 or not finite, arguments that exclude each other.
        TypeError: Labels that are not integers, references in another precision.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> supcon_loss(x, torch.tensor([0, 0, 1, 1]), temperature=1.0)
        tensor(0.5514)

    Source:
        Khosla et al., Supervised Contrastive Learning, arXiv:2004.11362, eq. 2 (L_out); tau = 0.1 is the paper's. The
        authors' code multiplies the loss by tau / 0.07; this does not. Several labels are handled in the way that Zhang
        and Wu, Multi-Label Supervised Contrastive Learning, AAAI 2024, call ANY.
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
    return among_others(compared, temperature, sample_weight, reduction, group)


class SupConLoss(Loss):
    """:func:`supcon_loss` as a Module."""

    fn = staticmethod(supcon_loss)
    temperature: Positive = 0.1
    reduction: Reduction = "mean"


@across_ranks
@checked
def circle_loss(
    embeddings: Tensor,
    labels: Tensor | None,
    *,
    scale: Positive = 80.0,
    margin: float | Tensor = 0.4,
    gradient: Literal["held_weights", "exact"] = "held_weights",
    positives: Tensor | None = None,
    ref_embeddings: Tensor | None = None,
    ref_labels: Tensor | None = None,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Cosines with positives and negatives, each moved more the further it is from where it should be.

    .. math::
        \log \Big[ 1 + \sum_{n \in N(i)} e^{\gamma \alpha_n (s_{in} - m)}
        \sum_{p \in P(i)} e^{-\gamma \alpha_p (s_{ip} - 1 + m)} \Big], \quad
        \alpha_n = [s_{in} + m]_+,\ \alpha_p = [1 + m - s_{ip}]_+

    Args:
        embeddings: (N, D), any length; normalised here.
        labels: (N,) integers; items of the same label are positives. Or (N, L), 0 or 1 for each of L labels: items that
            share one are positives. None with ``positives``.
        scale: gamma, above 0; a Parameter is learned. A tensor holds all scores in memory.
        margin: m: positives should lie above 1 - m, negatives below m. A tensor holds all scores in memory.
        gradient: ``"held_weights"`` treats the alphas as constants, as in the paper; ``"exact"`` differentiates them
            too.
        positives: (N, N) boolean instead of labels, or (N, M) with references: which items are an anchor's positives.
            Like (N, L) labels, this holds all scores in memory.
        ref_embeddings: (M, D) references, for example from a memory bank or another tower: the anchors are compared
            with these instead of each other. Gradients flow to them.
        ref_labels: Their labels, (M,) or (M, L).
        ids: (N,) integers; items that share one are never each other's negatives, even with different labels, for
            example where two labels may mean the same thing. Only ``labels`` decides on positives.
        sample_weight: (N,) weights of the anchors.
        mask: (N,) boolean; an item that does not count is neither anchor nor positive nor negative, and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' items form one batch. Labels and ids must mean the same on every rank;
            references stay each rank's own. The average of the ranks' means is the mean of that batch, and likewise for
            gradients; ``"none"`` and ``"sum"`` cover the rank's own anchors.

    Returns:
        A scalar, or (N,): 0 for an anchor without a positive or without a negative. ``mean`` is over the others; if
        there are none, the loss is 0.0 with zero gradients.

    Raises:
        ValueError: Wrong shapes, ``scale`` not above 0, a hyperparameter that is not finite, arguments that exclude
            each other.
        TypeError: Labels that are not integers, references in another precision.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> circle_loss(x, torch.tensor([0, 0, 1, 1]), scale=1.0, reduction="none")
        tensor([1.0727, 1.0727, 0.9487, 1.2834])

    Source:
        Sun et al., Circle Loss: A Unified Perspective of Pair Similarity Optimization, arXiv:2002.10857, eq. 6, and 9
        and 10 for the gradient; 80 and 0.4 are from its section 4.1 for pairs. Some code lets gradients into the
        weights, and some pools all pairs of a batch into one sum: those are different losses.
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
    scale, margin = parameters((scale, margin), compared.anchors.x)
    root = scale**0.5
    by = ScoreMap("circle_held" if gradient == "held_weights" else "circle", (root, margin))
    rows = row_statistics(cosines(compared, root), compared.targets.mapped(by))
    some = (rows.targets > 0) & (rows.rest > ABSENT / 2)
    if compared.anchors.counted is not None:
        some = some & compared.anchors.counted
    weight = None if sample_weight is None else hide(sample_weight, some)
    return reduce(softplus(rows.among + rows.rest), weight=weight, mask=some, reduction=reduction, group=group)


class CircleLoss(Loss):
    """:func:`circle_loss` as a Module."""

    fn = staticmethod(circle_loss)
    scale: Positive = 80.0
    margin: float | Tensor = 0.4
    gradient: Literal["held_weights", "exact"] = "held_weights"
    reduction: Reduction = "mean"


CARDS = (
    Card(
        fn=multi_similarity_loss,
        module=MultiSimilarityLoss,
        takes=("embeddings-labels", "queries-references"),
        input="embeddings",
        data="identities",
        formula=(
            r"\frac{1}{\alpha} \log \Big[ 1 + \sum_{p \in P(i)} e^{-\alpha (s_{ip} - \lambda)} \Big] + "
            r"\frac{1}{\beta} \log \Big[ 1 + \sum_{n \in N(i)} e^{\beta (s_{in} - \lambda)} \Big]"
        ),
        symbols={
            r"\alpha": "`alpha`, the steepness for positives, above 0: the higher, the more the furthest one counts",
            r"i": "an anchor: a row of `embeddings`",
            r"p": "a positive",
            r"P(i)": "the anchor's positives: the other items with its label",
            r"s_{ip}": "the cosine of the anchor and a positive",
            r"\lambda": "`base`, the cosine above which positives and below which negatives should lie",
            r"\beta": "`beta`, the steepness for negatives, above 0: the higher, the more the nearest one counts",
            r"n": "a negative",
            r"N(i)": "the anchor's negatives: the items with other labels",
            r"s_{in}": "the cosine of the anchor and a negative",
        },
        kernel="rows",
        item="anchor",
        paper="arXiv:1904.06627",
        equation="15",
        defaults="alpha, beta: the paper; base: the authors' code",
        search={"base": Range(0.2, 0.9), "beta": Range(10.0, 100.0, log=True)},
        batch="m-per-class",
        separable=False,
        at_call=frozenset({"sample_weight", "positives", "ref_embeddings", "ref_labels", "ids", "mask", "group"}),
        when="Embeddings for classes never seen in training, where a few hard pairs matter more than many easy ones.",
        pitfalls=(
            "The paper and its code first drop easy pairs; here all count, as in common code without a miner.",
            "The paper has base = 1 and beta = 50, its code 0.5 and 40: results differ.",
            "An anchor without positives still pushes its negatives away, and counts in the mean.",
            "Under data-parallel training a rank only has its own items as negatives: pass `group`.",
        ),
        relatives=("supcon_loss", "contrastive_loss", "triplet_loss"),
    ),
    Card(
        fn=supcon_loss,
        module=SupConLoss,
        takes=("embeddings-labels", "queries-references"),
        input="embeddings",
        data="identities",
        formula=(
            r"-\frac{1}{|P(i)|} \sum_{p \in P(i)} \log \frac{e^{z_i z_p / \tau}}{\sum_{a \ne i} e^{z_i z_a / \tau}}"
        ),
        symbols={
            r"P(i)": "the positives of anchor i: the other items with its label, or those that `positives` names",
            r"p": "one of these positives",
            r"z_i": "anchor i: a row of `embeddings`, normalised to length 1",
            r"z_p": "a positive, likewise normalised",
            r"\tau": "`temperature`, above 0",
            r"a": "every item but the anchor (every reference if `ref_embeddings` is given)",
            r"z_a": "such an item, likewise normalised",
        },
        kernel="rows",
        item="anchor",
        paper="arXiv:2004.11362",
        equation="2",
        defaults="the paper",
        search={"temperature": Range(0.03, 0.5, log=True)},
        batch="m-per-class",
        separable=False,
        mean_is_plain=False,
        at_call=frozenset({"sample_weight", "positives", "ref_embeddings", "ref_labels", "ids", "mask", "group"}),
        when="Embeddings for classes never seen in training; no class weights to store. Needs large batches.",
        pitfalls=(
            "The authors' code multiplies the loss by tau / 0.07: learning rates do not carry over.",
            "Batches without two items of any class teach nothing: their loss is 0.",
            "Under data-parallel training a rank only has its own items as negatives: pass `group`.",
        ),
        relatives=("nt_xent_loss", "normalized_softmax_loss", "triplet_loss"),
    ),
    Card(
        fn=circle_loss,
        module=CircleLoss,
        formula=(
            r"\log \Big[ 1 + \sum_{n \in N(i)} e^{\gamma \alpha_n (s_{in} - m)} "
            r"\sum_{p \in P(i)} e^{-\gamma \alpha_p (s_{ip} - 1 + m)} \Big], "
            r"\quad \alpha_n = [s_{in} + m]_+,\ \alpha_p = [1 + m - s_{ip}]_+"
        ),
        symbols={
            r"n": "a negative",
            r"N(i)": "the anchor's negatives: the items with other `labels`",
            r"\gamma": "`scale`, above 0",
            r"\alpha_n": "the weight of a negative, larger the nearer it is; constant in the gradient",
            r"s_{in}": "the cosine of the anchor and a negative",
            r"m": "`margin`: positives should lie above 1 - m, negatives below m",
            r"p": "a positive",
            r"P(i)": "the anchor's positives: the other items with its label",
            r"\alpha_p": "the weight of a positive, larger the farther it is; constant in the gradient",
            r"s_{ip}": "the cosine of the anchor and a positive",
            r"i": "the anchor: a row of `embeddings`, normalised",
        },
        data="identities",
        takes=("embeddings-labels", "queries-references"),
        input="embeddings",
        kernel="rows",
        item="anchor",
        paper="arXiv:2002.10857",
        equation="6",
        defaults="the paper's for pairs",
        exact={"gradient": "exact"},
        held=frozenset({"margin"}),
        search={"scale": Range(16.0, 256.0, log=True), "margin": Range(0.1, 0.5)},
        batch="m-per-class",
        separable=False,
        mean_is_plain=False,
        at_call=frozenset({"sample_weight", "positives", "ref_embeddings", "ref_labels", "ids", "mask", "group"}),
        when="Embeddings for classes never seen in training, where pairs far from their goal should move most.",
        pitfalls=(
            "The weights are constants in the gradient: code that forgets to detach them trains towards other angles.",
            "One sum over all pairs of the batch, as in some code, is a different loss.",
            "A negative beyond -m has no gradient, yet its value rises again: watch a metric, not this value.",
        ),
        relatives=("multi_similarity_loss", "supcon_loss"),
    ),
)

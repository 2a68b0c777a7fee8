"""Contrastive losses: pairs pulled together or pushed apart, and softmax over the other items of a batch."""

from collections.abc import Mapping
from typing import Any, overload

import torch
from torch import Generator, Tensor, dtype

from lossary._check import (
    check_among,
    check_choice,
    check_dim,
    check_float,
    check_labels,
    check_number,
    check_same_shape,
    check_shape,
    check_tensor,
)
from lossary._loss import Loss
from lossary._reduce import Reduction, align, reduce
from lossary.cards import Call, Card, Range
from lossary.draws import normal
from lossary.kernels.distances import pairwise, root, squares
from lossary.kernels.rows import Bilinear, Rows, Targets, row_loss
from lossary.kernels.stable import ABSENT, accumulate, softplus, unit
from lossary.kernels.tuples import apart, has_positive
from lossary.losses._pointwise import hide

__all__ = ["ContrastiveLoss", "NTXentLoss", "SupConLoss", "contrastive_loss", "nt_xent_loss", "supcon_loss"]


@overload
def contrastive_loss(
    embeddings: Tensor,
    labels: Tensor,
    /,
    *,
    margin: float | Tensor = ...,
    factor: float = ...,
    similar_label: int = ...,
    sample_weight: Tensor | None = ...,
    mask: Tensor | None = ...,
    reduction: Reduction = ...,
) -> Tensor: ...
@overload
def contrastive_loss(
    x1: Tensor,
    x2: Tensor,
    target: Tensor,
    /,
    *,
    margin: float | Tensor = ...,
    factor: float = ...,
    similar_label: int = ...,
    sample_weight: Tensor | None = ...,
    mask: Tensor | None = ...,
    reduction: Reduction = ...,
) -> Tensor: ...
def contrastive_loss(
    x1: Tensor,
    x2: Tensor,
    target: Tensor | None = None,
    /,
    *,
    margin: float | Tensor = 1.0,
    factor: float = 0.5,
    similar_label: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Similar pairs pulled together, others pushed apart until a margin lies between them.

    .. math:: f \left[ y\, d^2 + (1 - y) \max(0, m - d)^2 \right], \qquad y = 1\ \text{for similar pairs}

    Called ``(x1, x2, target)`` on given pairs, or ``(embeddings, labels)`` on all pairs of a batch.

    Args:
        x1: (P, D) first halves of the pairs; or (N, D) embeddings.
        x2: (P, D) second halves; or (N,) integer labels.
        target: (P,) which pairs are similar, of bool, integer or float dtype, each 0 or 1.
        margin: m, in units of the distance.
        factor: f; 1/2 is the paper's, other code has 1.
        similar_label: Which value of ``target`` means similar; the paper has 0.
        sample_weight: One weight a pair, of the shape of ``"none"``.
        mask: Boolean, (P,) True where a pair counts, or (N,) where an item does; values elsewhere may be NaN.
        reduction: ``"none"``, ``"sum"`` or ``"mean"`` over the pairs.

    Returns:
        A scalar; or (P,), for a batch its N (N - 1) / 2 pairs (0, 1), (0, 2), ... in the order of
        ``torch.triu_indices(N, N, 1)``.

    Raises:
        ValueError: Wrong shapes, a hyperparameter that is not finite, targets other than 0 and 1.
        TypeError: Labels that are no integers.

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
    check_dim("embeddings" if target is None else "x1", x1, 2, "(N, D)")
    check_float("embeddings" if target is None else "x1", x1)
    check_number("margin", margin, low=0)
    check_number("factor", factor, low=0)
    check_choice("similar_label", similar_label, (0, 1))
    _, mask = align(None, mask, x1.shape[:1])
    if mask is not None:
        x1 = hide(x1, mask[:, None])
    if target is None:
        check_labels("labels", x2, x1.shape[0])
        i, j = torch.triu_indices(x1.shape[0], x1.shape[0], 1, device=x1.device)
        length = pairwise(x1, x1, squared=True)[i, j]
        similar = x2[i] == x2[j]
        mask = None if mask is None else mask.expand(x2.shape)[i] & mask.expand(x2.shape)[j]
    else:
        check_same_shape("x2", x2, "x1", x1)
        check_shape("target", target, (x1.shape[0],))
        if mask is not None:
            x2, target = hide(x2, mask[:, None]), hide(target, mask)
        check_among("target", target, (0, 1))
        length = torch.where(target.isnan(), torch.nan, squares(accumulate(x1) - accumulate(x2)))
        similar = target == similar_label
    if sample_weight is not None:
        check_same_shape("sample_weight", sample_weight, "the pairs", length)
    distant = (margin - root(length)).relu().square()
    return reduce(factor * torch.where(similar, length, distant), weight=sample_weight, mask=mask, reduction=reduction)


class ContrastiveLoss(Loss):
    """:func:`contrastive_loss` as a Module."""

    fn = staticmethod(contrastive_loss)
    margin: float | Tensor = 1.0
    factor: float = 0.5
    similar_label: int = 1
    reduction: Reduction = "mean"


def _supcon(rows: Rows) -> Tensor:
    # log(e^among + e^rest) - target, without the cancellation of nearly perfect rows
    loss = softplus(rows.rest - rows.among) + (rows.among - rows.target)
    return torch.where(rows.targets > 0, loss, torch.zeros_like(loss))


def _among_others(
    embeddings: Tensor,
    labels: Tensor,
    temperature: float | Tensor,
    ids: Tensor | None,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    reduction: str,
) -> Tensor:
    """Softmax of each item over all the others, where those of its label are right; items without any are skipped."""
    check_dim("embeddings", embeddings, 2, "(N, D)")
    check_float("embeddings", embeddings)
    check_labels("labels", labels, embeddings.shape[0])
    check_number("temperature", temperature, low=0, open_low=True)
    if ids is not None:
        check_labels("ids", ids, embeddings.shape[0])
    _, mask = align(None, mask, embeddings.shape[:1])
    x, shift = accumulate(embeddings), None
    if mask is not None:
        x, labels = hide(x, mask[:, None]), apart(labels, mask)
        # As a column it is absent for every row.
        shift = x.new_zeros(x.shape[0]).masked_fill(~mask, ABSENT)
    weight = has_positive(labels)
    if sample_weight is not None:
        check_same_shape("sample_weight", sample_weight, "labels", labels)
        weight = weight * sample_weight
    # The root on either side leaves the scores symmetric, which halves the work.
    z = unit(x) / temperature**0.5
    targets = Targets(labels, labels, own=True, row_groups=ids, column_groups=ids)
    return row_loss(_supcon, Bilinear(z, z, shift), targets, weight=weight.to(z.dtype), reduction=reduction)


def supcon_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    temperature: float | Tensor = 0.1,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Softmax of each item over all the others of the batch, averaged over those of its label.

    .. math:: -\frac{1}{|P(i)|} \sum_{p \in P(i)} \log \frac{e^{z_i z_p / \tau}}{\sum_{a \ne i} e^{z_i z_a / \tau}}

    Args:
        embeddings: (N, D), any length; normalised here.
        labels: (N,) integers; items of the same label are positives.
        temperature: tau, above 0; a Parameter learns.
        ids: (N,) integers; items that share one are never each other's negatives, though labelled apart, as where two
            labels may be of one thing. Positives are by ``labels`` alone.
        sample_weight: (N,) weights of the anchors.
        mask: (N,) boolean; an item that does not count is neither anchor nor positive nor negative, and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,): 0 for an anchor without a positive. ``mean`` is over the anchors that have one; without any
        the loss is 0.0, with zero gradients.

    Raises:
        ValueError: Wrong shapes, ``temperature`` not above 0 or not finite.
        TypeError: Labels that are no integers.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> supcon_loss(x, torch.tensor([0, 0, 1, 1]), temperature=1.0)
        tensor(0.5514)

    Source:
        Khosla et al., Supervised Contrastive Learning, arXiv:2004.11362, eq. 2 (L_out); tau = 0.1 is the paper's. The
        authors' code multiplies the loss by tau / 0.07, which is left out here.
    """
    return _among_others(embeddings, labels, temperature, ids, sample_weight, mask, reduction)


class SupConLoss(Loss):
    """:func:`supcon_loss` as a Module."""

    fn = staticmethod(supcon_loss)
    temperature: float | Tensor = 0.1
    reduction: Reduction = "mean"


def nt_xent_loss(
    embeddings: Tensor,
    other: Tensor,
    /,
    *,
    temperature: float | Tensor = 0.5,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Each view of an item must find the item's other view among all views of the batch (SimCLR).

    .. math:: -\log \frac{e^{z_i z_p / \tau}}{\sum_{a \ne i} e^{z_i z_a / \tau}}

    Called ``(z1, z2)`` on two views of the same items, or ``(embeddings, labels)`` where the views of an item share a
    label: any number of views, averaged over the item's other views (which is SupCon).

    Args:
        embeddings: (N, D), any length; normalised here.
        other: (N, D) second views of the same items, or (N,) integers that say which item a view shows.
        temperature: tau, above 0; a Parameter learns.
        ids: (N,) integers of the items; views of items that share one are never each other's negatives, as those of an
            image that is in the batch twice. Positives remain the item's own views.
        sample_weight: One weight a view: (2N,), first views first, or (N,) with labels.
        mask: (N,) boolean; an item that does not count is in nobody's loss with any of its views, and may be NaN.
        reduction: ``"none"``, ``"sum"`` or ``"mean"`` over the views.

    Returns:
        A scalar, or one loss a view: (2N,), first views first, or (N,) with labels. ``mean`` is over views that have
        another; without any the loss is 0.0, with zero gradients.

    Raises:
        ValueError: Wrong shapes, ``temperature`` not above 0 or not finite.

    Example:
        >>> import torch
        >>> z1, z2 = torch.eye(2), torch.eye(2)
        >>> nt_xent_loss(z1, z2, temperature=1.0)
        tensor(0.5514)

    Source:
        Chen et al., SimCLR, arXiv:2002.05709, eq. 1; tau = 0.5 is what it takes for CIFAR-10 (appendix B.9). SimCLR's
        code returns twice this mean. Some libraries leave an item's further views out of the denominator.
    """
    check_tensor("other", other)
    if not other.dtype.is_floating_point:
        return _among_others(embeddings, other, temperature, ids, sample_weight, mask, reduction)
    check_dim("embeddings", embeddings, 2, "(N, D)")
    check_same_shape("other", other, "embeddings", embeddings)
    labels = torch.arange(embeddings.shape[0], device=embeddings.device).repeat(2)
    if ids is not None:
        check_labels("ids", ids, embeddings.shape[0])
        ids = ids.repeat(2)
    if mask is not None:
        check_shape("mask", mask, (embeddings.shape[0],))
        mask = mask.repeat(2)
    return _among_others(torch.cat([embeddings, other]), labels, temperature, ids, sample_weight, mask, reduction)


class NTXentLoss(Loss):
    """:func:`nt_xent_loss` as a Module."""

    fn = staticmethod(nt_xent_loss)
    temperature: float | Tensor = 0.5
    reduction: Reduction = "mean"


def _draw_labelled(g: Generator, dt: dtype) -> Call:
    # Labels in no order, classes of 3, 3, 2 and 1 items
    return Call((normal(g, dt, 9, 4), torch.tensor([0, 1, 0, 2, 1, 3, 0, 1, 2])))


def _draw_views(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 5, 4), normal(g, dt, 5, 4)))


def _draw_pairs(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 3, scale=0.3), normal(g, dt, 6, 3, scale=0.3), torch.tensor([1, 0, 1, 1, 0, 0])))


def _edges_labelled(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(4, dtype=dt)
    two = torch.tensor([0, 0, 1, 1])
    return (
        Call((axes[[0, 0, 1, 1]] * 1e4, two)),  # cosine exactly 1 within classes
        Call((torch.cat([axes[:2], -axes[:2]]), torch.tensor([0, 1, 0, 1], dtype=torch.int32))),  # exactly -1
        Call((torch.ones(4, 2, dtype=dt), two)),  # identical embeddings
        Call((torch.cat([axes[:3], axes.new_zeros(1, 4)]), two)),  # a zero vector
        Call((axes, torch.zeros(4, dtype=torch.int64))),  # one class
        Call((axes, torch.arange(4))),  # no positives
        Call((axes[:0], two[:0])),  # empty
    )


def _edges_views(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    return (
        Call((axes, axes.clone())),
        Call((axes, -axes)),
        Call((axes * torch.tensor([[0.0], [1e4], [1e-4]], dtype=dt), axes.flip(0))),
        Call((torch.ones(2, 2, dtype=dt), torch.ones(2, 2, dtype=dt))),  # identical embeddings
        Call((axes[:1], axes[:1].clone())),  # one item: nothing to tell it from
        Call((axes[:0], axes[:0].clone())),  # empty
    )


def _edges_pairs(dt: dtype) -> tuple[Call, ...]:
    zero, axis = torch.zeros(2, 2, dtype=dt), torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=dt)
    return (
        Call((zero, zero.clone(), torch.tensor([1, 0]))),  # distance 0
        Call((zero, axis, torch.tensor([True, False]))),  # a distance of exactly the default margin
        Call((zero, axis * 1e4, torch.tensor([1.0, 0.0]))),
        Call((axis[:0], axis[:0].clone(), torch.zeros(0))),  # empty
        Call((torch.cat([axis, axis]), torch.tensor([0, 1, 0, 0]))),  # labels, with duplicates
        Call((axis[:1], torch.tensor([0]))),  # one item: no pair
    )


def _golden_pairs(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["x1"], inputs["x2"], inputs["target"]), dict(params))


def _golden_views(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["z1"], inputs["z2"]), dict(params))


def _golden_labelled(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["embeddings"], inputs["labels"]), dict(params))


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
        at_call=frozenset({"sample_weight", "mask"}),
        when="Labelled pairs, or few items a class; a distance with a fixed threshold.",
        pitfalls=(
            "The paper's Y = 0 means similar; here 1 does, as in most code: see `similar_label`.",
            "Over all pairs of a batch most are dissimilar: draw several items a class.",
            "The margin has the scale of the embeddings' distances.",
        ),
        relatives=("triplet_loss", "supcon_loss"),
    ),
    Card(
        fn=supcon_loss,
        module=SupConLoss,
        formula=(
            r"-\frac{1}{|P(i)|} \sum_{p \in P(i)} \log \frac{e^{z_i z_p / \tau}}{\sum_{a \ne i} e^{z_i z_a / \tau}}"
        ),
        data="identities",
        kernel="rows",
        item="anchor",
        paper="arXiv:2004.11362",
        equation="2",
        defaults="the paper",
        draw=_draw_labelled,
        edges=_edges_labelled,
        variants=({}, {"temperature": 1.0}, {"temperature": 0.02}),
        golden={"supcon": _golden_labelled},
        search={"temperature": Range(0.03, 0.5, log=True)},
        batch="m-per-class",
        separable=False,
        mean_is_plain=False,
        at_call=frozenset({"sample_weight", "ids", "mask"}),
        when="Embeddings for classes never seen in training; no class weights to store. Wants large batches.",
        pitfalls=(
            "The authors' code multiplies the loss by tau / 0.07: learning rates do not carry over.",
            "Batches without a second item of a class teach nothing: the loss is 0 there.",
        ),
        relatives=("nt_xent_loss", "normalized_softmax_loss", "triplet_loss"),
    ),
    Card(
        fn=nt_xent_loss,
        module=NTXentLoss,
        formula=r"-\log \frac{e^{z_i z_p / \tau}}{\sum_{a \ne i} e^{z_i z_a / \tau}}",
        data="views",
        kernel="rows",
        item="anchor",
        paper="arXiv:2002.05709",
        equation="1",
        defaults="the paper",
        draw=_draw_views,
        edges=_edges_views,
        variants=({}, {"temperature": 0.1}, {"temperature": 0.02}),
        golden={"nt_xent": _golden_views},
        search={"temperature": Range(0.05, 1.0, log=True)},
        batch="m-per-class",
        separable=False,
        at_call=frozenset({"sample_weight", "ids", "mask"}),
        when="Two or more augmented views of unlabelled items. Wants large batches.",
        pitfalls=(
            "With labels, all views of an item must share one, and no other item may bear it.",
            "SimCLR's code returns twice this value.",
        ),
        relatives=("supcon_loss",),
    ),
)

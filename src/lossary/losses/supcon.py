"""Softmax over the other items of a batch: those of an anchor's label, or its other views, are right."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, dtype
from torch.distributed import ProcessGroup

from lossary._check import check_dim, check_labels, check_same_shape, check_shape, check_tensor
from lossary._loss import Loss
from lossary._reduce import Reduction
from lossary._rules import Positive, checked
from lossary.cards import Call, Card, Range
from lossary.distributed import across_ranks, numbered
from lossary.draws import normal
from lossary.kernels.softmax import softmax_loss
from lossary.kernels.stable import parameters
from lossary.losses._batch import Compared, check_same_precision, compare, cosines

__all__ = ["NTXentLoss", "SupConLoss", "nt_xent_loss", "supcon_loss"]


def _among_others(
    compared: Compared,
    temperature: float | Tensor,
    sample_weight: Tensor | None,
    reduction: str,
    group: ProcessGroup | None,
) -> Tensor:
    """Softmax of each anchor over all the items, where its positives are right; anchors without any are skipped."""
    (temperature,) = parameters((temperature,), compared.anchors.x)
    source = cosines(compared, 1 / temperature)
    return softmax_loss(source, compared.targets, weight=sample_weight, reduction=reduction, group=group)


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
    r"""Softmax of each item over all the others of the batch, averaged over those of its label.

    .. math:: -\frac{1}{|P(i)|} \sum_{p \in P(i)} \log \frac{e^{z_i z_p / \tau}}{\sum_{a \ne i} e^{z_i z_a / \tau}}

    Args:
        embeddings: (N, D), any length; normalised here.
        labels: (N,) integers; items of the same label are positives. Or (N, L), 0 or 1 for each of L labels: items
            that share one are positives. None beside ``positives``.
        temperature: tau, above 0; a Parameter learns.
        positives: (N, N) boolean instead of labels, or (N, M) beside references: which items are an anchor's positives.
            This and (N, L) labels take the memory of all scores.
        ref_embeddings: (M, D) references, as of a memory bank or another tower: the anchors are compared with these
            instead of each other. Gradients flow to them.
        ref_labels: Their labels, (M,) or (M, L).
        ids: (N,) integers; items that share one are never each other's negatives, though labelled apart, as where two
            labels may be of one thing. Positives are by ``labels`` alone.
        sample_weight: (N,) weights of the anchors.
        mask: (N,) boolean; an item that does not count is neither anchor nor positive nor negative, and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' items are one batch, in which labels and ids mean the same on every rank;
            references stay each rank's own. The average of the ranks' means is the mean of that batch, and so for its
            gradient; ``"none"`` and ``"sum"`` are of the rank's own anchors.

    Returns:
        A scalar, or (N,): 0 for an anchor without a positive. ``mean`` is over the anchors that have one; without any
        the loss is 0.0, with zero gradients.

    Raises:
        ValueError: Wrong shapes, ``temperature`` not above 0 or not finite, arguments that exclude each other.
        TypeError: Labels that are no integers, references in another precision.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> supcon_loss(x, torch.tensor([0, 0, 1, 1]), temperature=1.0)
        tensor(0.5514)

    Source:
        Khosla et al., Supervised Contrastive Learning, arXiv:2004.11362, eq. 2 (L_out); tau = 0.1 is the paper's. The
        authors' code multiplies the loss by tau / 0.07, which is left out here. Of the ways to take several labels
        this is the one that Zhang and Wu, Multi-Label Supervised Contrastive Learning, AAAI 2024, call ANY.
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
    return _among_others(compared, temperature, sample_weight, reduction, group)


class SupConLoss(Loss):
    """:func:`supcon_loss` as a Module."""

    fn = staticmethod(supcon_loss)
    temperature: Positive = 0.1
    reduction: Reduction = "mean"


@across_ranks
@checked
def nt_xent_loss(
    embeddings: Tensor,
    other: Tensor,
    /,
    *,
    temperature: Positive = 0.5,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
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
        group: Process group whose ranks' views are one batch, in which labels and ids mean the same on every rank. The
            average of the ranks' means is the mean of that batch, and so for its gradient; ``"none"`` and ``"sum"``
            are of the rank's own views.

    Returns:
        A scalar, or one loss a view: (2N,), first views first, or (N,) with labels. ``mean`` is over views that have
        another; without any the loss is 0.0, with zero gradients.

    Raises:
        ValueError: Wrong shapes, ``temperature`` not above 0 or not finite.
        TypeError: Views in different precisions.

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
    labels = other
    if other.dtype.is_floating_point:
        check_dim("embeddings", embeddings, 2, "(N, D)")
        check_same_shape("other", other, "embeddings", embeddings)
        check_same_precision("other", other, "embeddings", embeddings)
        labels = numbered(embeddings, group).repeat(2)
        if ids is not None:
            ids = check_labels("ids", ids, embeddings.shape[0]).repeat(2)
        if mask is not None:
            check_shape("mask", mask, (embeddings.shape[0],))
            mask = mask.repeat(2)
        embeddings = torch.cat([embeddings, other])
    compared = compare(embeddings, labels, ids=ids, sample_weight=sample_weight, mask=mask, group=group)
    return _among_others(compared, temperature, sample_weight, reduction, group)


class NTXentLoss(Loss):
    """:func:`nt_xent_loss` as a Module."""

    fn = staticmethod(nt_xent_loss)
    temperature: Positive = 0.5
    reduction: Reduction = "mean"


def _draw_labelled(g: Generator, dt: dtype) -> Call:
    # Labels in no order, classes of 3, 3, 2 and 1 items
    return Call((normal(g, dt, 9, 4), torch.tensor([0, 1, 0, 2, 1, 3, 0, 1, 2])))


def _draw_views(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 5, 4), normal(g, dt, 5, 4)))


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
        Call((axes, torch.tensor([[1, 0], [1, 1], [0, 1], [0, 0]]))),  # several labels, and none
        Call((axes, two), {"ref_embeddings": axes[1:] * 1e4, "ref_labels": two[1:]}),
        Call((axes, two), {"ref_embeddings": axes[:0], "ref_labels": two[:0]}),  # an empty memory
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


def _golden_views(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["z1"], inputs["z2"]), dict(params))


def _golden_labelled(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["embeddings"], inputs["labels"]), dict(params))


CARDS = (
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
        at_call=frozenset({"sample_weight", "positives", "ref_embeddings", "ref_labels", "ids", "mask", "group"}),
        when="Embeddings for classes never seen in training; no class weights to store. Wants large batches.",
        pitfalls=(
            "The authors' code multiplies the loss by tau / 0.07: learning rates do not carry over.",
            "Batches without a second item of a class teach nothing: the loss is 0 there.",
            "Under data-parallel training a rank has its own items for negatives only: give `group`.",
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
        at_call=frozenset({"sample_weight", "ids", "mask", "group"}),
        when="Two or more augmented views of unlabelled items. Wants large batches.",
        pitfalls=(
            "With labels, all views of an item must share one, and no other item may bear it.",
            "SimCLR's code returns twice this value.",
            "Under data-parallel training a rank has its own items for negatives only: give `group`.",
        ),
        relatives=("supcon_loss",),
    ),
)

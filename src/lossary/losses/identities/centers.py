"""Class centers: embeddings are drawn to one point per class."""

from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from lossary.core.card import Card
from lossary.core.check import check_dim, check_float, check_labels, check_range, wide_integers
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, reduce
from lossary.core.rules import FRACTION, Count, checked
from lossary.distributed import across_ranks, gathered
from lossary.distributed.shards import check_whole
from lossary.kernels.distances import squares
from lossary.kernels.stable import accumulate
from lossary.kernels.tuples import apart, first_of_class
from lossary.losses._pointwise import hide

__all__ = [
    "CenterLoss",
    "ClassMeanCenterLoss",
    "MovingCenterLoss",
    "center_loss",
    "class_means",
    "moved_centers",
]


@across_ranks
@checked
def center_loss(
    embeddings: Tensor,
    centers: Tensor,
    labels: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Half the squared distance between an embedding and its class's center.

    .. math:: \frac{1}{2} |x - c_y|^2

    Use it with a classification loss, multiplied by a small factor: alone it is smallest when all embeddings and
    centers coincide. :class:`CenterLoss` learns its centers, :class:`MovingCenterLoss` updates them as in the paper,
    :class:`ClassMeanCenterLoss` uses the batch's class means.

    Args:
        embeddings: (N, D).
        centers: (C, D), one per class.
        labels: (N,) class indices of any integer dtype.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an item counts; embeddings elsewhere may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' items form one batch: for the mean, and for the centers that
            :class:`MovingCenterLoss` and :class:`ClassMeanCenterLoss` compute from a batch.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Wrong shapes.
        TypeError: Labels that are not integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> center_loss(torch.tensor([[3.0, 4.0]]), torch.zeros(2, 2), torch.tensor([1]))
        tensor(12.5000)

    Source:
        Wen et al., A Discriminative Feature Learning Approach for Deep Face Recognition, ECCV 2016, eq. 2, which sums
        over the batch; the mean is the default here. Much code computes all N x C distances to keep one per row.
    """
    check_dim("embeddings", embeddings, 2, "(N, D)")
    check_dim("centers", centers, 2, "(C, D)")
    check_whole(centers, "centers")
    check_float("embeddings", embeddings)
    if embeddings.shape[1] != centers.shape[1]:
        raise ValueError(f"centers: wanted (C, {embeddings.shape[1]}) to match embeddings; got {tuple(centers.shape)}")
    labels = check_labels("labels", labels, embeddings.shape[0])
    sample_weight, mask = align(sample_weight, mask, labels.shape)
    x = accumulate(embeddings)
    if mask is not None:
        x, labels = hide(x, mask[:, None]), hide(labels, mask)
    check_range("labels", labels, centers.shape[0])
    losses = squares(x - accumulate(centers)[labels]) / 2
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction, group=group)


class CenterLoss(Loss):
    """:func:`center_loss` with centers that learn: called ``(embeddings, labels)``.

    Args:
        num_classes: C.
        embedding_size: D.
    """

    fn = staticmethod(center_loss)
    num_classes: Count
    embedding_size: Count
    reduction: Reduction = "mean"

    def setup(self) -> None:
        self.centers = nn.Parameter(torch.randn(self.num_classes, self.embedding_size) * self.embedding_size**-0.5)

    def forward(self, embeddings: Tensor, labels: Tensor, **extra: Any) -> Tensor:
        return super().forward(embeddings, self.centers, labels, **extra)


def moved_centers(
    centers: Tensor,
    embeddings: Tensor,
    labels: Tensor,
    rate: float = 0.5,
    mask: Tensor | None = None,
    sample_weight: Tensor | None = None,
) -> Tensor:
    r"""The centers after the paper's update, (C, D).

    .. math:: c_j - \alpha \frac{\sum_{y_i = j} (c_j - x_i)}{1 + n_j}

    where n_j counts the batch's items of class j (those in ``mask``): a class without items stays. An item with a
    ``sample_weight`` of 2 counts as two, one with 0 as none.

    Example:
        >>> import torch
        >>> moved_centers(torch.zeros(2, 1), torch.tensor([[1.0], [2.0]]), torch.tensor([0, 0]), rate=1.0)
        tensor([[1.],
                [0.]])

    Source:
        Wen et al., ECCV 2016, eq. 4.
    """
    labels = hide(wide_integers("labels", labels), mask)
    offset = centers[labels] - embeddings.to(centers.dtype)
    share = centers.new_ones(labels.shape)
    if mask is not None:
        offset, share = hide(offset, mask[:, None]), hide(share, mask)
    if sample_weight is not None:
        share = share * sample_weight.to(share.dtype)
        offset = offset * share[:, None]
    count = centers.new_zeros(centers.shape[0]).index_add(0, labels, share)
    pull = torch.zeros_like(centers).index_add(0, labels, offset)
    return centers - rate * pull / (1 + count)[:, None]


class MovingCenterLoss(Loss):
    """:func:`center_loss` with the paper's centers: they have no gradient, but each training batch moves them (eq. 4).

    Every call in training mode moves the centers by ``rate`` after computing the loss; they are saved with the state.
    Items that are masked or have a ``sample_weight`` of 0 do not move them.

    Args:
        num_classes: C.
        embedding_size: D.
        rate: alpha, how far a batch moves the centers of its classes, in [0, 1].
    """

    fn = staticmethod(center_loss)
    num_classes: Count
    embedding_size: Count
    rate: Annotated[float, FRACTION] = 0.5
    reduction: Reduction = "mean"

    def setup(self) -> None:
        self.register_buffer("centers", torch.zeros(self.num_classes, self.embedding_size))

    def forward(self, embeddings: Tensor, labels: Tensor, **extra: Any) -> Tensor:
        centers = self.get_buffer("centers")
        # A copy, since the update must not change what the backward pass reads.
        loss = super().forward(embeddings, centers.clone(), labels, **extra)
        if self.training:
            weight, mask = align(extra.get("sample_weight"), extra.get("mask"), labels.shape)
            # Always a mask: it also stands for weights of 0, which only some ranks may have.
            mask = (torch.ones_like(labels, dtype=torch.bool) if mask is None else mask).expand(labels.shape)
            weight = None if weight is None else weight.expand(labels.shape)
            x, labels, mask, weight = gathered(
                extra.get("group"), embeddings=embeddings.detach(), labels=labels, mask=mask, sample_weight=weight
            )
            centers.copy_(moved_centers(centers, x, labels, self.rate, mask, weight))
        return loss


def class_means(embeddings: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean of each item's class in the batch, (N, D): the centers of items, not of classes.

    Items outside ``mask``, (N,) boolean, are in no mean and may be NaN.

    Example:
        >>> import torch
        >>> class_means(torch.tensor([[1.0], [2.0], [5.0]]), torch.tensor([7, 3, 7]))
        tensor([[3.],
                [2.],
                [3.]])
    """
    x, labels = accumulate(embeddings), wide_integers("labels", labels)
    if mask is not None:
        x, labels = hide(x, mask[:, None]), apart(labels, mask)
    first = first_of_class(labels)
    count = x.new_zeros(labels.shape).index_add(0, first, x.new_ones(labels.shape))
    return (torch.zeros_like(x).index_add(0, first, x) / count.clamp_min(1)[:, None])[first]


class ClassMeanCenterLoss(Loss):
    """:func:`center_loss` to the class means of the batch itself: no centers to keep, any labels.

    The gradient flows through the means too. Batches need several items per class: a single item is its own center. A
    masked item is in no mean; one with a ``sample_weight`` of 0 is, but has no loss of its own.
    """

    fn = staticmethod(center_loss)
    reduction: Reduction = "mean"

    def forward(self, embeddings: Tensor, labels: Tensor, **extra: Any) -> Tensor:
        check_dim("embeddings", embeddings, 2, "(N, D)")
        labels = check_labels("labels", labels, embeddings.shape[0])
        own = torch.arange(embeddings.shape[0], device=embeddings.device)
        _, mask = align(None, extra.get("mask"), labels.shape)
        means = batch_means(embeddings, labels, mask=mask, group=extra.get("group"))
        return super().forward(embeddings, means, own, **extra)


@across_ranks
def batch_means(embeddings: Tensor, labels: Tensor, *, mask: Tensor | None, group: ProcessGroup | None) -> Tensor:
    """:func:`class_means` for this rank's items, over those of all ranks."""
    mask = mask if mask is None else mask.expand(labels.shape)
    x, labels, mask = gathered(group, embeddings.dtype, embeddings=accumulate(embeddings), labels=labels, mask=mask)
    return class_means(x, labels, mask)[: len(embeddings)]


CARDS = (
    Card(
        fn=center_loss,
        module=CenterLoss,
        takes=("embeddings-centers-labels",),
        input="embeddings",
        data="identities",
        formula=r"\frac{1}{2} |x - c_y|^2",
        symbols={
            r"x": "an item of `embeddings`",
            r"c_y": "the row of `centers` for the item's class",
            r"y": "the item's class, from `labels`",
        },
        kernel="none",
        item="row",
        paper="Wen et al., ECCV 2016",
        equation="2",
        defaults="none to choose; the paper multiplies the loss by 0.003 and adds it to the softmax loss",
        at_call=frozenset({"sample_weight", "mask", "group"}),
        when="With a classification loss, to make its classes compact; never alone.",
        pitfalls=(
            "Alone it collapses: the loss is 0 when all embeddings and centers coincide.",
            "The paper's centers are not trained by this gradient but by its equation 4: `MovingCenterLoss`.",
            "Learned centers need their own, larger learning rate.",
            "Code that computes N x C distances wastes memory: one gather is enough.",
        ),
        relatives=("normalized_softmax_loss", "contrastive_loss"),
    ),
)

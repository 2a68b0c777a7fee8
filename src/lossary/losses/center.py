"""Class centers: embeddings drawn to that of their class (center loss), and away from the others' (GE2E)."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import torch
from torch import Generator, Tensor, dtype, nn
from torch.distributed import ProcessGroup

from lossary._check import (
    check_dim,
    check_float,
    check_labels,
    check_range,
    check_shape,
    values_visible,
    wide_integers,
)
from lossary._loss import Loss
from lossary._reduce import Reduction, align, reduce
from lossary._rules import FRACTION, POSITIVE, Count, Positive, checked
from lossary.cards import Call, Card, Choice, Range
from lossary.distributed import across_ranks, gathered, numbered
from lossary.draws import labels as draw_labels
from lossary.draws import normal
from lossary.kernels.distances import squares
from lossary.kernels.products import product
from lossary.kernels.rows import Bilinear, Rows, Targets, row_loss
from lossary.kernels.stable import ABSENT, accumulate, softplus, unit
from lossary.kernels.tuples import apart, first_of_class
from lossary.losses._pointwise import hide

__all__ = [
    "CenterLoss",
    "ClassMeanCenterLoss",
    "GE2ELoss",
    "MovingCenterLoss",
    "center_loss",
    "class_means",
    "ge2e_loss",
    "moved_centers",
]


@checked
def center_loss(
    embeddings: Tensor,
    centers: Tensor,
    labels: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Half the squared distance between an embedding and its class's center.

    .. math:: \frac{1}{2} |x - c_y|^2

    Used beside a classification loss, multiplied by a small factor: alone it is smallest when all embeddings and
    centers are one point. :class:`CenterLoss` learns its centers, :class:`MovingCenterLoss` has the paper's
    update, :class:`ClassMeanCenterLoss` takes the class means of the batch.

    Args:
        embeddings: (N, D).
        centers: (C, D), one a class.
        labels: (N,) class indices of any integer dtype.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an item counts; embeddings elsewhere may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Wrong shapes.
        TypeError: Labels that are no integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> center_loss(torch.tensor([[3.0, 4.0]]), torch.zeros(2, 2), torch.tensor([1]))
        tensor(12.5000)

    Source:
        Wen et al., A Discriminative Feature Learning Approach for Deep Face Recognition, ECCV 2016, eq. 2,
        which sums over the batch; the mean is the default here. Much code computes all N x C distances to keep
        one a row.
    """
    check_dim("embeddings", embeddings, 2, "(N, D)")
    check_dim("centers", centers, 2, "(C, D)")
    check_float("embeddings", embeddings)
    if embeddings.shape[1] != centers.shape[1]:
        raise ValueError(f"centers: wanted (C, {embeddings.shape[1]}) beside embeddings; got {tuple(centers.shape)}")
    labels = check_labels("labels", labels, embeddings.shape[0])
    sample_weight, mask = align(sample_weight, mask, labels.shape)
    x = accumulate(embeddings)
    if mask is not None:
        x, labels = hide(x, mask[:, None]), hide(labels, mask)
    check_range("labels", labels, centers.shape[0])
    return reduce(squares(x - accumulate(centers)[labels]) / 2, weight=sample_weight, mask=mask, reduction=reduction)


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

    where n_j counts the batch's items of class j (those in ``mask``): a class that the batch lacks stays. An item of
    ``sample_weight`` 2 counts as two, one of 0 as none.

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
    """:func:`center_loss` with the paper's centers: no gradient, but in training moved by every batch (eq. 4).

    Every call in training mode moves the centers by ``rate`` after the loss is taken; they are saved with the state.
    What is masked or of ``sample_weight`` 0 does not move them.

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
        # A copy: the update must not change what the backward pass looks at.
        loss = super().forward(embeddings, centers.clone(), labels, **extra)
        if self.training:
            weight, mask = align(extra.get("sample_weight"), extra.get("mask"), labels.shape)
            centers.copy_(moved_centers(centers, embeddings.detach(), labels, self.rate, mask, weight))
        return loss


def class_means(embeddings: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean of each item's class in the batch, (N, D): the centers of items, not of classes.

    Items outside of ``mask``, (N,) boolean, are in no mean, and may be NaN.

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

    The gradient flows through the means too. Batches want several items a class: a single item is its own center.
    A masked item is in no mean; one of ``sample_weight`` 0 is, and has no loss of its own.
    """

    fn = staticmethod(center_loss)
    reduction: Reduction = "mean"

    def forward(self, embeddings: Tensor, labels: Tensor, **extra: Any) -> Tensor:
        check_dim("embeddings", embeddings, 2, "(N, D)")
        labels = check_labels("labels", labels, embeddings.shape[0])
        own = torch.arange(embeddings.shape[0], device=embeddings.device)
        _, mask = align(None, extra.get("mask"), labels.shape)
        means = class_means(embeddings, labels, mask if mask is None else mask.expand(labels.shape))
        return super().forward(embeddings, means, own, **extra)


@across_ranks
@checked
def ge2e_loss(
    embeddings: Tensor,
    labels: Tensor | None = None,
    /,
    *,
    w: Positive = 10.0,
    b: float | Tensor = -5.0,
    kind: Literal["softmax", "contrast"] = "softmax",
    normalize: bool = True,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Each utterance must be nearer to its speaker's centroid than to the other speakers'.

    .. math:: S_k = w \cos(e, c_k) + b, \qquad
        -S_y + \log \sum_k e^{S_k} \quad\text{(softmax)}, \qquad
        1 - \sigma(S_y) + \max_{k \ne y} \sigma(S_k) \quad\text{(contrast)}

    where ``c_k`` is the mean of speaker k's utterances in the batch, for the own speaker without the utterance itself.

    Args:
        embeddings: (S, U, D) with U utterances of each of S speakers; or (N, D) beside ``labels``.
        labels: (N,) integers, which speaker an utterance is of; None for (S, U, D).
        w: Above 0; a tensor learns. :class:`GE2ELoss` learns it and cannot make it negative.
        b: Cancels in the softmax kind.
        kind: ``"softmax"`` or ``"contrast"``.
        normalize: Normalises the embeddings before the centroids are taken.
        ids: Integers, (S,) or (N,), the same for all utterances of a speaker: speakers that share one, as two accounts
            of one person, are never each other's negatives.
        sample_weight: Weights of the utterances, (S, U) or (N,).
        mask: Boolean, (S, U) or (N,); an utterance that does not count is in no centroid, and may be NaN.
        reduction: ``"none"`` (S, U) or (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' utterances are one batch, in which labels and ids mean the same on every rank;
            without labels no speaker is on two ranks. The average of the ranks' means is the mean of that batch, and
            so for its gradient; ``"none"`` and ``"sum"`` are of the rank's own utterances.

    Returns:
        A scalar, or one loss an utterance. An utterance that is its speaker's only one is 0 and outside of the mean,
        but a centroid for the others; without any other the loss is 0.0, with zero gradients.

    Raises:
        ValueError: Wrong shapes, fewer than two utterances a speaker, ``w`` not above 0, an unknown option.
        TypeError: Labels that are no integers.

    Example:
        >>> import torch
        >>> speakers = torch.eye(2)[:, None].expand(2, 3, 2)
        >>> ge2e_loss(speakers, w=1.0)
        tensor(0.3133)

    Source:
        Wan et al., Generalized End-to-End Loss for Speaker Verification, arXiv:1710.10467, eq. 5-9, which sums; the
        mean is the default here. w = 10 and b = -5 are its start values. Much code clamps w without keeping the
        result, and clamps cosines to positive ones, which silences dissimilar pairs.
    """
    check_float("embeddings", embeddings)
    if isinstance(w, Tensor) and values_visible(w) and not (w > 0).all():
        raise ValueError(f"w: wanted a number above 0; got {w.item()}")
    shape = embeddings.shape[:-1]
    u = _utterances(embeddings, labels, ids, sample_weight, mask, group)
    everyone, ours = unit(u.x) if normalize else u.x, slice(0, shape.numel())
    x, column = everyone[ours], u.column[ours]
    direction = x if normalize else unit(x)
    sums = x.new_zeros(u.columns, x.shape[1]).index_add(0, u.column, everyone)
    count = x.new_zeros(u.columns).index_add(0, u.column, u.counted.to(x.dtype))
    # Cosines know no length: the sums stand for the means. The own one without the utterance itself.
    own = w * (direction * unit(sums[column] - x)).sum(1) + b
    shift = torch.where(count > 0, torch.zeros_like(count), torch.full_like(count, ABSENT)) + b
    weight = ((count[column] > 1) & u.counted[ours]).to(x.dtype)
    if sample_weight is not None:
        weight = weight * sample_weight.flatten().to(x.dtype)
    targets = Targets(
        column,
        torch.arange(u.columns, device=x.device),
        row_groups=None if u.column_ids is None else u.column_ids[column],
        column_groups=u.column_ids,
    )
    if kind == "softmax":
        source = Bilinear(w * direction, sums, shift, unit=True)
        loss = row_loss(_softmax_kind, source, targets, own, weight=weight, reduction=reduction, group=group)
    else:
        scores = w * (product(direction, unit(sums))) + shift
        loss = reduce(_contrast_kind(scores, targets, own), weight=weight, reduction=reduction, group=group)
    return loss.reshape(shape) if reduction == "none" else loss


class _Utterances(NamedTuple):
    """The utterances of all ranks, flat, those of this one first."""

    x: Tensor  # (N, D), accumulated, 0 where one does not count
    column: Tensor  # (N,) which column is that of its speaker's centroid
    columns: int  # how many there are, some perhaps of nobody
    counted: Tensor  # (N,) boolean
    column_ids: Tensor | None  # (columns,)


def _utterances(
    embeddings: Tensor,
    labels: Tensor | None,
    ids: Tensor | None,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    group: ProcessGroup | None,
) -> _Utterances:
    if labels is None:
        check_dim("embeddings", embeddings, 3, "(S, U, D) without labels")
        if embeddings.shape[1] < 2:
            came = f"got shape {tuple(embeddings.shape)}"
            raise ValueError(f"embeddings: wanted at least 2 utterances a speaker; {came}")
        labels = numbered(embeddings, group).repeat_interleave(embeddings.shape[1])
    else:
        check_dim("embeddings", embeddings, 2, "(N, D)")
        labels = check_labels("labels", labels, embeddings.shape[0])
    shape, speakers = embeddings.shape[:-1], embeddings.shape[0]
    if ids is not None:
        ids = check_labels("ids", ids, speakers).repeat_interleave(shape.numel() // max(speakers, 1))
    if sample_weight is not None:
        check_shape("sample_weight", sample_weight, tuple(shape))
    _, mask = align(None, mask, shape)
    x = accumulate(embeddings).flatten(0, -2)
    counted = x.new_ones(len(x), dtype=torch.bool) if mask is None else mask.expand(shape).flatten()
    x = x if mask is None else hide(x, counted[:, None])
    x, speaker, ids, counted = gathered(group, embeddings=x, labels=labels, ids=ids, mask=counted)
    if embeddings.dim() == 3 and group is None:
        # Speakers are numbered: no column is of nobody.
        return _Utterances(x, speaker, speakers, counted, None if ids is None else ids[:: shape[1]])
    # A speaker's column is that of its first utterance; the other columns are of nobody.
    column = first_of_class(speaker if mask is None else apart(speaker, counted))
    return _Utterances(x, column, len(x), counted, ids)


def _softmax_kind(rows: Rows, own: Tensor) -> Tensor:
    return softplus(rows.rest - own)


def _contrast_kind(scores: Tensor, targets: Targets, own: Tensor) -> Tensor:
    if scores.shape[1] == 0:
        return own
    others = scores.scatter(1, targets.rows[:, None], -torch.inf)
    if targets.row_groups is not None:
        others = others.masked_fill(targets.row_groups[:, None] == targets.column_groups, -torch.inf)
    # By index: of tied speakers the gradient goes to the first.
    nearest = others.gather(1, others.argmax(1, keepdim=True))[:, 0]
    return torch.sigmoid(-own) + torch.sigmoid(nearest)


class GE2ELoss(Loss):
    """:func:`ge2e_loss` that learns w and b, from the given ones on.

    w is learned by its logarithm, so that no step of an optimiser can take it to 0 or below.
    """

    fn = staticmethod(ge2e_loss)
    w: Annotated[float, POSITIVE] = 10.0
    b: float = -5.0
    kind: Literal["softmax", "contrast"] = "softmax"
    normalize: bool = True
    reduction: Reduction = "mean"

    def setup(self) -> None:
        self.log_gain = nn.Parameter(torch.zeros(()))
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, *inputs: Tensor, **extra: Any) -> Tensor:
        learned = {"w": self.w * self.log_gain.exp(), "b": self.b + self.shift}
        return super().forward(*inputs, **{**learned, **extra})


def _draw(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), normal(g, dt, 7, 5), draw_labels(g, 7, 6)))


def _edges(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    labels = torch.tensor([0, 1, 1], dtype=torch.int32)
    return (
        Call((axes, axes.clone(), labels)),  # on the center
        Call((axes * 1e4, -axes, labels)),
        Call((axes[:0], axes.clone(), labels[:0])),  # empty
    )


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["features"], inputs["centers"], inputs["labels"]), dict(params))


def _draw_utterances(g: Generator, dt: dtype) -> Call:
    # Labels in no order, speakers with 3, 3, 2 and 1 utterances
    return Call((normal(g, dt, 9, 4), torch.tensor([0, 1, 0, 2, 1, 3, 0, 1, 2])))


def _edges_utterances(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(4, dtype=dt)
    two = torch.tensor([0, 0, 1, 1])
    return (
        Call((torch.stack([axes[:2], -axes[:2]]),)),  # (S, U, D); cosine exactly -1
        Call((axes[[0, 0, 1, 1]] * 1e4, two)),  # exactly 1 within speakers
        Call((torch.cat([axes[:2], -axes[:2]]), torch.tensor([0, 1, 0, 1], dtype=torch.int32))),  # opposite: centroid 0
        Call((torch.ones(4, 2, dtype=dt), two)),  # identical: all speakers tie
        Call((torch.cat([axes[:3], axes.new_zeros(1, 4)]), two)),  # a zero vector
        Call((axes, torch.zeros(4, dtype=torch.int64))),  # one speaker
        Call((axes, torch.arange(4))),  # one utterance each
        Call((axes, two), {"ids": torch.zeros(4, dtype=torch.int64)}),  # no other speaker
        Call((axes[:0], two[:0])),  # empty
    )


def _golden_ge2e(kind: str, inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["embeddings"],), {**params, "w": inputs["w"], "b": inputs["b"], "kind": kind})


CARDS = (
    Card(
        fn=center_loss,
        module=CenterLoss,
        formula=r"\frac{1}{2} |x - c_y|^2",
        data="identities",
        kernel="none",
        item="row",
        paper="Wen et al., ECCV 2016",
        equation="2",
        defaults="none to choose; the paper multiplies the loss by 0.003 beside the softmax's",
        draw=_draw,
        edges=_edges,
        golden={"center_loss": _golden},
        at_call=frozenset({"sample_weight", "mask"}),
        when="Beside a classification loss, to make its classes compact; never alone.",
        pitfalls=(
            "Alone it collapses: all embeddings and all centers in one point cost nothing.",
            "The paper's centers are not trained by this gradient but by its equation 4: `MovingCenterLoss`.",
            "Learned centers want their own, larger learning rate.",
            "Code that computes N x C distances spends memory on what one gather gives.",
        ),
        relatives=("normalized_softmax_loss", "contrastive_loss"),
    ),
    Card(
        fn=ge2e_loss,
        module=GE2ELoss,
        formula=r"-S_y + \log \sum_k e^{S_k}, \qquad S_k = w \cos(e, c_k) + b",
        data="identities",
        kernel="rows",
        item="anchor",
        paper="arXiv:1710.10467",
        equation="6",
        defaults="the paper's start values",
        draw=_draw_utterances,
        edges=_edges_utterances,
        variants=({}, {"w": 2.0, "kind": "contrast", "b": -0.5}, {"w": 3.0, "normalize": False}),
        golden={"ge2e_softmax": partial(_golden_ge2e, "softmax"), "ge2e_contrast": partial(_golden_ge2e, "contrast")},
        search={"w": Range(3.0, 30.0, log=True), "kind": Choice(("softmax", "contrast"))},
        batch="m-per-class",
        separable=False,
        mean_is_plain=False,
        at_call=frozenset({"sample_weight", "mask", "ids", "group"}),
        when="Speakers, or other identities with several samples a batch, compared by cosine to a centroid.",
        pitfalls=(
            "w must stay above 0: clamping a copy of it does nothing.",
            "The own centroid must leave the utterance out, or a batch of two is easy for the wrong reason.",
        ),
        relatives=("supcon_loss", "normalized_softmax_loss"),
        aliases=("generalized_end_to_end_loss",),
    ),
)

"""A student that predicts what its own teacher sees in other views of the same items."""

from collections.abc import Iterator
from functools import reduce as folded
from typing import Annotated

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core import device as _device
from lossary.core.card import Card, Range
from lossary.core.check import check_dim, check_float, check_number, check_same_shape, check_shape
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, reduce
from lossary.core.rules import Count, Positive, checked
from lossary.distributed import Ranks, across_ranks
from lossary.distributed.handshake import sum_over_ranks
from lossary.kernels.assignment import balanced
from lossary.kernels.rows.exponentials import LN_2
from lossary.kernels.rows.readings import ItemBlock
from lossary.kernels.rows.swept import Pulled, in_common, of_pieces, piece_width
from lossary.kernels.stable import accumulate, parameters, unit
from lossary.losses._batch import check_same_precision
from lossary.losses._pointwise import hide
from lossary.losses.classes.divergence import times

__all__ = [
    "DINOLoss",
    "NegativeCosineLoss",
    "SwAVLoss",
    "dino_loss",
    "negative_cosine_loss",
    "swav_loss",
]

#: One number per prototype.
Center = Annotated[Tensor, check_float]


def view_entropy(student: Tensor, teacher: Tensor, apart: bool) -> Tensor:
    """(N,) the mean cross-entropy of the student's views (N, V, K) against the teacher's (N, U, K), both as logits.

    With ``apart``, the first views of both are the same pictures, and no picture is compared with itself.
    """
    log_p, q = student.log_softmax(-1), teacher.softmax(-1)
    same = min(log_p.shape[1], q.shape[1]) if apart else 0
    # It is linear in the logarithms, so those with the same targets are added up first.
    total = times(q.sum(1), -log_p[:, same:].sum(1)).sum(-1)
    for v in range(same):
        others = torch.cat([q[:, :v], q[:, v + 1 :]], 1).sum(1)
        total = total + times(others, -log_p[:, v]).sum(-1)
    return total / (log_p.shape[1] * q.shape[1] - same)


def view_pull(
    student: ItemBlock, teacher: ItemBlock, by_loss: Tensor, apart: bool
) -> tuple[Tensor, tuple[Pulled, None]]:
    """:func:`view_entropy` and its gradient, of scores in units of log 2; ``by_loss`` (N,) is that of the losses.

    In as few passes over pieces as possible, because there are so many scores.
    """
    views, seen = student.each, teacher.each
    same = min(views, seen) if apart else 0
    pairs, sums, along, parts = views * seen - same, student.sums(), [], []
    targets = teacher.by_item(_softmax_(teacher)).split(piece_width(student.scores))
    for part, q in zip(student.pieces, targets, strict=True):
        along.append(_products(student.by_item(part), q, same))
        sums.add(part)
        parts.append(part)
    log_sums, shares = sums.end()
    others = log_sums.new_full((views, 1), seen / pairs)  # of the teacher's views, as a share of all pairs
    others[:same] -= 1 / pairs
    logs = (others * student.by_item(log_sums[:, None])[0]).sum(0)
    losses = torch.sub(logs, folded(torch.add, along), alpha=LN_2 / pairs)
    each, less = student.of_rows(others * by_loss) * shares, (by_loss / pairs).expand(views, -1)
    common = in_common(shares) if seen > 1 or not same else None
    if common is not None:
        less = 1 / pairs / (others * student.by_item(common))

    def slopes() -> Iterator[Tensor]:
        for part, share, q in zip(parts, of_pieces(each, len(parts)), targets, strict=True):
            p = student.by_item(part.mul_(share) if common is None else part)
            p.addcmul_(q.sum(1, keepdim=True), less, value=-1)
            p[:, :same].addcmul_(q[:, :same], less[..., :same, :])
            yield part

    return losses, (Pulled(slopes()) if common is None else Pulled(slopes(), 1.0, each[0]), None)


def _products(z: Tensor, q: Tensor, same: int) -> Tensor:
    """(n,) the products of a piece's probabilities (c, U, n) with the scores of all other views (c, V, n), summed."""
    if not _device.by_cache(z):
        products = torch.bmm(z.permute(2, 1, 0), q.permute(2, 0, 1))
        products.diagonal(dim1=1, dim2=2)[:, :same].zero_()
        return products.sum((1, 2))
    every = z.sum(1, keepdim=True)  # many small products would take ten times as long
    total = (every - z[:, :same]).mul_(q[:, :same]).sum((0, 1))
    return total if q.shape[1] == same else total + (every * q[:, same:]).sum((0, 1))


def _softmax_(block: ItemBlock) -> Tensor:
    """All its scores become probabilities."""
    sums, parts = block.sums(), []
    for part in block.pieces:
        sums.add(part)
        parts.append(part)
    for part, share in zip(parts, of_pieces(sums.end()[1], len(parts)), strict=True):
        part.mul_(share)
    return block.scores


def check_views(student: Tensor, teacher: Tensor) -> bool:
    """Whether there are several views per item; then at least one must differ from a teacher's view."""
    check_dim("student", student, (2, 3), "(N, K) or (N, V, K)")
    check_float("student", student)
    check_float("teacher", teacher)
    check_same_precision("teacher", teacher, "student", student)
    apart = student.dim() == 3
    if teacher.dim() != student.dim() or teacher.shape[:1] != student.shape[:1]:
        wanted = f"wanted {'(N, U, K)' if apart else '(N, K)'} to match student, {tuple(student.shape)}"
        raise ValueError(f"teacher: {wanted}; got {tuple(teacher.shape)}")
    if apart and student.shape[1] * teacher.shape[1] < 2:
        wanted = "wanted a view of an item that is not the teacher's own"
        raise ValueError(f"student: {wanted}; got {tuple(student.shape)} with teacher {tuple(teacher.shape)}")
    return apart


def in_views(x: Tensor, mask: Tensor | None) -> Tensor:
    """(N, V, ...) accumulated, 0 where an item does not count."""
    x = accumulate(x if x.dim() == 3 else x[:, None])
    return x if mask is None else hide(x, mask[:, None, None])


@checked
def dino_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    center: Center | None = None,
    student_temperature: Positive = 0.1,
    teacher_temperature: Positive = 0.04,
    hold_teacher: bool = True,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""A student's prototypes for a view must match the teacher's for another view of the same item (DINO).

    .. math:: -\frac{1}{P} \sum_{u \ne v} \sum_k q_{uk} \log p_{vk}, \quad
        q_u = \mathrm{softmax}\Big(\frac{t_u - c}{\tau_t}\Big),\ p_v = \mathrm{softmax}\Big(\frac{s_v}{\tau_s}\Big)

    For so many prototypes that their scores would not fit, use :class:`DINOHead`, which also keeps the center.

    Args:
        student: Scores of K prototypes, (N, V, K): V views per item, the first U of which are the teacher's; or (N, K),
            with the teacher's of another view.
        teacher: (N, U, K), or (N, K).
        center: (K,), their running mean, subtracted from the teacher's scores: see :meth:`DINOLoss.update_center`. None
            is 0.
        student_temperature: tau_s, above 0; a Parameter is learned.
        teacher_temperature: tau_t, above 0: below the student's it sharpens the targets; a Parameter is learned.
        hold_teacher: Whether the gradient treats the teacher's scores as constants.
        sample_weight: (N,) weights of the items; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an item counts: a masked patch, where items are patches (iBOT).
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,): the mean over an item's P pairs of views.

    Raises:
        ValueError: Wrong shapes, a single view of both, a temperature not above 0.
        TypeError: Scores in different precisions.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[[0.4, 0.0, 0.0], [0.3, 0.1, 0.0]]])  # two views, which change places
        >>> dino_loss(scores, scores)
        tensor(0.1175)

    Source:
        Caron et al., Emerging Properties in Self-Supervised Vision Transformers, arXiv:2104.14294, eq. 2 and 3, and
        algorithm 1, whose temperatures these are. Masked patches: Zhou et al., iBOT, arXiv:2111.07832. In the code of
        both, the center starts at 0 and moves after the loss, so the first step has none. Their recipes warm the
        teacher's temperature up from 0.04 to 0.07, in 30 epochs.
    """
    apart = _check_scores(student, teacher)
    if center is not None:
        check_shape("center", center, student.shape[-1:])
    sample_weight, mask = align(sample_weight, mask, student.shape[:1])
    student, teacher = in_views(student, mask), in_views(teacher.detach() if hold_teacher else teacher, mask)
    student_temperature, teacher_temperature = parameters((student_temperature, teacher_temperature), student)
    teacher = teacher if center is None else teacher - center.to(teacher.dtype)
    losses = view_entropy(student / student_temperature, teacher / teacher_temperature, apart)
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)


def _check_scores(student: Tensor, teacher: Tensor) -> bool:
    apart = check_views(student, teacher)
    if teacher.shape[-1] != student.shape[-1]:
        raise ValueError(f"teacher: wanted {student.shape[-1]} prototypes, as student has; got {tuple(teacher.shape)}")
    return apart


class DINOLoss(Loss):
    """:func:`dino_loss` as a Module. With ``center=torch.zeros(K)`` it keeps the center: see :meth:`update_center`."""

    fn = staticmethod(dino_loss)
    center: Center | None = None
    student_temperature: Positive = 0.1
    teacher_temperature: Positive = 0.04
    hold_teacher: bool = True
    reduction: Reduction = "mean"

    @torch.no_grad()
    def update_center(self, teacher: Tensor, *, momentum: float = 0.9, group: ProcessGroup | None = None) -> None:
        """Move the center towards the mean of the teacher's scores; call it once per step, after the loss.

        Args:
            teacher: (..., K), as passed to the loss.
            momentum: How much of the previous center is kept, from 0 to 1.
            group: Process group over whose ranks the mean is taken.

        Raises:
            ValueError: The loss has no center, or the scores have a different number of prototypes.
        """
        if self.center is None:
            raise ValueError("center: wanted DINOLoss(center=torch.zeros(K)), which is kept; got None")
        check_shape("teacher", teacher, (*teacher.shape[:-1], *self.center.shape))
        check_number("momentum", momentum, low=0, high=1)
        moved(self.center, mean_over_ranks(accumulate(teacher).flatten(0, -2), group), momentum)


def mean_over_ranks(rows: Tensor, group: ProcessGroup | None) -> Tensor:
    """(K,) the mean of all ranks' rows, (N, K); 0 where there are none."""
    total = torch.cat([rows.sum(0), rows.new_full((1,), len(rows))])
    total = total if group is None else sum_over_ranks(group, total)
    return total[:-1] / total[-1].clamp_min(1)


def moved(center: Tensor, mean: Tensor, momentum: float) -> None:
    center.mul_(momentum).add_(mean.to(center), alpha=1 - momentum)


@across_ranks
@checked
def swav_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    temperature: Positive = 0.1,
    epsilon: Positive = 0.05,
    iterations: Count = 3,
    hold_teacher: bool = True,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Predict for a view the prototypes that another view of the item is assigned, in balanced assignments (SwAV).

    .. math:: -\frac{1}{P} \sum_{u \ne v} \sum_k q_{uk} \log p_{vk}, \quad
        p_v = \mathrm{softmax}\Big(\frac{s_v}{\tau}\Big), \quad
        q = \arg\max_q \sum_{n, k} q_{nk} t_{nk} + \epsilon H(q), \ \sum_k q_{nk} = 1, \ \sum_n q_{nk} = \frac{N}{K}

    Args:
        student: Scores of K prototypes, (N, V, K): V views per item, the first U of which are the teacher's; or (N, K),
            with the teacher's of another view.
        teacher: (N, U, K), or (N, K): from the same network, ``student[:, :U]`` (SwAV), or its running mean (DINOv2).
        temperature: tau of the student's softmax, above 0; a Parameter is learned.
        epsilon: How soft assignments are, above 0; a Parameter is learned.
        iterations: Those of Sinkhorn's algorithm, each balancing the prototypes and then the items; at least 1.
        hold_teacher: Whether the gradient treats the assignments as constants.
        sample_weight: (N,) weights of the items' losses; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an item counts; others are not assigned.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' items are assigned together, and over which the mean is taken.

    Returns:
        A scalar, or (N,): the mean over an item's P pairs of views.

    Raises:
        ValueError: Wrong shapes, a single view of both, a temperature not above 0.
        TypeError: Scores in different precisions.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[[0.9, 0.1], [0.8, 0.1]], [[0.7, 0.1], [0.5, 0.2]]])  # both items prefer the first
        >>> swav_loss(scores, scores)
        tensor(2.6384)

    Source:
        Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, arXiv:2006.09882,
        eq. 1 to 3, with its temperature, epsilon and three iterations. Its code exponentiates scores divided by
        epsilon: in float16, scores above 0.55 become infinite. Scores are cosines with prototypes of length 1.
    """
    apart = _check_scores(student, teacher)
    _, counted = align(None, mask, student.shape[:1])
    sample_weight, mask = align(sample_weight, mask, student.shape[:1])
    counted = None if counted is None else counted.expand(student.shape[:1])
    student, teacher = in_views(student, counted), in_views(teacher.detach() if hold_teacher else teacher, counted)
    temperature, epsilon = parameters((temperature, epsilon), student)
    ranks = None if group is None else Ranks.of(group, teacher=teacher)
    assigned = balanced(teacher / epsilon, iterations, counted, ranks)
    losses = view_entropy(student / temperature, assigned, apart)
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction, group=group)


class SwAVLoss(Loss):
    """:func:`swav_loss` as a Module."""

    fn = staticmethod(swav_loss)
    temperature: Positive = 0.1
    epsilon: Positive = 0.05
    iterations: Count = 3
    hold_teacher: bool = True
    reduction: Reduction = "mean"


@checked
def negative_cosine_loss(
    prediction: Tensor,
    projection: Tensor,
    *,
    hold_projection: bool = True,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The prediction from one view must point in the direction of another view of the same item (BYOL, SimSiam).

    .. math:: -\cos(p, z)

    Args:
        prediction: (N, D), the predictor's output for one view; normalised here.
        projection: (N, D), that of the other view, from the same network (SimSiam) or its running mean (BYOL).
        hold_projection: Whether the gradient treats the projections as constants: otherwise everything collapses.
        sample_weight: (N,) weights of the items; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an item counts.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,), between -1 and 1; 0 for a zero vector, with a zero gradient.

    Raises:
        ValueError: Wrong shapes.
        TypeError: Arguments that are not floating-point, or in different precisions.

    Example:
        >>> import torch
        >>> p1, p2, z1, z2 = (torch.eye(2)[[i]] for i in (0, 1, 1, 1))
        >>> (negative_cosine_loss(p1, z2) + negative_cosine_loss(p2, z1)) / 2  # as both papers take it
        tensor(-0.5000)

    Source:
        Chen and He, Exploring Simple Siamese Representation Learning, arXiv:2011.10566, eq. 1 and 2. Grill et al.,
        BYOL, arXiv:2006.07733, eq. 2 is 2 plus twice this. Lightly leaves detaching to the caller.
    """
    check_dim("prediction", prediction, 2, "(N, D)")
    check_float("prediction", prediction)
    check_float("projection", projection)
    check_same_shape("projection", projection, "prediction", prediction)
    check_same_precision("projection", projection, "prediction", prediction)
    sample_weight, mask = align(sample_weight, mask, prediction.shape[:1])
    p, z = accumulate(prediction), accumulate(projection.detach() if hold_projection else projection)
    if mask is not None:
        p, z = hide(p, mask[:, None]), hide(z, mask[:, None])
    return reduce(-(unit(p) * unit(z)).sum(1), weight=sample_weight, mask=mask, reduction=reduction)


class NegativeCosineLoss(Loss):
    """:func:`negative_cosine_loss` as a Module."""

    fn = staticmethod(negative_cosine_loss)
    hold_projection: bool = True
    reduction: Reduction = "mean"


CARDS = (
    Card(
        fn=dino_loss,
        module=DINOLoss,
        takes=("input-teacher",),
        input="logits",
        data="views",
        formula=r"-\frac{1}{P} \sum_{u \ne v} \sum_k q_{uk} \log p_{vk}",
        symbols={
            r"P": "the number of pairs of a teacher's view and a different student's view",
            r"u": "every view that the teacher sees",
            r"v": "every view that the student sees, except view u itself",
            r"k": "every prototype",
            r"q_{uk}": "the teacher's share of prototype k: softmax of (`teacher` - `center`) / `teacher_temperature`",
            r"p_{vk}": "the student's: softmax of `student` at `student_temperature`",
        },
        kernel="rows",
        item="row",
        paper="arXiv:2104.14294",
        equation="3",
        defaults="the paper",
        search={
            "student_temperature": Range(0.05, 0.3, log=True),
            "teacher_temperature": Range(0.02, 0.1, log=True),
        },
        exact={"hold_teacher": False},
        at_call=frozenset({"sample_weight", "mask"}),
        when="Images without labels, several crops of each, and a teacher that is the student's running mean.",
        pitfalls=(
            "Without a moving center, all items end at one prototype; with it but without sharpening, at all equally.",
            "The center belongs to all ranks: pass `group` when updating it.",
            "A view compared with itself teaches nothing: put the teacher's views first among the student's.",
        ),
        relatives=("distillation_loss", "negative_cosine_loss", "vicreg_loss"),
    ),
    Card(
        fn=swav_loss,
        module=SwAVLoss,
        takes=("input-teacher",),
        input="logits",
        data="views",
        formula=r"-\frac{1}{P} \sum_{u \ne v} \sum_k q_{uk} \log p_{vk}",
        symbols={
            r"P": "the number of pairs of a teacher's view and a different student's view",
            r"u": "every view that is assigned",
            r"v": "every view that the student sees, except view u itself",
            r"k": "every prototype",
            r"q_{uk}": (
                "the share of prototype k that the view is assigned: `teacher` over `epsilon`, balanced by "
                "`iterations` so that each prototype has as many items"
            ),
            r"p_{vk}": "the student's share: softmax of `student` over `temperature`",
        },
        kernel="none",
        item="row",
        paper="arXiv:2006.09882",
        equation="1 to 3",
        defaults="the paper",
        search={"temperature": Range(0.05, 0.3, log=True), "epsilon": Range(0.02, 0.1, log=True)},
        exact={"hold_teacher": False},
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "group"}),
        when="Images without labels, several crops of each, without a teacher or with one.",
        pitfalls=(
            "With fewer items than prototypes, balancing means little: append earlier scores, or pass `group`.",
            "Prototypes and features must have length 1: for other scores epsilon has no meaning.",
        ),
        relatives=("dino_loss", "nt_xent_loss"),
    ),
    Card(
        fn=negative_cosine_loss,
        module=NegativeCosineLoss,
        takes=("input-teacher",),
        input="embeddings",
        data="views",
        formula=r"-\cos(p, z)",
        symbols={
            r"p": "a row of `prediction`, predicted from one view",
            r"z": "a row of `projection`, of the other view; a constant unless `hold_projection` is off",
        },
        kernel="none",
        item="pair",
        paper="arXiv:2011.10566",
        equation="1",
        defaults="no hyperparameters",
        untuned="without `hold_projection` it collapses",
        exact={"hold_projection": False},
        at_call=frozenset({"sample_weight", "mask"}),
        when="Views of unlabelled items in batches of any size, with a predictor on top of one of them.",
        pitfalls=(
            "Without the predictor, or with gradients to the projection, all embeddings collapse to one.",
            "BYOL's loss is 2 plus twice this: its learning rate is for twice the gradient.",
        ),
        relatives=("dino_loss", "barlow_twins_loss", "cosine_embedding_loss"),
    ),
)

"""How a student's embeddings lie to each other, beside a teacher's: distances, and angles (relational distillation)."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.utils.checkpoint import checkpoint

from lossary.core.card import Card
from lossary.core.check import check_dim, check_float, check_shape
from lossary.core.loss import Loss
from lossary.core.reduce import align, one_weight
from lossary.core.rules import checked
from lossary.distributed import across_ranks, gathered, totals
from lossary.kernels.distances import pairwise
from lossary.kernels.order import running_sum
from lossary.kernels.products import product
from lossary.kernels.stable import accumulate, divided, scales, unit
from lossary.losses._batch import check_same_precision
from lossary.losses._pointwise import hide

__all__ = [
    "RKDAngleLoss",
    "RKDDistanceLoss",
    "rkd_angle_loss",
    "rkd_distance_loss",
]

#: Numbers held at once, distances or cosines; those of more rows are computed again for the gradient.
RELATIONS = 1 << 22


@across_ranks
@checked
def rkd_distance_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""A student's embeddings must be as far from each other as a teacher's, up to one scale (RKD, distance-wise).

    .. math:: \frac{1}{P} \sum_{i \ne j} h\Big( \frac{|s_i - s_j|}{\mu_s} - \frac{|t_i - t_j|}{\mu_t} \Big)

    where mu is the mean distance of each, over the same P pairs, and h is Huber's: ``z^2 / 2`` up to 1, ``|z| - 1/2``
    beyond. Only relations count, so the two may have different sizes. Distances are held a block of rows at a time, so
    memory grows with N, not with its square. It is defined only for a whole batch, so there is nothing to reduce.

    Args:
        student: (N, D).
        teacher: (N, E), of the same items.
        sample_weight: (N,) how much each item counts: a pair counts as the product of both.
        mask: (N,) boolean, True where an item counts; other items may hold anything.
        group: Process group whose ranks' items are one batch: every rank returns the loss of that batch, and the
            average of the ranks' gradients is its gradient.

    Returns:
        A scalar; 0 for fewer than two items. Where two of the student's embeddings are the same, the gradient of their
        distance is 0.

    Raises:
        ValueError: Wrong shapes.
        TypeError: Embeddings that are not floating-point, or of different precision.

    Example:
        >>> import torch
        >>> corner = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> rkd_distance_loss(2 * corner - 4, corner), rkd_distance_loss(corner * torch.tensor([2.0, 1.0]), corner)
        (tensor(0.), tensor(0.0277))

    Source:
        Park et al., Relational Knowledge Distillation, arXiv:1904.05068, where it has weight 25 beside twice as much of
        :func:`rkd_angle_loss`. Its code, and others after it, average over all N^2 places, also the N that are 0, and
        leave pairs at distance 0 out of mu; its distances are products, of which near points have no digits.
    """
    x, y, weight = _taught(student, teacher, sample_weight, mask)
    xs, ys, weights = gathered(group, student=x, teacher=y, sample_weight=weight)
    (x, xs), (y, ys) = _in_range(x, xs), _in_range(y, ys)
    own, every, pairs, _ = _shares(weight, weights)

    def mean(rows: Tensor, shares: Tensor, others: Tensor) -> Tensor:
        return (shares * (pairwise(rows, others) * every).sum(1)).sum()

    of_student, of_teacher = (_over_rows(partial(mean, others=z), len(z), r, own) for r, z in ((x, xs), (y, ys)))
    means = totals(group, student=of_student / pairs, teacher=of_teacher / pairs)
    by_student, by_teacher = (m + (m == 0) for m in means)

    def apart(rows: Tensor, taught: Tensor, shares: Tensor) -> Tensor:
        gaps = _huber(pairwise(rows, xs) / by_student, pairwise(taught, ys) / by_teacher)
        return (shares * (gaps * every).sum(1)).sum()

    (loss,) = totals(group, student=_over_rows(apart, len(xs), x, y, own) / pairs)
    return loss


class RKDDistanceLoss(Loss):
    """:func:`rkd_distance_loss` as a Module."""

    fn = staticmethod(rkd_distance_loss)


@across_ranks
@checked
def rkd_angle_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Any three of a student's embeddings must form the same angles as a teacher's (RKD, angle-wise).

    .. math:: \frac{1}{T} \sum_{i \ne j \ne k \ne i} h(\cos \angle s_i s_j s_k - \cos \angle t_i t_j t_k)

    over all T triplets, with Huber's h: ``z^2 / 2`` up to 1, ``|z| - 1/2`` beyond. Two cosines may differ by 2, so no
    sum of squares replaces it: time grows with the cube of N (times D + E), and a batch of a thousand takes a billion
    cosines. Memory does not: they are held for a few vertices at a time. It is defined only for a whole batch, so there
    is nothing to reduce.

    Args:
        student: (N, D).
        teacher: (N, E), of the same items.
        sample_weight: (N,) how much each item counts: a triplet counts as the product of all three.
        mask: (N,) boolean, True where an item counts; other items may hold anything.
        group: Process group whose ranks' items are one batch: every rank returns the loss of that batch, and the
            average of the ranks' gradients is its gradient.

    Returns:
        A scalar; 0 for fewer than three items. An angle with a side of length 0 has cosine 0, and no gradient by that
        side.

    Raises:
        ValueError: Wrong shapes.
        TypeError: Embeddings that are not floating-point, or of different precision.

    Example:
        >>> import torch
        >>> corner = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> rkd_angle_loss(2 * corner.flip(1), corner), rkd_angle_loss(corner * torch.tensor([2.0, 1.0]), corner)
        (tensor(0.), tensor(0.0171))

    Source:
        Park et al., Relational Knowledge Distillation, arXiv:1904.05068, where it has weight 50 beside half as much of
        :func:`rkd_distance_loss`. Its code, and others after it, average over all N^3 places, also those of two items,
        which are 0 unless the student alone has two items in one place; they hold all of them, and N^2 D differences.
    """
    x, y, weight = _taught(student, teacher, sample_weight, mask)
    xs, ys, weights = gathered(group, student=x, teacher=y, sample_weight=weight)
    own, every, _, triples = _shares(weight, weights)
    sides = every[:, None] * every * (1 - torch.eye(len(every), dtype=every.dtype, device=every.device))

    def bent(rows: Tensor, taught: Tensor, shares: Tensor) -> Tensor:
        gaps = _huber(_cosines(rows, xs), _cosines(taught, ys))
        return (shares * (gaps * sides).sum((1, 2))).sum()

    width = len(xs) * max(len(xs), xs.shape[1] + ys.shape[1])
    (loss,) = totals(group, student=_over_rows(bent, width, x, y, own) / triples)
    return loss


class RKDAngleLoss(Loss):
    """:func:`rkd_angle_loss` as a Module."""

    fn = staticmethod(rkd_angle_loss)


def _taught(
    student: Tensor, teacher: Tensor, sample_weight: Tensor | None, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Both, checked, 0 where an item does not count, and the weight of each item, (N,)."""
    for name, embeddings in (("student", student), ("teacher", teacher)):
        check_dim(name, embeddings, 2, "(N, D)")
        check_float(name, embeddings)
    check_same_precision("teacher", teacher, "student", student)
    check_shape("teacher", teacher, (student.shape[0], teacher.shape[1]))
    x, y, count = accumulate(student), accumulate(teacher), student.shape[:1]
    if sample_weight is not None:
        check_shape("sample_weight", sample_weight, tuple(count))
    sample_weight, mask = align(sample_weight, mask, count)
    if mask is not None:
        mask = mask.expand(count)
        x, y = hide(x, mask[:, None]), hide(y, mask[:, None])
    weight = one_weight(sample_weight, mask, count, x.dtype)
    return x, y, torch.ones_like(x[:, :1]).sum(1) if weight is None else weight.to(x.dtype)


def _in_range(own: Tensor, every: Tensor) -> tuple[Tensor, Tensor]:
    """Both over one number, if they are extremely short or long: distances count only beside each other."""
    scale = scales(F.pad(every.reshape(-1), (0, 1)), 0)  # of nothing there is no largest
    return divided(own, scale), divided(every, scale)


def _shares(own: Tensor, every: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Each item's share of all weights, of this rank's and of all items; all pairs' and all triplets' products of them.

    Added up in order, because the square of the sum less the sum of squares would cancel.
    """
    total = every.sum()
    own, every = (w / (total + (total == 0)) for w in (own, every))
    twos = every * _before(every)
    threes = every * _before(twos)
    pairs, triples = 2 * twos.sum(), 6 * threes.sum()
    return own, every, pairs + (pairs == 0), triples + (triples == 0)


def _before(numbers: Tensor) -> Tensor:
    """For each number the sum of those before it."""
    return running_sum(F.pad(numbers, (1, 0)))[:-1]


def _huber(x: Tensor, y: Tensor) -> Tensor:
    return F.smooth_l1_loss(x, y, reduction="none")


def _cosines(vertices: Tensor, x: Tensor) -> Tensor:
    """(B, N, N), of the angle at each vertex between every two rows of ``x``."""
    sides = unit(x - vertices[:, None])
    return product(sides, sides)


def _over_rows(formula: Callable[..., Tensor], width: int, *rows: Tensor) -> Tensor:
    """The sum of a formula over blocks of rows, each of which needs ``width`` numbers."""
    step = max(1, RELATIONS // max(1, width))
    if len(rows[0]) <= step:
        return formula(*rows)
    again = partial(checkpoint, formula, use_reentrant=False, preserve_rng_state=False)
    return torch.stack([again(*part) for part in zip(*(t.split(step) for t in rows), strict=True)]).sum()


_card = partial(
    Card,
    takes=("student-teacher",),
    input="embeddings",
    data="views",
    kernel="none",
    item="batch",
    paper="arXiv:1904.05068",
    equation="unconfirmed",
    defaults="no hyperparameters",
    separable=False,
    at_call=frozenset({"sample_weight", "mask", "group"}),
)
_LETTERS = {"h": "Huber's function: half the square up to 1, from there on straight"}

CARDS = (
    _card(
        fn=rkd_distance_loss,
        module=RKDDistanceLoss,
        formula=r"\frac{1}{P} \sum_{i \ne j} h\Big( \frac{|s_i - s_j|}{\mu_s} - \frac{|t_i - t_j|}{\mu_t} \Big)",
        symbols={
            **_LETTERS,
            r"P": "how many pairs there are",
            r"i": "every item",
            r"j": "every other item",
            r"s_i": "row i of `student`",
            r"s_j": "row j of `student`",
            r"t_i": "row i of `teacher`",
            r"t_j": "row j of `teacher`",
            r"\mu_s": "the student's mean distance, over all pairs",
            r"\mu_t": "the teacher's",
        },
        when="A small network of embeddings learns from a large one of another size, in addition to their own loss.",
        pitfalls=(
            "A teacher's embeddings get a gradient unless they are detached.",
            "It fixes neither place nor size nor direction: the teacher's vectors and the student's do not mix.",
            "Under data-parallel training a rank only has pairs of its own items: pass `group`.",
        ),
        relatives=("rkd_angle_loss", "distillation_loss", "margin_mse_loss"),
    ),
    _card(
        fn=rkd_angle_loss,
        module=RKDAngleLoss,
        formula=r"\frac{1}{T} \sum_{i \ne j \ne k \ne i} h(\cos \angle s_i s_j s_k - \cos \angle t_i t_j t_k)",
        symbols={
            **_LETTERS,
            r"T": "how many triplets there are",
            r"i": "every item",
            r"j": "every other item, at the vertex",
            r"k": "every third item",
            r"s_i": "row i of `student`",
            r"s_j": "row j of `student`",
            r"s_k": "row k of `student`",
            r"t_i": "row i of `teacher`",
            r"t_j": "row j of `teacher`",
            r"t_k": "row k of `teacher`",
        },
        when="Beside `rkd_distance_loss`, with twice its weight: angles say more of how items lie than distances.",
        pitfalls=(
            "Its time grows with the cube of the batch: of more than a few hundred items give it some at a time.",
            "A teacher's embeddings get a gradient unless they are detached.",
            "In few dimensions, and near 180 degrees, a cosine hardly moves with its angle.",
        ),
        relatives=("rkd_distance_loss", "distillation_loss"),
    ),
)

"""Embeddings kept from collapse without negatives: by their features' spread and correlations, or by neighbours."""

from typing import Annotated

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card, Range
from lossary.core.check import check_dim, check_float, check_same_shape, check_shape
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, both, one_weight, reduce, scaled
from lossary.core.rules import POSITIVE, NotNegative, checked
from lossary.distributed import across_ranks, gathered
from lossary.kernels.distances import nearest_others, norm
from lossary.kernels.moments import centred, cross_squares
from lossary.kernels.stable import accumulate, parameters, unit
from lossary.losses._batch import check_same_precision
from lossary.losses._pointwise import hide

__all__ = [
    "BarlowTwinsLoss",
    "KoLeoLoss",
    "VICRegLoss",
    "barlow_twins_loss",
    "koleo_loss",
    "vicreg_loss",
]


def _views(
    embeddings: Tensor,
    other: Tensor,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    group: ProcessGroup | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both views of all ranks' items, (N, D); each item's share of the weight, (N,); and 1 if there is any, else 0."""
    check_dim("embeddings", embeddings, 2, "(N, D)")
    check_float("embeddings", embeddings)
    check_same_shape("other", other, "embeddings", embeddings)
    check_same_precision("other", other, "embeddings", embeddings)
    first, second, count = accumulate(embeddings), accumulate(other), embeddings.shape[:1]
    if sample_weight is not None:
        check_shape("sample_weight", sample_weight, tuple(count))
    sample_weight, mask = align(sample_weight, mask, count)
    if mask is not None:
        mask = mask.expand(count)
        first, second = hide(first, mask[:, None]), hide(second, mask[:, None])
    weight = one_weight(sample_weight, mask, count, first.dtype)
    weight = torch.ones_like(first[:, 0]) if weight is None else weight.to(first.dtype)
    first, second, weight = gathered(group, embeddings=first, other=second, sample_weight=weight)
    total = weight.sum()
    return first, second, weight / (total + (total == 0)), (total != 0).to(first.dtype)


@across_ranks
@checked
def barlow_twins_loss(
    embeddings: Tensor,
    other: Tensor,
    *,
    off_diagonal: NotNegative = 5e-3,
    eps: Annotated[float, POSITIVE] = 1e-5,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Each feature must correlate between two views of the batch, and with no other feature (Barlow Twins).

    .. math:: \sum_i (1 - C_{ii})^2 + \lambda \sum_i \sum_{j \ne i} C_{ij}^2, \quad
        C_{ij} = \frac{1}{N} \sum_n \hat a_{ni} \hat b_{nj}

    where each feature of a view is standardised over the batch. It is defined only for a whole batch, so there is
    nothing to reduce. The matrix C is formed where it is smaller than the batch; with fewer items than half the
    features, a matrix over items replaces it.

    Args:
        embeddings: (N, D), one view of the items.
        other: (N, D), the other view, in the same order.
        off_diagonal: lambda, at least 0; a Parameter is learned.
        eps: Added to each feature's variance, as batch normalisation does.
        sample_weight: (N,) how much each item counts in means, variances and correlations.
        mask: (N,) boolean, True where an item counts; other items may hold anything.
        group: Process group whose ranks' items are one batch: every rank returns the loss of that batch, and the
            average of the ranks' gradients is its gradient.

    Returns:
        A scalar.

    Raises:
        ValueError: Wrong shapes, ``off_diagonal`` below 0.
        TypeError: Views in different precisions.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> barlow_twins_loss(x, -x), barlow_twins_loss(x, x.flip(1))
        (tensor(7.9999), tensor(2.0100))

    Source:
        Zbontar et al., Barlow Twins, arXiv:2103.03230, eq. 1; lambda = 5e-3 is the best of its search, and its code has
        0.0051. Without means over all ranks, each rank standardises by its own; where the sum over ranks is not
        differentiated (Lightly up to 1.5.21), the gradient is the true one divided by the world size.
    """
    first, second, share, there = _views(embeddings, other, sample_weight, mask, group)
    (off_diagonal,) = parameters((off_diagonal,), first)
    root = share.sqrt()[:, None]
    a, b = (root * _standardised(x, share, eps) for x in (first, second))
    own, others = cross_squares(a, b)
    return there * ((1 - own).square().sum() + scaled(others, off_diagonal))


def _standardised(x: Tensor, share: Tensor, eps: float) -> Tensor:
    x, variance = centred(x, share)
    return x * (variance + eps).rsqrt()


class BarlowTwinsLoss(Loss):
    """:func:`barlow_twins_loss` as a Module."""

    fn = staticmethod(barlow_twins_loss)
    off_diagonal: NotNegative = 5e-3
    eps: Annotated[float, POSITIVE] = 1e-5


@across_ranks
@checked
def vicreg_loss(
    embeddings: Tensor,
    other: Tensor,
    *,
    invariance: NotNegative = 25.0,
    variance: NotNegative = 25.0,
    covariance: NotNegative = 1.0,
    spread: NotNegative = 1.0,
    eps: Annotated[float, POSITIVE] = 1e-4,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Two views must agree, each feature must spread over the batch, and no two may vary together (VICReg).

    .. math:: \frac{\lambda}{N D} \sum_n |a_n - b_n|^2
        + \frac{\mu}{2 D} \sum_{z} \sum_i \max\big(0, \gamma - \sqrt{\mathrm{Var}(z_i) + \epsilon}\big)
        + \frac{\nu}{D} \sum_{z} \sum_i \sum_{j \ne i} \mathrm{Cov}(z_i, z_j)^2

    where z is either view. It is defined only for a whole batch, so there is nothing to reduce. If there
    are at most half as many items as features, a matrix over items replaces the covariance matrix of the features.

    Args:
        embeddings: (N, D), one view of the items.
        other: (N, D), the other view, in the same order.
        invariance: lambda, at least 0; a Parameter is learned, here and for the next three.
        variance: mu, at least 0.
        covariance: nu, at least 0.
        spread: gamma, the standard deviation that a feature should reach, at least 0.
        eps: Added to each variance.
        sample_weight: (N,) how much each item counts in means, variances and covariances, which stay unbiased.
        mask: (N,) boolean, True where an item counts; other items may hold anything.
        group: Process group whose ranks' items are one batch: every rank returns the loss of that batch, and the
            average of the ranks' gradients is its gradient.

    Returns:
        A scalar. With a single item the variances are 0.

    Raises:
        ValueError: Wrong shapes, a weight below 0.
        TypeError: Views in different precisions.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> vicreg_loss(x, x), vicreg_loss(x, 0 * x)
        (tensor(0.), tensor(37.3750))

    Source:
        Bardes et al., VICReg, arXiv:2105.04906, eq. 6, with the divisors of its code, for which its 25, 25 and 1 are
        meant: the first term is also divided by D, the second halved. gamma = 1 and eps = 1e-4 are the paper's. A batch
        of one is NaN in that code.
    """
    first, second, share, there = _views(embeddings, other, sample_weight, mask, group)
    invariance, variance, covariance, spread = parameters((invariance, variance, covariance, spread), first)
    features = max(first.shape[1], 1)
    loss = invariance * (share[:, None] * (first - second).square()).sum()
    one = 1 - share.square().sum()
    unbiased = torch.where(one > 0, 1 / torch.where(one > 0, one, 1), 0)  # N / (N - 1) for equal shares
    for view in (first, second):
        x, variances = centred(view, share)
        short = (spread - (unbiased * variances + eps).sqrt()).relu()
        a = share.sqrt()[:, None] * x
        _, others = cross_squares(a, a)
        loss = loss + variance / 2 * short.sum() + covariance * unbiased.square() * others
    return (there * loss / features).reshape(())


class VICRegLoss(Loss):
    """:func:`vicreg_loss` as a Module."""

    fn = staticmethod(vicreg_loss)
    invariance: NotNegative = 25.0
    variance: NotNegative = 25.0
    covariance: NotNegative = 1.0
    spread: NotNegative = 1.0
    eps: Annotated[float, POSITIVE] = 1e-4


@across_ranks
@checked
def koleo_loss(
    embeddings: Tensor,
    *,
    eps: Annotated[float, POSITIVE] = 1e-8,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Each embedding must keep away from its nearest neighbour, so that all spread over the sphere (KoLeo).

    .. math:: -\log\Big(\min_{j \ne i} |\hat x_i - \hat x_j| + \epsilon\Big)

    Memory grows with N, not with its square.

    Args:
        embeddings: (N, D), any length; normalised here.
        eps: Added to the distance.
        sample_weight: (N,) weights of the embeddings' own losses; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean; an embedding that does not count is nobody's neighbour and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"`` over embeddings that have a neighbour.
        group: Process group whose ranks' embeddings are neighbours too.

    Returns:
        A scalar, or (N,). A lone embedding costs 0; among equally near neighbours the first counts, and a neighbour in
        the same place gives a zero gradient.

    Raises:
        ValueError: Wrong shapes, ``eps`` not above 0.
        TypeError: ``embeddings`` that are not floating-point.

    Example:
        >>> import torch
        >>> koleo_loss(torch.eye(3))
        tensor(-0.3466)

    Source:
        Sablayrolles et al., Spreading Vectors for Similarity Search, arXiv:1806.03198, section 3; eps and the unit
        sphere are DINOv2's, arXiv:2304.07193, which gives it a weight of 0.1. There, and in Lightly, the nearest is
        found by products, with which float32 cannot tell distances below 3e-4 apart; here by distances.
    """
    check_dim("embeddings", embeddings, 2, "(N, D)")
    check_float("embeddings", embeddings)
    count = embeddings.shape[:1]
    sample_weight, mask = align(sample_weight, mask, count)
    x = accumulate(embeddings)
    if mask is not None:
        mask = mask.expand(count)
        x = hide(x, mask[:, None])
    others, exists = gathered(group, embeddings.dtype, embeddings=x, mask=mask)
    x, others = unit(x), unit(others)
    place, found = nearest_others(x, others, exists)
    losses = -_log_sum(norm(x - others[place]), eps)
    return reduce(losses, weight=sample_weight, mask=both(mask, found), reduction=reduction, group=group)


def _log_sum(length: Tensor, eps: float) -> Tensor:
    """log(length + eps), which is about eps at length 1."""
    small = length < 0.5
    near = torch.log1p(torch.where(small, 1, length) - 1 + eps)
    return torch.where(small, (length + eps).log(), near)


class KoLeoLoss(Loss):
    """:func:`koleo_loss` as a Module."""

    fn = staticmethod(koleo_loss)
    eps: Annotated[float, POSITIVE] = 1e-8
    reduction: Reduction = "mean"


CARDS = (
    Card(
        fn=barlow_twins_loss,
        module=BarlowTwinsLoss,
        takes=("anchor-positive",),
        input="embeddings",
        data="views",
        formula=r"\sum_i (1 - C_{ii})^2 + \lambda \sum_i \sum_{j \ne i} C_{ij}^2",
        symbols={
            r"C_{ii}": "the correlation over the batch of feature i of `embeddings` with feature i of `other`",
            r"\lambda": "`off_diagonal`: how much correlations of different features count",
            r"C_{ij}": "the correlation of feature i of `embeddings` with feature j of `other`",
            r"i": "every feature",
            r"j": "every other feature",
        },
        kernel="none",
        item="batch",
        paper="arXiv:2103.03230",
        equation="1",
        defaults="the paper",
        search={"off_diagonal": Range(5e-4, 5e-2, log=True)},
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "group"}),
        when="Augmented views of unlabelled items in batches of some hundreds, and a projector with many features.",
        pitfalls=(
            "It needs many features: its authors' projector outputs 8192.",
            "Under data-parallel training each rank correlates only its own items: pass `group`.",
            "It grows with the number of features: tune the learning rate with it.",
        ),
        relatives=("vicreg_loss", "nt_xent_loss"),
    ),
    Card(
        fn=vicreg_loss,
        module=VICRegLoss,
        takes=("anchor-positive",),
        input="embeddings",
        data="views",
        formula=(
            r"\frac{\lambda}{N D} \sum_n |a_n - b_n|^2"
            r" + \frac{\mu}{2 D} \sum_z \sum_i \max(0, \gamma - \sqrt{\mathrm{Var}(z_i) + \epsilon})"
            r" + \frac{\nu}{D} \sum_z \sum_i \sum_{j \ne i} \mathrm{Cov}(z_i, z_j)^2"
        ),
        symbols={
            r"\lambda": "`invariance`: how much the difference between the views counts",
            r"N": "how many items there are",
            r"D": "how many features there are",
            r"n": "every item",
            r"a_n": "row n of `embeddings`",
            r"b_n": "row n of `other`",
            r"\mu": "`variance`: how much a lack of spread counts",
            r"z": "either view",
            r"i": "every feature",
            r"\gamma": "`spread`: the standard deviation that a feature should reach",
            r"z_i": "feature i of a view, over the batch",
            r"\epsilon": "`eps`, added to the variance",
            r"\nu": "`covariance`: how much features that vary together count",
            r"j": "every other feature",
            r"z_j": "feature j of the view",
        },
        kernel="none",
        item="batch",
        paper="arXiv:2105.04906",
        equation="6",
        defaults="the paper",
        search={
            "invariance": Range(1.0, 50.0, log=True),
            "variance": Range(1.0, 50.0, log=True),
            "covariance": Range(0.1, 10.0, log=True),
        },
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "group"}),
        when="Views from different networks or modalities: each is kept from collapse by itself.",
        pitfalls=(
            "The paper's formula and its code differ by factors of D and 2: weights fit only one of them.",
            "Under data-parallel training each rank's variances cover only its own items: pass `group`.",
        ),
        relatives=("barlow_twins_loss", "nt_xent_loss"),
    ),
    Card(
        fn=koleo_loss,
        module=KoLeoLoss,
        takes=("embeddings",),
        input="embeddings",
        data="views",
        formula=r"-\log\Big(\min_{j \ne i} |x_i - x_j| + \epsilon\Big)",
        symbols={
            r"i": "an embedding",
            r"j": "every other embedding of the batch",
            r"x_i": "a row of `embeddings`, normalised to length 1",
            r"x_j": "another row, likewise",
            r"\epsilon": "`eps`, added to the distance",
        },
        kernel="none",
        item="anchor",
        paper="arXiv:1806.03198",
        equation="section 3",
        defaults="DINOv2's",
        untuned="`eps` only guards a logarithm; tune its weight against the main loss",
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "group"}),
        when="In addition to another loss of embeddings, with a small weight, where they crowd together.",
        pitfalls=(
            "Two views of one item drive each other apart: pass only one of them.",
            "Embeddings in the same place have a zero gradient: it does not separate exact copies.",
        ),
        relatives=("vicreg_loss", "barlow_twins_loss", "dino_loss"),
    ),
)

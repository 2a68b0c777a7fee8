"""How a batch of embeddings is distributed: over few features, normally in every direction, or as another batch is."""

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.utils.checkpoint import checkpoint

from lossary.core.card import Card, Choice, Range
from lossary.core.check import check_dim, check_float, check_shape, check_whole
from lossary.core.loss import Loss
from lossary.core.reduce import align, one_weight
from lossary.core.rules import POSITIVE, Positive, checked
from lossary.distributed import across_ranks, gathered, totals
from lossary.kernels.distances import pairwise
from lossary.kernels.products import product
from lossary.kernels.stable import accumulate, parameters, short_of_one, unit
from lossary.losses._batch import check_same_precision
from lossary.losses._pointwise import hide

__all__ = [
    "FLOPSLoss",
    "MMDLoss",
    "SIGRegLoss",
    "flops_loss",
    "mmd_loss",
    "sigreg_loss",
]

#: Waves held at once; of more directions they are computed again for the gradient.
WAVES = 1 << 24
#: Distances held at once; those of more rows are computed again for the gradient.
DISTANCES = 1 << 22

Kernel = Literal["gaussian", "laplacian", "energy"]


def _weighed(embeddings: Tensor, sample_weight: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """The embeddings (N, D), 0 where one does not count, and the weight of each, (N,)."""
    check_dim("embeddings", embeddings, 2, "(N, D)")
    check_float("embeddings", embeddings)
    x, count = accumulate(embeddings), embeddings.shape[:1]
    if sample_weight is not None:
        check_shape("sample_weight", sample_weight, tuple(count))
    sample_weight, mask = align(sample_weight, mask, count)
    if mask is not None:
        mask = mask.expand(count)
        x = hide(x, mask[:, None])
    weight = one_weight(sample_weight, mask, count, x.dtype)
    return x, torch.ones_like(x[:, :1]).sum(1) if weight is None else weight.to(x.dtype)


@across_ranks
@checked
def flops_loss(
    embeddings: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Each feature should be 0 for most items, and all be used alike: sparse embeddings for an inverted index (FLOPS).

    .. math:: \sum_j \Big( \frac{1}{N} \sum_n |x_{nj}| \Big)^2

    It bounds the number of products that a search takes, which is the sum over features of the squared share of items
    that have the feature. Unlike an L1 penalty, it costs a feature more the more items have it. It is defined only for
    a whole batch, so there is nothing to reduce.

    Args:
        embeddings: (N, D), such as SPLADE's weights of the D words of a vocabulary.
        sample_weight: (N,) how much each item counts in the means.
        mask: (N,) boolean, True where an item counts; other items may hold anything.
        group: Process group whose ranks' items are one batch: every rank returns the loss of that batch, and the
            average of the ranks' gradients is its gradient.

    Returns:
        A scalar. The gradient at a feature of exactly 0 is 0.

    Raises:
        ValueError: Wrong shapes.
        TypeError: ``embeddings`` that are not floating-point.

    Example:
        >>> import torch
        >>> flops_loss(torch.eye(4)), flops_loss(torch.eye(4)[[0, 0, 0, 0]])  # all features used alike, or one for all
        (tensor(0.2500), tensor(1.))

    Source:
        Paria et al., Minimizing FLOPs to Learn Efficient Sparse Representations, arXiv:2004.05665; SPLADE,
        arXiv:2107.05720, adds it for queries and for documents, each with its own weight. Sentence Transformers omits
        the absolute value, which changes nothing for SPLADE's weights.
    """
    x, weight = _weighed(embeddings, sample_weight, mask)
    sums, total = totals(group, embeddings=(weight[:, None] * x.abs()).sum(0), sample_weight=weight.sum())
    return (sums / (total + (total == 0))).square().sum()


class FLOPSLoss(Loss):
    """:func:`flops_loss` as a Module."""

    fn = staticmethod(flops_loss)


@across_ranks
@checked
def sigreg_loss(
    embeddings: Tensor,
    directions: Tensor,
    *,
    knots: Annotated[int, partial(check_whole, low=2)] = 17,
    t_max: Annotated[float, POSITIVE] = 3.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""In every direction the embeddings must be distributed normally, with mean 0 and variance 1 (LeJEPA's SIGReg).

    .. math:: \frac{N}{K} \sum_k \int_{-T}^{T} \Big| \frac{1}{N} \sum_n e^{i t \langle a_k, x_n \rangle}
        - e^{-t^2 / 2} \Big|^2 e^{-t^2 / 2} \, \mathrm{d}t

    the mean over directions of the statistic of Epps and Pulley, whose expectation is the same for normal batches of
    all sizes. The integral is a sum over equidistant t, by the trapezoidal rule. Memory grows with N K; waves at all
    knots are held only up to a limit. It is defined only for a whole batch, so there is nothing to reduce.

    Args:
        embeddings: (N, D).
        directions: (K, D), each row a direction of any length; normalised here. Draw new ones for each step,
            ``torch.randn(256, D)``, the same on all ranks: along directions that never change, embeddings can be normal
            without being so along others.
        knots: How many t from 0 to ``t_max`` the integral is computed at, at least 2.
        t_max: T, above 0: the largest frequency.
        sample_weight: (N,) how much each item counts in the mean; N becomes the number of items that say as much, the
            square of the sum of weights over the sum of squares.
        mask: (N,) boolean, True where an item counts; other items may hold anything.
        group: Process group whose ranks' items are one batch: every rank returns the loss of that batch, and the
            average of the ranks' gradients is its gradient.

    Returns:
        A scalar. Where the knots cannot tell how far from 0 an item is in a direction, beyond pi over their distance
        (16.8 by default), its gradient is 0: theirs would draw it to multiples of twice that.

    Raises:
        ValueError: Wrong shapes, no direction, fewer than 2 ``knots``, ``t_max`` not above 0.
        TypeError: ``embeddings`` or ``directions`` that are not floating-point, or of different precision.

    Example:
        >>> import torch
        >>> normal = torch.special.ndtri(torch.linspace(0.005, 0.995, 100))[:, None]  # as far as 100 numbers can be
        >>> one = torch.ones(1, 1)
        >>> sigreg_loss(normal, one) < 0.001, sigreg_loss(0 * normal, one)  # all in one place
        (tensor(True), tensor(40.2048))

    Source:
        Balestriero and LeCun, LeJEPA, arXiv:2511.08544, algorithm 1; T = 3 and 17 knots on one side of 0 are its
        minimal code's and Lightly's, which draw the directions themselves. Its full code has T = 5.
    """
    x, weight = _weighed(embeddings, sample_weight, mask)
    check_dim("directions", directions, 2, "(K, D)")
    check_float("directions", directions)
    check_same_precision("directions", directions, "embeddings", embeddings)
    if directions.shape[1] != x.shape[1] or directions.shape[0] == 0:
        wanted = f"(K, {x.shape[1]}) for embeddings {tuple(embeddings.shape)}, K at least 1"
        raise ValueError(f"directions: wanted {wanted}; got {tuple(directions.shape)}")
    t = torch.linspace(0, t_max, knots, dtype=x.dtype, device=x.device)
    projected = product(x, unit(accumulate(directions)))
    weights = torch.stack([weight.sum(), weight.square().sum()])
    waves, weights = totals(group, embeddings=_waves(projected, weight, t), sample_weight=weights)
    total, squares = weights.unbind()
    normal = (-t.square() / 2).exp()
    cosines, sines = (waves / (total + (total == 0))).unbind(-1)
    each = torch.trapezoid(2 * normal * ((cosines - normal).square() + sines.square()), t)
    return total.square() / (squares + (squares == 0)) * each.mean()


def _waves(projected: Tensor, weight: Tensor, t: Tensor) -> Tensor:
    """(K, T, 2): for every direction and frequency the weighted sums over items of cosine and sine."""
    step = max(1, WAVES // max(1, len(projected) * len(t)))
    if projected.shape[1] <= step:
        return _summed_waves(projected, weight, t)
    parts = projected.split(step, 1)
    again = partial(checkpoint, _summed_waves, use_reentrant=False, preserve_rng_state=False)
    return torch.cat([again(part, weight, t) for part in parts])


def _summed_waves(projected: Tensor, weight: Tensor, t: Tensor) -> Tensor:
    farthest = math.pi / t[1]  # where every cosine has a crest or a trough, and every sine is 0
    near = (projected.abs() < farthest) | projected.isnan()
    phases, weight = projected.clamp(-farthest, farthest)[..., None] * t, weight[:, None, None]
    sines = torch.where(near[..., None], phases.sin(), 0)  # exactly, as rounding would not have it
    return torch.stack([(weight * phases.cos()).sum(0), (weight * sines).sum(0)], -1)


class SIGRegLoss(Loss):
    """:func:`sigreg_loss` as a Module."""

    fn = staticmethod(sigreg_loss)
    knots: Annotated[int, partial(check_whole, low=2)] = 17
    t_max: Annotated[float, POSITIVE] = 3.0


@across_ranks
@checked
def mmd_loss(
    embeddings: Tensor,
    other: Tensor,
    *,
    kernel: Kernel = "gaussian",
    bandwidth: Positive = 1.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Two batches must be distributed alike: the squared maximum mean discrepancy (MMD), or the energy distance.

    .. math:: \frac{2}{N M} \sum_n \sum_m \rho(|x_n - y_m|) - \frac{1}{N^2} \sum_n \sum_j \rho(|x_n - x_j|)
        - \frac{1}{M^2} \sum_m \sum_l \rho(|y_m - y_l|)

    where rho is 1 less the kernel, ``1 - exp(-(d / h)^2 / 2)`` (``"gaussian"``) or ``1 - exp(-d / h)``
    (``"laplacian"``), or the distance itself, ``d / h`` (``"energy"``), at bandwidth h. The kernel would give the same
    with fewer digits. Distances are held a block of rows at a time, so memory grows with N and M, not with their
    product. It is defined only for a whole batch, so there is nothing to reduce.

    Args:
        embeddings: (N, D), one batch.
        other: (M, D), the other one, in any order; all its items count the same.
        kernel: ``"gaussian"``, ``"laplacian"`` or ``"energy"``, which looks at all scales at once.
        bandwidth: h, above 0, the distance up to which items are alike; a Parameter is learned.
        sample_weight: (N,) how much each item of ``embeddings`` counts in the means.
        mask: (N,) boolean, True where an item of ``embeddings`` counts; other items may hold anything.
        group: Process group whose ranks' items are one batch, of either kind: every rank returns the loss of that
            batch, and the average of the ranks' gradients is its gradient.

    Returns:
        A scalar, at least 0 but for rounding; 0 if one batch is empty.

    Raises:
        ValueError: Wrong shapes, an unknown ``kernel``, ``bandwidth`` not above 0.
        TypeError: Batches that are not floating-point, or of different precision.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0], [1.0]])
        >>> mmd_loss(x, x.flip(0)), mmd_loss(x, x + 1), mmd_loss(x, x + 1, kernel="energy")
        (tensor(0.), tensor(0.4323), tensor(1.))

    Source:
        Gretton et al., A Kernel Two-Sample Test, JMLR 13, 2012, eq. 5, squared. The unbiased estimate, eq. 3, has
        N / (N - 1) times the mean within a batch. For the energy distance as such a discrepancy see Sejdinovic et al.,
        arXiv:1207.6076. geomloss returns half of all three.
    """
    x, weight = _weighed(embeddings, sample_weight, mask)
    check_dim("other", other, 2, "(M, D)")
    check_float("other", other)
    check_same_precision("other", other, "embeddings", embeddings)
    if other.shape[1] != x.shape[1]:
        raise ValueError(f"other: wanted (M, {x.shape[1]}) to match embeddings; got {tuple(other.shape)}")
    y = accumulate(other)
    (bandwidth,) = parameters((bandwidth,), x)
    xs, weights = gathered(group, embeddings=x, sample_weight=weight)
    (ys,) = gathered(group, other=y)
    total = weights.sum()
    there = (total != 0) * min(len(ys), 1)
    own, all_own = (w / (total + (total == 0)) for w in (weight, weights))
    theirs, all_theirs = (torch.ones_like(z[:, :1]).sum(1) / max(len(ys), 1) for z in (y, ys))
    gap = partial(_gap, kernel=kernel, bandwidth=bandwidth)
    across = _mean_gap(x, own, ys, all_theirs, gap)
    loss = 2 * across - _mean_gap(x, own, xs, all_own, gap) - _mean_gap(y, theirs, ys, all_theirs, gap)
    (losses,) = gathered(group, embeddings=loss.reshape(1))
    return there * losses.sum()


def _gap(x: Tensor, y: Tensor, *, kernel: Kernel, bandwidth: float | Tensor) -> Tensor:
    """(N, M), 1 less the kernel, or the distance."""
    if kernel == "gaussian":
        return short_of_one(pairwise(x, y, squared=True) / bandwidth / bandwidth / -2)
    scaled = pairwise(x, y) / bandwidth
    return scaled if kernel == "energy" else short_of_one(-scaled)


def _mean_gap(x: Tensor, shares: Tensor, y: Tensor, others: Tensor, gap: Callable[..., Tensor]) -> Tensor:
    """The mean over pairs of a row of ``x`` and one of ``y``, with their shares."""
    step = max(1, DISTANCES // max(1, len(y)))
    if len(x) <= step:
        return _block(x, shares, y, others, gap)
    again = partial(checkpoint, _block, use_reentrant=False, preserve_rng_state=False)
    parts = zip(x.split(step), shares.split(step), strict=True)
    return torch.stack([again(rows, weights, y, others, gap) for rows, weights in parts]).sum()


def _block(x: Tensor, shares: Tensor, y: Tensor, others: Tensor, gap: Callable[..., Tensor]) -> Tensor:
    return (shares * (gap(x, y) * others).sum(1)).sum()


class MMDLoss(Loss):
    """:func:`mmd_loss` as a Module."""

    fn = staticmethod(mmd_loss)
    kernel: Kernel = "gaussian"
    bandwidth: Positive = 1.0


CARDS = (
    Card(
        fn=flops_loss,
        module=FLOPSLoss,
        takes=("embeddings",),
        input="embeddings",
        data="views",
        formula=r"\sum_j \Big( \frac{1}{N} \sum_n |x_{nj}| \Big)^2",
        symbols={
            r"j": "every feature",
            r"N": "how many items there are",
            r"n": "every item",
            r"x_{nj}": "`embeddings`: feature j of item n",
        },
        kernel="none",
        item="batch",
        paper="arXiv:2004.05665",
        equation="unconfirmed",
        defaults="no hyperparameters",
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "group"}),
        when="In addition to a retrieval loss, for sparse embeddings that an inverted index shall search.",
        pitfalls=(
            "Its weight must grow from 0 over the first thousands of steps: at full weight all embeddings become 0.",
            "Queries and documents need a weight each, so call it once for either.",
            "The mean is over the batch, so a rank's own batch is another loss: pass `group`.",
        ),
        relatives=("koleo_loss", "multiple_negatives_ranking_loss", "margin_mse_loss"),
        aliases=("splade_regularizer",),
    ),
    Card(
        fn=sigreg_loss,
        module=SIGRegLoss,
        takes=("embeddings-directions",),
        input="embeddings",
        data="views",
        formula=(
            r"\frac{N}{K} \sum_k \int_{-T}^{T} \Big| \frac{1}{N} \sum_n e^{i t \langle a_k, x_n \rangle}"
            r" - e^{-t^2 / 2} \Big|^2 e^{-t^2 / 2} \, \mathrm{d}t"
        ),
        symbols={
            r"N": "how many items there are",
            r"K": "how many directions there are",
            r"k": "every direction",
            r"T": "`t_max`: the largest frequency",
            r"n": "every item",
            r"i": "the imaginary unit",
            r"t": "a frequency",
            r"a_k": "row k of `directions`, normalised to length 1",
            r"x_n": "row n of `embeddings`",
        },
        kernel="none",
        item="batch",
        paper="arXiv:2511.08544",
        equation="algorithm 1",
        defaults="the authors' minimal code",
        search={"t_max": Range(2.0, 5.0)},
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "group"}),
        when="In addition to a loss that draws views together, in place of negatives or of a teacher.",
        pitfalls=(
            "Unless the embeddings are normal it grows with the batch: tune its weight at the batch size of training.",
            "Directions that never change leave the embeddings free in all others: draw new ones for each step.",
            "Ranks that draw different directions mix up their statistics: seed them alike.",
        ),
        relatives=("vicreg_loss", "barlow_twins_loss", "koleo_loss"),
    ),
    Card(
        fn=mmd_loss,
        module=MMDLoss,
        takes=("two-samples",),
        input="embeddings",
        data="views",
        formula=(
            r"\frac{2}{N M} \sum_n \sum_m \rho(|x_n - y_m|) - \frac{1}{N^2} \sum_n \sum_j \rho(|x_n - x_j|)"
            r" - \frac{1}{M^2} \sum_m \sum_l \rho(|y_m - y_l|)"
        ),
        symbols={
            r"N": "how many rows `embeddings` has",
            r"M": "how many rows `other` has",
            r"n": "every row of `embeddings`",
            r"m": "every row of `other`",
            r"\rho": "1 less the `kernel` of a distance, or the distance, over `bandwidth`",
            r"x_n": "row n of `embeddings`",
            r"y_m": "row m of `other`",
            r"j": "every row of `embeddings` again",
            r"x_j": "row j of `embeddings`",
            r"l": "every row of `other` again",
            r"y_l": "row l of `other`",
        },
        kernel="none",
        item="batch",
        paper="Gretton et al., A Kernel Two-Sample Test, 2012",
        equation="5, squared",
        defaults="none: a bandwidth of 1 is no more than a unit",
        search={"kernel": Choice(("gaussian", "laplacian", "energy")), "bandwidth": Range(0.1, 10.0, log=True)},
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "group"}),
        when="Features that shall be distributed alike in two domains, or samples of a generator beside real ones.",
        pitfalls=(
            "A bandwidth far below the distances has no gradient, one far above compares only means: begin with the"
            " median distance, or take the energy distance.",
            "Two batches of one distribution are not at 0: the default exceeds it by some 1/N + 1/M.",
            "It matches whole batches: that domains have different shares of the classes is then held against them.",
        ),
        relatives=("sigreg_loss", "ensemble_crps_loss"),
        aliases=("maximum_mean_discrepancy_loss",),
    ),
)

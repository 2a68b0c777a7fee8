"""Class heads on the sphere whose margin adapts to an item's quality, judged by its length."""

import math
from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Range
from lossary.core.reduce import Reduction, align, reduce
from lossary.core.rules import POSITIVE, NotNegative, Positive, checked
from lossary.distributed import across_ranks, gathered
from lossary.distributed.shards import group_of
from lossary.kernels.distances import norm, root
from lossary.kernels.rows.by_torch import SoftmaxWith
from lossary.kernels.rows.scores import RowGradients, Rows
from lossary.kernels.stable import parameters
from lossary.losses.identities._shared import (
    HEAD_SYMBOLS,
    FollowingHead,
    Scale,
    SphereHead,
    angle,
    at_angles_end,
    cosine_head,
    counted_items,
    head_card,
    slope_of,
)
from lossary.losses.identities.angular import (
    BeyondPi,
    arcface_loss,
)

__all__ = [
    "AdaFaceLoss",
    "MagFaceLoss",
    "adaface_loss",
    "magface_loss",
]


@SoftmaxWith
def _adaface(rows: Rows, scale: float | Tensor, turn: Tensor, lift: Tensor) -> Tensor:
    return scale * ((angle(rows.target / scale) + turn).clamp(0, math.pi).cos() - lift)


def _adaface_slope(rows: Rows, scale: float | Tensor, turn: Tensor, lift: Tensor) -> tuple[Tensor, RowGradients]:
    cos = rows.target / scale
    theta = cos.clamp(-1, 1).acos()
    turned = theta + turn
    flat = at_angles_end(cos) | (turned < 0) | (turned > math.pi)
    by_cos = torch.where(flat, 0, turned.sin() / theta.sin())
    return slope_of(rows, scale, turned.clamp(0, math.pi).cos() - lift, by_cos)


@across_ranks
@checked
def adaface_loss(
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    margin: NotNegative = 0.4,
    h: Positive = 0.333,
    scale: Positive = 64.0,
    norm_mean: float | Tensor | None = None,
    norm_std: NotNegative | None = None,
    eps: Annotated[float, POSITIVE] = 1e-3,
    gradient: Literal["held_margin", "exact"] = "held_margin",
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Softmax over cosines with a margin in the angle for poor items and one in the cosine for good ones.

    .. math:: -\log \frac{e^{s f(\theta_y)}}{e^{s f(\theta_y)} + \sum_{j \ne y} e^{s\cos\theta_j}}, \quad
        f(\theta) = \cos(\theta - m q) - (m + m q), \quad
        q = \Big[ h\, \frac{|x| - \mu}{\sigma + \epsilon} \Big]_{-1}^{1}

    An item's length stands for its quality: what a network cannot recognise comes out short.

    Args:
        embeddings: (N, D), before they are normalised: their lengths count.
        weight: (C, D), one direction per class; or (C, K, D), K per class, of which the one nearest to the embedding
            counts (sub-centers, for noisy labels: Deng et al., ECCV 2020, eq. 2). Normalised here.
        labels: (N,) class indices of any integer dtype.
        margin: m. At q = -1 it is ArcFace's, in radians; at q = 1 it is 2m in the cosine and -m in the angle.
        h: The change of quality per standard deviation of the length; at 1 / 3 most items' q is within 1 / 3.
        scale: s, the radius of the sphere (an inverse temperature).
        norm_mean: mu, the mean length. None takes this batch's; :class:`AdaFaceLoss` follows it during training.
        norm_std: sigma, the lengths' standard deviation. None takes this batch's, with N - 1.
        eps: Added to the deviation, in units of length: without it, the quality of normalised embeddings would be
            rounding error.
        gradient: ``"held_margin"`` treats q as a constant, like the authors' code; ``"exact"`` differentiates it, so
            that lengths get a gradient.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``. They do not weight the lengths.
        mask: (N,) boolean, True where an item counts; elsewhere embeddings may be NaN and labels out of range.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' items form one batch: for the lengths' mean and deviation, and for the loss's
            mean. Classes sharded over ranks bring their own.

    Returns:
        A scalar, or (N,). The target's gradient is 0 where ``theta - m q`` would leave [0, pi], and at
        ``cos(theta) = +-1``.

    Raises:
        ValueError: Wrong shapes, ``scale``, ``h`` or ``eps`` not above 0, ``margin`` or ``norm_std`` below 0.
        TypeError: Labels that are not integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> x, w = torch.diag(torch.tensor([1.0, 3.0])), torch.eye(2)
        >>> adaface_loss(x, w, torch.tensor([0, 1]), scale=8.0, reduction="none")
        tensor([0.0040, 0.0173])

    Source:
        Kim, Jain and Liu, AdaFace: Quality Adaptive Margin for Face Recognition, arXiv:2204.00964, section 3.3; 0.4,
        0.333 and 64 are the paper's. Its mean and deviation follow the batches with a weight of 0.01 for each new one;
        the authors' head defaults to 1, the batch's own. Their code also clamps lengths at 100, making longer items all
        alike, and cosines at 0.999, beyond which a target has no gradient; this loss does not.
    """
    x, _, there = counted_items(embeddings, weight, labels, mask)
    lengths = norm(x) if gradient == "exact" else norm(x.detach())
    align(sample_weight, None, there.shape)  # before anything is gathered
    own = _spread(lengths, there, group_of(weight) or group)[:2]
    given = (found if n is None else n for n, found in zip((norm_mean, norm_std), own, strict=True))
    margin, h, mean, std = parameters((margin, h, *given), x)
    quality = ((lengths - mean) * h / (std + eps)).clamp(-1, 1)
    return cosine_head(
        _adaface,
        embeddings,
        weight,
        labels,
        scale,
        -margin * quality,
        margin * quality + margin,
        sample_weight=sample_weight,
        mask=mask,
        slope=_adaface_slope,
        reduction=reduction,
        group=group,
    )


def _spread(lengths: Tensor, there: Tensor, group: ProcessGroup | None) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and standard deviation of the items that count, and their number; 0 where there are too few for either."""
    lengths, there = gathered(group, embeddings=lengths, mask=there)
    count = there.sum()
    mean = (lengths * there).sum() / count.clamp_min(1)
    squares = ((lengths - mean) * there).square().sum()
    return mean, root(squares / (count - 1).clamp_min(1)), count


@across_ranks
def adaface_lengths(
    embeddings: Tensor, weight: Tensor, labels: Tensor, *, mask: Tensor | None, group: ProcessGroup | None
) -> Tensor:
    """What :class:`AdaFaceLoss` follows: mean and deviation of the batch's lengths, and the number of items."""
    x, _, there = counted_items(embeddings, weight, labels, mask)
    mean, std, count = _spread(norm(x.detach()), there, group_of(weight) or group)
    return torch.stack([mean, std, count.to(mean.dtype)])


class AdaFaceLoss(FollowingHead):
    """:func:`adaface_loss` with its own class directions; it follows mean and deviation of lengths during training.

    They start as the first training batch's and are kept in the state; a given ``norm_mean`` or ``norm_std`` stays
    fixed. Evaluation does not update them.
    """

    fn = staticmethod(adaface_loss)
    margin: NotNegative = 0.4
    h: Positive = 0.333
    scale: Positive = 64.0
    norm_mean: float | Tensor | None = None
    norm_std: NotNegative | None = None
    eps: Annotated[float, POSITIVE] = 1e-3
    gradient: Literal["held_margin", "exact"] = "held_margin"
    reduction: Reduction = "mean"

    def setup(self) -> None:
        super().setup()
        self.register_buffer("lengths", torch.full((2,), torch.nan))

    def forward(self, embeddings: Tensor, labels: Tensor, **extra: Any) -> Tensor:
        mask, group = extra.get("mask"), extra.get("group")
        *found, count = adaface_lengths(embeddings, self.weight, labels, mask=mask, group=group).unbind()
        mean, std = self.follow("lengths", torch.stack(found), count).unbind()
        followed = {"norm_mean": mean, "norm_std": std}
        return super().forward(
            embeddings, labels, **{n: v for n, v in followed.items() if getattr(self, n) is None}, **extra
        )


def _check_lengths(l_a: float | Tensor, u_a: float | Tensor) -> None:
    if not isinstance(l_a, Tensor) and not isinstance(u_a, Tensor) and u_a <= l_a:
        raise ValueError(f"u_a: wanted a number above l_a, {l_a}; got {u_a}")


@across_ranks
@checked
def magface_loss(
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    l_a: Positive = 10.0,
    u_a: Positive = 110.0,
    l_margin: NotNegative = 0.45,
    u_margin: NotNegative = 0.8,
    lambda_g: NotNegative = 35.0,
    scale: Scale = 64.0,
    beyond_pi: BeyondPi = "easy",
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""ArcFace with a larger margin for longer embeddings and a reward for being long, so that length means quality.

    .. math:: -\log \frac{e^{s\cos(\theta_y + m(a))}}{e^{s\cos(\theta_y + m(a))} + \sum_{j \ne y} e^{s\cos\theta_j}}
        + \lambda_g \left( \frac{1}{a} + \frac{a}{u_a^2} \right), \quad
        m(a) = l_m + (u_m - l_m) \frac{a - l_a}{u_a - l_a}

    with a the embedding's length, clamped to [l_a, u_a].

    Args:
        embeddings: (N, D), before they are normalised: their lengths count.
        weight: (C, D), one direction per class; or (C, K, D), K per class, of which the one nearest to the embedding
            counts (sub-centers, for noisy labels: Deng et al., ECCV 2020, eq. 2). Normalised here.
        labels: (N,) class indices of any integer dtype.
        l_a: The least length that counts, above 0.
        u_a: The largest, above ``l_a``.
        l_margin: The margin at the least length, in radians.
        u_margin: The margin at the largest.
        lambda_g: How much length is rewarded. The paper's proof that each item has one best length requires at least
            ``s k u_a^2 l_a^2 / (u_a^2 - l_a^2)`` with k the margin's slope: about 22.6 at the defaults.
        scale: s, the radius of the sphere (an inverse temperature). A tensor of shape (N,) sets one per row.
        beyond_pi: As in :func:`arcface_loss`; the authors train with ``"easy"``, which applies the margin only where
            ``cos(theta) > 0``.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an item counts; elsewhere embeddings may be NaN and labels out of range.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,), of both terms together. At exactly ``cos(theta) = +-1`` the target's gradient is 0.

    Raises:
        ValueError: Wrong shapes, ``scale``, ``l_a`` not above 0, ``u_a`` not above ``l_a``, a margin below 0.
        TypeError: Labels that are not integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> x, w = 50 * torch.eye(2), torch.eye(2)
        >>> magface_loss(x, w, torch.tensor([0, 1]), scale=8.0)
        tensor(0.8459)

    Source:
        Meng et al., MagFace: A Universal Representation for Face Recognition and Quality Assessment, arXiv:2103.06627,
        section 3.2; the numbers are those the authors train with. As in their code, an item shorter than ``l_a`` or
        longer than ``u_a`` has no gradient by its length: a network that starts outside stays there, so set ``l_a``
        below its initial lengths. That code returns the two terms separately.
    """
    _check_lengths(l_a, u_a)
    x, _, _ = counted_items(embeddings, weight, labels, mask, sample_weight)
    l_a, u_a, l_margin, u_margin, lambda_g = parameters((l_a, u_a, l_margin, u_margin, lambda_g), x)
    a = torch.minimum(torch.maximum(norm(x), x.new_ones(()) * l_a), x.new_ones(()) * u_a)
    margin = l_margin + (u_margin - l_margin) * (a - l_a) / (u_a - l_a)
    loss = arcface_loss(
        embeddings,
        weight,
        labels,
        margin=margin,
        scale=scale,
        beyond_pi=beyond_pi,
        sample_weight=sample_weight,
        mask=mask,
        reduction=reduction,
    )
    sample_weight, mask = align(sample_weight, mask, labels.shape)
    reward = lambda_g * (1 / a + a / u_a**2)
    return loss + reduce(reward, weight=sample_weight, mask=mask, reduction=reduction, group=group_of(weight))


class MagFaceLoss(SphereHead):
    """:func:`magface_loss` with its own class directions."""

    fn = staticmethod(magface_loss)
    l_a: Positive = 10.0
    u_a: Positive = 110.0
    l_margin: NotNegative = 0.45
    u_margin: NotNegative = 0.8
    lambda_g: NotNegative = 35.0
    scale: Scale = 64.0
    beyond_pi: BeyondPi = "easy"
    reduction: Reduction = "mean"

    def setup(self) -> None:
        _check_lengths(self.l_a, self.u_a)
        super().setup()


CARDS = (
    head_card(
        fn=adaface_loss,
        module=AdaFaceLoss,
        formula=(
            r"-\log \frac{e^{s f(\theta_y)}}{e^{s f(\theta_y)} + \sum_{j \ne y} e^{s\cos\theta_j}}, \quad "
            r"f(\theta) = \cos(\theta - m q) - (m + m q), \quad "
            r"q = \Big[ h\, \frac{|x| - \mu}{\sigma + \epsilon} \Big]_{-1}^{1}"
        ),
        symbols={
            **HEAD_SYMBOLS,
            r"f": "the transformed cosine of the true class",
            r"\theta": "its angle",
            r"m": "`margin`",
            r"q": "the item's quality, clamped to [-1, 1]",
            r"h": "`h`, the change of quality per standard deviation of the length",
            r"|x|": "the item's length",
            r"\mu": "`norm_mean`, the mean length",
            r"\sigma": "`norm_std`, the lengths' standard deviation",
            r"\epsilon": "`eps`, so that equal lengths mean equal quality",
        },
        paper="arXiv:2204.00964",
        equation="section 3.3",
        defaults="the paper",
        search={"margin": Range(0.1, 0.6), "h": Range(0.1, 1.0, log=True), "scale": Range(8.0, 64.0, log=True)},
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "group"}),
        exact={"gradient": "exact"},
        when="Identities in images of very different quality, some of which cannot be recognised at all.",
        pitfalls=(
            "It needs embeddings before they are normalised: unit embeddings all have the same quality.",
            "Under data-parallel training each rank only has its own items' lengths: pass `group`.",
            "Poor items get ArcFace's margin, good ones CosFace's: q grows with the length.",
            "The default scale of 64 suits thousands of classes; start at 16 to 30 for small problems.",
        ),
        relatives=("magface_loss", "arcface_loss", "cosface_loss", "curricularface_loss"),
    ),
    head_card(
        fn=magface_loss,
        module=MagFaceLoss,
        formula=(
            r"-\log \frac{e^{s\cos(\theta_y + m(a))}}{e^{s\cos(\theta_y + m(a))} + \sum_{j \ne y} e^{s\cos\theta_j}} "
            r"+ \lambda_g \left( \frac{1}{a} + \frac{a}{u_a^2} \right), \quad "
            r"m(a) = l_m + (u_m - l_m) \frac{a - l_a}{u_a - l_a}"
        ),
        symbols={
            **HEAD_SYMBOLS,
            r"m": "the margin, an angle in radians",
            r"a": "the item's length, clamped to [`l_a`, `u_a`]",
            r"\lambda_g": "`lambda_g`, how much length is rewarded",
            r"u_a": "`u_a`, the largest length that counts",
            r"l_m": "`l_margin`, the margin at the least length",
            r"u_m": "`u_margin`, the margin at the largest",
            r"l_a": "`l_a`, the least length that counts",
        },
        paper="arXiv:2103.06627",
        equation="section 3.2",
        defaults="what the authors train with",
        search={
            "l_margin": Range(0.0, 0.5),
            "u_margin": Range(0.3, 1.0),
            "lambda_g": Range(1.0, 60.0, log=True),
            "scale": Range(8.0, 64.0, log=True),
        },
        when="Identities, if an embedding's length should tell how good the image was.",
        pitfalls=(
            "Lengths outside [l_a, u_a] have no gradient: a network with short embeddings never lengthens them.",
            "It needs embeddings before they are normalised.",
            "A lambda_g too small for the scale and the margin's slope shrinks all lengths to the least.",
        ),
        relatives=("adaface_loss", "arcface_loss"),
    ),
)

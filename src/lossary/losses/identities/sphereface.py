"""SphereFace, whose margin multiplies the angle, and its successor with one yes-or-no question per class."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from lossary.core.card import Card, Choice, Range
from lossary.core.check import check_number
from lossary.core.reduce import Reduction
from lossary.core.rules import NOT_NEGATIVE, POSITIVE, NotNegative, checked
from lossary.distributed import across_ranks
from lossary.kernels.rows.by_torch import SoftmaxWith
from lossary.kernels.rows.maps import ScoreMap
from lossary.kernels.rows.scores import RowGradients, Rows
from lossary.kernels.stable import parameters, softplus
from lossary.losses.identities._shared import Scale, SphereHead, check_head, cosine_head

__all__ = [
    "Annealing",
    "SphereFace2Loss",
    "SphereFaceLoss",
    "sphereface2_loss",
    "sphereface_loss",
]


def _psi(cos: Tensor, margin: int) -> Tensor:
    """SphereFace's ``(-1)^k cos(m theta) - 2k``: falls all the way from theta = 0 to pi."""
    margin = int(margin)  # 2.0 is one of (1, 2, 3, 4) too
    # cos(m theta) is Chebyshev's polynomial in cos(theta): no angle, so no infinite derivative at cos = +-1.
    before, current = torch.ones_like(cos), cos
    for _ in range(margin - 1):
        before, current = current, 2 * cos * current - before
    bounds = [math.cos(math.pi * j / margin) for j in range(1, margin)]
    k = sum((cos <= bound for bound in bounds), torch.zeros_like(cos, dtype=torch.int64))
    return torch.where(k % 2 == 0, current, -current) - 2 * k


def _sphereface(rows: Rows, scale: float | Tensor, length: Tensor, annealing: float | Tensor, *, margin: int) -> Tensor:
    radius = scale * length
    cos = rows.target / torch.where(radius > 0, radius, torch.ones_like(radius))
    return radius * (annealing * cos + _psi(cos, margin)) / (1 + annealing)


@across_ranks
@checked
def sphereface_loss(
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    margin: Literal[1, 2, 3, 4] = 4,
    scale: Scale | None = None,
    annealing: NotNegative = 5.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Softmax where the true class's angle counts m times (A-Softmax).

    .. math:: -\log \frac{e^{|x| \tilde\psi(\theta_y)}}{e^{|x| \tilde\psi(\theta_y)}
        + \sum_{j \ne y} e^{|x| \cos\theta_j}}, \quad
        \tilde\psi = \frac{\lambda \cos\theta + \psi(\theta)}{1 + \lambda}, \quad
        \psi(\theta) = (-1)^k \cos(m \theta) - 2k

    with ``k`` such that ``theta`` lies in ``[k pi / m, (k + 1) pi / m]``.

    Args:
        embeddings: (N, D); their lengths count, unless ``scale`` is given.
        weight: (C, D), one direction per class; or (C, K, D), K per class, of which the one nearest to the embedding
            counts (sub-centers, for noisy labels: Deng et al., ECCV 2020, eq. 2). Normalised here.
        labels: (N,) class indices of any integer dtype.
        margin: m, one of 1, 2, 3, 4.
        scale: s: normalises the embeddings too and puts them on a sphere of this radius; None keeps their lengths.
        annealing: lambda, how much of the plain softmax is mixed in; 0 is the pure loss, hard to start with. The Module
            also takes an :class:`Annealing`.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an item counts; elsewhere embeddings may be NaN and labels out of range.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Wrong shapes, another ``margin``, ``scale`` not above 0, ``annealing`` below 0.
        TypeError: Labels that are not integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> x, w = torch.eye(2), torch.eye(2)
        >>> sphereface_loss(x, w, torch.tensor([0, 1]))
        tensor(0.3133)

    Source:
        Liu et al., SphereFace, arXiv:1704.08063, eq. 7; m = 4 is the paper's; lambda = 5 is where the authors' schedule
        ends. Lecture notes often write cos(m theta) for psi, which rises again beyond pi / m, and normalise the
        embeddings, unlike the paper.
    """
    return cosine_head(
        SoftmaxWith(partial(_sphereface, margin=margin)),
        embeddings,
        weight,
        labels,
        1.0 if scale is None else scale,
        annealing,
        normalize=scale is not None,
        lengths=True,
        sample_weight=sample_weight,
        mask=mask,
        reduction=reduction,
    )


@dataclass(frozen=True)
class Annealing:
    """SphereFace's lambda after so many training steps: ``max(minimum, base (1 + gamma step)^-power)``.

    The defaults are those of the authors' code.
    """

    base: float = 1000.0
    gamma: float = 0.12
    power: float = 1.0
    minimum: float = 5.0

    def __call__(self, step: Tensor) -> Tensor:
        return (self.base * (1 + self.gamma * step) ** -self.power).clamp_min(self.minimum)


class SphereFaceLoss(SphereHead):
    """:func:`sphereface_loss` with its own class directions.

    With an :class:`Annealing` the number of training calls is kept in the state, so that a resumed run continues where
    it stopped.
    """

    fn = staticmethod(sphereface_loss)
    margin: Literal[1, 2, 3, 4] = 4
    scale: Scale | None = None
    annealing: NotNegative | Annealing = 5.0
    reduction: Reduction = "mean"

    def setup(self) -> None:
        super().setup()
        if isinstance(self.annealing, Annealing):
            self.register_buffer("step", torch.zeros(()))

    def forward(self, embeddings: Tensor, labels: Tensor, **extra: Any) -> Tensor:
        if isinstance(self.annealing, Annealing):
            step = self.get_buffer("step")
            extra = {"annealing": self.annealing(step), **extra}
            if self.training:
                step.add_(1)
        return super().forward(embeddings, labels, **extra)


def _one_against_all(rows: Rows, scale: float | Tensor, balance: float | Tensor) -> Tensor:
    return (balance * softplus(-rows.target) + (1 - balance) * rows.rest) / scale


def _one_against_all_slope(rows: Rows, scale: float | Tensor, balance: float | Tensor) -> tuple[Tensor, RowGradients]:
    by_target = -balance * torch.sigmoid(-rows.target) / scale
    by_rest = ((1 - balance) / scale) * torch.ones_like(by_target)
    return _one_against_all(rows, scale, balance), RowGradients(by_target, None, by_rest, None)


def _bias_at_rest(classes: int, balance: float, scale: float, margin: float, t: float) -> float:
    """The bias with no gradient where all cosines are 0: neither the one class nor the many others move it."""
    center, apart = scale * (2 * 0.5**t - 1), scale * margin
    others = max(classes - 1, 1) * (1 - balance)
    # balance * sigmoid(apart - center - b) = others * sigmoid(apart + center + b), a quadratic equation in e^b
    share = balance / others
    root = math.sqrt((1 - share) ** 2 + 4 * share * math.exp(-2 * apart))
    log = math.log(2 * share / (1 - share + root)) if share < 1 else 2 * apart + math.log((share - 1 + root) / 2)
    return log - apart - center


#: The power of a half circle's height.
Power = Annotated[float, partial(check_number, low=1)]
Balance = Annotated[float, partial(check_number, low=0, high=1, open_low=True, open_high=True)]


@across_ranks
@checked
def sphereface2_loss(
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    balance: Balance = 0.7,
    scale: Annotated[float, POSITIVE] = 40.0,
    margin: Annotated[float, NOT_NEGATIVE] = 0.4,
    t: Power = 3.0,
    bias: float | Tensor | None = None,
    gradient: Literal["exact", "straight_through"] = "exact",
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""One yes-or-no question per class, whether an item belongs to it, instead of a softmax over classes.

    .. math:: \frac{\lambda}{s} \log\big(1 + e^{-s (g(\cos\theta_y) - m) - b}\big)
        + \frac{1 - \lambda}{s} \sum_{j \ne y} \log\big(1 + e^{s (g(\cos\theta_j) + m) + b}\big), \quad
        g(c) = 2 \Big(\frac{1 + c}{2}\Big)^t - 1

    Args:
        embeddings: (N, D), any length; normalised here.
        weight: (C, D), one direction per class; or (C, K, D), K per class, of which the one nearest to the embedding
            counts (sub-centers, for noisy labels: Deng et al., ECCV 2020, eq. 2). Normalised here.
        labels: (N,) class indices of any integer dtype.
        balance: lambda, the share of the own class's question, in (0, 1).
        scale: s, the radius of the sphere (an inverse temperature), above 0.
        margin: m, in units of g, subtracted for the own class and added for the others.
        t: At least 1: the larger, the more of the range of cosines counts as dissimilar.
        bias: b. None takes the value with no gradient where all cosines are 0, which is the paper's start. A Parameter
            learns, as in the paper, and holds all scores in memory.
        gradient: ``"exact"``, or ``"straight_through"``: g's derivative is taken as 1, as in the authors' code.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an item counts; elsewhere embeddings may be NaN and labels out of range.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Wrong shapes, ``balance`` outside of (0, 1), ``scale`` not above 0, ``t`` below 1.
        TypeError: Labels that are not integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> x, w = torch.eye(2), torch.eye(2)
        >>> sphereface2_loss(x, w, torch.tensor([0, 1]), scale=8.0, bias=0.0)
        tensor(0.0029)

    Source:
        Wen et al., SphereFace2: Binary Classification is All You Need for Deep Face Recognition, arXiv:2108.01513, in
        its form with an additive margin (SphereFace2-C); the defaults are those of the authors' code, which multiplies
        the mean by 50.
    """
    check_head(embeddings, weight, labels)
    if bias is None:
        bias = _bias_at_rest(weight.shape[0], balance, scale, margin, t)
    (bias,) = parameters((bias,), embeddings)
    return cosine_head(
        _one_against_all,
        embeddings,
        weight,
        labels,
        scale,
        balance,
        sample_weight=sample_weight,
        mask=mask,
        slope=_one_against_all_slope,
        mapped=ScoreMap("sphereface2" if gradient == "exact" else "sphereface2_straight", (scale, t, margin, bias)),
        sums="softplus",
        reduction=reduction,
    )


class SphereFace2Loss(SphereHead):
    """:func:`sphereface2_loss` with its own class directions."""

    fn = staticmethod(sphereface2_loss)
    balance: Balance = 0.7
    scale: Annotated[float, POSITIVE] = 40.0
    margin: Annotated[float, NOT_NEGATIVE] = 0.4
    t: Power = 3.0
    bias: float | Tensor | None = None
    gradient: Literal["exact", "straight_through"] = "exact"
    reduction: Reduction = "mean"


CARDS = (
    Card(
        fn=sphereface_loss,
        module=SphereFaceLoss,
        takes=("embeddings-weight-labels",),
        input="embeddings",
        data="identities",
        formula=(
            r"-\log \frac{e^{|x| \tilde\psi(\theta_y)}}{e^{|x| \tilde\psi(\theta_y)} + \sum_{j \ne y} "
            r"e^{|x| \cos\theta_j}},\quad \tilde\psi(\theta) = \frac{\lambda\cos\theta + \psi(\theta)}{1 + "
            r"\lambda},\quad \psi(\theta) = (-1)^k \cos(m \theta) - 2k"
        ),
        symbols={
            r"|x|": "the length of an item of `embeddings`, or `scale` if given",
            r"\tilde\psi": "the true class's score: psi softened by `annealing`",
            r"\theta_y": "the angle between the item and the direction of its own class in `weight`, 0 to pi",
            r"y": "the item's class, from `labels`",
            r"j": "every other class",
            r"\theta_j": "the angle between the item and the direction of class j",
            r"\theta": "any such angle",
            r"\lambda": "`annealing`, how much of the plain cosine is mixed in; 0 is the pure loss",
            r"\psi": "the cosine of m times the angle, modified to keep falling beyond pi / m",
            r"k": "which piece of psi: the whole number with k pi / m <= theta <= (k + 1) pi / m",
            r"m": "`margin`, what the angle is multiplied by: 1, 2, 3 or 4",
        },
        kernel="rows",
        item="row",
        paper="arXiv:1704.08063",
        equation="7",
        defaults="m: the paper; lambda: the end of the authors' schedule",
        search={
            "margin": Choice((2, 3, 4)),
            "annealing": Range(0.5, 50.0, log=True),
        },
        at_call=frozenset({"sample_weight", "mask"}),
        when="Of historical interest: a margin in the angle, but one that shrinks with the angle. ArcFace is easier.",
        pitfalls=(
            "Without annealing it hardly starts to learn: begin with a large lambda, or keep the default.",
            "cos(m theta) instead of psi rewards angles beyond pi / m.",
            "Computed through arccos, its gradient is infinite at cosine 1; the polynomial is smooth there.",
        ),
        relatives=("arcface_loss", "combined_margin_loss", "normalized_softmax_loss"),
        aliases=("a_softmax_loss", "ASoftmaxLoss"),
    ),
    Card(
        fn=sphereface2_loss,
        module=SphereFace2Loss,
        takes=("embeddings-weight-labels",),
        input="embeddings",
        data="identities",
        formula=(
            r"\frac{\lambda}{s} \log\big(1 + e^{-s (g(\cos\theta_y) - m) - b}\big) + \frac{1 - \lambda}{s} "
            r"\sum_{j \ne y} \log\big(1 + e^{s (g(\cos\theta_j) + m) + b}\big), \quad "
            r"g(c) = 2 \Big(\frac{1 + c}{2}\Big)^t - 1"
        ),
        symbols={
            r"\lambda": "`balance`, the share of the own class's question",
            r"s": "`scale`, the radius of the sphere: an inverse temperature, above 0",
            r"g": "the transformed cosine: near -1 for most",
            r"\theta_y": "the angle between an item of `embeddings` and the direction of its own class in `weight`",
            r"y": "the item's class, from `labels`",
            r"m": "`margin`",
            r"b": "`bias`",
            r"j": "every other class",
            r"\theta_j": "the angle between the item and the direction of class j",
            r"c": "a cosine",
            r"t": "`t`, the power",
        },
        kernel="rows",
        item="row",
        paper="arXiv:2108.01513",
        equation="5",
        defaults="the authors' code",
        search={"balance": Range(0.5, 0.9), "scale": Range(8.0, 64.0, log=True), "margin": Range(0.0, 0.5)},
        exact={"gradient": "exact"},
        at_call=frozenset({"sample_weight", "mask"}),
        when="Identities that are verified one by one: whether two items share a class, not which class is nearest.",
        pitfalls=(
            "It grows with the number of classes, since it sums over them.",
            "A bias that learns should have no weight decay.",
        ),
        relatives=("sphereface_loss", "cosface_loss", "binary_cross_entropy_with_logits"),
    ),
)

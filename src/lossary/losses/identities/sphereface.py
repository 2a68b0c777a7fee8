"""Class heads on the sphere whose margin multiplies the angle."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from lossary.core.card import Card, Choice, Range
from lossary.core.check import check_rows
from lossary.core.reduce import Reduction
from lossary.core.rules import Factor, NotNegative, checked
from lossary.distributed import across_ranks
from lossary.kernels.rows.scores import Rows
from lossary.kernels.stable import softplus
from lossary.losses.identities._shared import Margin, Scale, SphereHead, angle, cosine_head

__all__ = [
    "Annealing",
    "CombinedMarginLoss",
    "SphereFaceLoss",
    "combined_margin_loss",
    "sphereface_loss",
]


def _psi(cos: Tensor, margin: int) -> Tensor:
    """SphereFace's ``(-1)^k cos(m theta) - 2k``: falls all the way from theta = 0 to pi."""
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
    target = radius * (annealing * cos + _psi(cos, margin)) / (1 + annealing)
    return softplus(rows.rest - target)


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
        weight: (C, D), one direction a class; or (C, K, D), K of them, of which the nearest one to the embedding counts
            (sub-centers, for noisy labels: Deng et al., ECCV 2020, eq. 2). Normalised here.
        labels: (N,) class indices of any integer dtype.
        margin: m, one of 1, 2, 3, 4.
        scale: s: normalises the embeddings too and puts them on a sphere of this radius. None keeps their lengths.
        annealing: lambda, how much of the plain softmax is mixed in; 0 is the pure loss, hard to start with. The
            Module also takes an :class:`Annealing`.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an item counts; what stands elsewhere may be NaN, or no class.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Wrong shapes, another ``margin``, ``scale`` not above 0, ``annealing`` below 0.
        TypeError: Labels that are no integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> x, w = torch.eye(2), torch.eye(2)
        >>> sphereface_loss(x, w, torch.tensor([0, 1]))
        tensor(0.3133)

    Source:
        Liu et al., SphereFace, arXiv:1704.08063, eq. 7; m = 4 is the paper's; lambda = 5 is where the authors' schedule
        ends. Lecture notes often write cos(m theta) for psi, which rises again beyond pi / m, and normalise the
        embeddings, which the paper does not.
    """
    return cosine_head(
        partial(_sphereface, margin=margin),
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

    With an :class:`Annealing` the number of training calls is kept in the state, so that a resumed training goes on
    where it stopped.
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


def _combined(
    rows: Rows,
    scale: float | Tensor,
    m1: float | Tensor,
    m2: float | Tensor,
    m3: float | Tensor,
    *,
    beyond_pi: Literal["psi", "plain"],
) -> Tensor:
    cos = rows.target / scale
    theta = m1 * angle(cos) + m2
    target = theta.cos()
    if beyond_pi == "psi":
        k = (theta.detach() / math.pi).floor()
        target = torch.where(k % 2 == 0, target, -target) - 2 * k
    return softplus(rows.rest - scale * (target - m3))


@across_ranks
@checked
def combined_margin_loss(
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    m1: Factor = 1.0,
    m2: Factor = 0.3,
    m3: Margin = 0.2,
    scale: Scale = 64.0,
    beyond_pi: Literal["psi", "plain"] = "psi",
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Softmax over cosines with SphereFace's, ArcFace's and CosFace's margins in one.

    .. math:: -\log \frac{e^{s(\cos(m_1\theta_y + m_2) - m_3)}}
        {e^{s(\cos(m_1\theta_y + m_2) - m_3)} + \sum_{j \ne y} e^{s\cos\theta_j}}

    Args:
        embeddings: (N, D), any length; normalised here.
        weight: (C, D), one direction a class; or (C, K, D), K of them, of which the nearest one to the embedding counts
            (sub-centers, for noisy labels: Deng et al., ECCV 2020, eq. 2). Normalised here.
        labels: (N,) class indices of any integer dtype.
        m1: What the angle is multiplied by; need not be whole.
        m2: Added to the angle, in radians.
        m3: Subtracted from the cosine.
        scale: s, the radius of the sphere (an inverse temperature). Of shape (N,), one a row.
        beyond_pi: Where ``m1 theta + m2 > pi``, whose cosine would rise again: ``"psi"`` keeps falling as SphereFace
            does, ``"plain"`` keeps the equation.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an item counts; what stands elsewhere may be NaN, or no class.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,). At ``cos(theta) = +-1`` exactly the angle has no derivative, and the target's is 0.

    Raises:
        ValueError: Wrong shapes, ``scale`` not above 0, ``m1`` or ``m2`` below 0, an unknown option.
        TypeError: Labels that are no integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> x, w = torch.eye(2), torch.eye(2)
        >>> combined_margin_loss(x, w, torch.tensor([0, 1]), scale=8.0)
        tensor(0.0024)

    Source:
        Deng et al., ArcFace, arXiv:1801.07698, eq. 4, and its table 2 for (1, 0.3, 0.2). Some code of this name has
        only the pure ArcFace and CosFace margins.
    """
    for name, value in (("m1", m1), ("m2", m2), ("m3", m3)):
        check_rows(name, value, labels)
    return cosine_head(
        partial(_combined, beyond_pi=beyond_pi),
        embeddings,
        weight,
        labels,
        scale,
        m1,
        m2,
        m3,
        sample_weight=sample_weight,
        mask=mask,
        reduction=reduction,
    )


class CombinedMarginLoss(SphereHead):
    """:func:`combined_margin_loss` with its own class directions."""

    fn = staticmethod(combined_margin_loss)
    m1: Factor = 1.0
    m2: Factor = 0.3
    m3: Margin = 0.2
    scale: Scale = 64.0
    beyond_pi: Literal["psi", "plain"] = "psi"
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
            r"|x|": "the length of an item of `embeddings`; `scale` instead where given",
            r"\tilde\psi": "the true class's score: psi softened by `annealing`",
            r"\theta_y": "the angle between the item and the direction of its own class in `weight`, 0 to pi",
            r"y": "the item's class, from `labels`",
            r"j": "every other class",
            r"\theta_j": "the angle between the item and the direction of class j",
            r"\theta": "any such angle",
            r"\lambda": "`annealing`, how much of the plain cosine is mixed in; 0 is the pure loss",
            r"\psi": "the cosine of m times the angle, made to keep falling beyond pi / m",
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
            "Through arccos its gradient is infinite at cosine 1; the polynomial is smooth there.",
        ),
        relatives=("arcface_loss", "combined_margin_loss", "normalized_softmax_loss"),
        aliases=("a_softmax_loss", "ASoftmaxLoss"),
    ),
    Card(
        fn=combined_margin_loss,
        module=CombinedMarginLoss,
        takes=("embeddings-weight-labels",),
        input="embeddings",
        data="identities",
        formula=(
            r"-\log \frac{e^{s(\cos(m_1\theta_y + m_2) - m_3)}}"
            r"{e^{s(\cos(m_1\theta_y + m_2) - m_3)} + \sum_{j \ne y} e^{s\cos\theta_j}}"
        ),
        symbols={
            r"s": "`scale`, the radius of the sphere: an inverse temperature, above 0",
            r"m_1": "`m1`, what the angle is multiplied by",
            r"\theta_y": (
                "the angle between an item of `embeddings` and the direction of its own class in `weight`, 0 to pi"
            ),
            r"m_2": "`m2`, radians added to the angle",
            r"m_3": "`m3`, what is taken off the cosine",
            r"y": "the item's class, from `labels`",
            r"j": "every other class",
            r"\theta_j": "the angle between the item and the direction of class j",
        },
        kernel="rows",
        item="row",
        paper="arXiv:1801.07698",
        equation="4",
        defaults="the paper's first combination, face recognition",
        search={
            "m1": Range(0.8, 1.5),
            "m2": Range(0.0, 0.5),
            "m3": Range(0.0, 0.4),
            "scale": Range(8.0, 64.0, log=True),
        },
        at_call=frozenset({"sample_weight", "mask"}),
        when="When one margin is not enough and there is time to tune three.",
        pitfalls=(
            "The default scale of 64 suits thousands of classes; start at 16 to 30 for small problems.",
            "(m1, m2, m3) = (1, 0, 0) is the normalised softmax: the first is a factor, not a margin.",
        ),
        relatives=("arcface_loss", "cosface_loss", "sphereface_loss"),
    ),
)

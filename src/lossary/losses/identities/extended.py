"""ArcFace extended: with other margins as well, or with hard negatives that count more as training proceeds."""

import math
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Range
from lossary.core.check import check_rows
from lossary.core.reduce import Reduction
from lossary.core.rules import Factor, Positive, checked
from lossary.distributed import across_ranks, gathered
from lossary.distributed.shards import group_of
from lossary.kernels.rows.by_torch import SoftmaxWith
from lossary.kernels.rows.maps import ScoreMap
from lossary.kernels.rows.scores import Rows
from lossary.kernels.stable import parameters
from lossary.losses.identities._shared import (
    HEAD_SYMBOLS,
    FollowingHead,
    Margin,
    Scale,
    SphereHead,
    angle,
    cosine_head,
    counted_items,
    head_card,
    own_cosines,
)
from lossary.losses.identities.angular import Angle, arcface_numbers, arcface_slope, arcface_target

__all__ = [
    "CombinedMarginLoss",
    "CurricularFaceLoss",
    "combined_margin_loss",
    "curricularface_loss",
]


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
    return scale * (target - m3)


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
    r"""Softmax over cosines with the margins of SphereFace, ArcFace and CosFace combined.

    .. math:: -\log \frac{e^{s(\cos(m_1\theta_y + m_2) - m_3)}}
        {e^{s(\cos(m_1\theta_y + m_2) - m_3)} + \sum_{j \ne y} e^{s\cos\theta_j}}

    Args:
        embeddings: (N, D), any length; normalised here.
        weight: (C, D), one direction per class; or (C, K, D), K per class, of which the one nearest to the embedding
            counts (sub-centers, for noisy labels: Deng et al., ECCV 2020, eq. 2). Normalised here.
        labels: (N,) class indices of any integer dtype.
        m1: What the angle is multiplied by; need not be an integer.
        m2: Added to the angle, in radians.
        m3: Subtracted from the cosine.
        scale: s, the radius of the sphere (an inverse temperature). A tensor of shape (N,) sets one per row.
        beyond_pi: For ``m1 theta + m2 > pi``, where the cosine would rise again: ``"psi"`` keeps falling as in
            SphereFace, ``"plain"`` keeps the equation.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an item counts; elsewhere embeddings may be NaN and labels out of range.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,). At exactly ``cos(theta) = +-1`` the angle has no derivative, and the target's gradient is 0.

    Raises:
        ValueError: Wrong shapes, ``scale`` not above 0, ``m1`` or ``m2`` below 0, an unknown option.
        TypeError: Labels that are not integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> x, w = torch.eye(2), torch.eye(2)
        >>> combined_margin_loss(x, w, torch.tensor([0, 1]), scale=8.0)
        tensor(0.0024)

    Source:
        Deng et al., ArcFace, arXiv:1801.07698, eq. 4, and its table 2 for (1, 0.3, 0.2). Some code under this name has
        only the pure ArcFace and CosFace margins.
    """
    for name, value in (("m1", m1), ("m2", m2), ("m3", m3)):
        check_rows(name, value, labels)
    return cosine_head(
        SoftmaxWith(partial(_combined, beyond_pi=beyond_pi)),
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


@across_ranks
@checked
def curricularface_loss(
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    margin: Angle = 0.5,
    scale: Positive = 64.0,
    t: float = 0.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""ArcFace whose hard negatives count little at first and more as training proceeds.

    .. math:: -\log \frac{e^{s\cos(\theta_y + m)}}{e^{s\cos(\theta_y + m)} + \sum_{j \ne y} e^{s N(\cos\theta_j)}},
        \quad N(c) = c \text{ for } c \le \cos(\theta_y + m), \; c\,(t + c) \text{ for larger}

    Args:
        embeddings: (N, D), any length; normalised here.
        weight: (C, D), one direction per class; or (C, K, D), K per class, of which the one nearest to the embedding
            counts (sub-centers, for noisy labels: Deng et al., ECCV 2020, eq. 2). Normalised here.
        labels: (N,) class indices of any integer dtype.
        margin: m in radians, in [0, pi]; a tensor is not checked. A tensor of shape (N,) sets one per row.
        scale: s, the radius of the sphere (an inverse temperature), above 0. A tensor holds all scores in memory.
        t: How far training has come: a mean cosine of items and their own classes, which :class:`CurricularFaceLoss`
            follows. It does not learn.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an item counts; elsewhere embeddings may be NaN and labels out of range.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' items form one batch: for the mean, and for the t that
            :class:`CurricularFaceLoss` follows. Classes sharded over ranks bring their own.

    Returns:
        A scalar, or (N,). The loss jumps where a negative becomes hard. Beyond ``theta + m = pi`` the target's score is
        ``cos(theta) - m sin(m)``; at exactly ``cos(theta) = +-1`` its gradient is 0.

    Raises:
        ValueError: Wrong shapes, ``scale`` not above 0, ``margin`` outside of [0, pi].
        TypeError: Labels that are not integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> x, w = torch.tensor([[1.0, 0.5], [0.8, 1.0]]), torch.eye(2)
        >>> curricularface_loss(x, w, torch.tensor([0, 1]), scale=8.0, t=0.2, reduction="none")
        tensor([0.3169, 1.3391])

    Source:
        Huang et al., CurricularFace: Adaptive Curriculum Learning Loss for Deep Face Recognition, arXiv:2004.00288,
        section 3.2; m = 0.5 and s = 64 are the paper's. It follows t with a weight of 0.01 for each new batch.
    """
    check_rows("margin", margin, labels)
    x, own, _ = counted_items(embeddings, weight, labels, mask, sample_weight)
    margin, scale, progress = parameters((margin, scale, t), x)
    turned = own_cosines(x, weight, own).clamp(-1, 1).acos() + (
        margin.detach() if isinstance(margin, Tensor) else margin
    )
    bar = turned.cos() * (scale.detach() if isinstance(scale, Tensor) else scale)
    # Each column is contiguous in memory, which makes passes over a block faster.
    by_row = torch.stack([bar, torch.ones_like(bar) * progress]).t()
    options = {"beyond_pi": "linear", "straight_through": False}
    return cosine_head(
        SoftmaxWith(partial(arcface_target, **options)),
        embeddings,
        weight,
        labels,
        scale,
        *arcface_numbers(margin),
        sample_weight=sample_weight,
        mask=mask,
        slope=partial(arcface_slope, **options),
        mapped=ScoreMap("curricular", (scale,), by_row),
        reduction=reduction,
        group=group,
    )


@across_ranks
def curricularface_progress(
    embeddings: Tensor, weight: Tensor, labels: Tensor, *, mask: Tensor | None, group: ProcessGroup | None
) -> Tensor:
    """What :class:`CurricularFaceLoss` follows: the mean cosine of items and their classes, and the number of items."""
    x, own, there = counted_items(embeddings, weight, labels, mask)
    cosines = own_cosines(x, weight, own)
    cosines, there = gathered(group_of(weight) or group, embeddings=cosines, mask=there)
    count = there.sum()
    return torch.stack([(cosines * there).sum() / count.clamp_min(1), count.to(cosines.dtype)])


class CurricularFaceLoss(FollowingHead):
    """:func:`curricularface_loss` with its own class directions; it follows t during training, from the given one on.

    In training, t takes in the batch's own mean before the loss is computed; it is kept in the state. Evaluation does
    not update it.
    """

    fn = staticmethod(curricularface_loss)
    margin: Angle = 0.5
    scale: Positive = 64.0
    t: float = 0.0
    reduction: Reduction = "mean"

    def setup(self) -> None:
        super().setup()
        self.register_buffer("progress", torch.ones(()) * self.t)

    def forward(self, embeddings: Tensor, labels: Tensor, **extra: Any) -> Tensor:
        mask, group = extra.get("mask"), extra.get("group")
        found, count = curricularface_progress(embeddings, self.weight, labels, mask=mask, group=group).unbind()
        return super().forward(embeddings, labels, **{"t": self.follow("progress", found, count), **extra})


CARDS = (
    head_card(
        fn=combined_margin_loss,
        module=CombinedMarginLoss,
        formula=(
            r"-\log \frac{e^{s(\cos(m_1\theta_y + m_2) - m_3)}}"
            r"{e^{s(\cos(m_1\theta_y + m_2) - m_3)} + \sum_{j \ne y} e^{s\cos\theta_j}}"
        ),
        symbols={
            **HEAD_SYMBOLS,
            r"m_1": "`m1`, what the angle is multiplied by",
            r"m_2": "`m2`, radians added to the angle",
            r"m_3": "`m3`, what is subtracted from the cosine",
        },
        paper="arXiv:1801.07698",
        equation="4",
        defaults="the paper's first combination, face recognition",
        search={
            "m1": Range(0.8, 1.5),
            "m2": Range(0.0, 0.5),
            "m3": Range(0.0, 0.4),
            "scale": Range(8.0, 64.0, log=True),
        },
        when="One margin is not enough, and there is time to tune three.",
        pitfalls=(
            "The default scale of 64 suits thousands of classes; start at 16 to 30 for small problems.",
            "(m1, m2, m3) = (1, 0, 0) is the normalised softmax: m1 is a factor, not a margin.",
        ),
        relatives=("arcface_loss", "cosface_loss", "sphereface_loss"),
    ),
    head_card(
        fn=curricularface_loss,
        module=CurricularFaceLoss,
        formula=(
            r"-\log \frac{e^{s\cos(\theta_y + m)}}{e^{s\cos(\theta_y + m)} + \sum_{j \ne y} e^{s N(\cos\theta_j)}}, "
            r"\quad N(c) = c \text{ for } c \le \cos(\theta_y + m), \; c\,(t + c) \text{ for larger}"
        ),
        symbols={
            **HEAD_SYMBOLS,
            r"m": "`margin`, an angle in radians added to the true class's",
            r"N": "the transformed cosine of another class",
            r"c": "that cosine",
            r"t": "`t`, how far training has come: 0 at first, then towards 1",
        },
        paper="arXiv:2004.00288",
        equation="section 3.2",
        defaults="the paper",
        search={"margin": Range(0.05, 0.7), "scale": Range(8.0, 64.0, log=True)},
        at_call=frozenset({"sample_weight", "mask", "group"}),
        when="Identities, where ArcFace hardly starts to learn or stops at the easy negatives.",
        pitfalls=(
            "t is part of the state: a run resumed without it restarts its curriculum.",
            "With sharded classes the target's cosine must come from the rank that holds it.",
            "The default scale of 64 suits thousands of classes; start at 16 to 30 for small problems.",
        ),
        relatives=("arcface_loss", "adaface_loss"),
    ),
)

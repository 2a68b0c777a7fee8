"""Class heads on the sphere: cosines between an embedding and its class's direction, with margins."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, dtype

from lossary._check import check_dim, check_float, check_labels, check_number, check_same_shape
from lossary._loss import HeadLoss
from lossary._reduce import Reduction
from lossary.cards import Call, Card, Range
from lossary.draws import labels as draw_labels
from lossary.draws import normal
from lossary.kernels.rows import Bilinear, Formula, Rows, Targets, row_loss
from lossary.kernels.stable import accumulate, softplus, unit

__all__ = ["CosFaceLoss", "cosface_loss"]


def _cosine_head(
    formula: Formula,
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    scale: float | Tensor,
    margin: float | Tensor,
    sample_weight: Tensor | None,
    reduction: str,
) -> Tensor:
    """``formula(rows, scale, margin)`` over scores ``scale * cos``."""
    check_dim("embeddings", embeddings, 2, "(N, D)")
    check_dim("weight", weight, 2, "(C, D)")
    check_float("embeddings", embeddings)
    if embeddings.shape[1] != weight.shape[1]:
        raise ValueError(f"weight: wanted (C, {embeddings.shape[1]}) beside embeddings; got {tuple(weight.shape)}")
    check_labels("labels", labels, embeddings.shape[0], classes=weight.shape[0])
    check_number("scale", scale, low=0, open_low=True)
    check_number("margin", margin)
    if sample_weight is not None:
        check_same_shape("sample_weight", sample_weight, "labels", labels)
    x = unit(accumulate(embeddings))
    scale, margin = (torch.as_tensor(v, dtype=x.dtype, device=x.device) for v in (scale, margin))
    source = Bilinear(x * scale, weight, unit=True)
    return row_loss(formula, source, Targets(labels), scale, margin, weight=sample_weight, reduction=reduction)


def _cosface(rows: Rows, scale: Tensor, margin: Tensor) -> Tensor:
    return softplus(rows.rest - (rows.target - scale * margin))


def cosface_loss(
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    margin: float | Tensor = 0.35,
    scale: float | Tensor = 64.0,
    sample_weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Softmax over cosines where the true class must win by a margin in the cosine.

    .. math:: -\log \frac{e^{s(\cos\theta_y - m)}}{e^{s(\cos\theta_y - m)} + \sum_{j \ne y} e^{s\cos\theta_j}}

    The margin stands in the denominator too: left out there, as some lecture notes print it, it is a constant
    without any gradient.

    Args:
        embeddings: (N, D), any length; normalised here.
        weight: (C, D), one direction a class; normalised here.
        labels: (N,) class indices of any integer dtype.
        margin: m, in units of the cosine; at most C / (C - 1).
        scale: s, the radius of the sphere (an inverse temperature).
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Wrong shapes, ``scale`` not above 0, a hyperparameter that is not finite.
        TypeError: Labels that are no integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> x, w = torch.eye(2), torch.eye(2)
        >>> cosface_loss(x, w, torch.tensor([0, 1]), margin=0.2, scale=10.0)
        tensor(0.0003)

    Source:
        Wang et al., CosFace, arXiv:1801.09414, eq. 4 (and AM-Softmax, arXiv:1801.05599); m = 0.35 and s = 64 are
        the paper's for face recognition. Small problems want a smaller scale.
    """
    return _cosine_head(_cosface, embeddings, weight, labels, scale, margin, sample_weight, reduction)


class CosFaceLoss(HeadLoss):
    """:func:`cosface_loss` with its own class directions."""

    fn = staticmethod(cosface_loss)
    margin: float | Tensor = 0.35
    scale: float | Tensor = 64.0
    reduction: Reduction = "mean"


def _draw_head(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), normal(g, dt, 7, 5), draw_labels(g, 7, 6)))


def _edges_head(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    return (
        # cosine exactly 1 and exactly -1 with the own class; a zero vector; lengths far apart
        Call((axes, axes.clone(), torch.tensor([0, 1, 2]))),
        Call((-axes, axes.clone(), torch.tensor([0, 1, 2], dtype=torch.int32))),
        Call((axes * torch.tensor([[0.0], [1e4], [1e-4]], dtype=dt), axes.flip(0), torch.tensor([0, 1, 1]))),
        Call((axes[:0], axes.clone(), torch.zeros(0, dtype=torch.int64))),  # empty batch
        Call((axes, axes[:1].clone(), torch.zeros(3, dtype=torch.int64))),  # one class
    )


def _golden_head(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["features"], inputs["weight"], inputs["labels"]), dict(params))


CARDS = (
    Card(
        fn=cosface_loss,
        module=CosFaceLoss,
        formula=(r"-\log \frac{e^{s(\cos\theta_y - m)}}{e^{s(\cos\theta_y - m)} + \sum_{j \ne y} e^{s\cos\theta_j}}"),
        data="identities",
        kernel="rows",
        item="row",
        paper="arXiv:1801.09414",
        equation="4",
        defaults="the paper, face recognition",
        draw=_draw_head,
        edges=_edges_head,
        variants=({}, {"margin": 0.1, "scale": 8.0}, {"margin": 0.0, "scale": 1.0}),
        golden={"am_softmax": _golden_head},
        search={"margin": Range(0.05, 0.5), "scale": Range(8.0, 64.0, log=True)},
        at_call=frozenset({"sample_weight"}),
        when="Many identities and closed training classes; a steady, easily tuned margin.",
        pitfalls=(
            "The margin belongs in the denominator's true-class term too; without it it has no gradient.",
            "The default scale of 64 suits thousands of classes; start at 16 to 30 for small problems.",
        ),
        relatives=("arcface_loss", "normalized_softmax_loss"),
        aliases=("am_softmax_loss", "AMSoftmaxLoss"),
    ),
)

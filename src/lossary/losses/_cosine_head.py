"""What the class heads on the sphere share: scaled cosines, and the data of their cards."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import torch
from torch import Generator, Tensor, dtype

from lossary._check import (
    check_dim,
    check_float,
    check_labels,
    check_plain,
    check_range,
    check_rows,
    values_visible,
    within,
)
from lossary._reduce import align, one_weight
from lossary.cards import Call
from lossary.draws import labels as draw_labels
from lossary.draws import normal
from lossary.kernels.distances import norm
from lossary.kernels.rows import Bilinear, Formula, Targets, row_loss
from lossary.kernels.stable import accumulate, accumulator, parameters, sphere
from lossary.losses._pointwise import hide

#: Numbers, or tensors of one number a row.
Scale = Annotated[float | Tensor, partial(check_plain, low=0, open_low=True)]
Margin = Annotated[float | Tensor, check_plain]

#: Cosines whose angle has a derivative of ordinary size.
INSIDE = 0.999


def cosine_head(
    formula: Formula,
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    scale: float | Tensor,
    *margins: float | Tensor,
    normalize: bool = True,
    lengths: bool = False,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    reduction: str,
) -> Tensor:
    """``formula(rows, scale, *margins)`` over scores ``scale * cos`` (``scale * |x| * cos`` without ``normalize``).

    With ``lengths`` those of the embeddings that the scores have, |x| or 1, come before the margins.
    """
    labels = _checked(embeddings, weight, labels)
    check_rows("scale", scale, labels)
    sample_weight, mask = align(sample_weight, mask, labels.shape)
    if mask is not None:
        embeddings, labels = hide(embeddings, mask[:, None]), hide(labels, mask)
        scale = _hidden(scale, mask)
        margins = tuple(_hidden(margin, mask) for margin in margins)
    check_range("labels", labels, weight.shape[0])
    x = accumulate(embeddings)
    if lengths:
        margins = (x.new_ones(()) if normalize else norm(x), *margins)
    scale, *rest = parameters((scale, *margins), x)
    radius = scale.reshape(-1, 1) if isinstance(scale, Tensor) else scale
    x = sphere(x, scale) if normalize else x * radius
    centers = 1 if weight.dim() == 2 else weight.shape[1]
    source = Bilinear(x, weight if weight.dim() == 2 else weight.flatten(0, 1), unit=True, centers=centers)
    each = one_weight(sample_weight, mask, labels.shape, x.dtype)
    return row_loss(formula, source, Targets(labels), scale, *rest, weight=each, reduction=reduction)


def _checked(embeddings: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """The labels, as int64."""
    check_dim("embeddings", embeddings, 2, "(N, D)")
    check_float("embeddings", embeddings)
    check_float("weight", weight)
    if weight.dim() not in (2, 3) or weight.shape[1] == 0:
        raise ValueError(f"weight: wanted (C, D), or (C, K, D) of K centers a class; got {tuple(weight.shape)}")
    if accumulator(weight) != accumulator(embeddings):
        raise TypeError(f"weight: wanted the dtype of embeddings, {embeddings.dtype}; got {weight.dtype}")
    if embeddings.shape[1] != weight.shape[-1]:
        raise ValueError(f"weight: wanted (C, {embeddings.shape[1]}) beside embeddings; got {tuple(weight.shape)}")
    return check_labels("labels", labels, embeddings.shape[0])


def _hidden(number: float | Tensor, mask: Tensor) -> float | Tensor:
    """A number a row is 1 where the row does not count; one number for all stays."""
    if not isinstance(number, Tensor) or number.numel() == 1:
        return number
    return torch.where(mask, number, torch.ones_like(number))


def angle(cos: Tensor) -> Tensor:
    """The angle of a cosine; without a derivative where that is +-1, or any number that +-1 may be rounded to.

    The derivative is infinite at +-1: a step beside it, it would be a large multiple of what is rounding alone.
    """
    if values_visible(cos) and cos.numel() > 0 and within(cos.detach(), -INSIDE, INSIDE):
        return cos.acos()
    inside = cos.abs() < 1 - 2 * torch.finfo(cos.dtype).eps
    theta = torch.where(inside, cos, 0).acos()
    return torch.where(inside, theta, cos.detach().clamp(-1, 1).acos())


def draw_head(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), normal(g, dt, 7, 5), draw_labels(g, 7, 6)))


def edges_head(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    return (
        # cosine exactly 1 and exactly -1 with the own class; a zero vector; lengths far apart
        Call((axes, axes.clone(), torch.tensor([0, 1, 2]))),
        Call((-axes, axes.clone(), torch.tensor([0, 1, 2], dtype=torch.int32))),
        Call((axes * torch.tensor([[0.0], [1e4], [1e-4]], dtype=dt), axes.flip(0), torch.tensor([0, 1, 1]))),
        Call((axes[:0], axes.clone(), torch.zeros(0, dtype=torch.int64))),  # empty batch
        Call((axes, axes[:1].clone(), torch.zeros(3, dtype=torch.int64))),  # one class
        # three centers a class, two of them the same
        Call((axes, torch.stack([axes, axes.roll(1, 0), axes.roll(1, 0)], 1) + 0.1, torch.tensor([2, 1, 0]))),
    )


def golden_head(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    renamed = {"beyond_pi" if name == "theta_plus_m" else name: value for name, value in params.items()}
    return Call((inputs["features"], inputs["weight"], inputs["labels"]), renamed)

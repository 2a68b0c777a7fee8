"""Linear classifiers that learn from others: the scores of teacher and student are computed block by block."""

from functools import partial

import torch
from torch import Tensor

from lossary.core.check import check_dim, check_float, check_shape
from lossary.core.reduce import Reduction, align, reduce
from lossary.core.rules import Positive, checked
from lossary.kernels.products import multiplied_in
from lossary.kernels.rows.readings import compared
from lossary.kernels.rows.scores import Bilinear
from lossary.kernels.stable import accumulator, parameters
from lossary.losses._pointwise import hide
from lossary.losses.classes.distillation import Direction, Share, directed, mixed

__all__ = ["linear_distillation"]


@checked
def linear_distillation(
    features: Tensor,
    weight: Tensor,
    teacher_features: Tensor,
    teacher_weight: Tensor,
    *,
    bias: Tensor | None = None,
    teacher_bias: Tensor | None = None,
    temperature: Positive = 1.0,
    direction: Direction = "forward",
    beta: Share | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""How far a linear student's softmax is from a linear teacher's, in memory that grows with N + C, not N times C.

    .. math:: \tau^2 \sum_c q_c \,(\log q_c - \log p_c), \quad
        q = \mathrm{softmax}\Big(\frac{V u + a}{\tau}\Big),\ p = \mathrm{softmax}\Big(\frac{W x + b}{\tau}\Big)

    Args:
        features: (N, D), the student's.
        weight: (C, D), the student's, one row per class.
        teacher_features: (N, E). No gradient flows to the teacher.
        teacher_weight: (C, E).
        bias: (C,), the student's, or None.
        teacher_bias: (C,), or None.
        temperature: tau, above 0; a Parameter is learned. Its square keeps the size of the gradients.
        direction: ``"forward"`` as above; ``"reverse"`` swaps p and q.
        beta: Between 0 and 1: the loss is then :func:`jensen_shannon_loss` with this share for the teacher; None: no.
        sample_weight: (N,); mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where a row counts.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Shapes that do not fit, ``temperature`` not above 0.
        TypeError: Arguments that are not floating-point.

    Example:
        >>> import torch
        >>> linear_distillation(torch.eye(2), torch.zeros(2, 2), torch.eye(2), 2 * torch.eye(2), temperature=2.0)
        tensor(0.4438)

    Source:
        Hinton et al., Distilling the Knowledge in a Neural Network, arXiv:1503.02531, section 2, and the sources of
        :func:`distillation_loss` and :func:`jensen_shannon_loss`. All scores are held under ``torch.compile`` and
        ``torch.func``, and for second derivatives.
    """
    student = _classifier("", features, weight, bias)
    teacher = _classifier("teacher_", teacher_features, teacher_weight, teacher_bias)
    check_shape("teacher_weight", teacher_weight, (weight.shape[0], teacher_features.shape[1]))
    check_shape("teacher_features", teacher_features, (features.shape[0], teacher_features.shape[1]))
    sample_weight, mask = align(sample_weight, mask, features.shape[:1])
    (temperature,) = parameters((temperature,), features)
    teacher = Bilinear(*(None if t is None else t.detach() for t in teacher))  # pyright: ignore[reportArgumentType]
    scaled = (_cooled(of, temperature, mask) for of in (Bilinear(*student), teacher))
    if beta is None:
        losses = compared(partial(directed, direction=direction), *scaled) * temperature**2
    else:
        losses = compared(partial(mixed, beta=beta), *scaled)
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)


def _classifier(
    whose: str, features: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The arguments, checked."""
    check_float(f"{whose}features", features)
    check_float(f"{whose}weight", weight)
    check_dim(f"{whose}features", features, 2, "(N, D)")
    check_dim(f"{whose}weight", weight, 2, "(C, D)")
    check_shape(f"{whose}weight", weight, (weight.shape[0], features.shape[1]))
    if bias is not None:
        check_shape(f"{whose}bias", bias, (weight.shape[0],))
    return features, weight, bias


def _cooled(of: Bilinear, temperature: float | Tensor, mask: Tensor | None) -> Bilinear:
    """The scores divided by a temperature; rows that do not count may hold anything."""
    x = of.x if mask is None else hide(of.x, mask[:, None])
    factor, b = None, of.b
    if isinstance(temperature, Tensor) or temperature != 1:
        one = torch.ones((), dtype=accumulator(x), device=x.device) / temperature
        factor, b = one.expand(len(x)), None if b is None else b * one
    return Bilinear(x, of.w, b, row_factor=factor, half=multiplied_in(x, of.w))

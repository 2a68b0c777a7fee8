"""Class weights for unequal class sizes."""

import math
from typing import Literal

import torch
from torch import Tensor

from lossary.core.check import check_choice, check_dim, check_number

__all__ = ["class_weights"]


def class_weights(
    counts: Tensor,
    *,
    method: Literal["inverse", "inverse_sqrt", "effective"] = "inverse",
    beta: float = 0.9999,
) -> Tensor:
    r"""Weights that make up for unequal class sizes, with mean 1 over the samples counted.

    Args:
        counts: (C,) samples per class, as from ``torch.bincount``. A class without samples gets weight 0.
        method: ``"inverse"``: 1 / n; ``"inverse_sqrt"``: 1 / sqrt(n), milder;
            ``"effective"``: (1 - beta) / (1 - beta^n), the inverse effective number of samples.
        beta: For ``"effective"``, in [0, 1): 0 weighs all classes alike, towards 1 it becomes ``"inverse"``.

    Returns:
        (C,) floating-point.

    Raises:
        ValueError: An unknown method, ``beta`` outside of [0, 1), negative counts.

    Example:
        >>> import torch
        >>> class_weights(torch.tensor([90, 10]))
        tensor([0.5556, 5.0000])

    Source:
        "inverse" is n / (C n_c), scikit-learn's ``"balanced"``; "effective" is Cui et al., arXiv:1901.05555, eq. 2
        (there normalised to a sum of C).
    """
    check_dim("counts", counts, 1, "(C,)")
    check_choice("method", method, ("inverse", "inverse_sqrt", "effective"))
    check_number("beta", beta, low=0, high=1)
    if beta == 1:
        raise ValueError("beta: wanted a number in [0, 1); got 1")
    n = counts.to(torch.get_default_dtype() if not counts.dtype.is_floating_point else counts.dtype)
    if (n < 0).any():
        raise ValueError(f"counts: wanted no negative number; got {n.min().item()}")
    seen = n.clamp_min(1)
    if method == "inverse":
        raw = 1 / seen
    elif method == "inverse_sqrt":
        raw = seen.rsqrt()
    else:
        raw = 1 / -torch.expm1(seen * math.log(beta)) if beta > 0 else torch.ones_like(seen)
    raw = torch.where(n > 0, raw, torch.zeros_like(raw))
    return raw * (n.sum() / (raw * n).sum().clamp_min(torch.finfo(n.dtype).tiny))

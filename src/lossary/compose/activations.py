"""From scores to shares: stable, for any dtype, and never in place."""

import torch
from torch import Tensor

__all__ = ["sigmoid", "softmax", "sum_normalize"]


def softmax(input: Tensor, dim: int = -1) -> Tensor:
    r"""Shares that depend only on the differences between scores.

    .. math:: \frac{e^{s_j}}{\sum_k e^{s_k}}

    Args:
        input: Scores, any shape; integers are taken as floats (unsigned ones would wrap around in a shift).
        dim: The dimension that sums to 1.

    Returns:
        The shape of ``input``.

    Example:
        >>> import torch
        >>> softmax(torch.tensor([1, 2]))
        tensor([0.2689, 0.7311])

    Source:
        Bridle 1990. Adding a constant to all scores changes nothing, multiplying them by one does.
    """
    return torch.softmax(_floating(input), dim)


def sigmoid(input: Tensor) -> Tensor:
    r"""The share of the first of two classes whose scores differ by ``input``.

    .. math:: \frac{1}{1 + e^{-s}}

    Args:
        input: Scores, any shape; integers are taken as floats.

    Returns:
        The shape of ``input``.

    Example:
        >>> import torch
        >>> sigmoid(torch.tensor([0.0, -1000.0]))
        tensor([0.5000, 0.0000])

    Source:
        Verhulst 1845; softmax over (s, 0).
    """
    return torch.sigmoid(_floating(input))


def sum_normalize(input: Tensor, dim: int = -1) -> Tensor:
    r"""Scores over their sum: shares that depend only on the ratios of scores.

    .. math:: \frac{s_j}{\sum_k s_k}

    Args:
        input: Scores of one sign, any shape; integers are taken as floats.
        dim: The dimension that sums to 1.

    Returns:
        The shape of ``input``; zeros where the sum is 0.

    Example:
        >>> import torch
        >>> sum_normalize(torch.tensor([1, 2])), sum_normalize(torch.tensor([10, 20]))
        (tensor([0.3333, 0.6667]), tensor([0.3333, 0.6667]))

    Source:
        The contrast to softmax, which turns the second into (0.00005, 0.99995).
    """
    x = _floating(input)
    total = x.sum(dim, keepdim=True)
    return torch.where(total == 0, torch.zeros_like(x), x / torch.where(total == 0, torch.ones_like(total), total))


def _floating(x: Tensor) -> Tensor:
    return x if x.dtype.is_floating_point else x.to(torch.get_default_dtype())

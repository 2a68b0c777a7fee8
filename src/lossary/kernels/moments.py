"""Sums of products of features over a batch, in memory that grows with the batch itself.

|A'B|^2 = <AA', BB'>: the sum of squares of a D x D matrix of products also follows from N x N matrices. Whichever is
smaller is computed, so that neither is larger than twice the batch.
"""

import torch
from torch import Tensor

from lossary.kernels.products import product


def cross_squares(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Of the D x D products A'B of features, for rows ``a`` and ``b`` (N, D): the diagonal, and the others' squares.

    Returns:
        The products of each feature with itself (D,), and the sum of squares of all others.
    """
    own = (a * b).sum(0)
    count, features = a.shape
    if 2 * count <= features:
        # The rank is so low that the others cannot all be small compared with the diagonal: nothing cancels.
        grams = product(a, a), product(b, b)
        return own, ((grams[0] * grams[1]).sum() - own.square().sum()).clamp_min(0)
    crossed = product(a.mT, b.mT)
    diagonal = torch.eye(features, dtype=torch.bool, device=a.device)
    return own, crossed.masked_fill(diagonal, 0).square().sum()


def centred(x: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Features minus their means, and their variances, of rows (N, D) with weights ``share`` (N,) that add up to 1."""
    each = share[:, None]
    x = x - (each * x).sum(0)
    return x, (each * x.square()).sum(0)

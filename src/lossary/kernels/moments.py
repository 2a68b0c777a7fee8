"""Sums of products of features over a batch, in memory that grows with the batch itself.

The squares of a matrix of D x D products, added up, are those of one of N x N: |A'B|^2 = <AA', BB'>. Whichever is
smaller is made, so that neither is larger than twice the batch.
"""

import torch
from torch import Tensor

from lossary.kernels.products import product


def cross_squares(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Of the D x D products A'B of features, for rows ``a`` and ``b`` (N, D): the diagonal, and the rest's squares.

    Returns:
        (D,) the products of each feature with itself, and the sum of squares of all others.
    """
    own = (a * b).sum(0)
    count, features = a.shape
    if 2 * count <= features:
        # Of so low a rank that the others cannot all be small beside the diagonal: nothing cancels.
        grams = product(a, a), product(b, b)
        return own, ((grams[0] * grams[1]).sum() - own.square().sum()).clamp_min(0)
    crossed = product(a.mT, b.mT)
    diagonal = torch.eye(features, dtype=torch.bool, device=a.device)
    return own, crossed.masked_fill(diagonal, 0).square().sum()


def centred(x: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Features less their means, and their variances, of rows (N, D) of which each counts ``share`` (N,), in all 1."""
    each = share[:, None]
    x = x - (each * x).sum(0)
    return x, (each * x.square()).sum(0)

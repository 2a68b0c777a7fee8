"""Softmax cross-entropy by torch's own function: for few scores, if its result shows that it is as exact.

The cost of a small batch is its number of operations: torch's function takes two, the exact statistics eight.
"""

import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from lossary.core.check import values_visible
from lossary.kernels.rows.scores import Rows, RowsOf
from lossary.kernels.stable import softplus

#: torch rounds -log p to about 1e-7, so the loss of nearly perfect rows vanishes: this does not matter in a mean of at
#: least this size.
EXACT = 1e-2


def exact_enough(mean: Tensor) -> Tensor | None:
    return mean if EXACT <= mean.item() < math.inf else None


class SoftmaxWith:
    """The formula of a softmax with another score in the target's place, ``own(rows, *parameters)``: a decorator."""

    def __init__(self, own: Callable[..., Tensor]) -> None:
        self.own = own

    def __call__(self, rows: Rows | RowsOf, *parameters: float | Tensor) -> Tensor:
        return softplus(rows.rest - self.own(rows, *parameters))

    def mean(self, rows: RowsOf, *parameters: float | Tensor) -> Tensor | None:
        """The mean by torch; None if that is not as exact, or if values may not be read."""
        if rows.single is None or not values_visible(rows.target):
            return None
        return exact_enough(F.cross_entropy(rows.replaced(self.own(rows, *parameters)), rows.single))

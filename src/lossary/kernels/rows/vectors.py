"""The two sides of a block's products: vectors as they are multiplied, and factors to apply afterwards."""

from collections.abc import Iterator

import torch
from torch import Tensor

from lossary.core import device as _device
from lossary.core.check import within
from lossary.kernels.stable import ORDINARY, accumulate, accumulator, bounded, in_range, scales

#: Elements of a temporary that stays in a CPU's cache together with w's.
THIN = 1 << 18


class Vectors:
    """One side of the products: vectors as they are multiplied, and factors to apply afterwards."""

    def __init__(self, given: Tensor, factor: Tensor | None, half: torch.dtype | None) -> None:
        self.given, self.factor, self.is_half = given, factor, half is not None
        if half is not None:
            self.multiplied, self.after = given.to(half), factor
        else:  # in full precision, applying a factor before is cheaper
            wide = accumulate(given)
            self.multiplied, self.after = wide if factor is None else wide * factor[:, None], None

    def times(self, column: Tensor) -> Tensor:
        """The products (N,) with one vector, in full precision."""
        if not self.is_half:
            return self.multiplied @ column
        found = accumulate(self.given) @ column
        return found if self.after is None else found * self.after

    def weighted_sum(self, weight: Tensor) -> Tensor:
        """The result (D,) in full precision, without a copy of all vectors."""
        if not self.is_half:
            return weight @ self.multiplied
        weight = weight if self.after is None else weight * self.after
        parts = [weight[part] @ accumulate(self.given[part]) for part in thin(self.given)]
        return sum(parts[1:], parts[0]) if parts else self.given.new_zeros(self.given.shape[1], dtype=weight.dtype)

    def settle(self, gradient: Tensor) -> Tensor | None:
        """Turn the gradient by what is multiplied into that by the vectors, in place; returns the factor's."""
        if self.factor is None:
            return None
        parts = [(gradient[part] * self.given[part]).sum(1) for part in thin(self.given)]
        along = parts[0] if len(parts) == 1 else torch.cat(parts)
        if self.after is not None:  # the gradient already contains the factor
            return along.div_(self.factor).masked_fill_(self.factor == 0, 0)
        gradient.mul_(self.factor[:, None])
        return along


class Columns(Vectors):
    """The columns' side, where ``unit`` divides each vector by its length: after the products, or in a copy before."""

    def __init__(self, given: Tensor, factor: Tensor | None, half: torch.dtype | None, *, unit: bool) -> None:
        super().__init__(given, factor, half)
        self.scale: Tensor | None = None
        self.inverse = self._inverse(half) if unit else self.after
        #: The vectors as they are multiplied, and the factor that each one's products still need; None for none.
        self.ready, self.left = self.multiplied, self.inverse
        if unit and self.inverse is not None and self._may_copy():
            self.ready, self.left = self.multiplied * self.inverse[:, None], None

    def _inverse(self, half: torch.dtype | None) -> Tensor:
        """1 / |w|; vectors whose squares, or whose products with x, are out of range are scaled before."""
        inverse = inverse_norms(self.given)
        # Read only on a CPU: elsewhere reading waits for the device.
        if _device.values_visible(self.given) and len(inverse) > 0 and not within(inverse, *ORDINARY):
            scale = scales(accumulate(self.given))
            if (scale != 1).any():
                super().__init__(accumulate(self.given) / scale, None, half)
                self.scale, inverse = scale, inverse_norms(self.given)
        return inverse

    def _may_copy(self) -> bool:
        """Whether a normalised copy is smaller than a block: it saves two passes over each block."""
        w = self.multiplied
        return not self.is_half and _device.by_cache(w) and w.numel() * w.element_size() <= _device.budget(w) // 2

    def finish(self, gradient: Tensor, mean: Tensor | None) -> Tensor | None:
        """Turn the gradient by what is multiplied, each times 1 / |w|, into that by w, in place; returns the factor's.

        ``mean`` is what the mean scores contribute to every column.
        """
        if mean is not None:
            gradient.addr_(torch.ones_like(gradient[:, 0]) if self.left is None else self.left, mean)
        by_factor = self.settle(gradient)
        if self.factor is None and self.inverse is not None:
            for part in thin(gradient):
                w, g = self.given[part], gradient[part]
                if self.left is None:  # the products were with unit vectors
                    g.mul_(self.inverse[part, None])
                along = (g * w).sum(1) * self.inverse[part].square()
                g.addcmul_(w, along[:, None], value=-1)
        if self.scale is not None:
            gradient.div_(bounded(self.scale))
        return by_factor


def inverse_norms(w: Tensor) -> Tensor:
    """1 / |w_j|, without temporaries of the size of w."""
    inverse = w.new_empty(len(w), dtype=accumulator(w))
    if not _device.by_cache(w):
        scale = scales(w).to(inverse.dtype)
        for part in thin(w):
            torch.linalg.vector_norm(w[part] / scale[part], dim=1, out=inverse[part])
        zero = inverse == 0
        return inverse.reciprocal_().masked_fill_(zero, 0).div_(scale[:, 0])
    for part in thin(w):
        rows = accumulate(w[part])
        y, of_y = in_range(rows)
        inverse[part] = (of_y if y is rows else of_y / scales(rows))[:, 0]
    return inverse


def thin(w: Tensor) -> Iterator[slice]:
    """Rows of w per temporary: in a CPU's cache they take a fifth of the time; elsewhere as many as memory allows."""
    entries = THIN if _device.by_cache(w) else _device.budget(w) // 4
    step = max(entries // max(w.shape[1], 1), 1)
    return (slice(first, first + step) for first in range(0, len(w), step))

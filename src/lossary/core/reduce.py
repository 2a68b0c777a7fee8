"""none | sum | mean, weights, masks and empty batches, in one place for every loss."""

from typing import Literal

import torch
from torch import Tensor

from lossary.core.check import check_tensor, values_visible
from lossary.distributed.handshake import sum_over_ranks

Reduction = Literal["none", "sum", "mean"]

#: The most items for which ``mean`` writes one gradient each to memory; for ``sum`` one number serves all.
SMALL = 1 << 14


def reduce(
    loss: Tensor,
    *,
    weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: str = "mean",
    group: torch.distributed.ProcessGroup | None = None,
    zeroed: bool = False,
) -> Tensor:
    """Reduce one loss per item to what was asked for.

    ``mean`` is ``sum(w * l) / sum(w)`` over the items that count, so items that are masked or have weight 0 change
    nothing at all. If there is nothing to average, it is 0.0, connected to the graph, with zero gradients.

    Args:
        loss: One value per item, any shape.
        weight: Weights of the items, broadcastable to ``loss``.
        mask: Boolean, True where an item counts, broadcastable to ``loss``.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.
        group: A process group over which the mean's divisor is summed, so that the ranks' gradients average to the
            gradient of the mean over all their items.
        zeroed: Whether items that do not count, and their gradients, are known to be 0.

    Returns:
        The items (``none``, the shape of ``loss``) or a scalar.
    """
    if mask is not None and not zeroed:
        # Zeroed, not multiplied: an item that does not count may be infinite.
        loss = torch.where(mask, loss, torch.zeros((), dtype=loss.dtype, device=loss.device))
    if weight is not None:
        loss = loss * weight.to(loss.dtype)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    if weight is None and mask is None and group is None and 0 < loss.numel() <= SMALL:
        return loss.mean()  # one node of the graph instead of two for sum and division: 20 us of a small loss
    return divide(loss.sum(), count(loss, weight, mask), group=group)


def align(sample_weight: Tensor | None, mask: Tensor | None, shape: torch.Size) -> tuple[Tensor | None, Tensor | None]:
    """Weights and mask in shapes that broadcast over items of ``shape``, aligned from the first dimension.

    Either has one number per item, or one per entry of the leading dimensions: (N,) with (N, C) is one number per row.
    Aligned from the last dimension, as broadcasting does, it would silently be one per column if N = C.
    """
    if sample_weight is None and mask is None:
        return None, None
    if mask is not None:
        check_tensor("mask", mask)
    if mask is not None and mask.dtype != torch.bool:
        raise TypeError(f"mask: wanted booleans, True where an item counts; got {mask.dtype}")
    sample_weight, mask = _lead("sample_weight", sample_weight, shape), _lead("mask", mask, shape)
    return sample_weight, _weighed(sample_weight, mask)


def _weighed(sample_weight: Tensor | None, mask: Tensor | None) -> Tensor | None:
    """The mask without items of weight 0: 0 times an infinite loss, or its gradient, would be NaN.

    Where values may be read, weights above 0 cost only two small operations.
    """
    if sample_weight is None:
        return mask
    counts = sample_weight != 0
    if values_visible(counts) and counts.all():
        return mask
    return counts if mask is None else mask & counts


def _lead(name: str, tensor: Tensor | None, shape: torch.Size) -> Tensor | None:
    if tensor is None:
        return None
    check_tensor(name, tensor)
    lengths = zip(tensor.shape, shape[: tensor.dim()], strict=True)
    if tensor.dim() > len(shape) or any(a not in (1, b) for a, b in lengths):
        raise ValueError(f"{name}: wanted shape {tuple(shape)} or its leading dimensions; got {tuple(tensor.shape)}")
    return tensor.reshape(tensor.shape + (1,) * (len(shape) - tensor.dim()))


def counted(tensor: Tensor, mask: Tensor | None) -> Tensor:
    """The entries that count, for checks of values; the others may be anything."""
    if mask is None or not isinstance(tensor, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
        return tensor
    _, mask = align(None, mask, tensor.shape)
    return tensor[mask.expand(tensor.shape)] if mask is not None and values_visible(tensor, mask) else tensor


def both(mask: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Where both masks count; either may be None, for everywhere."""
    return other if mask is None else mask if other is None else mask & other


def one_weight(
    sample_weight: Tensor | None, mask: Tensor | None, shape: torch.Size, dtype: torch.dtype
) -> Tensor | None:
    """Aligned weights and mask as one weight per item: an item that does not count weighs 0.

    Only for losses that are finite whatever the item held: :func:`reduce` leaves it out by the mask itself.
    """
    if mask is not None:
        sample_weight = mask.to(dtype) if sample_weight is None else torch.where(mask, sample_weight.to(dtype), 0)
    return None if sample_weight is None else sample_weight.expand(shape)


def scaled(loss: Tensor, factor: float | Tensor) -> Tensor:
    """``factor * loss`` in the loss's shape: a factor may be a tensor of shape (1,)."""
    return (factor * loss).reshape(loss.shape)


def count(loss: Tensor, weight: Tensor | None, mask: Tensor | None) -> Tensor | int:
    """The divisor of the mean: how many items count, or the sum of their weights."""
    if weight is None and mask is None:
        return loss.numel()
    if weight is None and mask is not None:
        return mask.expand(loss.shape).sum()  # a whole number, in one launch; a sum of ones takes four
    share = torch.ones((), dtype=loss.dtype, device=loss.device) if weight is None else weight.to(loss.dtype)
    if mask is not None:
        share = torch.where(mask, share, torch.zeros((), dtype=loss.dtype, device=loss.device))
    return share.expand(loss.shape).sum()


def divide(total: Tensor, divisor: Tensor | int, *, group: torch.distributed.ProcessGroup | None = None) -> Tensor:
    """``total / divisor``; 0.0, still connected to the graph, if the divisor is 0."""
    if group is not None:
        divisor = sum_over_ranks(group, torch.as_tensor(divisor, dtype=total.dtype, device=total.device).detach())
        # Data-parallel training averages gradients over the ranks: the mean over all items is the
        # average of (world size / global count) * local sum.
        total = total * torch.distributed.get_world_size(group)
    if isinstance(divisor, int):
        return total / max(divisor, 1)
    if not divisor.is_floating_point():
        return total / divisor.clamp_min(1)
    return total / (divisor + (divisor == 0))

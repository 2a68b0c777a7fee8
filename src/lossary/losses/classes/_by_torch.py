"""Cross-entropy by torch's own functions, where these do all that is asked."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core import device as _device
from lossary.core.check import values_visible
from lossary.core.reduce import Reduction, divide
from lossary.core.torch_internals import mean_nll
from lossary.kernels.fused import switch
from lossary.losses.classes._shared import Input, Problem, class_dimension

#: An index that no label has.
NEVER = -(1 << 62)
#: torch computes cross-entropies of this size to the sixth digit.
AMPLE = 0.1
#: Up to this many scores a loss's time depends on the number of operations, not on memory traffic.
FEW_SCORES = 1 << 16


def by_torch(input: Input, target: Tensor, ignore_index: int, reduction: str, smoothing: float) -> Tensor | None:
    """torch's own function for what most calls ask; None where it does not apply, refuses, or a sum is not finite.

    This avoids checking twice, which slows small batches: the checks and rules here handle what is left.
    """
    if not isinstance(input, Tensor):
        return None
    ordinary = (
        isinstance(target, Tensor)  # pyright: ignore[reportUnnecessaryIsInstance]
        and values_visible(input, target)
        and input.dim() == 2
        and input.shape[1] > 1
        and input.dtype in (torch.float32, torch.float64)
        and target.dtype == torch.int64
        and type(smoothing) is float
        and 0 <= smoothing <= 1
    )
    if not ordinary:
        return None
    try:
        loss = F.cross_entropy(input, target, None, None, ignore_index, None, reduction, smoothing)
    except (IndexError, RuntimeError, TypeError, ValueError):  # such as a label out of range
        return None
    return loss if reduction == "none" or math.isfinite(loss.item()) else None


def mean_by_torch(
    formula: Callable[[Tensor], Tensor], input: Input, target: Tensor, ignore_index: int, at_least: float
) -> Tensor | None:
    """The mean of a formula of torch's cross-entropies, in half the operations; None where that is less exact.

    Args:
        formula: One loss per row.
        input: As in :func:`by_torch`.
        target: Likewise.
        ignore_index: Likewise.
        at_least: The mean from which on rounding of the cross-entropies does not matter.
    """
    if ignore_index >= 0 or not isinstance(input, Tensor) or input.numel() > FEW_SCORES:
        return None
    # Ignoring no label makes the mean one over all items; torch refuses a label that should be ignored.
    entropy = by_torch(input, target, NEVER, "none", 0.0)
    if entropy is None:
        return None
    loss = formula(entropy).mean()
    return loss if at_least <= loss.item() < math.inf else None


def unseen_by_torch(input: Input, target: Tensor, ignore_index: int, reduction: Reduction, dim: int) -> Tensor | None:
    """torch's own function where values are not visible, with 0 for a mean over nothing; None where ours is needed.

    Off the CPU in half precision too: wider values would double the memory traffic.
    """
    if not isinstance(input, Tensor) or values_visible(input, target) or input.dim() < 2:
        return None
    if input.dim() == 2 and switch.runs_on(input):
        return None
    takes_dtype = input.dtype in (torch.float32, torch.float64) or not _device.by_cache(input)
    if not takes_dtype or not input.dtype.is_floating_point or target.dtype != torch.int64:
        return None
    rows = input.movedim(class_dimension(input, dim), -1)
    if rows.shape[-1] < 2 or target.shape != rows.shape[:-1]:
        return None  # for the checks to report
    scores = layout_of(rows)
    labels = target.reshape(scores.shape[:1] + scores.shape[2:])
    # Over images torch sums in any order, and refuses where a fixed one is required.
    by_item = reduction == "none" or (scores.dim() > 2 and torch.are_deterministic_algorithms_enabled())
    if reduction == "mean" and not by_item:
        loss, count = mean_nll(F.log_softmax(scores, 1), labels, ignore_index)
        return loss.masked_fill_(count == 0, 0)  # NaN, in torch
    loss = F.cross_entropy(scores, labels, ignore_index=ignore_index, reduction="none" if by_item else reduction)
    if reduction == "none":
        return loss.reshape(target.shape)
    if by_item:
        return loss.sum() if reduction == "sum" else divide(loss.sum(), (labels != ignore_index).sum())
    return loss


def is_torchs(p: Problem, weight: Tensor | None, smoothing: float) -> bool:
    """Whether torch's own function does all that is asked for, in one operation."""
    everything_counts = p.counted is None and p.sample_weight is None and weight is None
    return everything_counts and p.labels is not None and smoothing == 0


def layout_of(scores: Tensor) -> Tensor:
    """(*shape, C) as (rows, C) or (N, C, ...), whichever needs no copy, so images keep their layout."""
    flat = scores.dim() <= 2 or scores.is_contiguous()
    return scores.reshape(scores.shape[:-1].numel(), scores.shape[-1]) if flat else scores.movedim(-1, 1)

"""Large batches in little memory: an encoder whose activations are not kept."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lossary.core.check import check_whole

__all__ = ["Cached"]


class Cached(nn.Module):
    r"""An encoder for losses within a batch that keeps activations of only a few items, not of the whole batch.

    ``loss(Cached(encoder, micro_batch=64)(inputs), labels)`` has the value and the gradients of
    ``loss(encoder(inputs), labels)``. Items are encoded ``micro_batch`` at a time, and again in backward, so memory
    holds all inputs and embeddings but activations of one part only. The loss sees the whole batch: splitting the loss
    itself, as gradient accumulation does, would leave each item with fewer negatives.

    It works with any loss, over any number of towers and processes (``group``), with second derivatives, autocast,
    ``DistributedDataParallel`` around the encoder or everything, and dropout: each part is encoded again from the
    random state it was first encoded with. Encoding twice costs about a third more than once.

    Args:
        encoder: Takes tensors whose first axis is the batch; returns embeddings (N, ...).
        micro_batch: How many items are encoded at a time.

    Raises:
        ValueError: ``micro_batch`` below 1.

    Example:
        >>> import torch
        >>> encoder = Cached(torch.nn.Linear(8, 4), micro_batch=16)
        >>> encoder(torch.randn(100, 8)).shape
        torch.Size([100, 4])

    Source:
        Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, arXiv:2101.06983
        (GradCache), section 3. Here the parts are PyTorch's own checkpoints (Chen et al., arXiv:1604.06174), so nothing
        stands between the loss and autograd. A layer in which items depend on one another (BatchNorm in training) sees
        one part at a time and updates its running statistics twice, as in other implementations.
    """

    def __init__(self, encoder: Callable[..., Tensor], micro_batch: int) -> None:
        super().__init__()
        check_whole("micro_batch", micro_batch, low=1)
        self.encoder = encoder
        self.micro_batch = micro_batch

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """The embeddings of a batch.

        Args:
            *inputs: What the encoder takes. Tensors, including those in mappings, lists and tuples, have one item per
                row; anything else goes to each part unchanged.
            **named: Likewise.

        Raises:
            ValueError: No tensor, or tensors of different lengths.
        """
        given = (inputs, named)
        lengths = {len(tensor) for tensor in _tensors((*inputs, *named.values()))}
        if len(lengths) != 1:
            raise ValueError(f"inputs: wanted tensors with the same number of items; got {sorted(lengths) or 'none'}")
        starts = range(0, max(*lengths, 1), self.micro_batch)
        return torch.cat([self._part(_cut(given, slice(start, start + self.micro_batch))) for start in starts])

    def _part(self, given: Any) -> Tensor:
        inputs, named = given
        return checkpoint(self.encoder, *inputs, use_reentrant=False, **named)

    def extra_repr(self) -> str:
        return f"micro_batch={self.micro_batch}"


def _tensors(given: Any) -> list[Tensor]:
    if isinstance(given, Tensor):
        return [given]
    inside = given.values() if isinstance(given, Mapping) else given if isinstance(given, list | tuple) else ()
    return [tensor for one in inside for tensor in _tensors(one)]


def _cut(given: Any, part: slice) -> Any:
    """The same with some rows of each tensor."""
    if isinstance(given, Tensor):
        return given[part]
    if isinstance(given, Mapping):
        return {name: _cut(one, part) for name, one in given.items()}
    return type(given)(_cut(one, part) for one in given) if isinstance(given, list | tuple) else given

"""Losses built from losses: weighted sums, and one loss at several resolutions or embedding lengths."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lossary.core.check import check_dim, check_float, check_number, check_whole
from lossary.core.loss import hold
from lossary.core.reduce import scaled

__all__ = ["DeepSupervision", "Matryoshka", "Sum"]


class _Term(nn.Module):
    """A loss times its weight."""

    weight: float | Tensor

    def __init__(self, name: str, loss: nn.Module, weight: float | Tensor) -> None:
        super().__init__()
        if not isinstance(loss, nn.Module):
            raise TypeError(f"{name}: wanted a loss Module, or (Module, weight); got {type(loss).__name__}")
        check_number(name, weight)
        self.loss = loss
        hold(self, "weight", weight)

    def forward(self, *inputs: Any, **extra: Any) -> Tensor:
        return scaled(self.loss(*inputs, **extra), self.weight)

    def extra_repr(self) -> str:
        return f"weight={self.weight}"


class Sum(nn.Module):
    """A weighted sum of losses on the same inputs, as one loss.

    A weight is a number, a tensor (saved with the loss) or a Parameter, which learns; if it learns freely it goes to 0
    or below, so tie it to something that grows. Each loss computes on its own: losses of the same softmax each compute
    it.

    Args:
        terms: By name, a loss Module, or a pair of a Module and its weight (otherwise 1).

    Returns:
        The total when called. Keywords at the call go to every loss.

    Raises:
        ValueError: No loss; at the call, losses whose values have different shapes.
        TypeError: A term that is not a Module.

    Example:
        >>> import torch, lossary
        >>> loss = Sum(dice=lossary.DiceLoss(), cross_entropy=(lossary.CrossEntropyLoss(), 0.5))
        >>> logits, target = torch.zeros(1, 2, 4), torch.tensor([[0, 0, 0, 1]])
        >>> loss(logits, target)
        tensor(0.7632)
        >>> loss.parts(logits, target)
        {'dice': tensor(0.4167), 'cross_entropy': tensor(0.3466)}
    """

    def __init__(self, **terms: nn.Module | tuple[nn.Module, float | Tensor]) -> None:
        super().__init__()
        if not terms:
            raise ValueError("terms: wanted at least one loss by name; got none")
        self.terms = nn.ModuleDict()
        for name, term in terms.items():
            loss, weight = term if isinstance(term, tuple) else (term, 1.0)
            self.terms[name] = _Term(name, loss, weight)

    def forward(self, *inputs: Any, **extra: Any) -> Tensor:
        return torch.stack(list(self.parts(*inputs, **extra).values())).sum(0)

    def parts(self, *inputs: Any, **extra: Any) -> dict[str, Tensor]:
        """Each loss times its weight, by name; they add up to the total."""
        parts = {name: term(*inputs, **extra) for name, term in self.terms.items()}
        shapes = {name: tuple(part.shape) for name, part in parts.items()}
        if len(set(shapes.values())) > 1:
            raise ValueError(f"terms: wanted losses of one shape (reduction='mean' each); got {shapes}")
        return parts


class DeepSupervision(nn.Module):
    """A segmentation loss at several resolutions of a network's decoder: the weighted sum over its outputs.

    The target is resized to each output by nearest neighbour, so labels stay labels and ignored positions stay ignored.

    Args:
        loss: A loss Module of (output, target).
        weights: One per output, the finest first.

    Raises:
        ValueError: More or fewer outputs than weights.

    Example:
        >>> import torch, lossary
        >>> loss = DeepSupervision(lossary.DiceCrossEntropyLoss(), weights=(1.0, 0.5))
        >>> outputs = [torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 4, 4)]
        >>> loss(outputs, torch.zeros(2, 8, 8, dtype=torch.int64)).shape
        torch.Size([])

    Source:
        Lee et al., Deeply-Supervised Nets, arXiv:1409.5185. nnU-Net halves the weight with each resolution and makes
        all add up to 1.
    """

    def __init__(self, loss: nn.Module, weights: Sequence[float]) -> None:
        super().__init__()
        for weight in weights:
            check_number("weights", weight, low=0)
        self.loss = loss
        self.weights = tuple(weights)

    def forward(self, outputs: Sequence[Tensor], target: Tensor) -> Tensor:
        """The loss of ``outputs``, (N, C, ...) each, for one ``target``: (N, ...) indices or (N, C, ...) regions."""
        if len(outputs) != len(self.weights):
            raise ValueError(f"outputs: wanted {len(self.weights)}, one per weight; got {len(outputs)}")
        for output in outputs:
            check_dim("target", target, (output.dim() - 1, output.dim()), "(N, ...) or (N, C, ...)")
        losses = [self.loss(output, _nearest(target, output.shape[2:])) for output in outputs]
        return torch.stack([w * loss for w, loss in zip(self.weights, losses, strict=True)]).sum(0)

    def extra_repr(self) -> str:
        return f"weights={self.weights}"


def _nearest(target: Tensor, size: torch.Size) -> Tensor:
    """``target`` with its last dimensions resized: its value at the middle of each new position."""
    # In integers: interpolate needs floating-point labels, and rounds when it hits the middle.
    for dim, new in enumerate(size, target.dim() - len(size)):
        old = target.shape[dim]
        if old != new:
            middle = (2 * torch.arange(new, device=target.device) + 1) * old // (2 * new)
            target = target.index_select(dim, middle)
    return target


class Matryoshka(nn.Module):
    """One loss on embeddings cut to several lengths, as a weighted sum (Matryoshka).

    The embeddings of the call are cut, and so is everything else with vectors of their length: other floating tensors
    of two dimensions or more, and the loss's own weights, of which every length uses a part (the paper's MRL-E). A loss
    that normalises does so after the cut; one that does not gets them as cut.

    Args:
        loss: A loss Module of embeddings, or :class:`LinearHead`. Make one that owns weights for the full length.
        dims: The lengths, each from 1 up to that of the embeddings.
        weights: One per length, at least 0; None is 1 for all.

    Returns:
        The total when called. Keywords at the call go to every length.

    Raises:
        ValueError: No length, more or fewer weights than lengths; at the call, embeddings shorter than a length.
        TypeError: A loss that is not a Module, lengths that are not whole numbers.

    Example:
        >>> import torch, lossary
        >>> loss = Matryoshka(lossary.MultipleNegativesRankingLoss(scale=1.0), dims=(4, 2))
        >>> x = torch.eye(4)
        >>> loss(x, x)
        tensor(1.8086)
        >>> loss.parts(x, x)
        {4: tensor(0.7437), 2: tensor(1.0650)}

    Source:
        Kusupati et al., Matryoshka Representation Learning, arXiv:2205.13147, eq. 1, where all weights are 1. Sentence
        Transformers' version normalises after the cut whatever the loss, and may draw a few of the lengths per step,
        which is left out here.
    """

    def __init__(self, loss: nn.Module, dims: Sequence[int], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        if not isinstance(loss, nn.Module):
            raise TypeError(f"loss: wanted a loss Module; got {type(loss).__name__}")
        for dim in dims:
            check_whole("dims", dim, low=1)
        weights = (1.0,) * len(dims) if weights is None else tuple(weights)
        for weight in weights:
            check_number("weights", weight, low=0)
        if len(dims) == 0 or len(weights) != len(dims):
            raise ValueError(f"dims: wanted some, with one weight each; got {len(dims)} and {len(weights)} weights")
        self.loss = loss
        self.dims, self.weights = tuple(map(int, dims)), weights

    def forward(self, embeddings: Tensor, *inputs: Any, **extra: Any) -> Tensor:
        return torch.stack(list(self.parts(embeddings, *inputs, **extra).values())).sum(0)

    def parts(self, embeddings: Tensor, *inputs: Any, **extra: Any) -> dict[int, Tensor]:
        """The loss at each length times its weight; they add up to the total."""
        check_float("embeddings", embeddings)
        size = embeddings.shape[-1] if embeddings.dim() > 0 else 0
        if size < max(self.dims):
            raise ValueError(f"embeddings: wanted at least {max(self.dims)} dimensions; got {tuple(embeddings.shape)}")
        own = {name: p for name, p in self.loss.named_parameters() if _has_vectors(p, size)}
        parts: dict[int, Tensor] = {}
        for dim, weight in zip(self.dims, self.weights, strict=True):
            cut = [_cut(x, size, dim) for x in (embeddings, *inputs)]
            given = {name: _cut(x, size, dim) for name, x in extra.items()}
            found = torch.func.functional_call(self.loss, {n: p[..., :dim] for n, p in own.items()}, tuple(cut), given)
            parts[dim] = weight * found
        return parts

    def extra_repr(self) -> str:
        return f"dims={self.dims}, weights={self.weights}"


def _has_vectors(value: Any, size: int) -> bool:
    """Whether a value holds vectors of the embeddings' length; scores and weights of items have one dimension."""
    return isinstance(value, Tensor) and value.is_floating_point() and value.dim() > 1 and value.shape[-1] == size


def _cut(value: Any, size: int, dim: int) -> Any:
    return value[..., :dim] if _has_vectors(value, size) else value

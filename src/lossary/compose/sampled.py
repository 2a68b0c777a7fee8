"""Heads with more classes than one step can score."""

from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lossary.core.check import check_labels, check_number
from lossary.core.loss import HeadLoss
from lossary.distributed import Ranks
from lossary.distributed.shards import is_sharded, shard

__all__ = ["SampledClasses"]


class SampledClasses(nn.Module):
    r"""A head that scores only some of its classes per step: those of the batch, and others drawn at random.

    .. math:: \ell(x, y; W_S), \qquad S = \{y_1, \dots, y_N\} \cup \text{a random sample}, \qquad
        |S| = \max(\lceil r C \rceil, \min(N, C))

    Training reads and changes only the rows of ``S``, so time and the memory for scores shrink with ``rate``. In
    evaluation all classes are scored. If a head's classes are spread over ranks (:func:`shard_classes`), each rank
    draws from its own, with its share of classes in place of C: one sample per shard, and no more classes in all.

    It is not an unbiased estimate of the whole head's loss: some wrong classes are missing from the normaliser, so the
    loss is lower, by up to log(1 / rate), and each wrong class is pushed away more rarely and a little harder. With a
    rate of 1 it is the head.

    Args:
        head: A loss with one weight per class, such as ``ArcFaceLoss``; its weight is trained in place.
        rate: The share of the classes that a step scores, above 0 and at most 1.
        sparse: The weight's gradient is a sparse tensor of the rows of ``S``, for ``SGD``, ``SparseAdam`` or
            ``Adagrad``; a dense one has a zero for every other class.

    Raises:
        TypeError: ``head`` is not a head with one weight per class.
        ValueError: ``rate`` out of range; ``sparse`` with classes that are spread over ranks.

    Example:
        >>> import torch
        >>> from lossary import ArcFaceLoss
        >>> loss = SampledClasses(ArcFaceLoss(num_classes=100_000, embedding_size=8), rate=0.01)
        >>> loss(torch.randn(4, 8), torch.tensor([3, 3, 99_999, 7])).shape
        torch.Size([])

    Source:
        An et al., Partial FC: Training 10 Million Identities on a Single Machine, arXiv:2010.05222, section 3, with its
        rate of 0.1. As there, nothing corrects for what is left out.
    """

    def __init__(self, head: HeadLoss, rate: float = 0.1, *, sparse: bool = False) -> None:
        super().__init__()
        weight = getattr(head, "weight", None)
        if not isinstance(weight, Tensor) or weight.dim() != 2 or len(weight) != getattr(head, "num_classes", None):
            raise TypeError(f"head: wanted a loss with a weight (C, D); got {type(head).__name__}")
        check_number("rate", rate, low=0, high=1, open_low=True)
        self.head, self.rate, self.sparse = head, rate, sparse

    def forward(self, embeddings: Tensor, labels: Tensor, **given: Any) -> Tensor:
        """The loss of a batch; see the head's own ``forward``."""
        if not self.training:
            return self.head(embeddings, labels, **given)
        weight = self.head.weight
        labels = check_labels("labels", labels, len(embeddings), classes=len(weight))
        if is_sharded(weight):
            rows, places = self._of_shards(embeddings, labels)
        else:
            chosen = self.chosen(labels)
            rows = nn.functional.embedding(chosen, weight, sparse=self.sparse)
            places = torch.searchsorted(chosen, labels)
        return functional_call(self.head, {"weight": rows}, (embeddings, places), given)

    def chosen(self, labels: Tensor) -> Tensor:
        """The classes of a step, ascending: all those of the labels, and others drawn from torch's random numbers."""
        classes = self.head.num_classes
        return _chosen(labels, classes, self._count(labels.numel(), classes))

    def _count(self, labels: int, classes: int) -> int:
        return max(ceil(self.rate * classes), min(labels, classes))  # known without reading the labels

    def _of_shards(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The sampled rows of all ranks, sharded as the weight is, and the places of this rank's labels among them."""
        if self.sparse:
            raise ValueError("sparse: wanted False for classes that are spread over ranks; got True")
        weight: Any = self.head.weight
        own, shards = shard(weight)
        assert shards is not None
        ranks = Ranks.of(shards.group, embeddings=embeddings, labels=labels)
        everyones, sizes = ranks.in_order(labels), shards.sizes
        # As many from each shard as from the first, so they are laid out as torch.chunk would cut them.
        most = self._count(len(everyones), sizes[0])
        counts = [min(most, size) for size in sizes]
        places = everyones - shards.own.start
        here = (places >= 0) & (places < len(own))
        chosen = _chosen(places[here], len(own), counts[ranks.rank])
        found = torch.zeros_like(everyones)
        found[here] = torch.searchsorted(chosen, places[here]) + sum(counts[: ranks.rank])
        rows = nn.functional.embedding(chosen, own)
        shape = torch.Size((sum(counts), *rows.shape[1:]))
        rows = type(weight).from_local(
            rows, weight.device_mesh, weight.placements, run_check=False, shape=shape, stride=rows.stride()
        )
        return rows, ranks.deal(found).sum(0)

    def extra_repr(self) -> str:
        return f"rate={self.rate}" + (", sparse=True" if self.sparse else "")


def _chosen(labels: Tensor, classes: int, count: int) -> Tensor:
    """``count`` classes out of ``classes``, ascending, including those of the labels."""
    drawn = torch.rand(classes, device=labels.device).index_fill(0, labels, 2.0)
    return drawn.topk(count, sorted=False).indices.sort().values

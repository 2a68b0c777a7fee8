"""Heads with more classes than one step can score."""

from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lossary.core.check import check_labels, check_number
from lossary.core.loss import HeadLoss

__all__ = ["SampledClasses"]


class SampledClasses(nn.Module):
    r"""A head that scores some of its classes a step: those of the batch, and others drawn at random.

    .. math:: \ell(x, y; W_S), \qquad S = \{y_1, \dots, y_N\} \cup \text{a random sample}, \qquad
        |S| = \max(\lceil r C \rceil, \min(N, C))

    Training reads and changes the rows of ``S`` alone: time and the memory of scores shrink with ``rate``. In
    evaluation all classes are scored.

    It is no unbiased estimate of the whole head's loss: a part of the wrong classes is missing from the normaliser, so
    the loss is lower, by up to log(1 / rate), and each wrong class is pushed away more rarely and a little harder. With
    a rate of 1 it is the head.

    Args:
        head: A loss with one weight a class, as ``ArcFaceLoss``; its weight is trained in place.
        rate: The share of the classes that a step scores, above 0 and at most 1.
        sparse: The weight's gradient is a sparse tensor of the rows of ``S``, for ``SGD``, ``SparseAdam`` or
            ``Adagrad``; a dense one has a zero for every other class.

    Raises:
        TypeError: ``head`` is no head of one weight a class.
        ValueError: ``rate`` out of range.

    Example:
        >>> import torch
        >>> from lossary import ArcFaceLoss
        >>> loss = SampledClasses(ArcFaceLoss(num_classes=100_000, embedding_size=8), rate=0.01)
        >>> loss(torch.randn(4, 8), torch.tensor([3, 3, 99_999, 7])).shape
        torch.Size([])

    Source:
        An et al., Partial FC: Training 10 Million Identities on a Single Machine, arXiv:2010.05222, section 3, which
        takes a rate of 0.1. As there, nothing corrects for what is left out.
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
        chosen = self.chosen(labels)
        rows = nn.functional.embedding(chosen, weight, sparse=self.sparse)
        return functional_call(self.head, {"weight": rows}, (embeddings, torch.searchsorted(chosen, labels)), given)

    def chosen(self, labels: Tensor) -> Tensor:
        """The classes of a step, rising: all of the labels', and others drawn from torch's random numbers."""
        classes = self.head.num_classes
        drawn = torch.rand(classes, device=labels.device).index_fill(0, labels, 2.0)
        count = max(ceil(self.rate * classes), min(labels.numel(), classes))  # known without a look at the labels
        return drawn.topk(count, sorted=False).indices.sort().values

    def extra_repr(self) -> str:
        return f"rate={self.rate}" + (", sparse=True" if self.sparse else "")

"""More to compare a batch with than itself: a queue of items from earlier batches."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup, get_rank, get_world_size

from lossary.core.check import check_dim, check_labels, check_number, check_shape, check_whole
from lossary.core.loss import Loss
from lossary.core.reduce import align
from lossary.distributed import Ranks
from lossary.losses.views.retrieval import info_nce_loss, multiple_negatives_ranking_loss

__all__ = ["Queue"]


class Queue(nn.Module):
    r"""A loss within a batch that also sees the last ``size`` items of earlier batches, without a gradient to them.

    .. math:: L(B, B) + \lambda\, L(B, Q) \quad\text{(labels)}, \qquad L(B, Q) \quad\text{(pairs)}

    For a loss of embeddings and labels (:class:`SupConLoss`, :class:`ContrastiveLoss`, :class:`TripletLoss`,
    :class:`MultiSimilarityLoss`, ...) it adds to the batch's own loss that of the batch against the queue, as
    references: cross-batch memory. For a loss of pairs the queue holds positives, used as negatives. With
    :class:`InfoNCELoss`, which then has no other negatives, this is MoCo's loss; its positives come from an encoder
    that follows the other one, without a gradient. With :class:`MultipleNegativesRankingLoss` they are candidates in
    addition to those of the batch.

    In training, each call first computes its loss, then adds its batch, without masked items, and drops the oldest
    items. With ``group``, items are added in the order of the ranks, so every rank has the queue of one process with
    the whole batch: state dicts move from any number of ranks to any other. In evaluation nothing is added.

    Args:
        loss: A Module of such a loss.
        size: How many items are kept: ``size * embedding_size`` numbers on each rank.
        embedding_size: D.
        weight: lambda, at least 0. Only for labels.

    Raises:
        TypeError: ``loss`` takes neither references nor negatives, or its negatives come with numbers of their own.
        ValueError: ``size`` or ``embedding_size`` below 1, ``weight`` below 0.

    Example:
        >>> import torch, lossary
        >>> loss = Queue(lossary.SupConLoss(), size=1000, embedding_size=4)
        >>> for _ in range(3):
        ...     value = loss(torch.randn(8, 4), torch.arange(8) % 4)
        >>> loss.kept()[0].shape
        torch.Size([24, 4])

    Source:
        Wang et al., Cross-Batch Memory for Embedding Learning, arXiv:1912.06798, algorithm 1, whose memory includes the
        batch itself: here that is the loss's first part, with the gradients of both sides and no item paired with
        itself. He et al., Momentum Contrast, arXiv:1911.05722, algorithm 1, where the queue starts with random numbers;
        here it starts empty. Embeddings drift as the network learns: the cross-batch paper begins after 1,000 steps.
    """

    embeddings: Tensor
    labels: Tensor

    def __init__(self, loss: Loss, size: int, embedding_size: int, *, weight: float = 1.0) -> None:
        super().__init__()
        fn: Any = getattr(type(loss), "fn", None)
        self.of_pairs = fn in (info_nce_loss, multiple_negatives_ranking_loss)
        if fn is None or not (self.of_pairs or "ref_embeddings" in inspect.signature(fn).parameters):
            wanted = "wanted a loss that takes ref_embeddings, InfoNCELoss or MultipleNegativesRankingLoss"
            raise TypeError(f"loss: {wanted}; got {type(loss).__name__}")
        check_whole("size", size, low=1)
        check_whole("embedding_size", embedding_size, low=1)
        check_number("weight", weight, low=0)
        self.loss, self.weight = loss, weight
        self.register_buffer("embeddings", torch.zeros(size, embedding_size))
        self.register_buffer("labels", torch.zeros(0 if self.of_pairs else size, dtype=torch.int64))
        self.came = 0  # kept on the host: reading it from a device would make the device wait

    def kept(self) -> tuple[Tensor, Tensor]:
        """The embeddings in the queue, (M, D), and their labels, (M,), as stored: the oldest may be anywhere."""
        return self.embeddings[: self.came], self.labels[: self.came]

    def forward(self, first: Tensor, second: Tensor, **given: Any) -> Tensor:
        """The loss of a batch: ``(embeddings, labels)`` or ``(anchor, positive)``, and the loss's other arguments."""
        mask, group = given.get("mask"), given.get("group")
        memory, labels = (kept.clone() for kept in self.kept())  # backward reads it after the queue has changed
        memory = memory.to(first.dtype)
        if self.of_pairs:
            if group is not None and type(self.loss).fn is not info_nce_loss:  # which gathers its negatives
                memory = memory.tensor_split(get_world_size(group))[get_rank(group)]
            loss = self.loss(first, second, negatives=memory, **given)
        else:
            loss = self.loss(first, second, **given)
            rest = {name: value for name, value in given.items() if name != "ids"}
            loss = loss + self.weight * self.loss(first, second, ref_embeddings=memory, ref_labels=labels, **rest)
        if self.training:
            self.push(second if self.of_pairs else first, None if self.of_pairs else second, mask=mask, group=group)
        return loss

    @torch.no_grad()
    def push(
        self,
        embeddings: Tensor,
        labels: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        group: ProcessGroup | None = None,
    ) -> None:
        """Add items, those of all ranks in order; with a mask, only those that count."""
        width = self.embeddings.shape[1]
        check_dim("embeddings", embeddings, 2, "(N, D)")
        check_shape("embeddings", embeddings, (len(embeddings), width))
        if not self.of_pairs:
            labels = check_labels("labels", labels, len(embeddings))  # pyright: ignore[reportArgumentType]
        _, mask = align(None, mask, embeddings.shape[:1])
        mask = None if mask is None else mask.expand(len(embeddings))
        if group is not None:
            ranks = Ranks.of(group, embeddings=embeddings, labels=labels, mask=mask)
            embeddings = ranks.in_order(embeddings)
            labels, mask = (None if t is None else ranks.in_order(t) for t in (labels, mask))
        if mask is not None:
            embeddings, labels = embeddings[mask], None if labels is None else labels[mask]
        self._put(embeddings, labels)

    def _put(self, embeddings: Tensor, labels: Tensor | None) -> None:
        """The i-th item ever added is at place i modulo size."""
        size, count = len(self.embeddings), len(embeddings)
        places = torch.arange(self.came, self.came + count, device=embeddings.device)[-size:] % size
        self.embeddings[places] = embeddings[-size:].to(self.embeddings)
        if labels is not None:
            self.labels[places] = labels[-size:]
        self.came += count

    def get_extra_state(self) -> Tensor:
        """How many items have been added."""
        return torch.tensor(self.came)

    def set_extra_state(self, state: Tensor) -> None:
        self.came = int(state)

    def extra_repr(self) -> str:
        size, width = self.embeddings.shape
        return f"size={size}, embedding_size={width}" + ("" if self.of_pairs else f", weight={self.weight}")

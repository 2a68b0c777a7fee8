"""Lossary's losses in Sentence Transformers' trainer.

The trainer passes a loss the texts of all columns and the column ``label`` (or ``labels``, ``score``, ``scores``), if
there is one. It optimises what the loss owns, such as a margin head's class weights, together with the model.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lossary.core.check import check_dim


class EmbeddingLoss(nn.Module):
    """Any loss of embeddings, called with one embedding per column, and the labels if there are any.

    Columns and losses that fit: ``(text, label)`` for :class:`TripletLoss`, :class:`SupConLoss` and every margin head,
    ``(text, text, label)`` for :class:`ContrastiveLoss` and :class:`CosineEmbeddingLoss`,
    ``(anchor, positive, negative)`` for :class:`TripletMarginLoss`, ``(text, text)`` for :class:`NTXentLoss`.

    Args:
        model: The SentenceTransformer to train.
        loss: A Lossary loss Module, or any other with the same call.
    """

    def __init__(self, model: nn.Module, loss: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None) -> Tensor:
        embeddings = self.embeddings(sentence_features)
        return self.loss(*embeddings) if labels is None else self.loss(*embeddings, labels)

    def embeddings(self, sentence_features: Iterable[dict[str, Tensor]]) -> list[Tensor]:
        """One (N, D) tensor per column."""
        return [self.model(features)["sentence_embedding"] for features in sentence_features]

    def get_config_dict(self) -> dict[str, Any]:
        """What the model's card says about the loss."""
        return {"loss": repr(self.loss)}


class InBatchLoss(EmbeddingLoss):
    """A loss with in-batch negatives on columns ``(anchor, positive, negative, ...)``; ids prevent false negatives.

    A label column holds ids: rows that share one are never each other's negatives, for instance a question with several
    answers in the data, or an answer with several questions. Without the column every other row is a negative.

    Args:
        model: The SentenceTransformer to train.
        loss: :class:`MultipleNegativesRankingLoss`, :class:`InfoNCELoss`, :class:`NPairLoss`, :class:`NTXentLoss`: a
            Module that takes ``ids``. For the first two, further columns are hard negatives of every anchor.
    """

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None) -> Tensor:
        anchor, positive, *negatives = self.embeddings(sentence_features)
        if labels is not None:
            check_dim("labels", labels, 1, "(N,) ids")
        given = (anchor, positive, torch.cat(negatives)) if negatives else (anchor, positive)
        return self.loss(*given, ids=labels)

"""Losses on class scores over a network's embeddings: each brings its own last layer."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lossary.core.card import Card
from lossary.core.loss import HeadLoss
from lossary.lab.tasks.base import Criterion


class OverLinear(Criterion):
    """A loss on class scores, over its own linear classifier."""

    def __init__(self, loss: nn.Module, size: int, classes: int) -> None:
        super().__init__(loss)
        self.linear = nn.Linear(size, classes)

    def forward(self, outputs: Tensor, targets: Tensor, **given: Tensor) -> Tensor:
        return self.loss(self.linear(outputs), targets, **given)


class LinearProbabilities(OverLinear):
    def predict(self, outputs: Tensor) -> Tensor:
        return _at_its_scale(self.loss, self.linear(outputs)).softmax(dim=1)


class HeadProbabilities(Criterion):
    loss: HeadLoss

    def predict(self, outputs: Tensor) -> Tensor:
        return _at_its_scale(self.loss, self.loss.get_logits(outputs)).softmax(dim=1)


def _at_its_scale(loss: nn.Module, scores: Tensor) -> Tensor:
    """Without the margin, and at the scale used in training."""
    scale = getattr(loss, "scale", None)
    return torch.as_tensor(1.0 if scale is None else scale) * scores


def fits(card: Card) -> bool:
    """Whether it is a loss on class scores, or on embeddings with its own class directions."""
    return issubclass(card.module, HeadLoss) or (card.data == "classes" and of_scores(card))


def of_scores(card: Card) -> bool:
    """Whether it takes the scores of a network's last layer, and one label per item."""
    return "input-label" in card.takes and card.input in ("logits", "scores")


def owns_weights(card: Card) -> bool:
    return card.data == "classes" or issubclass(card.module, HeadLoss) or owns_centers(card)


def owns_centers(card: Card) -> bool:
    """Whether it owns a vector per class but no scores: it pulls embeddings, but alone distinguishes nothing."""
    return "embeddings-centers-labels" in card.takes


def of_embeddings(card: Card, params: Mapping[str, Any], size: int, classes: int) -> nn.Module:
    """A loss on embeddings and labels, with its own class vectors if it has any."""
    own = {"num_classes": classes, "embedding_size": size} if owns_centers(card) else {}
    return card.module(**own, **params)


def head(card: Card, params: Mapping[str, Any], size: int, classes: int) -> HeadLoss:
    assert issubclass(card.module, HeadLoss)
    return card.module(num_classes=classes, embedding_size=size, **params)

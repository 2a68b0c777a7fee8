"""Losses of class scores over a network's embeddings: each brings its own last layer."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lossary.core.card import Card
from lossary.core.loss import HeadLoss
from lossary.lab.tasks.base import Criterion


class OverLinear(Criterion):
    """A loss of class scores, over a linear classifier of its own."""

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
    """Without the margin, and at the scale that the loss was trained with."""
    scale = getattr(loss, "scale", None)
    return torch.as_tensor(1.0 if scale is None else scale) * scores


def fits(card: Card) -> bool:
    """Whether it is a loss of class scores, or of embeddings with class directions of its own."""
    return issubclass(card.module, HeadLoss) or (card.data == "classes" and of_scores(card))


def of_scores(card: Card) -> bool:
    """Whether it takes the scores of a network's last layer, and one label an item."""
    return "input-label" in card.takes and card.input in ("logits", "scores")


def owns_weights(card: Card) -> bool:
    return card.data == "classes" or issubclass(card.module, HeadLoss) or owns_centers(card)


def owns_centers(card: Card) -> bool:
    """Whether it has a vector of its own for each class, and no scores: it pulls, and tells nothing apart alone."""
    return "embeddings-centers-labels" in card.takes


def of_embeddings(card: Card, params: Mapping[str, Any], size: int, classes: int) -> nn.Module:
    """A loss of embeddings and labels, with vectors of its own where it has some."""
    own = {"num_classes": classes, "embedding_size": size} if owns_centers(card) else {}
    return card.module(**own, **params)


def head(card: Card, params: Mapping[str, Any], size: int, classes: int) -> HeadLoss:
    assert issubclass(card.module, HeadLoss)
    return card.module(num_classes=classes, embedding_size=size, **params)

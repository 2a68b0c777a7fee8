"""Recognising classes never seen in training: the network's embeddings are compared by cosine."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lossary.core.card import Card
from lossary.core.loss import HeadLoss
from lossary.lab.data.types import Data, TensorSplit
from lossary.lab.tasks import _classes
from lossary.lab.tasks.base import UNTRAINED, Criterion, Task, untrained


class ZeroShot(Task):
    name = "zero-shot"
    # Losses that have stopped rising within a first look; triplet and ArcFace need more than twice the steps.
    losses = ("cross_entropy", "cosface_loss", "supcon_loss", "multi_similarity_loss")
    batch = (192, 3)
    size = 128

    def fits(self, card: Card) -> bool:
        return _classes.fits(card) or "embeddings-labels" in card.takes

    def fits_beside(self, card: Card) -> bool:
        return self.fits(card) or _classes.owns_centers(card)

    def attach(self, card: Card, params: Mapping[str, Any], size: int, classes: int) -> Criterion:
        if issubclass(card.module, HeadLoss):
            return Criterion(_classes.head(card, params, size, classes))
        if card.data == "classes":
            return _classes.OverLinear(card.module(**params), size, classes)
        return Criterion(_classes.of_embeddings(card, params, size, classes))

    def owns_weights(self, card: Card) -> bool:
        return _classes.owns_weights(card)

    def arrays(self, predicted: np.ndarray, split: TensorSplit, data: Data) -> dict[str, np.ndarray]:
        return {"embeddings": predicted, "labels": split.targets.numpy()}

    def baselines(self, data: Data, seeds: int) -> Iterator[tuple[str, int]]:
        yield data.raw, 0
        yield from ((UNTRAINED, seed) for seed in range(1, seeds + 1))

    def baseline(self, name: str, data: Data, seed: int) -> np.ndarray:
        if name == data.raw:
            return data.test.inputs[:].flatten(1).float().numpy()
        return untrained(self.network, data, seed)


TASK = ZeroShot()

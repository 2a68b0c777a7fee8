"""One of several classes that training has seen: the network's embeddings, with each loss's own last layer."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lossary.core.card import Card
from lossary.core.loss import HeadLoss
from lossary.lab.data.types import Data, TensorSplit
from lossary.lab.tasks import _classes
from lossary.lab.tasks._learners import LEARNERS, learned, learners
from lossary.lab.tasks.base import Criterion, Task

MAJORITY = "always the commonest class"


class Classification(Task):
    name = "classification"
    losses = ("cross_entropy", "focal_loss", "multiclass_hinge_loss", "cosface_loss")
    fitted = LEARNERS
    batch = (120, 12)
    size = 32

    def fits(self, card: Card) -> bool:
        return _classes.fits(card)

    def fits_beside(self, card: Card) -> bool:
        return self.fits(card) or "embeddings-labels" in card.takes or _classes.owns_centers(card)

    def attach(self, card: Card, params: Mapping[str, Any], size: int, classes: int) -> Criterion:
        if issubclass(card.module, HeadLoss):
            return _classes.HeadProbabilities(_classes.head(card, params, size, classes))
        if not _classes.fits(card):
            return Criterion(_classes.of_embeddings(card, params, size, classes))
        return _classes.LinearProbabilities(card.module(**params), size, classes)

    def owns_weights(self, card: Card) -> bool:
        return _classes.owns_weights(card)

    def arrays(self, predicted: np.ndarray, split: TensorSplit, data: Data) -> dict[str, np.ndarray]:
        return {"probabilities": predicted, "labels": split.targets.numpy()}

    def baselines(self, data: Data, seeds: int) -> Iterator[tuple[str, int]]:
        yield MAJORITY, 0
        yield from learners(data)

    def baseline(self, name: str, data: Data, seed: int) -> np.ndarray:
        if name in LEARNERS:
            return learned(name, data)
        shares = data.train.targets.bincount() / len(data.train)
        return shares.expand(len(data.test), -1).numpy()


TASK = Classification()

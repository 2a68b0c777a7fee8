"""One value per item."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lossary.core.card import Card
from lossary.lab.data.types import Data, Split, TensorSplit
from lossary.lab.tasks._learners import LEARNERS, learned, learners
from lossary.lab.tasks.base import Criterion, Task

MEAN, MEDIAN = "always the mean", "always the median"


class Regression(Task):
    name = "regression"
    losses = ("mse_loss", "l1_loss", "huber_loss")
    fitted = LEARNERS
    batch = (32, 0)
    size = 1

    def fits(self, card: Card) -> bool:
        # Targets are standardised, so about half are negative: neither counts nor amounts whose ratios matter.
        return card.data == "values" and card.takes[0] == "input-target" and card.input == "values" and card.has_minimum

    def attach(self, card: Card, params: Mapping[str, Any], size: int, classes: int) -> Criterion:
        return Criterion(card.module(**params))

    def classes(self, train: Split) -> int:
        return 0

    def arrays(self, predicted: np.ndarray, split: TensorSplit, data: Data) -> dict[str, np.ndarray]:
        truth = split.targets.numpy()
        return {
            "predictions": predicted * data.scale + data.offset,
            "targets": truth * data.scale + data.offset,
        }

    def kept(self, data: Data) -> dict[str, np.ndarray]:
        return {"targets": data.test.targets.numpy() * data.scale + data.offset}

    def baselines(self, data: Data, seeds: int) -> Iterator[tuple[str, int]]:
        yield MEAN, 0
        yield MEDIAN, 0
        yield from learners(data)

    def baseline(self, name: str, data: Data, seed: int) -> np.ndarray:
        if name in LEARNERS:
            return learned(name, data)
        targets = data.train.targets
        value = targets.mean() if name == MEAN else targets.median()
        return value.expand(len(data.test)).numpy()


TASK = Regression()

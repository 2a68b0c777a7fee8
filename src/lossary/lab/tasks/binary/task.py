"""Yes or no: the network returns one logit per item."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from lossary.core.card import Card
from lossary.lab.data.types import Data, TensorSplit
from lossary.lab.tasks._learners import LEARNERS, learned, learners
from lossary.lab.tasks.base import Criterion, Task

BASE_RATE = "always the base rate"


class YesOrNo(Criterion):
    """A loss on one logit per item, whose sign is the answer."""

    def forward(self, outputs: Tensor, targets: Tensor, **given: Tensor) -> Tensor:
        return self.loss(
            outputs, targets.bool(), **given
        )  # booleans mean the same to losses of 0 and 1 and of -1 and +1

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()


class Binary(Task):
    name = "binary"
    # Not balanced_bce_loss: the search gives cross-entropy its positive weight, which makes the two the same loss.
    losses = (
        "binary_cross_entropy_with_logits",
        "sigmoid_focal_loss",
        "sigmoid_poly_focal_loss",
        "squared_hinge_loss",
    )
    fitted = LEARNERS
    batch = (120, 0)
    size = 1

    def fits(self, card: Card) -> bool:
        return card.data == "answers" and card.item == "element" and card.input in ("logits", "scores")

    def attach(self, card: Card, params: Mapping[str, Any], size: int, classes: int) -> Criterion:
        return YesOrNo(card.module(**params))

    def arrays(self, predicted: np.ndarray, split: TensorSplit, data: Data) -> dict[str, np.ndarray]:
        return {"probabilities": predicted, "labels": split.targets.numpy()}

    def baselines(self, data: Data, seeds: int) -> Iterator[tuple[str, int]]:
        yield BASE_RATE, 0
        yield from learners(data)

    def baseline(self, name: str, data: Data, seed: int) -> np.ndarray:
        if name in LEARNERS:
            return learned(name, data)
        return data.train.targets.float().mean().expand(len(data.test)).numpy()


TASK = Binary()

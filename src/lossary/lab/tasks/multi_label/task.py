"""Any number of labels per item: the network returns one logit per label."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossary.core.card import Card
from lossary.lab.data.types import Data, Split, TensorSplit
from lossary.lab.tasks._learners import LEARNERS, learned, learners
from lossary.lab.tasks.base import Criterion, Task

BASE_RATES = "always the base rates"


class OfLabels(Criterion):
    """A loss on one logit per label, whose sign is the answer."""

    def forward(self, outputs: Tensor, targets: Tensor, **given: Tensor) -> Tensor:
        return self.loss(outputs, targets.bool(), **given)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()


class OfLists(OfLabels):
    """A loss that takes the numbers of an item's labels, padded with -1."""

    def forward(self, outputs: Tensor, targets: Tensor, **given: Tensor) -> Tensor:
        number = torch.arange(targets.shape[1], device=targets.device).where(targets.bool(), -1)
        return self.loss(outputs, number.sort(dim=1, descending=True).values, **given)


class MultiLabel(Task):
    name = "multi-label"
    # Not balanced_bce_loss: the search gives cross-entropy its positive weight, which makes the two the same loss.
    losses = (
        "binary_cross_entropy_with_logits",
        "sigmoid_focal_loss",
        "multilabel_margin_loss",
        "squared_hinge_loss",
        "sigmoid_poly_focal_loss",
    )
    fitted = LEARNERS
    batch = (64, 0)
    size = 0  # as many as there are labels

    def fits(self, card: Card) -> bool:
        forms = ("input-target", "input-labels")
        return card.data == "answers" and card.takes[0] in forms and card.input in ("logits", "scores")

    def attach(self, card: Card, params: Mapping[str, Any], size: int, classes: int) -> Criterion:
        return (OfLists if card.takes[0] == "input-labels" else OfLabels)(card.module(**params))

    def outputs(self, data: Data) -> int:
        return self.classes(data.train)

    def classes(self, train: Split) -> int:
        return train.targets.shape[1]

    def arrays(self, predicted: np.ndarray, split: TensorSplit, data: Data) -> dict[str, np.ndarray]:
        return {"probabilities": predicted, "labels": split.targets.numpy()}

    def baselines(self, data: Data, seeds: int) -> Iterator[tuple[str, int]]:
        yield BASE_RATES, 0
        yield from learners(data)

    def baseline(self, name: str, data: Data, seed: int) -> np.ndarray:
        if name in LEARNERS:
            return learned(name, data)
        return data.train.targets.float().mean(dim=0).expand(len(data.test), -1).numpy()


TASK = MultiLabel()

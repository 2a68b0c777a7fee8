"""A class for each pixel: the network gives class scores, and a loss of them brings no weights."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor, nn

from lossary.core.card import Card
from lossary.lab.data.types import UNLABELLED, Data, TensorSplit
from lossary.lab.tasks import _classes
from lossary.lab.tasks.base import Criterion, Task
from lossary.models import UNet

MAJORITY, COLOUR = "always the commonest class", "colour alone"
#: Of the baseline of colours, a decision tree: training pixels that it sees, and the fewest that a leaf may hold.
PIXELS, LEAF = 100_000, 50


class Classes(Criterion):
    """A loss of class scores (N, C, height, width)."""

    def predict(self, outputs: Tensor) -> Tensor:
        """The likeliest class; NaN where a score is no finite number, which nobody then takes for a class."""
        return outputs.argmax(dim=1).float().masked_fill(~outputs.isfinite().all(dim=1), torch.nan)


class Segmentation(Task):
    name = "segmentation"
    losses = (
        "cross_entropy",
        "dice_cross_entropy_loss",
        "lovasz_softmax_loss",
        "focal_loss",
        "dice_loss",
        "tversky_loss",
    )
    fitted = frozenset({COLOUR})
    batch = (8, 0)
    size = 0  # as many as there are classes

    def fits(self, card: Card) -> bool:
        leaves_out = "ignore_index" in card.module.fields  # positions that nobody has labelled
        return _classes.of_scores(card) and leaves_out

    def attach(self, card: Card, params: Mapping[str, Any], size: int, classes: int) -> Criterion:
        return Classes(card.module(**params))

    def network(self, data: Data) -> nn.Module:
        return UNet(data.train.classes)

    def arrays(self, predicted: np.ndarray, split: TensorSplit, data: Data) -> dict[str, np.ndarray]:
        return {"predictions": predicted, "labels": split.targets.numpy()}

    def baselines(self, data: Data, seeds: int) -> Iterator[tuple[str, int]]:
        yield MAJORITY, 0
        yield COLOUR, 0

    def baseline(self, name: str, data: Data, seed: int) -> np.ndarray:
        labels = data.train.targets
        known = labels != UNLABELLED
        if name == MAJORITY:
            return np.full(data.test.targets.shape, float(labels[known].bincount().argmax()), np.float32)
        assert isinstance(data.train, TensorSplit)
        colours, labels = data.train.inputs.movedim(1, -1)[known].numpy(), labels[known].numpy()
        chosen = np.random.default_rng(0).permutation(len(labels))[:PIXELS]
        tree = DecisionTreeClassifier(min_samples_leaf=LEAF, random_state=0).fit(colours[chosen], labels[chosen])
        test = data.test.inputs.movedim(1, -1)
        return tree.predict(test.flatten(0, -2).numpy()).reshape(test.shape[:-1]).astype(np.float32)


TASK = Segmentation()

"""A class for each pixel: the network returns class scores, and a loss on them brings no weights."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor, nn

from lossary.core.card import Card
from lossary.lab.data.types import UNLABELLED, Data, Split, TensorSplit
from lossary.lab.tasks import _classes
from lossary.lab.tasks.base import Criterion, Task
from lossary.models import UNet

MAJORITY, COLOUR = "always the commonest class", "colour alone"
#: For the colour baseline, a decision tree: training pixels that it sees, and the minimum in a leaf.
PIXELS, LEAF = 100_000, 50


class Classes(Criterion):
    """A loss on class scores (N, C, height, width)."""

    def predict(self, outputs: Tensor) -> Tensor:
        """The most likely class; NaN if a score is not finite, so that it is never taken for a class."""
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

    def usual(self, data: Data) -> nn.Module:
        return UNet(data.train.classes)

    def arrays(self, predicted: np.ndarray, split: TensorSplit, data: Data) -> dict[str, np.ndarray]:
        return {"predictions": predicted, "labels": split.targets.numpy()}

    def baselines(self, data: Data, seeds: int) -> Iterator[tuple[str, int]]:
        yield MAJORITY, 0
        if data.test.inputs.ndim == 4 and data.test.inputs.shape[2:] == data.test.targets.shape[1:]:
            yield COLOUR, 0

    def baseline(self, name: str, data: Data, seed: int) -> np.ndarray:
        if name == MAJORITY:
            labels = data.train.targets
            commonest = labels[labels != UNLABELLED].bincount().argmax()
            return np.full(data.test.targets.shape, float(commonest), np.float32)
        colours, labels = _pixels(data.train)
        tree = DecisionTreeClassifier(min_samples_leaf=LEAF, random_state=0).fit(colours, labels)
        test = data.test.inputs[:].movedim(1, -1)
        return tree.predict(test.flatten(0, -2).numpy()).reshape(test.shape[:-1]).astype(np.float32)


def _pixels(train: Split) -> tuple[np.ndarray, np.ndarray]:
    """Colours and labels of some pixels, from enough images to hold twice as many."""
    random = np.random.default_rng(0)
    images = -(-2 * PIXELS // train.targets[0].numel())
    some = torch.from_numpy(np.sort(random.permutation(len(train))[:images]))
    known = train.targets[some] != UNLABELLED
    colours, labels = train.inputs[some].movedim(1, -1)[known].numpy(), train.targets[some][known].numpy()
    chosen = random.permutation(len(labels))[:PIXELS]
    return colours[chosen], labels[chosen]


TASK = Segmentation()

"""What a task is to the lab: which losses fit, how one is attached to a network, what a prediction is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from lossary.core.card import Card
from lossary.lab.data.types import Data, Split, TensorSplit
from lossary.lab.tasks import TaskName
from lossary.models import MLP, SmallCNN

#: The baseline of a network whose weights are as they were drawn.
UNTRAINED = "untrained network"


class Criterion(nn.Module):
    """A loss with the weights that it needs, over a network's output; also what that output predicts.

    What else is given in training is the items' ``sample_weight``, where an item is a row.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, outputs: Tensor, targets: Tensor, **given: Tensor) -> Tensor:
        return self.loss(outputs, targets, **given)

    def predict(self, outputs: Tensor) -> Tensor:
        """Embeddings and values are predictions as they are."""
        return outputs


class Task(ABC):
    """A task. What differs between tasks is here; everything else in the lab is the same for all."""

    name: ClassVar[TaskName]
    #: Compared where none are named; the first four in a quick look.
    losses: ClassVar[tuple[str, ...]]
    #: Items of a batch, and of each class in it (0: as they come), where the data do not say.
    batch: ClassVar[tuple[int, int]]
    #: The baselines that learn from the training data. What does not beat one of the others has not learned.
    fitted: ClassVar[frozenset[str]] = frozenset()
    #: Numbers that a network gives an item; 0: as many as there are classes.
    size: ClassVar[int]

    @abstractmethod
    def fits(self, card: Card) -> bool:
        """Whether a network can be trained with this loss alone."""

    def fits_beside(self, card: Card) -> bool:
        """Whether the loss can be added to one that fits alone."""
        return self.fits(card)

    @abstractmethod
    def attach(self, card: Card, params: Mapping[str, Any], size: int, classes: int) -> Criterion:
        """A fitting loss at these hyperparameters, with fresh weights where it needs any."""

    def network(self, data: Data) -> nn.Module:
        """An untrained network for the data."""
        return self.usual(data) if data.model is None else data.model(self.outputs(data))

    def usual(self, data: Data) -> nn.Module:
        """The lab's own, where nobody brings one."""
        size, shape = self.outputs(data), data.valid.inputs.shape
        return SmallCNN(embedding_size=size, size=shape[-1]) if len(shape) == 4 else MLP(shape[1], size)

    def outputs(self, data: Data) -> int:
        """How many numbers the network gives an item."""
        return self.size

    def owns_weights(self, card: Card) -> bool:
        """Whether the loss trains weights beside the network's, which then want a learning rate of their own."""
        return False

    def classes(self, train: Split) -> int:
        """How many classes a loss is to tell apart."""
        return train.classes

    @abstractmethod
    def arrays(self, predicted: np.ndarray, split: TensorSplit, data: Data) -> dict[str, np.ndarray]:
        """A prediction and the truth beside it, in the units and under the names that the metrics take."""

    def kept(self, data: Data) -> dict[str, np.ndarray]:
        """What the report shows of the test split, beside what it shows of any."""
        return {"labels": data.test.targets.numpy(), "names": np.array(data.test_names)}

    @abstractmethod
    def baselines(self, data: Data, seeds: int) -> Iterator[tuple[str, int]]:
        """Names and seeds of what costs no training with any loss; those without chance have the seed 0."""

    @abstractmethod
    def baseline(self, name: str, data: Data, seed: int) -> np.ndarray:
        """What a baseline makes of the test inputs, in the form that a trained learner's predictions have."""


@torch.no_grad()
def untrained(network: Callable[[Data], nn.Module], data: Data, seed: int) -> np.ndarray:
    """What a network makes of the test inputs with the weights that it is drawn with."""
    torch.manual_seed(seed)
    made = network(data).eval()
    return torch.cat([made(part) for part in data.test.inputs.split(256)]).numpy()

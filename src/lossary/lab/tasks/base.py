"""The lab's definition of a task: which losses fit, how one is attached to a network, what a prediction is."""

import inspect
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

#: The baseline of a network with its initial random weights.
UNTRAINED = "untrained network"


class Criterion(nn.Module):
    """A loss with the weights it needs, over a network's output; and what that output predicts.

    In training it also receives the items' ``sample_weight``, if an item is a row; and the ``group`` of processes whose
    items are one batch, if it can take them so.
    """

    #: Whether the loss is of the items themselves, and not of pairs that are made of those at hand.
    of_items: ClassVar[bool] = True

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, outputs: Tensor, targets: Tensor, **given: Tensor) -> Tensor:
        return self.loss(outputs, targets, **given)

    @property
    def takes_group(self) -> bool:
        """Whether each process may call it with a share of the batch."""
        return self.of_items and "group" in inspect.signature(self.loss.forward).parameters

    def predict(self, outputs: Tensor) -> Tensor:
        """By default the network's output, embeddings or values, is the prediction."""
        return outputs


class Task(ABC):
    """A task. Everything that differs between tasks is here; the rest of the lab is the same for all."""

    name: ClassVar[TaskName]
    #: Compared by default; the first four in a quick look.
    losses: ClassVar[tuple[str, ...]]
    #: Items per batch, and per class in it (0: in random order), unless the data specify them.
    batch: ClassVar[tuple[int, int]]
    #: The baselines that are fitted to the training data. A loss has not learned if it does not beat one of the others.
    fitted: ClassVar[frozenset[str]] = frozenset()
    #: Numbers that a network returns per item; 0: as many as there are classes.
    size: ClassVar[int]

    @abstractmethod
    def fits(self, card: Card) -> bool:
        """Whether this loss alone can train a network."""

    def fits_beside(self, card: Card) -> bool:
        """Whether the loss can be added to one that can train alone."""
        return self.fits(card)

    @abstractmethod
    def attach(self, card: Card, params: Mapping[str, Any], size: int, classes: int) -> Criterion:
        """A fitting loss at these hyperparameters, with fresh weights if it needs any."""

    def network(self, data: Data) -> nn.Module:
        """An untrained network for the data."""
        return self.usual(data) if data.model is None else data.model(self.outputs(data))

    def usual(self, data: Data) -> nn.Module:
        """The lab's own network, if the user brings none."""
        size, shape = self.outputs(data), data.valid.inputs.shape
        return SmallCNN(embedding_size=size, size=shape[-1]) if len(shape) == 4 else MLP(shape[1], size)

    def outputs(self, data: Data) -> int:
        """How many numbers the network returns per item."""
        return self.size

    def owns_weights(self, card: Card) -> bool:
        """Whether the loss trains its own weights, which need their own learning rate."""
        return False

    def classes(self, train: Split) -> int:
        """How many classes a loss has to distinguish."""
        return train.classes

    @abstractmethod
    def arrays(self, predicted: np.ndarray, split: TensorSplit, data: Data) -> dict[str, np.ndarray]:
        """A prediction and its truth, in the units and under the names that the metrics take."""

    def kept(self, data: Data) -> dict[str, np.ndarray]:
        """What the report shows of the test split for this task, besides what it shows for any."""
        return {"labels": data.test.targets.numpy(), "names": np.array(data.test_names)}

    @abstractmethod
    def baselines(self, data: Data, seeds: int) -> Iterator[tuple[str, int]]:
        """Names and seeds of the baselines that need no training with a loss; deterministic ones have the seed 0."""

    @abstractmethod
    def baseline(self, name: str, data: Data, seed: int) -> np.ndarray:
        """A baseline's output for the test inputs, in the form of a trained learner's predictions."""


@torch.no_grad()
def untrained(network: Callable[[Data], nn.Module], data: Data, seed: int) -> np.ndarray:
    """The output for the test inputs of a network with its initial weights."""
    torch.manual_seed(seed)
    made = network(data).eval()
    return torch.cat([made(part) for part in data.test.inputs.split(256)]).numpy()

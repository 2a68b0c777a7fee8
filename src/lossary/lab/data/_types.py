"""What a data set is to the lab."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from lossary.lab.metrics import Kind


@dataclass(frozen=True)
class Split:
    """Inputs with their targets: class indices from 0 (int64), or one value an item (float32)."""

    inputs: Tensor  # float32, (N, features) or, for images, (N, 3, height, width) in [0, 1]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def classes(self) -> int:
        return int(self.targets.max()) + 1


@dataclass(frozen=True)
class Data:
    """A data set in three parts. In a zero-shot task no class is in two of them, and each counts its own from 0."""

    name: str
    kind: Kind
    train: Split
    valid: Split  # chooses hyperparameters and when to stop
    test: Split  # only reported
    test_names: tuple[str, ...] = ()  # of the test classes, by label
    credit: str = ""  # what the licence of the data wants said beside its pictures
    test_images: np.ndarray | None = None  # uint8 (N, height, width, channels), where the data are images
    # Regression: targets as trained on = (targets - offset) / scale, so that one learning rate fits all data.
    offset: float = 0.0
    scale: float = 1.0

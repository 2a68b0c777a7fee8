"""What a data set is to the lab."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from lossary.lab.data.contents import BadData
from lossary.lab.run.plan import Plan
from lossary.lab.tasks import TaskName
from lossary.lab.tasks.measures import OwnMetric

#: The label of a pixel that has none: losses ignore it where nothing else is said.
UNLABELLED = -100


def check_unasked(plan: Plan, *names: str, of: str) -> None:
    """Options that say nothing of such data are not taken in silence.

    Raises:
        BadData: naming the option.
    """
    for name in names:
        if asked := getattr(plan, name):
            raise BadData(f"{name}: wanted none for {of}; got {asked!r}")


class Inputs(Protocol):
    """Gives the inputs of a batch of indices: a tensor, or a reader of something larger."""

    def __getitem__(self, batch: Tensor, /) -> Tensor: ...


class AtHand(Protocol):
    """Inputs of which all are in memory: a tensor, or what gives tensors of some of them as if it were one."""

    @property
    def shape(self) -> torch.Size: ...
    @property
    def ndim(self) -> int: ...
    def __getitem__(self, batch: Tensor | slice, /) -> Tensor: ...
    def split(self, size: int, /) -> Iterable[Tensor]: ...
    def is_floating_point(self) -> bool: ...
    def to(self, device: torch.device, /) -> Self: ...


@dataclass(frozen=True)
class Pixels:
    """Images at a byte a number, (N, 3, height, width): of a batch as float32 in [0, 1], in a quarter of the memory."""

    images: Tensor

    @property
    def shape(self) -> torch.Size:
        return self.images.shape

    @property
    def ndim(self) -> int:
        return self.images.ndim

    def __getitem__(self, batch: Tensor | slice) -> Tensor:
        return self.images[batch].contiguous(memory_format=torch.channels_last).float().div_(255)

    def split(self, size: int) -> Iterator[Tensor]:
        return (self[begin : begin + size] for begin in range(0, len(self.images), size))

    def is_floating_point(self) -> bool:
        """What it gives is, whatever it keeps."""
        return True

    def of(self, rows: Tensor) -> Self:
        return type(self)(self.images[rows].contiguous(memory_format=torch.channels_last))

    def to(self, device: torch.device) -> Self:
        return type(self)(self.images.to(device))


def there(name: str) -> bool:
    """Whether a name is that of a file or folder; no system has files of some names, as of very long ones."""
    try:
        return bool(name) and Path(name).exists()
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class Split:
    """Inputs with their targets: class indices from 0 (int64; of each pixel in segmentation), one value an item
    (float32), or whether it has each of several labels (bool).

    An item may be a list of candidates with a target each, (N, longest), NaN where there is none.
    """

    inputs: Inputs
    targets: Tensor
    weights: Tensor | None = None  # how much each item counts (float32), where not all count alike

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def classes(self) -> int:
        return int(self.targets.max()) + 1


@dataclass(frozen=True)
class TensorSplit(Split):
    """The same with all inputs at hand."""

    # float32: (N, features); images (N, 3, height, width) in [0, 1]; lists (N, longest, features).
    # Of own code anything, ids as int64.
    inputs: AtHand


def at_hand(inputs: Inputs, rows: np.ndarray, targets: Tensor) -> TensorSplit:
    """Some of the items, to look at again and again. Images stay at a byte a number."""
    chosen = torch.from_numpy(rows)
    return TensorSplit(inputs.of(chosen) if isinstance(inputs, Pixels) else inputs[chosen], targets)


@dataclass(frozen=True)
class Data:
    """A data set in three parts. In a zero-shot task no class is in two of them, and each counts its own from 0."""

    name: str
    task: TaskName
    train: Split
    valid: TensorSplit  # chooses hyperparameters and when to stop
    test: TensorSplit  # only reported
    test_names: tuple[str, ...] = ()  # of the test classes, by label; of the test lists
    test_candidates: np.ndarray | None = None  # names (N, longest), where the data are lists
    columns: tuple[str, ...] = ()  # names of the inputs, where it is known
    credit: str = ""  # what the licence of the data wants said beside its pictures
    test_images: np.ndarray | None = None  # uint8 (N, height, width, channels), where the data are images
    texts: tuple[list[str], list[str], list[str]] | None = None  # of each part's items, where they were made of texts
    # Regression: targets as trained on = (targets - offset) / scale, so that one learning rate fits all data.
    offset: float = 0.0
    scale: float = 1.0
    # (N,) numbers of the test items, equal where they are not independent: of one patient, of one week.
    test_blocks: np.ndarray | None = None
    left_out: tuple[str, ...] = ()  # what there was beside, and why it is not used
    augmented: bool = False  # training images are changed at random
    raw: str = "raw inputs"  # what the untouched inputs are called as a baseline
    batch: tuple[int, int] | None = None  # items, and of each class (0: as they come), where not the task's own
    # An untrained network with so many outputs, where it is not the lab's own; and how many, where it decides.
    model: Callable[[int], nn.Module] | None = None
    embedding_size: int | None = None
    metric: OwnMetric | None = None  # judged by, instead of the task's primary one
    fingerprint: str = ""  # of the contents, where they may change from run to run

    @property
    def metric_name(self) -> str:
        return getattr(self.metric, "__name__", type(self.metric).__name__) if self.metric else ""

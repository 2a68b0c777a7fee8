"""The lab's definition of a data set."""

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

#: The label of an unlabelled pixel: losses ignore it by default.
UNLABELLED = -100


def check_unasked(plan: Plan, *names: str, of: str) -> None:
    """Refuses options that do not apply to such data.

    Raises:
        BadData: naming the option.
    """
    for name in names:
        if asked := getattr(plan, name):
            raise BadData(f"{name}: wanted none for {of}; got {asked!r}")


class Inputs(Protocol):
    """Returns the inputs of a batch of indices: a tensor, or a reader of something larger."""

    def __getitem__(self, batch: Tensor, /) -> Tensor: ...


class AtHand(Protocol):
    """Inputs that are all in memory: a tensor, or an object that returns tensors for some of them as if it were one."""

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
    """Images at one byte per number, (N, 3, height, width); batches are float32 in [0, 1]. A quarter of the memory."""

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
        """Whether its batches are, whatever it stores."""
        return True

    def of(self, rows: Tensor) -> Self:
        return type(self)(self.images[rows].contiguous(memory_format=torch.channels_last))

    def to(self, device: torch.device) -> Self:
        return type(self)(self.images.to(device))


def there(name: str) -> bool:
    """Whether a name is that of a file or folder; some names, such as very long ones, are not valid on any system."""
    try:
        return bool(name) and Path(name).exists()
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class Split:
    """Inputs with their targets: class indices from 0 (int64; of each pixel in segmentation), one value per item
    (float32), or whether it has each of several labels (bool).

    An item may be a list of candidates with a target each, (N, longest), NaN where there is none.
    """

    inputs: Inputs
    targets: Tensor
    weights: Tensor | None = None  # how much each item counts (float32), unless all count alike

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def classes(self) -> int:
        return int(self.targets.max()) + 1


@dataclass(frozen=True)
class TensorSplit(Split):
    """The same with all inputs in memory."""

    # float32: (N, features); images (N, 3, height, width) in [0, 1]; lists (N, longest, features). From user code
    # anything, ids as int64.
    inputs: AtHand


def at_hand(inputs: Inputs, rows: np.ndarray, targets: Tensor) -> TensorSplit:
    """Some of the items, for repeated reading. Images stay at one byte per number."""
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
    test_candidates: np.ndarray | None = None  # names (N, longest), if the data are lists
    columns: tuple[str, ...] = ()  # names of the inputs, if known
    credit: str = ""  # the credit that the data's licence requires next to its pictures
    test_images: np.ndarray | None = None  # uint8 (N, height, width, channels), if the data are images
    texts: tuple[list[str], list[str], list[str]] | None = None  # of each part's items, if they were made from texts
    # Regression: targets for training = (targets - offset) / scale, so that one learning rate fits all data.
    offset: float = 0.0
    scale: float = 1.0
    # (N,) numbers of the test items, equal for items that are not independent: of one patient, of one week.
    test_blocks: np.ndarray | None = None
    left_out: tuple[str, ...] = ()  # what else there was, and why it is not used
    augmented: bool = False  # training images are augmented
    raw: str = "raw inputs"  # the name of the raw inputs as a baseline
    batch: tuple[int, int] | None = (
        None  # items, and how many of each class (0: in random order), if not the task's own
    )
    # Creates an untrained network with this many outputs, if it is not the lab's own; and their number, if it decides.
    model: Callable[[int], nn.Module] | None = None
    embedding_size: int | None = None
    metric: OwnMetric | None = None  # to judge by, instead of the task's primary metric
    fingerprint: str = ""  # of the contents, if they may change between runs

    @property
    def metric_name(self) -> str:
        return getattr(self.metric, "__name__", type(self.metric).__name__) if self.metric else ""

"""The items of the user's own data sets, by their kind: read one by one, and checked."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lossary.lab.data import splits
from lossary.lab.data.contents import BadData

#: Accepted training data: anything with a length and items.
Dataset = Any


@dataclass(frozen=True)
class Form:
    """What an item is."""

    wanted: str
    inputs: Callable[[Any], Tensor]
    target: Callable[[Any], np.ndarray]
    length: bool = False  # there are as many inputs as targets, and their number may differ between items


@dataclass(frozen=True)
class Items:
    """All items of a data set, whose inputs are read anew for each batch, because it may augment them."""

    dataset: Dataset
    form: Form
    targets: np.ndarray  # (N, ...); if lengths differ, padded with NaN
    same: np.ndarray  # (N,) numbers that are equal if inputs are; (N, 2) for both sides if an item is a pair

    def __len__(self) -> int:
        return len(self.targets)

    def inputs(self, rows: np.ndarray) -> "Read":
        return Read(self, rows)


@dataclass(frozen=True)
class Read:
    """The inputs of some items, given by their index."""

    items: Items
    rows: np.ndarray

    def __getitem__(self, batch: Tensor) -> Tensor:
        form, dataset = self.items.form, self.items.dataset
        found = [form.inputs(dataset[int(self.rows[place])]) for place in batch]
        if not form.length:
            return torch.stack(found)
        longest = self.items.targets.shape[1]
        padded = pad_sequence([*found, found[0].new_zeros(longest, *found[0].shape[1:])], batch_first=True)
        return padded[:-1]


def tensor(value: Any) -> Tensor:
    """As float32; whole numbers in a tensor or an array are ids, as an ``nn.Embedding`` takes them."""
    given = torch.as_tensor(value)
    ids = isinstance(value, Tensor | np.ndarray) and given.dtype in (torch.int32, torch.int64)
    return given.long() if ids else given.float()


def _pair(item: Any) -> tuple[Any, Any]:
    first, second = item
    return first, second


def _first(item: Any) -> Tensor:
    return tensor(_pair(item)[0])


def _both(item: Any) -> Tensor:
    return torch.stack([tensor(side) for side in _pair(item)])


def _shaped(ndim: int) -> Callable[[Any], np.ndarray]:
    def target(item: Any) -> np.ndarray:
        found = torch.as_tensor(_pair(item)[1]).cpu()
        found = found.reshape(()) if ndim == 0 else found
        if found.ndim != ndim:
            raise ValueError(f"a target of shape {tuple(found.shape)}")
        return found.float().numpy() if found.dtype == torch.bfloat16 else found.numpy()

    return target


VALUES = Form("a pair of an input and a number as target", _first, _shaped(0))
LABELS = Form("a pair of an input and a 0 or 1 for each label", _first, _shaped(1))
MAPS = Form("a pair of an image and a class for each pixel (height, width)", _first, _shaped(2))
LISTS = Form("a pair of a list's candidates (L, ...) and the relevance of each (L,)", _first, _shaped(1), length=True)
PAIRS = Form("a pair of a query and a document of one shape", _both, lambda item: np.zeros(()))

#: If the task determines it; otherwise the first target does, by its dimensions.
FORMS = {"ranking": LISTS, "retrieval": PAIRS, "multi-label": LABELS, "segmentation": MAPS}
BY_AXES = (VALUES, LABELS, MAPS)


def form_of(dataset: Dataset, asked: str) -> Form:
    """The kind of the items, determined by the requested task, or by the first item."""
    if asked:
        return FORMS.get(asked, VALUES)
    try:
        target = torch.as_tensor(dataset[0][1])
    except Exception:  # noqa: BLE001  # user code; reading it later says which item and why
        return VALUES
    return BY_AXES[target.ndim] if target.numel() > 1 and target.ndim < len(BY_AXES) else VALUES


def read(name: str, dataset: Dataset, form: Form) -> Items:
    """All targets, and which inputs are equal.

    Raises:
        BadData: naming the item that is not as wanted.
    """
    targets: list[np.ndarray] = []
    digests: list[bytes] = []
    shapes: tuple[Any, Any] | None = None
    for row in range(len(dataset)):
        try:
            item = dataset[row]
            inputs, target = form.inputs(item), form.target(item)
        except Exception as error:  # in user code
            raise BadData(f"{name}, item {row}: wanted {form.wanted}; got {told(error)}") from error
        found = (tuple(inputs.shape[form.length :]), target.shape[form.length :])
        shapes = shapes or found
        for what, was, now in zip(("an input", "a target"), shapes, found, strict=True):
            if was != now:
                raise BadData(f"{name}, item {row}: wanted {what} of shape {was}; got {now}")
        if form.length and (len(inputs) != len(target) or not len(target)):
            raise BadData(f"{name}, item {row}: wanted {form.wanted}; got {len(inputs)} and {len(target)}")
        if not inputs.isfinite().all() or not np.isfinite(target).all():
            raise BadData(f"{name}, item {row}: wanted finite numbers; got NaN or infinity")
        targets.append(target)
        sides = inputs if form is PAIRS else inputs[None]
        digests += [sha256(side.numpy().tobytes()).digest() for side in sides]
    same = splits.alike(digests)
    return Items(dataset, form, _stacked(targets, form), same.reshape(-1, 2) if form is PAIRS else same)


def _stacked(targets: list[np.ndarray], form: Form) -> np.ndarray:
    if not form.length:
        return np.stack(targets)
    padded = np.full((len(targets), max(map(len, targets))), np.nan)
    for row, target in enumerate(targets):
        padded[row, : len(target)] = target
    return padded


def told(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"

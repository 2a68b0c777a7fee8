"""What the user's own items are trained toward: parts and targets for each task."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lossary.lab.data import splits, targets
from lossary.lab.data.contents import BadData
from lossary.lab.data.readers import lists, pairs
from lossary.lab.data.readers.items import LISTS, PAIRS, Items
from lossary.lab.data.types import UNLABELLED
from lossary.lab.tasks import TaskName
from lossary.lab.tasks.retrieval.metrics import grouped

Parts = Sequence[np.ndarray]


class Goals(NamedTuple):
    """Which items are in which part, and their targets."""

    parts: Parts
    targets: tuple[Tensor, Tensor, Tensor]
    names: tuple[str, ...] = ()  # of the test classes, by label
    offset: float = 0.0
    scale: float = 1.0


def task_of_items(name: str, items: Items, asked: str) -> TaskName:
    """The task for such items.

    Raises:
        BadData: if they do not allow the requested one.
    """
    if items.form is LISTS:
        return "ranking"
    if items.form is PAIRS:
        return "retrieval"
    return targets.inferred(items.targets, asked, f"{name}, item 0", labels=True)[0]


def goals(name: str, task: TaskName, items: Items, given: Parts | None, outliers: float) -> Goals:
    """Parts, given or drawn here, and targets.

    Raises:
        BadData: if they do not suit the task.
    """
    make: dict[TaskName, Callable[..., Goals]] = {
        "regression": _values,
        "binary": _answers,
        "multi-label": _tags,
        "segmentation": _maps,
        "ranking": _lists,
        "retrieval": _pairs,
    }
    if task in make:
        return make[task](name, items, given, **({"outliers": outliers} if task == "regression" else {}))
    return _classes(name, task, items, given)


def _values(name: str, items: Items, given: Parts | None, outliers: float) -> Goals:
    parts = given or splits.by_item(np.zeros(len(items), int), items.same)
    train, valid, test = (items.targets[part] for part in parts)
    train = targets.spoilt(train, outliers)
    offset, scale = targets.scaled(train)
    made = [torch.from_numpy((part - offset) / scale).float() for part in (train, valid, test)]
    return Goals(parts, (made[0], made[1], made[2]), offset=offset, scale=scale)


def _classes(name: str, task: TaskName, items: Items, given: Parts | None) -> Goals:
    labels = np.unique(items.targets, return_inverse=True)[1]
    if given is None:
        large = splits.keep(task, labels, items.same, name)
        if not large.all():
            raise BadData(
                f"{name}: wanted no class with fewer items than parts; got {np.count_nonzero(~large)} "
                "(whole numbers are classes unless the task says regression)"
            )
    parts = given or (splits.by_class(labels) if task == "zero-shot" else splits.by_item(labels, items.same))
    of_part = [items.targets[part] for part in parts]
    among = [np.unique(part) for part in of_part] if task == "zero-shot" else [np.unique(of_part[0])] * 3
    for part, known in zip(of_part, among, strict=True):
        if not np.isin(part, known).all():
            unknown = np.setdiff1d(part, known)[0]
            raise BadData(f"{name}: wanted every class among the training data; got {unknown} only elsewhere")
    if task == "zero-shot" and np.intersect1d(of_part[0], np.concatenate(of_part[1:])).size:
        raise BadData(f"{name}: wanted no training class in validation or test (zero-shot); got some")
    made = [torch.from_numpy(np.searchsorted(known, part)) for part, known in zip(of_part, among, strict=True)]
    return Goals(parts, (made[0], made[1], made[2]), tuple(map(str, among[2].tolist())))


def _answers(name: str, items: Items, given: Parts | None) -> Goals:
    labels = _of_zero_and_one(name, items.targets, "binary").astype(int)
    if given is None:
        splits.keep("binary", labels, items.same, name)
    parts = given or splits.by_item(labels, items.same)
    if any(len(np.unique(labels[part])) < 2 for part in parts):
        raise BadData(f"{name}: wanted 0 and 1 in each part (binary); got a part with one of them alone")
    return Goals(parts, _divided(torch.from_numpy(labels), parts), ("0", "1"))


def _tags(name: str, items: Items, given: Parts | None) -> Goals:
    has = _of_zero_and_one(name, items.targets, "multi-label")
    parts = given or splits.by_item(splits.rarest(has.T), items.same)
    if not all(has[part].any() for part in parts):
        raise BadData(f"{name}: wanted items with a label in each part (multi-label); got a part without")
    return Goals(parts, _divided(torch.from_numpy(has), parts), tuple(map(str, range(has.shape[1]))))


def _of_zero_and_one(name: str, found: np.ndarray, task: TaskName) -> np.ndarray:
    odd = np.setdiff1d(found, [0, 1])
    if odd.size:
        raise BadData(f"{name}: wanted targets of 0 and 1, or of False and True ({task}); got {odd[0]}")
    return found == 1


def _maps(name: str, items: Items, given: Parts | None) -> Goals:
    labels = items.targets
    known = labels != UNLABELLED
    if labels.dtype.kind not in "iub" or labels[known].min(initial=0) < 0:
        raise BadData(
            f"{name}: wanted class numbers from 0, or {UNLABELLED} for none, at each pixel; got {labels.dtype} from "
            f"{labels.min()} to {labels.max()}"
        )
    labels = labels.astype(np.int64)
    parts = given or splits.by_item(np.zeros(len(items), int), items.same)
    shown = [np.setdiff1d(labels[part], [UNLABELLED]) for part in parts]
    if len(shown[0]) < 2 or not np.isin(np.concatenate(shown[1:]), shown[0]).all():
        raise BadData(f"{name}: wanted at least 2 classes in training, and every other part's among them; got less")
    names = tuple(map(str, range(int(labels.max()) + 1)))
    return Goals(parts, _divided(torch.from_numpy(labels), parts), names)


def _lists(name: str, items: Items, given: Parts | None) -> Goals:
    relevance = items.targets
    there = ~np.isnan(relevance)
    if (relevance[there] < 0).any() or (relevance[there] > lists.MOST).any():
        raise BadData(f"{name}: wanted relevance from 0 to {lists.MOST:.0e} (ranking); got something else")
    plain = np.flatnonzero(np.nanmax(relevance, axis=1) == np.nanmin(relevance, axis=1))
    if len(plain):
        raise BadData(
            f"{name}, item {plain[0]}: wanted a list whose candidates differ in relevance (ranking); got {len(plain)} "
            "that do not"
        )
    if given is None and len(items) < lists.FEWEST:
        raise BadData(f"{name}: wanted at least {lists.FEWEST} lists (ranking); got {len(items)}")
    parts = given or splits.by_item(np.zeros(len(items), int), items.same)
    scale = float(np.nanstd(relevance[parts[0]]))
    names = tuple(f"item {row}" for row in parts[2].tolist())
    return Goals(parts, _divided(torch.from_numpy(relevance / scale).float(), parts), names, scale=scale)


def _pairs(name: str, items: Items, given: Parts | None) -> Goals:
    group = grouped(items.same)
    parts = given or pairs.drawn(name, items.same, group)
    for part, what in zip(parts[1:], ("tune", "test"), strict=True):
        if np.isin(group[part], group[parts[0]]).any():
            raise BadData(f"{name}: wanted no text to {what} with that is trained with (retrieval); got some")
    made = [pairs.targets_of(items.same[part], group[part]) for part in parts]
    return Goals(parts, (made[0], made[1], made[2]))


def _divided(whole: Tensor, parts: Parts) -> tuple[Tensor, Tensor, Tensor]:
    train, valid, test = (whole[torch.from_numpy(np.asarray(part))] for part in parts)
    return train, valid, test


def shape_of(task: TaskName, made: Goals) -> tuple[str, Callable[[tuple[int, ...]], Any]]:
    """What a network should return for two test items: in words, and a check of the shape."""
    wanted = made.targets[2].shape[1:]
    if task in ("regression", "binary"):
        return "one value per item", lambda got: got in ((2,), (2, 1))
    if task == "multi-label":
        return f"a value for each of {wanted[0]} labels", lambda got: got == (2, *wanted)
    if task == "segmentation":
        classes = len(made.names)
        said = f"scores of {classes} classes or more at each pixel (N, C, {wanted[0]}, {wanted[1]})"
        return said, lambda got: len(got) == 4 and got[1] >= classes and got[2:] == tuple(wanted)
    if task == "ranking":
        return f"one value per candidate (N, {wanted[0]})", lambda got: got == (2, *wanted)
    if task == "retrieval":
        return "embeddings (N, D) with D above 1", lambda got: len(got) == 3 and got[:2] == (2, 2) and got[2] > 1
    return "embeddings (N, D) with D above 1", lambda got: len(got) == 2 and got[1] > 1

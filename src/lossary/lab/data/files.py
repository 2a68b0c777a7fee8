"""The user's own files: which reader, which task, which split."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from lossary.lab.data import splits, targets
from lossary.lab.data.contents import BadData, is_code
from lossary.lab.data.readers import arrays, images, lists, masks, tables, texts
from lossary.lab.data.readers.source import Source, counted
from lossary.lab.data.targets import inferred, names, regression
from lossary.lab.data.types import Data, Inputs, at_hand, check_unasked, there
from lossary.lab.run.plan import Plan
from lossary.lab.tasks import TaskName

ARRAYS = (".npz", ".npy", ".safetensors")
#: Batches are small enough that an epoch has about this many.
STEPS = 8
LARGEST = {"zero-shot": 192, "classification": 120, "binary": 120, "multi-label": 64, "regression": 32}
SMALLEST = 16
#: Tasks whose metrics are over rows, which may have weights.
ROWS = ("classification", "binary", "regression")
DIGESTED = 4096  # items
MOST_OF_A_CLASS = 4  # per batch in a zero-shot task
#: Predictions are float32, and with --outliers targets are ten times as large.
LARGEST_TARGET = 1e30


@dataclass(frozen=True)
class Found:
    """The contents of files, the resulting data, and the reasons."""

    source: Source
    data: Data
    why: str  # whether the task comes with the data
    same: np.ndarray  # equal for rows with equal inputs
    why_yes: str = ""  # the second of two classes means yes


def read(plan: Plan) -> Found:
    """The files of a plan as a data set.

    Raises:
        BadData: in one line, which file, where in it, what was wanted and what it got.
    """
    if paired := texts.read(plan):
        check_unasked(plan, "types", "weight", of="pairs of texts")
        return Found(paired.source, paired.data, paired.why, paired.source.targets)
    return found(_source(plan), plan)


def found(source: Source, plan: Plan) -> Found:
    """The reader's source as a data set; only the plan's settings for data matter.

    Raises:
        BadData: like ``read``.
    """
    if source.lists is not None:
        data = lists.read(source)
        told = replace(data, fingerprint=source.fingerprint, left_out=(*source.left_out, *data.left_out))
        return Found(source, told, "--lists names the lists", np.arange(len(source.targets)))
    first = f"{source.name}, {source.rows[0]}"
    task, why = inferred(source.targets, plan.task or ("binary" if plan.yes else ""), first, labels=source.labels)
    if task == "classification" and not plan.task and (rare := targets.rare(source.targets)):
        task, why = "binary", rare
    if plan.yes and task != "binary":
        raise BadData(f"yes: wanted a yes-or-no task (binary); got {task}")
    everything = np.arange(len(source.targets))
    same = splits.alike(_digests(source.encode(everything), len(everything)))
    if task == "zero-shot" and source.by is not None:
        raise BadData("by: wanted no groups for zero-shot, where no class is in two parts; got a column")
    if source.weights is not None and task not in ROWS:
        raise BadData(f"weight: wanted no weights for {task}, where test units are not rows; got a column")
    why_yes, left_out = "", ()
    if task == "regression":
        data = _regression(source, same, plan.outliers)
    elif task == "segmentation":
        data, left_out = masks.divided(source, same)
    elif task == "multi-label":
        data, left_out = _tagged(source, same)
    else:
        called, labels = names(source.targets)
        if task == "binary":
            answer, why_yes = targets.yes(called, np.bincount(labels).tolist(), plan.yes, source.name)
            called, labels = [called[1 - answer], called[answer]], (labels == answer).astype(int)
        data, left_out = _labelled(source, task, called, labels, same)
    told = (*source.left_out, *left_out)
    data = replace(data, raw=source.raw, model=source.model, fingerprint=source.fingerprint, left_out=told)
    return Found(source, data, why, same, why_yes)


def _digests(inputs: Inputs, count: int) -> Iterator[bytes]:
    """Digests of each item's inputs, read in chunks."""
    for some in torch.arange(count).split(DIGESTED):
        yield from (sha256(row.tobytes()).digest() for row in inputs[some].numpy())


def _source(plan: Plan) -> Source:
    path = Path(plan.data)
    _check_lists(plan)
    if not there(plan.data):
        raise BadData(f"{plan.data}: wanted a folder or a file; got a path that does not exist")
    if path.is_dir():
        check_unasked(
            plan, "valid", "test", "target", "types", "lists", "by", "time", "split", "weight", of="a folder of images"
        )
        return (masks if masks.are_in(path) else images).read(path, plan.megapixels)
    suffix = path.suffix.lower()
    if plan.valid or plan.test:
        return _of_parts(plan)
    if suffix in (*texts.TABLES, texts.LINES):
        return tables.read(path, tables.Roles.of(plan), plan.types)
    if suffix in ARRAYS:
        check_unasked(plan, "types", "lists", "by", "time", "split", "weight", of="arrays")
        return arrays.read(path, plan.target)
    came = "code, which compare runs" if is_code(plan.data) else f"a file ending in {path.suffix or 'nothing'}"
    endings = ", ".join((*texts.TABLES, *ARRAYS, texts.LINES))
    raise BadData(f"{path}: wanted a folder of images, or a file ending in {endings}; got {came}")


def _of_parts(plan: Plan) -> Source:
    """Tables, one file per part."""
    check_unasked(plan, "lists", "by", "time", "split", of="a file for each part")
    if not plan.test:
        raise BadData("test: wanted a file to test with as well as the one to tune with; got none")
    files = {"train": plan.data, "val": plan.valid, "test": plan.test}
    paths = {part: Path(file) for part, file in files.items() if file}
    for path in paths.values():
        if path.suffix.lower() not in (*texts.TABLES, texts.LINES):
            endings = ", ".join((*texts.TABLES, texts.LINES))
            raise BadData(f"{path}: wanted a file ending in {endings} for each part; got another one")
    if twice := [path for path in paths.values() if [*paths.values()].count(path) > 1]:
        raise BadData(f"test: wanted a different file for each part; got {twice[0]} twice")
    return tables.read_parts(paths, tables.Roles.of(plan), plan.types)


def _check_lists(plan: Plan) -> None:
    if plan.task == "ranking" and not plan.lists:
        raise BadData("task: ranking needs --lists COLUMN, the column that names each row's list")
    if plan.lists and plan.task not in ("", "ranking"):
        raise BadData(f"lists: wanted the task ranking with it; got {plan.task}")
    if plan.lists:
        check_unasked(plan, "yes", "by", "time", "split", "weight", of="a ranking")
    if len([role for role in ("by", "time", "split") if getattr(plan, role)]) > 1:
        raise BadData("split: wanted one of --by, --time and --split; got several")


def _regression(source: Source, same: np.ndarray, outliers: float) -> Data:
    values = source.targets.astype(float)
    infinite = np.flatnonzero(~np.isfinite(values))
    if len(infinite):
        where = f"{source.name}, {source.rows[infinite[0]]}"
        raise BadData(f"{where}: wanted a finite number as target; got {values[infinite[0]]}")
    large = np.flatnonzero(np.abs(values) > LARGEST_TARGET)
    if len(large):
        where = f"{source.name}, {source.rows[large[0]]}"
        bound = f"{LARGEST_TARGET:.0e}"
        raise BadData(f"{where}: wanted a target from -{bound} to {bound} (regression); got {values[large[0]]:g}")
    if len(np.unique(same)) < 10 or len(np.unique(values)) < 3:
        raise BadData(
            f"{source.name}: wanted at least 10 different rows with 3 different targets (regression); got "
            f"{len(np.unique(same))} and {len(np.unique(values))}"
        )
    parts = _parts(source, np.zeros(len(values), int), same, np.arange(len(values)))
    data = regression(source.name, source.encode(parts[0]), values, parts, outliers)
    data = _weighted(data, source, parts)
    batch = (_batch("regression", len(data.train)), 0)
    return replace(data, batch=batch, test_blocks=_blocks(source, parts[2]), texts=_texts(source, parts))


def _labelled(
    source: Source, task: TaskName, called: list[str], labels: np.ndarray, same: np.ndarray
) -> tuple[Data, tuple[str, ...]]:
    """Classes that are too small for the task are left out and named."""
    large = splits.keep(task, labels, same, source.name)
    small = [f"{name} ({rows})" for name, rows, ok in zip(called, np.bincount(labels), large, strict=True) if not ok]
    rows = np.flatnonzero(large[labels])
    left_out = counted(small, "class with too few different items", "classes with too few different items")
    own = np.unique(labels[rows], return_inverse=True)[1]
    by_class = task == "zero-shot" and source.part is None and source.time is None
    parts = [rows[part] for part in splits.by_class(own)] if by_class else _parts(source, own, same[rows], rows)
    _check_classes(source, task, called, labels, parts)
    inputs = source.encode(parts[0])

    def wanted(part: np.ndarray) -> torch.Tensor:
        among = np.unique(labels[part if task == "zero-shot" else rows])
        return torch.from_numpy(np.searchsorted(among, labels[part]))

    train = at_hand(inputs, parts[0], wanted(parts[0]))
    valid, test = (at_hand(inputs, part, wanted(part)) for part in parts[1:])
    of_class = min(MOST_OF_A_CLASS, int(train.targets.bincount().min())) if task == "zero-shot" else 0
    data = Data(
        source.name,
        task,
        train,
        valid,
        test,
        test_names=tuple(called[label] for label in np.unique(labels[parts[2] if task == "zero-shot" else rows])),
        test_images=None if source.images is None else source.images[parts[2]],
        texts=_texts(source, parts),
        augmented=source.images is not None,
        batch=(_batch(task, len(train)), of_class),
        test_blocks=_blocks(source, parts[2]),
    )
    return _weighted(data, source, parts), left_out


def _weighted(data: Data, source: Source, parts: list[np.ndarray]) -> Data:
    """Adds row weights, if there are any.

    Raises:
        BadData: if a part has no row that counts.
    """
    if source.weights is None:
        return data
    for part, what in zip(parts, ("train", "tune", "test"), strict=True):
        if not source.weights[part].any():
            raise BadData(f"{source.name}: wanted rows with a weight above 0 to {what} with; got none")
    weights = [torch.from_numpy(source.weights[part]).float() for part in parts]
    train, valid, test = (
        replace(split, weights=weight)
        for split, weight in zip((data.train, data.valid, data.test), weights, strict=True)
    )
    return replace(data, train=train, valid=valid, test=test)


def _tagged(source: Source, same: np.ndarray) -> tuple[Data, tuple[str, ...]]:
    """Rows with any number of labels. Labels that some part does not show, both with and without, are left out and
    named.

    Raises:
        BadData: if fewer than two labels are in all parts.
    """
    called, has = list(source.classes), source.targets
    if has.ndim == 1:
        called, has = targets.tags(has, targets.separator(has, asked=True))
    sizes = has.sum(axis=0)
    parts = _parts(source, splits.rarest(has[:, sizes >= splits.FEWEST_ITEMS].T), same, np.arange(len(has)))
    common = np.all([has[part].any(axis=0) & ~has[part].all(axis=0) for part in parts], axis=0)
    if common.sum() < 2:
        raise BadData(
            f"{source.name}: wanted at least 2 labels that {splits.FEWEST_ITEMS} or more different rows have, but not "
            f"all (multi-label); got {common.sum()} of {len(called)} labels in {len(np.unique(same))} different rows"
        )
    inputs, kept = source.encode(parts[0]), torch.from_numpy(has[:, common])
    train = at_hand(inputs, parts[0], kept[parts[0]])
    valid, test = (at_hand(inputs, part, kept[part]) for part in parts[1:])
    data = Data(
        source.name,
        "multi-label",
        train,
        valid,
        test,
        test_names=tuple(name for name, shown in zip(called, common, strict=True) if shown),
        test_images=None if source.images is None else source.images[parts[2]],
        texts=_texts(source, parts),
        augmented=source.images is not None,
        batch=(_batch("multi-label", len(train)), 0),
        test_blocks=_blocks(source, parts[2]),
    )
    dropped = [f"{called[label]} ({sizes[label]})" for label in np.flatnonzero(~common)]
    return data, counted(dropped, "label that too few or all rows have", "labels that too few or all rows have")


def _parts(source: Source, strata: np.ndarray, same: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
    """Training, validation and test rows: as the data specify, by time, or drawn.

    Raises:
        BadData: if one of them has no row.
    """
    if source.part is not None:
        parts = [rows[source.part[rows] == part] for part in range(3)]
        if not len(parts[1]):  # to tune with, a fifth of the training rows
            train = source.part[rows] == 0
            with splits.numbered(0):  # the test is given, so this does not count as another split
                drawn = splits.by_item(strata[train], np.unique(same[train], return_inverse=True)[1])
            parts[:2] = rows[train][np.sort(np.concatenate(drawn[::2]))], rows[train][drawn[1]]
    elif source.time is not None:
        parts = [rows[part] for part in splits.by_time(source.time[rows])]
    else:
        same = same if source.by is None else splits.together(same, source.by[rows])
        parts = [rows[part] for part in splits.by_item(strata, same)]
    for part, what in zip(parts, ("train", "tune", "test"), strict=True):
        if len(part) < 2:
            raise BadData(f"{source.name}: wanted at least 2 rows to {what} with; got {len(part)}")
    return parts


def _check_classes(
    source: Source, task: TaskName, called: list[str], labels: np.ndarray, parts: list[np.ndarray]
) -> None:
    """Whether parts that were not drawn here suit the task."""
    found = [set(labels[part].tolist()) for part in parts]
    where = source.name
    if task == "zero-shot":
        for part, what in zip(found[1:], ("tune", "test"), strict=True):
            if both := part & found[0]:
                raise BadData(f"{where}: wanted untrained classes to {what} with (zero-shot); got {called[min(both)]}")
    elif unknown := (found[1] | found[2]) - found[0]:
        raise BadData(f"{where}: wanted every class among the training rows; got {called[min(unknown)]} only elsewhere")
    elif task == "binary" and min(map(len, found)) < 2:
        raise BadData(f"{where}: wanted yes and no in each part; got a part with only one of them")


def _blocks(source: Source, test: np.ndarray) -> np.ndarray | None:
    """The dependence between test rows: of one group, or of one stretch of time."""
    if source.by is not None:
        return np.unique(source.by[test], return_inverse=True)[1]
    return None if source.time is None else splits.blocks(source.time[test])


def _texts(source: Source, parts: list[np.ndarray]) -> tuple[list[str], list[str], list[str]] | None:
    """The texts of each part's rows, if they were made from texts."""
    if source.texts is None:
        return None
    train, valid, test = ([source.texts[row] for row in part] for part in parts)
    return train, valid, test


def _batch(task: TaskName, items: int) -> int:
    return min(LARGEST[task], max(SMALLEST, items // STEPS))

"""What is predicted: which task the targets imply, the names of classes, the scale of values."""

from collections.abc import Sequence

import numpy as np
import torch

from lossary.lab.data.contents import BadData
from lossary.lab.data.splits import FEWEST_ANSWERS, SPLIT_SEED
from lossary.lab.data.types import Data, Inputs, at_hand
from lossary.lab.tasks import TaskName

INFERRED: tuple[TaskName, ...] = (
    "classification",
    "zero-shot",
    "binary",
    "multi-label",
    "regression",
    "segmentation",
)
#: Whole numbers with at most this many different values are classes.
FEW = 20
#: With at least this many classes, half of them with fewer items than that, labels are identities, and new ones will
#: come.
MANY_CLASSES, FEW_ITEMS = 30, 10
#: If one of two values has less than this share of the rows, it is what is searched for. Accuracy would be above 90 %
#: for never predicting it; average precision, by which yes-or-no tasks are judged, is then no better than chance.
RARE = 0.1
#: Separators of labels in a cell. A comma is one only if several labels are requested, because many names contain it.
BETWEEN, ALSO_BETWEEN = (";", "|"), ","
#: Values that identify the yes by themselves, in lower case; for any other two, the rarer one is yes.
PAIRS = frozenset(
    {
        ("yes", "no"),
        ("y", "n"),
        ("true", "false"),
        ("t", "f"),
        ("1", "0"),
        ("1", "-1"),
        ("positive", "negative"),
        ("pos", "neg"),
    }
)


def inferred(targets: np.ndarray, asked: str, first: str, *, labels: bool) -> tuple[TaskName, str]:
    """The task, and the reason. ``first`` is where the first target is.

    Raises:
        BadData: if the targets do not allow the requested one.
    """
    if asked not in ("", *INFERRED):
        raise BadData(f"task: wanted one of {', '.join(INFERRED)}; got {asked!r}")
    if targets.ndim > 1 or asked == "segmentation":
        return _of_several(targets, asked, first)
    numbers = targets.dtype.kind in "iuf"
    if asked == "regression" and not numbers:
        raise BadData(f"{first}: wanted a number as target; got {str(targets[0])!r}")
    if asked == "multi-label" and numbers:
        raise BadData(f"{first}: wanted labels as in red;round (multi-label); got the number {targets[0]:g}")
    for task in INFERRED:
        if task == asked:
            return task, "as asked"
    if targets.dtype.kind == "U" and (between := separator(targets)):
        several = np.count_nonzero(tags(targets, between)[1].sum(axis=1) > 1)
        return "multi-label", f"{several} targets have several labels, with {between} between them"
    return _by_values(targets, numbers, labels)


def _of_several(targets: np.ndarray, asked: str, first: str) -> tuple[TaskName, str]:
    """For targets that are not one value per row."""
    if targets.ndim == 2 and asked in ("", "multi-label"):
        return "multi-label", "each row has a 0 or 1 for each label"
    if targets.ndim == 3 and asked in ("", "segmentation"):
        return "segmentation", "each image has a mask"
    several = f"{targets.shape[1]} labels per row" if targets.ndim == 2 else "masks beside the images"
    here = several if targets.ndim > 1 else "one target a row, and no images/ with masks/"
    raise BadData(f"{first}: wanted data for {asked}; got {here}")


def _by_values(targets: np.ndarray, numbers: bool, labels: bool) -> tuple[TaskName, str]:
    sizes = np.unique(targets, return_counts=True)[1]
    if numbers and targets.dtype.kind == "f" and (targets != np.trunc(targets)).any():
        return "regression", "the target has fractions"
    if numbers and not labels and len(sizes) > FEW:
        return "regression", f"the target is a number with {len(sizes)} different values"
    what = f"the target has {len(sizes)} different values" if numbers else f"the target names {len(sizes)} classes"
    if len(sizes) >= MANY_CLASSES and np.median(sizes) < FEW_ITEMS:
        return "zero-shot", f"{what}, most of them with fewer than {FEW_ITEMS} items: identities"
    return "classification", what


def names(targets: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Class names in order, and the label of each row; 3.0 is named 3."""
    found, labels = np.unique(targets, return_inverse=True)
    whole = found.dtype.kind == "f" and (found % 1 == 0).all()
    return [str(int(name) if whole else name) for name in found], labels


def separator(targets: np.ndarray, *, asked: bool = False) -> str:
    """The separator of several labels in a cell; "" if cells have one each.

    Cells hold several labels if the labels recur in other combinations: there are fewer labels than cells.

    >>> separator(np.array(["red;round", "red", "round", "red;flat"])), separator(np.array(["Oslo, NO", "Rome, IT"]))
    (';', '')
    """
    for between in (*BETWEEN, ALSO_BETWEEN) if asked else BETWEEN:
        if any(between in cell for cell in targets.tolist()):
            called, has = tags(targets, between)
            again = 2 * np.count_nonzero(has.sum(axis=0) > 1) > len(called)
            several = (has.sum(axis=1) > 1).any()  # a separator at the end of a cell, as in "R&amp;", separates nothing
            if asked or (several and again and len(called) <= len(np.unique(targets))):
                return between
    return ""


def tags(targets: np.ndarray, between: str) -> tuple[list[str], np.ndarray]:
    """Label names in order, and which of them each cell has (N, labels).

    >>> tags(np.array(["red; round", "red", ""]), ";")
    (['red', 'round'], array([[ True,  True],
           [ True, False],
           [False, False]]))
    """
    split = (cell.split(between) if between else [cell] for cell in targets.tolist())
    cells = [{name for part in parts if (name := part.strip())} for parts in split]
    called = sorted(set().union(*cells))
    place = {name: number for number, name in enumerate(called)}
    has = np.zeros((len(cells), len(called)), bool)
    for row, cell in enumerate(cells):
        has[row, [place[name] for name in cell]] = True
    return called, has


def rare(targets: np.ndarray) -> str:
    """Why two values are taken for yes and no by default; "" if they are not.

    >>> rare(np.array(["kept"] * 190 + ["left"] * 10))
    'one of two values is rare, 5.0% of the rows'
    """
    sizes = np.unique(targets, return_counts=True)[1]
    share = sizes.min() / sizes.sum()
    enough = len(sizes) == 2 and sizes.min() >= FEWEST_ANSWERS
    return f"one of two values is rare, {share:.1%} of the rows" if enough and share < RARE else ""


def yes(called: Sequence[str], sizes: Sequence[int], asked: str, where: str) -> tuple[int, str]:
    """Which of two values is the yes, and why.

    Args:
        called: The values.
        sizes: How many rows have each.
        asked: The one that was named, or "".
        where: The data's name.

    Raises:
        BadData: if there are not two values, or the requested one is neither of them.

    >>> yes(["kept", "left"], [19, 1], "", "shop.csv")
    (1, 'the rarer value')
    """
    if len(called) != 2:
        some = ", ".join(called[:4]) + (", ..." if called[4:] else "")
        raise BadData(f"{where}: wanted two different targets (binary); got {len(called)}: {some}")
    if asked:
        if asked not in called:
            raise BadData(f"yes: wanted one of the targets {' and '.join(called)}; got {asked!r}")
        return called.index(asked), "as asked"
    for index, name in enumerate(called):
        if (name.lower(), called[1 - index].lower()) in PAIRS:
            return index, "by its name"
    return int(sizes[1] <= sizes[0]), "the rarer value" if sizes[0] != sizes[
        1
    ] else "the last of two equally common values"


def regression(name: str, inputs: Inputs, values: np.ndarray, parts: list[np.ndarray], outliers: float) -> Data:
    """Inputs and the values to predict, in three parts; a share of the training values may be corrupted."""
    values = values.copy()
    values[parts[0]] = spoilt(values[parts[0]], outliers)
    offset, scale = scaled(values[parts[0]])
    targets = torch.from_numpy((values - offset) / scale).float()
    train, valid, test = (at_hand(inputs, part, targets[part]) for part in parts)
    return Data(name, "regression", train, valid, test, offset=offset, scale=scale)


def scaled(values: np.ndarray) -> tuple[float, float]:
    """Median and spread of training values by their quartiles, because outliers would inflate a standard deviation."""
    low, offset, high = np.quantile(values, [0.25, 0.5, 0.75])
    scale = float(high - low) / 1.349  # the standard deviation of a normal distribution with these quartiles
    return float(offset), scale or float(values.std()) or 1.0  # half of the values may be the same


def spoilt(values: np.ndarray, share: float) -> np.ndarray:
    """Multiplies a share of training values, the same for every loss and seed, by ten: a misplaced decimal point."""
    chosen = np.random.default_rng(SPLIT_SEED).permutation(len(values))[: round(share * len(values))]
    values = values.copy()
    values[chosen] *= 10
    return values

"""What the readers of files have in common: what a file held, and which task that is."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from lossary.lab.archives import check_fits
from lossary.lab.data._types import BadData
from lossary.lab.metrics import Kind

TASKS: tuple[Kind, ...] = ("classification", "zero-shot", "binary", "regression", "segmentation")
#: Numbers with no fraction and no more different values than this are taken for classes.
FEW = 20
#: At least so many classes, half of them with fewer items than that: such labels are identities, of which new ones
#: will come.
MANY_CLASSES, FEW_ITEMS = 30, 10
LISTED = 20  # of what is left out


@dataclass(frozen=True)
class Source:
    """What a reader found, before it is split."""

    name: str
    form: str  # "a table", "a folder of images"
    targets: np.ndarray  # one a row: strings, whole numbers or values
    rows: Sequence[str]  # what a row is called: "line 7", "cat/3.png"
    encode: Callable[[np.ndarray], Tensor]  # the inputs of all rows, scaled as the rows with these indices want it
    fingerprint: str
    facts: tuple[tuple[str, str], ...] = ()  # more to tell, by what it is about
    left_out: tuple[str, ...] = ()
    labels: bool = False  # whole numbers are labels, however many there are
    images: np.ndarray | None = None  # uint8 (N, height, width, 3)
    raw: str = "raw inputs"
    model: Callable[[int], nn.Module] | None = None
    groups: np.ndarray | None = None  # the list that a row belongs to, where rows are candidates
    classes: tuple[str, ...] = ()  # by number, where the targets are label maps (N, height, width)


def fingerprint(*contents: bytes) -> str:
    """Of contents in their order, each with where it ends."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:16]


def content(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        BadData: if it cannot be read or holds nothing.
    """
    if path.exists() and not path.is_file():  # a pipe may never end
        raise BadData(f"{path}: wanted a file to read; got something else")
    try:
        check_fits(path.stat().st_size, "a file of")
        read = path.read_bytes()
    except OSError as error:
        raise BadData(f"{path}: wanted a file to read; got {error.strerror}") from error
    except ValueError as error:
        raise BadData(f"{path}: wanted a file to read; got {error}") from error
    if not read.strip():
        raise BadData(f"{path}: wanted data; got an empty file")
    return read


def counted(found: Sequence[str], one: str, many: str) -> tuple[str, ...]:
    """A sentence that counts and lists what is left out; none where there is nothing.

    >>> counted(["line 7", "line 9"], "row without a target", "rows without a target")
    ('2 rows without a target: line 7, line 9',)
    """
    listed = ", ".join(found[:LISTED]) + (", ..." if found[LISTED:] else "")
    return (f"{len(found)} {one if len(found) == 1 else many}: {listed}",) if found else ()


def task(targets: np.ndarray, asked: str, first: str, *, labels: bool) -> tuple[Kind, str]:
    """The kind of task, and why that one. ``first`` is where the first target stands.

    Raises:
        BadData: if the targets do not allow the one that was asked for.
    """
    if asked not in ("", *TASKS):
        raise BadData(f"task: wanted one of {', '.join(TASKS)}; got {asked!r}")
    if targets.ndim == 3 and asked in ("", "segmentation"):
        return "segmentation", "each image has a mask"
    if targets.ndim == 3 or asked == "segmentation":
        here = "masks beside the images" if targets.ndim == 3 else "one target a row, and no images/ with masks/"
        raise BadData(f"{first}: wanted data for {asked}; got {here}")
    numbers = targets.dtype.kind in "iuf"
    if asked == "regression" and not numbers:
        raise BadData(f"{first}: wanted a number as target; got {str(targets[0])!r}")
    for kind in TASKS:
        if kind == asked:
            return kind, "as asked"
    return _inferred(targets, numbers, labels)


def _inferred(targets: np.ndarray, numbers: bool, labels: bool) -> tuple[Kind, str]:
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
    """Class names in order, and the label of each row; 3.0 is called 3."""
    found, labels = np.unique(targets, return_inverse=True)
    whole = found.dtype.kind == "f" and (found % 1 == 0).all()
    return [str(int(name) if whole else name) for name in found], labels

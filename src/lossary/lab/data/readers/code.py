"""A person's own code: any network and any data set of PyTorch, from Python or from a file."""

import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset

from lossary.lab.data import splits
from lossary.lab.data.contents import BadData, content, fingerprint
from lossary.lab.data.targets import inferred, scaled, spoilt
from lossary.lab.data.types import Data, Split, TensorSplit
from lossary.lab.tasks import TaskName
from lossary.lab.tasks.measures import OwnMetric
from lossary.lab.tasks.scoring import own_scores

#: What training data may be: anything with a length whose items are pairs of an input and a target.
Dataset = Any
#: Small steps are cheap and large batches hide what a loss does; the same for all kinds of task.
BATCH = 32
OF_A_CLASS = 2


class Read:
    """Training inputs read anew for each batch, so that a data set's own random changes are drawn each time."""

    def __init__(self, dataset: Dataset, rows: np.ndarray) -> None:
        self.dataset = dataset
        self.rows = rows

    def __getitem__(self, batch: Tensor) -> Tensor:
        return torch.stack([_input(self.dataset[int(self.rows[i])][0]) for i in batch])


def script(path: Path, asked: str, outliers: float) -> Data:
    """Run a Python file that gives ``model()`` and ``data()``, and perhaps ``metric(predictions, targets)``.

    Raises:
        BadData: naming the file, and the line where it fails.
    """
    with running(path) as module:
        for name in ("model", "data"):
            if not callable(getattr(module, name, None)):
                raise BadData(f"{path}: wanted functions model() and data(); got no {name}()")
        data = _call(path, module.data)
        metric = getattr(module, "metric", None)
        return from_code(path.name, module.model, data, metric, asked, outliers, content(path))


@contextmanager
def running(path: Path) -> Generator[Any]:
    """The module that a Python file makes, which has been run, with its folder to import from.

    Raises:
        BadData: naming the file, and the line where it fails.
    """
    stored = content(path)
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    sys.path.insert(0, str(path.parent.resolve()))  # as Python does for a file that it runs
    try:
        # What was read is run, and not what Python has kept of it or somebody put beside it (__pycache__).
        _call(path, lambda: exec(compile(stored, str(path), "exec"), vars(module)))
        yield module
    finally:
        sys.path.pop(0)


def _call(path: Path, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except (Exception, SystemExit) as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).name == path.name]
        if isinstance(error, SyntaxError) and error.lineno:
            lines.append(error.lineno)
        line = f", line {lines[-1]}" if lines else ""
        raise BadData(f"{path}{line}: wanted code that runs; got {_told(error)}") from error


def _told(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def from_code(
    name: str,
    model: Callable[[], nn.Module],
    data: Dataset | Sequence[Dataset],
    metric: OwnMetric | None = None,
    asked: str = "",
    outliers: float = 0.0,
    stored: bytes = b"",
) -> Data:
    """A network and a data set, or three of them (training, validation, test), as the lab's data.

    Raises:
        BadData: naming the item that is not as wanted, or what the network gives instead of embeddings.
    """
    if asked == "binary":
        raise BadData("task: wanted classification, zero-shot or regression of code; got 'binary'")
    given = _given(name, data)
    whole = given[0] if len(given) == 1 else ConcatDataset(given)
    targets, same = _read(name, whole)
    task, _ = inferred(targets, asked, f"{name}, item 0", labels=True)
    ends = np.cumsum([len(part) for part in given[:-1]])
    parts = np.split(np.arange(len(targets)), ends) if len(ends) else _divided(name, task, targets, same)
    of_part = [targets[part] for part in parts]
    offset, scale = 0.0, 1.0
    if task == "regression":
        of_part[0] = spoilt(of_part[0], outliers)
        offset, scale = scaled(of_part[0])
    called, labels = _labelled(name, task, of_part, offset, scale)
    valid, test = (TensorSplit(Read(whole, parts[i])[torch.arange(len(parts[i]))], labels[i]) for i in (1, 2))
    size = _probed(name, model, valid.inputs[:2], task)
    if metric is not None:
        _tried(name, metric, task, test, size)
    digests = [array.tobytes() for array in (targets, valid.inputs.numpy(), test.inputs.numpy())]
    return Data(
        name,
        task,
        Split(Read(whole, parts[0]), labels[0]),
        valid,
        test,
        test_names=called,
        offset=offset,
        scale=scale,
        batch=(BATCH, OF_A_CLASS if task == "zero-shot" else 0),
        model=lambda _: model(),
        embedding_size=size,
        metric=metric,
        fingerprint=fingerprint(stored, *digests),
    )


def _given(name: str, data: Dataset | Sequence[Dataset]) -> list[Any]:
    """One data set or three, none of them empty."""
    given: list[Any] = list(data) if isinstance(data, tuple | list) else [data]
    if len(given) not in (1, 3):
        raise BadData(f"{name}: wanted one data set, or three (training, validation, test); got {len(given)}")
    for part in given:
        if not hasattr(part, "__len__") or not hasattr(part, "__getitem__"):
            raise BadData(f"{name}: wanted data sets with a length and items; got {type(part).__name__}")
    if not all(map(len, given)):
        raise BadData(f"{name}: wanted items; got an empty data set")
    if len(given) == 3 and len(given[2]) < 2:
        raise BadData(f"{name}: wanted at least 2 items to test with; got 1")
    return given


def _input(value: Any) -> Tensor:
    """As float32; whole numbers of a tensor or an array are ids, as an ``nn.Embedding`` takes them."""
    given = torch.as_tensor(value)
    ids = isinstance(value, Tensor | np.ndarray) and given.dtype in (torch.int32, torch.int64)
    return given.long() if ids else given.float()


def _read(name: str, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """All targets, and numbers that are equal where inputs are."""
    targets: list[Any] = []
    digests: list[bytes] = []
    shape = None
    for row in range(len(dataset)):
        try:
            value, target = dataset[row]
            value, target = _input(value), torch.as_tensor(target).item()
        except Exception as error:  # of their code
            raise BadData(
                f"{name}, item {row}: wanted a pair of an input and a number as target; got {_told(error)}"
            ) from error
        if shape not in (None, value.shape):
            raise BadData(f"{name}, item {row}: wanted an input of shape {tuple(shape)}; got {tuple(value.shape)}")
        if not value.isfinite().all() or not np.isfinite(target):
            raise BadData(f"{name}, item {row}: wanted finite numbers; got NaN or infinity")
        shape = value.shape
        targets.append(target)
        digests.append(sha256(value.numpy().tobytes()).digest())
    return np.array(targets), splits.alike(digests)


def _divided(name: str, task: TaskName, targets: np.ndarray, same: np.ndarray) -> list[np.ndarray]:
    if task == "regression":
        return splits.by_item(np.zeros(len(targets), int), same)
    labels = np.unique(targets, return_inverse=True)[1]
    sizes = splits.keep(task, labels, same, name)
    if not sizes.all():
        raise BadData(f"{name}: wanted no class with fewer items than parts; got {np.count_nonzero(~sizes)}")
    return splits.by_class(labels) if task == "zero-shot" else splits.by_item(labels, same)


def _labelled(
    name: str, task: TaskName, targets: list[np.ndarray], offset: float, scale: float
) -> tuple[tuple[str, ...], list[Tensor]]:
    """Names of the test classes, and the targets as they are trained on and scored."""
    if task == "regression":
        return (), [torch.from_numpy((part - offset) / scale).float() for part in targets]
    among = [np.unique(part) for part in targets] if task == "zero-shot" else [np.unique(targets[0])] * 3
    for part, known in zip(targets, among, strict=True):
        if not np.isin(part, known).all():
            unknown = np.setdiff1d(part, known)[0]
            raise BadData(f"{name}: wanted every class among the training data; got {unknown} elsewhere only")
    if task == "zero-shot" and np.intersect1d(targets[0], np.concatenate(targets[1:])).size:
        raise BadData(f"{name}: wanted no training class in validation or test (zero-shot); got some")
    labels = [torch.from_numpy(np.searchsorted(known, part)) for part, known in zip(targets, among, strict=True)]
    return tuple(map(str, among[2].tolist())), labels


def _tried(name: str, metric: OwnMetric, task: TaskName, test: TensorSplit, size: int) -> None:
    """Call a user's metric once before hours of training, with predictions that know nothing."""
    shapes = {"regression": (len(test),), "classification": (len(test), test.classes), "zero-shot": (len(test), size)}
    try:
        own_scores(metric, np.full(shapes[task], 1 / test.classes if task == "classification" else 0.0), test.targets)
    except Exception as error:
        said = " ".join(str(error).split())
        raise BadData(f"{name}, metric: wanted a finite score for each of {len(test)} items; got {said}") from error


def _probed(name: str, model: Callable[[], nn.Module], inputs: Tensor, task: TaskName) -> int:
    """How many numbers the network gives an item."""
    try:
        network = model()
    except Exception as error:  # of their code, as below
        raise BadData(f"{name}: wanted a model() that runs; got {_told(error)}") from error
    if not isinstance(network, nn.Module):
        raise BadData(f"{name}: wanted an nn.Module from model(); got {type(network).__name__}")
    try:
        with torch.no_grad():
            out = network.eval()(inputs)
    except Exception as error:
        raise BadData(
            f"{name}: wanted a model() that takes inputs {tuple(inputs.shape)}; got {_told(error)}"
        ) from error
    if not isinstance(out, Tensor):
        raise BadData(f"{name}: wanted a tensor from model()(inputs); got {type(out).__name__}")
    values = task == "regression"
    if tuple(out.shape) not in ((2,), (2, 1)) if values else out.ndim != 2 or out.shape[1] < 2:
        wanted = "one value an item" if values else "embeddings (N, D) with D above 1"
        raise BadData(f"{name}: wanted {wanted} from model()(inputs) for 2 items; got shape {tuple(out.shape)}")
    return 1 if values else out.shape[1]

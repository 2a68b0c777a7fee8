"""The user's own code: any PyTorch network and data set, from Python or from a file."""

import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset

from lossary.lab.data.contents import BadData, content, fingerprint
from lossary.lab.data.readers.goals import Goals, goals, shape_of, task_of_items
from lossary.lab.data.readers.items import Dataset, Read, form_of, read, told
from lossary.lab.data.types import Data, Split, TensorSplit
from lossary.lab.tasks import TASKS, TaskName, task_of
from lossary.lab.tasks.measures import OwnMetric
from lossary.lab.tasks.retrieval.towers import Towers
from lossary.lab.tasks.scoring import own_scores

#: Small steps are cheap, and large batches hide what a loss does; other batch sizes if an item is composite.
BATCH, OF_LISTS, OF_MAPS = 32, 16, 8
OF_A_CLASS = 2
#: Bytes of test images that a report may show.
SHOWN = 1 << 26


def script(path: Path, asked: str, outliers: float) -> Data:
    """Run a Python file that defines ``model()`` and ``data()``, and perhaps ``metric(predictions, targets)``.

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
    """The module of a Python file, after running it, with its folder on the import path.

    Raises:
        BadData: naming the file, and the line where it fails.
    """
    stored = content(path)
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    sys.path.insert(0, str(path.parent.resolve()))  # as Python does for a file that it runs
    try:
        # Runs exactly the source that was read, not a cached version in __pycache__, which anyone may have put there.
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
        raise BadData(f"{path}{line}: wanted code that runs; got {told(error)}") from error


def from_code(
    name: str,
    model: Callable[[], Any],
    data: Dataset | Sequence[Dataset],
    metric: OwnMetric | None = None,
    asked: str = "",
    outliers: float = 0.0,
    stored: bytes = b"",
) -> Data:
    """A network and a data set, or three data sets (training, validation, test), as the lab's data.

    Raises:
        BadData: naming the item that is not as wanted, or the output that does not fit the task.
    """
    if asked not in ("", *TASKS):
        raise BadData(f"task: wanted one of {', '.join(TASKS)}; got {asked!r}")
    given = _given(name, data)
    whole = given[0] if len(given) == 1 else ConcatDataset(given)
    items = read(name, whole, form_of(whole, asked))
    task = task_of_items(name, items, asked)
    ends = np.cumsum([len(part) for part in given[:-1]])
    made = goals(name, task, items, np.split(np.arange(len(items)), ends) if len(ends) else None, outliers)
    valid, test = (_at_hand(items.inputs(made.parts[i]), made.targets[i]) for i in (1, 2))
    network = _network(name, model, task)
    size = _probed(name, network, valid.inputs[:2], task, made)
    digests = [array.tobytes() for array in (items.targets, valid.inputs[:].numpy(), test.inputs[:].numpy())]
    loaded = Data(
        name,
        task,
        Split(items.inputs(made.parts[0]), made.targets[0]),
        valid,
        test,
        test_names=made.names,
        offset=made.offset,
        scale=made.scale,
        test_images=_shown(test.inputs[:]),
        batch=(
            {"ranking": OF_LISTS, "segmentation": OF_MAPS}.get(task, BATCH),
            OF_A_CLASS if task == "zero-shot" else 0,
        ),
        model=lambda _: network(),
        embedding_size=size,
        metric=metric,
        fingerprint=fingerprint(stored, *digests),
    )
    if metric is not None:
        _tried(name, metric, loaded)
    return loaded


def _shown(inputs: Tensor) -> np.ndarray | None:
    """Inputs as pictures (N, height, width, 3), if they clearly are pictures."""
    pictures = inputs.ndim == 4 and inputs.shape[1] in (1, 3) and inputs.is_floating_point()
    if not pictures or inputs.numel() > SHOWN or inputs.min() < 0 or inputs.max() > 1:
        return None
    return (255 * inputs).byte().movedim(1, -1).expand(-1, -1, -1, 3).numpy()


def _at_hand(inputs: Read, targets: Tensor) -> TensorSplit:
    return TensorSplit(inputs[torch.arange(len(targets))], targets)


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


def _tried(name: str, metric: OwnMetric, data: Data) -> None:
    """Call a user's metric once before hours of training, on uninformed predictions."""
    count, size = len(data.test), data.embedding_size or 0
    given = {
        "classification": np.full((count, data.test.classes), 1 / data.test.classes),
        "zero-shot": np.zeros((count, size)),
        "retrieval": np.zeros((count, 2, size)),
    }.get(data.task, np.zeros(tuple(data.test.targets.shape)))
    try:
        own_scores(metric, *task_of(data.task).arrays(given, data.test, data).values())
    except Exception as error:
        said = " ".join(str(error).split())
        raise BadData(f"{name}, metric: wanted a finite score for each of {count} items; got {said}") from error


def _network(name: str, model: Callable[[], Any], task: TaskName) -> Callable[[], nn.Module]:
    """Creates a network for the task from one encoder, or from two if an item is a pair."""

    def made() -> nn.Module:
        try:
            network = model()
        except Exception as error:  # in user code
            raise BadData(f"{name}: wanted a model() that runs; got {told(error)}") from error
        if task == "retrieval":
            towers = network if isinstance(network, tuple) else (network,)
            if len(towers) in (1, 2) and all(isinstance(tower, nn.Module) for tower in towers):
                return Towers(*towers)
        if not isinstance(network, nn.Module):
            raise BadData(f"{name}: wanted an nn.Module from model(); got {type(network).__name__}")
        return nn.Sequential(network, nn.Flatten()) if task == "ranking" else network

    return made


def _probed(name: str, network: Callable[[], nn.Module], inputs: Tensor, task: TaskName, made: Goals) -> int:
    """How many numbers the network returns per item."""
    untrained = network().eval()
    try:
        with torch.no_grad():
            out = untrained(inputs)
    except Exception as error:  # in user code
        raise BadData(f"{name}: wanted a model() that takes inputs {tuple(inputs.shape)}; got {told(error)}") from error
    if not isinstance(out, Tensor):
        raise BadData(f"{name}: wanted a tensor from model()(inputs); got {type(out).__name__}")
    wanted, fits = shape_of(task, made)
    if not fits(tuple(out.shape)):
        raise BadData(f"{name}: wanted {wanted} from model()(inputs) for 2 items; got shape {tuple(out.shape)}")
    return 1 if out.ndim == 1 else out.shape[-1]

"""The losses of a file, its functions and Modules; the file runs once, as Python runs it."""

import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from lossary.testing.forms import NotALoss

#: Sizes for a head whose constructor has no defaults, to match a batch of embeddings.
SIZES = {
    r: size
    for names, size in (
        (("embedding_size", "embedding_dim", "feat_dim", "feature_dim", "in_features", "in_feat", "dim", "d"), 4),
        (("num_classes", "n_classes", "classes", "out_features", "num_class", "nb_classes", "class_num", "c"), 7),
    )
    for r in names
}


def losses(path: Path, only: str = "") -> dict[str, Any]:
    """The public functions, Module classes and Modules that the file itself defines, by name.

    Raises:
        NotALoss: There is none, or none with that name.
    """
    names = vars(_imported(path))
    own = {n: thing for n, thing in names.items() if not n.startswith("_") and _is_own(thing, path.stem)}
    if only and only not in own:
        raise NotALoss(f"{path.name} defines no {only}; it defines {', '.join(own) or 'no loss'}")
    if not own:
        raise NotALoss(f"{path.name} defines neither a function nor a Module")
    return {only: own[only]} if only else own


def _imported(path: Path) -> ModuleType:
    """The file as a module; its own imports are found next to it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise NotALoss(f"{path.name}: wanted a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _is_own(thing: object, module: str) -> bool:
    """Whether it looks like a loss and was defined in the file: imported things have another module."""
    if isinstance(thing, nn.Module):
        return True
    if inspect.isfunction(thing) or (inspect.isclass(thing) and issubclass(thing, nn.Module)):
        return thing.__module__ == module
    return False


def made(loss: Any) -> Any:
    """A Module made from a class with its defaults; a head gets sizes that fit the batches."""
    if not inspect.isclass(loss):
        return loss
    parameters = inspect.signature(loss).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    unknown = [name for name in needed if name.lower() not in SIZES]
    if unknown:
        raise NotALoss(f"{loss.__name__}: its constructor needs {', '.join(unknown)}; make one in the file and name it")
    return loss(**{name: SIZES[name.lower()] for name in needed})

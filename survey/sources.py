"""From an entry of the list to a loss that can be called: a package's, or a file's of a repository at a commit.

A repository's code is read from a folder of git directories, `OWNER+NAME` each, and unpacked where git ignores it. Of a
file the definitions are run, and the imports that can be: code that trains when it is imported is left out.
"""

import ast
import importlib
import inspect
import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from survey import HERE, SOURCES
from survey.entries import NAMES, Entry

#: Names of Python 2, in which some files are written.
_OLD = {"long": int, "xrange": range, "unicode": str}


class Missing(Exception):
    """A source that is not here."""


def loss_of(entry: Entry, repositories: Path) -> Any:
    """The loss, called with the tensors of its form alone.

    Raises:
        Missing: Its package is not installed, or its repository is not in the folder.
    """
    module = package(entry) if entry.package else _file(_root(entry, repositories), entry.file)
    torch.manual_seed(0)  # of heads that draw their weights
    names = {"torch": torch, "nn": nn, "F": functional, **vars(module)}
    loss = eval(entry.make, names)  # the list is ours
    return adapted(loss, entry, names) if entry.call else loss


def says_cuda(entry: Entry, repositories: Path) -> bool:
    """Whether its file names a GPU: what it does there cannot be seen without one."""
    return bool(entry.repository) and "cuda" in (_root(entry, repositories) / entry.file).read_text(encoding="utf-8")


def version(entry: Entry) -> str:
    return metadata.version(entry.package) if entry.package else ""


def package(entry: Entry) -> ModuleType:
    from benchmarks.peers import make_torchvision_importable

    make_torchvision_importable()
    try:
        metadata.version(entry.package)
        return importlib.import_module(entry.file)
    except metadata.PackageNotFoundError as error:
        raise Missing(f"{entry.package}: {error}") from error
    except ImportError as error:
        if error.name == entry.file.partition(".")[0]:  # it is here, and is nothing that can be imported
            raise
        raise Missing(f"{entry.package}: {error}") from error


def _root(entry: Entry, repositories: Path) -> Path:
    """The Python files of a repository, unpacked."""
    if not entry.repository:
        return HERE / "lectures"
    folder = repositories / entry.repository.replace("/", "+")
    places = (folder, folder / ".git", folder / "repo", folder / "repo" / ".git")
    git = next((place for place in places if (place / "HEAD").is_file()), None)
    unpacked = SOURCES / f"{folder.name}@{entry.commit[:12]}"
    if git is None and not unpacked.exists():
        raise Missing(f"{entry.repository}: no git directory {folder.name} in {repositories}")
    if not unpacked.exists():
        command = ["git", "-C", str(git), "archive", entry.commit, "--", ":(glob)**/*.py"]
        made = subprocess.run(command, capture_output=True, check=False)
        if made.returncode:
            raise Missing(f"{entry.repository}: {made.stderr.decode().strip()}")
        with (
            tempfile.TemporaryDirectory(dir=_made(SOURCES)) as folder,
            tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive,
        ):
            archive.extractall(Path(folder) / "whole", filter="data")
            if not unpacked.exists():  # by another process, meanwhile
                shutil.move(Path(folder) / "whole", unpacked)
    return unpacked


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _file(root: Path, file: str) -> ModuleType:
    """A file as a module of its folders, none of which is run."""
    path = root / file
    if not path.is_file():
        raise Missing(f"{file}: not in the sources")
    sys.path[:0] = [str(root), str(path.parent)]
    parts = Path(file).with_suffix("").parts
    for depth in range(1, len(parts)):
        package = ModuleType(".".join(parts[:depth]))
        package.__path__ = [str(root.joinpath(*parts[:depth]))]
        sys.modules[package.__name__] = package
    module = ModuleType(".".join(parts))
    module.__file__, module.__package__ = str(path), ".".join(parts[:-1])
    sys.modules[module.__name__] = module
    vars(module).update(_OLD)
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"""(device\s*=\s*|\.to\()(['"])cuda""", r"\1\2cpu", text)  # here is none
    for statement in ast.parse(text).body:
        if isinstance(statement, (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.Assign)):
            _run(statement, module)
            _import(statement, module, root)
    return module


def _import(statement: ast.stmt, module: ModuleType, root: Path) -> None:
    """Names of a file beside it that could not be imported whole, from its definitions."""
    if not isinstance(statement, ast.ImportFrom) or statement.level:
        return
    wanted = [name for name in statement.names if (name.asname or name.name) not in vars(module)]
    file = f"{(statement.module or '').replace('.', '/')}.py"
    if wanted and (root / file).is_file():
        other = vars(_file(root, file))
        vars(module).update({name.asname or name.name: other[name.name] for name in wanted if name.name in other})


def _run(statement: ast.stmt, module: ModuleType) -> None:
    """What fails is missed when the loss is made, if it needs it; a decorator that is not there is left out."""
    for plain in (False, True):
        if plain and isinstance(statement, (ast.ClassDef, ast.FunctionDef)):
            statement.decorator_list = []
        try:
            exec(compile(ast.Module([statement], []), module.__file__ or "", "exec"), vars(module))
        except Exception:  # noqa: BLE001  # whatever a stranger's import raises
            continue
        return


def adapted(loss: Any, entry: Entry, names: dict[str, Any]) -> nn.Module:
    """The loss in the form of call, by the expression of the list; its numbers are kept for who reads them."""
    arguments = ", ".join(NAMES[entry.takes])
    sys.modules["survey_adapted"] = ModuleType("survey_adapted")  # a compiler looks there for its names
    scope = vars(sys.modules["survey_adapted"])
    scope.update({name: value for name, value in names.items() if not name.startswith("__")})
    exec(f"def forward(self, {arguments}):\n    loss = self.loss\n    return {entry.call}", scope)
    made: Any = type("Adapted", (nn.Module,), {"forward": scope["forward"], "__module__": __name__})
    globals()["Adapted"] = made  # where a pickle looks for it
    module = made()
    module.loss = loss
    inner = loss if isinstance(loss, nn.Module) else None
    numbers = [v for v in vars(inner).values() if type(v) in (int, float)] if inner is not None else []
    if inner is None and inspect.isfunction(loss):
        numbers = [p.default for p in inspect.signature(loss).parameters.values() if type(p.default) in (int, float)]
        numbers += [c for c in loss.__code__.co_consts if type(c) in (int, float)]
    for place, number in enumerate(numbers):
        setattr(module, f"number_{place}", number)
    return module

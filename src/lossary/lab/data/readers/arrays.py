"""Frozen embeddings with labels: .npz, .npy and .safetensors. A linear projection is trained on them."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from lossary.lab.data import archives
from lossary.lab.data.contents import BadData, content, fingerprint
from lossary.lab.data.readers.source import Source, more
from lossary.lab.data.types import there

#: Default names of arrays, unless there is only one array of the wanted shape.
EMBEDDINGS = ("embeddings", "features", "X", "x")
LABELS = ("labels", "targets", "target", "y")
#: The array with the names of the label columns, if there are several labels per row.
NAMES = "label_names"


def read(path: Path, target: str) -> Source:
    """Embeddings of a file, and labels: another array in it, or for .npy another file, ``target``.

    Raises:
        BadData: naming file, array and row.
    """
    if path.suffix.lower() == ".npy":
        beside = Path(target) if target else path.with_name(f"{path.stem}_labels.npy")
        if not there(str(beside)) or not beside.is_file():
            raise BadData(f"{path}: wanted labels in {beside}, or in a file named by --target; got no such file")
        contents = [content(path), content(beside)]
        embeddings, labels = _load(path, contents[0]), _load(beside, contents[1])
        found, called = {"embeddings": embeddings, "labels": labels}, ("embeddings", "labels")
    else:
        contents = [content(path)]
        found = (
            _safetensors(path, contents[0]) if path.suffix.lower() == ".safetensors" else load_all(path, contents[0])
        )
        called = _choose(path, found, target)
    embeddings, targets = _checked(path, found, *called)
    return Source(
        path.name,
        "frozen embeddings",
        targets,
        [f"row {row}" for row in range(len(targets))],
        partial(_scaled, embeddings),
        fingerprint(*contents),
        facts=(("inputs", f"{embeddings.shape[1]} numbers per row ({called[0]}), targets from {called[1]}"),),
        labels=True,
        classes=_label_names(path, found, targets.shape[1]) if targets.ndim == 2 else (),
        raw="the embeddings as they came",
        model=partial(nn.Linear, embeddings.shape[1]),
    )


def _scaled(embeddings: np.ndarray, train: np.ndarray) -> Tensor:
    """At a common scale, because one learning rate then fits all data and no cosine changes."""
    size = np.sqrt(np.square(embeddings[train], dtype=np.float64).mean())
    return torch.from_numpy(embeddings / np.float32(size or 1.0))


def _load(path: Path, data: bytes) -> np.ndarray:
    try:
        return archives.load(data)
    except ValueError as error:
        raise BadData(f"{path}: wanted an array of numbers or strings; got {error}") from error


def load_all(path: Path, data: bytes) -> dict[str, np.ndarray]:
    try:
        return archives.load_all(data)
    except ValueError as error:
        raise BadData(f"{path}: wanted an archive of arrays (.npz); got something else ({error})") from error


def _safetensors(path: Path, data: bytes) -> dict[str, np.ndarray]:
    try:
        stored = load_safetensors(data)
    except SafetensorError as error:
        raise BadData(f"{path}: wanted a safetensors file; got something else ({error})") from error
    # numpy has no bfloat16.
    return {name: (t.float() if t.is_floating_point() else t).numpy() for name, t in stored.items()}


def _choose(path: Path, found: Mapping[str, np.ndarray], target: str) -> tuple[str, str]:
    """The names of embeddings and labels."""
    listed = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in found.items()) or "no arrays"
    several = [name for name, array in found.items() if name in (target, *LABELS) and _of_labels(array)]
    tables = [n for n, array in found.items() if array.ndim == 2 and array.dtype.kind in "iuf" and n not in several]
    columns = [name for name, array in found.items() if array.ndim == 1 and name != NAMES] + several
    if target and target not in columns:
        raise BadData(f"{path}: wanted labels in an array {target!r} of one axis, or 0 and 1 in two; got {listed}")
    chosen = _named(tables, EMBEDDINGS), target or _named(columns, LABELS)
    if not all(chosen):
        raise BadData(
            f"{path}: wanted one array of two axes with the embeddings ({EMBEDDINGS[0]}) and one of one axis with "
            f"the labels ({LABELS[0]}, or named by --target), or of two with a 0 or 1 for each label; got {listed}"
        )
    return chosen


def _of_labels(array: np.ndarray) -> bool:
    """Whether it has a 0 or 1 for each row and label, so that a row may have several labels."""
    return array.ndim == 2 and array.dtype.kind in "iufb" and array.shape[1] > 1 and bool(np.isin(array, [0, 1]).all())


def _label_names(path: Path, found: Mapping[str, np.ndarray], count: int) -> tuple[str, ...]:
    names = found.get(NAMES, np.arange(count).astype(str))
    if names.shape != (count,) or names.dtype.kind not in "iuU":
        raise BadData(f"{path}, {NAMES}: wanted a name for each of {count} labels; got {names.dtype} {names.shape}")
    return tuple(map(str, names.tolist()))


def _named(candidates: list[str], usual: tuple[str, ...]) -> str:
    if len(candidates) == 1:
        return candidates[0]
    return next((name for name in usual if name in candidates), "")


def _checked(path: Path, found: Mapping[str, np.ndarray], name: str, target: str) -> tuple[np.ndarray, np.ndarray]:
    embeddings, targets = embeddings_of(path, found, name), found[target]
    several = _of_labels(targets)
    if (targets.ndim != 1 or targets.dtype.kind not in "iufbU") and not several:
        raise BadData(f"{path}, {target}: wanted labels or numbers (N,); got {targets.dtype} {targets.shape}")
    if len(embeddings) != len(targets):
        raise BadData(
            f"{path}: wanted a label for each embedding; got {len(targets)} in {target} for {len(embeddings)} in {name}"
        )
    if several:
        return embeddings, targets == 1
    bad = np.flatnonzero(~np.isfinite(targets)) if targets.dtype.kind == "f" else np.empty(0, int)
    if len(bad):
        raise BadData(f"{path}, {target}, row {bad[0]}: wanted a number; got {targets[bad[0]]}{more(len(bad) - 1)}")
    return embeddings, targets.astype(str) if targets.dtype.kind == "b" else targets


def embeddings_of(path: Path, found: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """The embeddings with that name, (N, D) in float32.

    Raises:
        BadData: naming array and row.
    """
    embeddings = found[name]
    if embeddings.ndim != 2 or embeddings.dtype.kind not in "iuf":
        raise BadData(f"{path}, {name}: wanted numbers (N, D); got {embeddings.dtype} {embeddings.shape}")
    if not embeddings.size:
        raise BadData(f"{path}, {name}: wanted at least one embedding; got shape {embeddings.shape}")
    with np.errstate(over="ignore"):  # a value too large for float32 becomes infinite, and is reported
        embeddings = embeddings.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(bad):
        raise BadData(f"{path}, {name}, row {bad[0]}: wanted finite numbers; got NaN or infinity{more(len(bad) - 1)}")
    return embeddings

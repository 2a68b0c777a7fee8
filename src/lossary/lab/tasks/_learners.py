"""Learners that are no networks: what a loss should beat before anybody trains with it. scikit-learn's, in seconds.

They learn from the training part alone, at the library's defaults. Of many rows they see some, drawn at random.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional as F

from lossary.lab.data.types import Data, Split

BOOSTING, LINEAR, NEIGHBOURS = "gradient boosting", "linear model", "nearest neighbours"
LEARNERS = frozenset({BOOSTING, LINEAR, NEIGHBOURS})
#: Numbers that a learner looks at: training rows times inputs times outputs; to find neighbours test rows times inputs.
SEEN = {BOOSTING: 4e6, LINEAR: 4e7, NEIGHBOURS: 2e10}
#: Trees of boosting, and the most outputs, each of which wants trees of its own.
TREES, MOST_OUTPUTS = 400, 20
ALIKE = 10  # neighbours
SIDE = 16  # of images, whose pixels are pooled to it


def learners(data: Data) -> Iterator[tuple[str, int]]:
    """Those that can learn from such data, each with the seed 0: from numbers in a row, or from pixels."""
    axes = data.test.inputs.ndim if data.test.inputs.is_floating_point() else 0
    if axes == 2 and _outputs(data.train) <= MOST_OUTPUTS:
        yield BOOSTING, 0
    if axes in (2, 4):
        yield LINEAR, 0
        yield NEIGHBOURS, 0


def learned(name: str, data: Data) -> np.ndarray:
    """What a learner makes of the test inputs: values (N,), or chances (N,), of each class or label (N, C)."""
    test, outputs = _rows(data.test.inputs), _outputs(data.train)
    inputs, targets = _some(
        data.train, int(SEEN[name] / (test.size if name == NEIGHBOURS else test.shape[1] * outputs))
    )
    with threadpool_limits(1):  # as all that a worker does
        if name == NEIGHBOURS:
            found = _neighbours(inputs, _wide(targets, data.train), test)
            return found[:, 1] if data.task == "binary" else found
        learner = _learner(name, outputs, values=targets.dtype.kind == "f")
        if targets.dtype.kind == "f":
            return learner.fit(inputs, targets).predict(test)
        if targets.dtype == bool:
            return np.stack([_chances(learner, inputs, label, test, 2)[:, 1] for label in targets.T], axis=1)
        found = _chances(learner, inputs, targets, test, max(data.train.classes, 2))
        return found[:, 1] if data.task == "binary" else found


def _outputs(train: Split) -> int:
    if train.targets.is_floating_point():
        return 1
    return train.targets.shape[1] if train.targets.ndim == 2 else train.classes if train.classes > 2 else 1


def _rows(inputs: Tensor) -> np.ndarray:
    if inputs.ndim == 4:
        height, width = inputs.shape[2:]
        inputs = F.adaptive_avg_pool2d(inputs, (min(SIDE, height), min(SIDE, width)))
    return inputs.flatten(1).numpy()


def _some(train: Split, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of at most so many training items."""
    chosen = np.random.default_rng(0).permutation(len(train))[: max(most, ALIKE)]
    rows = torch.from_numpy(np.sort(chosen))
    return _rows(train.inputs[rows]), train.targets[rows].numpy()


def _wide(targets: np.ndarray, train: Split) -> np.ndarray:
    """Class numbers as shares of the classes, whose mean is a chance."""
    return targets.astype(float) if targets.dtype.kind in "fb" else np.eye(max(train.classes, 2))[targets]


def _neighbours(inputs: np.ndarray, targets: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The mean over the nearest, of which nearer ones count more."""
    nearest = KNeighborsRegressor(min(ALIKE, len(inputs)), weights="distance", algorithm="brute")
    return nearest.fit(inputs, targets).predict(test)


def _learner(name: str, outputs: int, *, values: bool) -> Any:
    if name == LINEAR:
        return make_pipeline(
            StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)) if values else LogisticRegression(max_iter=200)
        )
    rounds = min(100, TREES // outputs)
    if values:
        return HistGradientBoostingRegressor(loss="absolute_error", max_iter=rounds, random_state=0)
    # scikit-learn's stubs know the default "auto" alone.
    return HistGradientBoostingClassifier(max_iter=rounds, early_stopping=True, random_state=0)  # pyright: ignore[reportArgumentType]


def _chances(learner: Any, inputs: np.ndarray, targets: np.ndarray, test: np.ndarray, classes: int) -> np.ndarray:
    """(N, classes); of those that fewer than two rows have, none."""
    chances = np.zeros((len(test), classes))
    found, sizes = np.unique(targets.astype(int), return_counts=True)
    known = found[sizes > 1] if (sizes > 1).any() else found
    if len(known) == 1:
        chances[:, known] = 1
    else:
        rows = np.isin(targets, known)
        chances[:, known] = learner.fit(inputs[rows], targets[rows]).predict_proba(test)
    return chances

"""Learners that are not networks: what a loss should beat before anyone trains with it. scikit-learn's, in seconds.

They are fitted only to the training part, at the library's defaults. If there are many rows, they see a random sample.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional as F

from lossary.lab.data.types import AtHand, Data, Split

BOOSTING, LINEAR, NEIGHBOURS = "gradient boosting", "linear model", "nearest neighbours"
OF_WORDS = "linear model of words"
LEARNERS = frozenset({BOOSTING, LINEAR, NEIGHBOURS, OF_WORDS})
#: Numbers that a learner reads: training rows times inputs times outputs; for nearest neighbours, test rows times
#: inputs.
SEEN = {BOOSTING: 4e6, LINEAR: 4e7, NEIGHBOURS: 2e10, OF_WORDS: 4e7}
RARE_IN = 1000  # texts: a word must occur in more than one
#: Trees for boosting, and the maximum number of outputs, each of which needs its own trees.
TREES, MOST_OUTPUTS = 400, 20
ALIKE = 10  # neighbours
SIDE = 16  # the side to which images are pooled
POOLED = 1024  # images at a time


def learners(data: Data) -> Iterator[tuple[str, int]]:
    """The learners that can handle such data, each with the seed 0: numeric rows or pixels."""
    axes = data.test.inputs.ndim if data.test.inputs.is_floating_point() else 0
    if axes == 2 and _outputs(data.train) <= MOST_OUTPUTS:
        yield BOOSTING, 0
    if axes in (2, 4):
        yield LINEAR, 0
        yield NEIGHBOURS, 0
    if data.texts:
        yield OF_WORDS, 0


def learned(name: str, data: Data) -> np.ndarray:
    """A learner's output for the test inputs: values (N,), or probabilities (N,), of each class or label (N, C)."""
    with threadpool_limits(1):  # like everything in a worker
        found = _neighbours(data) if name == NEIGHBOURS else _fitted(name, data)
    return found[:, 1] if data.task == "binary" else found


def of_candidates(data: Data) -> np.ndarray:
    """(N, longest) boosting's estimate of the relevance of each candidate in the test lists, from its own inputs."""
    lists = _some(data.train, BOOSTING, data.test.inputs[:1].numel())
    inputs, wanted = data.train.inputs[lists].numpy(), data.train.targets[lists].numpy()
    there = ~np.isnan(wanted)
    learner = HistGradientBoostingRegressor(random_state=0)
    test = data.test.inputs[:].numpy()
    with threadpool_limits(1):
        found = learner.fit(inputs[there], wanted[there]).predict(test.reshape(-1, test.shape[-1]))
    return found.reshape(test.shape[:2])


def _fitted(name: str, data: Data) -> np.ndarray:
    rows = _some(data.train, name, data.test.inputs[:1].numel() * _outputs(data.train))
    inputs, test = _words(data, rows) if name == OF_WORDS else (_rows(data.train.inputs[rows]), _rows(data.test.inputs))
    targets = data.train.targets[rows].numpy()
    learner = _learner(name, _outputs(data.train), values=targets.dtype.kind == "f")
    if targets.dtype.kind == "f":
        return learner.fit(inputs, targets).predict(test)
    if targets.dtype == bool:
        return np.stack([_chances(learner, inputs, label, test, 2)[:, 1] for label in targets.T], axis=1)
    return _chances(learner, inputs, targets, test, max(data.train.classes, 2))


def _neighbours(data: Data) -> np.ndarray:
    """The mean over the nearest, weighted toward nearer ones."""
    test = _rows(data.test.inputs)
    rows = _some(data.train, NEIGHBOURS, test.size)
    targets = data.train.targets[rows].numpy()
    wide = targets.astype(float) if targets.dtype.kind in "fb" else np.eye(max(data.train.classes, 2))[targets]
    nearest = KNeighborsRegressor(min(ALIKE, len(rows)), weights="distance", algorithm="brute")
    return nearest.fit(_rows(data.train.inputs[rows]), wide).predict(test)


def _outputs(train: Split) -> int:
    if train.targets.is_floating_point():
        return 1
    return train.targets.shape[1] if train.targets.ndim == 2 else train.classes if train.classes > 2 else 1


def _rows(inputs: AtHand) -> np.ndarray:
    if inputs.ndim == 4:
        height, width = inputs.shape[2:]
        sides = min(SIDE, height), min(SIDE, width)
        return torch.cat([F.adaptive_avg_pool2d(some, sides).flatten(1) for some in inputs.split(POOLED)]).numpy()
    return inputs[:].flatten(1).numpy()


def _words(data: Data, rows: Tensor) -> tuple[Any, Any]:
    """Training and test texts as counts of words and word pairs, weighted by rarity."""
    assert data.texts
    train, _, test = data.texts
    weights = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2 if len(rows) > RARE_IN else 1)
    return weights.fit_transform([train[row] for row in rows.tolist()]), weights.transform(test)


def _some(train: Split, name: str, each: int) -> Tensor:
    """Indices of training items: as many as a learner can see that reads this many numbers of each."""
    most = max(int(SEEN[name] / each), ALIKE)
    return torch.from_numpy(np.sort(np.random.default_rng(0).permutation(len(train))[:most]))


def _learner(name: str, outputs: int, *, values: bool) -> Any:
    if name == OF_WORDS:
        return Ridge() if values else LogisticRegression(C=10, max_iter=200)
    if name == LINEAR:
        linear = RidgeCV(np.logspace(-2, 4, 13)) if values else LogisticRegression(max_iter=200)
        return make_pipeline(StandardScaler(), linear)
    rounds = min(100, TREES // outputs)
    if values:
        return HistGradientBoostingRegressor(loss="absolute_error", max_iter=rounds, random_state=0)
    # scikit-learn's stubs only know the default "auto"
    return HistGradientBoostingClassifier(max_iter=rounds, early_stopping=True, random_state=0)  # pyright: ignore[reportArgumentType]


def _chances(learner: Any, inputs: Any, targets: np.ndarray, test: Any, classes: int) -> np.ndarray:
    """(N, classes); zero for those with fewer than two rows."""
    chances = np.zeros((test.shape[0], classes))
    found, sizes = np.unique(targets.astype(int), return_counts=True)
    known = found[sizes > 1] if (sizes > 1).any() else found
    if len(known) == 1:
        chances[:, known] = 1
    else:
        rows = np.isin(targets, known)
        chances[:, known] = learner.fit(inputs[rows], targets[rows]).predict_proba(test)
    return chances

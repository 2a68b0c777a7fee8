"""Baselines: what costs no training with any loss. A loss that does not beat them has taught nothing."""

from collections.abc import Iterator

import numpy as np
import torch

from lossary.lab.data import Data
from lossary.lab.train import network

UNTRAINED = "untrained network"
MAJORITY, BASE_RATE = "always the commonest class", "always the base rate"
MEAN, MEDIAN = "always the mean", "always the median"


def runs(data: Data, seeds: int) -> Iterator[tuple[str, int]]:
    """Names and seeds of the baselines; those without chance have the seed 0."""
    if data.kind == "zero-shot":
        yield data.raw, 0
        yield from ((UNTRAINED, seed) for seed in range(1, seeds + 1))
    elif data.kind == "classification":
        yield MAJORITY, 0
    elif data.kind == "binary":
        yield BASE_RATE, 0
    else:
        yield MEAN, 0
        yield MEDIAN, 0


def predict(name: str, data: Data, seed: int) -> np.ndarray:
    """What a baseline makes of the test inputs, in the form that a trained learner's predictions have."""
    inputs, targets = data.test.inputs, data.train.targets
    if name == data.raw:
        return inputs.flatten(1).numpy()
    if name == UNTRAINED:
        torch.manual_seed(seed)
        with torch.no_grad():
            return network(data).eval()(inputs).numpy()
    if name == MAJORITY:
        shares = targets.bincount() / len(targets)
        return shares.expand(len(inputs), -1).numpy()
    if name == BASE_RATE:
        return targets.float().mean().expand(len(inputs)).numpy()
    value = targets.mean() if name == MEAN else targets.median()
    return value.expand(len(inputs)).numpy()

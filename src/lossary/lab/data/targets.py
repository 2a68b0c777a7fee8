"""Values to predict: scaled by those of training, of which some may be spoilt on purpose."""

import numpy as np
import torch
from torch import Tensor

from lossary.lab.data._types import Data, Split
from lossary.lab.data.splits import SPLIT_SEED


def regression(name: str, inputs: Tensor, values: np.ndarray, parts: list[np.ndarray], outliers: float) -> Data:
    """Inputs and the values to predict, in three parts; a share of the training values may be spoilt."""
    values = values.copy()
    values[parts[0]] = spoilt(values[parts[0]], outliers)
    offset, scale = scaled(values[parts[0]])
    targets = torch.from_numpy((values - offset) / scale).float()
    train, valid, test = (Split(inputs[part], targets[part]) for part in parts)
    return Data(name, "regression", train, valid, test, offset=offset, scale=scale)


def scaled(values: np.ndarray) -> tuple[float, float]:
    """Median and spread of training values by their quartiles, because outliers would stretch a standard deviation."""
    low, offset, high = np.quantile(values, [0.25, 0.5, 0.75])
    scale = float(high - low) / 1.349  # the standard deviation of a normal distribution with these quartiles
    return float(offset), scale or float(values.std()) or 1.0  # half of the values may be the same


def spoilt(values: np.ndarray, share: float) -> np.ndarray:
    """A share of the training values, the same for every loss and seed, times ten: a slipped decimal point."""
    chosen = np.random.default_rng(SPLIT_SEED).permutation(len(values))[: round(share * len(values))]
    values = values.copy()
    values[chosen] *= 10
    return values

"""Diabetes: regression on a small table."""

import numpy as np
import torch
from sklearn.datasets import load_diabetes

from lossary.lab.data import splits
from lossary.lab.data.targets import regression
from lossary.lab.data.types import Data
from lossary.lab.run.plan import Plan


def load(plan: Plan) -> Data:
    """Regression: progress of diabetes after a year in 442 patients; ``outliers`` corrupts training targets."""
    measured, values = map(np.asarray, load_diabetes(return_X_y=True))
    parts = splits.drawn(len(values), 0.5, 0.2)
    inputs = torch.from_numpy(measured / measured[parts[0]].std(axis=0)).float()
    return regression("diabetes", inputs, values, parts, plan.outliers)

"""Digits: classification of handwritten digits."""

import numpy as np
import torch
from sklearn.datasets import load_digits

from lossary.lab.data import splits
from lossary.lab.data.types import Data, TensorSplit
from lossary.lab.run.plan import Plan


def load(plan: Plan) -> Data:
    """Classification of scikit-learn's 1,797 handwritten digits of 8 x 8 pixels."""
    pixels, labels = load_digits(return_X_y=True)
    parts = splits.drawn(len(labels), 0.6, 0.15)
    inputs = torch.from_numpy(pixels).float() / 16
    targets = torch.from_numpy(labels).long()
    train, valid, test = (TensorSplit(inputs[part], targets[part]) for part in parts)
    grey = (pixels[parts[2]].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    return Data(
        "digits",
        "classification",
        train,
        valid,
        test,
        test_names=tuple(str(digit) for digit in range(10)),
        test_images=grey.repeat(3, axis=-1),
    )

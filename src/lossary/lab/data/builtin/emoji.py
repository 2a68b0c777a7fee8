"""Emoji: recognising classes never seen in training."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lossary.lab.data import splits
from lossary.lab.data.types import Data, TensorSplit
from lossary.lab.run.plan import Plan

CREDIT = (
    "Emoji by Google (Noto Emoji, Apache-2.0), Twitter and other contributors (Twemoji, CC BY 4.0) and Microsoft "
    "(Fluent Emoji, MIT), rendered at 32 x 32 pixels."
)


def load(plan: Plan) -> Data:
    """Zero-shot recognition: the same emoji by three designers; training, validation and test share no emoji."""
    images, emoji, names = stored()
    parts = splits.drawn(len(images), 0.6, 0.15)

    def split(classes: np.ndarray) -> TensorSplit:
        labels = torch.arange(len(classes)).repeat_interleave(images.shape[1])
        return TensorSplit(pictures(images[classes]), labels)

    train, valid, test = parts
    return Data(
        "emoji",
        "zero-shot",
        split(train),
        split(valid),
        split(test),
        test_names=tuple(f"{emoji[c]} {names[c]}" for c in test),
        credit=CREDIT,
        test_images=images[test].reshape(-1, *images.shape[2:]),
        augmented=True,
        raw="raw pixels",
    )


def stored() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (emoji, designers, 32, 32, 3), the emoji as characters, and their names."""
    with np.load(Path(__file__).parent / "emoji.npz") as archive:
        return archive["images"], archive["emoji"], archive["names"]


def pictures(images: np.ndarray) -> Tensor:
    """The images of some emoji as inputs, one designer after another."""
    pixels = torch.from_numpy(images).flatten(0, 1).permute(0, 3, 1, 2)
    return pixels.contiguous(memory_format=torch.channels_last).float() / 255

"""Emoji: recognising classes never seen in training."""

from pathlib import Path

import numpy as np
import torch

from lossary.lab.data import splits
from lossary.lab.data.types import Data, TensorSplit
from lossary.lab.run.plan import Plan

CREDIT = (
    "Emoji by Google (Noto Emoji, Apache-2.0), Twitter and other contributors (Twemoji, CC BY 4.0) and Microsoft "
    "(Fluent Emoji, MIT), rendered at 32 x 32 pixels."
)


def load(plan: Plan) -> Data:
    """Zero-shot recognition: the same emoji by three designers; training, validation and test share no emoji."""
    with np.load(Path(__file__).parent / "emoji.npz") as stored:
        images, emoji, names = (stored[key] for key in ("images", "emoji", "names"))
    parts = splits.drawn(len(images), 0.6, 0.15)

    def split(classes: np.ndarray) -> TensorSplit:
        pixels = torch.from_numpy(images[classes]).flatten(0, 1).permute(0, 3, 1, 2)
        labels = torch.arange(len(classes)).repeat_interleave(images.shape[1])
        return TensorSplit(pixels.contiguous(memory_format=torch.channels_last).float() / 255, labels)

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

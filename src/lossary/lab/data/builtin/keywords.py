"""Keywords: any number of labels per item."""

from collections import Counter

import numpy as np
import torch

from lossary.lab.data import splits
from lossary.lab.data.builtin import emoji
from lossary.lab.data.types import Data, TensorSplit
from lossary.lab.run.plan import Plan

FEWEST = 15  # emoji per word, so that a test has some
#: Words that say nothing about the picture.
FILLERS = frozenset({"and", "in", "no", "of", "with"})


def load(plan: Plan) -> Data:
    """Which of the 18 most common words an emoji's name has; three designers' pictures, no emoji in two parts."""
    images, _, names = emoji.stored()
    words, has = labels(names)
    parts = splits.by_item(splits.rarest(has.T), np.arange(len(names)))

    def split(chosen: np.ndarray) -> TensorSplit:
        return TensorSplit(
            emoji.pictures(images[chosen]), torch.from_numpy(has[chosen].repeat(images.shape[1], axis=0))
        )

    train, valid, test = map(split, parts)
    return Data(
        "keywords",
        "multi-label",
        train,
        valid,
        test,
        test_names=words,
        credit=emoji.CREDIT,
        test_images=images[parts[2]].reshape(-1, *images.shape[2:]),
        augmented=True,
        test_blocks=np.arange(len(parts[2])).repeat(images.shape[1]),
    )


def labels(names: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Words that occur in enough names, and which name has which (N, words)."""
    of_name = [set(name.split()) - FILLERS for name in names.tolist()]
    counts = Counter(word for words in of_name for word in words)
    words = tuple(sorted(word for word, count in counts.items() if count >= FEWEST))
    return words, np.array([[word in has for word in words] for has in of_name])

"""Texts as numbers without a network: weighted pieces of their words, in the directions in which texts differ most."""

from collections.abc import Sequence

import numpy as np
from sklearn.decomposition import TruncatedSVD

from lossary.lab.data.readers import pairs
from lossary.lab.data.splits import SPLIT_SEED

NUMBERS = 256  # per text
#: The most common pieces, and the number of texts that determine the directions in which they differ.
PIECES, TEXTS = 2**15, 10_000


def features(texts: Sequence[str], train: np.ndarray) -> np.ndarray:
    """(N, NUMBERS or fewer) in float32, of unit variance on average, with weights and directions from the training
    texts.

    For classes, these directions work better than random ones, which preserve all cosines.
    """
    seen = [texts[row] for row in train]
    weights = pairs.tfidf().set_params(max_features=PIECES).fit(seen)
    some = np.random.default_rng(SPLIT_SEED).permutation(len(seen))[:TEXTS]
    among = weights.transform([seen[row] for row in some])
    size = min(NUMBERS, *among.shape)
    directions = TruncatedSVD(size, random_state=SPLIT_SEED).fit(among)
    return pairs.directions(directions.transform(weights.transform(texts))).numpy()

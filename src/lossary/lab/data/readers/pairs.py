"""Pairs of a query and a document that answers it, split so that no text is in two parts."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor
from torch.nn import functional as F

from lossary.lab.data.contents import BadData
from lossary.lab.data.splits import TRAIN, VALID, random
from lossary.lab.data.types import Data, TensorSplit
from lossary.lab.tasks.retrieval.metrics import grouped

FEWEST = 20  # groups of pairs that share no text
#: A group with more than this share of the pairs goes to training: it would be most of a test.
LARGE = 0.05
PIECES = (2, 4)  # characters of a word, with a space before and after it
LARGEST, SMALLEST, STEPS = 256, 16, 8  # items per batch: about this many steps per epoch


def directions(embeddings: np.ndarray) -> Tensor:
    """Embeddings (..., D) at length sqrt(D): only their cosines count, and one learning rate then fits all data."""
    x = torch.from_numpy(embeddings.astype(np.float32))
    return F.normalize(x, dim=-1) * x.shape[-1] ** 0.5


def tfidf() -> TfidfVectorizer:
    """Weighs a text's pieces: the rarer a piece is among the texts it is fitted to, the higher its weight."""
    return TfidfVectorizer(analyzer="char_wb", ngram_range=PIECES, sublinear_tf=True)


def split(
    name: str,
    encode: Callable[[np.ndarray], Tensor],
    texts: np.ndarray,
    called: Sequence[str],
    *,
    raw: str = "frozen embeddings",
) -> Data:
    """Pairs as the lab's data.

    Args:
        encode: Returns embeddings (N, 2, D) of the pairs, scaled by the pairs with these indices.
        texts: (N, 2) the numbers of their texts: equal texts have equal numbers.
        called: The texts by number, or nothing if they are not known.
        raw: The name of the embeddings as a baseline.

    Raises:
        BadData: if the pairs cannot be split.
    """
    group = grouped(texts)
    parts = drawn(name, texts, group)
    inputs = encode(parts[0])
    train, valid, test = (TensorSplit(inputs[part], targets_of(texts[part], group[part])) for part in parts)
    return Data(
        name,
        "retrieval",
        train,
        valid,
        test,
        test_names=tuple(map(called.__getitem__, np.unique(texts[parts[2]]))) if called else (),
        raw=raw,
        batch=(min(LARGEST, max(SMALLEST, len(train) // STEPS)), 0),
    )


def drawn(name: str, texts: np.ndarray, group: np.ndarray) -> list[np.ndarray]:
    """Indices of the pairs of training, validation and test, by their share of the pairs.

    Raises:
        BadData: if there are too few groups of pairs that share no text.
    """
    sizes = np.bincount(group)
    parts = _parts(sizes, group)
    if len(sizes) < FEWEST or min(len(np.unique(texts[part, 1])) for part in parts) < 2:
        raise BadData(
            f"{name}: wanted at least {FEWEST} groups of pairs that share no text (retrieval); got {len(sizes)} in "
            f"{len(texts)} pairs, the largest of {sizes.max()}"
        )
    return parts


def _parts(sizes: np.ndarray, group: np.ndarray) -> list[np.ndarray]:
    order = random().permutation(len(sizes))
    order = order[np.argsort(sizes[order] > LARGE * len(group), kind="stable")]
    filled = np.cumsum(sizes[order]) / len(group)
    part_of = np.empty(len(sizes), int)
    part_of[order] = np.digitize(filled, (1 - TRAIN - VALID, 1 - TRAIN), right=True)
    return [np.flatnonzero(part_of[group] == part) for part in (2, 1, 0)]


def targets_of(texts: np.ndarray, group: np.ndarray) -> Tensor:
    """(N, 3): the numbers of query and document, from 0 within the part, and the group."""
    numbers = np.unique(texts, return_inverse=True)[1].reshape(texts.shape)
    return torch.from_numpy(np.column_stack([numbers, group]))

"""Finding the document that answers a query: a network of two towers embeds both, and cosines compare them."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from torch import Tensor, nn

from lossary.core.card import Card, Takes
from lossary.lab.data.readers.pairs import PIECES
from lossary.lab.data.types import Data, Split, TensorSplit
from lossary.lab.tasks.base import UNTRAINED, Criterion, Task, untrained
from lossary.lab.tasks.retrieval.towers import Adapters

TFIDF = "TF-IDF of characters"
FEATURES = 2**13  # of TF-IDF


class OfPairs(Criterion):
    """A loss on queries and their documents, where the batch's other documents are the negatives.

    Outputs are (N, 2, D); targets (N, 3): the numbers of both texts, and of the group of pairs that share texts.
    """

    def forward(self, outputs: Tensor, targets: Tensor, **given: Tensor) -> Tensor:
        return self.loss(outputs[:, 0], outputs[:, 1], ids=targets[:, 2], **given)


class OfReferences(OfPairs):
    """A loss within a batch: its queries are the anchors, its documents the references."""

    of_items = False

    def forward(self, outputs: Tensor, targets: Tensor, **given: Tensor) -> Tensor:
        right = related(targets[:, None], targets)
        return self.loss(outputs[:, 0], None, positives=right, ref_embeddings=outputs[:, 1], **given)


class OfGivenPairs(OfPairs):
    """A loss on two embeddings and whether they match: each query with its document and with the next one."""

    of_items = False

    def forward(self, outputs: Tensor, targets: Tensor, **given: Tensor) -> Tensor:
        query, document, other, counts = with_next(outputs, targets)
        together = torch.ones_like(counts, dtype=torch.long)
        return self.loss(
            torch.cat([query, query]),
            torch.cat([document, other]),
            torch.cat([together, -together]),
            mask=torch.cat([torch.ones_like(counts), counts]),
            **given,
        )


class OfTriplets(OfPairs):
    """A loss on an anchor, a positive and a negative: a query, its document and the next pair's."""

    of_items = False

    def forward(self, outputs: Tensor, targets: Tensor, **given: Tensor) -> Tensor:
        query, document, other, counts = with_next(outputs, targets)
        return self.loss(query, document, other, mask=counts, **given)


def related(a: Tensor, b: Tensor) -> Tensor:
    """Whether pairs share a query, so that both documents answer it, or a document."""
    return (a[..., :2] == b[..., :2]).any(-1)


def with_next(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries, their documents, the next pair's documents, and whether those are wrong answers."""
    apart = targets[:, 2] != targets[:, 2].roll(-1)
    return outputs[:, 0], outputs[:, 1], outputs[:, 1].roll(-1, dims=0), apart


class Retrieval(Task):
    name = "retrieval"
    losses = (
        "multiple_negatives_ranking_loss",
        "siglip_loss",
        "triplet_loss",
        "cosine_embedding_loss",
        "clip_loss",
        "contrastive_loss",
    )
    fitted = frozenset({TFIDF})
    batch = (64, 0)
    size = 128

    def fits(self, card: Card) -> bool:
        return _attached(card) is not None

    def attach(self, card: Card, params: Mapping[str, Any], size: int, classes: int) -> Criterion:
        criterion = _attached(card)
        assert criterion is not None
        return criterion(card.module(**params))

    def usual(self, data: Data) -> nn.Module:
        return Adapters(data.valid.inputs.shape[-1])

    def classes(self, train: Split) -> int:
        return 0

    def arrays(self, predicted: np.ndarray, split: TensorSplit, data: Data) -> dict[str, np.ndarray]:
        return {"embeddings": predicted, "targets": split.targets.numpy()}

    def kept(self, data: Data) -> dict[str, np.ndarray]:
        return {"targets": data.test.targets.numpy(), "names": np.array(data.test_names)}

    def baselines(self, data: Data, seeds: int) -> Iterator[tuple[str, int]]:
        if data.test.inputs.ndim == 3 and data.test.inputs.is_floating_point():
            yield data.raw, 0
        else:
            yield from ((UNTRAINED, seed) for seed in range(1, seeds + 1))
        if data.test_names:
            yield TFIDF, 0

    def baseline(self, name: str, data: Data, seed: int) -> np.ndarray:
        if name == UNTRAINED:
            return untrained(self.network, data, seed)
        return _tfidf(data) if name == TFIDF else data.test.inputs[:].numpy()


def _attached(card: Card) -> type[OfPairs] | None:
    """How a loss receives queries and documents; None if it takes none, or cannot distinguish pairs."""
    forms: dict[Takes, type[OfPairs]] = {
        "anchor-positive": OfPairs,
        "queries-references": OfReferences,
        "pair-target": OfGivenPairs,
        "anchor-positive-negative": OfTriplets,
    }
    if card.item == "batch":
        return None
    return next((forms[form] for form in forms if form in card.takes), None)


def _tfidf(data: Data) -> np.ndarray:
    """Texts as counts of their pieces of two to four characters, weighted by rarity among the documents."""
    counts = HashingVectorizer(
        analyzer="char_wb",
        ngram_range=PIECES,
        n_features=FEATURES,
        alternate_sign=False,
        norm=None,  # pyright: ignore[reportArgumentType]  # which is what turns it off
    )
    found: Any = counts.transform(data.test_names)
    targets = data.test.targets.numpy()
    weights: Any = TfidfTransformer(sublinear_tf=True).fit(found[np.unique(targets[:, 1])])
    return np.stack([weights.transform(found[targets[:, side]]).toarray() for side in range(2)], axis=1)


TASK = Retrieval()

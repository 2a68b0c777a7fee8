"""Ranking the candidates of a list: the network scores each from its own features.

A list is an item: its candidates' features (L, features) and relevance (L,), padded with NaN to the longest list.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lossary.core.card import Card
from lossary.lab.data.types import Data, Split, TensorSplit
from lossary.lab.tasks._learners import BOOSTING, of_candidates
from lossary.lab.tasks.base import Criterion, Task
from lossary.lab.tasks.ranking.metrics import ndcg
from lossary.models import MLP

RANDOM, SINGLE = "random order", "best single input"


class Scorer(nn.Module):
    """One number per candidate, whatever else is in its list."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.network = MLP(features, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(inputs).squeeze(-1)


class OfLists(Criterion):
    """A loss on whole lists."""

    def forward(self, outputs: Tensor, targets: Tensor, **given: Tensor) -> Tensor:
        return self.loss(outputs, targets, mask=~targets.isnan(), **given)


class OfCandidates(Criterion):
    """A loss on each candidate's score against its relevance, ignoring lists."""

    def forward(self, outputs: Tensor, targets: Tensor, **given: Tensor) -> Tensor:
        there = ~targets.isnan()
        return self.loss(outputs[there], targets[there], **given)


class OfShares(Criterion):
    """Cross-entropy of a choice among the candidates against their shares of the list's relevance."""

    def forward(self, outputs: Tensor, targets: Tensor, **given: Tensor) -> Tensor:
        shares = targets.nan_to_num() / targets.nansum(1, keepdim=True)
        return self.loss(outputs.masked_fill(targets.isnan(), -torch.inf), shares, **given)


class OfPairs(Criterion):
    """A loss on two candidates of a list, the first of which is more relevant."""

    of_items = False

    def forward(self, outputs: Tensor, targets: Tensor, **given: Tensor) -> Tensor:
        rows, first, second = (targets.unsqueeze(2) > targets.unsqueeze(1)).nonzero(as_tuple=True)
        return self.of(outputs[rows, first], outputs[rows, second])

    def of(self, first: Tensor, second: Tensor) -> Tensor:
        return self.loss(first, second, torch.ones_like(first))


class OfDifferences(OfPairs):
    """A loss on a number that should be above 0: the difference of two candidates' scores."""

    def of(self, first: Tensor, second: Tensor) -> Tensor:
        return self.loss(first - second, torch.ones_like(first))


class Ranking(Task):
    name = "ranking"
    losses = (
        "listnet_loss",
        "ranknet_loss",
        "lambda_loss",
        "mse_loss",
        "listmle_loss",
        "margin_ranking_loss",
        "approx_ndcg_loss",
    )
    fitted = frozenset({BOOSTING})
    batch = (16, 0)
    size = 1

    def fits(self, card: Card) -> bool:
        return _attached(card) is not None

    def attach(self, card: Card, params: Mapping[str, Any], size: int, classes: int) -> Criterion:
        criterion = _attached(card)
        assert criterion is not None
        return criterion(card.module(**params))

    def usual(self, data: Data) -> nn.Module:
        return Scorer(data.train.inputs[torch.tensor([0])].shape[-1])

    def classes(self, train: Split) -> int:
        return 0

    def arrays(self, predicted: np.ndarray, split: TensorSplit, data: Data) -> dict[str, np.ndarray]:
        return {"scores": predicted, "targets": split.targets.numpy() * data.scale}

    def kept(self, data: Data) -> dict[str, np.ndarray]:
        truth = data.test.targets.numpy() * data.scale
        candidates = data.test_candidates
        if candidates is None:  # they have no names
            candidates = np.broadcast_to(np.arange(1, truth.shape[1] + 1).astype(str), truth.shape)
        return {"targets": truth, "names": np.array(data.test_names), "candidates": candidates}

    def baselines(self, data: Data, seeds: int) -> Iterator[tuple[str, int]]:
        if data.test.inputs.ndim == 3:
            column, _ = best_single_input(data)
            yield f"{data.columns[column]} alone" if data.columns else SINGLE, 0
            if data.test.inputs.is_floating_point():
                yield BOOSTING, 0
        yield from ((RANDOM, seed) for seed in range(1, seeds + 1))

    def baseline(self, name: str, data: Data, seed: int) -> np.ndarray:
        if name == RANDOM:
            return np.random.default_rng(seed).random(tuple(data.test.targets.shape))
        if name == BOOSTING:
            return of_candidates(data)
        column, sign = best_single_input(data)
        return sign * data.test.inputs[:][..., column].numpy()


def _attached(card: Card) -> type[Criterion] | None:
    """How a loss receives a list's candidates; None if it takes none."""
    match card.takes[0], card.data, card.input:
        case "list", _, _:
            return OfLists
        case "first-second-target", _, _:
            return OfPairs
        case "input-target", "values", _ if card.has_minimum:
            return OfCandidates
        case "input-target", "answers", "scores" if card.item != "batch":  # a batch of differences is all yes
            return OfDifferences
        case _, _, "logits" if "input-shares" in card.takes:
            return OfShares
        case _:
            return None


def best_single_input(data: Data) -> tuple[int, int]:
    """The input that alone orders the training lists best, and 1, or -1 if lower is better."""
    inputs = data.train.inputs[torch.arange(len(data.train))].double().numpy()
    truth = data.train.targets.double().numpy()
    found = {
        (column, sign): ndcg(sign * inputs[..., column], truth).mean()
        for column in range(inputs.shape[-1])
        for sign in (1, -1)
    }
    return max(found, key=lambda key: found[key])


TASK = Ranking()

"""Sentence Transformers' losses on embeddings, without its model: ``(anchor, positive)``, ``(first, second, labels)``.

To train with these or any other loss in its trainer, see :mod:`lossary.adapters.sentence_transformers`.
"""

from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lossary.compose import sums as _sums
from lossary.core import check as _checks
from lossary.kernels import stable as _stable
from lossary.losses.pairs import contrastive as _contrastive
from lossary.losses.pairs import graded as _graded
from lossary.losses.triplets import given as _given
from lossary.losses.triplets import triplet as _triplet
from lossary.losses.values import regression as _regression
from lossary.losses.views import retrieval as _retrieval
from lossary.presets import _shared

__all__ = [
    "angle",
    "batch_all_triplet",
    "batch_hard_soft_margin_triplet",
    "batch_hard_triplet",
    "batch_semi_hard_triplet",
    "contrastive",
    "cosent",
    "cosine_similarity",
    "margin_mse",
    "mse",
    "multiple_negatives_ranking",
    "multiple_negatives_symmetric_ranking",
    "triplet",
]

_Metric = Literal["cosine", "euclidean", "manhattan"]


def multiple_negatives_ranking(
    scale: float = 20.0, similarity: Literal["cos", "dot"] = "cos"
) -> _retrieval.MultipleNegativesRankingLoss:
    """``MultipleNegativesRankingLoss``: Lossary's, called ``(anchor, positive)`` or ``(anchor, positive, negatives)``.

    Several columns of negatives are one here, ``torch.cat(columns)``. Duplicates in a batch are false negatives: pass
    ``ids``. ``directions``, ``partition_mode`` and ``hardness_mode`` beyond the defaults are left out, except for
    :func:`multiple_negatives_symmetric_ranking`.
    """
    return _retrieval.MultipleNegativesRankingLoss(scale=scale, similarity=similarity)


def multiple_negatives_symmetric_ranking(
    scale: float = 20.0, similarity: Literal["cos", "dot"] = "cos"
) -> _retrieval.MultipleNegativesRankingLoss:
    """``MultipleNegativesSymmetricRankingLoss``: Lossary's with ``symmetric=True``."""
    return _retrieval.MultipleNegativesRankingLoss(scale=scale, similarity=similarity, symmetric=True)


def cosine_similarity() -> nn.Module:
    """``CosineSimilarityLoss``: the squared error between a pair's cosine and its label, by :class:`MSELoss`."""
    return _shared.Called(_regression.MSELoss(), _cosine_and_label)


def cosent(scale: float = 20.0) -> _graded.CoSENTLoss:
    """``CoSENTLoss``: Lossary's :class:`CoSENTLoss`, which sorts; the original compares all pairs of pairs."""
    return _graded.CoSENTLoss(scale=scale)


def angle(scale: float = 20.0) -> _graded.AnglELoss:
    """``AnglELoss``: Lossary's :class:`AnglELoss`, likewise sorted."""
    return _graded.AnglELoss(scale=scale)


def margin_mse() -> nn.Module:
    """``MarginMSELoss`` on products, called ``(query, positive, negative, margins)``: by :class:`MSELoss`.

    Lossary's :class:`MarginMSELoss` does the same for ready scores.
    """
    return _shared.Called(_regression.MSELoss(), _margin_of_products)


def mse() -> _regression.MSELoss:
    """``MSELoss``, called ``(embeddings, teacher's)``: Lossary's :class:`MSELoss`, torch's."""
    return _regression.MSELoss()


def triplet(distance_metric: _Metric = "euclidean", triplet_margin: float = 5.0) -> nn.Module:
    """``TripletLoss``: Lossary's :class:`TripletMarginLoss` at ``eps=0``.

    The margin of 5 is far beyond the distances of unit embeddings, at most 2, so no triplet of those is ever satisfied.
    Cosine distances are half the squared distances of unit embeddings.
    """
    _check_metric(distance_metric)
    if distance_metric == "cosine":
        squared = _given.TripletMarginLoss(margin=2 * triplet_margin, eps=0.0, squared=True)
        return _shared.Called(_sums.Sum(triplet=(squared, 0.5)), _unit_length)
    return _given.TripletMarginLoss(margin=triplet_margin, eps=0.0, p=2.0 if distance_metric == "euclidean" else 1.0)


def contrastive(distance_metric: _Metric = "cosine", margin: float = 0.5, size_average: bool = True) -> nn.Module:
    """``ContrastiveLoss``, labels 1 for similar: Lossary's :class:`ContrastiveLoss` with another distance.

    The default is the square of the cosine distance, whose gradient falls with the cube of the angle; Lossary's is the
    paper's, with Euclidean distances. Labels must be 0 or 1.
    """
    _check_metric(distance_metric)
    loss = _contrastive.ContrastiveLoss(margin=margin, reduction="mean" if size_average else "sum")
    return _shared.Called(loss, partial(_distances, metric=distance_metric))


def batch_all_triplet(margin: float = 5.0) -> _triplet.TripletLoss:
    """``BatchAllTripletLoss`` with Euclidean distances: Lossary's :class:`TripletLoss`, ``mining="all"``."""
    return _triplet.TripletLoss(margin=margin, mining="all")


def batch_hard_triplet(margin: float = 5.0) -> _triplet.TripletLoss:
    """``BatchHardTripletLoss`` with Euclidean distances: Lossary's :class:`TripletLoss`, ``mining="hard"``.

    An anchor without another item of its label enters the original's mean as if its positive were itself; here such
    anchors do not count. The two agree in batches with several items per label.
    """
    return _triplet.TripletLoss(margin=margin, mining="hard")


def batch_hard_soft_margin_triplet() -> _triplet.TripletLoss:
    """``BatchHardSoftMarginTripletLoss``: Lossary's :class:`TripletLoss` at its defaults; anchors as above."""
    return _triplet.TripletLoss(margin=None, mining="hard")


def batch_semi_hard_triplet(margin: float = 5.0) -> _triplet.TripletLoss:
    """``BatchSemiHardTripletLoss`` with Euclidean distances: Lossary's :class:`TripletLoss`, ``mining="semihard"``."""
    return _triplet.TripletLoss(margin=margin, mining="semihard")


def _check_metric(metric: str) -> None:
    _checks.check_choice("distance_metric", metric, ("cosine", "euclidean", "manhattan"))


def _cosine_and_label(first: Tensor, second: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    cosines = (_stable.unit(first) * _stable.unit(second)).sum(-1)
    return cosines, labels.to(cosines.dtype)


def _margin_of_products(query: Tensor, positive: Tensor, negative: Tensor, margins: Tensor) -> tuple[Tensor, Tensor]:
    found = (query * (positive - negative)).sum(-1)
    return found, margins.to(found.dtype)


def _unit_length(*embeddings: Tensor) -> tuple[Tensor, ...]:
    return tuple(_stable.unit(x) for x in embeddings)


def _distances(first: Tensor, second: Tensor, labels: Tensor, *, metric: _Metric) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs on a line, as far apart as the given pairs are by another metric."""
    if metric == "cosine":
        distances = 1 - (_stable.unit(first) * _stable.unit(second)).sum(-1)
    else:
        distances = F.pairwise_distance(first, second, p=2.0 if metric == "euclidean" else 1.0)
    return distances.unsqueeze(1), torch.zeros_like(distances).unsqueeze(1), labels

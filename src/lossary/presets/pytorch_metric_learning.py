"""pytorch-metric-learning's losses, called ``(embeddings, labels)``, with its default distances and reducers.

:func:`triplet_margin` and :func:`contrastive` also take other distances. They, :func:`multi_similarity`, :func:`circle`
and :func:`supcon` take the ``indices_tuple`` of its miners as a third argument; with at most one pair of each kind, the
originals of the last three return 0. Miners of other losses, ``ref_emb``, other reducers, regularisers and
``triplets_per_anchor`` are left out.

``get_logits`` of a head returns what is larger for a likelier class, without its scale: cosines, or SoftTriple's S. The
originals' are multiplied by the scale, and those of ``ProxyNCALoss`` are squared distances, smaller for a likelier
class: there the prediction is their ``argmin``, here an ``argmax`` as everywhere.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lossary.core import loss as _loss
from lossary.kernels import distances as _distances
from lossary.kernels import measures as _measures
from lossary.kernels import stable as _stable
from lossary.losses import _distance
from lossary.losses.identities import angular as _angular
from lossary.losses.identities import neighbors as _neighbors
from lossary.losses.identities import prototypes as _prototypes
from lossary.losses.identities import proxies as _proxies
from lossary.losses.identities import similarity as _similarity
from lossary.losses.identities import sphereface as _sphereface
from lossary.losses.triplets import triplet as _triplet
from lossary.losses.views import decorrelation as _decorrelation
from lossary.losses.views import mutual as _mutual
from lossary.losses.views import retrieval as _retrieval
from lossary.presets import _shared

__all__ = [
    "arcface",
    "circle",
    "contrastive",
    "cosface",
    "load_head",
    "multi_similarity",
    "n_pairs",
    "nca",
    "normalized_softmax",
    "nt_xent",
    "proxy_anchor",
    "proxy_nca",
    "signal_to_noise_ratio_contrastive",
    "smooth_ap",
    "soft_triple",
    "sphereface",
    "sub_center_arcface",
    "supcon",
    "triplet_margin",
    "vicreg",
]

_STD = 1.0  # for class weights

#: What a miner returns: (anchor, positive, negative), or (anchor, positive, anchor, negative).
_Mined = tuple[Tensor, ...]


def arcface(num_classes: int, embedding_size: int, margin: float = 28.6, scale: float = 64) -> _angular.ArcFaceLoss:
    """``ArcFaceLoss``: Lossary's :class:`ArcFaceLoss`, whose margin is in radians; here it is in degrees.

    At cosines of exactly -1 and 1 the original's gradient is NaN; here it is finite.
    """
    return _shared.started(
        _angular.ArcFaceLoss(
            num_classes=num_classes, embedding_size=embedding_size, margin=math.radians(margin), scale=scale
        ),
        _STD,
    )


def sub_center_arcface(
    num_classes: int, embedding_size: int, margin: float = 28.6, scale: float = 64, sub_centers: int = 3
) -> _angular.ArcFaceLoss:
    """``SubCenterArcFaceLoss``: Lossary's :class:`ArcFaceLoss` with ``sub_centers``; see :func:`arcface`.

    There is no ``get_outliers``: compare ``get_logits`` at the true label with the cosine of an angle.
    """
    return _shared.started(
        _angular.ArcFaceLoss(num_classes, embedding_size, sub_centers, math.radians(margin), scale), _STD
    )


def cosface(num_classes: int, embedding_size: int, margin: float = 0.35, scale: float = 64) -> _angular.CosFaceLoss:
    """``CosFaceLoss``: Lossary's :class:`CosFaceLoss`."""
    return _shared.started(
        _angular.CosFaceLoss(num_classes=num_classes, embedding_size=embedding_size, margin=margin, scale=scale), _STD
    )


def normalized_softmax(
    num_classes: int, embedding_size: int, temperature: float = 0.05
) -> _angular.NormalizedSoftmaxLoss:
    """``NormalizedSoftmaxLoss``: Lossary's :class:`NormalizedSoftmaxLoss`, whose scale is 1 / temperature."""
    return _shared.started(
        _angular.NormalizedSoftmaxLoss(num_classes=num_classes, embedding_size=embedding_size, scale=1 / temperature),
        _STD,
    )


def sphereface(num_classes: int, embedding_size: int, margin: Literal[1, 2, 3, 4] = 4) -> _sphereface.SphereFaceLoss:
    """``SphereFaceLoss`` at its ``scale=1``: Lossary's :class:`SphereFaceLoss` without annealing.

    The paper anneals, since the full margin is hard to train with from the start. So does Lossary's ``Annealing``; its
    default stays at ``annealing=5``.
    """
    return _shared.started(
        _sphereface.SphereFaceLoss(
            num_classes=num_classes, embedding_size=embedding_size, margin=margin, annealing=0.0
        ),
        _STD,
    )


def proxy_anchor(
    num_classes: int, embedding_size: int, margin: float = 0.1, alpha: float = 32
) -> _prototypes.ProxyAnchorLoss:
    """``ProxyAnchorLoss``: Lossary's :class:`ProxyAnchorLoss`, whose scale is ``alpha``."""
    head = _prototypes.ProxyAnchorLoss(
        num_classes=num_classes, embedding_size=embedding_size, margin=margin, scale=alpha
    )
    return _shared.started(head, math.sqrt(2 / num_classes))


def proxy_nca(num_classes: int, embedding_size: int, softmax_scale: float = 1) -> _proxies.ProxyNCALoss:
    """``ProxyNCALoss``: Lossary's :class:`ProxyNCALoss` with the own proxy in the sum, unlike the paper."""
    head = _proxies.ProxyNCALoss(
        num_classes=num_classes, embedding_size=embedding_size, scale=softmax_scale, own_in_sum=True
    )
    return _shared.started(head, _STD)


def soft_triple(
    num_classes: int,
    embedding_size: int,
    centers_per_class: int = 10,
    la: float = 20,
    gamma: float = 0.1,
    margin: float = 0.01,
) -> _proxies.SoftTripleLoss:
    """``SoftTripleLoss``: Lossary's :class:`SoftTripleLoss` without the distances of a class's centers, ``tau=0``."""
    head = _proxies.SoftTripleLoss(
        num_classes=num_classes,
        embedding_size=embedding_size,
        sub_centers=centers_per_class,
        scale=la,
        gamma=gamma,
        margin=margin,
        tau=0.0,
    )
    nn.init.uniform_(head.weight, -1, 1)  # only their directions count
    return head


def supcon(temperature: float = 0.1) -> nn.Module:
    """``SupConLoss``: Lossary's :class:`SupConLoss`, or of a miner's pairs the original's formula.

    A batch of a single class silently gives 0 there; here it is the loss that the paper defines.
    """
    return _OfPairs(_similarity.SupConLoss(temperature=temperature), _supcon_of_pairs)


def nt_xent(temperature: float = 0.07) -> _mutual.NTXentLoss:
    """``NTXentLoss`` with two views per label: Lossary's :class:`NTXentLoss` called ``(embeddings, labels)``.

    With more than two views, the original leaves a pair's other positives out of the denominator. No option here does:
    SimCLR's equation has every other item in it. The original's memory grows with pairs times negatives.
    """
    return _mutual.NTXentLoss(temperature=temperature)


def multi_similarity(alpha: float = 2.0, beta: float = 50.0, base: float = 0.5) -> nn.Module:
    """``MultiSimilarityLoss``: Lossary's :class:`MultiSimilarityLoss`, whose memory is linear in the batch.

    Of a miner's pairs, it is the original's formula over all scores.
    """
    loss = _similarity.MultiSimilarityLoss(alpha=alpha, beta=beta, base=base)
    return _OfPairs(loss, _multi_similarity_of_pairs)


def circle(m: float = 0.4, gamma: float = 80) -> nn.Module:
    """``CircleLoss``: Lossary's :class:`CircleLoss`, whose scale is ``gamma`` and whose memory is linear.

    Of a miner's pairs, it is the original's formula over all scores.
    """
    return _OfPairs(_similarity.CircleLoss(margin=m, scale=gamma), _circle_of_pairs)


def n_pairs() -> nn.Module:
    """``NPairsLoss``: Lossary's :class:`NPairLoss` of unit embeddings, which the paper warns against.

    Of each class it takes the first two items of the batch; the others are not looked at.
    """
    return _FirstPairs(_retrieval.NPairLoss())


def nca(softmax_scale: float = 1) -> _neighbors.NCALoss:
    """``NCALoss``: Lossary's :class:`NCALoss`.

    Both means leave out an item without another of its label; the original's also one whose probability rounds to 0.
    """
    return _neighbors.NCALoss(scale=softmax_scale)


def smooth_ap(temperature: float = 0.01) -> nn.Module:
    """``SmoothAPLoss``: Lossary's :class:`SmoothAPLoss` with each item among its own references, so it finds itself.

    The original is right if k classes of k items are in order; from other batches it silently makes other classes. Here
    items may be in any order.
    """
    return _AmongAll(_neighbors.SmoothAPLoss(temperature=temperature))


def vicreg(
    invariance_lambda: float = 25, variance_mu: float = 25, covariance_v: float = 1, eps: float = 1e-4
) -> nn.Module:
    """``VICRegLoss``, called ``(embeddings, ref_emb=ref_emb)``: Lossary's :class:`VICRegLoss`.

    It takes no labels; the original lets them stand between the two.
    """
    loss = _decorrelation.VICRegLoss(
        invariance=invariance_lambda, variance=variance_mu, covariance=covariance_v, eps=eps
    )
    return _OfTwoViews(loss)


def triplet_margin(
    margin: float = 0.05,
    distance: _distance.DistanceName | _measures.Lp = "euclidean",
    normalize_embeddings: bool = True,
) -> nn.Module:
    """``TripletMarginLoss``: Lossary's :class:`TripletLoss` with ``mining="all"``, on embeddings scaled to unit length.

    Called with a miner's ``indices_tuple`` as a third argument, it averages the triplets that still cost something,
    like the default reducer there. Without the preset: ``triplet_loss(embeddings, None, triplets=indices_tuple)``,
    whose mean is over all given triplets.

    ``swap`` and ``smooth_loss`` have no counterpart: the soft margin here, ``margin=None``, has no margin in addition.

    Args:
        margin: As there.
        distance: ``LpDistance(p=p, power=power)`` is ``Lp(p, power)``, ``CosineSimilarity()`` is ``"cosine"``,
            ``DotProductSimilarity()`` is ``"dot"``, ``SNRDistance()`` is ``"snr"``.
        normalize_embeddings: That of the distance, in the distance's own norm. ``"cosine"`` ignores lengths anyway.
    """
    loss = _triplet.TripletLoss(margin=margin, mining="all", distance=distance)
    return _Triplets(loss, _degree(distance) if normalize_embeddings else None)


def contrastive(
    pos_margin: float = 0.0,
    neg_margin: float = 1.0,
    distance: _distance.DistanceName | _measures.Lp = "euclidean",
    normalize_embeddings: bool = True,
) -> nn.Module:
    """``ContrastiveLoss``: plain distances of unit embeddings, and two means, each over the pairs that still cost.

    Lossary's :class:`ContrastiveLoss` has the paper's squares, a factor of 1/2, and one mean over all pairs. Here a
    single similar pair weighs as much as all dissimilar ones, and the loss does not fall as pairs are solved. A third
    argument may be a miner's ``indices_tuple``.

    Args:
        pos_margin: As there: for ``"cosine"`` and ``"dot"`` a similarity, above which a similar pair costs nothing.
        neg_margin: As there: for those, a similarity below which a dissimilar pair costs nothing.
        distance: As in :func:`triplet_margin`.
        normalize_embeddings: That of the distance.
    """
    return _Contrastive(pos_margin, neg_margin, distance, normalize_embeddings)


def signal_to_noise_ratio_contrastive(
    pos_margin: float = 0.0, neg_margin: float = 1.0, normalize_embeddings: bool = True
) -> nn.Module:
    """``SignalToNoiseRatioContrastiveLoss``: :func:`contrastive` by ``"snr"``; its regulariser is left out."""
    return contrastive(pos_margin, neg_margin, "snr", normalize_embeddings)


def load_head(head: _loss.HeadLoss, checkpoint: str | Path) -> None:
    """Load the class weights of a saved ``loss.state_dict()`` into ``head``: ``W`` is (embedding_size, num_classes).

    With several centers per class it is (embedding_size, num_classes * sub_centers), as is SoftTriple's ``fc``;
    ``proxies`` are (num_classes, embedding_size).

    Raises:
        ValueError: A different number of classes, centers or dimensions.
    """
    saved = _shared.read(checkpoint)
    weight = saved["proxies"] if "proxies" in saved else saved["W" if "W" in saved else "fc"].T
    several = head.weight.shape[:-1]  # classes, or classes and centers
    _shared.fill(head, weight.unflatten(0, several) if len(several) > 1 and len(weight) == several.numel() else weight)


def _degree(distance: _distance.DistanceName | _measures.Lp) -> float:
    """The degree of the norm that scales embeddings to unit length there: that of the distance."""
    measure = _distance.measure_of(distance)
    return measure.p if isinstance(measure, _measures.Lp) else 2.0


def _of_length_one(x: Tensor, p: float) -> Tensor:
    if p == 2:
        return _stable.unit(x)
    length = _distances.norm(x, p)[:, None]
    some = ~(length <= 0)  # written this way, a NaN stays NaN
    return x / torch.where(some, length, 1)


class _FirstPairs(nn.Module):
    """A loss of each class's first item and the next of that class."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        x, after = _stable.unit(embeddings), (labels[:, None] == labels).triu(1)
        first = after.any(1) & ~after.any(0)
        return self.loss(x[first], x[after[first].int().argmax(1)])


class _OfPairs(nn.Module):
    """A loss of all pairs of a batch, or of a miner's."""

    def __init__(self, loss: nn.Module, of_pairs: Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.loss, self.of_pairs = loss, of_pairs

    def forward(
        self, embeddings: Tensor, labels: Tensor, indices_tuple: _Mined | None = None, **options: Any
    ) -> Tensor:
        if indices_tuple is None:
            return self.loss(embeddings, labels, **options)
        first, alike, second, unlike = _as_pairs(indices_tuple)
        x = _stable.unit(embeddings)
        cosines = x @ x.T
        similar, different = (torch.zeros_like(cosines, dtype=torch.bool) for _ in range(2))
        similar[first, alike], different[second, unlike] = True, True
        return self.of_pairs(self.loss, cosines, similar, different)


def _multi_similarity_of_pairs(loss: Any, cosines: Tensor, similar: Tensor, different: Tensor) -> Tensor:
    pulled = _log_sum(loss.alpha * (loss.base - cosines), similar, 1) / loss.alpha
    pushed = _log_sum(loss.beta * (cosines - loss.base), different, 1) / loss.beta
    return (pulled + pushed).mean()


def _circle_of_pairs(loss: Any, cosines: Tensor, similar: Tensor, different: Tensor) -> Tensor:
    m, held = loss.margin, cosines.detach()
    pulled = loss.scale * (1 + m - held).relu() * (1 - m - cosines)
    pushed = loss.scale * (held + m).relu() * (cosines - m)
    both = similar.any(1) & different.any(1)
    # Rows without pairs of one kind are left out before they are summed, or their gradient would be NaN.
    pulled, pushed = pulled[both], pushed[both]
    return _over_active(F.softplus(_log_sum(pulled, similar[both], 0) + _log_sum(pushed, different[both], 0)))


def _supcon_of_pairs(loss: Any, cosines: Tensor, similar: Tensor, different: Tensor) -> Tensor:
    some = similar.any(1)
    scores, similar, chosen = cosines[some] / loss.temperature, similar[some], (similar | different)[some]
    own = torch.where(similar, scores, 0).sum(1) / similar.sum(1)
    losses = _log_sum(scores, chosen, 0) - own
    return _over_active(losses) if different.any() else (0 * losses).sum()


def _log_sum(scores: Tensor, chosen: Tensor, more: int) -> Tensor:
    """(N,) the logarithm of the sum of the chosen scores' exponentials, and of as many ones."""
    return F.pad(scores.masked_fill(~chosen, -math.inf), (0, more)).logsumexp(1)


class _OfTwoViews(nn.Module):
    """A loss that is given the second view by name."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, embeddings: Tensor, ref_emb: Tensor) -> Tensor:
        return self.loss(embeddings, ref_emb)


class _AmongAll(nn.Module):
    """A loss whose items look among all items, including themselves."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return self.loss(embeddings, labels, ref_embeddings=embeddings, ref_labels=labels)


class _Triplets(nn.Module):
    """A triplet loss on the triplets that its own mining finds, or on a miner's indices."""

    def __init__(self, loss: _triplet.TripletLoss, p: float | None) -> None:
        super().__init__()
        self.loss, self.p = loss, p

    def forward(self, embeddings: Tensor, labels: Tensor, indices_tuple: _Mined | None = None) -> Tensor:
        x = embeddings if self.p is None else _of_length_one(embeddings, self.p)
        if indices_tuple is None:
            return self.loss(x, labels)
        given, margin = _as_triplets(indices_tuple), self.loss.margin
        losses = _triplet.triplet_loss(
            x, None, triplets=given, margin=margin, distance=self.loss.distance, reduction="none"
        )
        return _over_active(losses)


class _Contrastive(nn.Module):
    def __init__(
        self, pos_margin: float, neg_margin: float, distance: _distance.DistanceName | _measures.Lp, normalize: bool
    ) -> None:
        super().__init__()
        self.measure, self.p = _distance.measure_of(distance), _degree(distance) if normalize else None
        # The distances here are 1 minus, or 0 minus, the similarities there.
        most = {"cosine": 1.0, "dot": 0.0}.get(distance) if isinstance(distance, str) else None
        margins = pos_margin, neg_margin
        self.pos_margin, self.neg_margin = margins if most is None else (most - margin for margin in margins)

    def forward(self, embeddings: Tensor, labels: Tensor, indices_tuple: _Mined | None = None) -> Tensor:
        x = embeddings if self.p is None else _of_length_one(embeddings, self.p)
        distances = self.measure.pairwise(x, x)
        positives = (distances - self.pos_margin).relu()
        negatives = (self.neg_margin - distances).relu()
        if indices_tuple is not None:
            first, alike, second, unlike = _as_pairs(indices_tuple)
            positives, negatives = positives[first, alike], negatives[second, unlike]
            return _over_active(positives) + _over_active(negatives)
        other = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        similar = (labels[:, None] == labels) & other
        return _over_active(positives, similar) + _over_active(negatives, ~similar & other)


def _as_triplets(mined: _Mined) -> tuple[Tensor, Tensor, Tensor]:
    """From pairs: every similar with every dissimilar one of the same anchor, as there."""
    _check_mined(mined)
    if len(mined) == 3:
        anchor, positive, negative = mined
        return anchor, positive, negative
    first, alike, second, unlike = mined
    at, beside = torch.where(first[:, None] == second)
    return first[at], alike[at], unlike[beside]


def _as_pairs(mined: _Mined) -> _Mined:
    """From triplets: the two pairs of each, as there."""
    _check_mined(mined)
    return mined if len(mined) == 4 else (mined[0], mined[1], mined[0], mined[2])


def _check_mined(mined: _Mined) -> None:
    if not isinstance(mined, tuple) or len(mined) not in (3, 4):
        size = f"{len(mined)} entries" if isinstance(mined, tuple) else f"a {type(mined).__name__}"
        raise ValueError(f"indices_tuple: wanted a miner's 3 tensors of triplets or 4 tensors of pairs; got {size}")


def _over_active(losses: Tensor, chosen: Tensor | None = None) -> Tensor:
    active = losses > 0 if chosen is None else chosen & (losses > 0)
    return torch.where(active, losses, torch.zeros_like(losses)).sum() / active.sum().clamp_min(1)

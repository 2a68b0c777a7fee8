"""Embeddings against learned points, one or several per class: nearer to their own than to the others'."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from lossary.core.card import Card, Choice, Range
from lossary.core.check import check_dim
from lossary.core.reduce import Reduction, align, reduce
from lossary.core.rules import Count, NotNegative, Positive, checked
from lossary.distributed import across_ranks
from lossary.distributed.shards import check_whole
from lossary.kernels.again import by_rows
from lossary.kernels.distances import norm
from lossary.kernels.products import product
from lossary.kernels.rows.by_torch import SoftmaxWith
from lossary.kernels.rows.scores import RowGradients, Rows
from lossary.kernels.stable import ABSENT, accumulate, parameters, softplus, unit
from lossary.losses.identities._shared import Scale, SphereHead, cosine_head, counted_items, slope_of

__all__ = [
    "ProxyNCALoss",
    "SoftTripleLoss",
    "proxy_nca_loss",
    "soft_triple_loss",
]


@SoftmaxWith
def _all_proxies(rows: Rows, scale: float | Tensor) -> Tensor:
    return rows.target


def _other_proxies(rows: Rows, scale: float | Tensor) -> Tensor:
    return torch.where(rows.rest <= ABSENT / 2, 0, rows.rest - rows.target)  # written like this, a NaN stays a NaN


def _all_slope(rows: Rows, scale: float | Tensor) -> tuple[Tensor, RowGradients]:
    return slope_of(rows, 1.0, rows.target)


def _other_slope(rows: Rows, scale: float | Tensor) -> tuple[Tensor, RowGradients]:
    some = (~(rows.rest <= ABSENT / 2)).to(rows.rest.dtype)
    return _other_proxies(rows, scale), RowGradients(-some, None, some, None)


@across_ranks
@checked
def proxy_nca_loss(
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    scale: Scale = 1.0,
    own_in_sum: bool = False,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Pulls each item near its class's proxy and away from all other proxies.

    .. math:: -\log \frac{e^{-s d(x, p_y)}}{\sum_{j \ne y} e^{-s d(x, p_j)}}, \qquad
        d(x, p) = \Big| \frac{x}{|x|} - \frac{p}{|p|} \Big|^2

    Args:
        embeddings: (N, D), any length; normalised here.
        weight: (C, D), the proxies, any length; or (C, K, D), K per class, of which the nearest one counts.
        labels: (N,) class indices of any integer dtype.
        scale: s, an inverse temperature of squared distances (of cosines it is 2 s). A tensor of shape (N,) sets one
            per row.
        own_in_sum: True includes the own proxy in the sum, which makes it a softmax: ProxyNCA++, whose paper uses
            ``scale=9``. It equals ``normalized_softmax_loss`` with twice the scale.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an item counts; elsewhere embeddings may be NaN and labels out of range.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,); without ``own_in_sum`` it may be below 0, and is 0 if there is only one class.

    Raises:
        ValueError: Wrong shapes, ``scale`` not above 0 or not finite.
        TypeError: Labels that are not integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> x, w = torch.eye(2), torch.eye(2)
        >>> proxy_nca_loss(x, w, torch.tensor([0, 1]))
        tensor(-2.)

    Source:
        Movshovitz-Attias et al., No Fuss Distance Metric Learning using Proxies, arXiv:1703.07464, section 3.2, where
        the own proxy is not in the sum; Teh et al., ProxyNCA++, arXiv:2004.01113, section 3, where it is. Most code
        under the first name, such as pytorch-metric-learning's, has the second's sum at a scale of 1: that loss cannot
        fall below about log(1 + (C - 1) e^-4).
    """
    return cosine_head(
        _all_proxies if own_in_sum else _other_proxies,
        embeddings,
        weight,
        labels,
        2 * scale,
        sample_weight=sample_weight,
        mask=mask,
        slope=_all_slope if own_in_sum else _other_slope,
        reduction=reduction,
    )


class ProxyNCALoss(SphereHead):
    """:func:`proxy_nca_loss` with its own proxies; they need a learning rate about 100 times the network's."""

    fn = staticmethod(proxy_nca_loss)
    scale: Scale = 1.0
    own_in_sum: bool = False
    reduction: Reduction = "mean"


@checked
def soft_triple_loss(
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    scale: Positive = 20.0,
    gamma: Positive = 0.1,
    margin: float | Tensor = 0.01,
    tau: NotNegative = 0.2,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Softmax over classes with several centers each: an item belongs to centers in shares, and centers may merge.

    .. math:: -\log \frac{e^{\lambda (S_y - \delta)}}{e^{\lambda (S_y - \delta)} + \sum_{j \ne y} e^{\lambda S_j}}
        + \tau R, \quad S_j = \sum_k \frac{e^{c_{jk} / \gamma}}{\sum_l e^{c_{jl} / \gamma}}\, c_{jk}, \quad
        R = \frac{1}{C K (K - 1)} \sum_j \sum_{k < l} |w_{jk} - w_{jl}|

    Args:
        embeddings: (N, D), any length; normalised here.
        weight: (C, K, D), K centers per class, any length; or (C, D), one.
        labels: (N,) class indices of any integer dtype.
        scale: lambda, an inverse temperature, above 0.
        gamma: How soft the choice among a class's centers is, above 0; towards 0 only the nearest one counts.
        margin: delta, in units of the cosine.
        tau: How much distances between a class's centers cost, so that centers it does not need merge.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an item counts; elsewhere embeddings may be NaN and labels out of range.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,), where each item includes the whole second term: ``mean`` has it once. Coinciding centers get
        no gradient from their distance.

    Raises:
        ValueError: Wrong shapes, ``scale`` or ``gamma`` not above 0, ``tau`` below 0, a number that is not finite.
        TypeError: Labels that are not integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> x, w = torch.eye(2), torch.stack([torch.eye(2), torch.eye(2)], 1)
        >>> soft_triple_loss(x, w, torch.tensor([0, 1]), scale=1.0, tau=0.0)
        tensor(0.3160)

    Source:
        Qian et al., SoftTriple Loss: Deep Metric Learning Without Triplet Sampling, arXiv:1909.05235, section 3; the
        numbers are the paper's, which has 10 centers per class. The authors' code adds 1e-5 under a distance's root,
        since the gradient at 0 would be infinite; here it is the plain distance, with gradient 0.
    """
    check_dim("weight", weight, (2, 3), "(C, K, D) or (C, D)")
    check_whole(weight)
    x, labels, _ = counted_items(embeddings, weight, labels, mask, sample_weight)
    sample_weight, mask = align(sample_weight, mask, labels.shape)
    scale, gamma, margin, tau = parameters((scale, gamma, margin, tau), x)
    centers = unit(accumulate(weight if weight.dim() == 3 else weight[:, None]))
    width = 4 * centers.shape[0] * centers.shape[1]
    losses = by_rows(_soft_triple, (unit(x), labels), centers, scale, gamma, margin, width=width)
    losses = losses + tau * _apart(centers)
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)


def _soft_triple(
    x: Tensor, labels: Tensor, centers: Tensor, scale: float | Tensor, gamma: float | Tensor, margin: float | Tensor
) -> Tensor:
    cosines = product(x, centers.flatten(0, 1)).unflatten(1, centers.shape[:2])
    scores = scale * ((cosines / gamma).softmax(2) * cosines).sum(2)
    own = labels[:, None]
    return softplus(scores.scatter(1, own, ABSENT).logsumexp(1) - scores.gather(1, own).squeeze(1) + scale * margin)


def _apart(centers: Tensor) -> Tensor:
    """Half the mean over classes of the mean distance between their centers; 0 for single centers."""
    classes, several, _ = centers.shape
    i, j = torch.triu_indices(several, several, 1, device=centers.device)
    return norm(centers[:, i] - centers[:, j]).sum() / max(classes * several * (several - 1), 1)


class SoftTripleLoss(SphereHead):
    """:func:`soft_triple_loss` with its own centers; they need a learning rate about 100 times the network's."""

    fn = staticmethod(soft_triple_loss)
    scale: Positive = 20.0
    gamma: Positive = 0.1
    margin: float | Tensor = 0.01
    tau: NotNegative = 0.2
    reduction: Reduction = "mean"
    sub_centers: Count = 10

    def get_logits(self, embeddings: Tensor) -> Tensor:
        """The scores of all classes without a margin, for inference: S, (N, num_classes)."""
        return super().get_logits(embeddings)

    def _scores(self, embeddings: Tensor, weight: Tensor) -> Tensor:
        centers = unit(weight if weight.dim() == 3 else weight[:, None])
        cosines = (unit(embeddings) @ centers.flatten(0, 1).T).unflatten(1, centers.shape[:2])
        return ((cosines / self.gamma).softmax(2) * cosines).sum(2)


_card: Callable[..., Card] = partial(
    Card,
    data="identities",
    takes=("embeddings-weight-labels",),
    input="embeddings",
    item="row",
    at_call=frozenset({"sample_weight", "mask"}),
)

CARDS = (
    _card(
        fn=proxy_nca_loss,
        module=ProxyNCALoss,
        formula=(
            r"-\log \frac{e^{-s d(x, p_y)}}{\sum_{j \ne y} e^{-s d(x, p_j)}}, \qquad "
            r"d(x, p) = \Big| \frac{x}{|x|} - \frac{p}{|p|} \Big|^2"
        ),
        symbols={
            r"s": "`scale`, an inverse temperature, above 0",
            r"d": "the squared distance between two vectors, scaled to length 1",
            r"x": "an item of `embeddings`",
            r"p_y": "its class's proxy: a row of `weight`",
            r"y": "the item's class, from `labels`",
            r"j": "every other class; with `own_in_sum` also the own one",
            r"p_j": "that class's proxy",
            r"p": "any proxy",
        },
        kernel="rows",
        paper="arXiv:1703.07464",
        equation="section 3.2",
        defaults="the paper",
        search={"scale": Range(1.0, 30.0, log=True), "own_in_sum": Choice((False, True))},
        when="Embeddings for classes never seen in training; the plainest loss with proxies.",
        pitfalls=(
            "The proxies need a learning rate about 100 times the network's: give them their own parameter group.",
            "With the own proxy in the sum and a scale of 1 it hardly falls: squared distances are at most 4.",
            "Without the own proxy in the sum, its gradient does not fade for items that are already right.",
        ),
        relatives=("proxy_anchor_loss", "normalized_softmax_loss", "nca_loss"),
    ),
    _card(
        fn=soft_triple_loss,
        module=SoftTripleLoss,
        formula=(
            r"-\log \frac{e^{\lambda (S_y - \delta)}}{e^{\lambda (S_y - \delta)} + \sum_{j \ne y} e^{\lambda S_j}} "
            r"+ \tau R, \quad S_j = \sum_k \frac{e^{c_{jk} / \gamma}}{\sum_l e^{c_{jl} / \gamma}}\, c_{jk}, \quad "
            r"R = \frac{1}{C K (K - 1)} \sum_j \sum_{k < l} |w_{jk} - w_{jl}|"
        ),
        symbols={
            r"\lambda": "`scale`, an inverse temperature, above 0",
            r"S_y": "how near an item of `embeddings` is to its own class",
            r"y": "the item's class, from `labels`",
            r"\delta": "`margin`, what is subtracted from it",
            r"S_j": "how near it is to class j: a mean of its cosines with that class's centers, mostly the nearest",
            r"j": "a class; in the sum, every class but y",
            r"\tau": "`tau`, how much distances between a class's centers cost",
            r"R": "half the mean distance between centers of a class",
            r"k": "a center of the class",
            r"l": "another one",
            r"c_{jk}": "the cosine of the item and center k of class j in `weight`",
            r"c_{jl}": "the cosine with center l",
            r"\gamma": "`gamma`, how soft the choice among a class's centers is",
            r"C": "the number of classes",
            r"K": "the number of centers per class",
            r"w_{jk}": "center k of class j, of length 1",
            r"w_{jl}": "center l",
        },
        kernel="none",
        paper="arXiv:1909.05235",
        equation="section 3",
        defaults="the paper",
        search={
            "scale": Range(8.0, 40.0, log=True),
            "gamma": Range(0.03, 0.5, log=True),
            "margin": Range(0.0, 0.2),
            "tau": Range(0.0, 0.5),
        },
        when="Embeddings for classes never seen in training, if classes consist of several clusters.",
        pitfalls=(
            "The centers need a learning rate about 100 times the network's: give them their own parameter group.",
            "With one center per class it is `cosface_loss` with that scale and margin.",
        ),
        relatives=("proxy_nca_loss", "cosface_loss", "proxy_anchor_loss"),
    ),
)

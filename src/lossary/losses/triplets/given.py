"""Given triplets, one per row: an anchor, its positive and its negative."""

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from lossary.core.card import Card, Range
from lossary.core.check import check_dim, check_float, check_same_shape, check_shape, stretched_rows
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, reduce
from lossary.core.rules import NOT_NEGATIVE, POSITIVE, NotNegative, checked
from lossary.kernels.distances import norm, squares
from lossary.kernels.stable import accumulate, like_torch, parameters, softplus
from lossary.losses._batch import check_same_precision
from lossary.losses._pointwise import hide

__all__ = [
    "BPRLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
    "bpr_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


DistanceFunction = Callable[[Tensor, Tensor], Tensor]


def _check_power(p: float, squared: bool) -> None:
    if squared and p != 2:
        raise ValueError(f"p: wanted 2 with squared; got {p}")


@checked
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: NotNegative = 1.0,
    p: Annotated[float, POSITIVE] = 2.0,
    eps: Annotated[float, NOT_NEGATIVE] = 1e-6,
    swap: bool = False,
    reduction: Reduction = "mean",
    *,
    squared: bool = False,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Given triplets: the anchor must be nearer to its positive than to its negative, by a margin.

    .. math:: \max(0,\ d(a, p) - d(a, n) + m)

    Args:
        anchor: (..., D).
        positive: The same shape, or with lengths of 1 in it.
        negative: Likewise.
        margin: m, in units of the distance, at least 0.
        p: The norm's degree.
        eps: Added to every difference, as in torch; 0 for true distances.
        swap: Use the distance from the positive to the negative where it is smaller.
        reduction: ``"none"`` (...), ``"sum"`` or ``"mean"``.
        squared: Squared Euclidean distances (FaceNet), for ``p=2``.
        sample_weight: Weights of the triplets, (...).
        mask: Boolean, True where a triplet counts; values elsewhere may be NaN.

    Returns:
        A scalar, or (...).

    Raises:
        ValueError: Wrong shapes, a hyperparameter that is not finite, ``squared`` with another ``p``.

    Example:
        >>> import torch
        >>> a, p, n = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 5.5]])
        >>> triplet_margin_loss(a, p, n, margin=1.0, eps=0.0)
        tensor(0.5000)

    Source:
        Balntas et al., BMVC 2016, section 3 (and its swap). With torch's arguments it returns torch's result, whose eps
        shifts the distance by about 1e-6 and creates a gradient at distance 0. Where the hinge is exactly 0, the
        gradient is 0 here but that of an active triplet in torch.
    """
    check_float("anchor", anchor)
    anchor, positive, negative = stretched_rows(anchor=anchor, positive=positive, negative=negative)
    _check_power(p, squared)
    sample_weight, mask = align(sample_weight, mask, anchor.shape[:-1])

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return squares(x - y + eps) if squared else norm(x - y + eps, p)

    a, b, c = (
        accumulate(x) if mask is None else hide(accumulate(x), mask[..., None]) for x in (anchor, positive, negative)
    )
    losses = _hinge(distance, a, b, c, margin, swap)
    loss = reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)
    return like_torch(loss, anchor, positive, negative)


def _hinge(
    distance: DistanceFunction, anchor: Tensor, positive: Tensor, negative: Tensor, margin: float | Tensor, swap: bool
) -> Tensor:
    near, far = distance(anchor, positive), distance(anchor, negative)
    check_same_shape("the distance to the negative", far, "that to the positive", near)
    if swap:
        other = distance(positive, negative)
        far = torch.where(other < far, other, far)
    return (near - far + margin).relu()


class TripletMarginLoss(Loss):
    """:func:`triplet_margin_loss` as a Module."""

    fn = staticmethod(triplet_margin_loss)
    margin: NotNegative = 1.0
    p: Annotated[float, POSITIVE] = 2.0
    eps: Annotated[float, NOT_NEGATIVE] = 1e-6
    swap: bool = False
    squared: bool = False
    reduction: Reduction = "mean"

    def setup(self) -> None:
        _check_power(self.p, self.squared)


@checked
def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: DistanceFunction | None = None,
    margin: NotNegative = 1.0,
    swap: bool = False,
    reduction: Reduction = "mean",
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Given triplets: the anchor must be nearer to its positive than to its negative, in a distance of your own.

    .. math:: \max(0,\ d(a, p) - d(a, n) + m)

    Args:
        anchor: (N, ...), whatever the distance takes.
        positive: Likewise.
        negative: Likewise.
        distance_function: From two batches to one number per pair, smaller for nearer; None is Euclid's distance over
            the last dimension, with torch's 1e-6 added to every difference.
        margin: m, in units of the distance, at least 0.
        swap: Use the distance from the positive to the negative where it is smaller.
        reduction: ``"none"`` (what the distance returns), ``"sum"`` or ``"mean"``.
        sample_weight: Weights of the triplets, (N,) or the shape of the distances.
        mask: Boolean, (N,), True where a triplet counts; the distance sees zeros elsewhere.

    Returns:
        A scalar, or one loss per distance.

    Raises:
        ValueError: Distances whose shapes differ, a ``margin`` that is not finite.
        TypeError: Inputs that are not floating-point tensors.

    Example:
        >>> import torch
        >>> a, p, n = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 5.5]])
        >>> city = lambda x, y: (x - y).abs().sum(-1)
        >>> triplet_margin_with_distance_loss(a, p, n, distance_function=city)
        tensor(2.5000)

    Source:
        Balntas et al., BMVC 2016, section 3 (and its swap). With torch's arguments it returns torch's result; where the
        hinge is exactly 0, the gradient is 0 here but that of an active triplet in torch.
    """
    if distance_function is None:
        return triplet_margin_loss(
            anchor, positive, negative, margin, swap=swap, reduction=reduction, sample_weight=sample_weight, mask=mask
        )
    inputs = {"anchor": anchor, "positive": positive, "negative": negative}
    for name, tensor in inputs.items():
        check_float(name, tensor)
        check_shape(name, tensor, (anchor.shape[0], *tensor.shape[1:]))
    _, counted = align(sample_weight, mask, anchor.shape)
    if counted is not None:
        anchor, positive, negative = (hide(x, counted) for x in inputs.values())
    losses = _hinge(distance_function, anchor, positive, negative, margin, swap)
    sample_weight, mask = align(sample_weight, mask, losses.shape)
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)


def _squared_distance(x: Tensor, y: Tensor) -> Tensor:
    return squares(x - y)


class TripletMarginWithDistanceLoss(Loss):
    """:func:`triplet_margin_with_distance_loss` as a Module."""

    fn = staticmethod(triplet_margin_with_distance_loss)
    distance_function: DistanceFunction | None = None
    margin: NotNegative = 1.0
    swap: bool = False
    reduction: Reduction = "mean"


@checked
def bpr_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    l2_reg: NotNegative = 0.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Items a user took should have larger products with the user than others (Bayesian personalised ranking).

    .. math:: \log(1 + e^{a \cdot n - a \cdot p}) + \lambda \left(|a|^2 + |p|^2 + |n|^2\right)

    Args:
        anchor: (N, D) vectors a of users, used as they are, not normalised.
        positive: (N, D) vectors p of items that they took.
        negative: (N, D) vectors n of items that they did not take.
        l2_reg: lambda, at least 0; keeps the vectors short. The paper has one for each side.
        sample_weight: (N,) weights of the triplets; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean; a triplet that does not count may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Shapes that differ, ``l2_reg`` below 0 or not finite.
        TypeError: Vectors that are not floating-point, or in different precisions.

    Example:
        >>> import torch
        >>> user, items = torch.ones(1, 2), torch.tensor([[1.0, 1.0], [0.5, 0.0]])
        >>> bpr_loss(user, items[:1], items[1:])
        tensor(0.2014)

    Source:
        Rendle et al., BPR: Bayesian Personalized Ranking from Implicit Feedback, arXiv:1205.2618, section 4.2, which
        maximises the sum. Much code writes ``-log(sigmoid(x))``, which is infinite in float32 for x below -104. If you
        only have scores, use ``soft_margin_loss`` on their differences.
    """
    check_dim("anchor", anchor, 2, "(N, D)")
    check_float("anchor", anchor)
    for name, other in (("positive", positive), ("negative", negative)):
        check_same_shape(name, other, "anchor", anchor)
        check_float(name, other)
        check_same_precision(name, other, "anchor", anchor)
    sample_weight, mask = align(sample_weight, mask, anchor.shape[:1])
    rows = None if mask is None else mask[:, None]
    a, p, n = (hide(accumulate(x), rows) for x in (anchor, positive, negative))
    (l2_reg,) = parameters((l2_reg,), a)
    losses = softplus((a * (n - p)).sum(1)) + l2_reg * (squares(a) + squares(p) + squares(n))
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)


class BPRLoss(Loss):
    """:func:`bpr_loss` as a Module."""

    fn = staticmethod(bpr_loss)
    l2_reg: NotNegative = 0.0
    reduction: Reduction = "mean"


CARDS = (
    Card(
        fn=triplet_margin_loss,
        module=TripletMarginLoss,
        takes=("anchor-positive-negative",),
        input="embeddings",
        data="triplets",
        formula=r"\max(0,\ d(a, a^+) - d(a, a^-) + m)",
        symbols={
            r"d": (
                "the distance by the norm of degree `p`, with `eps` added to every difference; its "
                "square with `squared`"
            ),
            r"a": "a row of `anchor`",
            r"a^+": "the same row of `positive`",
            r"a^-": "the same row of `negative`",
            r"m": "`margin`, in units of the distance, at least 0",
        },
        kernel="none",
        item="triplet",
        paper="Balntas et al., BMVC 2016",
        equation="section 3",
        defaults="torch's",
        search={"margin": Range(0.1, 2.0, log=True)},
        at_call=frozenset({"sample_weight", "mask"}),
        when="Triplets given by the data (rankings, clicks); with labels, let `triplet_loss` mine them.",
        pitfalls=(
            "torch adds 1e-6 to every difference: distances are off by that, and identical points get a gradient.",
            "Squared and plain distances need different margins.",
        ),
        relatives=("triplet_loss", "triplet_margin_with_distance_loss"),
    ),
    Card(
        fn=triplet_margin_with_distance_loss,
        module=TripletMarginWithDistanceLoss,
        takes=("anchor-positive-negative",),
        input="embeddings",
        data="triplets",
        formula=r"\max(0,\ d(a, p) - d(a, n) + m)",
        symbols={
            r"d": "`distance_function`, smaller for nearer; by default Euclid's, with 1e-6 added to every difference",
            r"a": "an item of `anchor`",
            r"p": "the item of `positive` at its place",
            r"n": "the item of `negative` at its place",
            r"m": "`margin`, in units of the distance, at least 0",
        },
        kernel="none",
        item="triplet",
        paper="Balntas et al., BMVC 2016",
        equation="section 3",
        defaults="torch's",
        search={"margin": Range(0.1, 2.0, log=True)},
        at_call=frozenset({"sample_weight", "mask"}),
        when="Triplets given by the data, compared by a distance of your own; for Euclid's, use `triplet_margin_loss`.",
        pitfalls=("A similarity (a cosine) as the distance pushes apart what belongs together: pass 1 - cosine.",),
        relatives=("triplet_margin_loss",),
    ),
    Card(
        fn=bpr_loss,
        module=BPRLoss,
        takes=("anchor-positive-negative",),
        input="embeddings",
        data="triplets",
        formula=r"\log(1 + e^{a \cdot n - a \cdot p}) + \lambda (|a|^2 + |p|^2 + |n|^2)",
        symbols={
            r"a": "a row of `anchor`: a user",
            r"n": "the row of `negative`: an item that the user did not take",
            r"p": "the row of `positive`: an item that the user took",
            r"\lambda": "`l2_reg`, how much the lengths of the three cost",
        },
        kernel="none",
        item="triplet",
        paper="arXiv:1205.2618",
        equation="section 4.2",
        defaults="no penalty",
        search={"l2_reg": Range(0.0, 0.1)},
        at_call=frozenset({"sample_weight", "mask"}),
        when="Recommendation from what users took, with one item they did not take drawn for each.",
        pitfalls=(
            "An item drawn as a negative may simply not have been seen yet.",
            "Most drawn items soon rank lower, and the gradient fades: `sampled_softmax_loss` uses many at a time.",
            "With products and no penalty, the vectors of popular items grow long.",
        ),
        relatives=("sampled_softmax_loss", "triplet_margin_loss", "soft_margin_loss", "ranknet_loss"),
    ),
)

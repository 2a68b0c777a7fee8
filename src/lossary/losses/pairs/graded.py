"""Pairs of embeddings, some more similar than others: only the order of their similarities counts."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card, Choice, Range
from lossary.core.check import check_dim, check_float, check_same_shape, check_shape, wide_integers
from lossary.core.loss import Loss
from lossary.core.reduce import align, one_weight
from lossary.core.rules import Positive, checked
from lossary.distributed import across_ranks, gathered
from lossary.kernels.ordered import inversions
from lossary.kernels.stable import ABSENT, accumulate, parameters, softplus, unit
from lossary.losses._batch import check_same_precision
from lossary.losses._pointwise import hide

__all__ = [
    "AnglELoss",
    "CoSENTLoss",
    "angle_loss",
    "cosent_loss",
]

Similarity = Callable[[Tensor, Tensor], Tensor]


@across_ranks
@checked
def cosent_loss(
    x1: Tensor,
    x2: Tensor,
    target: Tensor,
    *,
    scale: Positive = 20.0,
    similarity: Literal["cos", "dot"] = "cos",
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Of any two pairs of the batch, the more similar one should have the larger cosine.

    .. math:: \log \Big[ 1 + \sum_{y_i < y_j} e^{s (c_i - c_j)} \Big], \qquad c_i = \cos(u_i, v_i)

    Args:
        x1: (P, D) first halves of the pairs, any length.
        x2: (P, D) second halves.
        target: (P,) how similar the halves of a pair are: grades, or any numbers; only their order counts. Equally
            similar pairs are not compared.
        scale: s, an inverse temperature, above 0; a Parameter is learned.
        similarity: ``"cos"`` normalises; ``"dot"`` is the plain product.
        sample_weight: (P,) factors of the pairs' exponentials: a pair of weight 2 counts as two.
        mask: (P,) boolean; a pair that does not count is not compared and may be NaN.
        group: Process group whose ranks' pairs are one batch. Every rank returns the loss of that batch, and the
            average of the ranks' gradients is its gradient.

    Returns:
        A scalar: it is defined only for a whole batch, so there is no ``reduction``. 0.0, with zero gradients, if there
        is nothing to compare.

    Raises:
        ValueError: Wrong shapes, ``scale`` not above 0, an unknown option, a target that learns.
        TypeError: Embeddings that are not floating-point, or in different precisions.

    Example:
        >>> import torch
        >>> x1, x2 = torch.eye(3), torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
        >>> cosent_loss(x1, x2, torch.tensor([0.2, 0.9, 0.1]), scale=1.0)
        tensor(1.1635)

    Source:
        Su, CoSENT: a more effective way to learn sentence vectors than Sentence-BERT, kexue.fm/archives/8847, 2022. The
        scale of 20 is the author's and Sentence Transformers'. Both form all P x P differences and subtract 1e12 from
        those that do not count; here the pairs are sorted, in memory that grows with P log P.
    """
    alike = partial(_products, cosine=similarity == "cos")
    return _in_order(alike, x1, x2, target, scale, sample_weight, mask, group)


def _products(x1: Tensor, x2: Tensor, *, cosine: bool) -> Tensor:
    return ((unit(x1) * unit(x2)) if cosine else x1 * x2).sum(-1)


def _in_order(
    similarity: Similarity,
    x1: Tensor,
    x2: Tensor,
    target: Tensor,
    scale: float | Tensor,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    group: ProcessGroup | None,
) -> Tensor:
    """The loss of pairs of pairs whose similarities are in the wrong order; it grows with how far they are off."""
    check_dim("x1", x1, 2, "(P, D)")
    check_float("x1", x1)
    check_same_shape("x2", x2, "x1", x1)
    check_float("x2", x2)
    check_same_precision("x2", x2, "x1", x1)
    check_shape("target", target, x1.shape[:1])
    if target.requires_grad:
        raise ValueError(
            "target: wanted a tensor without requires_grad, because only its order counts; got one with it"
        )
    order = accumulate(wide_integers("target", target))
    order = order.to(torch.uint8) if order.dtype == torch.bool else order
    sample_weight, mask = align(sample_weight, mask, x1.shape[:1])
    x1, x2 = accumulate(x1), accumulate(x2)
    if mask is not None:
        x1, x2, order = hide(x1, mask[:, None]), hide(x2, mask[:, None]), hide(order, mask)
    scores = similarity(x1, x2)
    scores = torch.where(order.isnan(), torch.nan, scores)
    weight = one_weight(sample_weight, mask, scores.shape, scores.dtype)
    scores, order, weight = gathered(group, x1=scores, target=order, sample_weight=weight)
    log_weight = None if weight is None else weight.to(scores.dtype).log().clamp_min(ABSENT)
    (scale,) = parameters((scale,), scores)
    return softplus(inversions(scores * scale, order, log_weight))


class CoSENTLoss(Loss):
    """:func:`cosent_loss` as a Module."""

    fn = staticmethod(cosent_loss)
    scale: Positive = 20.0
    similarity: Literal["cos", "dot"] = "cos"


@across_ranks
@checked
def angle_loss(
    x1: Tensor,
    x2: Tensor,
    target: Tensor,
    *,
    scale: Positive = 20.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""CoSENT with the real and imaginary parts of the product of two embeddings read as complex vectors.

    .. math:: \log \Big[ 1 + \sum_{y_i < y_j} e^{s (a_i - a_j)} \Big], \qquad
        a_i = \frac{|\mathrm{Re}\, z_i + \mathrm{Im}\, z_i|}{|u_i|\, |v_i|}, \quad z_i = \sum_k u_{ik} \bar{v}_{ik}

    Unlike the cosine's, its slope does not vanish where two embeddings have the same direction.

    Args:
        x1: (P, D) first halves u of the pairs: the first half of each holds real parts, the second imaginary parts. An
            odd D is padded with a 0.
        x2: (P, D) second halves v.
        target: (P,) how similar the halves of a pair are: grades, or any numbers; only their order counts. Equally
            similar pairs are not compared.
        scale: s, an inverse temperature, above 0; a Parameter is learned.
        sample_weight: (P,) factors of the pairs' exponentials: a pair of weight 2 counts as two.
        mask: (P,) boolean; a pair that does not count is not compared and may be NaN.
        group: Process group whose ranks' pairs are one batch. Every rank returns the loss of that batch, and the
            average of the ranks' gradients is its gradient.

    Returns:
        A scalar: it is defined only for a whole batch, so there is no ``reduction``. 0.0, with zero gradients, if there
        is nothing to compare. A pair with ``a = 0`` exactly has a zero gradient.

    Raises:
        ValueError: Wrong shapes, ``scale`` not above 0, a target that learns.
        TypeError: Embeddings that are not floating-point, or in different precisions.

    Example:
        >>> import torch
        >>> x1, x2 = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
        >>> angle_loss(x1, x2, torch.tensor([0, 1]), scale=1.0)
        tensor(0.5073)

    Source:
        Li and Li, AnglE-optimized Text Embeddings, arXiv:2309.12871, section 3.4, as its authors' code and Sentence
        Transformers compute it, with their scale of 20. The paper speaks of the angle between the two, which should be
        smaller for similar pairs; that code calls this number an angle and lets it grow with similarity. It is not
        largest for equal embeddings: those have 1, and ones whose phase differs by 45 degrees have 1.41. Nor is it
        symmetric in ``x1`` and ``x2``. The paper adds two more terms, ``cosent_loss`` and an in-batch softmax.
    """
    return _in_order(_complex_parts, x1, x2, target, scale, sample_weight, mask, group)


def _complex_parts(x1: Tensor, x2: Tensor) -> Tensor:
    """|Re + Im| of the complex products of unit vectors."""
    odd = x1.shape[1] % 2
    u, v = unit(F.pad(x1, (0, odd))), unit(F.pad(x2, (0, odd)))
    real, imaginary = v.chunk(2, -1)
    # Re = <a, c> + <b, d>, Im = <b, c> - <a, d> of u = (a, b) and v = (c, d).
    return (u * torch.cat([real - imaginary, imaginary + real], -1)).sum(-1).abs()


class AnglELoss(Loss):
    """:func:`angle_loss` as a Module."""

    fn = staticmethod(angle_loss)
    scale: Positive = 20.0


_card: Callable[..., Card] = partial(
    Card,
    input="embeddings",
    data="pairs",
    kernel="order",
    item="batch",
    separable=False,
    mean_is_plain=False,
    at_call=frozenset({"sample_weight", "mask", "group"}),
)
_SYMBOLS = {
    r"y_i": "`target`, how similar the halves of pair i are",
    r"y_j": "`target` of pair j, the more similar one",
    r"i": "a pair of the batch",
    r"j": "any pair that is more similar than pair i",
    r"s": "`scale`, an inverse temperature, above 0",
}

CARDS = (
    _card(
        fn=cosent_loss,
        module=CoSENTLoss,
        takes=("pair-grade", "pair-target"),
        formula=r"\log \Big[ 1 + \sum_{y_i < y_j} e^{s (c_i - c_j)} \Big], \qquad c_i = \cos(u_i, v_i)",
        symbols={
            **_SYMBOLS,
            r"c_i": "the cosine of pair i's halves; with `similarity` 'dot', their product",
            r"c_j": "that of pair j",
            r"u_i": "row i of `x1`",
            r"v_i": "row i of `x2`",
        },
        paper="Su, CoSENT, kexue.fm/archives/8847, 2022",
        equation="7",
        defaults="the author's",
        search={"scale": Range(5.0, 50.0, log=True), "similarity": Choice(("cos", "dot"))},
        when="Pairs with graded similarities, such as sentences, where their order is evaluated (Spearman).",
        pitfalls=(
            "Only the order of the grades counts: where their distances matter, use `mse_loss` on the cosines.",
            "A batch of equally similar pairs has loss 0.",
            "The value grows with the logarithm of the number of pairs; it is not a mean.",
        ),
        relatives=("angle_loss", "cosine_embedding_loss", "ranknet_loss"),
    ),
    _card(
        fn=angle_loss,
        module=AnglELoss,
        takes=("pair-grade",),
        formula=(
            r"\log \Big[ 1 + \sum_{y_i < y_j} e^{s (a_i - a_j)} \Big], \qquad "
            r"a_i = \frac{|\mathrm{Re}\, z_i + \mathrm{Im}\, z_i|}{|u_i|\, |v_i|}, \quad "
            r"z_i = \sum_k u_{ik} \bar{v}_{ik}"
        ),
        symbols={
            **_SYMBOLS,
            r"a_i": "the similarity of the halves of pair i",
            r"a_j": "the same for pair j",
            r"z_i": "the complex product of the halves of pair i",
            r"u_i": "row i of `x1`, read as a complex vector: real parts first, then imaginary ones",
            r"v_i": "row i of `x2`, likewise; with a bar, its conjugate",
            r"k": "one of the D / 2 complex numbers of either",
        },
        paper="arXiv:2309.12871",
        equation="3 of the published version, with the opposite sign",
        defaults="the authors' code",
        search={"scale": Range(5.0, 50.0, log=True)},
        when="As `cosent_loss`, where most pairs are so similar that their cosines are near 1 and hardly differ.",
        pitfalls=(
            "Equal embeddings have 1, which is not the maximum: on its own it does not bring them together.",
            "The order of the two halves matters.",
            "The paper trains with it together with `cosent_loss`, not on its own: see `Sum`.",
        ),
        relatives=("cosent_loss", "cosine_embedding_loss"),
    ),
)

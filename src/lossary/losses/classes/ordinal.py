"""Ordered classes (grades, stages, ages): a mistake costs more the further off it is."""

from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core.card import Card, Choice
from lossary.core.check import check_dim, check_float, check_labels, check_shape, wide_integers
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, count, divide, reduce
from lossary.core.rules import ClassWeight, checked
from lossary.kernels.order import running_sum
from lossary.kernels.stable import accumulate, softplus
from lossary.losses._pointwise import hide
from lossary.losses.classes._shared import TAKES_LOGITS, class_card, label_loss

__all__ = [
    "CORALLoss",
    "CORNLoss",
    "EarthMoverLoss",
    "coral_loss",
    "corn_loss",
    "earth_mover_loss",
]


def _thresholds(
    input: Tensor, target: Tensor, sample_weight: Tensor | None, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Logits (N, K - 1), accumulated, and labels (N, 1) in [0, K), checked; weights and mask of the items."""
    check_dim("input", input, 2, "(N, K - 1)")
    check_float("input", input)
    target = wide_integers("target", target)
    check_shape("target", target, (input.shape[0],))
    weight, mask = align(sample_weight, mask, input.shape[:1])
    labels = check_labels("target", hide(target, mask), input.shape[0], classes=input.shape[1] + 1)
    return hide(accumulate(input), None if mask is None else mask[:, None]), labels[:, None], weight, mask


def _answers(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The cross-entropy of "is the label above k" for each threshold k; and k."""
    places = torch.arange(z.shape[1], device=z.device)
    return softplus(torch.where(labels > places, -z, z)), places


@checked
def coral_loss(
    input: Tensor,
    target: Tensor,
    *,
    threshold_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Ordered classes as one yes-or-no question per threshold: is the label above it?

    .. math:: -\sum_{k < K - 1} w_k \big[ [y > k] \log\sigma(z_k) + [y \le k] \log(1 - \sigma(z_k)) \big]

    Args:
        input: Logits z of "above class k", (N, K - 1). For answers that never contradict each other, build them from
            one score and K - 1 biases.
        target: Labels y in [0, K), (N,), of any integer dtype.
        threshold_weight: (K - 1,) weights w of the thresholds.
        sample_weight: One weight per item, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts, (N,).
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"`` over items, of sums over thresholds.

    Returns:
        A scalar, or one loss per item. The predicted class is the number of logits above 0.

    Raises:
        ValueError: Shapes that do not fit.
        TypeError: ``input`` that is not floating-point, labels that are not integers.
        IndexError: A label outside of [0, K).

    Example:
        >>> import torch
        >>> coral_loss(torch.tensor([[2.0, 0.0, -2.0]]), torch.tensor([1]))
        tensor(0.9470)

    Source:
        Cao, Mirjalili and Raschka, Rank consistent ordinal regression for neural networks, arXiv:1901.07884, eq. 4;
        their code takes the binary answers instead of labels.
    """
    z, labels, weight, mask = _thresholds(input, target, sample_weight, mask)
    losses, _ = _answers(z, labels)
    if threshold_weight is not None:
        check_shape("threshold_weight", threshold_weight, tuple(z.shape[1:]))
        losses = losses * threshold_weight.to(z.dtype)
    return reduce(losses.sum(1), weight=weight, mask=mask, reduction=reduction)


class CORALLoss(Loss):
    """:func:`coral_loss` as a Module."""

    fn = staticmethod(coral_loss)
    threshold_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


@checked
def corn_loss(
    input: Tensor,
    target: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Ordered classes step by step: of those above class k - 1, which are above class k?

    .. math:: -\frac{1}{\sum_i n_i} \sum_i \sum_{k < n_i} \big[ [y_i > k] \log\sigma(z_{ik})
              + [y_i = k] \log(1 - \sigma(z_{ik})) \big], \quad n_i = \min(y_i + 1, K - 1)

    Args:
        input: Logits z of "above class k, if above k - 1", (N, K - 1). The products of their sigmoids are the
            probabilities of being above each class, which therefore never contradict each other.
        target: Labels y in [0, K), (N,), of any integer dtype.
        sample_weight: One weight per item, (N,).
        mask: Boolean, True where an item counts, (N,).
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"`` over all questions n that items are asked.

    Returns:
        A scalar, or one loss per item: the negative logarithm of its label's probability.

    Raises:
        ValueError: Shapes that do not fit.
        TypeError: ``input`` that is not floating-point, labels that are not integers.
        IndexError: A label outside of [0, K).

    Example:
        >>> import torch
        >>> corn_loss(torch.tensor([[2.0, 0.0, -2.0]]), torch.tensor([1]), reduction="none")
        tensor([0.8201])

    Source:
        Shi, Cao and Raschka, Deep Neural Networks for Rank-Consistent Ordinal Regression Based On Conditional
        Probabilities, arXiv:2111.08851, section 3.4. A published version of their code divides the batch's sum by the
        number of classes, so it grows with the batch size.
    """
    z, labels, weight, mask = _thresholds(input, target, sample_weight, mask)
    losses, places = _answers(z, labels)
    asked = places <= labels
    losses = torch.where(asked, losses, 0).sum(1)
    if reduction != "mean":
        return reduce(losses, weight=weight, mask=mask, reduction=reduction)
    steps = asked.sum(1).to(z.dtype)
    total = reduce(losses, weight=weight, mask=mask, reduction="sum")
    return divide(total, count(losses, steps if weight is None else steps * weight.to(z.dtype), mask))


class CORNLoss(Loss):
    """:func:`corn_loss` as a Module."""

    fn = staticmethod(corn_loss)
    reduction: Reduction = "mean"


@checked
def earth_mover_loss(
    input: Tensor,
    target: Tensor,
    *,
    power: Literal[1, 2] = 2,
    class_weight: ClassWeight | None = None,
    ignore_index: int = -100,
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""How far a softmax's probabilities must move to reach the true class, over ordered classes.

    .. math:: \sum_k \Big| \sum_{j \le k} p_j - [y \le k] \Big|^r, \quad p = \mathrm{softmax}(z)

    Args:
        input: Logits, (N, C), (N, C, d1, ...) or (C,), the classes in order.
        target: Class indices of any integer dtype, the shape of ``input`` less the class dimension.
        power: r. 1 is the expected distance of a class drawn from p; 2 is the paper's.
        class_weight: (C,), one weight per class: the mean is ``sum(w l) / sum(w)``.
        ignore_index: A target that does not count.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per item, in units of one class.

    Raises:
        ValueError: Shapes that do not fit, a ``power`` other than 1 or 2.
        TypeError: Targets that are not integers.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> earth_mover_loss(torch.zeros(1, 4), torch.tensor([0]), power=1)
        tensor(1.5000)

    Source:
        Hou, Yu and Samaras, Squared Earth Mover's Distance-based Loss for Training Deep Neural Networks,
        arXiv:1611.05916, section 3. Probabilities above the label are summed from the top: computed as 1 minus the sum
        from below, as in common code, a small loss is rounding error.
    """

    def formula(z: Tensor, y: Tensor) -> Tensor:
        p, places = z.softmax(-1), torch.arange(z.shape[-1], device=z.device)
        above = F.pad(running_sum(p.flip(-1)).flip(-1)[..., 1:], (0, 1))
        moved = torch.where(places < y, running_sum(p), above)
        return (moved if power == 1 else moved.square()).sum(-1)

    return label_loss(formula, input, target, class_weight, ignore_index, dim, sample_weight, mask, reduction)


class EarthMoverLoss(Loss):
    """:func:`earth_mover_loss` as a Module."""

    fn = staticmethod(earth_mover_loss)
    power: Literal[1, 2] = 2
    class_weight: ClassWeight | None = None
    ignore_index: int = -100
    dim: int = 1
    reduction: Reduction = "mean"


_card = partial(
    Card,
    data="classes",
    takes=("thresholds-label",),
    input="logits",
    kernel="none",
    item="row",
    at_call=frozenset({"sample_weight", "mask"}),
)


CARDS = (
    _card(
        fn=coral_loss,
        module=CORALLoss,
        formula=r"-\sum_{k < K - 1} w_k \big[ [y > k] \log\sigma(z_k) + [y \le k] \log(1 - \sigma(z_k)) \big]",
        symbols={
            r"k": "every class but the last",
            r"K": "the number of classes: one more than `input` has columns",
            r"w_k": "`threshold_weight` of class k, 1 without it",
            r"y": "`target`, the label",
            r"\sigma": "the logistic sigmoid",
            r"z_k": "`input`, the logit of a label above k",
        },
        paper="arXiv:1901.07884",
        equation="4",
        defaults="the paper: no weights",
        when="Grades, stages, ages: ordered classes, with K - 1 outputs from one score and biases.",
        pitfalls=(
            "Free logits may contradict each other (above 3, not above 2): corn_loss cannot.",
            "Labels count from 0, and there is one output fewer than classes.",
        ),
        relatives=("corn_loss", "earth_mover_loss", "binary_cross_entropy_with_logits"),
    ),
    _card(
        fn=corn_loss,
        module=CORNLoss,
        formula=(
            r"-\frac{1}{\sum_i n_i} \sum_i \sum_{k < n_i} \big[ [y_i > k] \log\sigma(z_{ik}) "
            r"+ [y_i = k] \log(1 - \sigma(z_{ik})) \big], \quad n_i = \min(y_i + 1, K - 1)"
        ),
        symbols={
            r"n_i": "the number of classes item i is asked about",
            r"i": "every item",
            r"k": "every class up to the label",
            r"y_i": "`target`, the label of item i",
            r"\sigma": "the logistic sigmoid",
            r"z_{ik}": "`input`, the logit of a label above k, given that it is above k - 1",
            r"K": "the number of classes: one more than `input` has columns",
        },
        mean_is_plain=False,
        paper="arXiv:2111.08851",
        equation="section 3.4",
        defaults="no hyperparameters",
        when="Ordered classes, with K - 1 free outputs.",
        pitfalls=(
            "The sigmoid of one output is not the probability of being above k: multiply it with those before.",
            "Labels count from 0, and there is one output fewer than classes.",
        ),
        relatives=("coral_loss", "earth_mover_loss", "logistic_hazard_loss"),
    ),
    class_card(
        fn=earth_mover_loss,
        module=EarthMoverLoss,
        formula=r"\sum_k \Big| \sum_{j \le k} p_j - [y \le k] \Big|^r, \quad p = \mathrm{softmax}(z)",
        symbols={
            r"k": "every class",
            r"j": "every class up to k",
            r"p_j": "the probability of class j",
            r"y": "`target`, the label",
            r"r": "`power`",
            r"p": "the probabilities",
            r"z": "`input`, the logits",
        },
        kernel="order",
        paper="arXiv:1611.05916",
        equation="section 3",
        defaults="the paper",
        search={"power": Choice((1, 2))},
        when="Ordered classes, with an ordinary classifier's outputs.",
        pitfalls=(
            "Classes whose numbers are only names have no distances: use cross_entropy.",
            "Where p is confidently wrong its gradient vanishes: begin with cross_entropy, or add it.",
            *TAKES_LOGITS,
        ),
        relatives=("cross_entropy", "coral_loss", "corn_loss"),
    ),
)

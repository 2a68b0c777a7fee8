"""How far one distribution is from another, and how undecided a distribution is."""

from functools import partial
from typing import Literal

import torch
from torch import Tensor

from lossary.core.card import Card
from lossary.core.check import check_float, check_same_shape, check_tensor, stretched, values_visible
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, divide, reduce
from lossary.core.rules import checked
from lossary.kernels.graph import learns
from lossary.kernels.modes import plain_only
from lossary.kernels.stable import accumulate, like_torch
from lossary.losses._pointwise import hide, pointwise
from lossary.losses.classes._shared import class_dimension

__all__ = [
    "KLDivLoss",
    "KLDivergenceLoss",
    "cross_entropy_of",
    "entropy",
    "kl_div",
    "kl_divergence_loss",
]


#: How a distribution is given. Logits are normalised by a softmax, the others are used as they are.
Kind = Literal["logits", "log_probabilities", "probabilities"]


def _log(p: Tensor) -> Tensor:
    """log(p), -inf with a zero gradient at 0."""
    if not (learns(p) or plain_only()):
        return p.clamp_min(0).log()
    positive = ~(p <= 0)  # written like this, a NaN stays a NaN
    return torch.where(positive, torch.log(torch.where(positive, p, torch.ones_like(p))), -torch.inf)


def _both(x: Tensor, kind: Kind) -> tuple[Tensor, Tensor]:
    """Probabilities and log-probabilities, classes last."""
    if kind == "probabilities":
        return x, _log(x)
    logp = x.log_softmax(-1) if kind == "logits" else x
    return logp.exp(), logp


def times(p: Tensor, factor: Tensor) -> Tensor:
    """p * factor, where 0 times anything is 0, even 0 log 0."""
    return p * torch.where(p > 0, factor, torch.zeros_like(factor))


def _rows(name: str, x: Tensor, kind: Kind, dim: int, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """A distribution's probabilities and logs, checked, classes last, masked items made harmless."""
    check_float(name, x)
    x = accumulate(_classes_last(x, dim))
    x = x if mask is None else hide(x, mask.unsqueeze(-1))
    if kind == "probabilities":
        _check_probabilities(name, x, None)
    return _both(x, kind)


def _check_probabilities(name: str, x: Tensor, counts: Tensor | None) -> None:
    """None below 0 where they count; values elsewhere may be anything."""
    if not values_visible(x) or (counts is not None and not values_visible(counts)):
        return
    x = hide(x, counts)
    if (x < 0).any():
        raise ValueError(f"{name}: wanted probabilities, none below 0; got {x[x < 0].flatten()[0].item()}")


def _items(x: Tensor, dim: int) -> torch.Size:
    """The shape of the items: that of ``x`` without its classes."""
    return _classes_last(x, dim).shape[:-1]


def _classes_last(x: Tensor, dim: int) -> Tensor:
    dim = class_dimension(x, dim)
    return x if dim in (-1, x.dim() - 1) else x.movedim(dim, -1)


@checked
def kl_divergence_loss(
    input: Tensor,
    target: Tensor,
    *,
    input_kind: Kind = "logits",
    target_kind: Kind = "probabilities",
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The Kullback-Leibler divergence of predictions from target distributions.

    .. math:: \mathrm{KL}(t \,\|\, q) = \sum_c t_c \,(\log t_c - \log q_c)

    Args:
        input: The predictions q, (N, C), (N, C, d1, ...) or (C,).
        target: The target distributions t, in the shape of ``input``. Gradients flow to it: detach a teacher.
        input_kind: What ``input`` holds: ``"logits"``, ``"log_probabilities"`` or ``"probabilities"``.
        target_kind: What ``target`` holds, likewise.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"`` over items.

    Returns:
        A scalar, or one divergence per item; infinite where a probability is 0 and its target is not.

    Raises:
        ValueError: Shapes that differ, an unknown kind, a negative probability.
        TypeError: Arguments that are not floating-point.

    Example:
        >>> import torch
        >>> kl_divergence_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
        tensor(0.6931)

    Source:
        Kullback and Leibler, On Information and Sufficiency, 1951; 0 log 0 = 0. Like torch's ``kl_div``, this takes the
        prediction first; but torch's ``"mean"`` divides by the number of elements, which is not the divergence.
    """
    check_same_shape("target", target, "input", input)
    sample_weight, mask = align(sample_weight, mask, _items(input, dim))
    _, log_q = _rows("input", input, input_kind, dim, mask)
    t, log_t = _rows("target", target, target_kind, dim, mask)
    losses = times(t, log_t - log_q).sum(-1)
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)


class KLDivergenceLoss(Loss):
    """:func:`kl_divergence_loss` as a Module."""

    fn = staticmethod(kl_divergence_loss)
    input_kind: Kind = "logits"
    target_kind: Kind = "probabilities"
    dim: int = 1
    reduction: Reduction = "mean"


@checked
def kl_div(
    input: Tensor,
    target: Tensor,
    reduction: Literal["none", "sum", "mean", "batchmean"] = "mean",
    log_target: bool = False,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""torch's Kullback-Leibler terms, element by element. To train, use ``kl_divergence_loss``.

    .. math:: t\,(\log t - x)

    Args:
        input: Log-probabilities, any shape, taken as they are.
        target: Probabilities in the shape of ``input``, or with lengths of 1 in it; log-probabilities with
            ``log_target``.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"``, ``"mean"`` over **elements**, or ``"batchmean"``:
            the sum over the length of the first dimension, which is the divergence.
        log_target: Whether ``target`` holds logarithms.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts.

    Returns:
        A scalar, or the shape of ``input``, in torch's dtype.

    Raises:
        ValueError: Shapes that differ, a negative probability.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> q, t = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
        >>> kl_div(q.log(), t, reduction="batchmean")
        tensor(0.6931)

    Source:
        Kullback and Leibler, On Information and Sufficiency, 1951. 0 log 0 = 0, even against -inf (NaN in torch), and
        the gradient for a target of 0 is 0 (NaN in torch). Nothing to average gives 0 here, NaN in torch.
    """
    check_tensor("target", target)
    input, target = stretched(input=input, target=target)
    if not log_target:
        _check_probabilities("target", target, align(sample_weight, mask, target.shape)[1])

    def terms(x: Tensor, t: Tensor) -> Tensor:
        p, logp = _both(t, "log_probabilities" if log_target else "probabilities")
        return times(p, logp - x)

    of_elements = "sum" if reduction == "batchmean" else reduction
    loss = pointwise(terms, input, target, sample_weight=sample_weight, mask=mask, reduction=of_elements)
    if reduction == "batchmean" and input.dim() > 0:
        loss = divide(loss, input.shape[0])
    return like_torch(loss, input, target)


class KLDivLoss(Loss):
    """:func:`kl_div` as a Module."""

    fn = staticmethod(kl_div)
    reduction: Literal["none", "sum", "mean", "batchmean"] = "mean"
    log_target: bool = False


def entropy(
    p: Tensor,
    *,
    kind: Kind = "probabilities",
    dim: int = 1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The entropy of distributions, in nats.

    .. math:: H(p) = -\sum_c p_c \log p_c

    Args:
        p: (N, C), (N, C, d1, ...) or (C,).
        kind: What ``p`` holds: ``"probabilities"``, ``"log_probabilities"`` or ``"logits"``.
        dim: The class dimension; -1 for (B, L, C).
        reduction: ``"none"`` (the shape of ``p`` less the class dimension), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one entropy per distribution, between 0 and log C.

    Raises:
        ValueError: An unknown kind, a negative probability.
        TypeError: ``p`` that is not floating-point.

    Example:
        >>> import torch
        >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), reduction="none")
        tensor([0.6931, 0.0000])

    Source:
        Shannon, A Mathematical Theory of Communication, 1948; 0 log 0 = 0. The minus sign is part of it, though some
        lecture notes drop it.
    """
    probabilities, logs = _rows("p", p, kind, dim, None)
    return reduce(times(probabilities, -logs).sum(-1), reduction=reduction)


def cross_entropy_of(
    p: Tensor,
    q: Tensor,
    *,
    p_kind: Kind = "probabilities",
    q_kind: Kind = "probabilities",
    dim: int = 1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The cross-entropy of two distributions, in nats: the entropy of the first plus its divergence from the second.

    .. math:: H(p, q) = -\sum_c p_c \log q_c = H(p) + \mathrm{KL}(p \,\|\, q)

    Args:
        p: The true distributions, (N, C), (N, C, d1, ...) or (C,).
        q: The predicted ones, in the shape of ``p``.
        p_kind: What ``p`` holds: ``"probabilities"``, ``"log_probabilities"`` or ``"logits"``.
        q_kind: What ``q`` holds, likewise.
        dim: The class dimension; -1 for (B, L, C).
        reduction: ``"none"`` (the shape of ``p`` less the class dimension), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one cross-entropy per distribution; infinite where q is 0 and p is not.

    Raises:
        ValueError: Shapes that differ, an unknown kind, a negative probability.
        TypeError: Arguments that are not floating-point.

    Example:
        >>> import torch
        >>> cross_entropy_of(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]]))
        tensor(0.6931)

    Source:
        Good, Some Terminology and Notation in Information Theory, 1956. For fixed p its gradient by q equals that of
        the divergence: neither is more robust, only the values differ by H(p).
    """
    check_same_shape("q", q, "p", p)
    probabilities, _ = _rows("p", p, p_kind, dim, None)
    _, log_q = _rows("q", q, q_kind, dim, None)
    return reduce(times(probabilities, -log_q).sum(-1), reduction=reduction)


_card = partial(
    Card,
    data="classes",
    kernel="none",
    paper="Kullback and Leibler, On Information and Sufficiency, 1951",
    equation="section 2",
    at_call=frozenset({"sample_weight", "mask"}),
)


CARDS = (
    _card(
        fn=kl_divergence_loss,
        module=KLDivergenceLoss,
        takes=("input-shares",),
        input="logits",
        formula=r"\sum_c t_c (\log t_c - \log q_c)",
        symbols={
            r"c": "every class",
            r"t_c": "`target`, its probability of class c; `target_kind` says how it is given",
            r"q_c": "`input`, the predicted probability of class c; `input_kind` says how it is given",
        },
        item="row",
        defaults="no hyperparameters",
        untuned="the kinds depend on what the network and the targets hold",
        when="Soft targets whose own entropy should not count in the value: distillation, label distributions.",
        pitfalls=(
            "It is not symmetric: the target comes first in the formula but second in the call.",
            "A teacher's logits get a gradient unless detached.",
            "For fixed targets its gradient equals that of cross_entropy: neither is more robust.",
        ),
        relatives=("cross_entropy", "kl_div"),
    ),
    _card(
        fn=kl_div,
        module=KLDivLoss,
        takes=("input-shares",),
        input="log-probabilities",
        formula=r"t (\log t - x)",
        symbols={
            r"t": "`target`, a probability; given as its logarithm with `log_target`",
            r"x": "`input`, the predicted log-probability",
        },
        item="element",
        defaults="torch",
        untuned="`log_target` depends on what the targets hold",
        when="Only to replace torch's; to train, use kl_divergence_loss.",
        pitfalls=(
            'reduction="mean" divides by the number of elements: the result is C times smaller than the divergence.',
            "It takes log-probabilities: for probabilities it returns a plausible number without an error.",
        ),
        relatives=("kl_divergence_loss",),
    ),
)

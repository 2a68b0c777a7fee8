"""What the language-model losses share: checks of log-probabilities, and log-ratios that stay finite."""

from functools import partial

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card
from lossary.core.check import check_dim, check_float, check_same_shape
from lossary.core.reduce import align, divide, reduce
from lossary.kernels.stable import accumulate, softplus
from lossary.losses._pointwise import hide

#: Larger log-ratios count as this one, with a gradient of 0: its exp and the square of that still fit in float32.
LARGEST_LOG_RATIO = 40.0


def answers(
    sample_weight: Tensor | None, mask: Tensor | None, **numbers: Tensor
) -> tuple[tuple[Tensor, ...], Tensor | None, Tensor | None]:
    """Tensors of one number per answer, (N,), checked, 0 where they do not count; weights and mask aligned."""
    (lead, first), *_ = numbers.items()
    for name, tensor in numbers.items():
        check_float(name, tensor)
        check_dim(name, tensor, 1, "(N,), a number per answer: see sequence_logps")
        check_same_shape(name, tensor, lead, first)
    sample_weight, mask = align(sample_weight, mask, first.shape)
    return tuple(hide(accumulate(t), mask) for t in numbers.values()), sample_weight, mask


def check_constant(**tensors: Tensor | None) -> None:
    """Refuse a gradient through what the loss treats as constant: it would train something else."""
    for name, tensor in tensors.items():
        if isinstance(tensor, Tensor) and tensor.requires_grad and torch.is_grad_enabled():
            wanted = "a tensor without requires_grad, since the loss treats it as constant"
            raise ValueError(f"{name}: wanted {wanted}; got one with it: make it under no_grad, or detach it")


def bounded_log(ratio: Tensor) -> Tensor:
    """A log-ratio, at most :data:`LARGEST_LOG_RATIO`. A NaN stays NaN."""
    return torch.where(ratio >= LARGEST_LOG_RATIO, LARGEST_LOG_RATIO, ratio)


def k3(log_ratio: Tensor) -> Tensor:
    """exp(d) - 1 - d for d = log q / p: the estimate of KL(p, q) from a token drawn from p, never below 0."""
    d = bounded_log(log_ratio)
    near = d.abs() < 0.1  # there the difference would be lost in rounding
    small, series = torch.where(near, d, 0.0), torch.ones_like(d)
    for k in range(11, 2, -1):
        series = 1 + series * small / k
    return torch.where(near, small.square() / 2 * series, torch.expm1(d) - d)


def reduce_step(
    losses: Tensor,
    share: Tensor,
    *,
    weight: Tensor | None,
    mask: Tensor | None,
    reduction: str,
    divisor: float | Tensor | None,
    group: ProcessGroup | None,
) -> Tensor:
    """:func:`reduce` where each item has a share of the mean's divisor, or the divisor of the whole step is given.

    A step's batches add up to its mean, however large each is; so do the ranks of a group once they are averaged.
    """
    if reduction != "mean":
        return reduce(losses, weight=weight, mask=mask, reduction=reduction)
    total = reduce(losses, weight=weight, mask=mask, reduction="sum")
    if divisor is None:
        return divide(total, reduce(share, weight=weight, mask=mask, reduction="sum"), group=group)
    ranks = 1 if group is None else torch.distributed.get_world_size(group)
    return ranks * total / torch.as_tensor(divisor, dtype=total.dtype, device=total.device)


def sigmoid(x: Tensor) -> Tensor:
    """The sigmoid; where torch's rounds to 1 and has no gradient left, this gradient is as exact as it is near 0."""
    return torch.where(x > 0, 1 - (-x).sigmoid(), x.sigmoid())


def preferred(lead: Tensor, smoothing: float) -> Tensor:
    """-log sigmoid(lead), where a share of the preferences is reversed."""
    return (1 - smoothing) * softplus(-lead) + smoothing * softplus(lead)


SMOOTHED = {
    r"\epsilon": "`label_smoothing`: the share of preferences that are reversed",
    r"\sigma": "the sigmoid",
    r"\beta": "`beta`",
}
OF_SUMS = "It takes sums over tokens: with averages, long and short answers gain alike, and beta must change."
OF_AVERAGES = "It takes averages over tokens: with sums, answers count by their length."

token_card = partial(
    Card,
    data="tokens",
    input="log-probabilities",
    kernel="none",
    at_call=frozenset({"sample_weight", "mask"}),
)
pair_card = partial(token_card, takes=("chosen-rejected",), item="pair")

"""The mean negative log-likelihood of rows whose statistics kernels made: by kernels, too.

Plain torch takes some fifteen operations on (N,) numbers for it, forward and backward.
"""

from typing import Any

import torch
from torch import Tensor

from lossary.core.reduce import reduce
from lossary.kernels.fused import switch
from lossary.kernels.graph import distinct, gradients_by
from lossary.kernels.modes import transformed
from lossary.kernels.rows.scores import Rows
from lossary.kernels.stable import softplus


def nll(rest: Tensor, target: Tensor, among: Tensor | None = None, count: Tensor | None = None) -> Tensor:
    """log(e^among + e^rest) - target, (N,), without the cancellation of nearly perfect rows; 0 without a target.

    Without ``among`` a row has one target, without ``count`` it surely has.
    """
    if among is None:
        return softplus(rest - target)
    loss = softplus(rest - among) + (among - target)
    return loss if count is None else loss.where(count > 0, 0)


def mean_nll(rows: Rows, weight: Tensor | None, *, single: bool) -> Tensor | None:
    """The mean over rows that have a target; None where no kernels make it.

    Args:
        rows: Their statistics.
        weight: (N,) numbers or booleans. No gradient flows to it.
        single: Whether each row has one target.
    """
    among, count = (None, None) if single else (rows.among, rows.targets)
    if not switch.runs_on(rows.rest) or transformed():
        return None
    from lossary.kernels.fused import tiles

    if len(rows.rest) > tiles.ALONE:
        return None
    return _mean(rows.rest, rows.target, among, count, weight)[0]


@torch.library.custom_op("lossary::nll_mean", mutates_args=())
def _mean(
    rest: Tensor, target: Tensor, among: Tensor | None, count: Tensor | None, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    from lossary.kernels.fused import nll as kernels

    return kernels.mean(rest, target, among, count, weight)


@torch.library.custom_op("lossary::nll_slopes", mutates_args=())
def _slopes(
    rest: Tensor,
    target: Tensor,
    among: Tensor | None,
    count: Tensor | None,
    weight: Tensor | None,
    divisor: Tensor,
    by_mean: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    from lossary.kernels.fused import nll as kernels

    by_rest, by_target, by_among = kernels.slopes(rest, target, among, count, weight, divisor, by_mean)
    return by_rest, by_target, rest.new_empty(0) if by_among is None else by_among


_mean.register_fake(lambda rest, *_: (rest.new_empty(()), rest.new_empty(())))
_slopes.register_fake(
    lambda rest, target, among, *_: (
        torch.empty_like(rest),
        torch.empty_like(target),
        rest.new_empty(0) if among is None else torch.empty_like(among),
    )
)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs, output[1])


def _backward(ctx: Any, by_mean: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    rest, target, among, count, weight, divisor = ctx.saved_tensors
    if by_mean is None:
        return (None,) * 5
    if not torch.is_grad_enabled():
        by_rest, by_target, by_among = _slopes(rest, target, among, count, weight, divisor, by_mean)
        return by_rest, by_target, None if among is None else by_among, None, None
    leaves = rest, target, among = distinct((rest, target, among))  # the gradient must lead on, as plain torch's does
    share = weight if count is None else (count > 0) if weight is None else weight * (count > 0)
    mean = reduce(nll(rest, target, among, count), weight=share)
    return *gradients_by(mean, leaves, by_mean), None, None


_mean.register_autograd(_backward, setup_context=_remember)

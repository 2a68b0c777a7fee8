"""Policies trained on rewards: the clipped losses of PPO and its successors, on log-probabilities of tokens."""

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card, Choice, Range
from lossary.core.check import check_dim, check_float, check_number, check_same_shape, check_shape, check_whole
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align
from lossary.core.rules import FRACTION, NOT_NEGATIVE, NotNegative, Positive, checked
from lossary.distributed import across_ranks
from lossary.kernels.stable import accumulate, parameters
from lossary.losses._pointwise import hide
from lossary.losses.tokens._shared import LARGEST_LOG_RATIO, check_constant, k3, reduce_step, token_card

__all__ = ["GRPOLoss", "PPOClipLoss", "PPOValueLoss", "grpo_loss", "ppo_clip_loss", "ppo_value_loss"]

#: From 0 to 1: how far a ratio may fall below 1.
Low = Annotated[float, FRACTION]
High = Annotated[float, NOT_NEGATIVE]
Bound = Annotated[float | None, partial(check_number, low=1, open_low=True)]


def _surrogate(log_ratio: Tensor, advantages: Tensor, low: float, high: float, largest: float | None) -> Tensor:
    """-min(r A, clip(r) A), clipped as a logarithm, so a huge ratio neither overflows nor has a gradient of 0 * inf.

    Where A is above 0, a ratio is bounded from above; otherwise from below and by the largest ratio.
    """
    if largest is not None and largest <= 1 + high:
        raise ValueError(f"largest_ratio: wanted a number above 1 + epsilon_high, {1 + high}; got {largest}")
    top, most = math.log1p(high), LARGEST_LOG_RATIO if largest is None else math.log(largest)
    least = math.log1p(-low) if low < 1 else -math.inf
    good = torch.where(log_ratio >= top, top, log_ratio)
    bad = torch.where(log_ratio >= most, most, torch.where(log_ratio <= least, least, log_ratio))
    return -advantages * torch.where(advantages > 0, good, bad).exp()


@across_ranks
@checked
def ppo_clip_loss(
    logps: Tensor,
    old_logps: Tensor | None,
    advantages: Tensor,
    *,
    epsilon_low: Low = 0.2,
    epsilon_high: High = 0.2,
    largest_ratio: Bound = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    divisor: Positive | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Proximal policy optimization's clipped loss: what was drawn and did well becomes likelier, up to a bound.

    .. math:: -\min\big( r A,\ \mathrm{clip}(r, 1 - \epsilon_l, 1 + \epsilon_h)\, A \big), \quad r = \frac{p}{q}

    Args:
        logps: Log p of the tokens (or actions) that were drawn, under the policy that learns; any shape, e.g. (B, T).
        old_logps: Log q, under the policy that drew them, in the same shape, a constant; None if that is the same
            policy, with ratio 1.
        advantages: A, in the same shape: how much better each was than expected; a constant.
        epsilon_low: How far below 1 a ratio may fall before failures stop pushing it down; from 0 to 1.
        epsilon_high: How far above 1 it may rise before successes stop pulling it up.
        largest_ratio: The most that a ratio counts as where A is below 0; above 1 + epsilon_high, or None for e^40.
        sample_weight: One weight per token, or one per answer, (B,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a token counts; values elsewhere may be NaN.
        reduction: ``"none"`` (the shape of ``logps``), ``"sum"`` or ``"mean"`` over the tokens that count.
        divisor: How many tokens the whole step has, over all its batches and ranks. The mean divides by it, so that
            accumulated batches add up to the mean over all. None for the tokens of this batch.
        group: Process group over whose tokens the mean is taken: averaged over ranks, means and gradients are those of
            all tokens.

    Returns:
        A scalar, or one loss per token. At a bound or beyond it, a ratio's gradient is 0.

    Raises:
        ValueError: Shapes that differ, an old policy or advantages that require gradients, a bound out of its range.
        TypeError: Arguments that are not floating-point.

    Example:
        >>> import torch
        >>> old, advantages = torch.tensor([-1.0, -1.0, -2.0]), torch.tensor([1.0, -1.0, 0.5])
        >>> ppo_clip_loss(torch.tensor([-0.5, -0.9, -2.0]), old, advantages, reduction="none")
        tensor([-1.2000,  1.1052, -0.5000])

    Source:
        Schulman et al., Proximal Policy Optimization, arXiv:1707.06347, eq. 7. ``largest_ratio`` is the dual clip of Ye
        et al., arXiv:1912.09729, eq. 5. Common code takes exp of the difference first: at 89 it is infinite in float32,
        and a clipped gradient times it is NaN.
    """
    check_constant(old_logps=old_logps, advantages=advantages, divisor=_tensor(divisor))
    check_float("logps", logps)
    given = {"old_logps": logps.detach() if old_logps is None else old_logps, "advantages": advantages}
    for name, tensor in given.items():
        check_same_shape(name, tensor, "logps", logps)
        check_float(name, tensor)
    sample_weight, mask = align(sample_weight, mask, logps.shape)
    new, old, gain = (hide(accumulate(t), mask) for t in (logps, *given.values()))
    losses = _surrogate(new - old, gain, epsilon_low, epsilon_high, largest_ratio)
    return reduce_step(
        losses,
        torch.ones_like(losses),
        weight=sample_weight,
        mask=mask,
        reduction=reduction,
        divisor=divisor,
        group=group,
    )


def _tensor(number: object) -> Tensor | None:
    return number if isinstance(number, Tensor) else None


class PPOClipLoss(Loss):
    """:func:`ppo_clip_loss` as a Module."""

    fn = staticmethod(ppo_clip_loss)
    epsilon_low: Low = 0.2
    epsilon_high: High = 0.2
    largest_ratio: Bound = None
    reduction: Reduction = "mean"


@across_ranks
@checked
def ppo_value_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    *,
    epsilon: High = 0.2,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    divisor: Positive | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""The squared error of a value head that may move no further than a bound, for use with :func:`ppo_clip_loss`.

    .. math:: \frac12 \max\big( (v - R)^2,\ (u + \mathrm{clip}(v - u, -\epsilon, \epsilon) - R)^2 \big)

    Args:
        values: v, what the head expects now; any shape, such as (B, T).
        old_values: u, what it expected when the answers were drawn, a constant.
        returns: R, the returns observed, a constant.
        epsilon: How far a value may move before its gradient is 0, unless it moves away from R.
        sample_weight: One weight per token, or one per answer, (B,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a token counts.
        reduction: ``"none"`` (the shape of ``values``), ``"sum"`` or ``"mean"`` over the tokens that count.
        divisor: How many tokens the whole step has; see :func:`ppo_clip_loss`.
        group: Process group over whose tokens the mean is taken.

    Returns:
        A scalar, or one loss per token.

    Raises:
        ValueError: Shapes that differ, old values or returns that require gradients, ``epsilon`` below 0.
        TypeError: Arguments that are not floating-point.

    Example:
        >>> import torch
        >>> ppo_value_loss(torch.tensor([1.0, 0.1]), torch.zeros(2), torch.tensor([2.0, 1.0]), reduction="none")
        tensor([1.6200, 0.4050])

    Source:
        The code of Schulman et al., arXiv:1707.06347; the paper has only the square. epsilon is that code's.
    """
    check_constant(old_values=old_values, returns=returns, divisor=_tensor(divisor))
    check_float("values", values)
    for name, tensor in (("old_values", old_values), ("returns", returns)):
        check_same_shape(name, tensor, "values", values)
        check_float(name, tensor)
    sample_weight, mask = align(sample_weight, mask, values.shape)
    v, u, came = (hide(accumulate(t), mask) for t in (values, old_values, returns))
    plain, bounded = (v - came).square(), (u + (v - u).clamp(-epsilon, epsilon) - came).square()
    losses = torch.where(bounded <= plain, plain, bounded) / 2  # a NaN in either stays NaN
    return reduce_step(
        losses,
        torch.ones_like(losses),
        weight=sample_weight,
        mask=mask,
        reduction=reduction,
        divisor=divisor,
        group=group,
    )


class PPOValueLoss(Loss):
    """:func:`ppo_value_loss` as a Module."""

    fn = staticmethod(ppo_value_loss)
    epsilon: High = 0.2
    reduction: Reduction = "mean"


Average = Literal["sequence", "token", "constant"]


@across_ranks
@checked
def grpo_loss(
    logps: Tensor,
    old_logps: Tensor | None,
    advantages: Tensor,
    *,
    beta: NotNegative = 0.04,
    epsilon_low: Low = 0.2,
    epsilon_high: High = 0.2,
    largest_ratio: Bound = None,
    ratio: Literal["token", "sequence"] = "token",
    average: Average = "sequence",
    max_length: int | None = None,
    ref_logps: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    divisor: Positive | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Group relative policy optimization: PPO's loss for answers compared with each other; also DAPO, GSPO.

    .. math:: \frac{1}{|o|} \sum_t \left[
        -\min\big( r_t A,\ \mathrm{clip}(r_t, 1 - \epsilon_l, 1 + \epsilon_h)\, A \big)
        + \beta \left( \frac{q_t}{p_t} - \log \frac{q_t}{p_t} - 1 \right) \right]

    Args:
        logps: (B, T), log p of each answer's tokens, under the policy that learns: see :func:`linear_logps`.
        old_logps: (B, T), the same under the policy that drew them, a constant; r is the ratio of the two. None if that
            is the same policy, with ratio 1.
        advantages: (B,), A of each answer, or (B, T): see :func:`group_advantages`; a constant.
        beta: The weight of the distance to a reference policy, by the estimator k3; only with ``ref_logps``.
        epsilon_low: How far below 1 a ratio may fall before failures stop pushing it down; from 0 to 1.
        epsilon_high: How far above 1 it may rise before successes stop pulling it up; 0.28 in DAPO.
        largest_ratio: The most that a ratio counts as where A is below 0; above 1 + epsilon_high, or None for e^40.
        ratio: Whether each token has its own ratio or the answer has one, their geometric mean. The latter is GSPO,
            whose bounds are 3e-4 and 4e-4.
        average: What an answer's tokens are divided by. ``"sequence"``: by its own length; the mean is over answers.
            ``"token"``: by the number of all tokens, as in DAPO. ``"constant"``: by ``max_length``, as in Dr. GRPO.
        max_length: For ``"constant"``: the longest answer that can occur, the same for all batches.
        ref_logps: (B, T), log q under a reference policy, a constant.
        sample_weight: One weight per answer, (B,); mean is ``sum(w l) / sum(w n)``, where n is 1, or with ``"token"``
            the answer's number of tokens.
        mask: (B, T) boolean, True where a token counts; or (B,), for whole answers. Values elsewhere may be NaN.
        reduction: ``"none"`` (B,), ``"sum"`` or ``"mean"``; with ``"token"``, losses are sums over an answer.
        divisor: What the mean divides by instead: the whole step's number of tokens (with ``"token"``) or answers, over
            all its batches and ranks, so that accumulated batches add up to the mean over all.
        group: Process group over whose answers the mean is taken: averaged over ranks, means and gradients are those of
            all answers.

    Returns:
        A scalar, or one loss per answer. An answer without tokens does not count. At a bound or beyond it, a ratio's
        gradient is 0.

    Raises:
        ValueError: Shapes that do not fit, a constant that requires gradients, a bound out of its range, ``"constant"``
            without ``max_length``.
        TypeError: Arguments that are not floating-point.

    Example:
        >>> import torch
        >>> new, old = torch.tensor([[-1.0, -2.0], [-0.5, -1.0]]), torch.tensor([[-1.5, -2.0], [-0.5, -0.9]])
        >>> mask = torch.tensor([[True, True], [True, False]])
        >>> grpo_loss(new, old, torch.tensor([1.0, -1.0]), mask=mask, reduction="none")
        tensor([-1.1000,  1.0000])

    Source:
        Shao et al., DeepSeekMath, arXiv:2402.03300, eq. 3; k3 is its eq. 4; beta and epsilon are the paper's. DAPO: Yu
        et al., arXiv:2503.14476; Dr. GRPO: Liu et al., arXiv:2503.20783; GSPO: Zheng et al., arXiv:2507.18071. Common
        trainers divided by each batch's own tokens, or by the number of batches, so a token's weight depended on its
        batch; with ``divisor`` it does not. k3 is unbiased as an estimate; as a loss, its gradient near the reference
        is that of the squared log-ratio, not of the divergence.
    """
    check_constant(old_logps=old_logps, advantages=advantages, ref_logps=ref_logps, divisor=_tensor(divisor))
    new, old, gain, there = _answered(logps, old_logps, advantages, mask, sample_weight)
    sample_weight, _ = align(sample_weight, None, logps.shape[:1])
    tokens = there.sum(1).to(new.dtype)
    log_ratio = new - old
    if ratio == "sequence":
        log_ratio = (log_ratio.sum(1) / tokens.clamp_min(1))[:, None].expand(new.shape)
    values = _surrogate(log_ratio, gain, epsilon_low, epsilon_high, largest_ratio)
    if ref_logps is not None:
        check_same_shape("ref_logps", ref_logps, "logps", logps)
        check_float("ref_logps", ref_logps)
        (beta,) = parameters((beta,), new)
        values = values + beta * k3(hide(accumulate(ref_logps), there) - new)
    counts = tokens > 0
    losses, share = hide(values, there).sum(1), counts.to(new.dtype)
    if average == "token":
        share = tokens
    else:
        losses = losses / (tokens.clamp_min(1) if average == "sequence" else _length(max_length))
    return reduce_step(
        losses, share, weight=sample_weight, mask=counts, reduction=reduction, divisor=divisor, group=group
    )


def _answered(
    logps: Tensor, old_logps: Tensor | None, advantages: Tensor, mask: Tensor | None, sample_weight: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Three (B, T) tensors, checked, 0 where no token counts; and the mask of tokens that count."""
    check_float("logps", logps)
    check_dim("logps", logps, 2, "(B, T)")
    check_float("advantages", advantages)
    check_shape("advantages", advantages, tuple(logps.shape if advantages.dim() == 2 else logps.shape[:1]))
    if old_logps is not None:
        check_same_shape("old_logps", old_logps, "logps", logps)
        check_float("old_logps", old_logps)
    align(sample_weight, None, logps.shape[:1])  # one per answer
    _, there = align(sample_weight, mask, logps.shape)
    there = torch.ones_like(logps, dtype=torch.bool) if there is None else there.expand(logps.shape)
    old = logps.detach() if old_logps is None else old_logps
    gain = advantages if advantages.dim() == 2 else advantages[:, None].expand(logps.shape)
    new, old, gain = (hide(accumulate(t), there) for t in (logps, old, gain))
    return new, old, gain, there


def _length(max_length: int | None) -> int:
    if max_length is None:
        raise ValueError("max_length: wanted the longest possible answer with average='constant'; got None")
    check_whole("max_length", max_length, low=1)
    return max_length


class GRPOLoss(Loss):
    """:func:`grpo_loss` as a Module."""

    fn = staticmethod(grpo_loss)
    beta: NotNegative = 0.04
    epsilon_low: Low = 0.2
    epsilon_high: High = 0.2
    largest_ratio: Bound = None
    ratio: Literal["token", "sequence"] = "token"
    average: Average = "sequence"
    max_length: int | None = None
    reduction: Reduction = "mean"


_CLIPPED: dict[str, str] = {
    r"\epsilon_l": "`epsilon_low`: how far below 1 a ratio may fall",
    r"\epsilon_h": "`epsilon_high`: how far above 1 it may rise",
}
_STEP = "In a mean of batch means, a token's weight depends on its batch: give `divisor`, or `group`."
_OLD = "Old log-probabilities that require gradients would cancel the gradient: they are refused."

_step_card: Callable[..., Card] = partial(
    token_card, item="element", at_call=frozenset({"sample_weight", "mask", "divisor", "group"})
)
_searched: dict[str, Any] = {"epsilon_low": Range(0.05, 0.3), "epsilon_high": Range(0.05, 0.4)}

CARDS = (
    _step_card(
        fn=ppo_clip_loss,
        module=PPOClipLoss,
        takes=("tokens-advantages",),
        formula=r"-\min\big( r A, \mathrm{clip}(r, 1 - \epsilon_l, 1 + \epsilon_h) A \big), \quad r = \frac{p}{q}",
        symbols={
            **_CLIPPED,
            r"r": "the ratio of the token's probabilities",
            r"A": "`advantages`: how much better the token was than expected",
            r"p": "the token's probability now; `logps` is its logarithm",
            r"q": "the probability that it was drawn with; `old_logps` is its logarithm",
        },
        paper="arXiv:1707.06347",
        equation="7",
        defaults="the paper",
        search=_searched,
        when="A policy trained on rewards, with samples that it drew some steps ago.",
        pitfalls=(_OLD, _STEP, "Where A is below 0, a ratio has no upper bound: see `largest_ratio`."),
        relatives=("grpo_loss", "ppo_value_loss"),
        aliases=("ppo_loss", "PPOLoss"),
    ),
    _step_card(
        fn=ppo_value_loss,
        module=PPOValueLoss,
        takes=("tokens-advantages",),
        input="values",
        formula=r"\frac12 \max\big( (v - R)^2, (u + \mathrm{clip}(v - u, -\epsilon, \epsilon) - R)^2 \big)",
        symbols={
            r"v": "`values`, what is expected now",
            r"R": "`returns`, as observed",
            r"u": "`old_values`, what was expected when the answers were drawn",
            r"\epsilon": "`epsilon`: how far a value may move",
        },
        paper="arXiv:1707.06347",
        equation="code",
        defaults="the paper's code",
        search={"epsilon": Range(0.05, 1.0, log=True)},
        when="A value head trained together with a policy that uses ppo_clip_loss.",
        pitfalls=("epsilon is in units of the returns: 0.2 stops a head whose returns are in the hundreds.", _STEP),
        relatives=("ppo_clip_loss", "mse_loss"),
    ),
    _step_card(
        fn=grpo_loss,
        module=GRPOLoss,
        takes=("answers-advantages",),
        item="row",
        formula=r"\frac{1}{|o|} \sum_t \left[ -\min\big( r_t A, "
        r"\mathrm{clip}(r_t, 1 - \epsilon_l, 1 + \epsilon_h) A \big) "
        r"+ \beta \left( \frac{q_t}{p_t} - \log \frac{q_t}{p_t} - 1 \right) \right]",
        symbols={
            **_CLIPPED,
            r"o": "an answer, of |o| tokens: those of `mask`",
            r"t": "each of its tokens",
            r"r_t": "the token's probability now over that when it was drawn; their logarithms: `logps`, `old_logps`",
            r"A": "`advantages`: how much better the answer is than the others to its prompt",
            r"\beta": "`beta`: the weight of the distance to the reference policy",
            r"p_t": "the token's probability now; `logps` is its logarithm",
            r"q_t": "its probability under the reference policy; `ref_logps` is its logarithm",
        },
        paper="arXiv:2402.03300",
        equation="3",
        defaults="the paper",
        search={**_searched, "beta": Range(1e-3, 0.1, log=True), "average": Choice(("sequence", "token"))},
        at_call=frozenset({"sample_weight", "mask", "divisor", "group", "ref_logps"}),
        mean_is_plain=False,
        when="Several answers to each prompt, a reward for each, and no value head.",
        pitfalls=(
            _OLD,
            _STEP,
            "Divided by its own length, a long wrong answer costs little per token, so answers grow: see `average`.",
            "Half of TRL's loss types differ only in `average`: grpo, dapo and bnpo, dr_grpo.",
        ),
        relatives=("ppo_clip_loss", "dpo_loss"),
    ),
)

"""Language-model heads: what a softmax over a vocabulary says about each token, never holding all scores.

Also what lies between tokens and the losses of whole answers: log-probabilities, reference points, advantages.
"""

from typing import Annotated, NamedTuple

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.check import check_dim, check_float, check_range, check_shape, check_whole, wide_integers
from lossary.core.reduce import Reduction, align, both, reduce, scaled
from lossary.core.rules import POSITIVE, NotNegative, Positive, checked
from lossary.distributed import across_ranks
from lossary.distributed.handshake import sum_over_ranks
from lossary.kernels.products import multiplied_in
from lossary.kernels.rows.chances import chances
from lossary.kernels.rows.formula import row_statistics
from lossary.kernels.rows.maps import ScoreMap
from lossary.kernels.rows.scores import Bilinear, Targets
from lossary.kernels.stable import accumulate, accumulator, parameters, softplus
from lossary.losses._pointwise import hide
from lossary.losses.tokens._shared import reduce_step

__all__ = [
    "TokenReadings",
    "group_advantages",
    "kto_reference_point",
    "linear_logps",
    "linear_readings",
    "sequence_logps",
    "z_loss",
]


class TokenReadings(NamedTuple):
    """What a softmax head says about each token, in the shape of the labels; 0 and False where a token does not count.

    Args:
        logps: The log-probability of its label.
        entropy: The entropy of the softmax, in nats.
        hits: Whether no score is above the label's.
        log_sum: The log-sum-exp of all scores, whose square :func:`z_loss` takes.
    """

    logps: Tensor
    entropy: Tensor
    hits: Tensor
    log_sum: Tensor


class _Head(NamedTuple):
    """Checked rows of linear scores, and which of them count."""

    source: Bilinear
    labels: Tensor  # (R,), 0 where ignored
    cap: float | None  # for the scores divided by the temperature
    counted: Tensor | None  # in the shape of the labels
    shape: torch.Size

    def laid_out(self, rows: Tensor) -> Tensor:
        return hide(rows.reshape(self.shape), self.counted)


@checked
def linear_logps(
    features: Tensor,
    weight: Tensor,
    labels: Tensor,
    bias: Tensor | None = None,
    *,
    temperature: Annotated[float, POSITIVE] = 1.0,
    soft_cap: Annotated[float | None, POSITIVE] = None,
    ignore_index: int = -100,
    mask: Tensor | None = None,
) -> Tensor:
    r"""The labels' log-probabilities under a linear head, in memory that grows with N + C, not N times C.

    .. math:: \log \mathrm{softmax}\Big(\frac{z}{\tau}\Big)_y, \quad z = W x + b \text{ or } c \tanh \frac{W x + b}{c}

    Args:
        features: (..., D): (N, D) or (B, T, D).
        weight: (C, D), one row per word.
        labels: (...) words of any integer dtype: (N,) or (B, T).
        bias: (C,), or None.
        temperature: tau, above 0; it divides the scores after they are capped.
        soft_cap: c, above 0, as in Gemma 2; None for no cap.
        ignore_index: A label that does not count.
        mask: Boolean, True where a token counts: the shape of ``labels`` or its leading dimensions. Features elsewhere
            may be NaN.

    Returns:
        The shape of ``labels``; 0 where a token does not count. float32 for half-precision features.

    Raises:
        ValueError: Shapes that do not fit, a temperature or cap not above 0.
        TypeError: Labels that are not integers, features that are not floating-point.
        IndexError: A label outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> linear_logps(torch.eye(3), 2 * torch.eye(3), torch.tensor([0, 1, -100]))
        tensor([-0.2395, -0.2395,  0.0000])

    Source:
        Linear memory after Wijmans et al., arXiv:2411.09009, with every derivative, including second-order ones and
        under ``torch.compile``. A probability near 1 keeps its digits: common code subtracts the score from the
        log-sum-exp, which float32 rounds at 1e-7 of the score. Losses of answers take sums or means of these:
        :func:`sequence_logps`.
    """
    head = _head(features, weight, labels, bias, temperature, soft_cap, ignore_index, mask)
    by = None if head.cap is None else ScoreMap("soft_cap", (head.cap,))
    rows = row_statistics(head.source, Targets(head.labels, means=False, map=by))
    return head.laid_out(-softplus(rows.rest - rows.target))


@checked
def linear_readings(
    features: Tensor,
    weight: Tensor,
    labels: Tensor,
    bias: Tensor | None = None,
    *,
    temperature: Annotated[float, POSITIVE] = 1.0,
    soft_cap: Annotated[float | None, POSITIVE] = None,
    ignore_index: int = -100,
    mask: Tensor | None = None,
) -> TokenReadings:
    r"""Log-probability, entropy, accuracy and log-sum-exp of each token, from one pass over a linear head's scores.

    .. math:: \log p_y, \quad -\sum_c p_c \log p_c, \quad y = \arg\max_c z_c, \quad \log \sum_c e^{z_c}

    Args:
        features: (..., D): (N, D) or (B, T, D).
        weight: (C, D), one row per word.
        labels: (...) words of any integer dtype: (N,) or (B, T).
        bias: (C,), or None.
        temperature: Above 0; it divides the scores after they are capped.
        soft_cap: c of ``c tanh(z / c)``, above 0; None for no cap.
        ignore_index: A label that does not count.
        mask: Boolean, True where a token counts: the shape of ``labels`` or its leading dimensions.

    Returns:
        :class:`TokenReadings`, each in the shape of ``labels``. All except the hits have gradients, together or alone.

    Raises:
        ValueError: Shapes that do not fit, a temperature or cap not above 0.
        TypeError: Labels that are not integers, features that are not floating-point.
        IndexError: A label outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> logps, entropy, hits, log_sum = linear_readings(torch.eye(3), 2 * torch.eye(3), torch.tensor([0, 1, 1]))
        >>> entropy
        tensor([0.6656, 0.6656, 0.6656])
        >>> hits
        tensor([ True,  True, False])
        >>> loss = -logps.mean() + z_loss(log_sum) - 0.01 * entropy.mean()

    Source:
        Linear memory after Wijmans et al., arXiv:2411.09009. If log-probabilities are enough, :func:`linear_logps` is
        faster. All scores are held under ``torch.compile`` and ``torch.func``, and for second derivatives.
    """
    head = _head(features, weight, labels, bias, temperature, soft_cap, ignore_index, mask)

    logps, entropy, log_sum, hits = map(head.laid_out, chances(head.source, head.labels, head.cap))
    return TokenReadings(logps, entropy, hits, log_sum)


def _head(
    features: Tensor,
    weight: Tensor,
    labels: Tensor,
    bias: Tensor | None,
    temperature: float,
    soft_cap: float | None,
    ignore_index: int,
    mask: Tensor | None,
) -> _Head:
    check_float("features", features)
    check_float("weight", weight)
    check_dim("weight", weight, 2, "(C, D)")
    if features.dim() < 2 or features.shape[-1] != weight.shape[1]:
        wanted = f"wanted (..., {weight.shape[1]}), to match weight {tuple(weight.shape)}"
        raise ValueError(f"features: {wanted}; got {tuple(features.shape)}")
    if bias is not None:
        check_shape("bias", bias, (weight.shape[0],))
    labels = wide_integers("labels", labels)
    if labels.dtype != torch.int64:
        raise TypeError(f"labels: wanted integer labels; got {labels.dtype}")
    shape = features.shape[:-1]
    check_shape("labels", labels, tuple(shape))
    _, mask = align(None, mask, shape)
    labels = hide(labels, mask)
    check_range("labels", labels, weight.shape[0], ignore_index)
    counted = both(labels != ignore_index, mask)
    x = features if mask is None else hide(features, mask[..., None])
    x, factor = x.reshape(-1, x.shape[-1]), None
    if temperature != 1:
        factor = torch.full((), 1 / temperature, dtype=accumulator(x), device=x.device).expand(len(x))
        bias = None if bias is None else accumulate(bias) / temperature
    source = Bilinear(x, weight, bias, row_factor=factor, half=multiplied_in(x, weight))
    cap = None if soft_cap is None else soft_cap / temperature
    return _Head(source, hide(labels, counted).reshape(-1), cap, counted, shape)


@across_ranks
@checked
def z_loss(
    log_sum: Tensor,
    *,
    strength: NotNegative = 1e-4,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    divisor: Positive | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""A penalty that keeps exponentials of scores near a sum of 1, which cross-entropy leaves open.

    .. math:: \lambda \Big( \log \sum_c e^{z_c} \Big)^2

    Args:
        log_sum: The log-sum-exp of each token's scores, any shape: from :func:`linear_readings`, or
            ``logits.logsumexp(-1)``.
        strength: lambda, at least 0.
        sample_weight: One weight per token, or one per answer, (B,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a token counts.
        reduction: ``"none"`` (the shape of ``log_sum``), ``"sum"`` or ``"mean"`` over the tokens that count.
        divisor: How many tokens the whole step has, over all its batches and ranks; the mean divides by it.
        group: Process group over whose tokens the mean is taken.

    Returns:
        A scalar, or one penalty per token.

    Raises:
        ValueError: Shapes that do not fit, ``strength`` below 0.
        TypeError: ``log_sum`` that is not floating-point.

    Example:
        >>> import torch
        >>> z_loss(torch.tensor([10.0, -10.0, 0.0]))
        tensor(0.0067)

    Source:
        Chowdhery et al., PaLM, arXiv:2204.02311, section 5, with its 1e-4. The Z-loss of de Brebisson and Vincent,
        arXiv:1604.08859, is a different loss.
    """
    check_float("log_sum", log_sum)
    sample_weight, mask = align(sample_weight, mask, log_sum.shape)
    log_sum = hide(accumulate(log_sum), mask)
    (strength,) = parameters((strength,), log_sum)
    losses = scaled(log_sum.square(), strength)
    return reduce_step(
        losses,
        torch.ones_like(losses),
        weight=sample_weight,
        mask=mask,
        reduction=reduction,
        divisor=divisor,
        group=group,
    )


def sequence_logps(logps: Tensor, mask: Tensor | None = None, *, average: bool = False) -> Tensor:
    r"""The log-probability of each answer, the sum over its tokens, or their average.

    .. math:: \log p = \sum_t \log p_t, \quad \bar p = \frac{1}{T} \sum_t \log p_t

    Args:
        logps: (B, T), one per token, as returned by :func:`linear_logps`.
        mask: (B, T) boolean, True for an answer's own tokens, not for the prompt or padding.
        average: Whether the sum is divided by the number of tokens. Sums: :func:`dpo_loss`, :func:`cpo_loss`,
            :func:`kto_loss`. Averages: :func:`ipo_loss`, :func:`simpo_loss`, :func:`orpo_loss`.

    Returns:
        (B,); 0 for an answer without tokens. Summed in float32 at least.

    Raises:
        ValueError: Shapes that do not fit.
        TypeError: Log-probabilities that are not floating-point, a mask that is not boolean.

    Example:
        >>> import torch
        >>> logps = torch.tensor([[-1.0, -2.0, -3.0], [-2.0, -4.0, -9.0]])
        >>> mask = torch.tensor([[True, True, True], [True, True, False]])
        >>> sequence_logps(logps, mask), sequence_logps(logps, mask, average=True)
        (tensor([-6., -6.]), tensor([-2., -3.]))
    """
    check_float("logps", logps)
    check_dim("logps", logps, 2, "(B, T)")
    if mask is not None:
        check_shape("mask", mask, tuple(logps.shape))
    _, mask = align(None, mask, logps.shape)
    sums = hide(accumulate(logps), mask).sum(1)
    if not average:
        return sums
    tokens = logps.shape[1] if mask is None else mask.sum(1)
    return sums / (max(tokens, 1) if isinstance(tokens, int) else tokens.clamp_min(1))


@across_ranks
def kto_reference_point(
    logps: Tensor, ref_logps: Tensor, *, mask: Tensor | None = None, group: ProcessGroup | None = None
) -> Tensor:
    r"""``kl`` of :func:`kto_loss`: how far a model is from its reference, measured on answers to other prompts.

    .. math:: z = \max\Big(0, \frac{1}{N} \sum_i \log \frac{p_i}{q_i}\Big)

    Args:
        logps: (N,), the model's log-probabilities of answers paired with prompts that are not their own.
        ref_logps: (N,), the reference model's.
        mask: (N,) boolean, True where an answer counts.
        group: Process group over whose answers the mean is taken.

    Returns:
        A scalar, without a gradient.

    Raises:
        ValueError: Shapes that differ.
        TypeError: Log-probabilities that are not floating-point.

    Example:
        >>> import torch
        >>> kto_reference_point(torch.tensor([-3.0, -5.0]), torch.tensor([-4.0, -6.5]))
        tensor(1.2500)

    Source:
        Ethayarajh et al., KTO, arXiv:2402.01306, section 4.1.
    """
    for name, given in (("logps", logps), ("ref_logps", ref_logps)):
        check_float(name, given)
        check_dim(name, given, 1, "(N,)")
    check_shape("ref_logps", ref_logps, tuple(logps.shape))
    _, mask = align(None, mask, logps.shape)
    gains = hide(accumulate(logps.detach()) - accumulate(ref_logps.detach()), mask)
    mean = reduce(gains, mask=mask, group=group)
    if group is not None:  # averaged over ranks it is the mean over all
        mean = sum_over_ranks(group, mean) / torch.distributed.get_world_size(group)
    return mean.clamp_min(0)


@checked
def group_advantages(rewards: Tensor, size: int, *, scaled: bool = True, eps: float = 1e-4) -> Tensor:
    r"""How much better each answer is than the others to its prompt: advantages for :func:`grpo_loss`.

    .. math:: \frac{r_i - \bar r}{s + \epsilon}

    Args:
        rewards: (N,), consecutive groups of ``size`` answers to one prompt.
        size: How many answers a group has.
        scaled: Whether differences are divided by the group's standard deviation s, with ``size - 1`` degrees of
            freedom; False as in Dr. GRPO, which does not weigh prompts by how alike their answers are.
        eps: Added to s. A group whose rewards are all equal has advantages of 0.

    Returns:
        (N,), without a gradient.

    Raises:
        ValueError: A number of rewards that is not a multiple of ``size``.
        TypeError: Rewards that are not floating-point.

    Example:
        >>> import torch
        >>> group_advantages(torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 1.0]), 3, scaled=False)
        tensor([ 0.6667, -0.3333, -0.3333,  0.0000,  0.0000,  0.0000])

    Source:
        Shao et al., DeepSeekMath, arXiv:2402.03300, section 4.1.2; unscaled: Liu et al.,
        arXiv:2503.20783. eps is TRL's.
    """
    check_float("rewards", rewards)
    check_dim("rewards", rewards, 1, "(N,)")
    check_whole("size", size, low=1)
    if len(rewards) % size:
        raise ValueError(f"rewards: wanted a multiple of {size}; got {len(rewards)}")
    groups = accumulate(rewards.detach()).reshape(-1, size)
    apart = groups - groups.mean(1, keepdim=True)
    if scaled:
        apart = apart / (apart.square().sum(1, keepdim=True).div(max(size - 1, 1)).sqrt() + eps)
    return apart.reshape(-1)

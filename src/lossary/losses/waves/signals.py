"""Sound compared with target sound: how much of it is not the target, and how their spectra differ."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, cast

import torch
from torch import Tensor

from lossary.core.card import Card, Choice, Range
from lossary.core.check import check_tensor, check_whole, within
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction
from lossary.core.rules import POSITIVE, NotNegative, Number, checked
from lossary.kernels.stable import ORDINARY, parameters, unit
from lossary.losses._pointwise import rowwise

__all__ = [
    "MultiResolutionSTFTLoss",
    "SISDRLoss",
    "multi_resolution_stft_loss",
    "si_sdr_loss",
]

_DECIBELS = 10 / math.log(10)


def _si_sdr(x: Tensor, y: Tensor, zero_mean: bool, eps: float) -> Tensor:
    if zero_mean:
        x, y = (t - t.mean(1, keepdim=True) for t in map(unit, (x, y)))  # the mean of tiny numbers has no digits
    u, v = unit(x), unit(y)
    cosine = (u * v).sum(1)
    # The rest itself: 1 minus the squared cosine has no digits left for a good estimate.
    rest = (u - cosine[:, None] * v).square().sum(1) + (u == 0).all(1)
    return _decibels(rest, cosine, eps)


def _decibels(rest: Tensor, cosine: Tensor, eps: float) -> Tensor:
    return _DECIBELS * ((rest + eps).log() - (cosine.square() + eps).log())


def _si_sdr_slope(x: Tensor, y: Tensor, share: Any, *, zero_mean: bool, eps: float, out: Tensor) -> Tensor | None:
    """``share`` times the sum of the losses, with derivatives by ``x`` in ``out``; None if a signal is silent.

    With the rest e = u - c v, whose square is r, they point along 1 / (r + eps) (e - r u) - c / (c^2 + eps) (v - c u).
    """
    if zero_mean:
        x, y = (t - t.mean(1, keepdim=True) for t in (x, y))
    x_length, y_length = (torch.linalg.vector_norm(t, dim=1, keepdim=True) for t in (x, y))
    if not (within(x_length, *ORDINARY) and within(y_length, *ORDINARY)):
        return None
    cosine = torch.linalg.vecdot(x, y)[:, None] / x_length / y_length
    rest = torch.addcmul(x, y, cosine * x_length / y_length, value=-1)
    r, square = (torch.linalg.vector_norm(rest, dim=1, keepdim=True) / x_length).square(), cosine.square()
    scale = 2 * _DECIBELS * share / x_length
    by_rest, by_cosine = scale / (r + eps), scale / (square + eps)
    torch.mul(rest, by_rest / x_length, out=out)
    out.addcmul_(x, (square * by_cosine - r * by_rest) / x_length)
    # Rounding of the cosine leaves some of the target in the rest; its derivative has none.
    left = torch.linalg.vecdot(rest, y)[:, None] / (x_length * y_length)
    out.addcmul_(y, (cosine * by_cosine + left * by_rest) / y_length, value=-1)
    return _decibels(r, cosine, eps).sum() * share


@checked
def si_sdr_loss(
    input: Tensor,
    target: Tensor,
    *,
    zero_mean: bool = True,
    eps: Annotated[float, POSITIVE] = 1e-8,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Scale-invariant distortion: the energy that is not the target's over the energy that is, in decibels.

    .. math:: 10 \log_{10} \frac{|x - a y|^2}{|a y|^2}; \quad a = \frac{x \cdot y}{|y|^2}

    Args:
        input: (..., T) estimated signals.
        target: True signals of the same shape.
        zero_mean: Whether each signal's mean is subtracted first.
        eps: The least share of the estimate's energy on either side of the fraction: it keeps the loss within
            ``10 log10(1 / eps)`` decibels, 80 by default.
        sample_weight: One weight per signal, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a signal counts.
        reduction: ``"none"`` (one value per signal), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input`` without its last dimension, in decibels: lower is better.

    Raises:
        ValueError: Shapes that differ, ``eps`` not above 0.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> time = torch.linspace(0, 100, 1000)
        >>> si_sdr_loss(3 * time.sin() + 0.3 * time.cos(), time.sin())
        tensor(-20.0333)

    Source:
        Le Roux et al., SDR - Half-Baked or Well Done?, arXiv:1811.02508, eq. 3 to 5, negated. A silent target or
        estimate has the worst value and no gradient; peers divide by the target's energy, which gives NaN there, or add
        eps to it, so quiet signals score differently from loud ones.
    """
    check_tensor("input", input)
    given: dict[str, Any] = {"zero_mean": zero_mean, "eps": eps}
    rest: dict[str, Any] = {"sample_weight": sample_weight, "mask": mask, "reduction": reduction}
    return rowwise(partial(_si_sdr, **given), input, target, slope=partial(_si_sdr_slope, **given), **rest)


class SISDRLoss(Loss):
    """:func:`si_sdr_loss` as a Module."""

    fn = staticmethod(si_sdr_loss)
    zero_mean: bool = True
    eps: Annotated[float, POSITIVE] = 1e-8
    reduction: Reduction = "mean"


def _check_sizes(name: str, value: object) -> None:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{name}: wanted a sequence of whole numbers, one per resolution; got {type(value).__name__}")
    if not value:
        raise ValueError(f"{name}: wanted at least one number; got none")
    for number in cast("Sequence[int]", value):
        check_whole(name, number, low=1)


Sizes = Annotated[Sequence[int], _check_sizes]
#: Points of a transform, samples from one transform to the next, samples of its window.
Resolution = tuple[int, int, int]


def _magnitudes(x: Tensor, resolution: Resolution, least: Tensor) -> Tensor:
    """(n, frames, frequencies), in short windows, none below ``least``; the signal is mirrored at its ends."""
    size, hop, length = resolution
    half = size // 2
    frames = (x.shape[1] + 2 * half - size) // hop + 1
    if len(x) == 0:  # torch has no transform of nothing
        return x[:, :1, None].expand(-1, frames, half + 1)
    mirrored = torch.cat([x[:, 1 : half + 1].flip(1), x, x[:, -half - 1 : -1].flip(1)], 1)
    # Zeros before a short window only turn phases, so they are left out.
    start = (size - length) // 2
    pieces = mirrored[:, start : start + (frames - 1) * hop + length].unfold(1, length, hop)
    window = torch.hann_window(length, dtype=x.dtype, device=x.device)
    power = torch.view_as_real(torch.fft.rfft(pieces * window, n=size)).square().sum(-1)
    return torch.where(power <= least.square(), least.square(), power).sqrt()  # written this way, a NaN stays NaN


def _stft(
    x: Tensor, y: Tensor, convergence: Number, magnitude: Number, resolutions: Sequence[Resolution], eps: float
) -> Tensor:
    # Each signal in units of its peak if that is above 1: squares of the loudest would be infinite.
    peaks = [t.detach().abs().amax(1).clamp_min(1)[:, None] for t in (x, y)]
    least = [(eps / peak).clamp_min(torch.finfo(x.dtype).tiny ** 0.5)[..., None] for peak in peaks]
    louder = (peaks[0] / peaks[1])[..., None]
    x, y = x / peaks[0], y / peaks[1]
    losses: list[Tensor] = []
    for resolution in resolutions:
        found, wanted = (_magnitudes(t, resolution, low) for t, low in zip((x, y), least, strict=True))
        square = (wanted - louder * found).square().sum((1, 2))
        same = square == 0  # where a length has no derivative
        apart = torch.where(same, 0, torch.where(same, 1, square).sqrt()) / wanted.square().sum((1, 2)).sqrt()
        logarithms = (found.log() - wanted.log() + louder.log()).abs().mean((1, 2))
        losses.append(convergence * apart + magnitude * logarithms)
    return torch.stack(losses).mean(0)


@checked
def multi_resolution_stft_loss(
    input: Tensor,
    target: Tensor,
    *,
    fft_sizes: Sizes = (1024, 2048, 512),
    hop_sizes: Sizes = (120, 240, 50),
    win_lengths: Sizes = (600, 1200, 240),
    convergence_weight: NotNegative = 1.0,
    magnitude_weight: NotNegative = 1.0,
    eps: Annotated[float, POSITIVE] = 1e-4,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""How the magnitudes of two spectrograms differ, overall and in logarithms, at several resolutions.

    .. math:: \frac1M \sum_m \lambda_c \frac{|Y_m - X_m|}{|Y_m|} +
              \lambda_l \frac{1}{K_m} \sum_k \left|\log Y_{mk} - \log X_{mk}\right|

    Args:
        input: (..., T) signals from a network, T above half the largest of ``fft_sizes``.
        target: True signals of the same shape.
        fft_sizes: Points of each resolution's transform.
        hop_sizes: Samples from one window to the next, for each resolution.
        win_lengths: Samples of each resolution's Hann window, at most as many as its points.
        convergence_weight: The weight of the first part, the spectral convergence.
        magnitude_weight: The weight of the second, the distance of the logarithms.
        eps: The least magnitude, which a silent signal has; the gradient is 0 below it.
        sample_weight: One weight per signal, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a signal counts.
        reduction: ``"none"`` (one value per signal), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input`` without its last dimension.

    Raises:
        ValueError: Shapes that differ, signals too short, different numbers of resolutions, a window longer than its
            transform.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> time = torch.linspace(0, 2000, 8000)
        >>> multi_resolution_stft_loss(time.sin(), 2 * time.sin(), magnitude_weight=0.0)
        tensor(0.5000)

    Source:
        Yamamoto, Song and Kim, Parallel WaveGAN, arXiv:1910.11480, eq. 6, with its three resolutions; eps is that of
        auraloss, the root of its 1e-8. The first part is computed per signal: some code takes one length over the whole
        batch, where only loud signals count.
    """
    check_tensor("input", input)
    resolutions = _resolutions(input, fft_sizes, hop_sizes, win_lengths)
    weights = parameters((convergence_weight, magnitude_weight), input)
    formula = partial(_stft, resolutions=resolutions, eps=eps)
    rest: dict[str, Any] = {"sample_weight": sample_weight, "mask": mask, "reduction": reduction}
    return rowwise(formula, input, target, *weights, **rest)


def _resolutions(input: Tensor, sizes: Sequence[int], hops: Sequence[int], lengths: Sequence[int]) -> list[Resolution]:
    for name, given in (("hop_sizes", hops), ("win_lengths", lengths)):
        if len(given) != len(sizes):
            raise ValueError(f"{name}: wanted as many as fft_sizes, {len(sizes)}; got {len(given)}")
    for size, length in zip(sizes, lengths, strict=True):
        if length > size:
            raise ValueError(f"win_lengths: wanted at most the points of each transform, {size}; got {length}")
    least = max(sizes) // 2 + 1
    if input.shape[-1:].numel() < least:
        raise ValueError(f"input: wanted (..., T) of at least {least} samples; got shape {tuple(input.shape)}")
    return [*zip(map(int, sizes), map(int, hops), map(int, lengths), strict=True)]


class MultiResolutionSTFTLoss(Loss):
    """:func:`multi_resolution_stft_loss` as a Module."""

    fn = staticmethod(multi_resolution_stft_loss)
    fft_sizes: Sizes = (1024, 2048, 512)
    hop_sizes: Sizes = (120, 240, 50)
    win_lengths: Sizes = (600, 1200, 240)
    convergence_weight: NotNegative = 1.0
    magnitude_weight: NotNegative = 1.0
    eps: Annotated[float, POSITIVE] = 1e-4
    reduction: Reduction = "mean"


_wave_card = partial(
    Card,
    data="waves",
    takes=("wave-target",),
    input="waves",
    kernel="none",
    item="row",
    at_call=frozenset({"sample_weight", "mask"}),
)

CARDS = (
    _wave_card(
        fn=si_sdr_loss,
        module=SISDRLoss,
        formula=r"10 \log_{10} \frac{|x - a y|^2}{|a y|^2}; \quad a = \frac{x \cdot y}{|y|^2}",
        symbols={
            r"x": "`input`, the estimated signal, less its mean",
            r"y": "`target`, the true signal, less its mean",
            r"a": "how much of the target is in the estimate",
        },
        paper="arXiv:1811.02508",
        equation="3 to 5, negated",
        defaults="eps: auraloss; zero_mean: asteroid and auraloss",
        search={"zero_mean": Choice((True, False))},
        when="Separation and enhancement of speech, where loudness does not matter.",
        pitfalls=(
            "It does not see loudness: the network's output may have any scale.",
            "A silent target has no right answer: mask it.",
            "Decibels are logarithms: one good signal outweighs many bad ones.",
        ),
        relatives=("multi_resolution_stft_loss", "mse_loss"),
        aliases=("sisdr_loss",),
    ),
    _wave_card(
        fn=multi_resolution_stft_loss,
        module=MultiResolutionSTFTLoss,
        formula=(
            r"\frac1M \sum_m \lambda_c \frac{|Y_m - X_m|}{|Y_m|} + "
            r"\lambda_l \frac{1}{K_m} \sum_k \left|\log Y_{mk} - \log X_{mk}\right|"
        ),
        symbols={
            r"X": "the magnitudes of the short windows' spectra of `input`",
            r"Y": "those of `target`",
            r"m, M": "a resolution, and their number",
            r"k, K": "a window and frequency, and their number",
            r"\lambda_c": "`convergence_weight`",
            r"\lambda_l": "`magnitude_weight`",
        },
        paper="arXiv:1910.11480",
        equation="6",
        defaults="the paper; eps: auraloss",
        search={"convergence_weight": Range(0.1, 10.0, log=True), "eps": Range(1e-5, 1e-2, log=True)},
        when="Sound from a network, such as a vocoder or codec; usually together with an adversarial loss.",
        pitfalls=(
            "It does not see phases: where they matter, add a loss on the waves or an adversarial one.",
            "Silence has the logarithm of eps: quiet passages count as much as loud ones.",
        ),
        relatives=("si_sdr_loss", "l1_loss"),
        aliases=("MRSTFTLoss",),
    ),
)

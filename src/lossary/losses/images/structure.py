"""Two images compared as eyes do, by light, contrast and structure within a window; and the roughness of one image."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core.card import Choice, Range
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, reduce
from lossary.core.rules import POSITIVE, Count, checked
from lossary.kernels.stable import accumulate
from lossary.kernels.windows import gaussian
from lossary.losses._pointwise import hide, rowwise
from lossary.losses.images._shared import (
    Like,
    check_fits,
    check_images,
    check_weights,
    halved,
    image_card,
    sums_of,
    unlike,
)
from lossary.losses.images._slopes import ms_ssim_slope, ssim_slope

__all__ = [
    "MSSSIMLoss",
    "SSIMLoss",
    "TotalVariation",
    "ms_ssim_loss",
    "ssim_loss",
    "total_variation",
]

#: The range of pixel values, the window's deviation in pixels, and what steadies quotients of dark and flat places.
Plus = Annotated[float, POSITIVE]


def _like(data_range: float, window_size: int, sigma: float, k1: float, k2: float) -> Like:
    return Like(gaussian(window_size, sigma), (k1 * data_range) ** 2, (k2 * data_range) ** 2)


def _ssim(x: Tensor, y: Tensor, shape: Sequence[int], like: Like) -> Tensor:
    light_of, structure = unlike(sums_of(x, y, shape), like)
    light = light_of()
    alike = light.alike * structure.alike
    # Each is exact where the other cancels, and so is its gradient.
    near = light.unlike + light.alike * structure.unlike
    return torch.where(alike > 0.5, near, 1 - alike).flatten(1).mean(1)


def _image_loss(formula: Any, input: Tensor, target: Tensor, **rest: Any) -> Tensor:
    """One loss per image, by a formula over images as rows."""
    rows = (t.flatten(1) if isinstance(t, Tensor) and t.dim() == input.dim() else t for t in (input, target))  # pyright: ignore[reportUnnecessaryIsInstance]
    return rowwise(partial(formula, shape=input.shape[1:]), *rows, **rest)


@checked
def ssim_loss(
    input: Tensor,
    target: Tensor,
    *,
    data_range: Plus = 1.0,
    window_size: Count = 11,
    sigma: Plus = 1.5,
    k1: Plus = 0.01,
    k2: Plus = 0.03,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""One minus structural similarity: light, contrast and structure, within a window around each position.

    .. math:: 1 - \frac{1}{|I|} \sum_{i \in I} \frac{2 \mu_x \mu_y + C_1}{\mu_x^2 + \mu_y^2 + C_1} \cdot
              \frac{2 \sigma_{xy} + C_2}{\sigma_x^2 + \sigma_y^2 + C_2}; \quad C_j = (k_j R)^2

    Args:
        input: (N, C, H, W) images, both sides at least ``window_size``.
        target: Images of the same shape.
        data_range: R, the range of the pixel values: 1 for images in [0, 1], 2 for [-1, 1], 255 for bytes.
        window_size: Side of the Gaussian window, in pixels.
        sigma: Its standard deviation, in pixels.
        k1: The factor in C1, which steadies dark places; above 0.
        k2: The factor in C2, which steadies flat places; above 0.
        sample_weight: (N,) weights of the images; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an image counts.
        reduction: ``"none"`` (one value per image, its channels' mean), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,): from 0 for equal images to 2.

    Raises:
        ValueError: Shapes that differ or are not (N, C, H, W), images smaller than the window.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> dark, light = torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
        >>> ssim_loss(dark, light)
        tensor(0.9999)

    Source:
        Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, 2004, eq. 13; the
        defaults are the paper's. Positions are those where the window lies within the image, as in the authors' code.
        kornia's ``ssim_loss`` is half of it, over a padded image, and its second moments lose the digits of flat
        images.
    """
    check_images(input)
    check_fits(input, window_size, "window_size")
    like = _like(data_range, window_size, sigma, k1, k2)
    slope = partial(ssim_slope, shape=input.shape[1:], like=like)
    rest: dict[str, Any] = {"sample_weight": sample_weight, "mask": mask, "reduction": reduction}
    return _image_loss(partial(_ssim, like=like), input, target, slope=slope, **rest)


class SSIMLoss(Loss):
    """:func:`ssim_loss` as a Module."""

    fn = staticmethod(ssim_loss)
    data_range: Plus = 1.0
    window_size: Count = 11
    sigma: Plus = 1.5
    k1: Plus = 0.01
    k2: Plus = 0.03
    reduction: Reduction = "mean"


Weights = Annotated[Sequence[float], check_weights]


def _ms_ssim(x: Tensor, y: Tensor, shape: Sequence[int], like: Like, weights: Sequence[float]) -> Tensor:
    sums = sums_of(x, y, shape)
    total = torch.ones((), dtype=x.dtype, device=x.device)
    for place, weight in enumerate(weights):
        light_of, structure = unlike(sums, like)
        last = place == len(weights) - 1
        alike = (light_of().alike * structure.alike if last else structure.alike).mean((-2, -1))
        positive = ~(alike <= 0)  # written this way, a NaN stays NaN
        total = total * torch.where(positive, torch.where(positive, alike, 1) ** weight, 0)
        if not last:
            sums = halved(sums)
    return 1 - total.mean(1)


@checked
def ms_ssim_loss(
    input: Tensor,
    target: Tensor,
    *,
    data_range: Plus = 1.0,
    scale_weights: Weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333),
    window_size: Count = 11,
    sigma: Plus = 1.5,
    k1: Plus = 0.01,
    k2: Plus = 0.03,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""One minus structural similarity at several scales: contrast and structure at each, light at the last.

    .. math:: 1 - \frac1C \sum_c \; \overline{l\, s}_{M}^{\,w_M} \prod_{j < M} \overline{s}_j^{\,w_j}; \quad
              l = \frac{2 \mu_x \mu_y + C_1}{\mu_x^2 + \mu_y^2 + C_1}, \;
              s = \frac{2 \sigma_{xy} + C_2}{\sigma_x^2 + \sigma_y^2 + C_2}

    Args:
        input: (N, C, H, W) images. Each scale halves the sides, and the window must fit the last: the defaults need at
            least 161 pixels.
        target: Images of the same shape.
        data_range: R, the range of the pixel values: 1 for images in [0, 1], 2 for [-1, 1], 255 for bytes.
        scale_weights: The exponent of each scale, the finest first.
        window_size: Side of the Gaussian window, in pixels of each scale.
        sigma: Its standard deviation, in pixels.
        k1: The factor in C1, which steadies dark places; above 0.
        k2: The factor in C2, which steadies flat places; above 0.
        sample_weight: (N,) weights of the images; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an image counts.
        reduction: ``"none"`` (one value per image, its channels' mean), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,): from 0 for equal images to 1.

    Raises:
        ValueError: Shapes that differ or are not (N, C, H, W), images too small, weights below 0 or missing.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> ramp = torch.linspace(0, 1, 32).expand(1, 1, 32, 32)
        >>> ms_ssim_loss(ramp, ramp / 2, scale_weights=(0.5, 0.5))
        tensor(0.2571)

    Source:
        Wang, Simoncelli and Bovik, Multiscale Structural Similarity for Image Quality Assessment, 2003; the defaults
        are the paper's. A mean over positions that is not above 0 (images that contradict each other) counts as 0,
        without a gradient; peers raise it to a fractional power, so it or its slope is NaN. On an odd side, the last
        pixel is averaged alone.
    """
    check_images(input)
    weights = tuple(scale_weights)
    least = (window_size - 1) * 2 ** (len(weights) - 1) + 1
    check_fits(input, least, f"for {len(weights)} scales and a window of {window_size}")
    given: Any = {"like": _like(data_range, window_size, sigma, k1, k2), "weights": weights}
    slope = partial(ms_ssim_slope, shape=input.shape[1:], **given)
    return _image_loss(
        partial(_ms_ssim, **given),
        input,
        target,
        slope=slope,
        sample_weight=sample_weight,
        mask=mask,
        reduction=reduction,
    )


class MSSSIMLoss(Loss):
    """:func:`ms_ssim_loss` as a Module."""

    fn = staticmethod(ms_ssim_loss)
    data_range: Plus = 1.0
    scale_weights: Weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    window_size: Count = 11
    sigma: Plus = 1.5
    k1: Plus = 0.01
    k2: Plus = 0.03
    reduction: Reduction = "mean"


@checked
def total_variation(
    input: Tensor,
    *,
    norm: Literal["l1", "l2", "squared"] = "l1",
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""How much neighbouring pixels of an image differ: a penalty that keeps edges and removes noise.

    .. math:: \frac{1}{C H W} \sum_{c, i, j} |x_{i + 1, j} - x_{i, j}| + |x_{i, j + 1} - x_{i, j}|

    Args:
        input: (N, C, H, W) images.
        norm: ``"l1"`` as written; ``"l2"``, the length of the two differences at each pixel, which favours no
            direction; ``"squared"``, the sum of their squares, which blurs edges.
        sample_weight: (N,) weights of the images; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an image counts.
        reduction: ``"none"`` (one value per image), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Images that are not (N, C, H, W), an unknown norm.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> total_variation(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]]))
        tensor(0.5000)

    Source:
        Rudin, Osher and Fatemi, Nonlinear Total Variation Based Noise Removal Algorithms, 1992, whose norm is ``"l2"``.
        Nothing differs beyond the last row and column. kornia's sum is ``"l1"`` times C H W. Where neighbours are equal
        the slope is 0.
    """
    check_images(input)
    weight, counts = align(sample_weight, mask, input.shape[:1])
    x = accumulate(input)
    x = x if counts is None else hide(x, counts[:, None, None, None])
    down, right = x.diff(dim=-2), x.diff(dim=-1)
    if norm == "l2":
        down, right = F.pad(down, (0, 0, 0, 1)), F.pad(right, (0, 1))
        flat = (down == 0) & (right == 0)  # where a length has no derivative
        sums = torch.where(flat, 0, torch.hypot(torch.where(flat, 1, down), right)).flatten(1).sum(1)
    else:
        size = torch.abs if norm == "l1" else torch.square
        sums = size(down).flatten(1).sum(1) + size(right).flatten(1).sum(1)
    return reduce(sums / max(x[:1].numel(), 1), weight=weight, mask=counts, reduction=reduction)


class TotalVariation(Loss):
    """:func:`total_variation` as a Module."""

    fn = staticmethod(total_variation)
    norm: Literal["l1", "l2", "squared"] = "l1"
    reduction: Reduction = "mean"


_SYMBOLS = {
    r"x": "`input`, the network's image",
    r"y": "`target`, the image that it should be",
    r"\mu_x, \mu_y": "means over the window around a position",
    r"\sigma_x, \sigma_y, \sigma_{xy}": "standard deviations there, and the covariance",
    r"C_1, C_2": "(`k1` times `data_range`) squared, (`k2` times `data_range`) squared",
}
_PITFALLS = (
    "data_range is the range of pixel values: 1 for images in 0 to 255 makes the constants negligible.",
    "Combine it with an L1 loss: alone it hardly sees a shift of colour.",
)

CARDS = (
    image_card(
        fn=ssim_loss,
        module=SSIMLoss,
        takes=("image-target",),
        formula=(
            r"1 - \frac{1}{|I|} \sum_{i \in I} \frac{2 \mu_x \mu_y + C_1}{\mu_x^2 + \mu_y^2 + C_1} \cdot "
            r"\frac{2 \sigma_{xy} + C_2}{\sigma_x^2 + \sigma_y^2 + C_2}"
        ),
        symbols={**_SYMBOLS, r"i, I": "a position of the window within the image, and all of them"},
        paper="Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, 2004",
        equation="13",
        defaults="the paper",
        search={"sigma": Range(0.5, 3.0), "window_size": Choice((7, 11))},
        when="Restoration, compression, super-resolution: images for people to look at.",
        pitfalls=(*_PITFALLS, "kornia's ssim_loss is half of it, over a padded image."),
        relatives=("ms_ssim_loss", "l1_loss", "mse_loss"),
    ),
    image_card(
        fn=ms_ssim_loss,
        module=MSSSIMLoss,
        takes=("large-image-target",),
        formula=(
            r"1 - \frac1C \sum_c \; \overline{l\, s}_{M}^{\,w_M} \prod_{j < M} \overline{s}_j^{\,w_j}; \quad "
            r"l = \frac{2 \mu_x \mu_y + C_1}{\mu_x^2 + \mu_y^2 + C_1}, \; "
            r"s = \frac{2 \sigma_{xy} + C_2}{\sigma_x^2 + \sigma_y^2 + C_2}"
        ),
        symbols={
            **_SYMBOLS,
            r"c, C": "a channel, and their number",
            r"l, s": "similarity in light, and in contrast and structure; with a bar, its mean over positions",
            r"j, M": "a scale, with half the sides of the one before, and the last scale",
            r"w": "`scale_weights`",
        },
        paper="Wang, Simoncelli and Bovik, Multiscale Structural Similarity for Image Quality Assessment, 2003",
        equation="7",
        defaults="the paper",
        search={"sigma": Range(0.5, 3.0)},
        when="Like structural similarity, where viewing distance should not matter.",
        pitfalls=(
            *_PITFALLS,
            "Images that contradict each other have no gradient: start with another loss.",
            "Five scales need 161 pixels per side: crops are often smaller.",
        ),
        relatives=("ssim_loss", "l1_loss", "mse_loss"),
    ),
    image_card(
        fn=total_variation,
        module=TotalVariation,
        takes=("image",),
        formula=r"\frac{1}{C H W} \sum_{c, i, j} |x_{i + 1, j} - x_{i, j}| + |x_{i, j + 1} - x_{i, j}|",
        symbols={
            r"x": "`input`, the image",
            r"c, i, j": "a channel, a row, a column",
            r"C, H, W": "their numbers",
        },
        paper="Rudin, Osher and Fatemi, Nonlinear Total Variation Based Noise Removal Algorithms, 1992",
        equation="unconfirmed",
        defaults="kornia; the paper's norm is l2",
        search={"norm": Choice(("l1", "l2", "squared"))},
        when="A small term against noise, added to a loss of images or of features.",
        pitfalls=("Alone it is least for constant images.", "Sums grow with the image: this is a mean."),
        relatives=("ssim_loss",),
        aliases=("tv_loss", "TVLoss"),
    ),
)

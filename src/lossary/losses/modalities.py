"""Two modalities that describe the same things, as images and their captions: every pair against all others."""

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary._loss import Loss
from lossary._reduce import Reduction, reduce
from lossary._rules import Positive, checked
from lossary.cards import Card, Range
from lossary.distributed import across_ranks
from lossary.kernels.rows import Bilinear, Targets, rest_softplus
from lossary.kernels.stable import parameters, softplus
from lossary.losses.retrieval import Similarity, draw_pairs, edges_pairs, find_each_other, paired

__all__ = ["CLIPLoss", "SigLIPLoss", "clip_loss", "siglip_loss"]


@across_ranks
@checked
def clip_loss(
    image: Tensor,
    text: Tensor,
    *,
    temperature: Positive = 0.07,
    normalize: bool = True,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Each image must find its text among all texts of the batch, and each text its image (CLIP).

    .. math:: -\frac{1}{2} \left[ \log \frac{e^{x_i y_i / \tau}}{\sum_j e^{x_i y_j / \tau}}
        + \log \frac{e^{x_i y_i / \tau}}{\sum_j e^{x_j y_i / \tau}} \right]

    Args:
        image: (N, D).
        text: (N, D), in the order of the images.
        temperature: tau, above 0; a Parameter learns.
        normalize: Cosines (True) or plain dot products.
        ids: (N,) integers; pairs that share one are never each other's negatives, as those of one image with several
            captions.
        sample_weight: (N,) weights of the pairs.
        mask: (N,) boolean; a pair that does not count is in nobody's loss, and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' pairs are one batch, in which ids mean the same on every rank.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Wrong shapes, ``temperature`` not above 0 or not finite.

    Example:
        >>> import torch
        >>> clip_loss(torch.eye(3), torch.eye(3), temperature=1.0)
        tensor(0.5514)

    Source:
        Radford et al., Learning Transferable Visual Models From Natural Language Supervision, arXiv:2103.00020,
        figure 3; tau = 0.07 is where the paper starts. It learns log(1 / tau) and keeps 1 / tau below 100.
    """
    pairs = paired(("image", "text"), image, text, ids, sample_weight, mask, group)
    (temperature,) = parameters((temperature,), pairs.query)
    return find_each_other(pairs, Similarity(1 / temperature, normalize), reduction)


class CLIPLoss(Loss):
    """:func:`clip_loss` as a Module."""

    fn = staticmethod(clip_loss)
    temperature: Positive = 0.07
    normalize: bool = True
    reduction: Reduction = "mean"


@across_ranks
@checked
def siglip_loss(
    image: Tensor,
    text: Tensor,
    *,
    scale: Positive = 10.0,
    bias: float | Tensor = -10.0,
    normalize: bool = True,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Each image and text is a question of its own: do the two belong together? (SigLIP)

    .. math:: -\log \sigma(s\, x_i y_i + b) - \sum_{j \ne i} \log \sigma(-s\, x_i y_j - b)

    No softmax: a pair's loss does not depend on the others of the batch.

    Args:
        image: (N, D).
        text: (N, D), in the order of the images.
        scale: s, an inverse temperature, above 0; a Parameter learns.
        bias: b, which starts low because nearly all pairs do not belong together; a Parameter learns.
        normalize: Cosines (True) or plain dot products.
        ids: (N,) integers; an image and a text of other pairs that share one are not asked about.
        sample_weight: (N,) weights of the images.
        mask: (N,) boolean; a pair that does not count is in nobody's loss, and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"`` over the images.
        group: Process group whose ranks' pairs are one batch, in which ids mean the same on every rank.

    Returns:
        A scalar, or (N,): the sum of an image's questions.

    Raises:
        ValueError: Wrong shapes, ``scale`` not above 0, numbers that are not finite.

    Example:
        >>> import torch
        >>> siglip_loss(torch.eye(3), torch.eye(3))
        tensor(0.6932)

    Source:
        Zhai et al., Sigmoid Loss for Language Image Pre-Training, arXiv:2303.15343, section 3.2 and algorithm 1; s = 10
        and b = -10 are where the paper starts. It learns log(s).
    """
    pairs = paired(("image", "text"), image, text, ids, sample_weight, mask, group)
    scale, bias = parameters((scale, bias), pairs.query)
    alike = Similarity(scale, normalize)
    x, y = alike.scaled(pairs.query), alike.plain(pairs.answer)
    shift = torch.as_tensor(bias, dtype=x.dtype, device=x.device)
    own = (x * y).sum(-1) + shift
    candidates, candidate_ids, absent = pairs.columns(y)
    shift = shift.expand(candidates.shape[0]) if absent is None else shift + absent
    rest = rest_softplus(Bilinear(x, candidates, shift), Targets(pairs.labels(), candidate_ids))
    return reduce(softplus(-own) + rest, weight=pairs.weight, reduction=reduction, group=group)


class SigLIPLoss(Loss):
    """:func:`siglip_loss` as a Module."""

    fn = staticmethod(siglip_loss)
    scale: Positive = 10.0
    bias: float | Tensor = -10.0
    normalize: bool = True
    reduction: Reduction = "mean"


CARDS = (
    Card(
        fn=clip_loss,
        module=CLIPLoss,
        formula=(
            r"-\frac{1}{2} \left[ \log \frac{e^{x_i y_i / \tau}}{\sum_j e^{x_i y_j / \tau}}"
            r" + \log \frac{e^{x_i y_i / \tau}}{\sum_j e^{x_j y_i / \tau}} \right]"
        ),
        data="views",
        kernel="rows",
        item="pair",
        paper="arXiv:2103.00020",
        equation="",
        defaults="the paper's start",
        draw=draw_pairs,
        edges=edges_pairs,
        variants=({}, {"temperature": 1.0, "normalize": False}, {"temperature": 0.02}),
        search={"temperature": Range(0.01, 0.3, log=True)},
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "ids", "group"}),
        when="Images and texts, or any two modalities, in large batches.",
        pitfalls=(
            "Several captions of one image in a batch are false negatives: give `ids`.",
            "A temperature that learns can fall without end: keep it above 0.01, as the paper does.",
        ),
        relatives=("siglip_loss", "info_nce_loss", "multiple_negatives_ranking_loss"),
    ),
    Card(
        fn=siglip_loss,
        module=SigLIPLoss,
        formula=r"-\log \sigma(s\, x_i y_i + b) - \sum_{j \ne i} \log \sigma(-s\, x_i y_j - b)",
        data="views",
        kernel="rows",
        item="anchor",
        paper="arXiv:2303.15343",
        equation="",
        defaults="the paper's start",
        draw=draw_pairs,
        edges=edges_pairs,
        variants=({}, {"scale": 2.0, "bias": -1.0, "normalize": False}, {"scale": 50.0, "bias": -20.0}),
        search={"scale": Range(3.0, 100.0, log=True), "bias": Range(-20.0, 0.0)},
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "ids", "group"}),
        when="Images and texts in batches of any size: it needs no large ones, unlike the softmax of CLIP.",
        pitfalls=(
            "With b = 0 the first steps only push everything apart: start near -log(N).",
            "It is a sum over N questions an image, the mean is over images: it grows with the batch.",
        ),
        relatives=("clip_loss", "info_nce_loss"),
    ),
)

"""Two views or modalities of the same items; each must find the other in the batch."""

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card, Range
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, reduce
from lossary.core.rules import Positive, checked
from lossary.distributed import across_ranks
from lossary.kernels.fused.switch import RowKernel
from lossary.kernels.rows.formula import mean_by_kernels, row_loss
from lossary.kernels.rows.scores import Bilinear, RowGradients, Rows, Targets
from lossary.kernels.stable import HALF, accumulator, parameters, softplus
from lossary.losses._batch import among_others
from lossary.losses.views._shared import Pairs, Similarity, compare_views, find_each_other, paired

__all__ = [
    "CLIPLoss",
    "NTXentLoss",
    "SigLIPLoss",
    "clip_loss",
    "nt_xent_loss",
    "siglip_loss",
]


@across_ranks
@checked
def nt_xent_loss(
    embeddings: Tensor,
    other: Tensor,
    /,
    *,
    temperature: Positive = 0.5,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Each view of an item must find the item's other view among all views of the batch (SimCLR).

    .. math:: -\log \frac{e^{z_i z_p / \tau}}{\sum_{a \ne i} e^{z_i z_a / \tau}}

    Called ``(z1, z2)`` on two views of the same items, or ``(embeddings, labels)`` where the views of an item share a
    label: any number of views, averaged over the item's other views (which is SupCon).

    Args:
        embeddings: (N, D), any length; normalised here.
        other: (N, D) second views of the same items, or (N,) integers that say which item a view shows.
        temperature: tau, above 0; a Parameter is learned.
        ids: (N,) integers of the items; views of items that share one are never each other's negatives, for example if
            an image is in the batch twice. Positives remain the item's own views.
        sample_weight: One weight per view: (2N,), first views first, or (N,) with labels.
        mask: (N,) boolean; an item that does not count enters no loss with any of its views, and may be NaN.
        reduction: ``"none"``, ``"sum"`` or ``"mean"`` over the views.
        group: Process group whose ranks' views are one batch, in which labels and ids mean the same on every rank. The
            average of the ranks' means is the mean of that batch, and likewise for gradients; ``"none"`` and ``"sum"``
            cover the rank's own views.

    Returns:
        A scalar, or one loss per view: (2N,), first views first, or (N,) with labels. ``mean`` averages views that have
        another; if there are none, the loss is 0.0, with zero gradients.

    Raises:
        ValueError: Wrong shapes, ``temperature`` not above 0 or not finite.
        TypeError: Views in different precisions.

    Example:
        >>> import torch
        >>> z1, z2 = torch.eye(2), torch.eye(2)
        >>> nt_xent_loss(z1, z2, temperature=1.0)
        tensor(0.5514)

    Source:
        Chen et al., SimCLR, arXiv:2002.05709, eq. 1; tau = 0.5 is its value for CIFAR-10 (appendix B.9). SimCLR's code
        returns twice this mean. Some libraries leave the other views of an item out of the denominator.
    """
    compared = compare_views(embeddings, other, ids, sample_weight, mask, group)
    return among_others(compared, temperature, sample_weight, reduction, group)


class NTXentLoss(Loss):
    """:func:`nt_xent_loss` as a Module."""

    fn = staticmethod(nt_xent_loss)
    temperature: Positive = 0.5
    reduction: Reduction = "mean"


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
        temperature: tau, above 0; a Parameter is learned.
        normalize: Cosines (True) or plain dot products.
        ids: (N,) integers; pairs that share one are never each other's negatives, such as those of one image with
            several captions.
        sample_weight: (N,) weights of the pairs.
        mask: (N,) boolean; a pair that does not count enters no loss and may be NaN.
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
        figure 3; tau = 0.07 is the paper's initial value. It learns log(1 / tau) and keeps 1 / tau below 100.
    """
    pairs = paired(("image", "text"), image, text, ids, sample_weight, mask, group, once=normalize)
    (temperature,) = parameters((temperature,), pairs.query)
    return find_each_other(pairs, Similarity(1 / temperature, normalize, pairs.half), reduction)


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
    r"""Each pair of an image and a text is a separate question: do the two belong together? (SigLIP)

    .. math:: -\log \sigma(s\, x_i y_i + b) - \sum_{j \ne i} \log \sigma(-s\, x_i y_j - b)

    No softmax: a pair's loss does not depend on the others of the batch.

    Args:
        image: (N, D).
        text: (N, D), in the order of the images.
        scale: s, an inverse temperature, above 0; a Parameter is learned.
        bias: b, which starts low because hardly any pairs belong together; a Parameter is learned.
        normalize: Cosines (True) or plain dot products.
        ids: (N,) integers; an image and a text of different pairs that share one are left out.
        sample_weight: (N,) weights of the images.
        mask: (N,) boolean; a pair that does not count enters no loss and may be NaN.
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
        and b = -10 are the paper's initial values. It learns log(s).
    """
    once = normalize and group is None
    pairs = paired(("image", "text"), image, text, ids, sample_weight, mask, group, once=once)
    scale, bias = parameters((scale, bias), pairs.query)
    # Answers from other ranks arrive normalised, and so are not half-precision values.
    alike = Similarity(scale, normalize, pairs.half if group is None else None)
    source, others, targets = _questions(pairs, alike, bias)
    if ids is None and mean_by_kernels(others, targets, reduction, group):
        return row_loss(_pair_and_rest, others, targets, weight=pairs.weight, kernel=_PAIR)
    if pairs.query.dtype in HALF:  # as given, but the loss looks at each vector twice
        source, others, targets = _questions(pairs.accumulated(), alike, bias)
    asked = row_loss(
        _rest, others, targets, weight=pairs.weight, reduction=reduction, group=group, slope=_slope_of_rest
    )
    own = source.paired() + bias
    return reduce(softplus(-own), weight=pairs.weight, reduction=reduction, group=group) + asked


def _questions(pairs: Pairs, alike: Similarity, bias: float | Tensor) -> tuple[Bilinear, Bilinear, Targets]:
    """The pairs' scores without the bias, those of all candidates with it, and which of these are pairs."""
    source = alike.two_way(pairs.query, pairs.answer)
    candidates, candidate_ids, absent = pairs.columns(source.w)
    if absent is not None:
        shift = absent + bias
    elif isinstance(bias, Tensor):
        shift = torch.zeros_like(candidates[:, 0], dtype=bias.dtype) + bias
    else:
        shift = torch.full_like(candidates[:, 0], bias, dtype=accumulator(candidates))
    labels, paired = pairs.labels(), pairs.ids is None
    targets = Targets(labels, candidate_ids, paired=paired, sums="softplus", means=False)
    return source, source.among(candidates, shift), targets


#: The next one among Triton's kernels.
_PAIR: RowKernel = ("pair", 0.0, 0.0, 0.0, 0.0)


def _pair_and_rest(rows: Rows) -> Tensor:
    return softplus(-rows.target) + rows.rest


def _rest(rows: Rows) -> Tensor:
    return rows.rest


def _slope_of_rest(rows: Rows) -> tuple[Tensor, RowGradients]:
    return rows.rest, RowGradients(None, None, torch.ones_like(rows.rest), None)


class SigLIPLoss(Loss):
    """:func:`siglip_loss` as a Module."""

    fn = staticmethod(siglip_loss)
    scale: Positive = 10.0
    bias: float | Tensor = -10.0
    normalize: bool = True
    reduction: Reduction = "mean"


CARDS = (
    Card(
        fn=nt_xent_loss,
        module=NTXentLoss,
        takes=("anchor-positive", "embeddings-labels"),
        input="embeddings",
        data="views",
        formula=r"-\log \frac{e^{z_i z_p / \tau}}{\sum_{a \ne i} e^{z_i z_a / \tau}}",
        symbols={
            r"z_i": "view i: a row of `embeddings` or `other`, normalised to length 1",
            r"z_p": "the other view of the same item (averaged if there are several)",
            r"\tau": "`temperature`, above 0",
            r"a": "every view of the batch except view i",
            r"z_a": "such a view, likewise normalised",
            r"i": "one view of an item",
            r"p": "another view of that item",
        },
        kernel="rows",
        item="anchor",
        paper="arXiv:2002.05709",
        equation="1",
        defaults="the paper",
        search={"temperature": Range(0.05, 1.0, log=True)},
        batch="m-per-class",
        separable=False,
        at_call=frozenset({"sample_weight", "ids", "mask", "group"}),
        when="Two or more augmented views of unlabelled items. Needs large batches.",
        pitfalls=(
            "With labels, all views of an item must share one, and no other item may have it.",
            "SimCLR's code returns twice this value.",
            "Under data-parallel training a rank only has its own items as negatives: pass `group`.",
        ),
        relatives=("supcon_loss",),
    ),
    Card(
        fn=clip_loss,
        module=CLIPLoss,
        takes=("anchor-positive",),
        input="embeddings",
        data="views",
        formula=(
            r"-\frac{1}{2} \left[ \log \frac{e^{x_i y_i / \tau}}{\sum_j e^{x_i y_j / \tau}}"
            r" + \log \frac{e^{x_i y_i / \tau}}{\sum_j e^{x_j y_i / \tau}} \right]"
        ),
        symbols={
            r"x_i": "row i of `image`, of length 1 unless `normalize` is off",
            r"y_i": "row i of `text`, its caption, likewise",
            r"\tau": "`temperature`, above 0",
            r"j": "every pair of the batch",
            r"y_j": "the text of pair j",
            r"x_j": "the image of pair j",
        },
        kernel="rows",
        item="pair",
        paper="arXiv:2103.00020",
        equation="figure 3",
        defaults="the paper's start",
        search={"temperature": Range(0.01, 0.3, log=True)},
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "ids", "group"}),
        when="Images and texts, or any two modalities, in large batches.",
        pitfalls=(
            "Several captions of one image in a batch are false negatives: pass `ids`.",
            "A learned temperature can fall without limit: keep it above 0.01, as the paper does.",
        ),
        relatives=("siglip_loss", "info_nce_loss", "multiple_negatives_ranking_loss"),
    ),
    Card(
        fn=siglip_loss,
        module=SigLIPLoss,
        takes=("anchor-positive",),
        input="embeddings",
        data="views",
        formula=r"-\log \sigma(s\, x_i y_i + b) - \sum_{j \ne i} \log \sigma(-s\, x_i y_j - b)",
        symbols={
            r"\sigma": "the sigmoid",
            r"s": "`scale`, an inverse temperature, above 0",
            r"x_i": "row i of `image`, of length 1 unless `normalize` is off",
            r"y_i": "row i of `text`, the image's own, likewise",
            r"b": "`bias`, below 0 since most pairs do not belong together",
            r"j": "every other pair of the batch",
            r"y_j": "the text of pair j",
        },
        kernel="rows",
        item="anchor",
        paper="arXiv:2303.15343",
        equation="algorithm 1",
        defaults="the paper's start",
        search={"scale": Range(3.0, 100.0, log=True), "bias": Range(-20.0, 0.0)},
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "ids", "group"}),
        when="Images and texts in batches of any size: unlike CLIP's softmax, it does not need large ones.",
        pitfalls=(
            "With b = 0 the first steps only push everything apart: start near -log(N).",
            "It sums N questions per image and averages over images: it grows with the batch.",
        ),
        relatives=("clip_loss", "info_nce_loss"),
    ),
)

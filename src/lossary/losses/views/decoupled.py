"""Two views that must find each other, by a softmax whose negatives are decoupled, corrected or weighted."""

import math
from functools import partial
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card, Choice, Range
from lossary.core.check import check_float, check_number
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, reduce
from lossary.core.rules import NOT_NEGATIVE, POSITIVE, Positive, checked
from lossary.distributed import across_ranks, gathered
from lossary.kernels.rows.formula import row_statistics
from lossary.kernels.rows.scores import Rows, RowsOf, Targets
from lossary.kernels.stable import ABSENT, parameters, softplus
from lossary.kernels.tuples import apart
from lossary.losses._batch import Compared, cosines
from lossary.losses._pointwise import hide
from lossary.losses.views._shared import compare_views

__all__ = [
    "DCLLoss",
    "HardNegativeContrastiveLoss",
    "dcl_loss",
    "hard_negative_contrastive_loss",
]


@across_ranks
@checked
def dcl_loss(
    embeddings: Tensor,
    other: Tensor,
    /,
    *,
    temperature: Positive = 0.1,
    weighting: Literal["none", "von_mises_fisher"] = "none",
    sigma: Annotated[float, POSITIVE] = 0.5,
    gradient: Literal["held_weights", "exact"] = "held_weights",
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Each view is pulled to the other view of its item and pushed from all others, by separate terms (DCL).

    .. math:: -w_i \frac{z_i z_p}{\tau} + \log \sum_{n \in N(i)} e^{z_i z_n / \tau}

    The positive is not in the sum: in it, a near positive would make all gradients small, the more so in small batches.

    Called ``(z1, z2)`` on two views of the same items, or ``(embeddings, labels)`` where the views of an item share a
    label: any number of views, averaged over the item's other views.

    Args:
        embeddings: (N, D), any length; normalised here.
        other: (N, D) second views of the same items, or (N,) integers that say which item a view shows.
        temperature: tau, above 0; a Parameter is learned.
        weighting: ``"von_mises_fisher"`` weights the first term (DCLW) by ``w_i = 2 - e^(c_i / sigma) / mean_j e^(c_j /
            sigma)``, where c is the cosine of a view and its other view: pairs that are far apart count more.
        sigma: How soft these weights are.
        gradient: ``"held_weights"`` treats w as constant; ``"exact"`` differentiates it too.
        ids: (N,) integers of the items; views of items that share one are never each other's negatives, for example if
            an image is in the batch twice. Positives remain the item's own views.
        sample_weight: One weight per view: (2N,), first views first, or (N,) with labels.
        mask: (N,) boolean; an item that does not count enters no loss with any of its views, and may be NaN.
        reduction: ``"none"``, ``"sum"`` or ``"mean"`` over the views.
        group: Process group whose ranks' views are one batch, in which labels and ids mean the same on every rank. The
            average of the ranks' means is the mean of that batch, and likewise for gradients; ``"none"`` and ``"sum"``
            cover the rank's own views.

    Returns:
        A scalar, or one loss per view: (2N,), first views first, or (N,) with labels; below 0 for well separated views.
        A view without another of its item or without a negative has loss 0, and ``mean`` averages the others; if there
        are none, the loss is 0.0, with zero gradients.

    Raises:
        ValueError: Wrong shapes, ``temperature`` or ``sigma`` not above 0 or not finite, an unknown option.
        TypeError: Views in different precisions.

    Example:
        >>> import torch
        >>> z1, z2 = torch.eye(2), torch.eye(2)
        >>> dcl_loss(z1, z2, temperature=1.0)
        tensor(-0.3069)

    Source:
        Yeh et al., Decoupled Contrastive Learning, arXiv:2110.06848, section 3; tau = 0.1 and sigma = 0.5 are its
        values for ImageNet. Some code holds the weights constant (lightly), some differentiates them.
    """
    compared = compare_views(embeddings, other, ids, sample_weight, mask, group)
    (temperature,) = parameters((temperature,), compared.anchors.x)
    rows = row_statistics(cosines(compared, 1 / temperature), compared.targets)
    some, weight = _with_both(rows, compared), 1.0
    if weighting == "von_mises_fisher":
        c = rows.target * temperature
        weight = _far_weights((c if gradient == "exact" else c.detach()) / sigma, some, group)
    losses = rows.rest - weight * rows.target
    return reduce(losses, weight=_hidden(sample_weight, some), mask=some, reduction=reduction, group=group)


def _with_both(rows: Rows | RowsOf, compared: Compared) -> Tensor:
    """(N,) which anchors count and have both a positive and a negative."""
    some, counted = (rows.targets > 0) & (rows.rest > ABSENT / 2), compared.anchors.counted
    return some if counted is None else some & counted


def _hidden(sample_weight: Tensor | None, some: Tensor) -> Tensor | None:
    return None if sample_weight is None else hide(sample_weight, some)


def _far_weights(c: Tensor, some: Tensor, group: ProcessGroup | None) -> Tensor:
    """(N,) 2 minus each exponential over their mean, taken over the views of all ranks that count."""
    everyone, there = gathered(group, weights=c, mask=some)
    log_mean = torch.where(there, everyone, ABSENT).logsumexp(0) - there.sum().clamp_min(1).to(c.dtype).log()
    return 2 - (torch.where(some, c, ABSENT) - log_mean.clamp_min(ABSENT / 2)).exp()


class DCLLoss(Loss):
    """:func:`dcl_loss` as a Module."""

    fn = staticmethod(dcl_loss)
    temperature: Positive = 0.1
    weighting: Literal["none", "von_mises_fisher"] = "none"
    sigma: Annotated[float, POSITIVE] = 0.5
    gradient: Literal["held_weights", "exact"] = "held_weights"
    reduction: Reduction = "mean"


Share = Annotated[float | Tensor, partial(check_number, low=0, high=1, open_high=True)]


@across_ranks
@checked
def hard_negative_contrastive_loss(
    z1: Tensor,
    z2: Tensor,
    *,
    temperature: Positive = 0.5,
    tau_plus: Share = 0.1,
    beta: Annotated[float, NOT_NEGATIVE] = 1.0,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""NT-Xent in which hard negatives count more, corrected for negatives that are really positives.

    .. math:: -\log \frac{e^{p_i}}{e^{p_i} + g_i}, \quad
        g_i = \max\Big( \frac{M \sum_n e^{(1 + \beta) s_n} / \sum_n e^{\beta s_n} - M \tau^+ e^{p_i}}{1 - \tau^+},
        M e^{-1 / t} \Big)

    where ``p`` and ``s`` are the cosines of a view with its other view and with the M negatives, divided by t.

    Args:
        z1: (N, D) first views, any length; normalised here.
        z2: (N, D) second views of the same items.
        temperature: t, above 0; a Parameter is learned.
        tau_plus: tau+, the share of the negatives assumed to belong to the item's own class, in [0, 1).
        beta: How much more hard negatives count; 0 is the debiased contrastive loss, and with ``tau_plus=0`` it is
            ``nt_xent_loss``.
        ids: (N,) integers of the items; views of items that share one are never each other's negatives.
        sample_weight: (2N,) one weight per view, first views first.
        mask: (N,) boolean; an item that does not count enters no loss with either of its views, and may be NaN.
        reduction: ``"none"`` (2N,), ``"sum"`` or ``"mean"`` over the views.
        group: Process group whose ranks' views are one batch, in which ids mean the same on every rank. The average of
            the ranks' means is the mean of that batch, and likewise for gradients; ``"none"`` and ``"sum"`` cover the
            rank's own views.

    Returns:
        A scalar, or (2N,), first views first. A view without a negative has loss 0, and ``mean`` averages the others;
        if there are none, the loss is 0.0, with zero gradients. Where the second form of g is larger, the negatives
        have no gradient.

    Raises:
        ValueError: Wrong shapes, ``temperature`` not above 0, ``tau_plus`` outside of [0, 1), ``beta`` below 0.
        TypeError: Views in different precisions.

    Example:
        >>> import torch
        >>> z1, z2 = torch.eye(2), torch.eye(2)
        >>> hard_negative_contrastive_loss(z1, z2, temperature=1.0)
        tensor(0.4671)

    Source:
        Robinson et al., Contrastive Learning with Hard Negative Samples, arXiv:2010.04592, section 3.2, and Chuang et
        al., Debiased Contrastive Learning, arXiv:2007.00224, for beta = 0. The defaults are those of the authors' code,
        whose exponentials overflow in float32 below t = 0.03; here everything is in log space.
    """
    check_float("z2", z2)
    compared = compare_views(z1, z2, ids, sample_weight, mask, group)
    temperature, tau_plus = parameters((temperature, tau_plus), compared.anchors.x)
    share, targets = beta / (1 + beta), compared.targets
    if beta > 0:
        assert isinstance(targets, Targets)
        targets = targets.in_powers(share)
    rows = row_statistics(cosines(compared, (1 + beta) / temperature), targets)
    some, log_count = _with_both(rows, compared), _negatives(compared).clamp_min(1).to(rows.rest.dtype).log()
    negatives, positive = rows.rest, rows.target / (1 + beta)
    if beta > 0:  # a target's score is multiplied by the share
        negatives, positive = rows.rest - rows.among + log_count, rows.target / beta
    kept = _less(torch.where(some, negatives - positive, 0), tau_plus, log_count)
    least = log_count - 1 / temperature - positive
    losses = softplus(torch.where(kept > least, kept, least))
    return reduce(losses, weight=_hidden(sample_weight, some), mask=some, reduction=reduction, group=group)


def _less(a: Tensor, share: float | Tensor, log_count: Tensor) -> Tensor:
    """log((e^a - share e^log_count) / (1 - share)); :data:`ABSENT` where nothing is left."""
    off = share * (log_count - a).clamp_max(80).exp()  # as a share of e^a; above 1, nothing is left
    left = off < 1
    log_rest = (-share).log1p() if isinstance(share, Tensor) else math.log1p(-share)
    return torch.where(left, a + (-torch.where(left, off, 0)).log1p() - log_rest, ABSENT)


def _negatives(compared: Compared) -> Tensor:
    """(N,) how many negatives each anchor has: all items that count except those of its group."""
    targets = compared.targets
    assert isinstance(targets, Targets)
    own, everyone = targets.rows, targets.columns
    if targets.row_groups is not None and targets.column_groups is not None:
        own, everyone, counted = targets.row_groups, targets.column_groups, compared.others.counted
        if counted is not None:  # anchors come first
            everyone = apart(everyone, counted)
            own = everyone[: len(own)]
    assert everyone is not None
    total = len(everyone) if compared.others.counted is None else compared.others.counted.sum()
    everyone = everyone.sort().values
    return total - (torch.searchsorted(everyone, own, right=True) - torch.searchsorted(everyone, own))


class HardNegativeContrastiveLoss(Loss):
    """:func:`hard_negative_contrastive_loss` as a Module."""

    fn = staticmethod(hard_negative_contrastive_loss)
    temperature: Positive = 0.5
    tau_plus: Share = 0.1
    beta: Annotated[float, NOT_NEGATIVE] = 1.0
    reduction: Reduction = "mean"


CARDS = (
    Card(
        fn=dcl_loss,
        module=DCLLoss,
        takes=("anchor-positive", "embeddings-labels"),
        input="embeddings",
        data="views",
        formula=r"-w_i \frac{z_i z_p}{\tau} + \log \sum_{n \in N(i)} e^{z_i z_n / \tau}",
        symbols={
            r"w_i": "the weight of the first term: 1, or with `weighting` larger the further apart the two are",
            r"z_i": "a view, of length 1: a row of `embeddings` or of `other`",
            r"z_p": "the other view of its item",
            r"\tau": "`temperature`, above 0",
            r"N(i)": "the views of the other items",
            r"z_n": "one of these",
            r"i": "any view of the batch",
        },
        kernel="rows",
        item="anchor",
        paper="arXiv:2110.06848",
        equation="6",
        defaults="the paper, ImageNet",
        search={
            "temperature": Range(0.05, 1.0, log=True),
            "weighting": Choice(("none", "von_mises_fisher")),
        },
        batch="m-per-class",
        separable=False,
        mean_is_plain=False,
        exact={"gradient": "exact"},
        at_call=frozenset({"sample_weight", "ids", "mask", "group"}),
        when="Two views of each unlabelled item, in small batches, where `nt_xent_loss` learns slowly.",
        pitfalls=(
            "Its minimum is below 0, and its values are not comparable across temperatures.",
            "Two items of the batch that are really the same are each other's negatives: pass `ids`.",
            "Under data-parallel training a rank only has its own views as negatives: pass `group`.",
        ),
        relatives=("nt_xent_loss", "supcon_loss", "hard_negative_contrastive_loss"),
        aliases=("decoupled_contrastive_loss", "DecoupledContrastiveLoss"),
    ),
    Card(
        fn=hard_negative_contrastive_loss,
        module=HardNegativeContrastiveLoss,
        takes=("anchor-positive",),
        input="embeddings",
        data="views",
        formula=(
            r"-\log \frac{e^{p_i}}{e^{p_i} + g_i}, \quad g_i = \max\Big( \frac{M \sum_n e^{(1 + \beta) s_n} / "
            r"\sum_n e^{\beta s_n} - M \tau^+ e^{p_i}}{1 - \tau^+}, M e^{-1 / t} \Big)"
        ),
        symbols={
            r"p_i": "the cosine of view i, a row of `z1` or `z2`, and its other view, divided by t",
            r"g_i": "the corrected sum of the negatives",
            r"M": "how many negatives the view has: the views of the other items",
            r"n": "one of these",
            r"\beta": "`beta`: how much more hard negatives count; with 0 all count the same",
            r"s_n": "the view's cosine with it, divided by t",
            r"\tau^+": "`tau_plus`, the share of them assumed to belong to the view's own class",
            r"t": "`temperature`, above 0",
            r"i": "any view of the batch",
        },
        kernel="rows",
        item="anchor",
        paper="arXiv:2010.04592",
        equation="section 3.2",
        defaults="the authors' code",
        search={
            "temperature": Range(0.05, 1.0, log=True),
            "tau_plus": Range(0.0, 0.2),
            "beta": Range(0.0, 2.0),
        },
        separable=False,
        mean_is_plain=False,
        at_call=frozenset({"sample_weight", "ids", "mask", "group"}),
        when="Two views of each unlabelled item, with few classes behind them.",
        pitfalls=(
            "tau_plus is a class's share of the data: 0.1 is for ten classes.",
            "Where the correction leaves less than the smallest possible sum, negatives have no gradient.",
            "Under data-parallel training a rank only has its own views as negatives: pass `group`.",
        ),
        relatives=("nt_xent_loss", "dcl_loss"),
        aliases=("hcl_loss", "HCLLoss"),
    ),
)

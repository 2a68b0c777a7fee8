"""Yes before no: losses of how a batch's scores rank."""

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card, Range
from lossary.core.check import check_among, check_dim, check_float, check_same_shape, wide_integers
from lossary.core.loss import Loss
from lossary.core.reduce import align, counted, one_weight
from lossary.core.rules import NotNegative, checked
from lossary.distributed import across_ranks, totals
from lossary.kernels.stable import accumulate, accumulator, parameters, widened
from lossary.losses._pointwise import decide, hide

__all__ = ["AUCMarginLoss", "auc_margin_loss"]


@across_ranks
@checked
def auc_margin_loss(
    input: Tensor,
    target: Tensor,
    *,
    margin: NotNegative = 1.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""The area under the ROC curve by squares: yes must score a margin above no on average, and either vary little.

    .. math:: \frac{1}{P} \sum_{y_n = 1} (z_n - \mu_+)^2 + \frac{1}{Q} \sum_{y_n = 0} (z_n - \mu_-)^2
        + \max(0, m + \mu_- - \mu_+)^2

    where the means are those of the batch's P yes and Q no. Neither counts for more if it is more frequent. Of the
    squared error of every pair of a yes and a no, which has the same first two terms, only the third grows once the
    means are farther apart than the margin; here it is 0. It is defined only for a whole batch, so there is nothing to
    reduce.

    Args:
        input: Scores, (N,), or (N, C) for many labels: then the mean over the labels that have a yes and a no.
        target: The shape of ``input``: booleans, or +1 for yes against -1 or 0 for no.
        margin: m, in units of the score, at least 0; a Parameter is learned.
        sample_weight: One weight per element, or one per sample, (N,), in all means.
        mask: Boolean, True where an element counts; False for labels that nobody annotated.
        group: Process group whose ranks' items are one batch: every rank returns the loss of that batch, and the
            average of the ranks' gradients is its gradient.

    Returns:
        A scalar; 0 if no label has a yes and a no.

    Raises:
        ValueError: Shapes that differ, a target that is not -1, 0 or 1, ``margin`` below 0.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> target = torch.tensor([1, 1, 0, 0])
        >>> right, mixed = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([1.0, 0.0, 1.0, 0.0])
        >>> auc_margin_loss(right, target), auc_margin_loss(mixed, target)
        (tensor(0.), tensor(1.5000))

    Source:
        Yuan et al., Large-scale Robust Deep AUC Maximization, arXiv:2012.03173, eq. 6. It and LibAUC's ``AUCMLoss``
        follow the means and the margin's factor over steps, by an optimiser of their own, from scores between 0 and 1;
        where those stand at the batch's best, theirs is this loss times the shares of yes and of no.
    """
    check_float("input", input)
    check_dim("input", input, (1, 2), "(N,) or (N, C)")
    check_same_shape("target", target, "input", input)
    check_among("target", counted(target, mask), (-1, 0, 1))
    # Means of large scores that cancel: batches are small enough for float64.
    x, target, shape = widened(accumulate(input)), wide_integers("target", target), input.shape
    sample_weight, mask = align(sample_weight, mask, shape)
    if mask is not None:
        mask = mask.expand(shape)
        x, target = hide(x, mask), hide(target, mask)
    (margin,) = parameters((margin,), x)
    weight = one_weight(sample_weight, mask, shape, x.dtype)
    yes = decide(target, torch.ones_like(x), torch.zeros_like(x))
    sides = torch.stack([yes, 1 - yes]) * (1 if weight is None else weight.to(x.dtype))
    if x.dim() == 1:
        x, sides = x[:, None], sides[..., None]
    (counts,) = totals(group, input=sides.sum(1))
    shares = sides / (counts + (counts == 0))[:, None]
    (means,) = totals(group, input=(shares * x).sum(1))
    apart = torch.where(shares != 0, x - means[:, None], 0)
    (spreads,) = totals(group, input=(shares * apart.square()).sum(1))
    losses = spreads.sum(0) + (margin + means[1] - means[0]).relu().square()
    ranked = ~(counts <= 0).any(0)  # so written, a NaN stays one
    return (torch.where(ranked, losses, 0).sum() / ranked.sum().clamp_min(1)).to(accumulator(input))


class AUCMarginLoss(Loss):
    """:func:`auc_margin_loss` as a Module."""

    fn = staticmethod(auc_margin_loss)
    margin: NotNegative = 1.0


CARDS = (
    Card(
        fn=auc_margin_loss,
        module=AUCMarginLoss,
        takes=("input-target",),
        input="scores",
        data="answers",
        formula=(
            r"\frac{1}{P} \sum_{y_n = 1} (z_n - \mu_+)^2 + \frac{1}{Q} \sum_{y_n = 0} (z_n - \mu_-)^2"
            r" + \max(0, m + \mu_- - \mu_+)^2"
        ),
        symbols={
            r"P": "how many yes there are",
            r"y_n": "`target`: 1 for yes",
            r"n": "every item of the batch",
            r"z_n": "`input`, the score of item n",
            r"\mu_+": "the mean score of yes",
            r"Q": "how many no there are",
            r"\mu_-": "the mean score of no",
            r"m": "`margin`",
        },
        kernel="none",
        item="batch",
        paper="arXiv:2012.03173",
        equation="6",
        defaults="the paper",
        search={"margin": Range(0.25, 4.0, log=True)},
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "group"}),
        when="Rare yes, judged by the area under the ROC curve, in batches that hold several of either.",
        pitfalls=(
            "A batch with only one of the two teaches nothing: draw batches that have both.",
            "The scores are no probabilities, and only the margin sets their scale.",
            "Its authors first train the network by cross-entropy, and then only the last layers anew by this.",
        ),
        relatives=("ranknet_loss", "hinge_loss", "balanced_bce_loss"),
        aliases=("aucm_loss",),
    ),
)

"""How a batch of embeddings is distributed: over few features."""

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card
from lossary.core.check import check_dim, check_float, check_shape
from lossary.core.loss import Loss
from lossary.core.reduce import align, one_weight
from lossary.core.rules import checked
from lossary.distributed import across_ranks, gathered
from lossary.kernels.stable import accumulate
from lossary.losses._pointwise import hide

__all__ = [
    "FLOPSLoss",
    "flops_loss",
]


def _weighed(embeddings: Tensor, sample_weight: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """The embeddings (N, D), 0 where one does not count, and the weight of each, (N,)."""
    check_dim("embeddings", embeddings, 2, "(N, D)")
    check_float("embeddings", embeddings)
    x, count = accumulate(embeddings), embeddings.shape[:1]
    if sample_weight is not None:
        check_shape("sample_weight", sample_weight, tuple(count))
    sample_weight, mask = align(sample_weight, mask, count)
    if mask is not None:
        mask = mask.expand(count)
        x = hide(x, mask[:, None])
    weight = one_weight(sample_weight, mask, count, x.dtype)
    return x, torch.ones_like(x[:, :1]).sum(1) if weight is None else weight.to(x.dtype)


@across_ranks
@checked
def flops_loss(
    embeddings: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Each feature should be 0 for most items, and all be used alike: sparse embeddings for an inverted index (FLOPS).

    .. math:: \sum_j \Big( \frac{1}{N} \sum_n |x_{nj}| \Big)^2

    It bounds the number of products that a search takes, which is the sum over features of the squared share of items
    that have the feature. Unlike an L1 penalty, it costs a feature more the more items have it. It is defined only for
    a whole batch, so there is nothing to reduce.

    Args:
        embeddings: (N, D), such as SPLADE's weights of the D words of a vocabulary.
        sample_weight: (N,) how much each item counts in the means.
        mask: (N,) boolean, True where an item counts; other items may hold anything.
        group: Process group whose ranks' items are one batch: every rank returns the loss of that batch, and the
            average of the ranks' gradients is its gradient.

    Returns:
        A scalar. The gradient at a feature of exactly 0 is 0.

    Raises:
        ValueError: Wrong shapes.
        TypeError: ``embeddings`` that are not floating-point.

    Example:
        >>> import torch
        >>> flops_loss(torch.eye(4)), flops_loss(torch.eye(4)[[0, 0, 0, 0]])  # all features used alike, or one for all
        (tensor(0.2500), tensor(1.))

    Source:
        Paria et al., Minimizing FLOPs to Learn Efficient Sparse Representations, arXiv:2004.05665; SPLADE,
        arXiv:2107.05720, adds it for queries and for documents, each with its own weight. Sentence Transformers omits
        the absolute value, which changes nothing for SPLADE's weights.
    """
    x, weight = _weighed(embeddings, sample_weight, mask)
    sums, total = (weight[:, None] * x.abs()).sum(0), weight.sum()
    sums, total = (t.sum(0) for t in gathered(group, embeddings=sums[None], sample_weight=total[None]))
    return (sums / (total + (total == 0))).square().sum()


class FLOPSLoss(Loss):
    """:func:`flops_loss` as a Module."""

    fn = staticmethod(flops_loss)


CARDS = (
    Card(
        fn=flops_loss,
        module=FLOPSLoss,
        takes=("embeddings",),
        input="embeddings",
        data="views",
        formula=r"\sum_j \Big( \frac{1}{N} \sum_n |x_{nj}| \Big)^2",
        symbols={
            r"j": "every feature",
            r"N": "how many items there are",
            r"n": "every item",
            r"x_{nj}": "`embeddings`: feature j of item n",
        },
        kernel="none",
        item="batch",
        paper="arXiv:2004.05665",
        equation="unconfirmed",
        defaults="no hyperparameters",
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "group"}),
        when="In addition to a retrieval loss, for sparse embeddings that an inverted index shall search.",
        pitfalls=(
            "Its weight must grow from 0 over the first thousands of steps: at full weight all embeddings become 0.",
            "Queries and documents need a weight each, so call it once for either.",
            "The mean is over the batch, so a rank's own batch is another loss: pass `group`.",
        ),
        relatives=("koleo_loss", "multiple_negatives_ranking_loss", "margin_mse_loss"),
        aliases=("splade_regularizer",),
    ),
)

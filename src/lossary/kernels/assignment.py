"""Items shared among prototypes so that each prototype gets as many, by Sinkhorn's iterations in log space."""

from torch import Tensor

from lossary.distributed.gather import Ranks
from lossary.kernels.stable import ABSENT


def balanced(scores: Tensor, iterations: int, counted: Tensor | None, ranks: Ranks | None) -> Tensor:
    """The logarithms of items' shares of prototypes, from scores (N, ..., K) over their entropy's weight.

    Args:
        scores: Of items along the first dimension; views between are balanced each by itself.
        iterations: How often prototypes are made equal, and then items.
        counted: (N,) boolean, which items there are; None for all.
        ranks: Whose items there are; None for these alone.

    Returns:
        Log-probabilities in the shape of ``scores``: after so few iterations items are right, prototypes nearly.
    """
    absent = None if counted is None else ~counted.reshape(-1, *(1 for _ in scores.shape[1:]))
    for _ in range(iterations):
        total = (scores if absent is None else scores.masked_fill(absent, ABSENT)).logsumexp(0, keepdim=True)
        if ranks is not None:
            alone = Ranks((1,) * len(ranks.sizes), ranks.rank, ranks.group)
            total = alone.gather(total).logsumexp(0, keepdim=True)
        scores = (scores - total).log_softmax(-1)
    return scores

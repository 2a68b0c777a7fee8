"""Items assigned to prototypes so that each prototype gets equally many, by Sinkhorn iterations in log space."""

from torch import Tensor

from lossary.distributed.gather import Ranks
from lossary.kernels.stable import ABSENT


def balanced(scores: Tensor, iterations: int, counted: Tensor | None, ranks: Ranks | None) -> Tensor:
    """The logarithms of the items' shares of prototypes, from scores (N, ..., K) divided by the entropy's weight.

    Args:
        scores: Items along the first dimension; each view in between is balanced separately.
        iterations: How often prototypes, and then items, are normalised.
        counted: (N,) boolean, which items exist; None for all.
        ranks: The ranks that share the items; None if there are only these.

    Returns:
        Log-probabilities in the shape of ``scores``: after few iterations exact for items, approximate for prototypes.
    """
    absent = None if counted is None else ~counted.reshape(-1, *(1 for _ in scores.shape[1:]))
    for _ in range(iterations):
        total = (scores if absent is None else scores.masked_fill(absent, ABSENT)).logsumexp(0, keepdim=True)
        if ranks is not None:
            alone = Ranks((1,) * len(ranks.sizes), ranks.rank, ranks.group)
            total = alone.gather(total).logsumexp(0, keepdim=True)
        scores = (scores - total).log_softmax(-1)
    return scores

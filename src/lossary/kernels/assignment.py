"""Items assigned: to prototypes, equally many to each, by Sinkhorn iterations; one to one, at the least cost."""

import torch
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


@torch.no_grad()
def cheapest(costs: Tensor) -> Tensor:
    """One to one at the least total cost, exactly: (N, S, S) costs of giving column j to row i; (N, S) each row's j.

    For every set of columns, the cheapest way of giving it to the first rows: S^2 2^S steps, all without a look at a
    value, where trying all permutations takes S! of them. Among equally cheap ones, the first found.
    """
    size = costs.shape[-1]
    bound = torch.finfo(costs.dtype).max / (4 * size)
    costs = costs.clamp(-bound, bound)  # apart from the infinity of what cannot be; a NaN stays one
    columns = torch.arange(size, device=costs.device)
    sets = torch.arange(1 << size, device=costs.device)
    absent = (sets[:, None] >> columns) & 1 == 0
    before = sets[:, None] & ~(1 << columns)
    best = torch.where(sets == 0, 0.0, torch.inf).to(costs.dtype).expand(len(costs), -1)
    last: list[Tensor] = []
    for row in costs.unbind(1):
        totals = (best[:, before] + row[:, None]).masked_fill(absent, torch.inf)
        best, chosen = totals.min(-1)
        last.append(chosen)
    given = torch.full((len(costs), 1), (1 << size) - 1, device=costs.device)
    found: list[Tensor] = []
    for chosen in reversed(last):
        column = chosen.gather(1, given)
        given = given - (1 << column)
        found.append(column)
    return torch.cat(found[::-1], 1)

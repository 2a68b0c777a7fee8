"""A loss of several outputs whose order means nothing, such as the speakers in a mixture."""

from typing import Any

import torch
from torch import Tensor, nn

from lossary.core.check import check_float, check_tensor
from lossary.core.reduce import align
from lossary.kernels.assignment import cheapest
from lossary.kernels.stable import accumulate

__all__ = ["PermutationInvariant"]

#: Sets of sources double with each: of this many there are 4,096.
MOST_SOURCES = 12


class PermutationInvariant(nn.Module):
    r"""A loss of several sources in whatever order is best (permutation-invariant training, PIT).

    .. math:: \min_{\pi} \sum_j \ell(x_{\pi(j)}, y_j)

    over all permutations of each mixture's S predictions. All S^2 pairs are compared without a gradient; the best order
    is found exactly, from sets of sources, in some ``S^2 2^S`` steps on the device (no S! permutations, no copy to the
    host); then the loss is taken of the S pairs that remain, with its own reduction, and only these hold memory.

    Args:
        loss: A loss Module of (input, target) that takes ``reduction`` at the call, as those of this package do, and
            has one value or more per row: ``SISDRLoss()``, ``MSELoss()``, ``BCEWithLogitsLoss()``.

    Returns:
        When called, the loss of the pairs in the targets' order; with the loss's ``reduction="none"`` (N, S, ...). The
        order gets no gradient: it is constant but where two are as good.

    Raises:
        ValueError: More than 12 sources, or none; other numbers of predictions and targets; a loss that returns no
            value per row.
        TypeError: A loss that is not a Module.

    Example:
        >>> import torch, lossary
        >>> loss = PermutationInvariant(lossary.MSELoss())
        >>> speakers = torch.tensor([[[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]]])
        >>> loss(speakers.flip(1), speakers), lossary.mse_loss(speakers.flip(1), speakers)
        (tensor(0.), tensor(3.))
        >>> loss.order(speakers.flip(1), speakers)
        tensor([[1, 0]])

    Source:
        Yu et al., Permutation Invariant Training of Deep Models for Speaker-Independent Multi-talker Speech Separation,
        arXiv:1607.00325. asteroid tries all orders of up to 3 sources and asks scipy, on the host, for more;
        speechbrain tries all, one mixture after another. Both keep all S^2 pairs for the gradient.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        if not isinstance(loss, nn.Module):
            raise TypeError(f"loss: wanted a loss Module; got {type(loss).__name__}")
        self.loss = loss

    def forward(
        self, input: Tensor, target: Tensor, *, sample_weight: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """The loss of ``input`` (N, S, ...) and ``target`` (N, S, ...), each of S sources.

        ``sample_weight`` and ``mask`` are the targets': (N,), (N, S) or longer, as the loss takes them. A source that
        is masked costs nothing, so a mixture may have fewer than S: any prediction is good for it.
        """
        given = self._given(input, target, sample_weight, mask)
        order = self._order(input, target, given)
        rows = torch.arange(len(order), device=order.device)[:, None]
        found = self.loss(input[rows, order].flatten(0, 1), target.flatten(0, 1), **_flat(given))
        return found.unflatten(0, tuple(order.shape)) if found.dim() > 0 else found

    def order(
        self, input: Tensor, target: Tensor, *, sample_weight: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """(N, S): for each target the number of its prediction, to sort predictions by."""
        return self._order(input, target, self._given(input, target, sample_weight, mask))

    def _given(
        self, input: Tensor, target: Tensor, sample_weight: Tensor | None, mask: Tensor | None
    ) -> dict[str, Tensor]:
        """Weights and mask, one per source at least."""
        check_float("input", input)
        check_tensor("target", target)
        sizes = input.shape[:2]
        if min(input.dim(), target.dim()) < 2 or sizes != target.shape[:2] or not 1 <= sizes[1] <= MOST_SOURCES:
            wanted = f"wanted (N, S, ...) twice, with 1 to {MOST_SOURCES} sources S"
            raise ValueError(f"input: {wanted}; got {tuple(input.shape)} and target {tuple(target.shape)}")
        align(sample_weight, mask, target.shape)  # which refuses what does not fit
        both = {"sample_weight": sample_weight, "mask": mask}
        named = {name: t[:, None] if t.dim() == 1 else t for name, t in both.items() if t is not None}
        return {name: t.expand(*sizes, *t.shape[2:]) for name, t in named.items()}

    @torch.no_grad()
    def _order(self, input: Tensor, target: Tensor, given: dict[str, Tensor]) -> Tensor:
        """Each target's prediction, (N, S)."""
        x = input.detach().flatten(0, 1)
        costs: list[Tensor] = []  # not list[Tensor](), which no compiler traces
        for j in range(target.shape[1]):
            own = {name: t[:, j : j + 1].expand_as(t) for name, t in given.items()}
            there = target[:, j : j + 1].expand_as(target).flatten(0, 1)
            cost = self.loss(x, there, reduction="none", **_flat(own))
            if cost.dim() == 0 or len(cost) != len(x):
                raise ValueError(f"loss: wanted a value per row with reduction='none'; got shape {tuple(cost.shape)}")
            cost = accumulate(cost).flatten(1).sum(1) if cost.dim() > 1 else accumulate(cost)
            costs.append(cost.unflatten(0, tuple(input.shape[:2])))
        return cheapest(torch.stack(costs, 1))


def _flat(given: dict[str, Tensor]) -> dict[str, Any]:
    return {name: t.flatten(0, 1) for name, t in given.items()}

"""The losses of several tasks as one: weighed by how uncertain each task is, which is learned."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lossary.core.check import check_choice, check_tensor
from lossary.kernels.stable import accumulate

__all__ = ["UncertaintyWeighting"]

Kind = Literal["regression", "classification"]


class UncertaintyWeighting(nn.Module):
    r"""The losses of several tasks as one loss, each over its own noise, which is learned (homoscedastic uncertainty).

    .. math:: \sum_k \Big( a_k\, e^{-s_k} L_k + \frac{s_k}{2} \Big), \quad
        a_k = \tfrac12 \text{ (regression) or } 1 \text{ (classification)}

    where s is the logarithm of a task's variance: of the error of a number, or the square of the temperature of a
    softmax. Wherever s has come to rest, at ``log(2 a L)``, only the logarithms of the losses count, each by a half: no
    task outweighs another because of its units.

    Args:
        kinds: By the name of the task, ``"regression"`` (a squared error) or ``"classification"`` (a cross-entropy).

    Returns:
        The total when called with the tasks' losses by name, all in one shape, in at least float32.

    Raises:
        ValueError: No task, an unknown kind; at the call, losses of other tasks, or in different shapes.
        TypeError: A loss that is not a tensor.

    Example:
        >>> import torch
        >>> tasks = UncertaintyWeighting(depth="regression", labels="classification")
        >>> tasks(depth=torch.tensor(4.0), labels=torch.tensor(0.5))
        tensor(2.5000, grad_fn=<SumBackward1>)
        >>> tasks.parts(depth=torch.tensor(4.0), labels=torch.tensor(0.5))["depth"]
        tensor(2., grad_fn=<AddBackward0>)
        >>> tasks.deviations()
        {'depth': 1.0, 'labels': 1.0}

    Note:
        Its Parameter ``log_variance`` must be given to the optimizer, best without weight decay. A task whose loss
        reaches 0, or is below it (a likelihood of numbers may be), has no best variance: its weight grows without
        limit. With the ranks of data-parallel training it is a Module like others: wrap it, so that they agree.

    Source:
        Kendall et al., Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics,
        arXiv:1705.07115, section 3. There a regression's loss is the whole squared error, here whatever mean you pass.
        Common code has ``exp(-s) L + s`` for every task, which holds a classification for twice as uncertain, or
        ``log(1 + variance)`` in place of ``s`` (arXiv:1805.06334), which is never below 0.
    """

    def __init__(self, **kinds: Kind) -> None:
        super().__init__()
        if not kinds:
            raise ValueError("kinds: wanted at least one task by name; got none")
        for name, kind in kinds.items():
            check_choice(name, kind, get_args(Kind))
        self.kinds = dict(kinds)
        self.log_variance = nn.Parameter(torch.zeros(len(kinds)))

    def forward(self, **losses: Tensor) -> Tensor:
        return torch.stack(list(self.parts(**losses).values())).sum(0)

    def parts(self, **losses: Tensor) -> dict[str, Tensor]:
        """Each task's share, by name; they add up to the total."""
        if losses.keys() != self.kinds.keys():
            raise ValueError(f"losses: wanted those of {', '.join(self.kinds)}; got {', '.join(losses) or 'none'}")
        for name, loss in losses.items():
            check_tensor(name, loss)
        shapes = {name: tuple(loss.shape) for name, loss in losses.items()}
        if len(set(shapes.values())) > 1:
            raise ValueError(f"losses: wanted them in one shape (reduction='mean' each); got {shapes}")
        variances = zip(self.kinds.items(), accumulate(self.log_variance).unbind(), strict=True)
        return {
            name: (0.5 if kind == "regression" else 1.0) * (-s).exp() * accumulate(losses[name]) + s / 2
            for (name, kind), s in variances
        }

    def deviations(self) -> dict[str, float]:
        """The learned standard deviation of each task, or temperature, by name."""
        found = self.log_variance.detach().double().tolist()
        return {name: math.exp(s / 2) for name, s in zip(self.kinds, found, strict=True)}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={kind!r}" for name, kind in self.kinds.items())

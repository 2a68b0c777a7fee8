"""Penalties on weights, and a loss with them added."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lossary.core.check import check_number, check_tensor
from lossary.core.reduce import scaled
from lossary.kernels.stable import accumulate

__all__ = ["Regularized", "elastic_net_penalty", "l1_penalty", "l2_penalty", "weights_of"]

#: What a penalty applies to: one tensor, several, or the weights of a model.
Weights = Tensor | Iterable[Tensor] | nn.Module


def weights_of(model: nn.Module, *, biases: bool = False) -> list[Tensor]:
    """The parameters of a model that are penalised: all except those called bias, unless asked for.

    Example:
        >>> from torch import nn
        >>> [tuple(w.shape) for w in weights_of(nn.Linear(3, 2))]
        [(2, 3)]
    """
    return [p for name, p in model.named_parameters() if biases or "bias" not in name.rpartition(".")[2]]


def _tensors(weights: Weights) -> list[Tensor]:
    if isinstance(weights, nn.Module):
        return weights_of(weights)
    tensors = [weights] if isinstance(weights, Tensor) else list(weights)
    for tensor in tensors:
        check_tensor("weights", tensor)
    return tensors


def _total(parts: list[Tensor]) -> Tensor:
    return torch.stack(parts).sum() if parts else torch.zeros(())


def l1_penalty(weights: Weights, *, strength: float | Tensor = 1.0) -> Tensor:
    r"""The sum of absolute weights: it drives weights to exactly 0, whatever their size.

    .. math:: \lambda \sum_i |w_i|

    Args:
        weights: A tensor, several, or a model (its parameters except biases).
        strength: lambda, at least 0.

    Returns:
        A scalar. The gradient at a weight of 0 is 0.

    Raises:
        ValueError: ``strength`` below 0.

    Example:
        >>> import torch
        >>> l1_penalty(torch.tensor([0.25, -0.25, 0.5]), strength=2.0)
        tensor(2.)

    Source:
        Tibshirani, Regression Shrinkage and Selection via the Lasso, 1996.
    """
    check_number("strength", strength, low=0)
    return scaled(_total([accumulate(w).abs().sum() for w in _tensors(weights)]), strength)


def l2_penalty(weights: Weights, *, strength: float | Tensor = 1.0) -> Tensor:
    r"""The sum of squared weights: it prefers many small weights to a few large ones.

    .. math:: \lambda \sum_i w_i^2

    Args:
        weights: A tensor, several, or a model (its parameters except biases).
        strength: lambda, at least 0.

    Returns:
        A scalar.

    Raises:
        ValueError: ``strength`` below 0.

    Example:
        >>> import torch
        >>> l2_penalty(torch.tensor([1.0, 0.0, 0.0, 0.0])), l2_penalty(torch.full((4,), 0.25))
        (tensor(1.), tensor(0.2500))

    Source:
        Hoerl and Kennard, Ridge Regression, 1970. No factor 1/2: with plain SGD it is a ``weight_decay`` of
        2 lambda. Optimisers that adapt step sizes (Adam) treat the two differently; AdamW's decay is not this.
    """
    check_number("strength", strength, low=0)
    return scaled(_total([accumulate(w).square().sum() for w in _tensors(weights)]), strength)


def elastic_net_penalty(weights: Weights, *, l1: float | Tensor = 1.0, l2: float | Tensor = 1.0) -> Tensor:
    r"""Both penalties: sparse, yet sharing weight among inputs that go together.

    .. math:: \lambda_1 \sum_i |w_i| + \lambda_2 \sum_i w_i^2

    Args:
        weights: A tensor, several, or a model (its parameters except biases).
        l1: Strength of the absolute part, at least 0.
        l2: Strength of the squared part, at least 0.

    Returns:
        A scalar.

    Raises:
        ValueError: A strength below 0.

    Example:
        >>> import torch
        >>> elastic_net_penalty(torch.tensor([2.0, -1.0]), l1=1.0, l2=0.5)
        tensor(5.5000)

    Source:
        Zou and Hastie, Regularization and Variable Selection via the Elastic Net, 2005; no factor 1/2.
    """
    check_number("l1", l1, low=0)
    check_number("l2", l2, low=0)
    tensors = _tensors(weights)
    return l1_penalty(tensors, strength=l1) + l2_penalty(tensors, strength=l2)


class Regularized(nn.Module):
    """A loss plus penalties on a model's weights.

    Args:
        loss: Any Module or function that returns the loss of the data, a scalar.
        model: Whose weights are penalised. It is read, not owned: its parameters are not parameters of the loss.
        l1: Strength of the sum of absolute weights.
        l2: Strength of the sum of squared weights, without a factor 1/2.
        biases: Whether biases are also penalised.

    Example:
        >>> import torch, lossary
        >>> model = torch.nn.Linear(3, 1)
        >>> loss = Regularized(lossary.MSELoss(), model, l2=1e-3)
        >>> x, y = torch.zeros(4, 3), torch.zeros(4, 1)
        >>> loss(model(x), y) > lossary.mse_loss(model(x), y)
        tensor(True)
    """

    def __init__(
        self, loss: nn.Module, model: nn.Module, *, l1: float = 0.0, l2: float = 0.0, biases: bool = False
    ) -> None:
        super().__init__()
        check_number("l1", l1, low=0)
        check_number("l2", l2, low=0)
        self.loss = loss
        self.l1, self.l2, self.biases = l1, l2, biases
        # In a tuple, so that nn.Module does not register it: an optimiser given both would have every weight twice.
        self._model = (model,)

    def forward(self, *inputs: Tensor, **extra: Any) -> Tensor:
        weights = weights_of(self._model[0], biases=self.biases)
        return self.loss(*inputs, **extra) + elastic_net_penalty(weights, l1=self.l1, l2=self.l2)

    def extra_repr(self) -> str:
        return f"l1={self.l1}, l2={self.l2}, biases={self.biases}"

"""Images compared by a network's features instead of their pixels."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lossary.core.check import check_number, check_tensor
from lossary.kernels.stable import unit
from lossary.losses.values.regression import mse_loss

__all__ = ["PerceptualLoss"]


class PerceptualLoss(nn.Module):
    r"""A loss between the features of two images in a fixed network, as a weighted sum over its layers.

    .. math:: \sum_l w_l \, L(\phi_l(x), \phi_l(y))

    Args:
        network: Any network that is called with images. It is frozen: from now on its parameters require no gradients,
            and it stays in evaluation mode.
        layers: Names of its submodules whose outputs are compared, as in ``network.named_modules()``; or names with
            weights.
        loss: Takes two outputs of a layer, and the keywords of the call. ``mse_loss`` by default.
        normalize: Whether the features of each position, along dimension 1, are first scaled to length 1.

    Returns:
        The total, when called with images and their targets. No gradient flows to the targets.

    Raises:
        ValueError: No layer, a layer that the network does not have or did not run, a weight below 0.
        TypeError: ``network`` that is not a Module.

    Example:
        >>> import torch, lossary
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3), torch.nn.ReLU())
        >>> loss = PerceptualLoss(network, ["2"])
        >>> image = torch.ones(1, 1, 2, 2, requires_grad=True)
        >>> loss(image, image.detach()).item()
        0.0

    Source:
        Johnson et al., arXiv:1603.08155, the feature reconstruction loss; ``normalize`` gives the differences that
        LPIPS weighs (Zhang et al., arXiv:1801.03924, eq. 1); its learned weights are not part of this library. A zero
        vector of features stays zero when normalised, with a zero gradient.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Mapping[str, float] | Iterable[str],
        loss: Callable[..., Tensor] = mse_loss,
        *,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(network, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"network: wanted a Module; got {type(network).__name__}")
        self.weights = dict(layers) if isinstance(layers, Mapping) else dict.fromkeys(layers, 1.0)
        there = dict(network.named_modules())
        if not self.weights:
            raise ValueError("layers: wanted at least one name; got none")
        for name, weight in self.weights.items():
            if name not in there:
                raise ValueError(f"layers: wanted names of the network's submodules; got {name!r}")
            check_number("layers", weight, low=0)
        self.network, self.loss, self.normalize = network.requires_grad_(False).eval(), loss, normalize

    def train(self, mode: bool = True) -> "PerceptualLoss":
        """Set the loss's mode; the network stays in evaluation mode, so that features do not depend on the batch."""
        super().train(mode)
        self.network.eval()
        return self

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """The outputs of the layers, by name."""
        found: dict[str, Tensor] = {}

        def keep(name: str) -> Callable[..., None]:
            def hook(_: nn.Module, __: Any, output: Tensor) -> None:
                # A copy: the next layer may overwrite it, as ReLU does in many networks.
                found[name] = output.clone()

            return hook

        handles = [self.network.get_submodule(name).register_forward_hook(keep(name)) for name in self.weights]
        try:
            self.network(images)
        finally:
            for handle in handles:
                handle.remove()
        missing = [name for name in self.weights if name not in found]
        if missing:
            raise ValueError(f"layers: wanted those that the network runs; got {missing[0]!r}, which it did not")
        return {name: unit(t, 1) if self.normalize else t for name, t in found.items()}

    def forward(self, input: Tensor, target: Tensor, **extra: Any) -> Tensor:
        """The loss of images (N, ...) against their targets."""
        check_tensor("input", input)
        check_tensor("target", target)
        found = self.features(input)
        with torch.no_grad():
            wanted = self.features(target)
        losses = [weight * self.loss(found[name], wanted[name], **extra) for name, weight in self.weights.items()]
        return torch.stack(losses).sum(0)

    def extra_repr(self) -> str:
        return f"layers={self.weights}, normalize={self.normalize}"

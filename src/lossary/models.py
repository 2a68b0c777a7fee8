"""Small networks to try losses with: linear, multilayer, convolutional, U-shaped, and one encoder of several inputs."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["MLP", "LinearClassifier", "Siamese", "SmallCNN", "UNet"]


class LinearClassifier(nn.Linear):
    r"""Features (N, in_features) to scores (N, num_classes), one template and one bias a class.

    .. math:: s = W x + b = [W\;\, b] \begin{bmatrix} x \\ 1 \end{bmatrix}

    Args:
        in_features: D.
        num_classes: C.

    Example:
        >>> model, x = LinearClassifier(3, 2), torch.randn(5, 3)
        >>> torch.allclose(LinearClassifier.append_one(x) @ model.augmented_weight.T, model(x), atol=1e-6)
        True
    """

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__(in_features, num_classes)

    @property
    def augmented_weight(self) -> Tensor:
        """The bias as one column more of the weights, [W b]: (C, D + 1). Gradients flow to both."""
        return torch.cat([self.weight, self.bias[:, None]], dim=1)

    @staticmethod
    def append_one(x: Tensor) -> Tensor:
        """The features that the augmented weights are for: a 1 behind each row, (N, D + 1)."""
        return F.pad(x, (0, 1), value=1.0)


class SmallCNN(nn.Sequential):
    """Images (N, 3, size, size) to embeddings (N, embedding_size), in three convolutions of stride 2.

    Channels-last, which a CPU convolves in about four fifths of the time.

    >>> SmallCNN(embedding_size=64)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 64])
    """

    def __init__(self, *, embedding_size: int = 128, size: int = 32, widths: tuple[int, ...] = (24, 48, 96)) -> None:
        layers: list[nn.Module] = []
        for into, out in zip((3, *widths), widths, strict=False):
            # No bias: the batch norm behind has one.
            convolution = nn.Conv2d(into, out, 3, stride=2, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(out), nn.ReLU()]
        side = size >> len(widths)
        super().__init__(*layers, nn.Flatten(), nn.Linear(widths[-1] * side * side, embedding_size))
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing in torch's types


class MLP(nn.Sequential):
    """Features (N, in_features) to (N, out_features) through ReLU layers.

    >>> MLP(64, 10, hidden=(32, 32))(torch.zeros(2, 64)).shape
    torch.Size([2, 10])
    """

    def __init__(self, in_features: int, out_features: int, *, hidden: tuple[int, ...] = (64,)) -> None:
        layers: list[nn.Module] = []
        for into, out in zip((in_features, *hidden), hidden, strict=False):
            layers += [nn.Linear(into, out), nn.ReLU()]
        super().__init__(*layers, nn.Linear(hidden[-1] if hidden else in_features, out_features))


class Siamese(nn.Module):
    """One encoder for two, three or more inputs, with the same weights for each.

    Each input goes through the encoder by itself, so that a batch norm sees one kind of input at a time.

    Args:
        encoder: Any Module of one input.

    Returns:
        A tuple of the inputs' embeddings when called.

    Example:
        >>> import lossary
        >>> model = Siamese(MLP(64, 16))
        >>> anchor, positive, negative = model(torch.randn(4, 64), torch.randn(4, 64), torch.randn(4, 64))
        >>> lossary.triplet_margin_loss(anchor, positive, negative).shape
        torch.Size([])
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.encoder(x) for x in inputs)


class UNet(nn.Module):
    """Images (N, 3, height, width) to scores of each pixel (N, num_classes, height, width), by 63 thousand weights.

    Each width is a level at half the side of the one before; what a level saw goes past the smaller ones to its
    counterpart on the way up. Channels-last, as :class:`SmallCNN`.

    Args:
        num_classes: C.
        widths: Channels of the levels, from the whole image to the smallest. Sides must divide by 2 as often as there
            are levels below the first.

    Example:
        >>> UNet(3)(torch.zeros(2, 3, 64, 48)).shape
        torch.Size([2, 3, 64, 48])
    """

    def __init__(self, num_classes: int, *, widths: tuple[int, ...] = (12, 16, 32, 64)) -> None:
        super().__init__()
        wider = list(pairwise(widths))
        self.down = nn.ModuleList(_convolved(into, out) for into, out in [(3, widths[0]), *wider])
        self.up = nn.ModuleList(_convolved(beside + below, beside) for beside, below in reversed(wider))
        self.scores = nn.Conv2d(widths[0], num_classes, 1)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing in torch's types

    def forward(self, images: Tensor) -> Tensor:
        seen: list[Tensor] = []
        x = images
        for level in self.down:
            x = level(F.max_pool2d(x, 2) if seen else x)
            seen.append(x)
        for level, beside in zip(self.up, reversed(seen[:-1]), strict=True):
            x = level(torch.cat([beside, F.interpolate(x, scale_factor=2.0)], dim=1))
        return self.scores(x)


def _convolved(into: int, out: int) -> nn.Sequential:
    # No bias: the batch norm behind has one.
    return nn.Sequential(nn.Conv2d(into, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU())

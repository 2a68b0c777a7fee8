"""Small networks to try losses with: an image network and a multilayer perceptron."""

import torch
from torch import nn


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

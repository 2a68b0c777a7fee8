"""Random augmentation of training images, drawn per image but computed for a batch at once."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

# Chosen on the validation classes of the emoji data for one loss of each family. Stronger augmentation (rotation by 15
# degrees, twice the shift and stretch, holes) cost all of them 10 points of Recall@1: a small network underfits. No
# mirroring: left and right are different emoji, digits and letters.
SHIFT = 0.06  # of the image's side, at most
STRETCH = 0.08  # of a side, at most, either way
COLOUR = 0.15  # standard deviation of a colour matrix around the identity


def augment(images: Tensor, generator: Generator, share: slice = slice(None), items: int = 0) -> Tensor:
    """Shifted, stretched and recoloured; shape and range stay the same, (N, 3, H, W) in [0, 1].

    Drawn on the CPU, so the same on all devices.

    Args:
        images: A whole batch, or a share of it.
        generator: Draws for the whole batch.
        share: The part of the batch that the images are.
        items: Size of the whole batch; 0: the number of images.
    """
    items = items or len(images)
    drawn = torch.rand((2, items, 2), generator=generator)[:, share]
    matrices = torch.randn((items, 3, 3), generator=generator)[share]
    return _recolour(_move(images, drawn * 2 - 1), matrices)


def _move(images: Tensor, drawn: Tensor) -> Tensor:
    n = len(images)
    affine = torch.zeros(n, 2, 3)
    affine[:, :, :2] = torch.diag_embed(1 + STRETCH * drawn[0])
    affine[:, :, 2] = 2 * SHIFT * drawn[1]  # the grid runs from -1 to 1
    grid = F.affine_grid(affine.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _recolour(images: Tensor, drawn: Tensor) -> Tensor:
    """Mix the channels about white, which stays white because it is the background."""
    matrix = (torch.eye(3) + COLOUR * drawn).to(images.device)
    return (1 - matrix @ (1 - images.flatten(2))).clamp(0, 1).view_as(images)

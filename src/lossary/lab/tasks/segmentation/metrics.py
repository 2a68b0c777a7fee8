"""A class for each pixel.

Regions are scored over all test pixels together, as in the field's benchmarks: one count of correct, predicted and true
pixels per class. Only classes with a true pixel are scored, so the mean covers the same classes for every loss.

**Units.** Intersection over union is a ratio of sums over images, not a mean over images. An image's contribution is
its part of the ratio's linear approximation; the same holds for all ratios here.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from lossary.lab.tasks.measures import Bools, Floats, Ints, Measures, Metric, Units, check_finite, means, ratio


@dataclass(frozen=True)
class Regions:
    """Pixel counts of each image and class, (..., N, C)."""

    right: Ints
    predicted: Ints
    true: Ints

    @classmethod
    def of(cls, predictions: ArrayLike, labels: ArrayLike) -> Self:
        """From class maps (N, height, width); pixels with a label below 0 do not count."""
        predicted, labels = np.asarray(predictions), np.asarray(labels)
        if labels.ndim != 3 or not len(labels):
            raise ValueError(f"labels: wanted shape (images, height, width); got {labels.shape}")
        if predicted.shape != labels.shape:
            raise ValueError(f"predictions: wanted one a label, shape {labels.shape}; got {predicted.shape}")
        check_finite("predictions", predicted)
        predicted, known = predicted.astype(np.intp), labels >= 0
        if not known.any():
            raise ValueError("labels: wanted at least one pixel with a label; got none")
        classes = int(max(labels.max(), predicted.max())) + 1
        image = np.broadcast_to(np.arange(len(labels))[:, None, None], labels.shape)[known]
        predicted, labels = predicted[known], labels[known]

        def counted(which: Ints) -> Ints:
            return np.bincount(which, minlength=len(known) * classes).reshape(-1, classes)

        hit = predicted == labels
        return cls(
            counted((image * classes + labels)[hit]),
            counted(image * classes + predicted),
            counted(image * classes + labels),
        )

    @property
    def union(self) -> Ints:
        return self.predicted + self.true - self.right

    @property
    def present(self) -> Bools:
        """Which classes have a true pixel."""
        return self.sizes > 0

    @property
    def sizes(self) -> Ints:
        """(C,) the true pixels of each class."""
        return self.true.reshape(-1, self.true.shape[-1]).sum(axis=0)

    @property
    def iou(self) -> Floats:
        """Of each class over all images; NaN if it has no true pixel."""
        found = np.full(len(self.present), np.nan)
        found[self.present] = self.right[:, self.present].sum(axis=0) / self.union[:, self.present].sum(axis=0)
        return found


def _mean_iou(regions: Regions) -> Units:
    there = regions.present
    return Units.of(ratio(regions.right[..., there], regions.union[..., there], axis=-2).mean(axis=-1))


def _rarest_iou(regions: Regions) -> Units:
    """Of the class with the fewest true pixels. Images without it only contribute false positives."""
    sizes = regions.sizes
    rarest = int(np.where(sizes > 0, sizes, sizes.max() + 1).argmin())
    return Units(ratio(regions.right[..., rarest], regions.union[..., rarest]), regions.true[..., rarest] > 0)


def _dice(regions: Regions) -> Units:
    there = regions.present
    below = (regions.predicted + regions.true)[..., there]
    return Units.of(ratio(2 * regions.right[..., there], below, axis=-2).mean(axis=-1))


def _pixel_accuracy(regions: Regions) -> Units:
    return Units.of(ratio(regions.right.sum(axis=-1), regions.true.sum(axis=-1)))


_PSEUDO_VALUES = {
    "mean_iou": _mean_iou,
    "rarest_iou": _rarest_iou,
    "dice": _dice,
    "pixel_accuracy": _pixel_accuracy,
}

MEASURES = Measures(
    task="segmentation",
    units="test images",
    metrics=(
        Metric("mean_iou", "Mean IoU", True, True),
        Metric("rarest_iou", "IoU of the rarest class", True, True),
        Metric("dice", "Mean Dice", True, True),
        Metric("pixel_accuracy", "Pixel accuracy", True, True),
    ),
    read=Regions.of,
    values=means(_PSEUDO_VALUES),
    pseudo_values=_PSEUDO_VALUES,
)

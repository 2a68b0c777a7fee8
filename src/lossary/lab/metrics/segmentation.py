"""A class for each pixel.

Regions are scored over all test pixels together, as in the field's benchmarks: one count of right, predicted and true
pixels a class. Only classes that have a true pixel are scored, so that the mean of every loss is over the same classes.

**Units.** Intersection over union is a ratio of sums over images, and no mean of images. What an image adds to it is
its part of the ratio's linear approximation (the delta method): with I and U an image's intersection and union,
IoU + (I - IoU U) / mean U. The mean over images is IoU itself, and their spread tells how far other images move it.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from lossary.lab.metrics._measures import Floats, Ints, Measures, Metric, Scores, check_finite, plain


@dataclass(frozen=True)
class Regions:
    """Pixel counts of each image and class, (N, C)."""

    right: Ints
    predicted: Ints
    true: Ints

    @classmethod
    def of(cls, predictions: ArrayLike, labels: ArrayLike) -> Self:
        """Of class maps (N, height, width); pixels with a label below 0 count nowhere."""
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
    def iou(self) -> Floats:
        """Of each class over all images; NaN where it has no true pixel."""
        return self._ratio(self.right, self.union)

    @property
    def dice(self) -> Floats:
        return self._ratio(2 * self.right, self.predicted + self.true)

    def _ratio(self, above: Ints, below: Ints) -> Floats:
        present = self.true.any(axis=0)
        return np.where(present, above.sum(axis=0) / np.where(present, below.sum(axis=0), 1), np.nan)

    @property
    def units(self) -> Floats:
        """What each image adds to the mean IoU."""
        present = self.true.any(axis=0)
        iou, union = self.iou[present], self.union[:, present]
        return (iou + (self.right[:, present] - iou * union) / union.mean(axis=0)).mean(axis=1)


def _evaluate(predictions: ArrayLike, labels: ArrayLike) -> Scores:
    regions = Regions.of(predictions, labels)
    sizes = regions.true.sum(axis=0)
    metrics = {
        "mean_iou": np.nanmean(regions.iou),
        "rarest_iou": regions.iou[np.where(sizes > 0, sizes, sizes.max() + 1).argmin()],
        "dice": np.nanmean(regions.dice),
        "pixel_accuracy": regions.right.sum() / sizes.sum(),
    }
    return Scores(plain(metrics), regions.units.tolist(), len(regions.units))


MEASURES = Measures(
    task="segmentation",
    units="test images",
    metrics=(
        Metric("mean_iou", "Mean IoU", True, True),
        Metric("rarest_iou", "IoU of the rarest class", True, True),
        Metric("dice", "Mean Dice", True, True),
        Metric("pixel_accuracy", "Pixel accuracy", True, True),
    ),
    evaluate=_evaluate,
)

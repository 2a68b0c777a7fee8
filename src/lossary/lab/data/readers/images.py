"""Image folders: one folder of images per class."""

import hashlib
import io
import math
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps

from lossary.lab.data.contents import BadData, fingerprint
from lossary.lab.data.readers.source import PARTS, Source, counted, more, parted
from lossary.lab.data.types import Pixels

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
#: Formats allowed in files with these suffixes. Pillow knows more, and starts another program (Ghostscript) for some.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
#: Sides that images are scaled to: the larger one if most images are about that large.
SMALL, LARGE = 32, 64

T = TypeVar("T")


def read(folder: Path, megapixels: int) -> Source:
    """Classes are the folder's subfolders, and items all images in each; or the same inside train/, val/ and test/.

    Raises:
        BadData: naming the file.
    """
    paths, others = walk(folder)
    if not paths:
        raise BadData(f"{folder}: wanted a folder of images for each class; got no image in any folder there")
    below = [path.relative_to(folder).parts for path in paths]
    own = all(parts[0].lower() in PARTS for parts in below)
    if own and any(len(parts) < 3 for parts in below):
        listed = ", ".join(sorted({parts[0] for parts in below}))
        raise BadData(
            f"{folder}: wanted a folder for each class, perhaps in train/, val/ and test/; got images in {listed}"
        )
    classes = [parts[1 if own else 0] for parts in below]
    images, digests, sizes = decoded(paths, megapixels)
    relative = [path.relative_to(folder).as_posix() for path in paths]
    return Source(
        folder.resolve().name,
        "a folder of images",
        np.array(classes),
        relative,
        partial(scaled, images),
        fingerprint(*(name.encode("utf-8", "surrogateescape") for name in relative), *digests),
        facts=(("inputs", f"images of {sizes}, brought to {images.shape[1]} x {images.shape[2]} pixels"),),
        left_out=counted(others, "file that is no image of a class", "files that are no images of a class"),
        images=images,
        raw="raw pixels",
        part=parted([parts[0] for parts in below], str(folder)) if own else None,
    )


def walk(folder: Path) -> tuple[list[Path], list[str]]:
    """Images in folders, in a fixed order, and what else is there."""
    images, others = [], []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted([*folders, *files]):
            path = Path(root, name)
            if path.is_symlink():
                # It may lead out of the folder, or around in a circle.
                raise BadData(f"{path}: wanted a file or folder; got a link to {path.readlink()}")
            if name in folders or name.startswith("."):
                continue
            inside = Path(root) != folder and path.suffix.lower() in SUFFIXES
            (images if inside else others).append(path)
    return images, [path.relative_to(folder).as_posix() for path in others]


def decoded(paths: list[Path], megapixels: int) -> tuple[np.ndarray, list[bytes], str]:
    """All images at one size (N, side, side, 3), digests of their files, and their original sizes.

    Raises:
        BadData: naming the first that is not an image, or whose header claims more than ``megapixels``.
    """
    sizes = each(paths, size)
    large = [(path, size) for path, size in zip(paths, sizes, strict=True) if size[0] * size[1] > megapixels * 1e6]
    if large:
        path, (width, height) = large[0]
        enough = math.ceil(max(w * h for _, (w, h) in large) / 1e6)
        raise BadData(
            f"{path}: wanted an image of at most {megapixels} megapixels; got {width} x {height}"
            f"{more(len(large) - 1)}; --megapixels {enough} allows it"
        )
    side = LARGE if np.median([min(size) for size in sizes]) >= (SMALL + LARGE) / 2 else SMALL
    images = np.empty((len(paths), side, side, 3), np.uint8)
    digests: list[bytes] = []

    def decode(path: Path) -> None:
        stored = path.read_bytes()
        images[len(digests)] = np.asarray(_square(stored, side))
        digests.append(hashlib.sha256(stored).digest())

    each(paths, decode)
    low, high = min(sizes), max(sizes)
    return images, digests, f"{low[0]} x {low[1]}" + (f" to {high[0]} x {high[1]}" if low != high else "") + " pixels"


def each(paths: list[Path], do: Callable[[Path], T]) -> list[T]:
    """The result for each file.

    Raises:
        BadData: naming the first that is not an image, and how many are not.
    """
    done: list[T] = []
    bad: list[str] = []
    for path in paths:
        try:
            with _own_limit():
                done.append(do(path))
        except (OSError, SyntaxError, ValueError) as error:
            bad.append(f"{path}: wanted an image that can be read; got {_why(error)}")
    if bad:
        raise BadData(bad[0] + (f" (and {len(bad) - 1} more such files)" if bad[1:] else ""))
    return done


@contextmanager
def _own_limit() -> Generator[None]:
    """Without Pillow's limit, which no option raises; our own check has already read the headers."""
    kept, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = kept


def opened(file: Path | io.BytesIO) -> Image.Image:
    """An image, opened by its header only."""
    return Image.open(file, formats=FORMATS)


def size(path: Path) -> tuple[int, int]:
    """Width and height of an image as displayed: cameras store it rotated and mark it."""
    with opened(path) as image:
        lying = image.getexif().get(ExifTags.Base.Orientation, 1) > 4
        return (image.height, image.width) if lying else image.size


def _square(stored: bytes, side: int) -> Image.Image:
    """Upright, on white if it is transparent or not square."""
    image = opened(io.BytesIO(stored))
    image.draft("RGB", (2 * side, 2 * side))  # a JPEG is decoded at a fraction of its size
    image = _of_bytes(ImageOps.exif_transpose(image))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image)
        image = white
    return ImageOps.pad(image.convert("RGB"), (side, side), Image.Resampling.BICUBIC, color="white")


class _UnknownWhite(ValueError):
    """An image whose numbers do not define white."""


def _of_bytes(image: Image.Image) -> Image.Image:
    """A 16-bit image at 8 bits per pixel; Pillow would clip it, and nearly all of it would be white."""
    if image.mode in ("I", "F"):
        raise _UnknownWhite("32 bits a pixel, of which none is known to be white")
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)) if image.mode.startswith("I;16") else image


def _why(error: BaseException) -> str:
    if isinstance(error, _UnknownWhite):
        return str(error)
    return str(error.strerror) if isinstance(error, OSError) and error.strerror else "something else or half of one"


def scaled(images: np.ndarray, train: np.ndarray) -> Pixels:
    """In [0, 1], channels last."""
    return Pixels(torch.from_numpy(images).permute(0, 3, 1, 2))

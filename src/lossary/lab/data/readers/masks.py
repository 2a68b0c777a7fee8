"""Images with masks: folders ``images/`` and ``masks/``, where a mask has the same name as its image."""

import hashlib
import io
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image, ImageOps

from lossary.lab.data import splits
from lossary.lab.data.contents import BadData, fingerprint
from lossary.lab.data.readers import images
from lossary.lab.data.readers.source import Source, counted, more
from lossary.lab.data.types import UNLABELLED, Data, at_hand

IMAGES, MASKS = "images", "masks"
VOID = 255  # the usual class number of pixels without a label
MOST_CLASSES = 64  # more different values mean a photograph, or smoothed edges
LOSSY = ("JPEG", "MPO", "JPEG2000", "WEBP")
#: What a mask holds: class numbers, class colours, or greys, which may mean either.
NUMBERS, COLOURS, GREYS = "class numbers", "colours", "greys"
EQUAL = 0x01_01_01
#: Pillow's modes.
ONE_CHANNEL, SEVERAL = ("1", "L", "P", "I", "I;16", "I;16B"), ("LA", "RGB", "RGBA")
#: Batches are small enough that an epoch has about as many as elsewhere.
LARGEST, SMALLEST, STEPS = 8, 2, 8


@dataclass(frozen=True)
class Mask:
    """A mask file: one number per pixel, for a class or a colour; UNLABELLED where it is transparent."""

    form: str
    found: frozenset[int]  # at its own size
    small: np.ndarray  # padded to a square, like its image
    digest: bytes

    def coloured(self) -> Self:
        """With greys as colours with three equal channels."""
        small = np.where(self.small < 0, self.small, self.small * EQUAL)
        return replace(self, found=frozenset(n if n < 0 else n * EQUAL for n in self.found), small=small)


def are_in(folder: Path) -> bool:
    """Whether a folder holds images with masks, rather than a folder of images per class."""
    return (folder / IMAGES).is_dir() and (folder / MASKS).is_dir()


def read(folder: Path, megapixels: int) -> Source:
    """Images and label maps (N, side, side), UNLABELLED where a pixel has no label; all at one size.

    Raises:
        BadData: naming the file.
    """
    image_of, others = _pairs(folder)
    pictures, digests, sizes = images.decoded(list(image_of.values()), megapixels)
    side = pictures.shape[1]
    masks = images.each(list(image_of), lambda path: _mask(path, image_of[path], side))
    masks, form = _alike(list(image_of), masks)
    found = set().union(*(mask.found for mask in masks)) - {UNLABELLED}
    # If there are only 255 and 0, as in masks of a single kind of object, both are classes.
    void = VOID if form == NUMBERS and found - {0} != {VOID} else UNLABELLED
    classes = sorted(found - {void})
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise BadData(f"{folder / MASKS}: wanted masks of 2 to {MOST_CLASSES} classes; got {len(classes)}")
    maps = np.stack([mask.small for mask in masks])
    labels = np.where(np.isin(maps, classes), np.searchsorted(classes, maps), UNLABELLED)
    relative = [path.relative_to(folder).as_posix() for path in image_of.values()]
    return Source(
        folder.resolve().name,
        "a folder of images with masks",
        labels,
        relative,
        partial(images.scaled, pictures),
        fingerprint(*(n.encode("utf-8", "surrogateescape") for n in relative), *digests, *(m.digest for m in masks)),
        facts=(
            ("inputs", f"images of {sizes}, brought to {side} x {side} pixels, white at the sides where not square"),
            ("masks", f"{form}; " + (f"{VOID} means no label; " if void in found else "") + _unlabelled(labels)),
        ),
        left_out=counted(others, "file that is neither image nor mask", "files that are neither images nor masks"),
        images=pictures,
        classes=tuple(f"#{value:06x}" if form == COLOURS else str(value) for value in classes),
    )


def _unlabelled(labels: np.ndarray) -> str:
    return f"{(labels == UNLABELLED).mean():.1%} of the pixels have no label, with those at the sides"


def _pairs(folder: Path) -> tuple[dict[Path, Path], list[str]]:
    """The image of each mask, in a fixed order, and what else is there."""
    paths, others = images.walk(folder)
    found: dict[str, dict[str, Path]] = {IMAGES: {}, MASKS: {}}
    for path in paths:
        part, *below = path.relative_to(folder).with_suffix("").parts
        if part not in found:
            others.append(path.relative_to(folder).as_posix())
            continue
        twin = found[part].setdefault("/".join(below), path)
        if twin != path:
            raise BadData(f"{path}: wanted one file of that name; also got {twin.name}")
    for here, there, what in ((IMAGES, MASKS, "a mask"), (MASKS, IMAGES, "an image")):
        alone = [path for name, path in found[here].items() if name not in found[there]]
        if alone:
            raise BadData(f"{alone[0]}: wanted {what} of that name in {there}/; got none{more(len(alone) - 1)}")
    if not found[IMAGES]:
        raise BadData(f"{folder}: wanted images in {IMAGES}/ and their masks in {MASKS}/; got no image there")
    return {found[MASKS][name]: path for name, path in found[IMAGES].items()}, others


def _mask(path: Path, image: Path, side: int) -> Mask:
    stored = path.read_bytes()
    width, height = images.size(image)
    with images.opened(io.BytesIO(stored)) as opened:
        if opened.format in LOSSY:
            raise BadData(f"{path}: wanted a mask in a lossless format (PNG); got {opened.format}")
        if opened.mode not in (*ONE_CHANNEL, *SEVERAL):
            raise BadData(f"{path}: wanted a grey, palette or colour image; got mode {opened.mode}")
        if opened.size != (width, height):
            came = f"{opened.width} x {opened.height}"
            raise BadData(f"{path}: wanted the size of its image, {width} x {height} pixels; got {came}")
        values, form = _values(np.asarray(opened), opened.mode)
    square = ImageOps.pad(Image.fromarray(values), (side, side), Image.Resampling.NEAREST, color=UNLABELLED)
    found = frozenset(np.unique(values).tolist())
    return Mask(form, found, np.asarray(square), hashlib.sha256(stored).digest())


def _values(pixels: np.ndarray, mode: str) -> tuple[np.ndarray, str]:
    """One number per pixel, and what it means."""
    if mode in ONE_CHANNEL:
        return pixels.astype(np.int32), NUMBERS
    channels = pixels[..., : len(mode.removesuffix("A"))].astype(np.int32)
    form = GREYS if (channels == channels[..., :1]).all() else COLOURS
    values = channels[..., 0] if form == GREYS else channels @ np.array([1 << 16, 1 << 8, 1], np.int32)
    clear = pixels[..., -1] == 0 if mode.endswith("A") else False
    return np.where(clear, UNLABELLED, values).astype(np.int32), form


def _alike(paths: list[Path], masks: list[Mask]) -> tuple[list[Mask], str]:
    """Masks in one form. Greys are numbers, unless other masks have colours: then they are black, white or grey."""
    forms = [mask.form for mask in masks]
    form = COLOURS if COLOURS in forms else NUMBERS
    for path, other in zip(paths, forms, strict=True):
        if form == COLOURS and other == NUMBERS:
            raise BadData(f"{path}: wanted {form}, as in {paths[forms.index(form)].name}; got {other}")
    return [mask.coloured() if (form, mask.form) == (COLOURS, GREYS) else mask for mask in masks], form


def divided(source: Source, same: np.ndarray) -> tuple[Data, tuple[str, ...]]:
    """Three parts that show the same classes; other classes count as no label and are named.

    Raises:
        BadData: if fewer than two classes are in all parts.
    """
    labels = source.targets
    shown = np.stack([(labels == label).any(axis=(1, 2)) for label in range(len(source.classes))])
    parts = splits.by_item(splits.rarest(shown), same)
    common = np.all([shown[:, part].any(axis=1) for part in parts], axis=0)
    if common.sum() < 2:
        raise BadData(
            f"{source.name}: wanted at least 2 classes in {splits.FEWEST_ITEMS} different images or more "
            f"(segmentation); got {common.sum()} in {len(np.unique(same))} images"
        )
    dropped = [f"{source.classes[label]} ({shown[label].sum()})" for label in np.flatnonzero(~common)]
    numbers = np.append(np.where(common, common.cumsum() - 1, UNLABELLED), UNLABELLED)
    labels = numbers[labels.clip(-1)]  # -1, no label, is the last
    inputs = source.encode(parts[0])
    train = at_hand(inputs, parts[0], torch.from_numpy(labels[parts[0]]))
    valid, test = (at_hand(inputs, part, torch.from_numpy(labels[part])) for part in parts[1:])
    assert source.images is not None
    data = Data(
        source.name,
        "segmentation",
        train,
        valid,
        test,
        test_names=tuple(name for name, kept in zip(source.classes, common, strict=True) if kept),
        test_images=source.images[parts[2]],
        batch=(min(LARGEST, max(SMALLEST, len(train) // STEPS)), 0),
    )
    return data, counted(
        dropped, "class with too few images, now no label", "classes with too few images, now no label"
    )

"""NumPy files from anyone. No pickled object is read, and a file's claimed contents are checked before reading."""

import io
import math
import os
import zipfile
import zlib
from typing import IO

import numpy as np

#: An archive of any size may inflate to this many bytes, and beyond that to this many times its size. Embeddings stored
#: as floats compress to half.
INFLATED, TIMES = 1 << 28, 100
_OTHER = (EOFError, OSError, RuntimeError, MemoryError, OverflowError, TypeError, zipfile.BadZipFile, zlib.error)


def memory() -> int:
    """The bytes that fit: half of the machine's memory, because data are copied at least once after reading."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):  # not every system reports it
        return 1 << 33


def check_fits(size: int, what: str) -> None:
    """Raises:
    ValueError: if so many bytes do not fit into memory.
    """
    if size > memory():
        raise ValueError(f"{what} {human(size)}, more than half of the memory ({human(2 * memory())})")


def human(size: int) -> str:
    """A number of bytes as people read it.

    >>> human(1 << 30), human(3_000_000), human(20)
    ('1.0 GiB', '2.9 MiB', '20 bytes')
    """
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << power:
            return f"{size / (1 << power):.1f} {unit}"
    return f"{size} bytes"


def load_all(stored: bytes) -> dict[str, np.ndarray]:
    """The arrays of an archive (.npz) by name.

    Raises:
        ValueError: if it is not an archive, or inflates excessively.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(stored)) as archive:
            members = archive.infolist()
            _check_inflated(sum(member.file_size for member in members), len(stored))
            return {member.filename.removesuffix(".npy"): _member(archive, member) for member in members}
    except _OTHER as error:
        raise ValueError(str(error) or type(error).__name__) from error


def load(stored: bytes) -> np.ndarray:
    """The array of a file (.npy).

    Raises:
        ValueError: if it is not an array, or claims to be larger than the file.
    """
    try:
        return _array(io.BytesIO(stored), len(stored))
    except _OTHER as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _check_inflated(inflated: int, size: int) -> None:
    check_fits(inflated, "an archive that inflates to")
    if inflated > max(INFLATED, TIMES * size):
        raise ValueError(
            f"an archive of {human(size)} that inflates to {human(inflated)}, more than {TIMES} times its size; "
            "np.savez stores arrays as they are"
        )


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    try:
        with archive.open(member) as stored:
            return _array(stored, member.file_size)
    except (ValueError, *_OTHER) as error:
        raise ValueError(f"{member.filename.removesuffix('.npy')}: {error}") from error


def _array(stored: IO[bytes], size: int) -> np.ndarray:
    """``size`` is what is there, header and all."""
    version = np.lib.format.read_magic(stored)
    reads = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in reads:
        raise ValueError(f"an array of format {version}, which named fields alone need")
    shape, _, dtype = reads[version](stored)
    if dtype.hasobject:
        raise ValueError("pickled Python objects, which may run code and are not read")
    there = size - stored.tell()
    claimed = math.prod(shape) * max(dtype.itemsize, 1)
    if not 0 <= claimed <= there or min(shape, default=0) < 0:
        raise ValueError(f"a header that claims {human(claimed)} where there are {human(there)}")
    stored.seek(0)
    return np.lib.format.read_array(stored, allow_pickle=False)

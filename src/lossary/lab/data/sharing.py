"""Data for several processes: read and split once, with the numbers in a file that all of them map."""

import io
import pickle
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from lossary.lab.data.types import Data

ALIGNED = 64  # bytes: where arrays begin, for the processor's widest loads


@dataclass(frozen=True)
class Shared:
    """Data whose arrays are in a file. The rest, with each array's place there, is sent between processes."""

    file: Path
    size: int  # bytes
    rest: bytes

    def open(self) -> Data:
        """The data. A process changes only its own copy of the arrays; the file stays unchanged.

        Raises:
            OSError: if the file is not there as it was written.
        """
        if self.file.stat().st_size != self.size:
            raise OSError(0, "wanted the file as it was written; somebody has changed it", str(self.file))
        return _Reader(io.BytesIO(self.rest), self.file).load()


@contextmanager
def shared(data: Data, file: Path) -> Generator[Shared]:
    """The data in a form that other processes can load, as long as the file exists."""
    file.unlink(missing_ok=True)  # of a run that was killed
    try:
        with file.open("xb") as arrays:
            rest = io.BytesIO()
            _Writer(rest, arrays).dump(data)
            size = arrays.tell()
        yield Shared(file, size, rest.getvalue())
    finally:
        file.unlink(missing_ok=True)


class _Writer(pickle.Pickler):
    def __init__(self, rest: IO[bytes], arrays: IO[bytes]) -> None:
        super().__init__(rest)
        self.arrays = arrays

    def persistent_id(self, obj: Any) -> tuple[Any, ...] | None:
        """The stand-in for an array in the pickle; None if the object is to be pickled itself."""
        tensor = isinstance(obj, Tensor)
        if not tensor and (not isinstance(obj, np.ndarray) or obj.dtype.hasobject):
            return None
        values: np.ndarray = obj.numpy() if tensor else obj
        # In its memory layout: an operator may choose another algorithm if channels come last.
        order = np.argsort([-stride for stride in values.strides], kind="stable").tolist()
        values = np.ascontiguousarray(values.transpose(order))
        self.arrays.write(b"\0" * (-self.arrays.tell() % ALIGNED))
        begin = self.arrays.tell()
        self.arrays.write(values.data.cast("B") if values.size else b"")
        return tensor, begin, values.dtype.str, values.shape, order


class _Reader(pickle.Unpickler):
    """For data that this program itself has just pickled and holds. The file contains only numbers."""

    def __init__(self, rest: IO[bytes], file: Path) -> None:
        super().__init__(rest)
        self.file = file

    def persistent_load(self, pid: tuple[Any, ...]) -> Tensor | np.ndarray:
        tensor, begin, dtype, shape, order = pid
        empty = 0 in shape  # which cannot be mapped
        values = np.empty(shape, dtype) if empty else np.asarray(np.memmap(self.file, dtype, "c", begin, shape))
        values = values.transpose(np.argsort(order))
        return torch.from_numpy(values) if tensor else values

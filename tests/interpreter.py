"""Triton's kernels without an accelerator: its interpreter runs them in Python."""

import importlib.util
import os

import pytest
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    # Before Triton is imported: a kernel is compiled or interpreted as this says when its file is read.
    os.environ["TRITON_INTERPRET"] = "1"


def lacking() -> str | None:
    """Why the kernels cannot run here; None where they can."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    import numpy
    import triton

    old = tuple(map(int, triton.__version__.split(".")[:2])) < (3, 7)
    if DEVICE == "cpu" and old and numpy.lib.NumpyVersion(numpy.__version__) >= "1.25.0":
        return f"the interpreter of Triton {triton.__version__} cannot count with NumPy {numpy.__version__}"
    return None


LACKING = lacking()


def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several tiles, parts and strips of every problem."""
    from lossary.kernels.fused import tiles

    monkeypatch.setattr(tiles, "STATISTICS", dict.fromkeys((2, 4), tiles.Tile(16, 32, 16, 4, 2)))
    monkeypatch.setattr(tiles, "SLOPES", dict.fromkeys((2, 4), tiles.Tile(32, 16, 16, 4, 2)))
    monkeypatch.setattr(tiles, "ROWS", 16)
    monkeypatch.setattr(tiles, "NUMBERS", 16)
    monkeypatch.setattr(tiles, "COLUMNS", (16, 16))
    monkeypatch.setattr(tiles, "PROGRAMS", 6)
    monkeypatch.setattr(tiles, "STRIP", 2048)
    monkeypatch.setattr(tiles, "DEEP_STRIP", 2048)

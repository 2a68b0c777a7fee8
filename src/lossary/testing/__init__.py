"""Batches that fit any loss, for tests of losses and for curves."""

from lossary.testing.draws import Call, draw

__all__ = ["Call", "draw"]

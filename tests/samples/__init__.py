"""Samples of every loss: a file a family, as the losses have."""

import importlib

from torch import Generator, dtype

from lossary.catalogue import FAMILIES
from lossary.core.card import Card
from lossary.testing import Call
from lossary.testing import draw as draw_by_card
from samples.types import Samples

SAMPLES: dict[str, Samples] = {}
for _family in FAMILIES:
    SAMPLES |= importlib.import_module(f"samples.{_family.__name__.rpartition('.')[2]}").SAMPLES


def of(card: Card) -> Samples:
    return SAMPLES[card.name]


def draw(card: Card, g: Generator, dt: dtype) -> Call:
    """One random batch: the loss's own, or what its form of call draws."""
    own = of(card).draw
    return own(g, dt) if own else draw_by_card(card, g, dt)

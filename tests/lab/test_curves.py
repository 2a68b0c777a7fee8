"""The pictures of a loss and its gradient."""

import itertools
import math
from pathlib import Path
from typing import Any

import pytest

from lossary.catalogue import CATALOGUE, find
from lossary.core.card import Card
from lossary.lab import curves

cards = pytest.mark.parametrize("card", [c for c in CATALOGUE if curves.scenes(c)], ids=lambda card: card.name)


def rows(card: Card) -> list[dict[str, Any]]:
    return curves.draw(card).to_dict()["data"]["values"]


@pytest.mark.sample(3)
@cards
def test_every_curve_is_finite_and_moves_and_the_gradient_is_its_slope(card: Card) -> None:
    drawn = rows(card)
    assert all(math.isfinite(row["loss"]) and math.isfinite(row["gradient"]) for row in drawn)
    assert len({row["loss"] for row in drawn}) > 10
    assert any(row["gradient"] for row in drawn)
    if not card.exact:  # else its paper takes a part of the loss for a constant in the gradient
        assert_slope(card, drawn)


def assert_slope(card: Card, drawn: list[dict[str, Any]]) -> None:
    first = drawn[0]["setting"]  # other settings may ask for another gradient on purpose
    curve = [row for row in drawn if row["setting"] == first]
    step = (curve[1]["score"] - curve[0]["score"]) / curves.scenes(card)[0].unit
    steepest = max(abs(row["gradient"]) for row in curve)
    off = 0
    for a, b in itertools.pairwise(curve):
        slope = (b["loss"] - a["loss"]) / step
        low, high = sorted((a["gradient"], b["gradient"]))
        off += not low - 0.02 * steepest <= slope <= high + 0.02 * steepest
    assert off <= 2  # a jump, where a loss has one


def test_cosface_is_flat_inside_its_margin_and_rises_beyond() -> None:
    curve = {row["score"]: row["loss"] for row in rows(find("cosface_loss")) if row["setting"] == "defaults"}
    assert curve[0.0] < 1e-10
    # At 90 degrees every class scores alike: the loss is softplus(log 2 + scale * margin).
    assert curve[90.0] == pytest.approx(64 * 0.35 + math.log(2), rel=1e-3)


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<svg")])
def test_save(tmp_path: Path, suffix: str, start: bytes) -> None:
    curves.save(find("cosface_loss"), tmp_path / f"curve{suffix}")
    assert (tmp_path / f"curve{suffix}").read_bytes().startswith(start)


def test_a_loss_without_a_curve_says_so() -> None:
    with pytest.raises(LookupError, match="multilabel_margin_loss has no curve"):
        curves.draw(find("multilabel_margin_loss"))

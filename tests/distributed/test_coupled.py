"""A loss whose items depend on each other takes ``group``: of the ranks' own batches it would be another loss."""

import pytest
import torch

import samples
from lossary.catalogue import CATALOGUE
from lossary.core.card import Card
from lossary.testing.laws.subject import Subject, items, select

#: Those that have none yet. A card that is named here and is not coupled, or has ``group`` by now, is a fault too.
LEFT = {
    *("ohem_cross_entropy_loss", "proxy_anchor_loss"),
    "adaface_loss",  # but with classes over ranks its lengths are those of all
    *("dice_cross_entropy_loss", "sigmoid_dice_cross_entropy_loss", "dice_focal_loss", "sigmoid_dice_focal_loss"),
    *("lovasz_softmax_loss", "sigmoid_lovasz_loss", "lovasz_hinge_loss"),
}


def is_coupled(card: Card) -> bool:
    """Whether a batch's sum is another than that of its halves, or there is no sum at all."""
    if card.item == "batch":
        return True
    for variant in samples.of(card).variants:
        subject = Subject(card, variant, samples.of(card))
        call = subject.draw()
        half = items(call) // 2
        parts = (select(call, part) for part in (slice(0, half), slice(half, None)))
        total, *halves = (subject.grads(some, reduction="sum")[0] for some in (call, *parts))
        if not torch.allclose(total, sum(halves, torch.zeros_like(total)), rtol=1e-6, atol=1e-8):
            return True
    return False


@pytest.mark.parametrize(
    "card", [card for card in CATALOGUE if "group" not in card.at_call], ids=lambda card: card.name
)
def test_a_coupled_loss_takes_group(card: Card) -> None:
    assert is_coupled(card) == (card.name in LEFT)


def test_none_is_left_that_takes_group() -> None:
    assert not {card.name for card in CATALOGUE if "group" in card.at_call} & LEFT

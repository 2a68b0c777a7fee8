"""A loss whose items depend on each other takes ``group``: of the ranks' own batches it would be another loss."""

import pytest
import torch

import samples
from lossary.catalogue import CATALOGUE, find
from lossary.core.card import Card
from lossary.testing.laws.subject import Subject, items, select


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
    assert not is_coupled(card)


@pytest.mark.parametrize("name", ["supcon_loss", "ohem_cross_entropy_loss", "lovasz_hinge_loss", "listnet_loss"])
def test_what_is_coupled_is_seen(name: str) -> None:
    """Of a list each candidate depends on the others, but a list is an item, and whole on its rank."""
    assert is_coupled(find(name)) == (name != "listnet_loss")

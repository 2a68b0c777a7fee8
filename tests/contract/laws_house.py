"""The law that is about this package alone: its names are found where they are said to be."""

import lossary
import lossary.functional
from lossary.catalogue import CATALOGUE
from lossary.core.card import Card
from lossary.testing.laws.law import law
from lossary.testing.laws.subject import Subject


@law(once=True)
def names_are_public(subject: Subject) -> None:
    card = subject.card
    assert getattr(lossary, card.name) is getattr(lossary.functional, card.name) is card.fn
    assert getattr(lossary, card.module.__name__) is card.module
    for alias in card.aliases:
        assert getattr(lossary, alias) in (card.fn, card.module)


def names_taken_twice(cards: tuple[Card, ...] = CATALOGUE) -> list[str]:
    names = [n for card in cards for n in (card.name, card.module.__name__, *card.aliases)]
    return sorted({n for n in names if names.count(n) > 1})

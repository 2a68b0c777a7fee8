"""All cards: the concatenation of the families' CARDS, and lookup by name."""

import difflib
from types import ModuleType

import lossary.models
from lossary.cards import Card
from lossary.losses import (
    activations,
    angular,
    binary,
    center,
    combining,
    compound,
    contrastive,
    divergence,
    hinge,
    likelihood,
    linear,
    listwise,
    lovasz,
    margin,
    modalities,
    multiclass,
    multilabel,
    overlap,
    poly,
    ranking,
    regression,
    regularizers,
    retrieval,
    robust,
    similarity,
    sphereface,
    supcon,
    triplet,
    weighting,
)

#: The files of losses, in the order of the docs. Their ``__all__`` are the public names.
FAMILIES: tuple[ModuleType, ...] = (
    regression,
    robust,
    likelihood,
    binary,
    multilabel,
    multiclass,
    poly,
    hinge,
    margin,
    divergence,
    angular,
    sphereface,
    center,
    contrastive,
    supcon,
    similarity,
    retrieval,
    modalities,
    triplet,
    overlap,
    lovasz,
    compound,
    ranking,
    listwise,
)
#: Public names that are no losses.
HELPERS: tuple[ModuleType, ...] = (linear, combining, activations, regularizers, weighting, lossary.models)

CATALOGUE: tuple[Card, ...] = tuple(card for family in FAMILIES for card in family.CARDS)

#: Losses under torch's names that have no card: of sequences, and of a classifier's weights.
WITHOUT_CARD = (likelihood.ctc_loss, linear.linear_cross_entropy)


def find(name: str) -> Card:
    """The card of a function, a Module or an alias of either.

    Raises:
        LookupError: No such loss; the message names the nearest ones.
    """
    names = {n: card for card in CATALOGUE for n in (card.name, card.module.__name__, *card.aliases)}
    # "arcface" finds arcface_loss: people type the short form.
    short = {n.removesuffix("_loss"): card for n, card in names.items()}
    if name in names:
        return names[name]
    if name in short:
        return short[name]
    keys = {**names, **short}
    near = dict.fromkeys(keys[key].name for key in difflib.get_close_matches(name, keys, n=3, cutoff=0.5))
    hint = f"; did you mean {' or '.join(near)}?" if near else "; `lossary list` shows all"
    raise LookupError(f"no loss is called {name!r}{hint}")

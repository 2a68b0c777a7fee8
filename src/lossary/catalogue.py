"""All cards, the families' CARDS concatenated, and lookup by name."""

import importlib
import sys
from types import ModuleType

from lossary._lookup import lookup
from lossary.core.card import Card

__all__ = ["find"]


def publish(*modules: ModuleType) -> None:
    """Set the module of every public name to ``lossary``, where users find it, and pickles too after a move."""
    for module in modules:
        for name in module.__all__:
            thing = getattr(module, name)
            if thing.__module__ == module.__name__:  # torch's own are passed on unchanged
                thing.__module__ = "lossary"


#: The modules of losses, in the order of the docs. Their ``__all__`` holds the public names.
FAMILIES: tuple[ModuleType, ...] = tuple(
    importlib.import_module(f"lossary.losses.{name}")
    for name in (
        "values.regression",
        "values.robust",
        "values.relative",
        "values.likelihood",
        "values.counts",
        "values.forecasts",
        "answers.binary",
        "answers.focal",
        "answers.asymmetric",
        "answers.margin",
        "answers.quality",
        "answers.ranking",
        "classes.softmax",
        "classes.powers",
        "classes.noisy",
        "classes.longtail",
        "classes.selective",
        "classes.hinge",
        "classes.ordinal",
        "classes.divergence",
        "classes.distillation",
        "identities.angular",
        "identities.sphereface",
        "identities.adaptive",
        "identities.extended",
        "identities.centers",
        "identities.prototypes",
        "identities.proxies",
        "identities.similarity",
        "identities.neighbors",
        "pairs.contrastive",
        "pairs.graded",
        "triplets.triplet",
        "triplets.given",
        "views.retrieval",
        "views.guided",
        "views.multivector",
        "views.mutual",
        "views.decoupled",
        "views.decorrelation",
        "views.distribution",
        "views.selfdistillation",
        "views.relational",
        "masks.overlap",
        "masks.tversky",
        "masks.weighted",
        "masks.lines",
        "masks.boundaries",
        "masks.lovasz",
        "masks.dice_ce",
        "masks.dice_focal",
        "lists.listwise",
        "lists.pairwise",
        "lifetimes.hazards",
        "tokens.preferences",
        "tokens.rewards",
        "tokens.policy",
        "boxes.iou",
        "points.clouds",
        "images.structure",
        "waves.signals",
    )
)
#: Public names that have no card.
HELPERS: tuple[ModuleType, ...] = tuple(
    importlib.import_module(f"lossary.{name}")
    for name in (
        "core.loss",
        "core.card",
        "losses.sequences.alignment",
        "compose.linear",
        "compose.distillation",
        "compose.tokens",
        "compose.prototypes",
        "compose.sums",
        "compose.tasks",
        "compose.permutations",
        "compose.cached",
        "compose.queue",
        "compose.sampled",
        "compose.sharded",
        "distributed.ways",
        "kernels.measures",
        "compose.activations",
        "compose.perceptual",
        "compose.regularizers",
        "compose.weighting",
        "models",
    )
)

CATALOGUE: tuple[Card, ...] = tuple(card for family in FAMILIES for card in family.CARDS)

#: Losses under torch's names without a card: they take sequences, or a classifier's weights.
WITHOUT_CARD = ("ctc_loss", "linear_cross_entropy")


def find(name: str) -> Card:
    """The card of a function, a Module or an alias of either.

    Raises:
        LookupError: No such loss; the message suggests the nearest names.
    """
    return lookup(name, ((card, (card.name, card.module.__name__, *card.aliases)) for card in CATALOGUE))


publish(*FAMILIES, *HELPERS, sys.modules[__name__])

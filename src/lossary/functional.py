"""The loss functions, each under its own name: at torch's names and defaults, torch's results."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from lossary.catalogue import CATALOGUE, WITHOUT_CARD

if TYPE_CHECKING:
    from lossary.losses.angular import *
    from lossary.losses.binary import *
    from lossary.losses.center import *
    from lossary.losses.compound import *
    from lossary.losses.contrastive import *
    from lossary.losses.divergence import *
    from lossary.losses.hinge import *
    from lossary.losses.likelihood import *
    from lossary.losses.listwise import *
    from lossary.losses.lovasz import *
    from lossary.losses.margin import *
    from lossary.losses.modalities import *
    from lossary.losses.multiclass import *
    from lossary.losses.multilabel import *
    from lossary.losses.overlap import *
    from lossary.losses.poly import *
    from lossary.losses.ranking import *
    from lossary.losses.regression import *
    from lossary.losses.retrieval import *
    from lossary.losses.robust import *
    from lossary.losses.similarity import *
    from lossary.losses.sphereface import *
    from lossary.losses.supcon import *
    from lossary.losses.triplet import *

_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    **{fn.__name__: fn for fn in WITHOUT_CARD},
    **{name: card.fn for card in CATALOGUE for name in (card.name, *(a for a in card.aliases if a.islower()))},
}


def __getattr__(name: str) -> Callable[..., Tensor]:
    if name not in _FUNCTIONS:
        raise AttributeError(f"module 'lossary.functional' has no attribute {name!r}")
    return _FUNCTIONS[name]


def __dir__() -> list[str]:
    return sorted(_FUNCTIONS)

"""Every PyTorch loss done right, and one command that tells you which one your data wants.

The public names are the families' ``__all__``; they are imported at first use, so that the command line
answers without importing torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lossary import functional as functional
    from lossary import presets as presets
    from lossary.losses.activations import *
    from lossary.losses.angular import *
    from lossary.losses.binary import *
    from lossary.losses.center import *
    from lossary.losses.combining import *
    from lossary.losses.compound import *
    from lossary.losses.contrastive import *
    from lossary.losses.divergence import *
    from lossary.losses.hinge import *
    from lossary.losses.likelihood import *
    from lossary.losses.linear import *
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
    from lossary.losses.regularizers import *
    from lossary.losses.retrieval import *
    from lossary.losses.robust import *
    from lossary.losses.similarity import *
    from lossary.losses.sphereface import *
    from lossary.losses.supcon import *
    from lossary.losses.triplet import *
    from lossary.losses.weighting import *
    from lossary.models import *
    from lossary.watching import *

__version__ = "0.1.0"


def _public() -> dict[str, Any]:
    from lossary.catalogue import CATALOGUE, FAMILIES, HELPERS

    watching = importlib.import_module("lossary.watching")
    names: dict[str, Any] = {name: getattr(m, name) for m in (*FAMILIES, *HELPERS, watching) for name in m.__all__}
    for card in CATALOGUE:
        names |= {alias: card.fn if alias.islower() else card.module for alias in card.aliases}
    return names


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # asked by import machinery and tools; never ours
        raise AttributeError(name)
    if name in ("functional", "presets"):
        return importlib.import_module(f"lossary.{name}")
    public = _public()
    if name not in public:
        raise AttributeError(f"module 'lossary' has no attribute {name!r}")
    globals()[name] = public[name]
    return public[name]


def __dir__() -> list[str]:
    return sorted([*_public(), "__version__", "functional", "presets"])

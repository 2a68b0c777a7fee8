"""Every PyTorch loss done right, and one command that tells you which one your data wants.

The public names are the families' ``__all__``; they are imported at first use, so that the command line
answers without importing torch.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lossary import functional as functional
    from lossary.losses.angular import *
    from lossary.losses.binary import *
    from lossary.losses.center import *
    from lossary.losses.contrastive import *
    from lossary.losses.hinge import *
    from lossary.losses.multiclass import *
    from lossary.losses.overlap import *
    from lossary.losses.regression import *
    from lossary.losses.retrieval import *
    from lossary.losses.sphereface import *
    from lossary.losses.triplet import *

__version__ = "0.1.0"


def _public() -> dict[str, Any]:
    from lossary.catalogue import CATALOGUE

    names: dict[str, Any] = {}
    for card in CATALOGUE:
        family = sys.modules[card.fn.__module__]
        names |= {name: getattr(family, name) for name in family.__all__}
        names |= {alias: card.fn if alias.islower() else card.module for alias in card.aliases}
    return names


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # asked by import machinery and tools; never ours
        raise AttributeError(name)
    if name == "functional":
        return importlib.import_module("lossary.functional")
    public = _public()
    if name not in public:
        raise AttributeError(f"module 'lossary' has no attribute {name!r}")
    globals()[name] = public[name]
    return public[name]


def __dir__() -> list[str]:
    return sorted([*_public(), "__version__", "functional"])

"""The files of 0.1: a Module pickled whole back then names them, and still loads."""

import importlib
import sys
from types import ModuleType
from typing import Any

#: Names in pickles that are not public: the parts of a Sum.
_PRIVATE = {"_Term": "lossary.compose.sums"}


class _Former(ModuleType):
    """A file of 0.1, whose other names are public."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(_PRIVATE.get(name, "lossary")), name)


for _name in (
    *("activations", "angular", "binary", "center", "combining", "compound", "contrastive", "divergence", "hinge"),
    *("likelihood", "linear", "listwise", "lovasz", "margin", "modalities", "multiclass", "multilabel", "overlap"),
    *("poly", "ranking", "regression", "regularizers", "retrieval", "robust", "similarity", "sphereface", "supcon"),
    *("triplet", "weighting"),
):
    sys.modules[f"lossary.losses.{_name}"] = _Former(f"lossary.losses.{_name}")

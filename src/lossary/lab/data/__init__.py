"""Data sets of the lab, each split once and for all into training, validation (tuning) and test (reported) parts."""

from lossary.lab.data._types import Data, Split
from lossary.lab.data.builtin import LOADERS
from lossary.lab.plan import Plan

__all__ = ["Data", "Split", "load"]


def load(plan: Plan) -> Data:
    """The plan's data set. Splits depend on the data alone, never on the run's seeds.

    Raises:
        LookupError: if there is no such data set.
    """
    if plan.data not in LOADERS:
        raise LookupError(f"no data set {plan.data!r}; there are {', '.join(LOADERS)}")
    return LOADERS[plan.data](plan)

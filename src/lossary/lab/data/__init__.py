"""Data sets of the lab, each split once and for all into training, validation (tuning) and test (reported) parts."""

from pathlib import Path

from lossary.lab.data._types import BadData, Data, Items, Split, check_unasked, there
from lossary.lab.data.builtin import LOADERS
from lossary.lab.data.code import is_code, script
from lossary.lab.plan import Plan

__all__ = ["LOADERS", "BadData", "Data", "Items", "Split", "load"]


def load(plan: Plan) -> Data:
    """The plan's data set. Splits depend on the data alone, never on the run's seeds.

    Raises:
        LookupError: if there is no such data set.
        BadData: if it cannot be read from the files named, or they are not what they were.
    """
    if plan.data in LOADERS:
        check_unasked(plan, "target", "task", "types", "yes", "group", of=f"{plan.data}, a data set of the lab")
        return LOADERS[plan.data](plan)
    if not there(plan.data):
        raise LookupError(f"no data set {plan.data!r}; there are {', '.join(LOADERS)}, and no file of that name")
    from lossary.lab.data import files  # with Pillow, polars and safetensors

    if is_code(plan.data):
        check_unasked(plan, "target", "types", "yes", "group", of="code")
        data = script(Path(plan.data), plan.task, plan.outliers)
    else:
        data = files.read(plan).data
    if plan.fingerprint not in ("", data.fingerprint):
        same = "; code must give the same data each time" if is_code(plan.data) else ""
        raise BadData(f"{plan.data}: wanted what was there when the run began; the contents have changed{same}")
    return data

"""A plan's data, from the lab or from the user's files."""

from dataclasses import fields
from pathlib import Path

from lossary.lab.data import splits
from lossary.lab.data.builtin import BUILTIN, load_builtin
from lossary.lab.data.contents import BadData, is_code
from lossary.lab.data.readers.code import script
from lossary.lab.data.types import Data, check_unasked, there
from lossary.lab.run.options import Files, Network
from lossary.lab.run.plan import Plan, Resolved

#: Options of a plan for data read from files.
OF_FILES = tuple(field.name for field in fields(Files) if field.name != "megapixels")
#: Options for a network, which code brings itself.
OF_NETWORK = tuple(field.name for field in fields(Network))


def load(plan: Plan) -> Data:
    """The plan's data set. Splits depend only on the data, never on the run's seeds.

    Raises:
        LookupError: if there is no such data set.
        BadData: if it cannot be read from the files named.
    """
    if not plan.backbone:
        check_unasked(plan, *OF_NETWORK, of="the lab's own network")
        return _read(plan)
    if is_code(plan.data):
        check_unasked(plan, *OF_NETWORK, of="code")
    from lossary.lab.data import backbones

    return backbones.applied(_read(plan), plan)


def _read(plan: Plan) -> Data:
    with splits.numbered(plan.resplit) as drawing:
        data = _of_split(plan)
    if plan.resplit and not drawing.drawn:
        raise BadData(f"splits: wanted data without a split; {plan.data} comes with its own")
    return data


def _of_split(plan: Plan) -> Data:
    if plan.data in BUILTIN:
        check_unasked(plan, *OF_FILES, of=f"{plan.data}, a data set of the lab")
        return load_builtin(plan)
    if not there(plan.data):
        raise LookupError(f"no data set {plan.data!r}; there are {', '.join(BUILTIN)}, and no file of that name")
    if is_code(plan.data):
        check_unasked(plan, *(name for name in OF_FILES if name != "task"), of="code")
        return script(Path(plan.data), plan.task, plan.outliers)
    from lossary.lab.data import files  # needs polars, which is slow to import

    return files.read(plan).data


def load_again(plan: Resolved) -> Data:
    """The same for a run that has begun.

    Raises:
        BadData: also if the contents have changed since then.
    """
    data = load(plan)
    if plan.fingerprint not in ("", data.fingerprint):
        same = "; code must give the same data each time" if is_code(plan.data) else ""
        raise BadData(f"{plan.data}: wanted the same contents as when the run began; they have changed{same}")
    return data

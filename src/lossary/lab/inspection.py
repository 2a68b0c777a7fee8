"""What a user's data are to the lab: the task, the classes, what is wrong with them, the losses that fit."""

import shlex
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from rich.console import Group
from rich.table import Table
from rich.text import Text

from lossary._text import printable
from lossary.catalogue import find
from lossary.lab.data import files
from lossary.lab.data.builtin import BUILTIN
from lossary.lab.data.contents import BadData
from lossary.lab.data.files import Found
from lossary.lab.data.loading import OF_FILES
from lossary.lab.data.readers.source import Source
from lossary.lab.data.targets import names
from lossary.lab.data.types import Data, there
from lossary.lab.run.plan import Plan
from lossary.lab.tasks import task_of
from lossary.lab.tasks.fitting import fitting

SHOWN = 8  # classes, columns, duplicates
RARE = 10  # times fewer than the most common class


def look(plan: Plan) -> Found:
    """The files of a plan, read.

    Raises:
        BadData: in one line, what was wanted and what it got.
    """
    if plan.data in BUILTIN and not there(plan.data):
        raise BadData(f"{plan.data}: wanted a folder or a file; got a data set of the lab")
    return files.read(plan)


def page(plan: Plan, found: Found) -> Group:
    """All findings, for the terminal."""
    data = found.data
    facts = Table.grid(padding=(0, 2))
    for name, fact in _facts(plan, found):
        facts.add_row(Text(printable(name), style="bold"), Text(printable(fact)))
    losses = Table("a loss that fits", "why", box=None, header_style="bold", pad_edge=False)
    for name in task_of(data.task).losses:
        card = find(name)
        losses.add_row(Text(name), Text(card.when or card.title))
    others = [name for name in fitting(data.task) if name not in task_of(data.task).losses]
    return Group(facts, "", losses, "", Text(f"These fit too: {', '.join(others)}."), "", _next(plan))


def _facts(plan: Plan, found: Found) -> Iterator[tuple[str, str]]:
    source, data = found.source, found.data
    yield source.name, f"{source.form}, {len(source.targets)} rows"
    fixed = plan.task or plan.lists or data.task == "segmentation"
    yield "task", f"{data.task}: {found.why}" + ("" if fixed else " (--task NAME for another)")
    what = "lists" if data.task == "ranking" else "rows"
    yield "parts", f"{len(data.train)} {what} to train, {len(data.valid)} to tune, {len(data.test)} to test"
    if data.task == "ranking":
        yield "lists", _lists(data)
    elif data.task == "regression":
        yield "target", _values(source.targets.astype(float))
    elif data.task == "segmentation":
        yield from _regions(source)
    elif data.task == "multi-label":
        yield "labels", _labels(data)
    elif data.task != "retrieval":
        yield from _classes(data, source.targets)
    if data.task == "binary":
        no, yes = data.test_names
        yield "yes", f"{yes}: {found.why_yes}" + ("" if plan.yes else f" (--yes {no} for the other)")
    yield from source.facts
    if data.task not in ("ranking", "retrieval"):  # a candidate may be in many lists; pairs have their own facts
        yield "repeats", _repeats(found)
    yield from (("left out", said) for said in data.left_out or ("nothing",))


def _lists(data: Data) -> str:
    parts = (data.train, data.valid, data.test)
    sizes = [count for part in parts for count in (~part.targets.isnan()).sum(1).tolist()]
    relevant = [count for part in parts for count in (part.targets > 0).sum(1).tolist()]
    return (
        f"{len(sizes)} of {min(sizes)} to {max(sizes)} candidates, of whom {min(relevant)} to {max(relevant)} have a "
        f"relevance above 0"
    )


def _values(values: np.ndarray) -> str:
    low, quarter, middle, three, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    said = f"{low:.4g} to {high:.4g}, median {middle:.4g}, half of them from {quarter:.4g} to {three:.4g}"
    reach = 3 * (three - quarter)
    far = int(((values < quarter - reach) | (values > three + reach)).sum())
    return said + (f"; {far} far outside: try losses that outliers cannot drag (l1_loss, huber_loss)" if far else "")


def _classes(data: Data, targets: np.ndarray) -> Iterator[tuple[str, str]]:
    called, labels = names(targets)
    sizes = np.bincount(labels)
    order = np.argsort(-sizes, kind="stable")
    yield "classes", f"{len(called)}: {_some([f'{called[c]} ({sizes[c]})' for c in order])}"
    commonest, rarest = sizes.max(), sizes.min()
    said = f"the commonest has {commonest} rows, the rarest {rarest}"
    if data.task == "classification" and commonest >= RARE * rarest:
        said += f"; always naming the commonest is right in {commonest / sizes.sum():.0%}, which accuracy rewards"
    yield "balance", said


def _labels(data: Data) -> str:
    has = torch.cat([data.train.targets, data.valid.targets, data.test.targets])
    sizes, each = has.sum(dim=0), has.sum(dim=1)
    listed = [f"{data.test_names[label]} ({sizes[label]})" for label in sizes.argsort(descending=True).tolist()]
    counts = f"a row has {each.min()} to {each.max()} of them, {each.double().mean():.1f} on average"
    return f"{len(listed)}: {_some(listed)}; {counts}"


def _regions(source: Source) -> Iterator[tuple[str, str]]:
    shown = np.stack([source.targets == label for label in range(len(source.classes))])
    pixels, images = shown.sum(axis=(1, 2, 3)), shown.any(axis=(2, 3)).sum(axis=1)
    order = np.argsort(-pixels, kind="stable")
    share = pixels / pixels.sum()
    listed = [f"{source.classes[c]} ({share[c]:.1%} of the labelled pixels, in {images[c]} images)" for c in order]
    yield "classes", f"{len(listed)}: {_some(listed)}"
    yield (
        "balance",
        (
            f"always naming {source.classes[order[0]]} is right in {share[order[0]]:.0%} of the pixels, which pixel "
            "accuracy rewards and IoU does not"
        ),
    )


def _repeats(found: Found) -> str:
    """Rows with the inputs of an earlier one, and whether they also have its target."""
    first = np.unique(found.same, return_index=True)[1][found.same]
    later = np.flatnonzero(first != np.arange(len(first))).tolist()
    if not later:
        return "no two rows have the same inputs"
    targets, rows = found.source.targets, found.source.rows
    at_odds = int((targets[later] != targets[first[later]]).reshape(len(later), -1).any(axis=1).sum())
    pairs = _some([f"{rows[row]} = {rows[first[row]]}" for row in later])
    parted = found.source.part is not None or found.source.time is not None
    where = "in the parts that they come in" if parted else "all kept in one part"
    said = f"{len(later)} with the inputs of an earlier row, {where}: {pairs}"
    return said + (f"; {at_odds} of them with another target" if at_odds else "")


def _some(items: Iterable[str]) -> str:
    items = list(items)
    return ", ".join(items[:SHOWN]) + (f", and {len(items) - SHOWN} more" if items[SHOWN:] else "")


def _next(plan: Plan) -> Text:
    path = f"./{plan.data}" if plan.data in BUILTIN else plan.data
    asked = {name: getattr(plan, name) for name in OF_FILES}
    options = [word for name, value in asked.items() if value for word in (f"--{name}", value)]
    return Text.assemble("Next: ", (printable(shlex.join(["lossary", "compare", path, *options])), "bold"))

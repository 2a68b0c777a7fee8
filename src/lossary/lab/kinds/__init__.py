"""Kinds of task, one a file: which losses fit, how one is attached to a network, the baselines.

How runs are scored is in ``metrics``, and what the report shows of them in ``report/outcomes``, one file a kind too.
"""

from collections.abc import Mapping
from typing import Any

from lossary.catalogue import CATALOGUE
from lossary.core.card import Card
from lossary.lab.kinds._task import Criterion, Task
from lossary.lab.kinds.binary import Binary
from lossary.lab.kinds.classification import Classification
from lossary.lab.kinds.ranking import Ranking
from lossary.lab.kinds.regression import Regression
from lossary.lab.kinds.retrieval import Retrieval
from lossary.lab.kinds.segmentation import Segmentation
from lossary.lab.kinds.zero_shot import ZeroShot
from lossary.lab.metrics import Kind

__all__ = ["KINDS", "Criterion", "Task", "attach", "fits", "fitting"]

KINDS: Mapping[Kind, Task] = {
    task.kind: task
    for task in (ZeroShot(), Classification(), Binary(), Regression(), Ranking(), Segmentation(), Retrieval())
}


def fits(card: Card, kind: Kind) -> bool:
    """Whether a network can be trained with this loss alone on such a task."""
    return KINDS[kind].fits(card)


def fitting(kind: Kind) -> list[str]:
    return [card.name for card in CATALOGUE if fits(card, kind)]


def attach(card: Card, params: Mapping[str, Any], kind: Kind, size: int, classes: int) -> Criterion:
    """The loss at these hyperparameters, with fresh weights where it needs any.

    Raises:
        ValueError: if the loss does not fit the task.
    """
    if not fits(card, kind):
        raise ValueError(f"{card.name} does not fit {kind} data; {', '.join(fitting(kind))} do")
    return KINDS[kind].attach(card, params, size, classes)

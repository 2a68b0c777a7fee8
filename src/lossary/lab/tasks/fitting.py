"""Which losses fit a task, and one attached to a network for it."""

from collections.abc import Mapping
from typing import Any

from lossary.catalogue import CATALOGUE
from lossary.core.card import Card, Data
from lossary.lab.tasks import TASKS, TaskName, task_of
from lossary.lab.tasks.base import Criterion


def fits(card: Card, task: TaskName) -> bool:
    """Whether this loss alone can train a network on such a task."""
    return task_of(task).fits(card)


def fitting(task: TaskName) -> list[str]:
    return [card.name for card in CATALOGUE if fits(card, task)]


def trained(data: Data) -> bool:
    """Whether the lab has a task for losses on such data."""
    return any(fits(card, task) for card in CATALOGUE if card.data == data for task in TASKS)


def attach(card: Card, params: Mapping[str, Any], task: TaskName, size: int, classes: int) -> Criterion:
    """The loss at these hyperparameters, with fresh weights if it needs any.

    Raises:
        ValueError: if the loss does not fit the task.
    """
    if not task_of(task).fits_beside(card):
        raise ValueError(f"{card.name} does not fit {task} data; {', '.join(fitting(task))} do")
    return task_of(task).attach(card, params, size, classes)

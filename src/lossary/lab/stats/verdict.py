"""The verdict: what a comparison of losses has shown, as data. `words` says it, `judge` finds it."""

from dataclasses import dataclass
from typing import Literal

from lossary.lab.run.record import Role
from lossary.lab.tasks.measures import Metric

#: better: shown to be better, and not shown to be so by less than the margin. better_within: better, but shown to be so
#: by less than the margin. equal: shown to differ by less than the margin. not_learned: one of the two has not learned
#: yet, so nothing is claimed.
Status = Literal["better", "better_within", "equal", "undecided", "not_learned"]
#: What would decide an undecided pair: more seeds; more test units, whatever the seeds; more steps, as what
#: would have lost (or been equal) was rising so fast when it was stopped that it may catch up; seeds that both losses
#: have at all; or, over several splits, more of them or more data.
Lack = Literal["", "seeds", "units", "steps", "pairs", "splits"]


@dataclass(frozen=True)
class Standing:
    """One loss alone: its mean over seeds and test units, with a 95 % interval for new seeds and new units.

    Two of these intervals may overlap although the paired difference is clear. NaN where one seed gives none.
    """

    loss: str
    role: Role
    mean: float
    low: float
    high: float
    seeds: int
    seconds: float = 0.0  # of a training run: median time of a step x median number of steps; 0 for baselines
    p_best: float = float(
        "nan"
    )  # probability of having the best true mean, by joint draws: it describes, claims nothing
    to_come: float = 0.0  # how much better it may become with four times the steps; 0: its runs had stopped rising


@dataclass(frozen=True)
class Comparison:
    """Loss a against loss b on the seeds that both have, as the paired difference a - b."""

    a: str  # the one with the better mean, unless b is a baseline
    b: str
    difference: float
    low: float  # at the level at which the pair was tested: leaves 0 out where one is better; NaN: too few seeds
    high: float
    p: float  # that they are equal; over all looks, not yet corrected for the number of pairs
    p_adjusted: float
    p_within: float  # that they differ by the margin or more; corrected
    status: Status
    better: str = ""  # a, b, or none of them; where steps are lacking, the one that is ahead
    lacks: Lack = ""

    @property
    def claimed(self) -> bool:
        """Whether one of the two was shown to be better."""
        return self.status in ("better", "better_within")

    @property
    def decided(self) -> bool:
        """Whether the two were shown to differ, or not to."""
        return self.claimed or self.status == "equal"

    @property
    def worse(self) -> str:
        return "" if not self.better else self.b if self.better == self.a else self.a


def may_turn(difference: float, of_better: float, of_worse: float, margin: float | None) -> bool:
    """Whether a claim may not hold for longer runs: that one of two is better, or with a margin that they are equal.

    The worse may catch up, and what still rises may leave the margin, if it is to become better by as much as that
    takes; ``of_better`` and ``of_worse`` are the two's `Standing.to_come`. How often losses turn round:
    docs/decisions/0010.

    >>> may_turn(0.1, 0.3, 0.08, None), may_turn(0.1, 0.0, 0.3, None), may_turn(0.002, 0.01, 0.0, 0.01)
    (False, True, True)
    """
    to_come = of_worse if margin is None else max(of_better, of_worse)
    return to_come > 0 and to_come >= (abs(difference) if margin is None else margin - abs(difference))


@dataclass(frozen=True)
class Verdict:
    """What the comparison of losses has shown, and what it has not."""

    metric: Metric
    margin: float  # the largest difference that does not matter, in the metric's own scale
    standings: tuple[Standing, ...]  # best first
    comparisons: tuple[Comparison, ...]  # best against the rest, the other pairs, losses against baselines
    baselines: tuple[str, ...]  # sentences: does every trained loss beat what costs nothing?
    warnings: tuple[str, ...]
    said: tuple[str, ...]  # the verdict in sentences, the first of all losses
    recommended: str  # the cheapest of the best loss and those equal to it within the margin; "": none yet
    recommendation: str  # the same as a sentence
    not_learned: dict[str, str]  # losses that have not learned yet, and why
    settled: bool  # nothing is left of the comparisons with the best loss that more seeds could decide
    next_look: int | None  # at how many seeds the data are looked at again

    @property
    def headline(self) -> str:
        return " ".join(self.said)

    def of(self, loss: str, other: str) -> Comparison:
        """The comparison of two, whichever comes first."""
        return next(c for c in self.comparisons if {c.a, c.b} == {loss, other})

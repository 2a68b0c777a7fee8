"""The verdict: what a comparison of losses has shown, as data. `judge` produces it, `words` phrases it."""

from dataclasses import dataclass
from typing import Literal

from lossary.lab.run.record import Role
from lossary.lab.tasks.measures import Metric

#: better: shown to be better, and not shown to be so by less than the margin. better_within: better, but shown to be so
#: by less than the margin. equal: shown to differ by less than the margin. not_learned: one of the two has not learned
#: yet, so nothing is claimed.
Status = Literal["better", "better_within", "equal", "undecided", "not_learned"]
#: What would decide an undecided pair: more seeds; more test units, whatever the seeds; more steps, because the loss
#: that is behind (or equal) was rising so fast when it was stopped that it may catch up; common seeds; or, over several
#: splits, more splits or more data.
Lack = Literal["", "seeds", "units", "steps", "pairs", "splits"]


@dataclass(frozen=True)
class Standing:
    """One loss alone: its mean over seeds and test units, with a 95 % interval for new seeds and new units.

    Two of these intervals may overlap although the paired difference is clear. NaN for a single seed.
    """

    loss: str
    role: Role
    mean: float
    low: float
    high: float
    seeds: int
    seconds: float = 0.0  # of a training run: median time of a step x median number of steps; 0 for baselines
    p_best: float = float("nan")  # probability of having the best true mean, by joint draws: a description, not a claim
    to_come: float = 0.0  # how much better it may become with more steps; 0: its runs had stopped rising


@dataclass(frozen=True)
class Comparison:
    """Loss a against loss b on the seeds that both have, as the paired difference a - b."""

    a: str  # the one with the better mean, unless b is a baseline
    b: str
    difference: float
    low: float  # at the level at which the pair was tested: excludes 0 if one is better; NaN: too few seeds
    high: float
    p: float  # for equality; over all looks, not yet corrected for the number of pairs
    p_adjusted: float
    p_within: float  # for a difference of the margin or more; corrected
    status: Status
    better: str = ""  # a, b, or neither; if steps are lacking, the one that is ahead
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
    """Whether a claim may fail for longer runs: that one of two is better, or with a margin that they are equal.

    The worse one may catch up, and a rising one may leave the margin, if it may improve by as much as that takes;
    ``of_better`` and ``of_worse`` are the two's `Standing.to_come`. For how often losses swap order, see
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
    baselines: tuple[str, ...]  # sentences: does every trained loss beat the free baselines?
    warnings: tuple[str, ...]
    said: tuple[str, ...]  # the verdict in sentences, the first about all losses
    recommended: str  # the cheapest of the best loss and those equal to it within the margin; "": none yet
    recommendation: str  # the same as a sentence
    not_learned: dict[str, str]  # losses that have not learned yet, and why
    settled: bool  # more seeds could not decide any remaining comparison with the best loss
    next_look: int | None  # the number of seeds at the next look

    @property
    def headline(self) -> str:
        return " ".join(self.said)

    @property
    def none_learned(self) -> bool:
        """Whether losses were trained and none of them has learned yet."""
        trained = {standing.loss for standing in self.standings if standing.role != "baseline"}
        return bool(trained) and trained <= self.not_learned.keys()

    def of(self, loss: str, other: str) -> Comparison:
        """The comparison of two losses, in either order."""
        return next(c for c in self.comparisons if {c.a, c.b} == {loss, other})

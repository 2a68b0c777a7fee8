"""Judge: which losses differ, and how sure that is, given that seeds and test units both vary."""

from dataclasses import dataclass
from typing import Literal

from lossary.lab.metrics import Metric
from lossary.lab.record import Role


@dataclass(frozen=True)
class Standing:
    """One loss: its mean over seeds and test units, with an interval for new seeds and new units."""

    loss: str
    role: Role
    mean: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True)
class Comparison:
    """Loss a against loss b on the seeds that both have, as a paired difference a - b."""

    a: str
    b: str
    difference: float
    low: float  # interval that holds for all comparisons together, like p_adjusted
    high: float
    p: float
    p_adjusted: float
    claim: Literal["a", "b", "none"]
    sentence: str
    more_seeds: int | None  # seeds to add before a claim could be expected; None: claimed, or seeds alone will not do


@dataclass(frozen=True)
class Verdict:
    """What the comparison of losses has shown, and what it has not."""

    metric: Metric
    standings: tuple[Standing, ...]  # best first
    comparisons: tuple[Comparison, ...]
    baselines: tuple[str, ...]  # sentences: does every trained loss beat what costs nothing?
    warnings: tuple[str, ...]
    headline: str

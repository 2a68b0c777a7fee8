"""What is measured: a case is a problem, everybody who solves it, and what Lossary promises there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from torch import Tensor

#: The contender whose promises are checked, and the same formula in plain torch with all scores at once.
OURS, DENSE = "Lossary", "dense torch"


class Inputs(NamedTuple):
    """Drawn in float32; whoever measures moves them to a device and a dtype."""

    learns: tuple[Tensor, ...]
    given: tuple[Tensor, ...] = ()  # labels and the like: there in any case, so never counted as memory


@dataclass(frozen=True)
class Contender:
    """One way to the loss: ``run`` gives it, and it is differentiated by ``learns``. A floor may give nothing."""

    run: Callable[[], Tensor | None]
    learns: tuple[Tensor, ...] = ()
    gib: float = 0.0  # of memory that it is known to want: left out where there is less


#: Made when its turn comes: a peer is imported here, and may fail here.
Maker = Callable[[], Contender]

Measure = Literal["time", "minimum", "extra", "saved", "error"]


@dataclass(frozen=True)
class Bar:
    """A promise: Lossary's measure is at most ``limit`` times that of the best of ``against`` that ran.

    Without ``against`` the limit is absolute: ``extra`` in MiB, ``saved`` in sizes of what learns, ``error`` as it is.
    """

    measure: Measure
    limit: float
    against: Sequence[str] = ()


@dataclass(frozen=True)
class Case:
    """A problem, and everybody who solves it."""

    name: str
    kernel: str
    inputs: Callable[[], Inputs]
    contenders: Callable[..., Mapping[str, Maker]]  # of the tensors that learn, then of those given
    floor: str = DENSE
    bars: tuple[Bar, ...] = ()
    calls: int = 1  # of a contender for one time: more where a single one takes microseconds
    processes: int = 1  # more where times change from one process to the next


@dataclass(frozen=True)
class Growth:
    """Lossary and dense torch over a range of sizes: how time and memory grow with one of them."""

    name: str
    kernel: str
    cases: Mapping[int, Case]
    exponents: Mapping[str, float] = field(default_factory=dict[str, float])  # the largest of "time" and "extra"
    extra_mib: float | None = None  # the most at the largest size
    since: int = 0  # the size from which the exponents are taken
    dense_until: int | None = None  # the largest size of the dense form


def by(learns: tuple[Tensor, ...], run: Callable[..., Any], *arguments: Any, **options: Any) -> Maker:
    """A contender that needs no preparation."""
    return lambda: Contender(lambda: run(*arguments, **options), learns)

"""What the tests of one loss read beside its card."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, dtype

from lossary.testing import Call
from lossary.testing.draws import Draw

#: A golden case's inputs (name -> tensor) and parameters (name -> value) as a call of the function; None where
#: the case is another card's, or more than the function offers.
Golden = Callable[[Mapping[str, Tensor], Mapping[str, Any]], Call | None]


@dataclass(frozen=True)
class Samples:
    """``draw`` only where the batches that the card's form of call draws are not enough."""

    edges: Callable[[dtype], tuple[Call, ...]]  # placed batches: extremes, ties, kinks, empty, one class
    variants: tuple[Mapping[str, Any], ...] = ({},)  # hyperparameters under which every law is checked
    golden: Mapping[str, Golden] = field(default_factory=dict[str, Golden])  # by the golden file's name of the loss
    draw: Draw | None = None

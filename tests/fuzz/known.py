"""Faults that are explained: where Lossary differs from its twin by design, or float32 cannot do better.

Each entry must occur in a long run, or it is out of date: the run says so.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from fuzz.generate import Case


@dataclass(frozen=True)
class Known:
    """``reason`` explains the ``fault`` (a pattern) of cards whose name matches ``cards``, where ``when`` holds."""

    cards: str
    fault: str
    reason: str
    when: Callable[[Case], bool] = lambda _: True

    def explains(self, case: Case, fault: str) -> bool:
        fits = re.fullmatch(self.cards, case.name) and re.search(self.fault, fault)
        return bool(fits) and self.when(case)


def explained(case: Case, faults: list[str]) -> tuple[list[str], list[str]]:
    """The reasons of the faults that are known, and the faults that are not."""
    reasons, left = [], []
    for fault in faults:
        reason = next((k.reason for k in KNOWN if k.explains(case, fault)), None)
        if reason is None:
            left.append(fault)
        else:
            reasons.append(reason)
    return reasons, left


def has_junk(case: Case) -> bool:
    return "junk" in case.notes


KNOWN: tuple[Known, ...] = (
    # Being mended (issue 12); each line goes with its fault.
    Known(
        ".*", "value: nan|gradient by .*: -?(nan|inf)", "mending: an item of weight 0 that is NaN or infinite", has_junk
    ),
    Known(".*", "(value|gradient by .*): -?(nan|inf)|NaN from finite", "mending: subnormal and huge numbers"),
    Known("l1_loss", "raised RuntimeError: The size", "mending: weight beside one sample_weight a row"),
    Known("nll_loss", "grad_input must be contiguous", "mending: layouts"),
    Known(".*", "(value|gradient by .*): ", "mending: still to be sorted"),
    Known(".*", "answered, but its twin raised ValueError", "mending: still to be sorted"),
)

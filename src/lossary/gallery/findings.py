"""Findings: an exhibit is run, over its seeds where there is chance, and its results become what the page says."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import torch
from torch import Tensor

from lossary.gallery.exhibit import Exhibit, Results

Verdict = Literal["holds", "holds in part", "does not hold", "as printed", "not as printed", ""]


@dataclass(frozen=True)
class Number:
    """A number of the page, beside the one that the document prints."""

    name: str
    text: str
    printed: str = ""
    agrees: bool | None = None


@dataclass(frozen=True)
class Statement:
    """What is so, or is not, or is left open: with chance, it is not the same in all seeds."""

    text: str
    mark: Literal["yes", "no", "partly"]
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """What came out of an exhibit."""

    exhibit: Exhibit
    results: Results  # of the first seed
    numbers: tuple[Number, ...]
    statements: tuple[Statement, ...]
    again: Verdict = ""  # of a claim: what other seeds said

    @property
    def verdict(self) -> Verdict:
        """A claim that holds with some seeds and not with others stands on a knife's edge: it holds in part."""
        return self.first if self.again in ("", self.first) else "holds in part"

    @property
    def first(self) -> Verdict:
        """The verdict by these seeds alone."""
        if self.exhibit.family == "W":
            told = [number.agrees for number in self.numbers if number.agrees is not None]
            return "" if not told else "as printed" if all(told) else "not as printed"
        if self.exhibit.family != "C":
            return ""
        marks = {statement.mark for statement in self.statements}
        return "holds" if marks == {"yes"} else "does not hold" if marks == {"no"} else "holds in part"


def run(exhibit: Exhibit, seed: int = 0) -> Results:
    """The results of one seed, in double precision; what others drew or set before and after is as it was."""
    precision = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_default_dtype(torch.float64)
        try:
            return exhibit.run(seed) if exhibit.seeds else exhibit.run()
        finally:
            torch.set_default_dtype(precision)


def finding(exhibit: Exhibit, each: Iterable[Results]) -> Finding:
    """What the results of all seeds say together."""
    results = list(each)
    first = results[0]
    said = [name for name, value in first.items() if is_statement(value)]
    statements = tuple(_statement(name, [one[name] for one in results]) for name in said)
    listed = [] if exhibit.draw or exhibit.hand else [name for name in first if name not in said]
    numbers = tuple(_number(exhibit, name, [one[name] for one in results]) for name in listed)
    return Finding(exhibit, first, numbers, statements)


def is_statement(value: Any) -> bool:
    """Whether a result says that something is so: by yes or no, or by how much."""
    return isinstance(value, bool) or (isinstance(value, dict) and set(value) == {"by"})


def _statement(name: str, values: list[Any]) -> Statement:
    """What is so by an amount is so on average: the interval over seeds lies above 0."""
    if isinstance(values[0], dict):
        gains = [float(value["by"]) for value in values]
        low, high = bounds(gains)
        note = f"by {interval(gains)}" if len(gains) > 1 else f"by {gains[0]:.4g}".replace("-", "−")
        return Statement(name, "yes" if low > 0 else "no" if high <= 0 else "partly", note)
    share = sum(map(bool, values)) / len(values)
    mark: Any = {1.0: "yes", 0.0: "no"}.get(share, "partly")
    return Statement(name, mark, f"in {100 * share:.0f} % of the seeds" if mark == "partly" else "")


def _number(exhibit: Exhibit, name: str, values: list[Any]) -> Number:
    printed = exhibit.printed.get(name, "")
    text = told(values[0]) if len(values) == 1 else interval([float(value) for value in values])
    return Number(name, text, printed, agrees(printed, values[0]) if printed else None)


def told(value: Any) -> str:
    """A result as it is read.

    >>> told(torch.tensor([0.25, 1e-9])), told(3.0), told("AM-Softmax")
    ('[0.25, 1e-09]', '3', 'AM-Softmax')
    """
    if isinstance(value, Tensor):
        value = value.detach().tolist()
    if isinstance(value, list | tuple):
        return f"[{', '.join(told(one) for one in value)}]"
    return f"{value + 0.0:.6g}" if isinstance(value, float) else str(value)  # + 0: nobody writes -0


def interval(values: list[float]) -> str:
    """Mean and the 95 % interval of it over seeds.

    >>> interval([1.0, 2.0, 3.0])
    '2 (−0.484 to 4.48, 3 seeds)'
    """
    low, high = (f"{end:.3g}" for end in bounds(values))
    return f"{sum(values) / len(values):.4g} ({low} to {high}, {len(values)} seeds)".replace("-", "−")


def bounds(values: list[float]) -> tuple[float, float]:
    """The ends of that interval; of one seed, itself."""
    from scipy.stats import t

    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1)
    half = float(t.ppf(0.975, max(len(values) - 1, 1))) * math.sqrt(variance / len(values))
    return mean - half, mean + half


def agrees(printed: str, value: Any) -> bool:
    """Whether a number is the printed one, to the digits that are printed.

    >>> agrees("4.1", 4.08333), agrees("48", 68.0), agrees("[1/3, 2/3]", [0.333333, 0.666667]), agrees("4e-9", 4.12e-9)
    (True, False, True, True)
    """
    if printed.startswith("["):
        parts, values = printed.strip("[]").split(","), value.tolist() if isinstance(value, Tensor) else list(value)
        return len(parts) == len(values) and all(map(agrees, (part.strip() for part in parts), values))
    if "/" in printed:
        return math.isclose(float(Fraction(printed)), float(value), rel_tol=1e-6, abs_tol=1e-6)
    digits, _, power = printed.partition("e")
    last = 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))
    return abs(float(printed) - float(value)) <= last / 2 + 1e-12


def plain(results: Results) -> Results:
    """Results as JSON has them.

    >>> plain({"loss": torch.tensor(0.5), "so": True})
    {'loss': 0.5, 'so': True}
    """
    return json.loads(json.dumps(results, default=lambda value: value.tolist()))

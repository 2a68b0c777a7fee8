"""What a usual run of the tests takes of products too large to run whole each time: a sample, another one each commit.

The switch is ``LOSSARY_TESTS``: ``whole`` takes everything, anything else is the seed of the sample. Where it is not
given, a run of the whole suite draws by the commit, so that a commit is always tested the same; a run of something
that was named (a path, ``-k``, a test) takes all of it. See conftest.py, and "The sample" in CONTRIBUTING.md.
"""

import hashlib
import os
import subprocess
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Item = TypeVar("Item", bound=Any)  # pytest's, or what is like one
SWITCH = "LOSSARY_TESTS"
WHOLE = "whole"


def seed() -> str:
    """``whole``, or what this run's sample is drawn by."""
    return os.environ.get(SWITCH) or WHOLE


def begin(*, named: bool) -> None:
    """Settle the seed for this process, and for all that it starts: they draw the same."""
    if not os.environ.get(SWITCH):
        os.environ[SWITCH] = WHOLE if named else by_commit()


def by_commit() -> str:
    """The commit's number, and the same one where there is none: in a source archive."""
    ask = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "0"


def said() -> str:
    """What a run says of its sample."""
    return f"of large products a sample was taken: {SWITCH}={seed()} takes it again, {SWITCH}={WHOLE} takes everything"


def order(key: Hashable) -> int:
    """Where a key stands in this run: the same in each process, unlike by Python's hash."""
    return int.from_bytes(hashlib.sha256(f"{seed()} {key}".encode()).digest()[:8])


def one_of_each(cases: Iterable[T], group: Callable[[T], Hashable]) -> list[T]:
    """Of the cases of every group a drawn one; each group stays."""
    groups: dict[Hashable, list[T]] = {}
    for case in cases:
        groups.setdefault(group(case), []).append(case)
    if seed() == WHOLE:
        return [case for together in groups.values() for case in together]
    return [together[order(key) % len(together)] for key, together in groups.items()]


def some(cases: Iterable[T], share: int, name: Hashable) -> list[T]:
    """One in ``share`` of the cases, at least one, in their order, drawn by the seed and the name."""
    listed = list(cases)
    if seed() == WHOLE:
        return listed
    drawn = sorted(range(len(listed)), key=lambda place: order((name, place)))
    return [listed[place] for place in sorted(drawn[: -(-len(listed) // share)])]


def few(whole: int, usual: int) -> int:
    """How many times something long is done: ``usual`` times, and ``whole`` times where everything is asked for."""
    return whole if seed() == WHOLE else usual


def left_out(items: Iterable[Item]) -> set[Item]:
    """Of tests that are marked ``sample(n)``, the cases that this run does not take."""
    cases: dict[str, list[Item]] = {}
    shares: dict[str, int] = {}
    for item in items:
        if mark := item.get_closest_marker("sample"):
            name = item.nodeid.partition("[")[0]
            cases.setdefault(name, []).append(item)
            (shares[name],) = mark.args
    return {item for name, of_test in cases.items() for item in set(of_test) - set(some(of_test, shares[name], name))}

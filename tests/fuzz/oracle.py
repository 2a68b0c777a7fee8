"""Whether a case's answer is right: against its twin in float64, and by what holds for every call."""

import math
import re
import signal
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from fuzz.calls import Answer, answer, largest, snapshot, tensors
from fuzz.generate import Case
from fuzz.near import REFUSALS, Nearness
from fuzz.peers import against_peers
from fuzz.subjects import Call

#: A case that takes longer hangs.
SECONDS = 20
#: Inputs are compared with copies of themselves in one case of so many; a version counter tells in the others.
COPIED = 8


@dataclass
class Verdict:
    """What became of a case: "compared", or "refused" by an error that names the argument; and what is wrong."""

    outcome: str
    faults: list[str] = field(default_factory=list)


def judge(case: Case) -> Verdict:
    before = list(map(versions if case.seed % COPIED else snapshot, tensors(case.call)))
    try:
        with limited(SECONDS):
            got = answer(case, case.call)
    except REFUSALS as error:
        return refused(case, error)
    except Exception as error:  # noqa: BLE001 - whatever else is raised is the fault that is looked for
        return Verdict("compared", [f"raised {described(error)}"])
    after = map(versions if case.seed % COPIED else snapshot, tensors(case.call))
    faults = [] if all(map(torch.equal, before, after)) else ["an input was modified"]
    try:
        want = answer(case, case.twin)
    except Exception as error:  # noqa: BLE001
        return Verdict("compared", [*faults, f"answered, but its twin raised {described(error)}"])
    return Verdict("compared", [*faults, *compare(case, got, want)])


def refused(case: Case, error: Exception) -> Verdict:
    """An error must be the house's: of its form, and the twin's too."""
    verdict = Verdict("refused")
    if not re.match(r"^\w+: wanted ", str(error)):
        verdict.faults.append(f"an error that names no argument: {described(error)}")
    try:
        answer(case, case.twin)
    except type(error):
        return verdict
    except Exception as other:  # noqa: BLE001
        verdict.faults.append(f"{described(error)}; its twin: {described(other)}")
    else:
        verdict.faults.append(f"refused, but not its twin: {described(error)}")
    return verdict


def compare(case: Case, got: Answer, want: Answer) -> list[str]:
    if got.value.shape != want.value.shape:
        return [f"shape {tuple(got.value.shape)}, its twin {tuple(want.value.shape)}"]
    size = largest(case.twin)
    nearness = Nearness(case, size if math.isfinite(size) else 1.0)
    pairs = [(name, g, w) for (name, g), (_, w) in zip(got.named(case), want.named(case), strict=True)]
    if not math.isfinite(size):
        faults = [] if nearness.holds(*pairs[0]) else [difference(nearness, want, *pairs[0])]
        return [fault for fault in faults if fault] + passes_for_a_number(case, want)
    if not bool(want.value.isfinite().all()):
        pairs = pairs[:1]
    faults = [f"{name}: NaN from finite numbers" for name, _, exact in pairs if bool(exact.isnan().any())]
    for pair in pairs:
        if not nearness.holds(*pair):
            faults += [fault] if (fault := difference(nearness, want, *pair)) else []
    return faults + against_peers(case, want, size)


def difference(nearness: Nearness, want: Answer, name: str, got: Tensor, exact: Tensor) -> str:
    """What is wrong with an answer that is not near at first sight; empty where the inputs' digits excuse it."""
    near = nearness.where(name, got, exact)
    hopeless = ~near & ~got.isfinite() & exact.isfinite()  # no digit makes a number of NaN
    near = ~hopeless if bool(hopeless.any()) else nearness.after_shaking(name, got, want)
    if bool(near.all()):
        return ""
    i = int((~near).flatten().nonzero()[0])
    return f"{name}: {got.flatten()[i].item():.9g} at {i}, {exact.flatten()[i].item():.9g} in float64"


def passes_for_a_number(case: Case, want: Answer) -> list[str]:
    """NaN gives NaN, unless nobody looks there: then any other number gives the same."""
    if bool(want.value.isnan().any()) or not any(bool(t.isnan().any()) for t in tensors(case.twin)):
        return []
    for other in (0.25, 0.75):

        def instead(x: Any, other: float = other) -> Any:
            return x.nan_to_num(other, math.inf, -math.inf) if isinstance(x, Tensor) and x.is_floating_point() else x

        twin = Call(tuple(map(instead, case.twin.args)), {n: instead(v) for n, v in case.twin.kwargs.items()})
        value = answer(replace(case, leaves=()), twin).value
        # Another way through the code may round the last digit otherwise.
        if not torch.allclose(value, want.value, rtol=1e-12, atol=0, equal_nan=True):
            return [f"NaN passed for a number: {want.value.flatten()[:3].tolist()}"]
    return []


def versions(t: Tensor) -> Tensor:
    return torch.tensor(t._version)


def described(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


@contextmanager
def limited(seconds: int) -> Generator[None]:
    """A case that hangs is a fault too."""

    def ring(*_: object) -> None:
        raise RuntimeError(f"it took more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)

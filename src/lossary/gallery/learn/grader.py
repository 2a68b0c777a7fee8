"""The grader: an answer is asked on small batches beside the library; the smallest that differs is told."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lossary.gallery.findings import told
from lossary.gallery.learn.exercise import Batch, Exercise, Kind

#: A counterexample is for reading: so many numbers at most.
MOST = 10
_KINDS: tuple[Kind, ...] = ("plain", "any", "large")
_TRIES = 25  # of each size


@dataclass(frozen=True)
class Counterexample:
    """A batch on which an answer is wrong, and how."""

    batch: Batch
    wanted: str
    got: str

    def __str__(self) -> str:
        given = "\n".join(f"  {name} = {told(value)}" for name, value in self.batch.items())
        return f"given\n{given}\nwanted {self.wanted}\ngot    {self.got}"


def grade(exercise: Exercise, answer: Callable[..., object]) -> Counterexample | None:
    """The smallest batch on which an answer is not the library's; None where there is none."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return next((wrong for batch in batches(exercise) if (wrong := compared(exercise, answer, batch))), None)


def batches(exercise: Exercise) -> Iterator[Batch]:
    """From the smallest and plainest on."""
    for kind in _KINDS if exercise.large else _KINDS[:-1]:
        for size in (1, 2, 3, 4):
            for _ in range(_TRIES):
                batch = exercise.draw(size, kind)
                if sum(value.numel() for value in batch.values()) <= MOST:
                    yield batch


def compared(exercise: Exercise, answer: Callable[..., object], batch: Batch) -> Counterexample | None:
    """Whether value, gradient and arguments are as they should be; each is asked where the one before it is right."""
    value, slopes, _ = evaluated(exercise.right, batch)
    try:
        theirs, their_slopes, after = evaluated(answer, batch)
    except Exception as error:  # noqa: BLE001  # whatever an answer raises is its result
        return Counterexample(batch, f"a loss of {told(value)}", f"{type(error).__name__}: {error}"[:200])
    if theirs.shape != value.shape or not torch.allclose(theirs.double(), value, rtol=1e-5, atol=1e-7):
        return Counterexample(batch, f"a loss of {told(value)}", told(theirs))
    for name, one in batch.items():
        if not torch.equal(after[name], one):
            return Counterexample(batch, f"{name} as it was given", f"{name} = {told(after[name])} after the call")
    for name, slope in slopes.items() if exercise.slopes and not at_a_kink(exercise, batch) else ():
        got = their_slopes.get(name)
        if got is None or not torch.allclose(got, slope, rtol=1e-4, atol=1e-6):
            return Counterexample(batch, f"a gradient by {name} of {told(slope)}", "none" if got is None else told(got))
    return None


def evaluated(loss: Callable[..., object], batch: Batch) -> tuple[Tensor, dict[str, Tensor], Batch]:
    """Its value, its gradient by each argument that is moved, and what the call left of the arguments."""
    inputs = {name: one.clone().requires_grad_() for name, one in batch.items() if is_moved(name, one)}
    given = {name: inputs[name] * 1 if name in inputs else one.clone() for name, one in batch.items()}
    value = loss(*given.values())
    if not isinstance(value, Tensor):
        raise TypeError(f"wanted a tensor, got {type(value).__name__}")
    after = {name: one.detach().clone() for name, one in given.items()}
    if not value.requires_grad:
        return value.detach(), {}, after
    slopes = torch.autograd.grad(value.sum(), list(inputs.values()), allow_unused=True)
    return value.detach(), {name: slope for name, slope in zip(inputs, slopes, strict=True) if slope is not None}, after


def is_moved(name: str, one: Tensor) -> bool:
    return one.is_floating_point() and name != "y"  # the targets of every exercise


def at_a_kink(exercise: Exercise, batch: Batch) -> bool:
    """Whether a step to one side is another slope: which of them a loss has there is a convention."""
    for name, one in batch.items():
        if is_moved(name, one):
            step = 1e-7 * torch.arange(1, one.numel() + 1).view_as(one)  # not the same for all: scores may be shifted
            left, right = (evaluated(exercise.right, {**batch, name: one + s})[1].get(name) for s in (step, -step))
            if left is not None and right is not None and not torch.allclose(left, right, atol=1e-3):
                return True
    return False

"""Whether a case's answer is right: against its twin in float64, and by what holds for every call."""

import itertools
import math
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fuzz.generate import Case
from fuzz.subjects import Call, Slot

#: Roundings that a good algorithm makes of each number: of its own result, and of what one changed input digit does.
ROUNDINGS, RESPONSES = 16, 16
#: How often the twin's inputs are moved by a digit to see how the exact answer responds.
SHAKES = 6
#: Hyperparameters that scores are multiplied by, and divided by: an error of a cosine grows with them.
FACTORS, DIVISORS = ("scale", "w", "alpha", "beta"), ("temperature",)
SECONDS = 20
REFUSALS = (ValueError, TypeError, IndexError, NotImplementedError)


@dataclass(frozen=True)
class Answer:
    value: Tensor
    grads: tuple[Tensor, ...]


@dataclass
class Verdict:
    """What became of a case: "compared", "refused" (an error that names the argument) or "overflow"."""

    outcome: str
    faults: list[str] = field(default_factory=list)
    shaken: bool = False


def answer(case: Case, call: Call, dtype: torch.dtype | None = None) -> Answer:
    """The loss, and its gradients by the case's leaves in an uneven direction."""
    args, kwargs = list(call.args), dict(call.kwargs)
    leaves = []
    for key in case.leaves:
        home: Any = args if isinstance(key, int) else kwargs
        leaf = home[key].detach().requires_grad_()
        home[key] = leaf
        leaves.append(leaf)
    value = case.card.fn(*args, **kwargs)
    if not leaves or not value.requires_grad:
        return Answer(value.detach(), tuple(torch.zeros_like(leaf) for leaf in leaves))
    grads = torch.autograd.grad(value, leaves, direction(value), allow_unused=True)
    filled = (torch.zeros_like(x) if g is None else g for g, x in zip(grads, leaves, strict=True))
    return Answer(value.detach(), tuple(filled))


def direction(value: Tensor) -> Tensor:
    """Powers of two, so that every dtype has them exactly; uneven, so that a wrong place shows."""
    powers = torch.tensor([1.0, 0.5, 2.0], dtype=value.dtype)
    return powers.repeat(value.numel() // 3 + 1)[: value.numel()].reshape(value.shape)


# ---------------------------------------------------------------- the verdict


def judge(case: Case) -> Verdict:
    before = [snapshot(t) for t in tensors(case.call)]
    try:
        with limited(SECONDS):
            got = answer(case, case.call)
    except REFUSALS as error:
        return refused(case, error)
    except Exception as error:  # noqa: BLE001 - whatever else is raised is the fault that is looked for
        return Verdict("compared", [f"raised {type(error).__name__}: {first_line(error)}"])
    faults = [] if all(map(torch.equal, before, map(snapshot, tensors(case.call)))) else ["an input was modified"]
    try:
        want = answer(case, case.twin)
    except Exception as error:  # noqa: BLE001
        return Verdict(
            "compared", [*faults, f"answered, but its twin raised {type(error).__name__}: {first_line(error)}"]
        )
    return compare(case, got, want, faults)


def refused(case: Case, error: Exception) -> Verdict:
    """An error must be the house's: of its form, and the twin's too."""
    text = first_line(error)
    faults = (
        [] if re.match(r"^\w+: wanted ", text) else [f"an error that names no argument: {type(error).__name__}: {text}"]
    )
    try:
        answer(case, case.twin)
    except type(error):
        return Verdict("refused", faults)
    except Exception as other:  # noqa: BLE001
        return Verdict(
            "refused",
            [*faults, f"{type(error).__name__}: {text}; its twin: {type(other).__name__}: {first_line(other)}"],
        )
    return Verdict("refused", [*faults, f"refused, but not its twin: {type(error).__name__}: {text}"])


def compare(case: Case, got: Answer, want: Answer, faults: list[str]) -> Verdict:
    verdict = Verdict("compared", faults)
    if got.value.shape != want.value.shape:
        faults.append(f"shape {tuple(got.value.shape)}, its twin {tuple(want.value.shape)}")
        return verdict
    pairs = [("value", got.value, want.value)]
    if finite(case) and bool(want.value.isfinite().all()):
        names = (f"gradient by {key}" for key in case.leaves)
        pairs += zip(names, got.grads, want.grads, strict=True)
    if finite(case):
        faults += [f"{name}: NaN from finite numbers" for name, _, exact in pairs if bool(exact.isnan().any())]
    wrong = [p for p in pairs if not bool(is_near(case, *p, None).all())]
    if not wrong:
        return verdict
    verdict.shaken = True
    responses = shaken(case, want)
    usual = sizes_at_rest(case)
    for name, found, exact in wrong:
        place = 0 if name == "value" else 1 + case.leaves.index(key_of(name, case))
        response = responses[place]
        if place:
            response = response + torch.finfo(found.dtype).eps * (usual[place] + tangent(case, case.leaves[place - 1]))
        near = is_near(case, name, found, exact, response)
        if not bool(near.all()):
            faults.append(described(name, found, exact, near, response))
    return verdict


def key_of(name: str, case: Case) -> int | str:
    return next(key for key in case.leaves if name == f"gradient by {key}")


def described(name: str, found: Tensor, exact: Tensor, near: Tensor, response: Tensor) -> str:
    i = int((~near).flatten().nonzero()[0])
    a, b, r = (t.flatten()[i].item() for t in (found.double(), exact, response))
    return f"{name}: {a:.9g} at {i}, {b:.9g} in float64 (a digit of the input moves it by {r:.2g})"


# ---------------------------------------------------------------- near


def is_near(case: Case, name: str, got: Tensor, want: Tensor, response: Tensor | None) -> Tensor:
    """Where ``got`` is as good as its dtype allows, given how ``want`` responds to one digit of the inputs."""
    inner = torch.finfo(torch.float64 if case.dtype == torch.float64 else torch.float32)
    outer = torch.finfo(got.dtype)
    found = got.double()
    size = want.abs()
    allowed = ROUNDINGS * inner.eps * size + outer.eps * size + floor(case, name, got, want, inner, outer)
    if response is not None:
        allowed = allowed + RESPONSES * response
        if name != "value" or want.dim() == 0:
            allowed = allowed + ROUNDINGS * outer.eps * row_size(size)
    same = (found == want) | (found.isnan() & want.isnan()) | ((found - want).abs() <= allowed)
    # Beyond what the dtype holds the answer is infinite, with the right sign.
    count = max((t.numel() for t in floats(case.twin)), default=1)
    over = (size > outer.max / (8 * max(count, 1))) & (found.isinf() | (found.abs() > outer.max / (16 * max(count, 1))))
    return same | over


def row_size(size: Tensor) -> Tensor:
    if size.dim() == 0 or size.numel() == 0:
        return size
    flat = size.reshape(size.shape[0], -1)
    return flat.amax(1).reshape(-1, *([1] * (size.dim() - 1))).nan_to_num(0, 0, 0)


def floor(case: Case, name: str, got: Tensor, want: Tensor, inner: torch.finfo, outer: torch.finfo) -> float:
    """Errors that no size of the result excuses: of cosines and shares near 1, and below the smallest numbers."""
    largest = max((float(t.abs().max()) for t in floats(case.twin) if t.numel() and t.isfinite().all()), default=1.0)
    below = outer.tiny * outer.eps * (1 + largest) * 8
    if name != "value" or case.card.data in ("values", "binary", "lists"):
        return below
    return below + ROUNDINGS * inner.eps * grown(case)


def grown(case: Case) -> float:
    """What scores are multiplied by, at least 1."""
    hyper = {**case.card.module.fields, **case.twin.kwargs}
    numbers = {n: float(v) for n, v in hyper.items() if isinstance(v, float) and v}
    factors = [abs(numbers[n]) for n in FACTORS if n in numbers] + [
        1 / abs(numbers[n]) for n in DIVISORS if n in numbers
    ]
    return max(1.0, *factors, 1.0)


def shaken(case: Case, want: Answer) -> list[Tensor]:
    """How far the twin's answer moves when each of its numbers changes by a digit of the dtype of sums."""
    eps = digit(case)
    g = torch.Generator().manual_seed(case.seed % (1 << 60))
    base = [want.value, *want.grads]
    moved = [torch.zeros_like(t) for t in base]
    for step in range(SHAKES):
        try:
            other = answer(case, shake(case, eps * (1 if step % 2 else 2), g))
        except REFUSALS:  # beyond what an argument may be
            continue
        for i, t in enumerate((other.value, *other.grads)):
            if t.shape == base[i].shape:
                moved[i] = torch.maximum(moved[i], (t - base[i]).abs().nan_to_num(math.inf))
    return moved


def sizes_at_rest(case: Case) -> list[float]:
    """How large the twin's gradients are at ordinary numbers: what a rounding of 1 - p, gone in p = 1, is worth.

    Scores become ordinary ones; embeddings keep their lengths, which gradients go with.
    """
    g = torch.Generator().manual_seed(case.seed % (1 << 60))
    args = list(case.twin.args)
    slots = case.slots
    for place, (x, slot) in enumerate(zip(args, slots, strict=True)):
        if isinstance(x, Tensor) and slot.domain == "real":
            other = torch.randn(x.shape, generator=g, dtype=torch.float64)
            if embeds(slot) and x.numel():
                other = other * (norms(x) / norms(other)).nan_to_num(1, 1, 1)
            args[place] = other
    try:
        found = answer(case, Call(tuple(args), case.twin.kwargs))
    except REFUSALS:
        return [0.0] * (1 + len(case.leaves))
    return [float(t.abs().nan_to_num(0, 0, 0).max()) if t.numel() else 0.0 for t in (found.value, *found.grads)]


#: Losses of embeddings that are taken as they are.
AS_THEY_ARE = frozenset({"triplet_loss", "triplet_margin_loss", "center_loss", "n_pair_loss", "contrastive_loss"})


def tangent(case: Case, key: int | str) -> Tensor | float:
    """The slope of cosines by a row, which the projection that follows may leave nothing of (none in one dimension)."""
    x = case.twin.args[key] if isinstance(key, int) else case.twin.kwargs[key]
    if not (isinstance(key, str) or embeds(case.slots[key])) or case.name in AS_THEY_ARE or x.numel() == 0:
        return 0.0
    return (grown(case) / norms(x)).nan_to_num(0, 0, 0).expand(x.shape)


def norms(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True)


def digit(case: Case) -> float:
    return torch.finfo(torch.float64 if case.dtype == torch.float64 else torch.float32).eps


def shake(case: Case, eps: float, g: torch.Generator) -> Call:
    """The twin with every number moved by up to ``eps`` of itself; see :func:`looseness` for where by more."""
    loose = looseness(case, eps)

    def one(x: Any, absolute: float | Tensor = 0.0) -> Any:
        if isinstance(x, float):
            return x * (1 + eps * (2 * float(torch.rand((), generator=g)) - 1)) if x not in (0.0, 1.0) else x
        if not isinstance(x, Tensor) or not x.is_floating_point():
            return x
        noise = 2 * torch.rand(x.shape, generator=g, dtype=x.dtype) - 1
        moved = x + noise * (eps * x.abs() + absolute)
        return moved.clamp(max=1) if x.numel() and float(x.min()) >= 0 and float(x.max()) <= 1 else moved

    args = tuple(one(x, loose if s.axes in LOOSE else 0.0) for x, s in zip(case.twin.args, case.slots, strict=True))
    return Call(args, {n: one(v, loose if n in EMBEDDINGS else 0.0) for n, v in case.twin.kwargs.items()})


#: Rows that looseness is for; a head's classes stay.
LOOSE = ("ND", "NUD")
#: Keywords that hold embeddings.
EMBEDDINGS = ("ref_embeddings", "negatives")
#: Losses of distances, or of sums less a part: exact to a digit of the largest entry, not of each.
OF_DIFFERENCES = frozenset({"triplet_loss", "triplet_margin_loss", "center_loss", "contrastive_loss", "ge2e_loss"})
#: Losses of angles, which a cosine near 1 tells to half of its digits.
OF_ANGLES = frozenset({"arcface_loss", "combined_margin_loss"})


def embeds(slot: Slot) -> bool:
    return slot.domain == "real" and slot.axes in ("ND", "CD", "MD", "NUD")


def looseness(case: Case, eps: float) -> float | Tensor:
    """How much an embedding's entries may be moved beside ``eps`` of themselves."""
    args = [x for x, slot in zip(case.twin.args, case.slots, strict=True) if embeds(slot) and isinstance(x, Tensor)]
    if not all(x.numel() for x in args):
        return 0.0
    if case.name in OF_DIFFERENCES:
        refs = [case.twin.kwargs[n] for n in EMBEDDINGS if n in case.twin.kwargs]
        return eps * max(float(x.abs().max()) for x in (*args, *refs) if x.numel())
    if case.name in OF_ANGLES:
        x, w = args
        labels = case.twin.args[2]
        cosine = (x / norms(x) * (w / norms(w))[labels]).sum(-1, keepdim=True).nan_to_num(0, 0, 0)
        sine = (1 - cosine.square()).clamp_min(eps).sqrt()
        return norms(x) * (eps / sine)
    return 0.0


# ---------------------------------------------------------------- looking at calls


def tensors(call: Call) -> Iterator[Tensor]:
    for value in itertools.chain(call.args, call.kwargs.values()):
        for t in value if isinstance(value, tuple) else (value,):
            if isinstance(t, Tensor):
                yield t


def floats(call: Call) -> Iterator[Tensor]:
    return (t for t in tensors(call) if t.is_floating_point())


def finite(case: Case) -> bool:
    return all(bool(t.isfinite().all()) for t in floats(case.twin))


def snapshot(t: Tensor) -> Tensor:
    """A copy whose NaNs equal themselves."""
    return t.detach().clone().nan_to_num(1.25, 1.5, 1.75) if t.is_floating_point() else t.clone()


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """A case that hangs is a fault too."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"took more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)

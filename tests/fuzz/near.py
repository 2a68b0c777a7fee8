"""How near an answer must come to its twin's: a few roundings, or what a digit of the inputs is worth."""

import math
from typing import Any

import torch
from torch import Tensor

from fuzz.calls import Answer, answer, floats, largest
from fuzz.generate import Case
from fuzz.subjects import Call, Slot, fields

#: Roundings that a good algorithm makes of each number: of its own result, and of what one changed input digit does.
ROUNDINGS, RESPONSES = 32, 16
#: Numbers that float32 holds, but not their multiples and sums.
VAST = 1e34
#: How often the twin's inputs are moved by a digit, at most, to see how the exact answer responds.
SHAKES = 40
#: Hyperparameters that scores are multiplied by, and divided by: an error of a cosine grows with them.
FACTORS, DIVISORS = ("scale", "w", "alpha", "beta"), ("temperature",)
#: Rows of embeddings, and of a head's classes.
ROWS = ("ND", "NUD", "MD", "CD")
#: Numbers that are a choice: nothing is a digit beside 2.
EXACT = ("p",)
#: Keywords that hold embeddings.
EMBEDDINGS = ("ref_embeddings", "negatives")
#: Losses of distances, or of sums less a part: exact to a digit of the largest entry, not of each.
DISTANCES = frozenset(
    {
        "triplet_loss",
        "triplet_margin_loss",
        "triplet_margin_with_distance_loss",
        "center_loss",
        "contrastive_loss",
    }
)
OF_DIFFERENCES = DISTANCES | {"ge2e_loss"}
#: Losses of angles, which a cosine near 1 tells to half of its digits, and the margin that is added to the angle.
OF_ANGLES = {
    "arcface_loss": "margin",
    "combined_margin_loss": "m2",
    "adaface_loss": "margin",
    "magface_loss": "u_margin",
    "curricularface_loss": "margin",
}
REFUSALS = (ValueError, TypeError, IndexError, NotImplementedError)


class Nearness:
    """What one case allows its answers to differ by."""

    def __init__(self, case: Case, size: float) -> None:
        self.case, self.size = case, size  # of the largest number
        self.inner = torch.finfo(torch.float64 if case.dtype == torch.float64 else torch.float32)
        self.count = max((t.numel() for t in floats(case.twin)), default=1) or 1

    def holds(self, name: str, got: Tensor, want: Tensor, response: Tensor | float = 0.0) -> bool:
        return bool(self.where(name, got, want, response).all())

    def where(self, name: str, got: Tensor, want: Tensor, response: Tensor | float = 0.0) -> Tensor:
        """Where ``got`` is as good as its dtype allows, given how ``want`` responds to one digit of the inputs."""
        outer, found, size = torch.finfo(got.dtype), got.double(), want.abs()
        relative = ROUNDINGS * self.inner.eps + outer.eps
        near = (found - want).abs_() <= size * relative + (self.floor(name, outer) + RESPONSES * response)
        if bool(near.all()):
            return near
        if name != "value" and self.case.card.item != "element":
            near |= (found - want).abs_() <= ROUNDINGS * outer.eps * row_size(size) + RESPONSES * response
        near |= (found == want) | (found.isnan() & want.isnan())
        near |= want.isinf() & ~found.isfinite()  # beyond float64 too
        # Beyond what the dtype holds the answer is infinite, or a large number, but not NaN.
        return near | ((size > min(outer.max / (8 * self.count), VAST)) & ~found.isnan())

    def floor(self, name: str, outer: torch.finfo) -> float:
        """Errors that no size of the result excuses: of cosines and shares near 1, and below the smallest numbers."""
        below = outer.tiny * outer.eps * (1 + self.size) * 8
        if name != "value" or self.case.card.data in ("values", "answers"):
            return below
        if self.case.card.data == "lists":  # a log-sum less a score
            return below + ROUNDINGS * self.inner.eps * max(1.0, self.size)
        return below + ROUNDINGS * self.inner.eps * grown(self.case) * lengths(self.case)

    def after_shaking(self, name: str, got: Tensor, want: Answer) -> Tensor:
        """Where ``got`` is near, once the twin's answer has been seen to respond."""
        case, place = self.case, 0
        exact = want.value
        response: Tensor | float = 0.0
        if name != "value":
            place = next(i for i, key in enumerate(case.leaves) if name == f"gradient by {key}") + 1
            exact = want.grads[place - 1]
            usual = 4 * size_at_rest(case, place - 1) + tangent(case, case.leaves[place - 1])
            response = torch.finfo(got.dtype).eps * usual
            if self.holds(name, got, exact, response):
                return self.where(name, got, exact, response)
        moved = torch.zeros_like(exact)
        g = torch.Generator().manual_seed(case.seed % (1 << 60))
        for step in range(SHAKES):
            try:
                other = answer(case, shake(case, self.inner.eps * (1 + step % 2), g))
            except REFUSALS:  # beyond what an argument may be
                continue
            changed = (other.value, *other.grads)[place]
            if changed.shape == exact.shape:
                moved = torch.maximum(moved, (changed - exact).abs().nan_to_num(math.inf))
            if self.holds(name, got, exact, moved + response):
                break
        return self.where(name, got, exact, moved + response)


def row_size(size: Tensor) -> Tensor:
    if size.dim() == 0 or size.numel() == 0:
        return size
    flat = size.reshape(size.shape[0], -1)
    return flat.amax(1).reshape(-1, *([1] * (size.dim() - 1))).nan_to_num(0, 0, 0)


# ---------------------------------------------------------------- what scores are made of


def embeds(slot: Slot) -> bool:
    return slot.domain == "real" and slot.axes in ROWS


def embeddings(case: Case) -> list[Tensor]:
    given: tuple[Any, ...] = case.twin.args
    args = [x for x, slot in zip(given, case.slots, strict=True) if embeds(slot) and x is not None]
    found = [*args, *(case.twin.kwargs[n] for n in EMBEDDINGS if n in case.twin.kwargs)]
    return [x for x in found if x.numel()]


def norms(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True)


def hyper(case: Case, name: str) -> Any:
    return case.twin.kwargs.get(name, fields(case.name).get(name, (None,))[0])


def grown(case: Case) -> float:
    """What scores are multiplied by, at least 1."""
    factors = [v for n in FACTORS if isinstance(v := hyper(case, n), float)]
    divisors = [v for n in DIVISORS if isinstance(v := hyper(case, n), float) and v]
    return max(1.0, *map(abs, factors), *(1 / abs(v) for v in divisors), 1.0)


def lengths(case: Case) -> float:
    """The largest product of two lengths where scores go with the lengths, else 1."""
    plain = hyper(case, "normalize") is False or hyper(case, "similarity") == "dot"
    plain |= hyper(case, "normalize_embeddings") is False or case.name in ("sphereface_loss", "n_pair_loss")
    if not plain:
        return 1.0
    sizes = [norms(x).max().item() for x in embeddings(case)]
    heads = any(slot.axes == "CD" for slot in case.slots)  # whose classes are of length 1
    return max(1.0, sizes[0] if heads else max(sizes) ** 2) if sizes else 1.0


def tangent(case: Case, key: int | str) -> Tensor | float:
    """The slope of scores by a row, which the projection that follows may leave nothing of (none in one dimension)."""
    x = case.twin.args[key] if isinstance(key, int) else case.twin.kwargs[key]
    if case.card.data == "lists":  # log-probabilities less their mean
        return grown(case) * max(1.0, largest(case.twin))
    if case.card.kernel == "overlap" and case.card.data == "masks" and key == 1:  # what smooth is divided by
        return 16 / max(hyper(case, "smooth"), 1e-3)
    if case.card.data == "images":  # variances, which are differences of moments, over constants of a thousandth
        return 0.02
    if "lovasz" in case.name:  # differences of neighbouring Jaccard losses near 1
        return 1.0
    if not (isinstance(key, str) or embeds(case.slots[key])) or x.numel() == 0:
        return 0.0
    if case.name in DISTANCES:  # two unit vectors, or differences of squared distances, which cancel
        return 4 * (1 + 2 * max(norms(x).max().item() for x in embeddings(case)) * bool(hyper(case, "squared")))
    size = norms(x)
    size = size[size > 0].min() if case.name == "ge2e_loss" and bool((size > 0).any()) else size  # by way of a centroid
    # A row's slopes add up over what it is scored with, where no softmax makes shares of them.
    of_all = case.name in ("ge2e_loss", "siglip_loss") or (key == 1 and case.slots[1].axes == "CD")
    summed = len(case.twin.args[0]) if of_all else 1
    return (summed * grown(case) * lengths(case) / size).nan_to_num(0, 0, 0).expand(x.shape)


def size_at_rest(case: Case, leaf: int) -> float:
    """How large a gradient of the twin is at ordinary numbers: what a rounding of 1 - p, gone in p = 1, is worth.

    Scores become ordinary ones; embeddings keep their lengths, which gradients go with.
    """
    g = torch.Generator().manual_seed(case.seed % (1 << 60))
    args = list(case.twin.args)
    for place, (x, slot) in enumerate(zip(args, case.slots, strict=True)):
        if isinstance(x, Tensor) and slot.domain == "real":
            other = torch.randn(x.shape, generator=g, dtype=torch.float64)
            if embeds(slot) and x.numel():
                other = other * (norms(x) / norms(other)).nan_to_num(1, 1, 1)
            args[place] = other
    try:
        found = answer(case, Call(tuple(args), case.twin.kwargs)).grads[leaf]
    except REFUSALS:
        return 0.0
    return float(found.abs().nan_to_num(0, 0, 0).max()) if found.numel() else 0.0


# ---------------------------------------------------------------- a digit


def shake(case: Case, eps: float, g: torch.Generator) -> Call:
    """The twin with every number moved by up to ``eps`` of itself, and by more where it is a difference or an angle."""
    loose = looseness(case, eps)

    def one(x: Any, absolute: float | Tensor = 0.0) -> Any:
        if isinstance(x, float):
            return x * (1 + eps * (2 * float(torch.rand((), generator=g)) - 1)) if x not in (0.0, 1.0) else x
        if not isinstance(x, Tensor) or not x.is_floating_point():
            return x
        noise = 2 * torch.rand(x.shape, generator=g, dtype=x.dtype) - 1
        moved = x + noise * (eps * x.abs() + absolute)
        return moved.clamp(max=1) if x.numel() and float(x.min()) >= 0 and float(x.max()) <= 1 else moved

    args = tuple(one(x, loose if embeds(s) else 0.0) for x, s in zip(case.twin.args, case.slots, strict=True))
    kwargs = {n: one(v, loose if n in EMBEDDINGS else 0.0) for n, v in case.twin.kwargs.items() if n not in EXACT}
    kwargs |= {n: v for n, v in case.twin.kwargs.items() if n in EXACT}
    if case.name in OF_ANGLES and isinstance(angle := hyper(case, OF_ANGLES[case.name]), float):
        x, w, labels = case.twin.args
        off = angle_errors(x, w, labels, eps)
        turn = (2 * float(torch.rand((), generator=g)) - 1) * float(off.max()) if off.numel() else 0.0
        kwargs[OF_ANGLES[case.name]] = abs(angle + turn)
        args = (one(x, norms(x) * off), *args[1:])
    return Call(args, kwargs)


def looseness(case: Case, eps: float) -> float:
    """How much each entry of an embedding may be moved beside ``eps`` of itself."""
    xs = embeddings(case) if case.name in OF_DIFFERENCES else []
    return eps * max((float(x.abs().max()) for x in xs), default=0.0)


def angle_errors(x: Tensor, w: Tensor, labels: Tensor, eps: float) -> Tensor:
    """By how much each row's angle is off whose cosine is off by ``eps``, (N, 1)."""
    own = (w / norms(w))[labels].reshape(len(x), -1, x.shape[1])  # of each sub-center
    cosine = ((x / norms(x))[:, None] * own).sum(-1).abs().amax(1, keepdim=True).nan_to_num(0, 0, 0)
    return eps / (1 - cosine.square()).clamp_min(eps).sqrt()

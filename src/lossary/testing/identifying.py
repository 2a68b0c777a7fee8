"""What a stranger's loss computes: its values on a few batches are compared with every loss here, at many options.

Two losses count as the same up to a factor if their values have one constant ratio on batches of several sizes. The
result also says whether their gradients have that ratio too, and on which of the hand-placed batches the two differ.
"""

import inspect
import itertools
import math
import re
import time
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn

from lossary.catalogue import CATALOGUE
from lossary.core.card import AT_CALL
from lossary.testing.draws import Call
from lossary.testing.forms import Stranger, recognised
from lossary.testing.laws.subject import select
from lossary.testing.placed import placed

#: Usual values of options, by the option's name; the stranger's own numbers come first.
USUAL: Mapping[str, tuple[float, ...]] = {
    "margin": (0.0, 0.1, 0.2, 0.3, 0.35, 0.4, 0.5, 1.0, 2.0),
    "temperature": (0.05, 0.07, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0),
    "gamma": (0.0, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0),
    "alpha": (0.25, 0.3, 0.5, 0.7, 0.75),
    "beta": (0.1, 0.25, 0.3, 0.5, 0.7, 1.0, 2.0),
    "scale": (1.0, 16.0, 20.0, 30.0, 32.0, 64.0),
    "smooth": (0.0, 1e-7, 1e-6, 1e-5, 1e-3, 1.0, 2.0),
    "label_smoothing": (0.0, 0.05, 0.1, 0.2),
    "delta": (0.5, 1.0, 1.345, 2.0),
    "quantile": (0.1, 0.25, 0.5, 0.75, 0.9),
    "epsilon": (-1.0, 1.0, 2.0),
    "eps": (0.0, 1e-8, 1e-6, 1e-3, 1e-2),
    "factor": (0.5, 1.0),
}
#: Options without a grid: tensors, and those for which a few numbers tell nothing.
LEFT_OUT = AT_CALL | {"reduction", "group", "dim", "ignore_index"}
#: How many numbers of the stranger's own code, and how many settings of one loss, are tried.
OWN, SETTINGS = 8, 500
#: How many values of one option are tried; of each of two together; of each of three, then from the loss's own code.
MOST = {1: 40, 2: 6, 3: 3}
#: How many forms of call are tried, if the names leave several open.
LIKELY = 3
NEAR = 1e-7
#: Calls of these forms take the same tensors.
ALIKE: tuple[frozenset[str], ...] = (
    frozenset({"input-target", "input-label", "input-shares", "input-teacher"}),
    frozenset({"pair-target", "first-second-target", "pair-grade"}),
    frozenset({"embeddings-weight-labels", "embeddings-centers-labels"}),
    frozenset({"anchor-positive", "input-teacher", "chosen-rejected"}),
)

Settings = dict[str, Any]
Own = tuple[float, ...]  # the numbers in the stranger's code
Relation = Literal["mean", "sum", "batchmean"]


@dataclass(frozen=True)
class Identity:
    """A loss whose values keep one ratio to the stranger's."""

    loss: str  # as it is written: focal_loss(gamma=2.0)
    factor: float
    reduction: str
    inputs: str  # what turns the stranger's inputs into this one's: "logit of the probabilities"
    same_gradient: bool
    apart: tuple[str, ...] = ()  # placed batches at which the two differ
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        factor = {1.0: "", -1.0: "minus "}.get(self.factor, f"{self.factor:.7g} times ")
        words = f"{factor}{self.loss}"
        words += f", reduction {self.reduction!r}" if self.reduction != "mean" else ""
        words += f", of the {self.inputs}" if self.inputs else ""
        more = list(self.remarks)
        more += [] if self.same_gradient else ["its gradient differs: something is detached on one side"]
        more += [f"differs from it at: {', '.join(self.apart)}"] if self.apart else []
        return "; ".join([words, *more])


@dataclass(frozen=True)
class Named:
    """What a loss was found to be."""

    loss: str
    called: str
    seconds: float
    found: tuple[Identity, ...]  # the plainest first

    def as_dict(self) -> dict[str, Any]:
        """For a machine-readable file."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [self.loss, f"  called as {self.called}"]
        if not self.found:
            return "\n".join([*lines, "  none of the losses here, with any of the options tried"])
        lines.append(f"  is {self.found[0]}")
        return "\n".join([*lines, *(f"  which is also {other}" for other in self.found[1:4])])


def identify(
    loss: Callable[..., Any],
    *,
    takes: str | None = None,
    input: str | None = None,
    data: str | None = None,
    **given: Any,
) -> Named:
    """Say which loss of this library a stranger's loss is, at which options, and how the two differ.

    Args:
        loss: A function or a Module, ``loss(predictions, targets)``.
        takes: The form of call, as on a card, if the argument names do not tell.
        input: What the first tensor holds.
        data: What the loss is for, if several kinds are called alike: ``"classes"`` or ``"masks"``.
        **given: More arguments for every call.

    Returns:
        The losses whose values keep one ratio to it on every batch, the plainest first; there may be none.

    Example:
        >>> import torch
        >>> from lossary.testing import identify
        >>> def mystery(input, target):
        ...     return 0.5 * ((input - target) ** 2).sum(1).mean()
        >>> print(identify(mystery).found[0])
        0.5 times mse_loss(), reduction 'batchmean'
    """
    start = time.monotonic()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        with torch.enable_grad():
            likely = recognised(loss, takes=takes, input=input, data=data, given=given)
        forms = ((stranger, found) for stranger in likely[:LIKELY] if (found := _found(stranger)))
        stranger, found = next(forms, (likely[0], []))
    return Named(stranger.name, stranger.described(), time.monotonic() - start, tuple(found))


# ---------------------------------------------------------------- batches


@dataclass(frozen=True)
class Asked:
    """A batch in the order of the call, and the stranger's value for it."""

    tensors: tuple[Tensor, ...]
    value: float


def _asked(stranger: Stranger) -> list[Asked]:
    """Batches of several sizes, to tell a mean from a sum."""
    made: list[Asked] = []
    for seed, dropped in ((11, 0), (12, 2), (13, 0), (14, 1), (15, 0), (16, 2)):
        call = stranger.draw(Generator().manual_seed(seed), torch.float64)
        call = select(call, slice(dropped, None)) if dropped and call.args[0].shape[0] > dropped + 1 else call
        tensors = stranger.in_order(call)
        try:
            value = stranger(*call.args, **call.kwargs)
        except Exception:  # noqa: BLE001  # it does not take this size
            continue
        if value.isfinite().all():
            made.append(Asked(tensors, value.double().sum().item()))
    return made


#: What may be done to the tensors before another loss takes them.
Turn = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]


def _turns(stranger: Stranger) -> dict[str, Turn]:
    """The tensors unchanged, and converted for losses with other inputs and labels."""
    turns: dict[str, Turn] = {"": lambda t: t}
    last = len(stranger.tensors) - 1
    if stranger.form.input == "probabilities":
        turns["logit of the probabilities"] = lambda t: (t[0].logit(), *t[1:])
    if stranger.form.input == "logits" and stranger.form.takes == "input-target":
        turns["sigmoid of the logits"] = lambda t: (t[0].sigmoid(), *t[1:])
    if stranger.form.takes in ("input-target", "first-second-target") and stranger.form.input in ("scores", "logits"):
        turns["labels as 0 and 1"] = lambda t: (*t[:last], (t[last] + 1) / 2)
        turns["labels as -1 and 1"] = lambda t: (*t[:last], 2 * t[last] - 1)
    if stranger.form.takes in ("input-target", "anchor-positive", "input-teacher"):
        turns["two in the other order"] = lambda t: (t[1], t[0])
    return turns


# ---------------------------------------------------------------- candidates


@dataclass(frozen=True)
class Candidate:
    """A loss here, as a function of tensors and settings."""

    name: str
    run: Callable[..., Tensor]
    fields: Mapping[str, tuple[Any, ...]]  # what each option may be other than its default
    defaults: Mapping[str, Any]
    reduces: bool
    plain: bool = False  # whether its mean is the mean of its items

    def settings(self, changed: int) -> Iterator[Settings]:
        """Settings with ``changed`` options off their defaults; with several, only the likeliest values of each."""
        most = MOST.get(changed)
        for names in itertools.combinations(self.fields, changed):
            for chosen in itertools.product(*(self.fields[n][:most] for n in names)):
                yield dict(zip(names, chosen, strict=True))

    def written(self, settings: Settings) -> str:
        return f"{self.name}({', '.join(f'{n}={_short(v)}' for n, v in settings.items())})"


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def _cards(stranger: Stranger, own: Own) -> list[Candidate]:
    form = stranger.form.takes
    alike = {form}.union(*(forms for forms in ALIKE if form in forms))
    cards = [card for card in CATALOGUE if alike & set(card.takes)]
    given = stranger.form
    cards.sort(key=lambda card: (form not in card.takes, card.input != given.input, card.data != given.data))
    return [replace(_candidate(card.name, card.fn, own), plain=card.mean_is_plain) for card in cards]


def _candidate(name: str, fn: Callable[..., Any], own: Own) -> Candidate:
    hints = typing.get_type_hints(fn)
    parameters = inspect.signature(fn).parameters
    optional = {n: p.default for n, p in parameters.items() if p.default is not p.empty and n not in LEFT_OUT}
    fields = {n: _values(n, hints.get(n, object), d, own) for n, d in optional.items()}
    reduces = {"none", "mean", "sum"} <= set(typing.get_args(hints.get("reduction", object)))
    return Candidate(name, fn, {n: v for n, v in fields.items() if v}, optional, reduces)


def _presets(own: Own) -> Iterator[Candidate]:
    """Other libraries' losses: made with options, then called."""
    import lossary.presets as libraries

    for library in libraries.__all__:
        module = getattr(libraries, library)
        for name in module.__all__:
            make = getattr(module, name)
            needed = [p for p in inspect.signature(make).parameters.values() if p.default is p.empty]
            modes = typing.get_args(typing.get_type_hints(make).get("mode", object)) if needed else ()
            if not needed:
                yield _candidate_of_preset(f"presets.{library}.{name}", make, {}, own)
            elif [p.name for p in needed] == ["mode"]:
                for mode in modes:
                    yield _candidate_of_preset(f"presets.{library}.{name}", make, {"mode": mode}, own)


def _candidate_of_preset(name: str, make: Callable[..., nn.Module], fixed: Settings, own: Own) -> Candidate:
    made = _candidate(name, make, own)
    last: dict[tuple[Any, ...], nn.Module] = {}

    def run(*tensors: Tensor, **settings: Any) -> Tensor:
        key = tuple(settings.items())
        if key not in last:
            last.clear()
            last[key] = make(**{**fixed, **settings})
        return last[key](*tensors)

    shown = f"{name}({', '.join(f'{n}={v!r}' for n, v in fixed.items())})" if fixed else name
    return Candidate(shown, run, made.fields, made.defaults, made.reduces)


def _values(name: str, hint: Any, default: Any, own: Own) -> tuple[Any, ...]:
    """What an option may be other than its default."""
    parts = set(typing.get_args(hint)) or {hint}
    if typing.get_origin(hint) is Literal:
        return tuple(v for v in typing.get_args(hint) if v != default)
    if bool in parts:
        return (not default,)
    if float in parts or (int in parts and isinstance(default, int)):
        whole = float not in parts
        near = (v for n, v in USUAL.items() if n == name or name.endswith(f"_{n}") or name.startswith(f"{n}_"))
        numbers = dict.fromkeys((*own, *next(near, (0.5, 1.0, 2.0))))
        # A whole number may count rounds: one over a tiny epsilon would never finish.
        kept = [int(v) if whole else float(v) for v in numbers if not whole or (float(v).is_integer() and abs(v) < 20)]
        return tuple(v for v in kept if v != default)
    return ()


def own_numbers(loss: Any) -> Own:
    """The numbers in a loss's defaults, attributes and code: its options are among them or their reciprocals."""
    functions = [loss.forward] if isinstance(loss, nn.Module) else [loss]
    numbers: list[float] = []
    if isinstance(loss, nn.Module):
        numbers += [v for v in vars(loss).values() if isinstance(v, (int, float)) and not isinstance(v, bool)]
        functions += [f for f in vars(type(loss)).values() if inspect.isfunction(f) and f.__name__ != "__init__"]
    for function in functions:
        plain = inspect.unwrap(function)
        numbers += [p.default for p in inspect.signature(plain).parameters.values() if type(p.default) in (int, float)]
        code = getattr(plain, "__code__", None)
        numbers += [c for c in (code.co_consts if code else ()) if type(c) in (int, float)]
    found = dict.fromkeys(float(n) for n in numbers if math.isfinite(n) and abs(n) < 1e4)
    turned = [f(n) for n in found for f in (lambda x: x, lambda x: 1 / x if x else 0.0, lambda x: 1 - x, lambda x: -x)]
    own = [*found, *(n for n in dict.fromkeys(turned) if n not in found)]
    return tuple(dict.fromkeys(own))[: 2 * OWN]


# ---------------------------------------------------------------- comparing


def _found(stranger: Stranger) -> list[Identity]:
    asked = _asked(stranger)
    if len(asked) < 3 or max(abs(a.value) for a in asked) == 0:
        return []
    own = own_numbers(stranger.module if stranger.module is not None else stranger.run)
    turns = _turns(stranger)
    cards, presets = _cards(stranger, own), [*_presets(own)]
    # What takes long, several options at once, is tried only if nothing plainer fits.
    found = [*_fitting(cards, asked, turns, range(2)), *_fitting(presets, asked, turns, range(1))]
    found = found or _fitting(cards, asked, turns, range(2, 4)) or _fitting(presets, asked, turns, range(1, 3))
    found.sort(key=lambda one: _oddness(one[0]))
    return [_described(stranger, *one) for one in found[:4]]


Fitting = tuple[Identity, Candidate, Turn, Settings, Relation]


def _fitting(candidates: list[Candidate], asked: list[Asked], turns: dict[str, Turn], changes: range) -> list[Fitting]:
    """All that fit with the fewest options changed."""
    able = [(c, w, t) for c in candidates for w, t in turns.items() if _value(c, t(asked[0].tensors), {}) is not None]
    for changed in changes:
        found: list[Fitting] = []
        for candidate, words, turn in able:
            turned = [turn(a.tensors) for a in asked]
            for settings in itertools.islice(candidate.settings(changed), SETTINGS):
                fit = _fit(candidate, settings, asked, turned)
                written = candidate.written(settings)
                if fit is not None and all(one.loss != written for one, *_ in found):
                    found.append((Identity(written, *fit, words, True), candidate, turn, settings, fit[1]))
        if found:
            return found
    return []


def _oddness(one: Identity) -> tuple[bool, ...]:
    """The order of several that fit, plainest first."""
    return one.factor != 1.0, one.loss.startswith("presets"), one.reduction != "mean", one.inputs != ""


def _fit(
    candidate: Candidate, settings: Settings, asked: list[Asked], turned: list[tuple[Tensor, ...]]
) -> tuple[float, Relation] | None:
    """The factor and reduction at which a candidate has the stranger's values; None if there are none."""
    ratios: dict[Relation, list[float]] = {"mean": [], "sum": [], "batchmean": []}
    for one, tensors in zip(asked, turned, strict=True):
        value = _value(candidate, tensors, settings)
        if value is None:
            return None
        mean, total = value
        of_batch: dict[Relation, float] = {"mean": mean, "sum": total, "batchmean": total / tensors[0].shape[0]}
        ratios = {name: [*past, _ratio(one.value, of_batch[name])] for name, past in ratios.items()}
        ratios = {name: past for name, past in ratios.items() if _steady(past)}
        if not ratios:
            return None
    name, kept = min(ratios.items(), key=lambda pair: round(abs(math.log(abs(_middle(pair[1])) or 1.0)), 7))
    factor = _middle(kept)
    plain = round(factor, 6)
    return (plain if math.isclose(factor, plain, rel_tol=1e-7) else factor, name) if factor else None


def _ratio(value: float, known: float) -> float:
    """The ratio; infinite if both are 0, which fits any factor; NaN if only ``known`` is."""
    if abs(known) < 1e-12:
        return math.inf if abs(value) < 1e-12 else math.nan
    return value / known


def _steady(ratios: list[float]) -> bool:
    """Whether all ratios are equal; infinite ones come from batches on which both losses are 0."""
    if any(math.isnan(r) for r in ratios):
        return False
    known = [r for r in ratios if math.isfinite(r)]
    return not known or max(known) - min(known) <= NEAR * abs(known[0])


def _middle(ratios: list[float]) -> float:
    known = sorted(r for r in ratios if math.isfinite(r))
    return known[len(known) // 2] if len(known) > 2 else 0.0


def _value(candidate: Candidate, tensors: tuple[Tensor, ...], settings: Settings) -> tuple[float, float] | None:
    """Its mean and its sum; None if it does not take these arguments."""
    try:
        if not candidate.reduces:
            total = float(candidate.run(*tensors, **settings).sum())
            return total, total
        items = candidate.run(*tensors, **settings, reduction="none")
        if candidate.plain:
            return float(items.mean()), float(items.sum())
        return float(candidate.run(*tensors, **settings, reduction="mean")), float(items.sum())
    except Exception:  # noqa: BLE001  # it does not take these tensors, or these settings
        return None


def _described(
    stranger: Stranger, found: Identity, candidate: Candidate, turn: Turn, settings: Settings, reduction: Relation
) -> Identity:
    """The identity with its gradient, the placed batches at which the two differ, and what may have been mixed up."""

    def known(tensors: tuple[Tensor, ...]) -> Tensor:
        given = {"reduction": "mean" if reduction == "mean" else "sum"} if candidate.reduces else {}
        value = candidate.run(*turn(tensors), **settings, **given)
        return found.factor * value / (tensors[0].shape[0] if reduction == "batchmean" else 1)

    def same(call: Call) -> tuple[bool, bool]:
        with torch.enable_grad():
            leaves = tuple(t.clone().requires_grad_() for t in call.args)
            moved = Call(leaves, call.kwargs)
            values = stranger(*leaves, **call.kwargs).sum(), known(stranger.in_order(moved))
            grads = [torch.autograd.grad(v, leaves, allow_unused=True) for v in values]
        equal = torch.allclose(values[0], values[1], rtol=1e-5, atol=1e-8, equal_nan=True)
        pairs = zip(*(_whole(g, leaves) for g in grads), strict=True)
        return equal, all(torch.allclose(a, b, rtol=1e-4, atol=1e-7, equal_nan=True) for a, b in pairs)

    def tried(call: Call) -> tuple[bool, bool]:
        try:
            return same(call)
        except Exception:  # noqa: BLE001  # one of the two refuses the batch
            return False, False

    own = tried(stranger.draw(Generator().manual_seed(11), torch.float64))
    apart = tuple(name for name, call in placed(stranger).named.items() if not tried(call)[0])
    remarks = tuple(_remarks(stranger, found, settings, candidate))
    return replace(found, same_gradient=own[1], apart=apart, remarks=remarks)


def _whole(grads: tuple[Any, ...], leaves: tuple[Tensor, ...]) -> list[Tensor]:
    return [torch.zeros_like(x) if g is None else g for g, x in zip(grads, leaves, strict=True)]


def _remarks(stranger: Stranger, found: Identity, settings: Settings, candidate: Candidate) -> Iterator[str]:
    """What a factor or a pair of options gives away."""
    chosen = {**candidate.defaults, **settings}
    theirs = _named_numbers(stranger.module if stranger.module is not None else stranger.run)
    meant = {f"its {name}": value for name, value in theirs.items()}
    for name in (n for n in chosen if re.search("temperature|tau|scale|factor", n) and type(chosen[n]) in (int, float)):
        powers = {name: 1, f"1 / {name}": -1, f"{name} squared": 2, f"1 / {name} squared": -2}
        meant |= {words: chosen[name] ** power for words, power in powers.items()}
    factor = next((words for words, number in meant.items() if math.isclose(found.factor, number, rel_tol=1e-7)), None)
    if factor and found.factor != 1:
        yield f"the factor is {factor}"
    pairs = [(options.get("alpha"), options.get("beta")) for options in (theirs, chosen)]
    if pairs[0] == pairs[1][::-1] and pairs[0] != pairs[1]:
        yield "its alpha is beta here, and its beta alpha"
    if found.factor < 0:
        yield "the sign is reversed: it is to be maximised"


def _named_numbers(loss: Any) -> dict[str, float]:
    """A loss's options by name: a Module's attributes, a function's defaults."""
    if isinstance(loss, nn.Module):
        return {n: v for n, v in vars(loss).items() if isinstance(v, float)}
    return {n: p.default for n, p in inspect.signature(loss).parameters.items() if isinstance(p.default, float)}

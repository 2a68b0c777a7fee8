"""Hold anyone's loss to the laws, and say what is wrong on the smallest batch that shows it."""

import re
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Generator

from lossary.core.card import Card
from lossary.testing import meanings
from lossary.testing.draws import Call
from lossary.testing.forms import Stranger, recognised
from lossary.testing.laws import devices, gradients, interface, values
from lossary.testing.laws.anyone import ANYONE
from lossary.testing.laws.law import LAWS, Law
from lossary.testing.laws.subject import Batches, Subject, as_function
from lossary.testing.placed import Only, Placed, placed
from lossary.testing.shrinking import numbers, shrunk

#: Imported for the laws that they register.
ENTERED = (devices, gradients, interface, values)

#: Other laws build on these.
FIRST = (
    "inputs_are_not_written",
    "inputs_stay_as_they_are_and_calls_repeat",
    "float64_stays_float64",
    "gradient_is_true",
)
#: How to ask the other laws if one of these is broken: with copies of the inputs, or a fresh Module for each call.
SPARED = {
    "inputs_are_not_written": Stranger.copying,
    "inputs_stay_as_they_are_and_calls_repeat": Stranger.forgetful,
}

Outcome = Literal["holds", "broken", "note", "not asked"]


@dataclass(frozen=True)
class Verdict:
    """What one law says about a loss."""

    law: str
    outcome: Outcome
    title: str
    found: str = ""  # what happened
    batch: str = ""  # the kind of batch: "a zero vector"
    given: Mapping[str, str] | None = None  # the smallest batch, argument by argument, as written in Python
    numbers: int = 0  # how many the batch has
    means: str = ""
    mend: str = ""


@dataclass(frozen=True)
class Report:
    """All verdicts on one loss."""

    loss: str
    called: str  # the form of call used
    seconds: float
    verdicts: tuple[Verdict, ...]

    @property
    def broken(self) -> tuple[Verdict, ...]:
        return tuple(v for v in self.verdicts if v.outcome == "broken")

    @property
    def notes(self) -> tuple[Verdict, ...]:
        return tuple(v for v in self.verdicts if v.outcome == "note")

    def as_dict(self) -> dict[str, Any]:
        """For a machine-readable file."""
        return {**asdict(self), "lawful": not self.broken}

    def __str__(self) -> str:
        lines = [f"{self.loss}", f"  called as {self.called}"]
        for verdict in (*self.broken, *self.notes):
            lines += _told(verdict)
        held = sum(v.outcome == "holds" for v in self.verdicts)
        unasked = [v.title for v in self.verdicts if v.outcome == "not asked"]
        lines.append(f"  {held} laws hold, {len(self.broken)} broken, {len(self.notes)} noted")
        lines += [f"  not checked: {'; '.join(unasked)}"] if unasked else []
        return "\n".join(lines)


def _told(verdict: Verdict) -> list[str]:
    lines = [f"  {'BROKEN' if verdict.outcome == 'broken' else 'note'}: {verdict.title}"]
    given = ", ".join(f"{name} = {value}" for name, value in (verdict.given or {}).items())
    told = {"given": given, "found": verdict.found, "means": verdict.means, "mend": verdict.mend}
    return lines + [f"    {word:<6} {text}" for word, text in told.items() if text]


# ---------------------------------------------------------------- asking


def check(
    loss: Callable[..., Any] | Card,
    *,
    takes: str | None = None,
    input: str | None = None,
    data: str | None = None,
    samples: Batches | None = None,
    formula: Callable[..., Any] | None = None,
    meant: Collection[str] = (),
    **given: Any,
) -> Report:
    """Hold a loss to every law that applies to it.

    Args:
        loss: A function or a Module, ``loss(predictions, targets)``; or one of our cards, which is held to every law
            of this library.
        takes: The form of call, as on a card, if the argument names do not tell: ``"input-label"``.
        input: What the first tensor holds: ``"logits"``, ``"probabilities"``, ``"embeddings"``.
        data: What the loss is for, if several kinds are called alike: ``"classes"`` or ``"masks"``.
        samples: Batches of your own: ``edges(dtype)``, ``variants`` and ``draw``.
        formula: The formula, as a function of nested lists of mpmath numbers in the order of the call; it is
            evaluated to 50 digits.
        meant: Laws that it breaks on purpose; they are noted only. Example: the detached factor of circle loss.
        **given: More arguments for every call.

    Returns:
        The verdicts, law by law: printed for people, as ``as_dict()`` for machines.

    Raises:
        NotALoss: No form of call was found in which it returns a loss.

    Example:
        >>> import torch
        >>> from lossary.testing import check
        >>> def root_mean_square(input, target):
        ...     return ((input - target) ** 2).mean().sqrt()
        >>> report = check(root_mean_square)
        >>> [verdict.law for verdict in report.broken]
        ['finite_at_placed_batches']
    """
    if not __debug__:
        raise RuntimeError("check: the laws are assertions, which python -O removes")
    start = time.monotonic()
    if isinstance(loss, Card):
        subjects = _subjects(loss, samples)
        found = [_ask(law, [s for s in subjects if law.concerns(s)], None) for law in LAWS.values()]
        return Report(loss.name, f"{loss.takes[0]} of {loss.input}", time.monotonic() - start, _asked(found))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stranger = recognised(loss, takes=takes, input=input, data=data, given=given)[0]
        batches = placed(stranger)
        subject = Subject(stranger.card, {}, WithFormula(batches, formula) if formula else samples or batches)
        found = [_as_meant(v, meant) for v in _verdicts(subject, batches)]
    return Report(stranger.name, stranger.described(), time.monotonic() - start, _asked(found))


def assert_lawful(loss: Callable[..., Any] | Card, **options: Any) -> None:
    """For tests: raises AssertionError with the report if a law is broken; takes the arguments of :func:`check`."""
    report = check(loss, **options)
    assert not report.broken, f"\n{report}"


@dataclass(frozen=True)
class WithFormula:
    """Batches, and what the loss should be on them."""

    batches: Placed
    formula: Callable[..., Any]

    @property
    def edges(self) -> Callable[[torch.dtype], tuple[Call, ...]]:
        return self.batches.edges

    @property
    def variants(self) -> tuple[Mapping[str, Any], ...]:
        return self.batches.variants

    @property
    def draw(self) -> Any:
        return self.batches.draw


def _subjects(card: Card, samples: Batches | None) -> list[Subject]:
    batches = samples or OfCard()
    return [Subject(card, variant, batches) for variant in batches.variants]


@dataclass(frozen=True)
class OfCard:
    """Only random batches: nobody has placed any."""

    variants: tuple[Mapping[str, Any], ...] = ({},)
    draw: Any = None

    @property
    def edges(self) -> Callable[[torch.dtype], tuple[Call, ...]]:
        return lambda _: ()


def _as_meant(verdict: Verdict | None, meant: Collection[str]) -> Verdict | None:
    if verdict is None or verdict.law not in meant or verdict.outcome != "broken":
        return verdict
    return replace(verdict, outcome="note", means="This is on purpose.", mend="")


def _asked(verdicts: list[Verdict | None]) -> tuple[Verdict, ...]:
    return tuple(v for v in verdicts if v is not None)


def _verdicts(subject: Subject, batches: Placed) -> Iterator[Verdict | None]:
    """Verdicts by every law for anyone's loss, in the order of the meanings, after those on which others build."""
    laws = {**LAWS, **ANYONE}
    broken: set[str] = set()
    for name in sorted(meanings.MEANINGS, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST)):
        leaves = "float64_stays_float64" in broken and name in meanings.IN_FLOAT64
        if leaves or meanings.ENTAILED.get(name) in broken:
            yield Verdict(name, "not asked", meanings.MEANINGS[name].title)
        elif laws[name].concerns(subject):
            verdict = _ask(laws[name], [subject], batches)
            yield verdict
            if verdict and verdict.outcome == "broken":
                broken.add(name)
                if name in SPARED:
                    spared = SPARED[name](subject.card.fn)  # pyright: ignore[reportArgumentType]
                    subject = replace(subject, card=spared.card)
                    batches = replace(batches, stranger=spared)


def _ask(law: Law, subjects: list[Subject], batches: Placed | None) -> Verdict | None:
    """One law's verdict; None if it does not apply to such a loss."""
    meaning = meanings.MEANINGS.get(law.name, meanings.Meaning(law.name.replace("_", " "), "", ""))
    for subject in subjects:
        error = raised(law, subject)
        if error is not None:
            level = "broken" if batches is None else meanings.level(law.name, error)
            if level is None:
                return Verdict(law.name, "not asked", meaning.title, found=_words(error))
            shown: dict[str, Any] = _smallest(law, subject, batches, error) if batches is not None else {}
            shown.setdefault("found", _words(error))
            return Verdict(
                law.name,
                level,
                meaning.title,
                **shown,
                means=meaning.means,
                mend=meaning.mend,
            )
    return Verdict(law.name, "holds", meaning.title) if subjects else None


def raised(law: Law, subject: Subject) -> Exception | None:
    """What a law raises for a subject."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            law.check(subject)
        except Exception as error:  # noqa: BLE001  # a law may fail in any way
            return error
    return None


# ---------------------------------------------------------------- the smallest batch


def _smallest(law: Law, subject: Subject, batches: Placed, error: Exception) -> dict[str, Any]:
    """The smallest batch on which the law is broken in the same way, and what happens there."""
    kind = _kind(error)

    def broken(call: Call) -> bool:
        now = raised(law, _only(subject, call))
        return now is not None and _kind(now) == kind

    start = next(((name, call) for name, call in _starts(batches) if broken(call)), None)
    if start is None:
        return {}
    name, call = start
    if law.name in meanings.OF_NO_BATCH or (law.name in meanings.TRANSFORMS and not isinstance(error, AssertionError)):
        return {}  # the code is refused, not a batch
    call = shrunk(call, broken, plain="gradient_is" not in law.name and "every_item" not in law.name)
    smallest = _only(subject, call)
    now = raised(law, smallest)
    found = _slopes(smallest) if "Jacobian" in str(now) and "second" not in law.name else ""
    return {
        "found": found or _words(now or error),
        "batch": name,
        "given": written(batches.stranger, call),
        "numbers": numbers(call),
    }


def _only(subject: Subject, call: Call) -> Subject:
    alone: Any = Only(call)
    if isinstance(subject.batches, WithFormula):
        alone = WithFormula(alone, subject.batches.formula)
    return replace(subject, batches=alone)


def _starts(batches: Placed) -> Iterator[tuple[str, Call]]:
    """Batches to begin with: random ones, then the placed ones."""
    for seed in range(3):
        yield "", batches.stranger.draw(Generator().manual_seed(seed), torch.float64)
    yield from batches.named.items()


def _kind(error: Exception) -> str:
    """What stays the same of an error on a smaller batch; a wrong number is a different error from no number."""
    words = re.split(r"[:;\d\[]", str(error))[0]
    missing = " without a number" if re.search(r"\b(nan|inf)\b", str(error)) else ""
    return f"{type(error).__name__}: {words[:40]}{missing}"


def _words(error: Exception) -> str:
    """The error on one line."""
    text = " ".join(str(error).split()) or "it does not hold"
    text = text if isinstance(error, AssertionError) else f"{type(error).__name__}: {text}"
    return text if len(text) <= 220 else f"{text[:217]}..."


def _slopes(subject: Subject) -> str:
    """Where the gradient differs most from the slope of the value."""
    leaves, run = as_function(subject, subject.draw())
    value = run(*leaves).sum()
    grads = torch.autograd.grad(value, leaves, allow_unused=True)
    worst, words = 0.0, ""
    for place, (leaf, grad) in enumerate(zip(leaves, grads, strict=True)):
        slopes = torch.zeros_like(leaf) if grad is None else grad  # pyright: ignore[reportUnnecessaryComparison]
        for at in range(leaf.numel()):
            sides: list[float] = []
            for step in (1e-6, -1e-6):
                moved = [x.detach().clone() for x in leaves]
                moved[place].view(-1)[at] += step
                sides.append(run(*moved).sum().item())
            slope = (sides[0] - sides[1]) / 2e-6
            found = slopes.reshape(-1)[at].item()
            if abs(slope - found) > worst:
                worst = abs(slope - found)
                words = f"the loss is {value.item():.5g}; its slope in number {at} of argument {place} is {slope:.5g}, "
                words += f"but its gradient is {found:.5g}"
    return words


def written(stranger: Stranger, call: Call) -> dict[str, str]:
    """The tensors in the order of the call, as written in Python."""
    wanted = [stranger.as_wanted(t, call.args[0]).tolist() for t in stranger.in_order(call)]
    return dict(zip(stranger.tensors, map(_number, wanted), strict=True))


def _number(data: Any) -> str:
    if isinstance(data, list):
        return f"[{', '.join(map(_number, data))}]"
    return f"{data:.6g}" if isinstance(data, float) else str(data)

"""Laws for losses without a card: what other laws ask of our own, in terms of anyone's code."""

import contextlib
import math
import pickle
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from lossary.core.torch_internals import fake_tensors
from lossary.testing.draws import Call
from lossary.testing.laws.law import Law, law
from lossary.testing.laws.subject import (
    HALVES,
    Subject,
    doubled,
    items,
    map_items,
    select,
    takes,
)

#: These laws by name; the contract of our own losses does not use them.
ANYONE: dict[str, Law] = {}

#: For losses below this, float16 also holds the squares and sums on the way.
MOST_OF_HALF = 5e3
#: This many pixels overflow float16 if each adds 1.
MANY = 2**17


def near(got: Tensor, wanted: Tensor, relative: float, what: str) -> None:
    """Each number relative to its own size, or to 1 if it is smaller."""
    got, wanted = got.detach().double(), wanted.detach().double()
    assert got.shape == wanted.shape, f"{what}: wanted shape {tuple(wanted.shape)}, got {tuple(got.shape)}"
    apart = (got - wanted).abs() > relative * wanted.abs().clamp_min(1.0)
    wrong = apart | (got.isfinite() != wanted.isfinite())
    assert not wrong.any(), f"{what}: {shown(got[wrong])}, in float64 {shown(wanted[wrong])}"


def shown(t: Tensor) -> str:
    return ", ".join(f"{x:.6g}" for x in t.flatten().tolist()[:3])


@law(into=ANYONE)
def finite_at_placed_batches(subject: Subject) -> None:
    for dtype in (torch.float64, torch.float32):
        for call in subject.edges(dtype):
            value, grads = subject.grads(call)
            assert value.isfinite().all(), f"the loss is not finite: {shown(value)} in {dtype}"
            for grad in grads:
                assert grad.isfinite().all(), (
                    f"the loss is {shown(value)}, and its gradient is not finite: "
                    f"{shown(grad[~grad.isfinite()])} in {dtype}"
                )


@law(into=ANYONE)
def float32_is_near_float64(subject: Subject) -> None:
    for call in subject.edges(torch.float32):
        near(subject(call), subject(doubled(call)), 1e-3, "in float32 the loss is")


#: By how much the score of the truth is lowered, and over how much a slope is taken.
WRONG, VERY_WRONG, OVER = 6.0, 32.0, 2.0


@law(where=lambda card: card.input == "logits" and card.data in ("answers", "classes", "masks"), into=ANYONE)
def confident_mistakes_teach(subject: Subject) -> None:
    """A loss that grows steadily with a mistake does not stop growing where a constant in its logarithm is larger.

    Losses that are bounded on purpose flatten from the start: of those it says nothing.
    """
    for call in (subject.draw(0), subject.draw(1)):
        found = [mistaken(subject, call, by) for by in torch.arange(0, VERY_WRONG + 2 * OVER, OVER).tolist()]
        losses = [loss for loss in found if loss is not None and math.isfinite(loss)]
        if len(losses) < len(found):
            return
        grown = [(after - before) / OVER for before, after in pairwise(losses)]
        steady, last = grown[int(WRONG / OVER)], grown[-1]
        bounded = steady <= 0 or steady < 0.9 * max(grown)
        assert bounded or last > 0.02 * steady, (
            f"where the score of the truth is lower by {WRONG:g}, the loss grows by {steady:.3g} with each 1 less, and "
            f"where it is lower by {VERY_WRONG:g}, by {last:.2g}: such a mistake has no gradient"
        )


def mistaken(subject: Subject, call: Call, by: float) -> float | None:
    """The loss with each true score lowered by ``by``; if the binary answer is no, raised."""
    scores, truth = call.args[0], next(iter(call.kwargs.values()), None)
    if not isinstance(truth, Tensor):
        return None
    if truth.shape == scores.shape:
        right = torch.where(truth > 0.5, 1.0, -1.0)
    elif scores.dim() > 1 and truth.shape == (scores.shape[0], *scores.shape[2:]) and not truth.is_floating_point():
        right = torch.zeros_like(scores).scatter_(1, truth.long()[:, None], 1.0)
    else:
        return None
    with contextlib.suppress(Exception):  # other laws report what it refuses
        return subject(Call((scores - by * right, *call.args[1:]), call.kwargs)).double().sum().item()
    return None


@law(into=ANYONE)
def half_precision_is_near_float64(subject: Subject) -> None:
    # For vectors and values, float16 holds neither the squares of long ones nor the epsilons of short ones.
    edges = subject.edges() if subject.card.input in ("logits", "scores", "probabilities") else ()
    for call in (subject.draw(0), *edges):
        for dtype in HALVES:
            half = Call(tuple(t.to(dtype) for t in call.args), {n: in_half(v, dtype) for n, v in call.kwargs.items()})
            exact = subject(doubled(half))
            if (exact.abs() < MOST_OF_HALF).all():
                value = subject(half)
                assert value.isfinite().all(), f"in {dtype} the loss is {shown(value)}, in float64 {shown(exact)}"
                near(value, exact, 64 * torch.finfo(dtype).eps, f"in {dtype} the loss is")


@law(where=lambda card: card.data == "masks", into=ANYONE)
def many_pixels_hold_in_half_precision(subject: Subject) -> None:
    """Repeat the batch's positions until there are as many as in an image."""
    call = subject.draw(0)
    times = math.ceil(MANY / call.args[0][0, 0].numel())

    def repeated(value: Any) -> Any:
        return value.repeat(*(1 for _ in value.shape[1:]), times) if isinstance(value, Tensor) else value

    large = Call(tuple(repeated(t).half() for t in call.args), {n: repeated(v) for n, v in call.kwargs.items()})
    exact = subject(doubled(large))
    value = subject(large)
    near(value, exact, 0.05, f"of this batch with its last dimension repeated {times} times, in float16 the loss is")


def in_half(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


@law(into=ANYONE)
def inputs_are_not_written(subject: Subject) -> None:
    call = subject.draw(0, torch.float32)
    stranger: Any = subject.card.fn
    first = call.args[0]
    tensors = [stranger.as_wanted(t.clone(), first) for t in stranger.in_order(call)]
    before = [t.clone() for t in tensors]
    options = {"reduction": "mean"} if "reduction" in stranger.offers else {}
    with contextlib.suppress(Exception):  # other laws report what it refuses
        stranger.runner(first.dtype, options)(*tensors, **stranger.given, **options)
    for name, now, then in zip(stranger.tensors, tensors, before, strict=True):
        assert torch.equal(now, then), f"{name} is changed in place: it was {shown(then)}, and is {shown(now)}"


# ---------------------------------------------------------------- labels


def label_of(subject: Subject, call: Call) -> tuple[str, Tensor] | None:
    """The argument of class indices, one per item."""
    stranger: Any = subject.card.fn
    if subject.card.data != "classes" or subject.card.takes[0] != "input-label" or stranger.labels == "numbers":
        return None
    name = stranger.tensors[1]
    return name, call.kwargs[name]


def has_labels(subject: Subject) -> object:
    return label_of(subject, subject.draw())


@law(
    where=lambda card: takes("ignore_index")(card) and card.takes[0] == "input-label",
    drawn=lambda subject: subject.card.fn.labels == "integers",  # pyright: ignore[reportFunctionMemberAccess]
    into=ANYONE,
)
def ignored_labels_count_for_nothing(subject: Subject) -> None:
    """An ignored item is as if dropped, an ignored column of pixels as if cropped."""
    call = subject.draw(0)
    stranger: Any = subject.card.fn
    name = stranger.tensors[1]
    pixels = subject.card.data == "masks"
    if (call.args[0].shape[-1] if pixels else items(call)) < 2:
        return
    ignoring = call.kwargs[name].clone()
    (ignoring[..., 0] if pixels else ignoring[:1]).fill_(-100)
    value = subject(Call(call.args, {**call.kwargs, name: ignoring}), ignore_index=-100)
    cropped = Call((call.args[0][..., 1:],), {**call.kwargs, name: call.kwargs[name][..., 1:]})
    wanted = subject(cropped if pixels else select(call, slice(1, None)))
    near(value, wanted, 1e-6, "with the first ignored the loss is not that without it")


@law(drawn=has_labels, into=ANYONE)
def labels_beyond_the_classes_are_refused(subject: Subject) -> None:
    """Refused, or the loss is NaN, or they count for nothing, if that is their purpose."""
    call = subject.draw(0)
    name, labels = label_of(subject, call) or ("", torch.empty(0))
    classes = call.args[0].shape[1]
    if classes < 2:
        return
    for outside in (-1, -100, classes):
        spoilt = labels.clone()
        spoilt[0] = outside
        try:
            value = subject(Call(call.args, {**call.kwargs, name: spoilt}))
        except Exception:  # noqa: BLE001  # refused, in any way
            continue
        if not value.isfinite().all():
            continue
        for other in range(classes):
            as_other = labels.clone()
            as_other[0] = other
            same = subject(Call(call.args, {**call.kwargs, name: as_other}))
            assert not torch.allclose(value, same, rtol=1e-9, atol=0), (
                f"a label of {outside} is read as class {other}: the loss is {shown(value)} for both"
            )


# ---------------------------------------------------------------- batches


@law(where=lambda card: card.separable, into=ANYONE)
def a_batch_twice_is_its_mean_or_twice_its_sum(subject: Subject) -> None:
    call = subject.draw(0)
    value = subject(call)
    if value.dim():
        return
    twice = subject(map_items(call, lambda t: torch.cat([t, t])))
    same = any(torch.allclose(twice, k * value, rtol=1e-9, atol=1e-12) for k in (1, 2))
    assert same, f"the loss of a batch is {shown(value)}, and of the same batch twice over {shown(twice)}"


@law(into=ANYONE)
def ranks_average_to_the_whole(subject: Subject) -> None:
    """As DistributedDataParallel averages the gradients of two ranks, each with half of the batch."""
    call = subject.draw(0)
    count = items(call) // 2
    if count < 1:
        return
    whole = subject(select(call, slice(0, 2 * count)))
    halves = [subject(select(call, s)) for s in (slice(0, count), slice(count, 2 * count))]
    if whole.dim() == 0:
        average, total = (halves[0] + halves[1]) / 2, halves[0] + halves[1]
        same = any(torch.allclose(x, whole, rtol=1e-9, atol=1e-12) for x in (average, total))
        assert same, f"of the whole batch {shown(whole)}, of its halves {shown(halves[0])} and {shown(halves[1])}"


# ---------------------------------------------------------------- the rest


@law(into=ANYONE)
def constants_follow_the_input(subject: Subject) -> None:
    """On a GPU that only computes shapes: code may ask for ``is_cuda``, but not for other devices."""
    call = subject.draw(0, torch.float32)

    def there(value: Any) -> Any:
        return torch.empty(value.shape, dtype=value.dtype, device="cuda") if isinstance(value, Tensor) else value

    try:
        with fake_tensors():
            moved = Call(tuple(there(t) for t in call.args), {n: there(v) for n, v in call.kwargs.items()})
            subject(moved)
    except Exception as error:  # code that reads values gets no answer here
        words = str(error)
        apart = "different devices" in words or "same device" in words
        if apart and _has_tensors(getattr(subject.card.fn, "module", None)):
            raise NotImplementedError("not supported: a Module whose own tensors stay where they are") from error
        assert not apart, f"a tensor made inside stays on the CPU: {words.splitlines()[0][:160]}"


def _has_tensors(module: Any) -> bool:
    return module is not None and any(True for _ in (*module.parameters(), *module.buffers()))


@law(where=lambda card: getattr(card.fn, "module", None) is not None, into=ANYONE)
def the_module_survives_a_pickle(subject: Subject) -> None:
    module: Any = subject.card.fn.module  # pyright: ignore[reportFunctionMemberAccess]
    try:
        pickle.loads(pickle.dumps(module))
    except Exception as error:  # whatever pickling raises
        raise AssertionError(f"it cannot be pickled: {type(error).__name__}: {error}") from error


# ---------------------------------------------------------------- the formula


@law(drawn=lambda subject: getattr(subject.batches, "formula", None), into=ANYONE)
def value_is_the_formula(subject: Subject) -> None:
    """To 50 digits, and the gradient against a difference quotient of the formula."""
    import mpmath

    formula: Callable[..., Any] = subject.batches.formula  # pyright: ignore[reportAttributeAccessIssue]
    with mpmath.workdps(50):
        for call in (subject.draw(0), subject.draw(1), *subject.edges()):
            value = subject(call).item()
            try:
                exact = float(formula(*in_digits(subject, call)))
            except (ArithmeticError, ValueError):  # undefined there
                continue
            assert math.isclose(value, exact, rel_tol=1e-9, abs_tol=1e-12), (
                f"the loss is {value:.9g}, by the formula {exact:.9g}"
            )
        slopes_are_the_formulas(formula, subject, subject.draw(0))


def slopes_are_the_formulas(formula: Callable[..., Any], subject: Subject, call: Call) -> None:
    """On a random batch, where there is no kink."""
    for place, grad in enumerate(subject.grads(call)[1]):
        for at in list(places(grad))[:12]:
            slope, found = slope_of(formula, subject, call, place, at), grad[at].item()
            assert math.isclose(found, slope, rel_tol=1e-6, abs_tol=1e-9), (
                f"the gradient at {list(at)} is {found:.9g}, by the formula {slope:.9g}"
            )


def slope_of(formula: Callable[..., Any], subject: Subject, call: Call, place: int, at: tuple[int, ...]) -> float:
    from mpmath import mpf

    sides: list[Any] = []
    step = mpf(10) ** -15
    for sign in (1, -1):
        given = in_digits(subject, call)
        stranger: Any = subject.card.fn
        entry = given[stranger.form.learning[place]]
        for index in at[:-1]:
            entry = entry[index]
        entry[at[-1]] += sign * step
        sides.append(formula(*given))
    return float((sides[0] - sides[1]) / (2 * step))


def in_digits(subject: Subject, call: Call) -> list[Any]:
    """The tensors in the order of the call, as nested lists of 50-digit numbers; labels unchanged."""
    from mpmath import mpf

    def exact(data: Any) -> Any:
        return [exact(entry) for entry in data] if isinstance(data, list) else mpf(data)

    stranger: Any = subject.card.fn
    return [exact(t.tolist()) if t.is_floating_point() else t.tolist() for t in stranger.in_order(call)]


def places(t: Tensor) -> Iterator[tuple[int, ...]]:
    yield from (tuple(at) for at in torch.ones_like(t).nonzero().tolist())

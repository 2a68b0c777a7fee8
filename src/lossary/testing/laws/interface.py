"""Laws about the interface: function and Module, errors, persistence, documentation, the card itself."""

import collections.abc
import copy
import inspect
import io
import itertools
import pickle
import re
import typing
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lossary.catalogue import find
from lossary.core.card import AT_CALL, Card
from lossary.core.loss import HeadLoss
from lossary.testing.draws import Call
from lossary.testing.laws.law import law
from lossary.testing.laws.subject import (
    Subject,
    assert_close,
    build,
    is_per_item,
    items,
    learnable,
    numbers,
    parameters,
    takes,
    union,
    with_arg,
)

#: The integer dtypes other than int64, in which a label, a class count or an ignore_index may not fit.
NARROW = (torch.int8, torch.int16, torch.int32, torch.uint8, torch.uint16, torch.uint32, torch.uint64)

# ---------------------------------------------------------------- function and Module


@law()
def module_is_function(subject: Subject) -> None:
    for call in (subject.draw(), *subject.edges()):
        module, inputs, extra = build(subject, call)
        assert torch.equal(module(*inputs, **extra), subject(call))


@law(once=True)
def names_and_defaults_agree(subject: Subject) -> None:
    """The Module has the function's hyperparameters with the same defaults; a head also the sizes of its weights."""
    card = subject.card
    optional = {n: p for n, p in parameters(card).items() if p.default is not p.empty and p.kind != p.POSITIONAL_ONLY}
    hyper = {n: p.default for n, p in optional.items() if n not in AT_CALL}
    inherited = {n for base in card.module.__mro__[1:] for n in getattr(base, "fields", ())}
    assert not inherited or issubclass(card.module, HeadLoss)
    fields = {n: d for n, d in card.module.fields.items() if n not in inherited | set(HeadLoss.fields)}
    assert fields == hyper
    assert card.at_call == AT_CALL & set(parameters(card))


@law()
def survives_pickle_and_copy(subject: Subject) -> None:
    call = subject.draw()
    module, inputs, extra = build(subject, call)
    value = module(*inputs, **extra)
    for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
        assert torch.equal(twin(*inputs, **extra), value)
        assert repr(twin) == repr(module)


@law(once=True)
def state_dict_restores_the_loss(subject: Subject) -> None:
    """Tensors among the hyperparameters, and weights the loss owns, are saved and loaded."""
    call = subject.draw()
    numbers = {n: default(subject, n) for n in learnable(subject.card)}
    values = {n: torch.tensor(1.25 * d).double() for n, d in numbers.items() if isinstance(d, float)}
    module, inputs, extra = build(subject, call, **values)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    start = {name: torch.ones_like(value) for name, value in values.items()}
    other, _, _ = build(subject, call, **start)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(torch.load(file))
    assert torch.equal(other(*inputs, **extra), module(*inputs, **extra))


def default(subject: Subject, name: str) -> object:
    return subject.card.module.fields[name]


@law()
def repr_shows_the_hyperparameters(subject: Subject) -> None:
    module, _, _ = build(subject, subject.draw())
    for name, value in subject.variant.items():
        if not isinstance(value, Tensor):
            assert f"{name}={value!r}" in repr(module)


@law(once=True)
def a_module_remembers_in_training_alone(subject: Subject) -> None:
    """What it tracks over batches is in the state, and is updated before the loss of each batch."""
    module, inputs, extra = build(subject, subject.draw())
    before = copy.deepcopy(module.state_dict())
    module(*inputs, **extra)
    torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0, equal_nan=True)
    trained = module.train()(*inputs, **extra)
    assert torch.equal(module.eval()(*inputs, **extra), trained)


@law(where=lambda card: bool(learnable(card)), once=True)
def parameters_learn(subject: Subject) -> None:
    """A hyperparameter given as nn.Parameter gets a gradient through the Module."""
    for name in learnable(subject.card):
        start = default(subject, name)
        if isinstance(start, float):
            parameter = nn.Parameter(torch.tensor(1.1 * start + 0.01, dtype=torch.float64))
            module, inputs, extra = build(subject, subject.draw(), **{name: parameter})
            assert any(p is parameter for p in module.parameters())
            (grad,) = torch.autograd.grad(module(*inputs, **extra), [parameter])
            assert grad.isfinite()
            assert grad != 0, f"{name} gets no gradient"


@law(once=True)
def signatures_are_true(subject: Subject) -> None:
    """A Module shows what it is made with, and its call what it is called with; all are described."""
    card = subject.card
    made, called = inspect.signature(card.module), inspect.signature(card.module.forward)
    assert {n: p.default for n, p in made.parameters.items()} == card.module.fields
    rest = {"self", *parameters(card)} - set(card.module.fields)
    owned = rest - set(called.parameters)
    assert set(called.parameters) <= rest
    assert owned <= ({"weight", "centers"} if "num_classes" in card.module.fields else set())
    for n, p in called.parameters.items():
        assert n == "self" or (p.default, p.annotation) == (parameters(card)[n].default, parameters(card)[n].annotation)
    for described, names in ((card.module, made.parameters), (card.module.forward, called.parameters)):
        for name in set(names) - {"self"}:
            assert re.search(rf"^ +{name}:", inspect.getdoc(described) or "", re.M), f"{name} is not described"


class Model(nn.Module):
    """A loss inside a model, as a Module and as a function."""

    def __init__(self, loss: Callable[..., Tensor], count: int) -> None:
        super().__init__()
        self.loss, self.count = loss, count

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        return self.loss(*(inputs[i] for i in range(self.count)))


@law(once=True)
def fx_records_one_call(subject: Subject) -> None:
    call = subject.draw()
    module, inputs, extra = build(subject, call)
    if extra:
        return  # a plain model has no keyword-only arguments
    calls = [(module, inputs, "call_module"), (subject.card.fn, call.args, "call_function")]
    for loss, given, kind in calls[: 1 if call.kwargs else 2]:  # the draw's keywords belong to the Module
        traced = torch.fx.symbolic_trace(Model(loss, len(given)))
        assert len([node for node in traced.graph.nodes if node.op != "placeholder"]) == len(given) + 2
        assert [*traced.graph.nodes][-2].op == kind
        assert torch.equal(traced(given), loss(*given))


# ---------------------------------------------------------------- errors


@law(once=True)
def wrong_number_of_inputs_is_refused(subject: Subject) -> None:
    module, inputs, _ = build(subject, subject.draw())
    refuses(TypeError, subject.card.module.inputs[0], module)
    refuses(TypeError, "inputs", module, *inputs, *inputs)


BAD = (-1.0, -7, float("nan"), float("inf"), 2.5, "0.5", "average", None, [0.5, "half"], torch.zeros(2, 3))


@law(once=True)
def constructor_refuses_what_the_function_refuses(subject: Subject) -> None:
    """Neither more nor less, and in the same words, except for what only a batch can tell."""
    module, _, _ = build(subject, subject.draw())
    sizes = {name: getattr(module, name) for name in ("num_classes", "embedding_size") if hasattr(module, name)}
    for name in subject.card.module.passed:
        for bad in BAD:
            if (name == "dim" and isinstance(bad, int)) or (isinstance(bad, Tensor) and is_table(subject, name)):
                continue  # it has the batch's shape
            said = refusal(subject, subject.draw(), **{name: bad})
            found = refusal(subject.card.module, **sizes, **{name: bad})
            assert found == said, f"{name}={bad!r}: the function says {said}, the constructor {found}"


def refusal(run: Callable[..., object], *args: object, **kwargs: object) -> str | None:
    try:
        run(*args, **kwargs)
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def is_table(subject: Subject, name: str) -> bool:
    """Whether a hyperparameter may be a tensor whose shape depends on the batch."""
    try:
        subject.card.module.rules[name](name, torch.zeros(2, 3))
    except (TypeError, ValueError):
        return False
    return True


def refuses(kind: type[Exception], name: str, run: Callable[..., object], *args: object, **kwargs: object) -> None:
    """``run`` raises ``kind`` with a message that names ``name``."""
    raises(kind, rf"\b{re.escape(name)}\b", run, *args, **kwargs)


def raises(kind: type[Exception], words: str, run: Callable[..., object], *args: object, **kwargs: object) -> None:
    """``run`` raises ``kind`` with a message that matches ``words``."""
    try:
        run(*args, **kwargs)
    except kind as error:
        assert re.search(words, str(error)), f"the message {error} has not {words}"  # noqa: PT017
    else:
        raise AssertionError(f"nothing was raised, where {kind.__name__} with {words} was wanted")


@law(where=takes("reduction"), once=True)
def unknown_reduction_is_refused(subject: Subject) -> None:
    refuses(ValueError, "reduction", subject, subject.draw(), reduction="average")


@law(once=True)
def unknown_keyword_is_refused(subject: Subject) -> None:
    call = subject.draw()
    refuses(TypeError, "marginn", subject, call, marginn=1.0)
    refuses(TypeError, "marginn", subject.card.module, marginn=1.0)


@law(where=lambda card: bool(numbers(card)), once=True)
def bad_numbers_are_refused(subject: Subject) -> None:
    call = subject.draw()
    for name in numbers(subject.card):
        for bad in (float("nan"), float("inf")):
            refuses(ValueError, name, subject, call, **{name: bad})
        refuses(TypeError, name, subject, call, **{name: "0.5"})


@law(where=lambda card: card.data in ("classes", "identities"), once=True)
def float_labels_are_refused(subject: Subject) -> None:
    for place, name, labels in index_arguments(subject):
        refuses(TypeError, name, subject, with_arg(subject.draw(), place, labels.double()))


@law(where=lambda card: card.data == "classes" or "num_classes" in card.module.fields, once=True)
def labels_out_of_range_are_refused(subject: Subject) -> None:
    for place, name, labels in index_arguments(subject):
        for outside in (-7, 1_000):
            spoilt = labels.clone()
            spoilt.view(-1)[0] = outside
            refuses(IndexError, name, subject, with_arg(subject.draw(), place, spoilt))


def index_arguments(subject: Subject) -> list[tuple[int, str, Tensor]]:
    """(place, name, value) for the draw's class indices."""
    call = subject.draw()
    named = zip(parameters(subject.card), call.args, strict=False)
    return [(i, n, t) for i, (n, t) in enumerate(named) if not t.is_floating_point() and t.dtype != torch.bool]


@law(drawn=index_arguments, once=True)
def labels_of_any_integer_type_are_taken(subject: Subject) -> None:
    """Every integer dtype gives exactly the numbers of int64, or exactly its error: no label or limit wraps around."""
    several = (subject.draw(), *with_many_classes(subject))
    ignored = ({}, {"ignore_index": -1}, {"ignore_index": 255}) if takes("ignore_index")(subject.card) else ({},)
    for dtype, call, extra in itertools.product(NARROW, several, ignored):
        for place, _, labels in index_arguments(subject):
            # unchanged; then one that another width or ignore_index could be confused with
            for number in (labels.view(-1)[0].item(), -100, -1, 127, 156, 255, 2**16 - 100, 2**32 - 100):
                if torch.iinfo(dtype).min <= number <= torch.iinfo(dtype).max:
                    wide = labels.clone() if dtype.is_signed else labels.abs()
                    wide.view(-1)[0] = number
                    narrow = wide.to(dtype)
                    got, wanted = (outcome(subject, with_arg(call, place, t), **extra) for t in (narrow, narrow.long()))
                    assert same_outcome(got, wanted), f"{number} in {dtype}, {extra}: {got}, in int64 {wanted}"


@law(
    where=lambda card: card.data in ("classes", "identities", "masks"),
    drawn=index_arguments,
    once=True,
)
def labels_beyond_int64_are_refused(subject: Subject) -> None:
    for place, name, labels in index_arguments(subject):
        huge = labels.clone()
        huge.view(-1)[0] = -100  # 2**64 - 100
        refuses(ValueError, name, subject, with_arg(subject.draw(), place, huge.view(torch.uint64)))


def with_many_classes(subject: Subject) -> list[Call]:
    """The draw with 200 classes or more, if it has a class dimension: more than int8 can count."""
    call, card = subject.draw(), subject.card
    if "num_classes" in card.module.fields:
        return [with_arg(call, 1, torch.cat([call.args[1]] * 30))]
    if card.data == "classes" or (card.data == "masks" and call.args[1].dim() < call.args[0].dim()):
        return [with_arg(call, 0, torch.cat([call.args[0]] * 70, 1))]
    return []


def outcome(subject: Subject, call: Call, **extra: object) -> list[Tensor] | str:
    """The loss and its gradients, or what it raises."""
    try:
        value, grads = subject.grads(call, **extra)
    except (IndexError, TypeError, ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return [value, *grads]


def same_outcome(got: list[Tensor] | str, wanted: list[Tensor] | str) -> bool:
    if isinstance(got, str) or isinstance(wanted, str):
        return got == wanted
    return all(map(torch.equal, got, wanted))


@law(once=True)
def lengths_that_differ_are_refused(subject: Subject) -> None:
    """Never a broadcast of our own: an argument with one item less, or a single item, is an error that names it.

    Except where torch's own loss of that name stretches a single item without a warning: there the result is torch's.
    """
    call = subject.draw()
    several = [i for i, t in enumerate(call.args) if is_per_item(t, items(call))]
    for place in several[1:]:
        for length in (-1, 1):
            wrong = with_arg(call, place, call.args[place][:length])
            theirs = torch_accepts(subject.card, wrong)
            if theirs is None and (subject.card.name, place, length) == ("gaussian_nll_loss", 2, 1):
                continue  # torch 2.6 does not stretch a single variance yet; the library does with any torch
            if theirs is None:
                raises(ValueError, r"^\w+: wanted", subject, wrong)
            else:
                assert_close(subject(wrong), theirs, 1e-10, f"argument {place} of length {length}")


def torch_accepts(card: Card, call: Call) -> Tensor | None:
    """What torch's loss of the same name returns for a call; None if there is none, or it refuses, or warns."""
    theirs = getattr(torch.nn.functional, card.name, None)
    if theirs is None or not set(call.kwargs) <= set(inspect.signature(theirs).parameters):
        return None
    with warnings.catch_warnings(action="error"):
        warnings.filterwarnings("ignore", message="reduction: 'mean' divides")  # kl_div says so for every mean
        try:
            return theirs(*call.args, **call.kwargs)
        except (RuntimeError, ValueError, IndexError, UserWarning):
            return None


@law(once=True)
def lists_for_tensors_are_refused(subject: Subject) -> None:
    call = subject.draw()
    for place in range(len(call.args)):
        listed = with_arg(call, place, call.args[place].tolist())
        raises(TypeError, r"^\w+: wanted (a number or )?a tensor; got list", subject, listed)


@law(once=True)
def numbers_of_any_kind_are_taken(subject: Subject) -> None:
    """A hyperparameter is the same number from Python, from numpy and, if it may learn, as a tensor."""
    import numpy as np

    for name, value in values_of_numbers(subject).items():
        wanted = subject(subject.draw(), **{name: value})
        tensors = (torch.tensor(value), torch.tensor([value])) if name in learnable(subject.card) else ()
        for same in (np.float32(value), np.float64(value), *tensors):
            assert_close(subject(subject.draw(), **{name: same}), wanted, 1e-6, f"{name} as {same!r}")


@law(once=True)
def hyperparameters_of_wrong_shape_are_refused(subject: Subject) -> None:
    """Never a broadcast: seven numbers in place of one, or of one per class, are an error that names the argument."""
    hints = typing.get_type_hints(subject.card.module)
    for name in (n for n in subject.card.module.passed if {float, Tensor} & set(union(hints[n]))):
        kinds = (hints[name], *union(hints[name]))
        if not any(typing.get_origin(kind) is collections.abc.Sequence for kind in kinds):
            refuses(ValueError, name, subject, subject.draw(), **{name: torch.full((7,), 0.5)})
            refuses(TypeError, name, subject, subject.draw(), **{name: [0.5, 0.5]})


def values_of_numbers(subject: Subject) -> dict[str, float]:
    """The hyperparameters that may be a number, each with an allowed one, from the defaults or a variant."""
    card = subject.card
    given = ({n: card.module.fields[n] for n in card.module.passed}, *subject.batches.variants)
    found = {n: v for values in reversed(given) for n, v in values.items() if type(v) is float}
    return {n: v for n, v in found.items() if float in union(typing.get_type_hints(card.module)[n])}


@law(once=True)
def weights_masks_and_reductions_are_taken(subject: Subject) -> None:
    """Every loss has them; only one defined for a whole batch has no items to reduce, and its docstring says so."""
    card = subject.card
    whole = card.item == "batch"
    missing = {"sample_weight", "mask", "reduction"} - set(parameters(card))
    assert missing == ({"reduction"} if whole else set()), f"{card.name} takes no {', '.join(sorted(missing))}"
    told = " ".join((inspect.getdoc(card.fn) or "").split())
    assert not whole or "defined only for a whole batch" in told, f"{card.name}: why no reduction?"


@law(where=takes("sample_weight"), once=True)
def weights_of_wrong_shape_are_refused(subject: Subject) -> None:
    call = subject.draw()
    refuses(ValueError, "sample_weight", subject, call, sample_weight=torch.ones(items(call) + 1))


@law(where=takes("mask"), once=True)
def masks_of_wrong_shape_or_type_are_refused(subject: Subject) -> None:
    call = subject.draw()
    refuses(ValueError, "mask", subject, call, mask=torch.ones(items(call) + 1, dtype=torch.bool))
    refuses(TypeError, "mask", subject, call, mask=torch.ones(items(call)))


@law(where=lambda card: bool(weights_of_classes(card)), once=True)
def negative_weights_of_classes_are_refused(subject: Subject) -> None:
    call = subject.draw()
    for name in weights_of_classes(subject.card):
        weight = torch.linspace(-0.5, 1, call.args[0].shape[1], dtype=torch.float64)
        refuses(ValueError, name, subject, call, **{name: weight})


def weights_of_classes(card: Card) -> list[str]:
    """The fields with one weight per class; torch's ``weight`` in binary losses is any factor."""
    names = ("class_weight", "weight", "alpha", "pos_weight")
    hints = typing.get_type_hints(card.module)
    tensors = [n for n in names if n in card.module.fields and type(card.module.fields[n]) is not float]
    return [n for n in tensors if Tensor in union(hints[n]) and (n != "weight" or card.data == "classes")]


# ---------------------------------------------------------------- documentation and the card


@law(once=True)
def docstring_is_whole(subject: Subject) -> None:
    text = inspect.getdoc(subject.card.fn) or ""
    for section in ("Args:", "Returns:", "Raises:", "Example:", "Source:"):
        assert f"\n{section}\n" in text, f"{subject.card.name}: no section {section}"
    assert ">>> " in text
    described = text.split("\nArgs:\n")[1].split("\nReturns:\n")[0]
    for name in parameters(subject.card):
        assert re.search(rf"^ +(\w+, )*{name}(, \w+)*:", described, re.M), (
            f"{subject.card.name}: {name} is not described"
        )


@law(once=True)
def card_is_true(subject: Subject) -> None:
    card = subject.card
    variants = subject.batches.variants
    assert variants[0] == {}, "the first variant is the defaults"
    assert len(variants) > 1 or not numbers(card), "a loss with hyperparameters lists other values of them"
    for name in {n for variant in variants for n in variant} | set(card.search):
        assert name in card.module.fields, f"{name} is not a field"
    for name in card.relatives:
        assert find(name).name == name, f"relative {name} is not a card's name"
    for text in (card.formula, card.paper, card.defaults, card.when):
        assert text.strip()

"""Rules for arguments, each written once: in the annotation, where the function and its Module's constructor read it.

An annotation says what a type checker knows (``float | Tensor``) and, if that is not enough, what else must hold:
``gamma: Annotated[float | Tensor, NOT_NEGATIVE] = 2.0``. The rule is a check, ``rule(name, value)``.
"""

import functools
import inspect
import operator
import types
import typing
from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union

from torch import Tensor
from torch.fx import Proxy

from lossary.core.check import (
    check_callable,
    check_choice,
    check_class_counts,
    check_class_weights,
    check_factors,
    check_number,
    check_tensor,
    check_whole,
)

Rule = Callable[[str, Any], None]
Function = TypeVar("Function", bound=Callable[..., Any])

NOT_NEGATIVE = partial(check_number, low=0)
POSITIVE = partial(check_number, low=0, open_low=True)
FRACTION = partial(check_number, low=0, high=1)

NotNegative = Annotated[float | Tensor, NOT_NEGATIVE]
Positive = Annotated[float | Tensor, POSITIVE]
#: A number, or a tensor whose shape is checked against the input's.
Factor = Annotated[float | Tensor, check_factors]
Count = Annotated[int, partial(check_whole, low=1)]
#: (C,), one number per class.
ClassWeight = Annotated[Tensor, check_class_weights]
#: (C,), how many samples a class has.
ClassCounts = Annotated[Tensor, check_class_counts]

#: What a plain annotation asks for. A number may also be a tensor of one entry.
_PLAIN: dict[Any, Rule] = {
    float: check_number,
    int: check_whole,
    bool: partial(check_choice, allowed=(True, False)),
    Tensor: check_tensor,
}


def rule_of(hint: Any) -> Rule | None:
    """The rule in an annotation: the one written there, or the one its type implies."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return typing.cast("Rule | None", next((note for note in parts[1:] if callable(note)), None))
    if origin is Literal:
        return partial(check_choice, allowed=parts)
    if origin is Callable:
        return check_callable
    if origin in (Union, types.UnionType):
        rules = [rule for rule in map(rule_of, parts) if rule is not None]
        # Types without a rule of their own pass, above all None.
        others = tuple(part for part in parts if isinstance(part, type) and part not in _PLAIN)
        return partial(_unless, others, rules[0]) if rules else None
    return _PLAIN.get(hint) if isinstance(hint, type) else None  # others may have no hash


def _unless(others: tuple[type, ...], rule: Rule, name: str, value: object) -> None:
    if not isinstance(value, others):
        rule(name, value)


def rules_of(hints: Iterable[tuple[str, Any]]) -> dict[str, Rule]:
    return {name: rule for name, hint in hints if (rule := rule_of(hint)) is not None}


def without_rule(hint: Any) -> Any:
    """The type of an annotation: what people read."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return without_rule(parts[0])
    if origin in (Union, types.UnionType):
        return functools.reduce(operator.or_, map(without_rule, parts))
    return hint


#: May be a tensor, and learn. One name: torch 2.9 cannot compile inner functions with a union in their annotations.
Number = float | Tensor


def checked(fn: Function) -> Function:
    """A loss function that checks its arguments by the rules in their annotations, and is one call to ``torch.fx``.

    Defaults are valid, so only what is given is checked.
    """
    signature, hints = inspect.signature(fn), typing.get_type_hints(fn, include_extras=True)
    defaults = {n: p.default for n, p in signature.parameters.items() if p.default is not p.empty}
    rules = rules_of((name, hints[name]) for name in defaults)
    by_position = [n for n, p in signature.parameters.items() if p.kind is not p.KEYWORD_ONLY]
    needed = len([n for n in by_position if n not in defaults])

    @functools.wraps(fn)
    def run(*args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], Proxy):
            return args[0].tracer.create_proxy("call_function", run, args, kwargs)
        given = kwargs.items()
        if len(args) > needed:
            # Equal lengths; torch 2.6 compiles any given ``strict`` as True.
            given = [*zip(by_position[needed : len(args)], args[needed:], strict=False), *given]
        for name, value in given:
            if name in rules and value is not defaults[name]:
                rules[name](name, value)
        return fn(*args, **kwargs)

    shown = [p.replace(annotation=without_rule(hints[n])) for n, p in signature.parameters.items()]
    made: Any = run
    made.__signature__ = signature.replace(parameters=shown, return_annotation=hints["return"])
    made.__prepare_scriptable__ = no_torchscript
    return made


def no_torchscript(*_: object) -> NoReturn:
    raise NotImplementedError("TorchScript: not supported by lossary's losses; use torch.compile or torch.jit.trace")

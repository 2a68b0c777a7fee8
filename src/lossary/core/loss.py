"""The whole class system: a loss Module is a function with typed fields."""

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, dataclass_transform

import torch
from torch import Tensor, nn
from torch.fx import Proxy, Tracer

from lossary.core.docstrings import arguments, sections, written
from lossary.core.rules import Count, Rule, no_torchscript, rules_of, without_rule

__all__ = ["HeadLoss", "Loss"]

_MISSING = inspect.Parameter.empty

#: For ``inspect.get_annotations``: Python 3.14 evaluates annotations when asked, so a name may be unknown outside
#: strings too.
_UNKNOWN_NAMES_STAY: dict[str, Any] = {}
if sys.version_info >= (3, 14):
    from annotationlib import Format

    _UNKNOWN_NAMES_STAY["format"] = Format.FORWARDREF


def hold(module: nn.Module, name: str, value: Any) -> None:
    """Set ``module.name``: a Parameter is learned, a plain tensor becomes a buffer, all else is stored unchanged."""
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        module.register_buffer(name, value)
    else:
        setattr(module, name, value)


class _Signature:
    """What ``inspect.signature`` finds: for a class how it is made, for an instance how it is called."""

    def __get__(self, module: "Loss | None", cls: "type[Loss]") -> inspect.Signature:
        if module is not None:
            return inspect.signature(module.forward)
        kind, fields = inspect.Parameter.POSITIONAL_OR_KEYWORD, cls.fields.items()
        return inspect.Signature(
            [inspect.Parameter(name, kind, default=default, annotation=cls.hints[name]) for name, default in fields]
        )


@dataclass_transform()
class Loss(nn.Module):
    """A loss function with its hyperparameters.

    A subclass names its function and repeats the function's hyperparameters as typed fields::

        class FocalLoss(Loss):
            fn = staticmethod(focal_loss)
            gamma: NotNegative = 2.0
            reduction: Reduction = "mean"

    A field given as ``nn.Parameter`` learns, a plain tensor becomes a buffer, anything else is stored unchanged. What
    changes from batch to batch (``sample_weight``, ``mask``, ...) is given at the call. Signature and docstring come
    from the function: the class has what it is made with, ``forward`` what it is called with.
    """

    fn: ClassVar[Callable[..., Tensor]]
    fields: ClassVar[dict[str, Any]] = {}  # name -> default
    hints: ClassVar[dict[str, Any]] = {}  # name -> type, without its rule
    rules: ClassVar[dict[str, Rule]] = {}
    inputs: ClassVar[tuple[str, ...]] = ()  # names of the call's positional arguments, of which the first are needed:
    needed: ClassVar[int] = 0
    passed: ClassVar[tuple[str, ...]] = ()  # the fields that the function takes

    __signature__: ClassVar[Any] = _Signature()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        hints = {n: hint for n, hint in _annotations(cls).items() if not _of_the_class(hint)}
        # Removed from the class: nn.Module refuses a Parameter whose name is a class attribute.
        taken: dict[str, Any] = {name: cls.__dict__.get(name, _MISSING) for name in hints}
        for name, default in taken.items():
            if default is not _MISSING:
                delattr(cls, name)
        cls.fields = {**cls.fields, **taken}
        cls.hints = {**cls.hints, **{name: without_rule(hint) for name, hint in hints.items()}}
        cls.rules = {**cls.rules, **rules_of(hints.items())}
        if hasattr(cls, "fn"):
            cls._follow_function()

    @classmethod
    def _follow_function(cls) -> None:
        """Take signature and docstrings from the function, divided between making and calling."""
        plain: Any = inspect.unwrap(cls.forward)
        call = _call_of(plain, cls.fn, cls.fields)
        # A copy, so that each class has its own signature at no cost per call.
        forward: Any = types.FunctionType(plain.__code__, plain.__globals__, "forward", None, plain.__closure__)
        functools.update_wrapper(forward, plain)
        forward.__defaults__, forward.__kwdefaults__ = plain.__defaults__, plain.__kwdefaults__
        forward.__signature__, cls.forward = call, forward
        by_position = [p for p in [*call.parameters.values()][1:] if p.kind is not p.KEYWORD_ONLY]
        cls.inputs = tuple(p.name for p in by_position)
        cls.needed = sum(p.default is p.empty for p in by_position)
        cls.passed = tuple(n for n in cls.fields if n in inspect.signature(cls.fn).parameters)
        described = sections(cls.fn)
        more = {name: described.get(name, "") for name in ("Returns", "Raises")}
        forward.__doc__ = plain.__doc__ or written(described[""], call.parameters, arguments(cls.fn), more)
        texts = {name: text for part in (cls.fn, *reversed(cls.__mro__)) for name, text in arguments(part).items()}
        cls.__doc__ = written(sections(cls)[""], cls.fields, texts, {})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        cls = type(self)
        if len(args) > len(cls.fields):
            raise TypeError(f"{cls.__name__} takes at most {len(cls.fields)} arguments; got {len(args)}")
        given = dict(zip(cls.fields, args, strict=False))
        for name, value in kwargs.items():
            if name not in cls.fields:
                raise TypeError(f"{cls.__name__} has no argument {name!r}; it has {', '.join(cls.fields)}")
            if name in given:
                raise TypeError(f"{cls.__name__} got {name!r} twice")
            given[name] = value
        for name, default in cls.fields.items():
            value = given.get(name, default)
            if value is _MISSING:
                raise TypeError(f"{cls.__name__} needs {name!r}")
            if name in cls.rules and value is not default:
                cls.rules[name](name, value)
            hold(self, name, value)
        self.setup()

    def setup(self) -> None:
        """Make what is not a field (weights); called once, at the end of ``__init__``."""

    def hyperparameters(self) -> dict[str, Any]:
        """The current values of the function's hyperparameters, by name."""
        return {name: getattr(self, name) for name in self.passed}

    def __call__(self, *inputs: Tensor, **given: Any) -> Tensor:
        """The loss of a batch; see :meth:`forward`."""
        if not self.needed <= len(inputs) <= len(self.inputs):
            self._check_call(inputs, given)
        if inputs and isinstance(inputs[0], Proxy):  # a leaf: it keeps what it learns and counts
            tracer = typing.cast("Tracer", inputs[0].tracer)
            return typing.cast("Any", tracer.create_proxy("call_module", tracer.path_of_module(self), inputs, given))
        return super().__call__(*inputs, **given)

    def _check_call(self, inputs: tuple[Any, ...], given: Mapping[str, Any]) -> None:
        missing = [name for name in self.inputs[len(inputs) : self.needed] if name not in given]
        if missing or len(inputs) > len(self.inputs):
            name = missing[0] if missing else "inputs"
            call = f"{type(self).__name__} called ({', '.join(self.inputs)})"
            raise TypeError(f"{name}: wanted {call}; got {len(inputs)} by position")

    def forward(self, *inputs: Any, **given: Any) -> Tensor:
        for name in self.passed:
            if name not in given:
                given[name] = getattr(self, name)
        return type(self).fn(*inputs, **given)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for name, default in type(self).fields.items():
            if not hasattr(self, name):  # pickled by an older version, without the field
                hold(self, name, default)

    def __prepare_scriptable__(self) -> None:
        no_torchscript()

    def extra_repr(self) -> str:
        shown = ((name, getattr(self, name)) for name in type(self).fields)
        return ", ".join(f"{n}={v!r}" for n, v in shown if not isinstance(v, Tensor))


def _call_of(forward: Callable[..., Tensor], fn: Callable[..., Tensor], fields: Mapping[str, Any]) -> inspect.Signature:
    """``forward``'s signature, with the function's other arguments in place of ``*inputs`` and ``**given``."""
    whole, found = inspect.signature(fn), list[inspect.Parameter]()
    rest = [p for p in whole.parameters.values() if p.name not in fields]
    for p in inspect.signature(forward).parameters.values():
        if p.kind is p.VAR_POSITIONAL:
            found += [q for q in rest if q.kind is not q.KEYWORD_ONLY]
        elif p.kind is p.VAR_KEYWORD:
            found += [q for q in rest if q.kind is q.KEYWORD_ONLY]
        else:
            found.append(p.replace(kind=p.POSITIONAL_ONLY) if p.name == "self" else p)
    return whole.replace(parameters=found)


def _annotations(cls: type) -> dict[str, Any]:
    """A class's own annotations, however this version of Python stores them."""
    try:
        return inspect.get_annotations(cls, eval_str=True)
    except NameError:  # names known only inside a function, or to type checkers: such a field has no rule
        return inspect.get_annotations(cls, **_UNKNOWN_NAMES_STAY)


def _of_the_class(hint: Any) -> bool:
    return hint is ClassVar or typing.get_origin(hint) is ClassVar


class HeadLoss(Loss):
    """A loss that owns one weight vector per class and is called ``(embeddings, labels)``.

    Args:
        num_classes: C.
        embedding_size: D.
    """

    num_classes: Count
    embedding_size: Count

    def setup(self) -> None:
        # Only directions count; the expected length is 1, so that a head without normalisation starts tame.
        self.weight = nn.Parameter(nn.init.normal_(self.new_weight(), std=self.embedding_size**-0.5))

    def new_weight(self) -> Tensor:
        """Memory for the weight: (C, D), or whatever the function takes."""
        return torch.empty(self.num_classes, self.embedding_size)

    def forward(self, embeddings: Tensor, labels: Tensor, **given: Any) -> Tensor:
        return super().forward(embeddings, self.weight, labels, **given)

    def get_logits(self, embeddings: Tensor) -> Tensor:
        """The scores of all classes without a margin, for inference: cosines, (N, num_classes)."""
        from lossary.distributed.gather import of_all_classes

        return of_all_classes(
            lambda x, w: nn.functional.normalize(x) @ nn.functional.normalize(w, dim=-1).T, embeddings, self.weight
        )

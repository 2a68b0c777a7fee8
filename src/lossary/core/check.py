"""Argument checks: each error names the argument, what was wanted and what was given.

Shapes and dtypes are always checked: they are known without touching the data. Values are checked only in eager mode on
CPU: elsewhere it would synchronise the device or break a compiled graph.
"""

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, cast

import torch
from torch import Tensor

from lossary.core.device import values_visible

_NARROW = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.uint16, torch.uint32, torch.uint64)


def check_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if getattr(value, "ndim", 0) > 0 or value not in allowed:  # arrays compare element by element
        raise ValueError(f"{name}: wanted one of {', '.join(map(repr, allowed))}; got {value!r}")


def check_number(
    name: str,
    value: float | Tensor,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    """A hyperparameter must be a finite number in [low, high], without its ends where they are open.

    A tensor counts as a number if its shape is () or (1,) (some ways of sharding parameters need a dimension); its
    value is not read.
    """
    if type(value) is float and low < value < high:
        return
    if isinstance(value, Tensor):
        if value.shape not in ((), (1,)):
            raise ValueError(f"{name}: wanted a number or a tensor of shape () or (1,); got {tuple(value.shape)}")
        return
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: wanted a number or a tensor; got {type(value).__name__}")
    at_end = (open_low and value == low) or (open_high and value == high)
    if not math.isfinite(value) or value < low or value > high or at_end:
        left = "(" if open_low or low == -math.inf else "["
        right = ")" if open_high or high == math.inf else "]"
        raise ValueError(f"{name}: wanted a finite number in {left}{low}, {high}{right}; got {value}")


def check_plain(name: str, value: float | Tensor, **bounds: Any) -> None:
    """:func:`check_number` where a tensor may have more than one entry: its shape is checked against the input's."""
    if not isinstance(value, Tensor):
        check_number(name, value, **bounds)


def check_factors(name: str, value: float | Tensor) -> None:
    """One or more numbers, none below 0. Tensors that learn are not read: keeping them there is the caller's part.

    ``sample_weight`` is exempt: an advantage, or the correction of a simulation, may be below 0.
    """
    if not isinstance(value, Tensor):
        check_number(name, value, low=0)
        return
    numbers = value if value.is_floating_point() else value.double()  # torch has no min for some integers
    if value.numel() > 0 and not value.requires_grad and values_visible(value) and (least := numbers.min().item()) < 0:
        raise ValueError(f"{name}: wanted numbers, none below 0; got {least}")


def check_class_weights(name: str, weight: Tensor) -> None:
    """Weights of classes: one below 0 would reward mistakes and shrink the divisor of the mean."""
    check_float(name, weight)
    check_factors(name, weight)


def check_class_counts(name: str, counts: Tensor) -> None:
    """Counts of any dtype: whole numbers, or shares."""
    check_tensor(name, counts)
    check_factors(name, counts)


def check_numbers(name: str, value: float | Tensor | Iterable[float], **bounds: Any) -> None:
    """:func:`check_number` for one number, or for each of several."""
    given: Any = value  # not what its type says
    if given is None:
        raise TypeError(f"{name}: wanted a number or several; got NoneType")
    for number in as_numbers(value)[0]:
        check_number(name, number, **bounds)


def check_whole(name: str, value: int, *, low: int | None = None) -> None:
    """A whole number, of at least ``low``."""
    if type(value) is int and (low is None or value >= low):
        return
    wanted = "a whole number" if low is None else f"a whole number from {low} up"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: wanted {wanted}; got {type(value).__name__}")
    if not isinstance(value, Integral) or (low is not None and value < low):
        raise ValueError(f"{name}: wanted {wanted}; got {value}")


def check_rows(name: str, value: float | Tensor, rows: Tensor) -> None:
    """A number, a tensor of one, or one number per row of ``rows``, such as the labels."""
    if isinstance(value, Tensor) and value.shape not in ((), (1,)) and value.shape != rows.shape:
        wanted = f"a number or a tensor of shape (), (1,) or {tuple(rows.shape)}"
        raise ValueError(f"{name}: wanted {wanted}; got {tuple(value.shape)}")


def as_numbers(value: float | Tensor | Iterable[float]) -> tuple[tuple[float | Tensor, ...], bool]:
    """The values of a hyperparameter that may be one number or several, unchecked, and whether it is one."""
    # A tuple, because torch 2.9 cannot compile a union here.
    if isinstance(value, (str, Real)) or getattr(value, "ndim", 1) == 0:  # numpy's and torch's have no dimensions
        return (cast("float | Tensor", value),), True
    return tuple(cast("Iterable[float]", value)), False


def check_factor(name: str, value: float | Tensor | None, input: Tensor) -> None:
    """A tensor must broadcast to ``input``; anything else passes."""
    if not isinstance(value, Tensor):
        return
    check_tensor("input", input)
    fits = value.dim() <= input.dim() and all(
        a in (1, b) for a, b in zip(value.shape, input.shape[input.dim() - value.dim() :], strict=True)
    )
    if not fits:
        wanted = f"a shape that broadcasts to that of input, {tuple(input.shape)}"
        raise ValueError(f"{name}: wanted {wanted}; got {tuple(value.shape)}")


def check_callable(name: str, value: object) -> None:
    if not callable(value):
        raise TypeError(f"{name}: wanted a function; got {type(value).__name__}")


def check_tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: wanted a tensor; got {type(value).__name__}")


# The checks of nearly every call ask about a tensor in one expression: calls of other checks slow small batches.


def check_float(name: str, tensor: Any) -> None:
    if not isinstance(tensor, Tensor) or not tensor.dtype.is_floating_point:
        check_tensor(name, tensor)
        raise TypeError(f"{name}: wanted a floating-point tensor; got {tensor.dtype}")


def check_dim(name: str, tensor: Any, dims: int | tuple[int, ...], axes: str = "") -> None:
    wanted = (dims,) if isinstance(dims, int) else dims
    if not isinstance(tensor, Tensor) or tensor.dim() not in wanted:
        check_tensor(name, tensor)
        shape = f" {axes}" if axes else ""
        number = " or ".join(map(str, wanted))
        raise ValueError(f"{name}: wanted {number} dimension(s){shape}; got shape {tuple(tensor.shape)}")


def check_same_shape(name: str, tensor: Any, other_name: str, other: Any) -> None:
    if not isinstance(tensor, Tensor) or not isinstance(other, Tensor) or tensor.shape != other.shape:
        check_tensor(name, tensor)
        check_tensor(other_name, other)
        raise ValueError(f"{name}: wanted the shape of {other_name}, {tuple(other.shape)}; got {tuple(tensor.shape)}")


def stretched(**tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in one shape, as torch's losses of the same names accept them without a warning.

    A dimension of length 1 stretches to match tensors with as many dimensions, and so does a single number. (N, 1) with
    (N,), which torch stretches to (N, N), is refused: hardly anybody means it.
    """
    for name, tensor in tensors.items():
        check_tensor(name, tensor)
    first, *others = tensors.values()
    if all(t.shape == first.shape for t in others):
        return tuple(tensors.values())
    # A single number, whatever its shape, stands for all; the widest argument leads.
    lead = max(tensors, key=lambda name: (tensors[name].numel() > 1, tensors[name].dim()))
    shape = tensors[lead].shape
    for name, tensor in tensors.items():
        if tensor.numel() == 1 and tensor.dim() <= len(shape):
            continue
        lengths = zip(tensor.shape, shape, strict=False)
        if tensor.dim() != len(shape) or not all(a == b or 1 in (a, b) for a, b in lengths):
            wanted = f"the shape of {lead}, {tuple(shape)}, or lengths of 1 in it"
            raise ValueError(f"{name}: wanted {wanted}; got {tuple(tensor.shape)}")
        shape = torch.broadcast_shapes(shape, tensor.shape)
    return tuple(t.expand(shape) for t in tensors.values())


def stretched_rows(**tensors: Tensor) -> tuple[Tensor, ...]:
    """Vectors along the last dimension, all of one length, in one shape: see :func:`stretched`."""
    (lead, first), *others = tensors.items()
    check_tensor(lead, first)
    for name, tensor in others:
        check_tensor(name, tensor)
        if tensor.dim() != first.dim() or tensor.shape[-1:] != first.shape[-1:]:
            wanted = f"the shape of {lead}, {tuple(first.shape)}, or lengths of 1 before its last"
            raise ValueError(f"{name}: wanted {wanted}; got {tuple(tensor.shape)}")
    return stretched(**tensors)


def check_shape(name: str, tensor: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(tensor, Tensor) or tensor.shape != shape:
        check_tensor(name, tensor)
        raise ValueError(f"{name}: wanted shape {shape}; got {tuple(tensor.shape)}")


def check_several_classes(name: str, scores: Tensor, classes: int, sigmoid_form: str) -> None:
    """A softmax over one class is 1 whatever the score: its loss would be constant, and the network would not learn."""
    if classes < 2:
        came = f"got {classes} in shape {tuple(scores.shape)}"
        raise ValueError(
            f"{name}: wanted two classes or more (a softmax over one is always 1); {came}; "
            f"for one yes-or-no score per position, use the sigmoid form, {sigmoid_form}"
        )


def without_metadata(given: Any) -> Any:
    """A plain tensor in place of MONAI's, whose slices look for the metadata of single items and may not find any."""
    if torch.compiler.is_compiling() or type(given) is Tensor or not isinstance(given, Tensor):
        return given
    plain = getattr(given, "as_tensor", None)
    return plain() if plain else given


def wide_integers(name: str, tensor: Any) -> Tensor:
    """Integers as int64, other dtypes unchanged: every label goes through here before it is compared.

    torch compares in the tensor's dtype, where a uint8 of 156 equals an ``ignore_index`` of -100, an int8 of 127 is not
    below 200 classes, and wider unsigned integers cannot be compared at all.
    """
    if isinstance(tensor, Tensor) and tensor.dtype not in _NARROW:
        return tensor
    check_tensor(name, tensor)
    wide = tensor.long()
    if tensor.dtype == torch.uint64 and values_visible(wide) and (wide < 0).any():
        raise ValueError(f"{name}: wanted integers below 2**63; got {int(wide[wide < 0][0]) + 2**64}")
    return wide


def check_labels(name: str, labels: Tensor, count: int, *, classes: int | None = None) -> Tensor:
    """One integer label per row, each in [0, classes), as int64."""
    labels = wide_integers(name, labels)
    if labels.dtype != torch.int64:
        raise TypeError(f"{name}: wanted integer labels; got {labels.dtype}")
    check_shape(name, labels, (count,))
    if classes is not None:
        check_range(name, labels, classes)
    return labels


def check_range(name: str, labels: Tensor, classes: int, ignore_index: int | None = None) -> None:
    """Every label, an int64, must be in [0, classes) or equal to ``ignore_index``."""
    if labels.numel() == 0 or not values_visible(labels) or within(labels, 0, classes - 1):
        return
    outside = (labels < 0) | (labels >= classes)
    if ignore_index is not None:
        outside &= labels != ignore_index
    if outside.any():
        first = labels[outside].flatten()[0].item()
        raise IndexError(f"{name}: wanted class indices in [0, {classes}); got {first}")


def within(tensor: Tensor, low: float, high: float) -> bool:
    """Whether all numbers are in [low, high], in one pass: nearly every check needs no more."""
    try:
        least, largest = torch.aminmax(tensor)
    except NotImplementedError:  # torch 2.6 has no forward derivative of it
        least, largest = torch.aminmax(tensor.detach())
    return low <= least.item() and largest.item() <= high


def check_probabilities(name: str, tensor: Tensor, ignore_index: int | None = None) -> None:
    """Every number must be in [0, 1] or equal to ``ignore_index``; NaN passes (a masked entry may be NaN)."""
    tensor = wide_integers(name, tensor)
    if tensor.dtype == torch.bool or tensor.numel() == 0 or not values_visible(tensor) or within(tensor, 0, 1):
        return
    outside = (tensor < 0) | (tensor > 1)
    if ignore_index is not None:
        outside &= tensor != ignore_index
    if outside.any():
        wanted = "numbers in [0, 1]" if ignore_index is None else f"numbers in [0, 1] or ignore_index, {ignore_index}"
        raise ValueError(f"{name}: wanted {wanted}; got {tensor[outside].flatten()[0].item()}")


def check_among(name: str, tensor: Tensor, allowed: tuple[int, ...]) -> None:
    """Every number must be one of ``allowed``; booleans and NaN pass (a masked entry may be NaN).

    A tensor that requires gradients does not pass: between the allowed numbers there is no loss to learn from.
    """
    tensor = wide_integers(name, tensor)
    if tensor.requires_grad and torch.is_grad_enabled():
        wanted = f"a tensor without requires_grad, since only {', '.join(map(str, allowed))} have a meaning"
        raise ValueError(f"{name}: wanted {wanted}; got one with it, which no gradient would reach: detach it")
    if tensor.dtype == torch.bool or tensor.numel() == 0 or not values_visible(tensor):
        return
    known = tensor == allowed[0]
    for value in allowed[1:]:
        known |= tensor == value
    if known.all():
        return
    other = ~(known | tensor.isnan())
    if other.any():
        wanted = ", ".join(map(str, allowed))
        raise ValueError(f"{name}: wanted one of {wanted} each, or booleans; got {tensor[other].flatten()[0].item()}")

"""What the laws found, seen a second time: by a few lines that share nothing with the laws, on another seed's batch.

Only how a loss is called comes from where the laws are. What cannot be seen so is said to be unseen, not true.
"""

import ast
import copy
import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Generator, Tensor

from lossary.testing.draws import Call
from lossary.testing.forms import Stranger, recognised
from lossary.testing.placed import edges

SEED = 7


def seen(law: str, loss: Any, form: Mapping[str, Any], told: Mapping[str, Any]) -> str | None:
    """What is seen a second time; nothing where it is not seen, None where nobody looks."""
    look = _LOOKS.get(law)
    if look is None:
        return None
    stranger = recognised(loss, **form)[0].forgetful()
    for call in _batches(stranger, told):
        try:
            words = look(stranger, call)
        except Exception as error:  # noqa: BLE001  # as the law may have found
            words = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        if words:
            return words
    return ""


def _batches(stranger: Stranger, told: Mapping[str, Any]) -> Iterator[Call]:
    """The batch that is told, read back from its text; the same kind of batch by another seed; a random one."""
    drawn = stranger.draw(Generator().manual_seed(SEED), torch.float64)
    same = edges(stranger, drawn).get(told.get("batch", ""))
    if same is not None:
        yield same
    yield drawn
    if "given" in told:
        tensors = [torch.tensor(ast.literal_eval(told["given"][name])) for name in stranger.tensors]
        learning = tuple(t.double() for i, t in enumerate(tensors) if i in stranger.form.learning)
        rest = zip(stranger.tensors, enumerate(tensors), strict=True)
        yield Call(learning, {name: t for name, (i, t) in rest if i not in stranger.form.learning})


def value_and_slope(stranger: Stranger, call: Call, dtype: torch.dtype = torch.float64) -> tuple[Tensor, list[Tensor]]:
    leaves = [t.to(dtype).requires_grad_() for t in call.args]
    rest = {n: t.to(dtype) if t.is_floating_point() else t for n, t in call.kwargs.items()}
    value = stranger(*leaves, **rest)
    grads = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    return value.detach(), [torch.zeros_like(x) if g is None else g for g, x in zip(grads, leaves, strict=True)]


def _value(stranger: Stranger, call: Call, dtype: torch.dtype = torch.float64) -> float:
    with torch.no_grad():
        rest = {n: t.to(dtype) if t.is_floating_point() else t for n, t in call.kwargs.items()}
        return stranger(*(t.to(dtype) for t in call.args), **rest).double().sum().item()


def _not_finite(stranger: Stranger, call: Call) -> str:
    for dtype in (torch.float32, torch.float64):
        value, grads = value_and_slope(stranger, call, dtype)
        if not value.isfinite().all():
            return f"the loss is {value.sum().item()} in {str(dtype)[6:]}"
        if not all(grad.isfinite().all() for grad in grads):
            return f"the loss is {value.sum().item():.5g}, and its gradient is not finite in {str(dtype)[6:]}"
    return ""


def _apart(dtype: torch.dtype, least: float) -> Callable[[Stranger, Call], str]:
    def look(stranger: Stranger, call: Call) -> str:
        rounded = Call(
            tuple(t.to(dtype).double() for t in call.args),
            {n: t.to(dtype).double() if t.is_floating_point() else t for n, t in call.kwargs.items()},
        )
        low, exact = _value(stranger, rounded, dtype), _value(stranger, rounded)
        same = abs(low - exact) <= least * max(abs(exact), 1.0)
        return "" if same else f"in {str(dtype)[6:]} {low:.6g}, in float64 {exact:.6g}"

    return look


def _slope(stranger: Stranger, call: Call) -> str:
    """Along one random direction of all inputs, by a central difference."""
    g = Generator().manual_seed(SEED)
    way = [torch.randn(t.shape, generator=g, dtype=torch.float64) for t in call.args]
    sides = [
        _value(stranger, Call(tuple(t + s * w for t, w in zip(call.args, way, strict=True)), call.kwargs))
        for s in (1e-6, -1e-6)
    ]
    slope = (sides[0] - sides[1]) / 2e-6
    found = sum((g * w).sum().item() for g, w in zip(value_and_slope(stranger, call)[1], way, strict=True))
    same = abs(slope - found) <= 1e-5 * max(abs(slope), abs(found), 1e-6)
    return "" if same else f"along a random direction the slope is {slope:.5g}, by the gradient {found:.5g}"


def _chosen(call: Call, index: Tensor) -> Call:
    count = call.args[0].shape[0]
    return Call(
        tuple(t[index] if t.shape[0] == count else t for t in call.args),
        {n: t[index] if t.shape[0] == count else t for n, t in call.kwargs.items()},
    )


def _order(stranger: Stranger, call: Call) -> str:
    order = torch.arange(call.args[0].shape[0]).roll(1)
    one, other = _value(stranger, call), _value(stranger, _chosen(call, order))
    return "" if abs(one - other) <= 1e-9 * max(abs(one), 1) else f"{one:.6g}, and with the last item first {other:.6g}"


def _twice(stranger: Stranger, call: Call) -> str:
    count = call.args[0].shape[0]
    one, twice = _value(stranger, call), _value(stranger, _chosen(call, torch.arange(2 * count) % count))
    same = any(abs(twice - k * one) <= 1e-9 * max(abs(one), 1) for k in (1, 2))
    return "" if same else f"{one:.6g}, and of the batch twice over {twice:.6g}"


def _dtype(stranger: Stranger, call: Call) -> str:
    dtype = value_and_slope(stranger, call)[0].dtype
    return "" if dtype == torch.float64 else f"of float64 the loss is {str(dtype)[6:]}"


def _digits(stranger: Stranger, call: Call) -> str:
    """The dtype; or a slope over a small step that is not the slope over a larger one."""
    if words := _dtype(stranger, call):
        return words
    way = torch.randn(call.args[0].shape, generator=Generator().manual_seed(SEED), dtype=torch.float64)
    slopes: list[float] = []
    for step in (1e-8, 1e-4):
        ends = [_value(stranger, Call((call.args[0] + s * way, *call.args[1:]), call.kwargs)) for s in (step, -step)]
        slopes.append((ends[0] - ends[1]) / (2 * step))
    apart = abs(slopes[0] - slopes[1]) > 1e-3 * max(map(abs, slopes))
    return f"its slope over 1e-8 is {slopes[0]:.5g}, over 1e-4 {slopes[1]:.5g}" if apart else ""


def _taught(stranger: Stranger, call: Call) -> str:
    """The gradient where every score is 7, and 34, on the wrong side."""
    truth = call.kwargs[stranger.tensors[1]]
    right = (
        truth if truth.shape == call.args[0].shape else torch.eye(call.args[0].shape[1])[truth.long()].movedim(-1, 1)
    )
    signs = (right > 0.5).double() * 2 - 1 if truth is right else right.double()
    slopes: list[float] = []
    for by in (7, 34):
        grad = value_and_slope(stranger, Call((-by * signs, *call.args[1:]), call.kwargs))[1][0]
        slopes.append(-(grad * signs).sum().item())
    lost = slopes[0] > 0 and slopes[1] < 0.05 * slopes[0]
    return f"the slope is {slopes[0]:.3g} where scores are wrong by 7, {slopes[1]:.2g} by 34" if lost else ""


def _written(stranger: Stranger, call: Call) -> str:
    tensors = [stranger.as_wanted(t.clone(), call.args[0]) for t in stranger.in_order(call)]
    before = [t.clone() for t in tensors]
    stranger.runner(call.args[0].dtype, {})(*tensors)
    changed = [n for n, a, b in zip(stranger.tensors, tensors, before, strict=True) if not torch.equal(a, b)]
    return f"{', '.join(changed)} is another tensor after the call" if changed else ""


def _outside(stranger: Stranger, call: Call) -> str:
    name = stranger.tensors[1]
    for outside in (-1, -100, call.args[0].shape[1]):
        values: list[float] = []
        for label in (outside, *range(call.args[0].shape[1])):
            labels = call.kwargs[name].clone()
            labels[0] = label
            try:
                values.append(_value(stranger, Call(call.args, {**call.kwargs, name: labels})))
            except Exception:  # noqa: BLE001  # refused
                break
        for other, value in enumerate(values[1:]):
            if value == values[0]:
                return f"label {outside} gives {value:.6g}, as label {other} does"
    return ""


def _strides(stranger: Stranger, call: Call) -> str:
    turned = Call(tuple(torch.stack([t, t], -1)[..., 0] for t in call.args), call.kwargs)
    if call.args[0].dim() == 4:
        turned = Call(tuple(t.contiguous(memory_format=torch.channels_last) for t in call.args), call.kwargs)
    one, other = value_and_slope(stranger, call)[0].sum().item(), value_and_slope(stranger, turned)[0].sum().item()
    return "" if abs(one - other) <= 1e-9 * max(abs(one), 1) else f"{one:.6g}, and stored otherwise {other:.6g}"


def _pixels(stranger: Stranger, call: Call) -> str:
    times = 2**17 // call.args[0][0, 0].numel() + 1
    large = Call(
        tuple(t.repeat(1, 1, 1, times) for t in call.args),
        {n: t.repeat(*(1 for _ in t.shape[1:]), times) for n, t in call.kwargs.items()},
    )
    return _apart(torch.float16, 0.05)(stranger, large)


def _pickle(stranger: Stranger, call: Call) -> str:
    pickle.loads(pickle.dumps(stranger.module))
    return ""


def _nan(stranger: Stranger, call: Call) -> str:
    for place in range(len(call.args)):
        args = [t.clone() for t in call.args]
        args[place].view(-1)[0] = torch.nan
        value = _value(stranger, Call(tuple(args), call.kwargs))
        if value == value:  # noqa: PLR0124  # no NaN
            return f"with a NaN in tensor {place} the loss is {value:.6g}"
    return ""


def _backward(stranger: Stranger, call: Call) -> str:
    """The gradient of twice the loss, and the same gradient asked for again."""
    leaves = [t.clone().requires_grad_() for t in call.args]
    value = stranger(*leaves, **call.kwargs).sum()
    first, again = (
        torch.autograd.grad(value, leaves, retain_graph=True, allow_unused=True)[0].clone() for _ in range(2)
    )
    twice = torch.autograd.grad(2 * stranger(*leaves, **call.kwargs).sum(), leaves, allow_unused=True)[0]
    for other, words in ((again, "asked for again"), (twice / 2, "half of twice the loss's")):
        if not torch.allclose(first, other, rtol=1e-9):
            worst = (first - other).abs().argmax()
            return f"a gradient of {first.flatten()[worst]:.5g} is {other.flatten()[worst]:.5g}, {words}"
    return ""


def _repeats(stranger: Stranger, call: Call) -> str:
    module = copy.deepcopy(stranger.module)
    tensors = [stranger.as_wanted(t.clone(), call.args[0]) for t in stranger.in_order(call)]
    run = module.double() if module is not None else stranger.run
    first, second = (run(*(t.clone() for t in tensors)).sum().item() for _ in range(2))
    return "" if first == second else f"first {first:.6g}, then {second:.6g}"


_LOOKS: dict[str, Callable[[Stranger, Call], str]] = {
    "finite_at_placed_batches": _not_finite,
    "float32_is_near_float64": _apart(torch.float32, 1e-3),
    "half_precision_is_near_float64": lambda s, c: (
        _apart(torch.float16, 0.06)(s, c) or _apart(torch.bfloat16, 0.5)(s, c)
    ),
    "many_pixels_hold_in_half_precision": _pixels,
    "gradient_is_true": _slope,
    "backward_scales_and_repeats": _backward,
    "inputs_stay_as_they_are_and_calls_repeat": _repeats,
    "order_of_items_does_not_matter": _order,
    "a_batch_twice_is_its_mean_or_twice_its_sum": _twice,
    "float64_stays_float64": _digits,
    "confident_mistakes_teach": _taught,
    "inputs_are_not_written": _written,
    "labels_beyond_the_classes_are_refused": _outside,
    "strides_do_not_matter": _strides,
    "the_module_survives_a_pickle": _pickle,
    "nan_in_is_nan_out": _nan,
}

"""Laws about devices other than a CPU in float32: what an accelerator gets, determinism, scaled half precision."""

import math
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch

from lossary.core import device as _device
from lossary.core.torch_internals import DispatchMode
from lossary.testing.draws import Call
from lossary.testing.laws import gradients, values
from lossary.testing.laws.law import LAWS, law
from lossary.testing.laws.subject import Subject, as_function, assert_close, assert_same, doubled

#: What must hold whether or not values may be read and operations are large.
EVERYWHERE = (
    gradients.gradient_is_true,
    gradients.gradient_of_the_weighted_mean_is_true,
    gradients.second_gradient_is_true,
    gradients.finite_at_the_edges,
    gradients.float32_holds_at_the_edges,
    gradients.empty_batch_gives_zero,
    gradients.all_masked_gives_zero,
    gradients.backward_scales_and_repeats,
    values.weights_weigh_items,
    values.weight_zero_is_item_dropped,
    values.items_of_weight_zero_may_hold_anything,
    values.mask_false_is_item_dropped,
    values.masked_items_may_hold_anything,
    values.masked_positions_are_as_if_cropped,
    values.nan_in_is_nan_out,
    values.inputs_stay_as_they_are_and_calls_repeat,
    values.strides_do_not_matter,
    values.float32_agrees_with_float64,
    values.half_precision_is_accumulated_in_float32,
    values.torchs_name_means_torchs_result,
)

#: What torch refuses on CUDA in deterministic mode, of what a loss might use (from its documentation's list).
REFUSED = frozenset(
    ("nll_loss2d_forward", "_ctc_loss_backward", "histc", "kthvalue", "median", "nanmedian", "put", "put_")
)
REFUSED_OF_FLOATS = frozenset({"cumsum", "bincount"})


@contextmanager
def as_on_an_accelerator() -> Generator[None]:
    """CPU tensors take an accelerator's paths: no value is read, no work is cut to fit in cache."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(_device, "by_cache", no))
        for name, module in list(sys.modules.items()):
            if name.startswith("lossary.") and "values_visible" in vars(module):  # hasattr would import
                stack.enter_context(mock.patch.object(module, "values_visible", no))
        yield


def no(*_: object) -> bool:
    """A plain function: making a Mock takes a millisecond, and there are twenty places."""
    return False


@law()
def an_accelerator_finds_what_a_cpu_does(subject: Subject) -> None:
    for call in (subject.draw(), *subject.edges()):
        wanted = subject.grads(call)
        with as_on_an_accelerator():
            found = subject.grads(call)
        assert_same(found, wanted, 1e-9)


@law(once=True)
def holds_on_an_accelerator(subject: Subject) -> None:
    with as_on_an_accelerator():
        for check in EVERYWHERE:
            if LAWS[check.__name__].concerns(subject):
                check(subject)


@law(once=True)
def repeats_itself_where_determinism_is_asked_for(subject: Subject) -> None:
    """Bit by bit, and without operators that torch refuses in that mode."""
    call = subject.draw(0, torch.float32)
    torch.use_deterministic_algorithms(True)
    try:
        for where in (nullcontext, as_on_an_accelerator):
            with where():
                first, second = subject.grads(call), subject.grads(call)
            assert all(map(torch.equal, (first[0], *first[1]), (second[0], *second[1])))
        emptied = Call(
            tuple(t.detach().to("meta") for t in call.args),
            {n: v.detach().to("meta") if isinstance(v, torch.Tensor) else v for n, v in call.kwargs.items()},
        )
        with Operators() as seen:
            subject.grads(emptied)
    finally:
        torch.use_deterministic_algorithms(False)
    refused = {name for name, floating in seen.names if name in REFUSED or (floating and name in REFUSED_OF_FLOATS)}
    assert not refused, f"torch refuses {refused} on an accelerator in deterministic mode"


class Operators(DispatchMode):
    """Notes the operators that run within, and whether they return floating-point numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[tuple[str, bool]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.__name__.partition(".")[0]
        reduced = not (name.startswith("nll_loss2d_forward") and args[3] == 0)  # without a sum it is deterministic
        if reduced:
            self.names.add((name, isinstance(out, torch.Tensor) and out.is_floating_point()))
        return out


@law(once=True)
def a_scaled_loss_in_float16_has_right_gradients(subject: Subject) -> None:
    """As scaled by a GradScaler: a scale that overflows nothing keeps gradients that float16 would round to 0."""
    call = subject.draw(0, torch.float16)
    _, wanted = subject.grads(doubled(call))
    scale = 2.0 ** (10 - math.ceil(math.log2(max([1e-4, *(g.abs().max().item() for g in wanted if g.numel())]))))
    leaves, run = as_function(subject, call)
    value = run(*leaves)
    scaled = value.float() * scale  # a scaled sum is float32: GradScaler multiplies float16 as it is
    found = torch.autograd.grad(scaled.sum(), leaves, allow_unused=True)
    given = (torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found, strict=True))
    for grad, right in zip(given, wanted, strict=True):
        assert grad.isfinite().all(), grad
        assert_close(grad.double() / scale, right, 4 * torch.finfo(torch.float16).eps)

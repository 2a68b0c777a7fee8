"""Laws about other devices than a CPU in float32: what an accelerator is given, determinism, scaled half precision."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

from contract import laws_gradients, laws_values
from contract.law import LAWS, law
from contract.subject import Subject
from lossary.core import device as _device

#: What must hold whether or not values may be looked at, and operations are large.
EVERYWHERE = (
    laws_gradients.gradient_is_true,
    laws_gradients.gradient_of_the_weighted_mean_is_true,
    laws_gradients.second_gradient_is_true,
    laws_gradients.finite_at_the_edges,
    laws_gradients.float32_holds_at_the_edges,
    laws_gradients.empty_batch_gives_zero,
    laws_gradients.all_masked_gives_zero,
    laws_gradients.backward_scales_and_repeats,
    laws_values.weight_zero_is_item_dropped,
    laws_values.masked_items_may_hold_anything,
    laws_values.nan_in_is_nan_out,
    laws_values.inputs_stay_as_they_are_and_calls_repeat,
    laws_values.strides_do_not_matter,
    laws_values.float32_agrees_with_float64,
    laws_values.half_precision_is_accumulated_in_float32,
    laws_values.torchs_name_means_torchs_result,
)


@contextmanager
def as_on_an_accelerator() -> Iterator[None]:
    """CPU tensors go the ways of an accelerator: no value is looked at, no work is cut to what stays in cache."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(_device, "by_cache", return_value=False))
        for name, module in list(sys.modules.items()):
            if name.startswith("lossary.") and hasattr(module, "values_visible"):
                stack.enter_context(mock.patch.object(module, "values_visible", return_value=False))
        yield


@law(once=True)
def holds_on_an_accelerator(subject: Subject) -> None:
    with as_on_an_accelerator():
        for check in EVERYWHERE:
            if LAWS[check.__name__].concerns(subject):
                check(subject)

"""What a broken law is to a user of the loss: wrong, wrong at extremes, another convention, or not supported.

A convention is no mistake: a mean over something else, a constant against division by 0, an annealed weight.
"""

from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal["wrong", "extreme", "convention", "unsupported"]
KINDS: Mapping[Kind, str] = {
    "wrong": "Wrong value, gradient or NaN on a valid batch",
    "extreme": "Wrong at extremes or in half precision",
    "convention": "Another convention",
    "unsupported": "Not supported",
}
#: Batches that come up: two that are equal, one class alone, one item.
ORDINARY = frozenset(
    {"", "one item", "undecided", "zeros", "both the same", "all the same", "all right", "axes", "opposite ones"}
    | {"nothing there", "all there", "black", "white", "silence"}
)
#: What the laws find in half precision is told apart from float32.
_EXTREME = frozenset(
    {"half_precision_is_near_float64", "many_pixels_hold_in_half_precision", "confident_mistakes_teach"}
    | {"nan_in_is_nan_out"}  # no valid batch has one; that it does not show is a trap all the same
)
_UNSUPPORTED = frozenset(
    {
        "float64_stays_float64",
        "constants_follow_the_input",
        "the_module_survives_a_pickle",
        "strides_do_not_matter",
        "compiles_without_a_break",
        "fake_tensors_give_shape_and_dtype",
        "func_grad_is_right_or_refuses",
        "vmap_is_right_or_refuses",
        "works_without_gradients",
        "backward_scales_and_repeats",  # a gradient of its own making that changes what it keeps: once it is right
        "second_gradient_is_true",
    }
)
_CONVENTION = frozenset(
    {
        "inputs_stay_as_they_are_and_calls_repeat",
        "a_batch_twice_is_its_mean_or_twice_its_sum",
        "sum_is_the_sum_of_the_items",
        "frozen_inputs_change_nothing",
    }
)


def kind(law: str, told: Mapping[str, Any]) -> Kind:
    """Of a broken law, by what broke it.

    >>> [kind("finite_at_placed_batches", {"batch": batch}) for batch in ("both the same", "sure")]
    ['wrong', 'extreme']
    """
    if law in _EXTREME:
        return "extreme"
    if law in _UNSUPPORTED:
        return "unsupported"
    if law in _CONVENTION:
        return "convention"
    if law in ("finite_at_placed_batches", "float32_is_near_float64"):
        return "wrong" if told.get("batch", "") in ORDINARY else "extreme"
    return "wrong"

"""Which laws apply to anyone's loss, what a broken one means, and how to mend it."""

import re
from typing import Literal, NamedTuple

#: broken: wrong for whoever uses it. note: a convention, a limit, or something that its author may have meant.
Level = Literal["broken", "note"]


class Meaning(NamedTuple):
    """A law in words."""

    title: str
    means: str
    mend: str
    level: Level = "broken"


_NO_ANSWER = "not implemented"

MEANINGS: dict[str, Meaning] = {
    "value_is_the_formula": Meaning(
        "value and gradient match the formula to 50 digits",
        "The code computes something other than the formula.",
        "Compare the terms on this batch, one after another.",
    ),
    "finite_at_placed_batches": Meaning(
        "loss and gradient are finite at extremes and ties",
        "One such batch makes every weight of the network NaN, or stops it learning.",
        "Work in log space (logsigmoid, log_softmax, logsumexp); add a constant under a root and to a divisor, or "
        "mask the argument with torch.where before the root, logarithm or division.",
    ),
    "confident_mistakes_teach": Meaning(
        "a confident mistake has a gradient",
        "A constant in the logarithm, or a clamp, bounds the loss: what the network gets most wrong teaches nothing.",
        "Replace log(p + eps) with log_softmax or logsigmoid of the scores, which are finite without it.",
    ),
    "float32_is_near_float64": Meaning(
        "float32 agrees with float64",
        "Digits cancel or numbers overflow on the way: in float32, where people train, it is a different loss.",
        "Work in log space, subtract the largest score before exp, and take differences before squares.",
    ),
    "half_precision_is_near_float64": Meaning(
        "half precision agrees with float64, up to rounding",
        "Under mixed precision it is a different loss, or none.",
        "Compute in float32 inside: call input.float() if the input is half precision.",
    ),
    "many_pixels_hold_in_half_precision": Meaning(
        "sums over many pixels hold in half precision",
        "A sum beyond 65504 is infinite in float16: an image of 256 x 256 is enough.",
        "Sum in float32: x.float().sum(), or sum(dtype=torch.float32).",
    ),
    "inputs_are_not_written": Meaning(
        "its inputs are not changed in place",
        "Whatever reads the tensor afterwards (a metric, a second loss, backward) sees changed values.",
        "Replace x -= y with x = x - y, and x[mask] = v with torch.where; never write to .data.",
    ),
    "ignored_labels_count_for_nothing": Meaning(
        "ignored labels do not count, not even in the divisor",
        "The more labels are ignored, the smaller the loss and its gradient.",
        "Divide by the number of labels that are not ignored, at least 1.",
    ),
    "labels_beyond_the_classes_are_refused": Meaning(
        "an invalid label is not read as another class",
        "A wrong label, or -100 for padding, silently teaches some other class.",
        "Refuse labels outside [0, C), or leave out those equal to an ignore_index.",
    ),
    "a_batch_twice_is_its_mean_or_twice_its_sum": Meaning(
        "repeating the batch keeps the mean or doubles the sum",
        "The divisor is not the number of items, so the loss depends on the batch size in an unusual way.",
        "Divide by the number of items summed.",
    ),
    "ranks_average_to_the_whole": Meaning(
        "two half batches on two ranks average to the whole batch",
        "Under DistributedDataParallel it is a different loss than on one device: pairs across ranks are missing, or "
        "ratios are averaged. This is common for losses of pairs or regions, and worth knowing.",
        "Gather the embeddings, or the sums in a ratio, before computing the loss.",
        "note",
    ),
    "constants_follow_the_input": Meaning(
        "constants are on the input's device",
        "It fails on a GPU.",
        "Make tensors with x.new_tensor(...), x.new_zeros(...) or torch.arange(..., device=x.device), or a buffer.",
    ),
    "the_module_survives_a_pickle": Meaning(
        "a Module can be pickled", "It cannot be saved whole or sent to a worker.", "Replace a lambda with a method."
    ),
    "float64_stays_float64": Meaning(
        "the loss keeps its input's dtype and digits",
        "A constant or a cast has a fixed dtype: float64 loses digits, and no gradient check can pass.",
        "Make constants with dtype=x.dtype; upcast only half precision.",
    ),
    "gradient_is_true": Meaning(
        "the gradient is the gradient of the value",
        "Training minimises something other than the value shown: a factor is detached, a value rounded, or a "
        "custom backward is wrong.",
        "Remove detach(), .data, .item() and torch.no_grad() on the way, unless they are intended.",
    ),
    "gradient_of_every_item_is_true": Meaning(
        "each item's gradient is the gradient of its value",
        "As above, per item.",
        "Look at what reduction='none' does differently.",
    ),
    "second_gradient_is_true": Meaning(
        "second derivatives are right",
        "Gradient penalties and second-order optimisers get wrong numbers.",
        "Write backward in differentiable operations.",
    ),
    "second_gradient_is_finite_at_the_edges": Meaning(
        "second derivatives are finite at extremes and ties",
        "A gradient penalty is NaN on such a batch.",
        "As for the gradient: mask before the root, logarithm or division.",
        "note",
    ),
    "finite_at_every_scale": Meaning(
        "inputs anywhere in float32's range work",
        "Tiny or huge inputs overflow or underflow on the way, although the loss itself is an ordinary number.",
        "Scale by the largest entry before summing squares.",
        "note",
    ),
    "empty_batch_gives_zero": Meaning(
        "an empty batch has loss 0",
        "Like torch's own mean of nothing, it is NaN, or it fails: guard it if a batch may be empty.",
        "Divide by max(count, 1), or return input.sum() * 0.",
        "note",
    ),
    "all_masked_gives_zero": Meaning(
        "a fully masked batch has loss 0",
        "One batch of padding makes every weight NaN.",
        "Divide by mask.sum().clamp(min=1).",
    ),
    "all_weights_zero_gives_zero": Meaning(
        "a batch of weight 0 has loss 0", "0 / 0 is NaN.", "Guard the divisor.", "note"
    ),
    "frozen_inputs_change_nothing": Meaning(
        "freezing one input leaves the other gradients unchanged",
        "Training only one of two networks gives a different gradient.",
        "Do not branch on requires_grad.",
    ),
    "works_without_gradients": Meaning(
        "the value is the same without gradients",
        "Validation shows a different loss from training.",
        "Do not branch on requires_grad or torch.is_grad_enabled().",
    ),
    "backward_scales_and_repeats": Meaning(
        "scaling the loss scales its gradient",
        "Accumulated or scaled gradients are wrong.",
        "Multiply by grad_output in a custom backward, and never write to a saved tensor.",
    ),
    "sum_is_the_sum_of_the_items": Meaning(
        "reduction='sum' is the sum of reduction='none'",
        "The reductions do not belong to the same loss.",
        "Reduce at the end.",
    ),
    "mean_is_the_mean_of_the_items": Meaning(
        "reduction='mean' is the mean of reduction='none'",
        "The divisor is another count (of positives, of active triplets): a convention that others may not expect.",
        "Divide by the number of items, or document the divisor.",
        "note",
    ),
    "weights_weigh_items": Meaning(
        "sample_weight weights items, and the mean divides by its sum",
        "Weighted batches have a different scale from plain ones; some losses intend this.",
        "Divide by sample_weight.sum().",
        "note",
    ),
    "weight_zero_is_item_dropped": Meaning(
        "an item of weight 0 is ignored", "It still counts.", "Divide by the sum of weights.", "note"
    ),
    "items_of_weight_zero_may_hold_anything": Meaning(
        "an item of weight 0 may hold NaN", "0 times NaN is NaN.", "Use torch.where before the loss.", "note"
    ),
    "mask_false_is_item_dropped": Meaning(
        "a masked item is ignored",
        "Padding changes the loss: it counts in the divisor, or in other items' pairs.",
        "Divide by mask.sum(), and leave masked items out of every pair.",
    ),
    "masked_items_may_hold_anything": Meaning(
        "a masked item may hold NaN",
        "A multiplicative mask lets NaN through: 0 times NaN is NaN, in the gradient too.",
        "Use torch.where(mask, x, 0) before the loss, not loss * mask after it.",
    ),
    "nan_in_is_nan_out": Meaning(
        "a NaN in the predictions reaches the loss",
        "A broken network looks trained.",
        "Do not compare or clamp NaN away; nan_to_num hides it.",
    ),
    "batches_split": Meaning(
        "an item's loss does not depend on its batch",
        "Here it does: right for mining and pooling, wrong anywhere else.",
        "Compute statistics over an item's own numbers.",
        "note",
    ),
    "order_of_items_does_not_matter": Meaning(
        "the order of the items does not matter",
        "A shuffled batch has a different loss.",
        "Form pairs by label, not by position.",
    ),
    "inputs_stay_as_they_are_and_calls_repeat": Meaning(
        "the same call gives the same loss",
        "It remembers earlier calls, or draws random numbers.",
        "Keep no state between calls, or accept a generator.",
    ),
    "strides_do_not_matter": Meaning(
        "transposed and channels-last inputs work",
        "It fails or reads the wrong numbers when a network returns a permuted tensor.",
        "Use reshape or flatten instead of view.",
    ),
    "compiles_without_a_break": Meaning(
        "torch.compile gives the same loss, in one graph",
        "A branch on values or a call outside torch breaks the graph: slower, but not wrong.",
        "Replace .item() and Python branches with torch.where.",
    ),
    "func_grad_is_right_or_refuses": Meaning(
        "torch.func.grad is right", "It is not.", "Do not write in place or branch on requires_grad."
    ),
    "vmap_is_right_or_refuses": Meaning(
        "torch.vmap is right, or refuses",
        "It gives a wrong result.",
        "Do not branch on values; count dimensions from the end.",
    ),
    "fake_tensors_give_shape_and_dtype": Meaning(
        "tensors without values give shape and dtype",
        "Its dtype or shape depends on values.",
        "Do not branch on values.",
    ),
    "autocast_keeps_the_loss_exact": Meaning(
        "autocast keeps the loss exact",
        "Autocast rounds a matrix product inside the loss to bfloat16.",
        "Compute it in float32 under torch.autocast(device_type, enabled=False).",
        "note",
    ),
}

#: A transform that refuses is not at fault.
TRANSFORMS = frozenset(
    {
        "compiles_without_a_break",
        "func_grad_is_right_or_refuses",
        "vmap_is_right_or_refuses",
        "fake_tensors_give_shape_and_dtype",
    }
)
#: No batch shows these.
OF_NO_BATCH = frozenset({"empty_batch_gives_zero", "the_module_survives_a_pickle"})
#: Checked in float64, so they say nothing about a loss that leaves it.
IN_FLOAT64 = frozenset(
    {
        "gradient_is_true",
        "gradient_of_every_item_is_true",
        "second_gradient_is_true",
        "finite_at_every_scale",
        "value_is_the_formula",
        "sum_is_the_sum_of_the_items",
        "mean_is_the_mean_of_the_items",
        "order_of_items_does_not_matter",
        "mask_false_is_item_dropped",
        "strides_do_not_matter",
        "batches_split",
        "frozen_inputs_change_nothing",
        "backward_scales_and_repeats",
        "works_without_gradients",
        "func_grad_is_right_or_refuses",
        "a_batch_twice_is_its_mean_or_twice_its_sum",
        "ranks_average_to_the_whole",
        "ignored_labels_count_for_nothing",
        "fake_tensors_give_shape_and_dtype",
        "vmap_is_right_or_refuses",
    }
)

#: A law that says nothing new once another is broken.
ENTAILED = {
    "finite_at_every_scale": "finite_at_placed_batches",
    "second_gradient_is_finite_at_the_edges": "finite_at_placed_batches",
    "sum_is_the_sum_of_the_items": "finite_at_placed_batches",
    "gradient_of_every_item_is_true": "gradient_is_true",
    "second_gradient_is_true": "gradient_is_true",
    "half_precision_is_near_float64": "float32_is_near_float64",
    "inputs_stay_as_they_are_and_calls_repeat": "inputs_are_not_written",
    "mean_is_the_mean_of_the_items": "a_batch_twice_is_its_mean_or_twice_its_sum",
    "ranks_average_to_the_whole": "a_batch_twice_is_its_mean_or_twice_its_sum",
    # A loss that remembers its calls is copied afresh for each, which no transform follows.
    **dict.fromkeys(TRANSFORMS, "inputs_stay_as_they_are_and_calls_repeat"),
}


_OF_FLOAT32 = 1e-6
#: What torch says if a constant, or a cast, has a different precision from the input.
_TWO_DTYPES = r"(dtype|scalar type).*(double|float64)"


def level(name: str, error: Exception) -> Level | None:
    """How bad it is; None if torch itself does not support the call."""
    text = str(error)
    if name != "float64_stays_float64" and type(error) is RuntimeError and re.search(_TWO_DTYPES, text, re.I):
        return None  # it fails in float64 whatever the batch: reported once
    apart = re.search(r"relative difference: ([\d.e+-]+)", text, re.I)
    if name in TRANSFORMS | {"backward_scales_and_repeats"} and apart and float(apart[1]) < _OF_FLOAT32:
        return None  # it is only rounded to float32 on the way
    if re.search(r"not implemented for|not implemented\b|not supported", text) and not isinstance(
        error, AssertionError
    ):
        return None
    if name == "nan_in_is_nan_out" and "NaN in argument" not in text:
        return None  # refused, which is as good, by any error, even an assertion
    if "does not require grad" in text and not isinstance(error, AssertionError):
        return "note"
    if name in TRANSFORMS and not isinstance(error, AssertionError):
        return "note"
    if name == "half_precision_is_near_float64" and not re.search(r"\b(inf|nan)\b", text):
        return "note"
    return MEANINGS[name].level

"""Which laws anyone's loss is asked, what it means where one is broken, and how that is mended."""

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
        "value and gradient are the formula's, in 50 digits",
        "It computes something else than what is written.",
        "Compare the terms on this batch, one after another.",
    ),
    "finite_at_placed_batches": Meaning(
        "loss and gradient are finite at extremes and ties",
        "One such batch makes every weight of the network NaN, or stops its learning.",
        "Work in log space (logsigmoid, log_softmax, logsumexp); put a constant below a root and beside a divisor, or "
        "mask the argument with torch.where before the root, logarithm or division.",
    ),
    "float32_is_near_float64": Meaning(
        "float32 gives what float64 gives",
        "Digits cancel or numbers overflow on the way: in float32, in which people train, it is another loss.",
        "Work in log space, subtract the largest score before exp, and take differences before squares.",
    ),
    "half_precision_is_near_float64": Meaning(
        "half precision gives what float64 gives, rounded",
        "Under mixed precision it is another loss, or none.",
        "Compute in float32 inside: input.float() where the input is half precision.",
    ),
    "many_pixels_hold_in_half_precision": Meaning(
        "sums over many pixels hold in half precision",
        "A sum beyond 65504 is infinite in float16: an image of 256 x 256 is enough.",
        "Sum in float32: x.float().sum(), or sum(dtype=torch.float32).",
    ),
    "inputs_are_not_written": Meaning(
        "its inputs are not changed in place",
        "Whatever reads the tensor afterwards (a metric, a second loss, backward) reads something else.",
        "Replace x -= y by x = x - y, and x[mask] = v by torch.where; never write to .data.",
    ),
    "ignored_labels_count_for_nothing": Meaning(
        "ignored labels count for nothing, in the divisor too",
        "The more is ignored, the smaller the loss and its gradient.",
        "Divide by the number of labels that are not ignored, at least 1.",
    ),
    "labels_beyond_the_classes_are_refused": Meaning(
        "a label that is no class is not read as another class",
        "A wrong label, or -100 for padding, silently teaches some other class.",
        "Refuse labels outside [0, C), or leave out those that equal an ignore_index.",
    ),
    "a_batch_twice_is_its_mean_or_twice_its_sum": Meaning(
        "the same batch twice over has the same mean or twice the sum",
        "The divisor is not the number of items: the loss depends on the batch size in a way of its own.",
        "Divide by the number of items that are summed.",
    ),
    "ranks_average_to_the_whole": Meaning(
        "halves on two ranks average to the whole batch",
        "Under DistributedDataParallel it is another loss than on one device: pairs across ranks are missing, or "
        "ratios are averaged. For a loss of pairs or regions that is usual, and worth knowing.",
        "Gather the embeddings, or the sums that a ratio is made of, before the loss is taken.",
        "note",
    ),
    "constants_follow_the_input": Meaning(
        "constants are on the input's device",
        "It fails on a GPU.",
        "Make tensors by x.new_tensor(...), x.new_zeros(...), torch.arange(..., device=x.device), or register_buffer.",
    ),
    "the_module_survives_a_pickle": Meaning(
        "a Module can be pickled", "It cannot be saved whole, nor sent to a worker.", "Replace a lambda by a method."
    ),
    "float64_stays_float64": Meaning(
        "the loss has its input's dtype and digits",
        "A constant or a cast of one fixed dtype: float64 loses its digits, and no gradient check can pass.",
        "Make constants by dtype=x.dtype; widen half precision alone.",
    ),
    "gradient_is_true": Meaning(
        "the gradient is the value's own",
        "What is minimised is not what is shown: a factor is detached, a value rounded, or a backward pass is wrong.",
        "Take away detach(), .data, .item() and torch.no_grad() on the way, unless you mean them.",
    ),
    "gradient_of_every_item_is_true": Meaning(
        "every item's gradient is its value's own",
        "As above, item by item.",
        "Look at what reduction='none' does otherwise.",
    ),
    "second_gradient_is_true": Meaning(
        "the gradient's gradient is true",
        "Gradient penalties and second-order optimisers get something wrong.",
        "Make backward of operations that have a derivative.",
    ),
    "second_gradient_is_finite_at_the_edges": Meaning(
        "the gradient's gradient is finite at extremes and ties",
        "A gradient penalty is NaN on such a batch.",
        "As for the gradient: mask before the root, logarithm or division.",
        "note",
    ),
    "finite_at_every_scale": Meaning(
        "numbers anywhere in float32's range are fine",
        "Tiny or huge inputs overflow or vanish on the way, though the loss is an ordinary number.",
        "Scale by the largest entry before squares are summed.",
        "note",
    ),
    "empty_batch_gives_zero": Meaning(
        "an empty batch has loss 0",
        "torch's own mean of nothing is NaN, and this one is, or fails, too: guard it where a batch may be empty.",
        "Divide by max(count, 1), or return input.sum() * 0.",
        "note",
    ),
    "all_masked_gives_zero": Meaning(
        "a batch that is masked whole has loss 0",
        "One batch of padding makes every weight NaN.",
        "Divide by mask.sum().clamp(min=1).",
    ),
    "all_weights_zero_gives_zero": Meaning(
        "a batch of weight 0 has loss 0", "0 / 0 is NaN.", "Guard the divisor.", "note"
    ),
    "frozen_inputs_change_nothing": Meaning(
        "an input that is frozen changes no other's gradient",
        "Who trains one of two networks gets another gradient.",
        "Do not ask requires_grad on the way.",
    ),
    "works_without_gradients": Meaning(
        "the value is the same without gradients",
        "Validation shows another loss than training.",
        "Do not ask requires_grad or torch.is_grad_enabled() on the way.",
    ),
    "backward_scales_and_repeats": Meaning(
        "a multiple of the loss has a multiple of its gradient",
        "Accumulated or scaled gradients are wrong.",
        "Multiply by grad_output in a custom backward, and write into no saved tensor.",
    ),
    "sum_is_the_sum_of_the_items": Meaning(
        "reduction='sum' is the sum of reduction='none'", "The reductions are not of one loss.", "Reduce at the end."
    ),
    "mean_is_the_mean_of_the_items": Meaning(
        "reduction='mean' is the mean of reduction='none'",
        "The divisor is another count (of positives, of active triplets): a convention that others may not expect.",
        "Divide by the number of items, or say by what.",
        "note",
    ),
    "weights_weigh_items": Meaning(
        "sample_weight weighs, and the mean divides by its sum",
        "Weighted batches have another scale than plain ones; some losses mean that.",
        "Divide by sample_weight.sum().",
        "note",
    ),
    "weight_zero_is_item_dropped": Meaning(
        "an item of weight 0 is as if it were not there", "It still counts.", "Divide by the sum of weights.", "note"
    ),
    "items_of_weight_zero_may_hold_anything": Meaning(
        "an item of weight 0 may hold NaN", "0 times NaN is NaN.", "Use torch.where before the loss.", "note"
    ),
    "mask_false_is_item_dropped": Meaning(
        "a masked item is as if it were not there",
        "Padding changes the loss: it counts in the divisor, or among the others' pairs.",
        "Divide by mask.sum(), and leave masked items out of every pair.",
    ),
    "masked_items_may_hold_anything": Meaning(
        "a masked item may hold NaN",
        "A mask that multiplies lets NaN through: 0 times NaN is NaN, in the gradient too.",
        "Use torch.where(mask, x, 0) before the loss, not loss * mask after it.",
    ),
    "nan_in_is_nan_out": Meaning(
        "a NaN among the predictions shows",
        "A broken network looks trained.",
        "Do not compare or clamp NaN away; nan_to_num hides it.",
    ),
    "batches_split": Meaning(
        "an item's loss does not depend on its batch",
        "It does here: right for mining and pooling, wrong anywhere else.",
        "Take statistics over an item's own numbers.",
        "note",
    ),
    "order_of_items_does_not_matter": Meaning(
        "the order of the items does not matter",
        "A shuffled batch has another loss.",
        "Take pairs by labels, not by places.",
    ),
    "inputs_stay_as_they_are_and_calls_repeat": Meaning(
        "the same call gives the same loss",
        "It remembers its calls, or draws at random.",
        "Keep no state between calls, or take a generator.",
    ),
    "strides_do_not_matter": Meaning(
        "transposed and channels-last inputs are fine",
        "It fails or reads the wrong numbers where a network gives a permuted tensor.",
        "Use reshape or flatten for view.",
    ),
    "compiles_without_a_break": Meaning(
        "torch.compile gives the same loss, in one graph",
        "A branch on values or a call out of torch breaks the graph: slower, not wrong.",
        "Replace .item() and Python branches by torch.where.",
    ),
    "func_grad_is_right_or_refuses": Meaning(
        "torch.func.grad is right", "It is not.", "Write nothing in place; ask no requires_grad."
    ),
    "vmap_is_right_or_refuses": Meaning(
        "torch.vmap is right, or refuses",
        "It gives something else.",
        "Branch on no values; name dimensions from the end.",
    ),
    "fake_tensors_give_shape_and_dtype": Meaning(
        "tensors without values give shape and dtype", "Its dtype or shape depends on values.", "Branch on no values."
    ),
    "autocast_keeps_the_loss_exact": Meaning(
        "autocast keeps the loss exact",
        "A matrix product inside is rounded to bfloat16 under autocast.",
        "Compute it under torch.autocast(device_type, enabled=False), in float32.",
        "note",
    ),
}

#: What transforms refuse is no fault.
TRANSFORMS = frozenset(
    {
        "compiles_without_a_break",
        "func_grad_is_right_or_refuses",
        "vmap_is_right_or_refuses",
        "fake_tensors_give_shape_and_dtype",
    }
)
#: What no batch shows.
OF_NO_BATCH = frozenset({"empty_batch_gives_zero", "the_module_survives_a_pickle"})
#: Asked in float64, so that they say nothing of a loss that leaves it.
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

#: What says nothing new where another law is broken.
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
}


def level(name: str, error: Exception) -> Level | None:
    """How bad it is; None where torch itself has no answer."""
    text = str(error)
    if re.search(r"not implemented for|not implemented\b|not supported", text) and not isinstance(
        error, AssertionError
    ):
        return None
    if name == "nan_in_is_nan_out" and "NaN in argument" not in text:
        return None  # refused, which is as good, by whatever error: an assertion too
    if "does not require grad" in text and not isinstance(error, AssertionError):
        return "note"
    if name in TRANSFORMS and not isinstance(error, AssertionError):
        return "note"
    if name == "half_precision_is_near_float64" and not re.search(r"\b(inf|nan)\b", text):
        return "note"
    return MEANINGS[name].level

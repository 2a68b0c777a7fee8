"""The planted faults. The first ones were met in published code or in lecture notes; the others complete the laws."""

import functools
import itertools
import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from lossary.core import reduce as _reduce
from lossary.core.card import Card, Range
from lossary.core.device import has_values
from lossary.losses.identities import angular
from mutants.mutate import Mutant, in_deed, in_text, on_card

Loss = Callable[..., Tensor]

#: Lets the gradient through, but no gradient of the gradient.
CUT = "(lambda y: y.register_hook(lambda g: g.detach()) and y if y.requires_grad else y)(-F.logsigmoid(-x))"


def loses_small_gradients(card: Card) -> Card:
    """As one does that divides a gradient by a large count before it multiplies it by the scale."""

    @functools.wraps(card.fn)
    def fn(x: Tensor, *others: Any, **options: Any) -> Tensor:
        x = x * 1
        if x.requires_grad:
            x.register_hook(lambda grad: grad / 2**28 * 2**28)
        return card.fn(x, *others, **options)

    return replace(card, fn=fn)


@contextmanager
def default_drifts(card: Card) -> Generator[Card]:
    fields = card.module.fields
    before, fields["margin"] = fields["margin"], 0.4
    try:
        yield card
    finally:
        fields["margin"] = before


class HoldsALambda(angular.CosFaceLoss):
    def setup(self) -> None:
        super().setup()
        self.shape = lambda: self.weight.shape


class Undescribed(angular.CosFaceLoss):
    pass


Undescribed.__doc__ = ""


def gradient_too_long(fn: Loss, *args: Any, **kwargs: Any) -> Tensor:
    loss = fn(*args, **kwargs)
    return loss + 0.1 * (loss - loss.detach())


def later_items_count_more(fn: Loss, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return fn(x + torch.linspace(0, 0.1, x.shape[0], dtype=x.dtype)[:, None], *args, **kwargs)


def knows_its_batch(fn: Loss, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return fn(x - x.mean(0, keepdim=True), *args, **kwargs)


def writes_into_its_input(fn: Loss, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    x.detach().sub_(x.detach().amax())
    return fn(x, *args, **kwargs)


def reads_memory_in_order(fn: Loss, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return fn(torch.as_strided(x, x.shape, (x.shape[1], 1)), *args, **kwargs)


def follows_autocast(fn: Loss, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return fn(x.bfloat16().to(x.dtype) if torch.is_autocast_enabled("cpu") else x, *args, **kwargs)


def branches_on_values(fn: Loss, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return fn(x if x.sum() > 0 else x + 0, *args, **kwargs)


def differs_without_values(fn: Loss, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    loss = fn(x, *args, **kwargs)
    return loss if has_values(x) else loss.double()


def reads_past_torch(fn: Loss, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return fn(x, *args, **kwargs) * float(x.detach().numpy()[0, 0])


def differs_under_transforms(fn: Loss, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return fn(x, *args, **kwargs) * (2 if is_functorch_wrapped_tensor(x) else 1)


def needs_gradients(fn: Loss, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return fn(x, *args, **kwargs) * (1 if x.requires_grad and torch.is_grad_enabled() else 2)


class Kept(torch.autograd.Function):
    """Spoils its gradient in place: a second backward gets what the first one left."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.factor = torch.ones_like(x)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad * ctx.factor.mul_(2) / 2


def reuses_buffers(fn: Loss, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return fn(Kept.apply(x), *args, **kwargs)


CALLS = itertools.count(1)


def counts_its_calls(fn: Loss, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return fn(x, *args, **kwargs) * next(CALLS)


def wants_one_precision(fn: Loss, x: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return fn(x, weight.to(x.dtype), *args, **kwargs)


def swallows_keywords(fn: Loss, *args: Any, marginn: float = 0.0, **kwargs: Any) -> Tensor:
    return fn(*args, **kwargs)


def wants_int64(fn: Loss, x: Tensor, weight: Tensor, labels: Tensor, **kwargs: Any) -> Tensor:
    if labels.dtype != torch.int64:
        raise TypeError(f"labels: wanted int64; got {labels.dtype}")
    return fn(x, weight, labels, **kwargs)


def broadcasts(fn: Loss, x: Tensor, weight: Tensor, labels: Tensor, **kwargs: Any) -> Tensor:
    n = x.shape[0]
    if (sample_weight := kwargs.pop("sample_weight", None)) is not None:
        kwargs["sample_weight"] = sample_weight[:1].expand(n)
    return fn(x, weight, labels if len(labels) == n else labels[:1].expand(n), **kwargs)


def halved(fn: Loss, *args: Any, **kwargs: Any) -> Tensor:
    return fn(*args, **kwargs) / 2


def log_cosh_by_softplus(fn: Loss, x: Tensor, y: Tensor, **kwargs: Any) -> Tensor:
    a = (x - y).abs()
    cancelled = a + torch.log1p(torch.exp(-2 * a)) - math.log(2)
    return _reduce.reduce(cancelled, reduction=kwargs.get("reduction", "mean"))


def lacks_a_source(card: Card) -> Card:
    def fn(*args: Any, **kwargs: Any) -> Tensor:
        return card.fn(*args, **kwargs)

    fn.__doc__ = (card.fn.__doc__ or "").split("Source:")[0]
    fn.__name__ = card.name
    return replace(card, fn=fn)


def takes_no_mask(card: Card) -> Card:
    def fn(embeddings: Tensor, weight: Tensor, labels: Tensor, *, sample_weight: Tensor, reduction: str) -> Tensor:
        return card.fn(embeddings, weight, labels, sample_weight=sample_weight, reduction=reduction)

    return replace(card, fn=fn)


MUTANTS = (
    Mutant(
        "the mean divides by the number of items, not by the sum of weights",
        "cosface_loss",
        ("weights_weigh_items", "weight_zero_is_item_dropped"),
        in_text("lossary.core.reduce:reduce", "count(loss, weight, mask)", "loss.numel()"),
    ),
    Mutant(
        "the margin is missing in the denominator",
        "cosface_loss",
        ("golden", "gradient_by_hyperparameters_is_true"),
        in_text(
            "lossary.losses.identities.angular:_cosface.own",
            "rows.target - scale * margin",
            "rows.rest - ((rows.rest - rows.target).exp().log1p() + scale * margin.detach()).expm1().log()",
        ),
    ),
    Mutant(
        "the margin has the wrong sign",
        "cosface_loss",
        ("golden",),
        in_text("lossary.losses.identities.angular:_cosface.own", "- scale * margin", "+ scale * margin"),
    ),
    Mutant(
        "the margin gets no gradient",
        "cosface_loss",
        ("gradient_by_hyperparameters_is_true", "parameters_learn"),
        in_text("lossary.losses.identities.angular:_cosface.own", "scale * margin", "scale * margin.detach()"),
    ),
    Mutant(
        "a scale that learns is held constant with the weights",
        "circle_loss",
        ("gradient_by_hyperparameters_is_true",),
        in_text("lossary.kernels.rows.maps:_held", "weight.detach() * (root / root.detach())", "weight.detach()"),
    ),
    Mutant(
        "the second derivative is silently lost",
        "cosface_loss",
        ("second_gradient_is_true",),
        in_text("lossary.kernels.stable:softplus", "F.softplus(x, threshold=40.0)", CUT),
    ),
    Mutant(
        "a zero vector is divided by its length",
        "info_nce_loss",
        ("finite_at_the_edges", "second_gradient_is_finite_at_the_edges"),
        in_text(
            "lossary.kernels.stable:sphere",
            "in_range(x)",
            "(x, 1 / x.square().sum(1, keepdim=True).sqrt())",
        ),
    ),
    Mutant(
        "a product's gradient is taken in the state that backward finds",
        "info_nce_loss",
        ("backward_follows_forward_into_autocast",),
        in_text("lossary.kernels.products:product", "a @ b.mT if plain_only() else", "a @ b.mT if True else"),
    ),
    Mutant(
        "an item of weight 0 is multiplied by it",
        "mse_loss",
        ("items_of_weight_zero_may_hold_anything",),
        in_text("lossary.core.reduce:_weighed", "if sample_weight is None", "if True"),
    ),
    Mutant(
        "the tiniest vectors and the longest are taken as they are",
        "arcface_loss",
        ("finite_at_every_scale",),
        in_text("lossary.kernels.stable:scales", "largest / largest.clamp(low, 1 / low)", "largest * 0"),
    ),
    Mutant("a default of the Module drifts", "cosface_loss", ("names_and_defaults_agree",), default_drifts),
    Mutant(
        "the fade is a power of 1 - p",
        "sigmoid_focal_loss",
        ("finite_at_the_edges", "second_gradient_is_finite_at_the_edges"),
        in_text(
            "lossary.losses.answers.focal:_with_fade",
            "powerable(wrong, gamma)",
            "wrong",
        ),
    ),
    Mutant(
        "log cosh cancels for small residuals",
        "log_cosh_loss",
        ("float32_holds_at_the_edges",),
        in_deed(log_cosh_by_softplus),
    ),
    Mutant(
        "ArcFace without its far branch",
        "arcface_loss",
        ("golden",),
        in_text("lossary.losses.identities.angular:arcface_target", "cos > end", "cos > -2"),
    ),
    Mutant(
        "ArcFace's gradient goes straight through the angle",
        "arcface_loss",
        ("golden", "gradient_is_true"),
        in_text("lossary.losses.identities.angular:arcface_target", "if straight_through:", "if True:"),
    ),
    Mutant(
        "ArcFace's angle has an infinite slope at cosine 1",
        "arcface_loss",
        ("finite_at_the_edges",),
        in_text(
            "lossary.losses.identities._shared:at_angles_end",
            "cos.abs() >= 1 - 2 * torch.finfo(cos.dtype).eps",
            "cos.abs() >= 2",
        ),
    ),
    Mutant(
        "Dice counts ignored positions",
        "dice_loss",
        ("golden",),
        in_text(
            "lossary.losses.masks._shared:_kept_labels", "target != ignore_index", "target != ignore_index + 1_000_000"
        ),
    ),
    Mutant(
        "the hardest positive is the nearest",
        "triplet_loss",
        ("golden",),
        in_text(
            "lossary.kernels.tuples:hard",
            "first_largest(farthest)",
            "first_smallest(farthest.masked_fill(~exists, torch.inf))",
        ),
    ),
    Mutant(
        "tied distances share the gradient",
        "triplet_loss",
        ("golden",),
        in_text(
            "lossary.kernels.tuples:hard",
            "distances.gather(1, farthest) - distances.gather(1, first_smallest(nearest))",
            "distances.gather(1, columns).masked_fill(~exists, -1e9).amax(1, keepdim=True)"
            " - distances.masked_fill(~negative, 1e9).amin(1, keepdim=True)",
        ),
    ),
    Mutant("the squared error is halved", "mse_loss", ("golden", "torchs_name_means_torchs_result"), in_deed(halved)),
    # ------------------------------------------------------------ masks
    Mutant(
        "a mask multiplies",
        "mse_loss",
        ("masked_items_may_hold_anything",),
        in_text(
            "lossary.losses._pointwise:hide",
            "torch.where(mask, x, torch.zeros((), dtype=x.dtype, device=x.device))",
            "x * mask",
        ),
    ),
    Mutant(
        "masked items count in the divisor",
        "mse_loss",
        ("mask_false_is_item_dropped",),
        in_text("lossary.core.reduce:count", "mask.expand(loss.shape)", "torch.ones_like(loss)"),
    ),
    Mutant(
        "everything masked is divided by 0",
        "mse_loss",
        ("all_masked_gives_zero",),
        in_text("lossary.core.reduce:divide", "divisor.clamp_min(1)", "divisor"),
    ),
    Mutant(
        "one weight a row becomes one a column",
        "mse_loss",
        ("one_number_a_row_counts_for_all_its_elements",),
        in_text(
            "lossary.core.reduce:_lead", "tensor.reshape(tensor.shape + (1,) * (len(shape) - tensor.dim()))", "tensor"
        ),
    ),
    Mutant(
        "a mask may be a number",
        "mse_loss",
        ("masks_of_wrong_shape_or_type_are_refused",),
        in_text("lossary.core.reduce:align", "mask.dtype != torch.bool", "False"),
    ),
    Mutant(
        "a masked pair's answer is still a candidate",
        "info_nce_loss",
        ("mask_false_is_item_dropped",),
        in_text("lossary.losses._batch:absence", ".masked_fill(~counted, ABSENT)", ""),
    ),
    Mutant(
        "a masked item is still a negative",
        "triplet_loss",
        ("mask_false_is_item_dropped",),
        in_text("lossary.kernels.tuples:mined", "negative & counted", "negative"),
    ),
    Mutant(
        "a masked item is still a positive",
        "supcon_loss",
        ("mask_false_is_item_dropped",),
        in_text("lossary.kernels.tuples:apart", "torch.where(mask, first_of_class(labels), alone)", "labels"),
    ),
    Mutant(
        "a masked utterance counts for its centroid",
        "ge2e_loss",
        ("mask_false_is_item_dropped",),
        in_text(
            "lossary.losses.identities.prototypes:ge2e_loss",
            "u.counted.to(x.dtype)",
            "torch.ones_like(u.counted).to(x.dtype)",
        ),
    ),
    Mutant(
        "a head takes no mask",
        "cosface_loss",
        ("weights_masks_and_reductions_are_taken",),
        on_card(takes_no_mask),
    ),
    Mutant(
        "a masked pixel is in the region",
        "jaccard_loss",
        ("masked_positions_are_as_if_cropped", "mask_false_is_item_dropped"),
        in_text("lossary.losses.masks._shared:class_scores", ", ignore_index), mask)", ", ignore_index), None)"),
    ),
    Mutant(
        "an image without a pixel has a perfect score",
        "sigmoid_dice_loss",
        ("mask_false_is_item_dropped",),
        in_text("lossary.losses.masks._shared:reduce_scores", "both(exists, present)", "present"),
    ),
    Mutant(
        "pooled regions do not know the images' weights",
        "tversky_loss",
        ("a_whole_weight_is_so_many_copies", "weight_zero_is_item_dropped"),
        in_text(
            "lossary.losses.masks._shared:_aggregated", "if weight is None else (s * weight.to(s.dtype)).sum(0)", ""
        ),
    ),
    Mutant(
        "a sorted position counts once whatever it weighs",
        "lovasz_hinge_loss",
        ("a_whole_weight_is_so_many_copies",),
        in_text("lossary.kernels.order:_weighted_growth", "widened(weight)", "widened(weight).clamp_max(1)"),
    ),
    # ------------------------------------------------------------ values
    Mutant(
        "the sum is a mean",
        "cosface_loss",
        ("sum_is_the_sum_of_the_items", "batches_split"),
        in_text(
            "lossary.core.reduce:reduce", '"sum":\n        return loss.sum()', '"sum":\n        return loss.mean()'
        ),
    ),
    Mutant(
        "the mean divides by the batch and one",
        "log_cosh_loss",
        ("mean_is_the_mean_of_the_items", "golden"),
        in_text("lossary.core.reduce:reduce", "return loss.mean()", "return loss.sum() / (loss.numel() + 1)"),
    ),
    Mutant(
        "everything is float32",
        "cosface_loss",
        ("float64_stays_float64",),
        in_text("lossary.kernels.stable:accumulate", "x.float() if x.dtype in HALF else x", "x.float()"),
    ),
    Mutant(
        "half precision is summed in half precision",
        "cosface_loss",
        ("half_precision_is_accumulated_in_float32",),
        in_text("lossary.kernels.stable:accumulate", "x.float() if x.dtype in HALF else x", "x"),
    ),
    Mutant(
        "float32 is rounded on the way",
        "cosface_loss",
        ("float32_agrees_with_float64",),
        in_text(
            "lossary.kernels.stable:accumulate",
            "x.float() if x.dtype in HALF else x",
            "x.bfloat16().float() if x.dtype == torch.float32 else x",
        ),
    ),
    Mutant("items know each other", "cosface_loss", ("batches_split",), in_deed(knows_its_batch)),
    Mutant("order counts", "cosface_loss", ("order_of_items_does_not_matter",), in_deed(later_items_count_more)),
    Mutant(
        "the input is shifted in place",
        "cosface_loss",
        ("inputs_stay_as_they_are_and_calls_repeat",),
        in_deed(writes_into_its_input),
    ),
    Mutant("strides are ignored", "cosface_loss", ("strides_do_not_matter",), in_deed(reads_memory_in_order)),
    Mutant(
        "a score is rounded to half precision",
        "cosface_loss",
        ("units_for_half_precision_round_no_score",),
        in_text(
            "lossary.kernels.products:multiply_",
            "torch.mm(a, b, out=out) if alpha == 1",
            "torch.mm(a, b, out=out).copy_(out.bfloat16()) if alpha == 1",
        ),
    ),
    Mutant("autocast rounds", "cosface_loss", ("autocast_keeps_the_loss_exact",), in_deed(follows_autocast)),
    Mutant("weights are rounded too", "cosface_loss", ("precisions_mix",), in_deed(wants_one_precision)),
    # ------------------------------------------------------------ gradients
    Mutant(
        "the gradient is a tenth too long",
        "cosface_loss",
        ("gradient_is_true", "gradient_of_every_item_is_true", "gradient_of_the_weighted_mean_is_true"),
        in_deed(gradient_too_long),
    ),
    Mutant(
        "an empty batch is divided by 0",
        "cosface_loss",
        ("empty_batch_gives_zero",),
        in_text("lossary.core.reduce:divide", "total / max(divisor, 1)", "total / divisor"),
    ),
    Mutant(
        "no weight at all is divided by 0",
        "cosface_loss",
        ("all_weights_zero_gives_zero",),
        in_text("lossary.core.reduce:divide", "(divisor + (divisor == 0))", "divisor"),
    ),
    Mutant(
        "a branch depends on values",
        "cosface_loss",
        ("compiles_without_a_break", "fake_tensors_give_shape_and_dtype", "meta_tensors_give_shape_and_dtype"),
        in_deed(branches_on_values),
    ),
    Mutant(
        "the dtype is another one without values",
        "cosface_loss",
        ("fake_tensors_give_shape_and_dtype", "meta_tensors_give_shape_and_dtype"),
        in_deed(differs_without_values),
    ),
    Mutant(
        "a value is read past torch",
        "cosface_loss",
        ("a_recorded_graph_is_the_loss",),
        in_deed(reads_past_torch),
    ),
    Mutant(
        "transforms see another loss",
        "cosface_loss",
        ("func_grad_is_right_or_refuses", "vmap_is_right_or_refuses"),
        in_deed(differs_under_transforms),
    ),
    Mutant(
        "the loss is another one without a gradient",
        "cosface_loss",
        ("works_without_gradients", "frozen_inputs_change_nothing"),
        in_deed(needs_gradients),
    ),
    Mutant(
        "the loss remembers its calls",
        "cosface_loss",
        ("checkpointing_changes_nothing", "inputs_stay_as_they_are_and_calls_repeat"),
        in_deed(counts_its_calls),
    ),
    Mutant(
        "backward spoils what it saved",
        "cosface_loss",
        ("backward_scales_and_repeats",),
        in_deed(reuses_buffers),
    ),
    Mutant(
        "no gradient flows to a target that learns",
        "sigmoid_focal_loss",
        ("gradient_by_the_target_is_true_or_refused",),
        in_text(
            "lossary.losses.answers.focal:sigmoid_focal_loss",
            "binary_loss(focal, input, target,",
            "binary_loss(focal, input, target.detach(),",
        ),
    ),
    Mutant(
        "a learning target of 0 and 1 is taken for a hard one",
        "sigmoid_poly_focal_loss",
        ("gradient_by_the_target_is_true_or_refused",),
        in_text("lossary.losses.answers.focal:decided", "y.requires_grad or ", ""),
    ),
    Mutant(
        "signs that learn pass in silence",
        "hinge_loss",
        ("gradient_by_the_target_is_true_or_refused",),
        in_text("lossary.core.check:check_among", "tensor.requires_grad and ", "False and "),
    ),
    # ------------------------------------------------------------ interface
    Mutant("function and Module differ", "cosface_loss", ("module_is_function",), in_deed(later_items_count_more)),
    Mutant(
        "the Module holds a lambda",
        "cosface_loss",
        ("survives_pickle_and_copy",),
        on_card(lambda card: replace(card, module=HoldsALambda)),
    ),
    Mutant(
        "a list passes for a tensor",
        "cosface_loss",
        ("lists_for_tensors_are_refused",),
        in_text("lossary.core.check:check_tensor", "if not isinstance(value, Tensor):", "if False:"),
    ),
    Mutant(
        "a tensor is no buffer",
        "cosface_loss",
        ("state_dict_restores_the_loss",),
        in_text("lossary.core.loss:hold", "module.register_buffer(name, value)", "module.__dict__[name] = value"),
    ),
    Mutant(
        "the repr is empty",
        "cosface_loss",
        ("repr_shows_the_hyperparameters",),
        in_text(
            "lossary.core.loss:Loss.extra_repr",
            'return ", ".join(f"{n}={v!r}" for n, v in shown if not isinstance(v, Tensor))',
            'return ""',
        ),
    ),
    Mutant(
        "any reduction is a mean",
        "cosface_loss",
        ("unknown_reduction_is_refused",),
        in_text("lossary.core.check:check_choice", "value not in allowed:", "False:"),
    ),
    Mutant(
        "the constructor takes anything",
        "cosface_loss",
        ("constructor_refuses_what_the_function_refuses",),
        in_text("lossary.core.loss:Loss.__init__", "if name in cls.rules and value is not default:", "if False:"),
    ),
    Mutant(
        "inputs are not counted",
        "cosface_loss",
        ("wrong_number_of_inputs_is_refused",),
        in_text("lossary.core.loss:Loss.__call__", "not self.needed <= len(inputs) <= len(self.inputs)", "False"),
    ),
    Mutant(
        "torch.fx looks into the loss",
        "cosface_loss",
        ("fx_records_one_call",),
        in_text("lossary.core.loss:Loss.__call__", "isinstance(inputs[0], Proxy)", "False"),
    ),
    Mutant(
        "arguments are not described",
        "cosface_loss",
        ("signatures_are_true",),
        on_card(lambda card: replace(card, module=Undescribed)),
    ),
    Mutant("typos pass", "cosface_loss", ("unknown_keyword_is_refused",), in_deed(swallows_keywords)),
    Mutant(
        "nan passes",
        "cosface_loss",
        ("bad_numbers_are_refused",),
        in_text("lossary.core.check:check_number", "not math.isfinite(value) or ", ""),
    ),
    Mutant(
        "a class may weigh less than nothing",
        "dice_focal_loss",
        ("negative_weights_of_classes_are_refused",),
        in_text("lossary.core.check:check_factors", "numbers.min().item()) < 0", "value.min().item()) < -9"),
    ),
    Mutant(
        "seven margins pass for one",
        "cosface_loss",
        ("hyperparameters_of_wrong_shape_are_refused",),
        in_text("lossary.core.check:check_rows", "value.shape not in ((), (1,)) and", "False and"),
    ),
    Mutant(
        "a weight of one entry makes the loss a row",
        "dice_focal_loss",
        ("numbers_of_any_kind_are_taken",),
        in_text("lossary.core.reduce:scaled", ".reshape(loss.shape)", ""),
    ),
    Mutant(
        "a missing answer is a no",
        "hinge_loss",
        ("nan_in_is_nan_out",),
        in_text("lossary.losses._pointwise:decide", "torch.where(target <= 0, no, target)", "no"),
    ),
    Mutant(
        "float labels pass",
        "cosface_loss",
        ("float_labels_are_refused",),
        in_text("lossary.core.check:check_labels", "if labels.dtype != torch.int64:", "if False:"),
    ),
    Mutant(
        "any label passes",
        "cosface_loss",
        ("labels_out_of_range_are_refused",),
        in_text("lossary.core.check:check_range", "if outside.any():", "if False:"),
    ),
    Mutant("labels must be int64", "cosface_loss", ("labels_of_any_integer_type_are_taken",), in_deed(wants_int64)),
    Mutant(
        "a label of 156 in uint8 is an ignore_index of -100",
        "dice_cross_entropy_loss",
        ("labels_of_any_integer_type_are_taken",),
        in_text("lossary.core.check:wide_integers", "not in _NARROW", "not in _NARROW[1:]"),
    ),
    Mutant(
        "a label of 2**64 - 100 is an ignore_index of -100",
        "cross_entropy",
        ("labels_beyond_int64_are_refused",),
        in_text("lossary.core.check:wide_integers", "tensor.dtype == torch.uint64 and ", "False and "),
    ),
    Mutant(
        "one label serves all items",
        "cosface_loss",
        ("lengths_that_differ_are_refused", "weights_of_wrong_shape_are_refused"),
        in_deed(broadcasts),
    ),
    Mutant("the source is missing", "cosface_loss", ("docstring_is_whole",), on_card(lacks_a_source)),
    Mutant(
        "the lab would search for nothing",
        "cosface_loss",
        ("card_is_true",),
        on_card(lambda card: replace(card, search={"temperature": Range(0.1, 1.0)})),
    ),
    Mutant(
        "a running sum has no order",
        "multilabel_margin_loss",
        ("repeats_itself_where_determinism_is_asked_for",),
        in_text(
            "lossary.losses.answers.margin:_label_violations",
            "running_sum(others.flip(-1))",
            "others.flip(-1).cumsum(-1)",
        ),
    ),
    Mutant(
        "an accelerator counts ignored pixels",
        "dice_loss",
        ("holds_on_an_accelerator",),
        in_text("lossary.kernels.overlap:_SoftmaxAtIndex.forward", "if keep is not None:", "if False:"),
    ),
    Mutant(
        "an accelerator sorts ignored pixels",
        "lovasz_softmax_loss",
        ("holds_on_an_accelerator",),
        in_text("lossary.kernels.order:_softmax_keys", "torch.mul(keep[:, None], -2,", "torch.full_like(others, -2,"),
    ),
    Mutant(
        "twice the bits of a large number pass the sign",
        "lovasz_hinge_loss",
        ("an_accelerator_finds_what_a_cpu_does",),
        in_text("lossary.kernels.order:_by_keys", "torch.iinfo(bits).min", "0"),
    ),
    Mutant(
        "a scaled gradient is rounded before it is scaled",
        "mse_loss",
        ("a_scaled_loss_in_float16_has_right_gradients",),
        on_card(loses_small_gradients),
    ),
    Mutant(
        "a head follows the batches that it is evaluated on",
        "curricularface_loss",
        ("a_module_remembers_in_training_alone",),
        in_text("lossary.losses.identities._shared:FollowingHead.follow", "if self.training:", "if True:"),
    ),
    Mutant(
        "an alias leads elsewhere",
        "cosface_loss",
        ("names_are_public",),
        on_card(lambda card: replace(card, fn=F.mse_loss)),
    ),
)

"""Laws about values: items, weights, masks, reductions, memory layout, precision."""

import inspect
import warnings
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from lossary.core import device as _device
from lossary.core.card import Card
from lossary.testing.draws import Call
from lossary.testing.laws.law import law
from lossary.testing.laws.subject import (
    HALVES,
    Subject,
    as_function,
    assert_close,
    assert_same,
    doubled,
    is_per_item,
    item_weights,
    items,
    learning_places,
    map_items,
    parameters,
    reductions,
    select,
    takes,
    with_arg,
)


def reduces(card: Card) -> bool:
    return bool(reductions(card))


def separable(card: Card) -> bool:
    return card.separable and reduces(card)


def adds_up(card: Card) -> bool:
    """Whether an item does not affect another's loss: true of images with masks, though a batch may pool regions."""
    return card.separable or card.data == "masks"


# ---------------------------------------------------------------- reductions


@law(where=reduces)
def sum_is_the_sum_of_the_items(subject: Subject) -> None:
    for call in (subject.draw(), *subject.edges()):
        none = subject(call, reduction="none")
        assert_close(subject(call, reduction="sum"), none.sum(), 1e-12)


@law(where=lambda card: reduces(card) and card.mean_is_plain)
def mean_is_the_mean_of_the_items(subject: Subject) -> None:
    for call in (subject.draw(), *subject.edges()):
        none = subject(call, reduction="none")
        if none.numel():
            assert_close(subject(call, reduction="mean"), none.mean(), 1e-12)


@law()
def float64_stays_float64(subject: Subject) -> None:
    for dtype in (torch.float64, torch.float32):
        found = subject(subject.draw(dtype=dtype)).dtype
        assert found == dtype, f"of {dtype} the loss is {found}"
    values = torch.cat([subject(subject.draw(seed)).detach().flatten() for seed in range(3)])
    short = values * 64 == (values * 64).round()  # whole numbers or halves prove nothing
    digits = bool(short.all() or (values != values.float()).any())
    assert digits, "the loss of torch.float64 has no more digits than torch.float32: it is counted so on the way"
    uneven = [max(stairs(subject, subject.draw(seed), step) for step in STEPS) for seed in range(3)]
    assert sum(found > STAIRS for found in uneven) < 2, (
        f"the loss of torch.float64 goes in steps of {max(uneven):.0e} of its value: "
        "it is counted in torch.float32 on the way"
    )


#: So little that a loss in float64 is smooth there, and one that is rounded to float32 a staircase.
STEPS = (1e-7, 1e-6)
STAIRS = 1e-11


def stairs(subject: Subject, call: Call, step: float) -> float:
    """The third difference of the loss within a small step, as a share of its value."""
    first = call.args[0]
    if not first.is_floating_point():
        return 0.0
    way = step * torch.randn(first.shape, generator=Generator().manual_seed(0), dtype=first.dtype)
    sides: list[Tensor] = []
    for times in (0, 0, -1, 1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # of losses that draw
            sides.append(subject(with_arg(call, 0, first + times * way)).detach().sum())
    here, again, left, right, beyond = sides
    if here != again or not torch.stack(sides).isfinite().all():
        return 0.0
    return ((beyond - 3 * right + 3 * here - left).abs() / here.abs().clamp_min(1e-3)).item()


# ---------------------------------------------------------------- weights and masks


@law(where=lambda card: reduces(card) and takes("sample_weight")(card))
def weights_weigh_items(subject: Subject) -> None:
    call = subject.draw()
    none = subject(call, reduction="none")
    if subject.card.item in ("image-class", "image") and not is_per_item(none, items(call)):
        return  # classes pooled over the batch: an image weighs within their sums, see the law of copies
    weight = item_weights(none)
    total, divisor = (weight * none).sum(), weight.sum()
    assert_close(subject(call, sample_weight=weight, reduction="none"), weight * none)
    assert_close(subject(call, sample_weight=weight, reduction="sum"), total)
    assert_close(subject(call, sample_weight=torch.ones_like(weight)), subject(call))
    assert_close(subject(call, sample_weight=3 * weight), subject(call, sample_weight=weight))
    if subject.card.mean_is_plain:
        assert_close(subject(call, sample_weight=weight, reduction="mean"), total / divisor)


@law(where=lambda card: adds_up(card) and takes("sample_weight")(card))
def weight_zero_is_item_dropped(subject: Subject) -> None:
    call = subject.draw()
    weight = torch.ones(items(call), dtype=torch.float64)
    weight[0] = 0
    for kwargs in summed(subject):
        kept = subject.grads(select(call, slice(1, None)), **kwargs)
        assert_same(without_first(call, subject.grads(call, sample_weight=weight, **kwargs)), kept, 1e-11)


@law(where=lambda card: adds_up(card) and takes("sample_weight")(card))
def a_whole_weight_is_so_many_copies(subject: Subject) -> None:
    call = subject.draw()
    weight = torch.arange(items(call)) % 3
    copies = torch.arange(items(call)).repeat_interleave(weight)
    for kwargs in summed(subject):
        value, grads = subject.grads(select(call, copies), **kwargs)
        gathered = [
            torch.zeros(items(call), *g.shape[1:], dtype=g.dtype).index_add(0, copies, g)
            if is_per_item(g, len(copies))
            else g
            for g in grads
        ]
        assert_same(subject.grads(call, sample_weight=weight.double(), **kwargs), (value, gathered), 1e-11)


def summed(subject: Subject) -> list[dict[str, str]]:
    """Keywords for each way to reduce a batch to one number."""
    return [{"reduction": "mean"}, {"reduction": "sum"}] if reduces(subject.card) else [{}]


@law(where=lambda card: separable(card) and takes("sample_weight")(card))
def items_of_weight_zero_may_hold_anything(subject: Subject) -> None:
    """An infinite or missing number in an item of weight 0 changes neither the loss nor any gradient."""
    call = subject.draw()
    weight = torch.ones_like(subject(call, reduction="none"))
    weight[0] = 0
    for reduction in ("mean", "sum"):
        given = {"sample_weight": weight, "reduction": reduction}
        assert_same(subject.grads(map_items(call, first_missing), **given), subject.grads(call, **given), 1e-12)


@law(where=takes("mask"))
def mask_false_is_item_dropped(subject: Subject) -> None:
    call = subject.draw()
    kept = subject.grads(select(call, slice(1, None)))
    assert_same(without_first(call, subject.grads(call, mask=first_masked(subject, call))), kept, 1e-11)


@law(where=takes("mask"))
def masked_items_may_hold_anything(subject: Subject) -> None:
    """Padding and missing values are often NaN, or not a class: they change neither the loss nor any gradient."""
    call = subject.draw()
    mask = first_masked(subject, call)
    spoilt = map_items(call, spoil_first)
    assert_same(subject.grads(spoilt, mask=mask), subject.grads(call, mask=mask), 1e-12)


@law()
def nan_in_is_nan_out(subject: Subject) -> None:
    """A NaN in predictions or targets is not an answer: it is neither read as "no" nor lost on the way."""
    call = subject.draw()
    for place in range(len(call.args)):
        try:
            value = subject(with_first(call, place, torch.nan))
        except TypeError as error:
            assert "integer" in str(error), error  # noqa: PT017 - class indices, which cannot be NaN
        else:
            # unless it is not read: the log-probability of another class, an unused center
            others = () if value.isnan() else (subject(with_first(call, place, x)) for x in (10.0, -10.0))
            assert all(torch.equal(other, value) for other in others), (
                f"NaN in argument {place}, and the loss is {value}"
            )


@law(where=lambda card: card.data == "masks")
def masked_positions_are_as_if_cropped(subject: Subject) -> None:
    """Whatever they held: pixels without an annotation do not count."""
    call = subject.draw()
    mask = torch.ones(call.args[1].shape, dtype=torch.bool)
    mask[..., 0] = False
    spoilt = Call(tuple(spoil_column(t) for t in call.args), call.kwargs)
    value, grads = subject.grads(spoilt, mask=mask)
    assert not any(g[..., 0].any() for g in grads)
    wanted = subject.grads(Call(tuple(t[..., 1:] for t in call.args), call.kwargs))
    assert_same((value, [g[..., 1:] for g in grads]), wanted, 1e-11)


def spoil_column(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.clone()
    tensor[..., 0] = torch.nan if tensor.is_floating_point() else 77
    return tensor


def with_first(call: Call, place: int, value: float) -> Call:
    """The call with the first entry of one argument replaced."""
    changed = call.args[place].double().clone()
    changed[(0,) * changed.dim()] = value
    return with_arg(call, place, changed)


def spoil_first(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.clone()
    if tensor.dtype != torch.bool:
        tensor[0] = torch.nan if tensor.is_floating_point() else -7
    return tensor


def first_missing(tensor: torch.Tensor) -> torch.Tensor:
    """The first item's numbers set to NaN; its labels stay, since a weight does not excuse them."""
    return spoil_first(tensor) if tensor.is_floating_point() else tensor


def first_masked(subject: Subject, call: Call) -> torch.Tensor:
    """A mask that leaves out the first item."""
    shape = subject(call, reduction="none").shape if subject.card.separable else (items(call),)
    mask = torch.ones(shape, dtype=torch.bool)
    mask[0] = False
    return mask


def without_first(
    call: Call, result: tuple[torch.Tensor, list[torch.Tensor]]
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The gradients without the first item's, which must be 0."""
    value, grads = result
    count, kept = items(call), []
    for grad in grads:
        per_item = is_per_item(grad, count)
        if per_item:
            assert grad[0].count_nonzero() == 0, f"an item that does not count has the gradient {grad[0]}"
        kept.append(grad[1:] if per_item else grad)
    return value, kept


@law(where=lambda card: reduces(card) and card.item == "element")
def one_number_a_row_counts_for_all_its_elements(subject: Subject) -> None:
    call = subject.draw()
    none = subject(call, reduction="none")
    rows = {"sample_weight": item_weights(none[:, 0]), "mask": first_masked(subject, call)[:, 0]}
    for name, row in rows.items():
        if takes(name)(subject.card):
            assert_close(subject(call, **{name: row}), subject(call, **{name: row[:, None].expand(none.shape)}))


# ---------------------------------------------------------------- batches


@law(where=separable)
def batches_split(subject: Subject) -> None:
    call = subject.draw()
    parts = [select(call, slice(0, 2)), select(call, slice(2, None))]
    none = subject(call, reduction="none")
    pieces = [subject(part, reduction="none") for part in parts]
    assert_close(torch.cat(pieces), none)
    assert_close(torch.stack([subject(part, reduction="sum") for part in parts]).sum(), none.sum())
    if subject.card.mean_is_plain:
        counts = [piece.numel() for piece in pieces]
        means = [subject(part, reduction="mean") for part in parts]
        total = torch.stack([c * m for c, m in zip(counts, means, strict=True)]).sum()
        assert_close(total / sum(counts), subject(call))


@law()
def order_of_items_does_not_matter(subject: Subject) -> None:
    call = subject.draw()
    order = torch.randperm(items(call), generator=torch.Generator().manual_seed(3))
    value, grads = subject.grads(call)
    moved = [g[order] if is_per_item(g, items(call)) else g for g in grads]
    assert_same(subject.grads(select(call, order)), (value, moved), 1e-10)
    none = subject(call, reduction="none") if reduces(subject.card) else value
    if is_per_item(none, items(call)):
        assert_close(subject(select(call, order), reduction="none"), none[order], 1e-10)


@law()
def inputs_stay_as_they_are_and_calls_repeat(subject: Subject) -> None:
    call = subject.draw()
    leaves, run = as_function(subject, call)
    before = [t.clone() for t in (*leaves, *call.args)]
    first, second = run(*leaves), run(*leaves)
    gradients = [torch.autograd.grad(value, leaves, allow_unused=True) for value in (first, second)]
    assert all(map(torch.equal, before, (*leaves, *call.args))), "an input was modified in place"
    assert torch.equal(first, second), f"the loss is {first.sum():.6g}, and {second.sum():.6g} at the second call"
    assert all(g is h or torch.equal(g, h) for g, h in zip(*gradients, strict=True))


# ---------------------------------------------------------------- memory layout


@law()
def strides_do_not_matter(subject: Subject) -> None:
    call = subject.draw()
    spread = Call(tuple(torch.stack([t, t], -1)[..., 0] for t in call.args), call.kwargs)
    turned = Call(tuple(turn(t) for t in call.args), call.kwargs)
    wanted = subject.grads(call)
    for other in (spread, turned):
        # as leaves, so that the strides reach the loss: a clone would be dense again
        leaves = [other.args[i].requires_grad_() for i in learning_places(subject, call)]
        value = subject(other)
        grads = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
        found = [
            torch.zeros_like(x) if g is None else g  # pyright: ignore[reportUnnecessaryComparison]
            for g, x in zip(grads, leaves, strict=True)
        ]
        assert_same((value, found), wanted, 1e-11)


def turn(tensor: torch.Tensor) -> torch.Tensor:
    """The same tensor stored transposed; images stored channels-last."""
    if tensor.dim() == 4:
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor.mT.contiguous().mT if tensor.dim() >= 2 else tensor.clone()


# ---------------------------------------------------------------- precision


@law()
def float32_agrees_with_float64(subject: Subject) -> None:
    for seed in range(2):
        single = subject.draw(seed, torch.float32)
        assert_same(subject.grads(single), subject.grads(doubled(single)), 1e-4)


@law()
def half_precision_is_accumulated_in_float32(subject: Subject) -> None:
    """The loss of half-precision input is as exact as in float32; only the gradient is rounded."""
    for dtype in HALVES:
        half = subject.draw(0, dtype)
        value, grads = subject.grads(half)
        exact, exact_grads = subject.grads(doubled(half))
        torch_owns_the_name = hasattr(F, subject.card.name)
        assert value.dtype == (dtype if torch_owns_the_name else torch.float32)
        step = torch.finfo(dtype).eps
        assert_close(value, exact, 2 * step if torch_owns_the_name else 1e-4, f"loss in {dtype}")
        for grad, wanted in zip(grads, exact_grads, strict=True):
            assert grad.dtype == dtype
            assert_close(grad, wanted, 4 * step, f"gradient in {dtype}")


@law(where=lambda card: hasattr(F, card.name))
def torchs_name_means_torchs_result(subject: Subject) -> None:
    """A loss with torch's name is a drop-in replacement: the same arguments by position, the same result."""
    theirs = getattr(F, subject.card.name)
    given = [p for n, p in inspect.signature(theirs).parameters.items() if n not in ("size_average", "reduce")]
    wanted = [p.name for p in given if p.kind is not p.KEYWORD_ONLY]
    ours = [n for n, p in parameters(subject.card).items() if p.kind is not p.KEYWORD_ONLY]
    assert ours[: len(wanted)] == wanted
    assert {p.name for p in given} <= set(parameters(subject.card))
    batches = (subject.draw(0), subject.draw(1), *subject.edges())
    # torch treats boolean targets as numbers
    for call in (b for b in batches if all(t.dtype != torch.bool for t in b.args)):
        for reduction in ("none", "sum", "mean"):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # torch warns about its kl_div's mean
                    value = theirs(*call.args, **call.kwargs, reduction=reduction)
            except (TypeError, RuntimeError, NotImplementedError):  # beyond what torch offers
                continue
            # torch's mean of nothing is NaN; its multilabel_margin_loss of nothing is whatever was in memory.
            if value.isfinite().all() and call.args[0].numel():
                assert_close(subject(call, reduction=reduction), value, 1e-11)  # torch's cosine adds 1e-12


@law(where=lambda card: card.kernel == "rows", once=True)
def units_for_half_precision_round_no_score(subject: Subject) -> None:
    """A device that multiplies half-precision matrices keeps the scores as exact as in float32."""
    for dtype in HALVES:
        half = subject.draw(0, dtype)
        exact, exact_grads = subject.grads(doubled(half))
        with mock.patch.object(_device, "multiplies_half", return_value=True):
            value, grads = subject.grads(half)
        torch_owns_the_name = hasattr(F, subject.card.name)
        assert_close(value, exact, 2 * torch.finfo(dtype).eps if torch_owns_the_name else 1e-5, f"loss in {dtype}")
        for grad, wanted in zip(grads, exact_grads, strict=True):
            assert grad.dtype == dtype
            assert_close(grad, wanted, 4 * torch.finfo(dtype).eps, f"gradient in {dtype}")


@law(once=True)
def autocast_keeps_the_loss_exact(subject: Subject) -> None:
    single = subject.draw(0, torch.float32)
    leaves, run = as_function(subject, single)
    with torch.autocast("cpu", torch.bfloat16):
        value = run(*leaves)
    assert value.dtype == torch.float32, f"under autocast the loss is {value.dtype}"
    assert_close(value, subject(single), 1e-4, "under autocast the loss")


@law(where=lambda card: not hasattr(F, card.name), once=True)
def precisions_mix(subject: Subject) -> None:
    """Half-precision embeddings with float32 weights, as in mixed-precision training."""
    call = subject.draw(0, torch.float32)
    mixed = Call((call.args[0].bfloat16(), *call.args[1:]), call.kwargs)
    value, grads = subject.grads(mixed)
    exact, exact_grads = subject.grads(doubled(mixed))
    assert value.dtype == torch.float32
    assert_close(value, exact, 1e-4)
    for grad, wanted in zip(grads, exact_grads, strict=True):
        assert_close(grad, wanted, 4 * torch.finfo(torch.bfloat16).eps)

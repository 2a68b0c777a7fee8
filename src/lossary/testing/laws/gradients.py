"""Laws about gradients: exact, finite at the extremes, of second order, compiled, transformed."""

import contextlib
import math
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint

from lossary.core.card import AT_CALL
from lossary.core.torch_internals import fake_tensors
from lossary.testing.draws import Call
from lossary.testing.laws.law import law
from lossary.testing.laws.subject import (
    Subject,
    as_function,
    assert_close,
    assert_same,
    doubled,
    item_weights,
    learnable,
    parameters,
    reductions,
    select,
    takes,
    weighed,
    with_arg,
)

CHECK: dict[str, Any] = {"eps": 1e-6, "atol": 1e-6, "rtol": 1e-4}


@law()
def gradient_is_true(subject: Subject) -> None:
    for seed in range(2):
        leaves, run = as_function(subject, subject.draw(seed), **subject.card.exact)
        gradcheck(run, leaves, **CHECK)


@law(where=lambda card: bool(reductions(card)))
def gradient_of_every_item_is_true(subject: Subject) -> None:
    leaves, run = as_function(subject, subject.draw(2), reduction="none", **subject.card.exact)
    gradcheck(run, leaves, **CHECK)


@law(where=takes("sample_weight"))
def gradient_of_the_weighted_mean_is_true(subject: Subject) -> None:
    call = subject.draw(3)
    weight = item_weights(weighed(subject, call))
    leaves, run = as_function(subject, call, sample_weight=weight, **subject.card.exact)
    gradcheck(run, leaves, **CHECK)


@law()
def second_gradient_is_true(subject: Subject) -> None:
    for reduction in ("mean", "none") if reductions(subject.card) else (None,):
        given = {"reduction": reduction} if reduction else {}
        leaves, run = as_function(subject, subject.draw(4), **given, **subject.card.exact)
        gradgradcheck(run, leaves, **CHECK, fast_mode=True)


@law(where=lambda card: bool(learnable(card)))
def gradient_by_hyperparameters_is_true(subject: Subject) -> None:
    """A margin, scale or temperature given as a tensor gives the same loss as the number, and a true gradient.

    By default as well, except for what the card says is held.
    """
    call = subject.draw(5)
    values = {name: hyperparameter(subject, name) for name in learnable(subject.card)}
    names = [name for name, value in values.items() if isinstance(value, (float, Tensor))]
    leaves = [torch.as_tensor(values[name], dtype=torch.float64).clone().requires_grad_() for name in names]

    def run(*tensors: Tensor) -> Tensor:
        return subject(call, **dict(zip(names, tensors, strict=True)), **subject.card.exact)

    assert_close(run(*(leaf.detach() for leaf in leaves)), subject(call))
    if leaves and not refuses_gradient(run, leaves):
        gradcheck(run, leaves, **CHECK)
        gradgradcheck(run, leaves, **CHECK)
    for name, leaf in zip(names, leaves, strict=True):
        if subject.card.exact and name not in subject.card.held:  # by default only weights of items are held constant
            gradcheck(lambda tensor, name=name: subject(call, **{name: tensor}), [leaf], **CHECK)


def learning_targets(subject: Subject) -> list[tuple[int, Tensor]]:
    """(place, value) of the draw's target as floating-point numbers: as it is drawn, and between 0 and 1."""
    call = subject.draw()
    for place, (name, target) in enumerate(zip(parameters(subject.card), call.args, strict=False)):
        if name == "target" and not target.is_floating_point():
            of_classes = subject.card.data in ("classes", "masks") and target.shape != call.args[0].shape
            soft = torch.rand(call.args[0].shape if of_classes else target.shape, generator=Generator().manual_seed(2))
            # The loss jumps where a step separates equal relevances, or leaves the ignored value.
            jumps = subject.card.data == "lists" or "ignore_index" in subject.variant
            return [(place, soft.double())] if jumps else [(place, target.double()), (place, soft.double())]
    return []


@law(drawn=learning_targets)
def gradient_by_the_target_is_true_or_refused(subject: Subject) -> None:
    """A target that requires gradients (mixed labels, a teacher) gets one, or an error that names it: never nothing."""
    for place, target in learning_targets(subject):
        call = subject.draw()
        leaf = target.clone().requires_grad_()
        try:
            value = subject(with_arg(call, place, leaf))
        except (TypeError, ValueError) as error:
            assert re.match("target|ignore_index", str(error)), error  # noqa: PT017 - either outcome is right
            continue
        # Only their order may count, and then there is none.
        (grad,) = torch.autograd.grad(value, leaf, allow_unused=True) if value.requires_grad else (None,)
        found = 0.0 if grad is None else (grad * inward(target)).sum().item()
        step = 1e-6
        moved = subject(with_arg(call, place, target + step * inward(target)))
        wanted = (moved - value.detach()).item() / step
        assert math.isclose(found, wanted, rel_tol=1e-3, abs_tol=1e-5), f"a slope of {wanted}, and the gradient {found}"


def inward(target: Tensor) -> Tensor:
    """Move a target in [0, 1] to somewhere in between."""
    return torch.rand(target.shape, generator=Generator().manual_seed(1), dtype=torch.float64) - target.double()


def refuses_gradient(run: Callable[..., Tensor], leaves: list[Tensor]) -> bool:
    """torch's own kernels take some tensors (``pos_weight``) only without a gradient, and say so."""
    try:
        run(*leaves)
    except RuntimeError as error:
        return "is not differentiable with respect to argument" in str(error)
    return False


def hyperparameter(subject: Subject, name: str) -> object:
    return subject.variant.get(name, subject.card.module.fields[name])


# ---------------------------------------------------------------- extremes


@law()
def finite_at_the_edges(subject: Subject) -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        for place, call in enumerate(subject.edges(dtype)):
            for reduction in reductions(subject.card) or (None,):
                value, grads = subject.grads(call, **({"reduction": reduction} if reduction else {}))
                where = f"edge {place}, {dtype}, reduction {reduction}"
                assert value.isfinite().all(), f"{where}: loss {value}"
                for grad in grads:
                    assert grad.isfinite().all(), f"{where}: gradient {grad}"


@law()
def second_gradient_is_finite_at_the_edges(subject: Subject) -> None:
    for place, call in enumerate(subject.edges()):
        leaves, run = as_function(subject, call)
        firsts = torch.autograd.grad(run(*leaves).sum(), leaves, create_graph=True, allow_unused=True)
        penalty = sum(g.square().sum() for g in firsts if g is not None)
        if not isinstance(penalty, Tensor) or not penalty.requires_grad:
            continue
        for second in torch.autograd.grad(penalty, leaves, allow_unused=True):
            assert second is None or second.isfinite().all(), f"edge {place}: second gradient {second}"


@law()
def float32_holds_at_the_edges(subject: Subject) -> None:
    for place, (single, double) in enumerate(zip(subject.edges(torch.float32), subject.edges(), strict=True)):
        kwargs = {"reduction": "none"} if reductions(subject.card) else {}
        got, wanted = subject(single, **kwargs).double(), subject(double, **kwargs)
        # each item by its own size: a loss of 1e-9 next to one of 1e4 is also right to the last digits
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-12, msg=lambda m, place=place: f"edge {place}: {m}")


@law()
def finite_at_every_scale(subject: Subject) -> None:
    """For numbers anywhere in float32's range: if the true loss fits in float32, it comes out, with finite gradients.

    Squares of the largest are beyond that range: only losses that do not depend on lengths get those.
    """
    call = subject.draw(0, torch.float32)
    for part in parts(call):
        once, twice = (true_loss(subject, times(call, part, factor)) for factor in (1, 2))
        largest = (1e30,) if once is not None and twice is not None and torch.equal(once, twice) else ()
        for factor in (1e-44, 1e-38, 1e-20, 1e17, *largest):
            extreme = times(call, part, factor)
            exact = true_loss(subject, extreme)
            if exact is None or not exact.isfinite().all():
                continue
            value, grads = subject.grads(extreme)
            where = f"{part} times {factor}"
            assert_close(value, exact, 1e-4, where)
            for grad in grads:
                assert grad.isfinite().all(), f"{where}: gradient {grad}"


#: Floating-point arguments of a call, and which of their entries along the first dimension.
Part = tuple[tuple[int, ...], slice]


def parts(call: Call) -> list[Part]:
    """Each floating-point argument, and all of them; the first item, and every item."""
    places = [i for i, t in enumerate(call.args) if t.is_floating_point()]
    chosen = dict.fromkeys([*((place,) for place in places), tuple(places)])
    return [(some, entries) for some in chosen for entries in (slice(0, 1), slice(None))]


def times(call: Call, part: Part, factor: float) -> Call:
    args = list(call.args)
    for place in part[0]:
        wide = args[place].double()
        wide[part[1]] *= factor
        args[place] = wide.to(args[place].dtype)
    return Call(tuple(args), call.kwargs)


def true_loss(subject: Subject, call: Call) -> Tensor | None:
    """The loss in float64, rounded to float32; None if the arguments are invalid."""
    try:
        return subject(doubled(call)).float()
    except ValueError as error:
        assert "wanted" in str(error), error  # noqa: PT017 - a probability of 1e17
        return None


@law()
def empty_batch_gives_zero(subject: Subject) -> None:
    assert_nothing(subject, *subject.grads(select(subject.draw(), slice(0, 0))))


@law(where=takes("mask"))
def all_masked_gives_zero(subject: Subject) -> None:
    call = subject.draw()
    shape = subject(call, reduction="none").shape if subject.card.separable else call.args[0].shape[:1]
    assert_nothing(subject, *subject.grads(call, mask=torch.zeros(shape, dtype=torch.bool)))


@law(where=takes("sample_weight"))
def all_weights_zero_gives_zero(subject: Subject) -> None:
    call = subject.draw()
    assert_nothing(subject, *subject.grads(call, sample_weight=weighed(subject, call)))


def assert_nothing(subject: Subject, value: Tensor, grads: list[Tensor]) -> None:
    """0.0, a scalar, with zero gradients (``grads`` would have raised if the loss had left the graph)."""
    assert value.shape == (), f"{subject.card.name}: wanted a scalar, got shape {tuple(value.shape)}"
    assert value == 0, f"nothing to average gives {value}"
    for grad in grads:
        assert grad.count_nonzero() == 0, f"nothing to average gives the gradient {grad}"


# ---------------------------------------------------------------- composition


@law()
def frozen_inputs_change_nothing(subject: Subject) -> None:
    """A head with frozen embeddings, or the reverse, gets the gradient it would get if all learned."""
    for reduction in reductions(subject.card) or (None,):
        kwargs = {"reduction": reduction} if reduction else {}
        _, wanted = subject.grads(subject.draw(), **kwargs)
        for place in range(len(wanted)):
            leaves, run = as_function(subject, subject.draw(), **kwargs)
            value = run(*(leaf if i == place else leaf.detach() for i, leaf in enumerate(leaves)))
            if value.requires_grad:
                assert_close(
                    torch.autograd.grad(value.sum(), leaves[place])[0], wanted[place], what=f"argument {place}"
                )
            else:
                assert wanted[place].count_nonzero() == 0, f"argument {place} gets no gradient alone"


@law()
def works_without_gradients(subject: Subject) -> None:
    call = subject.draw()
    leaves, run = as_function(subject, call)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            value = run(*leaves)
        assert not value.requires_grad
        assert_close(value, run(*leaves), what="under no_grad")
    assert_close(subject(call), run(*leaves), what="of inputs that ask for no gradient")


@law()
def backward_scales_and_repeats(subject: Subject) -> None:
    """A multiple of the loss has the same multiple of its gradient, and a kept graph returns it again."""
    leaves, run = as_function(subject, subject.draw())
    _, wanted = subject.grads(subject.draw())
    value = run(*leaves)
    for factor in (1.0, -2.5):
        found = torch.autograd.grad(factor * value.sum(), leaves, retain_graph=True, allow_unused=True)
        for grad, once in zip(found, wanted, strict=True):
            assert_close(torch.zeros_like(once) if grad is None else grad, factor * once)
    last = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    assert not any(grad is not None and grad.requires_grad for grad in last)


@law()
def backward_follows_forward_into_autocast(subject: Subject) -> None:
    """The autocast state during backward does not matter: products in a gradient are as exact as in the loss."""

    def gradients(forward: bool, backward: bool) -> list[Tensor]:
        leaves, run = as_function(subject, subject.draw(0, torch.float32))
        with torch.autocast("cpu", torch.bfloat16):
            with torch.autocast("cpu", torch.bfloat16, enabled=forward):
                value = run(*leaves)
            with torch.autocast("cpu", torch.bfloat16, enabled=backward):
                grads = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
        return [torch.zeros_like(x) if g is None else g for g, x in zip(grads, leaves, strict=True)]

    _, wanted = subject.grads(subject.draw(0, torch.float32))
    for forward in (True, False):
        for inside, outside, exact in zip(gradients(forward, True), gradients(forward, False), wanted, strict=True):
            assert torch.equal(inside, outside)
            assert_close(outside, exact, 1e-5)


@law(once=True)
def checkpointing_changes_nothing(subject: Subject) -> None:
    leaves, run = as_function(subject, subject.draw())
    value = checkpoint(run, *leaves, use_reentrant=False)
    found = torch.autograd.grad(value, leaves, allow_unused=True)
    for grad, wanted in zip(found, subject.grads(subject.draw())[1], strict=True):
        assert_close(torch.zeros_like(wanted) if grad is None else grad, wanted)


@law(once=True)
def compiles_without_a_break(subject: Subject) -> None:
    compiled_is_eager(subject, "aot_eager")


def compiled_is_eager(subject: Subject, backend: str) -> None:
    torch.compiler.reset()
    call = subject.draw(0, torch.float32)
    leaves, run = as_function(subject, call)
    value = torch.compile(run, fullgraph=True, backend=backend)(*leaves)
    grads = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    found = [torch.zeros_like(x) if g is None else g for g, x in zip(grads, leaves, strict=True)]
    assert_same((value, found), subject.grads(call), 1e-5)


@law(once=True)
def func_grad_is_right_or_refuses(subject: Subject) -> None:
    leaves, run = as_function(subject, subject.draw())
    try:
        found = torch.func.grad(run)(*(leaf.detach() for leaf in leaves))
    except NotImplementedError as error:
        assert "torch.func" in str(error), error  # noqa: PT017 - either outcome is right
    else:
        assert_close(found, subject.grads(subject.draw())[1][0])


@law(once=True)
def vmap_is_right_or_refuses(subject: Subject) -> None:
    leaves, run = as_function(subject, subject.draw())
    batch = [torch.stack([leaf.detach(), leaf.detach() / 2]) for leaf in leaves]
    try:
        found = torch.func.vmap(run)(*batch)
    except (NotImplementedError, RuntimeError) as error:
        assert "vmap" in str(error), error  # noqa: PT017 - either outcome is right
    else:
        assert_close(found, torch.stack([run(*(b[i] for b in batch)) for i in range(2)]))


# ---------------------------------------------------------------- tensors without values


@law()
def fake_tensors_give_shape_and_dtype(subject: Subject) -> None:
    """Planning memory or a graph asks what comes out without computing it, so no value may be read."""
    mode = fake_tensors(beside_real_ones=True)  # a Module's own weights, and constants made earlier
    shapes_are_true(subject, mode.from_tensor, mode)


@law(once=True)
def meta_tensors_give_shape_and_dtype(subject: Subject) -> None:
    shapes_are_true(subject, lambda t: t.to("meta"), contextlib.nullcontext())


def shapes_are_true(
    subject: Subject, emptied: Callable[[Tensor], Tensor], mode: contextlib.AbstractContextManager[object]
) -> None:
    """Forward and backward of batches without values return shapes and dtypes as with values."""
    edges = () if subject.variant else subject.edges(torch.float32)
    for call in (subject.draw(0, torch.float32), subject.draw(0, torch.bfloat16), *edges):
        wanted = subject.grads(call)
        kwargs = {n: emptied(v.detach()) if isinstance(v, Tensor) else v for n, v in call.kwargs.items()}
        hollow = Call(tuple(emptied(t.detach()) for t in call.args), kwargs)
        with mode:
            found = subject.grads(hollow)
        for got, real in zip((found[0], *found[1]), (wanted[0], *wanted[1]), strict=True):
            assert (got.shape, got.dtype) == (real.shape, real.dtype), f"wanted {real}, got {got}"


@law(once=True)
def a_recorded_graph_is_the_loss(subject: Subject) -> None:
    """What ``make_fx`` records from one batch is right for another: it contains no value of the first."""
    for mode in ("real", "symbolic"):
        first, second = subject.draw(0), subject.draw(1)
        by_name = [n for n, v in first.kwargs.items() if isinstance(v, Tensor) and n in AT_CALL]
        count = len(first.args)

        def run(*args: Tensor) -> Tensor:
            given = dict(zip(by_name, args[count:], strict=True))  # noqa: B023
            return subject(Call(args[:count], {**first.kwargs, **given}))  # noqa: B023

        graph = make_fx(run, tracing_mode=mode)(*first.args, *(first.kwargs[n] for n in by_name))
        for call in (first, second):
            assert_close(graph(*call.args, *(call.kwargs[n] for n in by_name)), subject(call), 1e-11, f"{mode}")

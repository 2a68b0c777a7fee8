"""Functions with torch's names give torch's value and torch's gradients at torch's arguments.

Where Lossary differs by design the grid leaves the case out, by name: nothing to average (0 here, NaN in torch),
gradients of ``binary_cross_entropy`` at probabilities of exactly 0 and 1, subgradients exactly at kinks.
"""

import inspect
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

import lossary
import lossary.functional as L

REDUCTIONS = ("none", "sum", "mean")
SHAPES = ((7,), (5, 3), (2, 3, 4), ())
DTYPES = (torch.float64, torch.float32)
COMPARED: Counter[str] = Counter()


@pytest.fixture(scope="module", autouse=True)
def count_of_compared_calls() -> Iterator[None]:
    yield
    print(f"\ncompared with torch: {sum(COMPARED.values())} calls of {len(COMPARED)} functions and Modules")  # noqa: T201


def grid(**axes: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def run(
    function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Tensor, list[Tensor]]:
    args = tuple(a.clone().requires_grad_() if isinstance(a, Tensor) and a.is_floating_point() else a for a in args)
    value = function(*args, **kwargs)
    leaves = [a for a in args if isinstance(a, Tensor) and a.requires_grad]
    # a fixed, uneven direction: the sum alone would miss a wrong place
    direction = torch.linspace(0.5, 1.5, max(value.numel(), 1), dtype=value.dtype)[: value.numel()].reshape(value.shape)
    grads = torch.autograd.grad(value, leaves, direction, allow_unused=True)
    return value.detach(), [torch.zeros_like(a) if g is None else g for a, g in zip(leaves, grads, strict=True)]


def compare(name: str, *args: Any, _tolerance: float | None = None, **kwargs: Any) -> None:
    """Lossary's function against torch's of the same name: value, dtype, shape, every gradient."""
    ours, theirs = (run(getattr(module, name), args, kwargs) for module in (L, F))
    floating = next(a.dtype for a in args if isinstance(a, Tensor) and a.is_floating_point())
    tolerance = {"rtol": 1e-12, "atol": 1e-13} if floating == torch.float64 else {"rtol": 1e-5, "atol": 1e-6}
    if _tolerance:
        tolerance = {"rtol": _tolerance, "atol": _tolerance}
    what = f"{name}({', '.join(map(shown, args))}, {kwargs})"
    torch.testing.assert_close(ours[0], theirs[0], **tolerance, msg=lambda m: f"{what}: value: {m}")
    for place, (got, wanted) in enumerate(zip(ours[1], theirs[1], strict=True)):
        torch.testing.assert_close(got, wanted, **tolerance, msg=lambda m, i=place: f"{what}: gradient {i}: {m}")
    COMPARED[name] += 1


def shown(value: object) -> str:
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64, scale: float = 2.0) -> Tensor:
    return (torch.randn(shape, generator=Generator().manual_seed(seed), dtype=torch.float64) * scale).to(dtype)


def uniform(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return (torch.rand(shape, generator=Generator().manual_seed(seed), dtype=torch.float64) * 0.98 + 0.01).to(dtype)


def integers(seed: int, high: int, *shape: int) -> Tensor:
    return torch.randint(high, shape, generator=Generator().manual_seed(seed))


# ---------------------------------------------------------------- regression


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss"])
def test_regression(name: str) -> None:
    options: dict[str, tuple[dict[str, Any], ...]] = {
        "huber_loss": tuple({"delta": d} for d in (0.3, 1.0, 4.0)),
        "smooth_l1_loss": tuple({"beta": b} for b in (0.0, 0.3, 1.0, 4.0)),
    }
    cases = grid(shape=SHAPES, dtype=DTYPES, reduction=REDUCTIONS, option=options.get(name, ({},)), seed=(0, 1))
    for case in cases:
        x, y = (normal(case["seed"] * 2 + i, *case["shape"], dtype=case["dtype"]) for i in range(2))
        compare(name, x, y, reduction=case["reduction"], **case["option"])


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
def test_weighted_regression(name: str) -> None:
    for case in grid(shape=SHAPES, dtype=DTYPES, reduction=REDUCTIONS, seed=(0, 1)):
        x, y = (normal(case["seed"] * 2 + i, *case["shape"], dtype=case["dtype"]) for i in range(2))
        weight = uniform(5, *case["shape"], dtype=case["dtype"])
        compare(name, x, y, reduction=case["reduction"], weight=weight)


def test_dtypes_promote_as_in_torch() -> None:
    floats = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
    for name in ("mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss"):
        for first, second in itertools.product(floats, floats):
            if name == "huber_loss" and first != second:
                continue  # torch's rounds the target to the input's dtype, unlike its other losses
            x, y = normal(0, 4).to(first), normal(1, 4).to(second)
            assert getattr(L, name)(x, y).dtype == getattr(F, name)(x, y).dtype, (name, first, second)


# ---------------------------------------------------------------- binary


def test_bce_with_logits() -> None:
    for case in grid(shape=SHAPES, dtype=DTYPES, reduction=REDUCTIONS, weighted=(False, True), positive=(False, True)):
        shape, dtype = case["shape"], case["dtype"]
        for scale, seed in itertools.product((1.0, 30.0), range(2)):
            x, y = normal(seed, *shape, dtype=dtype, scale=scale), uniform(seed + 9, *shape, dtype=dtype)
            last = shape[-1:]
            weight = uniform(3, *last, dtype=dtype) if case["weighted"] else None
            pos_weight = 3 * uniform(4, *last, dtype=dtype) if case["positive"] else None
            options = {"weight": weight, "pos_weight": pos_weight, "reduction": case["reduction"]}
            compare("binary_cross_entropy_with_logits", x, y, **options)


def test_bce() -> None:
    for case in grid(shape=SHAPES, dtype=DTYPES, reduction=REDUCTIONS, weighted=(False, True), seed=range(4)):
        shape, dtype, seed = case["shape"], case["dtype"], case["seed"]
        weight = uniform(3, *shape[-1:], dtype=dtype) if case["weighted"] else None
        x, y = uniform(seed, *shape, dtype=dtype), uniform(seed + 9, *shape, dtype=dtype)
        compare("binary_cross_entropy", x, y, weight=weight, reduction=case["reduction"])


def test_bce_values_at_certainty() -> None:
    p, y = torch.tensor([0.0, 1.0, 0.0, 1.0]), torch.tensor([0.0, 1.0, 1.0, 0.0])
    for reduction in REDUCTIONS:
        ours = L.binary_cross_entropy(p, y, reduction=reduction)
        assert torch.equal(ours, F.binary_cross_entropy(p, y, reduction=reduction))


# ---------------------------------------------------------------- multiclass

LAYOUTS = (((), 5), ((6,), 5), ((6,), 1), ((3, 4), 5), ((2, 3, 2), 4))
#: By design: a softmax over a single class is an error here, a constant in torch.
SEVERAL_CLASSES = tuple(layout for layout in LAYOUTS if layout[1] > 1)


def class_shape(items: tuple[int, ...], classes: int) -> tuple[int, ...]:
    return (*items[:1], classes, *items[1:]) if items else (classes,)


def test_cross_entropy_of_indices() -> None:
    axes = grid(
        layout=SEVERAL_CLASSES,
        dtype=DTYPES,
        reduction=REDUCTIONS,
        weighted=(False, True),
        label_smoothing=(0.0, 0.2, 1.0),
        ignore_index=(-100, 1),
        seed=range(2),
    )
    for case in axes:
        items, classes = case["layout"]
        x = normal(case["seed"], *class_shape(items, classes), dtype=case["dtype"], scale=3.0)
        y = integers(case["seed"], classes, *items)
        if case["reduction"] == "mean" and bool((y == case["ignore_index"]).all()):
            continue  # by design: 0 here, NaN in torch
        weight = uniform(2, classes, dtype=case["dtype"]) if case["weighted"] else None
        options = {n: case[n] for n in ("reduction", "label_smoothing", "ignore_index")}
        compare("cross_entropy", x, y, weight=weight, **options)


def test_cross_entropy_of_probabilities() -> None:
    axes = grid(
        layout=SEVERAL_CLASSES, dtype=DTYPES, reduction=REDUCTIONS, weighted=(False, True), label_smoothing=(0.0, 0.2)
    )
    for case in axes:
        items, classes = case["layout"]
        shape = class_shape(items, classes)
        x = normal(0, *shape, dtype=case["dtype"], scale=3.0)
        y = normal(1, *shape, dtype=case["dtype"]).softmax(1 if items else 0)
        weight = uniform(2, classes, dtype=case["dtype"]) if case["weighted"] else None
        compare("cross_entropy", x, y, weight, reduction=case["reduction"], label_smoothing=case["label_smoothing"])


def test_nll() -> None:
    axes = grid(
        layout=LAYOUTS,
        dtype=DTYPES,
        reduction=REDUCTIONS,
        weighted=(False, True),
        ignore_index=(-100, 1),
        seed=range(2),
    )
    for case in axes:
        items, classes = case["layout"]
        x = normal(case["seed"], *class_shape(items, classes), dtype=case["dtype"])
        x = x.log_softmax(1 if items else 0)
        y = integers(case["seed"], classes, *items)
        if case["reduction"] == "mean" and bool((y == case["ignore_index"]).all()):
            continue  # by design: 0 here, NaN in torch
        weight = uniform(2, classes, dtype=case["dtype"]) if case["weighted"] else None
        options = {n: case[n] for n in ("reduction", "ignore_index")}
        compare("nll_loss", x, y, weight=weight, **options)


def test_class_at_the_end_is_class_moved() -> None:
    """``dim=-1``, which torch lacks, is torch's result on the transposed scores."""
    for items, classes in (layout for layout in LAYOUTS[1:] if layout[1] > 1):
        x, y = normal(0, *class_shape(items, classes)), integers(0, classes, *items)
        assert torch.equal(L.cross_entropy(x.movedim(1, -1), y, dim=-1), L.cross_entropy(x, y))
        torch.testing.assert_close(L.cross_entropy(x.movedim(1, -1).contiguous(), y, dim=-1), F.cross_entropy(x, y))


# ---------------------------------------------------------------- margins, several labels, likelihoods, divergence


def signs(seed: int, *shape: int) -> Tensor:
    return 2 * integers(seed, 2, *shape) - 1


def test_signed_targets() -> None:
    for case in grid(shape=SHAPES, dtype=DTYPES, reduction=REDUCTIONS, margin=(0.0, 0.7), seed=range(2)):
        shape, dtype, seed = case["shape"], case["dtype"], case["seed"]
        x, other, y = normal(seed, *shape, dtype=dtype), normal(seed + 5, *shape, dtype=dtype), signs(seed, *shape)
        options = {"margin": case["margin"], "reduction": case["reduction"]}
        compare("margin_ranking_loss", x, other, y, **options)
        compare("hinge_embedding_loss", x, y, **options)
        compare("soft_margin_loss", x, y, reduction=case["reduction"])


def test_cosine_embedding() -> None:
    for case in grid(shape=((7, 3), (4,)), reduction=REDUCTIONS, margin=(0.0, 0.3, -0.5), seed=range(4)):
        x, other = normal(case["seed"], *case["shape"]), normal(case["seed"] + 5, *case["shape"])
        y = signs(case["seed"], *case["shape"][:-1])
        # torch adds 1e-12 to squared norms
        compare("cosine_embedding_loss", x, other, y, case["margin"], reduction=case["reduction"], _tolerance=1e-10)


def test_multi_margin() -> None:
    axes = grid(
        shape=((6, 5), (6, 1), (5,)),
        dtype=DTYPES,
        reduction=REDUCTIONS,
        p=(1, 2),
        margin=(1.0, 0.3),
        weighted=(False, True),
    )
    for case in axes:
        classes = case["shape"][-1]
        x, y = normal(0, *case["shape"], dtype=case["dtype"]), integers(0, classes, *case["shape"][:-1])
        weight = uniform(2, classes, dtype=case["dtype"]).detach() if case["weighted"] else None
        compare("multi_margin_loss", x, y, case["p"], case["margin"], weight=weight, reduction=case["reduction"])


def test_several_labels() -> None:
    for case in grid(shape=((6, 5), (7, 40), (5,)), dtype=DTYPES, reduction=REDUCTIONS, seed=range(4)):
        shape, dtype, seed = case["shape"], case["dtype"], case["seed"]
        x = normal(seed, *shape, dtype=dtype)
        compare("multilabel_soft_margin_loss", x, uniform(seed, *shape, dtype=dtype), reduction=case["reduction"])
        weight = uniform(3, shape[-1], dtype=dtype)
        sets = uniform(seed, *shape, dtype=dtype)
        compare("multilabel_soft_margin_loss", x, sets, weight=weight, reduction=case["reduction"])
        # with repeated labels, rows without any and rows where all hold
        indices = integers(seed, shape[-1] + 2, *shape) - 2
        compare("multilabel_margin_loss", x, indices.clamp_min(-1), reduction=case["reduction"])


def test_counts() -> None:
    axes = grid(
        shape=SHAPES, dtype=DTYPES, reduction=REDUCTIONS, log_input=(True, False), full=(True, False), eps=(1e-8, 0.1)
    )
    for case in axes:
        x = uniform(0, *case["shape"], dtype=case["dtype"]) * 3
        y = integers(1, 6, *case["shape"]).to(case["dtype"]) + 1  # at 0 torch has a NaN gradient by the target
        options = {n: case[n] for n in ("reduction", "log_input", "full", "eps")}
        compare("poisson_nll_loss", x.detach(), y, **options)


def test_noisy_values() -> None:
    for case in grid(shape=SHAPES, dtype=DTYPES, reduction=REDUCTIONS, full=(True, False), eps=(1e-6, 0.5)):
        shape, dtype = case["shape"], case["dtype"]
        x, y, var = normal(0, *shape, dtype=dtype), normal(1, *shape, dtype=dtype), uniform(2, *shape, dtype=dtype)
        options = {n: case[n] for n in ("reduction", "full", "eps")}
        compare("gaussian_nll_loss", x, y, var, **options)
        compare("gaussian_nll_loss", x, y, 0.7, **options)
        if len(shape) > 1:
            compare("gaussian_nll_loss", x, y, var[..., 0].clone(), **options)
            compare("gaussian_nll_loss", x, y, var[..., :1].clone(), **options)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
def test_kl_div() -> None:
    axes = grid(
        shape=SHAPES, dtype=DTYPES, reduction=(*REDUCTIONS, "batchmean"), log_target=(True, False), seed=range(2)
    )
    for case in axes:
        x = normal(case["seed"], *case["shape"], dtype=case["dtype"])
        y = uniform(case["seed"], *case["shape"], dtype=case["dtype"])
        target = y.log() if case["log_target"] else y
        compare("kl_div", x, target, reduction=case["reduction"], log_target=case["log_target"])


def test_connectionist_temporal_classification() -> None:
    """Behind a log_softmax, where torch's gradient is right, with labels in rows and in one row, repeated, none."""
    labels, own, steps = integers(1, 5, 5, 6) + 1, torch.tensor([3, 0, 6, 2, 4]), torch.tensor([12, 4, 9, 2, 3])
    one_row = torch.cat([row[:n] for row, n in zip(labels, own, strict=True)])
    for case in grid(reduction=REDUCTIONS, dtype=DTYPES[:2], targets=(labels, one_row), zero_infinity=(True, False)):
        options = {n: case[n] for n in ("reduction", "zero_infinity")}
        logits = normal(0, 12, 5, 6, dtype=case["dtype"]).requires_grad_()
        ours, theirs = (
            loss(logits.log_softmax(2), case["targets"], steps, own, **options) for loss in (L.ctc_loss, F.ctc_loss)
        )
        torch.testing.assert_close(ours, theirs)
        if case["zero_infinity"]:  # torch's gradient is NaN otherwise
            torch.testing.assert_close(
                *(torch.autograd.grad(value.sum(), logits, retain_graph=True)[0] for value in (ours, theirs))
            )
        COMPARED["ctc_loss"] += 1


@pytest.mark.skipif(not hasattr(F, "linear_cross_entropy"), reason="this torch has no linear_cross_entropy")
def test_linear_cross_entropy() -> None:
    axes = grid(
        shape=((7,), (7, 2), (7, 2, 3)),
        reduction=REDUCTIONS,
        soft=(True, False),
        biased=(True, False),
        weighted=(True, False),
        label_smoothing=(0.0, 0.2),
    )
    for case in axes:
        shape = case["shape"]
        w, x = normal(0, *shape, 5), normal(1, 4, 5)
        y = normal(2, 4, *shape).softmax(1) if case["soft"] else integers(3, 7, 4, *shape[1:])
        options = {n: case[n] for n in ("reduction", "label_smoothing")}
        bias = normal(4, *shape) if case["biased"] else None
        weight = uniform(5, 7) if case["weighted"] else None
        compare("linear_cross_entropy", x, w, y, linear_bias=bias, weight=weight, **options)


# ---------------------------------------------------------------- signatures and Modules

DEPRECATED = {"size_average", "reduce"}
#: torch's Module -> arguments of its constructor to compare with.
MODULES: dict[str, tuple[dict[str, Any], ...]] = {
    "MSELoss": ({}, {"reduction": "sum"}),
    "L1Loss": ({}, {"reduction": "none"}),
    "HuberLoss": ({}, {"delta": 0.5}),
    "SmoothL1Loss": ({}, {"beta": 0.5}),
    "BCEWithLogitsLoss": ({}, {"pos_weight": torch.tensor([1.0, 2.0, 3.0])}),
    "BCELoss": ({}, {"weight": torch.tensor([1.0, 2.0, 3.0])}),
    "CrossEntropyLoss": ({}, {"weight": torch.tensor([1.0, 2.0, 3.0]), "label_smoothing": 0.1}),
    "NLLLoss": ({}, {"ignore_index": 0}),
    "SoftMarginLoss": ({},),
    "HingeEmbeddingLoss": ({}, {"margin": 0.5}),
    "MultiMarginLoss": ({}, {"p": 2, "weight": torch.tensor([1.0, 2.0, 3.0])}),
    "MultiLabelMarginLoss": ({},),
    "MultiLabelSoftMarginLoss": ({}, {"weight": torch.tensor([1.0, 2.0, 3.0])}),
    "PoissonNLLLoss": ({}, {"full": True, "log_input": False}),
    "KLDivLoss": ({"reduction": "sum"}, {"reduction": "batchmean", "log_target": True}),
    "GaussianNLLLoss": ({}, {"full": True}),
    "MarginRankingLoss": ({}, {"margin": 0.5}),
    "CosineEmbeddingLoss": ({}, {"margin": 0.5}),
}
#: The Modules' inputs, where they are not two tensors of probabilities.
INPUTS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, ...]]] = {
    "CrossEntropyLoss": lambda x, y: (x, integers(1, 3, 5)),
    "NLLLoss": lambda x, y: (x, integers(1, 3, 5)),
    "MultiMarginLoss": lambda x, y: (x, integers(1, 3, 5)),
    "MultiLabelMarginLoss": lambda x, y: (x, integers(1, 3, 5, 3)),
    "SoftMarginLoss": lambda x, y: (x, signs(1, 5, 3)),
    "HingeEmbeddingLoss": lambda x, y: (x, signs(1, 5, 3)),
    "GaussianNLLLoss": lambda x, y: (x, y, y + 1),
    "MarginRankingLoss": lambda x, y: (x, y, signs(1, 5, 3)),
    "CosineEmbeddingLoss": lambda x, y: (x, y, signs(1, 5)),
}


def torch_names() -> list[str]:
    return sorted(name for name in dir(L) if hasattr(F, name))


@pytest.mark.parametrize("name", torch_names())
def test_positions_are_torchs(name: str) -> None:
    """torch's positional parameters, less the deprecated ones, in torch's order with torch's defaults."""
    theirs = [p for n, p in inspect.signature(getattr(F, name)).parameters.items() if n not in DEPRECATED]
    ours = list(inspect.signature(getattr(L, name)).parameters.values())[: len(theirs)]
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules(name: str) -> None:
    for arguments in MODULES[name]:
        ours, theirs = getattr(lossary, name)(**arguments), getattr(nn, name)(**arguments)
        x, y = (uniform(seed, 5, 3, dtype=torch.float32) for seed in range(2))
        inputs = INPUTS.get(name, lambda x, y: (x, y))(x, y)
        torch.testing.assert_close(ours(*inputs), theirs(*inputs))
        COMPARED[name] += 1

"""The inputs that torch tests its own losses with, through both: values, gradients in reverse and in forward, errors.

They ship with torch (ModuleInfo and OpInfo). Every loss that Lossary has under torch's name is compared on all of them;
which tensors have a gradient is what torch's samples say.
"""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils import _pytree as tree

import lossary
import lossary.functional as L

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch's own, as it lists its operators
    from torch.testing._internal import common_utils
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.testing._internal.common_modules import module_db

# For each list of samples it searches the whole stack for torch's own test, of which there is none here: a third of the
# time in which all tests are collected.
vars(common_utils)["extract_test_fn"] = lambda: None

MODULES = {m.module_cls.__name__: m for m in module_db if hasattr(lossary, m.module_cls.__name__)}
FUNCTIONS = {name: op for op in op_db if hasattr(L, name := op.name.removeprefix("nn.functional.")) and name != op.name}


def signs(t: Tensor) -> Tensor:
    """Labels, which have no gradient."""
    return torch.where(t.detach() > 0, 1, -1).to(t.dtype)


def positive(t: Tensor) -> Tensor:
    return t.detach().nan_to_num(1.0).abs().requires_grad_(t.requires_grad)


WEIGHTS = ("weight", positive, "class weights below 0")
#: Where torch's samples are outside of what the loss is defined on, which Lossary refuses or torch makes NaN of: which
#: argument is brought to its domain, how, and what torch has there.
BROUGHT: dict[str, tuple[int | str, Callable[[Tensor], Tensor], str]] = {
    "cross_entropy": WEIGHTS,
    "CrossEntropyLoss": WEIGHTS,
    "nll_loss": WEIGHTS,
    "multi_margin_loss": WEIGHTS,
    "MultiMarginLoss": WEIGHTS,
    "margin_ranking_loss": (2, signs, "any real numbers for the order of a pair, which is -1 or 1"),
    "MarginRankingLoss": (2, signs, "0 among the orders of pairs, which are -1 and 1"),
    "cosine_embedding_loss": (2, signs, "a gradient by labels of -1 and 1"),
    "hinge_embedding_loss": (1, signs, "real numbers for labels, which are -1 and 1"),
    "soft_margin_loss": (1, signs, "any real numbers for labels, which are -1 and 1"),
    "multilabel_soft_margin_loss": (1, lambda t: (t > 0).to(t.dtype), "any real numbers for labels from 0 to 1"),
    "KLDivLoss": (1, positive, "probabilities below 0, and their logarithms"),
}
#: In which ways Lossary differs, by name: what the difference says, and why it is meant. Each must be found.
NO_CLASSES = {"input: wanted 1 or 2 dimension": "torch takes a single number for the scores of one class"}
OWN_GRADIENT = {
    "^gradient 0": "torch's gradient is right only behind a log_softmax, where tests/test_torch_parity.py looks"
}
DIFFERENCES: dict[str, dict[str, str]] = {
    "multi_margin_loss": NO_CLASSES,
    "multilabel_margin_loss": NO_CLASSES,
    "gaussian_nll_loss": {r"wanted the shape of input, .*; got": "torch broadcasts it, and warns"},
    "ctc_loss": OWN_GRADIENT,
    "CTCLoss": OWN_GRADIENT,
}
#: What torch refuses and Lossary takes, by the beginning of the test's name.
ACCEPTED = {"NLLLoss: expected scalar type": "class weights of another precision are converted"}
TOLERANCES = {torch.float64: {"rtol": 1e-10, "atol": 1e-12}, torch.float32: {"rtol": 1e-5, "atol": 1e-6}}
#: Torch's own, of its samples and its forward mode.
pytestmark = pytest.mark.filterwarnings("ignore")
COUNTS: Counter[str] = Counter()

Loss = Callable[..., Tensor]
Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class Sample:
    """Torch's loss and ours, and the arguments of one call."""

    theirs: Loss
    ours: Callable[[], Loss]  # the loss, which may be refused
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    made: str = ""  # how

    def __str__(self) -> str:
        shown = tree.tree_map(lambda v: tuple(v.shape) if isinstance(v, Tensor) else v, (self.args, dict(self.kwargs)))
        return f"{self.made}{shown}"


def samples(name: str, dtype: torch.dtype, *, as_they_come: bool = False) -> Iterator[Sample]:
    bring = unchanged if as_they_come else partial(brought, name)
    if name in FUNCTIONS:
        for s in FUNCTIONS[name].sample_inputs("cpu", dtype, requires_grad=True):
            args, kwargs = bring((s.input, *s.args), s.kwargs)
            yield Sample(FUNCTIONS[name].op, lambda: getattr(L, name), args, kwargs)
        return
    info = MODULES[name]
    for s in info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True, training=True):
        how, fields = bring(s.constructor_input.args, s.constructor_input.kwargs, by_name_alone=True)
        args, kwargs = bring(s.forward_input.args, s.forward_input.kwargs)
        theirs = info.module_cls(*how, **fields)
        ours = partial(twin, getattr(lossary, name), theirs, how, fields)
        yield Sample(theirs, ours, args, kwargs, f"{how} {fields} ")


def twin(ours: type[nn.Module], theirs: nn.Module, args: Arguments, kwargs: Mapping[str, Any]) -> nn.Module:
    """Our Module with torch's weights."""
    module = ours(*args, **kwargs)
    if list(theirs.parameters()):
        module.load_state_dict(theirs.state_dict())
    return module


def unchanged(args: Arguments, kwargs: Mapping[str, Any], **_: Any) -> tuple[Arguments, Mapping[str, Any]]:
    return args, kwargs


def brought(
    name: str, args: Arguments, kwargs: Mapping[str, Any], *, by_name_alone: bool = False
) -> tuple[Arguments, Mapping[str, Any]]:
    place, bring, _ = BROUGHT.get(name, ("", positive, ""))
    if isinstance(place, int):
        return (args if by_name_alone else (*args[:place], bring(args[place]), *args[place + 1 :])), kwargs
    return args, {n: bring(v) if n == place and isinstance(v, Tensor) else v for n, v in kwargs.items()}


def direction(like: Tensor) -> Tensor:
    return torch.linspace(0.5, 1.5, max(like.numel(), 1), dtype=like.dtype)[: like.numel()].reshape(like.shape)


def copies(sample: Sample, change: Callable[[Tensor], Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with fresh tensors, those that have a gradient changed."""

    def copy(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        fresh = value.detach().clone()
        return change(fresh) if value.requires_grad else fresh

    return tree.tree_map(copy, (sample.args, dict(sample.kwargs)))


def reverse(loss: Loss, sample: Sample) -> dict[str, Tensor]:
    args, kwargs = copies(sample, lambda t: t.requires_grad_())
    value = loss(*args, **kwargs)
    leaves = [t for t in tree.tree_leaves((args, kwargs)) if isinstance(t, Tensor) and t.requires_grad]
    grads = torch.autograd.grad(value, leaves, direction(value), materialize_grads=True)
    return {"value": value.detach(), **{f"gradient {i}": g for i, g in enumerate(grads)}}


def forward(loss: Loss, sample: Sample) -> dict[str, Tensor]:
    with forward_ad.dual_level():
        args, kwargs = copies(sample, lambda t: forward_ad.make_dual(t, direction(t)))
        value, tangent = forward_ad.unpack_dual(loss(*args, **kwargs))
        # torch 2.6 and 2.7 leave some in float64.
        return {} if tangent is None else {"tangent": tangent.to(value.dtype) if torch.__version__ < "2.8" else tangent}


def has_forward(sample: Sample) -> bool:
    try:
        return bool(forward(sample.theirs, sample))
    except NotImplementedError:
        return False


def differences(name: str, sample: Sample, dtype: torch.dtype) -> Iterator[str]:
    """In which ways ours is not torch's."""
    for run in (reverse, forward):
        if run is forward and not has_forward(sample):
            continue
        theirs = run(sample.theirs, sample)
        try:
            ours = run(sample.ours(), sample)
        except Exception as error:  # noqa: BLE001
            yield f"{run.__name__}: raises {type(error).__name__}: {error}"
            return
        COUNTS[f"{name}, {run.__name__}"] += 1
        assert ours.keys() == theirs.keys()
        for part, wanted in theirs.items():
            try:
                torch.testing.assert_close(ours[part], wanted, equal_nan=True, **TOLERANCES[dtype])
            except AssertionError as error:
                nan = " (torch has NaN)" if wanted.isnan().any() else ""
                yield f"{part}{nan}: {error}"


@pytest.fixture(scope="module", autouse=True)
def count_of_samples() -> Iterator[None]:
    yield
    print("\ncompared on torch's own samples: " + "; ".join(f"{k} {v}" for k, v in sorted(COUNTS.items())))  # noqa: T201


@pytest.mark.parametrize("name", [*MODULES, *FUNCTIONS])
def test_torch_s_samples_give_torch_s_results(name: str) -> None:
    known = DIFFERENCES.get(name, {})
    found: set[str] = set()
    unknown: list[str] = []
    for dtype in TOLERANCES:
        for sample in samples(name, dtype):
            for difference in differences(name, sample, dtype):
                reasons = [pattern for pattern in known if re.search(pattern, difference)]
                found.update(reasons)
                if not reasons:
                    unknown.append(f"{sample}: {difference}")
    assert COUNTS[f"{name}, reverse"] > 0
    assert not unknown, "\n".join(unknown)
    assert found == set(known), "a known difference is none any more"


@pytest.mark.parametrize("name", BROUGHT)
def test_samples_are_brought_to_the_domain_only_where_it_is_needed(name: str) -> None:
    """As they come they make a difference."""
    assert any(
        True
        for dtype in TOLERANCES
        for sample in samples(name, dtype, as_they_come=True)
        for _ in differences(name, sample, dtype)
    )


def bad_calls() -> dict[str, Callable[[], object]]:
    """What torch's tests want to see refused."""
    found: dict[str, Callable[[], object]] = {}
    for name, op in FUNCTIONS.items():
        for s in op.error_inputs("cpu") if op.error_inputs_func else ():
            given = s.sample_input
            call = lambda n=name, g=given: getattr(L, n)(g.input, *g.args, **g.kwargs)  # noqa: E731
            found[f"{name}: {s.error_regex} {len(found)}"] = call
    for name, info in MODULES.items():
        made = info.module_error_inputs_func
        arguments = {"device": "cpu", "dtype": torch.float64, "requires_grad": False, "training": True}
        for s in made(info, **arguments) if made else ():
            how, call = s.module_error_input.constructor_input, s.module_error_input.forward_input
            args = call.args if call else (torch.rand(3), torch.rand(3))
            run = lambda n=name, h=how, a=args: getattr(lossary, n)(*h.args, **h.kwargs)(*a)  # noqa: E731
            found[f"{name}: {s.error_regex} {len(found)}"] = run
    return found


BAD_CALLS = bad_calls()


def test_there_are_bad_calls() -> None:
    assert len(BAD_CALLS) >= 20


@pytest.mark.parametrize("what", BAD_CALLS)
def test_what_torch_refuses_is_refused(what: str) -> None:
    if what.startswith(tuple(ACCEPTED)):
        BAD_CALLS[what]()
        return
    with pytest.raises((ValueError, TypeError, IndexError)):
        BAD_CALLS[what]()

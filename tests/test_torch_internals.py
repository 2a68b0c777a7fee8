"""What the library asks of torch's private parts, and that its results are right where torch does not answer."""

import ast
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, distributed

import lossary
from lossary.core import torch_internals as internals
from lossary.distributed.handshake import wait
from test_house import FILES


def test_this_torch_answers_everything() -> None:
    assert internals.LACKING == []


def test_what_is_lacking_is_noted_and_stands_in() -> None:
    assert internals._found("_C._no_such_thing", internals._true) is internals._true
    assert internals.LACKING.pop() == "_C._no_such_thing"


def test_nothing_else_names_private_parts_of_torch() -> None:
    def named(node: ast.AST) -> str:
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "torch":
            return ".".join([node.module or "", *(alias.name for alias in node.names)])
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("torch."):
            return ast.unparse(node)
        return ""

    private = {
        f"{name}:{found}"
        for name, path in FILES.items()
        for found in map(named, ast.walk(ast.parse(path.read_text())))
        if found.startswith("torch.ops.") or any(p.startswith("_") and p != "__version__" for p in found.split("."))
    }
    assert {p for p in private if not p.startswith("lossary.core.torch_internals:")} == set()


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch that answers nothing."""
    for name, stand_in in {
        "_modes_on": internals._true,
        "_mode": internals._proxy_mode,
        "_func_level": internals._true,
        "any_autocast": internals._true,
        "is_wrapped": internals._true,
        "_graph_is_kept": internals._true,
        "_forward_ad": None,
        "_ctc": internals._both_ways,
        "_times_twice_difference": internals._in_two,
    }.items():
        monkeypatch.setattr(internals, name, stand_in)


def ctc(x: Tensor) -> Tensor:
    """Of the second and the third the labels do not fit, as the third repeats one."""
    labels = torch.tensor([[1, 2], [1, 2], [2, 2]])
    lengths, own = torch.tensor([4, 1, 2]), torch.tensor([2, 2, 2])
    return lossary.ctc_loss(x.view(4, 3, 3).log_softmax(2), labels, lengths, own, reduction="none")


CALLS = {
    "ctc": ctc,
    "head": lambda x: lossary.arcface_loss(x, torch.eye(6, dtype=x.dtype), torch.arange(6)),
    "regions": lambda x: lossary.dice_loss(x.view(2, 3, 6), torch.arange(12).view(2, 6) % 3),
    "order": lambda x: lossary.lovasz_softmax_loss(x.view(2, 3, 6), torch.arange(12).view(2, 6) % 3),
    "elements": lambda x: lossary.sigmoid_focal_loss(x, torch.eye(6, dtype=x.dtype)),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_silent_torch_gives_the_same_results(name: str, request: pytest.FixtureRequest) -> None:
    def found() -> tuple[Tensor, Tensor]:
        x = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
        value = CALLS[name](x)
        return value, torch.autograd.grad(value[value.isfinite()].sum(), x)[0]

    wanted = found()
    request.getfixturevalue("silent")
    for value, right in zip(found(), wanted, strict=True):
        torch.testing.assert_close(value, right)


@pytest.mark.usefixtures("silent")
def test_a_silent_torch_says_whether_operations_are_recorded() -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    said: list[bool] = []

    def run(x: Tensor) -> Tensor:
        said.append(internals.records_operations())
        return x * 2

    run(torch.ones(2))
    make_fx(run)(torch.ones(2))
    assert said == [False, True]


def test_groups_of_a_torch_too_old_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "get_backend", lambda _: "gloo")
    with pytest.raises(RuntimeError, match=r"^group: wanted torch 2\.9 or newer for ranks that meet by gloo; got 2"):
        wait(distributed.Work(), cast("Any", SimpleNamespace()))

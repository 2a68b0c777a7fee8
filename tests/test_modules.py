"""What all loss Modules inherit: fields, signatures, docstrings, and what other tools ask of them."""

import inspect
import json
import subprocess
import sys
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

import lossary
from lossary.catalogue import CATALOGUE
from lossary.core.loss import Loss

#: Classes of losses as Python 3.14 makes them (PEP 649): annotations come from a function, when asked for.
AS_PYTHON_3_14 = """
import builtins, inspect, json, sys
from torch import nn
build, plain = builtins.__build_class__, inspect.get_annotations

class Deferred(type):
    def __new__(mcs, name, bases, space):
        notes = space.pop("__annotations__", {})
        space["__annotate_func__"] = lambda format: notes
        return super().__new__(mcs, name, bases, space)

def build_class(function, name, *bases, **options):
    loss = any(issubclass(base, nn.Module) and hasattr(base, "fields") for base in bases if isinstance(base, type))
    return build(function, name, *bases, **(options | ({"metaclass": Deferred} if loss else {})))

def get_annotations(asked, *, eval_str=False, **options):
    if "__annotate_func__" not in vars(asked):
        return plain(asked, eval_str=eval_str, **options)
    notes, names = vars(asked)["__annotate_func__"](1), vars(sys.modules[asked.__module__])
    return {n: eval(note, names) if eval_str and isinstance(note, str) else note for n, note in notes.items()}

builtins.__build_class__, inspect.get_annotations = build_class, get_annotations
from lossary.catalogue import CATALOGUE
print(json.dumps({card.name: [list(card.module.fields), sorted(card.module.rules)] for card in CATALOGUE}))
"""


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="every test shows it there")
def test_fields_and_rules_are_found_where_annotations_are_deferred() -> None:
    done = subprocess.run([sys.executable, "-c", AS_PYTHON_3_14], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-800:]
    here = {card.name: [list(card.module.fields), sorted(card.module.rules)] for card in CATALOGUE}
    assert json.loads(done.stdout) == here


def scaled_square(input: Tensor, target: Tensor, *, size: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """Squares.

    Args:
        input: Numbers.
        target: Numbers.
        size: A factor.
        mask: What counts.
    """
    return size * (input - target).square().mean()


class ScaledSquare(Loss):
    """Squares of one's own."""

    fn = staticmethod(scaled_square)
    names: ClassVar[tuple[str, ...]] = ("size",)
    size: float = 1.0


class Weighed(ScaledSquare):
    """A forward of one's own."""

    def forward(self, input: Tensor, target: Tensor, weight: Tensor) -> Tensor:  # pyright: ignore
        return weight * super().forward(input, target)


def test_a_loss_of_ones_own_has_its_functions_arguments() -> None:
    assert list(ScaledSquare.fields) == ["size"]
    assert list(inspect.signature(ScaledSquare).parameters) == ["size"]
    assert list(inspect.signature(ScaledSquare()).parameters) == ["input", "target", "mask"]
    assert "size: A factor." in (ScaledSquare.__doc__ or "")
    assert "mask: What counts." in (ScaledSquare.forward.__doc__ or "")
    with pytest.raises(TypeError, match="size: wanted a number"):
        ScaledSquare(size="large")


def test_a_forward_of_ones_own_keeps_its_arguments() -> None:
    loss = Weighed(size=2.0)
    assert list(inspect.signature(loss).parameters) == ["input", "target", "weight"]
    assert loss(torch.ones(3), torch.zeros(3), torch.tensor(0.5)) == 1
    with pytest.raises(TypeError, match=r"weight: wanted Weighed called \(input, target, weight\); got 2"):
        loss(torch.ones(3), torch.zeros(3))


def test_a_field_of_a_type_that_only_its_function_knows() -> None:
    space = {"Loss": Loss, "fn": scaled_square, "__name__": __name__}
    text = "class Local(Loss):\n    fn = staticmethod(fn)\n    size: Known = 2.0"
    exec(f"from __future__ import annotations\n{text}", space)
    assert space["Local"]().size == 2.0


@pytest.mark.skipif(sys.version_info < (3, 14), reason="older versions look names up when the class is made")
def test_a_field_of_a_type_that_only_type_checkers_know() -> None:
    space = {"Loss": Loss, "fn": scaled_square, "ClassVar": ClassVar, "__name__": __name__}
    exec("class Lazy(Loss):\n    fn = staticmethod(fn)\n    names: ClassVar[Known] = ()\n    size: Known = 2.0", space)
    assert list(space["Lazy"].fields) == ["size"]
    assert space["Lazy"]().size == 2.0


@pytest.mark.parametrize(
    "model",
    [lossary.ArcFaceLoss(3, 4), nn.Sequential(nn.Linear(2, 2), lossary.MSELoss()), lossary.functional.focal_loss],
    ids=["loss", "model", "function"],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit")  # torch's own
def test_torchscript_is_refused_in_one_line(model: nn.Module) -> None:
    with pytest.raises(NotImplementedError, match=r"^TorchScript: not supported by lossary's losses; use .*$"):
        torch.jit.script(model)


def test_power_beside_squared_is_refused_when_made() -> None:
    with pytest.raises(ValueError, match="p: wanted 2 with squared; got 1"):
        lossary.TripletMarginLoss(p=1.0, squared=True)

"""A preset module has presets and nothing else to import; to the original's name it answers with the preset's."""

import importlib
import pydoc
import sys
from types import ModuleType

import pytest

from lossary import presets
from presets.peers import CLASSES

MODULES = {name: getattr(presets, name) for name in presets.__all__}
#: What code and annotations are written in. Nobody takes these for a loss.
LANGUAGE = {"torch", "nn", "F", "Tensor", "math", "partial", "Path", "Any", "Callable", "Literal", "Sequence"}

each_module = pytest.mark.parametrize("module", MODULES.values(), ids=list(MODULES))
each_original = pytest.mark.parametrize(
    ("peer", "original", "preset"),
    [(peer, original, preset) for peer, table in CLASSES.items() for preset, original in table.items()],
)


def test_every_module_is_listed() -> None:
    assert set(CLASSES) == set(MODULES)


@each_module
def test_nothing_is_public_but_presets(module: ModuleType) -> None:
    """Or ``from lossary.presets.monai import DiceLoss`` would be Lossary's own, of another definition than MONAI's."""
    public = {name for name in vars(module) if not name.startswith("_")}
    assert public - LANGUAGE == set(module.__all__)
    values = [vars(module)[name] for name in public & LANGUAGE]
    roots = {(value.__name__ if isinstance(value, ModuleType) else value.__module__).split(".")[0] for value in values}
    assert roots <= {"torch", *sys.stdlib_module_names}
    assert [name for name in dir(module) if not name.startswith("_")] == sorted(module.__all__)


@each_original
def test_the_name_of_the_original_leads_to_the_preset(peer: str, original: str, preset: str) -> None:
    module, advice = MODULES[peer], f"use lossary.presets.{peer}.{preset}$"
    with pytest.raises(ImportError, match=advice):
        exec(f"from lossary.presets.{peer} import {original}")
    with pytest.raises(AttributeError, match=advice):
        getattr(module, original)
    assert not hasattr(module, original)


@each_original
def test_a_preset_is_named_like_the_original_in_lower_case_without_loss(peer: str, original: str, preset: str) -> None:
    assert preset.replace("_", "") == original.lower().replace("_", "").replace("loss", ""), peer


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("dice_ce_loss", "did you mean lossary.presets.monai.dice_ce or lossary.presets.monai.dice[?]"),
        ("DiceCeLoss", "did you mean lossary.presets.monai.dice_ce or"),
        ("HausdorffDTLoss", "it has dice, dice_ce, dice_focal, focal, generalized_dice, tversky"),
        ("__wrapped__", "module 'lossary.presets.monai' has no attribute '__wrapped__'"),
    ],
)
def test_other_names_are_answered_too(name: str, answer: str) -> None:
    with pytest.raises(AttributeError, match=answer):
        getattr(presets.monai, name)


@each_module
def test_presets_are_imported_and_explained_by_name(module: ModuleType) -> None:
    for name in module.__all__:
        scope: dict[str, object] = {}
        exec(f"from {module.__name__} import {name}", scope)
        assert scope[name] is getattr(importlib.import_module(module.__name__), name)
        assert f"function {name} in" in pydoc.plain(pydoc.render_doc(f"{module.__name__}.{name}"))

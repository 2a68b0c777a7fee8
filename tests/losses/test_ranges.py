"""Numbers of a wrong sign, which made a loss of nothing, or of its opposite, without a word."""

import pytest
import torch
from torch import Generator

import samples
from lossary import DeepSupervision, DiceLoss, presets
from lossary.catalogue import find


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        ("triplet_margin_loss", "margin"),
        ("hinge_loss", "margin"),
        ("squared_hinge_loss", "margin"),
        ("multiclass_hinge_loss", "margin"),
        ("crammer_singer_loss", "margin"),
        ("dice_cross_entropy_loss", "dice_weight"),
        ("dice_cross_entropy_loss", "cross_entropy_weight"),
        ("dice_focal_loss", "focal_weight"),
        ("sigmoid_dice_cross_entropy_loss", "cross_entropy_weight"),
        ("sigmoid_dice_focal_loss", "focal_weight"),
    ],
)
def test_a_number_below_zero_is_refused(loss: str, name: str) -> None:
    card = find(loss)
    call = samples.draw(card, Generator().manual_seed(0), torch.float32)
    with pytest.raises(ValueError, match=f"{name}: wanted a finite number in .0.*; got -1.0"):
        card.fn(*call.args, **{**call.kwargs, name: -1.0})


@pytest.mark.parametrize(("loss", "name"), [("quantile_loss", "quantile"), ("poly_loss", "epsilon")])
def test_no_number_where_several_may_be_is_refused_by_name(loss: str, name: str) -> None:
    card = find(loss)
    call = samples.draw(card, Generator().manual_seed(0), torch.float32)
    with pytest.raises(TypeError, match=f"{name}: wanted a number or several; got NoneType"):
        card.fn(*call.args, **{**call.kwargs, name: None})


def test_weights_of_depths_and_lambdas_are_not_below_zero() -> None:
    with pytest.raises(ValueError, match="weights: wanted"):
        DeepSupervision(DiceLoss(), weights=(1.0, -0.5))
    for name in ("lambda_dice", "lambda_ce"):
        with pytest.raises(ValueError, match=f"{name}: wanted"):
            presets.monai.dice_ce(softmax=True, **{name: -1.0})

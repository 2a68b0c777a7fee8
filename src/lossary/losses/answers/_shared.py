"""Shared by the losses of yes or no."""

from functools import partial

import torch
from torch import Tensor

from lossary.core.card import Card
from lossary.core.check import check_tensor, wide_integers
from lossary.core.reduce import align
from lossary.losses._pointwise import hide

logit_card = partial(
    Card,
    data="answers",
    takes=("input-target",),
    input="logits",
    kernel="none",
    item="element",
    at_call=frozenset({"sample_weight", "mask"}),
)


def powerable(wrong: Tensor, gamma: float) -> Tensor:
    """Probabilities, made safe for a power that multiplies something about as small."""
    if gamma in (0, 1) or gamma >= 2:
        return wrong
    # The power's derivatives are infinite at 0, and 0 times infinity is NaN. Below this bound the loss is smaller than
    # the bound itself.
    return wrong.clamp_min(torch.finfo(wrong.dtype).tiny ** 0.4)


def without(target: Tensor, ignore_index: int, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Targets with 0 where they are ignored, and a mask without those."""
    check_tensor("target", target)
    target = wide_integers("target", target)
    counted = target != ignore_index
    _, mask = align(None, mask, target.shape)
    return hide(target, counted), counted if mask is None else counted & mask

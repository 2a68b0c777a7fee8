"""The sigmoid focal loss and its gradient in closed form, for a block of elements: half the operations of autograd."""

import math

import torch
from torch import Tensor

from lossary.kernels.stable import LOG2_E, accumulator, softplus

#: From odds o of 2^64 on, log(1 + o) is log(o).
SURE = 64.0


def slope_of_decided(
    z: Tensor, y: Tensor, gamma: float, alpha: float | None, share: float, out: Tensor
) -> Tensor | None:
    """``share`` times the summed focal loss of targets 0 and 1, its gradient written to ``out``; None at huge logits.

    With the odds o of the wrong answer, the fade is f = (o / (1 + o))^gamma, the loss f log(1 + o), and its derivative
    by log o is f (o + gamma log(1 + o)) / (1 + o).
    """
    sign = torch.rsub(y, LOG2_E, alpha=2 * LOG2_E)  # a factor: infinite logits times a y of 0 would be NaN
    against = torch.mul(sign, z)
    # Keeps products of the faintest odds from being subnormal, which takes some processors ten times as long.
    faint = (math.log2(torch.finfo(z.dtype).tiny) + 4 - math.log2(min(share, 1))) / (gamma + 1)
    odds = against.clamp(faint, SURE).exp2_()
    entropy = torch.log1p(odds)
    if against.amax().item() > SURE:
        entropy.add_(against.sub_(SURE).relu_(), alpha=1 / LOG2_E)
    both = torch.add(odds, 1)
    fade = torch.div(odds, both).pow_(gamma)
    if alpha is not None:
        fade.mul_(torch.mul(y, 2 * alpha - 1).add_(1 - alpha))
    slopes = odds.add_(entropy, alpha=gamma).div_(both).mul_(fade)
    torch.addcmul(z.new_zeros(()), slopes, sign, value=share / LOG2_E, out=out)
    total = entropy.mul_(fade).sum() * share
    return total if math.isfinite(total.item()) else None  # odds beyond the largest number


def slope_unseen_decided(z: Tensor, y: Tensor, gamma: float, alpha: float | None, share: float, out: Tensor) -> Tensor:
    """The same without looking at the values it computes."""
    sign = torch.rsub(y, 1, alpha=2)
    against = torch.mul(sign, z)
    wrong, entropy = torch.sigmoid(against), softplus(against)
    slopes = torch.add(wrong, against.neg_().sigmoid_().mul_(entropy), alpha=gamma)
    fade = wrong.pow_(gamma)
    if alpha is not None:
        fade.mul_(torch.mul(y, 2 * alpha - 1).add_(1 - alpha))
    torch.addcmul(z.new_zeros(()), slopes.mul_(fade), sign, value=share, out=out)
    return entropy.mul_(fade).sum(dtype=accumulator(z)) * share


def slope_unseen(z: Tensor, y: Tensor, gamma: float, alpha: float | None, share: float, out: Tensor) -> Tensor:
    """The same for any targets from 0 to 1 and any ``gamma`` from 1 up.

    With the cross-entropy e and the wrong answer's share w, the loss is w^gamma e and its derivative by the logit
    w^(gamma - 1) (w e' + gamma e w'). lerp mixes the two answers, since it is exact at both.
    """
    minus = torch.neg(z)
    yes, no = torch.sigmoid(z), torch.sigmoid(minus)
    entropy = torch.lerp(softplus(z), softplus(minus), y)
    wrong = torch.lerp(yes, no, y)
    by_wrong = torch.mul(yes, no)
    by_wrong.addcmul_(by_wrong, y, value=-2)
    slopes = torch.lerp(yes, no.neg_(), y).mul_(wrong).addcmul_(by_wrong, entropy, value=gamma)
    fade = wrong if gamma == 2 else wrong ** (gamma - 1)
    if alpha is not None:
        fade = fade * torch.mul(y, 2 * alpha - 1).add_(1 - alpha)
    torch.addcmul(z.new_zeros(()), slopes, fade, value=share, out=out)
    return entropy.mul_(wrong).mul_(fade).sum(dtype=accumulator(z)) * share

"""Right uses, one a line: a type checker has nothing against them, and they run."""

from collections.abc import Callable
from typing import assert_type

import torch
from torch import Tensor, nn

import lossary
from lossary import AAMSoftmaxLoss, ArcFaceLoss, LinearHead, cross_entropy
from lossary import functional as F

x, t = torch.randn(4, 3), torch.tensor([0, 1, 2, 1])
values, answers = torch.randn(4), torch.tensor([1, 0, 1, 1])
pixels, masks = torch.randn(2, 3, 5, 5), torch.zeros(2, 5, 5, dtype=torch.int64)
half, keep, labels = torch.full((4,), 0.5), torch.tensor([True, True, False, True]), torch.tensor([0, 0, 1, 1])

assert_type(lossary.focal_loss(x, t), Tensor)
assert_type(lossary.FocalLoss()(x, t), Tensor)
assert_type(lossary.FocalLoss(gamma=1.0), lossary.FocalLoss)
assert_type(lossary.FocalLoss(gamma=nn.Parameter(torch.tensor(2.0)))(x, t, mask=keep), Tensor)
assert_type(lossary.FocalLoss(1.5, reduction="none")(x, t, sample_weight=half), Tensor)
assert_type(lossary.FocalLoss(class_weight=torch.ones(3), ignore_index=-1)(x, t), Tensor)
assert_type(cross_entropy(x, t, torch.ones(3), -100, "sum", 0.1), Tensor)
assert_type(lossary.CrossEntropyLoss(label_smoothing=0.1)(x, t), Tensor)
assert_type(lossary.functional.cross_entropy(x, t, label_smoothing=0.1), Tensor)
assert_type(F.mse_loss(values, answers, "sum"), Tensor)
assert_type(F.mae_loss(values, answers, mask=keep), Tensor)
assert_type(lossary.mae_loss(values, answers), Tensor)
assert_type(lossary.huber_loss(values, answers, "mean", 2), Tensor)
assert_type(lossary.HuberLoss(delta=0.5)(values, answers), Tensor)
assert_type(lossary.quantile_loss(values, answers, quantile=0.9), Tensor)
assert_type(lossary.QuantileLoss(quantile=(0.1, 0.5, 0.9))(x, values), Tensor)
assert_type(lossary.binary_cross_entropy_with_logits(values, answers, pos_weight=2.0), Tensor)
assert_type(lossary.BCEWithLogitsLoss(pos_weight=torch.tensor(2.0))(values, answers), Tensor)
assert_type(lossary.sigmoid_focal_loss(values, answers, alpha=0.25), Tensor)
assert_type(lossary.SigmoidFocalLoss(alpha=None)(values, answers), Tensor)
assert_type(lossary.MultiMarginLoss(p=2)(x, t), Tensor)
assert_type(lossary.poly_loss(x, t, epsilon=[1.0, 0.5]), Tensor)
assert_type(ArcFaceLoss(3, 3)(x, t), Tensor)
assert_type(ArcFaceLoss(num_classes=3, embedding_size=3, sub_centers=2, margin=0.3).get_logits(x), Tensor)
assert_type(ArcFaceLoss(3, 3, gradient="straight_through").weight, nn.Parameter)
assert_type(AAMSoftmaxLoss(3, 3, scale=16)(x, t), Tensor)
assert_type(lossary.arcface_loss(x, torch.eye(3), t, margin=torch.full((4,), 0.3)), Tensor)
assert_type(lossary.aam_softmax_loss(x, torch.eye(3), t, beyond_pi="plain"), Tensor)
assert_type(lossary.SphereFaceLoss(3, 3, annealing=lossary.Annealing())(x, t), Tensor)
assert_type(lossary.CenterLoss(num_classes=3, embedding_size=3)(x, t), Tensor)
assert_type(lossary.info_nce_loss(x, x, temperature=0.2), Tensor)
assert_type(lossary.InfoNCELoss(temperature=torch.tensor(0.2))(x, x), Tensor)
assert_type(lossary.NTXentLoss()(x, x), Tensor)
assert_type(lossary.SupConLoss()(x, labels), Tensor)
assert_type(lossary.TripletLoss(mining="semihard", margin=0.2)(x, labels), Tensor)
assert_type(lossary.TripletMarginLoss(p=2, squared=True)(x, x, x), Tensor)
assert_type(lossary.dice_loss(pixels, masks, aggregate="batch", absent="skip"), Tensor)
assert_type(lossary.Sum(a=lossary.DiceLoss(), b=(lossary.FocalLoss(), 0.5)).parts(pixels, masks), dict[str, Tensor])
assert_type(LinearHead(lossary.FocalLoss(), num_classes=5, embedding_size=3).get_logits(x), Tensor)
assert_type(lossary.linear_loss(lossary.cross_entropy, x, torch.eye(3), t), Tensor)
preset: nn.Module = lossary.presets.kornia.dice()
functions: list[Callable[..., Tensor]] = [lossary.focal_loss, lossary.FocalLoss(), F.poly_loss]
modules: list[nn.Module] = [lossary.MSELoss(), ArcFaceLoss(3, 3), lossary.Sum(a=lossary.MSELoss())]

"""Wrong uses, one a line: a type checker finds one error on each, and none anywhere else."""

import torch

import lossary
from lossary import ArcFaceLosss  # error: no such name
from lossary.functional import FocalLoss  # error: functions alone
from lossary.presets.monai import DiceLoss  # error: presets alone

x, t = torch.randn(4, 3), torch.tensor([0, 1, 2, 1])
pixels, masks = torch.randn(2, 3, 5, 5), torch.zeros(2, 5, 5, dtype=torch.int64)

a = lossary.ArcFaceLos  # error: no such name
b = lossary.functional.focal_losss  # error: no such name
c = lossary.functional.ArcFaceLoss  # error: functions alone
d = lossary.presets.mona  # error: no such name
e = lossary.FocalLoss(gama=2.0)  # error: no such argument
f = lossary.FocalLoss(gamma="2")  # error: no number
g = lossary.FocalLoss(reduction="avg")  # error: no such choice
h = lossary.FocalLoss()("logits", t)  # error: no tensor
i: str = lossary.FocalLoss()(x, t)  # error: a tensor
j = lossary.focal_loss(x)  # error: no target
k = lossary.focal_loss(x, t, 2.0)  # error: gamma is given by name
m = lossary.focal_loss(x, t, gamma=None)  # error: no number
n = lossary.ArcFaceLoss(margin=0.5)  # error: no sizes
o = lossary.ArcFaceLoss("ten", 3)  # error: no number
p = lossary.ArcFaceLoss(10, 3, gradient="right")  # error: no such choice
q = lossary.AAMSoftmaxLoss(10, 3, marginn=0.5)  # error: no such argument, of an alias
r = lossary.mae_loss(x, x, delta=1.0)  # error: no such argument, of an alias
s = lossary.dice_loss(pixels, masks, aggregate="image")  # error: no such choice
u = lossary.MultiMarginLoss(p=3)  # error: no such choice
v = lossary.TripletLoss(mining="easy")  # error: no such choice
w = lossary.info_nce_loss(x, x, temperature="low")  # error: no number
y = lossary.functional.cross_entropy(x, t, ignore_index="none")  # error: no number

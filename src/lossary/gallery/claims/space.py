"""Claims on embeddings and masks that need no training: C20 to C25, C34, C36, C39, C43."""

import math

import torch
import torch.nn.functional as F
from torch import tensor

import lossary
from lossary.gallery.exhibit import Results, Source, exhibit


@exhibit(
    "C20",
    "Centers of a batch",
    Source.LECTURE,
    says="Centers that are taken from a batch are inaccurate, and those of all data expensive.",
    answer="The error of a mean of n falls as 1/√n: with 4 items of a class in the batch it is 4 times that with 64. "
    "The exact center needs a pass over all data whenever the features have moved.",
    seeds=20,
    losses=("center_loss",),
)
def c20(seed: int) -> Results:
    errors = {}
    for n in (4, 16, 64):
        x = torch.randn(200 * n, 8)  # 200 batches of a class whose center is 0
        means = lossary.class_means(x, torch.arange(200).repeat_interleave(n))
        errors[n] = means[::n].norm(dim=1).mean().item()
    return {f"distance to the center, {n} items": error for n, error in errors.items()} | {
        "fewer items, a worse center": errors[4] > errors[16] > errors[64],
        "as 1/√n": abs(errors[4] / errors[64] - 4) < 0.4,
    }


@exhibit(
    "C22",
    "On a sphere of radius s",
    Source.LECTURE,
    says="With normalised features and weights the length of a feature does not matter; features lie on a sphere.",
    answer="The loss is the same at any length, so its gradient is at a right angle to the feature: it turns it and "
    "never stretches.",
    losses=("normalized_softmax_loss",),
)
def c22() -> Results:
    x, w, y = torch.randn(6, 3, requires_grad=True), torch.randn(4, 3), tensor([0, 1, 2, 3, 0, 1])
    loss, longer = lossary.normface_loss(x, w, y), lossary.normface_loss(5 * x, w, y)
    (slope,) = torch.autograd.grad(loss, x)
    return {
        "five times the length: the same loss": torch.allclose(loss, longer),
        "the gradient is at a right angle": bool((slope * x).sum(1).abs().max() < 1e-12),
    }


@exhibit(
    "C24",
    "SphereFace's margin depends on the classes",
    Source.LECTURE,
    says="SphereFace has different margins for different classes.",
    answer="The border moves to Θ/(m + 1) for classes that are Θ apart. This is a share of their angle, so close "
    "classes, which need a margin most, get the least. How difficult it is to train is not shown here.",
    losses=("sphereface_loss",),
)
def c24() -> Results:
    shifts = []
    for apart in (30.0, 60.0, 120.0):
        theta, end = torch.linspace(0, apart / 2, 30001).deg2rad(), math.radians(apart)
        x, w = torch.stack([theta.cos(), theta.sin()], dim=1), tensor([[1.0, 0.0], [math.cos(end), math.sin(end)]])
        loss = lossary.sphereface_loss(x, w, torch.zeros(30001).long(), margin=4, annealing=0.0, reduction="none")
        shifts.append(apart / 2 - theta[loss < math.log(2)].max().rad2deg())
    return {
        "the border moves by (degrees), classes 30°, 60°, 120° apart": torch.stack(shifts),
        "by another angle for other classes": bool(shifts[0] < shifts[1] < shifts[2]),
    }


@exhibit(
    "C25",
    "Fixed in the cosine, fixed in the angle",
    Source.LECTURE,
    says="CosFace's margin is fixed in the cosine and not linear in the angle; ArcFace's is fixed in the angle.",
    answer="ArcFace moves the border, where both classes score the same, by m/2 whatever the classes; CosFace moves "
    "it more for classes that are close. (An angle on the sphere is a distance on it: that part is geometry.)",
    losses=("cosface_loss", "arcface_loss"),
)
def c25() -> Results:
    shifts = {"ArcFace": [], "CosFace": []}
    for apart in (60.0, 90.0, 150.0):
        theta, end = torch.linspace(0, apart / 2, 30001).deg2rad(), math.radians(apart)
        x, w = torch.stack([theta.cos(), theta.sin()], dim=1), tensor([[1.0, 0.0], [math.cos(end), math.sin(end)]])
        for name, loss in (("ArcFace", lossary.arcface_loss), ("CosFace", lossary.cosface_loss)):
            value = loss(x, w, torch.zeros(30001).long(), margin=0.3, scale=1.0, reduction="none")
            shifts[name].append((apart / 2 - theta[value < math.log(2)].max().rad2deg()).item())
    return {f"border moved by, 60°, 90°, 150° apart: {name}": each for name, each in shifts.items()} | {
        "ArcFace: the same for all": max(shifts["ArcFace"]) - min(shifts["ArcFace"]) < 0.01,
        "CosFace: not the same": max(shifts["CosFace"]) - min(shifts["CosFace"]) > 1,
    }


@exhibit(
    "C34",
    "GE2E turns to the hard ones",
    Source.PRIMER,
    says="GE2E emphasises examples that are difficult to verify, without an initial stage of selecting them.",
    answer="Every utterance meets every center in one loss, and the harder half of them, one planted and the others "
    "drawn, "
    "gets most of the force. That it trains faster than its predecessor is not shown: the library does not have that "
    "one.",
    seeds=20,
    losses=("ge2e_loss",),
)
def c34(seed: int) -> Results:
    labels = torch.arange(4).repeat_interleave(5)
    x = torch.eye(4)[labels] + 0.3 * torch.randn(20, 4)
    x[0] = torch.eye(4)[1]  # said by speaker 0, sounds like speaker 1
    x = F.normalize(x).requires_grad_()
    force = torch.autograd.grad(lossary.ge2e_loss(x, labels), x)[0].norm(dim=1)
    hard = lossary.ge2e_loss(x, labels, reduction="none").detach().argsort(descending=True)
    ratio = force[hard[:10]].mean() / force[hard[10:]].mean()
    return {
        "force on the harder half by that on the easier": ratio.item(),
        "the harder half gets more": bool(ratio > 1),
    }


@exhibit(
    "C36",
    "Contrastive loss and its margin",
    Source.BOOK,
    says="Beyond the margin a pair of different classes costs nothing; near pairs of one class and far pairs of two "
    "cost little.",
    answer="All of it is true. Beyond the margin there is no force either: such pairs no longer teach anything.",
    losses=("contrastive_loss",),
)
def c36() -> Results:
    d = torch.linspace(0, 2, 21)[:, None]
    same, other = (lossary.contrastive_loss(0 * d, d, torch.full((21,), y), reduction="none") for y in (1, 0))
    return {
        "of two classes: 0 from the margin on, and only there": torch.equal(other == 0, d[:, 0] >= 1 - 1e-12),
        "of one class: grows with the distance": bool((same.diff() > 0).all()),
    }


@exhibit(
    "C39",
    "Dice between 0 and 1",
    Source.PRIMER,
    says="The Dice coefficient is between 0 and 1: 1 for a perfect overlap, 0 for none.",
    answer="For masks it is. The loss takes probabilities, which are never exactly 0 or 1 at finite scores, so it "
    "comes near to 0 "
    "without reaching it; and the customary `smooth` moves it for small masks: disjoint ones cost less than 1.",
    losses=("sigmoid_dice_loss",),
)
def c39() -> Results:
    g = tensor([[[1.0, 1.0, 0.0, 0.0]]])
    scores = 20 * torch.stack([2 * g - 1, 1 - 2 * g]).flatten(0, 1)
    perfect, disjoint = lossary.sigmoid_dice_loss(scores, g.expand(2, -1, -1), smooth=0.0, reduction="none").flatten()
    drawn = lossary.sigmoid_dice_loss(torch.randn(1000, 1, 4), g.expand(1000, -1, -1), smooth=0.0, reduction="none")
    smoothed = lossary.sigmoid_dice_loss(scores[1:], g, smooth=1.0)
    return {
        "perfect, disjoint, disjoint with smooth = 1": torch.stack([perfect, disjoint, smoothed]),
        "a thousand drawn ones are between 0 and 1": bool(((drawn > 0) & (drawn < 1)).all()),
        "perfect: 0, to nine digits": bool(perfect < 1e-8),
        "disjoint: 1, to nine digits": bool(disjoint > 1 - 1e-8),
    }


@exhibit(
    "C43",
    "Losses that see a batch",
    Source.PRIMER,
    says="A class loss looks at one item; a contrastive one at an item among others.",
    answer="Cut a batch in two: the mean cross-entropy is the mean of both halves. For the supervised contrastive "
    "loss it is not, because the negatives in the other half are gone. So batch size is a hyperparameter only of "
    "the second kind.",
    losses=("cross_entropy", "supcon_loss"),
)
def c43() -> Results:
    x, y = torch.randn(8, 4), tensor([0, 0, 1, 1, 0, 0, 1, 1])
    halves = {}
    for name, loss in (("cross-entropy", lossary.cross_entropy), ("SupCon", lossary.supcon_loss)):
        halves[name] = torch.stack([loss(x, y), (loss(x[:4], y[:4]) + loss(x[4:], y[4:])) / 2])
    return {f"whole, halves: {name}": pair for name, pair in halves.items()} | {
        "cross-entropy is the mean of its halves": bool(halves["cross-entropy"].diff().abs() < 1e-12),
        "SupCon is not": bool(halves["SupCon"].diff().abs() > 0.01),
    }


EXHIBITS = (c20, c22, c24, c25, c34, c36, c39, c43)

"""Errata E0-1 to E0-9, of the recitation."""

import math

import torch
import torch.nn.functional as F
from torch import tensor

import lossary
from lossary.gallery.exhibit import Results, Source, exhibit


@exhibit(
    "E0-1",
    "AM-Softmax without the margin in the denominator",
    Source.RECITATION,
    says="The denominator sums exp(s cos θⱼ) over all classes.",
    answer="The true class carries its margin there too. As printed, the margin only adds the constant s m: it "
    "changes no gradient.",
    losses=("cosface_loss",),
)
def e0_1() -> Results:
    x, w, y = torch.randn(4, 3, requires_grad=True), torch.randn(5, 3), tensor([0, 1, 2, 3])
    cosine = F.normalize(x) @ F.normalize(w).T
    printed = [(torch.logsumexp(10 * cosine, 1) - 10 * (cosine[range(4), y] - m)).mean() for m in (0.0, 0.35)]
    right = [lossary.cosface_loss(x, w, y, margin=m, scale=10.0) for m in (0.0, 0.35)]
    slopes = [torch.autograd.grad(loss, x, retain_graph=True)[0] for loss in (*printed, *right)]
    return {
        "as printed, no gradient changes with the margin": torch.allclose(slopes[0], slopes[1]),
        "rightly, it does": not torch.allclose(slopes[2], slopes[3]),
    }


@exhibit(
    "E0-2",
    "cos(m θ) for every angle",
    Source.RECITATION,
    says="Angular softmax scores the true class by s cos(m θ), and features are scaled to s.",
    answer="cos(m θ) falls only up to π/m: at m = 4 a feature at a right angle scores as well as a perfect one. "
    "SphereFace uses "
    "ψ(θ), which goes on falling, and keeps the feature's length instead of s.",
    losses=("sphereface_loss",),
)
def e0_2() -> Results:
    angles = torch.linspace(0, math.pi, 5)
    x, w, y = torch.stack([angles.cos(), angles.sin()], dim=1), tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.zeros(5).long()
    right = lossary.sphereface_loss(x, w, y, margin=4, annealing=0.0, reduction="none")
    printed = torch.stack([(4 * angles).cos(), -angles.cos()], dim=1)
    return {
        "cos(4 θ) at 0°, 45°, 90°, 135°, 180°": printed[:, 0],
        "SphereFace's loss there": right,
        "it rises all the way": bool((right.diff() > 0).all()),
        "as printed, 90° scores like 0°": torch.allclose(printed[2, 0], printed[0, 0]),
    }


@exhibit(
    "E0-3",
    "What angular losses normalise",
    Source.RECITATION,
    says="Angular losses normalise the length of the features.",
    answer="SphereFace normalises only the weights; NormFace, CosFace and ArcFace normalise both.",
    losses=("sphereface_loss", "arcface_loss"),
)
def e0_3() -> Results:
    x, w, y = torch.randn(4, 3), torch.randn(5, 3), tensor([0, 1, 2, 3])
    return {
        "SphereFace: the features' length matters": not torch.allclose(
            lossary.sphereface_loss(x, w, y), lossary.sphereface_loss(2 * x, w, y)
        ),
        "ArcFace: it does not": torch.allclose(lossary.arcface_loss(x, w, y), lossary.arcface_loss(2 * x, w, y)),
    }


@exhibit(
    "E0-4",
    "Additive angular margin, over AM-Softmax",
    Source.RECITATION,
    says="AM-Softmax is called additive angular margin softmax, with a fixed angular margin.",
    answer="It adds its margin to the cosine, which is another angle at every angle. The additive angular margin is "
    "ArcFace's.",
    losses=("cosface_loss", "arcface_loss"),
)
def e0_4() -> Results:
    degrees = tensor([30.0, 60.0, 90.0])
    cosface = ((degrees.deg2rad().cos() - 0.35).acos() - degrees.deg2rad()).rad2deg()
    return {"0.35 in the cosine at 30°, 60°, 90°, as an angle": cosface, "it differs": bool(cosface.std() > 1)}


@exhibit(
    "E0-5",
    "The average distance",
    Source.RECITATION,
    says="The average Euclidean distance is the mean squared error.",
    answer="The mean squared error averages squared distances, and in PyTorch over every component.",
    losses=("mse_loss",),
)
def e0_5() -> Results:
    x, y = tensor([[3.0, 4.0], [0.0, 0.0]]), torch.zeros(2, 2)
    distance = (x - y).norm(dim=1)
    mse = lossary.mse_loss(x, y)
    return {
        "average distance": distance.mean(),
        "MSE": mse,
        "MSE is the average squared distance by 2 components": torch.allclose(mse, (distance**2).mean() / 2),
    }


@exhibit(
    "E0-6",
    "Center loss as the total squared distance",
    Source.RECITATION,
    says="The loss is the total squared distance to the centers, which are learned.",
    answer="Its own formula has ½. And the paper does not train the centers by this gradient: it moves them by the "
    "sum of the "
    "differences over 1 + n, at a rate of their own.",
    losses=("center_loss",),
)
def e0_6() -> Results:
    x, centers, y = torch.randn(6, 2), torch.zeros(2, 2, requires_grad=True), tensor([0, 0, 0, 0, 1, 1])
    loss = lossary.center_loss(x, centers, y, reduction="sum")
    (slope,) = torch.autograd.grad(loss, centers)
    moved = lossary.moved_centers(centers.detach(), x, y, rate=1.0)
    return {
        "half of the total squared distance": torch.allclose(loss, (x**2).sum() / 2),
        "the paper's step is the gradient's over 1 + n": torch.allclose(moved, -slope / tensor([[5.0], [3.0]])),
    }


@exhibit(
    "E0-7",
    "zᵢ for the target class",
    Source.RECITATION,
    says="zᵢ is the logit of the target class i.",
    answer="i runs over all classes: each has its logit, and their probabilities sum to 1.",
)
def e0_7() -> Results:
    p = lossary.softmax(tensor([2.0, 1.0, -1.0]))
    return {"p of each class": p, "they sum to 1": torch.allclose(p.sum(), tensor(1.0))}


@exhibit(
    "E0-8",
    "Angular softmax as a hinge",
    Source.RECITATION,
    says="Angular softmax is an example of max(0, m − s₊ + s₋).",
    answer="It is a softmax with a margin. The hinge is 0 once the margin is kept; a softmax never is.",
    losses=("margin_ranking_loss", "cosface_loss"),
)
def e0_8() -> Results:
    x, w = tensor([[1.0, 0.0]]), tensor([[1.0, 0.0], [-1.0, 0.0]])
    hinge = lossary.margin_ranking_loss(tensor([1.0]), tensor([-1.0]), tensor([1.0]), margin=0.35)
    softmax = lossary.cosface_loss(x, w, tensor([0]), margin=0.35, scale=10.0)
    return {"hinge": hinge, "softmax": softmax, "only the hinge is 0": bool(hinge == 0 < softmax)}


@exhibit(
    "E0-9",
    "A loss as a metric",
    Source.RECITATION,
    says="A loss is a metric that measures the performance of a model.",
    answer="A loss need not be a metric in either sense. It need not be symmetric, or 0 for equal arguments, and it "
    "need not agree with the reported metric: here the loss is worse although more answers are right.",
    losses=("cross_entropy",),
)
def e0_9() -> Results:
    p, q, labels = tensor([[0.9, 0.1]]), tensor([[0.5, 0.5]]), tensor([0, 0, 0])
    none, two = tensor([[-0.1, 0.0]] * 3), tensor([[1.0, 0.0], [1.0, 0.0], [-9.0, 0.0]])
    loss = [lossary.cross_entropy(scores, labels) for scores in (none, two)]
    return {
        "H(p, p)": lossary.cross_entropy_of(p, p),
        "H(p, q) and H(q, p) differ": bool(lossary.cross_entropy_of(p, q) != lossary.cross_entropy_of(q, p)),
        "loss with 0 and with 2 of 3 right": torch.stack(loss),
        "more right, and a worse loss": bool(loss[1] > loss[0]),
    }


EXHIBITS = (e0_1, e0_2, e0_3, e0_4, e0_5, e0_6, e0_7, e0_8, e0_9)

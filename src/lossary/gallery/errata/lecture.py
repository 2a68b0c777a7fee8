"""Errata E2-1 to E2-12, of the lecture."""

import math

import torch
from torch import tensor

import lossary
from lossary.gallery.exhibit import Results, Source, exhibit


@exhibit(
    "E2-1",
    "The weight of sample i",
    Source.LECTURE,
    says="The numerator has W_i and b_i for sample i.",
    answer="W and b of the sample's label yᵢ. As printed, item 0 is always taken for class 0, item 1 for class 1.",
    losses=("cross_entropy",),
)
def e2_1() -> Results:
    scores, labels = torch.randn(3, 4), tensor([2, 0, 3])
    printed, right = lossary.cross_entropy(scores, torch.arange(3)), lossary.cross_entropy(scores, labels)
    return {"as printed": printed, "by the labels": right, "they differ": bool(printed != right)}


@exhibit(
    "E2-2",
    "1/m before a sum over classes",
    Source.LECTURE,
    says="L = (1/m) Σ over the C classes of −yᵢ log f(sᵢ).",
    answer="1/m belongs to the sum over the m samples of a batch. For one sample there is no 1/m; two lines later it "
    "is gone.",
    losses=("cross_entropy",),
)
def e2_2() -> Results:
    scores, labels = torch.randn(4, 3), tensor([0, 1, 2, 0])
    each = -(torch.eye(3)[labels] * lossary.softmax(scores).log()).sum(1)
    loss = lossary.cross_entropy(scores, labels)
    return {
        "(1/m) Σ over samples of Σ over classes": torch.allclose(loss, each.sum() / 4),
        "the loss of one sample is not divided": torch.allclose(lossary.cross_entropy(scores[:1], labels[:1]), each[0]),
    }


@exhibit(
    "E2-3",
    "One sample equated with a batch",
    Source.LECTURE,
    says="The loss of one sample = the mean over a batch.",
    answer="Two quantities: the second is the mean of the first.",
    losses=("cross_entropy",),
)
def e2_3() -> Results:
    scores, labels = tensor([[2.0, 0.0], [0.0, 1.0]]), tensor([0, 0])
    each, mean = lossary.cross_entropy(scores, labels, reduction="none"), lossary.cross_entropy(scores, labels)
    return {"of each": each, "mean": mean, "no sample has the mean's loss": bool((each != mean).all())}


@exhibit(
    "E2-4",
    "ArcFace with m ≥ 1",
    Source.LECTURE,
    says="ArcFace introduces a margin m ≥ 1.",
    answer="Its margin is an angle in radians, 0.5 in the paper; 1 is 57 degrees already. m ≥ 1 is SphereFace's "
    "factor.",
    losses=("arcface_loss",),
)
def e2_4() -> Results:
    default = lossary.ArcFaceLoss(3, 2).margin
    return {
        "1 radian in degrees": math.degrees(1.0),
        "the paper's, in degrees": math.degrees(default),
        "the paper's is below 1": default < 1,
    }


@exhibit(
    "E2-5",
    "k from 0 to m",
    Source.LECTURE,
    says="ψ has k in [0, m].",
    answer="k is a whole number from 0 to m − 1, and m is whole too. k = m would be of θ = π alone, where it gives "
    "the same value.",
    losses=("sphereface_loss",),
)
def e2_5() -> Results:
    def psi(k: int) -> float:
        return (-1) ** k * math.cos(4 * math.pi) - 2 * k

    return {"ψ(π) with m = 4 by k = 3 and k = 4": [psi(3), psi(4)], "they are equal": psi(3) == psi(4) == 1 - 2 * 4}


@exhibit(
    "E2-6",
    "m twice",
    Source.LECTURE,
    says="m is the batch size before the sum and the margin inside it.",
    answer="Two letters are needed. Read as one, the margin would change with the batch.",
    losses=("cosface_loss",),
)
def e2_6() -> Results:
    x, w, y = torch.randn(2, 3), torch.randn(4, 3), tensor([0, 1])
    two, one = (lossary.cosface_loss(x, w, y, margin=m, scale=10.0) for m in (0.35, 2.0))
    return {"margin 0.35": two, "margin 2, the batch size": one, "they differ": bool(two != one)}


@exhibit(
    "E2-7",
    "Wᵀx + b taken as Wᵀx",
    Source.LECTURE,
    says="W x + b can be taken as W x.",
    answer="Only where the bias is set to 0, which is a choice of the model.",
    losses=("cross_entropy",),
)
def e2_7() -> Results:
    W, b, x, y = torch.randn(3, 2), tensor([1.0, 0.0, -1.0]), torch.randn(4, 2), tensor([0, 1, 2, 0])
    losses = [lossary.cross_entropy(x @ W.T + bias, y) for bias in (b, 0 * b)]
    return {"with the bias": losses[0], "without": losses[1], "they differ": bool(losses[0] != losses[1])}


@exhibit(
    "E2-8",
    "A one-hot output",
    Source.LECTURE,
    says="The output vector is one-hot.",
    answer="The target is. The output is a softmax, which has no zeros.",
)
def e2_8() -> Results:
    output, target = lossary.softmax(tensor([2.0, 1.0, 0.0])), torch.eye(3)[0]
    return {"output": output, "target": target, "the output has no zero": bool((output > 0).all())}


@exhibit(
    "E2-9",
    "Inter-correlated features",
    Source.LECTURE,
    says="Center loss moves inter-correlated features to the center.",
    answer="Features of the same class: intra-class. A step along its gradient brings each nearer only to its own "
    "center.",
    losses=("center_loss",),
)
def e2_9() -> Results:
    x, centers, y = torch.randn(6, 2, requires_grad=True), tensor([[2.0, 0.0], [-2.0, 0.0]]), tensor([0, 1, 0, 1, 0, 1])
    (slope,) = torch.autograd.grad(lossary.center_loss(x, centers, y, reduction="sum"), x)
    return {"each is pulled along the line to its own center": torch.allclose(slope, x - centers[y])}


@exhibit(
    "E2-10",
    "What a center is",
    Source.LECTURE,
    says="The center is the average of a class's features; another document: it is learned.",
    answer="In the paper it is a running estimate, moved by each batch. Mean, estimate and parameter are three things.",
    losses=("center_loss",),
)
def e2_10() -> Results:
    x, y, start = torch.randn(6, 2) + 3, tensor([0, 0, 0, 1, 1, 1]), torch.zeros(2, 2)
    mean, moved = lossary.class_means(x, y)[::3], lossary.moved_centers(start, x, y, rate=0.5)
    return {"means": mean[0], "estimate after one batch": moved[0], "they differ": not torch.allclose(mean, moved)}


@exhibit(
    "E2-11",
    "CosFace with any m ≥ 0",
    Source.LECTURE,
    says="A margin m ≥ 0.",
    answer="Bounded above too: by C / (C − 1), and in the plane by 1 − cos(2π/C). Beyond, no placing of the classes "
    "keeps it.",
    losses=("cosface_loss",),
)
def e2_11() -> Results:
    angles = torch.arange(8) * 2 * math.pi / 8
    w = torch.stack([angles.cos(), angles.sin()], dim=1)
    lead = 1 - (w @ w.T - 2 * torch.eye(8)).max()
    return {"best lead of 8 classes in the plane": lead, "0.35 cannot be kept there": bool(lead < 0.35)}


@exhibit(
    "E2-12",
    "Names",
    Source.LECTURE,
    says="ShpereFace, and the first name of ArcFace's first author.",
    answer="SphereFace; and Jiankang Deng. The library finds a loss only by its correct name.",
    losses=("sphereface_loss", "arcface_loss"),
)
def e2_12() -> Results:
    found = [lossary.find(name).paper for name in ("sphereface", "arcface")]
    return {"SphereFace": found[0], "ArcFace": found[1], "both are found by these names": all(found)}


EXHIBITS = (e2_1, e2_2, e2_3, e2_4, e2_5, e2_6, e2_7, e2_8, e2_9, e2_10, e2_11, e2_12)

"""Errata E3-1 to E3-15, of the book."""

import torch
import torch.nn.functional as F
from torch import tensor

import lossary
from lossary.gallery.exhibit import Results, Source, exhibit


@exhibit(
    "E3-1",
    "The absolute value of the average",
    Source.BOOK,
    says="MAE is the absolute value of the average difference.",
    answer="The average of the absolute differences: 0.5 on the book's data, where the other order gives 0.25.",
    losses=("l1_loss",),
)
def e3_1() -> Results:
    predicted, y = tensor([2.5, 0.0, 2.0, 8.0]), tensor([3.0, -0.5, 2.0, 7.0])
    printed, right = (predicted - y).mean().abs(), lossary.l1_loss(predicted, y)
    return {"as printed": printed, "MAE": right, "they differ": bool(printed != right)}


@exhibit(
    "E3-2",
    "SmoothL1Loss as the built-in Huber",
    Source.BOOK,
    says="The built-in Huber loss is SmoothL1Loss().",
    answer="nn.HuberLoss is. Huber at δ is δ times smooth L1 at β = δ; they are equal only at 1.",
    losses=("huber_loss", "smooth_l1_loss"),
)
def e3_2() -> Results:
    predicted, y = tensor([2.5, 0.0, 2.0, 8.0]), tensor([3.0, -0.5, 2.0, 7.0])
    huber, smooth = lossary.huber_loss(predicted, y, delta=0.5), lossary.smooth_l1_loss(predicted, y, beta=0.5)
    return {"Huber(½)": huber, "smooth L1(½)": smooth, "one is ½ of the other": torch.allclose(huber, smooth / 2)}


@exhibit(
    "E3-3",
    "The condition beside the sum",
    Source.BOOK,
    says="Two sums, with the condition on the residual outside; ≤ in the formula and < in the listing.",
    answer="The condition is of each element, inside the sum. At |r| = δ both branches agree, so < or ≤ is the same.",
    losses=("huber_loss",),
)
def e3_3() -> Results:
    r, delta = tensor([0.5, 2.0]), 1.0
    square, line = r**2 / 2, delta * (r.abs() - delta / 2)
    loss = lossary.huber_loss(r, torch.zeros(2))
    return {
        "all quadratic, all linear": tensor([square.mean(), line.mean()]),
        "each by its own branch": loss,
        "it is neither": bool(loss != square.mean() and loss != line.mean()),
        "at δ the branches agree": delta**2 / 2 == delta * (delta - delta / 2),
    }


@exhibit(
    "E3-4",
    "Convex, hence one minimum",
    Source.BOOK,
    says="MSE, Huber, CE and BCE are convex: a single global minimum, to which gradient descent converges.",
    answer="Convex in the predictions, not in a network's weights, where two different settings are both best and "
    "their mean "
    "is worse. Nor is a convex loss's minimum unique: here a whole interval minimises Huber.",
    losses=("mse_loss", "huber_loss"),
)
def e3_4() -> Results:
    x, y = tensor([1.0, 2.0]), tensor([1.0, 2.0])
    network = [lossary.mse_loss(a * b * x, y) for a, b in ((1.0, 1.0), (-1.0, -1.0), (0.0, 0.0))]
    ends = tensor([0.0, 10.0])
    fits = torch.stack([lossary.huber_loss(torch.full((2,), c), ends) for c in (2.0, 5.0, 8.0)])
    return {
        "w₂w₁x at (1, 1), (−1, −1) and half-way": torch.stack(network),
        "half-way between two minima is worse": bool(network[2] > network[0] == network[1]),
        "2, 5 and 8 fit the points 0 and 10 equally by Huber": bool((fits == fits[0]).all()),
    }


@exhibit(
    "E3-5",
    "Huber is smooth",
    Source.BOOK,
    says="There is no abrupt change from quadratic to linear.",
    answer="The slope is continuous. The curvature is not: it drops from 1 to 0 at δ.",
    losses=("huber_loss",),
)
def e3_5() -> Results:
    r = tensor([0.999, 1.001], requires_grad=True)
    (slope,) = torch.autograd.grad(lossary.huber_loss(r, torch.zeros(2), "sum"), r, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), r)
    return {
        "slope on both sides of δ": slope,
        "curvature there": curvature,
        "the curvature jumps": torch.equal(curvature, tensor([1.0, 0.0])),
    }


@exhibit(
    "E3-6",
    "Not differentiable some times",
    Source.BOOK,
    says="MAE is not differentiable some times.",
    answer="Only at a residual of exactly 0. There the library, like PyTorch, uses a slope of 0.",
    losses=("l1_loss",),
)
def e3_6() -> Results:
    r = tensor([-1e-9, 0.0, 1e-9], requires_grad=True)
    (slope,) = torch.autograd.grad(lossary.l1_loss(r, torch.zeros(3), "sum"), r)
    return {"slope before, at and after 0": slope, "it jumps at 0": torch.equal(slope, tensor([-1.0, 0.0, 1.0]))}


@exhibit(
    "E3-7",
    "A bracket in binary cross-entropy",
    Source.BOOK,
    says="−(1/N) Σ y log p + (1 − y) log(1 − p).",
    answer="The minus covers both terms: brackets are missing. 0.1976 on the book's data, and not 0.0659.",
    losses=("binary_cross_entropy",),
)
def e3_7() -> Results:
    y, p = tensor([1.0, 0.0, 1.0, 1.0]), tensor([0.9, 0.1, 0.8, 0.7])
    printed = -(y * p.log()).mean() + ((1 - y) * (1 - p).log()).sum()
    right = lossary.binary_cross_entropy(p, y)
    return {"minus and mean of the first alone": printed, "of both": right, "they differ": bool(printed != right)}


@exhibit(
    "E3-8",
    "Class weights by position",
    Source.BOOK,
    says="weight=torch.tensor([w_pos, w_neg]) in binary_cross_entropy.",
    answer="`weight` weighs items by their place: with two items it is silently wrong, with four an error. Weights "
    "of the two "
    "classes are another argument.",
    losses=("balanced_bce_loss", "binary_cross_entropy"),
)
def e3_8() -> Results:
    p, y = tensor([0.3, 0.2]), tensor([0.0, 1.0])
    printed = lossary.binary_cross_entropy(p, y, weight=tensor([5.0, 0.5]))
    right = lossary.balanced_bce_loss(p.logit(), y, positive_weight=5.0, negative_weight=0.5)
    return {"as printed": printed, "by class": right, "they differ": not torch.allclose(printed, right)}


@exhibit(
    "E3-9",
    "A class for one-hot labels, and index labels",
    Source.BOOK,
    says="The custom class takes one-hot labels; the example has indices (and does not call the class).",
    answer="With as many rows as classes the indices broadcast without a word: 4.92 instead of 0.907. And "
    "log(softmax) is not "
    "finite at scores of 10,000. The library tells the two by their type.",
    losses=("cross_entropy",),
)
def e3_9() -> Results:
    scores, labels = tensor([[1.5, 2.0, 3.0], [0.2, 1.1, 0.8], [2.4, 1.6, 3.5]]), tensor([2, 1, 0])
    listing = -(labels * scores.softmax(1).log()).sum() / 3
    right = lossary.cross_entropy(scores, labels)
    return {
        "the class, given indices": listing,
        "cross-entropy": right,
        "they differ": bool(listing != right),
        "log(softmax) is −∞ at 10,000": bool(tensor([1e4, 0.0]).softmax(0).log()[1].isinf()),
        "the library's is finite": bool(lossary.cross_entropy(tensor([[1e4, 0.0]]), tensor([1])).isfinite()),
    }


@exhibit(
    "E3-10",
    "One-shot",
    Source.BOOK,
    says="The true distribution is one-shot.",
    answer="One-hot: 1 at the label, 0 elsewhere. One-shot is learning from one example.",
    losses=("cross_entropy",),
)
def e3_10() -> Results:
    scores, labels = torch.randn(3, 4), tensor([1, 0, 3])
    hot = F.one_hot(labels, 4).double()
    same = torch.allclose(lossary.cross_entropy(scores, hot), lossary.cross_entropy(scores, labels))
    return {"the label 1, one-hot": hot[0], "one-hot and index targets give the same": same}


@exhibit(
    "E3-11",
    "Cross-entropy for two classes",
    Source.BOOK,
    says="Categorical cross-entropy would not be suitable for binary problems.",
    answer="With two outputs it is the binary one of their difference.",
    losses=("cross_entropy", "binary_cross_entropy_with_logits"),
)
def e3_11() -> Results:
    z, y = torch.randn(6, 2), tensor([0, 1, 1, 0, 1, 0])
    two, one = lossary.cross_entropy(z, y), lossary.binary_cross_entropy_with_logits(z[:, 1] - z[:, 0], y.double())
    return {"two outputs": two, "their difference": one, "they are equal": torch.allclose(two, one)}


@exhibit(
    "E3-12",
    "Pairs that are rows",
    Source.BOOK,
    says="pairwise_distance(y_pred[0], y_pred[1]), averaged under three labels, without the ½ of the formula.",
    answer="These are two rows: one distance for all three labels. A pair is a row of each of two tensors. And "
    "pairwise_distance adds 10⁻⁶ to each difference.",
    losses=("contrastive_loss",),
)
def e3_12() -> Results:
    y, rows = tensor([1.0, 0.0, 1.0]), tensor([[0.2, 0.3], [0.4, 0.5], [0.1, 0.8]])
    d = F.pairwise_distance(rows[0], rows[1])
    printed = (y * d**2 + (1 - y) * (1 - d).clamp(min=0) ** 2).mean()
    one = lossary.contrastive_loss(rows[[0, 0, 0]], rows[[1, 1, 1]], y)
    return {
        "as printed": printed,
        "one pair three times, with ½": one,
        "twice that": torch.allclose(printed, 2 * one, atol=1e-5),
    }


@exhibit(
    "E3-13",
    "Squared or not",
    Source.BOOK,
    says="The text takes the distance, the formula its square.",
    answer="Both are in use: FaceNet squares, PyTorch does not. The same margin then asks for different things.",
    losses=("triplet_loss", "triplet_margin_loss"),
)
def e3_13() -> Results:
    x, labels = tensor([[0.0], [1.0], [1.6]]), tensor([0, 0, 1])
    squared, plain = (lossary.triplet_loss(x, labels, margin=1.0, squared=of) for of in (True, False))
    return {"squared": squared, "not squared": plain, "they differ": bool(squared != plain)}


@exhibit(
    "E3-14",
    "What the balanced loss is divided by",
    Source.BOOK,
    says="1/N, without a word on it.",
    answer="By the number of items, and not by the sum of the weights as CrossEntropyLoss(weight=…) does: doubling "
    "both "
    "weights doubles this loss, and leaves that one.",
    losses=("balanced_bce_loss", "cross_entropy"),
)
def e3_14() -> Results:
    z, y, w = torch.randn(6), tensor([0, 1, 1, 0, 1, 0]), tensor([1.0, 3.0])
    one, two = (lossary.balanced_bce_loss(z, y, positive_weight=3 * k, negative_weight=1 * k) for k in (1.0, 2.0))
    rows = torch.stack([0 * z, z], dim=1)
    ours, theirs = (lossary.cross_entropy(rows, y, weight=k * w) for k in (1.0, 2.0))
    return {"by N: it doubles": torch.allclose(2 * one, two), "by Σw: it stays": torch.allclose(ours, theirs)}


@exhibit(
    "E3-15",
    "Squares are positive",
    Source.BOOK,
    says="Squaring makes all errors positive.",
    answer="Non-negative: the square of no error is 0, which is the point.",
    losses=("mse_loss",),
)
def e3_15() -> Results:
    squares = lossary.mse_loss(tensor([-2.0, 0.0, 2.0]), torch.zeros(3), "none")
    return {
        "of −2, 0, 2": squares,
        "none is below 0, one is 0": bool((squares >= 0).all() and (squares == 0).sum() == 1),
    }


EXHIBITS = (e3_1, e3_2, e3_3, e3_4, e3_5, e3_6, e3_7, e3_8, e3_9, e3_10, e3_11, e3_12, e3_13, e3_14, e3_15)

"""Errata E1-1 to E1-13, of the slides."""

import torch
from torch import tensor

import lossary
from lossary.gallery.exhibit import Results, Source, exhibit


@exhibit(
    "E1-1",
    "The margin of twenty",
    Source.SLIDES,
    says="With Δ = 20 and label 1: 38 + 10 = 48.",
    answer="7 + 3 + 20 = 30, so the loss is 68.",
    losses=("multiclass_hinge_loss",),
)
def e1_1() -> Results:
    loss = lossary.multiclass_hinge_loss(tensor([[15.0, -3.0, 7.0]]), tensor([1]), margin=20.0)
    return {"loss": loss, "it is 38 + 30": bool(loss == 68)}


@exhibit(
    "E1-2",
    "Differences without their minus",
    Source.SLIDES,
    says="max(0, s₁ s₀ + 1), and [s₁ s₂, …] in the proof for softmax.",
    answer="s₁ − s₀ and s₁ − s₂. As products the first example gives 106 and not 0.",
    losses=("multiclass_hinge_loss",),
)
def e1_2() -> Results:
    s = tensor([15.0, -3.0, 7.0])
    printed = (s[1] * s[0] + 1).clamp(min=0) + (s[2] * s[0] + 1).clamp(min=0)
    right = lossary.multiclass_hinge_loss(s[None], tensor([0]))
    return {"products": printed, "differences": right, "only the differences give 0": bool(right == 0 < printed)}


@exhibit(
    "E1-3",
    "Softmax that is 0 and 1",
    Source.SLIDES,
    says="softmax([10, 20]) = [0, 1].",
    answer="4.54e−5 and 0.99995: rounded, and never exactly 0 or 1 for finite scores.",
)
def e1_3() -> Results:
    p = lossary.softmax(tensor([10.0, 20.0]))
    return {"softmax": p, "it is strictly between 0 and 1": bool(((p > 0) & (p < 1)).all())}


@exhibit(
    "E1-4",
    "A third, rounded",
    Source.SLIDES,
    says="12.25 / 3 = 4.1.",
    answer="4.0833; what is printed has one digit.",
    losses=("mse_loss",),
)
def e1_4() -> Results:
    loss = lossary.mse_loss(tensor([1.5, -2.0, 1.0]), tensor([0.0, 1.0, 0.0]))
    return {"loss": loss, "it is 12.25 / 3": torch.allclose(loss, tensor(12.25 / 3))}


@exhibit(
    "E1-5",
    "The matrices of the bias trick",
    Source.SLIDES,
    says="A row of numbers in which W, b and x cannot be told apart.",
    answer="They are beyond repair. The identity is right for any numbers of those shapes.",
)
def e1_5() -> Results:
    W, b, x = torch.randn(3, 4), torch.randn(3), torch.randn(4)
    together = torch.cat([W, b[:, None]], dim=1) @ torch.cat([x, torch.ones(1)])
    return {"[W b] [x; 1] = W x + b": torch.allclose(together, W @ x + b)}


@exhibit(
    "E1-6",
    "One class too many",
    Source.SLIDES,
    says="Sums over 0 ≤ c ≤ K, and over 0 < c < K.",
    answer="K classes are c = 0 to K − 1. With one more in the sum, the two probabilities of a two-class problem do "
    "not sum to 1.",
)
def e1_6() -> Results:
    scores = tensor([0.3, -0.2, 0.0])  # of classes 0 and 1, and of the one that is not there
    printed = lossary.softmax(scores)[:2].sum()
    return {"sum of both, as printed": printed, "it is below 1": bool(printed < 1)}


@exhibit(
    "E1-7",
    "s −= max(s)",
    Source.SLIDES,
    says="The stable softmax begins with `s -= np.max(s)`.",
    answer="This writes into the caller's array, and unsigned integers wrap around. `s - s.max()` of floats does "
    "neither.",
)
def e1_7() -> Results:
    floats, integers = tensor([3.0, 5.0]), tensor([3, 5], dtype=torch.uint8)
    floats -= floats.max()
    integers -= integers.max()
    return {
        "the caller's [3, 5] afterwards": floats,
        "of unsigned integers": integers,
        "3 − 5 wrapped around": bool(integers[0] == 254),
    }


@exhibit(
    "E1-8",
    "Softmax as it is defined",
    Source.SLIDES,
    says="p = exp(s[y]) / sum(exp(s)).",
    answer="Not a number from scores of 1000 on, as the slides go on to say; subtract the largest score first.",
)
def e1_8() -> Results:
    s = tensor([1000.0, 999.0])
    printed, right = s.exp() / s.exp().sum(), lossary.softmax(s)
    return {"as printed": printed, "shifted": right, "only the shifted one is finite": bool(right.isfinite().all())}


@exhibit(
    "E1-9",
    "A subscript that has come down",
    Source.SLIDES,
    says="e^(s yᵢ).",
    answer="e^(s_yᵢ), the score of class yᵢ. As a product it is e⁰ for class 0, whatever the scores.",
    losses=("cross_entropy",),
)
def e1_9() -> Results:
    s, y = tensor([3.0, 1.0]), 0
    printed, right = -((s * y).exp()[y] / s.exp().sum()).log(), lossary.cross_entropy(s[None], tensor([y]))
    return {"as a product": printed, "as a subscript": right, "they differ": bool(printed != right)}


@exhibit(
    "E1-10",
    "The sign of b",
    Source.SLIDES,
    says="max(0, 1 − y (wᵀx − b)), where the linear model was W x + b; and λ ‖w‖² without ½.",
    answer="Either sign will do if it is kept: b of the one is −b of the other. Without ½, λ is half of what other "
    "books call λ.",
    losses=("hinge_loss",),
)
def e1_10() -> Results:
    x, w, y = torch.randn(5, 2), torch.randn(2), tensor([1, -1, 1, -1, 1])
    minus, plus = (lossary.hinge_loss(x @ w - b, y) for b in (0.7, -0.7))
    turned = lossary.hinge_loss(x @ w + -0.7, y)
    return {"− b": minus, "+ b": plus, "they differ": bool(minus != plus), "− b is + (−b)": torch.equal(minus, turned)}


@exhibit(
    "E1-11",
    "An example that changes",
    Source.SLIDES,
    says="[10, −10, −10] on one slide is [10, −5, −5] on the next.",
    answer="The point stands with both: the SVM gives both 0, cross-entropy tells them apart.",
    losses=("multiclass_hinge_loss", "cross_entropy"),
)
def e1_11() -> Results:
    scores, labels = tensor([[10.0, -10.0, -10.0], [10.0, -5.0, -5.0]]), tensor([0, 0])
    svm = lossary.multiclass_hinge_loss(scores, labels, reduction="none")
    softmax = lossary.cross_entropy(scores, labels, reduction="none")
    return {"SVM": svm, "cross-entropy": softmax, "both are 0 for the SVM": bool((svm == 0).all())}


@exhibit(
    "E1-12",
    "1/K in the squared error",
    Source.SLIDES,
    says="The loss of an item is the squared distance to its label by K classes.",
    answer="With the mean over items this is PyTorch's mean over all elements. Other books leave 1/K out, or write "
    "½: their "
    "numbers, and learning rates, are other ones.",
    losses=("mse_loss",),
)
def e1_12() -> Results:
    scores, labels = torch.randn(5, 3), torch.eye(3)[[0, 1, 2, 0, 1]]
    of_items = ((scores - labels) ** 2).sum(1)
    loss = lossary.mse_loss(scores, labels)
    return {
        "with 1/K: PyTorch's": torch.allclose(loss, (of_items / 3).mean()),
        "without: K times it": torch.allclose(3 * loss, of_items.mean()),
    }


@exhibit(
    "E1-13",
    "Regularisation, always",
    Source.SLIDES,
    says="R(W) over all of W; penalising large weights improves generalisation.",
    answer="It tends to, with noise. Without, it only biases: here the test error grows with λ. And the bias is "
    "usually left "
    "out of R, as it is by the library.",
)
def e1_13() -> Results:
    w, x, unseen = tensor([1.0, -2.0, 3.0]), torch.randn(20, 3), torch.randn(100, 3)
    fits = [torch.linalg.solve(x.T @ x + strength * torch.eye(3), x.T @ (x @ w)) for strength in (0.0, 1.0, 10.0)]
    errors = torch.stack([lossary.mse_loss(unseen @ fit, unseen @ w) for fit in fits])
    biases = [p.numel() for p in lossary.weights_of(torch.nn.Linear(3, 1))]
    return {
        "test error at λ = 0, 1, 10": errors,
        "it grows with λ": bool((errors.diff() > 0).all()),
        "of 3 weights and a bias, 3 are penalised": sum(biases) == 3,
    }


EXHIBITS = (e1_1, e1_2, e1_3, e1_4, e1_5, e1_6, e1_7, e1_8, e1_9, e1_10, e1_11, e1_12, e1_13)

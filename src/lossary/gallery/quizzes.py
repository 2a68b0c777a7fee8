"""Questions Q1 to Q9 of the documents, each with an answer that is computed."""

import torch
from torch import tensor

import lossary
from lossary.gallery.exhibit import Results, Source, exhibit


@exhibit(
    "Q1",
    "The range of the SVM loss",
    Source.SLIDES,
    says="What are the smallest and the largest values that the multiclass SVM loss of one item can take?",
    answer="0, reached by every item that leads by the margin, and no largest value: it grows with the gap of the "
    "scores.",
    losses=("multiclass_hinge_loss",),
)
def q1() -> Results:
    rows = tensor([[2.0, 1.0, 1.0], [0.0, 10.0, 0.0], [0.0, 1e6, 0.0]])
    return {"loss of each": lossary.multiclass_hinge_loss(rows, tensor([0, 0, 0]), reduction="none")}


@exhibit(
    "Q2",
    "The SVM loss before training",
    Source.SLIDES,
    says="All K scores are 0. What is the multiclass SVM loss?",
    answer="K − 1 times the margin. Check it before any training: another value means that something is wired wrongly.",
    losses=("multiclass_hinge_loss",),
)
def q2() -> Results:
    return {f"K = {K}": lossary.multiclass_hinge_loss(torch.zeros(1, K), tensor([0])) for K in (2, 3, 10, 1000)}


@exhibit(
    "Q3",
    "Summing over the right class too",
    Source.SLIDES,
    says="What changes when the sum runs over all classes, the right one included?",
    answer="Every loss grows by exactly the margin; the gradient is the same, and so is what training finds.",
    losses=("multiclass_hinge_loss",),
)
def q3() -> Results:
    scores, labels = torch.randn(5, 4, requires_grad=True), tensor([0, 1, 2, 3, 0])
    without = lossary.multiclass_hinge_loss(scores, labels)
    included = lossary.multiclass_hinge_loss(scores, labels, include_target=True)
    slope, other = (torch.autograd.grad(loss, scores)[0] for loss in (without, included))
    return {"difference": included - without, "the gradients are equal": torch.allclose(slope, other)}


@exhibit(
    "Q4",
    "Two classes",
    Source.SLIDES,
    says="Does the multiclass SVM become the binary SVM when there are two classes?",
    answer="Yes: with w = w₁ − w₂ and y = ±1 the data terms are equal. With an L2 penalty the best pair is w₁ = −w₂ "
    "= w/2, "
    "which costs half as much, so λ must be doubled for the same solution.",
    losses=("multiclass_hinge_loss", "hinge_loss"),
)
def q4() -> Results:
    W, x, labels = torch.randn(2, 3), torch.randn(50, 3), torch.arange(50) % 2
    multi = lossary.multiclass_hinge_loss(x @ W.T, labels)
    binary = lossary.hinge_loss(x @ (W[1] - W[0]), labels)
    w = W[1] - W[0]
    penalties = lossary.l2_penalty(torch.stack([-w / 2, w / 2])) / lossary.l2_penalty(w)
    return {"multiclass": multi, "binary": binary, "‖W‖² / ‖w‖²": penalties}


@exhibit(
    "Q5",
    "The range of cross-entropy",
    Source.SLIDES,
    says="What are the smallest and the largest values that the cross-entropy of one item can take?",
    answer="It comes arbitrarily close to 0 but does not reach it at finite scores, and it has no largest value.",
    losses=("cross_entropy",),
)
def q5() -> Results:
    lead = tensor([-1e4, 0.0, 10.0, 30.0])
    losses = lossary.cross_entropy(torch.stack([lead, torch.zeros(4)], dim=1), tensor([0, 0, 0, 0]), reduction="none")
    return {"at a lead of −10000, 0, 10, 30": losses, "all are above 0": bool((losses > 0).all())}


@exhibit(
    "Q6",
    "Cross-entropy before training",
    Source.SLIDES,
    says="All K scores are 1. What is the cross-entropy?",
    answer="log K, whatever the constant: the first number to check when training starts.",
    losses=("cross_entropy",),
)
def q6() -> Results:
    return {f"K = {K}": lossary.cross_entropy(torch.ones(1, K), tensor([0])) for K in (2, 3, 10, 1000)}


@exhibit(
    "Q7",
    "Two ways to write softmax",
    Source.SLIDES,
    says="One version exponentiates the scores as they are; the other subtracts the largest first. Which would you "
    "use?",
    answer="The second, because the first overflows; but not as printed, because `s -= max(s)` writes into the "
    "caller's scores.",
)
def q7() -> Results:
    s, mine = tensor([1000.0, 999.0]), tensor([1000.0, 999.0])
    plain, shifted = s.exp() / s.exp().sum(), lossary.softmax(s)
    mine -= mine.max()
    return {"as they are": plain, "shifted": shifted, "the caller's scores after −=": mine}


@exhibit(
    "Q8",
    "A truck before a car classifier",
    Source.SLIDES,
    says="How should a classifier of cars and other things score a picture of a truck?",
    answer="No number settles it. Sensible is less than a car and more than a bird. The SVM stops pushing the truck "
    "down once the margin is kept; cross-entropy pushes the nearest class hardest and never stops.",
    losses=("cross_entropy", "multiclass_hinge_loss"),
)
def q8() -> Results:
    scores = tensor([[10.0, 8.0, 1.0]], requires_grad=True)  # car, truck, bird, before a picture of a car
    losses = (lossary.cross_entropy, lossary.multiclass_hinge_loss)
    slopes = {loss.__name__: torch.autograd.grad(loss(scores, tensor([0])), scores)[0][0] for loss in losses}
    return {f"push on car, truck, bird: {name}": -slope for name, slope in slopes.items()}


@exhibit(
    "Q9",
    "Why square, why average?",
    Source.BOOK,
    says="Why are errors squared before they are added, and why is the sum divided by their number?",
    answer="Signs would cancel, and large errors should stand out; and the value should not grow with the number of "
    "points.",
    losses=("mse_loss", "mean_bias_error"),
)
def q9() -> Results:
    errors, zeros = tensor([3.0, -3.0, 1.0, -1.0]), torch.zeros(4)
    return {
        "mean of the signed errors": lossary.mean_bias_error(errors, zeros),
        "mean of the squares": lossary.mse_loss(errors, zeros),
        "of the data twice over": lossary.mse_loss(errors.repeat(2), zeros.repeat(2)),
        "sum, and sum of the data twice over": tensor([(errors**2).sum(), (errors.repeat(2) ** 2).sum()]),
    }


EXHIBITS = (q1, q2, q3, q4, q5, q6, q7, q8, q9)

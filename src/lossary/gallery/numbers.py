"""Worked numbers W1 to W17: what the documents calculate by hand or by a listing, calculated by the library."""

import torch
from torch import tensor

import lossary
from lossary.gallery.exhibit import Results, Source, exhibit


@exhibit(
    "W1",
    "Multiclass SVM, margin 1",
    Source.SLIDES,
    says="Scores [15, −3, 7]: the loss is 0 where class 0 is right and 30 where class 1 is.",
    answer="Class 0 leads by 8 at least, more than the margin. Class 1 is behind by 18 and by 10, and each adds 1.",
    printed={"label 0": "0", "label 1": "30"},
    losses=("multiclass_hinge_loss",),
)
def w1() -> Results:
    scores = tensor([[15.0, -3.0, 7.0]])
    return {f"label {y}": lossary.multiclass_hinge_loss(scores, tensor([y])) for y in (0, 1)}


@exhibit(
    "W2",
    "Multiclass SVM, margin 20",
    Source.SLIDES,
    says="The same scores with a margin of 20: 14 for class 0, and 38 + 10 = 48 for class 1.",
    answer="The second term of class 1 is 7 + 3 + 20 = 30, so the loss is 38 + 30 = 68.",
    printed={"label 0": "14", "label 1": "48"},
    losses=("multiclass_hinge_loss",),
)
def w2() -> Results:
    scores = tensor([[15.0, -3.0, 7.0]])
    return {f"label {y}": lossary.multiclass_hinge_loss(scores, tensor([y]), margin=20.0) for y in (0, 1)}


@exhibit(
    "W3",
    "A batch of three images",
    Source.SLIDES,
    says="Dog, bird and truck scored by a linear model: 4.2, 0 and 14.9, and their mean.",
    answer="A column of the printed table is an image, so the table is transposed before it is scored. The mean is "
    "6.3667.",
    printed={"dog, bird, truck": "[4.2, 0, 14.9]"},
    losses=("multiclass_hinge_loss",),
)
def w3() -> Results:
    table = tensor([[3.0, 0.9, 1.6], [6.2, 5.1, 2.3], [-2.1, 3.4, -4.5]])
    images, labels = table.T, tensor([0, 1, 2])
    each = lossary.multiclass_hinge_loss(images, labels, reduction="none")
    return {"dog, bird, truck": each, "mean": lossary.multiclass_hinge_loss(images, labels)}


@exhibit(
    "W4",
    "Two weight vectors, one prediction",
    Source.SLIDES,
    says="x = [1, 1, 1, 1]; w₁ = [1, 0, 0, 0] and w₂ = [¼, ¼, ¼, ¼] both give 1, but R(w₁) = 1 and R(w₂) = 0.25.",
    answer="L2 tells them apart and prefers the spread one. L1 does not: both cost 1.",
    printed={"L2": "[1, 0.25]", "predictions": "[1, 1]"},
)
def w4() -> Results:
    x, sparse, spread = torch.ones(4), tensor([1.0, 0.0, 0.0, 0.0]), torch.full((4,), 0.25)
    return {
        "predictions": tensor([sparse @ x, spread @ x]),
        "L2": tensor([lossary.l2_penalty(sparse), lossary.l2_penalty(spread)]),
        "L1": tensor([lossary.l1_penalty(sparse), lossary.l1_penalty(spread)]),
    }


@exhibit(
    "W5",
    "Softmax of small scores",
    Source.SLIDES,
    says="softmax([1, 2]) = [0.27, 0.73].",
    answer="Only the difference of the scores counts: 1/(1 + e) and e/(1 + e).",
    printed={"softmax": "[0.27, 0.73]"},
)
def w5() -> Results:
    return {"softmax": lossary.softmax(tensor([1.0, 2.0]))}


@exhibit(
    "W6",
    "Softmax of large scores",
    Source.SLIDES,
    says="softmax([10, 20]) = [0, 1].",
    answer="True to the digits that are printed. It is never exactly 0 or 1 for finite scores, so the loss is never "
    "0 either.",
    printed={"softmax": "[0, 1]"},
)
def w6() -> Results:
    return {"softmax": lossary.softmax(tensor([10.0, 20.0]))}


@exhibit(
    "W7",
    "Dividing by the sum instead",
    Source.SLIDES,
    says="s / Σs gives [1/3, 2/3] for [1, 2] and for [10, 20].",
    answer="Proportions do not change with scale, which is why this normalisation cannot say how sure the network is.",
    printed={"[1, 2]": "[1/3, 2/3]", "[10, 20]": "[1/3, 2/3]"},
)
def w7() -> Results:
    return {
        "[1, 2]": lossary.sum_normalize(tensor([1.0, 2.0])),
        "[10, 20]": lossary.sum_normalize(tensor([10.0, 20.0])),
    }


@exhibit(
    "W8",
    "Right by 3",
    Source.SLIDES,
    says="Scores [10, 7, 5], class 0 right: −log 0.95 = 0.05 for softmax, 0 for the SVM.",
    answer="The SVM has what it wants and stops. Cross-entropy goes on pushing the others down, the one with the "
    "highest score hardest. Were these a car, a truck and a cat, the truck would be pushed harder than the cat, "
    "although a car is more like a truck: neither loss knows which classes are similar, but the SVM leaves such "
    "scores alone.",
    printed={"p": "0.95", "cross-entropy": "0.05", "SVM": "0"},
    losses=("cross_entropy", "multiclass_hinge_loss"),
)
def w8() -> Results:
    scores, label = tensor([[10.0, 7.0, 5.0]]), tensor([0])
    loss, svm = lossary.cross_entropy(scores, label), lossary.multiclass_hinge_loss(scores, label)
    return {"p": (-loss).exp(), "cross-entropy": loss, "SVM": svm}


@exhibit(
    "W9",
    "Right by 1, exactly",
    Source.SLIDES,
    says="Scores [10, 9, 9]: −log 0.58 = 0.55 for softmax, 0 for the SVM.",
    answer="The SVM stands exactly on its kink: a hair less of a lead and it starts to pay.",
    printed={"p": "0.58", "cross-entropy": "0.55", "SVM": "0"},
    losses=("cross_entropy", "multiclass_hinge_loss"),
)
def w9() -> Results:
    scores, label = tensor([[10.0, 9.0, 9.0]]), tensor([0])
    loss, svm = lossary.cross_entropy(scores, label), lossary.multiclass_hinge_loss(scores, label)
    nearer = lossary.multiclass_hinge_loss(tensor([[10.0, 9.001, 9.001]]), label)
    return {"p": (-loss).exp(), "cross-entropy": loss, "SVM": svm, "SVM at [10, 9.001, 9.001]": nearer}


@exhibit(
    "W10",
    "Right by 20",
    Source.SLIDES,
    says="Scores [10, −10, −10]: −log 1.00 = 4e−9 for softmax, 0 for the SVM.",
    answer="Two terms of e⁻²⁰, 4.122307245e−9. Taking the logarithm of a probability next to 1 loses half of the "
    "digits; "
    "taking the log-sum-exp does not.",
    printed={"cross-entropy": "4e-9", "SVM": "0"},
    losses=("cross_entropy", "multiclass_hinge_loss"),
)
def w10() -> Results:
    scores, label = tensor([[10.0, -10.0, -10.0]]), tensor([0])
    loss, svm = lossary.cross_entropy(scores, label), lossary.multiclass_hinge_loss(scores, label)
    exact = torch.log1p(2 * tensor(-20.0).exp())
    of_probability = -lossary.softmax(scores)[0, 0].log()
    errors = {"cross-entropy": loss, "−log of softmax": of_probability}
    return {"cross-entropy": loss, "SVM": svm} | {
        f"relative error: {k}": (v / exact - 1).abs() for k, v in errors.items()
    }


@exhibit(
    "W11",
    "Squared error of scores",
    Source.SLIDES,
    says="Scores [1.5, −2, 1] against the one-hot labels of class 0 and class 1: 1.75 and 4.1.",
    answer="The second is 12.25 / 3 = 4.0833, printed with one digit.",
    printed={"case 1": "1.75", "case 2": "4.1"},
    losses=("mse_loss",),
)
def w11() -> Results:
    scores = tensor([1.5, -2.0, 1.0])
    return {f"case {y + 1}": lossary.mse_loss(scores, torch.eye(3)[y]) for y in (0, 1)}


@exhibit(
    "W12",
    "What one error costs",
    Source.BOOK,
    says="Squared, an error of 4 becomes 16 and one of 1 stays 1; absolute, 3 stays 3 and 6 stays 6; squared, 6 is 36.",
    answer="Twice the error costs twice as much by the absolute error and four times as much by the squared one.",
    printed={"squared": "[16, 1, 36]", "absolute": "[3, 6]"},
    losses=("mse_loss", "l1_loss"),
)
def w12() -> Results:
    squared, absolute = tensor([4.0, 1.0, 6.0]), tensor([3.0, 6.0])
    return {
        "squared": lossary.mse_loss(squared, torch.zeros(3), "none"),
        "absolute": lossary.l1_loss(absolute, torch.zeros(2), "none"),
    }


@exhibit(
    "W13",
    "Four regression losses on four numbers",
    Source.BOOK,
    says="ŷ = [2.5, 0, 2, 8] and y = [3, −0.5, 2, 7], by MSE, MAE and Huber; the listing prints the values.",
    answer="Huber and smooth L1 are equal here because both thresholds are 1; at any other threshold they are not.",
    losses=("mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss"),
)
def w13() -> Results:
    predicted, y = tensor([2.5, 0.0, 2.0, 8.0]), tensor([3.0, -0.5, 2.0, 7.0])
    losses = (lossary.mse_loss, lossary.l1_loss, lossary.huber_loss, lossary.smooth_l1_loss)
    return {loss.__name__: loss(predicted, y) for loss in losses}


@exhibit(
    "W14",
    "Cross-entropy of three rows",
    Source.BOOK,
    says="Three rows of three scores with the labels 2, 1, 0; the listing prints the value.",
    answer="The last row costs most: its label has the middle score.",
    losses=("cross_entropy",),
)
def w14() -> Results:
    scores = tensor([[1.5, 2.0, 3.0], [0.2, 1.1, 0.8], [2.4, 1.6, 3.5]])
    labels = tensor([2, 1, 0])
    return {
        "mean": lossary.cross_entropy(scores, labels),
        "each row": lossary.cross_entropy(scores, labels, reduction="none"),
    }


@exhibit(
    "W15",
    "Binary cross-entropy of four probabilities",
    Source.BOOK,
    says="y = [1, 0, 1, 1], p = [0.9, 0.1, 0.8, 0.7]; the listing prints the value.",
    answer="The probability given to what happened is 0.9, 0.9, 0.8 and 0.7: the loss is minus the mean of their "
    "logarithms.",
    losses=("binary_cross_entropy",),
)
def w15() -> Results:
    y, p = tensor([1.0, 0.0, 1.0, 1.0]), tensor([0.9, 0.1, 0.8, 0.7])
    return {
        "binary cross-entropy": lossary.binary_cross_entropy(p, y),
        "−mean log": -tensor([0.9, 0.9, 0.8, 0.7]).log().mean(),
    }


@exhibit(
    "W16",
    "A contrastive listing",
    Source.BOOK,
    says="Three points and three labels through a function for pairs; the listing prints the value.",
    answer="The listing takes the first two rows for the two sides of every pair, so its number, here in the "
    "document's "
    "own steps, is of one distance under three labels. Three pairs need two tensors of three rows.",
    losses=("contrastive_loss",),
)
def w16() -> Results:
    y, points = tensor([1.0, 0.0, 1.0]), tensor([[0.2, 0.3], [0.4, 0.5], [0.1, 0.8]])
    distance = torch.nn.functional.pairwise_distance(points[0], points[1])
    listing = (y * distance**2 + (1 - y) * (1 - distance).clamp(min=0) ** 2).mean()
    left, right = points[[0, 0, 1]], points[[1, 2, 2]]
    return {"as listed": listing, "the three pairs": lossary.contrastive_loss(left, right, y, factor=1.0)}


@exhibit(
    "W17",
    "The bias trick",
    Source.SLIDES,
    says="[W b] [x; 1] = W x + b, with a matrix of numbers.",
    answer="The printed matrix has lost its order and cannot be put together again, so the identity is shown with "
    "other "
    "numbers. It is exact for any W, b and x.",
)
def w17() -> Results:
    W, b, x = torch.randn(3, 4), torch.randn(3), tensor([24.0, 15.0, 331.0, -10.0])
    together, extended = torch.cat([W, b[:, None]], dim=1), torch.cat([x, torch.ones(1)])
    return {"largest difference": (together @ extended - (W @ x + b)).abs().max()}


EXHIBITS = (w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15, w16, w17)

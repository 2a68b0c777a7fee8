"""Claims that take a training: C9, C18, C19, on the digits of scikit-learn; measured by `make claims`."""

import sklearn.datasets
import torch

import lossary
from lossary.gallery.exhibit import Results, Source, exhibit


@exhibit(
    "C9",
    "Softmax and SVM do about equally well",
    Source.SLIDES,
    says="The accuracy of softmax classifiers and of SVMs is usually comparable.",
    answer="A linear model on 1,200 handwritten digits, tested on 597 others: both trained for the same steps at the"
    " same learning rate, neither tuned. Each seed has its own split.",
    seeds=10,
    recorded=True,
    losses=("cross_entropy", "multiclass_hinge_loss"),
)
def c9(seed: int) -> Results:
    x, y = (torch.as_tensor(part) for part in sklearn.datasets.load_digits(return_X_y=True))
    (train, test), right = torch.randperm(1797).split([1200, 597]), []
    for loss in (lossary.cross_entropy, lossary.multiclass_hinge_loss):
        model = torch.nn.Linear(64, 10)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(300):
            optimizer.zero_grad()
            loss(model(x[train] / 16), y[train]).backward()
            optimizer.step()
        right.append(100 * (model(x[test] / 16).argmax(1) == y[test]).double().mean().item())
    return {
        "test accuracy, cross-entropy": right[0],
        "test accuracy, SVM": right[1],
        "cross-entropy less SVM, points": right[0] - right[1],
        "within 2 points of each other": abs(right[0] - right[1]) < 2,
    }


@exhibit(
    "C18",
    "Separable, but not discriminative",
    Source.LECTURE,
    says="Softmax loss makes features separable, but not discriminative enough.",
    answer="Two-dimensional features of digits under cross-entropy: the classes can be separated, but they are long "
    "rays, and the two farthest digits of a class are farther apart than the centers of neighbouring classes.",
    seeds=5,
    recorded=True,
    losses=("cross_entropy",),
)
def c18(seed: int) -> Results:
    x, y = map(torch.as_tensor, sklearn.datasets.load_digits(return_X_y=True))
    layers = torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2), torch.nn.Linear(2, 10)
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(600):
        optimizer.zero_grad()
        lossary.cross_entropy(model(x / 16), y).backward()
        optimizer.step()
    classes = [model[:3](x[y == c] / 16).detach() for c in range(10)]
    ratio = max(torch.pdist(z).max() for z in classes) / torch.pdist(torch.stack([z.mean(0) for z in classes])).min()
    return {
        "accuracy on what was trained on": 100 * (model(x / 16).argmax(1) == y).double().mean().item(),
        "widest class by the nearest two centers": ratio.item(),
        "separable: 95 % are right": bool((model(x / 16).argmax(1) == y).double().mean() > 0.95),
        "some class is wider than two centers are apart": bool(ratio > 1),
    }


@exhibit(
    "C19",
    "Center loss shrinks the classes",
    Source.RECITATION,
    says="Beside cross-entropy, center loss shrinks the classes by pulling features to their centers.",
    answer="The same small network without and with λ = 0.1 of center loss. What shrinks is the share of the "
    "features' variance "
    "that lies within classes, not only their scale.",
    seeds=5,
    recorded=True,
    losses=("center_loss", "cross_entropy"),
)
def c19(seed: int) -> Results:
    (x, y), within = map(torch.as_tensor, sklearn.datasets.load_digits(return_X_y=True)), {}
    for strength in (0.0, 0.1):
        layers = torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2), torch.nn.Linear(2, 10)
        model, center, z = torch.nn.Sequential(*layers), lossary.CenterLoss(10, 2), x
        optimizer = torch.optim.Adam([*model.parameters(), *center.parameters()], lr=0.01)
        for _ in range(600):
            optimizer.zero_grad()
            (lossary.cross_entropy(model[3](z := model[:3](x / 16)), y) + strength * center(z, y)).backward()
            optimizer.step()
        within[strength] = ((z - lossary.class_means(z, y)).var(0).sum() / z.var(0).sum()).item()
    return {
        "variance within classes, λ = 0": within[0.0],
        "variance within classes, λ = 0.1": within[0.1],
        "it shrinks": {"by": within[0.0] - within[0.1]},
    }


EXHIBITS = (c9, c18, c19)

"""Claims on losses of numbers: C1 to C7, C15."""

import math

import torch
from torch import tensor

import lossary
from lossary.gallery.exhibit import Results, Source, exhibit


@exhibit(
    "C1",
    "Signed errors cancel",
    Source.RECITATION,
    says="Errors of both signs cancel, so the mean of the signed errors is no loss.",
    answer="It tells how far predictions lean, and nothing else. As a loss it would push every prediction to −∞.",
    losses=("mean_bias_error", "l1_loss"),
)
def c1() -> Results:
    predicted, y = tensor([10.0, -10.0]), torch.zeros(2)
    bias, distance = lossary.mean_bias_error(predicted, y), lossary.l1_loss(predicted, y)
    return {
        "mean bias error and MAE of errors ±10": torch.stack([bias, distance]),
        "it is 0 for predictions that are far off": bool(bias == 0 < distance),
        "it has no smallest value": bool(lossary.mean_bias_error(predicted - 1e9, y) < -1e8),
    }


@exhibit(
    "C2",
    "One outlier",
    Source.BOOK,
    says="MSE is sensitive to outliers; MAE and Huber are robust.",
    answer="The best constant under MSE is the mean, which one point can move arbitrarily far. Under MAE it is the "
    "median, and Huber's is next to it: once the outlier is far away, moving it farther changes neither.",
    losses=("mse_loss", "l1_loss", "huber_loss"),
)
def c2() -> Results:
    constants, fits = torch.linspace(-1, 1001, 100201)[:, None], {}
    for loss in (lossary.mse_loss, lossary.l1_loss, lossary.huber_loss):
        for far in (100.0, 10000.0):
            points = torch.cat([torch.arange(10) / 10, tensor([far])])
            values = loss(constants.expand(-1, 11), points.expand(len(constants), -1), "none").mean(1)
            fits.setdefault(loss.__name__, []).append(constants[values.argmin()].item())
    moved = {name: abs(near - far) for name, (near, far) in fits.items()}
    return {f"best constant, outlier at 100 and at 10000: {name}": tensor(each) for name, each in fits.items()} | {
        "MSE's fit goes after the outlier": moved["mse_loss"] > 100,
        "MAE's and Huber's stay": max(moved["l1_loss"], moved["huber_loss"]) < 0.02,
    }


@exhibit(
    "C3",
    "Differentiable everywhere, or not at 0",
    Source.RECITATION,
    says="MSE is smooth and differentiable everywhere; MAE is not differentiable at 0.",
    answer="The slope of the square goes through 0; that of the absolute value jumps from −1 to 1.",
    losses=("mse_loss", "l1_loss"),
)
def c3() -> Results:
    r, zero = tensor([-1e-9, 1e-9], requires_grad=True), torch.zeros(2)
    losses = (lossary.mse_loss(r, zero, "sum"), lossary.l1_loss(r, zero, "sum"))
    square, absolute = (torch.autograd.grad(loss, r)[0] for loss in losses)
    return {
        "slope before and after 0: MSE": square,
        "slope before and after 0: MAE": absolute,
        "MSE's slope does not jump": bool(square.diff() < 1e-6),
        "MAE's does": bool(absolute.diff() == 2),
    }


@exhibit(
    "C4",
    "Huber is smooth, differentiable, convex",
    Source.BOOK,
    says="Huber loss is smooth, differentiable and convex.",
    answer="Differentiable and convex, yes. But smooth only once: the curvature jumps from 1 to 0 at δ, and beyond δ "
    "the loss is linear, so it is not strictly convex.",
    losses=("huber_loss",),
)
def c4() -> Results:
    r = torch.linspace(-3, 3, 6001, requires_grad=True)
    loss = lossary.huber_loss(r, torch.zeros(6001), "none")
    (slope,) = torch.autograd.grad(loss.sum(), r, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), r)
    return {
        "the slope has no jump": bool(slope.diff().abs().max() < 0.002),
        "the curvature has none": bool(curvature.diff().abs().max() < 0.002),
        "convex": bool(loss.diff().diff().min() > -1e-12),
        "strictly convex": bool(loss.diff().diff().min() > 1e-12),
    }


@exhibit(
    "C5",
    "Between squared and absolute",
    Source.PRIMER,
    says="Huber becomes half of MSE for a large δ and δ times MAE for a small one.",
    answer="Both limits are reached: exactly for the large one, as soon as δ is beyond every error.",
    losses=("huber_loss", "mse_loss", "l1_loss"),
)
def c5() -> Results:
    r, zero = torch.randn(1000), torch.zeros(1000)
    large, small = lossary.huber_loss(r, zero, delta=1e3), lossary.huber_loss(r, zero, delta=1e-6)
    return {
        "δ = 1000: half of MSE": torch.allclose(large, lossary.mse_loss(r, zero) / 2),
        "δ = 10⁻⁶: δ times MAE": torch.allclose(small, 1e-6 * lossary.l1_loss(r, zero), rtol=1e-4),
    }


@exhibit(
    "C6",
    "Averaging forgets how many",
    Source.BOOK,
    says="Averaged, the value does not change because there are more data.",
    answer="Repeating the data leaves the mean loss and its slope at each weight unchanged; the sum doubles.",
    losses=("mse_loss",),
)
def c6() -> Results:
    x, y = torch.randn(20), torch.randn(20)
    once, twice = lossary.mse_loss(x, y), lossary.mse_loss(x.repeat(2), y.repeat(2))
    return {"once, twice": torch.stack([once, twice]), "the mean is the same": torch.allclose(once, twice)}


@exhibit(
    "C7",
    "Convex, with one minimum",
    Source.BOOK,
    says="MSE, Huber, cross-entropy and its binary form are convex with a single minimum.",
    answer="They are convex in their inputs, but none is convex in the weights of a two-layer network. Only MSE has "
    "a single minimum: Huber can have an interval of minima, and cross-entropy on separable data has none at finite "
    "weights.",
    losses=("mse_loss", "huber_loss", "cross_entropy", "binary_cross_entropy_with_logits"),
)
def c7() -> Results:
    a, b, y = torch.randn(500, 3), torch.randn(500, 3), torch.arange(500) % 3
    left, right, middle = (lossary.cross_entropy(z, y, reduction="none") for z in (a, b, (a + b) / 2))
    ends, one = tensor([0.0, 10.0]), tensor([1.0])
    by_weights = [lossary.mse_loss(u * v * one, one) for u, v in ((1.0, 1.0), (-1.0, -1.0), (0.0, 0.0))]
    huber = [lossary.huber_loss(torch.full((2,), c), ends) for c in (2.0, 5.0, 8.0)]
    falling = [lossary.cross_entropy(k * torch.eye(3), torch.arange(3)) for k in (1.0, 10.0, 100.0)]
    return {
        "cross-entropy is convex in the scores": bool((middle <= (left + right) / 2 + 1e-12).all()),
        "MSE is convex in the weights of two layers": bool(by_weights[2] <= (by_weights[0] + by_weights[1]) / 2),
        "Huber has one minimum": len(set(map(float, huber))) > 1,
        "cross-entropy of separable data has a minimum": bool(falling[2] >= falling[1]),
    }


@exhibit(
    "C15",
    "Small and spread weights generalise",
    Source.SLIDES,
    says="An L2 penalty prefers small, spread weights, prevents overfitting, and λ says how strongly.",
    answer="On twelve noisy points of a sine and a polynomial of ninth degree, a penalty of 10⁻³ gives a larger "
    "training error "
    "and, in each of fifty draws, a smaller test error. Too strong a penalty (λ = 10) is worse again: λ has to be "
    "tuned.",
    seeds=50,
    losses=("mse_loss",),
)
def c15(seed: int) -> Results:
    x, unseen, errors = torch.rand(12) * 2 - 1, torch.linspace(-0.9, 0.9, 181), {}
    y = (3 * x).sin() + 0.3 * torch.randn(12)
    X, U = x[:, None] ** torch.arange(10), unseen[:, None] ** torch.arange(10)
    for strength in (1e-9, 1e-3, 10.0):
        w = torch.linalg.solve(X.T @ X / 12 + strength * torch.eye(10), X.T @ y / 12)
        test = lossary.mse_loss(U @ w, (3 * unseen).sin())
        errors[strength] = (lossary.mse_loss(X @ w, y), test, lossary.l2_penalty(w))
    none, some, much = errors.values()
    return {f"log₁₀ of the test error, λ = {k:g}": math.log10(v[1]) for k, v in errors.items()} | {
        "λ = 10⁻³: smaller weights": bool(some[2] < none[2]),
        "a smaller test error": bool(some[1] < none[1]),
        "a larger training error": bool(some[0] > none[0]),
        "too strong a one is worse again": bool(much[1] > some[1]),
    }


EXHIBITS = (c1, c2, c3, c4, c5, c6, c7, c15)

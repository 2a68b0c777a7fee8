"""Claims on losses of classes that need no training: C8 to C17, C29 to C33, C42."""

import torch
from torch import tensor

import lossary
from lossary.gallery.exhibit import Results, Source, exhibit


@exhibit(
    "C8",
    "Never satisfied",
    Source.SLIDES,
    says="A softmax classifier is never fully satisfied with its scores; an SVM is.",
    answer="Both halves are true. As long as the lead of the right class grows, cross-entropy falls, approaching 0 "
    "but never reaching it; the SVM is 0 from the margin on. Neither has a largest value: both grow with the lead "
    "of a wrong class. If K scores are equal, as before any training, cross-entropy is log K.",
    losses=("cross_entropy", "multiclass_hinge_loss"),
)
def c8() -> Results:
    lead = tensor([0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0])
    scores, labels = torch.stack([lead, 0 * lead], dim=1), torch.zeros(7).long()
    softmax = lossary.cross_entropy(scores, labels, reduction="none")
    svm = lossary.multiclass_hinge_loss(scores, labels, reduction="none")
    return {
        "lead": lead,
        "cross-entropy": softmax,
        "SVM": svm,
        "cross-entropy is above 0 and falls with every lead": bool((softmax > 0).all() and (softmax.diff() < 0).all()),
        "the SVM is 0 from a lead of 1 on": bool((svm[1:] == 0).all() and svm[0] > 0),
        "cross-entropy of 10 equal scores": lossary.cross_entropy(torch.zeros(1, 10), tensor([3])),
    }


@exhibit(
    "C10",
    "0 if and only if the margin is kept",
    Source.SLIDES,
    says="The right class's score must be higher than all others by the margin; otherwise there is loss.",
    answer="True on ten thousand random rows of scores, without exception: the loss is the sum of max(0, sⱼ − s + Δ) "
    "over the other classes j, where s is the score of the right one. If all K scores are equal, as before any "
    "training, it is (K − 1)Δ. If the sum included the right class, it would be larger by Δ everywhere: the slopes "
    "would be the same, and the smallest value Δ.",
    losses=("multiclass_hinge_loss",),
)
def c10() -> Results:
    scores, labels = 3 * torch.randn(10000, 4), torch.randint(4, (10000,))
    own, others = scores.gather(1, labels[:, None])[:, 0], scores.scatter(1, labels[:, None], -torch.inf)
    kept = own - others.max(1).values >= 1
    loss = lossary.multiclass_hinge_loss(scores, labels, reduction="none")
    return {"rows that keep the margin": int(kept.sum()), "they are those without loss": torch.equal(kept, loss == 0)}


@exhibit(
    "C11",
    "The SVM of two classes",
    Source.SLIDES,
    says="Does the multiclass SVM become the binary one?",
    answer="Yes, with w = w₁ − w₀: value and gradient are those of the binary hinge. An L2 penalty is not the same: "
    "the cheapest such pair, w₁ = −w₀ = w/2, costs half as much as w does, so the same solution needs twice the λ.",
    losses=("multiclass_hinge_loss", "hinge_loss"),
)
def c11() -> Results:
    z, y = torch.randn(100, 2, requires_grad=True), torch.randint(2, (100,))
    multi, binary = lossary.multiclass_hinge_loss(z, y), lossary.hinge_loss(z[:, 1] - z[:, 0], y)
    slope, other = (torch.autograd.grad(loss, z)[0] for loss in (multi, binary))
    return {"equal values": torch.allclose(multi, binary), "equal gradients": torch.allclose(slope, other)}


@exhibit(
    "C12",
    "Shifting the scores",
    Source.SLIDES,
    says="Softmax does not change when a number is subtracted from every score; subtract the largest for stability.",
    answer="True, and the shifted form is finite where the plain one is 0/0 or ∞/∞.",
    losses=("cross_entropy",),
)
def c12() -> Results:
    s = torch.randn(5)
    large = torch.cat([tensor([1000.0]), s])
    return {
        "shifted by 7: the same": torch.allclose(lossary.softmax(s), lossary.softmax(s - 7)),
        "as it is written, at 1000: not a number": bool((large.exp() / large.exp().sum()).isnan().any()),
        "shifted: finite": bool(lossary.softmax(large).isfinite().all()),
    }


@exhibit(
    "C13",
    "Softmax reacts to scale",
    Source.SLIDES,
    says="Softmax answers low stimulation evenly and high stimulation with 0 and 1; dividing by the sum does not.",
    answer="Near temperature 0 the largest score gets everything; at a very high temperature all get the same. Try "
    "it in P14.",
)
def c13() -> Results:
    s = tensor([1.0, 2.0])
    return {
        "softmax of s/100, s, 100 s": [lossary.softmax(k * s) for k in (0.01, 1.0, 100.0)],
        "low: nearly even": bool(lossary.softmax(s / 100).diff().abs() < 0.01),
        "high: nearly 0 and 1": bool(lossary.softmax(100 * s).max() > 0.999),
        "the sum's share does not change": torch.allclose(lossary.sum_normalize(s), lossary.sum_normalize(100 * s)),
    }


@exhibit(
    "C14",
    "Softmax of two is logistic",
    Source.SLIDES,
    says="With two classes the softmax classifier is logistic regression.",
    answer="Cross-entropy of two scores is binary cross-entropy of their difference, and so is its gradient.",
    losses=("cross_entropy", "binary_cross_entropy_with_logits"),
)
def c14() -> Results:
    z, y = torch.randn(100, 2, requires_grad=True), torch.randint(2, (100,))
    two = lossary.cross_entropy(z, y)
    one = lossary.binary_cross_entropy_with_logits(z[:, 1] - z[:, 0], y.double())
    slope, other = (torch.autograd.grad(loss, z)[0] for loss in (two, one))
    return {"equal values": torch.allclose(two, one), "equal gradients": torch.allclose(slope, other)}


@exhibit(
    "C16",
    "Plateaus of the squared error",
    Source.SLIDES,
    says="Over the weights, cross-entropy is steep where the squared error is flat.",
    answer="A confidently wrong softmax gets almost no gradient from the squared error of its probabilities, but the "
    "full gradient from cross-entropy: at a lead of 20 for the wrong class, 120 million times as much.",
    losses=("cross_entropy", "mse_loss"),
)
def c16() -> Results:
    z = tensor([[5.0, 0.0], [10.0, 0.0], [20.0, 0.0]], requires_grad=True)
    wrong = torch.ones(3).long()
    losses = (
        lossary.cross_entropy(z, wrong, reduction="sum"),
        lossary.mse_loss(lossary.softmax(z), torch.eye(2)[wrong], "sum"),
    )
    steep, flat = (torch.autograd.grad(loss, z)[0].norm(dim=1) for loss in losses)
    return {
        "gradient by cross-entropy, wrong by 5, 10, 20": steep,
        "by the squared error": flat,
        "the worse, the less it gets by the squared error": bool((flat.diff() < 0).all()),
        "by cross-entropy it does not get less": bool((steep.diff() >= 0).all()),
    }


@exhibit(
    "C17",
    "Linear models are limited",
    Source.SLIDES,
    says="A linear model separates only what a plane separates.",
    answer="On exclusive-or the best linear model is the one that knows nothing: at weights 0 the slope is 0, and as"
    " the loss is convex in them that is its minimum, log 2. With the product of the inputs as one more "
    "feature, the loss goes to 0.",
    losses=("cross_entropy",),
)
def c17() -> Results:
    x, y = tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]), tensor([0, 1, 1, 0])
    W = torch.zeros(3, 2, requires_grad=True)
    loss = lossary.cross_entropy(torch.cat([x, torch.ones(4, 1)], dim=1) @ W, y)
    (slope,) = torch.autograd.grad(loss, W)
    product = x.prod(1, keepdim=True) @ tensor([[20.0, -20.0]])
    return {
        "best loss of a linear model": loss,
        "its slope is 0": bool((slope == 0).all()),
        "loss with x₁x₂": lossary.cross_entropy(product, y),
        "that separates them": bool((product.argmax(1) == y).all()),
    }


@exhibit(
    "C29",
    "Focal loss turns to the hard ones",
    Source.BOOK,
    says="Focal loss weighs easy examples down; balanced cross-entropy treats easy and hard alike.",
    answer="Of the force on an item with p = 0.1 and on one with p = 0.9, cross-entropy's ratio is 9. Class weights "
    "leave it "
    "at 9; γ = 2 makes it about 380. Whether that helps with a rare class is one of the questions of the board, "
    "which uses real tables.",
    losses=("sigmoid_focal_loss", "balanced_bce_loss", "binary_cross_entropy_with_logits"),
)
def c29() -> Results:
    z, y = tensor([0.1, 0.9]).logit().requires_grad_(), torch.ones(2)
    losses = {
        "cross-entropy": lossary.binary_cross_entropy_with_logits(z, y),
        "balanced": lossary.balanced_bce_loss(z, y, positive_weight=5.0),
        "focal": lossary.sigmoid_focal_loss(z, y, gamma=2.0),
    }
    force = {name: torch.autograd.grad(loss, z)[0].abs() for name, loss in losses.items()}
    ratio = {name: (hard / easy).item() for name, (hard, easy) in force.items()}
    return {f"force on the hard one by the easy one: {name}": value for name, value in ratio.items()} | {
        "focal turns to the hard one": ratio["focal"] > 10 * ratio["cross-entropy"],
        "balanced does not": abs(ratio["balanced"] - ratio["cross-entropy"]) < 1e-9,
    }


@exhibit(
    "C30",
    "One series",
    Source.PRIMER,
    says="As polynomials of 1 − p, focal loss shifts cross-entropy's coefficients to the side, and Poly-1 moves the "
    "first up.",
    answer="−log p = Σ (1 − p)ʲ/j; focal loss has the same coefficients at the powers j + γ; Poly-1 adds ε to the "
    "first.",
    losses=("focal_loss", "poly_loss", "cross_entropy"),
)
def c30() -> Results:
    p, j, y = torch.linspace(0.1, 0.9, 9)[:, None], torch.arange(1, 401), torch.zeros(9).long()
    z = torch.cat([p, 1 - p], dim=1).log()
    each = {"cross-entropy": lossary.cross_entropy(z, y, reduction="none")}
    each |= {f"focal, γ = {g}": lossary.focal_loss(z, y, gamma=g, reduction="none") for g in (1.0, 2.0)}
    each["Poly-1, ε = 2"] = lossary.poly_loss(z, y, epsilon=2.0, reduction="none")
    series = [((1 - p) ** (j + g) / j).sum(1) for g in (0.0, 1.0, 2.0)]
    series.append(series[0] + 2 * (1 - p[:, 0]))
    return {name: torch.allclose(loss, sum, atol=1e-9) for (name, loss), sum in zip(each.items(), series, strict=True)}


@exhibit(
    "C31",
    "KL divergence and cross-entropy",
    Source.PRIMER,
    says="KL is not symmetric; it is cross-entropy less the entropy of p; for a fixed p both have the same minimiser.",
    answer="All three are true: the difference H(p) does not depend on q, so the gradients are equal.",
    losses=("kl_divergence_loss", "cross_entropy"),
)
def c31() -> Results:
    p, z = torch.rand(6, 4).softmax(1), torch.randn(6, 4, requires_grad=True)
    kl, ce = lossary.kl_divergence_loss(z, p), lossary.cross_entropy(z, p)
    slope, other = (torch.autograd.grad(loss, z, retain_graph=True)[0] for loss in (kl, ce))
    back = lossary.kl_divergence_loss(p, lossary.softmax(z), input_kind="probabilities")
    return {
        "there and back": torch.stack([kl, back]),
        "not symmetric": not torch.allclose(kl, back),
        "KL = H(p, q) − H(p)": torch.allclose(kl, ce - lossary.entropy(p)),
        "equal gradients": torch.allclose(slope, other),
    }


@exhibit(
    "C32",
    "Cross-entropy is the more robust",
    Source.PRIMER,
    says="In mini-batches, where p differs from batch to batch, cross-entropy is relatively more robust than KL.",
    answer="There is nothing to be robust against: in a hundred batches, each with its own targets, the two "
    "gradients are equal. Only the printed value shifts, by the batch's entropy.",
    losses=("cross_entropy", "kl_divergence_loss"),
)
def c32() -> Results:
    differ = []
    for _ in range(100):
        z, p = torch.randn(16, 5, requires_grad=True), (3 * torch.randn(16, 5)).softmax(1)
        losses = lossary.cross_entropy(z, p), lossary.kl_divergence_loss(z, p)
        ce, kl = (torch.autograd.grad(loss, z)[0] for loss in losses)
        differ.append((ce - kl).abs().max())
    return {"largest difference of a gradient": max(differ), "in some batch they differ": bool(max(differ) > 1e-12)}


@exhibit(
    "C33",
    "The hinge",
    Source.PRIMER,
    says="The hinge is convex, penalises right answers inside the margin, and grows linearly.",
    answer="All three. Its slope is −1 up to the margin and 0 after it.",
    losses=("hinge_loss",),
)
def c33() -> Results:
    score = torch.linspace(-3, 3, 61)
    loss = lossary.hinge_loss(score, torch.ones(61), reduction="none")
    return {
        "convex": bool((loss.diff().diff() > -1e-12).all()),
        "above 0 for a right answer of 0.5": bool(loss[35] > 0),
        "linear up to the margin": torch.allclose(loss[:41], 1 - score[:41]),
    }


@exhibit(
    "C42",
    "A loss is no evaluation metric",
    Source.BOOK,
    says="A loss function is not an evaluation metric.",
    answer="Loss and accuracy can both rise: one confidently wrong answer costs more than many barely right ones gain.",
    losses=("cross_entropy",),
)
def c42() -> Results:
    labels = torch.zeros(100).long()
    before = torch.stack([tensor([-0.1, 0.0])] * 40 + [tensor([0.1, 0.0])] * 60)
    after = torch.stack([tensor([-30.0, 0.0])] * 10 + [tensor([0.2, 0.0])] * 90)
    loss = torch.stack([lossary.cross_entropy(scores, labels) for scores in (before, after)])
    right = torch.stack([(scores.argmax(1) == labels).double().mean() for scores in (before, after)])
    return {"loss": loss, "accuracy": right, "both rise": bool(loss.diff() > 0 and right.diff() > 0)}


EXHIBITS = (c8, c10, c11, c12, c13, c14, c16, c17, c29, c30, c31, c32, c33, c42)

"""Pictures P1 to P17 that are curves: what is moved by hand was computed by the library for every position."""

import math

import torch
from torch import tensor

import lossary
from lossary.gallery.drawing import bars, curves
from lossary.gallery.exhibit import Results, Source, exhibit


@exhibit(
    "P1",
    "Squared and absolute",
    Source.BOOK,
    says="MSE is a parabola and MAE a V, for predictions from −10,000 to 10,000 of a true 100.",
    answer="Over such a range only the parabola can be seen: at the ends it is 10,000 times as high as the V. So the "
    "error runs "
    "from −3 to 3 here; the two cross at 1.",
    look_for="the slope at 0, and which of the two is larger inside of ±1.",
    losses=("mse_loss", "l1_loss"),
    draw=curves("error", "loss"),
)
def p1() -> Results:
    x = torch.linspace(-3, 3, 121)
    losses = {"squared": lossary.mse_loss, "absolute": lossary.l1_loss}
    return {"x": x, "frames": {0.0: {name: loss(x, 0 * x, "none") for name, loss in losses.items()}}}


@exhibit(
    "P2",
    "Huber, between the two",
    Source.BOOK,
    says="Huber loss beside the squared and the absolute error; the change from one to the other is smooth.",
    answer="Up to δ it is half of the square, beyond it a line of slope δ. A large δ makes it the square, a small "
    "one a flat V.",
    expect=(
        "What becomes of Huber loss when δ is very small?",
        "Nearly δ times the absolute error: beyond δ the slope is δ, so the V gets flatter as δ shrinks.",
    ),
    look_for="the point at which the curve leaves the parabola: it is at δ.",
    losses=("huber_loss", "mse_loss", "l1_loss"),
    draw=curves("error", "loss", "δ", start=1.0, top=4.5),
)
def p2() -> Results:
    x = torch.linspace(-3, 3, 61)
    frames = {}
    for delta in torch.linspace(0.1, 3.0, 30).tolist():
        huber = lossary.huber_loss(x, 0 * x, "none", delta=delta)
        frames[round(delta, 1)] = {
            "Huber": huber,
            "½ squared": lossary.mse_loss(x, 0 * x, "none") / 2,
            "absolute": x.abs(),
        }
    return {"x": x, "frames": frames}


@exhibit(
    "P3",
    "The margin zone",
    Source.SLIDES,
    says="The score of the right class must lie at least Δ above all others; within that margin it costs.",
    answer="The others score −3 and 7. Each adds a line that ends at its score plus Δ; the zone of the margin is "
    "between the "
    "highest other score and the point where the loss is 0. Cross-entropy has no such point.",
    expect=(
        "The right class leads by far, and Δ is doubled. What happens to its SVM loss?",
        "Nothing, as long as the lead is still at least Δ. Cross-entropy does not know Δ at all.",
    ),
    look_for="the two kinks of the SVM, which move with Δ, and the tail of cross-entropy, which does not.",
    losses=("multiclass_hinge_loss", "cross_entropy"),
    draw=curves("score of the right class", "loss", "Δ", start=1.0, top=40.0),
)
def p3() -> Results:
    x, label = torch.linspace(-10, 30, 161), torch.zeros(161).long()
    scores = torch.stack([x, torch.full((161,), -3.0), torch.full((161,), 7.0)], dim=1)
    softmax = lossary.cross_entropy(scores, label, reduction="none")
    frames = {}
    for margin in range(21):
        svm = lossary.multiclass_hinge_loss(scores, label, margin=float(margin), reduction="none")
        frames[margin] = {"multiclass SVM": svm, "cross-entropy": softmax}
    return {"x": x, "frames": frames}


@exhibit(
    "P5",
    "Overfitting, with a dial",
    Source.SLIDES,
    says="A model that memorises noisy data, with and without regularisation.",
    answer="A polynomial of ninth degree through twelve noisy points of a sine. Without a penalty it goes through "
    "most of "
    "them; if the penalty is too strong it goes flat.",
    expect=(
        "Is the curve that passes nearest to the twelve points also the nearest to the sine?",
        "No. The weakest penalty fits the points best, and between and beyond them it runs away.",
    ),
    look_for="the ends, where the fit without a penalty runs away, and the λ at which it lies nearest to the sine.",
    draw=curves("x", "y", "log₁₀ λ", start=-8.0, bottom=-2.0, top=2.0),
)
def p5() -> Results:
    points, x = torch.rand(12) * 2 - 1, torch.linspace(-1, 1, 101)
    y = (3 * points).sin() + 0.3 * torch.randn(12)
    X, frames = points[:, None] ** torch.arange(10), {}
    for power in torch.linspace(-8, 1, 37).tolist():
        w = torch.linalg.solve(X.T @ X / 12 + 10**power * torch.eye(10), X.T @ y / 12)
        frames[power] = {"fit": x[:, None] ** torch.arange(10) @ w, "sine": (3 * x).sin()}
    return {"x": x, "frames": frames, "points": torch.stack([points, y], dim=1)}


@exhibit(
    "P6",
    "Two surfaces, cut by cut",
    Source.SLIDES,
    says="The surfaces of cross-entropy and of the squared error over two weights of a two-layer network (after "
    "Glorot and "
    "Bengio): cross-entropy lies above and is steeper.",
    answer="A network σ(w₂ tanh(w₁ x)) on drawn points, cut at one w₂ after another. Where it is confidently wrong, "
    "the squared error is a plateau near its largest value, while cross-entropy keeps rising.",
    expect=(
        "At which weights would gradient descent on the squared error get stuck?",
        "Where w₁ and w₂ have different signs: it is high and nearly flat there. Cross-entropy still has a slope.",
    ),
    look_for="the plateaus of the squared error, on the side where w₁ and w₂ have different signs.",
    losses=("binary_cross_entropy_with_logits", "mse_loss"),
    draw=curves("w₁", "loss", "w₂", start=2.0, top=3.0),
)
def p6() -> Results:
    w1, data = torch.linspace(-4, 4, 81), torch.randn(200)
    y, frames = (data > 0).double().expand(81, 200), {}
    for w2 in torch.linspace(-4, 4, 33).tolist():
        z = w2 * (w1[:, None] * data).tanh()
        ce = lossary.binary_cross_entropy_with_logits(z, y, reduction="none").mean(1)
        mse = lossary.mse_loss(lossary.sigmoid(z), y, "none").mean(1)
        frames[w2] = {"cross-entropy": ce, "squared error": mse}
    return {"x": w1, "frames": frames}


@exhibit(
    "P10",
    "A margin on the sphere",
    Source.RECITATION,
    says="The angle between a feature and the center of its class, and a margin in it.",
    answer="The score of the right class, read off the losses' values at scale 1, with another class at a right angle. "
    "To score as before, a feature must come nearer to its center by the margin.",
    expect=(
        "A feature is 10° from its center, and both margins are 0.5. Which one costs more?",
        "CosFace's: it takes 0.5 off the cosine. Near 0° the cosine is flat, and a shift of the angle changes it less.",
    ),
    look_for="CosFace's curve, which is lowered everywhere by the same amount, and ArcFace's, which is moved to the "
    "left. Where θ + m passes 180° the authors' code goes on with a lowered cosine.",
    losses=("cosface_loss", "arcface_loss", "normalized_softmax_loss"),
    draw=curves("angle to the center, degrees", "score of the right class", "margin", start=0.5),
)
def p10() -> Results:
    theta, label = torch.linspace(0, math.pi, 91), torch.zeros(91).long()
    x, w = torch.stack([theta.cos(), theta.sin(), 0 * theta], dim=1), tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    frames = {}
    for margin in torch.linspace(0, 1, 21).tolist():
        cosface = lossary.cosface_loss(x, w, label, margin=margin, scale=1.0, reduction="none")
        arcface = lossary.arcface_loss(x, w, label, margin=margin, scale=1.0, reduction="none")
        cosface, arcface = (-loss.expm1().log() for loss in (cosface, arcface))  # loss = log(1 + exp(0 - score))
        frames[round(margin, 2)] = {"no margin": theta.cos(), "CosFace": cosface, "ArcFace": arcface}
    return {"x": theta.rad2deg(), "frames": frames}


@exhibit(
    "P11",
    "Attraction and repulsion",
    Source.PRIMER,
    says="Two points of one class are pulled together, two of different classes pushed apart.",
    answer="The force along the line between them, above 0 where it pulls. Of one class: stronger with the distance. "
    "Of two: weaker with the distance, and nothing from the margin on.",
    expect=(
        "Two points of different classes lie at twice the margin from each other. Which way are they moved?",
        "They are not: from the margin on the force is 0.",
    ),
    look_for="the distance at which the pushing ends: it is the margin.",
    losses=("contrastive_loss",),
    draw=curves("distance", "force", "margin", start=1.0),
)
def p11() -> Results:
    frames = {}
    for margin in torch.linspace(0.2, 2.0, 19).tolist():
        d = torch.linspace(0.02, 2, 100)[:, None].requires_grad_()
        losses = (
            lossary.contrastive_loss(0 * d, d, torch.full((100,), y), margin=margin, reduction="sum") for y in (1, 0)
        )
        same, other = (torch.autograd.grad(loss, d)[0][:, 0] for loss in losses)
        frames[round(margin, 1)] = {"one class": same, "two classes": other}
    return {"x": torch.linspace(0.02, 2, 100), "frames": frames}


@exhibit(
    "P13",
    "Overlap of two masks",
    Source.PRIMER,
    says="Dice as the overlap of two sets.",
    answer="A mask of 40 pixels is shifted over another one, twice as wide, by pixels. Dice and Jaccard order all "
    "shifts alike. "
    "Tversky weighs false positives by α and misses by 1 − α: at ½ it is Dice.",
    expect=(
        "α = 1 makes misses free. What is the loss where the mask lies inside the other?",
        "0: nothing is painted wrongly, and the forty pixels that are missing cost nothing.",
    ),
    look_for="where α moves the flat piece: there the mask lies whole inside the other, and only misses are left.",
    losses=("sigmoid_dice_loss", "sigmoid_jaccard_loss", "sigmoid_tversky_loss"),
    draw=curves("shift, pixels", "loss", "α", start=0.5),
)
def p13() -> Results:
    start, pixel, frames = torch.arange(30, 231, 2), torch.arange(300), {}
    truth = ((pixel >= 110) & (pixel < 190)).double().expand(101, 1, 300)
    z = (60.0 * ((pixel >= start[:, None]) & (pixel < start[:, None] + 40)) - 30)[:, None]
    dice = lossary.sigmoid_dice_loss(z, truth, smooth=0.0, reduction="none")[:, 0]
    jaccard = lossary.sigmoid_jaccard_loss(z, truth, smooth=0.0, reduction="none")[:, 0]
    for alpha in torch.linspace(0.1, 0.9, 17).tolist():
        tversky = lossary.sigmoid_tversky_loss(z, truth, smooth=0.0, alpha=alpha, beta=1 - alpha, reduction="none")
        frames[round(alpha, 2)] = {"Dice": dice, "Jaccard": jaccard, "Tversky": tversky[:, 0]}
    return {"x": start - 130, "frames": frames}


@exhibit(
    "P14",
    "Softmax under a temperature",
    Source.SLIDES,
    says="What softmax makes of a vector of scores, beside the share of the sum.",
    answer="The scores 1 to 5 are divided by a temperature first. The lower it is, the more goes to the largest; the "
    "higher, the more even the shares. The share of the sum is the same at every temperature.",
    expect=(
        "What is left of softmax at a very high temperature?",
        "The same share for all five. At a very low one the largest score gets everything.",
    ),
    look_for="the temperature at which softmax and the share of the sum are nearest.",
    draw=bars("probability", "temperature", start=1.0),
)
def p14() -> Results:
    s = torch.arange(1, 6).double()
    frames = {}
    for temperature in torch.linspace(0.2, 6.0, 30).tolist():
        scores = s / temperature
        frames[round(temperature, 1)] = {
            "softmax": lossary.softmax(scores),
            "share of the sum": lossary.sum_normalize(scores),
        }
    return {"x": s, "frames": frames}


@exhibit(
    "P15",
    "ψ(θ)",
    Source.LECTURE,
    says="SphereFace replaces cos(m θ) by ψ(θ), which keeps falling.",
    answer="Read off the library's loss at scale 1, with one other class at a right angle. cos(m θ) rises again beyond "
    "π/m: it would reward a feature for being farther away.",
    expect=(
        "Up to which angle is ψ the same as cos(m θ)?",
        "Up to 180°/m, where cos(m θ) is at its lowest: 45° at m = 4.",
    ),
    look_for="the pieces: there are m of them, each a cosine that falls by 2.",
    losses=("sphereface_loss",),
    draw=curves("angle to the center, degrees", "score of the right class", "m", start=4.0),
)
def p15() -> Results:
    theta, label = torch.linspace(0, math.pi, 181), torch.zeros(181).long()
    x, w = torch.stack([theta.cos(), theta.sin(), 0 * theta], dim=1), tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    frames = {}
    for m in (1, 2, 3, 4):
        loss = lossary.sphereface_loss(x, w, label, margin=m, scale=1.0, annealing=0.0, reduction="none")
        frames[m] = {"ψ(θ)": -loss.expm1().log(), "cos(m θ)": (m * theta).cos(), "cos θ": theta.cos()}
    return {"x": theta.rad2deg(), "frames": frames}


@exhibit(
    "P16",
    "Focal loss and γ",
    Source.BOOK,
    says="A factor turns the loss down for examples that are already right.",
    answer="(1 − p)^γ times cross-entropy. At γ = 0 it is cross-entropy.",
    expect=(
        "One item with p = 0.1, or a hundred with p = 0.9: which costs more at γ = 2?",
        "The one hard item. Under cross-entropy it would be the hundred easy ones.",
    ),
    look_for="how early the curve gets flat: at γ = 5 an item with p = ½ costs next to nothing.",
    losses=("focal_loss", "cross_entropy"),
    draw=curves("probability of the right class", "loss", "γ", start=2.0, top=4.0),
)
def p16() -> Results:
    p, label = torch.linspace(0.01, 0.99, 99), torch.zeros(99).long()
    z = torch.stack([p.log(), (1 - p).log()], dim=1)
    frames = {}
    for gamma in torch.linspace(0, 5, 21).tolist():
        focal = lossary.focal_loss(z, label, gamma=gamma, reduction="none")
        frames[gamma] = {"focal": focal, "cross-entropy": lossary.cross_entropy(z, label, reduction="none")}
    return {"x": p, "frames": frames}


@exhibit(
    "P17",
    "The scale of a cosine softmax",
    Source.LECTURE,
    says="Features lie on a sphere of radius s.",
    answer="Cosines are between −1 and 1, so without a scale ten classes can never be separated with confidence: "
    "here the nine others are at a right "
    "angle. With a large s the loss is 0 over most angles, and nothing is learned there.",
    expect=(
        "Can the loss come near to 0 when s = 1?",
        "No. Even at 0° the nine other classes, at a right angle, keep a share of 9/(9 + e) of the probability.",
    ),
    look_for="the loss that is left at 0 degrees for a small s, and the corner that a large s makes.",
    losses=("normalized_softmax_loss",),
    draw=curves("angle to the center, degrees", "loss by log 10", "s", start=8.0, top=3.0),
)
def p17() -> Results:
    theta, label = torch.linspace(0, math.pi / 2, 91), torch.zeros(91).long()
    x = torch.cat([theta.cos()[:, None], torch.zeros(91, 9), theta.sin()[:, None]], dim=1)
    frames = {}
    for scale in range(1, 65):
        loss = lossary.normface_loss(x, torch.eye(10, 11), label, scale=float(scale), reduction="none")
        frames[scale] = {"normalised softmax": loss / math.log(10)}
    return {"x": theta.rad2deg(), "frames": frames}


EXHIBITS = (p1, p2, p3, p5, p6, p10, p11, p13, p14, p15, p16, p17)

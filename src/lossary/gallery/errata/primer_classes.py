"""Errata E4-1 to E4-13, of the primer: cross-entropy, divergence, hinge, focal, ArcFace."""

import torch
import torch.nn.functional as F
from torch import tensor

import lossary
from lossary.gallery.exhibit import Results, Source, exhibit


@exhibit(
    "E4-1",
    "Binary cross-entropy without its minus signs",
    Source.PRIMER,
    says="(y log(p) + (1y) log(1p)).",
    answer="−(y log p + (1 − y) log(1 − p)). Without the first minus the best prediction has the largest value.",
    losses=("binary_cross_entropy",),
)
def e4_1() -> Results:
    p, y = tensor([0.9, 0.1]), tensor([1.0, 1.0])
    right = lossary.binary_cross_entropy(p, y, reduction="none")
    return {
        "of p = 0.9 and 0.1": right,
        "as printed": -right,
        "only the right one falls with p": bool(right[0] < right[1]),
    }


@exhibit(
    "E4-2",
    "Formulas that were pictures",
    Source.PRIMER,
    says="The formula for more than two classes is missing.",
    answer="−Σ over classes of y log p.",
    losses=("cross_entropy",),
)
def e4_2() -> Results:
    scores, labels = torch.randn(4, 3), tensor([0, 2, 1, 1])
    formula = -(F.one_hot(labels, 3) * lossary.softmax(scores).log()).sum(1).mean()
    return {"the formula is the library's loss": torch.allclose(formula, lossary.cross_entropy(scores, labels))}


@exhibit(
    "E4-3",
    "C1 negative classes",
    Source.PRIMER,
    says="A one-hot vector with one positive and C1 negative classes.",
    answer="C − 1.",
)
def e4_3() -> Results:
    target = F.one_hot(tensor(2), 5)
    return {"one-hot of 5": target, "4 are 0": int((target == 0).sum()) == 5 - 1}


@exhibit(
    "E4-4",
    "The sign of entropy",
    Source.PRIMER,
    says="S(v) = Σ p log p.",
    answer="−Σ p log p: an uncertainty is not below 0.",
)
def e4_4() -> Results:
    p = tensor([[0.5, 0.25, 0.25]])
    right = lossary.entropy(p)
    return {"as printed": (p * p.log()).sum(), "entropy": right, "it is above 0": bool(right > 0)}


@exhibit(
    "E4-5",
    "The first term of the divergence",
    Source.PRIMER,
    says="The first term of KL(A, B) is the entropy of A.",
    answer="Minus the entropy: Σ a log a. The second is the cross-entropy H(A, B).",
    losses=("kl_divergence_loss",),
)
def e4_5() -> Results:
    a, b = tensor([[0.7, 0.3]]), tensor([[0.4, 0.6]])
    kl = lossary.kl_divergence_loss(b, a, input_kind="probabilities")
    minus, plus = (lossary.cross_entropy_of(a, b) + sign * lossary.entropy(a) for sign in (-1, 1))
    return {"KL": kl, "it is H(A, B) − H(A)": torch.allclose(kl, minus), "and not + H(A)": not torch.allclose(kl, plus)}


@exhibit(
    "E4-6",
    "The sign of cross-entropy",
    Source.PRIMER,
    says="H(q, p) = KL(p, q) + H(p) = Σ p log q.",
    answer="−Σ p log q, and usually written H(p, q).",
    losses=("kl_divergence_loss",),
)
def e4_6() -> Results:
    p, q = tensor([[0.7, 0.3]]), tensor([[0.4, 0.6]])
    total = lossary.kl_divergence_loss(q, p, input_kind="probabilities") + lossary.entropy(p)
    return {"KL + H(p)": total, "it is −Σ p log q": torch.allclose(total, -(p * q.log()).sum())}


@exhibit(
    "E4-7",
    "KL as a product",
    Source.PRIMER,
    says="KL(p, q) = H(q, p)H(p).",
    answer="H(p, q) − H(p): the minus is lost.",
    losses=("kl_divergence_loss",),
)
def e4_7() -> Results:
    p, q = tensor([[0.7, 0.3]]), tensor([[0.4, 0.6]])
    kl, cross, own = (
        lossary.kl_divergence_loss(q, p, input_kind="probabilities"),
        lossary.cross_entropy_of(p, q),
        lossary.entropy(p),
    )
    return {"KL": kl, "the product": cross * own, "KL is the difference": torch.allclose(kl, cross - own)}


@exhibit(
    "E4-8",
    "Cross-entropy as more robust than KL",
    Source.PRIMER,
    says="In mini-batches cross-entropy is the more robust of the two.",
    answer="For given targets their gradients are the same; the values differ by H(p), a constant.",
    losses=("cross_entropy", "kl_divergence_loss"),
)
def e4_8() -> Results:
    scores, p = torch.randn(8, 3, requires_grad=True), torch.rand(8, 3).softmax(1)
    losses = lossary.cross_entropy(scores, p), lossary.kl_divergence_loss(scores, p)
    ce, kl = (torch.autograd.grad(loss, scores)[0] for loss in losses)
    return {"difference of the values": losses[0] - losses[1], "the gradients are equal": torch.allclose(ce, kl)}


@exhibit(
    "E4-9",
    "Why KL is no metric",
    Source.PRIMER,
    says="KL is not a metric, since it is not symmetric.",
    answer="Nor does it keep the triangle inequality: by way of b it is nearer from a to c than directly.",
    losses=("kl_divergence_loss",),
)
def e4_9() -> Results:
    a, b, c = (tensor([[p, 1 - p]]) for p in (0.5, 0.25, 0.1))

    def kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        return lossary.kl_divergence_loss(q, p, input_kind="probabilities")

    return {
        "a to c, directly and by b": torch.stack([kl(a, c), kl(a, b) + kl(b, c)]),
        "directly is farther": bool(kl(a, c) > kl(a, b) + kl(b, c)),
        "there and back differ": bool(kl(a, c) != kl(c, a)),
    }


@exhibit(
    "E4-10",
    "The formula of the hinge",
    Source.PRIMER,
    says="The formula is missing.",
    answer="max(0, 1 − t y).",
    losses=("hinge_loss",),
)
def e4_10() -> Results:
    y, t = tensor([-2.0, 0.5, 3.0]), tensor([1, 1, 1])
    loss = lossary.hinge_loss(y, t, reduction="none")
    return {"at −2, 0.5, 3": loss, "it is max(0, 1 − t y)": torch.equal(loss, (1 - t * y).clamp(min=0))}


@exhibit(
    "E4-11",
    "Hinge and multiclass SVM as one",
    Source.PRIMER,
    says="One heading for both.",
    answer="Two losses: the multiclass one adds a hinge for each wrong class. They are equal only for two classes.",
    losses=("hinge_loss", "multiclass_hinge_loss"),
)
def e4_11() -> Results:
    z, y = torch.randn(6, 3), tensor([0, 1, 1, 0, 1, 0])
    two, three = (lossary.multiclass_hinge_loss(z[:, :classes], y) for classes in (2, 3))
    binary = lossary.hinge_loss(z[:, 1] - z[:, 0], y)
    return {"equal for two": torch.allclose(two, binary), "not for three": not torch.allclose(three, binary)}


@exhibit(
    "E4-12",
    "The formulas of focal and Poly-1",
    Source.PRIMER,
    says="Both formulas are missing.",
    answer="−(1 − p)^γ log p; cross-entropy + ε (1 − p); focal + ε (1 − p)^(γ + 1).",
    losses=("focal_loss", "poly_loss", "poly_focal_loss"),
)
def e4_12() -> Results:
    z, y = torch.randn(5, 3), tensor([0, 1, 2, 0, 1])
    p = lossary.softmax(z)[range(5), y]
    focal = -((1 - p) ** 2) * p.log()
    return {
        "focal": torch.allclose(lossary.focal_loss(z, y), focal.mean()),
        "Poly-1": torch.allclose(lossary.poly_loss(z, y), (1 - p - p.log()).mean()),
        "Poly-1 focal": torch.allclose(lossary.poly_focal_loss(z, y), (focal + (1 - p) ** 3).mean()),
    }


@exhibit(
    "E4-13",
    "ArcFace without its minus",
    Source.PRIMER,
    says="(1/N) Σ log(…), with a scale S in one place and s in the others.",
    answer="−(1/N) Σ log(…), and one scale. Without the minus the value is never above 0.",
    losses=("arcface_loss",),
)
def e4_13() -> Results:
    x, w, y = torch.randn(4, 3), torch.randn(5, 3), tensor([0, 1, 2, 3])
    cosine = F.normalize(x) @ F.normalize(w).T
    score = torch.where(F.one_hot(y, 5) == 1, (cosine.acos() + 0.5).cos(), cosine)
    printed = (10 * score).log_softmax(1)[range(4), y].mean()
    right = lossary.arcface_loss(x, w, y, scale=10.0, beyond_pi="plain")
    return {"as printed": printed, "ArcFace": right, "one is minus the other": torch.allclose(-printed, right)}


EXHIBITS = (e4_1, e4_2, e4_3, e4_4, e4_5, e4_6, e4_7, e4_8, e4_9, e4_10, e4_11, e4_12, e4_13)

"""Errata E4-14 to E4-32, of the primer: pairs, masks, ranking, regression."""

import torch
from torch import tensor

import lossary
from lossary.gallery.exhibit import Results, Source, exhibit


@exhibit(
    "E4-14",
    "Formulas of triplet, InfoNCE, Dice, Huber",
    Source.PRIMER,
    says="All four are missing.",
    answer="max(0, d₊² − d₋² + α); −log softmax of the positive's similarity over the temperature; "
    "1 − 2 Σ p g / (Σ p + Σ g); ½ r² and δ (|r| − ½ δ).",
    losses=("triplet_loss", "info_nce_loss", "sigmoid_dice_loss", "huber_loss"),
)
def e4_14() -> Results:
    x, labels, r = tensor([[0.0], [1.0], [1.2]]), tensor([0, 0, 1]), tensor([0.5, 3.0])
    p, g, eye = torch.rand(1, 1, 9), (torch.arange(9) % 2).double().view(1, 1, 9), torch.eye(3)
    triplet = lossary.triplet_loss(x, labels, margin=0.5, squared=True)  # of anchors 0 and 1
    nce, similar = lossary.info_nce_loss(eye, eye, temperature=0.5), lossary.softmax(eye / 0.5)
    dice, overlap = lossary.sigmoid_dice_loss(p.logit(), g, smooth=0.0), 2 * (p * g).sum() / (p.sum() + g.sum())
    return {
        "triplet": torch.allclose(triplet, tensor((1 - 1.44 + 0.5 + 1 - 0.04 + 0.5) / 2)),
        "InfoNCE and Dice": torch.allclose(nce, -similar[0, 0].log()) and torch.allclose(dice, 1 - overlap),
        "Huber": torch.equal(lossary.huber_loss(r, 0 * r, "none"), tensor([0.125, 2.5])),
    }


@exhibit(
    "E4-15",
    "Who proposed Dice loss",
    Source.PRIMER,
    says="Zhao et al., 2020.",
    answer="Milletari, Navab and Ahmadi, V-Net, 2016, as the primer's next lines say; with squares in the denominator.",
    losses=("dice_loss",),
)
def e4_15() -> Results:
    paper = lossary.find("dice_loss").paper
    return {"paper": paper, "it is of 2016": paper.startswith("arXiv:16")}


@exhibit(
    "E4-16",
    "1DSC",
    Source.PRIMER,
    says="1DSC as the loss.",
    answer="1 − DSC.",
    losses=("sigmoid_dice_loss",),
)
def e4_16() -> Results:
    p, g = tensor([[[0.9, 0.2, 0.6]]]), tensor([[[1.0, 0.0, 1.0]]])
    dsc = 2 * (p * g).sum() / (p.sum() + g.sum())
    loss = lossary.sigmoid_dice_loss(p.logit(), g, smooth=0.0)
    return {"DSC": dsc, "loss": loss, "they sum to 1": torch.allclose(dsc + loss, tensor(1.0))}


@exhibit(
    "E4-17",
    "Who proposed margin ranking",
    Source.PRIMER,
    says="Nayyeri et al., 2019.",
    answer="Theirs is the adaptive one, for knowledge graphs. The loss is far older: Herbrich, Graepel and "
    "Obermayer, 2000.",
    losses=("margin_ranking_loss",),
)
def e4_17() -> Results:
    paper = lossary.find("margin_ranking_loss").paper
    return {"paper": paper, "it is of 2000": "2000" in paper}


@exhibit(
    "E4-18",
    "y is 1 or 1",
    Source.PRIMER,
    says="y contains 1 or 1; if y = 1 the first is ranked higher, and if y = 1 the second.",
    answer="1 or −1; with −1 the second is to be higher.",
    losses=("margin_ranking_loss",),
)
def e4_18() -> Results:
    first, second = tensor([2.0]), tensor([1.0])
    plus, minus = (lossary.margin_ranking_loss(first, second, tensor([y])) for y in (1, -1))
    return {"y = 1": plus, "y = −1": minus, "only −1 wants the second higher": bool(plus == 0 < minus)}


@exhibit(
    "E4-19",
    "Labels drawn as signs",
    Source.PRIMER,
    says="target = torch.randn(3).sign().",
    answer="The sign of 0 is 0, which is no label: rare, and refused by the library. Draw the labels themselves.",
    losses=("margin_ranking_loss",),
)
def e4_19() -> Results:
    target, said = torch.zeros(1).sign(), ""
    try:
        lossary.margin_ranking_loss(torch.ones(1), torch.zeros(1), target)
    except ValueError as refused:
        said = str(refused)
    return {"sign of 0": target[0], "the library says": said, "it is refused": "got 0" in said}


@exhibit(
    "E4-20",
    "Contrastive loss after Hadsell",
    Source.PRIMER,
    says="(1Y) ½ D² + (Y) ½ max(0, mD)².",
    answer="(1 − Y) and m − D. Y = 0 means similar, and pairs are summed.",
    losses=("contrastive_loss",),
)
def e4_20() -> Results:
    left, right, Y = torch.zeros(2, 1), tensor([[0.3], [0.6]]), tensor([0, 1])
    formula = 0.3**2 / 2 + (1 - 0.6) ** 2 / 2
    loss = lossary.contrastive_loss(left, right, Y, similar_label=0, reduction="sum")
    return {"sum": loss, "by the formula": torch.allclose(loss, tensor(formula))}


@exhibit(
    "E4-21",
    "Two conventions in one section",
    Source.PRIMER,
    says="y d² + (1y) max(margin d, 0)², where y = 1 means similar, without ½; d = |f₁f₂|.",
    answer="(1 − y), margin − d, ‖f₁ − f₂‖. The label is the other way round than above, and the value twice as large.",
    losses=("contrastive_loss",),
)
def e4_21() -> Results:
    left, right, y = torch.zeros(2, 1), tensor([[0.3], [0.6]]), tensor([1, 0])
    here = lossary.contrastive_loss(left, right, y, factor=1.0, reduction="sum")
    above = lossary.contrastive_loss(left, right, 1 - y, similar_label=0, reduction="sum")
    return {"here": here, "above": above, "one is twice the other": torch.allclose(here, 2 * above)}


@exhibit(
    "E4-22",
    "Multiple Negative Ranking",
    Source.PRIMER,
    says="Multiple Negative Ranking loss.",
    answer="Multiple Negatives Ranking: there are several in every batch.",
    losses=("multiple_negatives_ranking_loss",),
)
def e4_22() -> Results:
    name = lossary.find("mnr_loss").name
    return {"name": name, "it has the s": "negatives" in name}


@exhibit(
    "E4-23",
    "samplen1, and why larger batches help",
    Source.PRIMER,
    says="It samples n1 negatives; larger batches help because rows with neutral or contradiction labels are dropped.",
    answer="n − 1 negatives, the other documents of the batch. Larger batches have more of them; dropping rows "
    "prepares data.",
    losses=("multiple_negatives_ranking_loss",),
)
def e4_23() -> Results:
    same = torch.ones(8, 4)
    losses = torch.stack([lossary.mnr_loss(same[:n], same[:n]) for n in (2, 4, 8)])
    return {
        "loss of equal vectors, n = 2, 4, 8": losses,
        "it is the log of n choices, n − 1 of them wrong": torch.allclose(losses, tensor([2.0, 4.0, 8.0]).log()),
    }


@exhibit(
    "E4-24",
    "A listing that does not train",
    Source.PRIMER,
    says="SentenceTransformer('distilbertbaseuncased'), a loader and a loss; then the listing ends.",
    answer="distilbert-base-uncased; and no step is taken: a loss that is made trains nothing.",
    losses=("multiple_negatives_ranking_loss",),
)
def e4_24() -> Results:
    model, loss = torch.nn.Linear(3, 3), lossary.MNRLoss()
    before = model.weight.clone()
    loss(model(torch.randn(4, 3)), model(torch.randn(4, 3))).backward()
    return {"the weights are as before": torch.equal(model.weight, before)}


@exhibit(
    "E4-25",
    "MAE without its bars",
    Source.PRIMER,
    says="(1/m) Σ h(x)y.",
    answer="(1/m) Σ |h(x) − y|.",
    losses=("l1_loss",),
)
def e4_25() -> Results:
    h, y = tensor([1.0, 4.0]), tensor([2.0, 2.0])
    loss = lossary.l1_loss(h, y)
    return {"products": (h * y).mean(), "MAE": loss, "it is the mean distance": bool(loss == (1 + 2) / 2)}


@exhibit(
    "E4-26",
    "Not affected by outliers",
    Source.PRIMER,
    says="Mean Average Error does not take the direction into account; L1 is not affected by outliers.",
    answer="Mean Absolute Error. Less affected: an outlier pulls with a bounded force, but it pulls, and the value "
    "grows with it.",
    losses=("l1_loss", "mse_loss"),
)
def e4_26() -> Results:
    errors = tensor([1.0, 1.0, 100.0], requires_grad=True)
    l1, mse = lossary.l1_loss(errors, torch.zeros(3)), lossary.mse_loss(errors, torch.zeros(3))
    pull = torch.stack([torch.autograd.grad(loss, errors)[0] for loss in (l1, mse)])
    return {
        "L1 with and without the outlier": [l1.item(), 1.0],
        "its pull by L1, by squares": pull[:, 2],
        "it pulls, by L1 no more than others": bool(pull[0, 2] == pull[0, 0] > 0),
    }


@exhibit(
    "E4-27",
    "Sum or mean",
    Source.PRIMER,
    says="L1 and L2 loss are sums; the formulas are means.",
    answer="The best prediction is the same; the value and the gradient are n times as large.",
    losses=("l1_loss", "mse_loss"),
)
def e4_27() -> Results:
    x, y = torch.randn(5), torch.randn(5)
    total, mean = lossary.mse_loss(x, y, "sum"), lossary.mse_loss(x, y)
    return {"sum": total, "mean": mean, "5 times": torch.allclose(total, 5 * mean)}


@exhibit(
    "E4-28",
    "(y ŷ)²",
    Source.PRIMER,
    says="(1/m) Σ (y ŷ)².",
    answer="(y − ŷ)². As printed, a perfect prediction costs y⁴.",
    losses=("mse_loss",),
)
def e4_28() -> Results:
    y = tensor([2.0, 3.0])
    loss = lossary.mse_loss(y, y)
    return {"a perfect prediction, as printed": ((y * y) ** 2).mean(), "MSE": loss, "MSE is 0": bool(loss == 0)}


@exhibit(
    "E4-29",
    "L1 and L2 as regularisers",
    Source.PRIMER,
    says="A note on L1 and L2 loss: both are used for regularization.",
    answer="The names are shared, the arguments are not: residuals in a loss, weights in a penalty.",
    losses=("l1_loss",),
)
def e4_29() -> Results:
    w, x, y = tensor([2.0, -1.0]), tensor([[1.0, 1.0]]), tensor([0.0])
    loss, penalty = lossary.l1_loss(x @ w, y), lossary.l1_penalty(w)
    return {"of the residual": loss, "of the weights": penalty, "they differ": bool(loss != penalty)}


@exhibit(
    "E4-30",
    "Huber's condition",
    Source.PRIMER,
    says="\\a\\=delta, a = yf(x).",
    answer="|a| = δ and a = y − f(x). There values and slopes of both branches are equal.",
    losses=("huber_loss",),
)
def e4_30() -> Results:
    a = tensor([1.5 - 1e-9, 1.5 + 1e-9], requires_grad=True)
    loss = lossary.huber_loss(a, torch.zeros(2), "none", delta=1.5)
    (slope,) = torch.autograd.grad(loss.sum(), a)
    return {
        "values before and after δ are equal": torch.allclose(loss[0], loss[1]),
        "slopes too": torch.allclose(slope[0], slope[1]),
    }


@exhibit(
    "E4-31",
    "C′ = 2",
    Source.PRIMER,
    says="Multi-label tasks are C independent problems, written C′ = 2, t′ = 0 or 1.",
    answer="Meant are C sigmoids, each with its own binary cross-entropy.",
    losses=("binary_cross_entropy_with_logits",),
)
def e4_31() -> Results:
    z, t = torch.randn(4, 3), (torch.rand(4, 3) > 0.5).double()
    apart = [lossary.binary_cross_entropy_with_logits(z[:, c], t[:, c]) for c in range(3)]
    whole = lossary.binary_cross_entropy_with_logits(z, t)
    return {"it is the mean of three": torch.allclose(whole, torch.stack(apart).mean())}


@exhibit(
    "E4-32",
    "A link in two brackets",
    Source.PRIMER,
    says="The link to InfoNCE's paper is broken by a second bracket.",
    answer="arXiv:1807.03748.",
    losses=("info_nce_loss",),
)
def e4_32() -> Results:
    paper = lossary.find("info_nce_loss").paper
    return {"paper": paper, "it is the one that is meant": paper == "arXiv:1807.03748"}


EXHIBITS = (
    *(e4_14, e4_15, e4_16, e4_17, e4_18, e4_19, e4_20, e4_21, e4_22, e4_23, e4_24, e4_25, e4_26, e4_27, e4_28),
    *(e4_29, e4_30, e4_31, e4_32),
)

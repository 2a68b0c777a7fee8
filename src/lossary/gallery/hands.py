"""Pictures that are moved by hand: P4, and P18 to P23, which are ours. Every position is computed here."""

import itertools

import torch
from torch import tensor

import lossary
from lossary.gallery.exhibit import Results, Source, exhibit


@exhibit(
    "P4",
    "A plane where no line will do",
    Source.SLIDES,
    says="Data in three dimensions that a plane separates; in fewer, a linear model is limited.",
    answer="A disc inside a ring: seen from above, no line parts them, and the best linear model by the hinge finds "
    "nothing better than to call all of them the larger class. With the squared distance from the middle as a third "
    "coordinate the same model, in three dimensions, gets every point.",
    expect=(
        "Seen from above: which straight line parts the ring from the disc?",
        "None. Whatever the line, ring lies on both of its sides.",
    ),
    look_for="the view from above, which is all that two dimensions have, and the view from the side, in which the "
    "plane is a line between the two.",
    hand="space",
    losses=("hinge_loss",),
)
def p4() -> Results:
    turn, weights, right = 2 * torch.pi * torch.rand(70), {}, {}
    radius = torch.cat([0.65 * torch.rand(30).sqrt(), 0.9 + 0.3 * torch.rand(40)])
    x, y = torch.stack([radius * turn.cos(), radius * turn.sin(), radius**2], dim=1), (torch.arange(70) < 30).long()
    for size in (2, 3):
        X, w = torch.cat([x[:, :size], torch.ones(70, 1)], dim=1), torch.zeros(size + 1, requires_grad=True)
        for _ in range(1000):
            (slope,) = torch.autograd.grad(lossary.hinge_loss(X @ w, y), w)
            w = (w - 0.3 * slope).detach().requires_grad_()
        weights[size], right[size] = w.detach(), int(((X @ w > 0) == (y == 1)).sum())
    return {"points": x, "labels": y, "plane": weights[3], "line right": right[2], "plane right": right[3]}


@exhibit(
    "P18",
    "Which way each loss pulls",
    Source.RECITATION,
    says="Losses of embeddings pull what belongs together, and push the rest apart.",
    answer="Six embeddings on a circle, three of each class; you can move one of them. An arrow shows where a step "
    "of gradient descent would take a point: minus the gradient, scaled separately in each "
    "picture. The triplet loss "
    "here is of all triplets, with a margin of 0.5; the contrastive loss has a margin of 1; SupCon a temperature of "
    "0.5; ArcFace, at scale 4, and the center loss have the centers that are drawn as rings.",
    expect=(
        "The blue point is moved. Does center loss pull the orange ones differently then?",
        "No: each point is pulled to the center of its own class, whatever the others do.",
    ),
    look_for="who is pulled. The center loss moves each point alone and knows no other class. The triplet and "
    "contrastive losses let go of what is apart far enough. SupCon and ArcFace, which only read directions, pull "
    "along the circle.",
    hand="circle",
    losses=("supcon_loss", "triplet_loss", "contrastive_loss", "arcface_loss", "center_loss"),
)
def p18() -> Results:
    y, others, results = tensor([0, 0, 0, 1, 1, 1]), tensor([70.0, 110.0, 200.0, 250.0, 320.0]), {}
    centers = torch.polar(torch.ones(2), tensor([90.0, 257.0]).deg2rad())
    c, angles = torch.view_as_real(centers), torch.cat([torch.arange(0.0, 360, 2)[:, None], others.expand(180, 5)], 1)
    losses = {"SupCon": lambda z: lossary.supcon_loss(z, y, temperature=0.5)}
    losses["triplet"] = lambda z: lossary.triplet_loss(z, y, margin=0.5, mining="all", average="all")
    losses["contrastive"] = lambda z: lossary.contrastive_loss(z, y)
    losses |= {
        "ArcFace": lambda z: lossary.arcface_loss(z, c, y, scale=4.0),
        "center loss": lambda z: lossary.center_loss(z, c, y),
    }
    for name, loss in losses.items():
        z = torch.stack([angles.deg2rad().cos(), angles.deg2rad().sin()], -1).requires_grad_()
        values = torch.stack([loss(one) for one in z])
        results[name] = {"values": values, "arrows": -torch.autograd.grad(values.sum(), z)[0]}
    return {"labels": y, "others": others, "centers": c, "losses": results}


@exhibit(
    "P19",
    "Paint a mask",
    Source.PRIMER,
    says="Dice measures how two masks overlap.",
    answer="Painted pixels are predicted with the probability that the dial says, the others with the rest; the "
    "outlined ones are the truth. All five losses read the same four counts, of hits, misses, false alarms and the "
    "rest, so all that can be painted is a table of 25 by 77 numbers. Cross-entropy counts every pixel alike; the "
    "overlaps forget the empty ones. Tversky, at 0.3 and 0.7, minds a miss more than a false alarm.",
    expect=(
        "Nothing is painted. Which loss minds that least?",
        "Cross-entropy: it counts all hundred pixels, and most of them are right.",
    ),
    look_for="an empty mask, which cross-entropy hardly minds and Dice does; and what one more pixel outside costs by "
    "each while the mask is small, and when it is large.",
    hand="mask",
    losses=("sigmoid_dice_loss", "sigmoid_tversky_loss", "sigmoid_jaccard_loss", "sigmoid_lovasz_loss"),
)
def p19() -> Results:
    pixel, counts, tables = torch.arange(100), torch.cartesian_prod(torch.arange(25), torch.arange(77)), {}
    truth = (pixel < 24).double().expand(1925, 1, 100)
    painted = (pixel < counts[:, :1]) | ((pixel >= 24) & (pixel < 24 + counts[:, 1:]))  # hits, then false alarms
    of = {
        "Dice": lossary.sigmoid_dice_loss,
        "Tversky": lossary.sigmoid_tversky_loss,
        "Jaccard": lossary.sigmoid_jaccard_loss,
    }
    for sure in (0.7, 0.9, 0.99):
        z = torch.where(painted, 1.0, -1.0)[:, None] * tensor(sure).logit()
        table = {name: loss(z, truth, smooth=0.0, reduction="none")[:, 0] for name, loss in of.items()}
        table["Lovász"] = torch.stack(
            [lossary.sigmoid_lovasz_loss(*one, per_image=True) for one in zip(z[:, None], truth[:, None], strict=True)]
        )
        table["cross-entropy"] = lossary.binary_cross_entropy_with_logits(z, truth, reduction="none").mean((1, 2))
        tables[sure] = table
    return {"tables": tables}


@exhibit(
    "P20",
    "Reorder a list",
    Source.RECITATION,
    says="Ranking losses want the relevant items first.",
    answer="Six items, whose relevance is the number of stars, are scored by their place: 2, 1.2, 0.4, −0.4, −1.2, "
    "−2. An arrow is minus the gradient of a score, scaled separately for each loss: up means toward the "
    "front. ListNet "
    "compares two softmaxes: it moves what stands first and what should. RankNet treats every pair alike, wherever "
    "it stands, and so pulls a little at "
    "everything. LambdaLoss weighs a pair by gain and discount, and most of all if "
    "the two are neighbours. ApproxNDCG is shown at a temperature of 1: at its default of 0.1, gaps of 0.8 between "
    "scores leave it no gradient to speak of.",
    expect=(
        "Two neighbours that differ are swapped: once at the top, once further down. Does RankNet care which?",
        "No: a pair counts the same wherever it stands. LambdaLoss and NDCG care more about the top.",
    ),
    look_for="the best item in the last place: who makes room for it, by each loss? Then two neighbours swapped, at "
    "the top and at the bottom.",
    hand="ranks",
    losses=("listnet_loss", "ranknet_loss", "lambda_loss", "approx_ndcg_loss"),
)
def p20() -> Results:
    relevance, orders, pulls = tensor([3.0, 2, 2, 1, 0, 0]), tensor(list(itertools.permutations(range(6)))), {}
    stars, gain = relevance[orders], (torch.arange(6) + 2.0).log2().reciprocal()
    losses = {
        "ListNet": lossary.ListNetLoss(reduction="none"),
        "RankNet": lossary.RankNetLoss(reduction="none"),
        "LambdaLoss": lossary.LambdaLoss(reduction="none"),
        "ApproxNDCG": lossary.ApproxNDCGLoss(temperature=1.0, reduction="none"),
    }
    for name, loss in losses.items():
        scores = torch.linspace(2, -2, 6).repeat(720, 1).requires_grad_()
        values = loss(scores, stars)
        pulls[name] = {"values": values, "pulls": -torch.autograd.grad(values.sum(), scores)[0]}
    return {
        "relevance": relevance,
        "orders": orders,
        "losses": pulls,
        "NDCG": (stars.exp2() - 1) @ gain / ((relevance.exp2() - 1) @ gain),
    }


@exhibit(
    "P21",
    "Drag an outlier",
    Source.BOOK,
    says="MSE goes after an outlier; MAE and Huber are robust.",
    answer="Five lines fitted to the same twelve points and a thirteenth, which you move. Each is the best line by "
    "its loss. Far above, the squared error's line follows in proportion. The others only depend on the point"
    " being above. But this holds for a point in the middle: at the end of the axis a point has leverage, and"
    " there the absolute error too can be tilted. The 90 % quantile wants one point in ten above it, and "
    "settles where that holds.",
    expect=(
        "Does the absolute error's line stay where it is, wherever the outlier goes?",
        "No. At the end of the axis one point has leverage, and tilts it.",
    ),
    look_for="the point far above the middle, then far above the right end, where only a few others hold the line.",
    hand="fits",
    losses=("mse_loss", "l1_loss", "huber_loss", "log_cosh_loss", "quantile_loss"),
)
def p21() -> Results:
    x, places = torch.arange(12.0), torch.cartesian_prod(torch.linspace(0, 12, 25), torch.linspace(-4, 20, 49))
    y, X = 2 + 0.5 * x + 0.7 * torch.randn(12), torch.cat([x.expand(1225, 12), places[:, :1]], dim=1)
    X, Y, fits = torch.stack([torch.ones_like(X), X], dim=2), torch.cat([y.expand(1225, 12), places[:, 1:]], dim=1), {}
    losses = {"squared": lossary.mse_loss, "absolute": lossary.l1_loss, "Huber": lossary.huber_loss}
    losses |= {
        "log-cosh": lossary.log_cosh_loss,
        "90 % quantile": lambda *r, **how: lossary.quantile_loss(*r, quantile=0.9, **how),
    }
    for name, loss in losses.items():
        fit = torch.zeros(1225, 2, 1)
        for _ in range(
            1 if name == "squared" else 300
        ):  # least squares, each point weighed by its slope over its error
            error = (X @ fit)[..., 0].sub(Y).requires_grad_()
            slope = torch.autograd.grad(loss(error, 0 * Y, reduction="sum"), error)[0]
            W = X * (slope / torch.where(error.abs() < 1e-9, 1e-9, error)).detach()[..., None]
            fit = torch.linalg.solve(W.mT @ X, W.mT @ Y[..., None])
        fits[name] = fit[..., 0]
    return {"points": torch.stack([x, y], dim=1), "places": places, "fits": fits}


@exhibit(
    "P23",
    "Model, loss, optimiser",
    Source.SLIDES,
    says="A training is a model, a loss and an optimiser: the model predicts, the loss compares, the optimiser "
    "changes the weights.",
    answer="The smallest one: one weight, four points, the last of which lies far off. The curve is the loss over the "
    "weight; the arrow is the step that the optimiser makes next. The loss determines where the lowest point is, the "
    "optimiser how to get there.",
    expect=(
        "With which loss do the steps of SGD keep their length?",
        "With the absolute error: between two points its slope does not change, however near the lowest point is.",
    ),
    look_for="the lowest point, which the squared error has elsewhere than the absolute one; and the absolute error's "
    "steps, which do not get shorter on the way.",
    hand="pipeline",
    losses=("mse_loss", "l1_loss", "huber_loss"),
)
def p23() -> Results:
    x, y, weights, paths = tensor([-1.0, 0.5, 1, 2]), tensor([-1.0, 0.5, 1, 5]), torch.linspace(-1.5, 3.5, 101), {}
    losses = {"squared": lossary.mse_loss, "absolute": lossary.l1_loss, "Huber": lossary.huber_loss}
    makers = {
        "SGD": lambda w: torch.optim.SGD([w], lr=0.1),
        "momentum": lambda w: torch.optim.SGD([w], lr=0.1, momentum=0.8),
        "Adam": lambda w: torch.optim.Adam([w], lr=0.3),
    }
    for (name, loss), (maker, make) in itertools.product(losses.items(), makers.items()):
        w, path = torch.full((1,), -1.0, requires_grad=True), []
        optimizer = make(w)
        for _ in range(41):
            value = loss(w * x, y)
            (w.grad,) = torch.autograd.grad(value, w)
            path.append([w.item(), value.item(), w.grad.item()])
            optimizer.step()
        paths.setdefault(name, {})[maker] = path
    curves = {name: [loss(w * x, y) for w in weights] for name, loss in losses.items()}
    return {"x": x, "y": y, "weights": weights, "curves": curves, "paths": paths}


EXHIBITS = (p4, p18, p19, p20, p21, p23)

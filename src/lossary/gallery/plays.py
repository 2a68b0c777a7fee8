"""Pictures of trainings, P7, P8, P9, P12: features of digits in the plane, as `make claims` recorded them."""

import sklearn.datasets
import torch
import torch.nn.functional as F

import lossary
from lossary.gallery.exhibit import Results, Source, exhibit
from lossary.gallery.training import trained


@exhibit(
    "P7",
    "A border, or clusters",
    Source.RECITATION,
    says="A classifier draws a border between the classes that it knows; a zero-shot loss makes clusters, so that "
    "classes it never saw can be told apart as well.",
    answer="Both networks saw only the digits 0 to 7. Cross-entropy has cut the plane into eight sectors, and there "
    "is no ninth: an 8 or a 9 must lie in one of them. The triplet loss has no sectors, so nothing forbids a new "
    "cluster. But nothing makes one either, and in two dimensions there is little room.",
    expect=(
        "A 9 is shown to a classifier that only knows 0 to 7. What can it answer?",
        "One of these eight: every point of the plane lies in the sector of some known digit.",
    ),
    look_for="where the two unseen digits, 8 and 9, fall (crosses): the number below each picture says how many of "
    "them have one of their own kind as the nearest neighbour.",
    seeds=1,
    recorded=True,
    hand="plane",
    losses=("cross_entropy", "triplet_loss"),
)
def p7(seed: int) -> Results:
    x, y = (torch.as_tensor(part)[:900] for part in sklearn.datasets.load_digits(return_X_y=True))
    softmax = lossary.LinearHead(lossary.CrossEntropyLoss(), num_classes=8, embedding_size=2)
    squares = torch.cartesian_prod((torch.arange(45) - 22) / 21.6, (22 - torch.arange(45)) / 21.6)
    panels, told, regions = {}, {}, {}
    for name, loss in {"cross-entropy": softmax, "triplet loss": lossary.TripletLoss(1.0, mining="all")}.items():
        z = trained(loss, x[y < 8] / 16, y[y < 8], batch=128)[0](x / 16).detach()
        nearest = torch.cdist(z, z).fill_diagonal_(torch.inf).argmin(1)
        panels[name], regions[name] = (480 * z / z.abs().amax()).round().int()[None, :200], z.abs().amax() * squares
        told[name] = [100 * (y[nearest] == y)[y > 7].double().mean()]
    return {
        "panels": panels,
        "labels": y[:200],
        "unseen": [8, 9],
        "told": told,
        "telling": "% of 8 and 9 beside their own kind",
        "regions": {"cross-entropy": softmax.get_logits(regions["cross-entropy"]).argmax(1)},
    }


@exhibit(
    "P8",
    "Pulled to the centers",
    Source.RECITATION,
    says="Center loss beside cross-entropy pulls features to the centers of their classes; λ says how strongly.",
    answer="Digits in two dimensions, four trainings from the same start. Without center loss the classes are rays. A "
    "little of it makes them spots; the larger λ, the smaller the share of the features' variance that lies within "
    "classes.",
    look_for="the moment at which the rays fold into spots, which comes the earlier the larger λ is.",
    seeds=1,
    recorded=True,
    hand="plane",
    losses=("center_loss", "cross_entropy"),
)
def p8(seed: int) -> Results:
    x, y = (torch.as_tensor(part)[:900] for part in sklearn.datasets.load_digits(return_X_y=True))
    panels, told = {}, {}
    for strength in (0.0, 0.01, 0.1, 1.0):
        torch.manual_seed(seed)
        softmax = lossary.LinearHead(lossary.CrossEntropyLoss(), num_classes=10, embedding_size=2)
        loss = lossary.Sum(cross_entropy=softmax, center=(lossary.CenterLoss(10, 2), strength))
        frames = torch.stack(trained(loss, x / 16, y, every=30)[1])
        panels[f"λ = {strength:g}"] = (480 * frames / frames.abs().amax()).round().int()[:, :150]
        told[f"λ = {strength:g}"] = [(z - lossary.class_means(z, y)).var(0).sum() / z.var(0).sum() for z in frames]
    return {
        "panels": panels,
        "labels": y[:150],
        "every": 30,
        "told": told,
        "telling": "of the variance is within classes",
    }


@exhibit(
    "P9",
    "Seven losses, one plane",
    Source.LECTURE,
    says="Two-dimensional features under softmax, with normalised weights, on a sphere, under SphereFace, CosFace and "
    "ArcFace.",
    answer="The same small network on digits under seven losses. Softmax makes rays from the origin. Center loss "
    "makes spots. If features are normalised, only the direction counts, so those are drawn on the circle: ten "
    "classes share it, and a margin can only sharpen classes that are already apart. Ten classes leave at most 36° "
    "between neighbours, and so a cosine margin of at most 0.19: here it is 0.1, and ArcFace's is 0.1 radians.",
    look_for="how early the classes part, and how narrow each is at the end. The number is the share of digits that "
    "are nearest to their own class's center.",
    seeds=1,
    recorded=True,
    hand="plane",
    losses=(
        "cross_entropy",
        "center_loss",
        "normalized_softmax_loss",
        "sphereface_loss",
        "cosface_loss",
        "arcface_loss",
        "supcon_loss",
    ),
)
def p9(seed: int) -> Results:
    x, y = (torch.as_tensor(part)[:900] for part in sklearn.datasets.load_digits(return_X_y=True))
    softmax, joint = (
        lossary.LinearHead(lossary.CrossEntropyLoss(), num_classes=10, embedding_size=2) for _ in range(2)
    )
    free = {"softmax": softmax, "with center loss": lossary.Sum(softmax=joint, center=(lossary.CenterLoss(10, 2), 0.1))}
    free |= {"SphereFace": lossary.SphereFaceLoss(10, 2, margin=2)}
    bound = {
        "normalised": lossary.NormFaceLoss(10, 2, scale=16.0),
        "CosFace": lossary.CosFaceLoss(10, 2, margin=0.1, scale=16.0),
    }
    bound |= {"ArcFace": lossary.ArcFaceLoss(10, 2, margin=0.1, scale=16.0), "SupCon": lossary.SupConLoss()}
    frames = {name: torch.stack(trained(loss, x / 16, y, every=30)[1]) for name, loss in (free | bound).items()}
    frames |= {name: F.normalize(frames[name], dim=-1) for name in bound}
    centers = {name: torch.stack([z[:, y == c].mean(1) for c in range(10)], 1) for name, z in frames.items()}
    return {
        "panels": {name: (480 * z / z.abs().amax()).round().int()[:, :150] for name, z in frames.items()},
        "labels": y[:150],
        "every": 30,
        "told": {
            name: 100 * (torch.cdist(z, centers[name]).argmin(-1) == y).double().mean(1) for name, z in frames.items()
        },
        "telling": "% nearest to their own center",
    }


@exhibit(
    "P12",
    "A triplet, before and after",
    Source.BOOK,
    says="Before the training an anchor may lie nearer to a negative than to a positive; after it, the positive is the "
    "nearer one, by a margin.",
    answer="Digits in two dimensions under the triplet loss on all triplets of a batch. A chosen anchor shows its "
    "hardest triplet among the drawn points: the farthest digit of its class, and the nearest of another. Long after "
    "the average triplet is right, the hardest one is not. Each step is drawn to a scale of its own: the features "
    "spread more and more.",
    look_for="the two lines from the anchor: the loss is 0 as soon as the dashed one is longer by the margin.",
    seeds=1,
    recorded=True,
    hand="plane",
    losses=("triplet_loss",),
)
def p12(seed: int) -> Results:
    x, y = (torch.as_tensor(part)[:900] for part in sklearn.datasets.load_digits(return_X_y=True))
    frames = torch.stack(trained(lossary.TripletLoss(1.0, mining="all"), x / 16, y, every=30, batch=128)[1])
    edges = frames.abs().amax((1, 2))
    return {
        "panels": {"triplet loss": (480 * frames / edges[:, None, None]).round().int()[:, :150]},
        "labels": y[:150],
        "every": 30,
        "told": {"triplet loss": [lossary.triplet_loss(z[:150], y[:150], margin=1.0, average="all") for z in frames]},
        "telling": "is the mean loss of every anchor's hardest triplet",
        "units": edges / 480,
        "margin": 1.0,
    }


EXHIBITS = (p7, p8, p9, p12)

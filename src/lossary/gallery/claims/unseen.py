"""Claims on embeddings and classes never seen that take a training, measured by `make claims`."""

import sklearn.datasets
import sklearn.metrics
import torch
import torch.nn.functional as F

import lossary
from lossary.gallery.exhibit import Results, Source, exhibit
from lossary.gallery.training import emoji_drawn, found_first, trained, verified


@exhibit(
    "C21",
    "Euclidean distance of softmax features",
    Source.LECTURE,
    says="The Euclidean distance is not the best similarity for features.",
    answer="Features of a small network that cross-entropy trained on the digits 0 to 5, compared on 6 to 9, which it "
    "never saw: does a pair show the same digit? The area under the curve is the chance that a pair of one digit is "
    "the more alike of two. A feature's length says how sure the network is, and the cosine drops it. Here that is "
    "worth next to nothing, if anything.",
    seeds=20,
    recorded=True,
    losses=("cross_entropy",),
)
def c21(seed: int) -> Results:
    x, y = (torch.as_tensor(part)[:1200] for part in sklearn.datasets.load_digits(return_X_y=True))
    softmax = lossary.LinearHead(lossary.CrossEntropyLoss(), num_classes=6, embedding_size=16)
    model, _ = trained(softmax, x[y < 6] / 16, y[y < 6], size=16, steps=400, batch=128)
    z, label, area = model(x[y > 5] / 16).detach(), y[y > 5], {}
    i, j = torch.triu_indices(len(z), len(z), 1)
    for name, alike in {"Euclidean": -torch.cdist(z, z), "cosine": F.normalize(z) @ F.normalize(z).T}.items():
        area[name] = float(sklearn.metrics.roc_auc_score(label[i] == label[j], alike[i, j]))
    return {f"area under the curve, {name}": value for name, value in area.items()} | {
        "the cosine is better": {"by": area["cosine"] - area["Euclidean"]},
    }


@exhibit(
    "C23",
    "A margin in the angle",
    Source.LECTURE,
    says="An angular margin makes the features of a class compact and the classes far apart.",
    answer="ArcFace at scale 16 on digits in eight dimensions, measured on digits that were not trained on: the mean "
    "angle of a feature to the mean of its class, and the smallest angle between two classes' means.",
    seeds=5,
    recorded=True,
    losses=("arcface_loss", "normalized_softmax_loss"),
)
def c23(seed: int) -> Results:
    x, y = (torch.as_tensor(part) for part in sklearn.datasets.load_digits(return_X_y=True))
    within, apart = {}, {}
    for margin in (0.0, 0.25, 0.5):
        arcface = lossary.ArcFaceLoss(10, 8, margin=margin, scale=16.0)
        model, _ = trained(arcface, x[:900] / 16, y[:900], size=8, steps=400, batch=128)
        z, label = F.normalize(model(x[900:] / 16).detach()), y[900:]
        means = F.normalize(torch.stack([z[label == c].mean(0) for c in range(10)]))
        within[margin] = (z * means[label]).sum(1).clamp(-1, 1).acos().rad2deg().mean().item()
        apart[margin] = (means @ means.T - 2 * torch.eye(10)).max().acos().rad2deg().item()
    return {f"degrees to the class's mean, m = {m:g}": angle for m, angle in within.items()} | {
        **{f"degrees between the nearest classes, m = {m:g}": angle for m, angle in apart.items()},
        "m = 0.5 makes classes more compact (degrees)": {"by": within[0.0] - within[0.5]},
        "m = 0.5 moves the nearest classes apart (degrees)": {"by": apart[0.5] - apart[0.0]},
    }


@exhibit(
    "C27",
    "Cross-entropy of many classes",
    Source.RECITATION,
    says="Trained on many classes, cross-entropy is a loss for classes never seen, too.",
    answer="Emoji by three designers, a class each: 30, 150 or 900 of them, 300 steps; then 400 others, by the "
    "cosine of the features: is a picture by one designer of the same emoji as one by another? More classes "
    "also mean more pictures here. The pixels are there for comparison.",
    seeds=5,
    recorded=True,
    losses=("cross_entropy",),
)
def c27(seed: int) -> Results:
    x, models = emoji_drawn(900), dict[str, torch.nn.Module](pixels=torch.nn.Identity())
    for k in (30, 150, 900):
        loss = lossary.LinearHead(lossary.CrossEntropyLoss(), num_classes=k, embedding_size=32)
        models[f"{k} classes"], _ = trained(loss, x[:k], torch.arange(k), size=32, steps=300, batch=48, lr=0.003)
    area = {name: verified(model, x[1100:]) for name, model in models.items()}
    return {f"area under the curve, {name}": value for name, value in area.items()} | {
        "150 classes are better than 30": {"by": area["150 classes"] - area["30 classes"]},
        "900 are better than 150": {"by": area["900 classes"] - area["150 classes"]},
        "900 are better than the pixels": {"by": area["900 classes"] - area["pixels"]},
    }


@exhibit(
    "C35",
    "A new identity, without training",
    Source.PRIMER,
    says="With the triplet loss new identities can be added without training again, and answers can be ranked.",
    answer="A network that saw the digits 0 to 6 is given five images of each of the ten digits to compare with; an "
    "image is then what the nearest mean of five is. Nothing is trained for 7, 8 and 9. They are recognised far above "
    "the chance of one in ten, and worse than what was trained on.",
    seeds=12,
    recorded=True,
    losses=("triplet_loss",),
)
def c35(seed: int) -> Results:
    x, y = (torch.as_tensor(part) for part in sklearn.datasets.load_digits(return_X_y=True))
    known = (y < 7) & (torch.arange(1797) < 900)
    model, _ = trained(lossary.TripletLoss(1.0, mining="all"), x[known] / 16, y[known], size=16, steps=400, batch=128)
    z, label = model(x[900:] / 16).detach(), y[900:]
    five = torch.stack([(label == c).nonzero()[:5, 0] for c in range(10)])
    order, asked = torch.cdist(z, z[five].mean(1)).argsort(1), ~torch.isin(torch.arange(897), five)
    first, within = (100.0 * hit for hit in (order[:, 0] == label, (order[:, :3] == label[:, None]).any(1)))
    old, new = asked & (label < 7), asked & (label > 6)
    return {
        "known digits recognised, %": first[old].mean().item(),
        "new digits recognised, %": first[new].mean().item(),
        "new digits among the first three, %": within[new].mean().item(),
        "a new digit is right more often than in half of the cases (points)": {"by": first[new].mean().item() - 50},
        "it is among the first three in more than 4 of 5 cases (points)": {"by": within[new].mean().item() - 80},
    }


@exhibit(
    "C37",
    "What labels do not say",
    Source.PRIMER,
    says="Class labels alone do not make a latent space smooth; augmentations add the invariances that are wanted.",
    answer="SupCon on digits, once unchanged and once with copies shifted by a pixel to either side. Labels say "
    "nothing about shifted digits. A shifted test digit's feature is compared with the original's, and its class is "
    "that of the nearest training digit.",
    seeds=5,
    recorded=True,
    losses=("supcon_loss",),
)
def c37(seed: int) -> Results:
    x, y = (torch.as_tensor(part) for part in sklearn.datasets.load_digits(return_X_y=True))
    moved = torch.cat([x.reshape(-1, 8, 8).roll(by, 2).flatten(1) for by in (0, 1, -1)]).reshape(3, 1797, 64) / 16
    alike, right = {}, {}
    for name, copies in {"labels alone": 1, "with moved copies": 3}.items():
        given, label = moved[:copies, :900].flatten(0, 1), y[:900].repeat(copies)
        model, _ = trained(lossary.SupConLoss(), given, label, size=16, steps=400, batch=128)
        train, test, shifted = (F.normalize(model(part).detach()) for part in (given, moved[0, 900:], moved[1, 900:]))
        alike[name] = (test * shifted).sum(1).mean().item()
        right[name] = 100 * (label[(shifted @ train.T).argmax(1)] == y[900:]).double().mean().item()
    return {f"cosine of a digit and its moved copy, {name}": value for name, value in alike.items()} | {
        **{f"moved digits recognised, %, {name}": value for name, value in right.items()},
        "copies bring a moved digit nearer": {"by": alike["with moved copies"] - alike["labels alone"]},
        "copies recognise more of the moved ones (points)": {"by": right["with moved copies"] - right["labels alone"]},
    }


@exhibit(
    "C38",
    "Larger batches for multiple negatives ranking",
    Source.PRIMER,
    says="Multiple negatives ranking gains from larger batches, and is better for embeddings than a softmax loss.",
    answer="Emoji by three designers: a picture by one has to find the same emoji by another, among 300 that were not "
    "trained on. All had 300 steps; a larger batch has more negatives and also sees more pictures. Most of the gain "
    "is there at 32. The softmax loss had a class for each of the 600 emoji and the largest batches; neither was "
    "tuned.",
    seeds=10,
    recorded=True,
    losses=("multiple_negatives_ranking_loss", "cross_entropy"),
)
def c38(seed: int) -> Results:
    x, y, found = emoji_drawn(600), torch.arange(600), {}
    for batch in (8, 32, 128):
        mnr = lambda z, _: lossary.multiple_negatives_ranking_loss(z[0::2], z[1::2])  # noqa: E731
        found[f"batches of {batch}"] = trained(mnr, x[:600, :2], y, size=32, steps=300, batch=batch, lr=0.003)[0]
    softmax = lossary.LinearHead(lossary.CrossEntropyLoss(), num_classes=600, embedding_size=32)
    found["softmax loss"] = trained(softmax, x[:600, :2], y, size=32, steps=300, batch=128, lr=0.003)[0]
    right = {name: found_first(model, x[600:900]) for name, model in found.items()}
    return {f"found at the first place, %, {name}": value for name, value in right.items()} | {
        "32 are better than 8 (points)": {"by": right["batches of 32"] - right["batches of 8"]},
        "128 are better than 32 (points)": {"by": right["batches of 128"] - right["batches of 32"]},
        "128 are better than the softmax loss (points)": {"by": right["batches of 128"] - right["softmax loss"]},
    }


EXHIBITS = (c21, c23, c27, c35, c37, c38)

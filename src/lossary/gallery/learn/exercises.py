"""The course: four losses to write, and twelve to mend that are wrong in the way that the documents are."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

import lossary
from lossary.gallery.learn.exercise import Batch, Exercise, Kind, labels, scores, truths


def _classes(size: int, kind: Kind) -> Batch:
    return {"z": scores(size, 2, kind=kind), "y": labels(size, 2)}


def _binary(size: int, kind: Kind) -> Batch:
    return {"z": scores(size, kind=kind), "y": truths(size)}


def _numbers(size: int, kind: Kind) -> Batch:
    return {"x": scores(size, kind=kind), "y": scores(size, kind=kind).detach()}


def _probabilities(size: int, _: Kind) -> Batch:
    return {"p": torch.rand(size, dtype=torch.float64) * 0.8 + 0.1, "y": truths(size)}


def _angles(size: int, _: Kind) -> Batch:
    return {"cosines": (2 * torch.rand(size, 2, dtype=torch.float64) - 1) * 0.95, "y": labels(size, 2)}


def _pairs(size: int, kind: Kind) -> Batch:
    far = {"a": scores(size, 1, kind=kind), "b": scores(size, 1, kind=kind)}
    return {**far, "y": labels(size, 2)}


def _speakers(size: int, kind: Kind) -> Batch:
    return {"e": scores(2, 2, 2, kind="any" if kind == "plain" else kind)}


def _weights(size: int, _: Kind) -> Batch:
    return {"x": scores(1, 2, kind="any"), "w": scores(2, 2, kind="any"), "y": labels(1, 2)}


def _shares(size: int, kind: Kind) -> Batch:
    return {"z": scores(size, 2, kind=kind), "p": torch.rand(size, 2, dtype=torch.float64).softmax(1)}


def _softmax_of(cosines: Tensor, y: Tensor, own: Tensor, scale: float) -> Tensor:
    rows = torch.arange(len(y))
    scored = cosines.clone()
    scored[rows, y] = own
    return F.cross_entropy(scale * scored, y)


def _psi(theta: Tensor) -> Tensor:
    k = (2 * theta / math.pi).floor()
    return (-1.0) ** k * (2 * theta).cos() - 2 * k


EXERCISES = (
    Exercise(
        "focal",
        "Write the focal loss",
        '''import torch

def loss(z, y):
    """The focal loss with gamma 2, averaged.

    z: (N, C) scores, large ones too. y: (N,) the right classes.
    An item costs (1 - p)^2 (-log p), where p is softmax's probability of its right class.
    """
    raise NotImplementedError
''',
        lambda z, y: lossary.focal_loss(z, y, gamma=2.0),
        _classes,
        mend=False,
    ),
    Exercise(
        "arcface",
        "Write ArcFace",
        '''import torch

def loss(x, w, y):
    """ArcFace at scale 8, with a margin of 0.5 radians, averaged.

    x: (N, D) features. w: (C, D) a direction a class. y: (N,) the right classes.
    Scores are 8 cos(theta) of normalised features and directions, but 8 cos(theta + 0.5) for the right class;
    beyond theta + 0.5 = pi it is 8 (cos(theta) - 0.5 sin(0.5)). Then cross-entropy.
    """
    raise NotImplementedError
''',
        lambda x, w, y: lossary.arcface_loss(x, w, y, margin=0.5, scale=8.0),
        _weights,
        mend=False,
    ),
    Exercise(
        "ge2e",
        "Write GE2E",
        '''import torch

def loss(e):
    """GE2E, the softmax kind, with w = 10 and b = -5, averaged.

    e: (speakers, utterances, D) embeddings, not normalised yet.
    Cross-entropy of 10 cos(e, c_k) - 5 over the speakers k. c_k is the mean of speaker k's normalised embeddings;
    for the utterance's own speaker the utterance itself is left out.
    """
    raise NotImplementedError
''',
        lossary.ge2e_loss,
        _speakers,
        mend=False,
    ),
    Exercise(
        "dice",
        "Write the Dice loss",
        '''import torch

def loss(z, y):
    """The Dice loss of one mask, with 1 added above and below.

    z: (N,) scores of the pixels. y: (N,) 0 and 1.
    1 - (2 sum(p y) + 1) / (sum(p) + sum(y) + 1), where p = sigmoid(z).
    """
    raise NotImplementedError
''',
        lambda z, y: lossary.sigmoid_dice_loss(z[None, None], y[None, None]),
        _binary,
        mend=False,
    ),
    Exercise(
        "softmax-shift",
        "Softmax that subtracts the largest score",
        '''import torch

def loss(z):
    """Softmax of a row of scores, safe for large ones."""
    z -= z.max()
    return z.exp() / z.exp().sum()
''',
        lossary.softmax,
        lambda size, kind: {"z": scores(size, kind=kind)},
        slopes=False,
    ),
    Exercise(
        "softmax",
        "Softmax as it is written",
        '''import torch

def loss(z):
    """Softmax of a row of scores, safe for large ones."""
    return z.exp() / z.exp().sum()
''',
        lossary.softmax,
        lambda size, kind: {"z": scores(size, kind=kind)},
        slopes=False,
    ),
    Exercise(
        "mae",
        "The mean absolute error",
        '''import torch

def loss(x, y):
    """How far predictions x are from y, on average."""
    return (x - y).mean().abs()
''',
        lossary.l1_loss,
        _numbers,
    ),
    Exercise(
        "huber",
        "Huber loss at δ = ½",
        '''import torch

def loss(x, y):
    """Huber loss with delta 0.5: half of the square up to it, delta (|x - y| - delta / 2) beyond; averaged."""
    return torch.nn.functional.smooth_l1_loss(x, y, beta=0.5)
''',
        lambda x, y: lossary.huber_loss(x, y, delta=0.5),
        _numbers,
    ),
    Exercise(
        "bce",
        "Binary cross-entropy",
        '''import torch

def loss(p, y):
    """Binary cross-entropy of probabilities p, averaged; y is 0 or 1."""
    return -(y * p.log()).mean() + ((1 - y) * (1 - p).log()).mean()
''',
        lossary.binary_cross_entropy,
        _probabilities,
        large=False,
    ),
    Exercise(
        "balanced-bce",
        "Balanced binary cross-entropy",
        '''import torch

def loss(p, y):
    """Binary cross-entropy in which an item with y = 1 counts 3 times, one with y = 0 once; averaged over the items."""
    return torch.nn.functional.binary_cross_entropy(p, y, weight=torch.tensor([3.0, 1.0]))
''',
        lambda p, y: lossary.binary_cross_entropy(p, y, weight=torch.where(y == 1, 3.0, 1.0).double()),
        _probabilities,
        large=False,
    ),
    Exercise(
        "cross-entropy",
        "Cross-entropy of class labels",
        '''import torch

def loss(z, y):
    """Cross-entropy of (N, C) scores, large ones too, with (N,) class indices; averaged over the items."""
    return -(y * torch.softmax(z, dim=1).log()).sum(1).mean()
''',
        lossary.cross_entropy,
        _classes,
    ),
    Exercise(
        "contrastive",
        "The contrastive loss",
        '''import torch

def loss(a, b, y):
    """Half of d^2 where y = 1, half of max(0, 1 - d)^2 where y = 0, averaged.

    d is the distance of a and b, which are (N, D).
    """
    d = torch.nn.functional.pairwise_distance(a[:1], b[:1])
    return (y * d**2 + (1 - y) * (1 - d).clamp(min=0) ** 2).mean()
''',
        lossary.contrastive_loss,
        _pairs,
    ),
    Exercise(
        "am-softmax",
        "AM-Softmax",
        '''import torch

def loss(cosines, y):
    """AM-Softmax of (N, C) cosines at scale 4 with a margin of 0.35; y: (N,) the right classes; averaged."""
    own = cosines.gather(1, y[:, None])[:, 0]
    return -(4 * (own - 0.35) - torch.logsumexp(4 * cosines, dim=1)).mean()
''',
        lambda cosines, y: _softmax_of(cosines, y, cosines.gather(1, y[:, None])[:, 0] - 0.35, 4.0),
        _angles,
        large=False,
    ),
    Exercise(
        "angular-softmax",
        "Angular softmax with m = 2",
        '''import torch

def loss(cosines, y):
    """Cross-entropy of 4 cos(theta), but 4 psi(theta) for the right class; (N, C) cosines, y: (N,); averaged.

    psi(theta) is cos(2 theta) up to pi / 2, and goes on falling after it, to -3 at pi.
    """
    theta = cosines.acos()
    own = (2 * theta.gather(1, y[:, None])).cos()
    return torch.nn.functional.cross_entropy(4 * cosines.scatter(1, y[:, None], own), y)
''',
        lambda cosines, y: _softmax_of(cosines, y, _psi(cosines.gather(1, y[:, None])[:, 0].acos()), 4.0),
        _angles,
        large=False,
    ),
    Exercise(
        "kl",
        "KL divergence from the targets",
        '''import torch

def loss(z, p):
    """KL(p, q) where q is softmax of the (N, C) scores z; the mean over the items."""
    q = torch.log_softmax(z, dim=1)
    return ((p * p.log()).sum(1) + (p * q).sum(1)).mean()
''',
        lossary.kl_divergence_loss,
        _shares,
    ),
    Exercise(
        "svm",
        "The multiclass SVM",
        '''import torch

def loss(z, y):
    """The sum over the wrong classes of max(0, z_j - z_y + 1), averaged over the items."""
    own = z.gather(1, y[:, None])
    return (z - own + 1).clamp(min=0).sum(1).mean()
''',
        lossary.multiclass_hinge_loss,
        _classes,
    ),
)


def find(name: str) -> Exercise:
    """An exercise by its name.

    Raises:
        LookupError: No such exercise; the message names them all.
    """
    for one in EXERCISES:
        if one.name == name:
            return one
    raise LookupError(f"learn: no exercise {name}; there are {', '.join(one.name for one in EXERCISES)}")

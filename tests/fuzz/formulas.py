"""Losses as one would write them in plain torch for float64, from their papers: nothing of the library's is used.

Each gives one loss an item; ``o`` are the call's hyperparameters. What they do not cover returns None.
"""

from collections.abc import Callable
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor

Options = SimpleNamespace
RowFormula = Callable[..., Tensor | None]


def quantile(x: Tensor, y: Tensor, o: Options) -> Tensor | None:
    q = o.quantile
    return torch.maximum(q * (y - x), (q - 1) * (y - x)) if isinstance(q, float) else None


def log_cosh(x: Tensor, y: Tensor, o: Options) -> Tensor:
    r = (x - y).abs()
    return torch.where(r < 1e-3, r**2 / 2 - r**4 / 12, r + torch.log1p(torch.exp(-2 * r)) - torch.log(r.new_tensor(2)))


def balanced_bce(z: Tensor, y: Tensor, o: Options) -> Tensor:
    return o.positive_weight * y * F.softplus(-z) + o.negative_weight * (1 - y) * F.softplus(z)


def sigmoid_focal(z: Tensor, y: Tensor, o: Options) -> Tensor | None:
    if ((y != 0) & (y != 1)).any():
        return None
    s = torch.where(y == 1, z, -z)
    alpha = 1.0 if o.alpha is None else torch.where(y == 1, o.alpha, 1 - o.alpha)
    wrong = torch.sigmoid(-s)
    extra = o.epsilon * wrong ** (o.gamma + 1) if hasattr(o, "epsilon") else 0.0
    return alpha * wrong**o.gamma * F.softplus(-s) + extra


def hinge(x: Tensor, y: Tensor, o: Options) -> Tensor:
    return (o.margin - y * x).relu()


def own_score(z: Tensor, y: Tensor) -> Tensor:
    return z.gather(1, y[:, None])


def without_own(z: Tensor, y: Tensor, fill: float) -> Tensor:
    return z.scatter(1, y[:, None], fill)


def focal(z: Tensor, y: Tensor, o: Options) -> Tensor | None:
    if z.dim() != 2 or y.dim() != 1 or o.class_weight is not None or (y < 0).any() or o.ignore_index in y:
        return None
    entropy = F.cross_entropy(z, y, reduction="none")
    wrong = -torch.expm1(-entropy)
    alpha = 1.0 if o.alpha is None else o.alpha[y]
    extra = o.epsilon * wrong ** (o.gamma + 1) if hasattr(o, "epsilon") else 0.0
    return alpha * wrong**o.gamma * entropy + extra


def several_hinges(z: Tensor, y: Tensor, o: Options) -> Tensor | None:
    if z.dim() != 2 or y.dim() != 1 or o.class_weight is not None or (y < 0).any() or o.ignore_index in y:
        return None
    gaps = without_own((o.margin + z - own_score(z, y)).relu(), y, 0.0)
    if not hasattr(o, "power"):
        return gaps.amax(1)
    total = (gaps**o.power).sum(1) + (o.margin**o.power if o.include_target else 0.0)
    return total / z.shape[1] if o.per_class_mean else total


# ---------------------------------------------------------------- heads


def cosines(x: Tensor, w: Tensor) -> Tensor:
    """Of sub-centers, (C, K, D), that of the nearest."""
    cos = F.normalize(x, eps=0) @ F.normalize(w.flatten(0, -2), eps=0).mT
    return cos if w.dim() == 2 else cos.unflatten(1, w.shape[:2]).amax(2)


def entropy_with(cos: Tensor, y: Tensor, target: Tensor, scale: Tensor | float) -> Tensor:
    return F.cross_entropy(scale * cos.scatter(1, y[:, None], target[:, None]), y, reduction="none")


def normalized_softmax(x: Tensor, w: Tensor, y: Tensor, o: Options) -> Tensor:
    length = 1.0 if o.normalize_embeddings else x.norm(dim=1, keepdim=True)
    return F.cross_entropy(o.scale * length * cosines(x, w), y, reduction="none")


def cosface(x: Tensor, w: Tensor, y: Tensor, o: Options) -> Tensor:
    cos = cosines(x, w)
    return entropy_with(cos, y, own_score(cos, y)[:, 0] - o.margin, o.scale)


def arcface(x: Tensor, w: Tensor, y: Tensor, o: Options) -> Tensor:
    cos = cosines(x, w)
    own = own_score(cos, y)[:, 0].clamp(-1, 1)
    theta, m = own.acos(), torch.tensor(o.margin)
    beyond = {"linear": own - m * m.sin(), "easy": own, "plain": (theta + m).cos()}[o.beyond_pi]
    inside = own > 0 if o.beyond_pi == "easy" else theta + m <= torch.pi
    return entropy_with(cos, y, torch.where(inside, (theta + m).cos(), beyond), o.scale)


def center(x: Tensor, c: Tensor, y: Tensor, o: Options) -> Tensor:
    return (x - c[y]).square().sum(1) / 2


# ---------------------------------------------------------------- batches


def similarity(a: Tensor, b: Tensor, plain: bool) -> Tensor:
    return a @ b.T if plain else cosines(a, b)


def in_batch(a: Tensor, b: Tensor, o: Options) -> Tensor:
    """Each row's own column against the others, by a softmax."""
    factor = o.scale if hasattr(o, "scale") else 1 / o.temperature
    plain = not o.normalize if hasattr(o, "normalize") else o.similarity == "dot"
    z, own = factor * similarity(a, b, plain), torch.arange(len(a))
    rows, columns = (F.cross_entropy(s, own, reduction="none") for s in (z, z.T))
    both = getattr(o, "symmetric", not hasattr(o, "similarity") and not hasattr(o, "negatives"))
    return (rows + columns) / 2 if both else rows


def clip(a: Tensor, b: Tensor, o: Options) -> Tensor:
    return in_batch(a, b, SimpleNamespace(**vars(o), symmetric=True))


def info_nce(a: Tensor, b: Tensor, o: Options) -> Tensor:
    return in_batch(a, b, SimpleNamespace(**vars(o), symmetric=False))


def siglip(a: Tensor, b: Tensor, o: Options) -> Tensor:
    z = o.scale * similarity(a, b, not o.normalize) + o.bias
    sign = 2 * torch.eye(len(a), dtype=a.dtype) - 1
    return F.softplus(-sign * z).sum(1)


def n_pair(a: Tensor, b: Tensor, o: Options) -> Tensor:
    z = a @ b.T
    lengths = a.square().sum(1) + b.square().sum(1)
    return F.cross_entropy(z, torch.arange(len(a)), reduction="none") + o.l2_reg * lengths


def supcon(x: Tensor, y: Tensor, o: Options) -> Tensor | None:
    if y is None or y.dim() != 1:
        return None
    z = (cosines(x, x) / o.temperature).fill_diagonal_(-torch.inf)
    same = (y[:, None] == y).fill_diagonal_(False)
    logp = (z - z.logsumexp(1, keepdim=True)).masked_fill(~same, 0)
    return -logp.sum(1) / same.sum(1).clamp_min(1)


def batch_hard(x: Tensor, y: Tensor, o: Options) -> Tensor | None:
    if y is None or y.dim() != 1 or o.mining != "hard":
        return None
    d = (x[:, None] - x).square().sum(2)
    d = d if o.squared else d.sqrt()
    same, eye = y[:, None] == y, torch.eye(len(y), dtype=torch.bool)
    farthest = d.masked_fill(~same | eye, -torch.inf).amax(1)
    nearest = d.masked_fill(same, torch.inf).amin(1)
    gap = farthest - nearest
    loss = F.softplus(gap) if o.margin is None else (gap + o.margin).relu()
    return torch.where(gap.isfinite(), loss, 0.0)


# ---------------------------------------------------------------- masks


def regions(z: Tensor, y: Tensor, o: Options) -> tuple[Tensor, Tensor] | None:
    """Probabilities and truth, (N, C, positions), where the plain case is asked for."""
    plain = o.aggregate == "per_sample" and o.absent == "include" and o.class_weight is None
    if not plain or o.ignore_index in y or (y.is_floating_point() and ((y != 0) & (y != 1)).any()):
        return None
    if y.shape == z.shape:
        p, g = z.sigmoid(), y
    else:
        p, g = z.softmax(1), F.one_hot(y, z.shape[1]).movedim(-1, 1)
    return p.reshape(*z.shape[:2], -1), g.reshape(*z.shape[:2], -1).double()


def overlap(z: Tensor, y: Tensor, o: Options) -> Tensor | None:
    """Tversky's form with both factors; Dice at a half each, Jaccard at one."""
    found = regions(z, y, o)
    if found is None or getattr(o, "squared", False):
        return None
    p, g = found
    hit, miss, false = (p * g).sum(2), ((1 - p) * g).sum(2), (p * (1 - g)).sum(2)
    denominator = hit + o.alpha * false + o.beta * miss + o.smooth
    return torch.where(denominator > 0, 1 - (hit + o.smooth) / denominator, 0.0)


def dice(z: Tensor, y: Tensor, o: Options) -> Tensor | None:
    return overlap(z, y, SimpleNamespace(**{**vars(o), "alpha": 0.5, "beta": 0.5, "smooth": o.smooth / 2}))


def jaccard(z: Tensor, y: Tensor, o: Options) -> Tensor | None:
    return overlap(z, y, SimpleNamespace(**vars(o), alpha=1.0, beta=1.0))


# ---------------------------------------------------------------- lists


def listnet(s: Tensor, y: Tensor, o: Options) -> Tensor:
    return -((y / o.temperature).softmax(1) * s.log_softmax(1)).sum(1)


def ranknet(s: Tensor, y: Tensor, o: Options) -> Tensor:
    better = y[:, :, None] > y[:, None, :]
    losses = F.softplus(s[:, None, :] - s[:, :, None])
    return torch.where(better, losses, 0).sum((1, 2)) / better.sum((1, 2)).clamp_min(1)


FORMULAS: dict[str, RowFormula] = {
    "mean_bias_error": lambda x, y, _: x - y,
    "quantile_loss": quantile,
    "log_cosh_loss": log_cosh,
    "balanced_bce_loss": balanced_bce,
    "sigmoid_focal_loss": sigmoid_focal,
    "sigmoid_poly_focal_loss": sigmoid_focal,
    "hinge_loss": hinge,
    "squared_hinge_loss": lambda x, y, o: hinge(x, y, o).square(),
    "focal_loss": focal,
    "poly_focal_loss": focal,
    "multiclass_hinge_loss": several_hinges,
    "crammer_singer_loss": several_hinges,
    "normalized_softmax_loss": normalized_softmax,
    "cosface_loss": cosface,
    "arcface_loss": arcface,
    "center_loss": center,
    "clip_loss": clip,
    "info_nce_loss": info_nce,
    "multiple_negatives_ranking_loss": in_batch,
    "siglip_loss": siglip,
    "n_pair_loss": n_pair,
    "supcon_loss": supcon,
    "triplet_loss": batch_hard,
    "dice_loss": dice,
    "sigmoid_dice_loss": dice,
    "tversky_loss": overlap,
    "sigmoid_tversky_loss": overlap,
    "jaccard_loss": jaccard,
    "sigmoid_jaccard_loss": jaccard,
    "listnet_loss": listnet,
    "ranknet_loss": ranknet,
}

"""The losses as one writes them in plain torch, with everything held at once: what the library's counts stand beside.

They are not careful: most lose digits or overflow at extremes. On an ordinary batch they are the same losses at their
defaults, which a test checks.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[..., Tensor]
#: Torch's functions whose backward torch itself cannot run without values.
WITHOUT_META = ("multilabel_margin_loss", "multi_margin_loss")


def naive(name: str) -> Loss | None:
    """The function below of that name, or else torch's own; None where neither is there."""
    return NAIVE.get(name) or (None if name in WITHOUT_META else getattr(F, name, None))


# ---------------------------------------------------------------- numbers, yes or no


def quantile(x: Tensor, y: Tensor) -> Tensor:
    e = y - x
    return torch.maximum(0.5 * e, -0.5 * e).mean()


def sigmoid_focal(x: Tensor, y: Tensor) -> Tensor:
    """As torchvision writes it."""
    y = y.to(x.dtype)
    p = x.sigmoid()
    ce = F.binary_cross_entropy_with_logits(x, y, reduction="none")
    return (ce * (1 - (p * y + (1 - p) * (1 - y))) ** 2).mean()


def gaussian(x: Tensor, y: Tensor, var: Tensor) -> Tensor:
    """Without torch's look for a negative variance, of which nobody knows the answer here."""
    var = var.clamp_min(1e-6)
    return 0.5 * (var.log() + (x - y) ** 2 / var).mean()


# ---------------------------------------------------------------- classes


def focal(x: Tensor, y: Tensor) -> Tensor:
    t = x.log_softmax(1).gather(1, y[:, None])
    return -((1 - t.exp()) ** 2 * t).mean()


def poly(x: Tensor, y: Tensor) -> Tensor:
    t = x.log_softmax(1).gather(1, y[:, None])
    return (1 - t.exp() - t).mean()


def poly_focal(x: Tensor, y: Tensor) -> Tensor:
    t = x.log_softmax(1).gather(1, y[:, None])
    p = t.exp()
    return (-((1 - p) ** 2) * t + (1 - p) ** 3).mean()


def wrong_margins(x: Tensor, y: Tensor) -> Tensor:
    own = x.gather(1, y[:, None])
    return (1 + x - own).relu().scatter(1, y[:, None], 0)


# ---------------------------------------------------------------- heads


def margin_head(x: Tensor, w: Tensor, y: Tensor, *, scale: float, margin: Callable[[Tensor], Tensor]) -> Tensor:
    cosines = F.normalize(x) @ F.normalize(w).T
    own = cosines.gather(1, y[:, None])
    return F.cross_entropy(scale * cosines.scatter(1, y[:, None], margin(own)), y)


def arcface_in_float32(x: Tensor, w: Tensor, y: Tensor) -> Tensor:
    """Cosines in the input's precision, and their softmax in float32."""
    cosines = (F.normalize(x) @ F.normalize(w).T).float()
    own = cosines.gather(1, y[:, None])
    return F.cross_entropy(64.0 * cosines.scatter(1, y[:, None], turned(own)), y)


def turned(cosine: Tensor) -> Tensor:
    return (cosine.clamp(-1 + 1e-7, 1 - 1e-7).acos() + 0.5).cos()


def head_of_two(x: Tensor, w: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(x @ w.T, y)


def head_in_float32(x: Tensor, w: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy((x @ w.T).float(), y)


# ---------------------------------------------------------------- within a batch


def supcon(x: Tensor, y: Tensor) -> Tensor:
    z = F.normalize(x)
    own = torch.eye(len(x), dtype=torch.bool, device=x.device)
    s = (z @ z.T / 0.1).masked_fill(own, -1e9)
    positive = (y[:, None] == y) & ~own
    count = positive.sum(1)
    each = -((s - s.logsumexp(1, keepdim=True)) * positive).sum(1) / count.clamp_min(1)
    return each.sum() / (count > 0).sum()


def in_batch(a: Tensor, b: Tensor, *, temperature: float, both: bool = False) -> Tensor:
    s = F.normalize(a) @ F.normalize(b).T / temperature
    y = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(s, y) + F.cross_entropy(s.T, y)) / 2 if both else F.cross_entropy(s, y)


def nt_xent(a: Tensor, b: Tensor) -> Tensor:
    z, n = F.normalize(torch.cat([a, b])), len(a)
    s = (z @ z.T / 0.5).fill_diagonal_(-1e9)
    return F.cross_entropy(s, torch.arange(2 * n, device=a.device).roll(n))


def siglip(a: Tensor, b: Tensor) -> Tensor:
    s = 10 * F.normalize(a) @ F.normalize(b).T - 10
    return -F.logsigmoid((2 * torch.eye(len(a), device=a.device) - 1) * s).sum() / len(a)


def triplet_hard(x: Tensor, y: Tensor) -> Tensor:
    """With the hardest positive and negative: nobody holds all N^3 triplets."""
    d, same = torch.cdist(x, x), y[:, None] == y
    return (d.masked_fill(~same, -1e9).amax(1) - d.masked_fill(same, 1e9).amin(1) + 0.2).relu().mean()


# ---------------------------------------------------------------- masks


def regions(form: Loss, x: Tensor, y: Tensor, *, sigmoid: bool = False) -> Tensor:
    """A formula over overlap, predicted and true sums of each image and class."""
    p = x.sigmoid() if sigmoid else x.softmax(1)
    t = (y if sigmoid else F.one_hot(y, x.shape[1]).movedim(-1, 1)).to(p.dtype)
    return form((p * t).sum((2, 3)), p.sum((2, 3)), t.sum((2, 3))).mean()


def dice_form(overlap: Tensor, predicted: Tensor, truth: Tensor) -> Tensor:
    return 1 - (2 * overlap + 1) / (predicted + truth + 1)


def tversky_form(overlap: Tensor, predicted: Tensor, truth: Tensor) -> Tensor:
    return 1 - (overlap + 1) / (0.3 * predicted + 0.7 * truth + 1)


def jaccard_form(overlap: Tensor, predicted: Tensor, truth: Tensor) -> Tensor:
    return 1 - (overlap + 1) / (predicted + truth - overlap + 1)


def lovasz(errors: Tensor, truth: Tensor) -> Tensor:
    """Of one class, as its authors write it."""
    e, order = errors.sort(descending=True)
    t = truth[order]
    total = t.sum()
    jaccard = 1 - (total - t.cumsum(0)) / (total + (1 - t).cumsum(0))
    return e @ torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])


def lovasz_softmax(x: Tensor, y: Tensor) -> Tensor:
    p = x.softmax(1)
    truth = [(y.flatten() == c).to(p.dtype) for c in range(x.shape[1])]
    return torch.stack([lovasz((t - p[:, c].flatten()).abs(), t) for c, t in enumerate(truth)]).mean()


# ---------------------------------------------------------------- lists


def listnet(x: Tensor, y: Tensor) -> Tensor:
    return -(y.to(x.dtype).softmax(1) * x.log_softmax(1)).sum(1).mean()


def ranknet(x: Tensor, y: Tensor) -> Tensor:
    better = (y[:, :, None] > y[:, None]).to(x.dtype)
    each = F.softplus(x[:, None] - x[:, :, None]) * better
    return each.sum((1, 2)).div(better.sum((1, 2)).clamp_min(1)).mean()


def _on_regions(form: Loss, **options: Any) -> Loss:
    return partial(regions, form, **options)


NAIVE: dict[str, Loss] = {
    "mean_bias_error": lambda x, y: (x - y).mean(),
    "quantile_loss": quantile,
    "gaussian_nll_loss": gaussian,
    "log_cosh_loss": lambda x, y: (x - y).cosh().log().mean(),
    "binary_cross_entropy_with_logits": lambda x, y: F.binary_cross_entropy_with_logits(x, y.to(x.dtype)),
    "cosine_embedding_loss": lambda x, y, same: F.cosine_embedding_loss(x, y, 2 * same.long() - 1),
    "sigmoid_focal_loss": sigmoid_focal,
    "hinge_loss": lambda x, y: (1 - x * y).relu().mean(),
    "squared_hinge_loss": lambda x, y: (1 - x * y).relu().square().mean(),
    "focal_loss": focal,
    "poly_loss": poly,
    "poly_focal_loss": poly_focal,
    "multiclass_hinge_loss": lambda x, y: wrong_margins(x, y).sum(1).mean(),
    "crammer_singer_loss": lambda x, y: wrong_margins(x, y).amax(1).mean(),
    "kl_divergence_loss": lambda x, y: F.kl_div(x.log_softmax(1), y, reduction="batchmean"),
    "normalized_softmax_loss": partial(margin_head, scale=20.0, margin=lambda c: c),
    "cosface_loss": partial(margin_head, scale=64.0, margin=lambda c: c - 0.35),
    "arcface_loss": partial(margin_head, scale=64.0, margin=turned),
    "supcon_loss": supcon,
    "nt_xent_loss": nt_xent,
    "info_nce_loss": partial(in_batch, temperature=0.1),
    "multiple_negatives_ranking_loss": partial(in_batch, temperature=0.05),
    "clip_loss": partial(in_batch, temperature=0.07, both=True),
    "siglip_loss": siglip,
    "dice_loss": _on_regions(dice_form),
    "sigmoid_dice_loss": _on_regions(dice_form, sigmoid=True),
    "tversky_loss": _on_regions(tversky_form),
    "sigmoid_tversky_loss": _on_regions(tversky_form, sigmoid=True),
    "dice_cross_entropy_loss": lambda x, y: regions(dice_form, x, y) + F.cross_entropy(x, y),
    "jaccard_loss": _on_regions(jaccard_form),
    "sigmoid_jaccard_loss": _on_regions(jaccard_form, sigmoid=True),
    "lovasz_softmax_loss": lovasz_softmax,
    "listnet_loss": listnet,
    "ranknet_loss": ranknet,
}

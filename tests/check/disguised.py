"""Losses as people write them anew, each beside the names that are right for it; and some that are nothing known.

The first is a plain copy under another name; the rest is renamed, rescaled, summed otherwise, refactored, or made of
other pieces. They are written from papers and habits, not from this library's code.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DISGUISED: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {}
UNKNOWN: dict[str, Callable[..., Any]] = {}


def known(*names: str) -> Callable[..., Any]:
    """Enter a loss that is one of these; a factor of theirs, where there is one, stands in front: "2 focal_loss"."""

    def enter(loss: Any) -> Any:
        DISGUISED[loss.__name__] = (loss() if isinstance(loss, type) else loss, names)
        return loss

    return enter


def unknown(loss: Callable[..., Any]) -> Callable[..., Any]:
    UNKNOWN[loss.__name__] = loss
    return loss


# ---------------------------------------------------------------- values


@known("mse_loss")
def m01(prediction: Tensor, target: Tensor) -> Tensor:
    return torch.dist(prediction, target) ** 2 / prediction.numel()


@known("0.5 mse_loss")
def m02(y_hat: Tensor, y: Tensor) -> Tensor:
    return (y_hat - y).square().div(2).mean()


@known("l1_loss")
def m03(outputs: Tensor, targets: Tensor) -> Tensor:
    return torch.maximum(outputs - targets, targets - outputs).sum() / targets.numel()


@known("rmse_loss")
def m04(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).norm() / math.sqrt(x.numel())


@known("huber_loss")
def m05(pred: Tensor, true: Tensor, d: float = 1.345) -> Tensor:
    r = (pred - true).abs()
    q = torch.clamp(r, max=d)
    return (0.5 * q**2 + d * (r - q)).mean()


@known("smooth_l1_loss", "huber_loss")
def m06(pred: Tensor, target: Tensor, beta: float = 0.5) -> Tensor:
    r = (pred - target).abs()
    return torch.where(r < beta, r * r / (2 * beta), r - beta / 2).mean()


@known("log_cosh_loss")
def m07(pred: Tensor, target: Tensor) -> Tensor:
    return torch.log(torch.cosh(pred - target)).mean()


@known("quantile_loss")
def m08(pred: Tensor, target: Tensor, tau: float = 0.9) -> Tensor:
    e = target - pred
    return torch.max(tau * e, (tau - 1) * e).mean()


@known("charbonnier_loss")
def m09(pred: Tensor, target: Tensor, epsilon: float = 1e-2) -> Tensor:
    return torch.sqrt((pred - target) ** 2 + epsilon**2).mean()


@known("mse_loss")
def m10(pred: Tensor, target: Tensor) -> Tensor:
    """Summed over each row, averaged over the batch."""
    return (pred - target).pow(2).sum(-1).mean()


@known("poisson_nll_loss")
def m11(log_rate: Tensor, target: Tensor) -> Tensor:
    return (log_rate.exp() - target * log_rate).mean()


@known("gaussian_nll_loss")
def m12(mean: Tensor, target: Tensor, variance: Tensor) -> Tensor:
    return (0.5 * torch.log(variance) + 0.5 * (target - mean) ** 2 / variance).mean()


# ---------------------------------------------------------------- answers


@known("binary_cross_entropy_with_logits")
def a01(logits: Tensor, target: Tensor) -> Tensor:
    return (F.softplus(logits) - target * logits).mean()


@known("binary_cross_entropy", "binary_cross_entropy_with_logits")
def a02(prob: Tensor, target: Tensor) -> Tensor:
    return -(target * prob.log() + (1 - target) * torch.log1p(-prob)).mean()


@known("sigmoid_focal_loss")
def a03(logits: Tensor, targets: Tensor, gamma: float = 3.0) -> Tensor:
    p = torch.sigmoid(logits)
    p_t = p * targets + (1 - p) * (1 - targets)
    return (-((1 - p_t) ** gamma) * p_t.log()).mean()


@known("sigmoid_focal_loss")
class A04(nn.Module):
    def __init__(self, alpha: float = 0.25, gamma: float = 2.0) -> None:
        super().__init__()
        self.alpha, self.gamma = alpha, gamma

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        bce = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
        at = torch.where(targets == 1, self.alpha, 1 - self.alpha)
        return (at * (1 - torch.exp(-bce)) ** self.gamma * bce).mean()


@known("binary_cross_entropy_with_logits", "balanced_bce_loss")
def a05(logits: Tensor, target: Tensor, up: float = 3.0) -> Tensor:
    return -(up * target * F.logsigmoid(logits) + (1 - target) * F.logsigmoid(-logits)).mean()


@known("asymmetric_loss")
def a06(logits: Tensor, targets: Tensor, g_neg: float = 4.0, clip: float = 0.05) -> Tensor:
    p = torch.sigmoid(logits)
    not_p = (1 - p + clip).clamp(max=1)
    loss = targets * torch.log(p) + (1 - targets) * torch.log(not_p) * (1 - not_p) ** g_neg
    return -loss.mean()


@known("hinge_loss")
def a07(scores: Tensor, signs: Tensor) -> Tensor:
    return F.relu(1 - scores * signs).mean()


@known("squared_hinge_loss")
def a08(scores: Tensor, signs: Tensor) -> Tensor:
    return torch.clamp(1 - scores * signs, min=0).square().mean()


@known("soft_margin_loss", "binary_cross_entropy_with_logits")
def a09(scores: Tensor, signs: Tensor) -> Tensor:
    return -F.logsigmoid(scores * signs).mean()


@known("binary_cross_entropy_with_logits", "multilabel_soft_margin_loss")
def a10(logits: Tensor, target: Tensor, s: float = 0.1) -> Tensor:
    t = target * (1 - s) + s / 2
    return F.binary_cross_entropy_with_logits(logits, t)


# ---------------------------------------------------------------- classes


@known("cross_entropy")
def c01(logits: Tensor, labels: Tensor) -> Tensor:
    z = logits - logits.max(1, keepdim=True).values
    return (z.exp().sum(1).log() - z[torch.arange(len(z)), labels]).mean()


@known("cross_entropy")
def c02(logits: Tensor, labels: Tensor, eps: float = 0.1) -> Tensor:
    lp = logits.log_softmax(-1)
    return ((1 - eps) * -lp.gather(-1, labels[:, None]).squeeze(-1) - eps * lp.mean(-1)).mean()


@known("focal_loss")
def c03(logits: Tensor, labels: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, labels, reduction="none")
    return ((1 - (-ce).exp()).square() * ce).mean()


@known("0.25 focal_loss")
def c04(logits: Tensor, labels: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """The alpha of many repositories: a factor for every class alike."""
    ce = F.cross_entropy(logits, labels, reduction="none")
    return alpha * ((1 - (-ce).exp()) ** gamma * ce).mean()


@known("poly_loss")
def c05(logits: Tensor, labels: Tensor, eps: float = 2.0) -> Tensor:
    p = torch.softmax(logits, 1)[torch.arange(len(labels)), labels]
    return (-p.log() + eps * (1 - p)).mean()


@known("generalized_cross_entropy_loss")
def c06(logits: Tensor, labels: Tensor, q: float = 0.7) -> Tensor:
    p = torch.softmax(logits, 1).gather(1, labels[:, None])
    return ((1 - p**q) / q).mean()


@known("nll_loss", "cross_entropy")
def c07(log_probs: Tensor, labels: Tensor) -> Tensor:
    return -log_probs.gather(1, labels.unsqueeze(1)).mean()


@known("-1 cross_entropy")
def c08(logits: Tensor, labels: Tensor) -> Tensor:
    """The log-likelihood."""
    return logits.log_softmax(1)[range(len(labels)), labels].mean()


@known("multi_margin_loss", "multiclass_hinge_loss")
def c09(scores: Tensor, labels: Tensor) -> Tensor:
    own = scores.gather(1, labels[:, None])
    others = F.one_hot(labels, scores.shape[1]) == 0
    return (F.relu(1 + scores - own) * others).sum(1).mean() / scores.shape[1]


@known("crammer_singer_loss")
def c10(scores: Tensor, labels: Tensor) -> Tensor:
    own = scores.gather(1, labels[:, None]).squeeze(1)
    best = scores.masked_fill(F.one_hot(labels, scores.shape[1]) == 1, -torch.inf).amax(1)
    return F.relu(1 + best - own).mean()


@known("distillation_loss")
def c11(student_logits: Tensor, teacher_logits: Tensor, t: float = 4.0) -> Tensor:
    p, q = F.softmax(teacher_logits / t, 1), F.log_softmax(student_logits / t, 1)
    return F.kl_div(q, p, reduction="batchmean") * t * t


@known("0.0625 distillation_loss")
def c12(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 4.0) -> Tensor:
    """Without the factor of the temperature squared."""
    q = F.log_softmax(student_logits / temperature, 1)
    p = F.log_softmax(teacher_logits / temperature, 1)
    return (p.exp() * (p - q)).sum(1).mean()


@known("jensen_shannon_loss")
def c13(student: Tensor, teacher: Tensor) -> Tensor:
    p, q = student.softmax(1), teacher.softmax(1)
    m = (p + q) / 2
    return 0.5 * ((p * (p / m).log()).sum(1) + (q * (q / m).log()).sum(1)).mean()


@known("2 cross_entropy")
def c14(logits: Tensor, labels: Tensor) -> Tensor:
    return F.nll_loss(2 * F.log_softmax(logits, 1), labels)


@known("cross_entropy")
def c15(logits: Tensor, labels: Tensor) -> Tensor:
    """Summed."""
    return torch.logsumexp(logits, 1).sum() - logits.gather(1, labels.view(-1, 1)).sum()


# ---------------------------------------------------------------- masks


@known("sigmoid_dice_loss")
def s01(logits: Tensor, masks: Tensor, smooth: float = 1.0) -> Tensor:
    p, y = logits.sigmoid().flatten(2), masks.flatten(2)
    return (1 - (2 * (p * y).sum(-1) + smooth) / (p.sum(-1) + y.sum(-1) + smooth)).mean()


@known("sigmoid_dice_loss")
def s02(logits: Tensor, masks: Tensor) -> Tensor:
    """V-Net's: squared below."""
    p, y = logits.sigmoid().flatten(2), masks.flatten(2)
    return 1 - ((2 * (p * y).sum(-1) + 1e-5) / ((p * p).sum(-1) + (y * y).sum(-1) + 1e-5)).mean()


@known("sigmoid_tversky_loss")
def s03(logits: Tensor, masks: Tensor, alpha: float = 0.7, beta: float = 0.3) -> Tensor:
    """With its alpha for what was missed."""
    p, y = logits.sigmoid().flatten(2), masks.flatten(2)
    tp, fp, fn = (p * y).sum(-1), (p * (1 - y)).sum(-1), ((1 - p) * y).sum(-1)
    return (1 - (tp + 1) / (tp + alpha * fn + beta * fp + 1)).mean()


@known("sigmoid_jaccard_loss")
def s04(logits: Tensor, masks: Tensor) -> Tensor:
    p, y = logits.sigmoid().flatten(2), masks.flatten(2)
    both = (p * y).sum(-1)
    return (1 - (both + 1) / (p.sum(-1) + y.sum(-1) - both + 1)).mean()


@known("sigmoid_dice_loss")
def s05(logits: Tensor, masks: Tensor) -> Tensor:
    """Of the whole batch at once, per class."""
    p, y = logits.sigmoid().transpose(0, 1).flatten(1), masks.transpose(0, 1).flatten(1)
    return (1 - (2 * (p * y).sum(-1) + 1) / (p.sum(-1) + y.sum(-1) + 1)).mean()


@known("dice_loss")
def s06(logits: Tensor, labels_mask: Tensor) -> Tensor:
    """Dice over the classes of a softmax."""
    p = logits.softmax(1).flatten(2)
    y = F.one_hot(labels_mask, logits.shape[1]).movedim(-1, 1).flatten(2).to(p.dtype)
    return (1 - (2 * (p * y).sum(-1) + 1) / (p.sum(-1) + y.sum(-1) + 1)).mean()


@known("sigmoid_focal_tversky_loss")
def s07(logits: Tensor, masks: Tensor, gamma: float = 0.75) -> Tensor:
    p, y = logits.sigmoid().flatten(2), masks.flatten(2)
    tp, fp, fn = (p * y).sum(-1), (p * (1 - y)).sum(-1), ((1 - p) * y).sum(-1)
    return ((1 - (tp + 1) / (tp + 0.3 * fp + 0.7 * fn + 1)) ** gamma).mean()


@known("sigmoid_dice_cross_entropy_loss")
def s08(logits: Tensor, masks: Tensor) -> Tensor:
    p, y = logits.sigmoid().flatten(2), masks.flatten(2)
    dice = (1 - (2 * (p * y).sum(-1) + 1) / (p.sum(-1) + y.sum(-1) + 1)).mean()
    return dice + F.binary_cross_entropy_with_logits(logits, masks)


@known("presets.kornia.dice", "generalized_cross_entropy_loss")
def s09(logits: Tensor, labels_mask: Tensor) -> Tensor:
    """Dice by the fraction of all classes at once: one minus the mean probability of the true class, and no more."""
    p = logits.softmax(1)
    y = F.one_hot(labels_mask, logits.shape[1]).movedim(-1, 1).to(p.dtype)
    return (1 - 2 * (p * y).sum((1, 2, 3)) / ((p + y).sum((1, 2, 3)) + 1e-8)).mean()


@known("sigmoid_generalized_dice_loss", "generalized_dice_loss")
def s10(logits: Tensor, labels_mask: Tensor) -> Tensor:
    """Generalized Dice of a softmax."""
    p = logits.softmax(1).flatten(2)
    y = F.one_hot(labels_mask, logits.shape[1]).movedim(-1, 1).flatten(2).to(p.dtype)
    w = 1 / (y.sum(-1).square() + 1)
    return (1 - (2 * (w * (p * y).sum(-1)).sum(1)) / (w * (p + y).sum(-1)).sum(1)).mean()


# ---------------------------------------------------------------- embeddings


@known("info_nce_loss", "sampled_softmax_loss", "multiple_negatives_ranking_loss")
def e01(query: Tensor, key: Tensor, tau: float = 0.07) -> Tensor:
    s = F.normalize(query, dim=1) @ F.normalize(key, dim=1).mT / tau
    return F.cross_entropy(s, torch.arange(len(query)))


@known("nt_xent_loss")
def e02(z_i: Tensor, z_j: Tensor, t: float = 0.5) -> Tensor:
    z = F.normalize(torch.cat([z_i, z_j]), dim=1)
    n = len(z_i)
    s = (z @ z.mT / t).masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
    return F.cross_entropy(s, torch.cat([torch.arange(n) + n, torch.arange(n)]))


@known("clip_loss", "multiple_negatives_ranking_loss")
def e03(image_features: Tensor, text_features: Tensor) -> Tensor:
    s = 14.285714285714286 * F.normalize(image_features) @ F.normalize(text_features).mT
    y = torch.arange(len(s))
    return (F.cross_entropy(s, y) + F.cross_entropy(s.mT, y)) / 2


@known("siglip_loss")
def e04(image: Tensor, text: Tensor) -> Tensor:
    s = F.normalize(image) @ F.normalize(text).mT * 10 - 10
    sign = 2 * torch.eye(len(s), dtype=s.dtype) - 1
    return -F.logsigmoid(sign * s).sum() / len(s)


@known("supcon_loss")
def e05(features: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrastive."""
    z = F.normalize(features)
    s = z @ z.mT / temperature
    off = ~torch.eye(len(z), dtype=torch.bool)
    same = (labels[:, None] == labels[None]) & off
    lp = s - torch.logsumexp(s.masked_fill(~off, -torch.inf), 1, keepdim=True)
    have = same.any(1)
    return -((lp * same).sum(1)[have] / same.sum(1)[have]).mean()


@known("2 contrastive_loss")
def e06(x1: Tensor, x2: Tensor, target: Tensor, margin: float = 1.0) -> Tensor:
    """Contrastive loss of pairs."""
    d = F.pairwise_distance(x1, x2, eps=0.0)
    y = target.to(d.dtype)
    return (y * d**2 + (1 - y) * F.relu(margin - d) ** 2).mean()


@known("triplet_margin_loss", "triplet_margin_with_distance_loss")
def e07(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 0.3) -> Tensor:
    near = (anchor - positive + 1e-6).pow(2).sum(1).sqrt()
    far = (anchor - negative + 1e-6).pow(2).sum(1).sqrt()
    return F.relu(near - far + margin).mean()


@known("triplet_loss")
def e08(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Batch-hard triplet loss with a soft margin."""
    d = torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")
    same = labels[:, None] == labels[None]
    off = ~torch.eye(len(d), dtype=torch.bool)
    have = (same & off).any(1) & (~same).any(1)
    far = d.masked_fill(~(same & off), -torch.inf).amax(1)
    near = d.masked_fill(same, torch.inf).amin(1)
    return F.softplus(far - near)[have].mean()


@known("cosface_loss")
def e09(features: Tensor, weight: Tensor, labels: Tensor, s: float = 30.0, m: float = 0.35) -> Tensor:
    """Large margin cosine loss, a head."""
    cos = F.linear(F.normalize(features), F.normalize(weight))
    return F.cross_entropy(s * (cos - m * F.one_hot(labels, len(weight))), labels)


@known("arcface_loss", "combined_margin_loss")
def e10(features: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """ArcFace head."""
    cos = F.linear(F.normalize(features), F.normalize(weight)).clamp(-1 + 1e-9, 1 - 1e-9)
    own = cos.gather(1, labels[:, None])
    moved = torch.where(own > math.cos(math.pi - 0.5), torch.cos(own.acos() + 0.5), own - 0.5 * math.sin(0.5))
    return F.cross_entropy(64 * cos.scatter(1, labels[:, None], moved), labels)


# ---------------------------------------------------------------- the rest


@known("bradley_terry_loss")
def r01(chosen: Tensor, rejected: Tensor) -> Tensor:
    """The reward model's."""
    return -torch.log(torch.sigmoid(chosen - rejected)).mean()


@known("margin_ranking_loss")
def r02(x1: Tensor, x2: Tensor, sign: Tensor) -> Tensor:
    """Ranking loss of scores."""
    return torch.clamp_min(-sign * (x1 - x2) + 0.5, 0).mean()


@known("generalized_iou_loss")
def r03(boxes: Tensor, target_boxes: Tensor) -> Tensor:
    a, b = boxes.unbind(1), target_boxes.unbind(1)
    wide = (torch.min(a[2], b[2]) - torch.max(a[0], b[0])).clamp(min=0)
    high = (torch.min(a[3], b[3]) - torch.max(a[1], b[1])).clamp(min=0)
    both = wide * high
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    hull = (torch.max(a[2], b[2]) - torch.min(a[0], b[0])) * (torch.max(a[3], b[3]) - torch.min(a[1], b[1]))
    return (1 - both / union + (hull - union) / hull).mean()


# ---------------------------------------------------------------- nothing known


@unknown
def u01(logits: Tensor, labels: Tensor) -> Tensor:
    return ((logits.softmax(1) - F.one_hot(labels, logits.shape[1])).abs() ** 1.7).mean()


@unknown
def u02(pred: Tensor, target: Tensor) -> Tensor:
    return torch.atan((pred - target) ** 2).mean()


@unknown
def u03(pred: Tensor, target: Tensor) -> Tensor:
    return (pred - target).abs().mean() + 0.3 * (pred - target).square().mean()


@unknown
def u04(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels) + 0.01 * logits.square().mean()


@unknown
def u05(logits: Tensor, masks: Tensor) -> Tensor:
    p = logits.sigmoid()
    return 1 - ((2 * (p * masks).sum() + 3) / (p.sum() + masks.sum() + 5))


@unknown
def u06(query: Tensor, key: Tensor) -> Tensor:
    return (1 - F.cosine_similarity(query, key)).exp().mean() + (query @ key.mT).tanh().mean()


@unknown
def u07(features: Tensor, labels: Tensor) -> Tensor:
    """Contrastive, with the median."""
    d = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    same = labels[:, None] == labels[None]
    return d[same].median() - 0.2 * d[~same].mean()


@unknown
def u08(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    return F.softplus((anchor - positive).abs().sum(1) ** 1.5 - (anchor - negative).abs().sum(1)).mean()


@unknown
def u09(logits: Tensor, target: Tensor) -> Tensor:
    p = logits.sigmoid()
    return ((p - target) ** 4).mean().sqrt()


@unknown
def u10(student: Tensor, teacher: Tensor) -> Tensor:
    return (student.softmax(1).sqrt() - teacher.softmax(1)).abs().sum(1).mean()

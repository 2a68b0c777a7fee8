"""Ten faults as they stand in public issues, each in the form in which people copy it; written before the checker.

Each is one function that runs, trains and looks right. The issues: akanazawa/cmr 11 and siamese-triplet 18 (the root at
0), segmentation_models.pytorch 463 (float16 sums), 852 (ignored labels in the mean), OnlineMiningTripletLoss 6 and
pytorch-metric-learning 139 (constants of one dtype), pytorch-image-models 1500 (in place), MONAI 1082 (labels beyond
the classes); the logarithm of 0, the detached factor, the order and the empty mask are in many.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def root_at_zero(x1: Tensor, x2: Tensor, target: Tensor, margin: float = 1.0) -> Tensor:
    """Contrastive loss of embeddings; target 1 where they belong together."""
    distance = (x1 - x2).pow(2).sum(1).sqrt()
    y = target.to(distance.dtype)
    return (y * distance.pow(2) + (1 - y) * F.relu(margin - distance).pow(2)).mean()


def logarithm_of_zero(probabilities: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of probabilities."""
    return -(target * torch.log(probabilities) + (1 - target) * torch.log(1 - probabilities)).mean()


def half_overflows(logits: Tensor, masks: Tensor) -> Tensor:
    """Soft Dice loss of the whole batch."""
    p = torch.sigmoid(logits)
    y = masks.to(p.dtype)
    intersection = (p * y).sum(dtype=p.dtype)
    return 1 - (2 * intersection + 1) / (p.sum(dtype=p.dtype) + y.sum(dtype=p.dtype) + 1)


def ignored_are_counted(logits: Tensor, labels: Tensor, ignore_index: int = -100) -> Tensor:
    """Focal loss, gamma 2."""
    kept = labels != ignore_index
    log_p = F.log_softmax(logits, 1).gather(1, labels.where(kept, torch.zeros_like(labels))[:, None]).squeeze(1)
    focal = -((1 - log_p.exp()) ** 2) * log_p
    return (focal * kept).mean()


def weight_is_detached(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """Focal loss."""
    ce = F.cross_entropy(logits, labels, reduction="none")
    p = torch.exp(-ce).detach()
    return ((1 - p) ** gamma * ce).mean()


def shifts_in_place(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, made safe."""
    logits.data -= logits.data.max(1, keepdim=True).values
    return (logits.exp().sum(1).log() - logits.gather(1, labels[:, None]).squeeze(1)).mean()


def neighbours_are_pairs(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Contrastive loss of a batch."""
    similarity = F.normalize(embeddings) @ F.normalize(embeddings).T
    loss = similarity.new_zeros(())
    for i in range(len(labels) - 1):
        same = labels[i] == labels[i + 1]
        loss = loss + (1 - similarity[i, i + 1] if same else F.relu(similarity[i, i + 1]))
    return loss / max(len(labels) - 1, 1)


def constant_of_one_dtype(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy with smoothed labels."""
    smoothed = torch.full(logits.shape, 0.1 / logits.shape[1], dtype=torch.float32)
    smoothed.scatter_add_(1, labels[:, None], torch.full((len(labels), 1), 0.9, dtype=torch.float32))
    return -(smoothed * F.log_softmax(logits.float(), 1)).sum(1).mean()


def counted_in_float32(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Contrastive loss of a batch, cast back to the dtype that it was given."""
    distance = torch.cdist(embeddings.float(), embeddings.float()) + 0.1
    same = labels[:, None] == labels
    return torch.where(same, distance**2, F.relu(1 - distance) ** 2).mean().to(embeddings.dtype)


def minus_hundred_is_a_class(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over one-hot labels."""
    one_hot = torch.eye(logits.shape[1], dtype=logits.dtype)[labels % logits.shape[1]]
    return -(one_hot * F.log_softmax(logits, 1)).sum(1).mean()


def empty_mask_is_nan(logits: Tensor, masks: Tensor) -> Tensor:
    """Jaccard loss, an image and a class at a time."""
    y = masks.to(logits.dtype)
    p = torch.sigmoid(logits) * (logits > 0)
    both = (p * y).flatten(2).sum(2)
    return (1 - both / (p.flatten(2).sum(2) + y.flatten(2).sum(2) - both)).mean()


#: By the function: the words of which at least one must stand in what is told.
PLANTED = {
    root_at_zero: ("not finite",),
    logarithm_of_zero: ("not finite",),
    half_overflows: ("half", "float16"),
    ignored_are_counted: ("ignored",),
    weight_is_detached: ("gradient",),
    shifts_in_place: ("in place",),
    neighbours_are_pairs: ("order",),
    constant_of_one_dtype: ("dtype", "float64"),
    counted_in_float32: ("digits",),
    minus_hundred_is_a_class: ("label",),
    empty_mask_is_nan: ("not finite",),
}

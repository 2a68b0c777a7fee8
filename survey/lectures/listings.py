"""Five listings as teaching documents print them, or as their formulas read, mistakes and all: the errata."""

import torch
from torch.nn import functional as F


class CustomCrossEntropy(torch.nn.Module):
    """E3-9: of one-hot labels."""

    def forward(self, predictions, targets):
        return -torch.sum(targets * torch.log(torch.softmax(predictions, dim=1))) / predictions.shape[0]


def contrastive(y_true, y_pred, margin=1.0):
    """E3-12: a pair is taken to be the first two rows."""
    distance = F.pairwise_distance(y_pred[0], y_pred[1])
    return torch.mean(y_true * distance**2 + (1 - y_true) * torch.clamp(margin - distance, min=0.0) ** 2)


def balanced_cross_entropy(prediction, target, w_pos=5.0, w_neg=0.5):
    """E3-8: the weights of two classes, given by place."""
    weight = torch.tensor([w_pos, w_neg])
    return F.binary_cross_entropy(prediction, target, weight=weight)


def binary_cross_entropy(p, y):
    """E3-7: the minus before the first term alone."""
    return -(y * torch.log(p)).mean() + ((1 - y) * torch.log(1 - p)).mean()


def additive_margin_softmax(embeddings, weight, labels, s=30.0, m=0.35):
    """E0-1: the margin in the numerator, and not in the denominator."""
    cosine = F.normalize(embeddings) @ F.normalize(weight).T
    target = cosine.gather(1, labels[:, None])[:, 0]
    return -torch.log(torch.exp(s * (target - m)) / torch.exp(s * cosine).sum(1)).mean()

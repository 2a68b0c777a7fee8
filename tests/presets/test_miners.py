"""What the migration page says of miners beside Lossary's own losses and class heads, against formulas by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lossary
from lossary.presets import pytorch_metric_learning as preset

N, D, C = 10, 4, 5
Mined = tuple[Tensor, ...]


def pairs_of(labels: Tensor) -> Mined:
    similar = (labels[:, None] == labels) & ~torch.eye(N, dtype=torch.bool)
    (a1, p), (a2, n) = torch.where(similar), torch.where(labels[:, None] != labels)
    return a1[::2], p[::2], a2[::3], n[::3]


def weights(mined: Mined) -> Tensor:
    """As the page has them: how often an item was chosen, over the most often chosen one's number."""
    counts = torch.bincount(torch.cat(mined), minlength=N).double()
    return counts / counts.max()


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(N, D, dtype=torch.float64, requires_grad=True), torch.arange(N) % 4


def test_a_miners_pairs_are_split_for_lossarys_own_losses() -> None:
    x, labels = batch()
    a1, p, a2, n = pairs_of(labels)
    d = torch.cdist(x, x)
    pairs = lossary.contrastive_loss(x, labels, pairs=(torch.cat([a1, a2]), torch.cat([p, n])))
    torch.testing.assert_close(pairs, 0.5 * torch.cat([d[a1, p] ** 2, (1 - d[a2, n]).relu() ** 2]).mean())
    i, j = torch.where(a1[:, None] == a2)
    triplets = lossary.triplet_loss(x, None, triplets=(a1[i], p[i], n[j]), margin=0.2)
    chosen = [(d[a, b] - d[a, c] + 0.2).relu() for a, b in zip(a1, p, strict=True) for c in n[a2 == a]]
    torch.testing.assert_close(triplets, torch.stack(chosen).mean())


def scores(name: str, head: lossary.HeadLoss, x: Tensor, labels: Tensor) -> Tensor:
    cosines, true = F.normalize(x) @ F.normalize(head.weight).T, F.one_hot(labels, C).bool()
    if name == "arcface":
        angle, m = cosines.acos(), math.radians(28.6)
        return 64 * torch.where(
            true, torch.where(angle <= math.pi - m, (angle + m).cos(), cosines - m * math.sin(m)), cosines
        )
    return {"cosface": 64 * (cosines - 0.35 * true), "normalized_softmax": cosines / 0.05, "proxy_nca": 2 * cosines}[
        name
    ]


@pytest.mark.parametrize("name", ["arcface", "cosface", "normalized_softmax", "proxy_nca"])
def test_a_miner_beside_a_head_is_weights(name: str) -> None:
    """The original multiplies each item's loss by its weight and averages over all items."""
    x, labels = batch()
    head, weight = getattr(preset, name)(C, D).double(), weights(pairs_of(labels))
    ours = head(x, labels, sample_weight=weight, reduction="sum") / N
    hand = (F.cross_entropy(scores(name, head, x, labels), labels, reduction="none") * weight).mean()
    torch.testing.assert_close(ours, hand)
    gradients = (torch.autograd.grad(loss, [x, head.weight], retain_graph=True) for loss in (ours, hand))
    torch.testing.assert_close(*gradients)
    assert head(x, labels, sample_weight=weight) > 1.1 * hand


def test_a_miner_beside_proxy_anchor_is_weights_in_the_exponent() -> None:
    x, labels = batch()
    head, weight = preset.proxy_anchor(C, D).double(), weights(pairs_of(labels))
    cosines, true = F.normalize(x) @ F.normalize(head.weight).T, F.one_hot(labels, C).bool()

    def term(exponents: Tensor, chosen: Tensor) -> Tensor:
        shifted = (exponents + weight[:, None] - 1).masked_fill(~chosen, -math.inf)
        return torch.cat([shifted, torch.zeros(1, C)]).logsumexp(0).sum()

    hand = term(32 * (0.1 - cosines), true) / true.any(0).sum() + term(32 * (cosines + 0.1), ~true) / C
    torch.testing.assert_close(head(x, labels, sample_weight=(weight - 1).exp()), hand)


@pytest.mark.parametrize("name", ["nt_xent", "nca"])
def test_other_presets_refuse_a_miner(name: str) -> None:
    x, labels = batch()
    with pytest.raises(TypeError, match="got 3 by position"):
        getattr(preset, name)()(x, labels, pairs_of(labels))


def by_hand(name: str, cosines: Tensor, similar: list[int], different: list[int], anchor: int) -> Tensor:
    """An anchor's loss, as the papers write it, of the pairs that were chosen."""
    p, n = cosines[anchor, similar], cosines[anchor, different]
    if name == "multi_similarity":
        pulled, pushed = (-2 * (p - 0.5)).exp().sum(), (50 * (n - 0.5)).exp().sum()
        return (1 + pulled).log() / 2 + (1 + pushed).log() / 50
    if name == "circle":
        pulled = (-80 * (1.4 - p.detach()).relu() * (p - 0.6)).exp().sum()
        pushed = (80 * (n.detach() + 0.4).relu() * (n - 0.4)).exp().sum()
        return (1 + pulled * pushed).log()
    return (torch.cat([p, n]) / 0.1).exp().sum().log() - p.mean() / 0.1


@pytest.mark.parametrize("name", ["multi_similarity", "circle", "supcon"])
def test_pairs_of_a_miner_are_all_that_counts(name: str) -> None:
    """Anchors 0 to 3: pairs of both kinds, similar ones only, dissimilar ones only, none."""
    x = torch.randn(N, D, dtype=torch.float64, requires_grad=True)
    mined = tuple(torch.tensor(k) for k in ([0, 0, 1], [4, 8, 5], [0, 2, 2], [1, 3, 9]))
    chosen = {0: ([4, 8], [1]), 1: ([5], []), 2: ([], [3, 9])}
    cosines = F.normalize(x) @ F.normalize(x).T
    counted = {"multi_similarity": (0, 1, 2), "circle": (0,), "supcon": (0, 1)}[name]
    losses = torch.stack([by_hand(name, cosines, *chosen[k], k) for k in counted])
    # Of one similar pair alone supervised contrast costs 0 and does not count.
    divisor = N if name == "multi_similarity" else int((losses > 1e-12).sum())
    loss = getattr(preset, name)()
    found = loss(x, torch.arange(N) % 4, mined)
    torch.testing.assert_close(found, losses.sum() / divisor)
    (gradient,), (wanted,) = torch.autograd.grad(found, x), torch.autograd.grad(losses.sum() / divisor, x)
    torch.testing.assert_close(gradient, wanted)
    nothing = torch.zeros(0, dtype=torch.long)
    empty = loss(x, torch.arange(N) % 4, (nothing, nothing, nothing, nothing))
    assert empty.item() == 0
    assert not torch.autograd.grad(empty, x)[0].any()


@pytest.mark.parametrize("name", ["multi_similarity", "circle", "supcon"])
def test_all_pairs_of_a_batch_are_the_loss_without_a_miner(name: str) -> None:
    x, labels = batch()
    similar = (labels[:, None] == labels) & ~torch.eye(N, dtype=torch.bool)
    pairs = *torch.where(similar), *torch.where(labels[:, None] != labels)
    loss = getattr(preset, name)()
    torch.testing.assert_close(loss(x, labels, pairs), loss(x, labels))

"""The three kinds of centers, and GE2E against its definition written out."""

import math

import pytest
import torch
from torch import Tensor

from lossary.losses.identities.centers import CenterLoss, ClassMeanCenterLoss, MovingCenterLoss, center_loss
from lossary.losses.identities.prototypes import GE2ELoss, ge2e_loss


def batch() -> tuple[Tensor, Tensor]:
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x, torch.tensor([0, 2, 0, 1, 2, 2])


def test_learned_centers_settle_in_the_class_means() -> None:
    x, labels = batch()
    loss = CenterLoss(num_classes=3, embedding_size=3).double()
    optimiser = torch.optim.SGD(loss.parameters(), lr=1.0)
    for _ in range(60):
        optimiser.zero_grad()
        loss(x, labels).backward()
        optimiser.step()
    for label in range(3):
        torch.testing.assert_close(loss.centers[label], x[labels == label].mean(0), rtol=1e-4, atol=1e-4)


def test_moving_centers_follow_equation_four_and_only_in_training() -> None:
    x, labels = batch()
    loss = MovingCenterLoss(num_classes=4, embedding_size=3, rate=0.5).double()
    value = loss(x.requires_grad_(), labels)
    torch.testing.assert_close(value, x.square().sum(1).mean() / 2)  # the centers began at 0
    value.backward()
    torch.testing.assert_close(x.grad, x.detach() / 6)
    moved = loss.get_buffer("centers").clone()
    torch.testing.assert_close(moved[2], 0.5 * x[labels == 2].sum(0).detach() / (1 + 3))
    assert moved[3].count_nonzero() == 0
    loss.eval()(x, labels)
    assert torch.equal(loss.get_buffer("centers"), moved)
    assert "centers" in loss.state_dict()


def test_masked_items_do_not_move_the_centers() -> None:
    x, labels = batch()
    mask = torch.tensor([True, True, True, False, True, False])
    loss, kept = (MovingCenterLoss(num_classes=3, embedding_size=3).double() for _ in range(2))
    spoilt = torch.where(mask[:, None], x, torch.nan)
    torch.testing.assert_close(loss(spoilt, labels, mask=mask), kept(x[mask], labels[mask]))
    torch.testing.assert_close(loss.get_buffer("centers"), kept.get_buffer("centers"))


def test_an_items_weight_moves_the_centers_as_so_many_copies() -> None:
    x, labels = batch()
    weight = torch.tensor([0, 1, 2, 1, 0, 3])
    loss, copies = (MovingCenterLoss(num_classes=3, embedding_size=3).double() for _ in range(2))
    for _ in range(2):  # centers that have left 0
        value = copies(x.repeat_interleave(weight, 0), labels.repeat_interleave(weight))
        torch.testing.assert_close(loss(x, labels, sample_weight=weight.double()), value)
    torch.testing.assert_close(loss.get_buffer("centers"), copies.get_buffer("centers"))


def test_class_means_of_the_batch_are_the_variance_within_classes() -> None:
    x, labels = batch()
    within = sum(((x[labels == c] - x[labels == c].mean(0)) ** 2).sum() for c in range(3)) / 12
    torch.testing.assert_close(ClassMeanCenterLoss()(x, labels), within)
    torch.testing.assert_close(ClassMeanCenterLoss()(x, labels * 1000 - 7), within)


def test_masked_items_are_in_no_class_mean() -> None:
    x, labels = batch()
    mask = torch.arange(len(x)) != 2
    spoilt = torch.where(mask[:, None], x, torch.nan)
    torch.testing.assert_close(
        ClassMeanCenterLoss()(spoilt, labels, mask=mask), ClassMeanCenterLoss()(x[mask], labels[mask])
    )


# ---------------------------------------------------------------- GE2E


def written_out(e: Tensor, kind: str, w: float, b: float) -> Tensor:
    """The paper's equations, loop by loop, with the mean over utterances."""
    e = torch.nn.functional.normalize(e, dim=-1)
    speakers, utterances, _ = e.shape
    losses = []
    for j in range(speakers):
        for i in range(utterances):
            centroids = [e[k].mean(0) for k in range(speakers)]
            centroids[j] = (e[j].sum(0) - e[j, i]) / (utterances - 1)
            s = torch.stack([w * torch.cosine_similarity(e[j, i], c, dim=0) + b for c in centroids])
            others = torch.cat([s[:j], s[j + 1 :]])
            contrast = 1 - s[j].sigmoid() + others.sigmoid().max()
            losses.append(s.logsumexp(0) - s[j] if kind == "softmax" else contrast)
    return torch.stack(losses).mean()


@pytest.mark.parametrize("kind", ["softmax", "contrast"])
def test_ge2e_is_its_definition_from_either_layout(kind) -> None:
    e = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = written_out(e, kind, 4.0, -1.0)
    torch.testing.assert_close(ge2e_loss(e, kind=kind, w=4.0, b=-1.0), expected)
    labels = torch.tensor([5, 9, 7]).repeat_interleave(4)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    mixed = ge2e_loss(e.flatten(0, 1)[order], labels[order], kind=kind, w=4.0, b=-1.0)
    torch.testing.assert_close(mixed, expected)


def test_w_stays_above_zero_however_hard_it_is_pushed() -> None:
    loss = GE2ELoss(kind="contrast")
    # dissimilar utterances of one speaker: the smaller w, the smaller the loss
    e = torch.tensor([[[1.0, 0.0], [-1.0, 0.1]], [[1.0, 0.1], [-1.0, 0.0]]])
    optimiser = torch.optim.SGD(loss.parameters(), lr=100.0)
    for _ in range(20):
        optimiser.zero_grad()
        loss(e).backward()
        optimiser.step()
    gain = loss.get_parameter("log_gain").exp().item()
    assert math.isfinite(gain)
    assert 0 < gain < 1


def test_a_lone_utterance_is_refused_or_left_out() -> None:
    with pytest.raises(ValueError, match="at least 2 utterances"):
        ge2e_loss(torch.randn(3, 1, 4))
    with pytest.raises(ValueError, match="w: wanted a number above 0"):
        ge2e_loss(torch.randn(3, 2, 4), w=torch.tensor(-1.0))


def test_center_loss_holds_no_row_of_distances_to_all_classes() -> None:
    x = torch.randn(8, 4, requires_grad=True)
    centers = torch.randn(5000, 4, requires_grad=True)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        center_loss(x, centers, torch.randint(5000, (8,)))
    assert sum(kept) < 8 * 5000

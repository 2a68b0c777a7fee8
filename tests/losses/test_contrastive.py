"""Identities between the contrastive losses."""

import pytest
import torch
from torch import Tensor

from lossary.losses.identities.similarity import SupConLoss, supcon_loss
from lossary.losses.pairs.contrastive import contrastive_loss
from lossary.losses.views.mutual import nt_xent_loss


def views() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    z1, z2 = (torch.randn(5, 4, generator=g, dtype=torch.float64) for _ in range(2))
    return z1, z2


def test_two_views_are_supcon_with_an_item_a_label() -> None:
    z1, z2 = views()
    labels = torch.arange(5).repeat(2)
    both = torch.cat([z1, z2])
    expected = nt_xent_loss(z1, z2, temperature=0.3)
    torch.testing.assert_close(supcon_loss(both, labels, temperature=0.3), expected)
    torch.testing.assert_close(nt_xent_loss(both, labels, temperature=0.3), expected)


def test_nt_xent_is_cross_entropy_without_the_own_column() -> None:
    z = torch.nn.functional.normalize(torch.cat(views()), dim=1)
    scores = (z @ z.T / 0.5).fill_diagonal_(-torch.inf)
    expected = torch.nn.functional.cross_entropy(scores, torch.arange(10).roll(5))
    torch.testing.assert_close(nt_xent_loss(*views()), expected)


def test_all_pairs_of_a_batch_are_its_given_pairs() -> None:
    x = torch.cat(views())
    labels = torch.tensor([0, 1, 0, 2, 2, 1, 0, 3, 1, 2])
    i, j = torch.triu_indices(10, 10, 1)
    given = contrastive_loss(x[i], x[j], labels[i] == labels[j], margin=3.0, reduction="none")
    torch.testing.assert_close(contrastive_loss(x, labels, margin=3.0, reduction="none"), given)


def test_similar_label_is_the_paper_s_convention() -> None:
    target = torch.tensor([1, 0, 1, 1, 0])
    torch.testing.assert_close(
        contrastive_loss(*views(), 1 - target, similar_label=0), contrastive_loss(*views(), target)
    )


def test_pair_targets_are_zero_or_one() -> None:
    with pytest.raises(ValueError, match="target: wanted one of 0, 1"):
        contrastive_loss(*views(), torch.tensor([1, -1, 1, -1, 1]))


def test_anchors_without_a_positive_do_not_dilute_the_mean() -> None:
    z1, z2 = views()
    lonely = torch.cat([z1[:2], z2[:2], torch.eye(4, dtype=torch.float64)[:1]])
    labels = torch.tensor([0, 1, 0, 1, 2])
    each = supcon_loss(lonely, labels, reduction="none")
    assert each[4] == 0
    torch.testing.assert_close(supcon_loss(lonely, labels), each[:4].mean())


def test_a_temperature_learns() -> None:
    temperature = torch.nn.Parameter(torch.tensor(0.2))
    loss = SupConLoss(temperature=temperature)
    loss(torch.randn(4, 3), torch.tensor([0, 0, 1, 1])).backward()
    assert temperature.grad is not None
    assert temperature.grad != 0


def test_items_of_one_id_are_not_each_other_s_negatives() -> None:
    """The first and third items show the same thing: the first's loss is as if the third were not there."""
    g = torch.Generator().manual_seed(0)
    z1, z2 = (torch.randn(4, 3, generator=g, dtype=torch.float64) for _ in range(2))
    kept, ids = [0, 1, 3], torch.tensor([7, 3, 7, 4])
    views = nt_xent_loss(z1, z2, ids=ids, reduction="none")
    wanted = nt_xent_loss(z1[kept], z2[kept], reduction="none")
    torch.testing.assert_close(views[[0, 4]], wanted[[0, 3]])
    both, labels = torch.cat([z1, z2]), torch.arange(4).repeat(2)
    torch.testing.assert_close(supcon_loss(both, labels, temperature=0.5, ids=ids.repeat(2), reduction="none"), views)
    # A finer id takes no positive away.
    torch.testing.assert_close(supcon_loss(both, labels, ids=torch.arange(8)), supcon_loss(both, labels))

"""Queries and answers: the losses as cross-entropies, and ids against false negatives."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.kernels.rows import formula as rows
from lossary.losses.identities.prototypes import ge2e_loss
from lossary.losses.identities.similarity import supcon_loss
from lossary.losses.identities.sphereface import sphereface_loss
from lossary.losses.views.mutual import clip_loss, nt_xent_loss, siglip_loss
from lossary.losses.views.retrieval import info_nce_loss, multiple_negatives_ranking_loss, n_pair_loss


def pairs() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    q, p = (torch.randn(5, 4, generator=g, dtype=torch.float64) for _ in range(2))
    return q, p


def cosines(a: Tensor, b: Tensor) -> Tensor:
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).mT


def test_in_batch_negatives_are_a_cross_entropy() -> None:
    q, p = pairs()
    torch.testing.assert_close(
        info_nce_loss(q, p, temperature=0.2), F.cross_entropy(cosines(q, p) / 0.2, torch.arange(5))
    )
    torch.testing.assert_close(n_pair_loss(q, p), F.cross_entropy(q @ p.T, torch.arange(5)))


def test_negatives_of_three_shapes() -> None:
    q, p = pairs()
    shared = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    own = cosines(q, p).diagonal()[:, None]
    expected = F.cross_entropy(torch.cat([own, cosines(q, shared)], 1) / 0.1, torch.zeros(5, dtype=torch.int64))
    torch.testing.assert_close(info_nce_loss(q, p, shared), expected)
    torch.testing.assert_close(info_nce_loss(q, p, negatives=shared.expand(5, 3, 4)), expected)


def test_a_query_s_own_negatives_keep_their_digits_under_autocast() -> None:
    q, p = (x.float() for x in pairs())
    negatives = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(1))
    expected = info_nce_loss(q, p, negatives)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(info_nce_loss(q, p, negatives), expected)


def test_hard_negatives_are_further_candidates_and_symmetric_looks_both_ways() -> None:
    q, p = pairs()
    hard = torch.randn(2, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = torch.arange(5)
    forth = F.cross_entropy(20 * torch.cat([cosines(q, p), cosines(q, hard)], 1), labels)
    back = F.cross_entropy(20 * cosines(p, q), labels)
    torch.testing.assert_close(multiple_negatives_ranking_loss(q, p, hard), forth)
    torch.testing.assert_close(multiple_negatives_ranking_loss(q, p, hard, symmetric=True), (forth + back) / 2)
    forth = F.cross_entropy(20 * cosines(q, p), labels)
    torch.testing.assert_close(multiple_negatives_ranking_loss(q, p, symmetric=True), (forth + back) / 2)


@pytest.mark.parametrize("loss", [info_nce_loss, multiple_negatives_ranking_loss, n_pair_loss])
def test_items_of_one_id_are_not_each_other_s_negatives(loss) -> None:
    q, p = pairs()
    ids = torch.tensor([7, 3, 7, 4, 4])
    each = loss(q, p, ids=ids, reduction="none")
    # the first query's negatives are those of the second, fourth and fifth
    torch.testing.assert_close(each[0], loss(q[[0, 1, 3, 4]], p[[0, 1, 3, 4]], reduction="none")[0])
    torch.testing.assert_close(loss(q, p, ids=torch.arange(5) * 3), loss(q, p))


def test_a_pair_that_does_not_count_is_in_nobody_s_loss() -> None:
    q, p = pairs()
    mask = torch.tensor([True, False, True, True, False])
    for loss in (info_nce_loss, multiple_negatives_ranking_loss, n_pair_loss):
        each = loss(q, p, mask=mask, reduction="none")
        torch.testing.assert_close(each[mask], loss(q[mask], p[mask], reduction="none"))
        assert not each[~mask].any()
        torch.testing.assert_close(loss(q, p, mask=mask), loss(q[mask], p[mask]))


def test_blocks_of_scores_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    q, p = pairs()
    labels = torch.tensor([0, 1, 0, 2, 1])

    def results() -> list[Tensor]:
        found = []
        for loss in (
            lambda a, b: info_nce_loss(a, b, ids=labels),
            lambda a, b: info_nce_loss(a, b, mask=labels > 0),
            lambda a, b: info_nce_loss(a, b, ids=labels, mask=labels < 2),
            lambda a, b: info_nce_loss(a, b, b.flip(0) * 2),
            lambda a, b: multiple_negatives_ranking_loss(a, b, b.flip(0) + 1, symmetric=True),
            lambda a, b: multiple_negatives_ranking_loss(a, b, b.flip(0) + 1, symmetric=True, ids=labels),
            lambda a, b: multiple_negatives_ranking_loss(a, b, symmetric=True, ids=labels),
            lambda a, b: ge2e_loss(torch.cat([a, b]), labels.repeat(2)),
            lambda a, b: supcon_loss(torch.cat([a, b]), labels.repeat(2)),
            lambda a, b: sphereface_loss(a, b, labels, annealing=0.5),
        ):
            a, b = q.clone().requires_grad_(), p.clone().requires_grad_()
            value = loss(a, b)
            found += [value, *torch.autograd.grad(value, (a, b))]
        return found

    whole = results()
    monkeypatch.setattr(rows, "CPU_PLAIN", 0)
    for got, wanted in zip(results(), whole, strict=True):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize(
    "given",
    [
        torch.tensor(0.013, dtype=torch.bfloat16),
        torch.tensor(1e-5, dtype=torch.float16),
        torch.full((1,), 0.07).double(),
    ],
    ids=["bfloat16", "float16", "double"],
)
@pytest.mark.parametrize("loss", [clip_loss, info_nce_loss, nt_xent_loss])
def test_a_temperature_of_another_precision_counts_as_the_number_that_it_is(loss, given: Tensor) -> None:
    q, p = (x.float() for x in pairs())
    torch.testing.assert_close(loss(q, p, temperature=given), loss(q, p, temperature=given.item()))


@pytest.mark.parametrize("loss", [multiple_negatives_ranking_loss, siglip_loss])
def test_so_does_a_scale(loss) -> None:
    q, p = (x.float() for x in pairs())
    torch.testing.assert_close(loss(q, p, scale=torch.full((1,), 7.1).double()), loss(q, p, scale=7.1))

"""What an anchor is compared with, and what the items are to it: the same for every loss within a batch."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from lossary.core.check import wide_integers
from lossary.kernels import tuples
from lossary.kernels.rows import formula as rows
from lossary.losses.identities.prototypes import GE2ELoss, ge2e_loss
from lossary.losses.identities.similarity import multi_similarity_loss, supcon_loss
from lossary.losses.pairs.contrastive import contrastive_loss
from lossary.losses.triplets.given import triplet_margin_loss
from lossary.losses.triplets.triplet import triplet_loss
from lossary.losses.views.mutual import nt_xent_loss
from lossary.losses.views.retrieval import info_nce_loss, multiple_negatives_ranking_loss, n_pair_loss
from lossary.testing.laws.subject import assert_close, assert_same

Loss = Callable[..., Tensor]

LOSSES = [
    pytest.param(supcon_loss, id="supcon"),
    pytest.param(partial(contrastive_loss, margin=3.0), id="contrastive"),
    pytest.param(multi_similarity_loss, id="multi-similarity"),
    pytest.param(triplet_loss, id="triplet-hard"),
    pytest.param(partial(triplet_loss, margin=0.5, mining="semihard"), id="triplet-semihard"),
    pytest.param(partial(triplet_loss, margin=0.5, mining="all"), id="triplet-all"),
    pytest.param(partial(triplet_loss, mining="all"), id="triplet-all-soft"),
]
PAIRED = [info_nce_loss, multiple_negatives_ranking_loss, n_pair_loss]
LABELS = torch.tensor([0, 1, 0, 2, 1, 3, 0, 1, 2])
REF_LABELS = torch.tensor([2, 0, 0, 1, 7])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def grads(loss: Callable[..., Tensor], *inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
    leaves = [x.clone().requires_grad_() for x in inputs]
    value = loss(*leaves)
    return value, list(torch.autograd.grad(value.sum(), leaves))


# ---------------------------------------------------------------- what is positive


@pytest.mark.parametrize("loss", LOSSES)
def test_positives_by_mask_or_by_several_labels_are_those_by_label(loss: Loss) -> None:
    x = normal(9, 4)
    wanted = grads(lambda x: loss(x, LABELS), x)
    same = LABELS[:, None] == LABELS
    assert_same(grads(lambda x: loss(x, None, positives=same), x), wanted, 1e-12)
    for dtype in (torch.bool, torch.int64, torch.float32):
        one_hot = torch.nn.functional.one_hot(LABELS).to(dtype)
        assert_same(grads(lambda x, labels=one_hot: loss(x, labels), x), wanted, 1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_items_that_share_one_of_several_labels_are_positives(loss: Loss) -> None:
    x = normal(4, 4)
    labels = torch.tensor([[1, 0, 1], [1, 1, 0], [0, 1, 0], [0, 0, 0]])
    sharing = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]).bool()
    wanted = grads(lambda x: loss(x, None, positives=sharing), x)
    assert_same(grads(lambda x: loss(x, labels), x), wanted, 1e-12)


def test_a_relation_need_not_be_an_equivalence() -> None:
    """The second item is a positive of the first and of the third, which are not each other's."""
    x, chain = normal(3, 4), torch.tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0]]).bool()
    z = torch.nn.functional.normalize(x)
    logp = (z @ z.T / 0.1).fill_diagonal_(-torch.inf).log_softmax(1)
    wanted = torch.stack([-logp[0, 1], -(logp[1, 0] + logp[1, 2]) / 2, -logp[2, 1]])
    assert_close(supcon_loss(x, None, positives=chain, reduction="none"), wanted)


# ---------------------------------------------------------------- references


@pytest.mark.parametrize("loss", LOSSES)
def test_references_are_compared_with_as_a_batch_around_each_anchor(loss: Loss) -> None:
    x, references = normal(9, 4), normal(5, 4, seed=1)

    def beside(x: Tensor, r: Tensor) -> Tensor:
        return loss(x, LABELS, ref_embeddings=r, ref_labels=REF_LABELS, reduction="none")

    def alone(x: Tensor, r: Tensor) -> Tensor:
        batches = ((torch.cat([x[i : i + 1], r]), torch.cat([LABELS[i : i + 1], REF_LABELS])) for i in range(9))
        first = 5 if loss is LOSSES[1].values[0] else 1  # its pairs with the references
        return torch.cat([loss(*batch, reduction="none")[:first] for batch in batches])

    wanted = grads(alone, x, references)
    assert_same(grads(beside, x, references), wanted, 1e-11)
    several = (torch.nn.functional.one_hot(labels, 8) for labels in (LABELS, REF_LABELS))
    by_several = dict(zip(("labels", "ref_labels"), several, strict=True))
    labels = by_several.pop("labels")
    found = grads(lambda x, r: loss(x, labels, ref_embeddings=r, **by_several, reduction="none"), x, references)
    assert_same(found, wanted, 1e-11)


def test_indices_of_any_integer_type_are_taken() -> None:
    x, i, j, k = normal(9, 4), torch.tensor([0, 1]), torch.tensor([2, 4]), torch.tensor([3, 0])
    pair, triplet = ((torch.uint8, torch.uint32), (torch.int8, torch.uint16, torch.uint64))
    narrow = tuple(t.to(dtype) for t, dtype in zip((i, j), pair, strict=True))
    assert_close(contrastive_loss(x, LABELS, pairs=narrow), contrastive_loss(x, LABELS, pairs=(i, j)))
    narrow = tuple(t.to(dtype) for t, dtype in zip((i, j, k), triplet, strict=True))
    assert_close(triplet_loss(x, None, triplets=narrow), triplet_loss(x, None, triplets=(i, j, k)))


def test_widening_costs_int64_labels_nothing() -> None:
    assert wide_integers("labels", LABELS) is LABELS


def test_queries_with_several_positives_are_supcon_beside_references() -> None:
    q, p, numbers = normal(5, 4), normal(5, 4, seed=1), torch.arange(5)
    single = supcon_loss(q, numbers, ref_embeddings=p, ref_labels=numbers)
    assert_close(single, info_nce_loss(q, p))


@pytest.mark.parametrize("loss", LOSSES)
def test_masked_anchors_have_no_references(loss: Loss) -> None:
    x, mask = normal(9, 4), torch.arange(9) != 4
    beside = {"ref_embeddings": normal(5, 4, seed=1), "ref_labels": REF_LABELS}
    wanted = loss(x[mask], LABELS[mask], **beside)
    spoilt = torch.where(mask[:, None], x, torch.nan)
    assert_close(loss(spoilt, LABELS, **beside, mask=mask), wanted)
    positives = LABELS[:, None] == REF_LABELS
    del beside["ref_labels"]
    assert_close(loss(spoilt, None, positives=positives, **beside, mask=mask), wanted)


# ---------------------------------------------------------------- who is no negative, who does not count


@pytest.mark.parametrize("loss", LOSSES)
def test_items_of_one_id_are_not_each_other_s_negatives(loss: Loss) -> None:
    """The first and the fourth item share an id, though no label: to the first it is as if the fourth were absent."""
    x, kept = normal(9, 4), torch.arange(9) != 3
    ids = torch.tensor([4, 1, 2, 4, 5, 6, 7, 8, 9])
    count = 7 if loss is LOSSES[1].values[0] else 1  # its pairs
    wanted = loss(x[kept], LABELS[kept], reduction="none")[:count]
    several = torch.nn.functional.one_hot(LABELS)
    for labels in (LABELS, several):
        found = loss(x, labels, ids=ids, reduction="none")
        if count == 7:
            assert found[2] == 0
            found = torch.cat([found[:2], found[3:]])
        assert_close(found[:count], wanted)
        assert_close(loss(x, labels, ids=torch.arange(9)), loss(x, LABELS))
        # A shared id takes no positive away.
        assert_close(loss(x, labels, ids=LABELS), loss(x, LABELS))


def test_pairs_that_are_none_do_not_dilute_the_mean() -> None:
    x = normal(4, 3)
    labels, ids = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 2, 2])
    each = contrastive_loss(x, labels, margin=9.0, reduction="none")
    assert_close(contrastive_loss(x, labels, margin=9.0, ids=ids), each[:5].mean())


@pytest.mark.parametrize("kind", ["softmax", "contrast"])
def test_speakers_of_one_id_are_not_each_other_s_negatives(kind: str) -> None:
    loss = partial(ge2e_loss, kind=kind, w=3.0, reduction="none")
    speakers, ids = normal(4, 3, 5), torch.tensor([8, 1, 8, 2])
    found = loss(speakers, ids=ids)
    assert_close(found[0], loss(speakers[[0, 1, 3]])[0])
    labels = torch.arange(4).repeat_interleave(3)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    mixed = loss(speakers.flatten(0, 1)[order], labels[order], ids=ids[labels][order])
    assert_close(mixed, found.flatten()[order])


@pytest.mark.parametrize("kind", ["softmax", "contrast"])
def test_masked_utterances_are_in_no_centroid(kind: str) -> None:
    loss = partial(ge2e_loss, kind=kind, w=3.0, reduction="none")
    speakers = normal(3, 3, 5)
    mask = torch.ones(3, 3, dtype=torch.bool)
    mask[0, 1] = mask[2, 0] = mask[2, 2] = False
    labels = torch.arange(3).repeat_interleave(3)[mask.flatten()]
    wanted = loss(speakers[mask], labels)
    assert wanted[-1] == 0  # the only one left of its speaker
    found = loss(torch.where(mask[..., None], speakers, torch.nan), mask=mask)
    assert_close(found[mask], wanted)
    assert (found[~mask] == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_masks_beside_given_positives_drop_items(loss: Loss) -> None:
    x, mask = normal(9, 4), torch.arange(9) != 4
    same = LABELS[:, None] == LABELS
    wanted = loss(x[mask], LABELS[mask])
    assert_close(loss(torch.where(mask[:, None], x, torch.nan), None, positives=same, mask=mask), wanted)


def test_hard_negatives_stay_where_a_pair_does_not_count() -> None:
    q, p, hard = normal(5, 4), normal(5, 4, seed=1), normal(3, 4, seed=2)
    mask = torch.arange(5) != 1
    for options in ({}, {"symmetric": True}):
        loss = partial(multiple_negatives_ranking_loss, **options)
        assert_close(loss(q, p, hard, mask=mask), loss(q[mask], p[mask], hard))
    own = normal(5, 3, 4, seed=3)
    spoilt = torch.where(mask[:, None, None], own, torch.nan)
    assert_close(info_nce_loss(q, p, spoilt, mask=mask), info_nce_loss(q[mask], p[mask], own[mask]))
    assert_close(info_nce_loss(q, p, hard, mask=mask), info_nce_loss(q[mask], p[mask], hard))


# ---------------------------------------------------------------- by index


def test_pairs_by_index_are_given_pairs() -> None:
    x, r = normal(9, 4), normal(5, 4, seed=1)
    i, j = torch.tensor([0, 0, 5, 8]), torch.tensor([2, 4, 1, 3])
    wanted = grads(lambda x: contrastive_loss(x[i], x[j], LABELS[i] == LABELS[j], margin=3.0), x)
    for labels in (LABELS, torch.nn.functional.one_hot(LABELS)):
        found = grads(lambda x, labels=labels: contrastive_loss(x, labels, margin=3.0, pairs=(i, j.int())), x)
        assert_same(found, wanted, 1e-12)
    beside = {"ref_embeddings": r, "ref_labels": REF_LABELS}
    found = contrastive_loss(x, LABELS, margin=3.0, pairs=(i, j), **beside, reduction="none")
    wanted = contrastive_loss(x[i], r[j], LABELS[i] == REF_LABELS[j], margin=3.0, reduction="none")
    assert_close(found, wanted)


@pytest.mark.parametrize("options", [{}, {"squared": True}])
def test_triplets_by_index_are_given_triplets(options: dict[str, bool]) -> None:
    x, r = normal(9, 4), normal(9, 4, seed=1)
    a, p, n = torch.tensor([0, 5, 5]), torch.tensor([1, 2, 8]), torch.tensor([4, 0, 3])

    def given(x: Tensor, r: Tensor) -> Tensor:
        return triplet_margin_loss(x[a], r[p], r[n], 2.0, eps=0.0, **options)

    wanted = grads(lambda x: given(x, x), x)
    assert_same(grads(lambda x: triplet_loss(x, None, margin=2.0, triplets=(a, p, n), **options), x), wanted, 1e-12)
    assert_close(triplet_loss(x, None, margin=2.0, triplets=(a, p, n), ref_embeddings=r, **options), given(x, r))
    mask = torch.arange(9) != 8  # the last triplet's positive
    found = triplet_loss(x, None, margin=2.0, triplets=(a, p, n), mask=mask, **options)
    assert_close(
        found, triplet_margin_loss(x[a], x[p], x[n], 2.0, eps=0.0, **options, mask=torch.tensor([1, 1, 0]).bool())
    )


# ---------------------------------------------------------------- blocks


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, r, mask = normal(9, 4), normal(9, 4, seed=1), torch.arange(9) != 4
    ids = torch.tensor([4, 1, 2, 4, 5, 6, 7, 8, 9])
    losses: list[Loss] = [
        lambda x, r: supcon_loss(x, LABELS, ids=ids, mask=mask),
        lambda x, r: supcon_loss(x, LABELS, ref_embeddings=r, ref_labels=LABELS),
        lambda x, r: supcon_loss(x, None, positives=LABELS[:, None] == LABELS, mask=mask),
        lambda x, r: multi_similarity_loss(x, LABELS),
        lambda x, r: multi_similarity_loss(x, LABELS, ids=ids, mask=mask),
        lambda x, r: multi_similarity_loss(x, LABELS, ref_embeddings=r, ref_labels=LABELS),
        lambda x, r: nt_xent_loss(x, r, mask=mask, ids=ids),
        lambda x, r: info_nce_loss(x, r, mask=mask, ids=ids),
        lambda x, r: multiple_negatives_ranking_loss(x, r, symmetric=True, mask=mask),
        lambda x, r: ge2e_loss(x, LABELS, mask=mask, ids=LABELS // 2),
        lambda x, r: triplet_loss(x, LABELS, mining="all", ids=ids, mask=mask),
        lambda x, r: triplet_loss(x, LABELS, mining="semihard", ref_embeddings=r, ref_labels=LABELS),
    ]

    def results() -> list[Tensor]:
        found = []
        for loss in losses:
            leaves = [t.clone().requires_grad_() for t in (x, r)]
            value = loss(*leaves)
            first = torch.autograd.grad(value, leaves, create_graph=True, allow_unused=True)
            penalty = sum(g.square().sum() for g in first if g is not None)
            found += [value, *torch.autograd.grad(penalty, leaves, allow_unused=True), *first]
        return [f for f in found if f is not None]

    whole = results()
    monkeypatch.setattr(rows, "CPU_PLAIN", 0)
    monkeypatch.setattr(tuples, "CACHED_TRIPLES", 20)
    for got, wanted in zip(results(), whole, strict=True):
        assert_close(got, wanted, 1e-11)


# ---------------------------------------------------------------- errors

X, R = torch.randn(4, 3), torch.randn(2, 3)
FOUR, TWO = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1])
EYE = torch.eye(4).bool()


def pairs_beyond() -> Tensor:
    return contrastive_loss(X, FOUR, pairs=(TWO, TWO + 1), ref_embeddings=R, ref_labels=TWO)


REFUSED: list[tuple[type[Exception], str, Callable[[], object]]] = [
    (ValueError, "labels: wanted either labels or positives; got neither", lambda: supcon_loss(X, None)),
    (ValueError, "labels: wanted either labels or positives; got both", lambda: triplet_loss(X, FOUR, positives=EYE)),
    (TypeError, "positives: wanted booleans; got torch.float32", lambda: supcon_loss(X, None, positives=torch.eye(4))),
    (ValueError, r"positives: wanted shape \(4, 4\)", lambda: supcon_loss(X, None, positives=EYE[:2])),
    (ValueError, "labels: wanted one of 0, 1", lambda: supcon_loss(X, FOUR[:, None] + 1)),
    (ValueError, "ref_labels: wanted None with embeddings alone", lambda: supcon_loss(X, FOUR, ref_labels=TWO)),
    (TypeError, "ref_labels: wanted a tensor", lambda: supcon_loss(X, FOUR, ref_embeddings=R)),
    (ValueError, "ref_labels: wanted shape", lambda: supcon_loss(X, FOUR, ref_embeddings=R, ref_labels=FOUR)),
    (ValueError, "ref_labels: wanted", lambda: supcon_loss(X, FOUR, ref_embeddings=R, ref_labels=TWO[:, None])),
    (ValueError, "ref_embeddings: wanted", lambda: triplet_loss(X, FOUR, ref_embeddings=R[:, 1:], ref_labels=TWO)),
    (ValueError, "ids: wanted None", lambda: triplet_loss(X, FOUR, ids=FOUR, ref_embeddings=R, ref_labels=TWO)),
    (ValueError, "ids: wanted None with target", lambda: contrastive_loss(X, X, FOUR, ids=FOUR)),
    (ValueError, "pairs: wanted a tuple of 2 index tensors", lambda: contrastive_loss(X, FOUR, pairs=(FOUR,))),
    (IndexError, r"pairs: wanted indices in \[0, 2\)", pairs_beyond),
    (ValueError, "labels: wanted None with triplets", lambda: triplet_loss(X, FOUR, triplets=(FOUR, FOUR, FOUR))),
    (ValueError, "triplets: wanted shape", lambda: triplet_loss(X, None, triplets=(FOUR, FOUR, TWO))),
    (ValueError, "b: wanted a finite number", lambda: GE2ELoss(b=float("nan"))),
    (TypeError, "w: wanted a number", lambda: GE2ELoss(w="x")),
    (ValueError, "w: wanted a finite number", lambda: GE2ELoss(w=0.0)),
]


@pytest.mark.parametrize(("kind", "message", "call"), REFUSED, ids=[message for _, message, _ in REFUSED])
def test_arguments_that_make_no_sense_are_refused(
    kind: type[Exception], message: str, call: Callable[[], object]
) -> None:
    with pytest.raises(kind, match=f"^{message}"):
        call()


@pytest.mark.parametrize("loss", [*PAIRED, nt_xent_loss])
def test_precisions_that_do_not_meet_are_named(loss: Loss) -> None:
    name = "other" if loss is nt_xent_loss else "positive"
    with pytest.raises(TypeError, match=rf"^{name}: wanted the dtype of \w+, torch.float32; got torch.float64"):
        loss(X, X.double())


def test_precisions_of_further_candidates_are_named() -> None:
    for loss in (info_nce_loss, multiple_negatives_ranking_loss):
        with pytest.raises(TypeError, match=r"^negatives: wanted the dtype of"):
            loss(X, X, R.double())
    with pytest.raises(TypeError, match=r"^ref_embeddings: wanted the dtype of"):
        supcon_loss(X, FOUR, ref_embeddings=R.double(), ref_labels=TWO)
    with pytest.raises(TypeError, match=r"^x2: wanted the dtype of"):
        contrastive_loss(X, X.double(), FOUR)

"""Corrected candidates: a guide's opinion as it is computed elsewhere, frequencies, and the plain losses without."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.kernels import again
from lossary.kernels.rows import formula
from lossary.losses.views.guided import gist_embed_loss, sampled_softmax_loss
from lossary.losses.views.retrieval import info_nce_loss, multiple_negatives_ranking_loss

F64 = torch.float64


def made(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def batch(count: int = 8, further: int = 0) -> tuple[list[Tensor], list[Tensor]]:
    """Embeddings, of which positives are near their anchors, and what a guide makes of them."""
    a, g = made(count, 5), made(count, 3, seed=1)
    xs = [a, a + made(count, 5, seed=2), *[made(further, 5, seed=3)] * (further > 0)]
    gs = [g, g + 0.7 * made(count, 3, seed=4), *[made(further, 3, seed=5)] * (further > 0)]
    return [x.requires_grad_() for x in xs], gs


def dense(xs: list[Tensor], gs: list[Tensor], t: float, m: float, relative: bool, sides: tuple[bool, bool]) -> Tensor:
    """Sentence Transformers' matrices; but an anchor or a positive is never its own negative."""
    xs, gs = [F.normalize(x) for x in xs], [F.normalize(g) for g in gs]
    bar = (gs[0] @ gs[1].T).diagonal()[:, None]
    bar = bar * (1 - m) if relative else bar - m
    itself = torch.eye(len(xs[0]), dtype=torch.bool)
    pairs = [(0, 1), *[(0, 0)] * sides[0], *[(1, 1)] * sides[1], *[(0, 2)] * (len(xs) > 2)]
    scores = []
    for i, j in pairs:
        out = gs[i] @ gs[j].T > bar
        out = (out & ~itself) if (i, j) == (0, 1) else (out | itself) if i == j else out
        scores.append((xs[i] @ xs[j].T).masked_fill(out, -torch.inf) / t)
    return F.cross_entropy(torch.cat(scores, 1), torch.arange(len(itself)))


def assert_alike(got: Tensor, want: Tensor, *leaves: Tensor) -> None:
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)
    for a, b in zip(*(torch.autograd.grad(v, leaves) for v in (got, want)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("held", [1 << 20, 1])
@pytest.mark.parametrize("further", [0, 3])
@pytest.mark.parametrize("temperature", [0.01, 0.5])
def test_a_guide_leaves_out_what_it_does_elsewhere(
    monkeypatch: pytest.MonkeyPatch, held: int, further: int, temperature: float
) -> None:
    """In one block, or anchor by anchor."""
    monkeypatch.setattr(again, "CACHED", held)
    xs, gs = batch(further=further)
    guide = dict(zip(("guide_anchor", "guide_positive", "guide_negatives"), gs, strict=False))
    for margin, strategy in ((0.0, "absolute"), (0.2, "absolute"), (0.1, "relative")):
        for sides in ((True, True), (False, True), (False, False)):
            given = {"margin": margin, "margin_strategy": strategy, "temperature": temperature}
            given |= dict(zip(("contrast_anchors", "contrast_positives"), sides, strict=True))
            got = gist_embed_loss(*xs, **guide, **given)
            assert_alike(got, dense(xs, gs, temperature, margin, strategy == "relative", sides), *xs)


def test_without_a_guide_and_further_sides_it_is_multiple_negatives_ranking() -> None:
    xs, _ = batch(further=3)
    ids = torch.tensor([0, 1, 2, 0, 4, 5, 1, 7])
    got = gist_embed_loss(*xs, temperature=0.05, contrast_anchors=False, contrast_positives=False, ids=ids)
    torch.testing.assert_close(got, multiple_negatives_ranking_loss(*xs, scale=20.0, ids=ids))


def test_a_pair_that_is_one_to_the_guide_is_not_its_own_negative() -> None:
    x, guide = torch.eye(2, dtype=F64), torch.ones(2, 2, dtype=F64)
    loss = gist_embed_loss(x, x, guide_anchor=guide, guide_positive=guide, temperature=1.0)
    torch.testing.assert_close(loss, (1 + 3 / torch.tensor(1.0, dtype=F64).exp()).log())


def test_guides_are_given_together() -> None:
    xs, gs = batch(further=2)
    for wrong, name in (
        ({"guide_anchor": gs[0]}, "guide_anchor"),
        ({"guide_negatives": gs[2]}, "guide_negatives"),
        ({"guide_anchor": gs[0], "guide_positive": gs[1]}, "guide_negatives"),
        ({"guide_anchor": gs[0][1:], "guide_positive": gs[1], "guide_negatives": gs[2]}, "guide_anchor"),
    ):
        with pytest.raises(ValueError, match=f"^{name}: wanted"):
            gist_embed_loss(*xs, **wrong)


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("further", [0, 3])
def test_each_score_loses_the_logarithm_of_its_frequency(
    monkeypatch: pytest.MonkeyPatch, blocks: bool, corrected: bool, further: int
) -> None:
    if blocks:
        monkeypatch.setattr(formula, "CPU_PLAIN", -1)
    xs, _ = batch(further=further)
    q, n = made(8, seed=7) - 3, made(further, seed=8) - 3
    given = {"negatives_log_q": n} if further else {}
    for normalize, t in ((True, 0.1), (False, 2.0)):
        x = [F.normalize(v) if normalize else v for v in xs]
        scores = x[0] @ torch.cat(x[1:]).T / t - torch.cat([q, n])
        if not corrected:
            scores = scores + torch.cat([q.diag(), q.new_zeros(8, further)], 1)
        got = sampled_softmax_loss(
            *xs, log_q=q, **given, temperature=t, normalize=normalize, correct_positive=corrected
        )
        assert_alike(got, F.cross_entropy(scores, torch.arange(8)), *xs)


def test_equal_frequencies_correct_nothing() -> None:
    xs, _ = batch()
    ids = torch.tensor([0, 1, 2, 0, 4, 5, 1, 7])
    want = info_nce_loss(*xs, temperature=0.2, ids=ids)
    for log_q in (None, torch.full((8,), -7.0, dtype=F64)):
        torch.testing.assert_close(sampled_softmax_loss(*xs, temperature=0.2, ids=ids, log_q=log_q), want)


def test_ids_and_masks_reach_further_negatives_too() -> None:
    xs, _ = batch(further=3)
    q, n = made(8, seed=7), made(3, seed=8)
    ids, mask = torch.tensor([1, 1, 2, 0, 4, 5, 1, 7]), torch.arange(8) != 2
    got = sampled_softmax_loss(*xs, log_q=q, negatives_log_q=n, ids=ids, mask=mask, reduction="none")
    kept = [x[mask] for x in xs[:2]]
    want = sampled_softmax_loss(*kept, xs[2], log_q=q[mask], negatives_log_q=n, ids=ids[mask], reduction="none")
    torch.testing.assert_close(got[mask], want)
    assert got[2] == 0


def test_frequencies_are_given_together() -> None:
    xs, _ = batch(further=3)
    with pytest.raises(ValueError, match=r"^negatives_log_q: wanted for both"):
        sampled_softmax_loss(*xs, log_q=made(8))
    with pytest.raises(ValueError, match=r"^negatives_log_q: wanted None with no negatives"):
        sampled_softmax_loss(*xs[:2], log_q=made(8), negatives_log_q=made(3))

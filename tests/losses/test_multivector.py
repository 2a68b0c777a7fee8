"""ColBERT's loss beside its definition, in blocks of documents and whole."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

import lossary as L
from lossary.losses.views import multivector


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scores(queries: list[Tensor], documents: list[Tensor]) -> Tensor:
    return torch.stack([torch.stack([(q @ d.T).amax(1).sum() for d in documents]) for q in queries])


@pytest.mark.parametrize("held", [1 << 23, 50])
def test_each_text_counts_as_long_as_it_is(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multivector, "SIMILARITIES", held)  # all documents at once, or one after another
    q, d, n = draw(4, 3, 5).requires_grad_(), draw(4, 6, 5, seed=1).requires_grad_(), draw(2, 4, 5, seed=2)
    lengths = [[3, 1, 2, 3], [6, 2, 5, 1], [4, 2]]
    texts = [
        [normalize(x[:k], dim=1) for x, k in zip(t, ks, strict=True)] for t, ks in zip((q, d, n), lengths, strict=True)
    ]
    want = cross_entropy(scores(texts[0], texts[1] + texts[2]) / 0.5, torch.arange(4))
    masks = [torch.arange(t.shape[1]) < torch.tensor(ks)[:, None] for t, ks in zip((q, d, n), lengths, strict=True)]
    names = ("query_mask", "positive_mask", "negatives_mask")
    # What is not there may be anything.
    given = [t.masked_fill(~mask[..., None], torch.nan) for t, mask in zip((q, d, n), masks, strict=True)]
    got = L.colbert_loss(*given, temperature=0.5, **dict(zip(names, masks, strict=True)))
    torch.testing.assert_close(got, want)
    for ours, theirs in zip(*(torch.autograd.grad(loss, (q, d)) for loss in (got, want)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_padding_is_no_match_for_what_is_unlike_everything() -> None:
    """Where similarities are multiplied by the mask, padding has 0: more than what is negative."""
    q = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])
    d = torch.tensor([[[-1.0, 0.0], [0.0, 1.0]], [[-1.0, 0.0], [1.0, 0.0]]])
    there = torch.tensor([[True, False], [True, True]])
    got = L.colbert_loss(q, d, positive_mask=there, reduction="none")
    torch.testing.assert_close(got[0], torch.tensor([-1.0, 1.0]).logsumexp(0) + 1)


def test_texts_of_one_token_are_pairs_of_embeddings() -> None:
    x, y, more = draw(5, 4), draw(5, 4, seed=1), draw(3, 4, seed=2)
    ids, weight = torch.tensor([0, 1, 0, 2, 2]), draw(5, seed=3).exp()
    mask = torch.tensor([True, True, False, True, True])
    options: dict[str, Any] = {"ids": ids, "sample_weight": weight, "mask": mask}
    got = L.colbert_loss(x[:, None], y[:, None], more[:, None], temperature=0.2, **options)
    torch.testing.assert_close(got, L.multiple_negatives_ranking_loss(x, y, more, scale=5.0, **options))


def test_similarities_of_tokens_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multivector, "SIMILARITIES", 1000)
    q, d, kept = draw(8, 5, 4).requires_grad_(), draw(8, 40, 4, seed=1).requires_grad_(), list[int]()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        L.colbert_loss(q, d)
    assert max(kept) <= d.numel() < 8 * 5 * 8 * 40


def test_what_does_not_fit_is_refused() -> None:
    q, d = draw(3, 2, 4), draw(3, 5, 4)
    there = torch.ones(3, 5, dtype=torch.bool)
    wrong: dict[str, Any]
    for wrong, match in (
        ({"positive_mask": there[:, :2]}, r"^positive_mask: wanted"),
        ({"query_mask": there}, r"^query_mask: wanted"),
        ({"negatives_mask": there}, r"^negatives_mask: wanted None"),
        ({"mask": there}, r"^mask: wanted"),
    ):
        with pytest.raises(ValueError, match=match):
            L.colbert_loss(q, d, **wrong)
    with pytest.raises(TypeError, match=r"^positive_mask: wanted booleans"):
        L.colbert_loss(q, d, positive_mask=there.double())
    with pytest.raises(ValueError, match=r"^positive: wanted"):
        L.colbert_loss(q, d[..., :3])

"""What only losses over lists have: the papers' formulas, padding, ties, and what they say about NDCG."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lossary
from lossary.catalogue import CATALOGUE
from lossary.core.card import Card

LISTWISE = [card for card in CATALOGUE if card.takes[0] == "list"]
SCORES = torch.tensor([[0.3, -1.2, 2.0, 0.7, -0.1]], dtype=torch.float64)


def log_likelihood(scores: Tensor, order: tuple[int, ...]) -> Tensor:
    """Plackett and Luce's, by its definition."""
    drawn = scores[list(order)]
    return sum((drawn[i] - drawn[i:].logsumexp(0) for i in range(len(order))), torch.zeros(()))


@pytest.mark.parametrize("card", LISTWISE, ids=lambda card: card.name)
def test_padding_changes_nothing(card: Card) -> None:
    torch.manual_seed(0)
    scores, gains = torch.randn(2, 4, dtype=torch.float64), torch.tensor([[0, 2, 1, 0], [3, 0, 0, 1]])
    padded = torch.cat([torch.full((2, 1), torch.nan), scores, torch.full((2, 2), 1e4)], dim=1)
    padding = F.pad(gains, (1, 2), value=7)
    there = F.pad(torch.ones(2, 4, dtype=torch.bool), (1, 2))
    padded.requires_grad_()
    loss = card.fn(padded, padding, mask=there)
    assert torch.allclose(loss, card.fn(scores, gains), atol=1e-12)
    loss.backward()
    assert padded.grad is not None
    assert padded.grad[~there].count_nonzero() == 0
    assert padded.grad.isfinite().all()


@pytest.mark.parametrize("card", LISTWISE, ids=lambda card: card.name)
def test_a_list_without_candidates_does_not_count(card: Card) -> None:
    scores, gains = torch.randn(2, 3, generator=torch.Generator().manual_seed(1)), torch.tensor([[0, 2, 1], [1, 0, 0]])
    there = torch.tensor([[True, True, True], [False, False, False]])
    assert torch.allclose(card.fn(scores, gains, mask=there), card.fn(scores[:1], gains[:1]))


@pytest.mark.parametrize("card", LISTWISE, ids=lambda card: card.name)
def test_the_order_of_candidates_does_not_matter(card: Card) -> None:
    gains, order = torch.tensor([[1, 0, 3, 1, 0]]), [3, 0, 4, 2, 1]
    assert torch.allclose(card.fn(SCORES[:, order], gains[:, order]), card.fn(SCORES, gains), atol=1e-12)


def test_listnet_is_cross_entropy_against_the_softmax_of_relevance() -> None:
    relevance = torch.tensor([[1.0, 0.0, 2.0, 0.5, 0.0]], dtype=torch.float64)
    wanted = F.cross_entropy(SCORES, (relevance / 0.5).softmax(1))
    assert torch.allclose(lossary.listnet_loss(SCORES, relevance, temperature=0.5), wanted, atol=1e-14)


def test_listmle_is_the_likelihood_of_the_right_order() -> None:
    relevance = torch.tensor([[2, 1, 5, 0, 4]])
    order = tuple(relevance[0].argsort(descending=True).tolist())
    assert torch.allclose(lossary.listmle_loss(SCORES, relevance), -log_likelihood(SCORES[0], order), atol=1e-12)


def test_listmle_of_one_relevant_candidate_is_the_likelihood_of_all_orders_that_it_leads() -> None:
    orders = [order for order in itertools.permutations(range(5)) if order[0] == 1]
    wanted = -torch.stack([log_likelihood(SCORES[0], order) for order in orders]).logsumexp(0)
    assert torch.allclose(lossary.listmle_loss(SCORES, torch.tensor([[0, 1, 0, 0, 0]])), wanted, atol=1e-12)


def test_listmle_keeps_scores_apart_by_more_than_floats_can_add() -> None:
    scores = torch.tensor([[0.0, 300.0, 301.0]], requires_grad=True)
    lossary.listmle_loss(scores, torch.tensor([[2, 1, 0]])).backward()
    assert torch.allclose(scores.grad, torch.tensor([[-1.0, -0.4621, 1.4621]]), atol=1e-4)  # pyright: ignore


def test_ranknet_is_the_logistic_loss_of_the_differences() -> None:
    relevance = torch.tensor([[1, 0, 3, 1, 0]])
    pairs = [(i, j) for i in range(5) for j in range(5) if relevance[0, i] > relevance[0, j]]
    differences = torch.stack([SCORES[0, i] - SCORES[0, j] for i, j in pairs])
    wanted = lossary.soft_margin_loss(differences, torch.ones(len(pairs)))
    assert torch.allclose(lossary.ranknet_loss(SCORES, relevance), wanted, atol=1e-14)


def dcg(gains: Tensor) -> Tensor:
    return (gains / torch.log2(2.0 + torch.arange(len(gains)))).sum()


def ndcg(scores: Tensor, gains: Tensor) -> Tensor:
    return dcg(gains[scores.argsort(descending=True)]) / dcg(gains.sort(descending=True).values)


def test_lambdarank_weighs_a_pair_by_what_its_exchange_changes_in_ndcg() -> None:
    gains = torch.tensor([3.0, 0.0, 1.0, 7.0, 0.0], dtype=torch.float64)
    wanted = torch.zeros(())
    for i, j in ((i, j) for i in range(5) for j in range(5) if gains[i] > gains[j]):
        exchanged = SCORES[0].clone()
        exchanged[[i, j]] = exchanged[[j, i]]
        change = (ndcg(exchanged, gains) - ndcg(SCORES[0], gains)).abs()
        wanted = wanted + change * torch.log2(1 + (SCORES[0, j] - SCORES[0, i]).exp())
    assert torch.allclose(lossary.lambda_loss(SCORES, gains[None], mu=0.0), wanted, atol=1e-12)


def test_approximate_ndcg_is_ndcg_where_scores_are_far_apart() -> None:
    gains = torch.tensor([3.0, 0.0, 1.0, 7.0, 1.0], dtype=torch.float64)
    for order in itertools.permutations(range(5)):
        scores = 100.0 * torch.tensor(order, dtype=torch.float64)
        found = lossary.approx_ndcg_loss(scores[None], gains[None])
        assert torch.allclose(found, 1 - ndcg(scores, gains), atol=1e-12)


def test_approximate_ndcg_is_what_tensorflow_ranking_documents() -> None:
    found = lossary.approx_ndcg_loss(torch.tensor([[0.6, 0.8]]), torch.tensor([[1, 0]]))
    assert found.item() == pytest.approx(1 - 0.655107, abs=1e-6)


def test_approximate_ndcg_keeps_the_digits_of_a_small_loss() -> None:
    scores, gains = torch.tensor([[3.0, 1.5, 0.0]]), torch.tensor([[4, 2, 0]])
    exact = lossary.approx_ndcg_loss(scores.double(), gains)
    assert 0 < exact < 1e-6
    assert torch.allclose(lossary.approx_ndcg_loss(scores, gains).double(), exact, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["lambda_loss", "approx_ndcg_loss"])
def test_gains_below_zero_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"target: wanted gains, none below 0; got -1"):
        getattr(lossary, name)(torch.zeros(1, 2), torch.tensor([[-1, 2]]))


@pytest.mark.parametrize("card", LISTWISE, ids=lambda card: card.name)
def test_lists_are_learnt(card: Card) -> None:
    """Gradient descent on the scores puts them in the order of relevance; smooth places want to see that far."""
    params = {"temperature": 1.0} if card.name == "approx_ndcg_loss" else {}
    gains = torch.tensor([[0, 3, 1, 2], [2, 0, 1, 3]])
    scores = (0.1 * torch.randn(2, 4, generator=torch.Generator().manual_seed(0))).requires_grad_()
    optimizer = torch.optim.Adam([scores], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        card.fn(scores, gains, **params).backward()
        optimizer.step()
    assert torch.equal(scores.argsort(dim=1), gains.argsort(dim=1))


@pytest.mark.parametrize("card", LISTWISE, ids=lambda card: card.name)
def test_a_nan_is_not_hidden_where_candidates_are_all_as_relevant(card: Card) -> None:
    scores, gains = torch.tensor([[torch.nan, 1.0], [0.5, 0.2]]), torch.ones(2, 2)
    losses = card.fn(scores, gains, reduction="none")
    assert losses.isnan().tolist() == [True, False]

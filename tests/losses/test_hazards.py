"""Lifetimes: risk sets written out person by person, ties, weights as copies, and what other code gets wrong."""

from itertools import pairwise
from typing import Any

import mpmath
import pytest
import torch
from torch import Tensor, distributions
from torch.nn.functional import binary_cross_entropy_with_logits

from lossary.losses.lifetimes.hazards import Ties, cox_ph_loss, logistic_hazard_loss, weibull_nll_loss
from lossary.losses.lists.listwise import listmle_loss

mpmath.mp.dps = 50

SCORES = torch.tensor([0.3, -1.2, 2.0, 0.0, 0.7, -0.4, 1.1], dtype=torch.float64)
TIMES = torch.tensor([5.0, 2.0, 2.0, 4.0, 2.0, 4.0, 1.0], dtype=torch.float64)
EVENTS = torch.tensor([1, 1, 1, 0, 1, 1, 0]) == 1


def exact(scores: Tensor, times: Tensor, events: Tensor, ties: str, weight: Tensor | None = None) -> Any:
    """Time by time, with fifty digits; weights as R's coxph has them."""
    s, w = map(mpmath.mpf, scores.tolist()), (torch.ones_like(scores) if weight is None else weight).tolist()
    people = list(zip(map(mpmath.exp, s), times.tolist(), events.tolist(), map(mpmath.mpf, w), strict=True))
    total = mpmath.mpf(0)
    for time in {t for _, t, seen, _ in people if seen}:
        at_risk = sum(w * h for h, t, _, w in people if t >= time)
        tied = [(h, w) for h, t, seen, w in people if seen and t == time]
        own, mean = sum(w * h for h, w in tied), sum(w for _, w in tied) / len(tied)
        total -= sum(w * mpmath.log(h) for h, w in tied)
        removed = range(len(tied)) if ties == "efron" else [0] * len(tied)
        total += sum(mean * mpmath.log(at_risk - own * place / len(tied)) for place in removed)
    return total / sum(w for _, _, seen, w in people if seen)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 0.5, 2.0, 3.0, 0.25, 1.5, 1.0], dtype=torch.float64)])
def test_cox_has_fifty_digits(ties: Ties, weight: Tensor | None) -> None:
    found = cox_ph_loss(SCORES, TIMES, EVENTS, ties=ties, sample_weight=weight).item()
    assert found == pytest.approx(float(exact(SCORES, TIMES, EVENTS, ties, weight)), rel=1e-14)


def test_cox_of_many_people_is_that_of_every_risk_set() -> None:
    g = torch.Generator().manual_seed(0)
    for ties in ("efron", "breslow"):
        s, seen = torch.randn(300, generator=g, dtype=torch.float64), torch.rand(300, generator=g) < 0.4
        times = torch.randint(40, (300,), generator=g)
        wanted = float(exact(s, times, seen, ties))
        assert cox_ph_loss(s, times, seen, ties=ties).item() == pytest.approx(wanted, rel=1e-13)
        assert cox_ph_loss(s.float(), times, seen, ties=ties).item() == pytest.approx(wanted, rel=1e-6)


def test_breslow_weights_are_copies() -> None:
    copies = torch.tensor([1, 2, 0, 3, 1, 2, 1])
    repeated = (t.repeat_interleave(copies) for t in (SCORES, TIMES, EVENTS))
    weighted = cox_ph_loss(SCORES, TIMES, EVENTS, ties="breslow", sample_weight=copies.double())
    torch.testing.assert_close(weighted, cox_ph_loss(*repeated, ties="breslow"))


def test_ties_are_one_without_ties_and_differ_with() -> None:
    apart = TIMES + 0.01 * torch.arange(7)
    assert len(apart.unique()) == 7
    efron, breslow = (cox_ph_loss(SCORES, apart, EVENTS, ties=ties) for ties in ("efron", "breslow"))
    torch.testing.assert_close(efron, breslow)
    assert cox_ph_loss(SCORES, TIMES, EVENTS, ties="efron") < cox_ph_loss(SCORES, TIMES, EVENTS, ties="breslow")


def test_no_event_is_nothing_with_zero_gradients() -> None:
    """Of other code it is infinite, or NaN, and the network with it."""
    s = SCORES.clone().requires_grad_()
    loss = cox_ph_loss(s, TIMES, torch.zeros(7, dtype=torch.bool))
    assert loss == 0
    assert not torch.autograd.grad(loss, s)[0].any()


def test_hazards_that_exp_cannot_hold() -> None:
    """A constant added to all changes nothing, and one person of 1e4 among others is sure."""
    far = cox_ph_loss(SCORES + 1e4, TIMES, EVENTS)
    torch.testing.assert_close(far, cox_ph_loss(SCORES, TIMES, EVENTS), rtol=1e-10, atol=0)
    sure = cox_ph_loss(torch.tensor([1e4, 0.0, -1e4]), torch.tensor([1, 2, 3]), torch.ones(3, dtype=torch.bool))
    assert sure == 0


def test_listmle_is_cox_without_censoring() -> None:
    """A list in its order is people who all had the event, the most relevant first."""
    grades = torch.tensor([6.0, 3.0, 5.0, 1.0, 2.0, 7.0, 4.0], dtype=torch.float64)
    mean = cox_ph_loss(SCORES, -grades, torch.ones(7, dtype=torch.bool))
    torch.testing.assert_close(listmle_loss(SCORES[None], grades[None]), 7 * mean)


def test_events_are_no_indices() -> None:
    """Events as 0 and 1 of any type are what booleans are: common code picks persons 0 and 1 by them."""
    wanted = cox_ph_loss(SCORES, TIMES, EVENTS)
    for dtype in (torch.int64, torch.uint8, torch.float32):
        assert cox_ph_loss(SCORES, TIMES, EVENTS.to(dtype)) == wanted
    with pytest.raises(ValueError, match="event: wanted one of 0, 1"):
        cox_ph_loss(SCORES, TIMES, EVENTS.long() + 1)


def test_weibull_has_fifty_digits() -> None:
    k = mpmath.mpf("1.75")
    found = weibull_nll_loss(SCORES, TIMES, EVENTS, shape=1.75, reduction="none")
    for loss, x, t, seen in zip(found.tolist(), SCORES.tolist(), TIMES.tolist(), EVENTS.tolist(), strict=True):
        scale = mpmath.exp(mpmath.mpf(x))
        hazard = (t / scale) ** k
        wanted = hazard - (mpmath.log(k / scale * (t / scale) ** (k - 1)) if seen else 0)
        assert loss == pytest.approx(float(wanted), rel=1e-13)


def test_weibull_is_torchs_distribution_and_the_exponential() -> None:
    everyone = torch.ones(7, dtype=torch.bool)
    theirs = distributions.Weibull(SCORES.exp(), torch.full((7,), 2.5, dtype=torch.float64))
    found = weibull_nll_loss(SCORES, TIMES, everyone, shape=2.5, reduction="none")
    torch.testing.assert_close(found, -theirs.log_prob(TIMES))
    exponential = -distributions.Exponential((-SCORES).exp()).log_prob(TIMES)
    torch.testing.assert_close(weibull_nll_loss(SCORES, TIMES, everyone, reduction="none"), exponential)


def test_logistic_hazard_has_fifty_digits_and_is_cross_entropy_of_what_was_begun() -> None:
    z = torch.randn(7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3
    place = (TIMES - 1).long()
    found = logistic_hazard_loss(z, place, EVENTS, reduction="none")
    for loss, row, last, seen in zip(found.tolist(), z.tolist(), place.tolist(), EVENTS.tolist(), strict=True):
        h = [1 / (1 + mpmath.exp(-mpmath.mpf(v))) for v in row]
        chance = mpmath.fprod(1 - p for p in h[:last]) * (h[last] if seen else 1 - h[last])
        assert loss == pytest.approx(float(-mpmath.log(chance)), rel=1e-13)
    target = torch.zeros_like(z).scatter(1, place[:, None], EVENTS.double()[:, None])
    begun = torch.arange(5) <= place[:, None]
    peers = binary_cross_entropy_with_logits(z, target, reduction="none").mul(begun).sum(1)  # as pycox has it
    torch.testing.assert_close(found, peers)


def test_survival_curves_of_logits_add_up() -> None:
    """The chances of each interval, and of none, are one: so the losses are those of a distribution."""
    z = torch.randn(1, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    each = [logistic_hazard_loss(z, torch.tensor([t]), torch.tensor([True])) for t in range(5)]
    none = logistic_hazard_loss(z, torch.tensor([4]), torch.tensor([False]))
    torch.testing.assert_close(torch.stack([*each, none]).neg().exp().sum().item(), 1.0)
    survived = [logistic_hazard_loss(z, torch.tensor([t]), torch.tensor([False])).item() for t in range(5)]
    assert all(a < b for a, b in pairwise(survived))

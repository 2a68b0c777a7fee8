"""One trial: what is the same for every loss, what stops it, and what it says when it fails."""

from dataclasses import replace
from itertools import islice

import pytest
import torch
from torch import Generator

from lossary.catalogue import CATALOGUE, find
from lossary.core.card import Choice
from lossary.lab.data.loading import load
from lossary.lab.run.entrants import Entrant, entrants
from lossary.lab.run.plan import Plan
from lossary.lab.run.study import Search
from lossary.lab.run.train import Diverged, Learner, batches, train
from lossary.lab.run.watched import watched
from lossary.lab.tasks import TASKS, TaskName
from lossary.lab.tasks.fitting import attach, fits, fitting

DIGITS = Plan(data="digits", epochs=4)


def entered(loss: str, task: TaskName = "classification") -> Entrant:
    (entrant,) = entrants((loss,), task).values()
    return entrant


def drawn(plan: Plan, loss: str, seed: int) -> torch.Tensor:
    return torch.stack(list(islice(batches(entered(loss), load(plan), plan, Generator().manual_seed(seed)), 30)))


def test_every_loss_sees_the_same_batches() -> None:
    cross_entropy = drawn(DIGITS, "cross_entropy", 1)
    assert torch.equal(cross_entropy, drawn(DIGITS, "cosface_loss", 1))
    assert not torch.equal(cross_entropy, drawn(DIGITS, "cross_entropy", 2))


def test_batches_are_balanced_only_where_a_loss_of_the_run_compares_items() -> None:
    """Else a rare class would count as much as a frequent one for every loss, also for those that people weight."""
    data = load(DIGITS)
    rare = data.train.targets.clone()
    rare[400:] = rare[400:].clamp_max(1)  # eight of ten classes are rare
    data = replace(data, train=replace(data.train, targets=rare))
    shares = {}
    for losses in (("cross_entropy", "cosface_loss"), ("cross_entropy", "supcon_loss")):
        plan = replace(DIGITS, losses=losses)
        first, second = (
            torch.cat(list(islice(batches(entered(loss), data, plan, Generator().manual_seed(1)), 30)))
            for loss in losses
        )
        assert torch.equal(first, second)
        shares[losses[1]] = (rare[first] > 1).float().mean().item()
    assert shares["cosface_loss"] == pytest.approx((rare > 1).float().mean().item(), abs=0.01)
    assert shares["supcon_loss"] > 0.5


def test_its_own_recipe_gives_a_loss_the_batches_of_its_card() -> None:
    plan = replace(DIGITS, protocol="own-recipe")
    labels = load(plan).train.targets
    batch = labels[drawn(plan, "cross_entropy", 1)[0]]  # its card says: shuffled
    assert len(set(batch.bincount().tolist())) > 1
    beside = replace(DIGITS, losses=("cross_entropy", "supcon_loss"))  # whose card says: m-per-class
    assert set(labels[drawn(beside, "cross_entropy", 1)[0]].bincount().tolist()) == {12}


def test_every_loss_starts_from_the_same_network() -> None:
    data = load(DIGITS)
    first, second = (Learner(entered(loss), {}, data, seed=3).network for loss in ("cross_entropy", "cosface_loss"))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_run_is_the_beginning_of_a_longer_one() -> None:
    # So a result at a larger bound is the same training gone further, not another recipe.
    data = load(DIGITS)
    *short, last = train(entered("cosface_loss"), {}, data, replace(DIGITS, steps=50), seed=1).curve
    long = train(entered("cosface_loss"), {}, data, replace(DIGITS, steps=90), seed=1).curve
    assert [point.step for point in long] == [20, 40, 60, 80, 90]
    assert long[: len(short)] == short
    assert last.step == 50  # the bound is looked at too


def test_where_a_run_ends_by_itself_does_not_depend_on_its_bound() -> None:
    data = load(Plan("diabetes"))
    ended = [
        train(entered("mse_loss", "regression"), {}, data, Plan("diabetes", steps=bound), seed=1)
        for bound in (1500, 3000)
    ]
    assert ended[0].steps == ended[1].steps < 1500
    assert ended[0].curve == ended[1].curve
    assert not ended[0].still_rising


def test_the_bound_is_in_steps_or_in_passes_over_the_data() -> None:
    assert Plan(steps=70).bound(9) == 70
    assert Plan(epochs=4).bound(9) == 36
    assert [Plan().bound(a_pass) for a_pass in (1, 14, 10_000)] == [600, 1120, 6000]  # 80 passes, within limits
    assert Plan(quick=True).bound(14) == 560


def test_watching_a_finished_learner_leaves_it_as_it_was() -> None:
    data = load(DIGITS)
    entrant = entered("cosface_loss")
    learner = train(entrant, {"scale": 1.0}, data, DIGITS, seed=1).learner
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    facts = watched(learner, entrant, data, DIGITS, seed=1)
    assert facts["scale"] == 1
    assert 0.1 < facts["target_probability"] < 0.26  # the most that a scale of 1 allows 10 classes
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())
    assert all(parameter.grad is None for parameter in learner.parameters())


def test_training_teaches_and_keeps_the_best_weights() -> None:
    data = load(DIGITS)
    outcome = train(entered("cross_entropy"), {}, data, replace(DIGITS, epochs=15), seed=1)
    assert outcome.best == max(point.valid for point in outcome.curve) > 0.9
    right = outcome.learner.predict(data.valid.inputs).argmax(1) == data.valid.targets.numpy()
    assert right.mean() == pytest.approx(outcome.best)


def test_a_loss_that_is_not_finite_fails_with_its_reason() -> None:
    with pytest.raises(Diverged, match="the loss became nan"):
        train(entered("cross_entropy"), {"lr": float("inf")}, load(DIGITS), DIGITS, seed=0)


def test_a_loss_that_does_not_fit_the_data_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"mse_loss does not fit classification data; .*cross_entropy.* do"):
        attach(find("mse_loss"), {}, "classification", 8, 10)


@pytest.mark.parametrize("task", TASKS)
def test_every_fitting_loss_trains_at_its_defaults(task: TaskName) -> None:
    cards = [card for card in CATALOGUE if fits(card, task)]
    assert [card.name for card in cards] == fitting(task)
    for card in cards:
        if task == "regression":
            outputs, targets = torch.randn(12, requires_grad=True), torch.randn(12)
        elif task == "ranking":
            outputs, targets = torch.randn(3, 4, requires_grad=True), torch.arange(12.0).view(3, 4) % 3
            targets[0, 2:] = torch.nan
        elif task == "binary":
            outputs, targets = torch.randn(12, requires_grad=True), torch.arange(12) % 2
        elif task == "multi-label":
            outputs, targets = torch.randn(12, 4, requires_grad=True), torch.arange(48).view(12, 4) % 3 == 0
        elif task == "segmentation":
            outputs, targets = torch.randn(2, 4, 6, 6, requires_grad=True), torch.arange(72).view(2, 6, 6) % 4
        elif task == "retrieval":
            outputs, targets = torch.randn(12, 2, 8, requires_grad=True), torch.arange(36).view(12, 3)
        else:
            outputs, targets = torch.randn(12, 8, requires_grad=True), torch.arange(12) % 4
        entrant = entered(card.name, task)
        criterion = entrant.attach(entrant.defaults, task, 8, 4)
        criterion(outputs, targets).backward()
        assert outputs.grad is not None, card.name
        assert outputs.grad.isfinite().all(), card.name
        assert outputs.grad.any(), card.name
        if task == "classification":
            torch.testing.assert_close(criterion.predict(outputs).sum(1), torch.ones(12))


def test_library_defaults_lie_in_the_range_that_is_searched() -> None:
    for task in TASKS:
        for card in (card for card in CATALOGUE if fits(card, task)):
            entrant = entered(card.name, task)
            for name, value in entrant.defaults.items():
                within = Search(entrant, task).space[name]
                inside = value in within.values if isinstance(within, Choice) else within.low <= value <= within.high
                assert inside, f"{card.name}: {name}={value} is outside of {within}"

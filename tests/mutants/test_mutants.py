"""The contract must turn red where a loss is wrong: planted faults, each of a kind that was met in the field.

Each mutant names the laws that should see it, and at least one of them must. A law in the list that the mutant
leaves green shows nothing; the same laws are green without the fault, since they are the contract.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pytest
import torch
from torch.autograd.gradcheck import GradcheckError

from contract import laws_gradients, laws_interface, laws_values
from contract.law import LAWS
from contract.subject import Subject
from golden.adapters import answers
from golden.reader import COMMITTED, load, mismatch
from lossary import _reduce
from lossary.cards import Card
from lossary.catalogue import find
from lossary.kernels import stable
from lossary.losses import angular
from mutants.mutate import planted

assert laws_gradients, laws_interface  # imported for the laws they enter
assert laws_values

GOLDEN = load(COMMITTED)


@dataclass(frozen=True)
class Mutant:
    fault: str
    loss: str
    laws: tuple[str, ...]  # names of laws, or "golden"
    plant: Callable[[], AbstractContextManager[None]]


def golden_holds(card: Card) -> None:
    for case in GOLDEN:
        if case.loss in card.golden:
            for name, value, grads in answers(case, torch.float64):
                fault = mismatch(case, value, grads) if name == card.name else None
                assert fault is None, f"{case.id}: {fault}"


def laws_that_fail(card: Card, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        try:
            if name == "golden":
                golden_holds(card)
            else:
                check_all_variants(card, name)
        except (AssertionError, GradcheckError, pytest.fail.Exception) as error:
            yield f"{name}: {error}"


def check_all_variants(card: Card, name: str) -> None:
    subjects = [Subject(card, variant) for variant in card.variants]
    concerned = [subject for subject in subjects if LAWS[name].concerns(subject)]
    if not concerned:
        raise LookupError(f"{name} does not concern {card.name}")
    for subject in concerned:
        LAWS[name].check(subject)


@contextmanager
def default_drifts() -> Iterator[None]:
    fields = angular.CosFaceLoss.fields
    before, fields["margin"] = fields["margin"], 0.4
    try:
        yield
    finally:
        fields["margin"] = before


#: Lets the gradient through, but no gradient of the gradient.
CUT = "(lambda y: y.register_hook(lambda g: g.detach()) and y)({})"

MUTANTS = [
    Mutant(
        "the mean divides by the number of items, not by the sum of weights",
        "cosface_loss",
        ("weights_weigh_items",),
        lambda: planted(_reduce.reduce, "count(loss, weight, mask)", "loss.numel()"),
    ),
    Mutant(
        "the margin is missing in the denominator",
        "cosface_loss",
        ("golden",),
        lambda: planted(
            angular._cosface,
            "softplus(rows.rest - (rows.target - scale * margin))",
            "softplus(rows.rest - rows.target) + scale * margin",
        ),
    ),
    Mutant(
        "the margin stands at the rest, with the wrong sign",
        "cosface_loss",
        ("golden",),
        lambda: planted(angular._cosface, "- scale * margin", "+ scale * margin"),
    ),
    Mutant(
        "the margin gets no gradient",
        "cosface_loss",
        ("gradient_by_hyperparameters_is_true",),
        lambda: planted(angular._cosface, "scale * margin", "scale * margin.detach()"),
    ),
    Mutant(
        "the second derivative is silently lost",
        "cosface_loss",
        ("second_gradient_is_true",),
        lambda: planted(stable.softplus, "-F.logsigmoid(-x)", CUT.format("-F.logsigmoid(-x)")),
    ),
    Mutant(
        "the gradient of a zero vector is not finite",
        "cosface_loss",
        ("finite_at_the_edges",),
        lambda: planted(
            stable.unit, "x * inverse_norm(x, dim).unsqueeze(dim)", "x / x.square().sum(dim, keepdim=True).sqrt()"
        ),
    ),
    Mutant(
        "a default of the Module drifts from the function's",
        "cosface_loss",
        ("names_and_defaults_agree",),
        default_drifts,
    ),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.fault)
def test_a_law_sees(mutant: Mutant) -> None:
    card = find(mutant.loss)
    with mutant.plant():
        found = list(laws_that_fail(card, mutant.laws))
    assert found, f"{mutant.fault}: none of {', '.join(mutant.laws)} fails"

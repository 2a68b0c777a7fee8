"""The contract turns red where a loss is wrong: every law is seen to fail on a planted fault.

The same laws are green without the fault: that is the contract itself.
"""

import pytest

import samples
from contract import laws_house
from golden.adapters import by_card, evaluate
from golden.reader import COMMITTED, load, mismatch
from lossary.catalogue import find
from lossary.core.card import Card
from lossary.testing.laws import devices, gradients, interface, values
from lossary.testing.laws.law import LAWS
from lossary.testing.laws.subject import Subject
from mutants.faults import MUTANTS
from mutants.mutate import Mutant

#: Imported for the laws they enter.
ENTERED = (devices, gradients, interface, values, laws_house)

GOLDEN = load(COMMITTED)


def check(card: Card, name: str) -> None:
    """One law, or the golden cases, for one card at all variants."""
    if name == "golden":
        check_golden(card)
        return
    law = LAWS[name]
    subjects = [Subject(card, variant, samples.of(card)) for variant in samples.of(card).variants]
    concerned = [subject for subject in subjects if law.concerns(subject)]
    assert concerned, f"{name} does not concern {card.name}"
    for subject in concerned:
        law.check(subject)


def check_golden(card: Card) -> None:
    for case in GOLDEN:
        found = evaluate(by_card(card, case.loss), case) if case.loss in samples.of(card).golden else None
        fault = found and mismatch(case.strictly(), *found)
        assert fault is None, f"{case.id}: {fault}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.fault)
def test_laws_see(mutant: Mutant) -> None:
    card = find(mutant.loss)
    assert set(mutant.laws) <= {*LAWS, "golden"}  # a law that is not there sees nothing
    blind = []
    with mutant.plant(card) as wrong:
        for name in mutant.laws:
            try:
                check(wrong, name)
            except NameError:  # the fault itself is misspelt
                raise
            except (Exception, pytest.fail.Exception):  # noqa: BLE001 - a law may fail in any way
                continue
            blind.append(name)
    assert not blind, f"{mutant.fault}: {', '.join(blind)} did not see it"


def test_every_law_is_seen_to_fail() -> None:
    assert set(LAWS) - {name for mutant in MUTANTS for name in mutant.laws} == set()

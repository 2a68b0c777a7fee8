"""Every law for every loss of the catalogue, at every listed variant of its hyperparameters.

A loss is tested by having a card: nothing here names one.
"""

import pytest

import samples
from contract import laws_house
from lossary.catalogue import CATALOGUE
from lossary.core.card import Card
from lossary.testing.laws import devices, gradients, interface, values
from lossary.testing.laws.law import LAWS, Law
from lossary.testing.laws.subject import Subject

LAWS_ENTERED_BY = (devices, gradients, interface, values, laws_house)

SUBJECTS = [Subject(card, variant, samples.of(card)) for card in CATALOGUE for variant in samples.of(card).variants]
CASES = [
    pytest.param(law, subject, id=f"{law.name}-{subject.id}")
    for subject in SUBJECTS
    for law in LAWS.values()
    if law.concerns(subject)
]


@pytest.mark.parametrize(("law", "subject"), CASES)
def test_law(law: Law, subject: Subject) -> None:
    law.check(subject)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
@pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex")  # of spectra
@pytest.mark.parametrize("card", {card.kernel: card for card in CATALOGUE}.values(), ids=lambda card: card.kernel)
def test_inductor_compiles_a_loss_of_every_kernel(card: Card) -> None:
    gradients.compiled_is_eager(Subject(card, {}, samples.of(card)), "inductor")


def test_every_name_belongs_to_one_loss() -> None:
    assert laws_house.names_taken_twice() == []

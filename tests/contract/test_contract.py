"""Every law for every loss of the catalogue, at every listed variant of its hyperparameters.

A loss is tested by having a card: nothing here names one.
"""

import pytest

import samples
from contract import laws_devices, laws_gradients, laws_interface, laws_values
from contract.law import LAWS, Law
from contract.subject import Subject
from lossary.catalogue import CATALOGUE
from lossary.core.card import Card

LAWS_ENTERED_BY = (laws_devices, laws_gradients, laws_interface, laws_values)

SUBJECTS = [Subject(card, variant) for card in CATALOGUE for variant in samples.of(card).variants]
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
    laws_gradients.compiled_is_eager(Subject(card, {}), "inductor")


def test_every_name_belongs_to_one_loss() -> None:
    assert laws_interface.names_taken_twice() == []

"""Every law for every loss of the catalogue, at every listed variant of its hyperparameters.

A loss is tested by having a card: nothing here names one, except for what an old torch cannot do.
"""

from collections.abc import Iterator

import pytest
import torch

import samples
from contract import laws_house
from lossary.catalogue import CATALOGUE
from lossary.core.card import Card
from lossary.testing.laws import devices, gradients, interface, values
from lossary.testing.laws.law import LAWS, Law
from lossary.testing.laws.subject import Subject
from usual import one_of_each, some

LAWS_ENTERED_BY = (devices, gradients, interface, values, laws_house)

SUBJECTS = [Subject(card, variant, samples.of(card)) for card in CATALOGUE for variant in samples.of(card).variants]
#: Laws that take long for each loss: a usual run asks them of one loss in so many, another one each commit.
DEAR = {
    "compiles_without_a_break": 6,
    "a_recorded_graph_is_the_loss": 6,
    "holds_on_an_accelerator": 5,
    "meta_tensors_give_shape_and_dtype": 5,
    "repeats_itself_where_determinism_is_asked_for": 3,
    "fake_tensors_give_shape_and_dtype": 2,
    "gradient_of_the_weighted_mean_is_true": 2,
    "labels_of_any_integer_type_are_taken": 2,
}
#: By law and loss, why this torch cannot.
CANNOT: dict[tuple[str, str], str] = {}
if torch.__version__ < "2.7":
    CANNOT["a_recorded_graph_is_the_loss", "multi_resolution_stft_loss"] = (
        "torch 2.6 records no transform of any length"
    )


def usual_cases() -> Iterator[tuple[Law, Subject]]:
    """Each law for each loss at one of its variants, and dear ones for a share of the losses."""
    for law in LAWS.values():
        concerned = [subject for subject in SUBJECTS if law.concerns(subject)]
        of_each = one_of_each(concerned, lambda subject, law=law: (law.name, subject.card.name))
        yield from ((law, subject) for subject in some(of_each, DEAR.get(law.name, 1), law.name))


CASES = [pytest.param(law, subject, id=f"{law.name}-{subject.id}") for law, subject in usual_cases()]


@pytest.mark.parametrize(("law", "subject"), CASES)
def test_law(law: Law, subject: Subject) -> None:
    if reason := CANNOT.get((law.name, subject.card.name)):
        pytest.skip(reason)
    law.check(subject)


@pytest.mark.sample(5)
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
@pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex")  # of spectra
@pytest.mark.parametrize("card", {card.kernel: card for card in CATALOGUE}.values(), ids=lambda card: card.kernel)
def test_inductor_compiles_a_loss_of_every_kernel(card: Card) -> None:
    gradients.compiled_is_eager(Subject(card, {}, samples.of(card)), "inductor")


def test_every_name_belongs_to_one_loss() -> None:
    assert laws_house.names_taken_twice() == []

"""What a stranger's loss computes: losses in disguise are named, and what is nothing known is not."""

import pytest
import torch.nn.functional as F
from torch import Tensor

from check.disguised import DISGUISED, UNKNOWN
from check.judged import judged
from lossary.testing import identify

#: One of each kind; `python scripts/identify_disguised.py` asks all.
SAMPLE = ("m02", "m10", "A04", "c04", "c11", "c15", "s03", "e02", "e09")


@pytest.mark.parametrize("name", SAMPLE)
def test_a_disguise_is_seen_through(name: str) -> None:
    loss, names = DISGUISED[name]
    assert judged(identify(loss), names) == "right"


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", ["u02", "u04"])
def test_nothing_known_is_none(name: str) -> None:
    found = identify(UNKNOWN[name])
    assert not found.found
    assert "none of the losses here" in str(found)


def test_swapped_options_are_told() -> None:
    found = identify(DISGUISED["s03"][0]).found[0]
    assert "its alpha is beta here, and its beta alpha" in found.remarks


def test_a_missing_factor_is_told() -> None:
    found = identify(DISGUISED["c12"][0]).found[0]
    assert "the factor is 1 / temperature squared" in found.remarks


def test_it_says_where_the_two_part_and_what_is_detached() -> None:
    def held(logits: Tensor, labels: Tensor) -> Tensor:
        ce = F.cross_entropy(logits, labels, reduction="none")
        return ((1 - (-ce).exp().detach()) ** 2 * ce).mean()

    def naive(logits: Tensor, target: Tensor) -> Tensor:
        p = logits.sigmoid()
        return -(target * p.log() + (1 - target) * (1 - p).log()).mean()

    assert "its gradient differs" in str(identify(held).found[0])
    assert "very sure" in identify(naive).found[0].apart

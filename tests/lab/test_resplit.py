"""Several splits of the same data: no more false claims than promised, however many there are."""

import numpy as np
import pytest

from lossary.lab.stats.resplit import Resplit

ITEMS, TEST = 200, 40


def differences(rng: np.random.Generator, splits: int) -> np.ndarray:
    """Of two learners that are equal: lines through one of two features that say as much of the target."""
    features = rng.standard_normal((ITEMS, 2))
    target = features.sum(axis=1) + rng.standard_normal(ITEMS)
    found = np.empty(splits)
    for split in range(splits):
        test, train = np.split(rng.permutation(ITEMS), [TEST])
        slopes = [features[train, j] @ target[train] / (features[train, j] @ features[train, j]) for j in (0, 1)]
        errors = [np.mean((target[test] - slope * features[test, j]) ** 2) for j, slope in enumerate(slopes)]
        found[split] = errors[0] - errors[1]
    return found


@pytest.mark.parametrize("splits", [3, 5, 20])
def test_equal_learners_are_told_apart_in_about_5_percent_of_data_sets(splits: int) -> None:
    claims = naive = 0
    for number in range(400):
        found = differences(np.random.default_rng([number, splits]), splits)
        claims += Resplit.of(found, test=TEST, train=ITEMS - TEST).p_value <= 0.05
        naive += Resplit.of(found, test=0, train=ITEMS - TEST).p_value <= 0.05  # as if splits shared nothing
    assert claims <= 32  # 8 %: three standard errors above 5
    assert naive > claims
    assert splits < 20 or naive > 60  # and more splits make it worse


def test_more_splits_never_make_sure() -> None:
    few, many = (Resplit.of([0.0, 0.02] * half, test=100, train=400) for half in (5, 500))
    assert many.error > 0.9 * np.sqrt(0.25) * 0.01
    assert few.half_width(0.05) > many.half_width(0.05)


def test_a_single_split_tells_nothing_and_equal_splits_tell_all() -> None:
    assert Resplit.of([0.1], test=10, train=40).p_value == 1
    assert Resplit.of([0.1, 0.1, 0.1], test=10, train=40).p_value < 1e-9
    assert Resplit.of([0.0, 0.0, 0.0], test=10, train=40).p_value == 1

"""Golden cases against the library: the committed file, or any other of its schema.

``LOSSARY_GOLDEN=FILE pytest tests/golden`` runs FILE instead. Every case is one test. A loss that nothing
answers is reported as NOT COVERED, with the number of its cases, at the end of the run.
"""

import json
import os
from pathlib import Path

import pytest
import torch

from golden.adapters import NOT_YET, answerers, answers, evaluate
from golden.dense import DENSE
from golden.reader import COMMITTED, Case, Tolerance, errors, load, mismatch
from lossary.catalogue import CATALOGUE

CASES = load(Path(os.environ.get("LOSSARY_GOLDEN", COMMITTED)))
FLOAT32 = Tolerance(rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_float64(case: Case) -> None:
    found = list(answers(case, torch.float64))
    if not found:
        pytest.skip(f"NOT COVERED: {case.loss}")
    for name, value, grads in found:
        fault = mismatch(case, value, grads)
        assert fault is None, f"{name}: {fault}"


@pytest.mark.parametrize("case", [c for c in CASES if c.float32_exact and answerers(c.loss)], ids=lambda case: case.id)
def test_float32(case: Case) -> None:
    """The same numbers are exact in float32: its answer is near the true one, or no worse than the dense formula's."""
    dense = evaluate(DENSE[case.loss], case, torch.float32) if case.loss in DENSE else None
    slack = {name: 2 * error for name, error in errors(case, *dense).items()} if dense else {}
    for name, value, grads in answers(case, torch.float32):
        fault = mismatch(case, value, grads, tolerance=FLOAT32, slack=slack)
        assert fault is None, f"{name}: {fault}"


@pytest.mark.parametrize("case", [c for c in load(COMMITTED) if len(c.answers) > 1], ids=lambda case: case.id)
def test_conventions_at_kinks(case: Case) -> None:
    """Where several answers are admissible ours is one: relu'(0) = 0, the first of tied ones, 0 of nothing."""
    for name, value, grads in answers(case, torch.float64):
        fault = mismatch(case.strictly(), value, grads)
        assert fault is None, f"{name}: {fault}"


def test_gaps_are_the_listed_ones() -> None:
    """A loss of the committed file with a case that nothing answers stands in NOT_YET, and no other does."""
    gaps = {case.loss for case in load(COMMITTED) if not any(True for _ in answers(case, torch.float64))}
    assert gaps == NOT_YET


def test_every_loss_since_release_0_2_has_a_case() -> None:
    before = json.loads((COMMITTED.parent / "releases" / "0.2.0" / "public_api.json").read_text())
    covered = {name for case in load(COMMITTED) for name in answerers(case.loss)}
    assert {card.name for card in CATALOGUE} - set(before) - covered == set()

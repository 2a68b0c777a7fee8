"""What `make peers` counts as a difference."""

import math

import pytest
import torch
from compare_peers import Row, drawn

from presets.grid import calls


@pytest.mark.parametrize(
    ("theirs", "apart"),
    [((1.0, [0.5, -2.0]), 0), ((1.1, [0.5, -2.0]), 1), ((1.0, [0.5, -2.1]), 1), ((math.nan, [0.5, -2.0]), 1)],
)
def test_values_and_gradients_that_differ_are_counted(theirs: tuple[float, list[float]], apart: int) -> None:
    row = Row()
    row.add((1.0, [0.5, -2.0]), theirs, 1e-9, "call")
    assert (row.calls, len(row.apart)) == (1, apart)


def test_inputs_are_drawn_anew_by_seed_and_labels_stay() -> None:
    call = next(c for c in calls() if c.preset == "nt_xent")
    (first, labels), (again, _), (other, _) = (drawn(call, seed).inputs for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(labels, call.inputs[1])

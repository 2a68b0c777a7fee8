"""Settings for all tests."""

import pytest
import torch

import interpreter  # noqa: F401  before anything imports Triton

pytest.register_assert_rewrite(
    "contract.laws_house", *(f"lossary.testing.laws.{part}" for part in ("devices", "gradients", "interface", "values"))
)

collect_ignore = ["typing/wrong.py"]  # read by the type checker alone

# Test batches are small: more threads only get in each other's way.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test draws the same numbers in any order and company; not those of a test's own generator, seeded by 0."""
    torch.manual_seed(8128)

"""Settings for all tests."""

import pytest
import torch

pytest.register_assert_rewrite("contract.laws_values", "contract.laws_gradients", "contract.laws_interface")

# Test batches are small: more threads only get in each other's way.
torch.set_num_threads(1)

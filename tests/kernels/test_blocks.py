"""How large a block of scores is."""

import math

import pytest
import torch

from lossary.core import device
from lossary.kernels.rows.blocks import CPU_LARGEST_BLOCK, CPU_ROWS, block_rows


@pytest.mark.parametrize("columns", [1, 300, 2000, 4096, 10_000, 50_000, 100_000, 1_000_000])
def test_blocks_are_alike_within_their_bytes_and_aligned(columns: int) -> None:
    row = 4 * columns
    wanted = max(min(device.budget(torch.empty(0)) // row, CPU_ROWS), min(CPU_LARGEST_BLOCK // row, 256), 32)
    for rows in (1, 2, 40, 47, 255, 256, 257, 380, 512, 1000, 1024, 4096, 8192, 65_536):
        size = block_rows(rows, columns, torch.empty(0))
        assert size % 256 != 0
        assert size <= 256 or size % 16 == 0
        assert size <= 1.25 * wanted + 32
        shortest = rows - (math.ceil(rows / size) - 1) * size
        # What is rounded up in every block is missing in the last one.
        assert size - shortest <= 32 * math.ceil(rows / size)


def test_a_block_of_an_empty_batch_has_rows() -> None:
    assert block_rows(0, 10, torch.empty(0)) > 0
    assert block_rows(10, 0, torch.empty(0)) > 0

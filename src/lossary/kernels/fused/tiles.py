"""The shapes of tiles, fixed: nothing is tuned during training. None of them was measured."""

from typing import NamedTuple

from torch import Tensor

from lossary.core import device as _device


class Tile(NamedTuple):
    """Rows, columns and depth of a product's tile; its warps, and its stages of loads in flight."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int

    @property
    def shape(self) -> dict[str, int]:
        """As a kernel's arguments."""
        rows, columns, depth, warps, stages = self
        return {"BN": rows, "BC": columns, "BD": depth, "num_warps": warps, "num_stages": stages}


#: By bytes per number: half precision, and float32, whose tiles fill shared memory sooner.
STATISTICS = {2: Tile(128, 256, 64, 8, 3), 4: Tile(128, 128, 32, 8, 3)}
SLOPES = {2: Tile(128, 128, 64, 8, 3), 4: Tile(128, 64, 32, 4, 3)}

#: Rows of a program that handles a few numbers per row; vectors and depth of one that only reads vectors.
ROWS = 256
COLUMNS = (32, 128)
#: Numbers that a program reads at once, and the most that a single program reads.
NUMBERS = 4096
ALONE = 1 << 17
#: Elements of a program that reads each of them once.
ELEMENTS = 4096
#: Scores of a row that a program holds at once.
SCORES = 4096
#: Logits that a program holds at once, of all classes at some positions; and how many such steps it sums over.
LOGITS, STEPS = 4096, 16
#: Enough programs to keep every processor of an accelerator busy, several times over.
PROGRAMS = 1024
#: Bytes of slopes held at once, the largest temporary by far; and if torch's products compute scores, of both.
STRIP = 3 << 30
DEEP_STRIP = 3 << 29
#: Longer vectors are multiplied by torch: then its work per score outweighs the score's way through memory.
DEEP = 512


def statistics(x: Tensor) -> Tile:
    return STATISTICS[x.element_size()]


def slopes(x: Tensor) -> Tile:
    return SLOPES[x.element_size()]


def strip(x: Tensor, columns: int, each: int) -> int:
    """How many columns are processed at once, at ``each`` bytes per row of ``x``: strips of equal width."""
    most = DEEP_STRIP if x.shape[1] > DEEP else STRIP
    whole = max(1, min(most, 2 * _device.budget(x)) // max(1, len(x) * each))
    return -(-columns // max(1, -(-columns // whole)))


def power_of_two(n: int) -> int:
    """The smallest power of 2 that is at least ``n``."""
    return 1 << max(0, n - 1).bit_length()

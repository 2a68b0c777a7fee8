"""The shapes of tiles, stored: nothing is tuned while somebody trains. No shape here has been measured."""

from typing import NamedTuple

from torch import Tensor

from lossary.core import device as _device


class Tile(NamedTuple):
    """Rows, columns and depth of a product's tile; the warps that work on it and the loads that are under way."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int

    @property
    def shape(self) -> dict[str, int]:
        """As a kernel takes it."""
        rows, columns, depth, warps, stages = self
        return {"BN": rows, "BC": columns, "BD": depth, "num_warps": warps, "num_stages": stages}


#: By the bytes of a number: of halves, and of float32, whose tiles fill the shared memory sooner.
STATISTICS = {2: Tile(128, 256, 64, 8, 3), 4: Tile(128, 128, 32, 8, 3)}
SLOPES = {2: Tile(128, 128, 64, 8, 3), 4: Tile(128, 64, 32, 4, 3)}

#: Rows of a program that has a few numbers of each; vectors and depth of one that reads vectors alone.
ROWS = 256
COLUMNS = (32, 128)
#: Numbers that a single program reads at once, and up to how many one reads alone.
NUMBERS = 4096
ALONE = 1 << 17
#: Elements of a program that reads each once.
ELEMENTS = 4096
#: Scores of a row that a program has at once.
SCORES = 4096
#: Logits of a program, all classes at some positions, and how many times as many sums are taken over.
LOGITS, STEPS = 4096, 16
#: Programs that keep every processor of an accelerator busy, several times over.
PROGRAMS = 1024
#: Bytes of the slopes, and of scores that are made by torch's products, that are held at once.
STRIP = 3 << 30
#: Longer vectors than this are multiplied by torch, which then has more to do for each score that goes through memory.
DEEP = 512


def statistics(x: Tensor) -> Tile:
    return STATISTICS[x.element_size()]


def slopes(x: Tensor) -> Tile:
    return SLOPES[x.element_size()]


def strip(x: Tensor, columns: int, each: int) -> int:
    """How many columns are worked on at once, of ``each`` bytes a row of ``x``: strips of the same width."""
    whole = max(1, min(STRIP, _device.budget(x)) // max(1, len(x) * each))
    return -(-columns // max(1, -(-columns // whole)))


def power_of_two(n: int) -> int:
    """The least power of 2 that is not below ``n``."""
    return 1 << max(0, n - 1).bit_length()

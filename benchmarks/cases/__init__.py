"""The problems, a file for each kind."""

from benchmarks.case import Case, Growth
from benchmarks.cases import boxes, heads, images, in_batch, overlap, pointwise, small, triplets

_GROWING = (heads, in_batch, triplets)


def cases() -> list[Case]:
    return [
        case for kind in (heads, in_batch, triplets, overlap, pointwise, boxes, images, small) for case in kind.cases()
    ]


def growths() -> list[Growth]:
    return [growth for kind in _GROWING for growth in kind.growths()]


def toys() -> list[Case]:
    """The cases at sizes of a moment: for a look whether everything runs, and for exactness."""
    return [case for kind in (heads, in_batch, triplets, overlap, pointwise, boxes, images) for case in kind.toys()]


def survey() -> list[Case]:
    """Small batches: those with a promise, and more losses without one."""
    return [*small.cases(), *small.survey()]

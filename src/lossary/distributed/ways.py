"""Whether the ranks' embeddings are gathered, or pass from rank to rank so that each holds one rank's at a time."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, get_args

__all__ = ["exchange_by"]

Way = Literal["auto", "gather", "ring"]


#: By default, the gathered embeddings of a loss and their gradient may take a GiB each.
CHOSEN: ContextVar[tuple[Way, int]] = ContextVar("chosen", default=("auto", 1 << 31))


@contextmanager
def exchange_by(way: Way, *, budget: int = 1 << 31) -> Generator[None]:
    """How losses called under it with ``group`` get all ranks' embeddings; must be the same on all ranks.

    Args:
        way: ``"gather"`` holds them all on each rank, and their gradient. With ``"ring"`` they pass by, one rank's at a
            time, in forward and again in backward with their gradients, so memory does not grow with the number of
            ranks. The ring is for losses over rows of cosines or products: SupCon, NT-Xent, InfoNCE, CLIP,
            multi-similarity, circle loss, DCL; others gather. It has no second derivatives. ``"auto"`` is a ring if
            gathering would take more than ``budget``.
        budget: Bytes for the gathered embeddings and their gradient.

    Raises:
        ValueError: An unknown way.

    Example:
        >>> import lossary
        >>> with lossary.exchange_by("ring"):
        ...     pass  # loss(x, labels, group=group)

    Source:
        Cheng et al., Breaking the Memory Barrier: Near Infinite Batch Size Scaling for Contrastive Loss,
        arXiv:2410.17243, section 3.2.
    """
    if way not in get_args(Way):
        raise ValueError(f"way: wanted one of {', '.join(get_args(Way))}; got {way!r}")
    before = CHOSEN.set((way, budget))
    try:
        yield
    finally:
        CHOSEN.reset(before)


def is_ring(items: int, bytes_each: int) -> bool:
    """Whether this many items pass by, if gathering holds this many bytes for each."""
    way, budget = CHOSEN.get()
    return way == "ring" or (way == "auto" and items * bytes_each > budget)

"""Whether the ranks' embeddings are gathered, or pass by from rank to rank, each rank holding one's at a time."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, get_args

__all__ = ["exchange_by"]

Way = Literal["auto", "gather", "ring"]


#: The gathered embeddings of a loss and their gradient may take a GiB each.
CHOSEN: ContextVar[tuple[Way, int]] = ContextVar("chosen", default=("auto", 1 << 31))


@contextmanager
def exchange_by(way: Way, *, budget: int = 1 << 31) -> Generator[None]:
    """How losses called under it with ``group`` have all ranks' embeddings; to be the same on all ranks.

    Args:
        way: ``"gather"`` has them all on each rank, and their gradient. With ``"ring"`` they pass by, one rank's at a
            time, in forward and again in backward with their gradients, so that memory does not grow with the ranks.
            It is for losses over rows of cosines or products: SupCon, NT-Xent, InfoNCE, CLIP, multi-similarity, circle
            loss, DCL; others gather. It has no second derivatives. ``"auto"`` is a ring where gathering would take
            more than ``budget``.
        budget: Bytes of the gathered embeddings and their gradient.

    Raises:
        ValueError: Another way.

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
    """Whether so many items, of so many bytes in all that is held of one, pass by."""
    way, budget = CHOSEN.get()
    return way == "ring" or (way == "auto" and items * bytes_each > budget)

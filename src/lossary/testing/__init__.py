"""Hold a loss, including your own, to the laws; and batches that fit any loss, for tests and curves."""

from typing import TYPE_CHECKING

from lossary.testing.draws import Call, draw

if TYPE_CHECKING:
    from lossary.testing.checking import Report, Verdict, assert_lawful, check
    from lossary.testing.identifying import identify

__all__ = ["Call", "Report", "Verdict", "assert_lawful", "check", "draw", "identify"]


def __getattr__(name: str) -> object:
    """What needs the laws is imported on demand: the laws load torch's compiler."""
    if name in __all__:
        from lossary.testing import checking, identifying

        return getattr(identifying if name == "identify" else checking, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

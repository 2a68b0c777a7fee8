"""Hold a loss to the laws, yours too; and batches that fit any loss, for tests of losses and for curves."""

from typing import TYPE_CHECKING

from lossary.testing.draws import Call, draw

if TYPE_CHECKING:
    from lossary.testing.checking import Report, Verdict, assert_lawful, check
    from lossary.testing.identifying import identify

__all__ = ["Call", "Report", "Verdict", "assert_lawful", "check", "draw", "identify"]


def __getattr__(name: str) -> object:
    """What asks the laws is imported when it is asked for: the laws bring torch's compiler along."""
    if name in __all__:
        from lossary.testing import checking, identifying

        return getattr(identifying if name == "identify" else checking, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

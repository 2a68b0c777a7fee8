"""The registry of laws."""

from collections.abc import Callable
from dataclasses import dataclass

from lossary.core.card import Card
from lossary.testing.laws.subject import Subject


@dataclass(frozen=True)
class Law:
    """One thing that holds for every loss. ``check`` raises AssertionError if it does not."""

    check: Callable[[Subject], None]
    holds_for: Callable[[Card], bool]
    drawn: Callable[[Subject], object]  # what a batch must have for it; if there is none, the law says nothing
    once: bool  # for default hyperparameters only: it does not depend on them, or is slow

    @property
    def name(self) -> str:
        return self.check.__name__

    def concerns(self, subject: Subject) -> bool:
        return self.holds_for(subject.card) and not (self.once and subject.variant) and bool(self.drawn(subject))


LAWS: dict[str, Law] = {}


def law(
    *,
    where: Callable[[Card], bool] = lambda _: True,
    drawn: Callable[[Subject], object] = lambda _: True,
    once: bool = False,
    into: dict[str, Law] = LAWS,
) -> Callable[..., Callable[..., None]]:
    """Register a function ``check(subject)`` as a law, for our own losses or in another registry."""

    def enter(check: Callable[[Subject], None]) -> Callable[[Subject], None]:
        into[check.__name__] = Law(check, where, drawn, once)
        return check

    return enter

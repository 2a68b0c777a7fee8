"""Old names keep working for two releases and say what to write instead: see docs/stability.md."""

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def deprecated(what: str, instead: str, *, since: str, gone: str) -> None:
    """Warn the caller of the function that calls this.

    Python shows a FutureWarning to everybody; it hides a DeprecationWarning from those who could act on it.
    """
    said = f"{what} is deprecated since lossary {since} and will be gone in {gone}; use {instead}"
    warnings.warn(said, FutureWarning, stacklevel=3)


def renamed_argument(old: str, new: str, *, since: str, gone: str) -> Callable[[Function], Function]:
    """A function that still takes an argument under its former name, by keyword, with a warning.

    Signature and docstring show only the new name.
    """

    def decorate(fn: Function) -> Function:
        signature = inspect.signature(fn)

        @functools.wraps(fn)
        def run(*args: Any, **kwargs: Any) -> Any:
            if old in kwargs:
                value = kwargs.pop(old)
                if new in signature.bind_partial(*args, **kwargs).arguments:
                    raise TypeError(f"{old}: wanted it or {new}, which is its name now; got both")
                deprecated(f"{fn.__name__}'s argument {old}", new, since=since, gone=gone)
                kwargs[new] = value
            return fn(*args, **kwargs)

        made: Any = run
        made.__signature__ = signature
        return made

    return decorate

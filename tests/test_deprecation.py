"""A former name works, warns at the line that used it, and is not in the signature."""

import inspect
import warnings

import pytest

from lossary.core.deprecation import deprecated, renamed_argument


@renamed_argument("tau", "temperature", since="0.2", gone="0.4")
def scaled(x: float, *, temperature: float = 1.0) -> float:
    """x over the temperature."""
    return x / temperature


def test_former_argument_gives_what_the_new_one_gives_and_warns_here() -> None:
    with pytest.warns(
        FutureWarning, match="argument tau is deprecated since lossary 0.2 .* gone in 0.4; use temperature"
    ) as seen:
        assert scaled(1.0, tau=2.0) == scaled(1.0, temperature=2.0) == 0.5
    assert seen[0].filename == __file__


def test_new_argument_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert scaled(1.0, temperature=2.0) == 0.5


def test_both_names_are_refused() -> None:
    with pytest.raises(TypeError, match="tau: wanted it or temperature, which is its name now; got both"):
        scaled(1.0, tau=2.0, temperature=2.0)


def test_signature_and_docstring_know_the_new_name_alone() -> None:
    assert list(inspect.signature(scaled).parameters) == ["x", "temperature"]
    assert scaled.__doc__ == "x over the temperature."


def test_a_former_name_warns_its_caller() -> None:
    def old_name() -> int:
        deprecated("old_name", "new_name", since="0.2", gone="0.4")
        return 1

    with pytest.warns(FutureWarning, match="old_name is deprecated") as seen:
        assert old_name() == 1
    assert seen[0].filename == __file__

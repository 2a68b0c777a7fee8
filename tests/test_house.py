"""The house itself: which room may use which, that nothing goes in circles, and that every loss is in its place."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import lossary
import samples
from lossary.catalogue import CATALOGUE, FAMILIES
from lossary.core.card import UNNUMBERED, Card
from lossary.testing import draw
from samples import SAMPLES

SRC = Path(lossary.__file__).parent
FILES = {
    ".".join(("lossary", *path.relative_to(SRC).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in SRC.rglob("*.py")
}
#: From the ground up: a room may use those before it.
ROOMS = (
    "_extras",
    *("_text", "_lookup", "distributed", "core", "kernels", "losses", "compose", "models", "catalogue", "functional"),
    *("glossary", "presets", "testing", "_apart", "adapters", "watching", "lab", "gallery", "cli", "__main__"),
)
GREEK = frozenset(
    [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "Delta",
        "epsilon",
        "varepsilon",
        "theta",
        "lambda",
        "mu",
        "rho",
        "sigma",
        "tau",
        "psi",
    ]
)

cards = pytest.mark.parametrize("card", CATALOGUE, ids=lambda card: card.name)


def imports(name: str, *, inside_functions: bool) -> Iterator[str]:
    """The files of ours that a file imports, but for what only a type checker reads."""

    def walk(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.FunctionDef) and not inside_functions:
                continue
            if isinstance(child, ast.ImportFrom) and child.module:
                named = (f"{child.module}.{alias.name}" for alias in child.names)
                yield from (full if full in FILES else child.module for full in named if child.module in FILES)
            elif isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names if alias.name in FILES)
            yield from walk(child)

    yield from walk(ast.parse(FILES[name].read_text()))


def graph(*, inside_functions: bool) -> dict[str, set[str]]:
    return {name: set(imports(name, inside_functions=inside_functions)) for name in FILES}


def reached(edges: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        new = edges[todo.pop()] - seen
        seen |= new
        todo += new
    return seen


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def test_no_room_uses_one_above_it() -> None:
    assert {room(name) for name in FILES} - {""} == set(ROOMS)
    upward = [
        f"{name} uses {used}"
        for name, edges in graph(inside_functions=True).items()
        for used in edges
        if room(name) and room(used) and ROOMS.index(room(name)) < ROOMS.index(room(used))
    ]
    assert not upward


def test_nothing_goes_in_circles() -> None:
    """Imports inside functions count too: they may put off what is slow to import, not break a circle."""
    edges = graph(inside_functions=True)
    assert not [name for name in FILES if name in reached(edges, name)]


def around(name: str) -> set[str]:
    """The packages that a file is in; whoever imports it runs their ``__init__`` before it."""
    parts = name.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts))}


@pytest.mark.parametrize("part", ["lossary.lab", "lossary.gallery"])
def test_nothing_runs_before_what_it_uses(part: str) -> None:
    """A package that imports its own files is run half by the first of them, and in the order that they happen to have.

    So it is of what is run at import, packages and all, that nothing may go in circles.
    """
    edges = {
        name: {used for direct in (name, *imports(name, inside_functions=False)) for used in (direct, *around(direct))}
        for name in FILES
    }
    edges = {name: used - {name} for name, used in edges.items()}
    assert not [name for name in FILES if name.startswith(part) and name in reached(edges, name)]


def test_every_family_is_listed_and_no_file_is_too_long() -> None:
    families = {name for name in FILES if name.startswith("lossary.losses.") and "CARDS = (" in FILES[name].read_text()}
    assert families == {family.__name__ for family in FAMILIES}
    lines = {name: len(path.read_text().splitlines()) for name, path in FILES.items()}
    assert not {name: count for name, count in lines.items() if count > 550}


@cards
def test_a_loss_lives_in_the_room_of_its_data(card: Card) -> None:
    home = next(family.__name__ for family in FAMILIES if card in family.CARDS)
    assert home.split(".")[2] == card.data


def test_every_loss_has_samples_beside_the_tests() -> None:
    assert set(SAMPLES) == {card.name for card in CATALOGUE}
    families = {family.__name__.rpartition(".")[2] for family in FAMILIES}
    assert len(families) == len(FAMILIES), "two families of one name would share a file of samples"


@cards
def test_what_the_card_says_is_drawn_is_taken(card: Card) -> None:
    import torch

    call = draw(card, torch.Generator().manual_seed(0), torch.float64)
    assert card.fn(*call.args, **call.kwargs).isfinite().all()
    assert samples.of(card).edges(torch.float64)


def letters(tex: str) -> set[str]:
    """Single letters and Greek ones; words in \\text and \\mathrm say what they are."""
    tex = re.sub(r"\\(?:text|operatorname|mathrm)\{[^{}]*\}", " ", tex)
    found = re.findall(r"\\([A-Za-z]+)|([A-Za-z])", tex)
    return {command or letter for command, letter in found if letter or command in GREEK} - {"e"}


@cards
def test_every_letter_of_the_formula_is_explained(card: Card) -> None:
    explained = set().union(*map(letters, card.symbols))
    assert letters(card.formula) - explained == set()
    assert explained - letters(card.formula) == set()


@cards
def test_symbols_name_arguments_that_there_are(card: Card) -> None:
    import inspect

    arguments = {*inspect.signature(card.fn).parameters, *card.module.fields}
    named = {name for meaning in card.symbols.values() for name in re.findall(r"`([^`]+)`", meaning)}
    assert named <= arguments
    assert named, "no letter is an argument"


@cards
def test_a_card_says_which_equation_or_why_none(card: Card) -> None:
    assert card.equation in UNNUMBERED or re.match(r"\d|(algorithm|chapter|figure|section) \d", card.equation)
    assert card.place not in UNNUMBERED


def test_the_place_of_a_formula_in_words() -> None:
    places = {card.name: card.place for card in CATALOGUE}
    assert places["focal_loss"] == "equation 5"
    assert places["iou_loss"] == "algorithm 1"
    assert places["rmse_loss"] == "the paper numbers none"


#: Hyperparameters that the data or the task decides: nobody tunes them.
GIVEN = frozenset({"weight", "threshold_weight", "ignore_index", "dim", "reduction", "num_classes", "embedding_size"})


@cards
def test_a_loss_with_hyperparameters_is_tuned_or_says_why_not(card: Card) -> None:
    assert set(card.search) <= set(card.module.fields)
    if set(card.module.fields) - GIVEN:
        assert bool(card.search) != bool(card.untuned)
    else:
        assert not card.search
        assert not card.untuned


def test_public_objects_say_where_they_are_found() -> None:
    """So a pickle outlives the next move."""
    for name in dir(lossary):
        thing = getattr(lossary, name)
        if getattr(thing, "__module__", "").startswith("lossary"):
            assert thing.__module__ == "lossary", name


def test_letters_are_found() -> None:
    assert letters(r"\frac{e^{s \cos\theta_y}}{\sum_j p_j} \text{ beyond } \mathrm{DCG}") == {
        "s",
        "theta",
        "y",
        "p",
        "j",
    }

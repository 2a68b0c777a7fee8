"""What a newcomer meets first: the README's code, the public names, the commands, and what an import costs."""

import ast
import doctest
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import lossary
import lossary.functional
from lossary import glossary
from lossary.catalogue import CATALOGUE, FAMILIES, HELPERS
from lossary.core.card import Card
from lossary.gallery.registry import showing
from lossary.watching import hooks as watching

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS

cards = pytest.mark.parametrize("card", CATALOGUE, ids=lambda card: card.name)


def run(code: str, *arguments: str, importtime: bool = False) -> subprocess.CompletedProcess[str]:
    options = ["-X", "importtime"] if importtime else []
    command = [sys.executable, *options, "-c", code, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_commands_in_the_docs_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    named = set(re.findall(r"`make ([a-z]+)", (ROOT / page).read_text()))
    assert named
    assert named <= targets


@pytest.mark.parametrize("module", [*FAMILIES, *HELPERS, watching], ids=lambda module: module.__name__)
def test_public_names_are_importable_and_documented(module: ModuleType) -> None:
    for name in module.__all__:
        assert getattr(lossary, name) is getattr(module, name)
        assert name in dir(lossary)
        assert (getattr(lossary, name).__doc__ or "").strip(), f"{name} has no docstring"


@pytest.mark.parametrize("module", [lossary, lossary.functional], ids=lambda module: module.__name__)
def test_type_checkers_see_the_names_that_there_are(module: ModuleType) -> None:
    tree = ast.parse(Path(module.__file__ or "").read_text())
    hidden = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = [
        alias.asname
        for block in hidden
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    seen += [
        ast.unparse(target)
        for block in hidden
        for node in block.body
        if isinstance(node, ast.Assign)
        for target in node.targets
    ]
    assert sorted(seen) == sorted(set(dir(module)) - {"__version__"})


@pytest.mark.parametrize("family", FAMILIES, ids=lambda module: module.__name__)
def test_names_of_cards_are_public(family: Any) -> None:
    named = {n for card in family.CARDS for n in (card.name, card.module.__name__)}
    assert named <= set(family.__all__)


@cards
def test_relatives_are_losses(card: Card) -> None:
    assert set(card.relatives) <= {other.name for other in CATALOGUE} - {card.name}


def test_changelog_and_citation_know_the_version() -> None:
    assert f"## [{lossary.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    assert f"\nversion: {lossary.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_help_does_not_import_torch() -> None:
    done = run("from lossary.cli import main; main()", "--help", importtime=True)
    assert done.returncode == 0, done.stderr[-500:]
    assert "compare" in done.stdout
    imported = set(re.findall(r"\| +(\S+)$", done.stderr, flags=re.M))
    assert "lossary.cli" in imported
    assert not imported & {"torch", "altair", "optuna", "sklearn", "scipy", "numpy"}


@pytest.mark.parametrize("arguments", [("list",), ("show", "arcface"), ("cite", "arcface"), ("show", "nonsense")])
def test_what_is_told_of_losses_needs_no_torch(arguments: tuple[str, ...]) -> None:
    done = run("from lossary.cli import main; main()", *arguments, importtime=True)
    assert done.returncode == (2 if "nonsense" in arguments else 0), done.stderr[-500:]
    imported = set(re.findall(r"\| +(\S+)$", done.stderr, flags=re.M))
    assert not imported & {"torch", "altair", "optuna", "sklearn", "scipy", "numpy"}
    table = {loss.name: loss for loss in glossary.load()}
    assert table == {card.name: glossary.Summary.of(card, showing().get(card.name, ())) for card in CATALOGUE}


def test_library_needs_torch_alone() -> None:
    assert [re.split("[<>=]", wanted)[0] for wanted in PROJECT["dependencies"]] == ["torch"]
    lab = {re.split(r"[\[<>=]", wanted)[0].lower() for wanted in PROJECT["optional-dependencies"]["lab"]}
    found = importlib.metadata.packages_distributions().items()
    blocked = sorted(module for module, owners in found if lab & {owner.lower() for owner in owners})
    assert {"altair", "sklearn", "numpy"} <= set(blocked)
    code = f"""
import sys, warnings
warnings.simplefilter("ignore")  # torch itself remarks that there is no numpy
sys.modules.update(dict.fromkeys({blocked!r}))  # importing any of these raises ImportError
import torch, lossary
for name in dir(lossary):
    getattr(lossary, name)
head = lossary.CosFaceLoss(num_classes=3, embedding_size=4)
head(torch.ones(2, 4), torch.tensor([0, 2])).backward()
"""
    done = run(code)
    assert done.returncode == 0, done.stderr[-500:]


def test_metadata_and_docs_name_the_licence_of_all_that_the_wheel_carries() -> None:
    data = ROOT / "src/lossary/lab/data/builtin"
    attributed = (data / "ATTRIBUTION.md").read_text()
    names = {"Apache-2.0": "Apache-2.0", "CC BY 4.0": "CC-BY-4.0", "MIT": "MIT", "BSD 3-Clause": "BSD-3-Clause"}
    rows = [line.split("|")[3] for line in attributed.splitlines() if "<https://" in line and line.startswith("| ")]
    found = {spdx for row in rows for said, spdx in names.items() if said in row}
    assert len(rows) == 5
    assert PROJECT["license"].split(" AND ") == sorted({"Apache-2.0", *found})
    assert all((ROOT / file).is_file() for file in PROJECT["license-files"])
    page = (ROOT / "docs/packaging.md").read_text()
    assert f"`{PROJECT['license']}`" in page
    for file in data.glob("*.npz"):
        assert f"# Attribution: `{file.name}`" in attributed
        assert f"| `{file.name}` | {file.stat().st_size / 1e6:.1f} |" in page


def test_what_torch_pins_is_left_to_it() -> None:
    """A build with CUDA wants one version of Triton: another one here, and nothing can be installed."""
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert not {name for name in pinned if name.startswith(("triton", "nvidia", "cuda"))}


def public_classes() -> list[str]:
    return [name for name in dir(lossary) if isinstance(getattr(lossary, name), type)]


def test_examples_of_public_classes_run() -> None:
    """They say that they are of ``lossary``, so that nobody looks for them in the file where they are written."""
    finder, runner, tried = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(optionflags=OPTIONS), 0
    owners = {name: vars(module) for module in (*FAMILIES, *HELPERS, watching) for name in module.__all__}
    for name in owners.keys() & public_classes():
        for test in finder.find(getattr(lossary, name), name, module=False, globs=dict(owners[name])):
            tried += runner.run(test).attempted
    assert runner.failures == 0
    assert tried > 5

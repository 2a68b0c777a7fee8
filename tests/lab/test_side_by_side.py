"""Several runs on one page: what each found, each loss in all of them, and no verdict across."""

import shutil
from pathlib import Path

import fake_run
import pytest
from fake_run import HOSTILE_LOSS
from test_report import Reader

from lossary.cli import main
from lossary.lab.report.evidence import read
from lossary.lab.report.side_by_side import Runs, sections, summary
from lossary.lab.report.views import Section


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    made = tmp_path_factory.mktemp("runs")
    for name, task in {"first": "classification", "other": "regression"}.items():
        (made / name).mkdir()
        fake_run.build(made / name, task)  # pyright: ignore[reportArgumentType]
    shutil.copytree(made / "first", made / "again")
    return [made / name for name in ("first", "again", "other")]


@pytest.fixture(autouse=True)
def without_studies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossary.lab.run.study.trials", lambda _: [])  # fake runs have none


def test_every_run_s_verdict_and_every_loss_are_there(folders: list[Path], tmp_path: Path) -> None:
    main(["report", *map(str, folders), "--to", str(tmp_path / "all.html")])
    page = (tmp_path / "all.html").read_text(encoding="utf-8")
    seen = Reader(page)
    assert seen.sections == ["verdicts", "scores", "rankings", "plans"]
    runs = _runs(folders)
    for evidence in runs.each:
        assert evidence.verdict.headline in seen.text
        assert all(loss in seen.text for loss in evidence.ranked)
    assert "different data or metrics" in seen.text
    assert HOSTILE_LOSS in seen.text
    assert HOSTILE_LOSS not in page.partition('id="specs"')[0]  # escaped wherever it stands


def test_scores_of_one_data_set_may_be_compared(folders: list[Path]) -> None:
    runs = _runs(folders[:2])
    assert "scores may be compared" in summary(runs).sentence
    assert runs.names == ["first", "again"]
    (scores,) = _section(runs, "scores").tables
    assert all(row.cells[0] == row.cells[1] for row in scores.rows)  # a copy has the same numbers
    best = [row.loss for row in scores.rows if 0 in row.best]
    assert best == runs.each[0].ranked[:1]


def test_how_plans_differ_is_said(folders: list[Path]) -> None:
    rows = {row.note: row.cells for row in _section(_runs(folders), "plans").tables[0].rows}
    assert rows["seeds done per loss"] == ("3", "3", "3")
    assert "losses" not in rows


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ((), "report: wanted one or more folders of runs; got none"),
        (("nowhere",), "folder: wanted the folder of a run; got nowhere"),
        ((".",), "folder: wanted finished runs in .; got none"),
    ],
)
def test_what_is_no_run_is_said_in_one_line(
    named: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["report", *named])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"lossary: {said}\n"


def _runs(folders: list[Path]) -> Runs:
    return Runs([read(folder, []) for folder in folders], folders)


def _section(runs: Runs, name: str) -> Section:
    return next(section for section in sections(runs) if section.id == name)

"""`lossary compare` as a person meets it: it ends with records, goes on after any kill, and refuses in one line."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lossary._extras import install
from lossary.catalogue import CATALOGUE
from lossary.cli import main
from lossary.lab.comparison import Refused, sole
from lossary.lab.data.readers import tables
from lossary.lab.data.types import Data
from lossary.lab.run import jobs
from lossary.lab.run.entrants import Entrant
from lossary.lab.run.folder import load_plan
from lossary.lab.run.plan import Plan
from lossary.lab.run.record import load_all
from lossary.lab.run.storage import Storage
from lossary.lab.run.study import trials
from lossary.lab.run.train import Diverged, Outcome, train
from lossary.lab.tasks._learners import LEARNERS, OF_WORDS
from lossary.losses.values.regression import MSELoss

TINY = ("compare", "diabetes", "--losses", "mse_loss,l1=l1_loss", "--seeds", "3", "--trials", "2", "--steps", "120")
ONE_WORKER = ("--workers", "1")  # a worker takes seconds to start


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "lossary", *arguments]


def alive(process: int) -> bool:
    state = Path(f"/proc/{process}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


def children(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


def records(folder: Path) -> dict[Path, int]:
    """The finished records and when they were written.

    Without those of tuning trials: a kill between such a trial's record and its entry in the study repeats it.
    """
    paths = (path for path in (folder / "records").glob("*.json") if not path.name.startswith("default"))
    return {path: path.stat().st_mtime_ns for path in paths}


def wait_until(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed twice on its way: first the whole command, then one of its workers."""
    out = tmp_path_factory.mktemp("runs") / "run"
    for victim in ("command", "worker"):
        before = records(out)
        with subprocess.Popen(command(*TINY, *ONE_WORKER, "--out", str(out)), stderr=subprocess.PIPE, text=True) as run:
            assert run.stderr
            wait_until(lambda before=before, run=run: len(records(out)) > len(before) or run.poll() is not None)
            workers = children(run.pid)
            os.kill(run.pid if victim == "command" else workers[-1], signal.SIGKILL)
            message, status = run.stderr.read(), run.wait(300)
        # The workers have gone with the command, and nobody else has to end them.
        wait_until(lambda workers=workers: not any(map(alive, workers)))
        assert before.items() <= records(out).items()
    assert status == 1
    assert message == (
        "lossary: a worker was killed, perhaps because memory ran out; "
        f"resume with: lossary compare --resume --out {out}\n"
    )
    kept = records(out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "run", jobs.run_here)
        main(["compare", "--resume", "--out", str(out)])
    assert kept.items() <= records(out).items()
    assert len(kept) < len(records(out))
    return out


def test_after_two_kills_every_record_is_there_once(finished: Path) -> None:
    named = {(r.role, r.loss, r.card, r.seed) for r in load_all(finished)}
    losses = {"mse_loss": "mse_loss", "l1": "l1_loss"}
    assert named == {
        *(("baseline", name, "", 0) for name in ("always the mean", "always the median", *(LEARNERS - {OF_WORDS}))),
        *(("default", loss, card, 0) for loss, card in losses.items()),
        *(("tuned", loss, card, seed) for loss, card in losses.items() for seed in (1, 2, 3)),
    }


def test_after_two_kills_every_trial_is_there_once_and_the_first_is_the_default(finished: Path) -> None:
    tuned = trials(Storage(finished))
    assert [(t.loss, t.number, t.state) for t in tuned] == [
        (loss, number, "complete") for loss in ("l1", "mse_loss") for number in (0, 1)
    ]
    assert [t.params["lr"] for t in tuned if t.number == 0] == [2e-3, 2e-3]
    # At a place every loss is tried at the same learning rate; at the second, far from the first.
    assert {t.params["lr"] for t in tuned if t.number == 1} == {6e-3}
    assert all(t.seconds > 0 for t in tuned)
    assert {t.environment["lossary"] for t in tuned} == {r.environment["lossary"] for r in load_all(finished)}


def test_final_runs_use_the_best_trial_of_their_loss(finished: Path) -> None:
    for loss in ("l1", "mse_loss"):
        best = min(
            (t for t in trials(Storage(finished)) if t.loss == loss), key=lambda t: inf if t.valid is None else t.valid
        )
        runs = [r for r in load_all(finished) if r.loss == loss and r.role == "tuned"]
        assert [r.params for r in runs] == [best.params] * 3


def test_a_trained_record_holds_all_that_judge_and_report_need(finished: Path) -> None:
    with np.load(finished / "arrays" / "test.npz") as test:
        targets = test["targets"]
    for record in load_all(finished):
        assert set(record.metrics) == {"mae", "rmse", "median_ae", "r2"}
        assert len(record.units) == len(targets)
        assert set(record.environment) == {"lossary", "torch", "python", "machine"}
        assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?( \([0-9a-f]{7,}\+?\))?", record.environment["lossary"])
        if record.role == "baseline":
            continue
        assert record.curve[-1].step == record.steps > 0
        assert record.seconds > record.steps * record.seconds_per_step * 0.5 > 0
        with np.load(finished / "arrays" / record.arrays) as kept:
            assert np.abs(kept["predictions"] - targets).mean() == pytest.approx(record.metrics["mae"], rel=1e-4)


def test_another_plan_in_the_same_folder_is_refused(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = records(finished)
    with pytest.raises(SystemExit) as ended:
        main(["compare", "diabetes", "--losses", "l1_loss", "--seeds", "3", "--out", str(finished)])
    message = capsys.readouterr().err
    assert ended.value.code == 2
    assert message.count("\n") == 1
    assert f"{finished} holds a run of another plan" in message
    assert "--resume" in message
    assert records(finished) == before
    assert load_plan(finished).losses == ("mse_loss", "l1=l1_loss")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "nonsense"], "no data set 'nonsense'; there are emoji, digits, keywords, diabetes"),
        (["compare", "digits", "--losses", "nonsense"], "no loss is called 'nonsense'"),
        (["compare", "digits", "--losses", "mse_loss"], "mse_loss does not fit digits (classification); cross_entropy"),
        (["compare", "digits", "--losses", "cross_entropy,cross_entropy"], "losses: wanted different names"),
        (
            ["compare", "digits", "--losses", "=cross_entropy"],
            "wanted LABEL=NAME with a label; got '=cross_entropy'",
        ),
        (["compare", "digits", "--losses", "mine="], "each perhaps after LABEL=; got 'mine='"),
        (["compare", "digits", "--losses", ",,,"], "each perhaps after LABEL=; got ''"),
        (["compare", "digits", "--seeds", "0"], "seeds: wanted at least 1; got 0"),
        (["compare", "digits", "--workers", "0"], "workers: wanted at least 1; got 0"),
        (
            ["compare", "digits", "--seeds", "5..3"],
            "seeds: wanted FIRST..MOST, no fewer at most than at first; got 5..3",
        ),
        (["compare", "digits", "--seeds", "few"], "seeds: wanted N or FIRST..MOST; got 'few'"),
        (["compare", "digits", "--epochs", "-3"], "epochs: wanted at least 1; got -3"),
        (["compare", "digits", "--steps", "0"], "steps: wanted at least 1; got 0"),
        (
            ["compare", "digits", "--steps", "9", "--epochs", "3"],
            "epochs: wanted the bound in steps or in epochs; got both",
        ),
        (["compare", "digits", "--minutes", "0"], "minutes: wanted more than 0; got 0"),
        (["compare", "digits", "--margin", "-1"], "margin: wanted more than 0; got -1"),
        (["compare", "digits", "--trials", "many"], "many"),
        (["compare", "digits", "--outliers", "0.1"], "outliers: only regression data have them"),
        (["compare", "digits", "--protocol", "none"], "same-batches"),
        (["compare", "digits", "--resume"], "resume: there is no run in"),
        (["compare", "digits", "--sedes", "3"], "--sedes"),
        (["nonsense"], "nonsense"),
        (["show", "nonsense"], "no loss is called 'nonsense'"),
        (["show", "cross_entropi"], "'cross_entropi'; did you mean cross_entropy"),
        (["show", "monai.DiceCELoss"], "use lossary.presets.monai.dice_ce"),
        (["show", "fastai.dice"], "there are no presets of 'fastai'; there are some of insightface,"),
        (["show", "monai.dice", "--plot", "dice.png"], "plot: wanted a loss of Lossary; got a preset, monai.dice"),
        (["check", __file__, "--seconds", "0"], "seconds: wanted more than 0; got 0"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line_and_nothing_is_written(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    assert ended.value.code == 2
    assert captured.err.startswith("lossary: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert not captured.out
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        main(["compare", "digits", "--out", str(tmp_path / "file" / "run")])
    assert ended.value.code == 2
    assert f"out: cannot write to {tmp_path / 'file' / 'run'}: Not a directory" in capsys.readouterr().err


def test_a_second_command_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with sole(tmp_path), pytest.raises(Refused, match="another lossary compare is at work"), sole(tmp_path):
        pass
    with sole(tmp_path):  # free again
        pass


def test_where_a_loss_fails_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jobs, "run", jobs.run_here)
    monkeypatch.setattr(MSELoss, "forward", lambda *_: torch.tensor(float("nan")))
    budget = ("--seeds", "2", "--trials", "2", "--epochs", "2")
    main(["compare", "diabetes", "--losses", "mse_loss,l1_loss", *budget, "--out", str(tmp_path / "some")])
    told = " ".join(capsys.readouterr().out.split())
    assert "mse_loss, tune 0: failed, the loss became nan" in told
    assert "mse_loss, final 1: failed, none of its tuning trials gave a result" in told
    assert {r.loss for r in load_all(tmp_path / "some") if r.card} == {"l1_loss"}
    report = (tmp_path / "some" / "report.html").read_text()
    assert "mse_loss was entered but has no finished run: none of its tuning trials gave a result." in report
    assert [t.state for t in trials(Storage(tmp_path / "some"))] == ["complete", "complete", "fail", "fail"]
    with pytest.raises(SystemExit) as ended:
        main(["compare", "diabetes", "--losses", "mse_loss", *budget, "--out", str(tmp_path / "all")])
    assert ended.value.code == 1
    message = capsys.readouterr().err
    assert message.startswith("lossary: no loss could be trained: mse_loss: the loss became nan;")
    assert message.count("\n") == 1


def test_a_single_final_run_that_fails_stands_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails_once(entrant: Entrant, params: dict[str, Any], data: Data, plan: Plan, seed: int) -> Outcome:
        if seed == 2 and entrant.name == "mse_loss":
            raise Diverged("the loss became inf")
        return train(entrant, params, data, plan, seed)

    monkeypatch.setattr(jobs, "run", jobs.run_here)
    monkeypatch.setattr(jobs, "train", fails_once)
    # a label with a slash is one more name of a file
    arguments = ["compare", "diabetes", "--losses", "a/b=mse_loss", "--seeds", "2", "--trials", "1", "--epochs", "2"]
    main([*arguments, "--out", str(tmp_path)])
    assert "Of a/b, the run with seed 2 failed: the loss became inf." in (tmp_path / "report.html").read_text()
    monkeypatch.setattr(jobs, "train", train)
    main([*arguments, "--out", str(tmp_path)])
    assert "the loss became inf" not in (tmp_path / "report.html").read_text()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A test run in the background of a script ignores Ctrl-C, and so would the processes that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with subprocess.Popen(command(*TINY, *ONE_WORKER, "--out", str(out)), stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr
        wait_until(lambda: bool(records(out)))
        run.send_signal(signal.SIGINT)
        message, status = run.stderr.read(), run.wait(300)
    assert (status, message) == (130, f"lossary: stopped; resume with: lossary compare --resume --out {out}\n")


def test_help_does_not_wait_for_torch() -> None:
    helped = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "lossary", "--help"], capture_output=True, text=True, check=True
    )
    assert "compare" in helped.stdout
    imported = {line.rpartition("|")[2].strip() for line in helped.stderr.splitlines()}
    assert "cyclopts" in imported
    assert not imported & {"torch", "optuna", "sklearn", "altair", "numpy"}


@pytest.mark.parametrize("missing", ["cyclopts", "optuna"])
def test_without_the_lab_one_line_names_what_to_install(missing: str, tmp_path: Path) -> None:
    # In a process of its own: here the lab's modules are loaded already, with what they import.
    program = f"import sys; sys.modules[{missing!r}] = None; from lossary.cli import main; main(['compare', 'digits'])"
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    wanted = f"lossary: the command line needs the lab: {install('lab')} ({missing} is missing)\n"
    assert ended.stderr == wanted
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [(), ("--losses", "mse_loss"), ("--out", "run")])
def test_compare_alone_trains_nothing_and_says_how_to_begin(
    arguments: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["compare", *arguments])
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.startswith("lossary: compare: wanted data; got none\n")
    named = {line.split()[2] for line in told.splitlines() if line.startswith("  lossary compare ")}
    assert named == {"digits", "emoji", "PATH", "--help"}
    assert not list(tmp_path.iterdir())


def test_list_and_show_tell_what_the_cards_know(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list"])
    listed = capsys.readouterr().out
    assert all(card.name in listed for card in CATALOGUE)
    main(["show", "cosface"])
    shown = capsys.readouterr().out
    for part in ("CosFaceLoss", "arXiv:1801.09414", "margin", "Small problems need a smaller scale"):
        assert part in shown


def test_show_tells_of_a_preset(capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", "monai.dice_ce"])
    shown = capsys.readouterr().out
    assert re.search(r"dice_ce\(\s*\*,\s*include_background: bool = True", shown)  # Python 3.14 breaks its lines
    assert "MONAI's cross-entropy is still that of a softmax" in shown
    assert "`dice` plus cross-entropy; Lossary's own is `DiceCrossEntropyLoss`" in shown


def test_show_draws_the_loss(tmp_path: Path) -> None:
    main(["show", "huber_loss", "--plot", str(tmp_path / "huber.png")])
    assert (tmp_path / "huber.png").read_bytes().startswith(b"\x89PNG")


def test_data_are_read_once_whoever_works_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{n % 7},{n % 5},{n % 3}\n" for n in range(60))
    Path("t.csv").write_text(f"a,b,target\n{rows}")
    content, read = tables.content, []

    def counted(path: Path) -> bytes:
        read.append(path.name)
        return content(path)

    monkeypatch.setattr(tables, "content", counted)
    # Other processes could not be counted in: they would find no file to read.
    monkeypatch.setattr(jobs, "shared", _without("t.csv", jobs.shared))
    main(["compare", "t.csv", "--losses", "cross_entropy", "--seeds", "2", "--trials", "1", "--epochs", "2"])
    assert read == ["t.csv"]
    assert Path("lossary-runs/t.csv/report.html").exists()


def _without(name: str, shared: Callable[..., Any]) -> Callable[..., Any]:
    @contextmanager
    def gone(*arguments: Any) -> Generator[Any]:
        Path(name).unlink()
        with shared(*arguments) as given:
            yield given

    return gone

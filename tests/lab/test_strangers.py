"""A run folder may come from anyone: nothing in it runs, and what is no run is refused in one line."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_own_data import TINY, refused, table

from lossary.cli import main
from lossary.lab.comparison import resumed
from lossary.lab.data.loading import load
from lossary.lab.report.evidence import read
from lossary.lab.run import jobs
from lossary.lab.run.plan import Plan, Resolved
from lossary.lab.run.stored import Refused

EVIL = "import pathlib\npathlib.Path(r'{}').touch()\nraise SystemExit\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a table and the run on it, made once."""
    here, folder = Path.cwd(), tmp_path_factory.mktemp("finished")
    os.chdir(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "run", jobs.run_here)
        table("t.csv", target=["a", "b"] * 30)
        main(["compare", "t.csv", "--losses", "cross_entropy,focal_loss", *TINY, "--out", "run"])
    os.chdir(here)
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that run, in the current folder, and no training: what is asked to train ends at once."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def none(*_: object, **__: object) -> Iterator[jobs.Done]:
        yield from ()

    monkeypatch.setattr(jobs, "run", none)
    return Path("run")


RESUME = ["compare", "--resume", "--out", "run"]


def plan_with(run: Path, field: str, value: object) -> None:
    stored = json.loads((run / "plan.json").read_text())
    (run / "plan.json").write_text(json.dumps({**stored, field: value}))


# --- nothing of a plan runs ---

PATHS = (
    *("gift/evil.py", "gift/evil.py/", "gift/evil.py/.", "gift/evil.py/./", "gift//evil.py", "./gift/evil.py"),
    *("gift/../gift/evil.py", "gift/evil.py/../evil.py", "gift/evil.py/.."),
    *("gift/link.py", "gift/link", "gift/data.csv", "gift/data.npz", "gift/linked/evil.py"),
    *("gift/EVIL.PY", "gift/Evil.Py", "gift/evil.py ", " gift/evil.py", "gift/evil.py.", "gift/evil.py..."),
    *("gift/x.py", "gift/x.py/", "gift/x.py/__init__.py", "gift/x.py/__main__.py", "gift", "gift/", "gift/images"),
    *("gift/evil.py\n", "gift/evil.py\0", "\0", "gift/a\nb.py", "gift/evil.pyc", "gift/evil", "gift/evil.so"),
    *("file:gift/evil.py", "file://gift/evil.py", "gift.evil", "gift.evil:data", "own-code", "", ".", "x" * 5000),
)
WORDS = (
    *("__import__('gift.evil')", "os.system", "$(gift/evil.py)", "x=gift/evil.py", "torch.nn.Module", "{{ 7 * 7 }}"),
    *("sqlite:///gift/evil.py", "postgresql://gift/evil", "../gift", "a,b", "arcface_loss=gift/evil.py"),
)
OTHERS: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 10**9, 10**400, 1.5, 1e308, float("nan"), float("inf")),
    *([], {}, ["gift/evil.py"], [["cross_entropy"]], {"py/object": "gift.evil"}, [None], "x" * 100_000),
)
OWN_LOSSES = [
    f"{path}:Loss" for path in ("gift/evil.py", "./gift/evil.py", "gift/x.py", "gift/EVIL.PY", "gift/evil.py/")
]
#: Every field of a plan, and what a stranger may write there beside all of the above.
FIELDS: dict[str, tuple[Any, ...]] = {
    "data": ("digits",),
    "losses": (
        ["cross_entropy", "cross_entropy"],
        ["x=focal_loss"],
        ["gift/evil.py=gift/evil.py"],
        ["=", "a="],
        OWN_LOSSES,
    ),
    "protocol": ("own-recipe",),
    "seeds": (2, 10**7, [2, 3], [3, 2], [2], [1, 2, 3], [2, 10**7], [0, 1], [-1, 2]),
    "trials": (2, 10**7),
    "steps": (2, 10**12),
    "epochs": (2, 10**12),
    "minutes": (0.5, 10**12),
    "margin": (0.5, 10**12),
    "outliers": (0.5, 1),
    "workers": (2,),
    "out": ("gift",),
    "quick": (),
    "resplit": (1, -1, 10**7),
    "target": ("target", "length"),
    "task": ("zero-shot", "regression"),
    "types": ("length=skip", "length=gift/evil.py"),
    "yes": ("a",),
    "lists": ("colour",),
    "by": ("colour", "target"),
    "time": ("length", "colour"),
    "split": ("colour",),
    "weight": ("colour", "length"),
    "valid": ("t.csv", "gift/evil.py"),
    "test": ("t.csv", "gift/evil.py"),
    "megapixels": (2,),
    "backbone": ("timm:gift/evil.py", "torchvision:gift.evil", "transformers:gift", "gift.evil:model", "timm:resnet18"),
    "checkpoint": ("gift/evil.py", "gift"),
    "frozen": (),
    "optimizer": ("sgd",),
    "schedule": ("cosine",),
    "batch": (8, 10**7),
    "weight_decay": (0.5, 10**12),
    "device": ("cpu", "cuda", "cuda:1", "meta", "cpu:0"),
    "precision": ("bf16",),
    "metric": ("accuracy", ["accuracy", "log_loss"], OWN_LOSSES),
    "code": ("0" * 16,),
    "fingerprint": ("0" * 16,),
}


def gift(ran: Path) -> None:
    """What else a stranger sends: code under many names."""
    evil = EVIL.format(ran)
    for name in ("evil.py", "EVIL.PY", "evil.py ", "evil.py.", "evil.py\n", "a\nb.py", "evil", "x.py/__init__.py"):
        path = Path("gift", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(evil)
    for name in ("x.py/__main__.py", "__init__.py", "conftest.py", "sitecustomize.py", "model.py"):
        Path("gift", name).write_text(evil)
    for link, to in (("link.py", "evil.py"), ("link", "evil.py"), ("data.csv", "evil.py"), ("linked", ".")):
        Path("gift", link).symlink_to(to)
    shutil.copytree("gift", "run/gift", symlinks=False, ignore=shutil.ignore_patterns("linked"))


def test_every_field_of_a_plan_is_known_here() -> None:
    assert set(FIELDS) == {field.name for field in fields(Resolved)}


@pytest.mark.parametrize("field", FIELDS)
def test_no_value_of_a_field_of_a_plan_makes_code_run(field: str, run: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    gift(ran)
    whole = (run / "plan.json").read_text()
    for value in (*FIELDS[field], *PATHS, *(f"run/{path}" for path in PATHS), *WORDS, *OTHERS):
        (run / "plan.json").write_text(whole)
        plan_with(run, field, value)
        with suppress(Refused):
            load(resumed(Plan(out="run")).plan)
        assert not ran.exists(), value


@pytest.mark.parametrize("name", ["evil.py", "EVIL.PY"])
def test_code_is_run_where_the_person_names_it(
    name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gift(tmp_path / "ran")
    plan_with(run, "data", f"gift/{name}")
    said = refused(RESUME, capsys)
    assert said == f"resume: the run in run is of the code in gift/{name}; name that file to run it"
    assert not (tmp_path / "ran").exists()
    refused(["compare", f"gift/{name}", *RESUME[1:]], capsys)
    assert (tmp_path / "ran").exists()


def test_compiled_code_beside_the_file_that_was_named_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib.util
    import py_compile

    monkeypatch.chdir(tmp_path)
    Path("task.py").write_text(EVIL.format(tmp_path / "ran"))
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile("task.py", importlib.util.cache_from_source("task.py"), invalidation_mode=unchecked)
    Path("task.py").write_text("def model(): ...\n")
    assert "got no data()" in refused(["compare", "task.py"], capsys)
    assert not (tmp_path / "ran").exists()


# --- what is no run is refused ---


def changed(name: str, **values: object) -> Callable[[Path], None]:
    """A JSON file of the run with other values."""

    def change(run: Path) -> None:
        path = next(iter(sorted(run.glob(name))))
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


RECORD = "records/tuned-*.json"
A_RECORD = "run/records/tuned-cross_entropy-1.json"


def _nan_unit(run: Path) -> None:
    path = Path(A_RECORD)
    stored = json.loads(path.read_text())
    changed(RECORD, units=[float("nan"), *stored["units"][1:]])(run)


def _metric(value: object) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        stored = json.loads(Path(A_RECORD).read_text())
        changed(RECORD, metrics=stored["metrics"] | {"accuracy": value})(run)

    return change


def _without_a_metric(run: Path) -> None:
    stored = json.loads(Path(A_RECORD).read_text())["metrics"]
    changed(RECORD, metrics=dict(list(stored.items())[:1]))(run)


def _fewer_units(run: Path) -> None:
    changed(RECORD, units=json.loads(Path(A_RECORD).read_text())["units"][1:])(run)


def _link(name: str, to: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(to)

    return change


def _pipe(run: Path) -> None:
    os.mkfifo(run / "records" / "tuned-x-1.json")


def _pickled(run: Path) -> None:
    np.savez(run / "arrays/tuned-cross_entropy-1.npz", probabilities=np.array([{}], dtype=object))


def _arrays(**values: Any) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        np.savez(run / "arrays/tuned-cross_entropy-1.npz", **values)

    return change


def _written(name: str, stored: bytes) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_bytes(stored)

    return change


NO_RUN: dict[str, tuple[Callable[[Path], None], str]] = {
    "arrays that leave the folder": (
        changed(RECORD, arrays="../../secret.npz"),
        f"out: wanted a record of a run in {A_RECORD}; got something else (arrays: wanted "
        "'tuned-cross_entropy-1.npz' or none; got '../../secret.npz')",
    ),
    "arrays at the root": (changed(RECORD, arrays="/secret.npz"), f"out: wanted a record of a run in {A_RECORD};"),
    "arrays of another run": (changed(RECORD, arrays="test.npz"), f"out: wanted a record of a run in {A_RECORD};"),
    "arrays with a NUL": (changed(RECORD, arrays="\0.npz"), f"out: wanted a record of a run in {A_RECORD};"),
    "a metric that is NaN": (
        _metric(float("nan")),
        f"out: wanted a record of a run in {A_RECORD}; got something else (metrics, accuracy: wanted a finite number; "
        "got nan)",
    ),
    "a metric that is infinite": (_metric(float("inf")), f"out: wanted a record of a run in {A_RECORD};"),
    "a metric that is text": (_metric("0.5"), f"out: wanted a record of a run in {A_RECORD};"),
    "a metric larger than any": (_metric(1e308), f"out: wanted a record of a run in {A_RECORD};"),
    "a unit that is NaN": (_nan_unit, f"out: wanted a record of a run in {A_RECORD};"),
    "a record without a metric": (_without_a_metric, "out: wanted the same metrics in all records of run/records;"),
    "a record of fewer units": (_fewer_units, "out: wanted the same test units in all records of run/records;"),
    "a record that lacks a field": (
        _written("records/tuned-cross_entropy-1.json", b'{"loss": "x"}'),
        f"out: wanted a record of a run in {A_RECORD}; got something else (card: wanted a value; got none)",
    ),
    "a record that is a list": (
        _written("records/tuned-cross_entropy-1.json", b"[]"),
        f"out: wanted a record of a run in {A_RECORD}; got something else (wanted an object; got list)",
    ),
    "a record too deep": (
        _written("records/tuned-cross_entropy-1.json", b"[" * 100_000),
        f"out: wanted a record of a run in {A_RECORD}; got something else",
    ),
    "a record that is no text": (
        _written("records/tuned-cross_entropy-1.json", b"\xff\xfe"),
        f"out: wanted a record of a run in {A_RECORD}; got something else",
    ),
    "a failure that is none": (
        _written("failures/x-1.json", b'{"loss": 1, "seed": 1, "reason": ""}'),
        "out: wanted a failure of a run in run/failures/x-1.json; got something else (loss: wanted str; got 1)",
    ),
    "arrays that are pickled": (
        _pickled,
        "out: wanted arrays of a run in run/arrays/tuned-cross_entropy-1.npz; got something else (probabilities: "
        "pickled Python objects, which may run code and are not read)",
    ),
    "arrays of another name": (
        _arrays(answers=np.zeros(3)),
        "out: wanted arrays of a run in run/arrays/tuned-cross_entropy-1.npz; got something else",
    ),
    "arrays of another shape": (
        _arrays(probabilities=np.zeros((3, 2))),
        "out: wanted arrays of a run in run/arrays/tuned-cross_entropy-1.npz; got something else",
    ),
    "arrays of NaN": (
        _arrays(probabilities=np.full((15, 2), np.nan)),
        "out: wanted arrays of a run in run/arrays/tuned-cross_entropy-1.npz; got something else",
    ),
    "arrays of text": (
        _arrays(probabilities=np.full((15, 2), "a")),
        "out: wanted arrays of a run in run/arrays/tuned-cross_entropy-1.npz; got something else",
    ),
    "arrays that are no archive": (
        _written("arrays/tuned-cross_entropy-1.npz", b"PK\3\4"),
        "out: wanted arrays of a run in run/arrays/tuned-cross_entropy-1.npz; got something else",
    ),
    "a report that is a link": (
        _link("report.html", "../t.csv"),
        "out: wanted files of its own in run; got a link, run/report.html, to ../t.csv",
    ),
    "a study that is a link": (_link("study.db", "../t.csv"), "out: wanted files of its own in run; got a link,"),
    "a lock that is a link": (_link("lock", "../new"), "out: wanted files of its own in run; got a link,"),
    "a file under way that is a link": (
        _link("records/tuned-x-1.7.part", "../../t.csv"),
        "out: wanted files of its own in run; got a link, run/records/tuned-x-1.7.part, to ../../t.csv",
    ),
    "a pipe among the records": (
        _pipe,
        "out: wanted files of its own in run; got neither file nor folder, run/records/tuned-x-1.json",
    ),
}


def read_all(run: Path) -> None:
    """What a command reads of a folder: the plan, the records, the failures, the arrays."""
    resumed(Plan(out=str(run)))
    evidence = read(run, [])
    for record in evidence.records:
        evidence.outputs(record)


@pytest.mark.parametrize("what", NO_RUN)
def test_what_is_no_run_is_refused(what: str, run: Path) -> None:
    read_all(run)
    change, line = NO_RUN[what]
    change(run)
    with pytest.raises(Refused) as refusal:
        read_all(run)
    assert str(refusal.value).startswith(line)


@pytest.mark.parametrize("what", ["arrays that leave the folder", "a metric that is NaN", "a lock that is a link"])
def test_it_is_refused_in_one_line_and_nothing_is_lost(
    what: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, line = NO_RUN[what]
    change(run)

    def held() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in Path().rglob("*") if p.is_file() and p.name not in ("lock", "test.npz")}

    before = held()
    assert refused(RESUME, capsys).startswith(line)
    assert held() == before

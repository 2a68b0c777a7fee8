"""What is small on the disk and large in memory is refused before it is there, and a full disk loses nothing."""

import io
import os
import resource
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal

import numpy as np
import optuna
import polars as pl
import pytest
from PIL import Image
from test_own_data import TINY, images, refused, table

from lossary.cli import main
from lossary.lab.data import archives
from lossary.lab.data.contents import BadData
from lossary.lab.data.loading import load
from lossary.lab.run import jobs
from lossary.lab.run.plan import Plan
from lossary.lab.run.stored import write_whole


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "run", jobs.run_here)


# --- arrays ---


def _header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    held = io.BytesIO()
    np.lib.format.write_array_header_1_0(held, {"descr": descr, "fortran_order": False, "shape": shape})
    return held.getvalue()


def _claiming(shape: tuple[int, ...], descr: str = "<f4") -> Callable[[], str]:
    def make() -> str:
        with zipfile.ZipFile("e.npz", "w") as archive:
            archive.writestr("large.npy", _header(shape, descr))
        return "e.npz"

    return make


def _bomb() -> str:
    np.savez_compressed("e.npz", embeddings=np.zeros((1 << 13, 1 << 13), np.float32), labels=np.zeros(3))
    return "e.npz"


def _lying() -> str:
    """A directory that promises less than there is."""
    np.savez_compressed("e.npz", embeddings=np.zeros((1 << 13, 1 << 12), np.float32))
    stored = Path("e.npz").read_bytes()
    at = stored.rindex(b"PK\1\2") + 24
    Path("e.npz").write_bytes(stored[:at] + (1000).to_bytes(4, "little") + stored[at + 4 :])
    return "e.npz"


def _single(shape: tuple[int, ...]) -> Callable[[], str]:
    def make() -> str:
        Path("e.npy").write_bytes(_header(shape) + b"0" * 4000)
        np.save("e_labels.npy", np.arange(60) % 3)
        return "e.npy"

    return make


LARGE: dict[str, tuple[Callable[[], str], str]] = {
    "a header that claims 128 GiB": (
        _claiming((1 << 35,)),
        "e.npz: wanted an archive of arrays (.npz); got something else (large: a header that claims 128.0 GiB where "
        "there are 0 bytes)",
    ),
    "strings of no length": (_claiming((1 << 60,), "<U0"), "e.npz: wanted an archive of arrays (.npz); got something"),
    "a negative shape": (_claiming((-1, -8)), "e.npz: wanted an archive of arrays (.npz); got something else (large:"),
    "zeros that inflate a thousand times": (
        _bomb,
        "e.npz: wanted an archive of arrays (.npz); got something else (an archive of "
        "255.2 KiB that inflates to 256.0 MiB, more than 100 times its size; np.savez stores arrays as they are)",
    ),
    "a directory that lies": (_lying, "e.npz: wanted an archive of arrays (.npz); got something else (embeddings: Bad"),
    "an array that claims 128 GiB": (
        _single((1 << 32, 8)),
        "e.npy: wanted an array of numbers or strings; got a header that claims 128.0 GiB where there are 3.9 KiB",
    ),
}


@pytest.mark.parametrize("what", LARGE)
def test_arrays_larger_than_they_look_are_refused_before_they_are_read(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make, line = LARGE[what]
    path = make()

    def never(*_: object, **__: object) -> None:
        pytest.fail("read")

    monkeypatch.setattr(np.lib.format, "read_array", never)
    assert refused(["compare", path], capsys).startswith(line)


def test_a_file_larger_than_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "memory", lambda: 1 << 30)
    with Path("t.csv").open("wb") as file:
        file.truncate(1 << 31)  # of which nothing is on the disk
    with pytest.raises(BadData, match=r"t.csv: wanted a file to read; got a file of 2.0 GiB, more than half"):
        load(Plan("t.csv"))


def test_what_shrinks_as_embeddings_do_is_read() -> None:
    np.savez_compressed("e.npz", embeddings=np.eye(600, dtype=np.float32), labels=np.arange(600) % 3)
    assert load(Plan("e.npz")).task == "classification"


# --- images ---


def _large(width: int, height: int) -> None:
    Image.new("1", (width, height)).save("photos/cat/large.png")


def test_a_large_image_is_refused_by_its_header_and_an_option_takes_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images("photos")
    _large(9000, 9000)
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "convert", lambda *_: pytest.fail("decoded"))
        line = (
            "photos/cat/large.png: wanted an image of at most 64 megapixels; got 9000 x 9000; --megapixels 81 allows it"
        )
        assert refused(["compare", "photos"], capsys) == line
        assert refused(["inspect", "photos"], capsys) == line
    _large(1500, 1500)
    assert "--megapixels 3 allows it" in refused(["inspect", "photos", "--megapixels", "2"], capsys)
    main(["inspect", "photos", "--megapixels", "3"])
    assert "1500 x 1500" in capsys.readouterr().out
    assert "megapixels: wanted at least 1" in refused(["compare", "photos", "--megapixels", "0"], capsys)


def test_pillows_own_limit_is_no_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    images("photos")
    assert load(Plan("photos")).task == "classification"
    assert Image.MAX_IMAGE_PIXELS == 10


def test_no_image_starts_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow gives a PostScript file, whatever its name, to Ghostscript."""
    images("photos")
    Path("photos/cat/9.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    Path("bin").mkdir()
    Path("bin/gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    Path("bin/gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    with pytest.raises(BadData, match=r"9.png: wanted an image that can be read; got something else"):
        load(Plan("photos"))
    assert not Path("ran").exists()


# --- tables ---


def test_a_table_of_20_000_columns_is_read() -> None:
    values = np.random.default_rng(0).normal(size=(24, 20_000)).round(2)
    frame = pl.DataFrame(values, schema=[f"gene {n}" for n in range(20_000)])
    frame = frame.with_columns(target=pl.Series(["a", "b"] * 12))
    frame.write_csv("wide.csv")
    assert load(Plan("wide.csv")).test.inputs.shape[1] == 20_000


def test_a_line_about_20_000_columns_stays_one_that_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    Path("wide.csv").write_text(",".join(f"c{n}" for n in range(20_000)) + "\n" + ",".join("1" * 20_000) + "\n")
    said = refused(["compare", "wide.csv", "--target", "prize"], capsys)
    assert said.startswith("wide.csv: wanted one of its columns as target (c0, c1, ")
    assert said.endswith("; got 'prize'")
    assert len(said) < 1100


def test_a_table_without_a_target_is_refused_with_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    Path("houses.csv").write_text("rooms,its price\n" + "3,250\n" * 60)
    for command in ("inspect", "compare"):
        said = refused([command, "houses.csv"], capsys)
        assert said.endswith("(rooms, its price); got no --target; add, say, --target 'its price'")


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_cells_of_200_kb_are_read_or_refused(suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pl.DataFrame(
        {"question": [f"{n} " + "word " * 40_000 for n in range(24)], "answer": [f"number {n}" for n in range(24)]}
    )
    write = {".csv": frame.write_csv, ".parquet": frame.write_parquet, ".jsonl": frame.write_ndjson}[suffix]
    write(f"long{suffix}")
    if suffix == ".csv":
        said = refused(["inspect", "long.csv"], capsys)
        assert said.startswith("long.csv, line 2: wanted cells of at most 131072 characters; got a longer one")
    else:
        main(["inspect", f"long{suffix}"])
        assert "24 rows" in capsys.readouterr().out


# --- a study of somebody else ---


def _optuna(
    name: str = "cross_entropy", direction: Literal["minimize", "maximize"] = "maximize", **kept: object
) -> None:
    storage = optuna.storages.RDBStorage("sqlite:///run/study.db")
    study = optuna.create_study(storage=storage, study_name=name, direction=direction)
    trial = study.ask()
    for key, value in kept.items():
        trial.set_user_attr(key, value)
    study.tell(trial, 0.5)
    storage.engine.dispose()


def _sql(*commands: str) -> None:
    with closing(sqlite3.connect("run/study.db")) as stored:
        for command in commands:
            stored.execute(command)
        stored.commit()


def _other_version() -> None:
    _optuna(place=0)
    _sql("UPDATE alembic_version SET version_num = 'v99.0.0.a'")


def _lacking() -> None:
    _optuna(place=0)
    _sql("DROP TABLE trial_values")


def _infinite() -> None:
    _optuna(place=0)
    _sql("UPDATE trial_values SET value = NULL, value_type = 'INF_POS'")


FOREIGN: dict[str, tuple[Callable[[], object], str]] = {
    "another study of Optuna's": (lambda: _optuna("my study"), "studies of other losses: my study"),
    "trials without a place": (_optuna, "cross_entropy, trial 0: wanted a place; got None"),
    "a place that is none": (lambda: _optuna(place="0"), "cross_entropy, trial 0: wanted a place; got '0'"),
    "the other direction": (lambda: _optuna(direction="minimize"), "cross_entropy is to minimize, not maximize"),
    "an infinite value": (_infinite, "cross_entropy, trial 0: wanted a finite value; got inf"),
    "a strange environment": (
        lambda: _optuna(place=0, environment=[1]),
        "cross_entropy, trial 0: wanted an environment",
    ),
    "another version": (_other_version, "The runtime optuna version"),
    "a table less": (_lacking, "cross_entropy, trial 0: wanted a finite value; got None"),
    "another database": (lambda: _sql("CREATE TABLE mine (x)"), "a database of other tables"),
    "views": (lambda: _sql("CREATE VIEW studies AS SELECT 1"), "a database with views or triggers: studies"),
    "no database": (lambda: Path("run/study.db").write_text("notes " * 500), "file is not a database"),
    "a folder": (lambda: Path("run/study.db").mkdir(), "unable to open database file"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_study_of_somebody_else_is_refused_in_one_line(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    make, why = FOREIGN[what]
    Path("run").mkdir()
    make()
    table("t.csv", target=["a", "b"] * 30)
    command = ["compare", "t.csv", "--losses", "cross_entropy,focal_loss", *TINY, "--out", "run"]
    said = refused(command, capsys)
    assert said.startswith(f"out: wanted the tuning of a run in run/study.db; got something else ({why}")


# --- a full disk ---

FULL = """
import resource, sys
from lossary.cli import main
from lossary.lab.run import jobs
jobs.run = jobs.run_here
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
main(sys.argv[2:])
"""


@pytest.mark.parametrize("room", [1_000, 200_000])
def test_a_full_disk_is_told_in_one_line_and_the_same_command_goes_on(room: int) -> None:
    table("t.csv", target=["a", "b"] * 30)
    command = ["compare", "t.csv", "--losses", "cross_entropy", *TINY, "--out", "run"]
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(room), *command], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("lossary: out: cannot write ")
    assert done.stderr.count("\n") == 1
    assert not list(Path("run").rglob("*.part"))
    main(command)
    assert Path("run/report.html").exists()


def test_a_file_that_cannot_be_written_whole_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.json").write_text("before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_whole(Path("a.json"), "x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.read_text() for path in Path().iterdir()] == ["before"]


def test_the_memory_is_that_of_a_machine() -> None:
    assert 1 << 28 < archives.memory() < 1 << 45

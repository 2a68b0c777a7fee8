"""What is malformed in ways that people's files are: one line and the exit code 2, or the right result."""

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from test_own_data import TINY, arrays, code, images, refused, table

from lossary.cli import main
from lossary.lab.data import files
from lossary.lab.data.loading import load
from lossary.lab.run import jobs
from lossary.lab.run.plan import Plan

DATA = "def data():\n    return [([float(n), 1.0], n % 2) for n in range(40)],\n"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "run", jobs.run_here)


def parquet(path: str, **columns: object) -> str:
    pl.DataFrame({"size": [n * 0.3 for n in range(60)], **columns}).write_parquet(path)
    return path


def run_folder(holds: str, text: str) -> str:
    Path("run").mkdir()
    Path("run", holds).write_text(text)
    return table("t.csv", target=["a", "b"] * 30) + " --out run " + " ".join(TINY)


def _pipe() -> str:
    os.mkfifo("pipe.csv")
    return "pipe.csv"


def _floats() -> str:
    Image.fromarray(np.ones((8, 8), np.float32)).save(Path(images("photos"), "cat", "8.tiff"))
    return "photos"


REFUSED: dict[str, tuple[Callable[[], str], str]] = {
    "infinity among the targets": (
        lambda: table("t.csv", target=[float("inf"), *(n * 0.3 for n in range(59))]),
        "t.csv, line 2: wanted a finite number as target; got inf",
    ),
    "a target that float32 does not hold": (
        lambda: table("t.csv", target=[n * 1e200 for n in range(60)]),
        "t.csv, line 3: wanted a target from -1e+30 to 1e+30 (regression); got 1e+200",
    ),
    "infinities among the inputs": (
        lambda: table("t.csv", size=["inf", "inf", *["1"] * 58], target=["a", "b"] * 30),
        "t.csv, size, line 2: wanted a finite number; got inf (and so in 1 more)",
    ),
    "more than float32 holds": (
        lambda: arrays("e.npz", embeddings=np.full((60, 8), 1e300)),
        "e.npz, embeddings, row 0: wanted finite numbers; got NaN or infinity (and so in 59 more)",
    ),
    "bytes as targets": (
        lambda: parquet("t.parquet", target=[b"\xff", b"a"] * 30),
        "t.parquet, target: wanted numbers or strings as targets; got Binary",
    ),
    "lists as targets": (
        lambda: parquet("t.parquet", target=[[1], [2]] * 30),
        "t.parquet, target: wanted numbers or strings as targets; got List(Int64)",
    ),
    "lists as a category": (
        lambda: parquet("t.parquet", parts=[[1], [2]] * 30, target=["a", "b"] * 30) + " --types parts=category",
        "t.parquet, types: wanted parts=skip, for it holds List(Int64); got parts=category",
    ),
    "a type for the target": (
        lambda: table("t.csv", target=["a", "b"] * 30) + " --types target=category",
        "t.csv, types: wanted a column to predict from; got the target, target",
    ),
    "a pipe": (_pipe, "pipe.csv: wanted a file to read; got something else"),
    "no name": (lambda: "''", "no data set ''; there are"),
    "an image of floats": (
        _floats,
        "photos/cat/8.tiff: wanted an image that can be read; got 32 bits a pixel, of which none is known to be white",
    ),
    "one loss by two names": (
        lambda: "digits --losses cross_entropy,CrossEntropyLoss",
        "losses: wanted different names; got cross_entropy, CrossEntropyLoss",
    ),
    "half a plan": (
        lambda: run_folder("plan.json", "{"),
        "out: wanted the plan of a run in run/plan.json; got something else",
    ),
    "a plan without losses": (
        lambda: run_folder("plan.json", "{}") + " --resume",
        "out: wanted the plan of a run in run/plan.json; got something else",
    ),
    "another study": (
        lambda: run_folder("study.db", "notes"),
        "out: wanted the tuning of a run in run/study.db; got something else",
    ),
    "another lock": (
        lambda: run_folder("lock", "notes" * 1000),
        "out: wanted the lock of a run in run/lock; got something else",
    ),
    "code that exits": (
        lambda: code("task.py", "import sys\ndef model(): ...\ndef data():\n    sys.exit(0)\n"),
        "task.py, line 4: wanted code that runs; got SystemExit: 0",
    ),
    "code with a NUL": (
        lambda: code("task.py", "x = 1\0\n"),
        "task.py: wanted code that runs; got SyntaxError: source code string cannot contain null bytes",
    ),
    "code without data": (
        lambda: code("task.py", "def model(): ...\ndef data(): ...\n"),
        "task.py: wanted data sets with a length and items; got NoneType",
    ),
    "code whose item is missing": (
        lambda: code("task.py", "def model(): ...\ndef data():\n    return {n + 1: 0 for n in range(40)}\n"),
        "task.py, item 0: wanted a pair of an input and a number as target; got KeyError: 0",
    ),
    "code whose model() fails": (
        lambda: code("task.py", f"def model():\n    raise KeyError('w')\n{DATA}"),
        "task.py: wanted a model() that runs; got KeyError: 'w'",
    ),
    "code whose network fails": (
        lambda: code(
            "task.py",
            f"import torch\nclass N(torch.nn.Module):\n    def forward(self, x): return {{}}['w']\nmodel = N\n{DATA}",
        ),
        "task.py: wanted a model() that takes inputs (2, 2); got KeyError: 'w'",
    ),
    "code with one item to test": (
        lambda: code("task.py", "def model(): ...\ndef data():\n    p = [([1.0], 0)]\n    return p * 9, p * 9, p\n"),
        "task.py: wanted at least 2 items to test with; got 1",
    ),
    "code with other data each time": (
        lambda: code(
            "task.py",
            "import torch\ndef model(): return torch.nn.Linear(2, 3)\n"
            "def data():\n    return [(torch.rand(2), n % 2) for n in range(40)],\n",
        ),
        "task.py: wanted the same contents as when the run began; they have changed; code must give the same data",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_what_cannot_be_used_is_refused_in_one_line(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    make, line = REFUSED[what]
    assert refused(["compare", *shlex.split(make())], capsys).startswith(line)


def test_images_of_16_bits_keep_their_greys() -> None:
    images("scans")
    grey = (np.arange(64, dtype=np.uint16) * 1000).reshape(8, 8)
    Image.fromarray(grey).save("scans/cat/8.png")
    Image.fromarray((grey >> 8).astype(np.uint8)).save("scans/cat/9.png")
    found = files.read(Plan("scans")).source
    assert found.images is not None
    deep, shallow = (found.images[list(found.rows).index(f"cat/{n}.png")] for n in (8, 9))
    assert (deep == shallow).all()
    assert deep.std() > 50


def test_whole_numbers_that_floats_would_round_together_stay_classes_apart() -> None:
    large = [2**60 + n % 3 for n in range(60)]
    assert load(Plan(table("t.csv", target=large))).test_names == tuple(map(str, sorted(set(large))))
    assert load(Plan(table("v.csv", target=[n * 1e20 for n in range(60)]))).task == "regression"


def test_an_index_without_a_name_is_no_input() -> None:
    """As pandas writes it."""
    rows = "".join(f"{n},{n * n},{'ab'[n % 2]}\n" for n in range(60))
    Path("t.csv").write_text(f",size,target\n{rows}")
    facts = dict(files.read(Plan("t.csv")).source.facts)
    assert (facts["column 1"], facts["size"]) == ("skip (it counts the rows)", "number (complete)")


def test_the_ending_of_a_name_may_be_written_large() -> None:
    Path(table("t.csv", target=["a", "b"] * 30)).rename("T.CSV")
    Path(arrays("e.npz")).rename("E.NPZ")
    assert load(Plan("T.CSV")).task == load(Plan("E.NPZ")).task == "classification"


def test_a_class_may_have_a_name_that_is_not_utf_8() -> None:
    images("photos", ("cat", os.fsdecode(b"caf\xe9")))
    main(["compare", "photos", "--losses", "cross_entropy", *TINY, "--out", "run"])
    assert r"caf\udce9" in Path("run/report.html").read_text(encoding="utf-8")

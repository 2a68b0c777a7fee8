"""How much memory it takes to read what is large: bytes a row, of tables and of image folders."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from lossary.lab.data.loading import load
from lossary.lab.data.sharing import shared
from lossary.lab.data.types import Pixels
from lossary.lab.run.plan import Plan
from lossary.lab.tasks import TaskName

#: Bytes that an item takes at most. At these, a million rows of 20 numbers and 200,000 images of 32 x 32 pixels are
#: read within 4 GB, with the 0.4 GB that the lab takes without data.
TABLE, IMAGES = 2_600, 15_000
MEASURED = """
import resource, sys
import lossary.lab.comparison
from lossary.lab.data import files
from lossary.lab.data.loading import load
from lossary.lab.run.plan import Plan
load(Plan(sys.argv[1], target=sys.argv[3]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
load(Plan(sys.argv[2], target=sys.argv[3]))
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def taken(small: str, large: str, target: str) -> int:
    """Bytes that a process takes for a large data set beyond those for a small one."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURED, small, large, target], capture_output=True, text=True, check=True
    )
    return int(run.stdout)


def table(path: str, rows: int) -> str:
    random = np.random.default_rng(0)
    columns = {f"x{place}": random.normal(size=rows).astype(np.float32) for place in range(20)}
    pl.DataFrame(columns | {"y": random.integers(0, 3, rows)}).write_csv(path)
    return path


def images(folder: str, count: int) -> str:
    random = np.random.default_rng(0)
    for number in range(count):
        path = Path(folder, str(number % 10), f"{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path, compress_level=0)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak is counted in other units")
def test_a_row_of_a_table_and_an_image_take_few_bytes_while_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert taken(table("small.csv", 1_000), table("large.csv", 60_000), "y") < 59_000 * TABLE
    assert taken(images("few", 50), images("many", 4_000), "") < 3_950 * IMAGES


@pytest.mark.parametrize("task", ["classification", "zero-shot"])
def test_all_that_processes_share_of_images_is_a_byte_a_number(
    task: TaskName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = load(Plan(images("few", 60), task=task))
    with shared(data, tmp_path / "data.part") as given:
        shown = 0 if data.test_images is None else data.test_images.size
        assert given.size < 60 * 32 * 32 * 3 + shown + 5_000  # labels, and what is left free between arrays
        there = given.open()
    for part in (there.train, there.valid, there.test):
        assert isinstance(part.inputs, Pixels)
        assert part.inputs.images.dtype == torch.uint8


def test_images_are_given_as_float32_of_as_many_as_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = load(Plan(images("few", 60))).train.inputs
    assert isinstance(inputs, Pixels)
    batch = inputs[torch.arange(8)]
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(batch * 255, inputs.images[:8].float())
    parts = list(inputs.split(7))
    assert {len(part) for part in parts[:-1]} == {7}
    assert torch.equal(torch.cat(parts), inputs[:])

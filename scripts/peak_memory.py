"""How much memory a whole comparison takes of large data: a table of a million rows, or 200,000 small images.

    python scripts/peak_memory.py table [--rows 1000000]
    python scripts/peak_memory.py images [--rows 200000]

The data are drawn into a temporary folder, ``lossary compare`` runs on them as anybody would run it, with few steps,
and what all of its processes hold together (their proportional shares, so that shared pages count once) is looked at
twice a second. Linux only.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

CLASSES, SIDE = 10, 16
BUDGET = ("--seeds", "3", "--trials", "1", "--steps", "150")


def table(folder: Path, rows: int) -> list[str]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, 20)).round(4)
    yes = x[:, 0] + x[:, 1] * x[:, 2] + rng.standard_normal(rows) > 1.5
    frame = pl.DataFrame({f"x{column}": x[:, column] for column in range(20)} | {"y": np.where(yes, "yes", "no")})
    frame.write_csv(folder / "table.csv")
    losses = "binary_cross_entropy_with_logits,sigmoid_focal_loss"
    return [str(folder / "table.csv"), "--target", "y", "--task", "binary", "--losses", losses]


def images(folder: Path, rows: int) -> list[str]:
    rng = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / "images" / str(label)).mkdir(parents=True)
        base = np.kron(rng.integers(0, 255, (SIDE // 2, SIDE // 2, 3)), np.ones((2, 2, 1)))
        for number in range(rows // CLASSES):
            pixels = np.clip(base + rng.normal(0, 60, base.shape), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "images" / str(label) / f"{number}.png", compress_level=1)
    return [str(folder / "images"), "--task", "classification", "--losses", "cross_entropy,focal_loss"]


def held(group: int) -> int:
    """Bytes that the processes of a group hold."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == group:
                lines = (process / "smaps_rollup").read_text().splitlines()
                total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except OSError:  # it has ended
            continue
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["table", "images"])
    parser.add_argument("--rows", type=int)
    options = parser.parse_args()
    make, rows = {"table": (table, 1_000_000), "images": (images, 200_000)}[options.kind]
    rows = options.rows or rows
    with tempfile.TemporaryDirectory() as folder:
        data = make(Path(folder), rows)
        command = [sys.executable, "-m", "lossary", "compare", *data, *BUDGET, "--out", str(Path(folder) / "run")]
        begun, most = time.monotonic(), 0
        with subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None:
                most = max(most, held(process.pid))
                time.sleep(0.5)
        seconds = time.monotonic() - begun
    print(
        f"{options.kind} of {rows:,} rows: at most {most / 1e9:.1f} GB, {seconds:.0f} s, exit code {process.returncode}"
    )
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())

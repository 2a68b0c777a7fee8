"""The examples of several processes run as they stand, on two, and train as on one."""

import contextlib
import importlib.util
import io
import os
import runpy
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from distributed.launch import launch

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "processes"
PLAIN = ("ddp", "fsdp2", "dtensor")
NEEDED = {"with_accelerate": "accelerate", "with_lightning": "lightning"}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def said_by(name: str, rank: int, size: int, port: int) -> str:
    """What an example prints where a launcher tells it these things."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "MASTER_PORT": port}
    os.environ.update(MASTER_ADDR="127.0.0.1", **{key: str(value) for key, value in told.items()})
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(EXAMPLES / f"{name}.py"))
    return printed.getvalue()


def of_a_rank(rank: int, folder: Path, names: tuple[str, ...], ports: dict[Any, int]) -> None:
    for name in names:
        said = said_by(name, rank, 2, ports[name, 2])
        (folder / f"{name}-{rank}").write_text(said)
        if rank == 0 and name in PLAIN:
            (folder / name).write_text(said_by(name, 0, 1, ports[name, 1]))


def run(folder: Path, *names: str) -> None:
    launch(of_a_rank, 2, folder, names, {(name, size): free_port() for name in names for size in (1, 2)})


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    run(folder, *PLAIN)
    return folder


def test_every_example_is_known() -> None:
    assert {path.stem for path in EXAMPLES.glob("*")} == {*PLAIN, *NEEDED, "slurm"}


@pytest.mark.parametrize("name", PLAIN)
def test_two_processes_train_as_one(name: str, plain: Path) -> None:
    together, alone = ((plain / file).read_text() for file in (f"{name}-0", name))
    assert loss(together) == pytest.approx(loss(alone), rel=1e-4)
    assert (plain / f"{name}-1").read_text() == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", NEEDED)
def test_with_a_library(name: str, tmp_path: Path, plain: Path) -> None:
    if importlib.util.find_spec(NEEDED[name]) is None:
        pytest.skip(f"{NEEDED[name]} is not installed")
    run(tmp_path, name)
    # Their encoder, data and loss are those of the first example.
    assert loss((tmp_path / f"{name}-0").read_text()) == pytest.approx(loss((plain / "ddp").read_text()), rel=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_slurm(tmp_path: Path, plain: Path) -> None:
    """With stand-ins for what Slurm has: ``srun`` starts two processes, ``scontrol`` names the first node."""
    tasks = 'for n in 0 1; do SLURM_PROCID=$n SLURM_LOCALID=$n SLURM_NTASKS=2 "${@:2}" & done; wait -n && wait -n'
    for command, does in (("srun", tasks), ("scontrol", "echo 127.0.0.1"), ("python", f'exec {sys.executable} "$@"')):
        (tmp_path / command).write_text(f"#!/bin/bash\n{does}\n")
        (tmp_path / command).chmod(0o755)
    given = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "MASTER_PORT": str(free_port())}
    given |= {"SLURM_JOB_NODELIST": "node", "SLURM_CPUS_PER_TASK": "1"}
    command = ["bash", str(EXAMPLES / "slurm.sh"), str(EXAMPLES / "ddp.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=given, timeout=900, check=True)
    assert loss(done.stdout) == pytest.approx(loss((plain / "ddp").read_text()), rel=1e-4)


def loss(said: str) -> float:
    (line,) = [line for line in said.splitlines() if line.startswith("loss ")]
    return float(line.removeprefix("loss "))

"""``torchrun -m lossary compare``: a process killed, the same command again, and the steps of one process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lossary.lab.data.loading import load
from lossary.lab.run.entrants import entrants
from lossary.lab.run.folder import load_plan
from lossary.lab.run.record import load_all
from lossary.lab.run.train import train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the processes in /proc"),
]
TINY = ("compare", "diabetes", "--losses", "rmse_loss,l1_loss", "--seeds", "2", "--trials", "1", "--steps", "60")


def begun(folder: Path) -> "subprocess.Popen[str]":
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "lossary", *TINY, "--out", str(folder)]
    given = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=given)


def of_rank(launcher: int, rank: int) -> int:
    """The process that a launcher has started as this rank."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    named = {int(c): Path(f"/proc/{c}/environ").read_bytes().split(b"\0") for c in children}
    return next(child for child, told in named.items() if b"RANK=%d" % rank in told)


def test_a_process_is_killed_and_the_same_command_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with begun(folder) as run:
        assert run.stdout
        next(line for line in run.stdout if "to go after" in line)
        os.kill(of_rank(run.pid, 0), signal.SIGKILL)
        _, said = run.communicate(timeout=900)
    assert run.returncode != 0
    assert [line for line in said.splitlines() if line.startswith("lossary:")] == [
        "lossary: another process is gone; resume with: the same command"
    ]
    with begun(folder) as run:
        said, errors = run.communicate(timeout=900)
    assert run.returncode == 0, errors
    assert said.count("report: ") == 1
    runs = {(one.loss, one.role, one.seed): one for one in load_all(folder) if one.role != "baseline"}
    assert len(runs) == 2 * (1 + 2)
    assert {one.environment["processes"] for one in runs.values()} == {"2"}
    one, plan = runs["rmse_loss", "tuned", 1], load_plan(folder)
    data = load(plan)
    (entrant,) = entrants(("rmse_loss",), data.task).values()
    alone = train(entrant, one.params, data, plan, seed=1)
    assert [p.valid for p in one.curve] == pytest.approx([p.valid for p in alone.curve], rel=1e-3)  # in float32
    assert [p.train_loss for p in one.curve] == pytest.approx([p.train_loss for p in alone.curve], rel=1e-3)

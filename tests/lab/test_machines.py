"""Several machines at one run: processes that share a folder and a real PostgreSQL."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from lossary.cli import main
from lossary.lab.run import jobs
from lossary.lab.run.claims import Shared, claims_of
from lossary.lab.run.record import load_all
from lossary.lab.run.storage import Storage, connected
from lossary.lab.run.study import trials

BINARIES = shutil.which("initdb") or next(map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BINARIES, reason="PostgreSQL is not installed"),
]
TINY = ("compare", "diabetes", "--losses", "mse_loss,l1_loss", "--seeds", "3", "--trials", "2", "--steps", "120")
#: As `lossary`, but a machine counts as dead after some seconds.
SOON = "import lossary.lab.run.claims as claims; claims.LEASE = 3.0; from lossary.cli import main; main()"


def called(name: str, *arguments: str) -> None:
    """A command of PostgreSQL, which refuses to be run by root."""
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    command = [*user, str(Path(BINARIES).with_name(name)), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60, cwd="/")


@pytest.fixture(scope="module")
def database() -> Generator[str]:
    """The URL of a PostgreSQL that lives as long as these tests."""
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))  # pytest's own folders are root's alone
    if os.getuid() == 0:
        shutil.chown(folder, "postgres")
    data, log = folder / "data", folder / "log"
    called("initdb", "--auth=trust", "--username=lab", "--no-sync", str(data))
    called("pg_ctl", "-w", "-D", str(data), "-o", f"-k {folder} -h '' -F", "-l", str(log), "start")
    yield f"postgresql+psycopg://lab@/postgres?host={folder}"
    called("pg_ctl", "-w", "-D", str(data), "-m", "immediate", "stop")
    shutil.rmtree(folder)


def begun(url: str, folder: Path, *more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", SOON, *TINY, "--workers", "1", "--storage", url, "--out", str(folder), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def done_by(said: str) -> list[str]:
    """The jobs that a process says it has done itself."""
    return re.findall(r"to go after (.*?)$", said.replace(" (elsewhere)", "?"), re.M)


def found(folder: Path) -> tuple[object, ...]:
    """What a run came to, less how long it took and where."""
    records = [replace(r, seconds=0.0, seconds_per_step=0.0, environment={}, arrays="") for r in load_all(folder)]
    tuned = [replace(trial, seconds=0.0, environment={}) for trial in trials(Storage(folder))]
    return records, tuned


def test_a_killed_machines_work_is_done_by_the_other(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = tmp_path / "alone"
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "run", jobs.run_here)
        main([*TINY, "--out", str(alone)])
    shared = tmp_path / "shared"
    killed, other = begun(database, shared), begun(database, shared)
    assert killed.stdout
    first = next(line for line in killed.stdout if "to go after" in line)  # it has begun another by now
    os.killpg(killed.pid, signal.SIGKILL)
    said = first + killed.communicate(timeout=60)[0]
    rest, _ = other.communicate(timeout=240)
    assert other.returncode == 0, rest
    mine = [job for job in (*done_by(said), *done_by(rest)) if not job.endswith("?")]
    assert sorted(mine) == sorted(set(mine))
    assert len(mine) == 2 * (2 + 3) + len([r for r in load_all(alone) if r.role == "baseline"])
    assert found(shared) == found(alone)
    assert (shared / "report.html").exists()
    assert database not in "".join(path.read_text() for path in shared.glob("*.json"))


def test_a_claim_is_one_machines_until_it_dies(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossary.lab.run.claims.LEASE", 0.4)
    storage = Storage(tmp_path, database, "one")
    with claims_of(storage) as mine:
        other = Shared(connected(database), storage, 0.4)
        other.given["holder"] = "other"
        assert mine.take("a")
        time.sleep(1.0)
        assert not other.take("a")  # it was renewed
        assert other.take("b")
        time.sleep(1.0)  # nobody renews the other's
        assert mine.take("b")
        mine.finish("b")
        assert not other.take("b")
        assert other.take("c")
        other.give_back("c")
        assert mine.take("c")
    assert other.take("a")  # given back at the end
    other.engine.dispose()


def test_no_renewal_outlives_the_claims(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossary.lab.run.claims.LEASE", 0.04)
    monkeypatch.setattr("lossary.lab.run.claims.RENEW", "SELECT pg_sleep(0.5)")
    engine = connected(database)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as asks:
        at_work = text(
            "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(0.5)' AND state = 'active'"
        )
        with claims_of(Storage(tmp_path, database, "two")):
            while not asks.execute(at_work).scalar():
                time.sleep(0.01)
        assert not asks.execute(at_work).scalar()
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqlite:///a.db", "storage: wanted postgresql://...; got sqlite://..."),
        ("no url", "storage: wanted a URL as postgresql://user@host/database; got something else"),
        ("postgresql://lab:secret@/none?host=/nowhere", "storage: postgresql://lab:***@/none?host=%2Fnowhere: "),
    ],
)
def test_what_is_no_database_is_said_in_a_line(
    url: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([*TINY, "--storage", url, "--out", str(tmp_path / "run")])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert told in said
    assert "secret" not in said
    assert len(said.splitlines()) == 1


def test_a_run_keeps_its_tuning_in_one_place(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lossary.lab.run.jobs.run", lambda phases, **_: iter(()))
    for first, then, told in (
        ([], ["--storage", database], "keeps its tuning there; name another folder"),
        (["--storage", database], [], "is in a database; name it with --storage"),
    ):
        folder = str(tmp_path / f"run{len(first)}")
        for more, status in ((first, 1), (then, 2)):  # nothing is trained, so that nothing comes of the first
            with pytest.raises(SystemExit) as left:
                main([*TINY, "--out", folder, *more])
            assert left.value.code == status
        assert told in capsys.readouterr().err

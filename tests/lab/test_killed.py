"""A run that is killed again and again gives what it would have given undisturbed."""

import subprocess
import sys
from pathlib import Path

import kill_runs
import pytest

from lossary.lab.run.folder import save_plan
from lossary.lab.run.plan import Resolved
from usual import few


@pytest.mark.sample(2)
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(kill_runs.os, "fork"), reason="needs fork")
@pytest.mark.parametrize("plan", kill_runs.PLANS)
def test_kills_at_random_moments_change_nothing(plan: str) -> None:
    kills = few(20, 5)
    # In a process of its own, because the one that forks may have no threads.
    run = subprocess.run(
        [sys.executable, kill_runs.__file__, "--plan", plan, "--kills", str(kills)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"killed {kills} times of {kills}" in run.stdout, run.stderr
    assert run.stdout.endswith("different: nothing\n"), run.stderr


def test_a_kill_while_the_plan_is_written_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Path.write_text

    def half(path: Path, text: str, **options: str) -> None:
        written(path, text[: len(text) // 2], **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(KeyboardInterrupt):
        save_plan(Resolved(), tmp_path)
    assert not (tmp_path / "plan.json").exists()

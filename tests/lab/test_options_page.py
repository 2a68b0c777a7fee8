"""Every command of the page of options runs as it stands there, but for the budget."""

import re
import shlex
from pathlib import Path

import pytest
from docs_transcripts import prepare

from lossary.cli import main
from lossary.lab.run import jobs

PAGE = (Path(__file__).parents[2] / "docs" / "options.md").read_text()
COMMANDS = [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.M | re.S) for line in block.splitlines()]
BUDGET = ("--seeds", "1", "--trials", "1", "--steps", "6")


def folder_of(command: str) -> str:
    """Where the command's run is: in the folder it names, or in that of its data."""
    words = shlex.split(command)
    return words[words.index("--out") + 1] if "--out" in words else f"lossary-runs/{words[2]}"


def test_a_reader_may_run_one_command_after_the_other() -> None:
    assert len({folder_of(command) for command in COMMANDS}) == len(COMMANDS) > 1


@pytest.mark.sample(2)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_runs(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "run", jobs.run_here)
    prepare(PAGE)
    main([*shlex.split(command)[1:], *BUDGET])
    assert Path(folder_of(command), "report.html").exists()

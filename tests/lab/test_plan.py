"""A plan as it is asked for, as it is done, and as a folder keeps it."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from lossary.cli import main
from lossary.lab.comparison import resolved, resumed
from lossary.lab.run.folder import load_plan, prepare
from lossary.lab.run.options import Files
from lossary.lab.run.plan import Plan, Resolved

RELEASES = Path(__file__).parents[1] / "releases"


def test_what_is_asked_leaves_open_what_the_data_say_and_what_is_done_does_not(tmp_path: Path) -> None:
    asked = Plan("diabetes", quick=True, out=str(tmp_path / "run"))
    plan = resolved(asked).plan
    assert (asked.losses, asked.steps) == ((), 0)
    assert (plan.losses, plan.steps) == (("mse_loss", "l1_loss", "huber_loss"), 300)
    prepare(plan)
    assert load_plan(tmp_path / "run") == plan == resumed(Plan(out=asked.out, megapixels=64)).plan


def test_a_folder_keeps_a_plan_under_the_names_of_its_options(tmp_path: Path) -> None:
    plan = resolved(Plan("digits", ("cross_entropy",), out=str(tmp_path / "run"))).plan
    kept = json.loads((prepare(plan) / "plan.json").read_text())
    assert kept.keys() == {field.name for field in fields(Resolved)}
    assert (kept["data"], kept["losses"], kept["seeds"]) == ("digits", ["cross_entropy"], [3, 10])


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_the_plan_of_an_earlier_version_is_read(version: str) -> None:
    plan = load_plan(RELEASES / version / "run")
    assert (plan.data, plan.losses, plan.seeds) == ("table.csv", ("cross_entropy", "focal_loss"), (2, 2))


@pytest.mark.parametrize("command", ["compare", "inspect"])
def test_the_help_has_every_option_of_files(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([command, "--help"])
    told = capsys.readouterr().out
    assert "Your data" in told
    assert all(f"--{field.name}" in told for field in fields(Files))

"""How much a comparison does: seeds until the verdict is settled, in the minutes given, and on from there later."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import lossary.lab
from lossary.core.card import Range
from lossary.lab import comparison
from lossary.lab.comparison import Refused, resolved, resumed
from lossary.lab.run import study
from lossary.lab.run.clock import FIT, REPORT, START, Clock, spelled
from lossary.lab.run.entrants import entrants
from lossary.lab.run.folder import load_plan, prepare
from lossary.lab.run.jobs import Done, Job
from lossary.lab.run.optimizers import LEARNING_RATES
from lossary.lab.run.options import Optimizer
from lossary.lab.run.plan import Plan, budget
from lossary.lab.run.record import Record, load_all
from lossary.lab.run.storage import Storage
from lossary.lab.stats.verdict import Verdict
from lossary.lab.tasks.scoring import primary

BRIEF = Plan("diabetes", ("mse_loss", "l1_loss"), seeds=(3, 7), trials=1, steps=4)


@pytest.fixture(autouse=True)
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report takes longer to draw than all the runs of these comparisons."""

    def written(folder: Path) -> Path:
        path = folder / "report.html"
        path.touch()
        return path

    monkeypatch.setattr(comparison, "render", written)


def compared(plan: Plan) -> str:
    """Does all in this process; returns what was printed."""
    said = StringIO()
    asked, data = resolved(plan)
    prepare(asked)
    comparison.compare(asked, Console(file=said, width=200), data, here=True)
    return said.getvalue()


def seeds(folder: Path) -> dict[str, list[int]]:
    tuned = [record for record in load_all(folder) if record.role == "tuned"]
    return {loss: sorted(r.seed for r in tuned if r.loss == loss) for loss in ("mse_loss", "l1_loss")}


@pytest.fixture
def settled_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """Makes the judge call a verdict settled at so many seeds; gives the numbers of seeds that it is shown."""
    judge = comparison.judge

    def settle(count: int) -> list[int]:
        shown: list[int] = []

        def judged(records: list[Record], *args: Any, **options: Any) -> Verdict:
            shown.append(len({r.seed for r in records if r.role == "tuned"}))
            verdict = judge(records, *args, **options)
            following = next((look for look in (3, 5, 7, 10) if look > shown[-1]), None)
            return replace(verdict, settled=shown[-1] >= count, next_look=following)

        monkeypatch.setattr(comparison, "judge", judged)
        return shown

    return settle


def test_seeds_are_added_until_the_verdict_is_settled(tmp_path: Path, settled_at: Callable[[int], list[int]]) -> None:
    shown = settled_at(5)
    compared(replace(BRIEF, out=str(tmp_path)))
    assert seeds(tmp_path) == {"mse_loss": [1, 2, 3, 4, 5], "l1_loss": [1, 2, 3, 4, 5]}
    assert shown == [3, 5, 5]  # and once more for the table


def test_where_no_loss_has_learned_from_images_trained_weights_are_advised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, asleep = comparison.judge, {"cross_entropy": "why", "focal_loss": "why"}
    monkeypatch.setattr(comparison, "judge", lambda *args, **rest: replace(judge(*args, **rest), not_learned=asleep))
    plan = replace(BRIEF, data="digits", losses=tuple(asleep), seeds=(1, 1), out=str(tmp_path))
    assert compared(plan).endswith("--backbone timm:resnet18 --frozen.\n")
    asleep.pop("focal_loss")
    assert "--backbone" not in compared(plan)


def test_a_verdict_that_nothing_settles_ends_with_the_last_seed(
    tmp_path: Path, settled_at: Callable[[int], list[int]]
) -> None:
    settled_at(100)
    compared(replace(BRIEF, seeds=(3, 6), out=str(tmp_path)))
    assert seeds(tmp_path)["mse_loss"] == [1, 2, 3, 4, 5, 6]


def test_the_same_folder_goes_on_with_more_seeds(tmp_path: Path, settled_at: Callable[[int], list[int]]) -> None:
    settled_at(100)
    compared(replace(BRIEF, seeds=(1, 1), out=str(tmp_path)))
    first = {path: path.read_bytes() for path in (tmp_path / "records").iterdir()}
    compared(replace(BRIEF, seeds=(2, 2), margin=2.0, minutes=60, out=str(tmp_path)))
    assert seeds(tmp_path)["l1_loss"] == [1, 2]
    assert all(path.read_bytes() == before for path, before in first.items())
    stored = load_plan(tmp_path)
    assert (stored.seeds, stored.margin) == ((2, 2), 2.0)  # what the report is judged by
    for other in (replace(BRIEF, steps=5), replace(BRIEF, trials=2), replace(BRIEF, losses=("mse_loss",))):
        with pytest.raises(Refused, match="holds a run of another plan"):
            prepare(resolved(replace(other, out=str(tmp_path))).plan)


def test_a_run_goes_on_with_the_seeds_stored_unless_others_are_named(tmp_path: Path) -> None:
    prepare(resolved(replace(BRIEF, seeds=(2, 4), margin=3.0, minutes=5, out=str(tmp_path))).plan)
    asked = Plan(seeds=(9, 9), margin=1.0, out=str(tmp_path))
    as_stored, with_seeds = resumed(asked).plan, resumed(asked, ("seeds",)).plan
    assert (as_stored.seeds, as_stored.margin, as_stored.minutes) == ((2, 4), 3.0, 0)
    assert (with_seeds.seeds, with_seeds.margin) == ((9, 9), 3.0)


def test_the_margin_is_in_points_where_the_metric_is_a_share() -> None:
    assert Plan(margin=2.0).margin_of(primary("classification")) == 0.02
    assert Plan(margin=2.0).margin_of(primary("regression")) == 2
    assert Plan().margin_of(primary("classification")) is None


def test_a_plan_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    release = Path(__file__).parents[1] / "releases" / "0.2.0" / "run" / "plan.json"
    (tmp_path / "plan.json").write_text(release.read_text().replace("table.csv", "digits"))
    plan = load_plan(tmp_path)
    assert (plan.seeds, plan.epochs, plan.steps) == ((2, 2), 3, 0)


def test_looks_that_a_kill_has_fallen_between_are_taken_again(
    tmp_path: Path, settled_at: Callable[[int], list[int]]
) -> None:
    # Killed on the way from three seeds to five, a run that was not settled at three must come to the same verdict.
    shown = settled_at(5)
    compared(replace(BRIEF, out=str(tmp_path)))
    next(tmp_path.glob("records/tuned-l1_loss-5.json")).unlink()
    shown.clear()
    compared(replace(BRIEF, out=str(tmp_path)))
    assert shown == [3, 5, 5]
    assert seeds(tmp_path)["l1_loss"] == [1, 2, 3, 4, 5]


@dataclass
class Hand:
    """Of a clock that a test turns."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_job_that_would_end_after_the_time_given_is_not_begun() -> None:
    hand = Hand()
    clock = Clock(1, 2, {}, {"slow": 40.0, "quick": 10.0}, hand)
    slow, quick = (Job("final", loss, 1) for loss in ("slow", "quick"))
    assert clock.may_begin(slow)
    assert clock.together([slow, slow, quick, Job("baseline", "raw", 0)]) == 45
    hand.now = 30
    assert not clock.may_begin(slow)
    assert clock.may_begin(quick)  # which is done before
    clock.note(Done(slow, 20.0))  # runs end earlier than their bound
    assert clock.may_begin(slow)
    hand.now = 61
    assert clock.may_begin(Job("baseline", "raw", 0)) is False
    assert [job.loss for job in clock.not_begun] == ["slow", "raw"]
    assert Clock(0, 2, {}, {"slow": 1e9}, hand).may_begin(slow)


def test_what_is_done_when_the_time_is_up_is_judged_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def impatient(self: Clock, job: Job) -> bool:
        if job.stage == "final" and job.number > 1:
            self.not_begun.append(job)
            return False
        return True

    with monkeypatch.context() as patched:
        patched.setattr(Clock, "may_begin", impatient)
        said = compared(replace(BRIEF, minutes=2, out=str(tmp_path)))
    assert "2 minutes: 4 runs were not begun because they would have ended later; the same command continues" in said
    assert "mse_loss" in said
    assert (tmp_path / "report.html").exists()
    assert seeds(tmp_path) == {"mse_loss": [1], "l1_loss": [1]}
    compared(replace(BRIEF, seeds=(3, 3), minutes=2, out=str(tmp_path)))
    assert seeds(tmp_path) == {"mse_loss": [1, 2, 3], "l1_loss": [1, 2, 3]}


def test_a_comparison_takes_as_long_as_its_workers_its_baselines_and_its_report_too() -> None:
    clock = Clock(0, 2, {}, {"slow": 40.0, "quick": 10.0}, fitted=("boosting",))
    quick, baselines = Job("final", "quick", 1), [Job("baseline", name, 0) for name in ("mean", "boosting")]
    assert clock.together(baselines) == FIT
    assert clock.together([quick, quick, quick, *baselines]) == (3 * 10 + FIT) / 2
    assert clock.together([Job("final", "slow", 1), quick]) == 40  # which no second worker shortens
    assert clock.overall([quick, quick], here=True) == 10 + REPORT
    assert clock.overall([quick, quick]) == START + 10 + REPORT


@pytest.fixture
def a_step_takes(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the seconds per step that the lab measures before the start."""

    def take(seconds: float) -> None:
        monkeypatch.setattr(comparison, "timed", lambda *_: seconds)

    return take


def test_the_cost_is_said_before_the_start_and_not_where_all_is_done(
    tmp_path: Path, a_step_takes: Callable[[float], None]
) -> None:
    a_step_takes(0.01)
    plan = replace(BRIEF, seeds=(3, 3), workers=1, out=str(tmp_path))
    cost = "2 losses x (1 trial + 3 seeds) x at most 4 steps: about half a minute with 1 worker"
    assert cost in compared(plan)
    assert "at most 4 steps" not in compared(plan)


def test_the_first_verdict_and_the_last_have_times_of_their_own_unless_they_sound_alike(
    tmp_path: Path, a_step_takes: Callable[[float], None]
) -> None:
    a_step_takes(0.01)
    said = compared(replace(BRIEF, out=str(tmp_path / "short")))
    assert "(1 trial + 3 to 7 seeds) x at most 4 steps: about half a minute with 2 workers" in said
    a_step_takes(30.0)  # 8 runs to the first verdict and 16 to the last, each of 2 minutes, two at a time
    said = compared(replace(BRIEF, out=str(tmp_path / "long")))
    assert "4 steps: a first verdict in about 8 minutes, the last in 16 minutes with 2 workers" in said


def test_times_are_told_as_one_says_them() -> None:
    assert [spelled(s) for s in (0.2, 44, 45, 89, 90, 660, 5400)] == [
        "half a minute",
        "half a minute",
        "1 minute",
        "1 minute",
        "2 minutes",
        "11 minutes",
        "1.5 hours",
    ]


@pytest.mark.parametrize(
    ("asked", "plan"),
    [
        ("5", (5, 5)),
        (5, (5, 5)),
        ("3..10", (3, 10)),
        ((3, 10), (3, 10)),
    ],
)
def test_seeds_are_a_number_or_the_first_and_the_most(asked: Any, plan: tuple[int, int]) -> None:
    assert budget(seeds=asked) == {"seeds": plan}


@pytest.fixture
def own_data() -> Any:
    import torch

    inputs = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    return torch.utils.data.TensorDataset(inputs, inputs.sum(1))


def test_python_code_bounds_a_comparison_in_the_same_words(tmp_path: Path, own_data: Any) -> None:
    from torch import nn

    out = tmp_path / "run"
    options: dict[str, Any] = {"losses": ["mse_loss", "l1_loss"], "out": out, "trials": 1}
    lossary.lab.compare(lambda: nn.Linear(4, 1), own_data, seeds=1, steps=3, **options)
    lossary.lab.compare(lambda: nn.Linear(4, 1), own_data, seeds=(2, 2), steps=3, minutes=5, margin=0.1, **options)
    assert seeds(out)["mse_loss"] == [1, 2]
    with pytest.raises(Refused, match="steps: wanted at least 1; got 0"):
        lossary.lab.compare(lambda: nn.Linear(4, 1), own_data, steps=0, **options)


def test_the_second_and_third_trial_are_at_learning_rates_far_from_the_first(tmp_path: Path) -> None:
    compared(replace(BRIEF, trials=3, seeds=(1, 1), out=str(tmp_path)))
    for loss in ("mse_loss", "l1_loss"):
        rates = [trial.params["lr"] for trial in study.trials(Storage(tmp_path)) if trial.loss == loss]
        assert rates == pytest.approx([2e-3, 6e-3, 2e-3 / 3])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("rate", ["lr", "head_lr"])
def test_learning_rates_are_drawn_within_the_same_factor_whatever_they_are_of(rate: str, optimizer: Optimizer) -> None:
    entrant = entrants(("cosface_loss",), "classification")["cosface_loss"]
    within = study.Search(entrant, "classification", optimizer).space[rate]
    assert isinstance(within, Range)
    usual = LEARNING_RATES[optimizer][rate]
    assert (within.low, within.high) == pytest.approx((usual / 10, usual * 10))

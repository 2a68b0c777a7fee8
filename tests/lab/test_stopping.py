"""When a run may end, and what has not learned when it did."""

import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from lossary.lab.run.record import Point, Record, load_all
from lossary.lab.run.stopping import Watch, not_learned
from lossary.lab.tasks.scoring import primary

RECALL = primary("zero-shot")
ERROR = primary("regression")
RELEASES = Path(__file__).parents[1] / "releases"


def points(scores: Iterable[float], every: int = 14) -> list[Point]:
    return [Point(every * n, n, 1.0, score) for n, score in enumerate(scores, start=1)]


def dip(looks: int, of: int = 60) -> list[float]:
    """A class head with a margin: from 0.45 it falls to 0.2 in a sixth of the way, then rises to 0.85."""
    return [0.2 + 0.25 * math.exp(-n / 2) + 0.65 / (1 + math.exp(-(n - of / 2) / 4)) for n in range(looks)]


def rise(looks: int) -> list[float]:
    return [0.9 - 0.5 * math.exp(-n / 5) for n in range(looks)]


def runs(loss: str, curve: list[float], score: float, seeds: int = 3) -> list[Record]:
    metrics = {RECALL.name: score}
    return [
        Record(loss, "cosface_loss", "tuned", seed, {}, metrics, [score], points(curve), 14 * len(curve))
        for seed in range(1, seeds + 1)
    ]


def baseline(name: str, score: float, *, fitted: bool = False) -> Record:
    return Record(name, "", "baseline", 0, {}, {RECALL.name: score}, [score], fitted=fitted)


FREE = [baseline("raw pixels", 0.5), baseline("untrained network", 0.45)]


def watched(scores: Iterable[float]) -> tuple[int | None, bool]:
    """After how many steps a run of these scores ends by itself, and whether it was still rising."""
    watch = Watch(10, higher_is_better=True)
    for point in points(scores, every=10):
        watch.look(point)
        if watch.finished:
            return point.step, watch.still_rising
    return None, watch.still_rising


@pytest.mark.parametrize(
    ("scores", "stops_at", "rising"),
    [
        ([0.1 + 0.02 * i for i in range(40)], None, True),  # rises to the end
        ([0.5] * 60, 410, False),  # flat: 400 steps without a better look
        ([0.3, 0.1] + [0.1] * 30 + [0.2 + 0.01 * i for i in range(32)], None, True),  # falls before it rises
        ([0.02 * i for i in range(24)] + [0.46] * 60, 640, False),  # rose, and 400 steps without a better look
        ([0.01 * i for i in range(150)] + [1.49] * 80, 2070, False),  # a third of what it took, and until it looks flat
        ([0.02 * i for i in range(32)] + [0.6201 + 1e-4 * i for i in range(60)], 720, False),  # creeps at the end
        (dip(40, of=120), None, True),  # the bound ends it on its way out of a dip
        ([0.45 - 0.02 * i for i in range(12)] + [0.22] * 58, None, True),  # in a dip to the end
        ([0.3 + 0.03 * i for i in range(10)] + [0.57 - 0.005 * i for i in range(50)], 500, False),  # overfits
        # A first look that is not reached again for long is no reason to stop on the way up to it.
        ([0.6] + [0.2 + 0.01 * i for i in range(38)], None, True),
    ],
)
def test_when_training_stops_and_what_it_calls_rising(scores: list[float], stops_at: int | None, rising: bool) -> None:
    assert watched(scores) == (stops_at, rising)


def test_looks_are_apart_by_their_distance_or_by_a_share_of_the_steps_done() -> None:
    watch, looks = Watch(20, higher_is_better=True), []
    for step in range(1, 1001):
        if watch.due(step):
            watch.look(Point(step, 0, 0.0, 0.0))
            looks.append(step)
    assert looks[:3] == [20, 40, 60]
    assert [b - a for a, b in pairwise(looks)][-1] == 47
    assert len(looks) < 50


def test_the_best_look_is_kept() -> None:
    watch = Watch(10, higher_is_better=False)
    assert [watch.look(point) for point in points([5, 3, 4, 3, 2])] == [True, True, False, False, True]


def test_a_loss_that_was_stopped_in_its_dip_has_not_learned() -> None:
    # What `emoji --quick` did to cosface: best weights from the second epoch of 20, below raw pixels.
    records = [*FREE, *runs("supcon", rise(20), 0.8), *runs("cosface", dip(20), 0.42)]
    assert not_learned(records, RECALL) == {
        "cosface": "it was still climbing out of a dip at step 280; more steps: --steps 1200"
    }


def test_a_loss_that_went_through_its_dip_has_learned() -> None:
    assert not_learned([*FREE, *runs("cosface", dip(60), 0.84)], RECALL) == {}


def test_a_loss_whose_first_weights_were_its_best_has_not_learned_unless_they_beat_what_costs_nothing() -> None:
    collapsed = [0.46, 0.45] + [0.2] * 38
    assert not_learned([*FREE, *runs("triplet", collapsed, 0.44)], RECALL) == {
        "triplet": "its best weights are from step 14 of 560 and do not beat raw pixels; "
        "more steps: --steps 2300, or a smaller learning rate"
    }
    assert not_learned([*FREE, *runs("triplet", collapsed, 0.6)], RECALL) == {}
    # It overfits, but not below where it began.
    flat = [0.46, 0.47] + [0.46] * 38
    found = not_learned([*FREE, *runs("triplet", flat, 0.44)], RECALL)
    assert found["triplet"].endswith("do not beat raw pixels; a smaller learning rate")


def test_a_baseline_that_was_fitted_is_no_bar() -> None:
    early = [0.8, 0.81] + [0.8] * 38
    strong = baseline("boosting", 0.9, fitted=True)
    assert not_learned([*FREE, strong, *runs("supcon", early, 0.8)], RECALL) == {}
    assert not_learned([*FREE, replace(strong, fitted=False), *runs("supcon", early, 0.8)], RECALL)


def test_one_run_of_many_in_a_dip_is_no_verdict_on_the_loss() -> None:
    records = [
        *runs("cosface", dip(60), 0.84, seeds=3),
        *(replace(r, seed=9) for r in runs("cosface", dip(20), 0.4, 1)),
    ]
    assert not_learned([*FREE, *records], RECALL) == {}


def test_where_less_is_better_a_dip_is_a_hill() -> None:
    error = {ERROR.name: 60.0}
    hill = [1 - value for value in dip(20)]
    records = [replace(r, metrics=error) for r in runs("huber", hill, 0)]
    assert "climbing out of a dip" in not_learned(records, ERROR)["huber"]
    falling = [replace(r, metrics=error) for r in runs("huber", [1 - value for value in rise(40)], 0)]
    assert not_learned(falling, ERROR) == {}


def test_the_defaults_count_where_nothing_was_tuned() -> None:
    default = [replace(r, role="default", seed=0) for r in runs("cosface", dip(20), 0.42, seeds=1)]
    assert "cosface" in not_learned([*FREE, *default], RECALL)
    assert not_learned([*FREE, *default, *runs("cosface", dip(60), 0.84)], RECALL) == {}


@pytest.mark.parametrize("release", sorted(path.name for path in RELEASES.iterdir() if path.is_dir()))
def test_real_records_that_have_learned(release: str) -> None:
    assert not_learned(load_all(RELEASES / release / "run"), primary("classification")) == {}

"""Ranks that disagree are told so, each of them, by name and within seconds; a rank that is silent is named."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from torch import distributed
from torch.distributed import ProcessGroup, Work

from distributed import disagreements
from distributed.counting import traffic
from distributed.disagreements import CASES, LEARNS, OF_REFERENCES, SILENT, WORLDS, Asked
from distributed.launch import launch
from lossary.distributed import handshake

Told = list[dict[str, Any]]


def of_ranks(run: Any, size: int, folder: Path) -> Told:
    launch(run, size, folder)
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return of_ranks(disagreements.of_a_rank, 2, tmp_path_factory.mktemp("told"))


@pytest.mark.parametrize("name", CASES)
def test_every_rank_is_told_what_they_disagree_on(name: str, told: Told) -> None:
    for rank, expected in zip(told, CASES[name].told, strict=True):
        assert re.search(expected, rank[name]["told"]), rank[name]["told"]
        assert rank[name]["afterwards"] == "nothing"


def test_every_loss_that_takes_a_group_is_asked() -> None:
    assert sum(name.endswith("_loss: refused") for name in CASES) >= 11


@pytest.mark.parametrize(
    ("ask", "exchanges"),
    [
        (LEARNS, ["gather"] * 3 + ["total", "sum"]),  # sizes, embeddings, labels; the divisor, and the gradient
        (OF_REFERENCES, ["gather"]),  # nothing is gathered: the divisor comes to the meeting
    ],
)
def test_agreeing_costs_no_exchange_of_its_own(ask: Asked, exchanges: list[str], tmp_path: Path) -> None:
    disagreements.join(0, 1, tmp_path)
    told: list[str] = []
    try:
        made = traffic(lambda: told.append(disagreements.attempt(ask, distributed.group.WORLD)))
    finally:
        distributed.destroy_process_group()
    assert told == ["nothing"]
    assert made.calls == exchanges


@pytest.fixture(scope="module")
def silence(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, str]]:
    """By what three ranks do, what each that lives is told."""
    folder = tmp_path_factory.mktemp("silence")
    for place in range(len(SILENT)):
        (folder / str(place)).mkdir()
    launch(disagreements.silent, 3 * len(SILENT), folder)
    return {
        name: {int(path.stem): path.read_text() for path in (folder / str(place)).glob("*.txt")}
        for place, name in enumerate(SILENT)
    }


@pytest.mark.parametrize(
    ("name", "silent"),
    [
        ("one does not come", "rank 1"),
        ("one comes without group", "rank 1"),
        ("one does not come to backward", "rank 1"),
        ("two do not come", "ranks 1, 2"),
        ("one dies", "rank 1"),
    ],
)
def test_a_rank_that_does_not_come_is_named_after_the_time_out(
    name: str, silent: str, silence: dict[str, dict[int, str]]
) -> None:
    numbers = {int(n) for n in re.findall(r"\d", silent)}
    told = silence[name]
    assert {0, 2} - numbers <= set(told)
    for rank, text in told.items():
        if rank not in numbers:
            assert f"group: {silent} did not come to the exchange after" in text
        else:
            assert text == "nothing"


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("away")
    for way, name in WORLDS:
        (folder / way / name).mkdir(parents=True)
    launch(disagreements.inside, 3 * len(WORLDS), folder)
    return folder


@pytest.mark.parametrize(("way", "name"), WORLDS)
def test_a_rank_that_leaves_a_ring_or_shards_is_named_by_the_others(way: str, name: str, away: Path) -> None:
    for rank in (0, 2):
        told = (away / way / name / f"{rank}.txt").read_text()
        assert ("group: rank 1 did not come to the exchange after" in told) if name != "late" else told == "nothing"


def test_a_rank_that_is_late_is_waited_for(silence: dict[str, dict[int, str]]) -> None:
    assert silence["all come, one of them late"] == dict.fromkeys(range(3), "nothing")


class EndsJustNow:
    """An exchange that ends between a wait that is given up and the question whether it has ended."""

    def __init__(self, failure: str) -> None:
        self.failure = failure

    def wait(self, timeout: timedelta | None = None) -> None:
        if timeout is not None:
            raise RuntimeError("Operation timed out!")
        if self.failure:
            raise RuntimeError(self.failure)

    def is_completed(self) -> bool:
        return True


def test_an_exchange_that_ends_as_its_first_wait_is_given_up_has_not_failed(tmp_path: Path) -> None:
    disagreements.join(0, 1, tmp_path)
    group = cast(ProcessGroup, distributed.group.WORLD)
    try:
        handshake.wait(cast(Work, EndsJustNow("")), group)
        with pytest.raises(RuntimeError, match="connection closed"):
            handshake.wait(cast(Work, EndsJustNow("connection closed")), group)
    finally:
        distributed.destroy_process_group()

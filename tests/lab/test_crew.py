"""Several processes that train a run together: step for step what one process does."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed

from distributed.disagreements import join
from distributed.launch import launch
from lossary.lab.data.loading import load
from lossary.lab.data.types import Data
from lossary.lab.run.crew import CREW, Crew
from lossary.lab.run.entrants import entrants
from lossary.lab.run.plan import Plan
from lossary.lab.run.train import Trainer
from usual import some

WORLD = 2
#: A loss that takes ``group``, a head, a sum; losses of pairs; one with weights of items. AdamW divides by gradients,
#: which of a head's many classes may be nothing but rounding.
ALL = [
    ("emoji", "supcon_loss", "adamw"),
    ("emoji", "arcface_loss", "sgd"),
    ("emoji", "cross_entropy + 0.01*center_loss", "sgd"),
    ("chatterbot", "multiple_negatives_ranking_loss", "adamw"),
    ("chatterbot", "triplet_margin_loss", "adamw"),
    ("diabetes", "rmse_loss", "adamw"),
]
CASES = some(ALL, 2, "crew")
STEPS = 20
#: An odd number of items, which two processes cannot have equally many of, and that of each class.
ODD = 63


class Doubled:
    def __init__(self, inputs: Any) -> None:
        self.inputs = inputs

    def __getitem__(self, batch: Tensor) -> Tensor:
        return self.inputs[batch].double()


@contextmanager
def in_double() -> Generator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def doubled(data: Data) -> Data:
    targets = data.train.targets
    targets = targets.double() if targets.is_floating_point() else targets
    weights = torch.tensor([1.0, 0.0, 2.5]).double().repeat(len(targets))[: len(targets)]
    given = weights if data.task == "regression" else None
    return replace(data, train=replace(data.train, inputs=Doubled(data.train.inputs), targets=targets, weights=given))


def steps(data: Data, name: str, loss: str, optimizer: Any) -> tuple[list[float], dict[str, Tensor]]:
    """Each step's loss, and the weights at the end."""
    plan = Plan(
        name, losses=(loss,), batch=ODD if name == "emoji" else 0, steps=STEPS, device="cpu", optimizer=optimizer
    )
    (entrant,) = entrants((loss,), data.task).values()
    trainer = Trainer(entrant, {}, data, plan, seed=1)
    losses = [trainer.step() for _ in range(STEPS)]
    return losses, {**trainer.learner.state_dict(), **dict(trainer.averaged.named_parameters(prefix="averaged"))}


def found() -> dict[Any, Any]:
    with in_double():
        return {case: steps(doubled(load(Plan(case[0]))), *case) for case in CASES}


def of_a_rank(rank: int, folder: Path) -> None:
    join(rank, WORLD, folder)
    torch.set_num_threads(1)
    world = distributed.group.WORLD
    assert world is not None
    CREW.set(Crew(world, world))
    torch.save(found(), folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, Any]]:
    folder = tmp_path_factory.mktemp("crew")
    launch(of_a_rank, WORLD, folder)
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


@pytest.fixture(scope="module")
def alone() -> dict[Any, Any]:
    return found()


@pytest.mark.parametrize("case", CASES, ids=", ".join)
def test_twenty_steps_are_those_of_one_process(
    case: tuple[str, str, str], together: list[dict[Any, Any]], alone: dict[Any, Any]
) -> None:
    losses, weights = alone[case]
    for their_losses, theirs in (rank[case] for rank in together):
        assert their_losses == pytest.approx(losses, rel=1e-10, abs=1e-10)
        assert theirs.keys() == weights.keys()
        for name, weight in weights.items():
            assert (theirs[name] - weight).abs().max() < 1e-10, name

"""One trial: a network trained with one loss, seeded, on one thread.

The learning rate is constant and what is judged is a moving average of the weights. So a run does not depend on its
bound: a longer one begins with the very same steps, and a curve that has stopped rising means what it says. (A
schedule that ends at the bound would bend every curve flat there.)
"""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lossary import __version__
from lossary.core.card import Card
from lossary.lab.augment import augment
from lossary.lab.batches import m_per_class, shuffled
from lossary.lab.data import Data
from lossary.lab.kinds import KINDS, Criterion, attach
from lossary.lab.metrics import own_scores, primary, primary_score
from lossary.lab.plan import Plan
from lossary.lab.record import Point

#: Learning rates of the network and of a loss's own weights, where nothing is tuned.
LEARNING_RATES = {"lr": 2e-3, "head_lr": 2e-2}
WEIGHT_DECAY = 0.01
AVERAGE = 0.98  # of the weights; over about 50 steps


class Diverged(Exception):
    """A trial that failed for a reason worth telling: its loss or its outputs are no finite numbers."""


class Learner(nn.Module):
    """A network and the loss it is trained with."""

    def __init__(self, card: Card, params: Mapping[str, Any], data: Data, seed: int) -> None:
        super().__init__()
        task = KINDS[data.kind]
        size = data.embedding_size or task.size
        torch.manual_seed(seed)
        # The network first: its weights then are the same whatever weights the loss draws.
        self.network = task.network(data)
        self.criterion: Criterion = attach(card, params, data.kind, size, task.classes(data.train))

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return self.criterion(outputs(self.network, inputs), targets)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> np.ndarray:
        self.eval()
        predicted = torch.cat([self.criterion.predict(outputs(self.network, part)) for part in inputs.split(256)])
        if not predicted.isfinite().all():
            raise Diverged("the network's outputs are no longer finite")
        return predicted.numpy()


@dataclass
class Outcome:
    """What training gave: the learner at its best by the validation split, and how it got there."""

    learner: Learner
    best: float
    curve: list[Point]
    steps: int
    seconds: float
    seconds_per_step: float
    still_rising: bool


def outputs(network: nn.Module, inputs: Tensor) -> Tensor:
    """(N, size); one value an item where the size is 1."""
    out = network(inputs)
    return out.squeeze(1) if out.shape[1:] == (1,) else out


def batches(card: Card, data: Data, plan: Plan, generator: Generator) -> Iterator[Tensor]:
    """Indices of training items without end; under ``same-batches`` the same for every loss."""
    size, m = data.batch or KINDS[data.kind].batch
    by_class = m > 0 and (plan.protocol == "same-batches" or card.batch == "m-per-class")
    if by_class:
        return m_per_class(data.train.targets, size, m, generator)
    return shuffled(len(data.train), size, generator)


def train(card: Card, params: Mapping[str, Any], data: Data, plan: Plan, seed: int) -> Outcome:
    """Train until the validation metric has stopped rising, or to the plan's bound.

    Args:
        params: ``lr`` and ``head_lr`` (AdamW's, for the network and the loss's own weights), and the loss's own
            hyperparameters.

    Raises:
        Diverged: if the loss or the outputs stop being finite numbers.
    """
    rates = {name: params.get(name, rate) for name, rate in LEARNING_RATES.items()}
    own = {name: value for name, value in params.items() if name not in LEARNING_RATES}
    learner = Learner(card, own, data, seed)
    groups = [
        {"params": list(learner.network.parameters()), "lr": rates["lr"]},
        {"params": list(learner.criterion.parameters()), "lr": rates["head_lr"]},
    ]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], weight_decay=WEIGHT_DECAY)
    average = AveragedModel(learner, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE), use_buffers=True)
    watch = Watch(data, plan.epochs)
    generator = Generator().manual_seed(seed)
    steps_per_epoch = max(1, len(data.train) // (data.batch or KINDS[data.kind].batch)[0])
    feed = batches(card, data, plan, generator)
    started, durations, losses = time.perf_counter(), [], []
    for epoch in range(1, plan.epochs + 1):
        learner.train()
        for _ in range(steps_per_epoch):
            begun = time.perf_counter()
            losses.append(_step(learner, optimizer, average, data, next(feed), generator))
            durations.append(time.perf_counter() - begun)
        if epoch % watch.every == 0 or epoch == plan.epochs:
            watch.look(average.module, len(losses), epoch, statistics.fmean(losses[-steps_per_epoch * watch.every :]))
            if watch.finished:
                break
    return replace(
        watch.outcome(),
        steps=len(losses),
        seconds=time.perf_counter() - started,
        seconds_per_step=statistics.median(durations),
    )


def _step(
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    average: AveragedModel,
    data: Data,
    batch: Tensor,
    generator: Generator,
) -> float:
    loss = loss_of(learner, data, batch, generator)
    if not loss.isfinite():
        raise Diverged(f"the loss became {loss.item()}")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    average.update_parameters(learner)
    return loss.item()


def loss_of(learner: Learner, data: Data, batch: Tensor, generator: Generator) -> Tensor:
    """The loss of a batch of training items, given by index."""
    inputs = data.train.inputs[batch]
    if data.augmented:
        inputs = augment(inputs, generator).contiguous(memory_format=torch.channels_last)
    return learner(inputs, data.train.targets[batch])


class Watch:
    """Looks at the validation metric now and then, keeps the best learner, says when it has stopped rising.

    At least half of the bound is run, because class heads fall below the untrained network before they rise; then a
    quarter of the bound without a new best ends it.
    """

    def __init__(self, data: Data, bound: int) -> None:
        self.data = data
        self.bound = bound
        self.every = max(1, bound // 30)
        self.sign = 1 if primary(data.kind, data.metric_name).higher_is_better else -1
        self.curve: list[Point] = []
        self.best: Learner | None = None
        self.best_point: Point | None = None

    def look(self, learner: nn.Module, step: int, epoch: int, train_loss: float) -> None:
        assert isinstance(learner, Learner)
        kind, valid = self.data.kind, self.data.valid
        found = KINDS[kind].arrays(learner.predict(valid.inputs), valid, self.data)
        own = self.data.metric
        score = float(own_scores(own, *found.values()).mean()) if own else primary_score(kind, **found)
        point = Point(step, epoch, train_loss, score)
        self.curve.append(point)
        if self.best_point is None or self.sign * score > self.sign * self.best_point.valid:
            self.best_point, self.best = point, deepcopy(learner)

    @property
    def finished(self) -> bool:
        assert self.best_point is not None
        epoch = self.curve[-1].epoch
        return epoch >= self.bound / 2 and epoch - self.best_point.epoch >= self.bound / 4

    @property
    def still_rising(self) -> bool:
        """Stopped by the bound, and the last eighth better than the eighth before by more than 1 %."""
        eighth = max(1, len(self.curve) // 8)
        if self.finished or len(self.curve) < 2 * eighth:
            return not self.finished
        last = statistics.fmean(p.valid for p in self.curve[-eighth:])
        before = statistics.fmean(p.valid for p in self.curve[-2 * eighth : -eighth])
        return self.sign * (last - before) > 0.01 * abs(before)

    def outcome(self) -> Outcome:
        assert self.best is not None
        assert self.best_point is not None
        return Outcome(self.best, self.best_point.valid, self.curve, 0, 0.0, 0.0, self.still_rising)


def environment() -> dict[str, str]:
    """What a result may depend on beside the plan."""
    return {
        "lossary": " ".join((__version__, *commit())),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {processor()}",
    }


@lru_cache(1)
def commit() -> tuple[str, ...]:
    """The commit of the checkout that runs, with a + where files were changed; nothing for an installed package."""
    git = ("git", "-C", str(Path(__file__).parent))
    try:
        # A package installed inside of somebody's checkout is no file of it.
        subprocess.run((*git, "ls-files", "--error-unmatch", __file__), capture_output=True, check=True)
        named = subprocess.run(
            (*git, "describe", "--always", "--exclude=*", "--dirty=+"), capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ()
    return (f"({named.stdout.decode().strip()})",)


def processor() -> str:
    """What the processor is called, where the system says it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown processor")

"""One trial: a network trained with one loss, seeded, on one thread.

By default the learning rate is constant, a moving average of the weights is judged, and when to look and when to end
depend only on the steps done and the curve. So a run does not depend on its bound: a longer run begins with the very
same steps, one that ended by itself would have done so under any bound, and a curve that stopped rising really has
stopped. A schedule that ends at the bound flattens every curve there: under a schedule, a run goes to its bound, and
runs of that many steps are compared.
"""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lossary import __version__
from lossary.lab.data.types import AtHand, Data
from lossary.lab.run.augment import augment
from lossary.lab.run.batches import m_per_class, shuffled
from lossary.lab.run.crew import ALONE, CREW, Alone
from lossary.lab.run.devices import chosen, multiplying, placed, scaler
from lossary.lab.run.entrants import Entrant, entrants
from lossary.lab.run.measured import Measure, measures, watched_score
from lossary.lab.run.optimizers import LEARNING_RATES, RATES, optimizer_of, scheduler_of
from lossary.lab.run.options import Precision
from lossary.lab.run.plan import Plan
from lossary.lab.run.record import Point
from lossary.lab.run.stopping import Watch
from lossary.lab.tasks import task_of
from lossary.lab.tasks.base import Criterion

AVERAGE = 0.98  # of the weights; over about 50 steps
LOOK_EVERY = 20  # steps, at the start; more with many validation items, so that looks take less time than steps


class Diverged(Exception):
    """A trial that failed for a reason worth reporting: its loss or its outputs are not finite."""


class Learner(nn.Module):
    """A network and the loss that trains it."""

    def __init__(self, entrant: Entrant, params: Mapping[str, Any], data: Data, seed: int) -> None:
        super().__init__()
        task = task_of(data.task)
        size = data.embedding_size or task.size
        torch.manual_seed(seed)
        # The network first: its weights are then the same whatever weights the loss draws.
        self.network = task.network(data)
        self.criterion: Criterion = entrant.attach(params, data.task, size, task.classes(data.train))

    @property
    def takes_group(self) -> bool:
        return self.criterion.takes_group

    def embed(self, inputs: Tensor) -> Tensor:
        return outputs(self.network, inputs)

    def loss_of(self, outputs: Tensor, targets: Tensor, **given: Any) -> Tensor:
        return self.criterion(outputs, targets, **given)

    @torch.no_grad()
    def predict(self, inputs: AtHand) -> np.ndarray:
        self.eval()
        device = next(self.parameters()).device
        parts = (outputs(self.network, part.to(device)) for part in inputs.split(256))
        predicted = torch.cat([self.criterion.predict(part) for part in parts])
        if not predicted.isfinite().all():
            raise Diverged("the network's outputs are no longer finite")
        return predicted.cpu().numpy()


@dataclass
class Outcome:
    """The result of training: the learner at its best on the validation split, and how it got there."""

    learner: Learner
    best: float
    curve: list[Point]
    steps: int
    seconds: float
    seconds_per_step: float
    still_rising: bool


def outputs(network: nn.Module, inputs: Tensor) -> Tensor:
    """(N, size); one value per item if the size is 1."""
    out = network(inputs)
    return out.squeeze(1) if out.shape[1:] == (1,) else out


def batch_of(data: Data, plan: Plan) -> tuple[int, int]:
    """Items per batch, and per class in it (0: in random order)."""
    size, of_class = data.batch or task_of(data.task).batch
    return plan.batch or size, of_class


def steps_per_epoch(data: Data, plan: Plan) -> int:
    return max(1, len(data.train) // batch_of(data, plan)[0])


def batches(entrant: Entrant, data: Data, plan: Plan, generator: Generator) -> Iterator[Tensor]:
    """Endless indices of training items; under ``same-batches`` the same for every loss.

    Batches hold several items of each class only if some loss compares items: such batches train for equally frequent
    classes.
    """
    size, m = batch_of(data, plan)
    same = plan.protocol == "same-batches" and plan.losses
    together = entrants(plan.losses, data.task).values() if same else (entrant,)
    if m and any(one.batch == "m-per-class" for one in together):
        return m_per_class(data.train.targets, size, m, generator)
    return shuffled(len(data.train), size, generator)


class Trainer:
    """A learner, and everything that changes its weights step by step."""

    def __init__(self, entrant: Entrant, params: Mapping[str, Any], data: Data, plan: Plan, seed: int) -> None:
        own = {name: value for name, value in params.items() if name not in RATES}
        rates = {**LEARNING_RATES[plan.optimizer], **{name: params[name] for name in RATES if name in params}}
        device = torch.device(chosen(plan.device))
        self.bound = plan.bound(steps_per_epoch(data, plan))
        self.precision: Precision = plan.precision
        self.data = placed(data, device)
        self.learner = Learner(entrant, own, data, seed).to(device).train()
        network, own_weights = self.learner.network, self.learner.criterion.parameters()
        self.optimizer = optimizer_of(plan.optimizer, network, own_weights, rates, plan.weight_decay)
        self.scheduler = scheduler_of(plan.schedule, self.optimizer, self.bound)
        self.scaler = scaler(plan.precision, device)
        self.average = AveragedModel(self.learner, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE), use_buffers=True)
        self.crew = CREW.get()
        self.generator = Generator().manual_seed(seed)
        self.feed = batches(entrant, data, plan, self.generator)

    def step(self) -> float:
        """Train on one more batch; returns its loss.

        Raises:
            Diverged: if it is not finite.
        """
        loss = loss_of(self.learner, self.data, next(self.feed), self.generator, self.precision, self.crew)
        if self.crew.size == 1:  # of several processes, all must come to the exchange
            _finite(loss.item())
        self.optimizer.zero_grad()
        scale = self.scaler.get_scale()
        self.scaler.scale(loss).backward()
        value = _finite(self.crew.average(loss, self.learner))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scaler.get_scale() >= scale:  # otherwise float16 has overflowed, and nothing was changed
            self.scheduler.step()
        self.average.update_parameters(self.learner)
        return value

    @property
    def averaged(self) -> Learner:
        learner = self.average.module
        assert isinstance(learner, Learner)
        return learner


def _finite(loss: float) -> float:
    if not isfinite(loss):
        raise Diverged(f"the loss became {loss}")
    return loss


def train(entrant: Entrant, params: Mapping[str, Any], data: Data, plan: Plan, seed: int) -> Outcome:
    """Train until the validation metric has stopped rising, or to the plan's bound on steps.

    Args:
        params: ``lr`` and ``head_lr`` (the optimizer's, for the network and the loss's own weights), and the loss's own
            hyperparameters.

    Raises:
        Diverged: if the loss or the outputs stop being finite.
    """
    CREW.get().tell("train", entrant.label, dict(params), seed)
    trainer = Trainer(entrant, params, data, plan, seed)
    measure = measures(plan.metric, data)[0]
    every = max(LOOK_EVERY, len(data.valid) // (2 * batch_of(data, plan)[0]))
    watch = Watch(every, higher_is_better=measure.metric.higher_is_better)
    best = trainer.learner
    started, durations, losses = time.perf_counter(), [], []
    for step in range(1, trainer.bound + 1):
        begun = time.perf_counter()
        losses.append(trainer.step())
        durations.append(time.perf_counter() - begun)
        if watch.due(step) or step == trainer.bound:
            since = watch.points[-1].step if watch.points else 0
            epoch = -(-step // steps_per_epoch(data, plan))
            valid = trainer.crew.agreed(lambda: _score(trainer.averaged, trainer.data, data, measure))
            if watch.look(Point(step, epoch, statistics.fmean(losses[since:]), valid)):
                best = deepcopy(trainer.averaged)
            if watch.finished and plan.schedule == "constant":
                break
    assert watch.best is not None
    return Outcome(
        best,
        watch.best.valid,
        watch.points,
        steps=watch.points[-1].step,
        seconds=time.perf_counter() - started,
        seconds_per_step=statistics.median(durations),
        # A run under a schedule comes to rest at its bound; a longer one would still be rising there.
        still_rising=watch.still_rising if plan.schedule == "constant" else watch.curve.in_dip,
    )


def timed(entrant: Entrant, data: Data, plan: Plan, steps: int = 4) -> float:
    """Seconds per step: the median of a few, after one that is not counted; 0 if it cannot be trained."""
    CREW.get().tell("timed", entrant.label)
    trainer, durations = Trainer(entrant, {}, data, plan, seed=0), []
    with suppress(Diverged):  # the run itself will say so
        for _ in range(steps):
            begun = time.perf_counter()
            trainer.step()
            durations.append(time.perf_counter() - begun)
    return statistics.median(durations[1:] or [0.0])


def loss_of(
    learner: Learner,
    data: Data,
    batch: Tensor,
    generator: Generator,
    precision: Precision,
    crew: Alone = ALONE,
) -> Tensor:
    """The loss on a batch of training items, given by index; of several processes each reads its share."""
    share, items = crew.share(len(batch)), len(batch)
    batch = batch[share]
    inputs, targets = data.train.inputs[batch], data.train.targets[batch]
    if data.augmented:
        inputs = augment(inputs, generator, share, items).contiguous(memory_format=torch.channels_last)
    weights = data.train.weights
    given = {} if weights is None else {"sample_weight": weights[batch]}
    with multiplying(precision, inputs.device):
        return crew.loss(learner, inputs, targets, given)


def _score(learner: Learner, here: Data, data: Data, measure: Measure) -> float:
    """The watched metric on the validation split, whose inputs are ``here`` on the learner's device."""
    found = task_of(data.task).arrays(learner.predict(here.valid.inputs), data.valid, data)
    return watched_score(measure, data, found, data.valid.weights)


def environment() -> dict[str, str]:
    """What a result may depend on besides the plan."""
    crew = CREW.get()
    return {
        "lossary": " ".join((__version__, *commit())),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {processor()}",
        **({} if crew.size == 1 else {"processes": str(crew.size)}),
    }


@lru_cache(1)
def commit() -> tuple[str, ...]:
    """The commit of the running checkout, with a + if files were changed; empty for an installed package."""
    git = ("git", "-C", str(Path(__file__).parent))
    try:
        # A package installed inside somebody's checkout is not a file of it.
        subprocess.run((*git, "ls-files", "--error-unmatch", __file__), capture_output=True, check=True)
        named = subprocess.run(
            (*git, "describe", "--always", "--exclude=*", "--dirty=+"), capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ()
    return (f"({named.stdout.decode().strip()})",)


def processor() -> str:
    """The processor's name, if the system reports it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown processor")

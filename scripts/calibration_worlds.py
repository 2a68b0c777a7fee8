"""How often equal losses are said to differ, metric by metric: networks' outputs are simulated and scored.

    python scripts/calibration_worlds.py [--studies 1000] [--seed 0] [--worlds values,maps] [--metrics mae,iou]

A loss's output for a test item is its truth and a noise that all losses share, plus one of the loss, plus one of the
run: equal losses are drawn alike, and would score the same on ever more items. docs/decisions/0011 quotes the output;
scripts/calibrate_judge.py asks the same of the judge, with `World.units`.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from scipy.stats import binomtest

from lossary.lab.stats.two_way import TwoWay
from lossary.lab.tasks import TaskName, measures_of

Array = NDArray[Any]
Outputs = Mapping[str, Array]


@dataclass(frozen=True)
class Study:
    """What is compared, and the standard deviations of what makes runs differ."""

    losses: int = 2
    seeds: int = 5
    gap: float = 0.0  # how much more skill the last loss has
    item: float = 0.8  # noise of an item, in all runs alike
    loss_item: float = 0.4  # of a loss there: what suits it; 0: the same loss under several names
    run_item: float = 0.4  # of a run there
    run: float = 0.05  # of a run's skill
    erratic: float = 1.0  # how many times as much the first loss's skill varies
    heavy: bool = False  # all of them have Student's t distribution with 3 degrees of freedom

    def _normal(self, rng: np.random.Generator, *shape: int) -> Array:
        return rng.standard_t(3, shape) / np.sqrt(3) if self.heavy else rng.standard_normal(shape)

    def noise(self, rng: np.random.Generator, *shape: int) -> Array:
        """(losses, seeds, *shape)."""
        return (
            self.item * self._normal(rng, 1, 1, *shape)
            + self.loss_item * self._normal(rng, self.losses, 1, *shape)
            + self.run_item * self._normal(rng, self.losses, self.seeds, *shape)
        )

    def skill(self, rng: np.random.Generator, items: int) -> Array:
        """(losses, seeds, 1, ...) to multiply what has ``items`` axes by; about 1."""
        found = 1 + self.run * self._normal(rng, self.losses, self.seeds)
        found[0] = 1 + self.erratic * (found[0] - 1)
        found[-1] += self.gap
        return found.reshape(self.losses, self.seeds, *(1,) * items)


@dataclass(frozen=True)
class World:
    """A kind of task with its test items."""

    kind: TaskName
    draw: Callable[[np.random.Generator, Study], tuple[str, Array, str, Array]]  # what is given, of each run, and true
    apart: bool = False  # a run's items are compared with each other, so that runs are scored one by one

    def runs(self, rng: np.random.Generator, study: Study) -> Iterator[Iterator[Outputs]]:
        """What ``evaluate`` takes, a loss and a seed."""
        given, outputs, truth, true = self.draw(rng, study)
        return (({given: run, truth: true} for run in loss) for loss in outputs)

    def units(self, rng: np.random.Generator, study: Study, *metrics: str) -> dict[str, tuple[Array, int]]:
        """Of each metric the units (losses, seeds, units), and how many of them are independent."""
        return (self._one_by_one if self.apart else self._together)(rng, study, *metrics)

    def _together(self, rng: np.random.Generator, study: Study, *metrics: str) -> dict[str, tuple[Array, int]]:
        measures = measures_of(self.kind)
        given, outputs, truth, true = self.draw(rng, study)
        losses, seeds, items, *rest = outputs.shape
        known = np.broadcast_to(true, (losses * seeds, *true.shape)).reshape(-1, *true.shape[1:])
        read = _parted(measures.read(**{given: outputs.reshape(-1, *rest), truth: known}), losses, seeds, items)
        found = {name: measures.pseudo_values[name](read) for name in metrics}
        return {name: (units.values, int(units.draws[0, 0].sum())) for name, units in found.items()}

    def _one_by_one(self, rng: np.random.Generator, study: Study, *metrics: str) -> dict[str, tuple[Array, int]]:
        measures = measures_of(self.kind)
        read = [[measures.read(**run) for run in loss] for loss in self.runs(rng, study)]
        found = [[{name: measures.pseudo_values[name](run) for name in metrics} for run in loss] for loss in read]
        return {
            name: (np.array([[run[name].values for run in loss] for loss in found]), found[0][0][name].independent)
            for name in metrics
        }


def _parted(read: Any, *shape: int) -> Any:
    """What a task read of all runs after each other: its arrays with axes for the runs before that of the items."""
    if isinstance(read, np.ndarray):
        return read.reshape(*shape, *read.shape[1:])
    if is_dataclass(read):
        return type(read)(**{f.name: _parted(getattr(read, f.name), *shape) for f in fields(read)})
    if isinstance(read, tuple):
        parts = [_parted(part, *shape) for part in read]
        return type(read)(*parts) if hasattr(read, "_fields") else tuple(parts)
    return read


def yes_or_no(items: int, positives: int, digits: int = 9, steep: float = 1.0) -> World:
    def draw(rng: np.random.Generator, study: Study) -> tuple[str, Array, str, Array]:
        labels = np.arange(items) < positives
        score = steep * (2 * study.skill(rng, 1) * labels + study.noise(rng, items) - 1.5)
        return "probabilities", np.round(expit(score), digits), "labels", labels.astype(int)

    return World("binary", draw)


def tags(items: int, shares: tuple[float, ...]) -> World:
    """Labels of these shares, each with scores of its own."""

    def draw(rng: np.random.Generator, study: Study) -> tuple[str, Array, str, Array]:
        labels = rng.random((items, len(shares))) < shares
        score = 4 * study.skill(rng, 2) * labels + 2 * study.noise(rng, items, len(shares)) - 3
        return "probabilities", expit(score), "labels", labels.astype(int)

    return World("multi-label", draw)


def classes(items: int, shares: tuple[float, ...]) -> World:
    def draw(rng: np.random.Generator, study: Study) -> tuple[str, Array, str, Array]:
        labels = rng.choice(len(shares), items, p=shares)
        scores = 1.5 * study.skill(rng, 2) * np.eye(len(shares))[labels] + study.noise(rng, items, len(shares))
        return "probabilities", softmax(1.5 * scores, axis=-1), "labels", labels

    return World("classification", draw)


def values(items: int) -> World:
    """Skill takes a share off the noise. Divided by a skill that may be 0, what a run scores would have no mean."""

    def draw(rng: np.random.Generator, study: Study) -> tuple[str, Array, str, Array]:
        targets = rng.normal(size=items)
        noise = study.noise(rng, items) * np.exp(1 - study.skill(rng, 1))
        return "predictions", 0.8 * targets + noise, "targets", targets

    return World("regression", draw)


def lists(items: int, candidates: int = 12) -> World:
    def draw(rng: np.random.Generator, study: Study) -> tuple[str, Array, str, Array]:
        targets = rng.integers(0, 4, (items, candidates)) + np.eye(candidates)[rng.integers(0, candidates, items)]
        return "scores", 0.6 * study.skill(rng, 2) * targets + study.noise(rng, items, candidates), "targets", targets

    return World("ranking", draw)


def maps(images: int, side: int = 8) -> World:
    """A large class, a middle one, and one that a quarter of the images has."""

    def draw(rng: np.random.Generator, study: Study) -> tuple[str, Array, str, Array]:
        labels = np.zeros((images, side, side), int)
        labels[:, side // 2 :] = 1
        labels[rng.random(images) < 0.25, 1:3, 1:4] = 2
        quality = 2 * study.skill(rng, 1) + study.noise(rng, images)
        scores = quality[..., None, None, None] * np.eye(3)[labels]
        scores = scores + rng.standard_normal(scores.shape)
        return "predictions", scores.argmax(-1), "labels", labels

    return World("segmentation", draw)


def identities(count: int, sizes: tuple[int, ...], size: int = 8) -> World:
    def draw(rng: np.random.Generator, study: Study) -> tuple[str, Array, str, Array]:
        labels = np.repeat(np.arange(count), rng.choice(sizes, count))
        centres = rng.normal(size=(count, size)) + 0.5 * study.noise(rng, count, size)
        noise = study.noise(rng, len(labels), size)
        return "embeddings", study.skill(rng, 2) * centres[:, :, labels] + noise, "labels", labels

    return World("zero-shot", draw, apart=True)


def texts(groups: int, queries: int = 1, size: int = 8) -> World:
    """Documents that up to so many queries look for."""

    def draw(rng: np.random.Generator, study: Study) -> tuple[str, Array, str, Array]:
        document = np.repeat(np.arange(groups), rng.integers(1, queries + 1, groups))
        meant = rng.normal(size=(groups, size))
        query = 1.2 * study.skill(rng, 2) * meant[document] + study.noise(rng, len(document), size)
        found = meant + 0.5 * study.noise(rng, groups, size)
        numbers = np.stack([groups + np.arange(len(document)), document], axis=1)
        return "embeddings", np.stack([query, found[:, :, document]], axis=-2), "targets", numbers

    return World("retrieval", draw, apart=True)


WORLDS = {
    "yes or no, 60 of 2,000": yes_or_no(2000, 60),
    "yes or no, 20 of 700": yes_or_no(700, 20),
    "yes or no, 60 of 2,000, ties": yes_or_no(2000, 60, digits=1),
    "four classes, one rare": classes(600, (0.5, 0.3, 0.17, 0.03)),
    "values": values(400),
    "lists": lists(200),
    "maps": maps(60),
    "identities": identities(60, (2, 4, 8)),
    "identities, many": identities(200, (1, 2, 3)),
    "texts": texts(150),
    "texts, shared": texts(100, queries=3),
}


#: Equal losses, and what they differ by on a test split.
STUDIES = {
    "runs": Study(),
    "items": Study(loss_item=0.6, run_item=0.1, run=0),
    "items, heavy tails": Study(loss_item=0.6, run_item=0.1, run=0, heavy=True),
}
LOOKED_AT = (2, 3, 5)  # seeds


def claims(
    world: World, study: Study, studies: int, seed: int = 0, asked: tuple[str, ...] = ("",)
) -> dict[str, list[int]]:
    """Of each metric the studies in which the first two losses are said to differ at 5 %, a number of seeds."""
    metrics = [m.name for m in measures_of(world.kind).metrics if any(part in m.name for part in asked)]
    found = {metric: np.zeros(len(LOOKED_AT), int) for metric in metrics}
    for number in range(studies):
        for metric, (units, independent) in world.units(np.random.default_rng([seed, number]), study, *metrics).items():
            found[metric] += said(units[0] - units[1], independent)
    if world.kind == "binary":
        found["precision at the positives"] = precisions(world, study, studies, seed)
    return {metric: counts.tolist() for metric, counts in found.items()}


def said(differences: Array, independent: int = 0) -> Array:
    """Whether a difference is said to be there, of (seeds, units) at each number of seeds."""
    return TwoWay.of([differences[:seeds] for seeds in LOOKED_AT], independent).p_value <= 0.05


def precisions(world: World, study: Study, studies: int, seed: int) -> Array:
    """The same of average precision where its units are the precisions at the positives: they share the negatives."""
    found = np.zeros(len(LOOKED_AT), int)
    for number in range(studies):
        runs = [list(loss) for loss in world.runs(np.random.default_rng([seed, number]), study)]
        units = np.array([[_precisions(**run) for run in loss] for loss in runs[:2]])
        found += said(units[0] - units[1])
    return found


def _precisions(probabilities: Array, labels: Array) -> Array:
    at = probabilities[labels == 1, None]
    accepted = probabilities >= at
    return (accepted & (labels == 1)).sum(axis=1) / accepted.sum(axis=1)


def widths(world: World, studies: int, seed: int = 0, asked: tuple[str, ...] = ("",)) -> dict[str, float]:
    """Of each metric the standard error of a difference between two runs as the units tell it, over the true one."""
    metrics = [m.name for m in measures_of(world.kind).metrics if any(part in m.name for part in asked)]
    found: dict[str, list[tuple[float, float]]] = {metric: [] for metric in metrics}
    study = replace(STUDIES["items"], seeds=1)
    for number in range(studies):
        for metric, (units, _) in world.units(np.random.default_rng([seed, number]), study, *metrics).items():
            difference = units[0, 0] - units[1, 0]
            found[metric].append((difference.mean(), difference.var(ddof=1) / len(difference)))
    columns = {metric: np.array(pairs).T for metric, pairs in found.items()}
    return {metric: float(np.sqrt(told.mean()) / means.std()) for metric, (means, told) in columns.items()}


def percent(count: int, total: int) -> str:
    low, high = binomtest(count, total).proportion_ci()
    return f"{100 * count / total:.1f} ({100 * low:.1f}-{100 * high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worlds", default="", help="those with one of these in their names")
    parser.add_argument("--metrics", default="", help="likewise")
    options = parser.parse_args()
    print(f"\nEqual losses that are said to differ, in % (95 % interval), {options.studies} studies each\n")
    heads = (f"{seeds} seeds" for seeds in LOOKED_AT)
    print(f"| test items | losses differ by | metric | {' | '.join(heads)} |\n" + "| --- " * 6 + "|")
    asked = tuple(options.metrics.split(","))
    chosen = [name for name in WORLDS if any(part in name for part in options.worlds.split(","))]
    for name, (by, study) in product(chosen, STUDIES.items()):
        for metric, counts in claims(WORLDS[name], study, options.studies, options.seed, asked).items():
            cells = (percent(count, options.studies) for count in counts)
            print(f"| {name} | {by} | {metric} | {' | '.join(cells)} |", flush=True)
    print("\nThe standard error that units tell over the true one, losses that differ by items, one seed\n")
    print("| test items | metric | told / true |\n" + "| --- " * 3 + "|")
    for name in chosen:
        for metric, told in widths(WORLDS[name], options.studies, options.seed, asked).items():
            print(f"| {name} | {metric} | {told:.2f} |", flush=True)


if __name__ == "__main__":
    main()

"""How often the order of two losses turns round after a run that was too short, and what that asks of a claim.

    python -m board.turned

Every run on the board is cut at a quarter of its comparison's longest one. Pairs that are clearly apart there, by the
best validation scores of their seeds, are followed to the end: a claim is wrong if the other loss is clearly ahead by
then. Counted are three rules of what to claim of losses that were still rising: everything; nothing over one that rises
(as in 0.2); nothing that `may_turn` says may not hold. docs/decisions/0010 has the table.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from board import RESULTS, tasks
from board.stored import Stored
from lossary.lab.data.builtin import BUILTIN
from lossary.lab.run.record import Record
from lossary.lab.run.stopping import Curve, mostly, to_come
from lossary.lab.stats.verdict import may_turn
from lossary.lab.tasks import measures_of
from lossary.lab.tasks.measures import Metric

SHARE = 1 / 4
LOOKS = 4  # at least, before the cut
CLEAR = 4, 2  # standard errors over seeds that the losses are apart at the cut, and at the end
LEAST = 0.005  # what they are apart at the cut, in the metric's own units


def followed() -> Iterator[tuple[Metric, list[Record]]]:
    """Of each comparison the runs with the final options."""
    for path in sorted((RESULTS / "tables").glob("*.npz")):
        stored = Stored.load(Path(path))
        metric = measures_of(stored.task).metrics[0]
        yield metric, [record for record in stored.records(metric.name) if record.card]
    for task in tasks.done():
        metric = measures_of(BUILTIN[task.data].task).metrics[0]
        yield metric, [r for r in tasks.records(task) if r.card and r.role == "tuned" and r.curve]


def counted(metric: Metric, records: list[Record]) -> Counter[tuple[str, bool]]:
    """By rule: how many pairs are claimed, and how many of them (True) are the other way round in the end."""
    found: Counter[tuple[str, bool]] = Counter()
    last = max((r.curve[-1].step for r in records), default=0)
    runs: dict[str, list[Record]] = {}
    for record in records:
        runs.setdefault(record.loss, []).append(record)
    short = {loss: [_cut(r, SHARE * last, metric) for r in each] for loss, each in runs.items()}
    known = [loss for loss, each in short.items() if all(len(r.curve) >= LOOKS for r in each)]
    for a, b in combinations(known, 2):
        seeds = min(len(runs[a]), len(runs[b]))
        now, end = (_best(of[a], metric)[:seeds] - _best(of[b], metric)[:seeds] for of in (short, runs))
        if abs(now.mean()) <= max(LEAST, CLEAR[0] * _error(now)):
            continue
        behind = b if now.mean() > 0 else a
        turned = bool(np.sign(now.mean()) * end.mean() < -CLEAR[1] * _error(end))
        rises = mostly(sum(r.still_rising for r in short[behind]), seeds)
        held = {
            "everything": False,
            "nothing over what rises": rises,
            "nothing over what may turn": may_turn(now.mean(), 0.0, to_come(short[behind], metric), None),
        }
        found.update((rule, wrong) for rule, kept in held.items() if not kept for wrong in {False, turned})
    return found


def _cut(record: Record, last: float, metric: Metric) -> Record:
    curve = [point for point in record.curve if point.step <= last]
    rising = not curve or Curve.of(curve, higher_is_better=metric.higher_is_better).unfinished
    return replace(record, curve=curve, still_rising=rising)


def _best(runs: list[Record], metric: Metric) -> np.ndarray:
    """Of each run the best look, more being better."""
    return np.array([max(Curve.of(r.curve, higher_is_better=metric.higher_is_better).values) for r in runs])


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / len(values) ** 0.5)


def main() -> None:
    found = sum((counted(*one) for one in followed()), Counter[tuple[str, bool]]())
    print("| claimed at a quarter of the steps | claims | turned round by the end |\n| --- | --- | --- |")
    for rule in dict.fromkeys(rule for rule, _ in found):
        claims, wrong = found[rule, False], found[rule, True]
        print(f"| {rule} | {claims:,} | {wrong} ({100 * wrong / claims:.1f} %) |")


if __name__ == "__main__":
    main()

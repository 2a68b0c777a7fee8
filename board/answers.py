"""From the stored predictions to the board's answers: how often each loss is better, equal or worse, and the questions.

``python -m board.answers`` judges every table that there is and writes `results/answers.json`, of which the docs' page
is made. Nothing is trained: after a change of the judge the same command gives the answers anew.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from math import isnan
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from board import ANSWERS, STATUSES, questions, runs, tables, tasks
from board.contenders import BASELINE
from board.stored import Stored, metric_of
from lossary.lab.data.builtin import BUILTIN
from lossary.lab.stats.corrections import holm
from lossary.lab.stats.judge import judge
from lossary.lab.stats.sequential import smallest
from lossary.lab.stats.verdict import Verdict
from lossary.lab.tasks.scoring import primary

#: What losses are counted by, beside what the questions ask.
COUNTED = {
    "binary": ("average_precision", "f1 tuned", "log_loss"),
    "classification": ("accuracy", "log_loss", "macro_f1"),
    "regression": ("mae", "rmse"),
}
#: Fewer differences than this say nothing by signed ranks at any level in use.
FEWEST = 6
Floats = np.ndarray[Any, np.dtype[np.float64]]


def said(verdict: Verdict, loss: str, other: str, asleep: Set[str] = frozenset()) -> tuple[str, float]:
    """What the judge says of a loss against another, and by how many margins it is ahead; NaN where no run ended."""
    pair = next((pair for pair in verdict.comparisons if {pair.a, pair.b} == {loss, other}), None)
    if pair is None:
        return "not learned", np.nan
    ahead = pair.difference if pair.a == loss else -pair.difference
    gain = (ahead if verdict.metric.higher_is_better else -ahead) / (verdict.margin or 1.0)
    if asleep & {loss, other}:
        return "not learned", gain
    if pair.claimed:
        return "better" if pair.better == loss else "worse", gain
    return {"equal": "equal", "not_learned": "not learned"}.get(pair.status, "undecided"), gain


def counted(task: str, metric: str, stored: Mapping[str, Stored]) -> list[dict[str, Any]]:
    """Each loss of a task against its baseline, all ten judged together."""
    found: dict[str, list[tuple[str, float]]] = {}
    for one in stored.values():
        verdict = judge(one.records(metric), metric_of(task, metric)[0])
        for loss in one.losses:
            if loss != BASELINE[task]:
                found.setdefault(loss, []).append(said(verdict, loss, BASELINE[task], one.asleep))
    return [{"loss": loss, **_summed(pairs)} for loss, pairs in found.items()]


def _summed(pairs: Sequence[tuple[str, float]]) -> dict[str, Any]:
    count = Counter(status for status, _ in pairs)
    gains = [gain for _, gain in pairs if not isnan(gain)]
    ahead, median = sum(gain > 0 for gain in gains), float(np.median(gains or [0.0]))
    return {**{name: count[name] for name in STATUSES}, "ahead": ahead, "median": round(median, 3)}


def answered(asked: Mapping[str, Any], stored: Mapping[str, Stored], order: list[str]) -> list[dict[str, Any]]:
    """Every question with its counts, and what is claimed over all tables at the looks that there have been."""
    looks = [look for look in asked["looks"] if all(name in stored for name in order[:look])]
    found = [{name: _pair(q, one) for name, one in stored.items() if _of(q, one)} for q in asked["question"]]
    seen = [[np.array([pairs[name][1] for name in order[:look] if name in pairs]) for pairs in found] for look in looks]
    differ, within = (
        np.array([[test(gains) for gains in at] for at in seen]).reshape(len(looks), len(found))
        for test in (p_differs, p_within)
    )
    share = np.full(len(looks), 1 / len(asked["looks"]))
    better, equal = (
        holm(np.minimum(smallest(p, share), 1), asked["level"])[0] <= asked["level"] for p in (differ, within)
    )
    rows = []
    for place, (question, pairs) in enumerate(zip(asked["question"], found, strict=True)):
        answer = "equal" if equal[place] else "open"
        if better[place]:
            lead = np.nanmedian(seen[int(differ[:, place].argmin())][place])
            answer = "better" if lead > 0 else "worse"
        row = {**question, "tables": len(pairs), **_summed(list(pairs.values()))}
        rows.append(row | {"answer": answer, "within": bool(better[place] and equal[place])})
    return rows


def _of(question: Mapping[str, Any], one: Stored) -> bool:
    return one.task == question["task"] and (question.get("where") != "unequal" or one.unequal)


def _pair(question: Mapping[str, Any], one: Stored) -> tuple[str, float]:
    a, b, metric = question["a"], question["b"], question["metric"]
    records = [record for record in one.records(metric) if not record.card or record.loss in (a, b)]
    verdict = judge(records, metric_of(one.task, metric)[0])
    return said(verdict, a, b, one.asleep)


def of_data(task: tasks.Task) -> dict[str, Any]:
    """A data set of the lab: each loss against the first, as `lossary compare` judges all of them together."""
    records = tasks.records(task)
    first = next(record.loss for record in records if record.card == task.losses[0])
    verdict = judge(records, primary(BUILTIN[task.data].task))
    rows = []
    for standing in verdict.standings:
        if standing.role == "tuned" and standing.loss != first:
            rows.append(
                {"loss": standing.loss, "status": said(verdict, standing.loss, first)[0], "mean": standing.mean}
            )
    mean = next(standing.mean for standing in verdict.standings if (standing.loss, standing.role) == (first, "tuned"))
    return {"data": task.data, "first": first, "mean": mean, "headline": verdict.headline, "losses": rows}


def p_differs(gains: Floats) -> float:
    """That the median gain is 0, by signed ranks; 1 where there are too few.

    >>> round(p_differs(np.arange(1.0, 11)), 4), p_differs(np.zeros(10)), p_differs(np.ones(3))
    (0.002, 1.0, 1.0)
    """
    gains = gains[~np.isnan(gains)]
    return _signed_ranks(gains, "two-sided") if np.count_nonzero(gains) >= FEWEST else 1.0


def p_within(gains: Floats) -> float:
    """That the median gain is a margin or more, either way.

    >>> round(p_within(np.linspace(-0.5, 0.4, 10)), 4)
    0.001
    """
    gains = gains[~np.isnan(gains)]
    if len(gains) < FEWEST:
        return 1.0
    return max(_signed_ranks(gains - 1, "less"), _signed_ranks(gains + 1, "greater"))


def _signed_ranks(gains: Floats, alternative: str) -> float:
    tested: Any = wilcoxon(gains, alternative=alternative)
    return float(tested.pvalue)


def main() -> None:
    listed = {table.name: table for table in tables.listed()}
    stored = {name: Stored.load(path) for name, table in listed.items() if (path := runs.path_of(table)).exists()}
    by_task = {task: {name: one for name, one in stored.items() if one.task == task} for task in BASELINE}
    answers = {
        "tables": {task: len(found) for task, found in by_task.items()},
        "listed": Counter(table.task for table in listed.values()),
        "steps": runs.STEPS,
        "seeds": len(runs.SEEDS),
        "counts": {
            task: {metric: counted(task, metric, found) for metric in COUNTED[task]} for task, found in by_task.items()
        },
        "questions": answered(questions.asked(), stored, list(listed)),
        "data": [of_data(task) for task in tasks.listed() if task.path.exists()],
    }
    ANSWERS.write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")
    print(f"{len(stored)} of {len(listed)} tables: {ANSWERS}")


if __name__ == "__main__":
    main()

"""From the stored predictions to the board's answers: how often each loss is better, equal or worse, and the questions.

``python -m board.answers`` judges every table that there is and writes `results/answers.json`, of which the docs' page
is made. Nothing is trained: after a change of the judge the same command gives the answers anew.
"""

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from board import runs, tables
from board.contenders import BASELINE
from board.stored import Stored, metric_of
from lossary.lab.stats.corrections import holm
from lossary.lab.stats.judge import judge
from lossary.lab.stats.sequential import smallest
from lossary.lab.stats.verdict import Comparison, Verdict

QUESTIONS = Path(__file__).with_name("questions.toml")
ANSWERS = runs.RESULTS / "answers.json"
#: What losses are counted by, beside what the questions ask.
COUNTED = {
    "binary": ("average_precision", "f1 tuned", "log_loss"),
    "classification": ("accuracy", "log_loss", "macro_f1"),
    "regression": ("mae", "rmse"),
}
#: Of a pair on one table, from the first loss's side.
STATUSES = ("better", "equal", "worse", "undecided", "not learned")
#: Fewer differences than this say nothing by signed ranks at any level in use.
FEWEST = 6
Floats = np.ndarray[Any, np.dtype[np.float64]]


def asked() -> dict[str, Any]:
    with QUESTIONS.open("rb") as file:
        return tomllib.load(file)


def status(pair: Comparison, loss: str) -> str:
    """What the judge says of a loss against another."""
    if pair.claimed:
        return "better" if pair.better == loss else "worse"
    return {"equal": "equal", "not_learned": "not learned"}.get(pair.status, "undecided")


def gain(pair: Comparison, loss: str, verdict: Verdict) -> float:
    """By how many margins a loss is ahead."""
    sign = (1 if pair.a == loss else -1) * (1 if verdict.metric.higher_is_better else -1)
    return sign * pair.difference / verdict.margin if verdict.margin else 0.0


def counted(task: str, metric: str, stored: Mapping[str, Stored]) -> list[dict[str, Any]]:
    """Each loss of a task against its baseline, all ten judged together."""
    found: dict[str, list[tuple[str, float]]] = {}
    for one in stored.values():
        verdict = judge(one.records(metric), metric_of(task, metric)[0])
        for loss in one.losses:
            if loss != BASELINE[task]:
                pair = verdict.of(loss, BASELINE[task])
                found.setdefault(loss, []).append((status(pair, loss), gain(pair, loss, verdict)))
    return [{"loss": loss, **_summed(pairs)} for loss, pairs in found.items()]


def _summed(pairs: Iterable[tuple[str, float]]) -> dict[str, Any]:
    said, gains = zip(*pairs, strict=True) if pairs else ((), ())
    count = Counter(said)
    median = float(np.median(gains)) if gains else 0.0
    return {**{name: count[name] for name in STATUSES}, "ahead": sum(g > 0 for g in gains), "median": round(median, 3)}


def answered(questions: Mapping[str, Any], stored: Mapping[str, Stored], order: list[str]) -> list[dict[str, Any]]:
    """Every question with its counts, and what is claimed over all tables at the looks that there have been."""
    looks = [look for look in questions["looks"] if all(name in stored for name in order[:look])]
    share = np.full(len(looks), 1 / len(questions["looks"]))
    rows, differ, within, leads = [], [], [], []
    for question in questions["question"]:
        pairs = {name: _pair(question, one) for name, one in stored.items() if _of(question, one)}
        seen = [np.array([pairs[name][1] for name in order[:look] if name in pairs]) for look in looks]
        p = np.array([[p_differs(gains)] for gains in seen]).reshape(len(looks), 1)
        equal = np.array([[p_within(gains)] for gains in seen]).reshape(len(looks), 1)
        differ.append(float(smallest(p, share)[0]))
        within.append(float(smallest(equal, share)[0]))
        leads.append(float(np.median(seen[int(p.argmin())])) if looks else 0.0)
        rows.append({**question, "tables": len(pairs), **_summed(list(pairs.values()))})
    adjusted, _ = holm(np.minimum(differ, 1), questions["level"])
    adjusted_within, _ = holm(np.minimum(within, 1), questions["level"])
    for row, p, q, lead in zip(rows, adjusted.tolist(), adjusted_within.tolist(), leads, strict=True):
        better = p <= questions["level"] and ("better" if lead > 0 else "worse")
        small = q <= questions["level"] and "equal"
        row |= {"p": p, "p_within": q, "answer": better or small or "open", "within": bool(better and small)}
    return rows


def _of(question: Mapping[str, Any], one: Stored) -> bool:
    return one.task == question["task"] and (question.get("where") != "unequal" or one.unequal)


def _pair(question: Mapping[str, Any], one: Stored) -> tuple[str, float]:
    a, b, metric = question["a"], question["b"], question["metric"]
    records = [record for record in one.records(metric) if not record.card or record.loss in (a, b)]
    verdict = judge(records, metric_of(one.task, metric)[0])
    pair = verdict.of(a, b)
    return status(pair, a), gain(pair, a, verdict)


def p_differs(gains: Floats) -> float:
    """That the median gain is 0, by signed ranks; 1 where there are too few.

    >>> round(p_differs(np.arange(1.0, 11)), 4), p_differs(np.zeros(10)), p_differs(np.ones(3))
    (0.002, 1.0, 1.0)
    """
    return float(wilcoxon(gains).pvalue) if np.count_nonzero(gains) >= FEWEST else 1.0


def p_within(gains: Floats) -> float:
    """That the median gain is a margin or more, either way.

    >>> round(p_within(np.linspace(-0.5, 0.4, 10)), 4)
    0.001
    """
    if len(gains) < FEWEST:
        return 1.0
    below, above = wilcoxon(gains - 1, alternative="less"), wilcoxon(gains + 1, alternative="greater")
    return float(max(below.pvalue, above.pvalue))


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
        "questions": answered(asked(), stored, list(listed)),
    }
    ANSWERS.write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")
    print(f"{len(stored)} of {len(listed)} tables: {ANSWERS}")


if __name__ == "__main__":
    main()

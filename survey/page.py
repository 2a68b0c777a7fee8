"""The docs' page of the survey, of the stored facts alone, and its picture."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lossary.testing.meanings import MEANINGS
from survey import stories
from survey.answers import Answer, answers, by_law, by_loss, shares
from survey.entries import listed
from survey.kinds import KINDS

if TYPE_CHECKING:
    import altair as alt

PICTURE = "images/survey.svg"
#: As the benchmarks' pictures have them.
COLOURS = {"wrong": "#D55E00", "extreme": "#E69F00", "convention": "#56B4E9", "unsupported": "#999999", "": "#009E73"}
LAWFUL = "No law broken"
#: A loss with fewer implementations has no row of its own.
FEWEST = 4

PAGE = """\
# We held the world's losses to the laws

{count} public implementations of losses, of {listed} on the list so far, from {packages} packages and {repositories}
repositories, each called on small batches and held to the laws that apply to anybody's loss ([which](check.md)).
**{wrong} of them ({wrong_share}) give a
wrong value, a wrong gradient or NaN on a batch that comes up in training**, another {extreme} ({extreme_share}) where
scores are extreme or in half precision. {lawful} ({lawful_share}) break no law. What is only another convention is
counted apart: it is no mistake.

![How many implementations of each loss break what](images/survey.svg)

```sh
lossary check my_losses.py                                  # the same laws, for yours
.venv/bin/python -m survey --repositories FOLDER            # asks what has no stored result; goes on where it was
.venv/bin/python -m survey --repositories FOLDER --again 10 # ten of them anew, from a clean state
```

## How many

| at worst | implementations | share |
| --- | --: | --: |
{shares}

*Wrong* is about a formula that is not the one that is named, and about batches that come up: two equal items, one class
alone, a mask in which nothing is, a batch of one.
*Extreme* are scores of 30 or 100, vectors of length 0 or very long ones, probabilities of exactly 0 and 1, and half
precision. *Another convention* is a loss that remembers its calls, as an annealed margin does, or has another divisor.
*Not supported* are float64, a GPU, pickling, memory that is not contiguous.

## By law

| law | at worst | broken | asked |
| --- | --- | --: | --: |
{laws}

## By loss

Those with {fewest} implementations or more.

| loss | implementations | wrong | at extremes | convention | not supported | no law broken |
| --- | --: | --: | --: | --: | --: | --: |
{losses}

## Ten stories

Each is held to the formula that its source names, in 50 digits, by code that shares nothing with the laws. Some were
found by a law, and some (a mean taken first, a constant counted twice, a mean over classes) by reading: no law forbids
them.
None of these has been reported to its authors yet.

{stories}

## All of them

*Ours* is what `lossary identify` says it is, where it was asked and found something. Heads with weights of their own
were not asked.

{table}

## How it was made

- **Chosen** by name: for each loss, the packages that are most used, and the repositories that people copy from, at the
  newest commit that could be had. It is no random sample of anything, so the shares are of this list.
- **Called** as `survey/list.toml` says, a line an implementation: how the loss is made, and how it is given tensors.
  Nothing about the form of call is guessed. Of a repository's file the definitions are run, not what trains when it is
  imported; where it says "cuda" it is read as "cpu", and Python 2's `long` is an `int`.
- **Asked** by `lossary.testing.check`, in a process of its own with an end to its time and memory.
- **Seen twice**: every broken law for which that can be done is looked for a second time, on another seed's batch, by a
  few lines that share nothing with the laws (`survey/confirming.py`). {unseen}
- **Stored** are facts: where it is, how it was called, the verdict of each law, the counterexample where it has ten
  numbers at most. No code of others is in this repository.

## Limits

- The laws see what holds for every loss. A formula that is not the paper's, and lawful, is told only by what it is
  identified as, or by a story; that a mean is over something else is a convention and not counted at all.
- The call is ours: a file that was written for another call, or for another version of torch, may be right as its
  authors use it. {failed} implementations of the list have not been asked yet, or could not be called.
- On a CPU. What is said of GPUs was seen on tensors without values.
- Who finds a mistake in this page files an issue: the line of the list, and what is right.
"""


def page() -> str:
    asked = answers()
    counts = shares(asked)
    sources = {(a.entry.package, a.entry.repository) for a in asked}
    unseen = sum(len(a.unseen) for a in asked)
    return PAGE.format(
        count=len(asked),
        listed=len(listed()),
        packages=sum(bool(package) for package, _ in sources),
        repositories=sum(bool(repository) for _, repository in sources),
        **{
            name: value
            for kind, word in (("wrong", "wrong"), ("extreme", "extreme"), (None, "lawful"))
            for name, value in ((word, counts.get(kind, 0)), (f"{word}_share", _share(counts.get(kind, 0), asked)))
        },
        shares=_rows(
            [KINDS[kind] if kind else LAWFUL, counts.get(kind, 0), _share(counts.get(kind, 0), asked)]
            for kind in (*KINDS, None)
        ),
        laws=_rows([_title(law), KINDS[kind].lower(), count, of] for law, kind, count, of in by_law(asked)),
        fewest=FEWEST,
        losses=_rows(_loss(name, ones) for name, ones in by_loss(asked) if len(ones) >= FEWEST),
        stories="\n".join(stories.told()),
        table="\n".join(_table(asked)),
        unseen=f"{unseen} verdicts that were not seen again are left out." if unseen else "All were seen again.",
        failed=len(listed()) - len(asked),
    )


def _share(count: int, asked: Sequence[Answer]) -> str:
    return f"{count / max(len(asked), 1):.0%}"


def _rows(rows: Iterable[Sequence[Any]]) -> str:
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def _title(law: str) -> str:
    return MEANINGS[law].title if law in MEANINGS else f"{law} (seen in a story)"


def _loss(name: str, ones: Sequence[Answer]) -> list[Any]:
    worst = [answer.worst for answer in ones]
    return [name, len(ones), *(worst.count(kind) for kind in (*KINDS, None))]


def _table(asked: Sequence[Answer]) -> Iterator[str]:
    yield "| loss | implementation | from | laws that it breaks | ours |"
    yield "| --- | --- | --- | --- | --- |"
    for answer in sorted(asked, key=lambda a: (a.entry.loss.lower(), a.entry.source.lower(), a.entry.name)):
        entry, found = answer.entry, answer.found
        version = found.get("version") or entry.commit[:10]
        where = f"{entry.source} {version}".strip() + (f", {entry.file}" if entry.repository else "")
        broken = "; ".join(f"{_title(law)} ({kind})" for law, kind in answer.broken.items())
        ours = found.get("is", "")
        ours = f"`{ours.partition(';')[0]}`" if ours not in ("", "none") else ours
        yield f"| {entry.loss} | `{entry.name}` | {where} | {broken} | {ours} |"


def pictures() -> "dict[str, alt.Chart]":
    """Name within docs/ -> chart."""
    import altair as alt

    rows = [
        {"loss": name, "kind": KINDS[kind] if kind else LAWFUL, "count": count, "order": place}
        for name, ones in by_loss(answers())
        if len(ones) >= FEWEST
        for place, kind in enumerate((*KINDS, None))
        if (count := sum(answer.worst == kind for answer in ones))
    ]
    names = list(dict.fromkeys(row["loss"] for row in rows))
    kinds = [*KINDS.values(), LAWFUL]
    chart = (
        alt.Chart(alt.Data(values=rows), width=520, height=alt.Step(18))
        .mark_bar()
        .encode(
            x=alt.X("count:Q", title="implementations", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("loss:N", sort=names, title=None),
            order="order:O",
            color=alt.Color(
                "kind:N",
                sort=kinds,
                scale=alt.Scale(domain=kinds, range=list(COLOURS.values())),
                legend=alt.Legend(title="At worst", orient="bottom", columns=2, labelLimit=400),
            ),
        )
    )
    return {PICTURE: chart}

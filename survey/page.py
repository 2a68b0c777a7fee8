"""The survey's page in the docs and its picture, made from the stored facts only."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lossary.testing.meanings import MEANINGS
from survey import stories
from survey.answers import Answer, answers, by_law, by_loss, shares, uncalled
from survey.entries import Entry, listed
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

We called {count} public implementations of losses (from {packages} packages and {repositories} repositories) on small
batches and held them to the laws that apply to any loss ([which](check.md)).
**{wrong} of them ({wrong_share}) give a wrong value, a wrong gradient or NaN on a batch that occurs in training.**
Another {extreme} ({extreme_share}) fail only at extreme scores or in pure half precision. {lawful} ({lawful_share})
break no law. A different convention is not a mistake, so it is counted separately.

![How many implementations of each loss break what](images/survey.svg)

```sh
lossary check my_losses.py                                  # the same laws, for yours
.venv/bin/python -m survey --repositories FOLDER            # checks what has no stored result yet; can be interrupted
.venv/bin/python -m survey --repositories FOLDER --again 10 # checks ten of them again, from a clean state
```

## How many

| worst finding | implementations | share |
| --- | --: | --: |
{shares}

- *Wrong*: the formula is not the one in the name, or the loss fails on an ordinary batch: two equal items, a single
  class, an empty mask, a batch of one.
- *Extreme*: scores of 30 or 100 (a constant in the logarithm leaves such a mistake without a gradient), vectors of
  length 0 or very long ones, probabilities of exactly 0 and 1, and tensors in half precision. Under autocast, torch
  computes sums in float32, so a sum that overflows in float16 affects only those who convert their tensors themselves.
- *Another convention*: the loss remembers earlier calls (an annealed margin, say), treats a factor as a constant
  because its paper does or its code says so, or divides by another count.
- *Not supported*: float64, a GPU, pickling, non-contiguous memory.

{listed} implementations are on the list. {count} were called, {uncalled} could not be called
([why](#not-called)){missing}.

## By law

| law | worst finding | broken | checked |
| --- | --- | --: | --: |
{laws}

## By loss

Losses with at least {fewest} implementations.

| loss | implementations | wrong | at extremes | convention | not supported | no law broken |
| --- | --: | --: | --: | --: | --: | --: |
{losses}

## Ten stories

Each implementation is compared with the formula that its source names, computed to 50 digits by code that shares
nothing with the laws. Some findings came from a law, others from reading: no law forbids taking the mean first,
counting a constant twice, or averaging over classes. None has been reported to its authors yet.

{stories}

## All of them

*Ours* is what `lossary identify` says the implementation computes, if it was run and recognised the loss. It was not
run on heads with their own weights.

{table}

## Not called

They may be right as their authors call them; nothing is said of them here.

{failures}

## How it was made

- **Chosen** by name: for each loss, the most used packages and the repositories that people copy from, at the newest
  commit available. This is not a random sample, so the shares describe this list only.
- **Called** as `survey/list.toml` says, one line per implementation: how the loss is constructed and how it is
  called. The form of the call is never guessed. Only the definitions in a repository's file are run; "cuda" is
  read as "cpu", and Python 2's `long` as `int`.
- **Checked** by `lossary.testing.check`, in a process of its own with limits on time and memory.
- **Confirmed**: where possible, every broken law is checked a second time, on a batch from another seed, by a few
  lines of code that share nothing with the laws (`survey/confirming.py`). {unseen}
- **Stored** are facts only: the source, the call, the verdict for each law, and the counterexample if it has ten
  numbers or fewer. The repository contains no code of others.

## Limits

- The laws test what holds for every loss. A formula that obeys them but differs from the paper's shows up only in
  what it is identified as, or in a story. A mean over something else is a convention and is not counted at all.
- The calls are ours: a file written for another call or another version of torch may be right as its authors use it.
- Everything ran on a CPU; statements about GPUs come from tensors without values.
- If you find a mistake on this page, please open an issue with the line of the list and the correction.
"""


def page() -> str:
    asked, failed = answers(), uncalled()
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
        unseen=f"Verdicts that were not confirmed are left out: {unseen}." if unseen else "All were confirmed.",
        uncalled=len(failed),
        missing=_missing(len(listed()) - len(asked) - len(failed)),
        failures="\n".join(_failures(failed)),
    )


def _share(count: int, asked: Sequence[Answer]) -> str:
    return f"{count / max(len(asked), 1):.0%}"


def _missing(count: int) -> str:
    return f", and of {count} the package or the repository was not there" if count else ""


def _rows(rows: Iterable[Sequence[Any]]) -> str:
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def _title(law: str) -> str:
    return MEANINGS[law].title if law in MEANINGS else f"{law} (shown in a story)"


def _loss(name: str, ones: Sequence[Answer]) -> list[Any]:
    worst = [answer.worst for answer in ones]
    return [name, len(ones), *(worst.count(kind) for kind in (*KINDS, None))]


def _table(asked: Sequence[Answer]) -> Iterator[str]:
    yield "| loss | implementation | from | laws that it breaks | ours |"
    yield "| --- | --- | --- | --- | --- |"
    for answer in sorted(asked, key=lambda a: (a.entry.loss.lower(), a.entry.source.lower(), a.entry.name)):
        entry, found = answer.entry, answer.found
        where = _where(entry, found.get("version", ""))
        broken = "; ".join(f"{_title(law)} ({kind})" for law, kind in answer.broken.items())
        ours = found.get("is", "")
        ours = f"`{ours.partition(';')[0]}`" if ours not in ("", "none") else ours
        yield f"| {entry.loss} | `{entry.name}` | {where} | {broken} | {ours} |"


def _failures(failed: Sequence[tuple[Entry, str]]) -> Iterator[str]:
    yield "| loss | implementation | from | what happens |"
    yield "| --- | --- | --- | --- |"
    for entry, why in sorted(failed, key=lambda pair: (pair[0].loss.lower(), pair[0].source.lower(), pair[0].name)):
        words = why.partition("as ")[2] if why.startswith("NotALoss: it gives no loss as ") else why
        words = words.replace("|", chr(92) + "|")[:160] + (f": {entry.because}" if entry.because else "")
        yield f"| {entry.loss} | `{entry.name}` | {_where(entry, '')} | {words} |"


def _where(entry: Entry, version: str) -> str:
    version = version or entry.commit[:10]
    return f"{entry.source} {version}".strip() + (f", {entry.file}" if entry.repository else "")


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
                legend=alt.Legend(title="Worst finding", orient="bottom", columns=2, labelLimit=400),
            ),
        )
    )
    return {PICTURE: chart}

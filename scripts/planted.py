"""What the lab says where the answer was planted: real comparisons on drawn data, 20 data sets a row.

    python scripts/planted.py [--studies 20] [--only REGEX] [--minutes 60] [--file …] [--runs FOLDER] [--docs]

Each study draws a data set and does on it what ``lossary compare`` does, without tuning and with few steps: 3 runs a
loss, and more until the verdict is settled or there are 10. The true gap of two losses is the mean of what all data
sets of the row gave, each with its own test items; where losses were made one and the same it is 0. A claim for the
loss that is truly behind, or between the same, is a wrong winner; pairs whose gap is within two standard errors of 0
have no true winner to be wrong about. What a study came to is kept in the file, so the command goes on where it was;
rows advance together. With ``--runs`` the runs are kept as well: once the judge has changed, the same command with
another ``--file`` judges them anew and trains nothing.
``--docs`` writes docs/planted.md from the file and runs nothing.
"""

import argparse
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import StringIO
from itertools import combinations, product
from pathlib import Path
from statistics import fmean, stdev
from time import monotonic
from typing import Any

import numpy as np
import torch
from rich.console import Console

from lossary.lab import comparison
from lossary.lab.data.types import Data, TensorSplit
from lossary.lab.run.folder import prepare
from lossary.lab.run.plan import OWN_CODE, QUICK, Plan, Protocol
from lossary.lab.stats.verdict import Verdict
from lossary.lab.tasks import TaskName

Draw = Callable[[np.random.Generator], Data]
Parts = tuple[int, int, int]
#: Training, validation and test items; where some weigh more than others; and where few of them count.
PARTS = (600, 200, 500)
OF_SKEWED = (600, 200, 3000)
OF_RARE = (1000, 500, 3000)
BALANCED, ERRATIC, SPOILT = (
    f"{name}={Path(__file__).with_name('planted_losses.py')}:{name.capitalize()}CrossEntropy"
    for name in ("balanced", "erratic", "spoilt")
)
WIDE = 3  # margins
DOCS = Path(__file__).parents[1] / "docs" / "planted.md"
SAID = ("right", "wrong", "unsure", "equal", "held back", "open")
HEAD = """# Planted answers

What the lab says about random data whose answer is known. `python scripts/planted.py` draws the data, does what
`lossary compare` does without tuning and with few steps (3 to 10 runs per loss, as many as the verdict needs), and
writes this page. Gaps are in margins (1 point, or 1 % of the constant baseline's error), with their standard error over
the data sets. The columns count data sets: the loss that is truly ahead was said to beat the other (*right*); the one
that is behind was, or a loss was said to beat itself (*wrong*); a claim was made where the gap is within two standard
errors of 0 (*unsure*); or one is ahead, but the other was rising so fast that it may catch up, or had not learned
(*held back*).

{summary}

| planted | ahead | behind | true gap | data sets | right | wrong | unsure | equal | held back | open |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""
HEADLINES = """
| planted | said most often | |
| --- | --- | --- |
"""


@dataclass(frozen=True)
class Row:
    """A planted answer."""

    what: str  # was planted
    draw: Draw | str  # or a data set of the lab, for `--quick`, parted otherwise each time
    losses: tuple[str, ...]
    steps: int = 200
    metric: str = ""
    protocol: Protocol = "same-batches"
    equal: tuple[str, ...] = ()  # losses that are one and the same, or level in the end
    truth: str = ""  # the row that tells the true gaps, where this one's runs are too short for it
    gaps: str = ""  # the row with the same data sets and more test items, which tells the gap of each


def _data(task: TaskName, inputs: np.ndarray, targets: np.ndarray, parts: Parts = PARTS, **more: Any) -> Data:
    """Drawn items in three parts."""
    given = torch.from_numpy(inputs).float()
    wanted = torch.from_numpy(targets)
    wanted = wanted.float() if task == "regression" else wanted.long()
    places = np.split(np.arange(len(given)), np.cumsum(parts)[:2])
    train, valid, test = (TensorSplit(given[part], wanted[part]) for part in places)
    return Data("drawn", task, train, valid, test, **more)


def _inputs(rng: np.random.Generator, parts: Parts = PARTS) -> np.ndarray:
    return rng.standard_normal((sum(parts), 8))


def _surface(rng: np.random.Generator, inputs: np.ndarray) -> np.ndarray:
    """A smooth function of the inputs, of variance about 1."""
    waves = rng.standard_normal((inputs.shape[1], 4)) / 2
    return np.sin(inputs @ waves + rng.uniform(0, 6, 4)).sum(axis=1) / np.sqrt(2)


def outliers(rng: np.random.Generator) -> Data:
    """A tenth of the training targets lies far off."""
    inputs = _inputs(rng)
    targets = _surface(rng, inputs) + 0.3 * rng.standard_normal(len(inputs))
    spoilt = rng.choice(PARTS[0], PARTS[0] // 10, replace=False)
    targets[spoilt] += 15 * rng.standard_normal(len(spoilt))
    return _data("regression", inputs, targets)


def negative_square(predicted: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return -((predicted - wanted) ** 2)


def mean_wanted(rng: np.random.Generator) -> Data:
    """Targets are skewed, and squared errors count: the mean is wanted, not the median."""
    inputs = _inputs(rng, OF_SKEWED)
    targets = np.exp(0.4 * _surface(rng, inputs)) * rng.gamma(0.5, 2, len(inputs))
    return _data("regression", inputs, targets, OF_SKEWED, metric=negative_square)


def rare_yes(rng: np.random.Generator) -> Data:
    """3 % of the items are yes."""
    inputs = _inputs(rng, OF_RARE)
    score = 3 * _surface(rng, inputs) + rng.logistic(size=len(inputs))
    return _data("binary", inputs, score > np.quantile(score, 0.97), OF_RARE, test_names=("no", "yes"))


def _of_classes(
    rng: np.random.Generator, distance: float, share: np.ndarray, parts: Parts = PARTS, more: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels; ``more`` items come last, and all others are what they are without them."""
    labels = rng.choice(len(share), sum(parts), p=share)
    centres = distance * rng.standard_normal((len(share), 8))
    inputs = centres[labels] + _inputs(rng, parts)
    others = rng.choice(len(share), more, p=share)
    more_inputs = centres[others] + rng.standard_normal((more, 8))
    return np.vstack([inputs, more_inputs]), np.hstack([labels, others])


def four_classes(rng: np.random.Generator, more: int = 0) -> Data:
    inputs, labels = _of_classes(rng, 0.7, np.full(4, 0.25), more=more)
    return _data("classification", inputs, labels, test_names=tuple("abcd"))


def ceiling(rng: np.random.Generator) -> Data:
    """Classes so far apart that everything is right."""
    return _data("classification", *_of_classes(rng, 6, np.full(4, 0.25)), test_names=tuple("abcd"))


def rare_class(rng: np.random.Generator) -> Data:
    """One class of three is 4 % of the items, and each class counts alike."""
    shares = np.array([0.6, 0.36, 0.04])
    return _data("classification", *_of_classes(rng, 0.4, shares, OF_RARE), OF_RARE, test_names=tuple("abc"))


def identities(rng: np.random.Generator) -> Data:
    """Identities in 6 of 24 directions: 200 to train with, others to tell apart."""
    mixed = rng.standard_normal((24, 24))

    def part(count: int, each: int) -> TensorSplit:
        labels = np.repeat(np.arange(count), each)
        of_identity = rng.standard_normal((count, 6))[labels] + 0.3 * rng.standard_normal((len(labels), 6))
        items = np.tanh(np.hstack([of_identity, 0.7 * rng.standard_normal((len(labels), 18))]) @ mixed / 4)
        return TensorSplit(torch.from_numpy(items).float(), torch.from_numpy(labels))

    train, valid, test = part(200, 6), part(30, 4), part(60, 4)
    names = tuple(map(str, range(60)))
    return Data("drawn", "zero-shot", train, valid, test, test_names=names, batch=(60, 3))


IDENTITY_LOSSES = ("cross_entropy", "cosface_loss", "supcon_loss")
ROWS = {
    "outliers": Row("10 % of the training targets far off", outliers, ("mse_loss", "huber_loss", "l1_loss")),
    "mean wanted": Row("skewed targets, judged by the square", mean_wanted, ("mse_loss", "huber_loss", "l1_loss")),
    "rare yes": Row(
        "3 % yes", rare_yes, ("binary_cross_entropy_with_logits", "sigmoid_focal_loss", "squared_hinge_loss"), 600
    ),
    "same loss twice": Row(
        "one loss under two names",
        four_classes,
        ("cross_entropy", "again=cross_entropy"),
        150,
        equal=("cross_entropy", "again"),
    ),
    "rare class": Row(
        "a class of 4 %, each class counts alike",
        rare_class,
        ("cross_entropy", BALANCED, "focal_loss"),
        600,
        "balanced_accuracy",
        "own-recipe",  # the batches that all losses share hold as many of each class
    ),
    "ceiling": Row("classes far apart", ceiling, ("cross_entropy", "focal_loss", "multiclass_hinge_loss"), 100),
    "erratic loss": Row(
        "one loss is a matter of luck, one gets wrong labels",
        four_classes,
        ("cross_entropy", SPOILT, ERRATIC),
        600,
        gaps="more to test",
    ),
    "more to test": Row(
        "the same data sets and runs, with 5,000 test items instead of 500",
        partial(four_classes, more=4500),
        ("cross_entropy", SPOILT, ERRATIC),
        600,
    ),
    "200 classes": Row("200 identities, others to tell apart", identities, IDENTITY_LOSSES, 600),
    "too few steps": Row(
        "the same, ended in the dip of the class heads", identities, IDENTITY_LOSSES, 40, truth="200 classes"
    ),
    "emoji quick": Row(  # docs/decisions/0010 has their curves
        "level after 800 steps, 36 points apart in the dip",
        "emoji",
        ("supcon_loss", "cosface_loss"),
        equal=("supcon_loss", "cosface_loss"),
    ),
}


def studied(row: Row, number: int, out: str) -> dict[str, Any]:
    """What the lab says of one data set, with its runs in the folder ``out``."""
    plan, data = resolved(row, number, out)
    prepare(plan)
    return kept_of(comparison.compare(plan, Console(file=StringIO()), data, here=True).verdict)


def resolved(row: Row, number: int, out: str) -> comparison.Ready:
    if isinstance(row.draw, str):
        quick = Plan(row.draw, row.losses, quick=True, resplit=number, workers=1, out=out)
        return comparison.resolved(replace(quick, **QUICK))
    asked = Plan(
        OWN_CODE,
        row.losses,
        row.protocol,
        trials=1,
        steps=row.steps,
        metric=(row.metric,) if row.metric else (),
        workers=1,
        out=out,
    )
    return comparison.resolved(asked, row.draw(np.random.default_rng([0, number])))


def kept_of(verdict: Verdict) -> dict[str, Any]:
    sign = 1 if verdict.metric.higher_is_better else -1
    trained = [s for s in verdict.standings if s.role == "tuned"]
    return {
        "headline": verdict.headline,
        "margin": verdict.margin,
        "means": {s.loss: sign * s.mean for s in trained},
        "seeds": max(s.seeds for s in trained),
        "pairs": [
            [c.a, c.b, c.status, c.better] for c in verdict.comparisons if {c.a, c.b} <= {s.loss for s in trained}
        ],
    }


@contextmanager
def folder(runs: Path | None, name: str, number: int) -> Generator[str]:
    """Where the runs of a study are kept, or for the time of it."""
    if runs:
        kept = runs / name.replace(" ", "-") / str(number)
        kept.parent.mkdir(parents=True, exist_ok=True)
        yield str(kept)
        return
    with tempfile.TemporaryDirectory() as out:
        yield out


def work(names: list[str], studies: int, until: float, path: Path, runs: Path | None) -> None:
    """Do what is missing of each row, keeping what is done in the file."""
    kept: dict[str, list[dict[str, Any]]] = json.loads(path.read_text()) if path.exists() else {}
    for number, name in product(range(studies), names):
        if monotonic() > until:
            return
        if len(kept.setdefault(name, [])) <= number:
            with folder(runs, name, number) as out:
                kept[name].append(studied(ROWS[name], number, out))
            path.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


@dataclass(frozen=True)
class Pair:
    """Two losses of a row, and what was said of them."""

    ahead: str
    behind: str
    gap: float  # in margins
    error: float  # its standard error
    said: Counter[str]  # right, wrong, unsure (a claim where there is no true winner), equal, held back, open
    wide: Counter[str]  # the same where the gap is so wide that it should be found

    @property
    def undecided(self) -> int:
        return self.wide["held back"] + self.wide["open"]

    @classmethod
    def of(cls, row: Row, a: str, b: str, studies: list[dict[str, Any]], truth: list[dict[str, Any]]) -> "Pair":
        """From the studies of a row, and those which tell the true gaps: with ``row.gaps`` of the same data sets."""
        found = [(study["means"][a] - study["means"][b]) / study["margin"] for study in truth]
        gap, error = fmean(found), stdev(found) / len(found) ** 0.5 if len(found) > 1 else float("inf")
        a, b, sign = (a, b, 1) if gap >= 0 else (b, a, -1)
        same = {a, b} <= set(row.equal)
        known = same or abs(gap) > 2 * error
        claim = {a: "wrong" if same else "right", b: "wrong"} if known else {}
        said = [
            _said(status, better, claim)
            for study in studies
            for x, y, status, better in study["pairs"]
            if {x, y} == {a, b}
        ]
        gaps = [sign * gap for gap in found] if row.gaps else [abs(gap)] * len(said)
        wide = Counter(what for what, gap in zip(said, gaps, strict=True) if gap >= WIDE and known and not same)
        return cls(a, b, abs(gap), error, Counter(said), wide)


def _said(status: str, better: str, claim: Mapping[str, str]) -> str:
    if status in ("better", "better_within"):
        return claim.get(better, "unsure")
    if status == "equal":
        return "equal"
    return "held back" if better or status == "not_learned" else "open"  # the one that is ahead, of one still rising


def page(kept: dict[str, list[dict[str, Any]]]) -> str:
    """docs/planted.md."""
    text, headlines, found = "", HEADLINES, []
    for name, row in ROWS.items():
        studies = kept.get(name, [])
        for place, (a, b) in enumerate(combinations(studies[0]["means"] if studies else (), 2)):
            pair = Pair.of(row, a, b, studies, kept[row.truth or row.gaps or name][: len(studies)])
            found += [(name, pair)]
            counts = " | ".join(str(pair.said[what] or "") for what in SAID)
            planted = f"{name}: {row.what}" if not place else ""
            gap = f"{pair.gap:.1f} ± {pair.error:.1f}"
            text += f"| {planted} | {pair.ahead} | {pair.behind} | {gap} | {len(studies)} | {counts} |\n"
        for headline, count in Counter(done["headline"] for done in studies).most_common(1):
            headlines += f"| {name} | {headline} | {count} of {len(studies)} |\n"
    missing = [name for name in ROWS if not kept.get(name)]
    not_yet = f" Not run yet: {', '.join(missing)}." if missing else ""
    return HEAD.format(summary=summary(found) + not_yet) + text + headlines


def summary(found: list[tuple[str, Pair]]) -> str:
    """What all rows come to, of their pairs by the names of the rows."""
    said = sum((pair.said for _, pair in found), Counter[str]())
    text = f"Of {said.total():,} answers {said['wrong']} are wrong."
    wide = [(name, pair) for name, pair in found if pair.wide and not ROWS[name].truth]
    if not wide:
        return text
    undecided, asked = (sum(counts) for counts in zip(*((p.undecided, p.wide.total()) for _, p in wide), strict=True))
    name, most = max(wide, key=lambda one: one[1].undecided / one[1].wide.total())
    text = (
        f"{text} Where the gap is {WIDE} margins and more, and the runs were long enough, {undecided}\nof {asked} were "
        f"left undecided; of one pair at most {most.undecided} of {most.wide.total()} ({name})."
    )
    return text + "".join(of_each(name, pair) for name, pair in wide if ROWS[name].gaps)


def of_each(name: str, pair: Pair) -> str:
    """What a pair comes to, where the gap of each data set is known."""
    missed = pair.said["held back"] + pair.said["open"] - pair.undecided
    return (
        f"\nIn *{name}* the gap of each data set is known from *{ROWS[name].gaps}*: {pair.ahead} is {WIDE} margins and "
        f"more\nahead of {pair.behind} in {pair.wide.total()}, of which {pair.undecided} are undecided, as are "
        f"{missed} of the others."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--only", default="", help="rows whose name this regular expression finds")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after that")
    parser.add_argument("--file", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--runs", type=Path, help="keep the runs in this folder, and judge those that are there")
    parser.add_argument("--docs", action="store_true", help="run nothing, write docs/planted.md")
    options = parser.parse_args()
    if not options.docs:
        torch.set_num_threads(1)
        names = [name for name in ROWS if re.search(options.only, name)]
        work(names, options.studies, monotonic() + 60 * options.minutes, options.file, options.runs)
    DOCS.write_text(page(json.loads(options.file.read_text())))


if __name__ == "__main__":
    main()

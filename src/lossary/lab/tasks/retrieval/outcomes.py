"""What queries find: a few of them with the nearest documents for each loss, and the rank of the right one."""

from collections.abc import Mapping

import numpy as np

from lossary.lab.report import figures
from lossary.lab.report.drawing import Row
from lossary.lab.report.evidence import Arrays, Evidence
from lossary.lab.report.views import Answer, Exchange, Figure, Group, Section
from lossary.lab.tasks.retrieval.metrics import Search, search

_SHOWN, _DEPTH = 3, 3  # queries found right, and as many found wrong; documents of each
_LONGEST = 160  # characters of a text
_ENDS = (1, 3, 10, 30, 100)  # the last rank of each bar but the last


def _searches(evidence: Evidence, outputs: dict[str, Arrays]) -> dict[str, Search]:
    return {loss: search(kept["embeddings"], evidence.test["targets"]) for loss, kept in outputs.items()}


def _ranks(evidence: Evidence, outputs: dict[str, Arrays]) -> Section:
    plots: list[Figure] = []
    for number, (loss, found) in enumerate(_searches(evidence, outputs).items()):
        counts = np.bincount(np.searchsorted(_ENDS, found.rank), minlength=len(_ENDS) + 1)
        rows: list[Row] = [
            {"rank": rank, "queries": int(count), "share": count / len(found.rank)}
            for rank, count in zip(_called(), counts, strict=True)
        ]
        title = f"median {np.median(found.rank):.3g}"
        spec = figures.ranks(rows, evidence.palette.colour(loss), _called())
        plots.append(Figure(f"ranks-{number}", spec, title=title, loss=loss))
    documents = len(np.unique(evidence.test["targets"][:, 1]))
    lead = (
        f"The rank of each query's first right document among the {documents} of the test split: further left is "
        "better. One seed of each loss."
    )
    return Section("ranks", "Ranks of the right document", lead, groups=(Group(tuple(plots), "small"),))


def _called() -> list[str]:
    return [f"{_ENDS[0]}", *(f"≤ {end}" for end in _ENDS[1:]), f"> {_ENDS[-1]}"]


def _answers(evidence: Evidence, outputs: dict[str, Arrays]) -> Section | None:
    if not len(evidence.test["names"]):
        return None
    searches = _searches(evidence, outputs)
    best, found = next(iter(searches.items()))
    right = found.hits[:, 0]
    draw = np.random.default_rng(0).permutation(len(right))
    shown = np.concatenate([draw[right[draw]][:_SHOWN], draw[~right[draw]][:_SHOWN]])
    lead = (
        f"Queries that {best} answers right and wrong, drawn at random as representative, and the "
        f"{_DEPTH} nearest documents by each loss; ✓ marks the right ones. One seed of each loss."
    )
    exchanges = tuple(_exchange(evidence, searches, int(place)) for place in shown)
    return Section("answers", "What is found", lead, exchanges=exchanges)


def _exchange(evidence: Evidence, searches: Mapping[str, Search], place: int) -> Exchange:
    """One query, by its place among the queries."""
    targets, names = evidence.test["targets"], evidence.test["names"]
    query = next(iter(searches.values())).queries[place]
    wanted = list(dict.fromkeys(targets[targets[:, 0] == query, 1].tolist()))
    more = f" (and {len(wanted) - 1} more)" if len(wanted) > 1 else ""
    found = {
        loss: tuple(
            Answer(_short(str(names[document])), f"{cosine:.2f}", bool(right))
            for document, cosine, right in zip(
                by_loss.found[place, :_DEPTH], by_loss.cosines[place], by_loss.hits[place], strict=False
            )
        )
        for loss, by_loss in searches.items()
    }
    return Exchange(_short(str(names[query])), _short(str(names[wanted[0]])) + more, found)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1].rstrip() + "…"


SECTIONS = (_ranks, _answers)

"""Where the networks place the candidates of test lists."""

import numpy as np

from lossary.lab.report import figures
from lossary.lab.report.drawing import Row
from lossary.lab.report.evidence import Arrays, Evidence
from lossary.lab.report.views import Figure, Group, Section, Table, TableRow
from lossary.lab.tasks.ranking.metrics import ndcg, order, place_of_best

_PLACES = 15  # as far as the figure shows
_ROWS, _FIRST = 10, 3  # the number of most relevant candidates, and of each loss's own first ones


def _found(evidence: Evidence, outputs: dict[str, Arrays]) -> Section:
    truth = evidence.test["targets"]
    looked = range(1, min(_PLACES, truth.shape[1]) + 1)
    rows: list[Row] = []
    for loss, kept in outputs.items():
        places = place_of_best(kept["scores"], truth)
        rows += [{"loss": loss, "places": k, "share": float((places <= k).mean()), "order": k} for k in looked]
    caption = (
        "The share of test lists whose most relevant candidate is among the first places: only the very first on the "
        "left, more of them to the right. Higher is better."
    )
    figure = Figure("found", figures.found_within(rows, evidence.palette), caption)
    lead = "How far down one has to look for the best candidate. One seed of each loss."
    return Section("found", "Finding the best one", lead, tuple(outputs), (Group((figure,)),))


def _lists(evidence: Evidence, outputs: dict[str, Arrays]) -> Section:
    best = next(iter(outputs))
    found = ndcg(outputs[best]["scores"], evidence.test["targets"])
    ranked = np.argsort(-found, kind="stable").tolist()
    shown = dict.fromkeys((ranked[len(ranked) // 2], ranked[-1]))
    words = ("a typical list", "its hardest list")
    tables = tuple(
        _table(evidence, outputs, which, f"{word}: {best} has an NDCG@10 of {found[which]:.0%} there")
        for which, word in zip(shown, words, strict=False)
    )
    lead = (
        f"True relevance, and the place that each loss gives: the {_ROWS} most relevant candidates, and any others "
        f"that a loss puts among its first {_FIRST}. In bold if the place is correct. One seed of each loss."
    )
    return Section("lists", "Lists", lead, tables=tables)


def _table(evidence: Evidence, outputs: dict[str, Arrays], which: int, said: str) -> Table:
    truth = evidence.test["targets"][which]
    count = int((~np.isnan(truth)).sum())
    true = _places(truth, truth)
    places = [_places(kept["scores"][which], truth) for kept in outputs.values()]
    chosen = (true <= _ROWS) | np.any([place <= _FIRST for place in places], axis=0)
    rows = tuple(
        TableRow(
            note=str(evidence.test["candidates"][which, item]),
            cells=(f"{truth[item]:.3g}", *(str(place[item]) for place in places)),
            best=frozenset(1 + i for i, place in enumerate(places) if place[item] == true[item]),
        )
        for item in np.argsort(true)[:count].tolist()
        if chosen[item]
    )
    caption = f"{evidence.test['names'][which]}, {count} candidates, {said}"
    return Table(caption, ("Candidate", "Relevance", *outputs), rows)


def _places(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """From 1, padding last."""
    return 1 + order(scores[None], truth[None])[0].argsort()


SECTIONS = (_found, _lists)

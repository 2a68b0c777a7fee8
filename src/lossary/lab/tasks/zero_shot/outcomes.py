"""How the networks see classes that they were not trained on."""

import numpy as np

from lossary.lab.report import figures, pictures
from lossary.lab.report.drawing import Row
from lossary.lab.report.evidence import Arrays, Evidence
from lossary.lab.report.views import Figure, Gallery, Group, Section, Tile
from lossary.lab.tasks._tiles import tile
from lossary.lab.tasks.zero_shot.metrics import Neighbour, neighbours
from lossary.lab.tasks.zero_shot.verification import SimilarityHistogram, roc, similarity_histogram

_MAP_ITEMS = 240  # more would hide each other, and take about 1.5 kB each


def _similarities(evidence: Evidence, outputs: dict[str, Arrays]) -> Section:
    plots: list[Figure] = []
    for number, (loss, kept) in enumerate(outputs.items()):
        rows = _histogram(similarity_histogram(kept["embeddings"], evidence.test["labels"], bins=4000))
        error = evidence.runs(loss)[0].metrics.get("eer")
        title = f"EER {100 * error:.1f} %" if error is not None else ""
        spec = figures.similarities(rows, evidence.palette.colour(loss))
        plots.append(Figure(f"similarities-{number}", spec, title=title, loss=loss))
    lead = (
        "Cosine similarities of pairs of unseen items: in colour two items of the same class, in grey two "
        "of different classes. The less the two overlap, the better a threshold separates them; "
        "each picture has its own range. One seed of each loss."
    )
    return Section("similarities", "Same or different", lead, groups=(Group(tuple(plots), "small"),))


def _histogram(fine: SimilarityHistogram) -> list[Row]:
    """About 50 bins over the range of the pairs: some networks put all cosines between 0.9 and 1."""
    occupied = np.cumsum(fine.same + fine.different) / 2
    low, high = (int(np.searchsorted(occupied, share)) for share in (0.0005, 0.9995))
    width = max(1, (high - low) // 50)
    starts = np.arange(low, high + 1, width)
    middles = fine.edges[np.minimum(starts + width / 2, len(fine.same)).astype(int)]
    return [
        {"similarity": float(middle), "share": float(share[start : start + width].sum()), "pairs": pairs}
        for pairs, share in (("different classes", fine.different), ("same class", fine.same))
        for start, middle in zip(starts, middles, strict=True)
    ]


def _errors(evidence: Evidence, outputs: dict[str, Arrays]) -> Section:
    rows: list[Row] = []
    for loss, kept in outputs.items():
        curve = roc(kept["embeddings"], evidence.test["labels"])
        points = zip(curve.far.tolist(), curve.tar.tolist(), strict=True)
        rows += [{"loss": loss, "far": far, "tar": tar, "order": i} for i, (far, tar) in enumerate(points) if far > 0]
    plots = (
        Figure(
            "roc",
            figures.roc(rows, evidence.palette),
            (
                "The share of same pairs that is accepted when this share of different pairs is let "
                "through. Higher is better."
            ),
            "ROC",
        ),
        Figure(
            "det",
            figures.det(rows, evidence.palette),
            (
                "The same, as two error rates, stretched so that normal scores give straight lines. Lower "
                "left is better."
            ),
            "DET",
        ),
    )
    lead = "If similarity were used to verify that two items are the same, at every threshold. One seed of each loss."
    legend = tuple(outputs)
    return Section("errors", "Verification errors", lead, legend, (Group(plots, "pair"),))


def _map(evidence: Evidence, outputs: dict[str, Arrays]) -> Section | None:
    loss, kept = next(iter(outputs.items()))
    labels = evidence.test["labels"]
    chosen = _spread(labels)
    if len(chosen) < 3:
        return None
    places = pictures.layout(kept["embeddings"][chosen])
    images = evidence.test.get("images")
    rows: list[Row] = []
    for order, (item, (x, y)) in enumerate(zip(chosen.tolist(), places.tolist(), strict=True)):
        row: Row = {
            "x": x,
            "y": y,
            "label": evidence.item_names[item],
            "class": int(labels[item]),
            "order": order,
        }
        rows.append(row if images is None else row | {"image": pictures.data_uri(images[item])})
    caption = (
        "t-SNE of test embeddings: items near each other look alike to the network; directions and long distances "
        "mean nothing. Grey lines join items of the same class, so shorter lines are better."
    )
    lead = f"{len(set(labels[chosen].tolist()))} of the classes never seen in training, as the best loss sees them."
    figure = Figure("map", figures.image_map(rows), caption, loss=loss)
    return Section("map", "Map of unseen classes", lead, groups=(Group((figure,)),))


def _spread(labels: np.ndarray) -> np.ndarray:
    """Items of classes evenly spaced through all classes, whole classes, as many as the map holds."""
    classes, sizes = np.unique(labels, return_counts=True)
    room = max(2, int(_MAP_ITEMS / sizes.mean()))
    kept = classes[np.unique(np.linspace(0, len(classes) - 1, min(room, len(classes))).astype(int))]
    return np.flatnonzero(np.isin(labels, kept))[: 2 * _MAP_ITEMS]


def _neighbours(evidence: Evidence, outputs: dict[str, Arrays]) -> Section | None:
    if "images" not in evidence.test:
        return None
    loss, kept = next(iter(outputs.items()))
    found = neighbours(kept["embeddings"], evidence.test["labels"], right=6, wrong=6)
    galleries = tuple(
        Gallery(title, rows)
        for title, right in (("Right", True), ("Wrong", False))
        if (rows := tuple(_neighbour(evidence, n) for n in found if n.right == right))
    )
    lead = (
        f"Items of unseen classes and the test item that {loss} finds most similar, with the cosine "
        "similarity, drawn at random from its right and its wrong answers. Where it is wrong, the nearest "
        "item of its own class follows."
    )
    return Section("neighbours", "Nearest neighbours", lead, galleries=galleries) if galleries else None


def _neighbour(evidence: Evidence, found: Neighbour) -> tuple[Tile, ...]:
    tiles = (
        tile(evidence, found.query, "item"),
        tile(evidence, found.found, "nearest", f"{found.similarity:.2f}", right=found.right),
    )
    if found.right:
        return tiles
    return (*tiles, tile(evidence, found.wanted, "own class", f"{found.wanted_similarity:.2f}"))


SECTIONS = (_similarities, _errors, _map, _neighbours)

"""Sections that show what the trained networks do on the test data, by kind of task."""

from collections import Counter

import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve

from lossary.lab.metrics import Neighbour, SimilarityHistogram, neighbours, roc, similarity_histogram
from lossary.lab.report import figures, pictures
from lossary.lab.report.evidence import Arrays, Evidence
from lossary.lab.report.figures import Row
from lossary.lab.report.views import Figure, Gallery, Group, Section, Tile

_MAP_ITEMS = 240  # more would hide each other, and weigh about 1.5 kB each
_CONFUSION_CLASSES = 30
_BINS = 10
_CURVE_POINTS = 200


def outcomes(evidence: Evidence) -> list[Section]:
    """The task's own sections, for the runs whose outputs were kept."""
    outputs = {loss: kept for loss in evidence.ranked if (kept := _outputs(evidence, loss))}
    if not outputs or not evidence.test:
        return []
    makers = {
        "zero-shot": (_similarities, _errors, _map, _neighbours),
        "classification": (_confusion, _reliability, _mistakes),
        "binary": (_precision_recall, _calibration),
        "regression": (_predictions, _residuals),
    }
    return [section for make in makers[evidence.kind] if (section := make(evidence, outputs))]


def _outputs(evidence: Evidence, loss: str) -> Arrays:
    """The outputs of a loss's first seed; one run is a picture, the average of several is not."""
    return next((kept for run in evidence.runs(loss) if (kept := evidence.outputs(run))), {})


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
        "of different classes. The less the two overlap, the better a threshold tells them apart; "
        "each picture has its own range. One seed of each loss."
    )
    return Section("similarities", "Same or different", lead, groups=(Group(tuple(plots), "small"),))


def _histogram(fine: SimilarityHistogram) -> list[Row]:
    """About 50 bins over where the pairs are: some networks put all cosines between 0.9 and 1."""
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
            ("How many same pairs are accepted when this share of different pairs is let through. Higher is better."),
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
        "t-SNE of test embeddings: near each other means that the network finds them alike; directions "
        "and long distances mean nothing. Grey lines join items of the same class, so short lines are "
        "what one hopes to see."
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
        _tile(evidence, found.query, "item"),
        _tile(evidence, found.found, "nearest", f"{found.similarity:.2f}", right=found.right),
    )
    if found.right:
        return tiles
    return (*tiles, _tile(evidence, found.wanted, "own class", f"{found.wanted_similarity:.2f}"))


def _tile(evidence: Evidence, item: int, role: str, note: str = "", right: bool | None = None) -> Tile:
    image = pictures.data_uri(evidence.test["images"][item])
    return Tile(image, role, evidence.item_names[item], note, right)


def _confusion(evidence: Evidence, outputs: dict[str, Arrays]) -> Section | None:
    names = [str(name) for name in evidence.test["names"]]
    if len(names) > _CONFUSION_CLASSES:
        return None
    loss, kept = next(iter(outputs.items()))
    labels = evidence.test["labels"].tolist()
    counts = Counter(zip(labels, kept["probabilities"].argmax(1).tolist(), strict=True))
    sizes = Counter(labels)
    rows: list[Row] = [
        {
            "true": names[true],
            "predicted": names[predicted],
            "count": counts[true, predicted],
            "share": counts[true, predicted] / max(1, sizes[true]),
            "right": true == predicted,
        }
        for true in range(len(names))
        for predicted in range(len(names))
    ]
    caption = (
        "Rows are the true classes, columns the predicted ones; the numbers count test samples. Right "
        "answers lie on the diagonal (blue), mistakes off it (orange); the fuller the colour, the larger "
        "the share of its row."
    )
    figure = Figure("confusion", figures.confusion(rows, names), caption, loss=loss)
    lead = "Which classes the best loss takes for which. One seed."
    return Section("confusion", "Confusion matrix", lead, groups=(Group((figure,), "narrow"),))


def _reliability(evidence: Evidence, outputs: dict[str, Arrays]) -> Section:
    rows: list[Row] = []
    for loss, kept in outputs.items():
        p = kept["probabilities"]
        right, confidence = p.argmax(1) == evidence.test["labels"], np.clip(p.max(1), 0, 1)
        accuracy, mean = calibration_curve(right, confidence, n_bins=_BINS, strategy="quantile")
        rows += [
            {"loss": loss, "confidence": float(c), "accuracy": float(a), "order": i}
            for i, (c, a) in enumerate(zip(mean, accuracy, strict=True))
        ]
    caption = (
        f"Test samples sorted by the probability given to the predicted class, in up to {_BINS} groups of "
        "equal size. On the dashed line 80 % sure is right 80 % of the time; below it the network is too "
        "sure of itself."
    )
    figure = Figure("reliability", figures.reliability(rows, evidence.palette), caption)
    lead = "Can the probabilities be believed? One seed of each loss."
    return Section("reliability", "Reliability", lead, tuple(outputs), (Group((figure,)),))


def _mistakes(evidence: Evidence, outputs: dict[str, Arrays]) -> Section | None:
    if "images" not in evidence.test:
        return None
    loss, kept = next(iter(outputs.items()))
    p, labels, names = kept["probabilities"], evidence.test["labels"], evidence.test["names"]
    predicted = p.argmax(1)
    wrong = np.flatnonzero(predicted != labels)
    surest = wrong[np.argsort(-p[wrong, predicted[wrong]], kind="stable")][:12].tolist()
    if not surest:
        return None
    rows = tuple(
        (
            _tile(evidence, item, "true class"),
            Tile(
                pictures.data_uri(evidence.test["images"][np.flatnonzero(labels == predicted[item])[0]]),
                "predicted",
                str(names[predicted[item]]),
                f"{100 * p[item, predicted[item]]:.0f} %",
                right=False,
            ),
        )
        for item in surest
        if (labels == predicted[item]).any()
    )
    lead = f"The mistakes of which {loss} was surest, beside a test sample of the class that it predicted."
    return Section("mistakes", "Surest mistakes", lead, galleries=(Gallery("Wrong", rows),))


def _precision_recall(evidence: Evidence, outputs: dict[str, Arrays]) -> Section:
    labels = evidence.test["labels"]
    rows: list[Row] = []
    for loss, kept in outputs.items():
        precision, recall, _ = precision_recall_curve(labels, kept["probabilities"], drop_intermediate=True)
        # The last point is where nothing is accepted: a precision by convention.
        shown = np.unique(np.linspace(0, len(recall) - 2, _CURVE_POINTS).astype(int))
        points = zip(recall[shown].tolist(), precision[shown].tolist(), strict=True)
        rows += [{"loss": loss, "recall": r, "precision": p, "order": i} for i, (r, p) in enumerate(points)]
    caption = (
        "How many of the samples called positive are so (precision), against how many of the positives are found "
        "(recall), at every threshold. The area under a curve is the average precision; the dashed line is chance."
    )
    figure = Figure("precision-recall", figures.precision_recall(rows, evidence.palette, float(labels.mean())), caption)
    lead = "What a threshold would find, and what it would pay for that. One seed of each loss."
    return Section("precision-recall", "Precision and recall", lead, tuple(outputs), (Group((figure,)),))


def _calibration(evidence: Evidence, outputs: dict[str, Arrays]) -> Section:
    rows: list[Row] = []
    for loss, kept in outputs.items():
        given = np.clip(kept["probabilities"], 0, 1)
        share, mean = calibration_curve(evidence.test["labels"], given, n_bins=_BINS, strategy="quantile")
        rows += [
            {"loss": loss, "probability": float(p), "share": float(s), "order": i}
            for i, (p, s) in enumerate(zip(mean, share, strict=True))
        ]
    caption = (
        f"Test samples sorted by the probability of being positive, in up to {_BINS} groups of equal size. On the "
        "dashed line as many are positive as was said; below it the network sees positives that are not there."
    )
    figure = Figure("calibration", figures.calibration(rows, evidence.palette), caption)
    lead = "Can the probabilities be believed? Weighted and focal losses bend them on purpose. One seed of each loss."
    return Section("calibration", "Reliability", lead, tuple(outputs), (Group((figure,)),))


def _predictions(evidence: Evidence, outputs: dict[str, Arrays]) -> Section:
    targets = evidence.test["targets"]
    every = np.concatenate([targets, *(kept["predictions"] for kept in outputs.values())])
    domain = (float(every.min()), float(every.max()))
    plots: list[Figure] = []
    for number, (loss, kept) in enumerate(outputs.items()):
        pairs = zip(targets.tolist(), kept["predictions"].tolist(), strict=True)
        rows: list[Row] = [{"true": true, "predicted": predicted} for true, predicted in pairs]
        spec = figures.predictions(rows, evidence.palette.colour(loss), domain)
        plots.append(Figure(f"predictions-{number}", spec, loss=loss))
    lead = (
        "Each dot is a test sample; on the dashed line the prediction is exact. A cloud flatter than the "
        "line says that the network stays close to the mean. One seed of each loss."
    )
    return Section("predictions", "Predicted against true", lead, groups=(Group(tuple(plots), "small"),))


def _residuals(evidence: Evidence, outputs: dict[str, Arrays]) -> Section:
    errors = {loss: kept["predictions"] - evidence.test["targets"] for loss, kept in outputs.items()}
    reach = float(max(np.abs(error).max() for error in errors.values()))
    plots: list[Figure] = []
    for number, (loss, error) in enumerate(errors.items()):
        rows: list[Row] = [{"residual": value} for value in error.tolist()]
        spec = figures.residuals(rows, evidence.palette.colour(loss), (-reach, reach))
        title = f"median {np.median(error):+.3g}".replace("-", "−")
        plots.append(Figure(f"residuals-{number}", spec, title=title, loss=loss))
    lead = "Predicted minus true: left of the dashed line too low, right of it too high. One seed of each loss."
    return Section("residuals", "Residuals", lead, groups=(Group(tuple(plots), "small"),))

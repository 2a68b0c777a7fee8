"""The networks' class for each pixel: test images with the truth and every answer, and the score of each class."""

import colorsys
import re
from collections.abc import Sequence
from statistics import fmean, stdev

import numpy as np

from lossary.lab.report import figures, pictures
from lossary.lab.report.drawing import Row
from lossary.lab.report.evidence import Arrays, Evidence
from lossary.lab.report.views import Figure, Gallery, Group, Section, Table, TableRow, Tile
from lossary.lab.tasks.segmentation.metrics import Regions

_SIDE = 64  # pixels of a picture
_SHOWN = 4  # images in each gallery
#: Paul Tol's muted colours, which colour-blind readers can distinguish and which differ from those of the losses.
_MUTED = (
    *("#332288", "#ddcc77", "#88ccee", "#117733", "#cc6677"),
    *("#882255", "#44aa99", "#999933", "#aa4499"),
)
_NO_LABEL = "#ffffff"


def _maps(evidence: Evidence, outputs: dict[str, Arrays]) -> Section | None:
    if "images" not in evidence.test:
        return None
    names, labels = evidence.test["names"].tolist(), evidence.test["labels"]
    predicted = {loss: kept["predictions"].astype(int) for loss, kept in outputs.items()}
    colours = _colours(names)
    differing, others = _chosen(labels, list(predicted.values()))
    key = [*zip(colours, names, strict=True)] + [(_NO_LABEL, "no label")] * bool((labels < 0).any())

    def rows(images: Sequence[int]) -> tuple[tuple[Tile, ...], ...]:
        return tuple(_compared(evidence, predicted, colours, image) for image in images)

    titles = {"Where the losses differ most": differing, "Drawn at random from the rest": others}
    galleries = tuple(Gallery(title, rows(images), tuple(key)) for title, images in titles.items() if images)
    lead = (
        "Test images, the true classes and the network's prediction for each loss, best loss first; the number is "
        "the share of labelled pixels that are correct. One seed of each loss."
    )
    return Section("maps", "Test images", lead, galleries=galleries)


def _chosen(labels: np.ndarray, predicted: list[np.ndarray]) -> tuple[list[int], list[int]]:
    """Images in which most labelled pixels are disputed between losses; and as many at random."""
    disputed = np.any([other != predicted[0] for other in predicted], axis=0) & (labels >= 0)
    shares = disputed.sum(axis=(1, 2)) / np.maximum((labels >= 0).sum(axis=(1, 2)), 1)
    order = np.argsort(-shares, kind="stable")
    most = [int(image) for image in order[:_SHOWN] if shares[image] > 0]
    rest = np.setdiff1d(np.arange(len(labels)), most)
    return most, np.random.default_rng(0).permutation(rest)[:_SHOWN].tolist()


def _compared(evidence: Evidence, predicted: dict[str, np.ndarray], colours: list[str], image: int) -> tuple[Tile, ...]:
    labels = evidence.test["labels"][image]
    known = labels >= 0
    shown = Tile(pictures.data_uri(evidence.test["images"][image], _SIDE), "image", f"test image {image + 1}")
    truth = Tile(_drawn(labels, colours), "truth", _mostly(evidence, labels[known]))
    answers = (
        Tile(_drawn(found[image], colours), _breaking(loss), f"{(found[image] == labels)[known].mean():.1%} right")
        for loss, found in predicted.items()
    )
    return (shown, truth, *answers)


def _breaking(name: str) -> str:
    """A name that may break at its underscores, because it stands below a small picture."""
    return name.replace("_", "_\u200b")


def _mostly(evidence: Evidence, labels: np.ndarray) -> str:
    sizes = np.bincount(labels, minlength=len(evidence.test["names"]))
    rarest = min(np.flatnonzero(sizes), key=lambda label: sizes[label], default=None)
    return "no label" if rarest is None else f"{sizes[rarest] / sizes.sum():.1%} {evidence.test['names'][rarest]}"


def _drawn(labels: np.ndarray, colours: list[str]) -> str:
    paints = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in (*colours, _NO_LABEL)], np.uint8)
    return pictures.data_uri(paints[np.where(labels < 0, len(colours), labels)], _SIDE)


def _colours(names: Sequence[str]) -> list[str]:
    """One colour per class: its own, if the class is named after a colour."""
    if all(re.fullmatch("#[0-9a-f]{6}", name) for name in names):
        return list(names)
    more = (colorsys.hls_to_rgb(0.618 * number % 1, 0.45, 0.5) for number in range(len(names) - len(_MUTED)))
    return [*_MUTED, *("#" + "".join(f"{round(255 * part):02x}" for part in rgb) for rgb in more)][: len(names)]


def _classes(evidence: Evidence, outputs: dict[str, Arrays]) -> Section:
    labels = evidence.test["labels"]
    sizes = np.bincount(labels[labels >= 0], minlength=len(evidence.test["names"]))
    shown = np.flatnonzero(sizes).tolist()
    names = {label: f"{evidence.test['names'][label]}, {sizes[label] / sizes.sum():.1%}" for label in shown}
    rows: list[Row] = []
    lines: list[TableRow] = []
    for loss in outputs:
        kept = [kept for run in evidence.runs(loss) if (kept := evidence.outputs(run))]
        scores = [Regions.of(found["predictions"], labels).iou for found in kept]
        by_class = {label: [float(score[label]) for score in scores] for label in shown}
        rows += [{"loss": loss, "class": names[label], "score": fmean(by_class[label])} for label in shown]
        lines.append(TableRow(tuple(map(_spread, by_class.values())), loss))
    caption = "Intersection over union of each class over all test images, behind its share of the labelled pixels."
    figure = Figure("classes", figures.by_class(rows, evidence.palette, list(names.values()), "IoU"), caption)
    table = Table("Percent, mean and standard deviation over seeds", ("Loss", *names.values()), tuple(lines))
    lead = "Which loss suits which class? Losses differ most on rare classes."
    return Section("classes", "Class by class", lead, tuple(outputs), (Group((figure,)),), tables=(table,))


def _spread(values: list[float]) -> str:
    mean = f"{100 * fmean(values):.1f}"
    return f"{mean} ± {100 * stdev(values):.1f}" if len(values) > 1 else mean


SECTIONS = (_maps, _classes)

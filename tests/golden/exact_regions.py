"""Golden cases to 50 digits of regions that may overlap, and of middle lines."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

from exact import Data, Formula, draw, mean, sigmoid, softmax, whole
from mpmath import mpf

Inputs = dict[str, Data]
Params = dict[str, Any]
#: One channel of an image: its rows.
Plane = list[list[Any]]


def channels(inputs: Inputs) -> Iterator[tuple[list[Any], list[Any]]]:
    """Of images and their channels: the probabilities and the true region, (L,) each."""
    for image, truth in zip(inputs["input"], inputs["target"], strict=True):
        for z, g in zip(image, truth, strict=True):
            yield [sigmoid(a) for a in z], g


def sums(p: list[Any], g: list[Any]) -> tuple[Any, Any, Any]:
    return sum(a * b for a, b in zip(p, g, strict=True)), sum(p), mpf(sum(g))


def generalized_dice(inputs: Inputs, params: Params) -> Any:
    found, count = [sums(*channel) for channel in channels(inputs)], len(inputs["input"][0])

    def one(regions: list[tuple[Any, Any, Any]]) -> Any:
        return 1 - 2 * sum(b / g**2 for b, _, g in regions) / sum((p + g) / g**2 for _, p, g in regions)

    return mean([one(found[i : i + count]) for i in range(0, len(found), count)])


def focal_tversky(inputs: Inputs, params: Params) -> Any:
    alpha, beta, gamma, smooth = (mpf(params[name]) for name in ("alpha", "beta", "gamma", "smooth"))

    def one(both: Any, p: Any, g: Any) -> Any:
        return (1 - (both + smooth) / (both + alpha * (p - both) + beta * (g - both) + smooth)) ** (1 / gamma)

    return mean([one(*sums(*channel)) for channel in channels(inputs)])


# ---------------------------------------------------------------- middle lines


def around(x: Plane, of: Callable[[list[Any]], Any], diagonals: bool) -> Plane:
    """The least or the largest of each position and its neighbours, of which there are none beyond the border."""
    height, width = len(x), len(x[0])

    def near(i: int, j: int) -> list[Any]:
        places = [(i + a, j + b) for a, b in product((-1, 0, 1), repeat=2) if diagonals or not a * b]
        return [x[a][b] for a, b in places if 0 <= a < height and 0 <= b < width]

    return [[of(near(i, j)) for j in range(width)] for i in range(height)]


def skeleton(x: Plane, iterations: int) -> Plane:
    """What an opening would remove of each erosion, gathered by its soft union with what was found before."""
    found = [[mpf(0) for _ in row] for row in x]
    for _ in range(iterations + 1):
        eroded = around(x, min, diagonals=False)
        opened = around(eroded, max, diagonals=True)
        for row, before, after in zip(found, x, opened, strict=True):
            for j, (a, b) in enumerate(zip(before, after, strict=True)):
                row[j] += max(a - b, mpf(0)) * (1 - row[j])
        x = eroded
    return found


def line_score(p: Plane, g: Plane, params: Params) -> Any:
    smooth, iterations = mpf(params["smooth"]), params["iterations"]

    def within(line: Plane, other: Plane) -> Any:
        each = [(a, b) for one, two in zip(line, other, strict=True) for a, b in zip(one, two, strict=True)]
        return (sum(a * b for a, b in each) + smooth) / (sum(a for a, _ in each) + smooth)

    precision, recall = within(skeleton(p, iterations), g), within(skeleton(g, iterations), p)
    return 1 - 2 * precision * recall / (precision + recall)


def sigmoid_cl_dice(inputs: Inputs, params: Params) -> Any:
    found = []
    for image, truth in zip(inputs["input"], inputs["target"], strict=True):
        for z, region in zip(image, truth, strict=True):
            p, g = [[sigmoid(a) for a in row] for row in z], [[mpf(a) for a in row] for row in region]
            found.append(line_score(p, g, params))
    return mean(found)


def cl_dice(inputs: Inputs, params: Params) -> Any:
    found = []
    for image, labels in zip(inputs["input"], inputs["target"], strict=True):
        height, width = len(labels), len(labels[0])
        p = [[softmax([plane[i][j] for plane in image]) for j in range(width)] for i in range(height)]
        for c in range(len(image)):
            of_class = [[mpf(y == c) for y in row] for row in labels]
            found.append(line_score([[one[c] for one in row] for row in p], of_class, params))
    return mean(found)


def flat(rows: Data) -> list[Any]:
    return [x for row in rows for x in row]


def maps(inputs: Inputs, *, exclusive: bool) -> Iterator[tuple[list[Any], list[Any], int]]:
    """Each image's map of probabilities and of the other argument, class by class, row after row; and the width."""
    _, beside = inputs
    for image, other in zip(inputs["input"], inputs[beside], strict=True):
        scores, width = [flat(plane) for plane in image], len(image[0][0])
        shares = [softmax(list(here)) for here in zip(*scores, strict=True)]
        for c, plane in enumerate(scores):
            p = [share[c] for share in shares] if exclusive else [sigmoid(a) for a in plane]
            by_class = isinstance(other[0][0], list)
            yield p, flat(other[c]) if by_class else [int(y == c) for y in flat(other)], width


def boundary(inputs: Inputs, _: Params, *, exclusive: bool = True) -> Any:
    found = maps(inputs, exclusive=exclusive)
    return mean([mean([a * d for a, d in zip(p, far, strict=True)]) for p, far, _ in found])


def to_boundary(region: list[bool], width: int, spacing: Any) -> list[Any]:
    """The distance of each position to the nearest on the other side; 0 if there is none."""
    places = [divmod(i, width) for i in range(len(region))]

    def nearest(here: bool, i: int, j: int) -> Any:
        others = [place for place, there in zip(places, region, strict=True) if there != here]
        return spacing * min(((i - k) ** 2 + (j - l) ** 2 for k, l in others), default=0) ** (mpf(1) / 2)

    return [nearest(here, *place) for here, place in zip(region, places, strict=True)]


def hausdorff_dt(inputs: Inputs, params: Params, *, exclusive: bool = True) -> Any:
    alpha, spacing, found = mpf(params["alpha"]), mpf(params["spacing"]), []
    for p, g, width in maps(inputs, exclusive=exclusive):
        fields = [to_boundary([a > 0.5 for a in one], width, spacing) for one in (p, g)]
        weights = [sum(d**alpha if d else 0 for d in apart) for apart in zip(*fields, strict=True)]
        found.append(mean([(a - b) ** 2 * w for a, b, w in zip(p, g, weights, strict=True)]))
    return mean(found)


REGIONS_TRUE = {"input": draw(61, 2, 2, 6), "target": whole(62, 2, 2, 2, 6)}
CROSS = [[0, 1, 0, 0, 1], [1, 1, 1, 1, 1], [0, 1, 1, 0, 0], [0, 0, 1, 1, 0]]
LINES = {"input": draw(63, 2, 1, 4, 5), "target": [[CROSS], [[row[::-1] for row in CROSS]]]}
CLASSES = {"input": draw(64, 1, 3, 4, 5), "target": [[[c + (i == 3) for c in row] for i, row in enumerate(CROSS)]]}

REGIONS: list[tuple[str, Formula, Params, Inputs]] = [
    ("sigmoid_generalized_dice", generalized_dice, {"smooth": "0"}, REGIONS_TRUE),
    *(
        (
            "sigmoid_focal_tversky",
            focal_tversky,
            {"alpha": "0.25", "beta": "0.75", "gamma": g, "smooth": "0.5"},
            REGIONS_TRUE,
        )
        for g in ("1.5", "0.75")
    ),
    *(
        (name, formula, {"iterations": n, "smooth": smooth}, inputs)
        for name, formula, inputs in (("sigmoid_cl_dice", sigmoid_cl_dice, LINES), ("cl_dice", cl_dice, CLASSES))
        for n, smooth in ((1, "0.5"), (2, "1"))
    ),
    *(
        (
            name,
            partial(boundary, exclusive=exclusive),
            {},
            {"input": draw(85, 2, 2, 3, 3), "distances": draw(86, 2, 2, 3, 3)},
        )
        for name, exclusive in (("boundary", True), ("sigmoid_boundary", False))
    ),
    *(
        (name, partial(hausdorff_dt, exclusive=exclusive), {"alpha": alpha, "spacing": spacing}, inputs)
        for name, exclusive, inputs in (("hausdorff_dt", True, CLASSES), ("sigmoid_hausdorff_dt", False, LINES))
        for alpha, spacing in (("2", "1"), ("1.5", "0.5"))
    ),
]

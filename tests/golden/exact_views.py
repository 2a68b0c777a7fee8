"""More golden cases of :mod:`exact`: losses of a whole batch."""

from itertools import pairwise, permutations
from typing import Any

from exact import Data, Formula, cosine, draw, mean, softmax, whole
from mpmath import cos, exp, log, mpf, sin

Inputs = dict[str, Data]
Params = dict[str, Any]


def flops(inputs: Inputs, _: Params) -> Any:
    return sum(mean([abs(x) for x in column]) ** 2 for column in zip(*inputs["embeddings"], strict=True))


def sigreg(inputs: Inputs, params: Params) -> Any:
    rows, knots, last = inputs["embeddings"], params["knots"], mpf(params["t_max"])
    statistics = []
    for way in inputs["directions"]:
        length = sum(a * a for a in way) ** (mpf(1) / 2)
        p = [sum(x * a for x, a in zip(row, way, strict=True)) / length for row in rows]
        heights = []
        for knot in range(knots):
            t = last * knot / (knots - 1)
            normal = exp(-t * t / 2)
            apart = (mean([cos(t * z) for z in p]) - normal) ** 2 + mean([sin(t * z) for z in p]) ** 2
            heights.append(apart * normal)
        steps = [(a + b) / 2 for a, b in pairwise(heights)]
        statistics.append(len(rows) * 2 * sum(steps) * last / (knots - 1))
    return mean(statistics)


def mmd(inputs: Inputs, params: Params) -> Any:
    h = mpf(params["bandwidth"])

    def kernel(x: Data, y: Data) -> Any:
        squared = sum((a - b) ** 2 for a, b in zip(x, y, strict=True))
        if params["kernel"] == "gaussian":
            return exp(-squared / (2 * h * h))
        if squared == 0:  # where a difference quotient would see a kink that cancels
            return mpf(params["kernel"] == "laplacian")
        distance = squared ** (mpf(1) / 2)
        return exp(-distance / h) if params["kernel"] == "laplacian" else -distance / h

    def between(xs: Data, ys: Data) -> Any:
        return mean([kernel(x, y) for x in xs for y in ys])

    xs, ys = inputs["embeddings"], inputs["other"]
    return between(xs, xs) + between(ys, ys) - 2 * between(xs, ys)


def auc_margin(inputs: Inputs, params: Params) -> Any:
    found = []
    for scores, truth in zip(zip(*inputs["input"], strict=True), zip(*inputs["target"], strict=True), strict=True):
        sides = [[z for z, y in zip(scores, truth, strict=True) if y == side] for side in (1, 0)]
        if all(sides):
            yes, no = (mean(side) for side in sides)
            apart = [mean([(z - m) ** 2 for z in side]) for side, m in zip(sides, (yes, no), strict=True)]
            found.append(sum(apart) + max(mpf(params["margin"]) + no - yes, mpf(0)) ** 2)
    return mean(found)


def colbert(inputs: Inputs, params: Params) -> Any:
    tau, losses = mpf(params["temperature"]), []
    alike = cosine if params["normalize"] else (lambda a, b: sum(x * y for x, y in zip(a, b, strict=True)))
    queries, documents = (
        [text[:length] for text, length in zip(inputs[name], params[f"{name}_lengths"], strict=True)]
        for name in ("query", "positive")
    )
    for i, query in enumerate(queries):
        texts = [*documents, *inputs["negatives"]]
        scores = [sum(max(alike(a, b) for b in text) for a in query) / tau for text in texts]
        losses.append(-log(softmax(scores)[i]))
    return mean(losses)


def chamfer(inputs: Inputs, params: Params) -> Any:
    def apart(x: Data, y: Data) -> Any:
        squared = sum((a - b) ** 2 for a, b in zip(x, y, strict=True))
        return squared if params["squared"] else squared ** (mpf(1) / 2)

    def nearest(xs: Data, ys: Data) -> Any:
        return mean([min(apart(x, y) for y in ys) for x in xs])

    clouds = zip(inputs["input"], inputs["target"], strict=True)
    return mean([nearest(xs, ys) + nearest(ys, xs) for xs, ys in clouds])


def huber(z: Any) -> Any:
    return z * z / 2 if abs(z) <= 1 else abs(z) - mpf(1) / 2


def length(x: Data) -> Any:
    return sum(a * a for a in x) ** (mpf(1) / 2)


def minus(x: Data, y: Data) -> Data:
    return [a - b for a, b in zip(x, y, strict=True)]


def rkd_distance(inputs: Inputs, _: Params) -> Any:
    sides = []
    for rows in (inputs["student"], inputs["teacher"]):
        found = [length(minus(x, y)) for x, y in permutations(rows, 2)]
        sides.append([d / mean(found) for d in found])
    return mean([huber(a - b) for a, b in zip(*sides, strict=True)])


def rkd_angle(inputs: Inputs, _: Params) -> Any:
    def angle(x: Data, vertex: Data, y: Data) -> Any:
        return cosine(minus(x, vertex), minus(y, vertex))

    sides = [[angle(*three) for three in permutations(inputs[name], 3)] for name in ("student", "teacher")]
    return mean([huber(a - b) for a, b in zip(*sides, strict=True)])


VIEWED: list[tuple[str, Formula, Params, Inputs]] = [
    ("flops", flops, {}, {"embeddings": draw(71, 5, 4)}),
    *(
        ("sigreg", sigreg, {"knots": knots, "t_max": t}, {"embeddings": draw(72, 5, 3), "directions": draw(73, 2, 3)})
        for knots, t in ((17, "3"), (4, "1.5"))
    ),
    *(
        ("mmd", mmd, {"kernel": kernel, "bandwidth": h}, {"embeddings": draw(74, 4, 3), "other": draw(75, 3, 3)})
        for kernel, h in (("gaussian", "2"), ("laplacian", "1.5"), ("energy", "1"))
    ),
    *(
        ("auc_margin", auc_margin, {"margin": m}, {"input": draw(76, 6, 3), "target": whole(77, 2, 6, 3)})
        for m in ("1", "0.25")
    ),
    *(
        (name, formula, {}, {"student": draw(78, 5, 2), "teacher": draw(79, 5, 3)})
        for name, formula in (("rkd_distance", rkd_distance), ("rkd_angle", rkd_angle))
    ),
    *(
        (
            "colbert",
            colbert,
            {"temperature": tau, "normalize": cosines, "query_lengths": [3, 1, 2], "positive_lengths": [2, 4, 3]},
            {"query": draw(80, 3, 3, 2), "positive": draw(81, 3, 4, 2), "negatives": draw(82, 2, 2, 2)},
        )
        for tau, cosines in (("0.5", True), ("4", False))
    ),
    *(
        ("chamfer", chamfer, {"squared": squared}, {"input": draw(83, 2, 4, 3), "target": draw(84, 2, 3, 3)})
        for squared in (True, False)
    ),
]

"""Golden cases to 50 digits, by mpmath: ``python tests/golden/exact.py`` writes ``exact.jsonl`` beside it.

Each formula stands as its paper has it, number by number, without a care for overflow or speed: 80 digits forgive that.
Gradients are central differences, which are off by 1e-50 or less.
"""

import json
import random
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

from mpmath import ceil, exp, log, mp, mpf, nstr

WRITTEN = Path(__file__).with_name("exact.jsonl")
STEP = mpf(10) ** -30
mp.dps = 80

#: Nested lists of numbers, as a tensor holds them.
Data = Any
#: A loss as one number, of the inputs by name and the parameters.
Formula = Callable[[dict[str, Data], dict[str, Any]], Any]


def sigmoid(z: Any) -> Any:
    return 1 / (1 + exp(-z))


def softmax(row: Data) -> list[Any]:
    total = sum(exp(z) for z in row)
    return [exp(z) / total for z in row]


def mean(numbers: list[Any]) -> Any:
    return sum(numbers) / len(numbers)


def elements(inputs: dict[str, Data]) -> Iterator[tuple[Any, Any]]:
    for z, y in zip(inputs["input"], inputs["target"], strict=True):
        yield from zip(z, y, strict=True)


def rows(inputs: dict[str, Data]) -> Iterator[tuple[Data, Any]]:
    yield from zip(inputs["input"], inputs["target"], strict=True)


# ---------------------------------------------------------------- answers


def smoothed_bce(inputs: dict[str, Data], params: dict[str, Any]) -> Any:
    e, ignored = mpf(params["label_smoothing"]), params["ignore_index"]
    losses = []
    for z, y in elements(inputs):
        if y != ignored:
            t = (1 - e) * y + e / 2
            losses.append(-t * log(sigmoid(z)) - (1 - t) * log(1 - sigmoid(z)))
    return mean(losses)


def asymmetric(inputs: dict[str, Data], params: dict[str, Any]) -> Any:
    of_yes, of_no, m = (mpf(params[n]) for n in ("gamma_positive", "gamma_negative", "margin"))
    losses = []
    for z, y in elements(inputs):
        p = sigmoid(z)
        shifted = max(p - m, mpf(0))
        yes = -((1 - p) ** of_yes) * log(p)
        losses.append(yes if y else -(shifted**of_no) * log(1 - shifted))
    return mean(losses)


# ---------------------------------------------------------------- classes


def logit_adjusted(inputs: dict[str, Data], params: dict[str, Any]) -> Any:
    counts, tau = [mpf(n) for n in params["class_counts"]], mpf(params["tau"])
    shift = [tau * log(n / sum(counts)) for n in counts]
    return mean([-log(softmax([z + s for z, s in zip(row, shift, strict=True)])[y]) for row, y in rows(inputs)])


def ldam(inputs: dict[str, Data], params: dict[str, Any]) -> Any:
    counts, m, s = [mpf(n) for n in params["class_counts"]], mpf(params["max_margin"]), mpf(params["scale"])
    margins = [n ** (-mpf(1) / 4) for n in counts]
    margins = [d * m / max(margins) for d in margins]
    return mean(
        [-log(softmax([s * (z - margins[c] * (c == y)) for c, z in enumerate(row)])[y]) for row, y in rows(inputs)]
    )


def symmetric_cross_entropy(inputs: dict[str, Data], params: dict[str, Any]) -> Any:
    alpha, beta, log_zero = (mpf(params[n]) for n in ("alpha", "beta", "log_zero"))
    losses = []
    for row, y in rows(inputs):
        p = softmax(row)
        losses.append(-alpha * log(p[y]) - beta * sum(a * log_zero for c, a in enumerate(p) if c != y))
    return mean(losses)


def ohem(inputs: dict[str, Data], params: dict[str, Any]) -> Any:
    losses = sorted((-log(softmax(row)[y]) for row, y in rows(inputs)), reverse=True)
    return mean(losses[: int(ceil(mpf(params["fraction"]) * len(losses)))])


def bi_tempered(inputs: dict[str, Data], params: dict[str, Any]) -> Any:
    t1, t2, losses = mpf(params["t1"]), mpf(params["t2"]), []

    def tempered(z: Any) -> Any:
        return exp(z) if t2 == 1 else (1 + (1 - t2) * z) ** (1 / (1 - t2))

    def log_1(x: Any) -> Any:
        return log(x) if t1 == 1 else (x ** (1 - t1) - 1) / (1 - t1)

    for row, y in rows(inputs):
        low, high = max(row), max(row) + 10**6
        for _ in range(320):  # halved until 80 digits are right
            middle = (low + high) / 2
            low, high = (middle, high) if sum(tempered(z - middle) for z in row) > 1 else (low, middle)
        p = [tempered(z - low) for z in row]
        losses.append(-log_1(p[y]) - (1 - sum(a ** (2 - t1) for a in p)) / (2 - t1))
    return mean(losses)


def asymmetric_softmax(inputs: dict[str, Data], params: dict[str, Any]) -> Any:
    of_yes, of_no, e = (mpf(params[n]) for n in ("gamma_positive", "gamma_negative", "label_smoothing"))
    losses = []
    for row, y in rows(inputs):
        p, share = softmax(row), e / len(row)
        others = sum(a**of_no * log(a) for c, a in enumerate(p) if c != y)
        losses.append(-(1 - e + share) * (1 - p[y]) ** of_yes * log(p[y]) - share * others)
    return mean(losses)


# ---------------------------------------------------------------- identities


def cosine(a: list[Any], b: list[Any]) -> Any:
    dot, first, second = (sum(x * y for x, y in zip(*pair, strict=True)) for pair in ((a, b), (a, a), (b, b)))
    return dot / (first * second) ** (mpf(1) / 2)


def sphereface2(inputs: dict[str, Data], params: dict[str, Any]) -> Any:
    share, s, m, t, b = (mpf(params[n]) for n in ("balance", "scale", "margin", "t", "bias"))
    losses = []
    for x, y in zip(inputs["features"], inputs["labels"], strict=True):
        g = [2 * ((1 + cosine(x, w)) / 2) ** t - 1 for w in inputs["weight"]]
        yes = log(1 + exp(-s * (g[y] - m) - b))
        losses.append(
            (share * yes + (1 - share) * sum(log(1 + exp(s * (a + m) + b)) for j, a in enumerate(g) if j != y)) / s
        )
    return mean(losses)


# ---------------------------------------------------------------- distillation


def kl(q: list[Any], p: list[Any]) -> Any:
    return sum(a * log(a / b) for a, b in zip(q, p, strict=True))


def at(temperature: Any, row: Data) -> list[Any]:
    return softmax([z / temperature for z in row])


def distillation(inputs: dict[str, Data], params: dict[str, Any]) -> Any:
    tau, forward = mpf(params["temperature"]), params["direction"] == "forward"
    pairs = ((at(tau, z), at(tau, u)) for z, u in rows(inputs))
    return tau**2 * mean([kl(q, p) if forward else kl(p, q) for p, q in pairs])


def decoupled_distillation(inputs: dict[str, Data], params: dict[str, Any]) -> Any:
    tau, alpha, beta = (mpf(params[n]) for n in ("temperature", "alpha", "beta"))
    losses = []
    for z, u, y in zip(inputs["input"], inputs["target"], inputs["labels"], strict=True):
        p, q = at(tau, z), at(tau, u)
        others = [[a / (1 - all_[y]) for c, a in enumerate(all_) if c != y] for all_ in (q, p)]
        losses.append(alpha * kl([q[y], 1 - q[y]], [p[y], 1 - p[y]]) + beta * kl(*others))
    return tau**2 * mean(losses)


def jensen_shannon(inputs: dict[str, Data], params: dict[str, Any]) -> Any:
    tau, beta = mpf(params["temperature"]), mpf(params["beta"])
    losses = []
    for z, u in rows(inputs):
        p, q = at(tau, z), at(tau, u)
        m = [beta * a + (1 - beta) * b for a, b in zip(q, p, strict=True)]
        losses.append(beta * kl(q, m) + (1 - beta) * kl(p, m))
    return mean(losses)


# ---------------------------------------------------------------- views


def columns(view: Data) -> Data:
    return [list(column) for column in zip(*view, strict=True)]


def moments(a: list[Any], b: list[Any]) -> Any:
    """The covariance of two features, over N."""
    return mean([x * y for x, y in zip(a, b, strict=True)]) - mean(a) * mean(b)


def barlow_twins(inputs: dict[str, Data], params: dict[str, Any]) -> Any:
    eps, weight, total = mpf(params["eps"]), mpf(params["off_diagonal"]), mpf(0)
    for i, a in enumerate(columns(inputs["z1"])):
        for j, b in enumerate(columns(inputs["z2"])):
            c = moments(a, b) / ((moments(a, a) + eps) * (moments(b, b) + eps)) ** (mpf(1) / 2)
            total += (1 - c) ** 2 if i == j else weight * c**2
    return total


def vicreg(inputs: dict[str, Data], params: dict[str, Any]) -> Any:
    of = {n: mpf(v) for n, v in params.items()}
    first, second = columns(inputs["z1"]), columns(inputs["z2"])
    features, unbiased = len(first), mpf(len(first[0])) / (len(first[0]) - 1)
    apart = [mean([(x - y) ** 2 for x, y in zip(a, b, strict=True)]) for a, b in zip(first, second, strict=True)]
    total = of["invariance"] * sum(apart)
    for view in (first, second):
        for i, a in enumerate(view):
            deviation = (unbiased * moments(a, a) + of["eps"]) ** (mpf(1) / 2)
            total += of["variance"] / 2 * max(of["spread"] - deviation, mpf(0))
            total += of["covariance"] * sum((unbiased * moments(a, b)) ** 2 for j, b in enumerate(view) if j != i)
    return total / features


def koleo(inputs: dict[str, Data], params: dict[str, Any]) -> Any:
    units = [[x / sum(y * y for y in row) ** (mpf(1) / 2) for x in row] for row in inputs["embeddings"]]

    def apart(i: int, j: int) -> Any:
        return sum((x - y) ** 2 for x, y in zip(units[i], units[j], strict=True)) ** (mpf(1) / 2)

    nearest = [min(apart(i, j) for j in range(len(units)) if j != i) for i in range(len(units))]
    return mean([-log(d + mpf(params["eps"])) for d in nearest])


def dino(inputs: dict[str, Data], params: dict[str, Any]) -> Any:
    of_student, of_teacher = (mpf(params[f"{who}_temperature"]) for who in ("student", "teacher"))
    center, losses = [mpf(c) for c in params["center"]], []
    for students, teachers in zip(inputs["student"], inputs["teacher"], strict=True):
        pairs = []
        for u, t in enumerate(teachers):
            q = at(of_teacher, [z - c for z, c in zip(t, center, strict=True)])
            for v, s in enumerate(students):
                if u != v:
                    pairs.append(-sum(a * log(b) for a, b in zip(q, at(of_student, s), strict=True)))
        losses.append(mean(pairs))
    return mean(losses)


def swav(inputs: dict[str, Data], params: dict[str, Any]) -> Any:
    tau, eps = mpf(params["temperature"]), mpf(params["epsilon"])
    shares = [[[exp(z / eps) for z in view] for view in item] for item in inputs["teacher"]]
    for u in range(len(shares[0])):
        for _ in range(params["iterations"]):
            for k in range(len(shares[0][u])):
                total = sum(item[u][k] for item in shares)
                for item in shares:
                    item[u][k] /= total
            for item in shares:
                item[u] = [q / sum(item[u]) for q in item[u]]
    losses = []
    for students, assigned in zip(inputs["student"], shares, strict=True):
        pairs = [(q, s) for u, q in enumerate(assigned) for v, s in enumerate(students) if u != v]
        losses.append(mean([-sum(a * log(b) for a, b in zip(q, at(tau, s), strict=True)) for q, s in pairs]))
    return mean(losses)


def negative_cosine(inputs: dict[str, Data], params: dict[str, Any]) -> Any:
    def dot(a: list[Any], b: list[Any]) -> Any:
        return sum(x * y for x, y in zip(a, b, strict=True))

    pairs = zip(inputs["z1"], inputs["z2"], strict=True)
    return -mean([dot(a, b) / (dot(a, a) * dot(b, b)) ** (mpf(1) / 2) for a, b in pairs])


# ---------------------------------------------------------------- the cases


def draw(seed: int, *shape: int, scale: float = 2.0) -> Data:
    """Numbers that float32 has exactly."""
    rng = random.Random(seed)
    return shaped([mpf(round(rng.gauss(0, scale) * 1024)) / 1024 for _ in range(size(shape))], shape)


def whole(seed: int, high: int, *shape: int) -> Data:
    rng = random.Random(seed)
    return shaped([rng.randrange(high) for _ in range(size(shape))], shape)


def size(shape: tuple[int, ...]) -> int:
    return shape[0] * size(shape[1:]) if shape else 1


def shaped(flat: list[Any], shape: tuple[int, ...]) -> Data:
    if len(shape) == 1:
        return flat
    step = size(shape[1:])
    return [shaped(flat[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]


TAUGHT = {"input": draw(9, 4, 5), "target": draw(10, 4, 5)}
#: More items than features, and fewer than half as many.
VIEWS = [{"z1": draw(11, *shape), "z2": draw(12, *shape)} for shape in ((5, 3), (3, 7))]
COUNTS = ["100", "20", "5", "1"]

#: Of each loss: its formula, its parameters, its inputs.
CASES: list[tuple[str, Formula, dict[str, Any], dict[str, Data]]] = [
    (
        "bce_smoothed",
        smoothed_bce,
        {"label_smoothing": "0.125", "ignore_index": 2},
        {"input": draw(1, 4, 3), "target": whole(2, 3, 4, 3)},
    ),
    *(
        (
            "asymmetric",
            asymmetric,
            {"gamma_positive": a, "gamma_negative": b, "margin": m},
            {"input": draw(3, 4, 3), "target": whole(4, 2, 4, 3)},
        )
        for a, b, m in (("0", "4", "0.05"), ("1", "2.5", "0.25"))
    ),
    *(
        (
            "logit_adjusted",
            logit_adjusted,
            {"class_counts": COUNTS, "tau": tau},
            {"input": draw(5, 5, 4), "target": whole(6, 4, 5)},
        )
        for tau in ("1", "0.5")
    ),
    (
        "ldam",
        ldam,
        {"class_counts": COUNTS, "max_margin": "0.5", "scale": "3"},
        {"input": draw(7, 5, 4, scale=0.5), "target": whole(8, 4, 5)},
    ),
    (
        "symmetric_cross_entropy",
        symmetric_cross_entropy,
        {"alpha": "0.25", "beta": "1.5", "log_zero": "-4"},
        {"input": draw(15, 5, 4), "target": whole(16, 4, 5)},
    ),
    ("ohem", ohem, {"fraction": "0.5"}, {"input": draw(17, 7, 4), "target": whole(18, 4, 7)}),
    (
        "asymmetric_softmax",
        asymmetric_softmax,
        {"gamma_positive": "1.5", "gamma_negative": "2.5", "label_smoothing": "0.25"},
        {"input": draw(19, 5, 4), "target": whole(20, 4, 5)},
    ),
    *(
        ("distillation", distillation, {"temperature": tau, "direction": way}, TAUGHT)
        for tau, way in (("2", "forward"), ("1.5", "reverse"))
    ),
    *(
        (
            "decoupled_distillation",
            decoupled_distillation,
            {"alpha": alpha, "beta": beta, "temperature": tau},
            {**TAUGHT, "labels": whole(87, 4, len(TAUGHT["input"]))},
        )
        for alpha, beta, tau in (("1", "8", "4"), ("0.5", "2", "1.5"))
    ),
    *(
        ("jensen_shannon", jensen_shannon, {"beta": beta, "temperature": tau}, TAUGHT)
        for beta, tau in (("0.5", "1"), ("0.125", "2"))
    ),
    *(("barlow_twins", barlow_twins, {"off_diagonal": "0.25", "eps": "0.00001"}, views) for views in VIEWS),
    *(
        (
            "vicreg",
            vicreg,
            {"invariance": "25", "variance": "20", "covariance": "1.5", "spread": "3", "eps": "0.0001"},
            views,
        )
        for views in VIEWS
    ),
    (
        "dino",
        dino,
        {"center": ["0.25", "-0.5", "0", "0.125"], "student_temperature": "0.5", "teacher_temperature": "0.25"},
        {"student": draw(13, 3, 3, 4, scale=0.5), "teacher": draw(14, 3, 2, 4, scale=0.5)},
    ),
    (
        "swav",
        swav,
        {"temperature": "0.5", "epsilon": "0.25", "iterations": 2},
        {"student": draw(22, 3, 3, 4, scale=0.5), "teacher": draw(23, 3, 2, 4, scale=0.5)},
    ),
    ("negative_cosine", negative_cosine, {}, VIEWS[0]),
    ("koleo", koleo, {"eps": "0.125"}, {"embeddings": draw(21, 6, 3)}),
    *(
        ("bi_tempered", bi_tempered, {"t1": t1, "t2": t2}, {"input": draw(24, 5, 4), "target": whole(25, 4, 5)})
        for t1, t2 in (("0.75", "1.5"), ("0", "3"), ("0.5", "1"), ("1", "1.25"))
    ),
    (
        "sphereface2",
        sphereface2,
        {"balance": "0.75", "scale": "8", "margin": "0.25", "t": "3", "bias": "-2.5"},
        {"features": draw(26, 4, 3), "weight": draw(27, 5, 3), "labels": whole(28, 5, 4)},
    ),
]


def places(data: Data) -> Iterator[tuple[int, ...]]:
    yield from product(*(range(n) for n in shape_of(data)))


def shape_of(data: Data) -> list[int]:
    return [len(data), *shape_of(data[0])] if isinstance(data, list) and data else [0] if isinstance(data, list) else []


def moved(data: Data, place: tuple[int, ...], by: Any) -> Data:
    if not place:
        return data + by
    return [moved(x, place[1:], by) if i == place[0] else x for i, x in enumerate(data)]


def gradient(formula: Formula, inputs: dict[str, Data], params: dict[str, Any], name: str) -> Data:
    found = []
    for place in places(inputs[name]):
        up, down = (formula({**inputs, name: moved(inputs[name], place, s * STEP)}, params) for s in (1, -1))
        found.append(nstr((up - down) / (2 * STEP), 50))
    return shaped(found, tuple(shape_of(inputs[name])))


def as_words(data: Data) -> Data:
    return [as_words(x) for x in data] if isinstance(data, list) else nstr(data, 50) if isinstance(data, mpf) else data


def case(number: int, loss: str, formula: Formula, params: dict[str, Any], inputs: dict[str, Data]) -> dict[str, Any]:
    floats = [n for n, data in inputs.items() if isinstance(flat(data)[0], mpf)]
    return {
        "id": f"exact-{loss}-{number:03}",
        "set": "exact",
        "loss": loss,
        "params": params,
        "inputs": {
            n: {"dtype": "float64" if n in floats else "int64", "shape": shape_of(data), "data": as_words(data)}
            for n, data in inputs.items()
        },
        "grad_of": floats,
        "tags": [],
        "expected": {
            "value": nstr(formula(inputs, params), 50),
            "grads": {n: gradient(formula, inputs, params, n) for n in floats},
        },
        "kinks": [],
        "alternatives": [],
        "grad_optional": [],
        "tol": {"value_rtol": "1e-12", "value_atol": "1e-13", "grad_rtol": "1e-11", "grad_atol": "1e-13"},
        "inputs_exact": True,
        "float32_exact": True,
    }


def flat(data: Data) -> list[Any]:
    return [x for part in data for x in flat(part)] if isinstance(data, list) else [data]


def main() -> None:
    from exact_more import MORE  # which draw by what stands here
    from exact_regions import REGIONS
    from exact_views import VIEWED

    lines = [
        json.dumps(case(number, *given)) for number, given in enumerate([*CASES, *MORE, *REGIONS, *VIEWED], start=1)
    ]
    WRITTEN.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

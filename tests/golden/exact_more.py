"""More golden cases to 50 digits: numbers, classes in an order, regions, items beside items, times until an event."""

from itertools import product
from typing import Any

from exact import Data, Formula, cosine, draw, elements, mean, rows, sigmoid, softmax, whole
from mpmath import erf, exp, log, mpf, pi, sqrt

Inputs = dict[str, Data]
Params = dict[str, Any]


def pairs_of(inputs: Inputs) -> list[tuple[Any, Any]]:
    return list(elements(inputs))


def positive(number: Any) -> Any:
    return number if number > 0 else mpf(0)


# ---------------------------------------------------------------- numbers


def mape(inputs: Inputs, params: Params) -> Any:
    return mean([abs(x - y) / max(abs(y), mpf(params["eps"])) for x, y in pairs_of(inputs)])


def smape(inputs: Inputs, params: Params) -> Any:
    return mean([2 * abs(x - y) / max(abs(x) + abs(y), mpf(params["eps"])) for x, y in pairs_of(inputs)])


def msle(inputs: Inputs, params: Params) -> Any:
    logarithm = lambda a: log(1 + a) if a > 0 else -log(1 - a)  # noqa: E731
    return mean([(logarithm(x) - logarithm(y)) ** 2 for x, y in pairs_of(inputs)])


def rmse(inputs: Inputs, params: Params) -> Any:
    return sqrt(mean([(x - y) ** 2 for x, y in pairs_of(inputs)]))


def charbonnier(inputs: Inputs, params: Params) -> Any:
    return mean([sqrt((x - y) ** 2 + mpf(params["eps"]) ** 2) for x, y in pairs_of(inputs)])


def tweedie(inputs: Inputs, params: Params) -> Any:
    p = mpf(params["power"])
    return mean([exp((2 - p) * x) / (2 - p) - y * exp((1 - p) * x) / (1 - p) for x, y in pairs_of(inputs)])


def negative_binomial(inputs: Inputs, params: Params) -> Any:
    given = zip(inputs["input"], inputs["target"], inputs["dispersion"], strict=True)
    return mean(
        [(y + 1 / a) * log(1 + a * exp(x)) - y * x - sum(log(1 + k * a) for k in range(y)) for x, y, a in given]
    )


def gaussian_crps(inputs: Inputs, params: Params) -> Any:
    def one(x: Any, y: Any, s: Any) -> Any:
        z = (y - x) / s
        return s * (z * erf(z / sqrt(mpf(2))) + 2 * exp(-(z**2) / 2) / sqrt(2 * pi) - 1 / sqrt(pi))

    return mean([one(*given) for given in zip(inputs["input"], inputs["target"], inputs["std"], strict=True)])


def ensemble_crps(inputs: Inputs, params: Params) -> Any:
    def one(x: list[Any], y: Any) -> Any:
        return mean([abs(a - y) for a in x]) - mean([abs(a - b) for a, b in product(x, x)]) / 2

    return mean([one(x, y) for x, y in rows(inputs)])


def kl_gaussian(inputs: Inputs, params: Params) -> Any:
    codes = zip(inputs["input"], inputs["log_var"], strict=True)
    return mean([sum(a**2 + exp(s) - 1 - s for a, s in zip(m, v, strict=True)) / 2 for m, v in codes])


# ---------------------------------------------------------------- classes


def generalized_cross_entropy(inputs: Inputs, params: Params) -> Any:
    q = mpf(params["q"])
    return mean([(1 - softmax(z)[y] ** q) / q for z, y in rows(inputs)])


def answer(z: Any, yes: bool) -> Any:
    return -log(sigmoid(z if yes else -z))


def coral(inputs: Inputs, params: Params) -> Any:
    return mean([sum(answer(z, y > k) for k, z in enumerate(row)) for row, y in rows(inputs)])


def corn(inputs: Inputs, params: Params) -> Any:
    """Threshold k is asked of items that are above all before it."""
    return mean([answer(z, y > k) for row, y in rows(inputs) for k, z in enumerate(row) if y >= k])


def earth_mover(inputs: Inputs, params: Params) -> Any:
    def one(row: Data, y: int) -> Any:
        p = softmax(row)
        return sum((sum(p[: k + 1]) - (y <= k)) ** 2 for k in range(len(p)))

    return mean([one(*given) for given in rows(inputs)])


# ---------------------------------------------------------------- regions


def region_sums(inputs: Inputs) -> list[list[tuple[Any, Any, Any]]]:
    """Of samples and classes: the sums of p g, of p, of g."""
    found = []
    for image, labels in zip(inputs["input"], inputs["target"], strict=True):
        pixels = [softmax([plane[i] for plane in image]) for i in range(len(labels))]
        sums = []
        for c in range(len(image)):
            both = sum((p[c] for p, y in zip(pixels, labels, strict=True) if y == c), mpf(0))
            sums.append((both, sum(p[c] for p in pixels), mpf(sum(y == c for y in labels))))
        found.append(sums)
    return found


def generalized_dice(inputs: Inputs, params: Params) -> Any:
    def one(sums: list[tuple[Any, Any, Any]]) -> Any:
        both, all_ = (
            sum(part / g**2 for part, g in found)
            for found in ([(b, g) for b, _, g in sums], [(p + g, g) for _, p, g in sums])
        )
        return 1 - 2 * both / all_

    return mean([one(sums) for sums in region_sums(inputs)])


def focal_tversky(inputs: Inputs, params: Params) -> Any:
    alpha, beta, gamma, smooth = (mpf(params[name]) for name in ("alpha", "beta", "gamma", "smooth"))

    def one(both: Any, p: Any, g: Any) -> Any:
        return (1 - (both + smooth) / (both + alpha * (p - both) + beta * (g - both) + smooth)) ** (1 / gamma)

    return mean([one(*found) for sums in region_sums(inputs) for found in sums])


# ---------------------------------------------------------------- items beside items


def circle(inputs: Inputs, params: Params) -> Any:
    x, labels, scale, m = inputs["embeddings"], inputs["labels"], mpf(params["scale"]), mpf(params["margin"])

    def one(i: int) -> Any:
        others = [(cosine(x[i], x[j]), labels[i] == labels[j]) for j in range(len(x)) if j != i]
        far = sum(exp(scale * positive(s + m) * (s - m)) for s, alike in others if not alike)
        return log(1 + far * sum(exp(-scale * positive(1 + m - s) * (s - 1 + m)) for s, alike in others if alike))

    return mean([one(i) for i in range(len(x))])


def proxy_anchor(inputs: Inputs, params: Params) -> Any:
    x, proxies, labels = inputs["embeddings"], inputs["weight"], inputs["labels"]
    scale, delta = mpf(params["scale"]), mpf(params["margin"])
    near, far = [], []
    for c, proxy in enumerate(proxies):
        s = [(cosine(a, proxy), y == c) for a, y in zip(x, labels, strict=True)]
        if any(own for _, own in s):
            near.append(log(1 + sum(exp(-scale * (v - delta)) for v, own in s if own)))
        far.append(log(1 + sum(exp(scale * (v + delta)) for v, own in s if not own)))
    return mean(near) + mean(far)


def variance(row: list[Any]) -> Any:
    return mean([(a - mean(row)) ** 2 for a in row])


def noise_to_signal(x: list[Any], y: list[Any]) -> Any:
    return variance([a - b for a, b in zip(x, y, strict=True)]) / variance(x)


def triplets(inputs: Inputs, params: Params) -> Any:
    x, labels, count = inputs["embeddings"], inputs["labels"], len(inputs["labels"])
    d = {"cosine": lambda a, b: 1 - cosine(a, b), "snr": noise_to_signal}[params["distance"]]
    places = product(range(count), repeat=3)
    alike = [(a, p, n) for a, p, n in places if a != p and labels[a] == labels[p] != labels[n]]
    return mean([positive(d(x[a], x[p]) - d(x[a], x[n]) + mpf(params["margin"])) for a, p, n in alike])


# ---------------------------------------------------------------- lifetimes


def cox(inputs: Inputs, params: Params) -> Any:
    times = list(zip(inputs["input"], inputs["time"], inputs["event"], strict=True))
    total = mpf(0)
    for time in {t for _, t, event in times if event}:
        tied = [s for s, t, event in times if event and t == time]
        there = sum(exp(s) for s, t, _ in times if t >= time)
        for k, s in enumerate(tied):
            gone = mpf(k) / len(tied) * sum(exp(a) for a in tied) if params["ties"] == "efron" else 0
            total += log(there - gone) - s
    return total / sum(inputs["event"])


def weibull(inputs: Inputs, params: Params) -> Any:
    k = mpf(params["shape"])

    def one(x: Any, t: Any, event: int) -> Any:
        z = k * (log(t) - x)
        return exp(z) - event * (log(k) + z - log(t))

    return mean([one(*given) for given in zip(inputs["input"], inputs["time"], inputs["event"], strict=True)])


def logistic_hazard(inputs: Inputs, params: Params) -> Any:
    def one(z: list[Any], t: int, event: int) -> Any:
        return sum(answer(z[j], False) for j in range(t)) + answer(z[t], bool(event))

    return mean([one(*given) for given in zip(inputs["input"], inputs["time"], inputs["event"], strict=True)])


# ---------------------------------------------------------------- the cases


def amounts(seed: int, *shape: int) -> Data:
    return [amounts(seed + i, *shape[1:]) if shape[1:] else abs(z) + 0.125 for i, z in enumerate(draw(seed, shape[0]))]


NUMBERS = {"input": draw(31, 3, 4), "target": draw(32, 3, 4)}
AMOUNTS = {"input": amounts(33, 3, 4), "target": amounts(43, 3, 4)}
LABELLED = {"embeddings": draw(35, 6, 4), "labels": [0, 1, 0, 2, 1, 2]}
ORDERED = {"input": draw(36, 6, 4), "target": [0, 1, 2, 3, 4, 2]}
IMAGES = {"input": draw(37, 2, 3, 6), "target": [[0, 1, 2, 0, 1, 1], [2, 2, 0, 1, 0, 2]]}
LIVES = {"input": draw(38, 6), "time": [3, 1, 3, 2, 3, 5], "event": [1, 1, 1, 0, 1, 0]}

MORE: list[tuple[str, Formula, Params, Inputs]] = [
    ("mape", mape, {"eps": "0.5"}, NUMBERS),
    ("smape", smape, {"eps": "0.5"}, NUMBERS),
    ("msle", msle, {}, AMOUNTS),
    ("rmse", rmse, {}, NUMBERS),
    *(("charbonnier", charbonnier, {"eps": eps}, NUMBERS) for eps in ("0.001", "0.5")),
    *(
        ("tweedie", tweedie, {"power": p}, {"input": draw(39, 3, 4, scale=0.5), "target": amounts(53, 3, 4)})
        for p in ("1.25", "1.5")
    ),
    (
        "negative_binomial",
        negative_binomial,
        {},
        {"input": draw(40, 5), "target": whole(41, 6, 5), "dispersion": amounts(42, 5)},
    ),
    ("gaussian_crps", gaussian_crps, {}, {"input": draw(44, 5), "target": draw(45, 5), "std": amounts(46, 5)}),
    ("ensemble_crps", ensemble_crps, {}, {"input": draw(47, 3, 4), "target": draw(48, 3)}),
    ("kl_gaussian", kl_gaussian, {}, {"input": draw(49, 3, 4), "log_var": draw(50, 3, 4)}),
    *(
        (
            "generalized_cross_entropy",
            generalized_cross_entropy,
            {"q": q},
            {"input": draw(51, 5, 4), "target": whole(52, 4, 5)},
        )
        for q in ("0.75", "1", "0.125")
    ),
    ("coral", coral, {}, ORDERED),
    ("corn", corn, {}, ORDERED),
    ("earth_mover", earth_mover, {}, {"input": draw(54, 5, 4), "target": whole(55, 4, 5)}),
    ("generalized_dice", generalized_dice, {"smooth": "0"}, IMAGES),
    *(
        ("focal_tversky", focal_tversky, {"alpha": "0.25", "beta": "0.75", "gamma": g, "smooth": "0.5"}, IMAGES)
        for g in ("1.5", "0.75")
    ),
    ("circle", circle, {"scale": "4", "margin": "0.25", "gradient": "exact"}, LABELLED),
    (
        "proxy_anchor",
        proxy_anchor,
        {"scale": "8", "margin": "0.125"},
        {"embeddings": draw(56, 5, 3), "weight": draw(57, 4, 3), "labels": [0, 1, 1, 3, 0]},
    ),
    *(("triplet_distance", triplets, {"distance": d, "margin": "0.25"}, LABELLED) for d in ("cosine", "snr")),
    *(("cox", cox, {"ties": ties}, LIVES) for ties in ("efron", "breslow")),
    *(("weibull", weibull, {"shape": k}, {**LIVES, "time": amounts(58, 6)}) for k in ("1", "2.5")),
    ("logistic_hazard", logistic_hazard, {}, {"input": draw(59, 4, 5), "time": [0, 2, 4, 3], "event": [1, 0, 1, 1]}),
]

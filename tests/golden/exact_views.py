"""More golden cases of :mod:`exact`: batches of embeddings."""

from typing import Any

from exact import Data, Formula, draw, mean

Inputs = dict[str, Data]
Params = dict[str, Any]


def flops(inputs: Inputs, _: Params) -> Any:
    return sum(mean([abs(x) for x in column]) ** 2 for column in zip(*inputs["embeddings"], strict=True))


VIEWED: list[tuple[str, Formula, Params, Inputs]] = [
    ("flops", flops, {}, {"embeddings": draw(71, 5, 4)}),
]

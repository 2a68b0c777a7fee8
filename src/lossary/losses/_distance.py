"""The argument ``distance`` of losses that compare embeddings."""

from functools import partial
from typing import Annotated, Literal, get_args

from lossary.kernels.measures import MEASURES, Lp, Measure

DistanceName = Literal["euclidean", "squared_euclidean", "manhattan", "cosine", "dot", "snr"]


#: Those that are symmetric and never below 0, as pairs need.
SymmetricName = Literal["euclidean", "manhattan", "cosine"]


def _check(names: tuple[str, ...], name: str, value: object) -> None:
    if isinstance(value, Lp) or (isinstance(value, str) and value in names):
        return
    came = repr(value) if isinstance(value, str) else type(value).__name__
    raise ValueError(f"{name}: wanted one of {', '.join(map(repr, names))} or an Lp; got {came}")


Distance = Annotated[DistanceName | Lp, partial(_check, get_args(DistanceName))]
PairDistance = Annotated[SymmetricName | Lp, partial(_check, get_args(SymmetricName))]


def measure_of(distance: DistanceName | Lp, *, squared: bool = False) -> Measure:
    """The measure an argument names; ``squared`` squares Euclidean distance."""
    measure = MEASURES[distance] if isinstance(distance, str) else distance
    if not squared:
        return measure
    if distance not in ("euclidean", "squared_euclidean"):
        raise ValueError(f"squared: wanted False with distance={distance!r}, which has no square; got True")
    return MEASURES["squared_euclidean"]

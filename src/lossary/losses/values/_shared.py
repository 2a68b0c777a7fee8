"""What the cards of losses of numbers share."""

from functools import partial

from torch import Tensor

from lossary.core.card import Card
from lossary.core.check import values_visible, wide_integers
from lossary.losses._pointwise import hide

value_card = partial(
    Card,
    data="values",
    takes=("input-target",),
    input="values",
    kernel="none",
    item="element",
    at_call=frozenset({"sample_weight", "mask"}),
)


def check_not_negative(name: str, tensor: Tensor, counts: Tensor | None) -> None:
    """Of what counts: what stands elsewhere may be anything."""
    tensor = wide_integers(name, tensor)
    if not values_visible(tensor) or (counts is not None and not values_visible(counts)):
        return
    tensor = hide(tensor, counts)
    if (tensor < 0).any():
        raise ValueError(f"{name}: wanted no negative number; got {tensor[tensor < 0].flatten()[0].item()}")

"""What the cards of losses of numbers share."""

from functools import partial

from lossary.core.card import Card

value_card = partial(
    Card,
    data="values",
    takes=("input-target",),
    input="values",
    kernel="none",
    item="element",
    at_call=frozenset({"sample_weight", "mask"}),
)

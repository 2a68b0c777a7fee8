"""What the cards of losses of yes or no share."""

from functools import partial

from lossary.core.card import Card

logit_card = partial(
    Card,
    data="answers",
    takes=("input-target",),
    input="logits",
    kernel="none",
    item="element",
    at_call=frozenset({"sample_weight", "mask"}),
)

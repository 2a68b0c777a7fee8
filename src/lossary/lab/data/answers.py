"""Yes or no: whether a target of two values asks that, and which of them is the yes."""

from collections.abc import Sequence

import numpy as np

from lossary.lab.data._types import BadData
from lossary.lab.data.splits import FEWEST_ANSWERS

#: A value of two that fewer rows have than this share is what is looked for. Accuracy would be above 90 % for never
#: saying it; average precision, which yes-or-no tasks are judged by, is then no better than chance.
RARE = 0.1
#: Values that say themselves which is the yes, in lower case; any other two have the rarer one as yes.
PAIRS = frozenset(
    {
        ("yes", "no"),
        ("y", "n"),
        ("true", "false"),
        ("t", "f"),
        ("1", "0"),
        ("1", "-1"),
        ("positive", "negative"),
        ("pos", "neg"),
    }
)


def rare(targets: np.ndarray) -> str:
    """Why two values are taken for yes and no, unless it is asked otherwise; "" where they are not.

    >>> rare(np.array(["kept"] * 190 + ["left"] * 10))
    'one of two values is rare, 5.0% of the rows'
    """
    sizes = np.unique(targets, return_counts=True)[1]
    share = sizes.min() / sizes.sum()
    enough = len(sizes) == 2 and sizes.min() >= FEWEST_ANSWERS
    return f"one of two values is rare, {share:.1%} of the rows" if enough and share < RARE else ""


def yes(called: Sequence[str], sizes: Sequence[int], asked: str, where: str) -> tuple[int, str]:
    """Which of two values is the yes, and why.

    Args:
        called: The values.
        sizes: How many rows have each.
        asked: The one that was named, or "".
        where: The data's name.

    Raises:
        BadData: if there are not two values, or the one that was asked for is none of them.

    >>> yes(["kept", "left"], [19, 1], "", "shop.csv")
    (1, 'the rarer value')
    """
    if len(called) != 2:
        some = ", ".join(called[:4]) + (", ..." if called[4:] else "")
        raise BadData(f"{where}: wanted two different targets (binary); got {len(called)}: {some}")
    if asked:
        if asked not in called:
            raise BadData(f"yes: wanted one of the targets {' and '.join(called)}; got {asked!r}")
        return called.index(asked), "as asked"
    for index, name in enumerate(called):
        if (name.lower(), called[1 - index].lower()) in PAIRS:
            return index, "by its name"
    return int(sizes[1] <= sizes[0]), "the rarer value" if sizes[0] != sizes[
        1
    ] else "the last of two equally common values"

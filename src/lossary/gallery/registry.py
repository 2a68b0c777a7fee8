"""All exhibits, by family."""

import json
from pathlib import Path

from lossary.gallery import atlas, hands, numbers, pairs, pictures, plays, quizzes
from lossary.gallery.claims import classes, contested, space, stored, trained, unseen, values
from lossary.gallery.errata import book, lecture, primer, recitation, slides
from lossary.gallery.exhibit import Exhibit

#: In the order of the page.
FAMILIES = {
    "Q": "Questions",
    "W": "Worked numbers",
    "C": "Claims",
    "P": "Pictures",
    "E": "Errata",
}
EXHIBITS: tuple[Exhibit, ...] = (
    *quizzes.EXHIBITS,
    *numbers.EXHIBITS,
    *sorted(
        (one for file in (values, classes, space, trained, unseen, contested, stored) for one in file.EXHIBITS),
        key=lambda claim: int(claim.id[1:]),
    ),
    *sorted(
        (one for file in (pictures, plays, hands, atlas, pairs) for one in file.EXHIBITS),
        key=lambda picture: int(picture.id[1:]),
    ),
    *recitation.EXHIBITS,
    *slides.EXHIBITS,
    *lecture.EXHIBITS,
    *book.EXHIBITS,
    *primer.EXHIBITS,
)


def chosen(ids: str) -> tuple[Exhibit, ...]:
    """The exhibits with these ids, separated by commas; all if none is named.

    >>> [exhibit.id for exhibit in chosen("W2,q1")]
    ['Q1', 'W2']

    Raises:
        LookupError: naming the first that is not there.
    """
    wanted = {id.strip().upper() for id in ids.split(",") if id.strip()}
    unknown = sorted(wanted - {exhibit.id for exhibit in EXHIBITS})
    if unknown:
        why = missing().get(unknown[0])
        told = f"is not shown: {why}" if why else "is not an exhibit; the page has C, P, Q, W and E, such as W2 or E1-4"
        raise LookupError(f"only: {unknown[0]} {told}")
    return tuple(exhibit for exhibit in EXHIBITS if not wanted or exhibit.id in wanted)


def showing() -> dict[str, list[str]]:
    """The ids of the exhibits that show a loss, errata aside, by its name."""
    ids: dict[str, list[str]] = {}
    for one in EXHIBITS:
        for loss in one.losses if one.family != "E" else ():
            ids.setdefault(loss, []).append(one.id)
    return ids


def inventory() -> dict[str, str]:
    """What the documents hold, by id, and where it is not shown yet, why."""
    return json.loads((Path(__file__).parent / "inventory.json").read_text(encoding="utf-8"))


def missing() -> dict[str, str]:
    """The reasons of what is not shown yet."""
    return {id: why for id, why in inventory().items() if why}

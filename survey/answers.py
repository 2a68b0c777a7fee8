"""From the stored facts to what the page says: how many implementations break which law, by loss and by kind.

``python -m survey.answers`` prints the counts. Nothing is asked again.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from survey.entries import Entry, listed
from survey.kinds import KINDS, Kind, kind
from survey.tales import TALES

#: No law of the checker: what a story shows.
NAMED = "it is the loss that is named"
OTHERS = frozenset(key for tale in TALES for key in tale.others)


@dataclass(frozen=True)
class Answer:
    """One implementation, as it was found."""

    entry: Entry
    found: dict[str, Any]

    @property
    def broken(self) -> dict[str, Kind]:
        """Law -> what it is to a user; what was looked for a second time and not seen is left out."""
        again = self.found.get("again", {})
        told: dict[str, Kind] = {NAMED: "wrong"} if self.entry.key in OTHERS else {}
        return told | {
            law: "convention" if law in self.meant else self._kind(law)
            for law, outcome in self.found["laws"].items()
            if outcome == "broken" and again.get(law) != "" and not self._without_a_number(law)
        }

    def _without_a_number(self, law: str) -> bool:
        """Whether a gradient is not the slope because there is none: that the loss is NaN is told once."""
        found = self.found["told"].get(law, {}).get("found", "")
        return (
            law == "gradient_is_true" and "nan" in found and self.found["laws"]["finite_at_placed_batches"] == "broken"
        )

    def _kind(self, law: str) -> Kind:
        told = self.found["told"].get(law, {})
        zeros = self.entry.features and told.get("batch") in ("undecided", "zeros")
        return kind(law, {**told, "batch": "a zero vector"} if zeros else told)

    @property
    def meant(self) -> list[str]:
        """The laws that it breaks on purpose."""
        return self.entry.meant.partition(":")[0].split(", ")

    @property
    def worst(self) -> Kind | None:
        kinds = set(self.broken.values())
        return next((one for one in KINDS if one in kinds), None)

    @property
    def unseen(self) -> list[str]:
        """Laws that the second look did not see broken."""
        return [law for law, words in self.found.get("again", {}).items() if words == ""]


def answers() -> list[Answer]:
    """Of those that could be called."""
    return [Answer(entry, found) for entry, found in _stored() if "laws" in found]


def uncalled() -> list[tuple[Entry, str]]:
    """Those that could not be called, with what happened."""
    return [(entry, found["failed"]) for entry, found in _stored() if "laws" not in found]


def _stored() -> Iterator[tuple[Entry, dict[str, Any]]]:
    for entry in listed():
        if entry.path.exists():
            yield entry, json.loads(entry.path.read_text(encoding="utf-8"))


def shares(asked: list[Answer]) -> dict[Kind | None, int]:
    """How many are at worst of each kind; None are those that break no law."""
    return dict(Counter(answer.worst for answer in asked))


def by_law(asked: list[Answer]) -> Iterator[tuple[str, Kind, int, int]]:
    """Each broken law of each kind, with how many break it and how many it was asked of."""
    counts = Counter((law, one) for answer in asked for law, one in answer.broken.items())
    for (law, one), count in sorted(counts.items(), key=lambda pair: (list(KINDS).index(pair[0][1]), -pair[1])):
        yield (
            law,
            one,
            count,
            sum(answer.found["laws"].get(law) in ("holds", "broken") or law in answer.broken for answer in asked),
        )


def by_loss(asked: list[Answer]) -> Iterator[tuple[str, list[Answer]]]:
    names = Counter(answer.entry.loss for answer in asked)
    for name, _ in names.most_common():
        yield name, [answer for answer in asked if answer.entry.loss == name]


def main() -> None:
    asked = answers()
    print(f"{len(asked)} of {len(listed())} asked: {shares(asked)}")
    for law, one, count, of in by_law(asked):
        print(f"{one:12} {law:50} {count:4} of {of}")
    for answer in asked:
        if answer.unseen:
            print(f"not seen again: {answer.entry.key}: {', '.join(answer.unseen)}")


if __name__ == "__main__":
    main()

"""What is surveyed: `list.toml`, a source at a time, an implementation a line."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from survey import HERE, RESULTS

#: What the tensors of each form of call are named here.
NAMES = {
    "input-label": ("logits", "labels"),
    "input-target": ("inputs", "targets"),
    "input-shares": ("logits", "shares"),
    "input-teacher": ("student", "teacher"),
    "embeddings-labels": ("embeddings", "labels"),
    "embeddings-weight-labels": ("embeddings", "weight", "labels"),
    "embeddings": ("embeddings",),
    "anchor-positive": ("anchor", "positive"),
    "anchor-positive-negative": ("anchor", "positive", "negative"),
    "pair-target": ("x1", "x2", "target"),
    "first-second-target": ("x1", "x2", "target"),
    "chosen-rejected": ("chosen", "rejected"),
    "chosen-rejected-references": ("chosen", "rejected", "ref_chosen", "ref_rejected"),
    "boxes": ("boxes", "targets"),
    "image-target": ("images", "targets"),
    "image": ("images",),
    "wave-target": ("waves", "targets"),
}


class Entry(NamedTuple):
    """One implementation: where it is, and how it is called."""

    loss: str  # what it is known as: focal
    name: str  # as its source calls it
    data: str
    takes: str
    input: str
    make: str  # an expression that gives the loss, of the names in its file
    call: str  # what is called with the tensors, where that is not the loss itself
    file: str  # within the repository or the package
    package: str
    repository: str
    commit: str
    license: str
    features: bool  # whether what its form calls scores are features, of which zeros are a vector of length 0
    because: str  # why it cannot be called, where somebody looked
    meant: str  # laws that it breaks on purpose, and why: "gradient_is_true: the paper's scale is a constant"

    @property
    def source(self) -> str:
        return self.package or self.repository or "lecture listing"

    @property
    def key(self) -> str:
        """Of its file of results; one name may be in several files of a repository."""
        where = Path(self.file).stem if self.repository else ""
        return re.sub(r"[^A-Za-z0-9]+", "-", f"{self.source} {where} {self.name}").strip("-")

    @property
    def path(self) -> Path:
        return RESULTS / f"{self.key}.json"


def listed() -> list[Entry]:
    return list(_entries())


def _entries() -> Iterator[Entry]:
    for source in tomllib.loads((HERE / "list.toml").read_text(encoding="utf-8"))["source"]:
        for line in source["entries"]:
            data, takes, input = line["form"].split()
            yield Entry(
                loss=line["loss"],
                name=line.get("name") or line["make"].partition("(")[0].rpartition(".")[2],
                data=data,
                takes=takes,
                input=input,
                make=line["make"],
                call=line.get("call", ""),
                file=line.get("file", source.get("file", "")),
                package=source.get("package", ""),
                repository=source.get("repository", ""),
                commit=source.get("commit", ""),
                license=source.get("license", ""),
                features=line.get("features", False),
                because=line.get("because", ""),
                meant=line.get("meant", ""),
            )


def facts(entry: Entry) -> dict[str, Any]:
    """What is stored of where it is, without how it was called."""
    kept = ("loss", "name", "package", "repository", "commit", "file", "license")
    return {name: value for name in kept if (value := getattr(entry, name))}

"""What is entered into a comparison: a loss or a weighted sum of losses, from the library or from a user's file."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from lossary.catalogue import find
from lossary.core.card import Card, Choice, Data, Input, Range, Takes
from lossary.core.loss import Loss
from lossary.lab.data.contents import BadData
from lossary.lab.data.readers.code import running
from lossary.lab.run import entries
from lossary.lab.tasks import TaskName, task_of
from lossary.lab.tasks.base import Criterion
from lossary.lab.tasks.fitting import attach, fits, fitting, trained

#: The arguments for a loss that owns weights for each class.
CLASSES = {"num_classes", "embedding_size"}


@dataclass(frozen=True)
class Part:
    """One loss in a sum; the options that are written out are not searched."""

    card: Card
    weight: float
    options: Mapping[str, Any]

    @property
    def search(self) -> dict[str, Range | Choice]:
        return {name: space for name, space in self.card.search.items() if name not in self.options}

    @property
    def defaults(self) -> dict[str, Any]:
        """The library's values of searched hyperparameters; None, which means off by default, is not a number."""
        own = {name: self.card.module.fields[name] for name in self.search}
        return {name: value for name, value in own.items() if value is not None}


@dataclass(frozen=True)
class Entrant:
    """The entry under one label."""

    entry: entries.Entry
    parts: tuple[Part, ...]

    @property
    def label(self) -> str:
        return self.entry.label

    @property
    def name(self) -> str:
        """The entry without its label."""
        return self.entry.written

    @property
    def batch(self) -> str:
        """The batches that its losses' recipes recommend."""
        return "m-per-class" if any(part.card.batch == "m-per-class" for part in self.parts) else "shuffled"

    @property
    def search(self) -> dict[str, Range | Choice]:
        return {named: part.search[name] for part, named, name in self._named(lambda part: part.search)}

    @property
    def defaults(self) -> dict[str, Any]:
        return {named: part.defaults[name] for part, named, name in self._named(lambda part: part.defaults)}

    def owns_weights(self, task: TaskName) -> bool:
        """Whether it trains weights in addition to the network's."""
        return any(task_of(task).owns_weights(part.card) for part in self.parts)

    def check_fits(self, task: TaskName, data: str) -> None:
        """Whether it can train a network on such a task.

        Raises:
            LookupError: naming the loss that cannot, and those that could.
        """
        for part in self.parts:
            if not trained(part.card.data):
                raise LookupError(
                    f"losses: {part.card.name} is a loss of {part.card.data}, for which the lab has no task to train a "
                    f"network; of {data} ({task}) there are {', '.join(fitting(task))}"
                )
        first, *others = self.parts
        if not fits(first.card, task):
            if task_of(task).fits_beside(first.card):
                usual = task_of(task).losses[0]
                raise LookupError(
                    f"losses: {first.card.name} alone does not train a network on {data} ({task}); with another loss "
                    f"it does: {usual} + 0.01*{first.card.name}"
                )
            raise LookupError(f"losses: {first.card.name} does not fit {data} ({task}); {', '.join(fitting(task))} do")
        for part in others:
            if not task_of(task).fits_beside(part.card):
                raise LookupError(f"losses: {part.card.name} does not fit {data} ({task}) beside another loss")

    def check_weighted(self) -> None:
        """Whether all of its losses take item weights.

        Raises:
            LookupError: naming the one that does not.
        """
        for part in self.parts:
            function = getattr(part.card.module, "fn", None)
            if function is None or "sample_weight" not in inspect.signature(function).parameters:
                raise LookupError(f"weight: wanted losses that take sample_weight; {part.card.name} does not")

    def attach(self, params: Mapping[str, Any], task: TaskName, size: int, classes: int) -> Criterion:
        """The criterion for a network at these hyperparameters, with fresh weights if it needs any."""
        own = {id(part): dict(part.options) for part in self.parts}
        for part, named, name in self._named(lambda part: part.search):
            if named in params:
                own[id(part)][name] = params[named]
        criteria = [attach(part.card, own[id(part)], task, size, classes) for part in self.parts]
        return criteria[0] if self._is_one else Summed(criteria, [part.weight for part in self.parts])

    @property
    def _is_one(self) -> bool:
        return len(self.parts) == 1 and self.parts[0].weight == 1

    def _named(self, of: Callable[[Part], Mapping[str, Any]]) -> Iterator[tuple[Part, str, str]]:
        """Each hyperparameter with its name among those of all parts."""
        for place, part in enumerate(self.parts):
            for name in of(part):
                yield part, name if len(self.parts) == 1 else f"{place + 1}.{part.card.name}.{name}", name


class Summed(Criterion):
    """A weighted sum of criteria for one network. Predictions come from the first; class scores are computed once."""

    def __init__(self, criteria: list[Criterion], weights: list[float]) -> None:
        super().__init__(criteria[0].loss)
        self.criteria, self.weights = nn.ModuleList(criteria), weights
        layers = [criterion for criterion in criteria if isinstance(getattr(criterion, "linear", None), nn.Linear)]
        for criterion in layers[1:]:
            criterion.linear = layers[0].linear

    def forward(self, outputs: Tensor, targets: Tensor, **given: Tensor) -> Tensor:
        losses = [criterion(outputs, targets, **given) for criterion in self.criteria]
        return torch.stack([weight * loss for weight, loss in zip(self.weights, losses, strict=True)]).sum()

    @property
    def takes_group(self) -> bool:
        return all(cast("Criterion", criterion).takes_group for criterion in self.criteria)

    def predict(self, outputs: Tensor) -> Tensor:
        return cast("Criterion", self.criteria[0]).predict(outputs)


def entrants(losses: tuple[str, ...], task: TaskName) -> dict[str, Entrant]:
    """The entries of a plan, by label.

    Raises:
        LookupError: if a loss is unknown, or has no such option.
        BadData: if a file that defines one does not run.
    """
    made = (_entrant(entries.read(written), task) for written in losses)
    return {entrant.label: entrant for entrant in made}


def _entrant(entry: entries.Entry, task: TaskName) -> Entrant:
    parts = tuple(Part(_card(term, task), term.weight, term.options) for term in entry.terms)
    for part in parts:
        unknown = part.options.keys() - part.card.module.fields.keys()
        if unknown:
            known = ", ".join(name for name in part.card.module.fields if name != "reduction") or "none"
            raise LookupError(f"losses: {part.card.name} has the options {known}; got {min(unknown)}")
    full = replace(entry, terms=tuple(map(_in_full, entry.terms, parts)))
    return Entrant(full if entry.label != entry.written else replace(full, label=full.written), parts)


def _in_full(term: entries.Term, part: Part) -> entries.Term:
    return term if term.file else replace(term, name=part.card.name)


def _card(term: entries.Term, task: TaskName) -> Card:
    if not term.file:
        try:
            return find(term.name)
        except LookupError as unknown:
            raise LookupError(f"losses: {unknown.args[0]} One of your own is FILE.py:{term.name}") from unknown
    return _own_card(Path(term.file), entries.code([str(term)]), term.name, task)


@lru_cache(64)
def _own_card(path: Path, code: str, name: str, task: TaskName) -> Card:
    """A loss that a file defines, as a loss of the task; if it takes ``num_classes``, it owns class vectors.

    Args:
        code: The fingerprint of the file's contents: an edited file is another loss.

    Raises:
        BadData: naming the file, and what was wanted there.
    """
    with running(path) as module:
        found = getattr(module, name, None)
    if not callable(found):
        raise BadData(f"{path}: wanted a class or a function {name}; got none")
    own = found if inspect.isclass(found) and issubclass(found, Loss) else _wrapped(found)
    data: Data
    takes: tuple[Takes, ...]
    of: Input
    if own.fields.keys() >= CLASSES:
        data, of = "identities", "embeddings"
        takes = (
            ("embeddings-labels", "embeddings-centers-labels")
            if task == "zero-shot"
            else ("embeddings-centers-labels",)
        )
    elif task == "zero-shot":
        data, takes, of = "identities", ("embeddings-labels",), "embeddings"
    else:
        usual = find(task_of(task).losses[0])
        data, takes, of = usual.data, usual.takes, usual.input
    return Card(
        fn=_Called(name),
        module=own,
        formula="",
        symbols={},
        data=data,
        takes=takes,
        input=of,
        kernel="none",
        item="element",
        paper="",
        defaults="",
    )


class _Called:
    """The card's name; the lab creates the Module."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, *_: Any) -> Tensor:
        raise NotImplementedError


def _wrapped(found: Callable[..., Any]) -> type[Loss]:
    """A Module class or a function of two tensors, as a loss with its options as fields."""
    parameters = list(inspect.signature(found).parameters.values())
    options = parameters if inspect.isclass(found) else parameters[2:]

    class Own(Loss):
        inputs = ("outputs", "targets")
        needed = 2

        def __init__(self, **given: Any) -> None:
            nn.Module.__init__(self)
            self.loss: Any = cast("Any", found)(**given) if inspect.isclass(found) else partial(found, **given)

        def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
            found = self.loss(outputs, targets)
            if not isinstance(found, Tensor) or not found.is_floating_point():
                got = f"one of {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
                raise TypeError(f"wanted a floating-point tensor as the loss; got {got}")
            if torch.is_grad_enabled() and not found.requires_grad:
                raise ValueError("wanted a loss with a gradient; got one that does not depend on the network's outputs")
            return found.mean()

    Own.fields = {option.name: option.default for option in options}
    return Own

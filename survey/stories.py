"""Ten findings told with ten numbers each, seen a second time without the laws.

``python -m survey.stories --repositories FOLDER`` calls each implementation on the story's batch and evaluates the
formula that its source names in 50 digits, the gradient by its difference quotient; `results/stories.json` keeps both.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mpmath
import torch
from mpmath import mpf

from survey import HERE, RESULTS
from survey.entries import Entry, listed
from survey.sources import loss_of
from survey.tales import TALES, Tale

TOLD = RESULTS / "told" / "stories.json"


def told() -> Iterator[str]:
    """The stories as the page has them."""
    numbers = json.loads(TOLD.read_text(encoding="utf-8")) if TOLD.exists() else {}
    entries = {entry.key: entry for entry in listed()}
    for place, tale in enumerate((tale for tale in TALES if tale.title in numbers), 1):
        found = numbers[tale.title]
        yield f"### {place}. {tale.title}\n"
        yield f"{tale.text}\n"
        yield f"Given {tale.shown}:\n"
        yield "| | the loss | its gradient |\n| --- | --- | --- |"
        yield f"| {tale.formula} | {_written(found['right'])} |"
        for key, (value, gradient) in found["found"].items():
            entry = entries[key]
            yield f"| `{entry.name}`, {entry.source} | {_written([value, gradient])} |"
        yield ""


def _written(pair: Any) -> str:
    value, gradient = pair
    return f"{value} | {', '.join(gradient)}"


def right(tale: Tale) -> tuple[str, list[str]]:
    """Value and gradient of the formula, by the numbers that a network gives."""
    with mpmath.workdps(50):
        given = [_exact(data) for data in tale.given]
        value = tale.right(*given)
        slopes: list[str] = []
        step = mpf(10) ** -20
        rows = [row for place in tale.learning for row in _rows(given[place])]
        for row, at in [(one, at) for one in rows for at in range(len(one))]:
            sides: list[Any] = []
            for move in (step, -2 * step):
                row[at] += move
                sides.append(tale.right(*given))
            row[at] += step
            slopes.append(_short(float((sides[0] - sides[1]) / (2 * step))))
        return _short(float(value)), slopes


def _rows(data: list[Any]) -> Iterator[list[Any]]:
    """The innermost lists."""
    if isinstance(data[0], list):
        for part in data:
            yield from _rows(part)
    else:
        yield data


def _exact(data: Any) -> Any:
    if isinstance(data, (list, tuple)):
        return [_exact(entry) for entry in data]
    return mpf(data) if isinstance(data, float) else data


def _short(number: float) -> str:
    return f"{number:.5g}"


def found(tale: Tale, entry: Entry, repositories: Path) -> tuple[str, list[str]]:
    """What the implementation gives, in float32."""
    loss = loss_of(entry, repositories)
    tensors = [torch.tensor(data) for data in tale.given]
    leaves = [tensors[place].requires_grad_() for place in tale.learning]
    value = loss(*tensors).sum()
    grads = torch.autograd.grad(value, leaves, allow_unused=True)
    flat = [x for g in grads if g is not None for x in g.flatten().tolist()]
    return _short(value.item()), list(map(_short, flat))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m survey.stories", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repositories", type=Path, default=HERE / ".repositories")
    repositories = parser.parse_args().repositories
    for where in (torch.Tensor, torch.nn.Module):
        where.cuda = lambda self, *_, **__: self  # pyright: ignore[reportAttributeAccessIssue]
    entries = {entry.key: entry for entry in listed()}
    numbers: dict[str, Any] = {}
    for tale in TALES:
        numbers[tale.title] = {"right": right(tale), "found": {}}
        for key in tale.keys:
            try:
                numbers[tale.title]["found"][key] = found(tale, entries[key], repositories)
            except Exception as error:  # noqa: BLE001  # whatever a stranger raises
                print(f"{tale.title}: {key}: {type(error).__name__}: {error}")
        print(tale.title, numbers[tale.title])
    TOLD.parent.mkdir(exist_ok=True)
    TOLD.write_text(json.dumps(numbers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

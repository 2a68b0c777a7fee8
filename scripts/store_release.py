"""Store what this version leaves behind on people's disks, for the tests that later versions still take it.

Run once a release, with that release's code: ``python scripts/store_release.py``. It writes tests/releases/VERSION/:

- ``public_api.json``: the public names and how each is called;
- ``modules.pt.gz``: every loss Module with random hyperparameters of its card's variants: the whole Module as
  ``torch.save`` leaves it, its state dict, one call and the value it gave;
- ``run/``: the run folder of a short comparison on a made-up table, and the table.

What is there is never written again: a fixture that changes with the code tests nothing.
"""

import contextlib
import gzip
import io
import json
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from public_api import public_api
from torch import nn

import lossary
import samples
from lossary.catalogue import CATALOGUE
from lossary.testing.laws.subject import Subject, build

ROOT = Path(__file__).parent.parent
RELEASES = ROOT / "tests" / "releases"


def main() -> None:
    folder = RELEASES / lossary.__version__
    if folder.exists():
        sys.exit(f"{folder.relative_to(ROOT)} is there: a release is stored once")
    folder.mkdir(parents=True)
    (folder / "public_api.json").write_text(json.dumps(public_api(), indent=1) + "\n")
    with gzip.open(folder / "modules.pt.gz", "wb") as file:
        torch.save(modules(), file)
    run(folder)


def modules() -> dict[str, dict[str, Any]]:
    """What each public Module leaves, by name and variant."""
    stored: dict[str, dict[str, Any]] = {}
    for card in CATALOGUE:
        for place, variant in enumerate(samples.of(card).variants):
            subject = Subject(card, variant, samples.of(card))
            module, inputs, extra = build(subject, subject.draw(dtype=torch.float32))
            stored[f"{card.module.__name__}-{place}"] = entry(module, inputs, extra)
    for name, (module, inputs) in helpers().items():
        stored[name] = entry(module, inputs, {})
    return stored


def helpers() -> dict[str, tuple[nn.Module, tuple[Any, ...]]]:
    """The public Modules that are no losses of the catalogue, each with the inputs of a call."""
    rows, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 0])
    pixels = torch.randn(2, 3, 8, 8)
    several = [torch.randn(2, 3, 8, 8), torch.randn(2, 3, 4, 4)]
    masks = torch.randint(0, 3, (2, 8, 8))
    smooth = lossary.CrossEntropyLoss(label_smoothing=0.1)
    weighted = lossary.Sum(cross_entropy=smooth, focal=(lossary.FocalLoss(gamma=1.5), nn.Parameter(torch.tensor(0.3))))
    regularized = lossary.Regularized(smooth, lossary.LinearClassifier(3, 3), l1=0.1, l2=0.01)
    return {
        "Sum": (weighted, (rows, labels)),
        "DeepSupervision": (lossary.DeepSupervision(lossary.DiceLoss(), weights=(1.0, 0.5)), (several, masks)),
        "LinearHead": (lossary.LinearHead(smooth, num_classes=5, embedding_size=3), (rows, labels)),
        "Regularized": (regularized, (rows, labels)),
        "LinearClassifier": (lossary.LinearClassifier(3, 2), (rows,)),
        "MLP": (lossary.MLP(3, 2, hidden=(4,)).eval(), (rows,)),
        "SmallCNN": (lossary.SmallCNN(embedding_size=4, size=8, widths=(2, 2, 2)).eval(), (pixels,)),
        "UNet": (lossary.UNet(2, widths=(2, 3)).eval(), (pixels,)),
    }


def entry(module: nn.Module, inputs: tuple[Any, ...], extra: Mapping[str, Any]) -> dict[str, Any]:
    whole = io.BytesIO()
    torch.save(module, whole)
    value = module(*inputs, **extra)
    return {
        "module": whole.getvalue(),
        "state": module.state_dict(),
        "inputs": inputs,
        "extra": dict(extra),
        "value": value.detach() if isinstance(value, torch.Tensor) else value,
    }


def run(folder: Path) -> None:
    """A comparison that takes seconds, on a table that the folder keeps beside it."""
    from lossary.cli import main as command

    draw = random.Random(0)
    rows = [(draw.gauss(0, 1), draw.gauss(0, 1)) for _ in range(240)]
    lines = [f"{a:.3f},{b:.3f},{'up' if a + b + draw.gauss(0, 0.5) > 0 else 'down'}" for a, b in rows]
    (folder / "table.csv").write_text("first,second,answer\n" + "\n".join(lines) + "\n")
    command_line = ["compare", "table.csv", "--target", "answer", "--task", "classification"]
    command_line += ["--losses", "cross_entropy,focal_loss", "--seeds", "2", "--trials", "1", "--epochs", "3"]
    with contextlib.chdir(folder), contextlib.suppress(SystemExit):
        command([*command_line, "--out", "run"])
    (folder / "run" / "report.html").unlink()  # made anew from the records


if __name__ == "__main__":
    main()

"""The docs' page that compares Lossary with other libraries, from ``comparison.toml``.

``python scripts/comparison_page.py --against FOLDER`` checks every cited line, and every pattern that is said to be
absent, in clones of the repositories (``FOLDER/OWNER+NAME``, bare or not; without a clone of torch the installed one is
read, if it is the cited commit). It exits with 1 if a citation is wrong.
"""

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from markdown.extensions.toc import slugify

ROOT = Path(__file__).parent.parent
MARKS = {"yes": "✓", "partly": "≈", "no": "✗", "none": "–"}
#: Where an installed torch keeps what lies elsewhere in its repository.
INSTALLED = {"aten/src/ATen/native/native_functions.yaml": "torchgen/packaged/ATen/native/native_functions.yaml"}

PAGE = """\
# Comparison with other libraries

For anyone deciding what to use. Each cell has its evidence: for Lossary a test or a page of this repository, for the
others a line of their code at a fixed commit, or a search that finds nothing. Newer versions may differ, and no table
has a row for everything that a library is good at.

Versions: {versions}.

✓ yes · ≈ partly · ✗ no · – out of its scope

{table}

For measured speed and memory, also of other libraries, see [Benchmarks](benchmarks.md).

## When not to use Lossary

- **One of torch's own losses does all you need**, and memory is not a concern. Stay with torch: at its defaults our
  version gives the same result.
- **You train large language models on GPUs and want the best measured speed.** Liger-Kernel's fused heads are written
  for this and timed on GPUs. Our Triton kernels are off by default and have not been timed; without them, blocks of
  scores go through ordinary torch operators.
- **You must know today how fast it is on your GPU.** Our timings are from CPUs. GPU costs are [counted](counts.md),
  and a count is not a time.
- **You want a complete training pipeline**: networks, weights, augmentation, recipes. Use MONAI for medical images,
  segmentation_models_pytorch for masks, timm for image classification, TRL for language models. You can swap in our
  losses there ([presets](migration.md)), but often it will not matter.
- **You want to combine miners, distances and reducers freely** to design embedding losses. pytorch-metric-learning is
  built for that; here a loss is one formula.
- **Your loss is missing**: transducers, adaptive softmax, optimal transport, DETR's matching, image
  registration, soft DTW. The [roadmap](roadmap.md) lists what others have and we do not.
- **You cannot use Python 3.11 and torch 2.6**, or need a library that many people have used for years. Lossary is
  new, below 1.0 and not on a package index yet ([what is stable](stability.md)).
- **You hope that another loss will rescue a weak model.** On [two hundred real tables](board.md), most pairs of
  losses could not be told apart on any single table. Data and tuning come first.

## Cell by cell

```sh
python scripts/comparison_page.py --against FOLDER    # checks every citation in clones of the repositories
```

{rows}
"""


@cache
def facts() -> dict[str, Any]:
    return tomllib.loads((ROOT / "scripts" / "comparison.toml").read_text())


def others() -> list[dict[str, str]]:
    return [library for library in facts()["library"] if library["id"] != "lossary"]


def page(losses: int) -> str:
    libraries = facts()["library"]
    head = [
        f"| {' | '.join(['', *(library['name'] for library in libraries)])} |",
        "| --- |" + " :-: |" * len(libraries),
    ]
    body = [
        f"| {' | '.join([linked(row['title']), *(short(row, library, losses) for library in libraries)])} |"
        for row in facts()["row"]
    ]
    return PAGE.format(
        versions=", ".join(f"{library['name']} {library['version']}" for library in others()),
        table="\n".join([*head, *body]),
        rows="\n\n".join(section(row, losses) for row in facts()["row"]),
    )


def linked(title: str) -> str:
    return f"[{title}](#{slugify(title, '-')})"


def short(row: dict[str, Any], library: dict[str, str], losses: int) -> str:
    mark: str = row[library["id"]]["mark"]
    return MARKS.get(mark, mark.format(losses=losses))


def section(row: dict[str, Any], losses: int) -> str:
    lines = [f"### {row['title']}", "", row["question"], ""]
    for library in facts()["library"]:
        cell = row[library["id"]]
        told = " ".join(filter(None, (short(row, library, losses), cell["says"])))
        lines.append(f"- **{library['name']}** {told} ({'; '.join(evidence(cell, library))})")
    return "\n".join(lines)


def evidence(cell: dict[str, Any], library: dict[str, str]) -> Iterator[str]:
    for proof in cell.get("proof", ()):
        inside = proof.removeprefix("docs/")
        yield f"[{inside}]({inside})" if inside != proof else f"`{proof}`"
    base = f"https://github.com/{library.get('repository')}"
    for cited in cell.get("lines", ()):
        place, _, _ = cited.partition(": ")
        if place.startswith("https://"):
            yield f"[`{Path(place).name}`]({place})"
        else:
            path, _, number = place.partition("#L")
            shown = f"{Path(path).name}:{number}" if number else Path(path).name
            yield f"[`{shown}`]({base}/blob/{library['commit']}/{place})"
    for commit in cell.get("commit", ()):
        yield f"[first commit]({base}/commit/{commit})"
    for absent in cell.get("absent", ()):
        pattern, _, paths = absent.rpartition(" in ")
        yield f"`git grep -E '{pattern}' -- {paths}` finds nothing"
    if printed := cell.get("prints"):
        yield f"`python -c '{printed[0]}'` prints {printed[1]}"


def wrong(folder: Path) -> Iterator[str]:
    """Citations that do not hold."""
    for library in others():
        clone = Clone(library, folder)
        for row in facts()["row"]:
            cell = row[library["id"]]
            for cited in cell.get("lines", ()):
                place, _, text = cited.partition(": ")
                path, _, number = place.partition("#L")
                if place.startswith("https://"):
                    continue
                lines = clone.read(path)
                if lines is None:
                    yield f"{library['name']}, {row['title']}: no file {path}"
                elif text and text not in "".join(lines[int(number or 1) - 1 : int(number or 1)]):
                    found = [str(n) for n, line in enumerate(lines, 1) if text in line]
                    where = f"{library['name']}, {row['title']}"
                    yield f"{where}: {place} does not hold {text!r}; lines {', '.join(found)} do"
            for absent in cell.get("absent", ()):
                pattern, _, paths = absent.rpartition(" in ")
                if found := clone.holding(pattern, paths.split()):
                    yield f"{library['name']}, {row['title']}: {pattern!r} is in {', '.join(found)}"


class Clone:
    """A library's files at its commit."""

    def __init__(self, library: dict[str, str], folder: Path) -> None:
        self.commit = library["commit"]
        place = folder / library["repository"].replace("/", "+")
        self.git = next((g for g in (place / ".git", place / "repo", place) if (g / "HEAD").exists()), None)
        self.site = None if self.git else installed(library)

    def read(self, path: str) -> list[str] | None:
        if self.site:
            file = self.site / INSTALLED.get(path, path)
            if path == "LICENSE":
                file = next(self.site.glob("torch-*.dist-info/licenses/LICENSE"), file)
            if path == "pyproject.toml":
                file = next(self.site.glob("torch-*.dist-info/METADATA"), file)
            return file.read_text(errors="replace").splitlines() if file.exists() else None
        done = self.run("show", f"{self.commit}:{path}")
        return done.stdout.splitlines() if done.returncode == 0 else None

    def holding(self, pattern: str, paths: list[str]) -> list[str]:
        if self.site:
            files = [f for path in paths for f in (self.site / path).rglob("*.py")]
            return [str(f) for f in files if re.search(pattern, f.read_text(errors="replace"))]
        return self.run("grep", "-lE", pattern, self.commit, "--", *paths).stdout.split()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        whole = ["git", f"--git-dir={self.git}", *command]
        return subprocess.run(whole, capture_output=True, text=True, errors="replace", check=False)


def installed(library: dict[str, str]) -> Path:
    """Where torch is installed, if it is the very commit."""
    import torch

    if library["id"] != "torch" or torch.version.git_version != library["commit"]:
        raise SystemExit(f"{library['name']}: no clone of {library['repository']} in that folder")
    return Path(torch.__file__).parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--against", type=Path, required=True, help="a folder of clones")
    found = list(wrong(parser.parse_args().against))
    print("\n".join(found) or "every citation holds")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

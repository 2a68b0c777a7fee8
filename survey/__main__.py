"""Ask what is missing of the survey: each implementation of `list.toml` that has no stored result.

Killed at any moment, the same command goes on where it was. With ``--again N`` N that are done, drawn at random, are
asked anew, from sources that are unpacked anew, and held against what is stored.
"""

import argparse
import contextlib
import json
import random
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from survey import HERE, SOURCES, answers, asking, sources
from survey.entries import Entry, listed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m survey", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="what has this in its name")
    parser.add_argument("--repositories", type=Path, default=HERE / ".repositories", help="git directories, OWNER+NAME")
    parser.add_argument("--workers", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--again", type=int, default=0, metavar="N", help="ask N that are done, and compare")
    parser.add_argument("--seed", type=int, default=0, help="by which those are drawn")
    parser.add_argument("--laws", action="store_true", help="ask the laws alone, and not what a loss is")
    parser.add_argument("--show", action="store_true", help="print what is found, and store nothing")
    options = parser.parse_args()
    chosen = [entry for entry in listed() if options.only.lower() in entry.key.lower()]
    if options.again:
        warm()
        asked = {answer.entry for answer in answers.answers()}
        return _again([entry for entry in chosen if entry in asked], options)
    left = [entry for entry in chosen if options.show or not entry.path.exists()]
    warm(left, laws=options.laws)
    print(f"{len(left)} of {len(chosen)} to go", flush=True)
    wrong = 0
    for entry, found in asking.ask_all(left, options.repositories, names=not options.laws, workers=options.workers):
        wrong += _told(entry, found, show=options.show)
    return 2 if wrong else 0


def warm(left: Sequence[Entry] = (), *, laws: bool = False) -> None:
    """What a first call imports, and the packages, are imported once, for all processes."""
    import torch

    from lossary import presets
    from lossary.testing import check, identify

    torch.set_num_threads(1)
    for library in presets.__all__:
        getattr(presets, library)
    for ask in (check,) if laws else (check, identify):
        ask(torch.nn.MSELoss(), takes="input-target", input="values")
    for entry in {entry.file: entry for entry in left if entry.package}.values():
        with contextlib.suppress(Exception):  # the one that is asked says so
            sources.package(entry)


def _told(entry: Entry, found: dict[str, Any] | str, *, show: bool) -> bool:
    """Stores or prints it; whether it could not be asked."""
    if isinstance(found, str):
        print(f"{entry.key}: {found}", file=sys.stderr, flush=True)
        if not show and not found.startswith(("Missing", "it ran", "it ended")):  # another machine may answer
            asking.store(entry, found)
        return True
    if show:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        asking.store(entry, found)
    broken = [law for law, outcome in found["laws"].items() if outcome == "broken"]
    print(f"{entry.key}: {', '.join(broken) or 'lawful'}; {found.get('is', '?')}; {found['seconds']} s", flush=True)
    return False


def _again(done: list[Entry], options: argparse.Namespace) -> int:
    """Asks so many again, from a clean state."""
    shutil.rmtree(SOURCES, ignore_errors=True)
    drawn = random.Random(options.seed).sample(done, min(options.again, len(done)))
    other = 0
    for entry in drawn:
        stored = json.loads(entry.path.read_text(encoding="utf-8"))
        found = asking.ask(entry, options.repositories, names=False)
        same = not isinstance(found, str) and found["laws"] == stored["laws"]
        other += not same
        apart = found if isinstance(found, str) else dict(found["laws"].items() ^ stored["laws"].items())
        print(f"{'same' if same else 'OTHER'}: {entry.key} {'' if same else apart}", flush=True)
    print(f"{len(drawn) - other} of {len(drawn)} as they were")
    return 1 if other else 0


if __name__ == "__main__":
    sys.exit(main())

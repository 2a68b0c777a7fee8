"""Run what is missing of the board: first the tables, then the lab's own data sets.

Killed at any moment, the same command goes on where it was: a table is stored whole or not at all, and a comparison of
the lab keeps each of its runs.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

from board import runs, tables, tasks
from lossary.lab.comparison import Failed
from lossary.lab.data.contents import BadData
from lossary.lab.run.stored import Refused


class Part(NamedTuple):
    """A piece of the board."""

    name: str
    done: bool
    run: Callable[[], None]


def parts() -> Iterator[Part]:
    for table in tables.listed():
        yield Part(f"{table.name} ({table.task})", runs.path_of(table).exists(), lambda table=table: runs.run(table))
    for task in tasks.listed():
        yield Part(task.data, task.path.exists(), lambda task=task: tasks.run(task))


def main() -> int:
    parser = argparse.ArgumentParser(prog="make board", description="Run what is missing of the board.")
    parser.add_argument("--only", default="", metavar="TEXT", help="what has this in its name")
    only = parser.parse_args().only
    torch.set_num_threads(1)  # networks of a few thousand weights: more threads would wait for each other
    chosen = [part for part in parts() if only in part.name]
    refused = 0
    for count, part in enumerate(chosen, start=1):
        if part.done:
            continue
        begun = time.perf_counter(), time.process_time()
        try:
            part.run()
        except (BadData, Refused, Failed) as why:  # a package that is missing; the others go on
            print(f"{part.name}: {why}", file=sys.stderr, flush=True)
            refused = 2
            continue
        took, used = time.perf_counter() - begun[0], time.process_time() - begun[1]
        print(f"{count} of {len(chosen)}, {part.name}: {took:.0f} s, {used:.0f} s of the processor", flush=True)
    return refused


if __name__ == "__main__":
    sys.exit(main())

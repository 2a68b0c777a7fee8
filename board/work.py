"""What there is to do of the board, a part after the other, by worker processes."""

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import NamedTuple

from board import runs, tables, tasks
from lossary.lab.comparison import Failed
from lossary.lab.data.contents import BadData
from lossary.lab.run.jobs import start_worker
from lossary.lab.run.stored import Refused


class Part(NamedTuple):
    """A table, or a data set of the lab."""

    name: str
    path: Path  # of what is stored once it is done
    run: Callable[[], None]


def parts() -> Iterator[Part]:
    for table in tables.listed():
        yield Part(f"{table.name} ({table.task})", runs.path_of(table), partial(runs.run, table))
    for task in tasks.listed():
        yield Part(task.data, task.path, partial(tasks.run, task))


def do(part: Part) -> str:
    """One part; returns what went wrong, in one line, or nothing."""
    begun = time.perf_counter(), time.process_time()
    try:
        part.run()
    except (BadData, Refused, Failed) as why:  # a package that is missing, say: the others go on
        print(f"{part.name}: {why}", file=sys.stderr, flush=True)
        return str(why)
    took, used = time.perf_counter() - begun[0], time.process_time() - begun[1]
    print(f"{part.name}: {took:.0f} s, {used:.0f} s of the processor", flush=True)
    return ""


def do_all(left: Sequence[Part], workers: int) -> list[str]:
    """All parts, begun in their order; returns what went wrong."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, start_worker, (None,))
    try:
        waiting = {pool.submit(do, part) for part in left}
        wrong: list[str] = []
        while waiting:
            # Not for as long as it takes: where a library has threads of its own, Ctrl-C may go to one of them.
            done, waiting = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
            wrong += [why for one in done if (why := one.result())]
        return wrong
    except BaseException:
        for process in multiprocessing.active_children():  # what is under way will be done again
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)

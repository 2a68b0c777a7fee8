"""One implementation asked, in a process of its own with an end to its time and memory; what is found is stored."""

import json
import multiprocessing
import re
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from survey import confirming, sources
from survey.entries import Entry, facts

#: What a processor sends that cannot go on.
CRASHES = (signal.SIGFPE, signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGBUS)
#: Seconds of computing: for the laws, and for what it is.
OF_LAWS, OF_NAMES = 60.0, 6.0
#: Of waiting for one, whatever else the machine does.
WAITED = 900.0


def ask(entry: Entry, repositories: Path, *, names: bool = True) -> dict[str, Any] | str:
    """What is found; one line of what went wrong where nothing is."""
    return next(ask_all([entry], repositories, names=names))[1]


def ask_all(
    entries: Sequence[Entry], repositories: Path, *, names: bool = True, workers: int = 1
) -> Iterator[tuple[Entry, dict[str, Any] | str]]:
    """Each entry with what is found, as it comes.

    One thread begins all processes: a process that is forked beside other threads may inherit a lock that nobody opens.
    """
    context = multiprocessing.get_context("fork")  # torch and the laws are imported once, before
    left = list(reversed(entries))
    asked: dict[Any, tuple[Entry, Any, dict[str, Any], float]] = {}
    while left or asked:
        while left and len(asked) < workers:
            entry = left.pop()
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_apart, args=(theirs, entry, repositories, names), daemon=True)
            process.start()
            theirs.close()
            asked[ours] = entry, process, {}, time.monotonic()
        for pipe in wait(list(asked), timeout=5):
            try:
                asked[pipe][2].update(pipe.recv())
            except EOFError:
                yield _ended(*asked.pop(pipe))
        for _, process, found, begun in asked.values():
            if time.monotonic() - begun > WAITED:  # it waits for what never comes
                found.setdefault("failed", "it ran out of time")
                process.kill()


def _ended(entry: Entry, process: Any, found: dict[str, Any], _: float) -> tuple[Entry, dict[str, Any] | str]:
    process.join()
    if "laws" in found:
        found.pop("failed", None)  # after the laws: what it is was not found
        return entry, found
    return entry, found.get("failed") or ended(process.exitcode)


def ended(status: int) -> str:
    """A crash is what an implementation does; who was ended from outside, for time or memory, may do well elsewhere.

    >>> ended(-11), ended(-9)
    ('the process crashes (SIGSEGV)', 'it ended with -9')
    """
    crash = next((s for s in CRASHES if s == -status), None)
    return f"the process crashes ({crash.name})" if crash else f"it ended with {status}"


def _apart(pipe: Any, entry: Entry, repositories: Path, names: bool) -> None:
    """The other side: each part is told as soon as it is there, so that what is ended later keeps it."""
    import os

    import torch

    from lossary import _apart as limits
    from lossary.testing import check, identify

    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # whatever it prints
        os.dup2(nowhere.fileno(), 2)
    limits._limit()
    torch.set_num_threads(1)
    limits._end_after(OF_LAWS)
    for where in (torch.Tensor, torch.nn.Module):
        where.cuda = lambda self, *_, **__: self  # pyright: ignore[reportAttributeAccessIssue]  # here is none
    form: dict[str, Any] = {"takes": entry.takes, "input": entry.input, "data": entry.data}
    begun = time.process_time()
    try:
        loss = sources.loss_of(entry, repositories)
        report = check(loss, **form)
        left = {"constants_follow_the_input"} if sources.says_cuda(entry, repositories) else set[str]()
        verdicts = [replace(v, outcome="not asked") if v.law in left else v for v in report.verdicts]
        wrong = [v for v in verdicts if v.outcome in ("broken", "note")]
        pipe.send(
            {
                **facts(entry),
                "version": sources.version(entry),
                "called": report.called,
                "laws": {v.law: v.outcome for v in verdicts},
                "told": {v.law: _told(v) for v in wrong},
                "seconds": round(time.process_time() - begun, 1),
            }
        )
        again = {v.law: confirming.seen(v.law, loss, form, _told(v)) for v in wrong if v.outcome == "broken"}
        pipe.send({"again": {law: words for law, words in again.items() if words is not None}})
        # One with weights of its own is nothing that could be named.
        own = isinstance(loss, torch.nn.Module) and any(True for _ in loss.parameters())
        if names and not own:
            limits._end_after(OF_NAMES)
            found = identify(loss, **form).found
            pipe.send({"is": str(found[0]) if found else "none"})
    except Exception as error:  # noqa: BLE001  # whatever a stranger raises is one line
        pipe.send({"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"})


def _told(verdict: Any) -> dict[str, Any]:
    """The counterexample, where it is of ten numbers at most, and what happened."""
    told: dict[str, Any] = {"found": verdict.found}
    if verdict.batch:
        told["batch"] = verdict.batch
    if verdict.given and verdict.numbers <= 10:
        told["given"] = dict(verdict.given)
    return told


#: Where a message names a file of an installed package: that the place is this machine's is no fact.
INSTALLED = re.compile(r"(/[\w.+-]+)+/(site-packages/|\.peers/[\w./+-]*)")


def store(entry: Entry, found: dict[str, Any] | str) -> None:
    """What was found, or why it could not be called; of a source that is not here nothing is stored."""
    if isinstance(found, str):
        found = {**facts(entry), "version": sources.version(entry), "failed": found}
    entry.path.parent.mkdir(exist_ok=True)
    whole = entry.path.with_suffix(".part")
    text = INSTALLED.sub("site-packages/", json.dumps(found, indent=1, ensure_ascii=False))
    whole.write_text(text + "\n", encoding="utf-8")
    whole.replace(entry.path)

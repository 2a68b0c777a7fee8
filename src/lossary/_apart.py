"""Other people's code in its own process, with limits on time and memory; no torch on this side.

``python -m lossary._apart`` is the other side: it reads the request from its first argument and writes its findings
as JSON, one line per loss.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Beyond what torch itself needs, for a batch of a few numbers.
GIGABYTES = 8


def asked(
    path: Path, what: str, *, loss: str = "", takes: str = "", input: str = "", seconds: float = 60
) -> Iterator[dict[str, Any]]:
    """What a separate process finds of the losses in a file: dicts with "loss", and "failed" if it found nothing.

    ``what`` is "check" or "identify"; ``seconds`` is the limit per loss, and as much again for the start.
    """
    order = {"path": str(path), "what": what, "loss": loss, "takes": takes, "input": input, "seconds": seconds}
    done: list[str] = []
    begun: str | None = ""
    while begun is not None:  # the losses after one that ended the process have a process of their own
        begun = None
        for answer in _process(order | {"done": done}):
            if "begun" in answer:
                done.append(answer["begun"])
                begun = done[-1]
                continue
            if "status" in answer:
                yield {"loss": begun or loss or path.name, "failed": _why(answer, seconds)}
                break
            begun = None
            yield answer


def _process(order: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What one process says, line by line; at last, where it did not end well, how it ended."""
    command = [sys.executable, "-m", "lossary._apart", json.dumps(order)]
    with (
        tempfile.TemporaryFile("w+") as errors,  # an unread pipe would block it
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout
        for line in process.stdout:
            if line.startswith(_MARK):
                yield json.loads(line.removeprefix(_MARK))
        status = process.wait()
        errors.seek(0)
        if status != 0:
            yield {"status": status, "said": errors.read().strip().splitlines()[-1:]}


def _why(ended: dict[str, Any], seconds: float) -> str:
    if -ended["status"] in _ALARMS:
        return f"it ran out of time, {seconds:g} seconds of computing or {5 * seconds:g} of waiting (--seconds)"
    return (ended["said"] or [f"it ended with status {ended['status']}"])[0]


_MARK = "lossary: "  # whatever the file itself prints is dropped
_ALARMS = (14, 27)  # SIGALRM and SIGPROF


def _limit() -> None:
    """Limit the memory, if the system can."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_DATA, (GIGABYTES * 2**30, GIGABYTES * 2**30))


def _end_after(seconds: float) -> None:
    """End the process after this much computing, or five times as long on the clock; a later call resets both."""
    import signal

    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, 5 * seconds)


def main(order: dict[str, Any]) -> None:
    import torch

    from lossary.testing import checking, files, identifying
    from lossary.testing.forms import NotALoss

    _limit()
    torch.set_num_threads(1)
    _end_after(2 * order["seconds"])
    named = {name: order[name] for name in ("takes", "input") if order[name]}
    found = {"check": checking.check, "identify": identifying.identify}[order["what"]]
    for name, thing in files.losses(Path(order["path"]), order["loss"]).items():
        if name in order["done"]:
            continue
        _say({"begun": name})
        _end_after(order["seconds"])
        try:
            report = found(files.made(thing), **named)
            answer = {**report.as_dict(), "loss": name, "text": str(report)}
        except (NotALoss, MemoryError) as reason:
            memory = isinstance(reason, MemoryError)
            answer = {"loss": name, "failed": f"it needs more than {GIGABYTES} GB" if memory else str(reason)}
        _say(answer)


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(f"\n{_MARK}{json.dumps(answer)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except Exception as error:  # noqa: BLE001  # whatever the file raises is reported on one line
        sys.stderr.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")
        raise SystemExit(1) from None

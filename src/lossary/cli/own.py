"""Commands about the losses of your own files: whether they keep the laws, and what they compute."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lossary._text import printable, shortened
from lossary.cli._end import fail


def check(
    file: Path, *, loss: str = "", takes: str = "", input: str = "", json: bool = False, seconds: float = 60.0
) -> None:
    """Hold the losses in a Python file to the laws, and show what is wrong with each on the smallest possible batch.

    The file runs in its own process, with your permissions. The exit status is 1 if a law is broken.

    Parameters
    ----------
    file
        A Python file with functions or Modules that are called with tensors, such as loss(logits, labels).
    loss
        The name of one of them; by default, all that the file defines.
    takes
        The form of the call, if the argument names do not tell: input-label, input-target, embeddings-labels, ...
    input
        What the first tensor holds: logits, probabilities, embeddings, ...
    json
        Print JSON, one line per loss.
    seconds
        Computing time allowed per loss; the check is stopped after that.
    """
    broken = 0
    for found in _found(file, "check", loss, takes, input, json, seconds):
        broken += not found.get("lawful", True)
    raise SystemExit(1 if broken else 0)


def identify(
    file: Path, *, loss: str = "", takes: str = "", input: str = "", json: bool = False, seconds: float = 120.0
) -> None:
    """Say what the losses in a Python file compute: which known loss, with which options, and how it differs.

    Parameters
    ----------
    file
        A Python file with functions or Modules that are called with tensors, such as loss(logits, labels). It runs in
        its own process.
    loss
        The name of one of them; by default, all that the file defines.
    takes
        The form of the call, if the argument names do not tell: input-label, input-target, embeddings-labels, ...
    input
        What the first tensor holds: logits, probabilities, embeddings, ...
    json
        Print JSON, one line per loss.
    seconds
        Computing time allowed per loss; the search is stopped after that.
    """
    for _ in _found(file, "identify", loss, takes, input, json, seconds):
        pass


def _found(
    file: Path, what: str, loss: str, takes: str, input: str, as_json: bool, seconds: float
) -> Iterator[dict[str, Any]]:
    """The findings for each loss in a file, printed as they come; exits with status 2 if there are none."""
    import json

    from lossary._apart import asked

    if not file.is_file():
        fail(f"{file}: no such file")
    if not seconds > 0:
        fail(f"seconds: wanted more than 0; got {seconds:g}")
    found = 0
    reasons: list[str] = []
    for answer in asked(file, what, loss=loss, takes=takes, input=input, seconds=seconds):
        if "failed" in answer:
            reasons.append(f"{answer['loss']}: {answer['failed']}")
            if as_json:
                sys.stdout.write(f"{json.dumps(answer)}\n")
            continue
        found += 1
        text = "\n".join(map(printable, answer.pop("text").splitlines()))
        sys.stdout.write(f"{json.dumps(answer) if as_json else text}\n")
        yield answer
    if not found:
        fail("; ".join(reasons))
    for reason in reasons:
        sys.stderr.write(f"lossary: skipped: {shortened(printable(reason), 300)}\n")

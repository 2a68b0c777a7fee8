"""What `lossary learn` does: list the exercises, hand out a stub, grade the result."""

import runpy
import traceback
from pathlib import Path

from lossary.gallery.learn.exercise import Exercise
from lossary.gallery.learn.exercises import EXERCISES
from lossary.gallery.learn.grader import grade


def listed() -> str:
    """All exercises, and how to begin."""
    width = max(len(one.name) for one in EXERCISES)
    rows = [f"  {one.name:<{width}}  {one.title}{', to fix' if one.mend else ''}" for one in EXERCISES]
    return "\n".join(["lossary learn NAME hands out NAME.py; run it again to grade your file.", *rows, ""])


def worked(exercise: Exercise, path: Path) -> tuple[str, bool]:
    """Hand out the stub if there is no file yet, otherwise grade it; returns the message and whether it is right."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(exercise.stub, encoding="utf-8")
        asked = "It is wrong; fix it" if exercise.mend else "Write it"
        return f"{path}: {exercise.title}. {asked}, then run `lossary learn {exercise.name}` again.\n", True
    try:
        answer = runpy.run_path(str(path))["loss"]
    except KeyError:
        return f"{path}: wanted a function called loss\n", False
    except Exception:  # noqa: BLE001  # whatever is wrong with a file is reported to its author
        return f"{path} does not run:\n{traceback.format_exc(limit=-1)}", False
    wrong = grade(exercise, answer)
    if wrong is None:
        return f"{path}: right. Value and gradient match the library's on every batch.\n", True
    return f"{path}: not yet\n{wrong}\n", False

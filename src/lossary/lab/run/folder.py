"""The plan in a run's folder: how it is stored, and which command may continue it.

This is the third form of a plan, besides the request and the resolved plan (`plan`): JSON, perhaps from an earlier
version, and perhaps from a stranger.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from lossary.lab.data.contents import is_code
from lossary.lab.run import entries, stored
from lossary.lab.run.plan import Plan, Resolved
from lossary.lab.run.stored import Refused, check_own
from lossary.lab.tasks.scoring import own_files

PLAN = "plan.json"
#: Fields that belong to each command, and fields that keep their stored value unless a command sets them. Neither
#: changes the result of any run: the same folder continues with more seeds.
OF_THE_COMMAND = ("workers", "out", "megapixels", "minutes")
OF_THE_VERDICT = ("seeds", "margin")


def save_plan(plan: Resolved, folder: Path) -> None:
    stored.write_whole(folder / PLAN, json.dumps(asdict(plan), indent=1) + "\n")


def load_plan(folder: Path) -> Resolved:
    """The plan stored in a folder.

    Raises:
        Refused: if the file is something else.
    """
    plan = stored.read(folder / PLAN, Resolved, "the plan", _of_now)
    if not plan.losses:  # no stored plan lacks it
        raise stored.something_else("the plan", folder / PLAN, "losses: wanted some; got none")
    return plan


def _of_now(given: dict[str, Any]) -> dict[str, Any]:
    """A plan that 0.2 or earlier stored.

    There was one number of seeds, lists were a group, a metric was named only if it was the user's own, and everything
    ran on the CPU.
    """
    given = {{"group": "lists"}.get(name, name): value for name, value in given.items()}
    if type(seeds := given.get("seeds")) is int:
        given["seeds"] = [seeds, seeds]
    if isinstance(metric := given.get("metric"), str):
        given["metric"] = [metric] if metric else []
    given.setdefault("device", "cpu")
    return given


def prepare(plan: Resolved) -> Path:
    """The plan's run folder, either new or left by an earlier run of the same plan.

    Raises:
        Refused: if the folder holds another plan or cannot be written.
    """
    folder = Path(plan.out)
    try:
        check_own(folder)
        if (folder / PLAN).exists():
            kept = load_plan(folder)
            if _alike(kept, plan) != plan:
                raise Refused(
                    f"out: {folder} holds a run of another plan ({_differences(kept, plan)}); name another folder, "
                    f"or --resume to continue the plan stored there"
                )
            if _here(kept, plan, OF_THE_COMMAND) == plan:
                return folder
        folder.mkdir(parents=True, exist_ok=True)
        save_plan(plan, folder)
    except OSError as error:
        raise Refused(f"out: cannot write to {folder}: {error.strerror}") from error
    return folder


def resumable(plan: Plan, named: Collection[str] = ()) -> Resolved:
    """The plan stored in this one's folder, with this command's own settings.

    Args:
        named: The verdict's fields that this command sets too.

    Raises:
        Refused: if there is none, or it would run code that this command does not name.
    """
    folder = Path(plan.out)
    check_own(folder)
    if not (folder / PLAN).exists():
        raise Refused(f"resume: there is no run in {plan.out}")
    kept = load_plan(folder)
    if is_code(kept.data) and Path(kept.data) != Path(plan.data):
        # A folder may come from anyone; code that it names runs only if the user names it too.
        raise Refused(f"resume: the run in {plan.out} is of the code in {kept.data}; name that file to run it")
    try:
        unnamed = [file for file in entries.files(kept.losses) if file not in entries.files(plan.losses)]
    except LookupError as unread:
        raise Refused(unread.args[0]) from unread
    if unnamed:
        raise Refused(f"resume: the run in {plan.out} has losses of {unnamed[0]}; name them with --losses to run them")
    unnamed = [file for file in own_files(kept.metric) if file not in own_files(plan.metric)]
    if unnamed:
        raise Refused(f"resume: the run in {plan.out} has a metric of {unnamed[0]}; name it with --metric to run it")
    return _here(kept, plan, (*OF_THE_COMMAND, *(name for name in OF_THE_VERDICT if name in named)))


def _here(kept: Resolved, asked: Plan, names: Iterable[str]) -> Resolved:
    """A stored plan with this command's values for the fields that change no run."""
    return replace(kept, **{name: getattr(asked, name) for name in names})


def _alike(kept: Resolved, asked: Resolved) -> Resolved:
    """A stored plan in this one's form, if the two do the same runs."""
    # Before 0.3 the bound was stored only in epochs, and the task's own metric without a name. Since then the bound is
    # stored the same way, however it was given.
    same = ("epochs" if kept.steps else "steps", *(() if kept.metric else ("metric",)))
    return _here(kept, asked, (*OF_THE_COMMAND, *OF_THE_VERDICT, *same))


def _differences(kept: Resolved, asked: Resolved) -> str:
    if kept.data == asked.data and kept.fingerprint != asked.fingerprint:
        return f"the contents of {asked.data} have changed"
    kept = _alike(kept, asked)
    pairs = ((field.name, getattr(kept, field.name), getattr(asked, field.name)) for field in fields(Resolved))
    return "; ".join(f"{name}: {_shown(was)} there, {_shown(now)} asked" for name, was, now in pairs if was != now)


def _shown(value: object) -> str:
    """A field of a plan in a sentence.

    >>> _shown(("log_loss", "accuracy")), _shown(""), _shown(0)
    ('log_loss, accuracy', 'none', '0')
    """
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text or "none"

"""What the other processes of a crew do: train each run that the leader begins, and keep no result."""

from contextlib import suppress
from typing import Any, cast

from lossary.lab.data.contents import BadData
from lossary.lab.data.loading import load_again
from lossary.lab.data.types import Data
from lossary.lab.run.crew import Abandoned, Crew
from lossary.lab.run.devices import chosen
from lossary.lab.run.entrants import entrants
from lossary.lab.run.plan import Resolved
from lossary.lab.run.stored import Refused
from lossary.lab.run.train import Diverged, timed, train


def follow(crew: Crew, data: Data | None = None) -> Any:
    """Take part until the leader is done; returns its result.

    Args:
        crew: The processes.
        data: Data that no plan can load.

    Raises:
        Abandoned: if it has none; the leader itself reports why.
    """
    own, plan = data, Resolved()
    while True:
        what, *given = crew.listen()
        if what == "done":
            return given[0]
        if what == "failed":
            raise Abandoned("the first process has given up")
        if what == "plan":
            plan = cast("Resolved", given[0])
            refusal, data = _found(plan, own)
            crew.joined(refusal)
            continue
        label, *of_run = given
        assert data is not None
        entrant = entrants(plan.losses, data.task)[label]
        # These end the leader's run too.
        with suppress(Diverged, Abandoned, Refused):
            if what == "timed":
                timed(entrant, data, plan)
            else:
                train(entrant, of_run[0], data, plan, of_run[1])


def _found(plan: Resolved, own: Data | None) -> tuple[str, Data | None]:
    """Why this process cannot take part, "" if it can; and the data."""
    try:
        chosen(plan.device)
        data = own or load_again(plan)
        entrants(plan.losses, data.task)
    except (LookupError, BadData, OSError) as reason:
        return str(reason.args[0] if isinstance(reason, LookupError) else reason), None
    if own is not None and own.fingerprint != plan.fingerprint:
        return "data: wanted the same in every process; got something else", None
    return "", data
